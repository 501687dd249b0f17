//! Effects of reducers: how they are asked for, and how the answers come back as events of their own.

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_air::plan::Status;
use aos_kernel::derived::Derived;
use aos_kernel::input::{Actor, Body, Input};
use insta::assert_snapshot;
use serde::Serialize;
use serde_bytes::ByteBuf;
use serde_json::json;

use crate::clerk::{Errand, Note, timer};
use crate::outside::{cause, signed, tell};
use crate::site::Site;

#[derive(Serialize)]
struct Put {
    blob_ref: Option<ByteBuf>,
    bytes: Option<ByteBuf>,
}

#[derive(Serialize)]
struct Get {
    blob_ref: ByteBuf,
    inline_max: Option<u64>,
}

fn set_timer(own_key: Option<&str>) -> Errand {
    Errand::Ask("timer.set".into(), timer(5), None, own_key.map(Into::into))
}

fn put(text: &str) -> Errand {
    let params = Put { blob_ref: None, bytes: Some(text.as_bytes().to_vec().into()) };
    Errand::Ask("blob.put".into(), cbor::to_vec(&params).unwrap().into(), Some("store".into()), None)
}

const FIRED: &str = r#"{"delivered_at_ns": 7, "key": "egg"}"#;

#[test]
fn an_answer_comes_back_in_the_arm_for_it() {
    let digest = Digest::of(b"hello");
    let told = tell(&Site::default(), |world| {
        let get = Get { blob_ref: digest.as_bytes().to_vec().into(), inline_max: None };
        let get = Errand::Ask("blob.get".into(), cbor::to_vec(&get).unwrap().into(), None, None);
        world.errands(&[set_timer(Some("mine")), put("hello"), get]);
        let [timer, put, get] = <[_; 3]>::try_from(world.intents()).unwrap();
        assert_eq!([timer.class, put.class, get.class].map(aos_kernel::intent::Class::word), ["safe"; 3]);
        assert_eq!(timer.author_key.as_deref(), Some("mine"));
        // The answers come in another order.
        let receipts = [
            world.ok(&put, &format!(r#"{{"blob_ref": "{digest}", "size": 5}}"#)),
            world.not_ok(&get, Status::Failed, "blob.missing"),
            world.ok(&timer, FIRED),
        ];
        for receipt in receipts {
            assert_eq!(cause(&world.answer(&receipt)), "ok");
        }
        assert_eq!(world.log(), ["put 5", "failed blob.get failed blob.missing", "fired egg at 7"]);
        assert_eq!(world.intents().len(), 0);
    });
    assert_snapshot!(told, @"
    > t/Do@1
    asks timer.set under clock
    allowed, held 1/0/0/0 by t/Rules@1#0
    asks blob.put under store
    allowed, held 1/0/0/0 by t/Rules@1#0
    asks blob.get under store
    allowed, held 1/0/0/0 by t/Rules@1#0
    > receipt
    ended ok, spent 1/0/0/0
    > receipt
    ended failed, spent 1/0/0/0
    > receipt
    ended ok, spent 1/0/0/0
    ");
}

#[test]
fn every_end_but_ok_is_a_failure_to_a_reducer() {
    for status in [Status::Failed, Status::Timeout, Status::InDoubt, Status::Cancelled] {
        tell(&Site::default(), |world| {
            world.errands(&[set_timer(None)]);
            let receipt = world.not_ok(&world.intent(), status, "t.broke");
            world.answer(&receipt);
            assert_eq!(world.log(), [format!("failed timer.set {} t.broke", status.word())]);
        });
    }
}

#[test]
fn a_denial_comes_back_in_the_same_frame() {
    let site = Site { policy: json!({"rules": []}), limits: json!({"calls_per_frame_max": 20}), ..Site::default() };
    let told = tell(&site, |world| {
        world.errands(&[set_timer(None), Errand::Say(Note { n: 1, who: "x".into() })]);
        assert_eq!(world.log(), ["note 1 x", "failed timer.set denied policy.denied"]);
        // It asks again when it hears of it, and hears the same.
        world.errands(&[set_timer(Some("again"))]);
        assert_eq!(world.log().len(), 4);
        // And again and again: the frame ends that.
        assert_eq!(cause(&world.errands(&[set_timer(Some("forever"))])), "limit.calls_per_frame");
        assert_eq!((world.log().len(), world.intents().len()), (4, 0));
    });
    assert!(told.contains("asks timer.set under clock\ndenied policy.denied\nasks"), "{told}");
}

#[test]
fn a_reducer_that_fails_on_its_answer_does_not_lose_the_receipt() {
    let told = tell(&Site::default(), |world| {
        world.errands(&[set_timer(Some("fatal"))]);
        let receipt = world.ok(&world.intent(), FIRED);
        assert_eq!(cause(&world.answer(&receipt)), "guest.trap");
        assert_eq!((world.log().len(), world.intents().len()), (0, 0));
        let budget = world.budget("clock");
        assert_eq!((budget.spent.calls, budget.reserved.calls), (1, 0));
        assert_eq!(world.refused(signed(&receipt)), "receipt.duplicate");
    });
    assert_snapshot!(told, @"
    > t/Do@1
    asks timer.set under clock
    allowed, held 1/0/0/0 by t/Rules@1#0
    > receipt
    ended ok, spent 1/0/0/0
    failed: guest.trap
    ");
}

#[test]
fn what_a_reducer_asks_for_wrongly_fails_its_frame() {
    let ask = |kind: &str, params: Vec<u8>, slot: Option<&str>| {
        Errand::Ask(kind.into(), params.into(), slot.map(Into::into), None)
    };
    let timer = || timer(5).into_vec();
    let question = json!({"q": "why", "n": 1});
    let question = cbor::to_vec(&question).unwrap();
    let cases = [
        (ask("http.request", vec![0xa0], None), "effect.undeclared at http.request"),
        (ask("t.none", vec![0xa0], None), "effect.undeclared at t.none"),
        (ask("timer.set", vec![0xa0], None), "effect.params"),
        (ask("timer.set", vec![0x9f], None), "effect.params"),
        (ask("timer.set", timer(), Some("watch")), "cap.slot_unbound at watch"),
        // A kind that it declares, with a slot that the manifest binds to nothing.
        (ask("t.ask", question.clone(), None), "cap.slot_unbound at spare"),
        (ask("t.ask", question, Some("spare")), "cap.slot_unbound at spare"),
    ];
    for (errand, failure) in cases {
        let told = tell(&Site::default(), |world| {
            world.errands(&[Errand::Say(Note { n: 1, who: "x".into() }), errand.clone()]);
            assert_eq!((world.log().len(), world.intents().len()), (0, 0));
        });
        let last = told.lines().last().unwrap_or_default();
        assert!(last.starts_with(&format!("failed: {failure}")), "{errand:?}: {told}");
    }
}

/// Whoever may send to a reducer does not answer for an adapter.
#[test]
fn an_answer_comes_by_a_receipt_alone() {
    let any = Digest::of(b"any");
    let fired = format!(
        r#"{{"Fired": {{"intent_id": "{any}", "idempotency_key": null, "deliver_at_ns": 5, "delivered_at_ns": 7, "key": "egg"}}}}"#
    );
    let failed = format!(
        r#"{{"Failed": {{"intent_id": "{any}", "idempotency_key": null, "kind": "timer.set", "status": "ok",
            "error": {{"code": "a.b", "message": "", "retriable": false}}}}}}"#
    );
    tell(&Site::default(), |world| {
        world.errands(&[set_timer(None)]);
        let message =
            |value| Input { actor: Actor::Inbox("mail".into()), id: None, body: Body::Message { value, key: None } };
        for text in [&fired, &failed] {
            let forged = message(world.value("t/Heard@1", text));
            assert_eq!(world.refused(forged), "event.answer_arm", "{text}");
        }
        assert_eq!((world.intents().len(), world.log().len()), (1, 0));
        let note = message(world.value("t/Heard@1", r#"{"Note": {"n": 1, "who": "by mail"}}"#));
        assert_eq!(cause(&world.send(note)), "ok");
    });
}

/// A slot of another type is a grant that does not fit.
#[test]
fn a_slot_of_another_type_gives_nothing() {
    tell(&Site::default(), |world| {
        world.errands(&[Errand::Ask("timer.set".into(), timer(5), Some("store".into()), None)]);
        assert_eq!(world.log(), ["failed timer.set denied cap.revoked"]);
    });
}

/// However a guest writes its parameters, what is asked for, decided on and hashed is their one canonical form.
#[test]
fn parameters_have_one_form() {
    let canonical = timer(5).into_vec();
    // The fields in the other order, and the number in two bytes.
    let loose = [&[0xa2, 0x6d][..], b"deliver_at_ns", &[0x18, 0x05, 0x63], b"key", &[0x63], b"egg"].concat();
    assert_ne!(canonical, loose);
    tell(&Site::default(), |world| {
        let ask = |params: &[u8]| Errand::Ask("timer.set".into(), params.to_vec().into(), None, None);
        let frame = world.errands(&[ask(&canonical), ask(&loose)]);
        let asked: Vec<&[u8]> = frame
            .derived
            .iter()
            .filter_map(
                |derived| if let Derived::Asked { params, .. } = derived { Some(params.as_slice()) } else { None },
            )
            .collect();
        assert_eq!(asked, [&canonical, &canonical]);
        let [first, second] = <[_; 2]>::try_from(world.intents()).unwrap();
        assert_ne!(first.id, second.id);
        assert_eq!((&first.params, first.request_hash()), (&second.params, second.request_hash()));
    });
}
