//! What a driver answers, what it writes for that, and when it answers no more.
//!
//! Every append is one block and one sync, so that blocks are counted here.
//! Read next: `guests.rs`.

use std::sync::atomic::Ordering;

use aos_host::driver::{Answer, DriveError, Driver, Options, Verify};
use aos_host::store::{FILE_NAME, MemoryStore, Read, Store};
use aos_host::wasm::Strategy;
use aos_kernel::id::{BlockIndex, Height};
use aos_kernel::input::{Actor, Body, Event, Input};
use tempfile::TempDir;

use super::{
    COUNTER_EVENT, Count, LEVELS, Script, add_one, code, count, counter, create, demo, engine, event, every, file,
    height, open, origin, start, with_id,
};

fn in_memory() -> (Driver, MemoryStore) {
    let store = MemoryStore::new(origin());
    (create(Box::new(store.clone()), demo(), Options::default()), store)
}

/// The answers in short.
fn short(answers: &[Answer]) -> Vec<String> {
    let short = |answer: &Answer| match answer {
        Answer::Applied(frame) => format!("applied {}", frame.height),
        Answer::Known { height, .. } => format!("known {height}"),
        Answer::Refused(refusal) => refusal.code().to_owned(),
    };
    answers.iter().map(short).collect()
}

#[test]
fn a_refused_input_leaves_no_frame_and_no_block() {
    let (mut driver, store) = in_memory();
    driver.submit([add_one(1)]).unwrap();
    let head = *driver.head();
    let wrong = |body| Input { actor: Actor::Host, id: None, body };
    let text = Body::Event(Event { schema: COUNTER_EVENT.into(), value: b"\x64text".to_vec(), key: None });
    let refused = [
        (event("demo/CounterEvnt@1", &Count::Reset), "event.schema_unknown"),
        (event("demo/Milestone@1", &Count::Reset), "event.unrouted"),
        (wrong(text), "event.value"),
        (wrong(Body::Message { value: vec![0xf6], key: None }), "inbox.unknown"),
        (Input { actor: Actor::Principal("nobody".into()), ..add_one(9) }, "actor.unknown"),
        (Input { id: Some(Vec::new()), ..add_one(9) }, "limit.input_id_bytes"),
        (with_id(event(COUNTER_EVENT, &Count::Add(2)), 1), "input.id_reused"),
    ];
    for (input, expected) in &refused {
        assert_eq!(short(&driver.submit([input.clone()]).unwrap()), [*expected]);
    }
    assert_eq!(driver.submit([]).unwrap(), []);
    assert_eq!((*driver.head(), store.head(driver.id()).unwrap()), (head, head));

    // Among others they take nothing away, and no height.
    let mixed =
        refused.iter().map(|(input, _)| input.clone()).flat_map(|input| [input, event(COUNTER_EVENT, &Count::Add(1))]);
    let answers = short(&driver.submit(mixed).unwrap());
    let applied: Vec<_> = answers.iter().skip(1).step_by(2).collect();
    assert_eq!(
        applied,
        (2..=8).map(|height| format!("applied {height}")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    assert_eq!(driver.head().block, head.block.next());
    assert_eq!(count(&driver), Some(8));
}

#[test]
fn a_submit_is_one_block_and_resends_within_it_are_known() {
    let (mut driver, _) = in_memory();
    let answers = driver.submit([1, 2, 1, 3, 2, 3, 3].map(add_one)).unwrap();
    let expected = ["applied 1", "applied 2", "known 1", "applied 3", "known 2", "known 3", "known 3"];
    assert_eq!(short(&answers), expected);
    assert_eq!((driver.head().block, height(driver.head())), (BlockIndex(1), Height(3)));
    let head = *driver.head();
    assert_eq!(short(&driver.submit([3, 1].map(add_one)).unwrap()), ["known 3", "known 1"]);
    assert_eq!(*driver.head(), head, "what is known costs no block");
    assert_eq!(count(&driver), Some(3));
}

#[test]
fn a_batch_larger_than_a_block_makes_several() {
    let air = std::fs::read_to_string(super::examples().join("00-counter/air/counter.air.json")).unwrap();
    let air = air.replace(r#""air_version": "1","#, r#""air_version": "1", "limits": {"frames_per_block_max": 4},"#);
    for (events, blocks) in [(3, 1), (4, 1), (5, 2), (8, 2), (10, 3)] {
        let store = MemoryStore::new(origin());
        let mut driver =
            create(Box::new(store.clone()), start(&air, &[(super::COUNTER, &counter().wasm)]), Options::default());
        let answers = driver.submit((1..=events).map(add_one)).unwrap();
        assert_eq!(short(&answers), (1..=events).map(|height| format!("applied {height}")).collect::<Vec<_>>());
        assert_eq!(driver.head().block, BlockIndex(blocks), "{events} events");
        let (again, _) = open(Box::new(store), driver.id(), Verify::History).unwrap();
        assert_eq!(count(&again), Some(events));
    }
}

/// A block can be as large as the driver lets it grow and then take one more frame; the store refused that.
#[test]
fn the_largest_block_fits_the_store() {
    let (_, _, frame) = aos_air::limits::Limits::TABLE.iter().find(|(name, ..)| *name == "frame_bytes_max").unwrap();
    let most = (16 << 20) + usize::try_from(*frame).unwrap();
    assert!(most <= aos_host::store::RECORD_BYTES_MAX, "{most}");
}

#[test]
fn snapshots_come_by_count_on_request_and_at_a_close() {
    let store = MemoryStore::new(origin());
    let mut driver = create(Box::new(store.clone()), demo(), every(5));
    let world = driver.id();
    let snapshots =
        |store: &MemoryStore| store.snapshots(world).unwrap().into_iter().rev().map(|at| at.0).collect::<Vec<_>>();
    for id in 1..=4 {
        driver.submit([add_one(id)]).unwrap();
    }
    assert_eq!(snapshots(&store), [0]);
    driver.submit([5, 6, 7].map(add_one)).unwrap();
    assert_eq!(snapshots(&store), [0, 5], "the block that passes the count has it");
    let root = driver.snapshot().unwrap();
    assert_eq!((driver.snapshot().unwrap(), snapshots(&store)), (root, vec![0, 5]), "there was one at the head");
    driver.submit([add_one(8)]).unwrap();
    let other = driver.snapshot().unwrap();
    assert!(other != root && driver.head().height == Height(8));
    assert_eq!(snapshots(&store), [0, 5, 7], "a block without frames");
    driver.submit([add_one(9)]).unwrap();
    let (head, _) = driver.close().unwrap();
    assert_eq!((snapshots(&store), head.block), (vec![0, 5, 7, 9], BlockIndex(9)));
    let (reopened, opened) = open(Box::new(store.clone()), world, Verify::Tail).unwrap();
    assert_eq!((opened.replayed_from, *reopened.head()), (Height(10), head), "nothing is replayed after a close");
    assert_eq!(reopened.close().unwrap().0, head);
}

/// A world that always ended in a crash began its count anew each time, and never had a snapshot.
#[test]
fn the_count_to_the_next_snapshot_goes_on_after_a_crash() {
    let store = MemoryStore::new(origin());
    let world = create(Box::new(store.clone()), demo(), every(5)).id();
    for (round, verify) in (1..).zip(LEVELS) {
        let ambient = Box::new(Script::default());
        let engine = engine(Strategy::Optimised);
        let (mut driver, _) =
            Driver::open(Box::new(store.clone()), engine, ambient, world, verify, every(5), &mut |_| {}).unwrap();
        driver.submit([add_one(2 * round - 1)]).unwrap();
        driver.submit([add_one(2 * round)]).unwrap();
    }
    assert_eq!(store.snapshots(world).unwrap(), [5, 0].map(BlockIndex));
}

#[test]
fn a_second_driver_shuts_out_the_first() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE_NAME);
    let mut first = create(file(&path), demo(), Options::default());
    first.submit([add_one(1)]).unwrap();
    let (mut second, _) = open(file(&path), first.id(), Verify::Chain).unwrap();
    assert_eq!(short(&first.submit([add_one(1)]).unwrap()), ["known 1"], "what is durable may still be told");

    assert_eq!(code(&first.submit([add_one(2)])), "store.fenced");
    assert_eq!(code(&first.submit([add_one(2)])), "host.stopped");
    assert_eq!(code(&first.submit([])), "host.stopped");
    assert_eq!(code(&first.snapshot()), "host.stopped");
    assert_eq!(
        first.world().err().map(|error| error.code()),
        Some("host.stopped"),
        "it holds a frame that is not durable"
    );
    assert_eq!(code(&first.close()), "host.stopped");

    assert_eq!(short(&second.submit([1, 2].map(add_one)).unwrap()), ["known 1", "applied 2"]);
    assert_eq!(count(&second), Some(2));
}

/// The driver's own reader outlived its store, and the write-ahead file stayed behind.
#[test]
fn the_end_of_a_driver_leaves_one_file() {
    for close in [false, true] {
        let folder = TempDir::new().unwrap();
        let mut driver = create(file(&folder.path().join(FILE_NAME)), demo(), Options::default());
        driver.submit([add_one(1)]).unwrap();
        if close {
            driver.close().unwrap();
        } else {
            drop(driver);
        }
        let names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [FILE_NAME]);
    }
}

#[test]
fn a_world_that_is_not_there_does_not_open() {
    let (driver, _) = in_memory();
    let other = MemoryStore::new(origin());
    for verify in LEVELS {
        assert_eq!(code(&open(Box::new(other.clone()), driver.id(), verify)), "store.world_unknown");
    }
    let again: Box<dyn Store> = Box::new(other);
    assert_eq!(again.worlds().unwrap(), []);
}

/// A sender that came back after a day was refused for the time that had passed, though its input was in the journal.
#[test]
fn a_resend_is_known_however_late_and_a_new_input_needs_the_operator() {
    const DAY_NS: u64 = 86_400_000_000_000;
    let store = MemoryStore::new(origin());
    let ambient = Script::default();
    let engine = engine(Strategy::Optimised);
    let made =
        Driver::create(Box::new(store.clone()), engine.clone(), Box::new(ambient.clone()), demo(), Options::default());
    let mut driver = made.unwrap();
    driver.submit([add_one(1)]).unwrap();
    ambient.passed_ns.fetch_add(2 * DAY_NS, Ordering::SeqCst);
    assert_eq!(short(&driver.submit([add_one(1), add_one(2)]).unwrap()), ["known 1", "stamp.time_step"]);

    let options = Options { time_step_allowed: true, ..Options::default() };
    let (mut allowed, _) = Driver::open(
        Box::new(store.clone()),
        engine,
        Box::new(ambient.clone()),
        driver.id(),
        Verify::Tail,
        options,
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(short(&allowed.submit([add_one(2)]).unwrap()), ["applied 2"]);
    // A clock that goes back is recorded as it stands; the world's own time does not.
    let now = allowed.world().unwrap().logical_now_ns();
    ambient.passed_ns.fetch_sub(DAY_NS, Ordering::SeqCst);
    assert_eq!(short(&allowed.submit([add_one(3)]).unwrap()), ["applied 3"]);
    assert_eq!(allowed.world().unwrap().logical_now_ns(), now);
    assert_eq!(code(&open(Box::new(store), driver.id(), Verify::History)), "ok");
}

/// A source of randomness that has dried up.
struct Dry(Script);

impl aos_host::driver::Ambient for Dry {
    fn now_ns(&mut self) -> Result<u64, DriveError> {
        self.0.now_ns()
    }

    fn random(&mut self) -> Result<[u8; 32], DriveError> {
        Err(DriveError::Clock)
    }
}

#[test]
fn without_entropy_there_is_no_block() {
    let (driver, store) = in_memory();
    let engine = engine(Strategy::Optimised);
    let dry = Box::new(Dry(Script::default()));
    let (mut second, _) =
        Driver::open(Box::new(store), engine, dry, driver.id(), Verify::Tail, Options::default(), &mut |_| {}).unwrap();
    assert_eq!(code(&second.submit([add_one(1)])), "host.clock");
    assert_eq!(code(&second.submit([add_one(1)])), "host.stopped");
}
