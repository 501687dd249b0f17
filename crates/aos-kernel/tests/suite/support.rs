//! A small world with native guests: what a module would do, as a Rust function over the same envelopes.

use std::collections::BTreeMap;

use aos_air::abi::{Call, DomainEvent, Reply};
use aos_air::cbor;
use aos_air::hash::Digest;
use aos_air::limits::Limits;
use aos_air::module::Entry;
use aos_air::validate::{self, Checked, Manifest, Source};
use aos_kernel::blobs::BlobFault;
use aos_kernel::error::Refusal;
use aos_kernel::frame::Frame;
use aos_kernel::genesis::{EffectMode, Genesis};
use aos_kernel::guest::{Allowance, CallError, Guest, GuestFault, Trap};
use aos_kernel::input::{Actor, Body, Event, Input, Opening, Stamp};
use aos_kernel::{Admission, EXECUTOR, Machine, Seal, Sealed, World};
use serde::{Deserialize, Serialize};

/// Compares a text with the one kept in `snapshots/`; on wasm32, where there are no files, with what was compiled in.
macro_rules! assert_kept {
    ($module:literal, $name:literal, $text:expr) => {
        if cfg!(target_arch = "wasm32") {
            let kept = include_str!(concat!("snapshots/suite__", $module, "__", $name, ".snap"));
            assert!(kept.ends_with(&format!("---\n{}\n", $text.trim_end())));
        } else {
            insta::assert_snapshot!($name, $text);
        }
    };
}
pub(crate) use assert_kept;

/// The definitions of the world: an unkeyed tally that raises events, a keyed tally that takes them, a free-form script.
pub const AIR: &str = r#"[
  {"$kind": "defschema", "name": "test/Tally@1", "type": {"record": {"sum": {"nat": {}}, "calls": {"nat": {}}}}},
  {"$kind": "defschema", "name": "test/Key@1", "type": {"text": {}}},
  {"$kind": "defschema", "name": "test/Added@1", "type": {"record": {"name": {"text": {}}, "n": {"nat": {}}}}},
  {"$kind": "defschema", "name": "test/Forget@1", "type": {"text": {}}},
  {"$kind": "defschema", "name": "test/Tick@1", "type": {"unit": {}}},
  {"$kind": "defschema", "name": "test/Keyed@1", "type": {"variant": {
    "Added": {"ref": "test/Added@1"}, "Forget": {"ref": "test/Forget@1"}, "Tick": {"ref": "test/Tick@1"}}}},
  {"$kind": "defschema", "name": "test/Script@1", "type": {"bytes": {}}},
  {"$kind": "defschema", "name": "test/Note@1", "type": {"text": {}}},
  {"$kind": "defmodule", "name": "test/Keyed_reducer@1", "module_kind": "reducer", "key_schema": "test/Key@1",
    "abi": {"reducer": {"state": "test/Tally@1", "event": "test/Keyed@1"}}},
  {"$kind": "defmodule", "name": "test/Script_reducer@1", "module_kind": "reducer",
    "abi": {"reducer": {"state": "test/Tally@1", "event": "test/Script@1", "context": "sys/ReducerContext@1", "annotations": "test/Note@1"}}},
  {"$kind": "manifest", "air_version": "1",
    "schemas": [{"name": "test/Tally@1"}, {"name": "test/Key@1"}, {"name": "test/Added@1"}, {"name": "test/Forget@1"},
      {"name": "test/Tick@1"}, {"name": "test/Keyed@1"}, {"name": "test/Script@1"}, {"name": "test/Note@1"}],
    "modules": [{"name": "test/Keyed_reducer@1"}, {"name": "test/Script_reducer@1"}],
    "routing": {
      "events": [
        {"event": "test/Script@1", "reducer": "test/Script_reducer@1"},
        {"event": "test/Added@1", "reducer": "test/Keyed_reducer@1", "key_field": "name"},
        {"event": "test/Forget@1", "reducer": "test/Keyed_reducer@1"},
        {"event": "test/Tick@1", "reducer": "test/Keyed_reducer@1"}],
      "inboxes": [{"source": "mail", "reducer": "test/Keyed_reducer@1"}]},
    "trust": {"principals": [
      {"name": "ada", "key": "ed25519:d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737", "roles": []},
      {"name": "adal", "key": "ed25519:a09aa5f47a6759802ff955f8dc2d2a14a5c99d23be97f864127ff9383455a4f0", "roles": []}]},
    "limits": {LIMITS}}
]"#;

/// What the script reducer is told to do, step by step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Act {
    /// Adds to the sum.
    Add(u64),
    /// Raises an event with this schema, value and key.
    Raise(String, serde_bytes::ByteBuf, Option<serde_bytes::ByteBuf>),
    /// Raises so many ticks for one key.
    RaiseMany(u64, String),
    /// Raises a note of so many letters.
    RaiseNote(usize),
    /// Leaves an annotation.
    Annotate(String),
    /// Asks for so many effects.
    Effects(u64),
    /// Answers with a state of so many bytes that fits no schema.
    BadState,
    /// Answers with bytes that are no reply.
    BadReply,
    /// Deletes its cell.
    Delete,
    /// Fails.
    Trap,
    /// Refuses, with a reason.
    Refuse(String),
    /// Uses so much fuel.
    Burn(u64),
    /// Writes its context's bytes as an annotation text in hexadecimal.
    ShowContext,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub sum: u64,
    pub calls: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Added {
    pub name: String,
    pub n: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Keyed {
    Added(Added),
    Forget(String),
    Tick,
}

pub const KEYED: &str = "test/Keyed_reducer@1";
pub const SCRIPT: &str = "test/Script_reducer@1";

/// The digest that stands for a native module.
pub fn wasm(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// Runs the two reducers natively. Fuel is one unit a call and what `Burn` says.
#[derive(Default)]
pub struct Native {
    /// Changes what the keyed reducer adds, to make a module that is not the recorded one.
    pub wrong: bool,
    pub calls: u64,
}

impl Guest for Native {
    fn call(
        &mut self,
        module: &Digest,
        _: Entry,
        input: &[u8],
        allowance: Allowance,
        output: &mut Vec<u8>,
    ) -> Result<u64, CallError> {
        output.clear();
        self.calls += 1;
        let call = Call::decode(input).unwrap();
        let (reply, fuel) = if *module == wasm(KEYED) {
            (keyed(&call, self.wrong), 1)
        } else if *module == wasm(SCRIPT) {
            script(&call)
        } else {
            return Err(GuestFault::Blob(BlobFault::Missing(*module)).into());
        };
        if fuel > allowance.fuel {
            return Err(CallError::Failed { trap: Trap::Fuel, fuel_used: allowance.fuel });
        }
        match reply {
            None => Err(CallError::Failed { trap: Trap::Trap, fuel_used: fuel }),
            Some(bytes) if bytes.len() as u64 > allowance.reply_bytes => {
                Err(CallError::Failed { trap: Trap::ReplyBytes, fuel_used: fuel })
            }
            Some(bytes) => {
                output.extend_from_slice(&bytes);
                Ok(fuel)
            }
        }
    }
}

fn encode(reply: &Reply) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    reply.encode(&mut out);
    Some(out)
}

fn keyed(call: &Call<'_>, wrong: bool) -> Option<Vec<u8>> {
    let mut tally: Tally = call.state.map(|state| cbor::from_slice(state).unwrap()).unwrap_or_default();
    tally.calls += 1;
    assert!(call.key.is_some(), "a keyed reducer is called with its key");
    match cbor::from_slice(call.value).unwrap() {
        Keyed::Added(added) => tally.sum = tally.sum.checked_add(added.n)?.checked_add(u64::from(wrong))?,
        Keyed::Forget(_) => return encode(&Reply::default()),
        Keyed::Tick => tally.sum += 1,
    }
    encode(&Reply { state: Some(cbor::to_vec(&tally).unwrap()), ..Reply::default() })
}

fn script(call: &Call<'_>) -> (Option<Vec<u8>>, u64) {
    let mut fuel = 1;
    let mut tally: Tally = call.state.map(|state| cbor::from_slice(state).unwrap()).unwrap_or_default();
    tally.calls += 1;
    let mut reply = Reply::default();
    let mut delete = false;
    let acts: serde_bytes::ByteBuf = cbor::from_slice(call.value).unwrap();
    for act in cbor::from_slice::<Vec<Act>>(&acts).unwrap() {
        match act {
            Act::Add(n) => tally.sum += n,
            Act::Raise(schema, value, key) => {
                reply.domain_events.push(DomainEvent {
                    schema,
                    value: value.into_vec(),
                    key: key.map(serde_bytes::ByteBuf::into_vec),
                });
            }
            Act::RaiseMany(count, key) => {
                for _ in 0..count {
                    let key = Some(cbor::to_vec(&key).unwrap());
                    reply.domain_events.push(DomainEvent { schema: "test/Tick@1".into(), value: vec![0xf6], key });
                }
            }
            Act::RaiseNote(letters) => {
                let value = cbor::to_vec(&"x".repeat(letters)).unwrap();
                reply.domain_events.push(DomainEvent { schema: "test/Note@1".into(), value, key: None });
            }
            Act::Annotate(note) => reply.annotation = Some(cbor::to_vec(&note).unwrap()),
            Act::Effects(count) => {
                let effect = aos_air::abi::Effect {
                    kind: "timer.set".into(),
                    params: vec![0xa0],
                    cap_slot: Some("clock".into()),
                    idempotency_key: None,
                };
                reply.effects.extend((0..count).map(|_| effect.clone()));
            }
            Act::BadState => {
                reply.state = Some(vec![0x61, b'x']);
                return (encode(&reply), fuel);
            }
            Act::BadReply => return (Some(vec![0x80]), fuel),
            Act::Delete => delete = true,
            Act::Trap => return (None, fuel),
            Act::Refuse(why) => reply.error = Some(why),
            Act::Burn(units) => fuel += units,
            Act::ShowContext => {
                let context: String = call.context.unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
                reply.annotation = Some(cbor::to_vec(&context).unwrap());
            }
        }
    }
    if !delete {
        reply.state = Some(cbor::to_vec(&tally).unwrap());
    }
    (encode(&reply), fuel)
}

/// Checks the world's definitions, with these limits: JSON members, `"event_bytes_max": 5`.
pub fn manifest(limits: &str) -> Checked<Manifest> {
    let source = Source { file: "test.air.json".into(), text: AIR.replace("LIMITS", limits) };
    validate::load(&[source], &|name| Some(wasm(name.as_str()))).unwrap_or_else(|findings| panic!("{findings}"))
}

/// A world under test, with its guest, its blobs and the blocks that it has sealed.
pub struct Bench<G = Native> {
    pub world: World,
    pub native: G,
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    pub blocks: Vec<Sealed>,
    pub now_ns: u64,
}

/// The time at which the worlds of the tests are made.
pub const START_NS: u64 = 1_700_000_000_000_000_000;

impl Bench {
    pub fn new(limits: &str) -> Self {
        Self::of(manifest(limits), EffectMode::Live, Native::default())
    }

    pub fn tally(&self, reducer: &str, key: Option<&str>) -> Option<Tally> {
        let key = key.map(|key| cbor::to_vec(key).unwrap());
        let cell = self.world.cell(&self.blobs, reducer, key.as_deref()).unwrap()?;
        Some(cbor::from_slice(&cell.state).unwrap())
    }
}

impl<G: Guest> Bench<G> {
    pub fn of(manifest: Checked<Manifest>, effect_mode: EffectMode, native: G) -> Self {
        let genesis = Genesis {
            executor: EXECUTOR,
            manifest: manifest.hash(),
            limits: Limits::default(),
            effect_mode,
            created_ns: START_NS,
            nonce: [7; 32],
        };
        let (world, sealed) = World::create(genesis, manifest).unwrap();
        let blobs = sealed.blobs.iter().cloned().collect();
        Self { world, native, blobs, blocks: vec![sealed], now_ns: START_NS }
    }

    pub fn begin(&mut self) {
        if !self.world.is_open() {
            let seed = *Digest::of(&(self.blocks.len() as u64).to_be_bytes()).as_bytes();
            self.world.begin(Opening { time_base_ns: self.now_ns, seed, time_step_allowed: false });
        }
    }

    pub fn admit(&mut self, input: Input) -> Result<Admission, Refusal> {
        self.begin();
        self.now_ns += 1_000;
        self.world.admit(input, Stamp { now_ns: self.now_ns }, &self.blobs).unwrap()
    }

    pub fn send(&mut self, input: Input) -> Frame {
        match self.admit(input) {
            Ok(Admission::Admitted(admitted)) => {
                let mut machine = Machine { guest: &mut self.native, blobs: &self.blobs };
                self.world.apply(&mut machine, admitted).unwrap()
            }
            other => panic!("not admitted: {other:?}"),
        }
    }

    pub fn seal(&mut self, seal: Seal) -> Sealed {
        self.begin();
        let sealed = self.world.seal(seal, &self.blobs).unwrap();
        self.blobs.extend(sealed.blobs.iter().cloned());
        self.blocks.push(sealed.clone());
        sealed
    }
}

/// Makes an input of the host.
pub fn event(schema: &str, value: Vec<u8>) -> Input {
    Input { actor: Actor::Host, id: None, body: Body::Event(Event { schema: schema.into(), value, key: None }) }
}

/// Makes an input that adds to a key.
pub fn added(name: &str, n: u64) -> Input {
    event("test/Added@1", cbor::to_vec(&Added { name: name.into(), n }).unwrap())
}

/// Makes an input that tells the script reducer what to do.
pub fn acts(acts: &[Act]) -> Input {
    let script = serde_bytes::ByteBuf::from(cbor::to_vec(acts).unwrap());
    event("test/Script@1", cbor::to_vec(&script).unwrap())
}

/// Makes an act that raises an event of plain serde types.
pub fn raise<T: Serialize + ?Sized>(schema: &str, value: &T, key: Option<&str>) -> Act {
    let key = key.map(|key| cbor::to_vec(key).unwrap().into());
    Act::Raise(schema.into(), cbor::to_vec(value).unwrap().into(), key)
}

/// Gives an input an id.
pub fn with_id(mut input: Input, id: &[u8]) -> Input {
    input.id = Some(id.to_vec());
    input
}

/// Gives an input a key.
pub fn with_key(mut input: Input, key: &str) -> Input {
    if let Body::Event(event) = &mut input.body {
        event.key = Some(cbor::to_vec(key).unwrap());
    }
    input
}
