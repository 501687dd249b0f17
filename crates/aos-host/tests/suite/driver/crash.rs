//! Drivers that die: killed at any moment of making, opening, driving and closing a world, or out of disk. The test
//! binary runs itself again as the one that dies.
//!
//! What it does next and what was acknowledged it prints; whoever opens the file afterwards must find all of that.
//! Read next: `damage.rs`.

use std::env;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use aos_air::hash::Digest;
use aos_host::driver::{Answer, Driver, Opened, Options, System, Verify};
use aos_host::store::{FILE_NAME, FileStore};
use aos_host::wasm::Strategy;
use aos_kernel::id::WorldId;
use tempfile::TempDir;

use super::{LEVELS, add_one, code, count, create, demo, engine, every, file, open};

const PATH: &str = "AOS_TEST_DRIVER";

/// How many events one commit holds at `turn`.
fn batch(turn: u64) -> u64 {
    1 + turn * 7 % 9
}

fn say(words: &str) {
    writeln!(stdout(), "{words}").unwrap();
}

/// Becomes the driver that dies if this process was started as one.
fn is_victim(live: fn(&Path)) -> bool {
    let Some(path) = env::var_os(PATH) else { return false };
    live(Path::new(&path));
    true
}

/// Starts this test binary again for one test, which finds the variable set.
fn start(test: &str, path: &Path, wrapped_in: &[&str]) -> Child {
    // The module is built here, so that nobody dies over it.
    demo();
    let binary = env::current_exe().unwrap();
    let mut words = wrapped_in.iter().map(AsRef::as_ref).chain([binary.as_os_str()]);
    Command::new(words.next().unwrap())
        .args(words)
        .args(["--exact", &format!("driver::crash::{test}"), "--nocapture"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Reads the child's lines until it ends, and kills it some time after it has said `word` the `nth` time.
fn kill_at(child: &mut Child, word: &str, nth: u64, after: Duration) -> Vec<String> {
    let mut lines = Vec::new();
    let mut left = nth;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // A line can be torn by the kill; it does not count as said.
        let Ok(line) = line else { break };
        if line.starts_with(word) && left > 0 {
            left -= 1;
            if left == 0 {
                sleep(after);
                child.kill().unwrap();
            }
        }
        lines.push(line);
    }
    child.wait().unwrap();
    assert_eq!(left, 0, "it ended by itself: {lines:?}");
    lines
}

/// Returns the numbers of the last line that starts with `word`.
fn last(lines: &[String], word: &str) -> Option<Vec<u64>> {
    let line = lines.iter().rev().find_map(|line| line.strip_prefix(word))?;
    Some(line.split_whitespace().map(|number| number.parse().unwrap()).collect())
}

fn only_world(path: &Path) -> WorldId {
    file(path).worlds().unwrap().first().unwrap().0
}

/// Takes up a world with the machine's own clock, which is years past the one that it was made with.
fn reopen(path: &Path, world: WorldId, verify: Verify, snapshot_frames: u64) -> (Driver, Opened) {
    let options = Options { time_step_allowed: true, snapshot_frames };
    let engine = engine(Strategy::Optimised);
    Driver::open(file(path), engine, Box::new(System), world, verify, options, &mut |_| {}).unwrap()
}

/// Checks that new events have the frames from `first` on.
fn check_applied(first: u64, answers: &[Answer]) {
    for (height, answer) in (first..).zip(answers) {
        assert!(matches!(answer, Answer::Applied(frame) if frame.height.0 == height), "{answer:?}");
    }
}

/// Opens, drives and closes a world over and over, with snapshots in between. The n-th event makes the n-th frame.
fn drive_on(path: &Path) {
    let world = only_world(path);
    let mut turn: u64 = std::process::id().into();
    loop {
        say("opening");
        let verify = LEVELS[usize::try_from(turn % 3).unwrap()];
        let (mut driver, _) = reopen(path, world, verify, 25);
        for _ in 0..4 {
            let first = driver.head().height.0 + 1;
            let next = first + batch(turn);
            say(&format!("submitting {first} {}", next - 1));
            let answers = driver.submit((first..next).map(add_one)).unwrap();
            check_applied(first, &answers);
            say(&format!("acknowledged {}", next - 1));
            turn += 1;
            if turn.is_multiple_of(3) {
                say("snapshotting");
                driver.snapshot().unwrap();
            }
        }
        say("closing");
        if turn.is_multiple_of(2) {
            driver.close().unwrap();
        }
    }
}

/// Opens the world as after any crash, sends everything that was in doubt again, and returns how far it goes now.
fn come_back(path: &Path, world: WorldId, acknowledged: u64, in_doubt: u64, verify: Verify) -> u64 {
    let (mut driver, opened) = reopen(path, world, verify, 25);
    assert_eq!(opened.cut, []);
    let durable = driver.head().height.0;
    assert!(durable == acknowledged || durable == in_doubt, "{durable}: {acknowledged} acknowledged, {in_doubt} sent");
    assert_eq!(count(&driver).unwrap_or(0), durable, "each once");
    let again = acknowledged.saturating_sub(30) + 1..=in_doubt.max(acknowledged);
    for (id, answer) in again.clone().zip(driver.submit(again.map(add_one)).unwrap()) {
        match answer {
            Answer::Known { height, outcome } => assert!(height.0 == id && id <= durable && outcome.failure.is_none()),
            Answer::Applied(frame) => assert!(frame.height.0 == id && id > durable),
            Answer::Refused(refusal) => panic!("event {id}: {refusal}"),
        }
    }
    assert_eq!(count(&driver).unwrap_or(0), driver.head().height.0);
    driver.head().height.0
}

#[test]
fn a_driver_killed_at_any_moment_loses_and_doubles_nothing() {
    if is_victim(drive_on) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE_NAME);
    let world = create(file(&path), demo(), Options::default()).id();
    let words = ["opening", "submitting", "acknowledged", "snapshotting", "closing"];
    let mut acknowledged = 0;
    for round in 0..40_u64 {
        let mut child = start("a_driver_killed_at_any_moment_loses_and_doubles_nothing", &path, &[]);
        let word = words[usize::try_from(round % 5).unwrap()];
        let after = Duration::from_micros(round * 7919 % 2_500);
        let lines = kill_at(&mut child, word, 1 + round % 3, after);
        let told = last(&lines, "acknowledged ").map_or(acknowledged, |numbers| numbers[0]);
        let sent = last(&lines, "submitting ").map_or(acknowledged, |numbers| numbers[1]);
        // A reader finds it before a writer has come back, too.
        let read = FileStore::open_read(&path).unwrap();
        assert!([told, sent].contains(&read.head(world).unwrap().height.0));
        drop(read);
        let verify = if round % 2 == 0 { Verify::History } else { Verify::Tail };
        acknowledged = come_back(&path, world, told, sent, verify);
    }
    // The window of ids holds all of it, so that every single one can be asked for.
    assert!((200..4_000).contains(&acknowledged), "{acknowledged}");
    let (mut driver, _) = open(file(&path), world, Verify::History).unwrap();
    for (id, answer) in (1..=acknowledged).zip(driver.submit((1..=acknowledged).map(add_one)).unwrap()) {
        assert!(matches!(answer, Answer::Known { height, .. } if height.0 == id), "event {id}: {answer:?}");
    }
}

/// Makes world after world.
fn make_on(path: &Path) {
    loop {
        say("making");
        let driver = Driver::create(file(path), engine(Strategy::Optimised), Box::new(System), demo(), every(25));
        say(&format!("made {}", driver.unwrap().id()));
    }
}

#[test]
fn a_driver_killed_while_it_makes_a_world_leaves_all_or_nothing_of_it() {
    if is_victim(make_on) {
        return;
    }
    let mut folder = TempDir::new().unwrap();
    let (mut made, mut seen) = (Vec::new(), 0);
    for round in 0..24_u64 {
        if round % 4 == 0 {
            // The file itself is being made.
            (folder, made, seen) = (TempDir::new().unwrap(), Vec::new(), 0);
        }
        let path = folder.path().join(FILE_NAME);
        let mut child = start("a_driver_killed_while_it_makes_a_world_leaves_all_or_nothing_of_it", &path, &[]);
        let after = Duration::from_micros(round * 3571 % 6_000);
        let lines = kill_at(&mut child, "making", 1 + round % 4, after);
        made.extend(
            lines.iter().filter_map(|line| line.strip_prefix("made ")).map(|id| WorldId(id.parse::<Digest>().unwrap())),
        );
        let worlds: Vec<_> = file(&path).worlds().unwrap().into_iter().map(|(world, _)| world).collect();
        assert!(made.iter().all(|world| worlds.contains(world)));
        for world in &worlds {
            assert_eq!(code(&open(file(&path), *world, Verify::History)), "ok");
        }
        let unsaid = worlds.len() - made.len();
        assert!(unsaid <= usize::try_from(round % 4 + 1).unwrap(), "at most one for each kill");
        seen += worlds.len();
    }
    assert!(seen > 0);
}

/// Drives until something fails; then says with what, and that nothing more is taken.
fn drive_until_full(path: &Path) {
    let (mut driver, _) = reopen(path, only_world(path), Verify::Tail, 50);
    loop {
        let first = driver.head().height.0 + 1;
        say(&format!("submitting {first} {}", first + 19));
        let answers = driver.submit((first..first + 20).map(add_one));
        if let Ok(answers) = &answers {
            check_applied(first, answers);
        } else {
            say(&format!("failed {} {}", code(&answers), code(&driver.submit([add_one(1)]))));
            assert_eq!(code(&driver.snapshot()), "host.stopped");
            assert!(driver.world().is_err(), "it holds frames that nobody was told of");
            let durable = FileStore::open_read(path).unwrap().head(driver.id()).unwrap();
            assert_eq!(durable, *driver.head(), "the head is the last one that was acknowledged");
            return say(&format!("closed {}", code(&driver.close())));
        }
        say(&format!("acknowledged {}", first + 19));
    }
}

#[test]
fn a_failed_append_stops_the_driver_and_takes_nothing_back() {
    if is_victim(drive_until_full) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE_NAME);
    let world = create(file(&path), demo(), Options::default()).id();
    let mut acknowledged = 0;
    // The shell's limit on file size is in blocks of 512 bytes; it stops the write-ahead file.
    for blocks in [900, 1_500, 2_500] {
        let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut child =
            start("a_failed_append_stops_the_driver_and_takes_nothing_back", &path, &["sh", "-c", &limited]);
        let lines: Vec<_> = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
        assert!(child.wait().unwrap().success(), "{lines:?}");
        let ends: Vec<_> =
            lines.iter().filter(|line| line.starts_with("failed") || line.starts_with("closed")).collect();
        assert_eq!(ends, ["failed store.io host.stopped", "closed host.stopped"]);
        let told = last(&lines, "acknowledged ").unwrap()[0];
        assert!(told > acknowledged, "{blocks}: {told}");
        let sent = last(&lines, "submitting ").unwrap()[1];
        acknowledged = come_back(&path, world, told, sent, Verify::History);
    }
}
