//! What only the file does: its format and who may open it, and what lies beyond a head.
//!
//! Rows are planted and changed with SQLite itself, as another program or another version would.
//! Read next: `damage.rs` for changed bytes, `crash.rs` for killed writers.

use aos_host::store::{Blocks, Commit, FORMAT, FileStore};
use aos_kernel::id::BlockIndex;
use rusqlite::{Connection, params};

use super::{InFile, Place, Writer, block, bytes, code, commit, named, origin, whole};

fn sql(place: &InFile, statements: &str) {
    Connection::open(place.path()).unwrap().execute_batch(statements).unwrap();
}

#[test]
fn a_closed_store_is_one_file_that_can_be_copied() {
    let (place, other) = (InFile::new(), InFile::new());
    let mut store = place.open();
    let mut writer = Writer::create(&mut *store, "a");
    writer.append(&mut *store, 20);
    let before = whole(&*store, writer.world).unwrap();
    drop(store);
    let names: Vec<_> = std::fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["node.aos"]);
    std::fs::copy(place.path(), other.path()).unwrap();
    assert_eq!(whole(&*FileStore::open_read(&other.path()).unwrap(), writer.world).unwrap(), before);
    let mut copy = other.open();
    writer.append(&mut *copy, 1);
    assert_eq!(copy.origin(), &origin());
}

#[test]
fn what_is_not_our_store_is_refused_and_left_alone() {
    let unknown = format!("PRAGMA user_version = {}", FORMAT + 1);
    type Case<'a> = (&'a str, &'a dyn Fn(&InFile), &'a str);
    let cases: [Case<'_>; 5] = [
        ("a text", &|place| std::fs::write(place.path(), "dear diary\n".repeat(99)).unwrap(), "store.file_damaged"),
        ("another program's database", &|place| sql(place, "CREATE TABLE diary (line)"), "store.not_a_store"),
        (
            "a newer format",
            &|place| {
                drop(place.open());
                sql(place, &unknown);
            },
            "store.format",
        ),
        (
            "a table too many",
            &|place| {
                drop(place.open());
                sql(place, "CREATE TABLE diary (line)");
            },
            "store.file_damaged",
        ),
        ("a folder", &|place| std::fs::create_dir(place.path()).unwrap(), "store.io"),
    ];
    for (name, make, expected) in cases {
        let place = InFile::new();
        make(&place);
        let before = std::fs::read(place.path()).ok();
        assert_eq!(code(FileStore::open(&place.path(), &origin())), expected, "{name}");
        assert_eq!(code(FileStore::open_read(&place.path())), expected, "{name}");
        assert_eq!(std::fs::read(place.path()).ok(), before, "{name}");
    }
    assert_eq!(code(FileStore::open_read(&InFile::new().path())), "store.io");
}

#[test]
fn an_unfinished_file_is_finished() {
    let place = InFile::new();
    std::fs::write(place.path(), b"").unwrap();
    assert_eq!(code(FileStore::open_read(&place.path())), "store.not_a_store");
    drop(place.open());
    sql(&place, "PRAGMA wal_checkpoint");
    let store = place.open();
    assert_eq!(store.origin(), &origin());
}

#[test]
fn the_first_origin_stays() {
    let place = InFile::new();
    drop(place.open());
    let other = aos_host::store::Origin { created_by: "somebody else".to_owned(), ..origin() };
    assert_eq!(aos_host::store::Read::origin(&FileStore::open(&place.path(), &other).unwrap()), &origin());
}

/// Copies the last `count` blocks of a world behind its head, as a file put together by other means might have them.
fn plant_beyond(place: &InFile, count: u64) {
    let connection = Connection::open(place.path()).unwrap();
    for table in ["blocks", "snapshots"] {
        let columns =
            if table == "blocks" { "last_height + 9, hash, checksum, header, body" } else { "checksum, record" };
        let plant = format!(
            "INSERT INTO {table} SELECT world, block + ?1, {columns} FROM {table} \
             WHERE block > (SELECT head_block FROM worlds WHERE number = world) - ?1"
        );
        connection.execute(&plant, params![i64::try_from(count).unwrap()]).unwrap();
    }
}

#[test]
fn what_lies_beyond_the_head_is_listed_hidden_and_cut() {
    let place = InFile::new();
    let mut store = place.open();
    let mut writer = Writer::create(&mut *store, "a");
    writer.append(&mut *store, 4);
    let next = block(writer.world, 5, 1, 10);
    let with_snapshot = Commit { block: &next, blobs: &[], snapshot: Some(b"record") };
    writer.head = store.append(writer.world, writer.fence, &writer.head, &with_snapshot).unwrap();
    let before = whole(&*store, writer.world).unwrap();

    plant_beyond(&place, 3);
    let planted = [6, 7, 8].map(BlockIndex);
    assert_eq!(store.beyond(writer.world).unwrap(), planted);
    assert_eq!(store.block(writer.world, BlockIndex(6)).unwrap(), None);
    assert_eq!(store.blocks(writer.world, BlockIndex(5), 9).unwrap(), [next]);
    assert_eq!(store.snapshots(writer.world).unwrap(), [BlockIndex(5)]);
    assert_eq!(store.snapshot(writer.world, BlockIndex(8)).unwrap(), None);

    assert_eq!(store.cut(writer.world, writer.fence).unwrap(), planted);
    assert_eq!(whole(&*store, writer.world).unwrap(), before);
    writer.append(&mut *store, 2);
}

#[test]
fn a_gap_at_or_below_the_head_is_named_with_its_height() {
    for (gone, heights) in [(0, "None"), (1, "Some(Height(1))"), (5, "Some(Height(13))"), (6, "Some(Height(16))")] {
        let place = InFile::new();
        let mut store = place.open();
        let writer = Writer::create(&mut *store, "a");
        let mut head = writer.head;
        for index in 1..=6 {
            head =
                store.append(writer.world, writer.fence, &head, &commit(&block(writer.world, index, 3, 10))).unwrap();
        }
        sql(&place, &format!("DELETE FROM blocks WHERE block = {gone}"));
        let found: Vec<_> = match Blocks::new(&*store, writer.world, BlockIndex(0)) {
            Ok(blocks) => blocks.collect(),
            Err(error) => vec![Err(error)],
        };
        let errors = [found.last().unwrap().as_ref().err(), store.block(writer.world, BlockIndex(gone)).as_ref().err()]
            .map(|error| format!("{:?}", error.unwrap()));
        for error in errors {
            let world = writer.world;
            let expected = format!("BlockMissing {{ world: {world:?}, index: BlockIndex({gone}), height: {heights} }}");
            assert_eq!(error, expected);
        }
        // Everything from the gap on is lost to a replay; what stands before it is handed out.
        assert!(found.len() <= usize::try_from(gone).unwrap() + 1);
        assert_eq!(store.cut(writer.world, writer.fence).unwrap(), [], "nothing at or below the head is dropped");
    }
}

#[test]
fn a_write_that_fails_closes_the_handle_for_writing_only() {
    let place = InFile::new();
    let mut store = place.open();
    let mut writer = Writer::create(&mut *store, "a");
    writer.append(&mut *store, 2);
    let before = whole(&*store, writer.world).unwrap();
    // A row that cannot be there: its insertion fails in the middle of a commit.
    sql(
        &place,
        "INSERT INTO blocks SELECT world, 3, last_height, hash, checksum, header, body FROM blocks WHERE block = 2",
    );
    let next = block(writer.world, 3, 1, 10);
    let blobs = [named(bytes("blob", 9))];
    let full = Commit { block: &next, blobs: &blobs, snapshot: None };
    assert_eq!(code(store.append(writer.world, writer.fence, &writer.head, &full)), "store.file_damaged");
    for _ in 0..2 {
        assert_eq!(code(store.append(writer.world, writer.fence, &writer.head, &full)), "store.closed");
        assert_eq!(code(store.acquire(writer.world)), "store.closed");
        assert_eq!(code(store.put_blobs(&blobs)), "store.closed");
    }
    assert_eq!(whole(&*store, writer.world).unwrap().blocks, before.blocks);
    assert_eq!(code(store.blob(&blobs[0].0)), "store.blob_missing");
    drop(store);
    assert!(place.0.path().join("node.aos-wal").exists(), "the end of a closed handle syncs and writes nothing");
    let mut again = place.open();
    let fence = again.acquire(writer.world).unwrap();
    assert_eq!(again.cut(writer.world, fence).unwrap(), [BlockIndex(3)]);
    again.append(writer.world, fence, &writer.head, &full).unwrap();
}

#[test]
fn a_lock_held_for_long_is_a_refusal() {
    let place = InFile::new();
    let mut store = place.open();
    let mut writer = Writer::create(&mut *store, "a");
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let next = block(writer.world, 1, 1, 10);
    assert_eq!(code(store.append(writer.world, writer.fence, &writer.head, &commit(&next))), "store.busy");
    other.execute_batch("ROLLBACK").unwrap();
    writer.append(&mut *store, 1);
}

/// The format, byte by byte where it is ours: changing this means a new format version.
#[test]
fn the_rows_of_a_small_store_are_these() {
    let place = InFile::new();
    let mut store = place.open();
    let writer = Writer::create(&mut *store, "a");
    let next = block(writer.world, 1, 1, 3);
    let blobs = [named(b"abc".to_vec())];
    let full = Commit { block: &next, blobs: &blobs, snapshot: Some(b"record") };
    store.append(writer.world, writer.fence, &writer.head, &full).unwrap();
    drop(store);
    let connection = Connection::open(place.path()).unwrap();
    let mut rows = String::new();
    for query in [
        "SELECT 'file', (SELECT * FROM pragma_application_id), (SELECT * FROM pragma_user_version)",
        "SELECT 'store', one, hex(id), created_by, worlds, hex(checksum) FROM store",
        "SELECT 'worlds', number, hex(id), fence, head_block, head_height, hex(head_hash), hex(checksum) FROM worlds",
        "SELECT 'blocks', world, block, last_height, hex(hash), hex(checksum), length(header), hex(body), '.' FROM blocks",
        "SELECT 'snapshots', world, block, hex(checksum), hex(record) FROM snapshots",
        "SELECT 'blobs', hex(hash), hex(bytes) FROM blobs",
    ] {
        let mut statement = connection.prepare(query).unwrap();
        let columns = statement.column_count();
        let mut found = statement.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let fields = (0..columns).map(|column| match row.get_ref(column).unwrap() {
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                other => other.as_str().unwrap().to_lowercase(),
            });
            rows.push_str(&fields.collect::<Vec<_>>().join(" "));
            rows.push('\n');
        }
    }
    insta::assert_snapshot!(rows, @"
    file 1632588544 1
    store 1 0909090909090909090909090909090909090909090909090909090909090909 the store's tests 1 7d26a2545200ccd1997877733f650317
    worlds 1 17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f 1 1 1 5619a493debc62f156bd7c7db1914e3e9c69e9b1ab945d70cb26a7c27970a34d 871bdb4d98d780a06f74eaae0ee43d41
    blocks 1 0 0 8076f7aa60814b23d2d893f7ddf5970392976c5c000e23874b4f465b50165b6b 605e1c9b3ac580b695f60cce27564452 120  .
    blocks 1 1 1 5619a493debc62f156bd7c7db1914e3e9c69e9b1ab945d70cb26a7c27970a34d cc256c79c9bee3f5a5e0073fe7bfbb47 120 b36ec5 .
    snapshots 1 1 dd61cdc4df1e96856ebe0fcb6aa1ad77 7265636f7264
    blobs 6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85 616263
    ");
}
