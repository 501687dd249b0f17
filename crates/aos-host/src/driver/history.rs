//! A whole history again: every block replayed and compared, from the genesis or from a snapshot.

use aos_kernel::blobs::Blobs;
use aos_kernel::block::Raw;
use aos_kernel::bundle::Bundle;
use aos_kernel::error::{BlockProblem, Fault};
use aos_kernel::id::{BlockHash, BlockIndex, Height, StateRoot, WorldId};
use aos_kernel::{Machine, Snapshot, World, replay};

use super::{DriveError, StoreBlobs};
use crate::store::{Blocks, Read, StoredBlock};
use crate::wasm::{Engine, Guests};

/// Where a replay came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The last block.
    pub block: BlockIndex,
    /// Its hash.
    pub hash: BlockHash,
    /// The height of the last frame.
    pub height: Height,
    /// The root of the state, where the last block names one.
    pub state_root: Option<StateRoot>,
}

impl Replayed {
    fn of(world: &World) -> Self {
        let (block, hash) = world.head();
        Self { block, hash, height: world.height(), state_root: world.state_root() }
    }
}

/// Replays a world up to its durable head and compares every frame: from its genesis, or from the snapshot at a block.
///
/// Blocks come from `store`, blobs from `blobs`, which may be another handle on the same store.
/// `progress` is told the height of each block that is done. Returns where it came to.
///
/// # Errors
/// [`DriveError`] at the first block that is damaged or comes out otherwise.
pub fn replay_history(
    store: &dyn Read,
    blobs: &StoreBlobs,
    engine: &Engine,
    id: WorldId,
    from: Option<BlockIndex>,
    progress: &mut dyn FnMut(Height),
) -> Result<Replayed, DriveError> {
    let mut guests = Guests::new(engine.clone(), blobs.clone());
    let mut world = match from {
        None => genesis(store, blobs, id)?,
        Some(index) => restore(store, blobs, id, index)?,
    };
    replay_tail(store, &mut world, &mut Machine { guest: &mut guests, blobs }, progress)?;
    Ok(Replayed::of(&world))
}

/// Replays everything after the world's head, up to the durable head.
pub(super) fn replay_tail(
    store: &dyn Read,
    world: &mut World,
    machine: &mut Machine<'_>,
    progress: &mut dyn FnMut(Height),
) -> Result<(), DriveError> {
    let head = store.head(world.id())?;
    for block in Blocks::new(store, world.id(), world.head().0.next())? {
        let block = block?;
        // A writer may be at work meanwhile; what it appends after the head was read is not asked for.
        if block.index > head.block {
            break;
        }
        let at = block.head();
        let raw = Raw { header: &block.header, body: &block.body };
        let sealed = replay(world, machine, raw).map_err(DriveError::at(at))?;
        if sealed.hash != block.hash {
            return Err(DriveError::at(at)(Fault::Block { index: block.index, problem: BlockProblem::Chain }));
        }
        progress(world.height());
    }
    let (found, hash) = world.head();
    if (found, hash, world.height()) != (head.block, head.hash, head.height) {
        return Err(DriveError::Head { world: world.id(), found, head: head.block });
    }
    Ok(())
}

/// Collects a world's history up to its durable head, with every blob that a replay from the genesis needs.
///
/// # Errors
/// [`DriveError`] where a block or a blob cannot be read.
pub fn record(store: &dyn Read, source: &StoreBlobs, id: WorldId) -> Result<Bundle, DriveError> {
    let world = genesis(store, source, id)?;
    let manifest = world.program().manifest();
    let modules = manifest.modules().map(|module| module.wasm_hash);
    let needed = manifest.nodes().map(|(hash, _)| hash).chain(modules);
    let blobs =
        needed.map(|hash| Ok((hash, source.blob(&hash).map_err(Fault::from)?))).collect::<Result<_, DriveError>>()?;
    let blocks = Blocks::new(store, id, BlockIndex(0))?;
    let blocks = blocks.map(|block| block.map(|block| (block.header, block.body))).collect::<Result<_, _>>()?;
    Ok(Bundle { world: id, blocks, blobs })
}

/// Makes the world of block 0.
pub(super) fn genesis(store: &dyn Read, blobs: &StoreBlobs, id: WorldId) -> Result<World, DriveError> {
    let block = block(store, id, BlockIndex(0))?;
    let fail = DriveError::at(block.head());
    let raw = Raw { header: &block.header, body: &block.body };
    let (world, sealed) = match World::from_genesis(raw, blobs) {
        Ok(made) => made,
        Err(fault) => return Err(fail(fault)),
    };
    if world.id() != id || sealed.hash != block.hash {
        return Err(fail(Fault::Block { index: BlockIndex(0), problem: BlockProblem::Genesis }));
    }
    Ok(world)
}

/// Takes up the world from the snapshot at a block. The snapshot's header must be the one in the journal.
pub(super) fn restore(
    store: &dyn Read,
    blobs: &StoreBlobs,
    id: WorldId,
    index: BlockIndex,
) -> Result<World, DriveError> {
    let block = block(store, id, index)?;
    let snapshot = snapshot(store, id, &block)?;
    let world = World::restore(&snapshot, blobs).map_err(DriveError::at(block.head()))?;
    if world.id() != id || world.head() != (index, block.hash) {
        return Err(unusable(&block));
    }
    Ok(world)
}

/// Reads the snapshot that belongs to a block and names its header.
pub(super) fn snapshot(store: &dyn Read, id: WorldId, block: &StoredBlock) -> Result<Snapshot, DriveError> {
    let record = store.snapshot(id, block.index)?.ok_or_else(|| unusable(block))?;
    match Snapshot::decode(&record) {
        Ok(snapshot) if snapshot.header == block.header => Ok(snapshot),
        Ok(_) | Err(_) => Err(unusable(block)),
    }
}

pub(super) fn unusable(block: &StoredBlock) -> DriveError {
    DriveError::at(block.head())(Fault::Snapshot(block.last_height))
}

pub(super) fn block(store: &dyn Read, id: WorldId, index: BlockIndex) -> Result<StoredBlock, DriveError> {
    let missing = crate::store::Error::BlockMissing { world: id, index, height: None };
    Ok(store.block(id, index)?.ok_or(missing)?)
}
