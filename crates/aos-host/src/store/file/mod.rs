//! A store in one SQLite file: a node's worlds, to copy, to back up and to look into with any SQLite tool.
//!
//! Every write is one transaction in the write-ahead file, synced before the call returns; fence and head are compared
//! inside that transaction, so two processes cannot both append. SQLite has no checksums in the main file: every row
//! carries its own, and every read checks it. The sync points are ours: SQLite writes nothing back by itself.
//! Read next: `tables.rs` for the format, `rows.rs` for one row, `wal.rs` for coming back after a crash.

mod recover;
mod rows;
mod tables;
mod wal;

use std::path::{Path, PathBuf};
use std::time::Duration;

use aos_air::hash::Digest;
use aos_kernel::id::{BlockIndex, WorldId};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, ffi};

use super::{BATCH_BYTES, Commit, Error, Fence, Head, Origin, Read, Store, StoredBlock, check_blobs};
use rows::WorldRow;

pub use tables::FORMAT;

/// The name of the store's file in a node's data folder.
pub const FILE_NAME: &str = "node.aos";

/// How long a write waits for another process's write before it is refused with `store.busy`.
const WAIT: Duration = Duration::from_secs(5);

/// Roughly how many bytes the write-ahead file takes before it is written back into the main file.
const WAL_BYTES: usize = 8 << 20;

/// What a commit costs there beside its payload: the pages of the world's row, the indexes and the frame headers.
const WAL_BYTES_PER_COMMIT: usize = 16 << 10;

/// A handle on a store in one file.
pub struct FileStore {
    connection: Connection,
    path: PathBuf,
    origin: Origin,
    /// The code of the failure that closed this handle for writing.
    closed: Option<&'static str>,
    /// An estimate of what was added to the write-ahead file since it was last written back.
    wal_bytes: usize,
}

impl FileStore {
    /// Opens the store at `path` for writing, or makes it with `origin` if there is no file or an unfinished one.
    ///
    /// Brings everything that a crash left in the write-ahead file into the main file and syncs it, so that nothing is
    /// read or answered that a power cut could still take back.
    pub fn open(path: &Path, origin: &Origin) -> Result<Self, Error> {
        wal::check(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(path, flags)?;
        tables::make(&connection, path, origin)?;
        sync_folder(path)?;
        let mut store = Self::with(connection, path)?;
        // Readers at work may keep it from being emptied; a later write-back does that.
        store.write_back("TRUNCATE").map_err(file_error)?;
        Ok(store)
    }

    /// Opens the store at `path` for reading, beside whatever other handles and processes do.
    pub fn open_read(path: &Path) -> Result<Box<dyn Read>, Error> {
        wal::check(path)?;
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        Ok(Box::new(Self::with(connection, path)?))
    }

    fn with(connection: Connection, path: &Path) -> Result<Self, Error> {
        let origin = tables::check(&connection, path)?;
        Ok(Self { connection, path: path.to_owned(), origin, closed: None, wal_bytes: 0 })
    }

    /// Runs `work` in one write transaction; its commit is synced. Closes the handle on anything but a refusal.
    fn write<T>(&mut self, bytes: usize, work: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
        if let Some(cause) = self.closed {
            return Err(Error::Closed { cause });
        }
        let done =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(file_error).and_then(
                |transaction| {
                    let value = work(&transaction)?;
                    transaction.commit().map_err(file_error)?;
                    Ok(value)
                },
            );
        match done {
            Ok(value) => {
                self.note_written(bytes);
                Ok(value)
            }
            Err(error) => {
                if !error.is_refusal() {
                    self.close(&error);
                }
                Err(error)
            }
        }
    }

    /// Counts a commit that is durable, and writes the write-ahead file back when it has grown enough.
    fn note_written(&mut self, bytes: usize) {
        self.wal_bytes = self.wal_bytes.saturating_add(bytes).saturating_add(WAL_BYTES_PER_COMMIT);
        if self.wal_bytes < WAL_BYTES {
            return;
        }
        self.wal_bytes = 0;
        // The commit stands whatever happens here; only what would come after it must not.
        if let Err(error) = self.write_back("PASSIVE") {
            self.close(&file_error(error));
        }
    }

    /// Closes this handle for writing.
    fn close(&mut self, cause: &Error) {
        self.closed = Some(cause.code());
        tracing::error!(path = %self.path.display(), code = cause.code(), error = %cause, "closed for writing");
        // Otherwise the handle's end would sync and write back once more.
        let option = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(error) = self.connection.set_db_config(option, true) {
            tracing::warn!(%error, "the file will be written back when the handle ends");
        }
    }

    /// Syncs the write-ahead file, copies it into the main file and syncs that, as far as readers allow.
    fn write_back(&mut self, mode: &str) -> rusqlite::Result<()> {
        self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(path, flags).map_err(file_error)?;
    tables::configure(&connection).map_err(file_error)?;
    Ok(connection)
}

/// Makes the file's name durable, which syncing the file does not promise.
fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let sync = || std::fs::File::open(folder)?.sync_all();
    sync().map_err(|source| Error::Path { path: folder.to_owned(), source })
}

/// Sorts a failure of the file layer: somebody else's lock, damage, a full disk, anything else.
fn file_error(error: rusqlite::Error) -> Error {
    let what = error.to_string();
    match error.sqlite_error_code() {
        Some(ffi::ErrorCode::DatabaseBusy | ffi::ErrorCode::DatabaseLocked) => Error::Busy,
        // Sizes are checked before a write, and every statement is fixed and prepared against checked tables.
        Some(
            ffi::ErrorCode::DatabaseCorrupt
            | ffi::ErrorCode::NotADatabase
            | ffi::ErrorCode::TooBig
            | ffi::ErrorCode::ConstraintViolation
            | ffi::ErrorCode::Unknown,
        ) => Error::FileDamaged { what },
        Some(ffi::ErrorCode::DiskFull) => Error::Full(error),
        Some(_) => Error::Io(error),
        // No code of SQLite's: a value in a row has a type that it was not written with.
        None => Error::FileDamaged { what },
    }
}

impl Read for FileStore {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn worlds(&self) -> Result<Vec<(WorldId, Head)>, Error> {
        rows::worlds(&self.connection)
    }

    fn head(&self, world: WorldId) -> Result<Head, Error> {
        let row = WorldRow::load(&self.connection, world)?;
        match rows::block(&self.connection, &row, row.head.block)? {
            Some(block) if block.head() == row.head => Ok(row.head),
            Some(_) => Err(Error::HeadDamaged { world }),
            None => Err(rows::missing(&self.connection, &row, row.head.block)),
        }
    }

    fn fence(&self, world: WorldId) -> Result<Fence, Error> {
        Ok(WorldRow::load(&self.connection, world)?.fence)
    }

    fn block(&self, world: WorldId, index: BlockIndex) -> Result<Option<StoredBlock>, Error> {
        let row = WorldRow::load(&self.connection, world)?;
        if index > row.head.block {
            return Ok(None);
        }
        match rows::block(&self.connection, &row, index)? {
            Some(block) => Ok(Some(block)),
            None => Err(rows::missing(&self.connection, &row, index)),
        }
    }

    fn blocks(&self, world: WorldId, from: BlockIndex, count: usize) -> Result<Vec<StoredBlock>, Error> {
        let row = WorldRow::load(&self.connection, world)?;
        rows::blocks(&self.connection, &row, from, count, BATCH_BYTES)
    }

    fn snapshots(&self, world: WorldId) -> Result<Vec<BlockIndex>, Error> {
        rows::snapshots(&self.connection, &WorldRow::load(&self.connection, world)?)
    }

    fn snapshot(&self, world: WorldId, index: BlockIndex) -> Result<Option<Vec<u8>>, Error> {
        rows::snapshot(&self.connection, &WorldRow::load(&self.connection, world)?, index)
    }

    fn blob(&self, hash: &Digest) -> Result<Vec<u8>, Error> {
        rows::blob(&self.connection, hash)
    }

    fn beyond(&self, world: WorldId) -> Result<Vec<BlockIndex>, Error> {
        recover::beyond(&self.connection, &WorldRow::load(&self.connection, world)?)
    }
}

impl Store for FileStore {
    fn create(&mut self, world: WorldId, genesis: &Commit<'_>) -> Result<Fence, Error> {
        genesis.check(None)?;
        self.write(payload(genesis), |transaction| {
            let row = WorldRow::insert(transaction, world, genesis.block.head())?;
            rows::keep(transaction, &row, genesis)?;
            tables::count_world(transaction)?;
            Ok(row.fence)
        })
    }

    fn acquire(&mut self, world: WorldId) -> Result<Fence, Error> {
        self.write(0, |transaction| {
            let mut row = WorldRow::load(transaction, world)?;
            row.fence = Fence(row.fence.number().checked_add(1).ok_or(Error::HeadDamaged { world })?);
            row.save(transaction)?;
            Ok(row.fence)
        })
    }

    fn append(&mut self, world: WorldId, fence: Fence, after: &Head, commit: &Commit<'_>) -> Result<Head, Error> {
        commit.check(Some(after))?;
        self.write(payload(commit), |transaction| {
            let mut row = WorldRow::load(transaction, world)?;
            row.check_fence(fence)?;
            if row.head != *after {
                return Err(Error::NotAtHead { world, after: after.block, head: row.head.block });
            }
            rows::keep(transaction, &row, commit)?;
            row.head = commit.block.head();
            row.save(transaction)?;
            Ok(row.head)
        })
    }

    fn put_blobs(&mut self, blobs: &[(Digest, Vec<u8>)]) -> Result<(), Error> {
        check_blobs(blobs)?;
        let bytes = blobs.iter().map(|(_, bytes)| bytes.len()).sum();
        self.write(bytes, |transaction| rows::keep_blobs(transaction, blobs))
    }

    fn cut(&mut self, world: WorldId, fence: Fence) -> Result<Vec<BlockIndex>, Error> {
        self.write(0, |transaction| {
            let row = WorldRow::load(transaction, world)?;
            row.check_fence(fence)?;
            recover::cut(transaction, &row)
        })
    }

    fn reader(&self) -> Result<Box<dyn Read>, Error> {
        Self::open_read(&self.path)
    }
}

fn payload(commit: &Commit<'_>) -> usize {
    let blobs: usize = commit.blobs.iter().map(|(_, bytes)| bytes.len()).sum();
    commit.block.header.len() + commit.block.body.len() + commit.snapshot.map_or(0, <[u8]>::len) + blobs
}
