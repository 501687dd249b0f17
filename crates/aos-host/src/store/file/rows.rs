//! The rows of worlds, blocks, snapshots and blobs: written with a checksum, read against it.
//!
//! A checksum covers a row's meaning (the world's id, not its number in the file), so a row that moved is noticed as
//! well as one that changed. It guards against accidents; forgery is what block hashes and anchors are for.
//! Read next: `tables.rs` for the columns.

use aos_air::hash::Digest;
use aos_kernel::id::{BlockHash, BlockIndex, Height, WorldId};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::super::{Commit, Error, Fence, Head, StoredBlock};
use super::{file_error, tables};

/// Returns the checksum of a row: the first 16 bytes of BLAKE3 over the table's name and the digest of every field.
pub fn checksum(table: &str, fields: &[&[u8]]) -> [u8; 16] {
    let mut bytes = Vec::with_capacity(table.len() + fields.len() * 32);
    bytes.extend_from_slice(table.as_bytes());
    for field in fields {
        bytes.extend_from_slice(Digest::of(field).as_bytes());
    }
    let digest = Digest::of(&bytes);
    let (first, _) = digest.as_bytes().split_at(16);
    let mut checksum = [0; 16];
    checksum.copy_from_slice(first);
    checksum
}

/// A number as the file keeps it. `Commit::check` refuses what would not fit.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    row.get(column).map(Digest::from_bytes)
}

/// Names what is damaged when a value of a row cannot be read as what it was written as.
fn row_error(error: rusqlite::Error, damaged: Error) -> Error {
    if error.sqlite_error_code().is_none() { damaged } else { file_error(error) }
}

/// A world's row: its number in this file, its newest fence and its durable head.
pub struct WorldRow {
    pub number: i64,
    pub world: WorldId,
    pub fence: Fence,
    pub head: Head,
}

impl WorldRow {
    /// Reads and checks a world's row.
    pub fn load(connection: &Connection, world: WorldId) -> Result<Self, Error> {
        let sql = "SELECT number, id, fence, head_block, head_height, head_hash, checksum FROM worlds WHERE id = ?1";
        let mut statement = connection.prepare_cached(sql).map_err(file_error)?;
        let found = statement.query_row([world.0.as_bytes()], Self::read).optional();
        match found.map_err(|error| row_error(error, Error::HeadDamaged { world }))? {
            Some((row, true)) => Ok(row),
            Some((_, false)) => Err(Error::HeadDamaged { world }),
            None => Err(Error::WorldUnknown { world }),
        }
    }

    /// Reads a row and tells whether its checksum holds.
    fn read(row: &Row<'_>) -> rusqlite::Result<(Self, bool)> {
        let head = Head {
            block: BlockIndex(unsigned(row, 3)?),
            height: Height(unsigned(row, 4)?),
            hash: BlockHash(digest(row, 5)?),
        };
        let found =
            Self { number: row.get(0)?, world: WorldId(digest(row, 1)?), fence: Fence(unsigned(row, 2)?), head };
        let checksum: [u8; 16] = row.get(6)?;
        let holds = checksum == found.checksum();
        Ok((found, holds))
    }

    /// Adds a world with its first fence; refuses one that is there.
    pub fn insert(transaction: &Transaction<'_>, world: WorldId, head: Head) -> Result<Self, Error> {
        match Self::load(transaction, world) {
            Err(Error::WorldUnknown { .. }) => {}
            Ok(_) => return Err(Error::WorldExists { world }),
            Err(error) => return Err(error),
        }
        let next = "SELECT coalesce(max(number), 0) + 1 FROM worlds";
        let number = transaction.query_row(next, [], |row| row.get(0)).map_err(file_error)?;
        let row = Self { number, world, fence: Fence(1), head };
        row.put(transaction, "INSERT INTO worlds VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        Ok(row)
    }

    /// Writes fence and head back.
    pub fn save(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let sql = "UPDATE worlds SET fence = ?3, head_block = ?4, head_height = ?5, head_hash = ?6, checksum = ?7 \
                   WHERE number = ?1 AND id = ?2";
        self.put(transaction, sql)
    }

    fn put(&self, transaction: &Transaction<'_>, sql: &str) -> Result<(), Error> {
        let fields = params![
            self.number,
            self.world.0.as_bytes(),
            signed(self.fence.number()),
            signed(self.head.block.0),
            signed(self.head.height.0),
            self.head.hash.0.as_bytes(),
            self.checksum()
        ];
        match transaction.prepare_cached(sql).and_then(|mut statement| statement.execute(fields)) {
            Ok(1) => Ok(()),
            Ok(_) => Err(Error::HeadDamaged { world: self.world }),
            Err(error) => Err(file_error(error)),
        }
    }

    /// Refuses a fence that is not the newest.
    pub fn check_fence(&self, fence: Fence) -> Result<(), Error> {
        if fence == self.fence {
            return Ok(());
        }
        Err(Error::Fenced { world: self.world, held: fence.number(), newest: self.fence.number() })
    }

    fn checksum(&self) -> [u8; 16] {
        let numbers = [self.fence.number(), self.head.block.0, self.head.height.0].map(u64::to_le_bytes);
        let [fence, block, height] = &numbers;
        let fields: [&[u8]; 6] =
            [&self.number.to_le_bytes(), self.world.0.as_bytes(), fence, block, height, self.head.hash.0.as_bytes()];
        checksum("worlds", &fields)
    }
}

/// Lists all worlds by id, and notices when one has vanished.
pub fn worlds(connection: &Connection) -> Result<Vec<(WorldId, Head)>, Error> {
    let damaged = || Error::FileDamaged { what: "a row of the list of worlds is damaged".to_owned() };
    // One statement, so that the count and the list are of the same moment.
    let sql = "SELECT number, id, fence, head_block, head_height, head_hash, w.checksum, \
               (SELECT worlds FROM store WHERE one = 1) FROM worlds AS w ORDER BY id";
    let mut statement = connection.prepare_cached(sql).map_err(file_error)?;
    let rows = statement.query_map([], |row| Ok((WorldRow::read(row)?, row.get::<_, i64>(7)?))).map_err(file_error)?;
    let mut worlds = Vec::new();
    let mut expected = None;
    for row in rows {
        let ((row, holds), count) = row.map_err(|error| row_error(error, damaged()))?;
        if !holds {
            return Err(Error::HeadDamaged { world: row.world });
        }
        worlds.push((row.world, row.head));
        expected = Some(count);
    }
    let expected = match expected {
        Some(count) => count,
        None => tables::origin(connection)?.1,
    };
    if i64::try_from(worlds.len()) == Ok(expected) { Ok(worlds) } else { Err(damaged()) }
}

fn block_checksum(world: WorldId, block: &StoredBlock) -> [u8; 16] {
    let fields: [&[u8]; 6] = [
        world.0.as_bytes(),
        &block.index.0.to_le_bytes(),
        &block.last_height.0.to_le_bytes(),
        block.hash.0.as_bytes(),
        &block.header,
        &block.body,
    ];
    checksum("blocks", &fields)
}

/// Reads block, last_height, hash, checksum, header and body, and tells whether the checksum holds.
fn read_block(world: WorldId, row: &Row<'_>) -> rusqlite::Result<(StoredBlock, bool)> {
    let block = StoredBlock {
        index: BlockIndex(unsigned(row, 0)?),
        hash: BlockHash(digest(row, 2)?),
        last_height: Height(unsigned(row, 1)?),
        header: row.get(4)?,
        body: row.get(5)?,
    };
    let checksum: [u8; 16] = row.get(3)?;
    let holds = checksum == block_checksum(world, &block);
    Ok((block, holds))
}

/// Returns the block at `index` if there is a row for it, checked.
pub fn block(connection: &Connection, row: &WorldRow, index: BlockIndex) -> Result<Option<StoredBlock>, Error> {
    match load_block(connection, row, index)? {
        Loaded::Absent => Ok(None),
        Loaded::Whole(block) => Ok(Some(block)),
        Loaded::Damaged => Err(damaged(connection, row, index)),
    }
}

enum Loaded {
    Absent,
    Whole(StoredBlock),
    Damaged,
}

fn load_block(connection: &Connection, row: &WorldRow, index: BlockIndex) -> Result<Loaded, Error> {
    let sql = "SELECT block, last_height, hash, checksum, header, body FROM blocks WHERE world = ?1 AND block = ?2";
    let mut statement = connection.prepare_cached(sql).map_err(file_error)?;
    let key = params![row.number, signed(index.0)];
    match statement.query_row(key, |found| read_block(row.world, found)).optional() {
        Ok(None) => Ok(Loaded::Absent),
        Ok(Some((block, true))) if block.index == index => Ok(Loaded::Whole(block)),
        Ok(Some(_)) => Ok(Loaded::Damaged),
        Err(error) if error.sqlite_error_code().is_none() => Ok(Loaded::Damaged),
        Err(error) => Err(file_error(error)),
    }
}

/// Says that a block is gone, with the height that it should start at.
pub fn missing(connection: &Connection, row: &WorldRow, index: BlockIndex) -> Error {
    Error::BlockMissing { world: row.world, index, height: first_height(connection, row, index) }
}

fn damaged(connection: &Connection, row: &WorldRow, index: BlockIndex) -> Error {
    Error::BlockDamaged { world: row.world, index, height: first_height(connection, row, index) }
}

/// Returns the height of a block's first frame as the block before it tells; an unreadable one tells nothing.
fn first_height(connection: &Connection, row: &WorldRow, index: BlockIndex) -> Option<Height> {
    let before = BlockIndex(index.0.checked_sub(1)?);
    match load_block(connection, row, before) {
        Ok(Loaded::Whole(block)) => Some(block.last_height.next()),
        Ok(Loaded::Absent | Loaded::Damaged) | Err(_) => None,
    }
}

/// Reads up to `count` blocks in order from `from` to the head, until they have `bytes` bytes.
pub fn blocks(
    connection: &Connection,
    row: &WorldRow,
    from: BlockIndex,
    count: usize,
    bytes: usize,
) -> Result<Vec<StoredBlock>, Error> {
    let sql = "SELECT block, last_height, hash, checksum, header, body FROM blocks \
               WHERE world = ?1 AND block BETWEEN ?2 AND ?3 ORDER BY block LIMIT ?4";
    let mut statement = connection.prepare_cached(sql).map_err(file_error)?;
    let limit = i64::try_from(count).unwrap_or(i64::MAX);
    let key = params![row.number, signed(from.0), signed(row.head.block.0), limit];
    let found = statement.query_map(key, |found| read_block(row.world, found)).map_err(file_error)?;
    let (mut blocks, mut next, mut left) = (Vec::new(), from, bytes);
    for result in found {
        let (block, holds) = result.map_err(|error| row_error(error, damaged(connection, row, next)))?;
        if block.index != next && holds {
            return Err(missing(connection, row, next));
        }
        if !holds {
            return Err(damaged(connection, row, next));
        }
        let size = block.header.len().saturating_add(block.body.len());
        if size > left && !blocks.is_empty() {
            return Ok(blocks);
        }
        left = left.saturating_sub(size);
        next = next.next();
        blocks.push(block);
    }
    if blocks.len() < count && next <= row.head.block {
        return Err(missing(connection, row, next));
    }
    Ok(blocks)
}

/// Writes a commit's block, snapshot and blobs. The caller moves the head.
pub fn keep(transaction: &Transaction<'_>, row: &WorldRow, commit: &Commit<'_>) -> Result<(), Error> {
    let block = commit.block;
    let write = || -> rusqlite::Result<()> {
        let mut statement = transaction.prepare_cached("INSERT INTO blocks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        statement.execute(params![
            row.number,
            signed(block.index.0),
            signed(block.last_height.0),
            block.hash.0.as_bytes(),
            block_checksum(row.world, block),
            block.header,
            block.body
        ])?;
        if let Some(record) = commit.snapshot {
            let checksum = snapshot_checksum(row.world, block.index, record);
            let mut statement = transaction.prepare_cached("INSERT INTO snapshots VALUES (?1, ?2, ?3, ?4)")?;
            statement.execute(params![row.number, signed(block.index.0), checksum, record])?;
        }
        Ok(())
    };
    write().map_err(file_error)?;
    keep_blobs(transaction, commit.blobs)
}

/// Writes the blobs that are not there yet.
pub fn keep_blobs(transaction: &Transaction<'_>, blobs: &[(Digest, Vec<u8>)]) -> Result<(), Error> {
    let write = || -> rusqlite::Result<()> {
        let mut statement = transaction.prepare_cached("INSERT INTO blobs VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
        for (hash, bytes) in blobs {
            statement.execute(params![hash.as_bytes(), bytes])?;
        }
        Ok(())
    };
    write().map_err(file_error)
}

/// Reads a blob and checks its bytes against its name.
pub fn blob(connection: &Connection, hash: &Digest) -> Result<Vec<u8>, Error> {
    let mut statement = connection.prepare_cached("SELECT bytes FROM blobs WHERE hash = ?1").map_err(file_error)?;
    let bytes: Option<Vec<u8>> = statement
        .query_row([hash.as_bytes()], |row| row.get(0))
        .optional()
        .map_err(|error| row_error(error, Error::BlobDamaged { hash: *hash }))?;
    match bytes {
        Some(bytes) if Digest::of(&bytes) == *hash => Ok(bytes),
        Some(_) => Err(Error::BlobDamaged { hash: *hash }),
        None => Err(Error::BlobMissing { hash: *hash }),
    }
}

fn snapshot_checksum(world: WorldId, index: BlockIndex, record: &[u8]) -> [u8; 16] {
    checksum("snapshots", &[world.0.as_bytes(), &index.0.to_le_bytes(), record])
}

/// Lists the blocks at or below the head that have a snapshot, newest first.
pub fn snapshots(connection: &Connection, row: &WorldRow) -> Result<Vec<BlockIndex>, Error> {
    let sql = "SELECT block FROM snapshots WHERE world = ?1 AND block <= ?2 ORDER BY block DESC";
    let mut statement = connection.prepare_cached(sql).map_err(file_error)?;
    let key = params![row.number, signed(row.head.block.0)];
    let found = statement.query_map(key, |found| unsigned(found, 0).map(BlockIndex)).map_err(file_error)?;
    found.collect::<rusqlite::Result<_>>().map_err(file_error)
}

/// Reads and checks the snapshot at `index`.
pub fn snapshot(connection: &Connection, row: &WorldRow, index: BlockIndex) -> Result<Option<Vec<u8>>, Error> {
    if index > row.head.block {
        return Ok(None);
    }
    let damaged = || Error::SnapshotDamaged { world: row.world, index };
    let sql = "SELECT record, checksum FROM snapshots WHERE world = ?1 AND block = ?2";
    let mut statement = connection.prepare_cached(sql).map_err(file_error)?;
    let found: Option<(Vec<u8>, [u8; 16])> = statement
        .query_row(params![row.number, signed(index.0)], |found| Ok((found.get(0)?, found.get(1)?)))
        .optional()
        .map_err(|error| row_error(error, damaged()))?;
    match found {
        Some((record, checksum)) if checksum == snapshot_checksum(row.world, index, &record) => Ok(Some(record)),
        Some(_) => Err(damaged()),
        None => Ok(None),
    }
}
