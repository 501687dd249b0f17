//! What is refused before anything is recorded, and what a resend gets.

use aos_air::cbor;
use aos_kernel::error::Refusal;
use aos_kernel::id::Height;
use aos_kernel::input::{Actor, Body, Input, Opening, Stamp};
use aos_kernel::{Admission, Seal};

use crate::support::{Act, Bench, Keyed, START_NS, acts, added, event, with_id, with_key};

fn refused(bench: &mut Bench, input: Input) -> Refusal {
    match bench.admit(input) {
        Err(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn every_refusal_has_its_code_and_leaves_no_trace() {
    let mut bench = Bench::new(r#""event_bytes_max": 40, "key_bytes_max": 8"#);
    let from = |actor, body| Input { actor, id: None, body };
    let message = |value: &Keyed| Body::Message { value: cbor::to_vec(value).unwrap(), key: None };
    let tick = Keyed::Tick;
    let cases = [
        (event("test/Adedd@1", vec![0xf6]), "event.schema_unknown"),
        (event("sys/Nothing@1", vec![0xf6]), "event.schema_unknown"),
        (event("test/Note@1", vec![0x60]), "event.unrouted"),
        (event("test/Added@1", vec![0xa0]), "event.value"),
        (event("test/Added@1", vec![0xbf, 0xff]), "event.value"),
        (event("test/Script@1", vec![0x58, 0x01, 0x80]), "event.value"),
        (event("test/Script@1", vec![0x40; 41]), "limit.event_bytes"),
        (event("test/Tick@1", vec![0xf6]), "key.missing"),
        (with_key(added("ann", 1), "bob"), "key.conflict"),
        (with_key(event("test/Tick@1", vec![0xf6]), "longer than 8"), "limit.key_bytes"),
        (added("longer than 8", 1), "limit.key_bytes"),
        (from(Actor::Principal("eve".into()), added("a", 1).body), "actor.unknown"),
        (from(Actor::Inbox("fax".into()), message(&tick)), "inbox.unknown"),
        (from(Actor::Inbox("mail".into()), message(&tick)), "key.missing"),
        (from(Actor::Inbox("mail".into()), added("a", 1).body), "event.unrouted"),
        (from(Actor::Host, message(&tick)), "inbox.unknown"),
        (with_id(added("a", 1), b""), "limit.input_id_bytes"),
        (with_id(added("a", 1), &[b'x'; 65]), "limit.input_id_bytes"),
    ];
    for (input, code) in cases {
        let shown = format!("{input:?}");
        let refusal = refused(&mut bench, input);
        assert_eq!(refusal.code(), code, "{shown}: {refusal}");
    }
    let mut wrong_type = event("test/Tick@1", vec![0xf6]);
    if let Body::Event(event) = &mut wrong_type.body {
        event.key = Some(vec![0x01]);
    }
    assert_eq!(refused(&mut bench, wrong_type).code(), "key.type");
    assert_eq!(refused(&mut bench, event("test/Adedd@1", vec![0xf6])).help().unwrap(), "did you mean `test/Added@1`?");
    assert_eq!(bench.world.height(), Height(0));
    assert_eq!(bench.world.frames_open(), 0);
}

#[test]
fn a_value_at_the_limit_passes() {
    let mut bench = Bench::new(r#""event_bytes_max": 23, "key_bytes_max": 4"#);
    let exact = |bytes: usize| {
        event(
            "test/Script@1",
            cbor::to_vec(&serde_bytes::ByteBuf::from([vec![0x80], vec![0; bytes - 2]].concat())).unwrap(),
        )
    };
    assert_eq!(refused(&mut bench, exact(24)).code(), "limit.event_bytes");
    // One byte less is admitted; its script is no list, which is the module's business.
    assert!(bench.admit(exact(23)).is_ok());
    assert!(bench.send(with_id(added("abc", 1), &[b'x'; 64])).outcome.failure.is_none());
    assert_eq!(refused(&mut bench, added("abcd", 1)).code(), "limit.key_bytes");
}

#[test]
fn a_resend_gets_the_first_outcome_and_its_height() {
    let mut bench = Bench::new("");
    let first = bench.send(with_id(added("ann", 5), b"one"));
    bench.seal(Seal::Snapshot);
    let failed = bench.send(with_id(acts(&[Act::Trap]), b"two"));
    for (id, frame, input) in [(&b"one"[..], &first, added("ann", 5)), (b"two", &failed, acts(&[Act::Trap]))] {
        match bench.admit(with_id(input, id)).unwrap() {
            Admission::Known { height, outcome } => assert_eq!((height, &outcome), (frame.height, &frame.outcome)),
            other @ Admission::Admitted(_) => panic!("{other:?}"),
        }
    }
    assert_eq!(refused(&mut bench, with_id(added("ann", 6), b"one")), Refusal::InputIdReused(Height(1)));
    // The same id of another actor is another id.
    let other = Input { actor: Actor::Principal("ada".into()), ..with_id(added("ann", 6), b"one") };
    assert_eq!(bench.send(other).height, Height(3));
    assert_eq!(bench.tally(crate::support::KEYED, Some("ann")).unwrap().sum, 11);
}

#[test]
fn the_window_of_input_ids_forgets_the_oldest_first() {
    let mut bench = Bench::new(r#""input_ids_kept": 3"#);
    for id in [b"a", b"b", b"c"] {
        bench.send(with_id(added("x", 1), id));
    }
    assert!(
        matches!(bench.admit(with_id(added("x", 1), b"a")), Ok(Admission::Known { .. })),
        "the third of three is kept"
    );
    bench.send(with_id(added("x", 1), b"d"));
    for id in [b"b", b"c", b"d"] {
        assert!(matches!(bench.admit(with_id(added("x", 1), id)), Ok(Admission::Known { .. })), "{id:?}");
    }
    assert!(
        matches!(bench.admit(with_id(added("x", 1), b"a")), Ok(Admission::Admitted(_))),
        "one past it is forgotten"
    );
}

#[test]
fn a_step_of_the_clock_needs_the_operator_and_the_logical_clock_never_goes_back() {
    let mut bench = Bench::new(r#""time_step_ns_max": 1000"#);
    bench.begin();
    let at = |now_ns| Stamp { now_ns };
    assert!(bench.world.admit(added("x", 1), at(START_NS + 1000), &bench.blobs).unwrap().is_ok());
    let refusal = bench.world.admit(added("x", 1), at(START_NS + 1001), &bench.blobs).unwrap().unwrap_err();
    assert_eq!(refusal, Refusal::TimeStep { ahead_ns: 1001, limit: 1000 });
    bench.seal(Seal::Plain);
    bench.world.begin(Opening { time_base_ns: START_NS, seed: [0; 32], time_step_allowed: true });
    bench.now_ns = START_NS + 5_000_000;
    bench.send(added("x", 1));
    let reached = bench.world.logical_now_ns();
    bench.now_ns = START_NS - 9_000_000;
    let frame = bench.send(added("x", 1));
    assert!(frame.stamp.now_ns < START_NS);
    assert_eq!(bench.world.logical_now_ns(), reached);
}

#[test]
#[should_panic(expected = "an admission is used at another height")]
fn an_admission_is_valid_for_one_height() {
    let mut bench = Bench::new("");
    let Ok(Admission::Admitted(early)) = bench.admit(added("x", 1)) else { panic!("not admitted") };
    bench.send(added("x", 1));
    let mut machine = aos_kernel::Machine { guest: &mut bench.native, blobs: &bench.blobs };
    drop(bench.world.apply(&mut machine, early));
}

/// Name and id of an actor were once joined without a length, so that two actors could share an id.
#[test]
fn ids_of_different_actors_do_not_collide() {
    let mut bench = Bench::new("");
    let from = |name: &str, id: &[u8]| Input { actor: Actor::Principal(name.into()), ..with_id(added("x", 1), id) };
    // Read without lengths, `ada` with `lb…` and `adal` with `b…` are the same bytes; 0x61 is also a text of one byte.
    bench.send(from("ada", b"lbc"));
    bench.send(from("adal", b"bc"));
    assert_eq!(bench.tally(crate::support::KEYED, Some("x")).unwrap().sum, 2);
}

/// A stamp more than 2^63 ns from its block's time base once stopped the process.
#[test]
fn a_stamp_beyond_a_signed_distance_is_refused() {
    let mut bench = Bench::new("");
    bench.world.begin(Opening { time_base_ns: 0, seed: [0; 32], time_step_allowed: true });
    let stamp = Stamp { now_ns: u64::MAX };
    let refusal = bench.world.admit(added("x", 1), stamp, &bench.blobs).unwrap().unwrap_err();
    assert_eq!(refusal.code(), "stamp.time_step");
}
