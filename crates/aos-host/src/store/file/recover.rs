//! What lies beyond a world's durable head, and cutting it back.
//!
//! The head is written in the same transaction as its block, so a crash leaves nothing beyond it; a file that was put
//! together by other means may. Nothing at or below the head is ever dropped: a gap there is a fault for the reader.
//! Read next: `wal.rs`, the other half of coming back after a crash.

use aos_kernel::id::BlockIndex;
use rusqlite::{Connection, Transaction, params};

use super::super::Error;
use super::file_error;
use super::rows::WorldRow;

/// Lists the blocks beyond the head, in order.
pub fn beyond(connection: &Connection, row: &WorldRow) -> Result<Vec<BlockIndex>, Error> {
    let list = || -> rusqlite::Result<Vec<i64>> {
        let sql = "SELECT block FROM blocks WHERE world = ?1 AND block > ?2 ORDER BY block";
        connection.prepare(sql)?.query_map(params![row.number, head(row)?], |found| found.get(0))?.collect()
    };
    let found = list().map_err(file_error)?;
    Ok(found.into_iter().filter_map(|index| u64::try_from(index).ok()).map(BlockIndex).collect())
}

/// Drops the blocks and snapshots beyond the head and lists the blocks.
pub fn cut(transaction: &Transaction<'_>, row: &WorldRow) -> Result<Vec<BlockIndex>, Error> {
    let dropped = beyond(transaction, row)?;
    let drop = || -> rusqlite::Result<()> {
        for table in ["blocks", "snapshots"] {
            let sql = format!("DELETE FROM {table} WHERE world = ?1 AND block > ?2");
            transaction.execute(&sql, params![row.number, head(row)?])?;
        }
        Ok(())
    };
    drop().map_err(file_error)?;
    Ok(dropped)
}

fn head(row: &WorldRow) -> rusqlite::Result<i64> {
    i64::try_from(row.head.block.0).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX))
}
