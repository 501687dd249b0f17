//! Events on the disk: how many a second are durable, how fast they replay, how long a world takes to open.
//!
//! The store's file lies in cargo's target folder, so that it is on a disk and not in memory.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aos_air::module::Entry;
use aos_host::driver::{Driver, Options, StoreBlobs, System, Verify, replay_history};
use aos_host::store::{FILE_NAME, FileStore};
use aos_kernel::id::WorldId;

use crate::Done;
use crate::counter::{self, Counter};
use crate::table::{Table, median};

/// The first argument of the child whose syncs are counted; then the group and the count of commits.
pub const CHILD: &str = "--commits";

/// Events of a commit.
const GROUPS: [u32; 3] = [1, 16, 256];
/// Commits of one turn, and turns of each group.
const COMMITS: u32 = 500;
const TURNS: usize = 9;
/// How many commits are watched for syncs.
const COMMITS_WATCHED: u32 = 1_000;
/// Frames of the worlds that are opened.
const FRAMES: [u32; 2] = [1_000, FRAMES_REPLAYED];
/// Frames of the world that is replayed.
const FRAMES_REPLAYED: u32 = 100_000;
/// How often each is opened.
const OPENINGS: usize = 9;

pub fn measure(counter: &Counter, table: &mut Table) -> Done<()> {
    // They take turns, because a disk is slower at some times than at others.
    let folders = GROUPS.map(|_| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")));
    let mut drivers = Vec::new();
    for folder in &folders {
        let folder = folder.as_ref().map_err(ToString::to_string)?;
        drivers.push((create(counter, folder.path())?, Vec::new()));
    }
    for _ in 0..TURNS {
        for ((driver, times), group) in drivers.iter_mut().zip(GROUPS) {
            let start = Instant::now();
            submit(driver, group, COMMITS)?;
            times.push(start.elapsed());
        }
    }
    for ((_, times), group) in drivers.into_iter().zip(GROUPS) {
        let syncs = match syncs(group)? {
            Some(syncs) => format!("{syncs} syncs in {COMMITS_WATCHED} commits"),
            None => "syncs not counted: no strace".into(),
        };
        table.rate(&format!("durable events, commits of {group}"), group * COMMITS, median(times), &syncs);
    }
    for frames in FRAMES {
        opened(counter, frames, table)?;
    }
    Ok(())
}

fn create(counter: &Counter, folder: &Path) -> Done<Driver> {
    let store = FileStore::open(&folder.join(FILE_NAME), &counter::origin())?;
    counter.create(Box::new(store), &counter::engine()?)
}

fn submit(driver: &mut Driver, group: u32, commits: u32) -> Done<()> {
    for _ in 0..commits {
        let inputs = (0..group).map(|_| counter::next()).collect::<Done<Vec<_>>>()?;
        driver.submit(inputs)?;
    }
    Ok(())
}

/// Commits to a world of its own. Only its system calls are of interest.
pub fn child(counter: &Counter, group: u32, commits: u32) -> Done<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    submit(&mut create(counter, folder.path())?, group, commits)
}

/// Counts the syncs of [`COMMITS_WATCHED`] commits, without those of a world's making, if strace is there.
fn syncs(group: u32) -> Done<Option<usize>> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let count = |commits: u32| -> Done<Option<usize>> {
        let log = folder.path().join(commits.to_string());
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=fsync,fdatasync,msync,sync_file_range", "-o"]).arg(&log);
        command.arg(std::env::current_exe()?).args([CHILD, &group.to_string(), &commits.to_string()]);
        match command.status() {
            Ok(status) if status.success() => Ok(Some(std::fs::read_to_string(log)?.lines().count())),
            Ok(status) => Err(format!("the child under strace ended with {status}").into()),
            Err(_) => Ok(None),
        }
    };
    Ok(count(COMMITS_WATCHED)?.zip(count(0)?).map(|(all, making)| all.saturating_sub(making)))
}

/// Makes a world of so many frames, closes it, and times its replay and its opening.
fn opened(counter: &Counter, frames: u32, table: &mut Table) -> Done<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = folder.path().join(FILE_NAME);
    let mut driver = create(counter, folder.path())?;
    let world = driver.id();
    for group in (0..frames - 1).step_by(256).map(|done| 256.min(frames - 1 - done)) {
        submit(&mut driver, group, 1)?;
    }
    let (head, _) = driver.close()?;
    if head.height.0 != u64::from(frames) {
        return Err(format!("{} frames where {frames} were made", head.height).into());
    }
    if frames == FRAMES_REPLAYED {
        let store = FileStore::open_read(&path)?;
        let blobs = StoreBlobs::new(FileStore::open_read(&path)?);
        let engine = counter::engine()?;
        engine.prepare(&counter.wasm, Entry::Reducer)?;
        let start = Instant::now();
        replay_history(&*store, &blobs, &engine, world, None, &mut |_| {})?;
        table.rate("replay from the genesis, from the file", frames, start.elapsed(), "");
    }
    for (verify, words) in [(Verify::Tail, "newest snapshot"), (Verify::Chain, "the same and the chain of all blocks")]
    {
        let row = format!("open after a clean close, {frames} frames: {words}");
        table.time(&row, opening(counter, &path, world, verify)?);
    }
    Ok(())
}

/// Times the opening of a world whose module is compiled already; the file is in the system's cache.
fn opening(counter: &Counter, path: &Path, world: WorldId, verify: Verify) -> Done<Duration> {
    let engine = counter::engine()?;
    engine.prepare(&counter.wasm, Entry::Reducer)?;
    let mut times = Vec::new();
    for _ in 0..OPENINGS {
        let start = Instant::now();
        let store = Box::new(FileStore::open(path, &counter::origin())?);
        let (driver, _) =
            Driver::open(store, engine.clone(), Box::new(System), world, verify, Options::default(), &mut |_| {})?;
        times.push(start.elapsed());
        drop(driver);
    }
    Ok(median(times))
}
