//! What hangs on time: timers, deadlines of steps, answers that come too late, approvals, and a clock that steps.

use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

use aos_host::driver::{Answer, Driver, Options};
use aos_kernel::input::Input;
use aos_kernel::intent::Stage;
use aos_kernel::receipt::Status;

use super::{
    Clock, End, GRANTS, More, Node, PLAIN, PLANS, Plan, TURN, Told, air, applied, at, budget, decide, engine, file,
    http, intents, open, parked, replay, settle, want, want_at,
};
use crate::dispatch::Scripted;
use crate::http_server::Server;

const START_NS: u64 = 1_700_000_000_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;
const DAY_NS: u64 = 86_400 * SECOND_NS;

pub const TIMER: Plan = Plan {
    name: "Timer",
    emit: r#""kind": "timer.set", "cap": "clock", "params": {"deliver_at_ns": {"ref": "@plan.input.at"}}"#,
    wait: "",
    number: "1",
};
const HASTY: Plan = Plan { name: "Hasty", wait: r#", "timeout_ns": 5000000000"#, ..TIMER };
/// Waits five seconds of the world's clock for the scripted adapter.
pub const DO: Plan = Plan {
    name: "Do",
    emit: r#""kind": "test.do", "cap": "test", "params": {"ref": "@plan.input.what"}"#,
    wait: r#", "timeout_ns": 5000000000"#,
    number: "1",
};

/// Grants for timers and the scripted adapter.
pub const TIMED: &str = r#"{"name": "clock", "cap": "sys/timer@1", "params": {}, "budget": {"calls": 100}},
    {"name": "test", "cap": "t/test@1", "params": {}, "budget": {"calls": 100}},
    {"name": "again", "cap": "t/test@1", "params": {}, "honours_key": true}"#;

/// A world that knows the scripted adapter.
pub fn scripted(plans: &[Plan], more: More<'_>) -> String {
    let members =
        format!(r#", "effects": [{{"name": "t/test.do@1"}}], "caps": [{{"name": "t/test@1"}}]{}"#, more.members);
    let definitions = format!(
        r#",
        {{"$kind": "defschema", "name": "t/Text@1", "type": {{"text": {{}}}}}},
        {{"$kind": "defcap", "name": "t/test@1", "cap_type": "test", "schema": {{"record": {{}}}}}},
        {{"$kind": "defeffect", "name": "t/test.do@1", "kind": "test.do", "params_schema": "t/Text@1",
         "receipt_schema": "t/Text@1", "cap_type": "test", "origin_scope": "plan"}}{}"#,
        more.definitions
    );
    let rules = r#"{"when": {}, "decision": "allow"}"#;
    let air = air(plans, More { grants: more.grants, rules, members: &members, definitions: &definitions });
    air.replace(r#""schemas": ["#, r#""schemas": [{"name": "t/Text@1"}, "#)
}

fn timed(plans: &[Plan]) -> String {
    scripted(plans, More { grants: TIMED, ..PLAIN })
}

/// A world whose clock a test puts.
pub fn clocked(node: &Node, air: &str, clock: &Clock) -> Driver {
    Driver::create(file(node.0.path()), engine(), Box::new(clock.clone()), node.start(air), Options::default()).unwrap()
}

pub fn reopened(node: &Node, clock: &Clock) -> Driver {
    open(file(node.0.path()), Box::new(clock.clone()), Options::default())
}

/// The ids whose plans ended, in order.
fn order(answers: &[Answer], told: &Told) -> Vec<String> {
    let ended = Told::of(applied(answers)).ended;
    ended.iter().map(|(intent, ..)| told.whose(*intent).to_owned()).collect()
}

#[test]
fn timers_survive_a_restart_and_fire_in_the_order_of_their_times_then_of_their_asking() {
    let (node, clock) = (Node::new(), Clock::at(START_NS));
    let mut driver = clocked(&node, &timed(&[TIMER]), &clock);
    node.connect(&mut driver, vec![]);
    let at = |seconds: u64| START_NS + seconds * SECOND_NS;
    let wants = [("d", 40), ("b", 20), ("c", 20), ("a", 10), ("e", 50), ("past", 0)];
    let answers = driver.submit(wants.map(|(id, seconds)| want_at("Timer", id, "", at(seconds)))).unwrap();
    assert_eq!(applied(&answers).len(), 6);
    assert_eq!(applied(&driver.turn(TURN).unwrap()).len(), 1, "what is due already fires at once");
    driver.disconnect(Duration::ZERO).unwrap();
    drop(driver);

    clock.put(at(30));
    let mut driver = reopened(&node, &clock);
    assert_eq!(node.connect(&mut driver, vec![]), [], "a connection alone fires nothing");
    let fired = driver.turn(TURN).unwrap();
    assert_eq!(order(&fired, &Told::history(&driver)), ["a", "b", "c"]);
    assert_eq!(driver.turn(Duration::from_millis(1)).unwrap(), []);
    clock.put(at(40));
    let fired = driver.turn(TURN).unwrap();
    assert_eq!(order(&fired, &Told::history(&driver)), ["d"], "at its time, not after it");
    // A clock that goes back fires nothing twice.
    clock.put(at(20));
    assert_eq!(driver.turn(Duration::from_millis(1)).unwrap(), []);
    clock.put(at(50));
    settle(&mut driver);
    let told = Told::history(&driver);
    assert!(wants.iter().all(|(id, _)| *told.end(id) == End::ok(1)));
    replay(&driver);
}

#[test]
fn a_step_that_waits_too_long_ends_its_effect_and_what_its_adapter_says_then_is_late() {
    let (node, clock) = (Node::new(), Clock::at(START_NS));
    let mut driver = clocked(&node, &timed(&[DO, HASTY]), &clock);
    let adapter = Scripted::new("test", 4);
    node.connect(&mut driver, vec![adapter.clone()]);
    let far = START_NS + 100 * SECOND_NS;
    let wants = [want("Do", "deaf", "deaf"), want("Do", "hang", "sent_hang"), want_at("Hasty", "timer", "", far)];
    driver.submit(wants).unwrap();
    assert_eq!(driver.turn(Duration::from_millis(20)).unwrap(), []);
    clock.put(START_NS + 5 * SECOND_NS);
    let mut answers = driver.turn(TURN).unwrap();
    let timeouts = Told::of(applied(&answers)).ended;
    assert_eq!(timeouts.iter().filter(|(_, status, is_late)| *status == Status::Timeout && !is_late).count(), 3);
    // The worst case counts until somebody knows better.
    assert_eq!(budget(&driver, "clock").0.calls, 1);
    adapter.released.store(true, Ordering::SeqCst);
    while Told::history(&driver).ended.len() < 6 {
        answers.extend(driver.turn(TURN).unwrap());
    }
    let told = Told::history(&driver);
    let mut late: Vec<_> = told
        .ended
        .iter()
        .filter(|(.., is_late)| *is_late)
        .map(|(intent, status, _)| (told.whose(*intent), status.word()))
        .collect();
    late.sort_unstable();
    assert_eq!(late, [("deaf", "ok"), ("hang", "in_doubt"), ("timer", "cancelled")]);
    for id in ["deaf", "hang", "timer"] {
        assert_eq!(*told.end(id), End::bad("timeout", "plan.await_timeout"), "a late answer resumes nothing");
    }
    assert_eq!(budget(&driver, "clock").0.calls, 0, "a timer that was called off costs nothing");
    assert_eq!(budget(&driver, "test").0.calls, 2);
    assert_eq!(driver.turn(Duration::from_millis(1)).unwrap(), []);
    replay(&driver);
}

#[test]
fn approvals_and_their_expiry_survive_a_restart() {
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let (node, clock) = (Node::new(), Clock::at(START_NS));
    let mut driver = clocked(&node, &at(&air(&PLANS, PLAIN), &server), &clock);
    node.connect(&mut driver, vec![http()]);
    let wants = ["yes", "no", "never"].map(|id| want("Asked", id, &server.url("/")));
    driver.submit(wants).unwrap();
    drop(driver);

    let mut driver = reopened(&node, &clock);
    node.connect(&mut driver, vec![http()]);
    assert_eq!(budget(&driver, "asked").1.calls, 0, "nothing is held for what waits");
    let waiting = parked(&driver);
    assert_eq!((waiting.len(), server.connections()), (3, 0));
    let word = |intent, approve| Input { id: None, ..decide(&driver, intent, approve) };
    let words = [word(&waiting[0], true), word(&waiting[1], false)];
    driver.submit(words).unwrap();
    settle(&mut driver);
    // The third one waits until its time is over, also without anybody looking.
    let Stage::Parked { expires_ns } = parked(&driver)[0].stage else { unreachable!() };
    let step = driver.world().unwrap().limits().time_step_ns_max;
    drop(driver);
    clock.put(expires_ns);
    let options = Options { time_step_allowed: expires_ns - START_NS > step, ..Options::default() };
    let mut driver = open(file(node.0.path()), Box::new(clock.clone()), options);
    node.connect(&mut driver, vec![http()]);
    driver.turn(TURN).unwrap();
    let told = Told::history(&driver);
    assert_eq!(*told.end("yes"), End::ok(204));
    assert_eq!(*told.end("no"), End::bad("denied", "approval.denied"));
    assert_eq!(*told.end("never"), End::bad("denied", "approval.expired"));
    assert_eq!((server.connections(), intents(&driver)), (1, vec![]));
    replay(&driver);
}

#[test]
fn a_timer_weeks_ahead_fires_in_a_world_that_sleeps_until_then() {
    // The clock went on in small steps, but the last frame was weeks ago: the receipt was refused as `stamp.time_step`.
    let (node, clock) = (Node::new(), Clock::at(START_NS));
    let mut driver = clocked(&node, &timed(&[TIMER]), &clock);
    node.connect(&mut driver, vec![]);
    driver.submit([want_at("Timer", "weeks", "", START_NS + 20 * DAY_NS)]).unwrap();
    for half_days in 1..=40 {
        clock.put(START_NS + half_days * DAY_NS / 2);
        assert_eq!(driver.turn(Duration::from_millis(1)).unwrap().len(), usize::from(half_days == 40));
    }
    assert_eq!(*Told::history(&driver).end("weeks"), End::ok(1));
    replay(&driver);
}

#[test]
fn what_a_clock_that_steps_too_far_brings_is_kept_until_the_operator_or_the_clock_comes() {
    // A refused receipt was dropped, a refused tick was offered a thousand times, and an intent of class once whose mark
    // was refused was sent without one.
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n");
    let (node, clock) = (Node::new(), Clock::at(START_NS));
    let grants = format!("{GRANTS}, {}", r#"{"name": "clock", "cap": "sys/timer@1", "params": {}}"#);
    let [_, _, once, _] = PLANS;
    let text = at(&air(&[TIMER, once], More { grants: &grants, ..PLAIN }), &server);
    let mut driver = clocked(&node, &text, &clock);
    let due_ns = START_NS + SECOND_NS;
    driver.submit([want_at("Timer", "timer", "", due_ns), want("Once", "once", &server.url("/"))]).unwrap();
    clock.put(START_NS + 3 * DAY_NS);
    node.connect(&mut driver, vec![http()]);
    for _ in 0..3 {
        let answers = driver.turn(Duration::from_millis(10)).unwrap();
        let codes = answers.iter().map(|answer| match answer {
            Answer::Refused(refusal) => refusal.code(),
            other => panic!("{other:?}"),
        });
        assert_eq!(codes.collect::<Vec<_>>(), ["stamp.time_step"]);
    }
    assert_eq!(server.connections(), 0, "without its mark nothing of class once leaves");
    clock.put(START_NS + 2 * SECOND_NS);
    settle(&mut driver);
    let told = Told::history(&driver);
    assert_eq!((told.end("timer"), told.end("once")), (&End::ok(1), &End::ok(204)));
    assert_eq!((server.connections(), told.marks.len()), (1, 1));
    replay(&driver);
}

#[test]
fn a_disconnection_lets_what_runs_end_and_keeps_open_what_may_be_repeated() {
    let (node, clock) = (Node::new(), Clock::at(START_NS));
    let again = r#""kind": "test.do", "cap": "again", "params": {"ref": "@plan.input.what"}"#;
    let plans = [Plan { wait: "", ..DO }, Plan { name: "Again", emit: again, wait: "", ..DO }];
    let mut driver = clocked(&node, &timed(&plans), &clock);
    let adapter = Scripted::new("test", 8);
    node.connect(&mut driver, vec![adapter.clone()]);
    let wants = [
        want("Do", "quick", "slow 50"),
        want("Do", "hang", "hang"),
        want("Do", "sent", "sent_hang"),
        want("Again", "again", "hang"),
    ];
    driver.submit(wants).unwrap();
    // Each is under way; what has not begun would be called off at once.
    while !intents(&driver).iter().all(|intent| adapter.tries(intent.id) == 1) {
        sleep(Duration::from_millis(1));
    }
    let answers = driver.disconnect(Duration::from_millis(600)).unwrap();
    assert_eq!(applied(&answers).len(), 3);
    let told = Told::history(&driver);
    assert_eq!(*told.end("quick"), End::ok(1));
    assert_eq!(*told.end("hang"), End::bad("cancelled", "adapter.cancelled"));
    assert_eq!(*told.end("sent"), End::bad("in_doubt", "adapter.cancelled"));
    let open = intents(&driver);
    assert_eq!(open.iter().map(|intent| told.whose(intent.id)).collect::<Vec<_>>(), ["again"]);
    assert_eq!(driver.turn(super::LONG).unwrap(), [], "nothing is waited for without a connection");
    // The next connection takes it up.
    let adapter = Scripted::new("test", 8);
    node.connect(&mut driver, vec![adapter.clone()]);
    while adapter.tries(open[0].id) == 0 {
        assert_eq!(driver.turn(Duration::from_millis(2)).unwrap(), []);
    }
    assert_eq!(driver.disconnect(Duration::ZERO).unwrap(), []);
    assert_eq!(intents(&driver), open);
    replay(&driver);
}
