//! The memory of a world that is open and does nothing.
//!
//! Measured in a process of its own: by how much its resident memory grows while it opens 1,000 worlds.

use std::process::Command;

use aos_host::store::MemoryStore;

use crate::Done;
use crate::counter::{self, Counter};
use crate::table::Table;

/// The first argument of the child.
pub const CHILD: &str = "--idle-worlds";

const WORLDS: u64 = 1_000;

pub fn measure(table: &mut Table) -> Done<()> {
    let output = Command::new(std::env::current_exe()?).arg(CHILD).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let bytes = String::from_utf8(output.stdout)?.trim().parse()?;
    table.bytes("resident memory of an open, idle world", bytes, "its journal of three blocks included");
    Ok(())
}

/// Opens the worlds over one memory store and one engine, and prints the bytes of each.
pub fn child(counter: &Counter) -> Done<()> {
    let engine = counter::engine()?;
    let store = MemoryStore::new(counter::origin());
    let open = || -> Done<_> {
        let mut driver = counter.create(Box::new(store.clone()), &engine)?;
        driver.snapshot()?;
        Ok(driver)
    };
    // The first one compiles the module and fills the pool.
    let first = open()?;
    let before = resident()?;
    let worlds = (0..WORLDS).map(|_| open()).collect::<Done<Vec<_>>>()?;
    println!("{}", resident()?.saturating_sub(before) / WORLDS);
    drop((first, worlds));
    Ok(())
}

/// Returns this process's resident memory in bytes.
fn resident() -> Done<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}
