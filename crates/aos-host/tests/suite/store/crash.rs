//! Writers that die: killed at any moment, or out of disk. The test binary runs itself again as the writer.
//!
//! The writer prints each block's index once its append has returned; whoever reopens the file must find all of them.
//! Read next: `damage.rs`.

use std::env;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aos_host::store::{Commit, Error, FileStore, Read, Store, StoredBlock};
use aos_kernel::id::WorldId;

use super::{InFile, Place, Writer, block, bytes, code, named, open_file, origin, whole, world};

const PATH: &str = "AOS_TEST_STORE";
const SIZE: &str = "AOS_TEST_STORE_BODY_BYTES";

/// What the writer commits at `index`: a block, its blob, and at every fourth block a snapshot.
fn parts(world: WorldId, index: u64, size: usize) -> (StoredBlock, Vec<u8>, Option<Vec<u8>>) {
    let snapshot = index.is_multiple_of(4).then(|| bytes(&format!("snapshot {index}"), 40));
    (block(world, index, 1, size), bytes(&format!("blob {index}"), 900), snapshot)
}

/// Appends until it is killed or a write fails; then says with which code, and that the handle is closed.
fn write_on(path: &Path, size: usize) {
    let mut out = stdout();
    let mut store = match FileStore::open(path, &origin()) {
        Ok(store) => store,
        Err(error) => return writeln!(out, "failed {}", error.code()).unwrap(),
    };
    let id = world("a");
    let fence = store.acquire(id).unwrap();
    let mut head = store.head(id).unwrap();
    loop {
        let (next, blob, snapshot) = parts(id, head.block.0 + 1, size);
        let blobs = [named(blob)];
        let full = Commit { block: &next, blobs: &blobs, snapshot: snapshot.as_deref() };
        match store.append(id, fence, &head, &full) {
            Ok(new) => head = new,
            Err(error) => {
                writeln!(out, "failed {}", error.code()).unwrap();
                assert!(matches!(store.append(id, fence, &head, &full), Err(Error::Closed { .. })));
                assert_eq!(whole(&store, id).unwrap().head, head, "reading goes on");
                return;
            }
        }
        writeln!(out, "wrote {}", head.block).unwrap();
    }
}

/// Starts this test binary again for one test, which finds the variables set and becomes the writer.
fn start(test: &str, path: &Path, size: usize, wrapped_in: &[&str]) -> Child {
    let binary = env::current_exe().unwrap();
    let mut words = wrapped_in.iter().map(AsRef::as_ref).chain([binary.as_os_str()]);
    Command::new(words.next().unwrap())
        .args(words)
        .args(["--exact", test, "--nocapture"])
        .env(PATH, path)
        .env(SIZE, size.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Becomes the writer if this process was started as one.
fn is_writer() -> bool {
    let Some(path) = env::var_os(PATH) else { return false };
    write_on(Path::new(&path), env::var(SIZE).unwrap().parse().unwrap());
    true
}

/// Checks that the file holds every block up to at least `acknowledged`, whole and nothing torn, and returns the last.
fn check(store: &dyn Read, acknowledged: u64, size: usize) -> u64 {
    let id = world("a");
    let found = whole(store, id).unwrap();
    let last = found.head.block.0;
    assert!(last == acknowledged || last == acknowledged + 1, "{last} is durable, {acknowledged} was acknowledged");
    let mut snapshots = Vec::new();
    for (index, kept) in (0..=last).zip(&found.blocks) {
        if index == 0 {
            continue;
        }
        let (expected, blob, snapshot) = parts(id, index, size);
        assert_eq!(*kept, expected);
        assert_eq!(store.blob(&named(blob.clone()).0).unwrap(), blob);
        if snapshot.is_some() {
            snapshots.insert(0, (kept.index, snapshot));
        }
    }
    assert_eq!(found.snapshots, snapshots);
    assert_eq!(found.beyond, []);
    let absent = named(parts(id, last + 1, size).1).0;
    assert_eq!(code(store.blob(&absent)), "store.blob_missing", "half of a commit");
    last
}

/// Reads the writer's lines: the last block that it wrote and the code that it failed with.
fn lines(child: &mut Child, mut each: impl FnMut(&mut Child, u64)) -> (Option<u64>, Option<String>) {
    let (mut last, mut failed) = (None, None);
    let out = BufReader::new(child.stdout.take().unwrap());
    for line in out.lines() {
        // A line can be torn by the kill; it does not count as said.
        let Ok(line) = line else { break };
        match line.split_once(' ') {
            Some(("wrote", index)) => {
                last = index.parse().ok();
                each(child, last.unwrap());
            }
            Some(("failed", code)) => failed = Some(code.to_owned()),
            _ => {}
        }
    }
    (last, failed)
}

#[test]
fn a_writer_killed_at_any_moment_loses_nothing_acknowledged() {
    if is_writer() {
        return;
    }
    const SIZE: usize = 6000;
    let place = InFile::new();
    Writer::create(&mut *place.open(), "a");
    let (mut acknowledged, mut killed_writing) = (0, 0);
    for round in 0..24_u64 {
        let mut child =
            start("store::crash::a_writer_killed_at_any_moment_loses_nothing_acknowledged", &place.path(), SIZE, &[]);
        // Some are killed by the clock, at whatever they are doing; some right behind an acknowledgement.
        let stop = acknowledged + 1 + round * 17 % 90;
        let (last, failed) = if round % 2 == 0 {
            std::thread::sleep(Duration::from_millis(5 + round * 13 % 60));
            child.kill().unwrap();
            lines(&mut child, |_, _| {})
        } else {
            lines(&mut child, |child, index| {
                if index >= stop {
                    child.kill().unwrap()
                }
            })
        };
        child.wait().unwrap();
        assert_eq!(failed, None);
        killed_writing += u64::from(last.is_some());
        acknowledged = last.unwrap_or(acknowledged);
        // Every other round is first seen by a reader, which must not need a writer to have come back before.
        if round % 4 < 2 {
            check(&*FileStore::open_read(&place.path()).unwrap(), acknowledged, SIZE);
        }
        acknowledged = check(&open_file(&place.path()), acknowledged, SIZE);
    }
    assert!(killed_writing >= 12, "only {killed_writing} writers got as far as writing");
}

#[test]
fn a_full_disk_closes_the_store_and_harms_nothing() {
    if is_writer() {
        return;
    }
    // The shell's limit on file size is in blocks of 512 bytes. The first stops the write-ahead file, the second the
    // main file when it is written back. A body is large enough to get there soon.
    const SIZE: usize = 300_000;
    for (name, blocks, expected) in [("write-ahead file", 4_000, "store.io"), ("main file", 24_000, "store.closed")] {
        let place = InFile::new();
        Writer::create(&mut *place.open(), "a");
        let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let test = "store::crash::a_full_disk_closes_the_store_and_harms_nothing";
        let mut child = start(test, &place.path(), SIZE, &["sh", "-c", &limited]);
        let (last, failed) = lines(&mut child, |_, _| {});
        assert!(child.wait().unwrap().success(), "{name}");
        assert_eq!(failed.as_deref(), Some(expected), "{name}");
        let mut store = open_file(&place.path());
        let durable = check(&store, last.unwrap(), SIZE);
        let id = world("a");
        let (next, ..) = parts(id, durable + 1, SIZE);
        let (fence, head) = (store.acquire(id).unwrap(), store.head(id).unwrap());
        store.append(id, fence, &head, &super::commit(&next)).unwrap();
    }
}
