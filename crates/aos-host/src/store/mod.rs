//! Where worlds are kept: their blocks, snapshots, blobs and durable heads.
//!
//! A store knows bytes, not meaning: it never decodes a header, a frame or a snapshot, and it never computes a block's
//! hash. It holds the contract that makes a log safe: append only at the durable head, only under the newest fence,
//! all of a commit or none of it, durable when the call returns. Backends: [`MemoryStore`] and [`FileStore`].
//! Read next: [`Read`] and [`Store`] for the contract, `file/` for the one file per node.

mod blocks;
mod error;
mod file;
mod memory;

use core::fmt;

use aos_air::hash::Digest;
use aos_kernel::id::{BlockHash, BlockIndex, Height, WorldId};

pub use blocks::Blocks;
pub use error::Error;
pub use file::{FILE_NAME, FORMAT, FileStore};
pub use memory::MemoryStore;

/// The most bytes that one blob, snapshot, block header or block body may have: 64 MiB.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// Where [`Read::blocks`] stops filling one batch, in bytes of headers and bodies: 8 MiB, after at least one block.
pub const BATCH_BYTES: usize = 8 << 20;

/// Names a store: 32 random bytes drawn when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub [u8; 32]);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Digest::from_bytes(self.0).to_hex())
    }
}

/// What a store says about its own making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The store's id.
    pub id: StoreId,
    /// The program and version that made it, for people who look into the file.
    pub created_by: String,
}

/// The last durable block of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The block's index.
    pub block: BlockIndex,
    /// The height of the block's last frame; 0 at the genesis.
    pub height: Height,
    /// The block's hash.
    pub hash: BlockHash,
}

/// A block as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlock {
    /// Its number in the world; the genesis is 0.
    pub index: BlockIndex,
    /// Its hash as the kernel gave it. Whoever replays checks it against the header.
    pub hash: BlockHash,
    /// The height of its last frame; 0 for the genesis. A block without frames, which holds a snapshot, has that of the block before.
    pub last_height: Height,
    /// The header's bytes.
    pub header: Vec<u8>,
    /// The body's bytes: frames back to back.
    pub body: Vec<u8>,
}

impl StoredBlock {
    /// Returns the head that a world has once this block is durable.
    pub const fn head(&self) -> Head {
        Head { block: self.index, height: self.last_height, hash: self.hash }
    }
}

/// The right to append to a world, as a number that only grows. Taking a newer one ends all older ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(u64);

impl Fence {
    /// Returns the fence's number; the first of a world is 1.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What one commit makes durable, all of it or none.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// The block.
    pub block: &'a StoredBlock,
    /// New blobs, each under the hash of its bytes. One that the store already holds is left as it is.
    pub blobs: &'a [(Digest, Vec<u8>)],
    /// The snapshot record that belongs to the block, if one was taken at it.
    pub snapshot: Option<&'a [u8]>,
}

/// The reading half of a store. Every answer is durable and was checked against what was written.
///
/// No method returns anything beyond the durable head, except [`Read::beyond`].
pub trait Read: Send {
    /// Returns what the store says about its own making.
    fn origin(&self) -> &Origin;

    /// Lists all worlds with their durable heads, ordered by id.
    fn worlds(&self) -> Result<Vec<(WorldId, Head)>, Error>;

    /// Returns a world's durable head, after checking that the block it names is there.
    fn head(&self, world: WorldId) -> Result<Head, Error>;

    /// Returns a world's newest fence. Whoever holds an older one may neither append nor dispatch.
    fn fence(&self, world: WorldId) -> Result<Fence, Error>;

    /// Returns the block at `index`, or `None` beyond the head.
    ///
    /// Fails with [`Error::BlockMissing`] or [`Error::BlockDamaged`] at or below it.
    fn block(&self, world: WorldId, index: BlockIndex) -> Result<Option<StoredBlock>, Error>;

    /// Returns up to `count` blocks from `from` on, in order and without a gap, at most about [`BATCH_BYTES`].
    ///
    /// Empty only when `from` lies beyond the head or `count` is 0. [`Blocks`] goes through a whole world this way.
    fn blocks(&self, world: WorldId, from: BlockIndex, count: usize) -> Result<Vec<StoredBlock>, Error>;

    /// Returns the block that holds the frame at `height` (the genesis at 0), or `None` beyond the head.
    fn block_at(&self, world: WorldId, height: Height) -> Result<Option<StoredBlock>, Error> {
        let head = self.head(world)?;
        if height > head.height {
            return Ok(None);
        }
        // INVARIANT: the block asked for is in `low..=high`; heights never fall from block to block.
        let (mut low, mut high) = (0, head.block.0);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.block(world, BlockIndex(middle))? {
                Some(block) if block.last_height < height => low = middle + 1,
                Some(_) => high = middle,
                None => return Ok(None),
            }
        }
        self.block(world, BlockIndex(low))
    }

    /// Lists the blocks that a snapshot belongs to, newest first.
    fn snapshots(&self, world: WorldId) -> Result<Vec<BlockIndex>, Error>;

    /// Returns the snapshot record that belongs to the block at `index`, or `None` if there is none.
    fn snapshot(&self, world: WorldId, index: BlockIndex) -> Result<Option<Vec<u8>>, Error>;

    /// Returns the blob named `hash`, after checking that its bytes have that hash.
    ///
    /// Fails with [`Error::BlobMissing`] or [`Error::BlobDamaged`].
    fn blob(&self, hash: &Digest) -> Result<Vec<u8>, Error>;

    /// Lists the blocks that lie beyond the durable head: what [`Store::cut`] would drop.
    fn beyond(&self, world: WorldId) -> Result<Vec<BlockIndex>, Error>;
}

/// A store that one handle writes to; any number of others read beside it.
///
/// A write that fails for a reason other than a refusal (`store.io`, `store.full`, any damage) closes the handle for
/// writing: every later write is refused with [`Error::Closed`]. Nothing is tried twice.
pub trait Store: Read {
    /// Makes a world from its genesis (index 0, height 0) and takes its first fence.
    fn create(&mut self, world: WorldId, genesis: &Commit<'_>) -> Result<Fence, Error>;

    /// Takes a fence above all earlier ones. Their holders can no longer append, in whatever process they are.
    fn acquire(&mut self, world: WorldId) -> Result<Fence, Error>;

    /// Appends a block with its blobs and snapshot after the block `after`; durable when it returns the new head.
    ///
    /// Refused with [`Error::Fenced`] under an old fence, with [`Error::NotAtHead`] if the durable head is not `after`,
    /// with [`Error::OutOfOrder`], [`Error::BlobMismatch`] or [`Error::TooLarge`] for a commit that breaks the rules.
    fn append(&mut self, world: WorldId, fence: Fence, after: &Head, commit: &Commit<'_>) -> Result<Head, Error>;

    /// Stores blobs ahead of any block, all or none; durable when it returns.
    fn put_blobs(&mut self, blobs: &[(Digest, Vec<u8>)]) -> Result<(), Error>;

    /// Drops everything beyond the durable head, by whole blocks, and lists what was dropped.
    fn cut(&mut self, world: WorldId, fence: Fence) -> Result<Vec<BlockIndex>, Error>;

    /// Opens a second handle on the same store, for reading, which may go to another thread.
    fn reader(&self) -> Result<Box<dyn Read>, Error>;
}

impl Commit<'_> {
    /// Checks what every backend demands of a commit: place after `after` (`None` for a genesis), sizes, blob hashes.
    fn check(&self, after: Option<&Head>) -> Result<(), Error> {
        let block = self.block;
        let fits = match after {
            None => block.index.0 == 0 && block.last_height.0 == 0,
            Some(head) => Some(block.index.0) == head.block.0.checked_add(1) && block.last_height >= head.height,
        };
        // The file keeps both as signed numbers.
        if !fits || i64::try_from(block.index.0).is_err() || i64::try_from(block.last_height.0).is_err() {
            return Err(Error::OutOfOrder { index: block.index, last_height: block.last_height });
        }
        for bytes in [&block.header[..], &block.body, self.snapshot.unwrap_or_default()] {
            check_size(bytes)?;
        }
        check_blobs(self.blobs)
    }
}

fn check_blobs(blobs: &[(Digest, Vec<u8>)]) -> Result<(), Error> {
    for (hash, bytes) in blobs {
        check_size(bytes)?;
        if Digest::of(bytes) != *hash {
            return Err(Error::BlobMismatch { hash: *hash });
        }
    }
    Ok(())
}

fn check_size(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > RECORD_BYTES_MAX { Err(Error::TooLarge { bytes: bytes.len() }) } else { Ok(()) }
}
