//! A world's file changed by one thing: a bit, a row, a blob. It opens with what was written, or it does not open, says
//! where, and stays as it is; and only what lies beyond the durable head is ever cut.
//!
//! Rows are changed as `spec/store.md` has them, with their checksums made right again where a case says so: then only
//! hashes and the replay can tell.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aos_air::hash::Digest;
use aos_host::driver::{StoreBlobs, Verify};
use aos_host::store::{FILE_NAME, FileStore, Head, Read};
use aos_kernel::blobs::{BlobFault, Blobs};
use aos_kernel::block::{Header, hash_of};
use aos_kernel::id::{BlockIndex, WorldId};
use aos_kernel::{Snapshot, World};
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::{LEVELS, add_one, code, count, counter, create, demo, every, file, open};

/// Events of the world that is damaged, three in each block.
const EVENTS: u64 = 33;
/// A block below the newest snapshot, without one of its own.
const MIDDLE: u64 = 2;
/// The newest snapshot's block.
const NEWEST: u64 = 8;
/// The last block; it and the ones down to the newest snapshot have to be replayed.
const LAST: u64 = 11;

/// A store with one world, closed, to be copied and damaged.
struct Whole {
    folder: TempDir,
    world: WorldId,
    head: Head,
}

impl Whole {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut driver = create(file(&folder.path().join(FILE_NAME)), demo(), every(12));
        for first in (1..=EVENTS).step_by(3) {
            driver.submit((first..first + 3).map(add_one)).unwrap();
        }
        let snapshots = driver.reader().unwrap().snapshots(driver.id()).unwrap();
        assert_eq!((snapshots, driver.head().block), ([NEWEST, 4, 0].map(BlockIndex).to_vec(), BlockIndex(LAST)));
        Self { world: driver.id(), head: *driver.head(), folder }
    }

    fn copy(&self) -> Copy {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::copy(self.folder.path().join(FILE_NAME), &path).unwrap();
        Copy { _folder: folder, path, world: self.world }
    }

    fn reader(&self) -> Box<dyn Read> {
        FileStore::open_read(&self.folder.path().join(FILE_NAME)).unwrap()
    }
}

/// A copy of the store, to be damaged.
struct Copy {
    _folder: TempDir,
    path: PathBuf,
    world: WorldId,
}

/// What a block's row holds beside its place.
struct Row {
    last_height: u64,
    hash: Vec<u8>,
    header: Vec<u8>,
    body: Vec<u8>,
}

/// The checksum of a row as `spec/store.md` has it.
fn checksum(table: &str, fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = table.as_bytes().to_vec();
    fields.iter().for_each(|field| bytes.extend_from_slice(Digest::of(field).as_bytes()));
    Digest::of(&bytes).as_bytes()[..16].to_vec()
}

fn number(value: u64) -> i64 {
    value.try_into().unwrap()
}

fn flip(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 4;
}

impl Copy {
    /// Runs a statement that has to change one row or more.
    fn sql(&self, statement: &str, fields: impl rusqlite::Params) {
        let connection = Connection::open(&self.path).unwrap();
        assert!(connection.execute(statement, fields).unwrap() > 0, "{statement}");
    }

    fn row(&self, index: u64) -> Row {
        let sql = "SELECT last_height, hash, header, body FROM blocks WHERE block = ?1";
        let read = |row: &rusqlite::Row<'_>| {
            let last_height: i64 = row.get(0)?;
            let last_height = last_height.try_into().unwrap();
            Ok(Row { last_height, hash: row.get(1)?, header: row.get(2)?, body: row.get(3)? })
        };
        Connection::open(&self.path).unwrap().query_row(sql, [number(index)], read).unwrap()
    }

    /// Writes a block's row with a checksum that is right.
    fn put(&self, index: u64, row: &Row) {
        let fields: [&[u8]; 6] = [
            self.world.0.as_bytes(),
            &index.to_le_bytes(),
            &row.last_height.to_le_bytes(),
            &row.hash,
            &row.header,
            &row.body,
        ];
        let statement =
            "UPDATE blocks SET last_height = ?2, hash = ?3, checksum = ?4, header = ?5, body = ?6 WHERE block = ?1";
        let checksum = checksum("blocks", &fields);
        self.sql(statement, params![number(index), number(row.last_height), row.hash, checksum, row.header, row.body]);
    }

    fn edit(&self, index: u64, change: impl FnOnce(&mut Row)) {
        let mut row = self.row(index);
        change(&mut row);
        self.put(index, &row);
    }

    /// Writes the head with a checksum that is right.
    fn put_head(&self, block: u64, height: u64, hash: &[u8]) {
        let (fence, one) = (1_u64.to_le_bytes(), 1_i64.to_le_bytes());
        let fields: [&[u8]; 6] =
            [&one, self.world.0.as_bytes(), &fence, &block.to_le_bytes(), &height.to_le_bytes(), hash];
        let statement = "UPDATE worlds SET head_block = ?1, head_height = ?2, head_hash = ?3, checksum = ?4";
        self.sql(statement, params![number(block), number(height), hash, checksum("worlds", &fields)]);
    }

    /// Rewrites the last block's header, and the head with it, so that every hash is right.
    fn forge(&self, body: impl FnOnce(&mut Vec<u8>), header: impl FnOnce(&mut Header)) {
        self.edit(LAST, |row| {
            body(&mut row.body);
            let mut forged = Header::decode(&row.header).unwrap();
            forged.body_root = Digest::of(&row.body);
            header(&mut forged);
            row.header = forged.encode();
            row.hash = hash_of(&row.header).0.as_bytes().to_vec();
        });
        self.put_head(LAST, EVENTS, &self.row(LAST).hash);
    }

    fn snapshot(&self, index: u64) -> Vec<u8> {
        let sql = "SELECT record FROM snapshots WHERE block = ?1";
        Connection::open(&self.path).unwrap().query_row(sql, [number(index)], |row| row.get(0)).unwrap()
    }

    /// Writes a snapshot's record with a checksum that is right.
    fn put_snapshot(&self, index: u64, record: &[u8]) {
        let checksum = checksum("snapshots", &[self.world.0.as_bytes(), &index.to_le_bytes(), record]);
        let statement = "UPDATE snapshots SET record = ?2, checksum = ?3 WHERE block = ?1";
        self.sql(statement, params![number(index), record, checksum]);
    }

    /// Flips a bit in the file itself, `offset` bytes behind the start of `bytes`. A page may still hold an older copy of
    /// them in its free space, which nobody reads.
    fn flip_in_file(&self, bytes: &[u8], offset: usize) {
        let mut file = std::fs::read(&self.path).unwrap();
        let places: Vec<_> = (0..file.len()).filter(|at| file[*at..].starts_with(bytes)).collect();
        assert!(!places.is_empty(), "the file does not have these bytes in one piece");
        places.iter().for_each(|place| flip(&mut file, place + offset));
        std::fs::write(&self.path, file).unwrap();
    }

    fn flip_row_in_file(&self, index: u64, offset: usize) {
        let row = self.row(index);
        // Header and body stand in a row one behind the other; a snapshot's record has the header as well.
        let place = [row.header, row.body].concat();
        self.flip_in_file(&place, offset);
    }

    /// Opens it at every level; what does not open stays as it is.
    fn outcomes(&self) -> [(String, String); 3] {
        LEVELS.map(|verify| {
            let copy = self.path.with_extension("copy");
            std::fs::copy(&self.path, &copy).unwrap();
            let before = std::fs::read(&copy).unwrap();
            let opened = open(file(&copy), self.world, verify);
            let outcome =
                (code(&opened).to_owned(), opened.as_ref().err().map(ToString::to_string).unwrap_or_default());
            match opened {
                Ok((driver, opened)) => {
                    assert_eq!(opened.cut, []);
                    assert_eq!((count(&driver), driver.head().height.0), (Some(EVENTS), EVENTS));
                }
                Err(_) => assert_eq!(std::fs::read(&copy).unwrap(), before, "{outcome:?}"),
            }
            outcome
        })
    }
}

/// A damage, the codes with which the world does not open at each level, and what is said at the last one.
struct Case {
    name: &'static str,
    harm: fn(&Copy),
    codes: [&'static str; 3],
    says: &'static [&'static str],
}

const OPENS: &str = "ok";
const ROW: &str = "store.block_damaged";
const MISSING: &str = "store.block_missing";
const BLOCK: &str = "block.damaged";
const HEAD: &str = "store.head_damaged";

/// Changes of blocks. `HASH` stands for the hash of the damaged block.
const BLOCKS: &[Case] = &[
    Case {
        name: "a bit of a body in the file",
        harm: |copy| copy.flip_row_in_file(MIDDLE, copy.row(MIDDLE).header.len() + 9),
        codes: [OPENS, ROW, ROW],
        says: &["block 2 ", "frames from height 4 on"],
    },
    Case {
        name: "a bit of a header in the file",
        harm: |copy| copy.flip_row_in_file(MIDDLE, 90),
        codes: [OPENS, ROW, ROW],
        says: &["block 2 ", "frames from height 4 on"],
    },
    Case {
        name: "a bit of a body that has to be replayed",
        harm: |copy| copy.flip_row_in_file(LAST - 1, copy.row(LAST - 1).header.len() + 9),
        codes: [ROW; 3],
        says: &["block 10 ", "frames from height 28 on"],
    },
    Case {
        name: "a bit of the last header",
        harm: |copy| copy.flip_row_in_file(LAST, 90),
        codes: [ROW; 3],
        says: &["block 11 ", "frames from height 31 on"],
    },
    Case {
        name: "a body under a right checksum",
        harm: |copy| copy.edit(MIDDLE, |row| flip(&mut row.body, 9)),
        codes: [OPENS, BLOCK, BLOCK],
        says: &["block 2 (HASH, up to height 6): ", "its body does not have the digest that its header names"],
    },
    Case {
        name: "a header under a right checksum",
        harm: |copy| copy.edit(MIDDLE, |row| flip(&mut row.header, 90)),
        codes: [OPENS, BLOCK, BLOCK],
        says: &["block 2 (HASH, up to height 6): "],
    },
    Case {
        name: "a header that is none",
        harm: |copy| copy.edit(MIDDLE, |row| row.header.truncate(row.header.len() - 1)),
        codes: [OPENS, BLOCK, BLOCK],
        says: &["block 2 (HASH, up to height 6): ", "its header cannot be read"],
    },
    Case {
        name: "a header under its own hash",
        harm: |copy| {
            copy.edit(MIDDLE, |row| {
                flip(&mut row.header, 90);
                row.hash = hash_of(&row.header).0.as_bytes().to_vec();
            });
        },
        codes: [OPENS, BLOCK, BLOCK],
        says: &["block 3 (", "it does not follow the block before"],
    },
    Case {
        name: "two blocks in each other's place",
        harm: |copy| {
            let (one, other) = (copy.row(MIDDLE), copy.row(MIDDLE + 1));
            copy.put(MIDDLE, &other);
            copy.put(MIDDLE + 1, &one);
        },
        codes: [OPENS, BLOCK, BLOCK],
        says: &["block 2 (HASH, up to height 9): "],
    },
    Case {
        name: "another genesis",
        harm: |copy| copy.edit(0, |row| flip(&mut row.body, 60)),
        codes: [OPENS, BLOCK, BLOCK],
        says: &["block 0 ("],
    },
    Case {
        name: "no genesis",
        harm: |copy| copy.sql("DELETE FROM blocks WHERE block = 0", []),
        codes: [OPENS, MISSING, MISSING],
        says: &["block 0 "],
    },
    Case {
        name: "a block in the middle that is gone",
        harm: |copy| copy.sql("DELETE FROM blocks WHERE block = 2", []),
        codes: [OPENS, MISSING, MISSING],
        says: &["block 2 ", "frames from height 4 on"],
    },
    Case {
        name: "the last block that is gone",
        harm: |copy| copy.sql("DELETE FROM blocks WHERE block = 11", []),
        codes: [MISSING; 3],
        says: &["block 11 ", "frames from height 31 on"],
    },
    Case {
        name: "another input under right hashes",
        // The three frames of the block add 1 each; the second 1 of one becomes a 5.
        harm: |copy| {
            copy.forge(
                |body| {
                    let at = body.windows(5).position(|bytes| bytes == b"\x63Add\x01").unwrap();
                    flip(body, at + 4);
                },
                |_| {},
            );
        },
        codes: [BLOCK; 3],
        says: &["block 11 (HASH, up to height 33): ", "the replay seals it with another header"],
    },
    Case {
        name: "another outcome under right hashes",
        harm: |copy| copy.forge(|body| *body.last_mut().unwrap() ^= 4, |_| {}),
        codes: ["replay.divergence"; 3],
        says: &["block 11 (HASH, up to height 33): the replay differs at height 33"],
    },
    Case {
        name: "other changes under right hashes",
        harm: |copy| copy.forge(|_| {}, |header| header.changes = Digest::of(b"other")),
        codes: [BLOCK; 3],
        says: &["block 11 (HASH, up to height 33): "],
    },
];

/// Changes of snapshots and of the head.
const ROWS: &[Case] = &[
    Case {
        name: "a bit of the newest snapshot in the file",
        harm: |copy| copy.flip_in_file(&copy.snapshot(NEWEST), 50),
        codes: ["store.snapshot_damaged"; 3],
        says: &["the snapshot at block 8 "],
    },
    Case {
        name: "the newest snapshot under a right checksum",
        harm: |copy| {
            let mut record = copy.snapshot(NEWEST);
            *record.last_mut().unwrap() ^= 1;
            copy.put_snapshot(NEWEST, &record);
        },
        codes: ["snapshot.damaged"; 3],
        says: &["block 8 (", "the snapshot at height 24"],
    },
    Case {
        name: "an older snapshot in the newest one's place",
        harm: |copy| copy.put_snapshot(NEWEST, &copy.snapshot(4)),
        codes: ["snapshot.damaged"; 3],
        says: &["block 8 (", "the snapshot at height 24"],
    },
    Case {
        name: "a bit of an older snapshot in the file",
        harm: |copy| copy.flip_in_file(&copy.snapshot(4), 50),
        codes: [OPENS, "store.snapshot_damaged", "store.snapshot_damaged"],
        says: &["the snapshot at block 4 "],
    },
    Case {
        name: "an older snapshot under a right checksum",
        harm: |copy| {
            let mut record = copy.snapshot(4);
            *record.last_mut().unwrap() ^= 1;
            copy.put_snapshot(4, &record);
        },
        codes: [OPENS, "snapshot.damaged", "snapshot.damaged"],
        says: &["block 4 (", "the snapshot at height 12"],
    },
    // What can be made again is not missed.
    Case {
        name: "no newest snapshot",
        harm: |copy| copy.sql("DELETE FROM snapshots WHERE block = 8", []),
        codes: [OPENS; 3],
        says: &[],
    },
    Case { name: "no snapshot", harm: |copy| copy.sql("DELETE FROM snapshots", []), codes: [OPENS; 3], says: &[] },
    Case {
        name: "a bit of the head in the file",
        harm: |copy| {
            let sql = "SELECT checksum FROM worlds";
            let connection = Connection::open(&copy.path).unwrap();
            let checksum: Vec<u8> = connection.query_row(sql, [], |row| row.get(0)).unwrap();
            drop(connection);
            copy.flip_in_file(&checksum, 3);
        },
        codes: [HEAD; 3],
        says: &["the head of world WORLD"],
    },
    Case {
        name: "a head that names another hash",
        harm: |copy| copy.put_head(LAST, EVENTS, &[7; 32]),
        codes: [HEAD; 3],
        says: &["the head of world WORLD"],
    },
    Case {
        name: "a head that names another height",
        harm: |copy| copy.put_head(LAST, EVENTS + 1, &copy.row(LAST).hash),
        codes: [HEAD; 3],
        says: &["the head of world WORLD"],
    },
    Case {
        name: "a head beyond the last block",
        harm: |copy| copy.put_head(LAST + 1, EVENTS, &copy.row(LAST).hash),
        codes: [MISSING; 3],
        says: &["block 12 ", "frames from height 34 on"],
    },
];

fn check(cases: &[Case]) {
    let whole = Whole::new();
    for Case { name, harm, codes, says } in cases {
        let copy = whole.copy();
        harm(&copy);
        let outcomes = copy.outcomes();
        assert_eq!(outcomes.each_ref().map(|(code, _)| code.as_str()), *codes, "{name}: {outcomes:?}");
        let (_, said) = &outcomes[2];
        let block = says.first().and_then(|says| says.strip_prefix("block ")?.split(' ').next()?.parse().ok());
        let hash = block.filter(|_| says[0].contains("HASH")).map(|block| copy.row(block).hash);
        let hash = hash.map_or(String::new(), |hash| Digest::from_bytes(hash.try_into().unwrap()).to_string());
        for words in *says {
            let words = words.replace("HASH", &hash).replace("WORLD", &whole.world.to_string());
            assert!(said.contains(&words), "{name}: `{words}` is not in `{said}`");
        }
    }
}

#[test]
fn a_changed_block_is_named_with_its_heights_and_the_world_does_not_open() {
    check(BLOCKS);
}

#[test]
fn a_changed_snapshot_or_head_is_named_and_the_world_does_not_open() {
    check(ROWS);
}

/// Blobs that notes what is asked for.
struct Noted<'a> {
    blobs: &'a StoreBlobs,
    asked: RefCell<BTreeSet<Digest>>,
}

impl Blobs for Noted<'_> {
    fn blob(&self, hash: &Digest) -> Result<Vec<u8>, BlobFault> {
        self.asked.borrow_mut().insert(*hash);
        self.blobs.blob(hash)
    }
}

/// Returns every blob that the world needs at its newest snapshot: definitions, and the nodes of the whole state.
fn needed(whole: &Whole) -> BTreeSet<Digest> {
    let record = whole.reader().snapshot(whole.world, BlockIndex(NEWEST)).unwrap().unwrap();
    let blobs = StoreBlobs::new(whole.reader());
    let noted = Noted { blobs: &blobs, asked: RefCell::default() };
    World::restore(&Snapshot::decode(&record).unwrap(), &noted).unwrap().check_state(&noted).unwrap();
    noted.asked.into_inner()
}

fn blobs(path: &Path) -> Vec<Digest> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT hash FROM blobs ORDER BY rowid").unwrap();
    let hashes = statement.query_map([], |row| row.get(0).map(Digest::from_bytes)).unwrap();
    hashes.collect::<Result<_, _>>().unwrap()
}

/// A node of the state that nothing had to read yet was not missed, and the world went on without it.
#[test]
fn a_blob_that_is_missing_or_damaged_is_named_and_the_world_does_not_open() {
    let whole = Whole::new();
    let state = needed(&whole);
    let definitions: BTreeSet<_> = demo().manifest.nodes().map(|(hash, _)| hash).chain([counter().digest]).collect();
    assert!(state.len() > definitions.len() + 3, "a state of several nodes");
    let mut seen = [0; 3];
    for hash in blobs(&whole.folder.path().join(FILE_NAME)) {
        let key = hash.as_bytes();
        for (expected, statement) in [
            ("blob.missing", "DELETE FROM blobs WHERE hash = ?1"),
            ("blob.damaged", "UPDATE blobs SET bytes = bytes || x'00' WHERE hash = ?1"),
        ] {
            let copy = whole.copy();
            copy.sql(statement, [key]);
            let outcomes = copy.outcomes();
            for (verify, (found, said)) in LEVELS.into_iter().zip(&outcomes) {
                let must = definitions.contains(&hash) || verify > Verify::Tail && state.contains(&hash);
                assert!(found == expected || !must && found == OPENS, "{verify:?} {hash}: {found}: {said}");
                assert!(found == OPENS || said.contains(&hash.to_string()), "{said}");
            }
        }
        let kind = if definitions.contains(&hash) { 0 } else { 2 - usize::from(state.contains(&hash)) };
        seen[kind] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "definitions, the newest state, older states: {seen:?}");
}

#[test]
fn another_module_under_a_modules_hash_is_no_substitute() {
    let whole = Whole::new();
    let copy = whole.copy();
    let memory = r#"(module (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) i32.const 0)"#;
    let step = r#"(func (export "step") (param i32 i32) (result i64) i64.const 0))"#;
    let other = wat::parse_str(format!("{memory} {step}")).unwrap();
    copy.sql("UPDATE blobs SET bytes = ?2 WHERE hash = ?1", params![counter().digest.as_bytes(), other]);
    for (found, said) in copy.outcomes() {
        assert_eq!(found, "blob.damaged");
        assert!(said.contains(&counter().digest.to_string()), "{said}");
    }
}

#[test]
fn what_lies_beyond_the_head_is_cut_by_whole_blocks_and_said() {
    let whole = Whole::new();
    for verify in LEVELS {
        let copy = whole.copy();
        let before = copy.row(LAST - 2);
        copy.put_head(LAST - 2, before.last_height, &before.hash);
        let (mut driver, opened) = open(file(&copy.path), whole.world, verify).unwrap();
        assert_eq!(opened.cut, [LAST - 1, LAST].map(BlockIndex));
        assert_eq!((count(&driver), driver.head().height.0), (Some(27), 27));
        // Nobody was told of the events beyond it, so they are new.
        driver.submit((28..=EVENTS).map(add_one)).unwrap();
        assert_eq!((count(&driver), driver.head().block), (Some(EVENTS), BlockIndex(LAST - 1)));
        drop(driver);
        let (driver, opened) = open(file(&copy.path), whole.world, Verify::History).unwrap();
        assert_eq!((opened.cut, count(&driver)), (Vec::new(), Some(EVENTS)));
        assert_ne!(driver.head().hash, whole.head.hash);
    }
}
