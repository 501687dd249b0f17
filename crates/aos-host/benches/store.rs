//! How many durable commits a second a store takes, and how long a large file takes to open and to read.
//!
//! `cargo bench -p aos-host --bench store`, on a quiet machine: every figure is bounded by the disk's sync. The file
//! lies in cargo's target folder, so that it is on a disk and not in memory.
//! Read next: `docs/decisions/0003-store.md`, which has figures of other stores beside these.

use std::error::Error;
use std::io::{Write, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

use aos_air::hash::Digest;
use aos_host::store::{
    Blocks, Commit, FILE_NAME, Fence, FileStore, Head, MemoryStore, Origin, Read, Store, StoreId, StoredBlock,
};
use aos_kernel::id::{BlockHash, BlockIndex, Height, WorldId};

const FRAME_BYTES: usize = 100;
const HEADER_BYTES: usize = 200;
const FRAMES_OPENED: u64 = 1_000_000;

type Done<T> = Result<T, Box<dyn Error>>;

fn origin() -> Origin {
    Origin { id: StoreId([0; 32]), created_by: "the store's benchmark".to_owned() }
}

fn world() -> WorldId {
    WorldId(Digest::of(b"world"))
}

/// A block of `frames` frames; its bytes do not repeat.
fn block(index: u64, frames: u64) -> Done<StoredBlock> {
    let seed = Digest::of(&index.to_le_bytes());
    let bytes =
        |count: usize| seed.as_bytes().iter().copied().cycle().zip(0_u8..=250).map(|(a, b)| a ^ b).cycle().take(count);
    Ok(StoredBlock {
        index: BlockIndex(index),
        hash: BlockHash(seed),
        last_height: Height(index * frames),
        header: bytes(HEADER_BYTES).collect(),
        body: bytes(usize::try_from(frames)? * FRAME_BYTES).collect(),
    })
}

fn create(store: &mut dyn Store) -> Done<(Fence, Head)> {
    let genesis = StoredBlock { body: Vec::new(), ..block(0, 0)? };
    let fence = store.create(world(), &Commit { block: &genesis, blobs: &[], snapshot: None })?;
    Ok((fence, genesis.head()))
}

/// Appends blocks and returns how long each append took.
fn append(store: &mut dyn Store, frames: u64, count: u64) -> Done<Vec<Duration>> {
    let (fence, mut head) = create(store)?;
    let mut times = Vec::new();
    for index in 1..=count {
        let next = block(index, frames)?;
        let start = Instant::now();
        head = store.append(world(), fence, &head, &Commit { block: &next, blobs: &[], snapshot: None })?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn report(out: &mut impl Write, name: &str, frames: u64, mut times: Vec<Duration>) -> Done<()> {
    let seconds = times.iter().sum::<Duration>().as_secs_f64();
    let commits = f64::from(u32::try_from(times.len())?);
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 1000).copied().unwrap_or_default();
    writeln!(
        out,
        "{name:7} {frames:4} frames per block: {:9.0} commits/s {:10.0} frames/s  median {:?}  99 % {:?}  99.9 % {:?}",
        commits / seconds,
        commits * f64::from(u32::try_from(frames)?) / seconds,
        at(500),
        at(990),
        at(999),
    )?;
    Ok(())
}

fn main() -> Done<()> {
    let mut out = stdout();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    for (frames, count) in [(1, 5000), (16, 5000), (256, 2000)] {
        let path = folder.path().join(format!("{frames}-{FILE_NAME}"));
        report(&mut out, "file", frames, append(&mut FileStore::open(&path, &origin())?, frames, count)?)?;
        report(&mut out, "memory", frames, append(&mut MemoryStore::new(origin()), frames, count)?)?;
    }
    let path = folder.path().join(FILE_NAME);
    append(&mut FileStore::open(&path, &origin())?, 256, FRAMES_OPENED / 256)?;
    open(&mut out, &path)
}

fn open(out: &mut impl Write, path: &Path) -> Done<()> {
    let start = Instant::now();
    let store = FileStore::open(path, &origin())?;
    let head = store.head(world())?;
    let opened = start.elapsed();
    let start = Instant::now();
    for block in Blocks::new(&store, world(), BlockIndex(0))? {
        block?;
    }
    writeln!(out, "file    {} frames in blocks of 256: open {opened:?}, read all {:?}", head.height, start.elapsed())?;
    Ok(())
}
