//! A store in memory, for tests and for worlds that nobody wants to keep.
//!
//! Clones are handles on the same store, as two processes are on one file. It loses everything with its last handle
//! and holds the whole contract until then.
//! Read next: `file/`, which keeps what it is given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aos_air::hash::Digest;
use aos_kernel::id::{BlockIndex, WorldId};

use super::{BATCH_BYTES, Commit, Error, Fence, Head, Origin, Read, Store, StoredBlock, check_blobs};

/// A store in memory.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    origin: Origin,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    worlds: BTreeMap<WorldId, World>,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

#[derive(Debug)]
struct World {
    fence: Fence,
    head: Head,
    // INVARIANT: holds every index from 0 to the head's and no other.
    blocks: BTreeMap<BlockIndex, StoredBlock>,
    snapshots: BTreeMap<BlockIndex, Vec<u8>>,
}

impl MemoryStore {
    /// Makes an empty store.
    pub fn new(origin: Origin) -> Self {
        Self { origin, shared: Arc::default() }
    }

    // No holder of the lock leaves a half-made change behind, so a poisoned lock guards whole contents.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn world(&self, world: WorldId) -> Result<&World, Error> {
        self.worlds.get(&world).ok_or(Error::WorldUnknown { world })
    }

    fn world_mut(&mut self, world: WorldId) -> Result<&mut World, Error> {
        self.worlds.get_mut(&world).ok_or(Error::WorldUnknown { world })
    }

    fn keep_blobs(&mut self, blobs: &[(Digest, Vec<u8>)]) {
        for (hash, bytes) in blobs {
            self.blobs.entry(*hash).or_insert_with(|| bytes.clone());
        }
    }
}

impl World {
    fn keep(&mut self, commit: &Commit<'_>) {
        let block = commit.block;
        self.blocks.insert(block.index, block.clone());
        if let Some(record) = commit.snapshot {
            self.snapshots.insert(block.index, record.to_vec());
        }
        self.head = block.head();
    }

    fn check_fence(&self, world: WorldId, fence: Fence) -> Result<(), Error> {
        if fence == self.fence {
            return Ok(());
        }
        Err(Error::Fenced { world, held: fence.number(), newest: self.fence.number() })
    }
}

impl Read for MemoryStore {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn worlds(&self) -> Result<Vec<(WorldId, Head)>, Error> {
        Ok(self.lock().worlds.iter().map(|(id, world)| (*id, world.head)).collect())
    }

    fn head(&self, world: WorldId) -> Result<Head, Error> {
        Ok(self.lock().world(world)?.head)
    }

    fn fence(&self, world: WorldId) -> Result<Fence, Error> {
        Ok(self.lock().world(world)?.fence)
    }

    fn block(&self, world: WorldId, index: BlockIndex) -> Result<Option<StoredBlock>, Error> {
        Ok(self.lock().world(world)?.blocks.get(&index).cloned())
    }

    fn blocks(&self, world: WorldId, from: BlockIndex, count: usize) -> Result<Vec<StoredBlock>, Error> {
        let shared = self.lock();
        let mut blocks = Vec::new();
        let mut bytes = 0_usize;
        for block in shared.world(world)?.blocks.range(from..).map(|(_, block)| block).take(count) {
            bytes = bytes.saturating_add(block.header.len()).saturating_add(block.body.len());
            if bytes > BATCH_BYTES && !blocks.is_empty() {
                break;
            }
            blocks.push(block.clone());
        }
        Ok(blocks)
    }

    fn snapshots(&self, world: WorldId) -> Result<Vec<BlockIndex>, Error> {
        Ok(self.lock().world(world)?.snapshots.keys().rev().copied().collect())
    }

    fn snapshot(&self, world: WorldId, index: BlockIndex) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.lock().world(world)?.snapshots.get(&index).cloned())
    }

    fn blob(&self, hash: &Digest) -> Result<Vec<u8>, Error> {
        self.lock().blobs.get(hash).cloned().ok_or(Error::BlobMissing { hash: *hash })
    }

    fn beyond(&self, world: WorldId) -> Result<Vec<BlockIndex>, Error> {
        self.lock().world(world)?;
        Ok(Vec::new())
    }
}

impl Store for MemoryStore {
    fn create(&mut self, world: WorldId, genesis: &Commit<'_>) -> Result<Fence, Error> {
        genesis.check(None)?;
        let mut shared = self.lock();
        if shared.worlds.contains_key(&world) {
            return Err(Error::WorldExists { world });
        }
        let fence = Fence(1);
        let mut entry =
            World { fence, head: genesis.block.head(), blocks: BTreeMap::new(), snapshots: BTreeMap::new() };
        entry.keep(genesis);
        shared.keep_blobs(genesis.blobs);
        shared.worlds.insert(world, entry);
        Ok(fence)
    }

    fn acquire(&mut self, world: WorldId) -> Result<Fence, Error> {
        let mut shared = self.lock();
        let entry = shared.world_mut(world)?;
        entry.fence = Fence(entry.fence.number() + 1);
        Ok(entry.fence)
    }

    fn append(&mut self, world: WorldId, fence: Fence, after: &Head, commit: &Commit<'_>) -> Result<Head, Error> {
        commit.check(Some(after))?;
        let mut shared = self.lock();
        let entry = shared.world_mut(world)?;
        entry.check_fence(world, fence)?;
        if entry.head != *after {
            return Err(Error::NotAtHead { world, after: after.block, head: entry.head.block });
        }
        entry.keep(commit);
        shared.keep_blobs(commit.blobs);
        Ok(commit.block.head())
    }

    fn put_blobs(&mut self, blobs: &[(Digest, Vec<u8>)]) -> Result<(), Error> {
        check_blobs(blobs)?;
        self.lock().keep_blobs(blobs);
        Ok(())
    }

    fn cut(&mut self, world: WorldId, fence: Fence) -> Result<Vec<BlockIndex>, Error> {
        self.lock().world(world)?.check_fence(world, fence)?;
        Ok(Vec::new())
    }

    fn reader(&self) -> Result<Box<dyn Read>, Error> {
        Ok(Box::new(self.clone()))
    }
}
