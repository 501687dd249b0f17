//! A store whose commits a test sees, on both sides.

use aos_air::hash::Digest;
use aos_host::store::{Commit, Error, Fence, Head, Origin, Read, Store, StoredBlock};
use aos_kernel::id::{BlockIndex, WorldId};

/// On which side of the n-th commit, from 1, a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Before(usize),
    After(usize),
}

type Watch = dyn FnMut(Moment, &Commit<'_>) + Send;

/// A store with somebody beside it who is told of every commit. Everything else is the store's own.
pub struct Watched {
    store: Box<dyn Store>,
    commits: usize,
    watch: Box<Watch>,
}

impl Watched {
    pub fn store(store: Box<dyn Store>, watch: impl FnMut(Moment, &Commit<'_>) + Send + 'static) -> Box<dyn Store> {
        Box::new(Self { store, commits: 0, watch: Box::new(watch) })
    }
}

impl Read for Watched {
    fn origin(&self) -> &Origin {
        self.store.origin()
    }
    fn worlds(&self) -> Result<Vec<(WorldId, Head)>, Error> {
        self.store.worlds()
    }
    fn head(&self, world: WorldId) -> Result<Head, Error> {
        self.store.head(world)
    }
    fn fence(&self, world: WorldId) -> Result<Fence, Error> {
        self.store.fence(world)
    }
    fn block(&self, world: WorldId, index: BlockIndex) -> Result<Option<StoredBlock>, Error> {
        self.store.block(world, index)
    }
    fn blocks(&self, world: WorldId, from: BlockIndex, count: usize) -> Result<Vec<StoredBlock>, Error> {
        self.store.blocks(world, from, count)
    }
    fn snapshots(&self, world: WorldId) -> Result<Vec<BlockIndex>, Error> {
        self.store.snapshots(world)
    }
    fn snapshot(&self, world: WorldId, index: BlockIndex) -> Result<Option<Vec<u8>>, Error> {
        self.store.snapshot(world, index)
    }
    fn blob(&self, hash: &Digest) -> Result<Vec<u8>, Error> {
        self.store.blob(hash)
    }
    fn beyond(&self, world: WorldId) -> Result<Vec<BlockIndex>, Error> {
        self.store.beyond(world)
    }
}

impl Store for Watched {
    fn create(&mut self, world: WorldId, genesis: &Commit<'_>) -> Result<Fence, Error> {
        self.store.create(world, genesis)
    }
    fn acquire(&mut self, world: WorldId) -> Result<Fence, Error> {
        self.store.acquire(world)
    }
    fn append(&mut self, world: WorldId, fence: Fence, after: &Head, commit: &Commit<'_>) -> Result<Head, Error> {
        self.commits += 1;
        (self.watch)(Moment::Before(self.commits), commit);
        let head = self.store.append(world, fence, after, commit)?;
        (self.watch)(Moment::After(self.commits), commit);
        Ok(head)
    }
    fn put_blobs(&mut self, blobs: &[(Digest, Vec<u8>)]) -> Result<(), Error> {
        self.store.put_blobs(blobs)
    }
    fn cut(&mut self, world: WorldId, fence: Fence) -> Result<Vec<BlockIndex>, Error> {
        self.store.cut(world, fence)
    }
    fn reader(&self) -> Result<Box<dyn Read>, Error> {
        self.store.reader()
    }
}
