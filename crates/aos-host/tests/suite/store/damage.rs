//! Bits that flip in the file and in its write-ahead file: what is read is what was written, or an error names it.
//!
//! The one exception is stated and tested: the last commit in a write-ahead file that was not written back yet looks,
//! when damaged, like a commit that was never finished.
//! Read next: `crash.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aos_host::store::{Commit, Error, FileStore, Head, Read, Store};
use aos_kernel::id::WorldId;

use super::{InFile, Place, Whole, Writer, block, bytes, code, named, open_file, whole, world};

const BLOCKS: u64 = 18;

/// Writes two worlds with blobs and snapshots, small enough to flip many of their bits.
fn write(store: &mut dyn Store) {
    for name in ["a", "b"] {
        let writer = Writer::create(store, name);
        let mut head = writer.head;
        for index in 1..=BLOCKS {
            let size = if index.is_multiple_of(6) { 9000 } else { 150 };
            let (next, record) = (block(writer.world, index, 1, size), bytes(&format!("{name} {index}"), 60));
            let blobs = [blob(name, index)];
            let snapshot = index.is_multiple_of(5).then_some(&record[..]);
            head = store
                .append(writer.world, writer.fence, &head, &Commit { block: &next, blobs: &blobs, snapshot })
                .unwrap();
        }
    }
}

fn blob(name: &str, index: u64) -> (aos_air::hash::Digest, Vec<u8>) {
    named(bytes(&format!("blob {name} {index}"), if index.is_multiple_of(8) { 5000 } else { 300 }))
}

#[derive(Debug, PartialEq, Eq)]
struct All {
    worlds: Vec<(WorldId, Whole)>,
    blobs: Vec<Vec<u8>>,
}

impl All {
    fn worlds_head(&self, name: &str) -> Head {
        self.worlds.iter().find(|(id, _)| *id == world(name)).unwrap().1.head
    }
}

/// Reads every world, and the blobs of both, of the second one up to block `last`.
fn all(store: &dyn Read, last: u64) -> Result<All, Error> {
    let worlds =
        store.worlds()?.into_iter().map(|(id, _)| Ok((id, whole(store, id)?))).collect::<Result<_, Error>>()?;
    let hashes = [("a", BLOCKS), ("b", last)]
        .into_iter()
        .flat_map(|(name, last)| (1..=last).map(move |index| blob(name, index).0));
    Ok(All { worlds, blobs: hashes.map(|hash| store.blob(&hash)).collect::<Result<_, _>>()? })
}

fn read(path: &Path) -> Result<All, Error> {
    all(&*FileStore::open_read(path)?, BLOCKS)
}

/// Calls `each` with the bytes with one bit flipped: at every `step`-th byte, a bit that depends on the place.
fn flips(bytes: &[u8], step: usize, mut each: impl FnMut(usize, &[u8])) {
    let mut changed = bytes.to_vec();
    for at in (0..bytes.len()).step_by(step) {
        let bit = 1 << (at / step % 8);
        changed[at] ^= bit;
        each(at, &changed);
        changed[at] ^= bit;
    }
}

#[test]
fn a_flipped_bit_in_the_file_is_noticed_or_harmless() {
    let place = InFile::new();
    write(&mut *place.open());
    let expected = read(&place.path()).unwrap();
    let good = std::fs::read(place.path()).unwrap();
    let copy = InFile::new();
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    flips(&good, 61, |at, bytes| {
        std::fs::write(copy.path(), bytes).unwrap();
        let found = read(&copy.path());
        if let Ok(found) = &found {
            assert_eq!(*found, expected, "byte {at}");
        }
        *outcomes.entry(code(found)).or_default() += 1;
    });
    // Most bytes of this file are contents, so most flips must have been noticed, and as what they hit.
    let noticed: u32 = outcomes.iter().filter(|(code, _)| **code != "ok").map(|(_, count)| count).sum();
    assert!(noticed > 600, "{outcomes:?}");
    for named in ["store.block_damaged", "store.blob_damaged", "store.snapshot_damaged", "store.file_damaged"] {
        assert!(outcomes.contains_key(named), "{outcomes:?}");
    }
}

#[test]
fn every_bit_of_the_files_first_page_is_noticed_or_harmless() {
    let place = InFile::new();
    write(&mut *place.open());
    let expected = read(&place.path()).unwrap();
    let good = std::fs::read(place.path()).unwrap();
    let copy = InFile::new();
    flips(&good[..112], 1, |at, page| {
        std::fs::write(copy.path(), [page, &good[112..]].concat()).unwrap();
        match read(&copy.path()) {
            Ok(found) => assert_eq!(found, expected, "byte {at}"),
            Err(error) => assert!(!error.is_refusal(), "byte {at}: {error}"),
        }
    });
}

/// A copy of a store as a crash leaves it: commits in the write-ahead file, nothing written back.
fn crashed(place: &InFile) -> (PathBuf, PathBuf) {
    let (live, wal) = (InFile::new(), |path: &Path| PathBuf::from(format!("{}-wal", path.display())));
    let mut store = live.open();
    write(&mut *store);
    std::fs::copy(live.path(), place.path()).unwrap();
    std::fs::copy(wal(&live.path()), wal(&place.path())).unwrap();
    (place.path(), wal(&place.path()))
}

#[test]
fn a_flipped_bit_in_the_write_ahead_file_takes_back_no_commit_but_the_last() {
    let place = InFile::new();
    let (path, wal) = crashed(&place);
    let (main, good) = (std::fs::read(&path).unwrap(), std::fs::read(&wal).unwrap());
    let full = read(&path).unwrap();
    let mut without_last = read(&path).unwrap();
    let (_, shortened) = without_last.worlds.iter_mut().find(|(id, _)| *id == world("b")).unwrap();
    shortened.blocks.pop();
    shortened.head = shortened.blocks.last().unwrap().head();
    without_last.blobs.pop();

    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    flips(&good, 331, |at, bytes| {
        for file in std::fs::read_dir(place.0.path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        std::fs::write(&path, &main).unwrap();
        std::fs::write(&wal, bytes).unwrap();
        let outcome = match FileStore::open_read(&path) {
            Err(error) => error.code(),
            Ok(store) if store.head(world("b")).unwrap() == full.worlds_head("b") => panic!("byte {at} is not noticed"),
            Ok(store) => {
                assert_eq!(all(&*store, BLOCKS - 1).unwrap(), without_last, "byte {at}");
                assert_eq!(code(store.blob(&blob("b", BLOCKS).0)), "store.blob_missing", "byte {at}");
                "without the last commit"
            }
        };
        let opened = FileStore::open(&path, &super::origin()).map(drop);
        assert_eq!(code(opened) == "store.wal_damaged", outcome == "store.wal_damaged", "byte {at}");
        *outcomes.entry(outcome).or_default() += 1;
    });
    let [damaged, last] = ["store.wal_damaged", "without the last commit"].map(|outcome| outcomes.remove(outcome));
    assert!(damaged.unwrap() > 10 * last.unwrap(), "most commits are not the last");
    assert_eq!(outcomes, BTreeMap::new());
}

#[test]
fn a_torn_end_of_the_write_ahead_file_is_no_damage() {
    let place = InFile::new();
    let (path, wal) = crashed(&place);
    let length = std::fs::metadata(&wal).unwrap().len();
    for missing in [1, 100, 4120, 5000] {
        std::fs::File::options().write(true).open(&wal).unwrap().set_len(length - missing).unwrap();
        let store = FileStore::open_read(&path).unwrap();
        let head = store.head(world("b")).unwrap();
        assert_eq!(head.block.0, BLOCKS - 1, "{missing} bytes are missing");
        assert_eq!(code(store.blob(&blob("b", BLOCKS).0)), "store.blob_missing");
    }
    assert_eq!(open_file(&path).head(world("b")).unwrap().block.0, BLOCKS - 1);
}
