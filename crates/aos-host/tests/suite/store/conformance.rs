//! The contract of `Read` and `Store`, one case each, for every backend.
//!
//! Knows no backend: a case opens handles at a place it is given.
//! Read next: `twin.rs`, the same contract against a model.

use std::thread;

use aos_air::hash::Digest;
use aos_host::store::{BATCH_BYTES, Blocks, Commit, Error, Head, RECORD_BYTES_MAX, Store, StoredBlock};
use aos_kernel::id::{BlockHash, BlockIndex, Height};

use super::{InFile, InMemory, Place, Writer, block, bytes, code, commit, named, whole, world};

macro_rules! for_every_backend {
    ($($case:ident,)*) => {
        mod memory { $(#[test] fn $case() { super::$case(&super::InMemory::new()); })* }
        mod file { $(#[test] fn $case() { super::$case(&super::InFile::new()); })* }
    };
}

for_every_backend! {
    a_world_is_created_once,
    worlds_are_listed_by_id,
    an_append_is_seen_by_every_handle,
    an_append_elsewhere_than_at_the_head_is_refused,
    a_newer_fence_ends_all_older_ones,
    two_racing_writers_lose_and_double_nothing,
    a_block_out_of_order_is_refused,
    a_refused_commit_leaves_nothing,
    blobs_are_shared_and_checked,
    records_at_the_limit_are_kept_and_larger_ones_refused,
    snapshots_come_newest_first,
    blocks_come_in_order_and_in_bounded_batches,
    a_height_finds_its_block,
    readers_go_on_beside_a_writer,
    cutting_a_whole_world_drops_nothing,
}

fn a_world_is_created_once(place: &dyn Place) {
    let mut store = place.open();
    let first = Writer::create(&mut *store, "a");
    assert_eq!(first.fence.number(), 1);
    let genesis = block(first.world, 0, 1, 0);
    assert_eq!(code(place.open().create(first.world, &commit(&genesis))), "store.world_exists");
    assert_eq!(store.head(first.world).unwrap(), genesis.head());
    assert_eq!(store.block(first.world, BlockIndex(0)).unwrap(), Some(genesis));

    let unknown = world("b");
    assert_eq!(code(store.head(unknown)), "store.world_unknown");
    assert_eq!(code(store.acquire(unknown)), "store.world_unknown");
    assert_eq!(code(store.blocks(unknown, BlockIndex(0), 1)), "store.world_unknown");
    assert_eq!(code(store.beyond(unknown)), "store.world_unknown");
    let next = block(unknown, 1, 1, 10);
    assert_eq!(code(store.append(unknown, first.fence, &first.head, &commit(&next))), "store.world_unknown");
}

fn worlds_are_listed_by_id(place: &dyn Place) {
    let mut store = place.open();
    assert_eq!(store.worlds().unwrap(), []);
    let mut expected = Vec::new();
    for (name, count) in [("a", 3), ("b", 0), ("c", 7)] {
        let mut writer = Writer::create(&mut *store, name);
        writer.append(&mut *store, count);
        expected.push((writer.world, writer.head));
    }
    expected.sort_by_key(|(world, _)| *world);
    assert_eq!(store.worlds().unwrap(), expected);
    assert_eq!(place.open().worlds().unwrap(), expected);
}

fn an_append_is_seen_by_every_handle(place: &dyn Place) {
    let (mut one, two) = (place.open(), place.open());
    let mut writer = Writer::create(&mut *one, "a");
    let reader = one.reader().unwrap();
    writer.append(&mut *one, 5);
    for handle in [&*one as &dyn aos_host::store::Read, &*two, &*reader] {
        assert_eq!(handle.head(writer.world).unwrap(), writer.head);
        for index in 0..=5 {
            let expected = block(writer.world, index, 1, 100);
            assert_eq!(handle.block(writer.world, BlockIndex(index)).unwrap(), Some(expected));
        }
        assert_eq!(handle.block(writer.world, BlockIndex(6)).unwrap(), None);
        assert_eq!(handle.block(writer.world, BlockIndex(u64::MAX)).unwrap(), None);
    }
}

fn an_append_elsewhere_than_at_the_head_is_refused(place: &dyn Place) {
    let mut store = place.open();
    let mut writer = Writer::create(&mut *store, "a");
    writer.append(&mut *store, 2);
    let head = writer.head;
    let wrong = [
        ("an earlier block", block(writer.world, 1, 1, 100).head()),
        ("a later block", block(writer.world, 3, 1, 100).head()),
        ("another history", Head { hash: BlockHash(Digest::of(b"other")), ..head }),
        ("another height", Head { height: Height(1), ..head }),
    ];
    for (name, after) in wrong {
        let next = block(writer.world, after.block.0 + 1, 1, 100);
        assert_eq!(
            code(store.append(writer.world, writer.fence, &after, &commit(&next))),
            "store.not_at_head",
            "{name}"
        );
    }
    assert_eq!(store.head(writer.world).unwrap(), head);
    writer.append(&mut *store, 1);
}

fn a_newer_fence_ends_all_older_ones(place: &dyn Place) {
    let (mut one, mut two) = (place.open(), place.open());
    let mut writer = Writer::create(&mut *one, "a");
    let other = Writer::create(&mut *one, "b");
    writer.append(&mut *one, 1);

    let newer = two.acquire(writer.world).unwrap();
    assert!(newer > writer.fence);
    assert_eq!(one.fence(writer.world).unwrap(), newer);
    let next = block(writer.world, 2, 1, 100);
    assert_eq!(code(one.append(writer.world, writer.fence, &writer.head, &commit(&next))), "store.fenced");
    assert_eq!(code(one.cut(writer.world, writer.fence)), "store.fenced");
    two.append(writer.world, newer, &writer.head, &commit(&next)).unwrap();

    assert_eq!(one.fence(other.world).unwrap(), other.fence, "another world's fence stays");
    assert!(one.acquire(writer.world).unwrap() > newer);
    assert_eq!(
        code(two.append(writer.world, newer, &next.head(), &commit(&block(writer.world, 3, 1, 9)))),
        "store.fenced"
    );
}

fn two_racing_writers_lose_and_double_nothing(place: &dyn Place) {
    let writer = Writer::create(&mut *place.open(), "a");
    let race = |mut store: Box<dyn Store>, name: &'static str| {
        move || {
            let mut written = Vec::new();
            while written.len() < 40 {
                let head = store.head(writer.world).unwrap();
                let next = StoredBlock {
                    hash: BlockHash(Digest::of(format!("{name}/{}", written.len()).as_bytes())),
                    ..block(writer.world, head.block.0 + 1, 1, 100)
                };
                match store.append(writer.world, writer.fence, &head, &commit(&next)) {
                    Ok(_) => written.push(next),
                    Err(Error::NotAtHead { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            written
        }
    };
    let (one, two) = (race(place.open(), "one"), race(place.open(), "two"));
    let mut written = thread::scope(|scope| {
        let (one, two) = (scope.spawn(one), scope.spawn(two));
        [one.join().unwrap(), two.join().unwrap()].concat()
    });
    written.sort_by_key(|block| block.index);
    let store = place.open();
    let kept: Result<Vec<_>, _> = Blocks::new(&*store, writer.world, BlockIndex(1)).unwrap().collect();
    assert_eq!(kept.unwrap(), written);
}

fn a_block_out_of_order_is_refused(place: &dyn Place) {
    let mut store = place.open();
    let fresh = world("fresh");
    let genesis = block(fresh, 0, 1, 0);
    for (name, wrong) in [
        ("a genesis that is not block 0", StoredBlock { index: BlockIndex(1), ..genesis.clone() }),
        ("a genesis with frames", StoredBlock { last_height: Height(1), ..genesis }),
    ] {
        assert_eq!(code(store.create(fresh, &commit(&wrong))), "store.out_of_order", "{name}");
    }
    let mut writer = Writer::create(&mut *store, "a");
    writer.append(&mut *store, 1);
    let next = block(writer.world, 2, 1, 100);
    for (name, wrong) in [
        ("a gap", StoredBlock { index: BlockIndex(3), ..next.clone() }),
        ("the same index", StoredBlock { index: BlockIndex(1), ..next.clone() }),
        ("a height that falls", StoredBlock { last_height: Height(0), ..next.clone() }),
        ("a height no file can keep", StoredBlock { last_height: Height(u64::MAX), ..next.clone() }),
    ] {
        let result = store.append(writer.world, writer.fence, &writer.head, &commit(&wrong));
        assert_eq!(code(result), "store.out_of_order", "{name}");
    }
    writer.append(&mut *store, 1);
}

fn a_refused_commit_leaves_nothing(place: &dyn Place) {
    let mut store = place.open();
    let mut writer = Writer::create(&mut *store, "a");
    writer.append(&mut *store, 1);
    let before = whole(&*store, writer.world).unwrap();
    let blobs = [named(b"left behind?".to_vec())];
    let next = block(writer.world, 2, 1, 100);
    let refused = Commit { block: &next, blobs: &blobs, snapshot: Some(b"record") };
    let stale = block(writer.world, 0, 1, 0).head();
    let after_stale = block(writer.world, 1, 2, 100);
    assert_eq!(
        code(store.append(writer.world, writer.fence, &stale, &Commit { block: &after_stale, ..refused })),
        "store.not_at_head"
    );
    let newest = store.acquire(writer.world).unwrap();
    assert_eq!(code(store.append(writer.world, writer.fence, &writer.head, &refused)), "store.fenced");
    assert_eq!(
        code(store.create(writer.world, &Commit { block: &block(writer.world, 0, 1, 0), ..refused })),
        "store.world_exists"
    );

    assert_eq!(code(store.blob(&blobs[0].0)), "store.blob_missing");
    assert_eq!(whole(&*store, writer.world).unwrap(), super::Whole { fence: newest, ..before });
    store.append(writer.world, newest, &writer.head, &refused).unwrap();
    assert_eq!(store.blob(&blobs[0].0).unwrap(), blobs[0].1);
}

fn blobs_are_shared_and_checked(place: &dyn Place) {
    let mut store = place.open();
    let shared = named(bytes("shared", 5000));
    for name in ["a", "b"] {
        let own = named(name.as_bytes().to_vec());
        let id = world(name);
        let genesis = block(id, 0, 1, 0);
        let blobs = [shared.clone(), own.clone(), shared.clone()];
        store.create(id, &Commit { block: &genesis, blobs: &blobs, snapshot: None }).unwrap();
        assert_eq!(store.blob(&own.0).unwrap(), own.1);
        assert_eq!(store.blob(&shared.0).unwrap(), shared.1);
    }
    let early = [named(b"early".to_vec()), named(Vec::new()), shared.clone()];
    store.put_blobs(&early).unwrap();
    store.put_blobs(&[]).unwrap();
    for (hash, bytes) in &early {
        assert_eq!(place.open().blob(hash).unwrap(), *bytes);
    }
    let absent = Digest::of(b"absent");
    assert!(matches!(store.blob(&absent), Err(Error::BlobMissing { hash }) if hash == absent));

    let good = named(b"good".to_vec());
    let wrong = [good.clone(), (absent, b"not absent".to_vec())];
    assert!(matches!(store.put_blobs(&wrong), Err(Error::BlobMismatch { hash }) if hash == absent));
    assert_eq!(code(store.blob(&good.0)), "store.blob_missing", "all or none");
}

fn records_at_the_limit_are_kept_and_larger_ones_refused(place: &dyn Place) {
    let mut store = place.open();
    let writer = Writer::create(&mut *store, "a");
    let largest = StoredBlock { body: vec![1; RECORD_BYTES_MAX], ..block(writer.world, 1, 1, 0) };
    let mut next = StoredBlock { index: BlockIndex(2), last_height: Height(2), ..largest.clone() };
    let head = store.append(writer.world, writer.fence, &writer.head, &commit(&largest)).unwrap();
    assert_eq!(store.block(writer.world, BlockIndex(1)).unwrap(), Some(largest));

    next.body.push(1);
    let too_large = std::mem::take(&mut next.body);
    let blob = [(Digest::of(b"its size is looked at first"), too_large.clone())];
    let commits = [
        (
            "body",
            Commit { block: &StoredBlock { body: too_large.clone(), ..next.clone() }, blobs: &[], snapshot: None },
        ),
        (
            "header",
            Commit { block: &StoredBlock { header: too_large.clone(), ..next.clone() }, blobs: &[], snapshot: None },
        ),
        ("snapshot", Commit { block: &next, blobs: &[], snapshot: Some(&too_large) }),
        ("blob", Commit { block: &next, blobs: &blob, snapshot: None }),
    ];
    for (name, commit) in &commits {
        assert_eq!(code(store.append(writer.world, writer.fence, &head, commit)), "store.too_large", "{name}");
    }
    assert_eq!(code(store.put_blobs(&blob)), "store.too_large");
    store.append(writer.world, writer.fence, &head, &commit(&next)).unwrap();
}

fn snapshots_come_newest_first(place: &dyn Place) {
    let mut store = place.open();
    let writer = Writer::create(&mut *store, "a");
    let mut head = writer.head;
    for index in 1..=9_u64 {
        let next = block(writer.world, index, 1, 10);
        let record = format!("snapshot {index}").into_bytes();
        let snapshot = index.is_multiple_of(3).then_some(&record[..]);
        head = store.append(writer.world, writer.fence, &head, &Commit { block: &next, blobs: &[], snapshot }).unwrap();
    }
    assert_eq!(store.snapshots(writer.world).unwrap(), [9, 6, 3].map(BlockIndex));
    assert_eq!(store.snapshot(writer.world, BlockIndex(6)).unwrap().as_deref(), Some(&b"snapshot 6"[..]));
    assert_eq!(store.snapshot(writer.world, BlockIndex(5)).unwrap(), None);
    assert_eq!(store.snapshot(writer.world, BlockIndex(10)).unwrap(), None);
    assert_eq!(Writer::create(&mut *store, "b").head.block, BlockIndex(0));
    assert_eq!(store.snapshots(world("b")).unwrap(), []);
}

fn blocks_come_in_order_and_in_bounded_batches(place: &dyn Place) {
    let mut store = place.open();
    let writer = Writer::create(&mut *store, "a");
    let size = BATCH_BYTES / 4;
    let mut head = writer.head;
    for index in 1..=10 {
        let body = vec![u8::try_from(index).unwrap(); if index == 7 { BATCH_BYTES + 1 } else { size }];
        let next = StoredBlock { body, ..block(writer.world, index, 1, 0) };
        head = store.append(writer.world, writer.fence, &head, &commit(&next)).unwrap();
    }
    let batch = |from, count| -> Vec<u64> {
        let blocks = store.blocks(writer.world, BlockIndex(from), count).unwrap();
        blocks.into_iter().map(|block| block.index.0).collect()
    };
    // Headers count as well, so that four bodies of a quarter do not fit.
    for (from, count, expected) in [
        (0, 0, vec![]),
        (0, 2, vec![0, 1]),
        (0, 99, vec![0, 1, 2, 3]),
        (4, 99, vec![4, 5, 6]),
        (7, 99, vec![7]),
        (8, 99, vec![8, 9, 10]),
        (11, 99, vec![]),
        (u64::MAX, 99, vec![]),
    ] {
        assert_eq!(batch(from, count), expected, "from {from}");
    }
    for from in [0, 5, 10, 11, 12] {
        let all = Blocks::new(&*store, writer.world, BlockIndex(from)).unwrap();
        let indexes: Vec<_> = all.map(|block| block.unwrap().index.0).collect();
        assert_eq!(indexes, (from..=10).collect::<Vec<_>>());
    }
}

fn a_height_finds_its_block(place: &dyn Place) {
    let mut store = place.open();
    let writer = Writer::create(&mut *store, "a");
    let (mut head, mut expected) = (writer.head, vec![0]);
    for (index, frames) in [1, 1, 256, 3, 16, 1, 40].into_iter().enumerate() {
        let index = u64::try_from(index).unwrap() + 1;
        let last_height = Height(head.height.0 + frames);
        let next = StoredBlock { last_height, ..block(writer.world, index, 1, 10) };
        head = store.append(writer.world, writer.fence, &head, &commit(&next)).unwrap();
        expected.extend((0..frames).map(|_| index));
    }
    for (height, index) in (0..).zip(expected) {
        let found = store.block_at(writer.world, Height(height)).unwrap().unwrap();
        assert_eq!(found.index, BlockIndex(index), "height {height}");
    }
    for beyond in [head.height.next(), Height(u64::MAX)] {
        assert_eq!(store.block_at(writer.world, beyond).unwrap(), None);
    }
}

fn readers_go_on_beside_a_writer(place: &dyn Place) {
    let mut store = place.open();
    let mut writer = Writer::create(&mut *store, "a");
    let id = writer.world;
    let readers = [store.reader().unwrap(), store.reader().unwrap()];
    thread::scope(|scope| {
        let readers = readers.map(|reader| {
            scope.spawn(move || {
                let mut rounds = 0_u64;
                loop {
                    let head = reader.head(id).unwrap();
                    let mut count = 0;
                    for found in Blocks::new(&*reader, id, BlockIndex(0)).unwrap() {
                        assert_eq!(found.unwrap(), block(id, count, 1, 100));
                        count += 1;
                    }
                    assert!(count > head.block.0, "a head was read and its block was not");
                    rounds += 1;
                    if head.block.0 == 200 {
                        return rounds;
                    }
                }
            })
        });
        writer.append(&mut *store, 200);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}

fn cutting_a_whole_world_drops_nothing(place: &dyn Place) {
    let mut store = place.open();
    let mut writer = Writer::create(&mut *store, "a");
    writer.append(&mut *store, 3);
    let before = whole(&*store, writer.world).unwrap();
    assert_eq!(store.cut(writer.world, writer.fence).unwrap(), []);
    assert_eq!(whole(&*store, writer.world).unwrap(), before);
}
