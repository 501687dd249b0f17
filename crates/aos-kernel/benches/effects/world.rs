//! A world with plans and one reducer that is a Rust function: events, steps, and effects from the asking to the answer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aos_air::abi::{Call, Reply};
use aos_air::cbor;
use aos_air::def::PublicKey;
use aos_air::hash::Digest;
use aos_air::limits::Limits;
use aos_air::module::Entry;
use aos_air::name::Name;
use aos_air::plan::Plan;
use aos_air::schema::Value;
use aos_air::validate::{self, Source};
use aos_kernel::derived::Derived;
use aos_kernel::frame::Frame;
use aos_kernel::gate::Spend;
use aos_kernel::genesis::{EffectMode, Genesis};
use aos_kernel::guest::{Allowance, CallError, Guest};
use aos_kernel::id::{Height, IntentId};
use aos_kernel::input::{Actor, Body, Event, Input, Opening, Signed, Stamp};
use aos_kernel::plan::{Instance, Next, Start};
use aos_kernel::receipt::{Receipt, Status};
use aos_kernel::{Admission, EXECUTOR, Machine, Seal, World};
use divan::black_box;
use ed25519_dalek::{Signer as _, SigningKey};
use serde::Serialize;

use crate::each;
use crate::policies::decide;

pub const EVENT: &str = "an event to a reducer";
pub const BARE_STEP: &str = "a step `assign`, the instance alone";
pub const STEP: &str = "a step `assign` in a world";
pub const RAISE: &str = "a step `raise_event` in a world, with the reducer that takes the event";
pub const DECISION: &str = "the one policy decision of the effect below";
pub const ASKED: &str = "an event that starts a plan that asks for an effect: checked, decided, allowed";
pub const ANSWERED: &str = "its receipt: verified, settled, the plan goes on and ends";
pub const WHOLE: &str = "an effect's whole way through the kernel, the two together";

/// Frames of a block, and events of a turn.
const FRAMES: u64 = 256;
/// Effects of a turn: a frame for each question and one for each answer make a block, whose sealing counts.
const EFFECTS: u64 = FRAMES / 2;
/// Steps of a plan.
const STEPS: u64 = 100;
/// Runs of a plan in a turn.
const RUNS: u64 = 4;

const START_NS: u64 = 1_700_000_000_000_000_000;
const URL: &str = "https://a.example/v1/orders?since=1";

/// Counts calls in the cell, as a module would; the answer does not depend on the event.
struct Native;

impl Guest for Native {
    fn call(
        &mut self,
        _: &Digest,
        _: Entry,
        input: &[u8],
        _: Allowance,
        output: &mut Vec<u8>,
    ) -> Result<u64, CallError> {
        let call = Call::decode(input).unwrap();
        let before: BTreeMap<String, u64> =
            call.state.map(|state| cbor::from_slice(state).unwrap()).unwrap_or_default();
        let count = before.get("count").copied().unwrap_or_default() + 1;
        let state = cbor::to_vec(&BTreeMap::from([("count", count)])).unwrap();
        output.clear();
        Reply { state: Some(state), ..Reply::default() }.encode(output);
        Ok(1)
    }
}

/// A world with the bytes that it needs.
pub struct Running {
    world: World,
    blobs: BTreeMap<Digest, Vec<u8>>,
    key: SigningKey,
    now_ns: u64,
}

/// Writes a chain of steps, with the edges between them.
fn chain(step: impl Fn(u64) -> serde_json::Value) -> (Vec<serde_json::Value>, Vec<serde_json::Value>) {
    let edge = |to: u64| serde_json::json!({"from": format!("s{}", to - 1), "to": format!("s{to}")});
    ((0..STEPS).map(step).collect(), (1..STEPS).map(edge).collect())
}

fn definitions(key: PublicKey) -> String {
    let (assigns, assign_edges) = chain(|at| {
        let before = if at == 0 { "@plan.input.n".to_owned() } else { format!("@var:x{}", at - 1) };
        let sum = serde_json::json!({"op": "add", "args": [{"ref": before}, {"nat": 1}]});
        serde_json::json!({"id": format!("s{at}"), "op": "assign", "expr": sum, "bind": {"as": format!("x{at}")}})
    });
    let (raises, raise_edges) = chain(|at| {
        serde_json::json!({"id": format!("s{at}"), "op": "raise_event", "event": "bench/Add@1",
            "value": {"n": {"ref": "@plan.input.n"}}})
    });
    let number = serde_json::json!({"record": {"n": {"nat": {}}}});
    serde_json::json!([
        {"$kind": "defschema", "name": "bench/State@1", "type": {"record": {"count": {"nat": {}}}}},
        {"$kind": "defschema", "name": "bench/Add@1", "type": number},
        {"$kind": "defschema", "name": "bench/Assign_in@1", "type": number},
        {"$kind": "defschema", "name": "bench/Raise_in@1", "type": number},
        {"$kind": "defschema", "name": "bench/Fetch_in@1", "type": number},
        {"$kind": "defmodule", "name": "bench/One@1", "module_kind": "reducer",
            "abi": {"reducer": {"state": "bench/State@1", "event": "bench/Add@1"}}},
        {"$kind": "defplan", "name": "bench/Assign@1", "input": "bench/Assign_in@1",
            "steps": assigns, "edges": assign_edges},
        {"$kind": "defplan", "name": "bench/Raise@1", "input": "bench/Raise_in@1",
            "steps": raises, "edges": raise_edges},
        {"$kind": "defplan", "name": "bench/Fetch@1", "input": "bench/Fetch_in@1",
            "steps": [
                {"id": "ask", "op": "emit_effect", "kind": "http.request", "cap": "web",
                    "params": {"method": "GET", "url": URL, "headers": {"accept": "application/json"}},
                    "bind": {"effect_id_as": "asked"}},
                {"id": "wait", "op": "await_receipt", "for": "asked", "bind": {"as": "page"}},
            ],
            "edges": [{"from": "ask", "to": "wait"}]},
        {"$kind": "defpolicy", "name": "bench/Web@1",
            "cedar": r#"permit(principal, action == Aos::Action::"http.request", resource == Aos::Grant::"web");"#},
        {"$kind": "manifest", "air_version": "1",
            "schemas": [{"name": "bench/State@1"}, {"name": "bench/Add@1"}, {"name": "bench/Assign_in@1"},
                {"name": "bench/Raise_in@1"}, {"name": "bench/Fetch_in@1"}],
            "modules": [{"name": "bench/One@1"}],
            "plans": [{"name": "bench/Assign@1"}, {"name": "bench/Raise@1"}, {"name": "bench/Fetch@1"}],
            "policies": [{"name": "bench/Web@1"}],
            "routing": {"events": [{"event": "bench/Add@1", "reducer": "bench/One@1"}]},
            "triggers": [{"event": "bench/Assign_in@1", "plan": "bench/Assign@1"},
                {"event": "bench/Raise_in@1", "plan": "bench/Raise@1"},
                {"event": "bench/Fetch_in@1", "plan": "bench/Fetch@1"}],
            "defaults": {"policy": "bench/Web@1", "cap_grants": [{"name": "web", "cap": "sys/http.out@1",
                "params": {"hosts": ["a.example"], "methods": ["GET"], "path_prefixes": ["/v1/"]},
                "budget": {"calls": 1_000_000}}]},
            "trust": {"adapters": [{"adapter": "http", "key_id": "main", "key": key.to_string()}]}},
    ])
    .to_string()
}

impl Running {
    pub fn new() -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let text = definitions(PublicKey(key.verifying_key().to_bytes()));
        let source = Source { file: "bench.air.json".into(), text };
        let manifest = validate::load(&[source], &|name| Some(Digest::of(name.as_str().as_bytes())));
        let manifest = manifest.unwrap_or_else(|findings| panic!("{findings}"));
        let genesis = Genesis {
            executor: EXECUTOR,
            manifest: manifest.hash(),
            limits: Limits::default(),
            effect_mode: EffectMode::Live,
            created_ns: START_NS,
            nonce: [7; 32],
        };
        let (world, sealed) = World::create(genesis, manifest).unwrap();
        Self { world, blobs: sealed.blobs.into_iter().collect(), key, now_ns: START_NS }
    }

    /// Admits and applies an input; seals a block when it is full.
    fn send(&mut self, input: Input) -> Frame {
        if !self.world.is_open() {
            self.world.begin(Opening { time_base_ns: self.now_ns, seed: [3; 32], time_step_allowed: false });
        }
        self.now_ns += 1_000;
        let admission = self.world.admit(input, Stamp { now_ns: self.now_ns }, &self.blobs).unwrap();
        let Ok(Admission::Admitted(admitted)) = admission else { panic!("not admitted: {admission:?}") };
        let mut machine = Machine { guest: &mut Native, blobs: &self.blobs };
        let frame = self.world.apply(&mut machine, admitted).unwrap();
        assert!(frame.outcome.failure.is_none(), "{:?}", frame.outcome);
        if self.world.frames_open() as u64 == FRAMES {
            let sealed = self.world.seal(Seal::Plain, &self.blobs).unwrap();
            self.blobs.extend(sealed.blobs);
        }
        frame
    }

    pub fn events(&mut self) -> (&'static str, Duration) {
        let inputs = (0..FRAMES).map(|_| event("bench/Add@1"));
        (EVENT, each(inputs, |input| drop(self.send(input))))
    }

    pub fn bare_steps(&self) -> (&'static str, Duration) {
        let manifest = self.world.program().manifest();
        let plan = manifest.plan(&Name::parse("bench/Assign@1").unwrap()).unwrap();
        let start = |id| Start {
            id,
            plan: plan.clone(),
            manifest: manifest.hash(),
            input: &[0xa1, 0x61, b'n', 1],
            started_at: Height(1),
            actor: vec![0],
        };
        let run = |start: Start<'_>| {
            let mut instance = Instance::start(start).unwrap();
            while !matches!(black_box(instance.advance(START_NS)), Next::Ended(Ok(None))) {}
        };
        (BARE_STEP, each((0..RUNS).map(start), run) / per_step(plan))
    }

    pub fn steps(&mut self) -> (&'static str, Duration) {
        (STEP, self.runs("bench/Assign_in@1", 2))
    }

    pub fn raises(&mut self) -> (&'static str, Duration) {
        (RAISE, self.runs("bench/Raise_in@1", 2 + STEPS))
    }

    /// Runs a plan from its event to its end, which derives so many records, and returns what a step took.
    fn runs(&mut self, trigger: &str, derived: u64) -> Duration {
        let run = |input| assert_eq!(self.send(input).derived.len() as u64, derived);
        each((0..RUNS).map(|_| event(trigger)), run) / u32::try_from(STEPS).unwrap()
    }

    pub fn decisions(&self) -> (&'static str, Duration) {
        (DECISION, decide(self.world.program().manifest().policies(), "bench/Fetch@1", 128))
    }

    /// Asks for effects, and then answers them. Their signing is not counted.
    pub fn effects(&mut self) -> Vec<(&'static str, Duration)> {
        let inputs = (0..EFFECTS).map(|_| event("bench/Fetch_in@1"));
        let mut frames = Vec::new();
        let asked = each(inputs, |input| frames.push(self.send(input)));
        let receipts: Vec<Input> = frames.iter().map(|frame| self.receipt(intent(frame))).collect();
        let start = Instant::now();
        for receipt in receipts {
            let frame = self.send(receipt);
            // The intent's end and the plan's.
            assert_eq!(frame.derived.len(), 2);
        }
        let answered = start.elapsed() / u32::try_from(EFFECTS).unwrap();
        vec![(ASKED, asked), (ANSWERED, answered), (WHOLE, asked + answered)]
    }

    fn receipt(&self, intent: IntentId) -> Input {
        let receipt = Receipt {
            world: self.world.id(),
            intent,
            adapter: "http".into(),
            key_id: "main".into(),
            status: Status::Ok,
            payload: answer(),
            cost: Spend { calls: 1, ..Spend::default() },
            started_ns: START_NS,
            finished_ns: START_NS + 1,
        };
        let signature = self.key.sign(&receipt.message()).to_bytes();
        let signed = Signed { bytes: receipt.encode(), signature };
        Input { actor: Actor::Adapter("http".into()), id: None, body: Body::Receipt(signed) }
    }
}

fn per_step(plan: &Plan) -> u32 {
    u32::try_from(plan.steps.len()).unwrap()
}

fn event(schema: &str) -> Input {
    let value = cbor::to_vec(&BTreeMap::from([("n", 1)])).unwrap();
    Input { actor: Actor::Host, id: None, body: Body::Event(Event { schema: schema.into(), value, key: None }) }
}

/// Finds the intent that a frame asked for and was allowed.
fn intent(frame: &Frame) -> IntentId {
    let asked = frame.derived.iter().find_map(|derived| match derived {
        Derived::Asked { intent, .. } => Some(*intent),
        _ => None,
    });
    asked.unwrap_or_else(|| panic!("nothing was asked for: {:?}", frame.derived))
}

/// What a service answers, as the receipt's payload.
pub fn answer() -> Vec<u8> {
    #[derive(Serialize)]
    struct Timings {
        start_ns: u64,
        end_ns: u64,
    }
    #[derive(Serialize)]
    struct Answer {
        status: i64,
        headers: BTreeMap<&'static str, &'static str>,
        body_ref: Option<()>,
        final_url: &'static str,
        redacted: bool,
        timings: Timings,
    }
    let headers = BTreeMap::from([("content-type", "application/json")]);
    let timings = Timings { start_ns: START_NS, end_ns: START_NS + 1 };
    cbor::to_vec(&Answer { status: 200, headers, body_ref: None, final_url: URL, redacted: false, timings }).unwrap()
}

/// The parameters of the effect as the gate has them.
pub fn params() -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let headers = Value::map([(text("accept"), text("application/json"))]);
    Value::Record(BTreeMap::from([
        ("method".to_owned(), text("GET")),
        ("url".to_owned(), text(URL)),
        ("headers".to_owned(), headers.unwrap_or(Value::Unit)),
        ("body_ref".to_owned(), Value::Option(None)),
        ("auth".to_owned(), Value::Option(None)),
    ]))
}
