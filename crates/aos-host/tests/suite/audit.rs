//! Signatures in bulk: what all cores together accept is what the one rule accepts, one at a time.
//!
//! The twin here goes through the inputs in order and asks ed25519-dalek itself. Receipts that only some verifiers take
//! come from `spec/vectors/receipts`. The history is a real one, of a plan whose timer a test answers.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use aos_air::cbor;
use aos_air::def::{AdapterKey, Principal, PublicKey, Trust};
use aos_air::hash::Digest;
use aos_air::validate::{self, Source};
use aos_host::driver::{Answer, DriveError, Driver, Options, Signatures, Start, System, verify_history, verify_inputs};
use aos_host::store::{Error, Fence, Head, MemoryStore, Origin, Read, StoreId, StoredBlock};
use aos_host::wasm::{Engine, Strategy as Compiler};
use aos_kernel::block::Header;
use aos_kernel::gate::Spend;
use aos_kernel::id::{BlockIndex, Height, IntentId, WorldId};
use aos_kernel::input::{Actor, Body, Event, Input, Signed};
use aos_kernel::receipt::{Keys, PrincipalDecision, Receipt, Status};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use proptest::prelude::*;
use serde::Deserialize;

/// The key of the adapter `http`, of the principal `ann`, and of the vectors.
fn honest() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey(key.verifying_key().to_bytes())
}

#[derive(Deserialize)]
struct Vectors {
    keys: Vec<Key>,
    signatures: Vec<Case>,
}

#[derive(Deserialize)]
struct Key {
    key: String,
    usable: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Case {
    message: String,
    signature: String,
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../../spec/vectors/receipts/receipts.json")).unwrap()
}

/// Trusts the honest key, and as further adapters `weak0`, `weak1` … the keys of the vectors that no one may use.
fn trust() -> Trust {
    let key = public(&honest());
    let mut adapters = vec![AdapterKey { adapter: "http".into(), key_id: "main".into(), key }];
    let weak = vectors().keys.into_iter().filter(|key| !key.usable).enumerate();
    adapters.extend(weak.map(|(index, weak)| AdapterKey {
        adapter: format!("weak{index}"),
        key_id: "main".into(),
        key: PublicKey(bytes(&weak.key).try_into().unwrap()),
    }));
    let ann = Principal { name: "ann".into(), key, roles: Vec::new() };
    Trust { adapters, principals: vec![ann], hosts: Vec::new() }
}

fn receipt(number: u64, adapter: &str) -> Receipt {
    Receipt {
        world: WorldId(Digest::from_bytes([1; 32])),
        intent: IntentId(Digest::of(&number.to_be_bytes())),
        adapter: adapter.into(),
        key_id: "main".into(),
        status: Status::Ok,
        payload: vec![0xa0],
        cost: Spend { calls: 1, ..Spend::default() },
        started_ns: number,
        finished_ns: number + 1,
    }
}

fn decision(number: u64) -> PrincipalDecision {
    PrincipalDecision {
        world: WorldId(Digest::from_bytes([1; 32])),
        manifest: Digest::from_bytes([3; 32]),
        manifest_seq: number,
        intent: IntentId(Digest::from_bytes([2; 32])),
        approve: true,
        expires_at_ns: 9,
    }
}

fn received(bytes: Vec<u8>, signature: [u8; 64]) -> Input {
    Input { actor: Actor::Adapter("http".into()), id: None, body: Body::Receipt(Signed { bytes, signature }) }
}

fn decided(who: &str, bytes: Vec<u8>, signature: [u8; 64]) -> Input {
    Input { actor: Actor::Principal(who.into()), id: None, body: Body::Decision(Signed { bytes, signature }) }
}

/// An honest receipt.
fn good(number: u64) -> Input {
    let receipt = receipt(number, "http");
    received(receipt.encode(), honest().sign(&receipt.message()).to_bytes())
}

/// What can stand in a batch, honest or not.
fn member() -> impl Strategy<Value = Input> {
    let number = any::<u64>().prop_map(|number| number >> 1);
    let vector = prop::sample::select(vectors().signatures).prop_filter_map("64 bytes", |case| {
        let message = bytes(&case.message);
        let signed = message.strip_prefix(b"aos/receipt/1\0").unwrap().to_vec();
        Some(received(signed, bytes(&case.signature).try_into().ok()?))
    });
    let weak = trust().adapters.len() - 1;
    // Under a point of small order, R = identity and S = 0 sign any message for whoever does not look.
    let forged = (number.clone(), 0..weak).prop_map(|(number, weak)| {
        let mut signature = [0; 64];
        signature[0] = 1;
        received(receipt(number, &format!("weak{weak}")).encode(), signature)
    });
    let flipped = (number.clone(), 0..512_usize).prop_map(|(number, bit)| {
        let mut input = good(number);
        if let Body::Receipt(signed) = &mut input.body {
            signed.signature[bit / 8] ^= 1 << (bit % 8);
        }
        input
    });
    let changed = (number.clone(), any::<prop::sample::Index>(), 0..8).prop_map(|(number, at, bit)| {
        let mut input = good(number);
        if let Body::Receipt(signed) = &mut input.body {
            let at = at.index(signed.bytes.len());
            signed.bytes[at] ^= 1_u8 << bit;
        }
        input
    });
    let other_key = number.clone().prop_map(|number| {
        let receipt = receipt(number, "http");
        received(receipt.encode(), SigningKey::from_bytes(&[8; 32]).sign(&receipt.message()).to_bytes())
    });
    let decision = (number.clone(), prop::sample::select(vec!["ann", "bob"]), any::<bool>()).prop_map(
        |(number, who, as_receipt)| {
            let decision = decision(number);
            let domain: &[u8] = if as_receipt { b"aos/receipt/1\0" } else { b"aos/decide/1\0" };
            let bytes = decision.encode();
            let signature = honest().sign(&[domain, &bytes].concat()).to_bytes();
            decided(who, bytes, signature)
        },
    );
    let unsigned = Just(Input { actor: Actor::Host, id: None, body: Body::Tick });
    prop_oneof![
        12 => number.prop_map(good),
        4 => vector,
        2 => forged,
        2 => flipped,
        2 => changed,
        1 => other_key,
        4 => decision,
        1 => unsigned,
    ]
}

/// Asks the library itself, by the strict rule, about one input.
fn is_accepted(trust: &Trust, input: &Input) -> bool {
    let strict = |key: PublicKey, domain: &[u8], signed: &Signed| {
        let message = [domain, &signed.bytes].concat();
        VerifyingKey::from_bytes(&key.0)
            .is_ok_and(|key| key.verify_strict(&message, &Signature::from_bytes(&signed.signature)).is_ok())
    };
    match (&input.body, &input.actor) {
        (Body::Receipt(signed), _) => Receipt::decode(&signed.bytes).is_ok_and(|receipt| {
            let named = |key: &&AdapterKey| key.adapter == receipt.adapter && key.key_id == receipt.key_id;
            trust.adapters.iter().find(named).is_some_and(|key| strict(key.key, b"aos/receipt/1\0", signed))
        }),
        (Body::Decision(signed), Actor::Principal(name)) => trust
            .principals
            .iter()
            .find(|principal| principal.name == *name)
            .is_some_and(|principal| strict(principal.key, b"aos/decide/1\0", signed)),
        (Body::Decision(_), _) => false,
        _ => true,
    }
}

fn numbered(inputs: Vec<Input>) -> Vec<(Height, Input)> {
    (10..).map(Height).zip(inputs).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// A batch is accepted where each of its members is, and refused at the first that is not.
    #[test]
    fn a_batch_accepts_what_the_one_rule_accepts(inputs in prop::collection::vec(member(), 0..12)) {
        let (trust, inputs) = (trust(), numbered(inputs));
        let first = inputs.iter().find(|(_, input)| !is_accepted(&trust, input)).map(|(height, _)| *height);
        let found = verify_inputs(&Keys::of(&trust), &inputs).err().map(|unverified| unverified.height);
        prop_assert_eq!(found, first);
    }

    /// Where the bad one stands does not matter, nor what stands after it.
    #[test]
    fn one_bad_signature_is_found_at_every_place(count in 1..24_u64, at in any::<prop::sample::Index>(), bad in member()) {
        let trust = trust();
        prop_assume!(!is_accepted(&trust, &bad));
        let mut inputs = numbered((0..count).map(good).collect());
        prop_assert_eq!(verify_inputs(&Keys::of(&trust), &inputs), Ok(()));
        let at = at.index(inputs.len());
        inputs[at].1 = bad;
        let found = verify_inputs(&Keys::of(&trust), &inputs).unwrap_err();
        prop_assert_eq!(found.height, inputs[at].0);
    }
}

const AIR: &str = r#"[
  {"$kind": "manifest", "air_version": "1",
    "schemas": [{"name": "t/Wanted@1"}], "plans": [{"name": "t/Wait@1"}], "policies": [{"name": "t/Policy@1"}],
    "triggers": [{"event": "t/Wanted@1", "plan": "t/Wait@1"}],
    "defaults": {"policy": "t/Policy@1", "cap_grants": [{"name": "clock", "cap": "sys/timer@1", "params": {}}]},
    "trust": {"adapters": [{"adapter": "timer", "key_id": "main", "key": "KEY"}]}},
  {"$kind": "defschema", "name": "t/Wanted@1", "type": {"record": {"at": {"nat": {}}}}},
  {"$kind": "defpolicy", "name": "t/Policy@1", "cedar": "permit(principal, action, resource);"},
  {"$kind": "defplan", "name": "t/Wait@1", "input": "t/Wanted@1",
    "steps": [
      {"id": "set", "op": "emit_effect", "kind": "timer.set", "params": {"deliver_at_ns": {"ref": "@plan.input.at"}},
       "cap": "clock", "bind": {"effect_id_as": "timer"}},
      {"id": "wait", "op": "await_receipt", "for": "timer", "bind": {"as": "fired"}}],
    "edges": [{"from": "set", "to": "wait"}]}
]"#;

/// A history of so many timers, each answered, with one frame in each block; and where its receipts are.
fn history(timers: u64) -> (MemoryStore, Driver, Vec<Answered>) {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| Engine::new(Compiler::Optimised, None).unwrap()).clone();
    let text = AIR.replace("KEY", &public(&honest()).to_string());
    let manifest = validate::load(&[Source { file: "test.air.json".into(), text }], &|_| None);
    let manifest = manifest.unwrap_or_else(|findings| panic!("{findings}"));
    let store = MemoryStore::new(Origin { id: StoreId([7; 32]), created_by: "the audit's tests".to_owned() });
    let start = Start { manifest, modules: Vec::new() };
    let mut driver =
        Driver::create(Box::new(store.clone()), engine, Box::new(System), start, Options::default()).unwrap();
    let mut receipts = Vec::new();
    for at in 0..timers {
        let value = cbor::to_vec(&BTreeMap::from([("at", at)])).unwrap();
        let event = Event { schema: "t/Wanted@1".into(), value, key: None };
        driver.submit([Input { actor: Actor::Host, id: None, body: Body::Event(event) }]).unwrap();
        let open = driver.world().unwrap().intents(driver.blobs()).unwrap();
        let answers = open.iter().map(|intent| {
            let payload = cbor::to_vec(&BTreeMap::from([("delivered_at_ns", Some(at)), ("key", None)]));
            let receipt =
                Receipt { world: driver.id(), intent: intent.id, payload: payload.unwrap(), ..receipt(at, "timer") };
            Signed { signature: honest().sign(&receipt.message()).to_bytes(), bytes: receipt.encode() }
        });
        let [signed] = <[Signed; 1]>::try_from(answers.collect::<Vec<_>>()).unwrap();
        let signature = signed.signature;
        let input = Input { actor: Actor::Adapter("timer".into()), id: None, body: Body::Receipt(signed) };
        let answered = driver.submit([input]).unwrap();
        assert!(matches!(&answered[..], [Answer::Applied(frame)] if frame.outcome.failure.is_none()), "{answered:?}");
        let Head { block, height, .. } = *driver.head();
        receipts.push(Answered { block, height, signature });
    }
    (store, driver, receipts)
}

/// A receipt of the history.
#[derive(Debug, Clone, Copy)]
struct Answered {
    block: BlockIndex,
    height: Height,
    signature: [u8; 64],
}

/// A store in which signatures were changed and all digests made anew, as a forger would, and a block is damaged.
struct Forged {
    store: MemoryStore,
    forged: Vec<Answered>,
    damaged: Option<BlockIndex>,
}

impl Forged {
    fn change(&self, mut block: StoredBlock) -> StoredBlock {
        for forged in self.forged.iter().filter(|forged| forged.block == block.index) {
            let at = block.body.windows(64).position(|window| window == forged.signature).unwrap();
            block.body[at] ^= 1;
            let header = Header::decode(&block.header).unwrap();
            block.header = Header { body_root: Digest::of(&block.body), ..header }.encode();
        }
        if self.damaged == Some(block.index) {
            block.body[0] ^= 1;
        }
        block
    }
}

impl Read for Forged {
    fn origin(&self) -> &Origin {
        self.store.origin()
    }

    fn worlds(&self) -> Result<Vec<(WorldId, Head)>, Error> {
        self.store.worlds()
    }

    fn head(&self, world: WorldId) -> Result<Head, Error> {
        self.store.head(world)
    }

    fn fence(&self, world: WorldId) -> Result<Fence, Error> {
        self.store.fence(world)
    }

    fn block(&self, world: WorldId, index: BlockIndex) -> Result<Option<StoredBlock>, Error> {
        Ok(self.store.block(world, index)?.map(|block| self.change(block)))
    }

    fn blocks(&self, world: WorldId, from: BlockIndex, count: usize) -> Result<Vec<StoredBlock>, Error> {
        Ok(self.store.blocks(world, from, count)?.into_iter().map(|block| self.change(block)).collect())
    }

    fn snapshots(&self, world: WorldId) -> Result<Vec<BlockIndex>, Error> {
        self.store.snapshots(world)
    }

    fn snapshot(&self, world: WorldId, index: BlockIndex) -> Result<Option<Vec<u8>>, Error> {
        self.store.snapshot(world, index)
    }

    fn blob(&self, hash: &Digest) -> Result<Vec<u8>, Error> {
        self.store.blob(hash)
    }

    fn beyond(&self, world: WorldId) -> Result<Vec<BlockIndex>, Error> {
        self.store.beyond(world)
    }
}

#[test]
fn a_history_is_verified_without_executing_it() {
    let (store, driver, receipts) = history(9);
    let (world, blobs) = (driver.id(), driver.blobs().clone());
    let verified = verify_history(&store, &blobs, world).unwrap();
    assert_eq!(verified, Signatures { receipts: 9, decisions: 0 });

    let forged = Forged { store, forged: vec![receipts[7], receipts[4]], damaged: None };
    let error = verify_history(&forged, &blobs, world).unwrap_err();
    let DriveError::Unverified(unverified) = &error else { panic!("{error}") };
    assert_eq!((unverified.height, error.code()), (receipts[4].height, "receipt.signature"));
}

#[test]
fn what_comes_first_in_a_history_is_said() {
    let (store, driver, receipts) = history(4);
    let (world, blobs) = (driver.id(), driver.blobs().clone());
    let code = |damaged: usize| {
        let damaged = Some(receipts[damaged].block);
        let forged = Forged { store: store.clone(), forged: vec![receipts[1]], damaged };
        verify_history(&forged, &blobs, world).unwrap_err().code()
    };
    assert_eq!((code(0), code(2)), ("block.damaged", "receipt.signature"));
}
