//! One journal, one result: from the genesis and from every snapshot, under every strategy, as often as one likes.
//!
//! Read next: `crash.rs`.

use std::cell::RefCell;

use aos_air::hash::Digest;
use aos_host::driver::{Driver, Options, Replayed, record, replay_history};
use aos_host::store::{Error, Fence, Head, MemoryStore, Origin, Read, StoredBlock};
use aos_host::wasm::{Guests, Strategy};
use aos_kernel::bundle::Bundle;
use aos_kernel::id::{BlockIndex, Height, WorldId};
use aos_kernel::input::Input;

use super::{
    COUNTER_EVENT, Count, LEVELS, STRATEGIES, Script, add_one, create, demo, engine, event, every, open, origin,
    with_id,
};

/// The n-th event of a history with everything in it: milestones, failures, a cell that is deleted and begun again.
fn mixed(id: u64) -> Input {
    let count = match id % 11 {
        4 => Count::Subtract(3),
        7 => Count::Subtract(100_000),
        9 if id > 40 => Count::Reset,
        _ => Count::Add(id * 7 % 60),
    };
    with_id(event(COUNTER_EVENT, &count), id)
}

/// Sends the events 1 to `last` in batches of different sizes.
fn send(driver: &mut Driver, last: u64) {
    let mut next = 1;
    while next <= last {
        let batch = (1 + next % 6).min(last + 1 - next);
        driver.submit((next..next + batch).map(mixed)).unwrap();
        next += batch;
    }
}

#[test]
fn every_way_through_a_history_ends_the_same() {
    let mut ends: Vec<Replayed> = Vec::new();
    for strategy in STRATEGIES {
        let store = MemoryStore::new(origin());
        let ambient = Box::new(Script::default());
        let mut driver = Driver::create(Box::new(store.clone()), engine(strategy), ambient, demo(), every(9)).unwrap();
        send(&mut driver, 70);
        let (world, blobs) = (driver.id(), driver.blobs().clone());
        let (head, root) = driver.close().unwrap();
        let end = Replayed { block: head.block, hash: head.hash, height: head.height, state_root: Some(root) };

        let snapshots = store.snapshots(world).unwrap();
        assert!(snapshots.len() > 6, "{snapshots:?}");
        for replaying in STRATEGIES.iter().chain(&STRATEGIES) {
            for from in [None].into_iter().chain(snapshots.iter().copied().map(Some)) {
                let found = replay_history(&store, &blobs, &engine(*replaying), world, from, &mut |_| {}).unwrap();
                assert_eq!(found, end, "{replaying:?} from {from:?}");
            }
        }
        for verify in LEVELS {
            let (opened, _) = open(Box::new(store.clone()), world, verify).unwrap();
            assert_eq!(*opened.head(), head);
            assert_eq!(opened.world().unwrap().state_root(), Some(root));
        }
        ends.push(end);
    }
    // The clock and the entropy of the tests repeat, so the strategy that made a history cannot be told from it.
    assert_eq!(ends[0], ends[1]);
}

#[test]
fn a_recording_holds_all_that_a_replay_needs() {
    let store = MemoryStore::new(origin());
    let mut driver = create(Box::new(store.clone()), demo(), every(9));
    send(&mut driver, 30);
    let (world, blobs) = (driver.id(), driver.blobs().clone());
    let (head, root) = driver.close().unwrap();
    let bundle = record(&store, &blobs, world).unwrap();
    let bundle = Bundle::decode(&bundle.encode()).unwrap();
    for strategy in STRATEGIES {
        let mut guests = Guests::new(engine(strategy), bundle.blobs.clone());
        let replayed = bundle.replay(&mut guests, &mut |_| {}).unwrap();
        assert_eq!((replayed.head(), replayed.state_root()), ((head.block, head.hash), Some(root)));
    }
}

#[test]
fn progress_is_told_the_height_of_each_block() {
    let store = MemoryStore::new(origin());
    let mut driver = create(Box::new(store.clone()), demo(), Options::default());
    for batch in [1..=3, 4..=4, 5..=9] {
        driver.submit(batch.map(add_one)).unwrap();
    }
    let mut told = Vec::new();
    let (blobs, engine) = (driver.blobs().clone(), engine(Strategy::Optimised));
    replay_history(&store, &blobs, &engine, driver.id(), None, &mut |height| told.push(height)).unwrap();
    assert_eq!(told, [3, 4, 9].map(Height));
}

/// A store to which something is appended whenever its head has been looked at, as by a writer in another process.
struct Busy {
    store: MemoryStore,
    writer: RefCell<Driver>,
}

impl Read for Busy {
    fn origin(&self) -> &Origin {
        self.store.origin()
    }

    fn worlds(&self) -> Result<Vec<(WorldId, Head)>, Error> {
        self.store.worlds()
    }

    fn head(&self, world: WorldId) -> Result<Head, Error> {
        let head = self.store.head(world)?;
        self.writer.borrow_mut().submit([add_one(head.height.0 + 1)]).unwrap();
        Ok(head)
    }

    fn fence(&self, world: WorldId) -> Result<Fence, Error> {
        self.store.fence(world)
    }

    fn block(&self, world: WorldId, index: BlockIndex) -> Result<Option<StoredBlock>, Error> {
        self.store.block(world, index)
    }

    fn blocks(&self, world: WorldId, from: BlockIndex, count: usize) -> Result<Vec<StoredBlock>, Error> {
        self.store.blocks(world, from, count)
    }

    fn snapshots(&self, world: WorldId) -> Result<Vec<BlockIndex>, Error> {
        self.store.snapshots(world)
    }

    fn snapshot(&self, world: WorldId, index: BlockIndex) -> Result<Option<Vec<u8>>, Error> {
        self.store.snapshot(world, index)
    }

    fn blob(&self, hash: &Digest) -> Result<Vec<u8>, Error> {
        self.store.blob(hash)
    }

    fn beyond(&self, world: WorldId) -> Result<Vec<BlockIndex>, Error> {
        self.store.beyond(world)
    }
}

/// A replay beside a writer read the head twice and took what was appended in between for a journal that does not end
/// at its head.
#[test]
fn a_replay_beside_a_writer_ends_at_the_head_that_it_found() {
    let store = MemoryStore::new(origin());
    let mut driver = create(Box::new(store.clone()), demo(), every(4));
    driver.submit((1..=10).map(add_one)).unwrap();
    let (world, blobs, head) = (driver.id(), driver.blobs().clone(), *driver.head());
    let busy = Busy { store, writer: RefCell::new(driver) };
    let found = replay_history(&busy, &blobs, &engine(Strategy::Optimised), world, None, &mut |_| {}).unwrap();
    assert_eq!((found.block, found.hash, found.height), (head.block, head.hash, head.height));
    assert!(busy.writer.borrow().head().height > head.height);
}
