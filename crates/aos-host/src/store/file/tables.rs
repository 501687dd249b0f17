//! The file's format: its tables, its version, and what is set on every connection.
//!
//! Knows no row of a world. A file of another format is refused before anything in it is read or changed.
//! Read next: `spec/store.md`, which says the same for people with an SQLite tool; `rows.rs`.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::super::{Error, Origin, StoreId};
use super::rows::checksum;
use super::{WAIT, file_error};

/// The format version that this program reads and writes; SQLite's `user_version`.
pub const FORMAT: i64 = 1;

/// SQLite's `application_id`: the bytes `aOS` and a zero, which `file` shows.
const APPLICATION: i64 = 0x614f_5300;

/// The tables, one statement each, exactly as they stand in the file.
///
/// Blocks and blobs are rowid tables with an index of their own: new rows go to the end of the file instead of
/// splitting full pages in its middle.
const TABLES: [&str; 5] = [
    "CREATE TABLE store (one INTEGER PRIMARY KEY, id BLOB NOT NULL, created_by TEXT NOT NULL, worlds INTEGER NOT NULL, \
     checksum BLOB NOT NULL)",
    "CREATE TABLE worlds (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, fence INTEGER NOT NULL, \
     head_block INTEGER NOT NULL, head_height INTEGER NOT NULL, head_hash BLOB NOT NULL, checksum BLOB NOT NULL)",
    "CREATE TABLE blocks (world INTEGER NOT NULL, block INTEGER NOT NULL, last_height INTEGER NOT NULL, \
     hash BLOB NOT NULL, checksum BLOB NOT NULL, header BLOB NOT NULL, body BLOB NOT NULL, UNIQUE (world, block))",
    "CREATE TABLE snapshots (world INTEGER NOT NULL, block INTEGER NOT NULL, checksum BLOB NOT NULL, \
     record BLOB NOT NULL, UNIQUE (world, block))",
    "CREATE TABLE blobs (hash BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL)",
];

/// Sets what holds for one connection: waiting, syncing, and no trust in the file's own structure.
pub fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(WAIT)?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;
         PRAGMA wal_autocheckpoint = 0; PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;",
    )
}

/// Makes the tables in an empty file. Leaves a store as it is, and anything else untouched.
pub fn make(connection: &Connection, path: &Path, origin: &Origin) -> Result<(), Error> {
    if !is_empty(connection)? {
        return Ok(());
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(file_error)?;
    if mode != "wal" {
        return Err(Error::NotAStore { path: path.to_owned() });
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(file_error)?;
    // Another process may have been faster.
    if is_empty(&transaction)? {
        fill(&transaction, origin).map_err(file_error)?;
        transaction.commit().map_err(file_error)?;
    }
    Ok(())
}

fn is_empty(connection: &Connection) -> Result<bool, Error> {
    let read = || -> rusqlite::Result<bool> {
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok(tables == 0 && pragma(connection, "application_id")? == 0 && pragma(connection, "user_version")? == 0)
    };
    read().map_err(file_error)
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

fn fill(transaction: &Transaction<'_>, origin: &Origin) -> rusqlite::Result<()> {
    transaction.execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};"))?;
    for table in TABLES {
        transaction.execute(table, [])?;
    }
    let checksum = store_checksum(origin, 0);
    let fields = params![origin.id.0, origin.created_by, checksum];
    transaction.execute("INSERT INTO store VALUES (1, ?1, ?2, 0, ?3)", fields)?;
    Ok(())
}

/// Checks that the file is a store of our format with our tables, and returns its origin.
pub fn check(connection: &Connection, path: &Path) -> Result<Origin, Error> {
    let read = || -> rusqlite::Result<(i64, i64)> {
        Ok((pragma(connection, "application_id")?, pragma(connection, "user_version")?))
    };
    let (application, format) = read().map_err(file_error)?;
    if application != APPLICATION {
        return Err(Error::NotAStore { path: path.to_owned() });
    }
    if format != FORMAT {
        return Err(Error::Format { found: format, known: FORMAT });
    }
    if statements(connection).map_err(file_error)? != TABLES {
        return Err(Error::FileDamaged { what: "the tables are not those of a store".to_owned() });
    }
    Ok(origin(connection)?.0)
}

fn statements(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        connection.prepare("SELECT sql FROM sqlite_schema WHERE type <> 'index' OR sql IS NOT NULL ORDER BY rowid")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Returns the store's origin and how many worlds it holds.
pub fn origin(connection: &Connection) -> Result<(Origin, i64), Error> {
    let read = |row: &rusqlite::Row<'_>| {
        let origin = Origin { id: StoreId(row.get(0)?), created_by: row.get(1)? };
        Ok((origin, row.get(2)?, row.get(3)?))
    };
    let row: Option<(Origin, i64, [u8; 16])> = connection
        .query_row("SELECT id, created_by, worlds, checksum FROM store WHERE one = 1", [], read)
        .optional()
        .map_err(file_error)?;
    match row {
        Some((origin, worlds, checksum)) if checksum == store_checksum(&origin, worlds) => Ok((origin, worlds)),
        _ => Err(Error::FileDamaged { what: "the store's own row is damaged".to_owned() }),
    }
}

/// Counts one world more. The count shows when a world's row has vanished.
pub fn count_world(transaction: &Transaction<'_>) -> Result<(), Error> {
    let (origin, worlds) = origin(transaction)?;
    let worlds = worlds.saturating_add(1);
    transaction
        .execute("UPDATE store SET worlds = ?1, checksum = ?2", params![worlds, store_checksum(&origin, worlds)])
        .map_err(file_error)?;
    Ok(())
}

fn store_checksum(origin: &Origin, worlds: i64) -> [u8; 16] {
    checksum("store", &[&origin.id.0, origin.created_by.as_bytes(), &worlds.to_le_bytes()])
}
