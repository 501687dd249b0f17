//! Modules that misbehave, each in a world beside one that does not: the frame says what failed, nothing of it stays,
//! and the world goes on. Modules that cannot run at all make no world.
//! Read next: `replay.rs`.

use aos_air::abi::{DomainEvent, Effect, Reply};
use aos_air::cbor;
use aos_host::driver::{Answer, DriveError, Driver, Options, replay_history};
use aos_host::store::{MemoryStore, Read};
use aos_host::wasm::Strategy;
use aos_kernel::derived::{By, Derived};
use aos_kernel::frame::Frame;
use aos_kernel::id::{BlockHash, StateRoot};
use aos_kernel::input::Input;

use super::{
    COUNTER, COUNTER_EVENT, Count, STRATEGIES, Script, count_of, counter, engine, event, origin, start, with_id,
};

const GUEST: &str = "test/Guest@1";
const CALM: &str = "test/Calm@1";
const CALM_EVENT: &str = "test/CalmEvent@1";

/// The counter's event goes to the counter and then to the guest under test; the calm one is another counter.
const AIR: &str = r#"[
  {"$kind": "manifest", "air_version": "1",
   "schemas": [{"name": "demo/CounterState@1"}, {"name": "demo/CounterEvent@1"}, {"name": "demo/Milestone@1"},
               {"name": "test/CalmEvent@1"}],
   "modules": [{"name": "demo/Counter@1"}, {"name": "test/Guest@1"}, {"name": "test/Calm@1"}],
   "routing": {"events": [{"event": "demo/CounterEvent@1", "reducer": "demo/Counter@1"},
                          {"event": "demo/CounterEvent@1", "reducer": "test/Guest@1"},
                          {"event": "test/CalmEvent@1", "reducer": "test/Calm@1"}]},
   "limits": {"reply_bytes_max": 4096, "fuel_per_call_max": 3000000, "events_per_frame_max": 40}},
  {"$kind": "defschema", "name": "demo/CounterState@1", "type": {"record": {"count": {"nat": {}}}}},
  {"$kind": "defschema", "name": "demo/CounterEvent@1",
   "type": {"variant": {"Add": {"nat": {}}, "Subtract": {"nat": {}}, "Reset": {"unit": {}}}}},
  {"$kind": "defschema", "name": "test/CalmEvent@1",
   "type": {"variant": {"Add": {"nat": {}}, "Subtract": {"nat": {}}, "Reset": {"unit": {}}}}},
  {"$kind": "defschema", "name": "demo/Milestone@1", "type": {"record": {"count": {"nat": {}}}}},
  {"$kind": "defmodule", "name": "demo/Counter@1", "module_kind": "reducer",
   "abi": {"reducer": {"state": "demo/CounterState@1", "event": "demo/CounterEvent@1"}}},
  {"$kind": "defmodule", "name": "test/Guest@1", "module_kind": "reducer",
   "abi": {"reducer": {"state": "demo/CounterState@1", "event": "demo/CounterEvent@1"}}},
  {"$kind": "defmodule", "name": "test/Calm@1", "module_kind": "reducer",
   "abi": {"reducer": {"state": "demo/CounterState@1", "event": "test/CalmEvent@1"}}}
]"#;

const ALLOC: &str = "i32.const 1024";

/// A module with these bodies of `alloc` and `step`, and `bytes` in its memory at 8192.
fn module(alloc: &str, step: &str, bytes: &[u8]) -> Vec<u8> {
    let data: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let text = format!(
        r#"(module (memory (export "memory") 2 4096) (data (i32.const 8192) "{data}")
            (func (export "alloc") (param $len i32) (result i32) {alloc})
            (func $step (export "step") (param $ptr i32) (param $len i32) (result i64) {step}))"#
    );
    wat::parse_str(text).unwrap()
}

/// A module whose step is this.
fn acting(step: &str) -> Vec<u8> {
    module(ALLOC, step, b"")
}

/// A module that answers every call with these bytes.
fn answering(bytes: &[u8]) -> Vec<u8> {
    module(ALLOC, &format!("i64.const {}", (8192_u64 << 32) | u64::try_from(bytes.len()).unwrap()), bytes)
}

fn replying(reply: &Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply.encode(&mut bytes);
    answering(&bytes)
}

fn raising(schema: &str, value: Vec<u8>) -> Vec<u8> {
    let raised = DomainEvent { schema: schema.into(), value, key: None };
    replying(&Reply { domain_events: vec![raised], ..Reply::default() })
}

/// Each misbehaviour with the code that its frame has.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let text = cbor::to_vec("text").unwrap();
    let effect = Effect { kind: "timer.set".into(), params: vec![0xa0], cap_slot: None, idempotency_key: None };
    vec![
        ("it traps", acting("unreachable"), "guest.trap"),
        ("it divides by zero", acting("i64.const 1 i64.const 0 i64.div_u"), "guest.trap"),
        ("it reads past its memory", acting("(i64.load (i32.const -9))"), "guest.trap"),
        ("its alloc traps", module("unreachable", "i64.const 0", b""), "guest.trap"),
        ("it loops", acting("(loop $on (br $on)) unreachable"), "guest.fuel"),
        ("its alloc loops", module("(loop $on (br $on)) unreachable", "i64.const 0", b""), "guest.fuel"),
        ("it recurses", acting("(call $step (local.get $ptr) (local.get $len))"), "guest.stack"),
        ("it hogs memory", acting("(loop $on (drop (memory.grow (i32.const 16))) (br $on)) unreachable"), "guest.fuel"),
        (
            "it wants more memory than there is",
            acting("(if (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)) (then unreachable)) i64.const 0"),
            "guest.trap",
        ),
        ("it answers from outside its memory", acting("i64.const -1"), "guest.pointer"),
        ("its alloc points outside its memory", module("i32.const -1", "i64.const 0", b""), "guest.pointer"),
        ("it answers with too much", answering(&[0; 4097]), "guest.reply_bytes"),
        ("it answers with nothing", acting("i64.const 0"), "guest.reply_form"),
        ("it answers with no envelope", answering(&[0x80]), "guest.reply_form"),
        ("it answers with an envelope of another form", answering(b"\xa1\x65stats\xf6"), "guest.reply_form"),
        ("its answer goes on after its end", answering(b"\xa1\x65state\xf6\xf6"), "guest.reply_form"),
        (
            "its state has another type",
            replying(&Reply { state: Some(text.clone()), ..Reply::default() }),
            "reducer.state",
        ),
        ("its state is no CBOR", replying(&Reply { state: Some(vec![0xff]), ..Reply::default() }), "reducer.state"),
        ("its event has a schema that is not there", raising("test/None@1", vec![0xf6]), "derived.schema_unknown"),
        ("its event does not fit its schema", raising("demo/Milestone@1", text), "derived.value"),
        (
            "it raises what it takes, for ever",
            raising(COUNTER_EVENT, cbor::to_vec(&Count::Reset).unwrap()),
            "limit.events_per_frame",
        ),
        ("it wants an effect", replying(&Reply { effects: vec![effect], ..Reply::default() }), "effect.undeclared"),
        (
            "it annotates without saying so",
            replying(&Reply { annotation: Some(vec![0xf6]), ..Reply::default() }),
            "reducer.annotation",
        ),
    ]
}

fn counts(input: Count) -> Input {
    event(COUNTER_EVENT, &input)
}

fn calm() -> Input {
    event(CALM_EVENT, &Count::Add(1))
}

fn applied(driver: &mut Driver, input: Input) -> Frame {
    match driver.submit([input]).unwrap().pop() {
        Some(Answer::Applied(frame)) => frame,
        other => panic!("not applied: {other:?}"),
    }
}

fn failure(frame: &Frame) -> Option<&'static str> {
    frame.outcome.failure.as_ref().map(|failure| failure.cause.code())
}

/// A world of the counter, this guest and the calm counter, and its store.
fn world(strategy: Strategy, guest: &[u8]) -> (Driver, MemoryStore) {
    let store = MemoryStore::new(origin());
    let start = start(AIR, &[(COUNTER, &counter().wasm), (GUEST, guest), (CALM, &counter().wasm)]);
    let ambient = Box::new(Script::default());
    let driver = Driver::create(Box::new(store.clone()), engine(strategy), ambient, start, Options::default());
    (driver.unwrap(), store)
}

/// Drives a world over a guest that fails, and returns where it ends.
fn suffer(strategy: Strategy, name: &str, guest: &[u8], expected: &str) -> (BlockHash, StateRoot) {
    let (mut driver, store) = world(strategy, guest);
    assert_eq!(failure(&applied(&mut driver, calm())), None, "{name}");
    for id in 1..=2 {
        let frame = applied(&mut driver, with_id(counts(Count::Add(250)), id));
        assert_eq!(failure(&frame), Some(expected), "{name}");
        assert_eq!(frame.derived, [], "{name}");
        // The counter had already taken the event when the guest after it failed.
        let cells = [COUNTER, GUEST, CALM].map(|reducer| count_of(&driver, reducer));
        assert_eq!(cells, [None, None, Some(id)], "{name}");
        let again = driver.submit([with_id(counts(Count::Add(250)), id)]).unwrap();
        let outcome = frame.outcome.clone();
        assert_eq!(again, [Answer::Known { height: frame.height, outcome }], "{name}");
        assert_eq!(failure(&applied(&mut driver, calm())), None, "{name}: the world goes on");
    }
    let (world, blobs) = (driver.id(), driver.blobs().clone());
    let (head, root) = driver.close().unwrap();
    for strategy in STRATEGIES {
        let found = replay_history(&store, &blobs, &engine(strategy), world, None, &mut |_| {}).unwrap();
        assert_eq!((found.hash, found.height.0, found.state_root), (head.hash, 5, Some(root)), "{name}");
    }
    (head.hash, root)
}

#[test]
fn a_guest_that_fails_changes_nothing_and_the_world_goes_on() {
    for (name, guest, expected) in hostile() {
        // Clock and entropy repeat, so both strategies must come to the same history, fuel and all.
        let [one, other] = STRATEGIES.map(|strategy| suffer(strategy, name, &guest, expected));
        assert_eq!(one, other, "{name}");
    }
}

#[test]
fn what_a_guest_raises_is_in_the_frame() {
    let milestone = cbor::to_vec(&std::collections::BTreeMap::from([("count", 7)])).unwrap();
    for strategy in STRATEGIES {
        let (mut driver, _) = world(strategy, &raising("demo/Milestone@1", milestone.clone()));
        let frame = applied(&mut driver, counts(Count::Add(100)));
        let raised: Vec<_> = frame
            .derived
            .iter()
            .map(|derived| match derived {
                Derived::Event { by: By::Handling(0), event } => (event.schema.as_str(), event.value.clone()),
                other => panic!("{other:?}"),
            })
            .collect();
        let of_counter = cbor::to_vec(&std::collections::BTreeMap::from([("count", 100)])).unwrap();
        assert_eq!(raised, [("demo/Milestone@1", of_counter), ("demo/Milestone@1", milestone.clone())]);
        assert_eq!([COUNTER, GUEST].map(|reducer| count_of(&driver, reducer)), [Some(100), None]);
    }
}

#[test]
fn a_module_that_cannot_run_makes_no_world() {
    let module = |text: &str| wat::parse_str(format!("(module {text})")).unwrap();
    let memory = r#"(memory (export "memory") 1)"#;
    let alloc = r#"(func (export "alloc") (param i32) (result i32) i32.const 0)"#;
    let step = r#"(func (export "step") (param i32 i32) (result i64) i64.const 0)"#;
    for (name, wasm, says) in [
        ("no WebAssembly", b"not a module".to_vec(), "first: "),
        ("an import", module(&format!(r#"(import "env" "now" (func (result i64))) {memory} {alloc} {step}"#)), "env"),
        ("no memory", module(&format!("{alloc} {step}")), "memory"),
        ("no alloc", module(&format!("{memory} {step}")), "alloc"),
        ("no step", module(&format!("{memory} {alloc}")), "step"),
        (
            "another signature",
            module(&format!(r#"{memory} {alloc} (func (export "step") (param i32) (result i64) i64.const 0)"#)),
            "step",
        ),
        ("a start function", module(&format!("{memory} {alloc} {step} (func $f) (start $f)")), "start"),
    ] {
        let store = MemoryStore::new(origin());
        let start = start(AIR, &[(COUNTER, &counter().wasm), (GUEST, &wasm), (CALM, &counter().wasm)]);
        let ambient = Box::new(Script::default());
        let made =
            Driver::create(Box::new(store.clone()), engine(Strategy::Optimised), ambient, start, Options::default());
        let Err(DriveError::Modules(findings)) = made else { panic!("{name}") };
        let [finding] = &findings.0[..] else { panic!("{name}: {findings}") };
        assert_eq!((finding.code, finding.place.file.as_str()), ("module.refused", GUEST), "{name}");
        assert!(finding.message.contains(says), "{name}: {}", finding.message);
        assert_eq!(store.worlds().unwrap(), [], "{name}");
    }
}
