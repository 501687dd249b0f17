//! An event in memory: what the engine takes, and what the kernel and the driver add to it.
//!
//! All contenders take turns within one run, so that a machine that gets slower is slower for all of them, and the median
//! of the turns counts. They run the same module on the same call envelopes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aos_air::hash::Digest;
use aos_air::limits::Limits;
use aos_air::module::{self, Entry};
use aos_host::driver::Driver;
use aos_host::store::MemoryStore;
use aos_host::wasm::Guests;
use aos_kernel::genesis::{EffectMode, Genesis};
use aos_kernel::guest::{Allowance, CallError, Guest};
use aos_kernel::input::{Input, Opening, Stamp};
use aos_kernel::{Admission, EXECUTOR, Machine, Seal, World};

use crate::Done;
use crate::bare::Bare;
use crate::counter::{self, Counter};
use crate::table::{Table, median};

/// Events of one turn, in whole blocks.
const EVENTS: usize = 8 * BLOCK;
/// Frames of one block.
const BLOCK: usize = 256;
/// Turns of each contender.
const TURNS: usize = 40;

const START_NS: u64 = 1_700_000_000_000_000_000;

type Bytes = BTreeMap<Digest, Vec<u8>>;

/// A world that is driven by hand: admit and apply, and seal a block of 256.
struct InMemory {
    world: World,
    blobs: Bytes,
    guest: Recorder,
    now_ns: u64,
}

/// Passes calls on and keeps their inputs while it is asked to.
struct Recorder {
    guests: Guests<Bytes>,
    inputs: Option<Vec<Vec<u8>>>,
}

impl Guest for Recorder {
    fn call(
        &mut self,
        module: &Digest,
        entry: Entry,
        input: &[u8],
        allowance: Allowance,
        output: &mut Vec<u8>,
    ) -> Result<u64, CallError> {
        if let Some(inputs) = &mut self.inputs {
            inputs.push(input.to_vec());
        }
        self.guests.call(module, entry, input, allowance, output)
    }
}

impl InMemory {
    fn new(counter: &Counter) -> Done<Self> {
        let genesis = Genesis {
            executor: EXECUTOR,
            manifest: counter.manifest.hash(),
            limits: Limits::default(),
            effect_mode: EffectMode::Live,
            created_ns: START_NS,
            nonce: [7; 32],
        };
        let (world, sealed) = World::create(genesis, counter.manifest.clone())?;
        let mut blobs: Bytes = sealed.blobs.into_iter().collect();
        blobs.insert(counter.digest, counter.wasm.clone());
        let guest = Recorder { guests: Guests::new(counter::engine()?, blobs.clone()), inputs: None };
        let mut running = Self { world, blobs, guest, now_ns: START_NS };
        running.send(vec![counter::first()?])?;
        Ok(running)
    }

    fn send(&mut self, inputs: Vec<Input>) -> Done<()> {
        self.world.begin(Opening { time_base_ns: self.now_ns, seed: [3; 32], time_step_allowed: false });
        for input in inputs {
            self.now_ns += 1_000;
            match self.world.admit(input, Stamp { now_ns: self.now_ns }, &self.blobs)? {
                Ok(Admission::Admitted(admitted)) => {
                    let mut machine = Machine { guest: &mut self.guest, blobs: &self.blobs };
                    let frame = self.world.apply(&mut machine, admitted)?;
                    if let Some(failure) = frame.outcome.failure {
                        return Err(failure.cause.code().into());
                    }
                }
                other => return Err(format!("not admitted: {other:?}").into()),
            }
        }
        self.world.seal(Seal::Plain, &self.blobs)?;
        Ok(())
    }
}

/// Runs `send` on a turn's events, block by block, and returns the time of all. Making the events is not counted.
fn turn(mut send: impl FnMut(Vec<Input>) -> Done<()>) -> Done<Duration> {
    let inputs = (0..EVENTS).map(|_| counter::next()).collect::<Done<Vec<_>>>()?;
    let blocks: Vec<Vec<Input>> = inputs.chunks(BLOCK).map(<[_]>::to_vec).collect();
    let start = Instant::now();
    for block in blocks {
        send(block)?;
    }
    Ok(start.elapsed())
}

/// Runs `call` on every envelope and returns the time of all.
fn calls(inputs: &[Vec<u8>], mut call: impl FnMut(&[u8], &mut Vec<u8>) -> Done<()>) -> Done<Duration> {
    let mut output = Vec::new();
    let start = Instant::now();
    for input in inputs {
        call(input, &mut output)?;
    }
    Ok(start.elapsed())
}

pub fn measure(counter: &Counter, table: &mut Table) -> Done<()> {
    let mut world = InMemory::new(counter)?;
    let mut driver: Driver = counter.create(Box::new(MemoryStore::new(counter::origin())), &counter::engine()?)?;
    world.guest.inputs = Some(Vec::new());
    turn(|block| world.send(block))?;
    let inputs = world.guest.inputs.take().unwrap_or_default();

    let admitted = module::admit(&counter.wasm, Entry::Reducer, &module::Limits::default());
    let admitted = admitted.map_err(|refused| format!("{refused:?}"))?;
    let (author, admitted) = (Bare::new(&counter.wasm)?, Bare::new(&admitted.bytes)?);
    let mut guests = Guests::new(counter::engine()?, world.blobs.clone());
    let allowance = Allowance { fuel: 100_000_000, reply_bytes: 4 << 20 };

    let mut contenders: [Contender<'_>; 5] = [
        Contender::new("bare engine call, fresh instance, the author's module", || {
            calls(&inputs, |input, output| author.call(input, output))
        }),
        Contender::new("**bare engine call, fresh instance, the admitted module**", || {
            calls(&inputs, |input, output| admitted.call(input, output))
        }),
        Contender::new("the host's call (`Guests::call`)", || {
            calls(&inputs, |input, output| {
                guests.call(&counter.digest, Entry::Reducer, input, allowance, output)?;
                Ok(())
            })
        }),
        Contender::new("**kernel: admit, call, apply, 1/256 of a seal**", || turn(|block| world.send(block))),
        Contender::new("driver over the memory store: the same with stamp, append and answer", || {
            turn(|block| driver.submit(block).map(drop).map_err(Into::into))
        }),
    ];
    for first in 0..TURNS {
        for place in 0..contenders.len() {
            let next = (first + place) % contenders.len();
            if let Some(contender) = contenders.get_mut(next) {
                contender.times.push((contender.run)()?);
            }
        }
    }
    let per_event = u32::try_from(EVENTS)?;
    let medians = contenders.map(|contender| (contender.row, median(contender.times) / per_event));
    let [_, (_, bare), (_, host), (_, kernel), _] = medians;
    medians.iter().for_each(|(row, time)| table.ratio(row, *time, bare));
    table.time("of the kernel's row, without the host's call", kernel.saturating_sub(host));
    Ok(())
}

/// A row of the table, and the time of each of its turns.
struct Contender<'a> {
    row: &'static str,
    run: Box<dyn FnMut() -> Done<Duration> + 'a>,
    times: Vec<Duration>,
}

impl<'a> Contender<'a> {
    fn new(row: &'static str, run: impl FnMut() -> Done<Duration> + 'a) -> Self {
        Self { row, run: Box::new(run), times: Vec::new() }
    }
}
