//! The queue of timers against a sorted list, and what its receipts say.

use std::sync::Arc;

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_air::name::Name;
use aos_host::adapter::timer::{Place, Timers};
use aos_host::adapter::{Effect, IntentId, Status};
use proptest::prelude::*;

use super::dispatch::{error, said, signer};

#[derive(serde::Serialize)]
struct Params<'a> {
    deliver_at_ns: u64,
    key: Option<&'a str>,
}

fn set(number: u64, deliver_at_ns: u64, key: Option<&str>) -> Effect {
    let mut effect = Effect::of("timer.set", cbor::to_vec(&Params { deliver_at_ns, key }).unwrap());
    effect.intent = IntentId(Digest::of(&number.to_be_bytes()));
    effect
}

#[test]
fn a_timer_says_when_it_was_delivered_and_under_which_key() {
    let shape = aos_air::built_in::schema(&"sys/TimerSetReceipt@1".parse::<Name>().unwrap()).unwrap();
    let mut timers = Timers::default();
    for (number, key) in [None, Some("k")].into_iter().enumerate() {
        let place = Place { height: 1, ordinal: number as u64 };
        timers.push(set(number as u64, 100, key), place, signer("timer")).unwrap();
    }
    assert_eq!((timers.next_due(), timers.due(99).len()), (Some(100), 0));
    let due = timers.due(150);
    assert_eq!(due.len(), 2);
    for (finished, key) in due.iter().zip([None, Some("k")]) {
        let said = said(finished, &signer("timer"));
        shape.shape.check(&said.payload).unwrap();
        #[derive(serde::Deserialize)]
        struct Receipt {
            delivered_at_ns: u64,
            key: Option<String>,
        }
        let receipt: Receipt = cbor::from_slice(&said.payload).unwrap();
        assert_eq!((receipt.delivered_at_ns, receipt.key.as_deref()), (150, key));
        assert_eq!((said.started_ns, finished.status), (150, Status::Ok));
    }
    assert!(timers.is_empty() && timers.next_due().is_none());
}

#[test]
fn a_timer_can_be_called_off_and_is_not_set_twice() {
    let mut timers = Timers::default();
    let place = Place { height: 1, ordinal: 0 };
    for _ in 0..2 {
        timers.push(set(1, 100, None), place, signer("timer")).unwrap();
    }
    assert_eq!(timers.len(), 1);
    let intent = set(1, 100, None).intent;
    let finished = timers.cancel(intent, 7).unwrap();
    assert_eq!(error(&finished, &signer("timer")).code, "adapter.cancelled");
    assert_eq!(finished.status, Status::Cancelled);
    assert!(timers.cancel(intent, 7).is_none() && timers.is_empty());
    let bad = Effect::of("timer.set", cbor::to_vec("soon").unwrap());
    assert_eq!(timers.push(bad, place, signer("timer")).unwrap_err().code, "adapter.params");
}

proptest! {
    #[test]
    fn timers_end_in_the_order_of_time_and_place(
        set_at in prop::collection::vec((0..20_u64, 0..3_u64), 0..40),
        looks in prop::collection::vec(0..25_u64, 0..8),
    ) {
        let mut timers = Timers::default();
        let key = Arc::clone(&signer("timer"));
        let mut twin: Vec<(u64, Place, IntentId)> = Vec::new();
        for (number, (at, height)) in set_at.into_iter().enumerate() {
            let place = Place { height, ordinal: number as u64 };
            let effect = set(number as u64, at, None);
            twin.push((at, place, effect.intent));
            timers.push(effect, place, Arc::clone(&key)).unwrap();
        }
        twin.sort();
        for now in looks {
            let (due, rest): (Vec<_>, Vec<_>) = twin.iter().partition(|(at, ..)| *at <= now);
            twin = rest;
            let expected: Vec<IntentId> = due.into_iter().map(|(.., intent)| intent).collect();
            let got: Vec<IntentId> = timers.due(now).into_iter().map(|finished| finished.intent).collect();
            prop_assert_eq!(got, expected);
            prop_assert_eq!(timers.next_due(), twin.first().map(|(at, ..)| *at));
            prop_assert_eq!(timers.len(), twin.len());
        }
    }
}
