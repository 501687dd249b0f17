//! Where the driver stands between a world and its adapters: what it holds back, and what it ends itself.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_host::driver::{DriveError, Driver, Options, System};
use aos_host::store::{MemoryStore, Store};
use aos_kernel::receipt::Receipt;
use serde::Deserialize;

use super::time::{DO, TIMED, TIMER, scripted};
use super::watched::{Moment, Watched};
use super::{
    End, More, Node, PLAIN, PLANS, Plan, TURN, Told, air, applied, at, dispatcher, engine, http, intents, open, origin,
    replay, settle, want, want_at,
};
use crate::dispatch::Scripted;
use crate::http_server::Server;

const ANY: &str = r#"{"when": {}, "decision": "allow"}"#;
const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nbody";

#[test]
fn a_receipt_that_the_world_refuses_is_answered_by_one_that_says_so() {
    // It was logged, and its intent stayed open for ever.
    let node = Node::new();
    let plans = [
        DO,
        Plan {
            name: "Again",
            emit: r#""kind": "test.do", "cap": "again", "params": {"ref": "@plan.input.what"}"#,
            ..DO
        },
    ];
    let members = r#", "limits": {"receipt_bytes_max": 700}"#;
    let mut driver = node.make(&scripted(&plans, More { grants: TIMED, members, ..PLAIN }));
    node.connect(&mut driver, vec![Scripted::new("test", 4)]);
    // Its sentence alone has a thousand bytes.
    driver.submit([want("Do", "once", "long"), want("Again", "keyed", "long"), want("Do", "large", "large")]).unwrap();
    settle(&mut driver);
    let told = Told::history(&driver);
    assert_eq!(*told.end("once"), End::bad("failed", "adapter.refused"));
    assert_eq!(*told.end("keyed"), End::bad("failed", "adapter.refused"));
    assert_eq!(*told.end("large"), End::bad("in_doubt", "adapter.payload"));
    replay(&driver);
}

#[test]
fn an_effect_that_its_adapter_does_not_know_ends_and_the_world_goes_on() {
    // A timer of another kind stopped the driver, and stopped it again after each restart.
    let node = Node::new();
    let other = Plan {
        name: "Other",
        emit: r#""kind": "timer.other", "cap": "clock", "params": {"ref": "@plan.input.what"}"#,
        wait: "",
        number: "1",
    };
    let effect = r#", {"$kind": "defeffect", "name": "t/timer.other@1", "kind": "timer.other", "params_schema": "t/Text@1",
        "receipt_schema": "t/Text@1", "cap_type": "timer", "origin_scope": "plan"}"#;
    let text = scripted(&[other, TIMER, DO], More { grants: TIMED, definitions: effect, ..PLAIN });
    let text = text.replace(r#""effects": ["#, r#""effects": [{"name": "t/timer.other@1"}, "#);
    let mut driver = node.make(&text);
    node.connect(&mut driver, vec![]);
    driver
        .submit([want("Other", "other", "x"), want("Do", "missing", "ok"), want_at("Timer", "timer", "", 1)])
        .unwrap();
    settle(&mut driver);
    let told = Told::history(&driver);
    assert_eq!(*told.end("other"), End::bad("failed", "adapter.kind"));
    assert_eq!(*told.end("missing"), End::bad("failed", "adapter.missing"));
    assert_eq!(*told.end("timer"), End::ok(1));
    replay(&driver);
}

#[test]
fn a_node_without_the_keys_that_a_world_trusts_answers_nothing_and_marks_nothing() {
    let server = Server::answering(CREATED);
    let (node, stranger) = (Node::new(), Node::new());
    let grants = format!("{}, {}", PLAIN.grants, r#"{"name": "clock", "cap": "sys/timer@1", "params": {}}"#);
    let [_, _, once, _] = PLANS;
    let mut driver = node.make(&at(&air(&[once, TIMER], More { grants: &grants, rules: ANY, ..PLAIN }), &server));
    let connection = dispatcher(&driver, vec![http()], None);
    let refused = driver.connect(connection, stranger.keys()).unwrap_err();
    assert_eq!(refused.code(), "keys.not_held");
    driver.submit([want("Once", "job", &server.url("/"))]).unwrap();
    assert_eq!(driver.turn(TURN).unwrap(), [], "the world goes on without a connection");
    drop(driver);

    // The keys of one adapter are here, those of the other are not.
    let folder = node.0.path().join("keys");
    let away = node.0.path().join("away");
    let key = |folder: &std::path::Path| {
        let mut paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("http.")).unwrap()
    };
    let path = key(&folder);
    fs::rename(&path, &away).unwrap();
    let mut driver = node.open();
    node.connect(&mut driver, vec![http()]);
    driver.submit([want_at("Timer", "timer", "", 1)]).unwrap();
    assert_eq!(applied(&driver.turn(TURN).unwrap()).len(), 1);
    assert_eq!(Told::history(&driver).marks, [], "what cannot be answered is not marked either");
    drop(driver);
    fs::rename(&away, &path).unwrap();
    let mut driver = node.open();
    node.connect(&mut driver, vec![http()]);
    settle(&mut driver);
    let told = Told::history(&driver);
    assert_eq!((told.end("job"), told.marks.len(), server.connections()), (&End::ok(201), 1, 1));
    replay(&driver);
}

#[test]
fn whoever_has_lost_the_world_dispatches_nothing() {
    let server = Server::answering(CREATED);
    let node = Node::new();
    let store = MemoryStore::new(origin());
    let start = node.start(&at(&air(&PLANS, PLAIN), &server));
    let made = Driver::create(Box::new(store.clone()), engine(), Box::new(System), start, Options::default()).unwrap();
    let world = made.id();
    drop(made);
    // Somebody takes it over right behind the commit of the asking.
    let mut other = store.clone();
    let watched = Watched::store(Box::new(store.clone()), move |moment, _| {
        if moment == Moment::After(1) {
            other.acquire(world).unwrap();
        }
    });
    let mut driver = open(watched, Box::new(System), Options::default());
    node.connect(&mut driver, vec![http()]);
    let lost = driver.submit([want("Safe", "job", &server.url("/"))]).unwrap_err();
    assert_eq!(lost.code(), "store.fenced");
    assert!(matches!(driver.turn(Duration::ZERO), Err(DriveError::Stopped)));
    assert_eq!(server.connections(), 0);

    let mut driver = open(Box::new(store), Box::new(System), Options::default());
    node.connect(&mut driver, vec![http()]);
    settle(&mut driver);
    assert_eq!(*Told::history(&driver).end("job"), End::ok(201));
    assert_eq!(server.connections(), 1);
}

#[derive(Deserialize)]
struct HttpReceipt {
    body_ref: Digest,
}

/// A moment, the connections until then, and the blobs of its commit.
type Seen = (Moment, usize, Vec<Digest>);

#[test]
fn an_answer_and_its_blobs_are_one_commit_and_nothing_leaves_before_its_own() {
    let server = Arc::new(Server::answering(CREATED));
    let node = Node::new();
    let commits: Arc<Mutex<Vec<Seen>>> = Arc::default();
    drop(node.make(&at(&air(&PLANS, PLAIN), &server)));
    let (noted, seen) = (Arc::clone(&commits), Arc::clone(&server));
    let watched = Watched::store(super::file(node.0.path()), move |moment, commit| {
        let blobs = commit.blobs.iter().map(|(hash, _)| *hash).collect();
        noted.lock().unwrap().push((moment, seen.connections(), blobs));
    });
    let mut driver = open(watched, Box::new(System), Options::default());
    node.connect(&mut driver, vec![http()]);
    driver.submit([want("Once", "job", &server.url("/"))]).unwrap();
    let answers = settle(&mut driver);
    let receipt: &Receipt = &Told::of(applied(&answers)).receipts[0];
    let body = cbor::from_slice::<HttpReceipt>(&receipt.payload).unwrap().body_ref;
    let (none, with) = (Vec::new, vec![body]);
    use Moment::{After, Before};
    let expected = [
        (Before(1), 0, none()),
        (After(1), 0, none()),
        (Before(2), 0, none()),
        (After(2), 0, none()),
        (Before(3), 1, with.clone()),
        (After(3), 1, with),
    ];
    assert_eq!(*commits.lock().unwrap(), expected);
    assert_eq!(intents(&driver), []);
}
