//! What goes wrong in a store, each with its stable code.
//!
//! Three groups: refusals (the call is wrong or too late), faults (bytes that were written are gone or changed) and the
//! machine (disk full, file not readable). Only refusals leave a handle open for writing.
//! Read next: `docs/errors/store.*.md`, one page per code.

use std::io;
use std::path::PathBuf;

use aos_air::hash::Digest;
use aos_kernel::id::{BlockIndex, Height, WorldId};

/// Why a store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The world exists already.
    #[error("world {world} is in this store already")]
    WorldExists {
        /// The world.
        world: WorldId,
    },
    /// The store has no such world.
    #[error("world {world} is not in this store")]
    WorldUnknown {
        /// The world.
        world: WorldId,
    },
    /// The durable head is another one than the append expects.
    #[error("world {world} ends at block {head}, and the append continues another history after block {after}")]
    NotAtHead {
        /// The world.
        world: WorldId,
        /// The block that the append wanted to follow.
        after: BlockIndex,
        /// The durable head. Equal to `after` if only the hashes differ.
        head: BlockIndex,
    },
    /// A newer fence was taken.
    #[error("world {world} was taken over: fence {held} is older than {newest}")]
    Fenced {
        /// The world.
        world: WorldId,
        /// The fence that the call brought.
        held: u64,
        /// The newest fence.
        newest: u64,
    },
    /// A block's index or height does not continue its world.
    #[error("block {index} with last height {last_height} does not continue its world")]
    OutOfOrder {
        /// The block's index.
        index: BlockIndex,
        /// The height of its last frame.
        last_height: Height,
    },
    /// A blob was handed in under a hash that is not its own.
    #[error("the bytes given for blob {hash} have another hash")]
    BlobMismatch {
        /// The hash that was given.
        hash: Digest,
    },
    /// A record is larger than a store keeps.
    #[error("a record of {bytes} bytes is larger than a store keeps")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
    /// An earlier write through this handle failed.
    #[error("the store is closed for writing since a write failed with {cause}")]
    Closed {
        /// The code of the failure that closed it.
        cause: &'static str,
    },
    /// Another process held the file's write lock for too long. Nothing was written.
    #[error("another process is writing to the store")]
    Busy,

    /// A block at or below the durable head is gone.
    #[error("block {index} of world {world} is missing{}", from(*height))]
    BlockMissing {
        /// The world.
        world: WorldId,
        /// The block.
        index: BlockIndex,
        /// The height of its first frame, if the block before it can be read.
        height: Option<Height>,
    },
    /// A block at or below the durable head is not what was written.
    #[error("block {index} of world {world} is damaged{}", from(*height))]
    BlockDamaged {
        /// The world.
        world: WorldId,
        /// The block.
        index: BlockIndex,
        /// The height of its first frame, if the block before it can be read.
        height: Option<Height>,
    },
    /// A snapshot record is not what was written. Older snapshots and replay from the genesis are not touched by it.
    #[error("the snapshot at block {index} of world {world} is damaged")]
    SnapshotDamaged {
        /// The world.
        world: WorldId,
        /// The block that it belongs to.
        index: BlockIndex,
    },
    /// A world's own entry (id, fence, head) is not what was written.
    #[error("the head of world {world} is damaged")]
    HeadDamaged {
        /// The world, as far as its id can be read.
        world: WorldId,
    },
    /// No blob has this hash.
    #[error("blob {hash} is missing")]
    BlobMissing {
        /// The blob.
        hash: Digest,
    },
    /// A blob's bytes no longer have its hash.
    #[error("blob {hash} is damaged")]
    BlobDamaged {
        /// The blob.
        hash: Digest,
    },
    /// The write-ahead file holds commits behind a spot that cannot be read.
    #[error("the write-ahead file {} is damaged at byte {offset}, and commits follow", path.display())]
    WalDamaged {
        /// The write-ahead file.
        path: PathBuf,
        /// Where the first unreadable frame starts.
        offset: u64,
    },
    /// The file's own structure is damaged.
    #[error("the store's file is damaged: {what}")]
    FileDamaged {
        /// What was found, in the words of the file layer.
        what: String,
    },

    /// The file is not a store.
    #[error("{} is not a store", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The store's format is not one that this program knows.
    #[error("the store has format {found}, and this program knows format {known}")]
    Format {
        /// The file's format version.
        found: i64,
        /// The version that this program reads and writes.
        known: i64,
    },
    /// The disk is full.
    #[error("the disk is full")]
    Full(#[source] rusqlite::Error),
    /// The file layer failed.
    #[error("the store's file cannot be used")]
    Io(#[source] rusqlite::Error),
    /// A file or folder beside the store failed.
    #[error("{} cannot be used", path.display())]
    Path {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn from(height: Option<Height>) -> String {
    height.map(|height| format!(" (frames from height {height} on)")).unwrap_or_default()
}

impl Error {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::WorldExists { .. } => "store.world_exists",
            Self::WorldUnknown { .. } => "store.world_unknown",
            Self::NotAtHead { .. } => "store.not_at_head",
            Self::Fenced { .. } => "store.fenced",
            Self::OutOfOrder { .. } => "store.out_of_order",
            Self::BlobMismatch { .. } => "store.blob_mismatch",
            Self::TooLarge { .. } => "store.too_large",
            Self::Closed { .. } => "store.closed",
            Self::Busy => "store.busy",
            Self::BlockMissing { .. } => "store.block_missing",
            Self::BlockDamaged { .. } => "store.block_damaged",
            Self::SnapshotDamaged { .. } => "store.snapshot_damaged",
            Self::HeadDamaged { .. } => "store.head_damaged",
            Self::BlobMissing { .. } => "store.blob_missing",
            Self::BlobDamaged { .. } => "store.blob_damaged",
            Self::WalDamaged { .. } => "store.wal_damaged",
            Self::FileDamaged { .. } => "store.file_damaged",
            Self::NotAStore { .. } => "store.not_a_store",
            Self::Format { .. } => "store.format",
            Self::Full(_) => "store.full",
            Self::Io(_) | Self::Path { .. } => "store.io",
        }
    }

    /// Tells whether bytes that were written are gone or changed.
    pub const fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::BlockMissing { .. }
                | Self::BlockDamaged { .. }
                | Self::SnapshotDamaged { .. }
                | Self::HeadDamaged { .. }
                | Self::BlobMissing { .. }
                | Self::BlobDamaged { .. }
                | Self::WalDamaged { .. }
                | Self::FileDamaged { .. }
                | Self::NotAStore { .. }
        )
    }

    /// Tells whether the call was refused before anything was written, so that the store stays open for writing.
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::WorldExists { .. }
                | Self::WorldUnknown { .. }
                | Self::NotAtHead { .. }
                | Self::Fenced { .. }
                | Self::OutOfOrder { .. }
                | Self::BlobMismatch { .. }
                | Self::TooLarge { .. }
                | Self::Closed { .. }
                | Self::Busy
        )
    }
}
