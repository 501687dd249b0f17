//! Receipts at a world's door: what does not count, by code, and what a late one does.

use aos_air::hash::Digest;
use aos_air::plan::Status;
use aos_kernel::gate::Spend;
use aos_kernel::id::{IntentId, WorldId};
use aos_kernel::input::{Actor, Body, Input};
use aos_kernel::receipt::Receipt;
use ed25519_dalek::SigningKey;
use insta::assert_snapshot;
use serde_json::json;

use crate::outside::{Outside, attempt, cause, signed, signed_by, tell};
use crate::site::{Site, branching, principal_key};
use crate::support::with_id;

fn site() -> Site {
    branching("t.ask", &json!({"q": "why", "n": 1}), "ask")
}

fn open(world: &mut Outside) -> Receipt {
    world.go(1);
    world.ok(&world.intent(), r#"{"a": 7}"#)
}

fn bytes_of(input: &mut Input) -> &mut Vec<u8> {
    match &mut input.body {
        Body::Receipt(signed) => &mut signed.bytes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_does_not_count_is_refused_by_its_code_and_leaves_no_trace() {
    tell(&site(), |world| {
        let good = open(world);
        let with = |change: &dyn Fn(&mut Receipt)| {
            let mut receipt = good.clone();
            change(&mut receipt);
            signed(&receipt)
        };
        let other = Digest::of(b"other");
        let unsigned = {
            let mut input = signed(&good);
            *bytes_of(&mut input) = Receipt { cost: Spend::ZERO, ..good.clone() }.encode();
            input
        };
        let loose = {
            // The same receipt with its version in two bytes: signed, and still not the form.
            let mut input = signed(&good);
            bytes_of(&mut input).splice(1..2, [0x18, 0x01]);
            input
        };
        let sent_by = |actor| Input { actor, ..signed(&good) };
        // {"a": 7} with the number in two bytes, and with a field more.
        let loose_payload = [&[0xa1, 0x61, b'a'][..], &[0x18, 0x07]].concat();
        let wide_payload = [&[0xa2, 0x61, b'a', 0x07, 0x61, b'b'][..], &[0x07]].concat();
        let cases = [
            ("another key", signed_by(&good, &SigningKey::from_bytes(&[1; 32])), "receipt.signature"),
            ("a principal's key", signed_by(&good, &principal_key("ann")), "receipt.signature"),
            ("changed after signing", unsigned, "receipt.signature"),
            ("not in the form", loose, "receipt.form"),
            ("a key that is not trusted", with(&|receipt| receipt.key_id = "old".into()), "receipt.key_unknown"),
            ("an adapter without keys", sent_by(Actor::Adapter("mail".into())), "actor.unknown"),
            ("sent by another adapter", sent_by(Actor::Adapter("http".into())), "receipt.adapter"),
            ("sent by a principal", sent_by(Actor::Principal("ann".into())), "actor.body"),
            ("sent by the host", sent_by(Actor::Host), "actor.body"),
            (
                "an adapter that answers other effects",
                with(&|receipt| receipt.adapter = "http".into()),
                "receipt.adapter",
            ),
            ("another world", with(&|receipt| receipt.world = WorldId(other)), "receipt.world"),
            ("another intent", with(&|receipt| receipt.intent = IntentId(other)), "receipt.intent_unknown"),
            ("a denial", with(&|receipt| receipt.status = Status::Denied), "receipt.status"),
            ("an error as the answer", with(&|receipt| receipt.status = Status::Failed), "receipt.payload"),
            ("a payload of another type", with(&|receipt| receipt.payload = vec![0xf6]), "receipt.payload"),
            (
                "a payload that is written loosely",
                with(&|receipt| receipt.payload.clone_from(&loose_payload)),
                "receipt.payload",
            ),
            (
                "a payload with a field more",
                with(&|receipt| receipt.payload.clone_from(&wide_payload)),
                "receipt.payload",
            ),
            ("no payload", with(&|receipt| receipt.payload.clear()), "receipt.payload"),
        ];
        for (what, input, code) in cases {
            assert_eq!(world.refused(input), code, "{what}");
        }
        assert_eq!((world.intents().len(), world.log().len(), world.running()), (1, 0, vec![1]));
        assert_eq!(cause(&world.answer(&good)), "ok");
        assert_eq!(world.log(), ["note 1 good"]);
    });
}

#[test]
fn a_receipt_has_its_limit() {
    let bytes = std::cell::Cell::new(0);
    tell(&site(), |world| bytes.set(open(world).encode().len()));
    let limited = |limit: usize| Site { limits: json!({"receipt_bytes_max": limit}), ..site() };
    tell(&limited(bytes.get()), |world| {
        let receipt = open(world);
        assert_eq!(cause(&world.answer(&receipt)), "ok");
    });
    tell(&limited(bytes.get() - 1), |world| {
        let receipt = open(world);
        assert_eq!(world.refused(signed(&receipt)), "limit.receipt_bytes");
    });
}

#[test]
fn the_same_receipt_twice_is_a_duplicate_and_another_is_late() {
    let told = tell(&site(), |world| {
        let good = open(world);
        assert_eq!(cause(&world.send(with_id(signed(&good), b"once"))), "ok");
        assert_eq!(world.refused(signed(&good)), "receipt.duplicate");
        assert_eq!(world.refused(with_id(signed(&good), b"again")), "receipt.duplicate");
        // What is late is recorded, and changes nothing but the ledger's memory of it.
        let late = Receipt { finished_ns: good.finished_ns + 1, ..good.clone() };
        assert_eq!(cause(&world.answer(&late)), "ok");
        assert_eq!(world.refused(signed(&late)), "receipt.duplicate");
        assert_eq!((world.log().len(), world.budget("ask").spent.calls), (1, 1));
        // Each stays known: once only the last one did, and two in turn were recorded without end.
        assert_eq!(world.refused(signed(&good)), "receipt.duplicate");
        // A late one is looked at as closely as any other.
        let wrong = Receipt { payload: vec![0xf6], ..late };
        assert_eq!(world.refused(signed(&wrong)), "receipt.payload");
        assert_eq!(world.refused(attempt(wrong.intent)), "attempt.not_open");
    });
    assert_snapshot!(told, @r#"
    > t/Go@1
    t/P@1 starts as 1
    asks t.ask under ask
    allowed, held 1/0/0/0 by t/Rules@1#0
    > receipt
    ended ok, spent 1/0/0/0
    event t/Note@1 {"n":1,"who":"good"} by 1:ok
    1 is done
    > receipt
    ended ok late, spent 1/0/0/0
    "#);
}

#[test]
fn an_intent_that_is_forgotten_is_unknown() {
    let mut site = site();
    site.limits = json!({"intents_closed_kept": 2});
    tell(&site, |world| {
        let receipts: Vec<Receipt> = (0..4)
            .map(|_| {
                let receipt = open(world);
                world.answer(&receipt);
                receipt
            })
            .collect();
        let codes: Vec<&str> = receipts.iter().map(|receipt| world.refused(signed(receipt))).collect();
        assert_eq!(
            codes,
            ["receipt.intent_unknown", "receipt.intent_unknown", "receipt.duplicate", "receipt.duplicate"]
        );
    });
}

#[test]
fn an_attempt_is_marked_once() {
    tell(&site(), |world| {
        let receipt = open(world);
        assert_eq!(cause(&world.send(attempt(receipt.intent))), "ok");
        assert_eq!(world.refused(attempt(receipt.intent)), "attempt.not_open");
        assert_eq!(world.refused(attempt(IntentId(Digest::of(b"other")))), "attempt.not_open");
        let doubt = world.not_ok(&world.intent(), Status::InDoubt, "effect.in_doubt");
        world.answer(&doubt);
        assert_eq!(world.log(), ["note 0 in_doubt effect.in_doubt"]);
        assert_eq!(world.refused(attempt(receipt.intent)), "attempt.not_open");
    });
    // What may be done twice needs no mark.
    tell(&branching("timer.set", &json!({"deliver_at_ns": 5}), "clock"), |world| {
        world.go(1);
        assert_eq!(world.refused(attempt(world.intent().id)), "attempt.not_open");
    });
}
