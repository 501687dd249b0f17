//! Taking up a world again: cut back what lies beyond the durable head, verify what lies at or below it, replay the tail.
//!
//! A world that does not verify does not open for writing; the error names height and hash.

use aos_kernel::blobs::Blobs;
use aos_kernel::block::Raw;
use aos_kernel::error::{BlockProblem, Fault};
use aos_kernel::id::{BlockIndex, Height, WorldId};
use aos_kernel::{Machine, Mountain, World};

use super::history::{block, genesis, replay_tail, restore, snapshot, unusable};
use super::{Ambient, DriveError, Driver, Options, StoreBlobs};
use crate::store::{Blocks, Read, Store};
use crate::wasm::{Engine, Guests};

/// How much of a history is verified before a world opens for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verify {
    /// The newest snapshot, the blobs of the manifest, and a replay of what follows the snapshot.
    Tail,
    /// The same, the digests and the chain of every block, every snapshot's record, and all of the newest one's state.
    #[default]
    Chain,
    /// The same, and a replay of everything from the genesis.
    History,
}

/// What opening a world found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Blocks beyond the durable head that were cut back: commits that nobody was told of.
    pub cut: Vec<BlockIndex>,
    /// The height from which frames were replayed.
    pub replayed_from: Height,
}

impl Driver {
    /// Takes up a world for writing.
    ///
    /// `progress` is told the height of each block that is done.
    ///
    /// # Errors
    /// [`DriveError`] for what does not verify. Nothing is changed then, but that blocks beyond the durable head are cut.
    pub fn open(
        mut store: Box<dyn Store>,
        engine: Engine,
        ambient: Box<dyn Ambient>,
        id: WorldId,
        verify: Verify,
        options: Options,
        progress: &mut dyn FnMut(Height),
    ) -> Result<(Self, Opened), DriveError> {
        let blobs = StoreBlobs::new(store.reader()?);
        let newest = store.snapshots(id)?.first().copied();
        if verify >= Verify::Chain {
            verify_chain(&*store, id)?;
            verify_state(&*store, &blobs, id, newest)?;
        }
        let mut world = match newest {
            Some(index) if verify < Verify::History => restore(&*store, &blobs, id, index)?,
            _ => genesis(&*store, &blobs, id)?,
        };
        let replayed_from = world.height().next();
        let mut guests = Guests::new(engine.clone(), blobs.clone());
        replay_tail(&*store, &mut world, &mut Machine { guest: &mut guests, blobs: &blobs }, progress)?;
        verify_blobs(&world, &blobs).map_err(DriveError::at(store.head(id)?))?;
        // Only now is an earlier holder shut out. What it has appended since is replayed as well.
        let fence = store.acquire(id)?;
        let cut = if store.beyond(id)?.is_empty() { Vec::new() } else { store.cut(id, fence)? };
        if !cut.is_empty() {
            tracing::warn!(world = %id, blocks = cut.len(), "cut back what lay beyond the durable head");
        }
        replay_tail(&*store, &mut world, &mut Machine { guest: &mut guests, blobs: &blobs }, progress)?;
        let head = store.head(id)?;
        let snapshot = block(&*store, id, newest.unwrap_or(BlockIndex(0)))?.last_height;
        let since = world.height().0.saturating_sub(snapshot.0);
        let driver = Self {
            frames_since_snapshot: since,
            ..Self::over(world, store, fence, head, blobs, engine, ambient, options)
        };
        Ok((driver, Opened { cut, replayed_from }))
    }
}

/// Checks digests and chain of every block and the records of all snapshots, without running anything.
fn verify_chain(store: &dyn Read, id: WorldId) -> Result<(), DriveError> {
    let snapshots = store.snapshots(id)?;
    let mut mountain = Mountain::default();
    let mut before: Option<(aos_kernel::id::BlockHash, Height)> = None;
    for block in Blocks::new(store, id, BlockIndex(0))? {
        let block = block?;
        let raw = Raw { header: &block.header, body: &block.body };
        let header = raw.open(block.index).map_err(DriveError::at(block.head()))?;
        let damaged = |problem| DriveError::at(block.head())(Fault::Block { index: block.index, problem });
        let follows =
            before.is_none_or(|(hash, height)| header.previous == hash && header.first_height == height.next());
        if !follows || header.hash() != block.hash || header.last_height() != block.last_height {
            return Err(damaged(BlockProblem::Chain));
        }
        if header.mountain != mountain.root() {
            return Err(damaged(BlockProblem::Mountain));
        }
        // Newest first.
        let has_snapshot = snapshots.binary_search_by(|at| block.index.cmp(at)).is_ok();
        if has_snapshot && snapshot(store, id, &block)?.earlier != mountain {
            return Err(unusable(&block));
        }
        mountain.push(block.hash);
        before = Some((block.hash, block.last_height));
    }
    Ok(())
}

/// Reads all state that the newest snapshot names: a restore reads what it needs, and a replay makes its own.
fn verify_state(
    store: &dyn Read,
    blobs: &StoreBlobs,
    id: WorldId,
    newest: Option<BlockIndex>,
) -> Result<(), DriveError> {
    let Some(index) = newest else { return Ok(()) };
    let checked = restore(store, blobs, id, index)?.check_state(blobs);
    checked.map_err(DriveError::at(block(store, id, index)?.head()))
}

/// Reads every blob that the manifest in force needs.
fn verify_blobs(world: &World, blobs: &dyn Blobs) -> Result<(), Fault> {
    let manifest = world.program().manifest();
    let modules = manifest.modules().map(|module| module.wasm_hash);
    for hash in manifest.nodes().map(|(hash, _)| hash).chain(modules) {
        blobs.blob(&hash)?;
    }
    Ok(())
}
