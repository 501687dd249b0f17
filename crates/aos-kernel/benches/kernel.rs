//! What the kernel itself costs, with guests that are Rust functions: one event, one block, one replay, one snapshot.
//!
//! `cargo bench -p aos-kernel`. An engine and a disk are in `aos-host`'s benchmarks, whose table is in
//! `docs/performance.md`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot go on stops")]

use std::collections::BTreeMap;

use aos_air::abi::{Call, Reply};
use aos_air::cbor;
use aos_air::hash::Digest;
use aos_air::limits::Limits;
use aos_air::module::Entry;
use aos_air::validate::{self, Source};
use aos_kernel::block::Raw;
use aos_kernel::frame::Frame;
use aos_kernel::genesis::{EffectMode, Genesis};
use aos_kernel::guest::{Allowance, CallError, Guest};
use aos_kernel::index::Index;
use aos_kernel::input::{Actor, Body, Event, Input, Opening, Stamp};
use aos_kernel::{Admission, EXECUTOR, Machine, Seal, Sealed, World, replay};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

/// Frames of a block, as a driver under load makes them.
const FRAMES: u64 = 256;

/// Cells of the keyed reducer.
const CELLS: u64 = 10_000;

const START_NS: u64 = 1_700_000_000_000_000_000;

const AIR: &str = r#"[
  {"$kind": "defschema", "name": "bench/State@1", "type": {"record": {"count": {"nat": {}}}}},
  {"$kind": "defschema", "name": "bench/Add@1", "type": {"record": {"n": {"nat": {}}}}},
  {"$kind": "defschema", "name": "bench/Key@1", "type": {"nat": {}}},
  {"$kind": "defschema", "name": "bench/AddTo@1", "type": {"record": {"cell": {"nat": {}}, "n": {"nat": {}}}}},
  {"$kind": "defmodule", "name": "bench/One@1", "module_kind": "reducer",
    "abi": {"reducer": {"state": "bench/State@1", "event": "bench/Add@1"}}},
  {"$kind": "defmodule", "name": "bench/Many@1", "module_kind": "reducer", "key_schema": "bench/Key@1",
    "abi": {"reducer": {"state": "bench/State@1", "event": "bench/AddTo@1"}}},
  {"$kind": "manifest", "air_version": "1",
    "schemas": [{"name": "bench/State@1"}, {"name": "bench/Add@1"}, {"name": "bench/Key@1"}, {"name": "bench/AddTo@1"}],
    "modules": [{"name": "bench/One@1"}, {"name": "bench/Many@1"}],
    "routing": {"events": [
      {"event": "bench/Add@1", "reducer": "bench/One@1"},
      {"event": "bench/AddTo@1", "reducer": "bench/Many@1", "key_field": "cell"}]}}
]"#;

fn main() {
    divan::main();
}

/// Counts calls in the cell, as a module would; the answer does not depend on the event.
struct Native;

impl Guest for Native {
    fn call(
        &mut self,
        _: &Digest,
        _: Entry,
        input: &[u8],
        _: Allowance,
        output: &mut Vec<u8>,
    ) -> Result<u64, CallError> {
        let call = Call::decode(input).unwrap();
        let before: BTreeMap<String, u64> =
            call.state.map(|state| cbor::from_slice(state).unwrap()).unwrap_or_default();
        let count = before.get("count").copied().unwrap_or_default() + 1;
        let state = cbor::to_vec(&BTreeMap::from([("count", count)])).unwrap();
        output.clear();
        Reply { state: Some(state), ..Reply::default() }.encode(output);
        Ok(1)
    }
}

/// A world with the bytes that it needs.
struct Running {
    world: World,
    blobs: BTreeMap<Digest, Vec<u8>>,
    genesis: Sealed,
    now_ns: u64,
}

impl Running {
    fn new() -> Self {
        let source = Source { file: "bench.air.json".into(), text: AIR.into() };
        let manifest = validate::load(&[source], &|name| Some(Digest::of(name.as_str().as_bytes()))).unwrap();
        let genesis = Genesis {
            executor: EXECUTOR,
            manifest: manifest.hash(),
            limits: Limits::default(),
            effect_mode: EffectMode::Live,
            created_ns: START_NS,
            nonce: [7; 32],
        };
        let (world, sealed) = World::create(genesis, manifest).unwrap();
        let blobs = sealed.blobs.iter().cloned().collect();
        Self { world, blobs, genesis: sealed, now_ns: START_NS }
    }

    /// Admits and applies an input; seals a block when it is full.
    fn send(&mut self, input: Input) -> Frame {
        if !self.world.is_open() {
            self.world.begin(Opening { time_base_ns: self.now_ns, seed: [3; 32], time_step_allowed: false });
        }
        self.now_ns += 1_000;
        let admission = self.world.admit(input, Stamp { now_ns: self.now_ns }, &self.blobs).unwrap();
        let Ok(Admission::Admitted(admitted)) = admission else { panic!("not admitted: {admission:?}") };
        let mut machine = Machine { guest: &mut Native, blobs: &self.blobs };
        let frame = self.world.apply(&mut machine, admitted).unwrap();
        assert!(frame.outcome.failure.is_none(), "{:?}", frame.outcome);
        if self.world.frames_open() as u64 == FRAMES {
            self.seal(Seal::Plain);
        }
        frame
    }

    fn seal(&mut self, seal: Seal) -> Sealed {
        let sealed = self.world.seal(seal, &self.blobs).unwrap();
        self.blobs.extend(sealed.blobs.iter().cloned());
        sealed
    }

    /// Takes up the world at its genesis.
    fn again(&self) -> World {
        let raw = Raw { header: &self.genesis.header_bytes, body: &self.genesis.body };
        World::from_genesis(raw, &self.blobs).unwrap().0
    }
}

fn event(schema: &str, fields: &[(&str, u64)]) -> Input {
    let fields: BTreeMap<&str, u64> = fields.iter().copied().collect();
    let value = cbor::to_vec(&fields).unwrap();
    Input { actor: Actor::Host, id: None, body: Body::Event(Event { schema: schema.into(), value, key: None }) }
}

/// Admits and applies one event of a reducer without keys; one in 256 seals the block.
#[divan::bench]
fn event_unkeyed(bencher: Bencher<'_, '_>) {
    let mut running = Running::new();
    let input = event("bench/Add@1", &[("n", 1)]);
    bencher.bench_local(|| running.send(input.clone()));
}

/// The same with an id for resends.
#[divan::bench]
fn event_with_an_id(bencher: Bencher<'_, '_>) {
    let mut running = Running::new();
    let mut count = 0_u64;
    bencher.bench_local(|| {
        count += 1;
        running.send(Input { id: Some(count.to_be_bytes().to_vec()), ..event("bench/Add@1", &[("n", 1)]) })
    });
}

/// One event of a reducer with 10,000 cells.
#[divan::bench]
fn event_keyed(bencher: Bencher<'_, '_>) {
    let mut running = Running::new();
    let mut count = 0;
    let mut send = |running: &mut Running| {
        // Steps that meet every cell, in no order that a cache would like.
        count = (count + 7_919) % CELLS;
        running.send(event("bench/AddTo@1", &[("cell", count), ("n", 1)]))
    };
    (0..CELLS).for_each(|_| drop(send(&mut running)));
    bencher.bench_local(|| send(&mut running));
}

/// Writes one frame.
#[divan::bench]
fn frame_encode(bencher: Bencher<'_, '_>) {
    let mut running = Running::new();
    let frame = running.send(event("bench/AddTo@1", &[("cell", 17), ("n", 1)]));
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        black_box(&frame).write(running.world.program(), START_NS, &mut out);
    });
}

/// Seals a block of 255 frames that changed 255 cells.
#[divan::bench(sample_count = 50)]
fn block_seal(bencher: Bencher<'_, '_>) {
    let filled = || {
        let mut running = Running::new();
        (1..FRAMES).for_each(|cell| drop(running.send(event("bench/AddTo@1", &[("cell", cell), ("n", 1)]))));
        running
    };
    bencher.counter(ItemsCount::new(FRAMES - 1)).with_inputs(filled).bench_local_values(|mut running| {
        let sealed = running.world.seal(Seal::Plain, &running.blobs);
        (sealed, running)
    });
}

/// Replays a block of 255 frames, with the calls.
#[divan::bench(sample_count = 50)]
fn block_replay(bencher: Bencher<'_, '_>) {
    let mut running = Running::new();
    (1..FRAMES).for_each(|cell| drop(running.send(event("bench/AddTo@1", &[("cell", cell), ("n", 1)]))));
    let sealed = running.seal(Seal::Plain);
    let raw = Raw { header: &sealed.header_bytes, body: &sealed.body };
    bencher.counter(ItemsCount::new(FRAMES - 1)).with_inputs(|| running.again()).bench_local_values(|mut world| {
        let mut machine = Machine { guest: &mut Native, blobs: &running.blobs };
        let replayed = replay(&mut world, &mut machine, raw).unwrap();
        (replayed, world)
    });
}

/// Merges changes to 1,000 keys into a state index that has been read from storage, of so many keys.
#[divan::bench(args = [1_000, 100_000], sample_count = 20)]
fn index_flush(bencher: Bencher<'_, '_>, keys: u64) {
    let key = |number: u64| Digest::of(&number.to_be_bytes()).as_bytes().to_vec();
    let nothing = BTreeMap::new();
    let mut index = Index::empty();
    for number in 0..keys {
        index.set(&nothing, key(number), Some(vec![7; 60].into())).unwrap();
    }
    index.end_block();
    let (root, nodes) = index.flush(&nothing).unwrap();
    let blobs: BTreeMap<Digest, Vec<u8>> = nodes.into_iter().collect();
    let changed = || {
        let mut index = Index::at(root);
        for number in (0..keys).step_by(usize::try_from(keys / 1_000).unwrap()) {
            index.set(&blobs, key(number), Some(vec![8; 60].into())).unwrap();
        }
        index.end_block();
        index
    };
    bencher.counter(ItemsCount::new(1_000_u64)).with_inputs(changed).bench_local_values(|mut index| {
        let flushed = index.flush(&blobs).unwrap();
        (flushed, index)
    });
}
