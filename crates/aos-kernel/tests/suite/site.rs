//! The definitions of a world that acts on the outside: what differs from test to test, and the steps of its plans.

use aos_air::def::PublicKey;
use aos_air::hash::Digest;
use aos_air::validate::{self, Checked, Manifest, Source};
use aos_kernel::genesis::EffectMode;
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

use crate::clerk::{CLERK, METER};
use crate::support::wasm;

const ADAPTERS: [&str; 6] = ["t", "timer", "blob", "http", "llm", "vault"];

/// What differs from world to world. Schemas, reducer, effect and keys are always the same.
#[derive(Debug, Clone)]
pub struct Site {
    /// The plans' definitions without `$kind`.
    pub plans: Vec<Value>,
    pub triggers: Value,
    pub grants: Value,
    /// The policy's body: `rules` or `cedar`.
    pub policy: Value,
    pub secrets: Vec<Value>,
    pub limits: Value,
    pub mode: EffectMode,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            plans: Vec::new(),
            triggers: json!([]),
            grants: json!([
                {"name": "ask", "cap": "t/AskCap@1", "params": {}},
                {"name": "clock", "cap": "sys/timer@1", "params": {}},
                {"name": "store", "cap": "sys/blob@1", "params": {}}]),
            policy: json!({"rules": [{"when": {}, "decision": "allow"}]}),
            secrets: Vec::new(),
            limits: json!({}),
            mode: EffectMode::Live,
        }
    }
}

impl Site {
    /// A world with one plan, which `t/Go@1` starts.
    pub fn of(steps: Value, edges: Value) -> Self {
        Self::with(json!({"steps": steps, "edges": edges}))
    }

    /// A world with one plan of these members, which `t/Go@1` starts.
    pub fn with(plan: Value) -> Self {
        Self {
            plans: vec![named("t/P@1", "t/Go@1", plan)],
            triggers: json!([{"event": "t/Go@1", "plan": "t/P@1"}]),
            ..Self::default()
        }
    }

    pub fn manifest(&self) -> Checked<Manifest> {
        let text = serde_json::to_string(&self.documents()).unwrap();
        let source = Source { file: "outside.air.json".into(), text };
        validate::load(&[source], &|name| Some(wasm(name.as_str()))).unwrap_or_else(|findings| panic!("{findings}"))
    }

    fn documents(&self) -> Value {
        let number_and_name = json!({"record": {"n": {"nat": {}}, "who": {"text": {}}}});
        let schema = |name: &str, of: Value| json!({"$kind": "defschema", "name": name, "type": of});
        let to = |name: &str| json!({"ref": name});
        let mut documents = vec![
            schema(
                "t/Go@1",
                json!({"record": {"n": {"nat": {}}, "who": {"text": {}}, "flags": {"list": {"bool": {}}}}}),
            ),
            schema("t/Note@1", number_and_name.clone()),
            schema("t/Hint@1", number_and_name),
            schema("t/Out@1", json!({"nat": {}})),
            schema("t/Ask@1", json!({"record": {"q": {"text": {}}, "n": {"nat": {}}}})),
            schema("t/Answer@1", json!({"record": {"a": {"nat": {}}}})),
            schema("t/Do@1", json!({"bytes": {}})),
            schema("t/Log@1", json!({"list": {"text": {}}})),
            schema(
                "t/Heard@1",
                json!({"variant": {
                "Do": to("t/Do@1"), "Note": to("t/Note@1"), "Answer": to("t/Answer@1"), "Fired": to("sys/TimerFired@1"),
                "Put": to("sys/BlobPutResult@1"), "Got": to("sys/BlobGetResult@1"), "Failed": to("sys/EffectFailed@1")}}),
            ),
            json!({"$kind": "defcap", "name": "t/AskCap@1", "cap_type": "t.ask", "schema": {"record": {}}}),
            json!({"$kind": "defcap", "name": "t/MeterCap@1", "cap_type": "t.ask", "schema": {"record": {}},
                "enforcer": {"module": METER}}),
            json!({"$kind": "defeffect", "name": "t/ask@1", "kind": "t.ask", "params_schema": "t/Ask@1",
                "receipt_schema": "t/Answer@1", "cap_type": "t.ask", "origin_scope": "both"}),
            json!({"$kind": "defmodule", "name": METER, "module_kind": "pure",
                "abi": {"pure": {"input": "sys/CapCheck@1", "output": "sys/CapVerdict@1"}}}),
            json!({"$kind": "defmodule", "name": CLERK, "module_kind": "reducer", "abi": {"reducer": {
                "state": "t/Log@1", "event": "t/Heard@1", "effects_emitted": ["timer.set", "blob.put", "blob.get", "t.ask"],
                "cap_slots": {"clock": "timer", "store": "blob", "spare": "t.ask"}}}}),
        ];
        let kind = |kind: &str, of: &Value| {
            let mut of = of.clone();
            of["$kind"] = kind.into();
            of
        };
        documents.push(kind("defpolicy", &named_policy(&self.policy)));
        documents.extend(self.plans.iter().map(|plan| kind("defplan", plan)));
        documents.extend(self.secrets.iter().map(|secret| kind("defsecret", secret)));
        documents.push(self.manifest_document());
        documents.into()
    }

    fn manifest_document(&self) -> Value {
        let names = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        let own = |of: &[Value]| of.iter().map(|of| json!({"name": of["name"]})).collect::<Vec<_>>();
        let adapters =
            ADAPTERS.map(|adapter| json!({"adapter": adapter, "key_id": "main", "key": public(&adapter_key())}));
        let principal =
            |name: &str, roles: Value| json!({"name": name, "key": public(&principal_key(name)), "roles": roles});
        json!({"$kind": "manifest", "air_version": "1",
            "schemas": names(&["t/Go@1", "t/Note@1", "t/Hint@1", "t/Out@1", "t/Ask@1", "t/Answer@1", "t/Do@1", "t/Log@1", "t/Heard@1"]),
            "modules": names(&[METER, CLERK]), "effects": names(&["t/ask@1"]), "caps": names(&["t/AskCap@1", "t/MeterCap@1"]),
            "policies": names(&["t/Rules@1"]), "plans": own(&self.plans), "secrets": own(&self.secrets),
            "routing": {"events": [{"event": "t/Do@1", "reducer": CLERK}, {"event": "t/Note@1", "reducer": CLERK}],
                "inboxes": [{"source": "mail", "reducer": CLERK}]},
            "triggers": self.triggers, "limits": self.limits,
            "defaults": {"policy": "t/Rules@1", "cap_grants": self.grants},
            "module_bindings": {CLERK: {"slots": {"clock": "clock", "store": "store"}}},
            "trust": {"adapters": adapters,
                "principals": [principal("ann", json!(["approver"])), principal("bob", json!([]))]}})
    }
}

/// A plan's definition of these members.
pub fn named(name: &str, input: &str, mut plan: Value) -> Value {
    plan["name"] = name.into();
    plan["input"] = input.into();
    plan
}

fn named_policy(body: &Value) -> Value {
    let mut policy = body.clone();
    policy["name"] = "t/Rules@1".into();
    policy
}

/// The key that signs for every adapter.
pub fn adapter_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// The key of a principal.
pub fn principal_key(name: &str) -> SigningKey {
    SigningKey::from_bytes(Digest::of(name.as_bytes()).as_bytes())
}

fn public(key: &SigningKey) -> String {
    PublicKey(key.verifying_key().to_bytes()).to_string()
}

/// Makes a step that asks for the effect `t.ask`, under a grant of its own name or `ask`.
pub fn ask(id: &str, grant: &str, n: &Value) -> Value {
    json!({"id": id, "op": "emit_effect", "kind": "t.ask", "params": {"q": "why", "n": n}, "cap": grant,
        "bind": {"effect_id_as": format!("{id}_id")}})
}

/// Makes the step that awaits it.
pub fn wait(id: &str, asked: &str) -> Value {
    json!({"id": id, "op": "await_receipt", "for": format!("{asked}_id"), "bind": {"as": format!("{id}_got")}})
}

/// Makes a step that raises a note.
pub fn note(id: &str, n: &Value, who: &Value) -> Value {
    json!({"id": id, "op": "raise_event", "event": "t/Note@1", "value": {"n": n, "who": who}})
}

/// Makes the edges of a chain of steps.
pub fn chain(steps: &[&str]) -> Vec<Value> {
    steps.windows(2).map(|pair| json!({"from": pair[0], "to": pair[1]})).collect()
}

/// Makes an edge that is gone along where a step ended with a status.
pub fn when(from: &str, to: &str, status: &str) -> Value {
    json!({"from": from, "to": to,
        "when": {"op": "eq", "args": [{"ref": format!("@step:{from}.status")}, {"text": status}]}})
}

/// A plan that asks for one effect and notes how that ended: `good`, or the status and the code. It has a branch for
/// each status.
pub fn branching(kind: &str, params: &Value, grant: &str) -> Site {
    let emit = json!({"id": "ask", "op": "emit_effect", "kind": kind, "params": params, "cap": grant,
        "bind": {"effect_id_as": "ask_id"}});
    let mut steps = vec![emit, wait("wait", "ask"), note("ok", &json!(1), &json!("good"))];
    let mut edges = chain(&["ask", "wait"]);
    edges.push(when("wait", "ok", "ok"));
    for status in ["denied", "failed", "timeout", "in_doubt", "cancelled"] {
        let words = [json!({"text": format!("{status} ")}), json!({"ref": "@step:wait.error.code"})];
        steps.push(note(status, &json!(0), &json!({"op": "concat", "args": words})));
        edges.push(when("wait", status, status));
    }
    Site::of(json!(steps), json!(edges))
}
