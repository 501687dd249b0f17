//! kill -9 at moments that nobody chose, over and over, while dozens of effects of all classes are under way.
//!
//! Read next: `kill.rs`, where the moments are chosen.

use std::io::{BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use aos_host::driver::{Options, System};
use aos_host::keys::Keys;
use aos_kernel::gate::Spend;

use super::kill::{Shop, is_victim, stand_still, start, url};
use super::{End, Node, PLAIN, PLANS, Told, air, at, budget, dispatcher, file, http, open, replay, settle, want};

/// How many effects of each class.
const EFFECTS: u64 = 20;
const SEED: u64 = 0x5eed_2026;
const CLASSES: [&str; 3] = ["Safe", "Keyed", "Once"];

/// Numbers that look like chance and are the same in each run.
struct Chance(AtomicU64);

impl Chance {
    /// Below `bound`.
    fn next(&self, bound: u64) -> u64 {
        let step = |state: u64| {
            let state = state ^ (state << 13);
            let state = state ^ (state >> 7);
            Some(state ^ (state << 17))
        };
        let before = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).unwrap();
        (before >> 20) % bound
    }
}

/// Wants everything that there is to want, a piece at a time, and takes in what comes.
fn live(folder: &Path) {
    let mut driver = open(file(folder), Box::new(System), Options { snapshot_frames: 20, ..Options::default() });
    let connection = dispatcher(&driver, vec![http()], None);
    writeln!(stdout(), "\nconnecting").unwrap();
    driver.connect(connection, Arc::new(Keys::open(folder).unwrap())).unwrap();
    for number in 0..EFFECTS {
        driver.submit(wants(number, &url())).unwrap();
        driver.turn(Duration::from_millis(2)).unwrap();
    }
    settle(&mut driver);
    stand_still();
}

fn wants(number: u64, url: &str) -> Vec<aos_kernel::input::Input> {
    let want = |class: &&str| {
        let id = format!("{class}-{number}");
        want(class, &id, &format!("{url}/{id}"))
    };
    CLASSES.iter().map(want).collect()
}

#[test]
fn effects_that_are_killed_at_any_moment_are_not_lost_not_doubled_and_not_hushed_up() {
    if is_victim(live) {
        return;
    }
    println!("seed {SEED:#x}");
    let chance = Arc::new(Chance(AtomicU64::new(SEED)));
    let node = Node::new();
    let pauses = Arc::clone(&chance);
    let shop = Shop::open(None, move || sleep(Duration::from_millis(pauses.next(12))));
    drop(node.make(&at(&air(&PLANS, PLAIN), &shop.server)));
    let test = "storm::effects_that_are_killed_at_any_moment_are_not_lost_not_doubled_and_not_hushed_up";
    let url = shop.server.url("");
    for _ in 0..25 {
        let mut child = start(test, node.0.path(), "", &url);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line == "connecting"));
        sleep(Duration::from_micros(chance.next(40_000)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut driver = node.open();
    node.connect(&mut driver, vec![http()]);
    for number in 0..EFFECTS {
        driver.submit(wants(number, &url)).unwrap();
    }
    settle(&mut driver);
    let told = Told::history(&driver);
    told.check();
    let (mut doubts, mut again) = (0, 0);
    for number in 0..EFFECTS {
        for class in CLASSES {
            let id = format!("{class}-{number}");
            let (requests, performed) = shop.counted(&format!("/{id}"));
            let end = told.end(&id);
            again += requests.saturating_sub(1);
            match class {
                "Safe" => assert!(*end == End::ok(201) && requests >= 1, "{id}: {requests} {end:?}"),
                "Keyed" => assert!(*end == End::ok(201) && performed == 1, "{id}: {performed} {end:?}"),
                _ if *end == End::ok(201) => assert_eq!(requests, 1, "{id}"),
                _ => {
                    assert!(*end == End::bad("in_doubt", "adapter.lost") && requests <= 1, "{id}: {requests} {end:?}");
                    doubts += 1;
                }
            }
        }
    }
    let said = told.receipts.iter().filter(|receipt| receipt.status.word() == "in_doubt").count();
    assert_eq!(said, doubts);
    assert!(doubts > 0 && again > 0, "the kills hit nothing: {doubts} doubts, {again} again");
    for (grant, calls) in [("web", 2 * EFFECTS), ("shop", EFFECTS)] {
        let (spent, reserved) = budget(&driver, grant);
        assert_eq!((spent.calls, reserved), (calls, Spend::ZERO), "{grant}");
    }
    assert_eq!(shop.keys().0 as u64, EFFECTS);
    replay(&driver);
}
