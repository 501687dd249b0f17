//! Replay: feeds a world the inputs and stamps of a recorded block and compares every frame and the header.
//!
//! It is the ordinary path, driven from a record: there is no mode in which the kernel behaves otherwise.

use alloc::format;
use alloc::string::String;

use aos_air::cbor::Reader;

use crate::admit::Admission;
use crate::block::{Header, Raw};
use crate::error::{BlockProblem, Fault};
use crate::frame::Frame;
use crate::id::{BlockIndex, Height};
use crate::world::{Machine, Seal, Sealed, World};

/// Replays the block that follows the world's head.
///
/// # Errors
/// [`Fault::Block`] where the block is damaged or does not follow, [`Fault::Frame`] where a frame cannot be read,
/// [`Fault::Divergence`] at the first frame that comes out otherwise. The world has stopped then.
pub fn replay(world: &mut World, machine: &mut Machine<'_>, raw: Raw<'_>) -> Result<Sealed, Fault> {
    let replayed = replay_block(world, machine, raw);
    if replayed.is_err() {
        world.stop();
    }
    replayed
}

fn replay_block(world: &mut World, machine: &mut Machine<'_>, raw: Raw<'_>) -> Result<Sealed, Fault> {
    let index = world.head().0.next();
    let header = raw.open(index)?;
    check_chain(world, &header, index)?;
    world.begin(header.opening.clone());
    let mut reader = Reader::strict(raw.body);
    for height in
        (header.first_height.0..).map(Height).take_while(|height| height.0 - header.first_height.0 < header.frames)
    {
        replay_frame(world, machine, &mut reader, &header, height)?;
    }
    let seal = if header.state_root.is_some() { Seal::Snapshot } else { Seal::Plain };
    let sealed = world.seal(seal, machine.blobs)?;
    if reader.end().is_err() || sealed.header.ends_root != header.ends_root {
        return Err(Fault::Block { index, problem: BlockProblem::Ends });
    }
    if sealed.header_bytes != raw.header {
        return Err(Fault::Block { index, problem: BlockProblem::Seal });
    }
    Ok(sealed)
}

/// Checks what a header says of the blocks before it.
fn check_chain(world: &World, header: &Header, index: BlockIndex) -> Result<(), Fault> {
    let chain = world.chain();
    let problem = if header.executor != crate::EXECUTOR {
        return Err(Fault::Executor(header.executor));
    } else if header.previous != chain.hash || header.first_height != chain.height.next() {
        BlockProblem::Chain
    } else if header.mountain != chain.mountain.root() {
        BlockProblem::Mountain
    } else if header.frames > world.limits().frames_per_block_max {
        BlockProblem::Ends
    } else {
        return Ok(());
    };
    Err(Fault::Block { index, problem })
}

fn replay_frame(
    world: &mut World,
    machine: &mut Machine<'_>,
    reader: &mut Reader<'_>,
    header: &Header,
    height: Height,
) -> Result<(), Fault> {
    let start = reader.offset();
    let recorded = Frame::read(reader, world.program(), header.opening.time_base_ns, height);
    let recorded = recorded.map_err(|problem| Fault::Frame { height, problem })?;
    let differs = |found: String| Fault::Divergence { height, expected: words(&recorded), found };
    let admission = world.admit(recorded.input.clone(), recorded.stamp, machine.blobs)?;
    let admitted = match admission {
        Ok(Admission::Admitted(admitted)) => admitted,
        Ok(Admission::Known { height, .. }) => {
            return Err(differs(format!("an input that was known since height {height}")));
        }
        Err(refusal) => return Err(differs(format!("a refusal, {}", refusal.code()))),
    };
    let found = world.apply(machine, admitted)?;
    if found != recorded {
        return Err(differs(words(&found)));
    }
    // Equal frames have equal bytes unless the record was not written by a kernel.
    if world.open_bytes(start) != reader.since(start) {
        return Err(differs("the same frame in other bytes".into()));
    }
    Ok(())
}

fn words(frame: &Frame) -> String {
    let ended = match &frame.outcome.failure {
        None => "success".into(),
        Some(failure) => format!("failure {}", failure.cause.code()),
    };
    format!("{ended} with {} derived records and {} fuel", frame.derived.len(), frame.outcome.fuel_used)
}
