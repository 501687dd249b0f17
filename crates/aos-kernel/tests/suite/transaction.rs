//! One transaction: order, atomicity, routing, keys, and what a failure leaves behind.

use aos_air::cbor;
use aos_kernel::derived::{By, Derived};
use aos_kernel::error::Cause;
use aos_kernel::frame::Frame;
use aos_kernel::input::{Actor, Body, Input};

use crate::support::{Act, Added, Bench, KEYED, Keyed, SCRIPT, Tally, acts, added, event, raise, with_id, with_key};

fn cause(frame: &Frame) -> Option<&'static str> {
    frame.outcome.failure.as_ref().map(|failure| failure.cause.code())
}

#[test]
fn derived_events_are_routed_in_the_same_frame_in_the_order_raised() {
    let mut bench = Bench::new("");
    let inner = acts(&[raise("test/Added@1", &Added { name: "b".into(), n: 2 }, None), Act::Annotate("inner".into())]);
    let Body::Event(inner) = inner.body else { panic!() };
    let frame = bench.send(acts(&[
        Act::Add(1),
        Act::Raise("test/Script@1".into(), inner.value.into(), None),
        raise("test/Added@1", &Added { name: "a".into(), n: 1 }, None),
        Act::Annotate("outer".into()),
    ]));
    let story: Vec<String> = frame
        .derived
        .iter()
        .map(|derived| match derived {
            Derived::Event { by: By::Handling(cause), event } => format!("{cause} {}", event.schema),
            Derived::Annotation { cause, reducer, value } => {
                format!("{cause} reducer {reducer}: {}", cbor::from_slice::<String>(value).unwrap())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    insta::assert_debug_snapshot!(story, @r#"
    [
        "0 reducer 1: outer",
        "0 test/Script@1",
        "0 test/Added@1",
        "1 reducer 1: inner",
        "1 test/Added@1",
    ]
    "#);
    assert_eq!(bench.tally(SCRIPT, None), Some(Tally { sum: 1, calls: 2 }));
    assert_eq!(bench.tally(KEYED, Some("a")).unwrap().sum, 1);
    assert_eq!(bench.tally(KEYED, Some("b")).unwrap().sum, 2);
    assert_eq!(bench.native.calls, 4);
}

#[test]
fn a_failure_anywhere_undoes_every_cell_and_keeps_the_ledger() {
    let mut bench = Bench::new("");
    bench.send(added("a", 1));
    let before = bench.world.logical_now_ns();
    let failing = [
        (vec![Act::Trap], Cause::Trap, ""),
        (vec![Act::Refuse("not today".into())], Cause::Refused, "not today"),
        (vec![Act::BadState], Cause::State, ""),
        (vec![Act::BadReply], Cause::ReplyForm, ""),
        (vec![raise("test/None@1", &(), None)], Cause::EventSchema, "test/None@1"),
        (vec![raise("test/Added@1", &5, None)], Cause::EventValue, ""),
        (vec![raise("test/Tick@1", &(), None)], Cause::KeyMissing, ""),
        (vec![raise("test/Added@1", &Added { name: "a".into(), n: 1 }, Some("b"))], Cause::KeyConflict, ""),
        (vec![Act::Raise("test/Tick@1".into(), vec![0xf6].into(), Some(vec![0x05].into()))], Cause::KeyType, ""),
        (vec![Act::Raise("test/Tick@1".into(), vec![0xf6].into(), Some(vec![0xff].into()))], Cause::KeyType, ""),
        (vec![Act::Effects(1)], Cause::EffectKind, "timer.set"),
        (vec![raise("test/Added@1", &Added { name: "a".into(), n: u64::MAX }, None)], Cause::Trap, ""),
    ];
    for (number, (last, cause, place)) in failing.into_iter().enumerate() {
        let first = raise("test/Added@1", &Added { name: "a".into(), n: 10 }, None);
        let script: Vec<Act> = [vec![Act::Add(1), first], last].concat();
        let frame = bench.send(with_id(acts(&script), &[u8::try_from(number).unwrap()]));
        let failure = frame.outcome.failure.clone().unwrap();
        assert_eq!((failure.cause, failure.place.as_str()), (cause, place), "{script:?}");
        assert!(frame.derived.is_empty());
        assert_eq!(bench.tally(KEYED, Some("a")), Some(Tally { sum: 1, calls: 1 }));
        assert_eq!(bench.tally(SCRIPT, None), None);
        assert!(bench.world.logical_now_ns() > before);
        assert!(matches!(
            bench.admit(with_id(acts(&script), &[u8::try_from(number).unwrap()])),
            Ok(aos_kernel::Admission::Known { .. })
        ));
    }
    assert_eq!(cause(&bench.send(added("a", 1))), None, "the world goes on");
}

#[test]
fn the_place_of_a_failure_names_reducer_and_event() {
    let mut bench = Bench::new("");
    let over = raise("test/Added@1", &Added { name: "a".into(), n: u64::MAX }, None);
    let frame = bench.send(acts(&[raise("test/Added@1", &Added { name: "a".into(), n: 1 }, None), over]));
    let failure = frame.outcome.failure.unwrap();
    assert_eq!((failure.cause, failure.reducer, failure.event), (Cause::Trap, Some(0), 2));
}

#[test]
fn keyed_cells_are_apart_and_a_null_state_deletes_one() {
    let mut bench = Bench::new("");
    bench.send(added("a", 1));
    bench.send(added("b", 2));
    bench.send(with_key(event("test/Tick@1", vec![0xf6]), "b"));
    bench.send(with_key(event("test/Forget@1", cbor::to_vec("why").unwrap()), "a"));
    assert_eq!(bench.tally(KEYED, Some("a")), None);
    assert_eq!(bench.tally(KEYED, Some("b")), Some(Tally { sum: 3, calls: 2 }));
    let cells = bench.world.cells(&bench.blobs, KEYED, 10).unwrap();
    assert_eq!(cells.iter().map(|cell| cell.key.clone().unwrap()).collect::<Vec<_>>(), [cbor::to_vec("b").unwrap()]);
    bench.send(added("a", 7));
    assert_eq!(bench.tally(KEYED, Some("a")), Some(Tally { sum: 7, calls: 1 }), "a deleted cell begins anew");
}

#[test]
fn an_inbox_delivers_to_its_reducer_alone() {
    let mut bench = Bench::new("");
    let value = cbor::to_vec(&Keyed::Added(Added { name: "elsewhere".into(), n: 4 })).unwrap();
    let key = Some(cbor::to_vec("post").unwrap());
    let frame = bench.send(Input { actor: Actor::Inbox("mail".into()), id: None, body: Body::Message { value, key } });
    assert_eq!(cause(&frame), None);
    assert_eq!(bench.tally(KEYED, Some("post")).unwrap().sum, 4);
}

#[test]
fn guest_output_is_made_canonical_before_it_is_kept() {
    let mut bench = Bench::new("");
    // Fields out of order and a long integer: {"name": "a", "n": 1} with n as 1801.
    let loose = [&[0xa2, 0x64][..], b"name", &[0x61, b'a', 0x61, b'n', 0x18, 0x01]].concat();
    let frame = bench.send(acts(&[Act::Raise("test/Added@1".into(), loose.into(), None)]));
    let Some(Derived::Event { event, .. }) = frame.derived.first() else { panic!("{frame:?}") };
    assert_eq!(event.value, cbor::to_vec(&Added { name: "a".into(), n: 1 }).unwrap());
}

#[test]
fn the_context_is_what_its_schema_says() {
    let mut bench = Bench::new("");
    let show = |bench: &mut Bench| {
        let frame = bench.send(acts(&[Act::ShowContext]));
        let Some(Derived::Annotation { value, .. }) = frame.derived.first() else { panic!("{frame:?}") };
        let hex: String = cbor::from_slice(value).unwrap();
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        bytes
    };
    let (first, second) = (show(&mut bench), show(&mut bench));
    let manifest = bench.world.program().manifest();
    let schema = manifest.schema(&"sys/ReducerContext@1".parse().unwrap()).unwrap();
    for context in [&first, &second] {
        assert_eq!(schema.shape.check(context), Ok(()));
    }
    let entropy = |context: &[u8]| schema.shape.select(context, "entropy").map(|(_, bytes)| bytes.to_vec());
    assert_ne!(entropy(&first), entropy(&second), "each call has entropy of its own");
}
