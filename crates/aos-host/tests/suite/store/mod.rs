//! The store's contract, held against both backends, and what one file does under crashes and damage.
//!
//! Here: what all of these tests are made of. A block's bytes follow from its world and index, so that a reader of the
//! file alone can tell whether it got back what was written.
//! Read next: `conformance.rs`.

mod conformance;
mod crash;
mod damage;
mod file;
mod twin;

use std::path::{Path, PathBuf};

use aos_air::hash::Digest;
use aos_host::store::{
    Blocks, Commit, Error, FILE_NAME, Fence, FileStore, Head, MemoryStore, Origin, Read, Store, StoreId, StoredBlock,
};
use aos_kernel::id::{BlockHash, BlockIndex, Height, WorldId};
use tempfile::TempDir;

fn origin() -> Origin {
    Origin { id: StoreId([9; 32]), created_by: "the store's tests".to_owned() }
}

/// A place that a store can be opened at any number of times.
trait Place {
    fn open(&self) -> Box<dyn Store>;
}

struct InMemory(MemoryStore);

impl InMemory {
    fn new() -> Self {
        Self(MemoryStore::new(origin()))
    }
}

impl Place for InMemory {
    fn open(&self) -> Box<dyn Store> {
        Box::new(self.0.clone())
    }
}

struct InFile(TempDir);

impl InFile {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join(FILE_NAME)
    }
}

impl Place for InFile {
    fn open(&self) -> Box<dyn Store> {
        Box::new(open_file(&self.path()))
    }
}

fn open_file(path: &Path) -> FileStore {
    FileStore::open(path, &origin()).unwrap()
}

fn world(name: &str) -> WorldId {
    WorldId(Digest::of(name.as_bytes()))
}

/// `count` bytes that follow from `seed`.
fn bytes(seed: &str, count: usize) -> Vec<u8> {
    (0_u64..).flat_map(|part| *Digest::of(format!("{seed}/{part}").as_bytes()).as_bytes()).take(count).collect()
}

/// The block at `index` of a world whose every block holds `frames` frames; its body has `size` bytes.
fn block(world: WorldId, index: u64, frames: u64, size: usize) -> StoredBlock {
    let seed = format!("{world}/{index}");
    StoredBlock {
        index: BlockIndex(index),
        hash: BlockHash(Digest::of(seed.as_bytes())),
        last_height: Height(index * frames),
        header: bytes(&format!("{seed}/header"), 120),
        body: if index == 0 { Vec::new() } else { bytes(&format!("{seed}/body"), size) },
    }
}

fn commit(block: &StoredBlock) -> Commit<'_> {
    Commit { block, blobs: &[], snapshot: None }
}

fn named(bytes: Vec<u8>) -> (Digest, Vec<u8>) {
    (Digest::of(&bytes), bytes)
}

/// A world that was just made, with what it takes to go on.
struct Writer {
    world: WorldId,
    fence: Fence,
    head: Head,
}

impl Writer {
    fn create(store: &mut dyn Store, name: &str) -> Self {
        let world = world(name);
        let genesis = block(world, 0, 1, 0);
        let fence = store.create(world, &commit(&genesis)).unwrap();
        Self { world, fence, head: genesis.head() }
    }

    /// Appends `count` blocks of one frame and 100 bytes each.
    fn append(&mut self, store: &mut dyn Store, count: u64) {
        for _ in 0..count {
            let next = block(self.world, self.head.block.0 + 1, 1, 100);
            self.head = store.append(self.world, self.fence, &self.head, &commit(&next)).unwrap();
        }
    }
}

/// Everything that a store says of one world.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    head: Head,
    fence: Fence,
    blocks: Vec<StoredBlock>,
    snapshots: Vec<(BlockIndex, Option<Vec<u8>>)>,
    beyond: Vec<BlockIndex>,
}

fn whole(store: &dyn Read, world: WorldId) -> Result<Whole, Error> {
    Ok(Whole {
        head: store.head(world)?,
        fence: store.fence(world)?,
        blocks: Blocks::new(store, world, BlockIndex(0))?.collect::<Result<_, _>>()?,
        snapshots: store
            .snapshots(world)?
            .into_iter()
            .map(|index| Ok((index, store.snapshot(world, index)?)))
            .collect::<Result<_, Error>>()?,
        beyond: store.beyond(world)?,
    })
}

fn code<T>(result: Result<T, Error>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}
