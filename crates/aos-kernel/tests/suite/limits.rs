//! Each limit of a transaction, at the limit and one past it.

use crate::support::{Act, Added, Bench, acts, raise};

fn outcome(limits: &str, script: &[Act]) -> &'static str {
    let frame = Bench::new(limits).send(acts(script));
    frame.outcome.failure.map_or("ok", |failure| failure.cause.code())
}

#[test]
fn at_the_limit_and_one_past_it() {
    let many = |count| vec![Act::RaiseMany(count, "k".into())];
    let nested = |outer: u64, inner: u64| {
        let body = match acts(&many(inner)).body {
            aos_kernel::input::Body::Event(event) => event.value,
            other => panic!("{other:?}"),
        };
        vec![Act::Raise("test/Script@1".into(), body.into(), None); usize::try_from(outer).unwrap()]
    };
    let named = |name: &str| vec![raise("test/Added@1", &Added { name: name.into(), n: 1 }, None)];
    let cases = [
        (r#""events_per_call_max": 3"#, many(3), "ok"),
        (r#""events_per_call_max": 3"#, many(4), "limit.events_per_call"),
        (r#""events_per_frame_max": 6"#, nested(2, 2), "ok"),
        (r#""events_per_frame_max": 5"#, nested(2, 2), "limit.events_per_frame"),
        (r#""calls_per_frame_max": 4"#, many(3), "ok"),
        (r#""calls_per_frame_max": 3"#, many(3), "limit.calls_per_frame"),
        (r#""effects_per_call_max": 2"#, vec![Act::Effects(2)], "effect.undeclared"),
        (r#""effects_per_call_max": 2"#, vec![Act::Effects(3)], "limit.effects_per_call"),
        (r#""fuel_per_call_max": 10"#, vec![Act::Burn(9)], "ok"),
        (r#""fuel_per_call_max": 10"#, vec![Act::Burn(10)], "guest.fuel"),
        (r#""fuel_per_frame_max": 4"#, many(3), "ok"),
        (r#""fuel_per_frame_max": 3"#, many(3), "limit.fuel_per_frame"),
        (r#""key_bytes_max": 4"#, named("abc"), "ok"),
        (r#""key_bytes_max": 4"#, named("abcd"), "limit.key_bytes"),
        (r#""state_bytes_max": 13"#, vec![Act::Add(1)], "ok"),
        (r#""state_bytes_max": 13"#, vec![Act::Add(24)], "limit.state_bytes"),
        (r#""event_bytes_max": 200"#, named(&"x".repeat(30)), "ok"),
        (r#""event_bytes_max": 47"#, vec![Act::RaiseMany(1, "k".into())], "ok"),
    ];
    for (limits, script, expected) in cases {
        assert_eq!(outcome(limits, &script), expected, "{limits} {script:?}");
    }
}

#[test]
fn a_derived_event_and_a_reply_have_their_own_limits() {
    // A note inside a script is smaller than the script, so it is an event of the script's event that passes the limit.
    let note = |bytes: usize| raise("test/Note@1", &"x".repeat(bytes), None);
    let small = r#""reply_bytes_max": 100"#;
    assert_eq!(outcome(small, &[note(1)]), "ok");
    assert_eq!(outcome(small, &[note(80)]), "guest.reply_bytes");
    let grown = |bytes: u64| format!(r#""event_bytes_max": {bytes}"#);
    assert_eq!(outcome(&grown(34), &[Act::RaiseNote(32)]), "ok");
    assert_eq!(outcome(&grown(33), &[Act::RaiseNote(32)]), "limit.event_bytes");
}

#[test]
fn a_frame_that_is_too_large_becomes_a_failed_one() {
    let script = [Act::RaiseMany(20, "key".into())];
    let mut bench = Bench::new("");
    bench.send(acts(&script));
    let bytes = bench.world.open_body_bytes();
    assert_eq!(outcome(&format!(r#""frame_bytes_max": {bytes}"#), &script), "ok");
    assert_eq!(outcome(&format!(r#""frame_bytes_max": {}"#, bytes - 1), &script), "limit.frame_bytes");
    let mut bench = Bench::new(&format!(r#""frame_bytes_max": {}"#, bytes - 1));
    bench.send(acts(&script));
    assert_eq!(bench.tally(crate::support::KEYED, Some("key")), None);
}

/// What a frame derives was once counted only when all of it was in memory, and annotations not at all.
#[test]
fn derived_bytes_are_counted_while_they_arise() {
    let mut bench = Bench::new(r#""frame_bytes_max": 1000"#);
    let note = |letters| vec![Act::Annotate("x".repeat(letters)), Act::RaiseNote(600)];
    assert!(bench.send(acts(&note(10))).outcome.failure.is_none());
    let failure = bench.send(acts(&note(500))).outcome.failure.unwrap();
    assert_eq!((failure.cause.code(), failure.reducer), ("limit.frame_bytes", Some(1)));
}

/// A guest's own words in a failure once made a frame larger than its limit.
#[test]
fn the_place_of_a_failure_is_cut() {
    let mut bench = Bench::new("");
    let name = format!("test/{}@1", "é".repeat(400));
    let failure = bench.send(acts(&[raise(&name, &(), None)])).outcome.failure.unwrap();
    assert_eq!((failure.cause.code(), failure.place.len()), ("derived.schema_unknown", 255));
    assert!(name.starts_with(&failure.place));
}
