//! Instances and intents that outlive their manifest: they keep what things mean, and nothing of what they may do.
//!
//! Another manifest is put in force by hand, as a governed change will do it, so these histories have no journal.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use aos_air::def::PublicKey;
use aos_air::hash::Digest;
use aos_air::limits::Limits;
use aos_air::module::Entry;
use aos_air::plan::Status;
use aos_air::text::{parse, read};
use aos_air::validate::{Checked, Manifest, Source, load};
use ed25519_dalek::{Signer as _, SigningKey};

use crate::derived::{Derived, PlanEnd, Verdict};
use crate::frame::Frame;
use crate::gate::Spend;
use crate::genesis::{EffectMode, Genesis};
use crate::guest::{Allowance, CallError, Guest};
use crate::input::{Actor, Body, Event, Input, Opening, Signed, Stamp};
use crate::program::Program;
use crate::receipt::Receipt;
use crate::{Admission, EXECUTOR, Machine, Seal, World, state};

/// No module is ever called.
struct Nobody;

impl Guest for Nobody {
    fn call(&mut self, _: &Digest, _: Entry, _: &[u8], _: Allowance, _: &mut Vec<u8>) -> Result<u64, CallError> {
        panic!("a world of plans has no modules")
    }
}

/// What a manifest has: the rest is always the same.
#[derive(Clone, Copy)]
struct Law {
    /// The types of the event that the plan raises, of the effect's parameters and of its receipt.
    note: &'static str,
    ask: &'static str,
    answer: &'static str,
    has_plan: bool,
    grants: &'static str,
    decision: &'static str,
}

const GRANT: &str = r#"{"name": "ask", "cap": "t/AskCap@1", "params": {}}"#;
const SPENT: &str = r#"{"name": "ask", "cap": "t/AskCap@1", "params": {}, "budget": {"calls": 1}}"#;
const OLD: Law = Law {
    note: r#"{"record": {"n": {"nat": {}}}}"#,
    ask: r#"{"record": {"q": {"text": {}}}}"#,
    answer: r#"{"record": {"a": {"nat": {}}}}"#,
    has_plan: true,
    grants: GRANT,
    decision: "allow",
};

const PLAN: &str = r#"{"$kind": "defplan", "name": "t/P@1", "input": "t/Go@1", "output": "t/Go@1", "steps": [
  {"id": "ask", "op": "emit_effect", "kind": "t.ask", "params": {"q": "one"}, "cap": "ask", "bind": {"effect_id_as": "one"}},
  {"id": "wait", "op": "await_receipt", "for": "one", "bind": {"as": "first"}},
  {"id": "more", "op": "emit_effect", "kind": "t.ask", "params": {"q": "two"}, "cap": "ask", "bind": {"effect_id_as": "two"}},
  {"id": "last", "op": "await_receipt", "for": "two", "bind": {"as": "second"}},
  {"id": "tell", "op": "raise_event", "event": "t/Note@1", "value": {"n": {"ref": "@var:first.a"}}},
  {"id": "z", "op": "end", "result": {"op": "add", "args": [{"ref": "@var:first.a"}, {"ref": "@var:second.a"}]}}],
 "edges": [{"from": "ask", "to": "wait"}, {"from": "wait", "to": "more"}, {"from": "more", "to": "last"},
  {"from": "last", "to": "tell"}, {"from": "tell", "to": "z"}]},"#;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn manifest(law: Law) -> Checked<Manifest> {
    let Law { note, ask, answer, has_plan, grants, decision } = law;
    let key = PublicKey(key().verifying_key().to_bytes());
    let (plan, plans, triggers) =
        if has_plan { (PLAN, r#"{"name": "t/P@1"}"#, r#"{"event": "t/Go@1", "plan": "t/P@1"}"#) } else { ("", "", "") };
    let text = format!(
        r#"[{{"$kind": "defschema", "name": "t/Go@1", "type": {{"nat": {{}}}}}},
        {{"$kind": "defschema", "name": "t/Note@1", "type": {note}}},
        {{"$kind": "defschema", "name": "t/Ask@1", "type": {ask}}},
        {{"$kind": "defschema", "name": "t/Answer@1", "type": {answer}}},
        {{"$kind": "defeffect", "name": "t/ask@1", "kind": "t.ask", "params_schema": "t/Ask@1",
          "receipt_schema": "t/Answer@1", "cap_type": "t.ask", "origin_scope": "plan"}},
        {{"$kind": "defcap", "name": "t/AskCap@1", "cap_type": "t.ask", "schema": {{"record": {{}}}}}},
        {{"$kind": "defpolicy", "name": "t/Rules@1", "rules": [{{"when": {{}}, "decision": "{decision}"}}]}},
        {plan}
        {{"$kind": "manifest", "air_version": "1", "plans": [{plans}], "triggers": [{triggers}],
          "schemas": [{{"name": "t/Go@1"}}, {{"name": "t/Note@1"}}, {{"name": "t/Ask@1"}}, {{"name": "t/Answer@1"}}],
          "effects": [{{"name": "t/ask@1"}}], "caps": [{{"name": "t/AskCap@1"}}], "policies": [{{"name": "t/Rules@1"}}],
          "defaults": {{"policy": "t/Rules@1", "cap_grants": [{grants}]}},
          "trust": {{"adapters": [{{"adapter": "t", "key_id": "main", "key": "{key}"}}]}}}}]"#
    );
    load(&[Source { file: "law.air.json".into(), text }], &|_| None).unwrap_or_else(|findings| panic!("{findings}"))
}

/// A world whose manifest is changed under what runs.
struct Change {
    world: World,
    blobs: BTreeMap<Digest, Vec<u8>>,
    now_ns: u64,
}

impl Change {
    fn start() -> Self {
        let manifest = manifest(OLD);
        let genesis = Genesis {
            executor: EXECUTOR,
            manifest: manifest.hash(),
            limits: Limits::default(),
            effect_mode: EffectMode::Live,
            created_ns: 1_000,
            nonce: [1; 32],
        };
        let (world, sealed) = World::create(genesis, manifest).unwrap();
        let mut change = Self { world, blobs: sealed.blobs.into_iter().collect(), now_ns: 1_000 };
        let event = Event { schema: "t/Go@1".into(), value: alloc::vec![7], key: None };
        change.send(Input { actor: Actor::Host, id: None, body: Body::Event(event) });
        change
    }

    fn send(&mut self, input: Input) -> Frame {
        if !self.world.is_open() {
            self.world.begin(Opening { time_base_ns: self.now_ns, seed: [0; 32], time_step_allowed: false });
        }
        self.now_ns += 1;
        match self.world.admit(input, Stamp { now_ns: self.now_ns }, &self.blobs).unwrap() {
            Ok(Admission::Admitted(admitted)) => {
                self.world.apply(&mut Machine { guest: &mut Nobody, blobs: &self.blobs }, admitted).unwrap()
            }
            other => panic!("not admitted: {other:?}"),
        }
    }

    /// Puts another manifest in force, and takes the world up anew from a snapshot.
    fn put_in_force(&mut self, law: Law) {
        let manifest = manifest(law);
        self.blobs.extend(manifest.nodes().map(|(hash, node)| (hash, node.to_vec())));
        let hash = manifest.hash();
        self.world.index.set(&self.blobs, state::manifest_key(), Some(hash.as_bytes().as_slice().into())).unwrap();
        self.world.ledger.manifest_seq += 1;
        let ledger = self.world.ledger.encode();
        self.world.index.set(&self.blobs, state::ledger_key(), Some(ledger)).unwrap();
        self.world.program = Arc::new(Program::compile(manifest, &Limits::default()));
        let sealed = self.world.seal(Seal::Snapshot, &self.blobs).unwrap();
        self.blobs.extend(sealed.blobs);
        self.world = World::restore(&sealed.snapshot.unwrap(), &self.blobs).unwrap();
        assert_eq!(self.world.program().manifest().hash(), hash);
    }

    /// Answers the one open intent with a value of this type.
    fn answer(&mut self, law: Law, payload: &str) -> Frame {
        let intents = self.world.intents(&self.blobs).unwrap();
        let [intent] = intents.as_slice() else { panic!("{intents:?}") };
        let schema = manifest(law).schema(&"t/Answer@1".parse().unwrap()).unwrap().shape.clone();
        let receipt = Receipt {
            world: self.world.id(),
            intent: intent.id,
            adapter: "t".into(),
            key_id: "main".into(),
            status: Status::Ok,
            payload: read(&schema, &parse(payload).unwrap()).unwrap().to_cbor(),
            cost: Spend { calls: 1, ..Spend::ZERO },
            started_ns: 0,
            finished_ns: 0,
        };
        let signature = key().sign(&receipt.message()).to_bytes();
        let body = Body::Receipt(Signed { bytes: receipt.encode(), signature });
        self.send(Input { actor: Actor::Adapter("t".into()), id: None, body })
    }
}

/// Tells what the gate said in a frame, and how an instance ended.
fn told(frame: &Frame) -> String {
    let lines = frame.derived.iter().filter_map(|derived| match derived {
        Derived::Decided { verdict: Verdict::Allowed { .. }, .. } => Some("allowed".to_string()),
        Derived::Decided { verdict: Verdict::Denied { code, .. }, .. } => Some(format!("denied {code}")),
        Derived::PlanEnded { end: PlanEnd::Done(result), .. } => Some(format!("done {result:?}")),
        Derived::PlanEnded { end: PlanEnd::Failed { code, step, place }, .. } => {
            Some(format!("fails {code} at {} {place}", step.as_deref().unwrap_or("-")))
        }
        _ => None,
    });
    lines.chain(frame.outcome.failure.as_ref().map(|failure| format!("{failure:?}"))).collect::<Vec<_>>().join(", ")
}

const ONE: &str = r#"{"a": 1}"#;

#[test]
fn an_instance_keeps_its_plan_and_schemas() {
    for law in [
        OLD,
        Law { has_plan: false, ..OLD },
        Law { grants: r#"{"name": "ask", "cap": "t/AskCap@1", "params": {}, "budget": {"calls": 9}}"#, ..OLD },
    ] {
        let mut change = Change::start();
        change.put_in_force(law);
        assert_eq!(told(&change.answer(OLD, ONE)), "allowed");
        assert_eq!(told(&change.answer(law, r#"{"a": 2}"#)), "done Some([3])");
    }
}

#[test]
fn an_instance_keeps_nothing_of_what_it_may_do() {
    let cases = [
        (
            Law { has_plan: false, grants: "", ..OLD },
            "denied cap.revoked, fails plan.effect_failed at last cap.revoked",
        ),
        (Law { decision: "deny", ..OLD }, "denied policy.denied, fails plan.effect_failed at last policy.denied"),
        // The ledger of a grant's name outlives the manifest: the first call is spent.
        (Law { grants: SPENT, ..OLD }, "denied budget.exceeded, fails plan.effect_failed at last budget.exceeded"),
        (
            Law { has_plan: false, ask: r#"{"record": {"q": {"nat": {}}}}"#, ..OLD },
            "denied effect.params, fails plan.effect_failed at last effect.params",
        ),
    ];
    for (law, expected) in cases {
        let mut change = Change::start();
        change.put_in_force(law);
        assert_eq!(told(&change.answer(OLD, ONE)), expected);
        assert_eq!(change.world.instances(&change.blobs).unwrap(), []);
    }
}

#[test]
fn what_changed_its_type_ends_the_instance() {
    let note = Law { has_plan: false, note: r#"{"record": {"n": {"text": {}}}}"#, ..OLD };
    let mut change = Change::start();
    change.put_in_force(note);
    assert_eq!(told(&change.answer(OLD, ONE)), "allowed");
    assert_eq!(told(&change.answer(OLD, ONE)), "fails plan.event_schema_changed at tell t/Note@1");
    // An intent keeps the manifest that it was asked under, whoever asked.
    let answer = Law { has_plan: false, answer: r#"{"record": {"a": {"text": {}}}}"#, ..OLD };
    let mut change = Change::start();
    change.put_in_force(answer);
    assert_eq!(told(&change.answer(OLD, ONE)), "allowed");
    assert_eq!(told(&change.answer(answer, r#"{"a": "two"}"#)), "fails plan.receipt_schema_changed at last /a");
}

/// What is held of earlier manifests is let go when nothing keeps them.
#[test]
fn earlier_manifests_are_held_no_longer_than_they_are_kept() {
    let mut change = Change::start();
    change.put_in_force(Law { has_plan: false, ..OLD });
    let is_held = |change: &Change| {
        let missing: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
        change.world.earlier.receipt_unheld(&manifest(OLD).hash(), "t.ask", &missing).is_ok()
    };
    assert!(!is_held(&change));
    change.answer(OLD, ONE);
    assert!(is_held(&change));
    change.answer(OLD, ONE);
    change.world.seal(Seal::Plain, &change.blobs).unwrap();
    assert!(!is_held(&change));
}
