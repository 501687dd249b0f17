//! `defplan`: a finite graph of steps with guarded edges.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Kind, given};
use crate::expr::{Operand, Reference, Root};
use crate::name::{Name, is_identifier};
use crate::text::{At, Json, Members, Node, Object, Rule};

/// A plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Its name.
    pub name: Name,
    /// The schema of its input, which is the event that starts it.
    pub input: Name,
    /// The schema of its result.
    pub output: Option<Name>,
    /// The schemas of variables that steps assign.
    pub locals: BTreeMap<String, Name>,
    /// The steps.
    pub steps: Vec<Step>,
    /// Which step follows which.
    pub edges: Vec<Edge>,
    /// The grants that it says it uses.
    pub required_caps: Option<Vec<String>>,
    /// The kinds of effects that it says it asks for.
    pub allowed_effects: Option<Vec<String>>,
    /// What must hold after each step.
    pub invariants: Vec<Operand>,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name in the plan.
    pub id: String,
    /// What it does.
    pub op: Op,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Asks for an effect.
    EmitEffect {
        /// The effect's kind.
        kind: String,
        /// Its parameters.
        params: Operand,
        /// The grant under which it is asked for.
        cap: String,
        /// The author's own key against doing it twice.
        idempotency_key: Option<Operand>,
        /// The name under which the answer is awaited.
        handle: String,
    },
    /// Waits for the answer to an effect.
    AwaitReceipt {
        /// The handle that an `emit_effect` bound.
        handle: String,
        /// The variable that takes the receipt.
        bind: String,
        /// How long it waits at most, in nanoseconds.
        timeout_ns: Option<u64>,
    },
    /// Raises an event.
    RaiseEvent {
        /// Its schema.
        event: Name,
        /// Its value.
        value: Operand,
    },
    /// Waits for an event.
    AwaitEvent {
        /// Its schema.
        event: Name,
        /// Which one it waits for; none takes the first.
        filter: Option<Operand>,
        /// The variable that takes the event.
        bind: String,
        /// How long it waits at most, in nanoseconds.
        timeout_ns: Option<u64>,
    },
    /// Computes a variable.
    Assign {
        /// Its value.
        expr: Operand,
        /// The variable.
        bind: String,
    },
    /// Ends the plan.
    End {
        /// Its result.
        result: Option<Operand>,
    },
}

/// An edge from one step to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// The step before.
    pub from: String,
    /// The step after.
    pub to: String,
    /// What must be true for it.
    pub when: Option<Operand>,
}

#[derive(Clone, Copy)]
enum Word {
    EmitEffect,
    AwaitReceipt,
    RaiseEvent,
    AwaitEvent,
    Assign,
    End,
}

const WORDS: [(&str, Word); 6] = [
    ("emit_effect", Word::EmitEffect),
    ("await_receipt", Word::AwaitReceipt),
    ("raise_event", Word::RaiseEvent),
    ("await_event", Word::AwaitEvent),
    ("assign", Word::Assign),
    ("end", Word::End),
];

fn operand(at: &At<'_>) -> Operand {
    Operand::Written(at.json.clone())
}

impl Plan {
    pub(super) fn read(object: &mut Object<'_>) -> Option<Self> {
        let name = object.required("name").and_then(|at| at.name());
        let input = object.required("input").and_then(|at| at.name());
        let output = object.optional("output").map(|at| at.name());
        let locals =
            object.optional("locals").map(|at| at.entries(|local, at| Some((at.as_identifier(local)?, at.name()?))));
        let steps = object.required("steps").and_then(|at| at.list(Step::read));
        let edges = object.optional("edges").map(|at| at.list(Edge::read));
        let required_caps = object.optional("required_caps").map(|at| super::words_once(&at, At::identifier));
        let allowed_effects = object.optional("allowed_effects").map(|at| super::words_once(&at, At::dotted));
        let invariants = object.optional("invariants").map(|at| at.list(|at| Some(operand(at))));
        Some(Self {
            name: name?,
            input: input?,
            output: given(output)?,
            locals: given(locals)?.unwrap_or_default().into_iter().collect(),
            steps: steps?,
            edges: given(edges)?.unwrap_or_default(),
            required_caps: given(required_caps)?,
            allowed_effects: given(allowed_effects)?,
            invariants: given(invariants)?.unwrap_or_default(),
        })
    }

    /// Tells whether every expression was read.
    pub(super) fn is_settled(&self) -> bool {
        let read = |operand: &Operand| operand.expr().is_some();
        let step = |step: &Step| match &step.op {
            Op::EmitEffect { params, idempotency_key, .. } => read(params) && idempotency_key.as_ref().is_none_or(read),
            Op::RaiseEvent { value: operand, .. } | Op::Assign { expr: operand, .. } => read(operand),
            Op::AwaitEvent { filter: operand, .. } | Op::End { result: operand } => operand.as_ref().is_none_or(read),
            Op::AwaitReceipt { .. } => true,
        };
        self.steps.iter().all(step)
            && self.edges.iter().all(|edge| edge.when.as_ref().is_none_or(read))
            && self.invariants.iter().all(read)
    }

    pub(super) fn to_json(&self) -> Json {
        let words = |words: &Vec<String>| Json::list(words.iter().map(|word| word.as_str().into()));
        Members::of_kind(Kind::Plan.keyword())
            .with("name", &self.name)
            .with("input", &self.input)
            .maybe("output", self.output.as_ref())
            .object("locals", self.locals.iter().map(|(local, schema)| (local.clone(), schema.into())))
            .with("steps", Json::list(self.steps.iter().map(Step::to_json)))
            .list("edges", self.edges.iter().map(Edge::to_json))
            .maybe("required_caps", self.required_caps.as_ref().map(words))
            .maybe("allowed_effects", self.allowed_effects.as_ref().map(words))
            .list("invariants", self.invariants.iter().map(Operand::to_json))
            .into()
    }
}

impl Step {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let id = object.required("id").and_then(|at| at.identifier());
        // Without a known op, which other keys belong here is not known either.
        let word = object.required("op").and_then(|at| at.word(&WORDS))?;
        let op = read_op(word, &mut object);
        object.finish();
        Some(Self { id: id?, op: op? })
    }

    fn to_json(&self) -> Json {
        let step = |word: &str| Members::default().with("id", self.id.as_str()).with("op", word);
        let bind = |name: &String| Json::one("as", name.as_str().into());
        match &self.op {
            Op::EmitEffect { kind, params, cap, idempotency_key, handle } => step("emit_effect")
                .with("kind", kind.as_str())
                .with("params", params.to_json())
                .with("cap", cap.as_str())
                .maybe("idempotency_key", idempotency_key.as_ref().map(Operand::to_json))
                .with("bind", Json::one("effect_id_as", handle.as_str().into())),
            Op::AwaitReceipt { handle, bind: name, timeout_ns } => step("await_receipt")
                .with("for", handle.as_str())
                .with("bind", bind(name))
                .maybe("timeout_ns", *timeout_ns),
            Op::RaiseEvent { event, value } => step("raise_event").with("event", event).with("value", value.to_json()),
            Op::AwaitEvent { event, filter, bind: name, timeout_ns } => step("await_event")
                .with("event", event)
                .maybe("where", filter.as_ref().map(Operand::to_json))
                .with("bind", bind(name))
                .maybe("timeout_ns", *timeout_ns),
            Op::Assign { expr, bind: name } => step("assign").with("expr", expr.to_json()).with("bind", bind(name)),
            Op::End { result } => step("end").maybe("result", result.as_ref().map(Operand::to_json)),
        }
        .into()
    }
}

fn read_op(word: Word, object: &mut Object<'_>) -> Option<Op> {
    match word {
        Word::EmitEffect => {
            let kind = object.required("kind").and_then(|at| at.dotted());
            let params = object.required("params").map(|at| operand(&at));
            let cap = object.required("cap").and_then(|at| at.identifier());
            let idempotency_key = object.optional("idempotency_key").map(|at| operand(&at));
            let handle = object.required("bind").and_then(|at| read_bind(&at, "effect_id_as"));
            Some(Op::EmitEffect { kind: kind?, params: params?, cap: cap?, idempotency_key, handle: handle? })
        }
        Word::AwaitReceipt => {
            let handle = object.required("for").and_then(|at| read_handle(&at));
            let bind = object.required("bind").and_then(|at| read_bind(&at, "as"));
            let timeout_ns = object.optional("timeout_ns").map(|at| at.nat());
            Some(Op::AwaitReceipt { handle: handle?, bind: bind?, timeout_ns: given(timeout_ns)? })
        }
        Word::RaiseEvent => {
            let event = object.required("event").and_then(|at| at.name());
            let value = object.required("value").map(|at| operand(&at));
            Some(Op::RaiseEvent { event: event?, value: value? })
        }
        Word::AwaitEvent => {
            let event = object.required("event").and_then(|at| at.name());
            let filter = object.optional("where").map(|at| operand(&at));
            let bind = object.required("bind").and_then(|at| read_bind(&at, "as"));
            let timeout_ns = object.optional("timeout_ns").map(|at| at.nat());
            Some(Op::AwaitEvent { event: event?, filter, bind: bind?, timeout_ns: given(timeout_ns)? })
        }
        Word::Assign => {
            let expr = object.required("expr").map(|at| operand(&at));
            let bind = object.required("bind").and_then(|at| read_bind(&at, "as"));
            Some(Op::Assign { expr: expr?, bind: bind? })
        }
        Word::End => Some(Op::End { result: object.optional("result").map(|at| operand(&at)) }),
    }
}

/// Reads `{"as": name}` or `{"effect_id_as": name}`.
fn read_bind(at: &At<'_>, key: &'static str) -> Option<String> {
    let mut object = at.object()?;
    let name = object.required(key).and_then(|at| at.identifier());
    object.finish();
    name
}

/// Reads a handle: its name, or a reference to it as a variable.
fn read_handle(at: &At<'_>) -> Option<String> {
    if let Node::Text(_) = at.json.node {
        return at.identifier();
    }
    let mut object = at.object()?;
    let handle = object.required("ref").and_then(|at| {
        let reference = Reference::parse(at.text()?).ok();
        let named = reference.filter(|reference| reference.root == Root::Var && is_identifier(&reference.rest));
        match named {
            Some(reference) => Some(reference.rest),
            None => {
                at.refuse(Rule::ExprReference, "the handle of an effect was expected here, as in `@var:name`".into())
            }
        }
    });
    object.finish();
    handle
}

impl Edge {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let from = object.required("from").and_then(|at| at.identifier());
        let to = object.required("to").and_then(|at| at.identifier());
        let when = object.optional("when").map(|at| operand(&at));
        object.finish();
        Some(Self { from: from?, to: to?, when })
    }

    fn to_json(&self) -> Json {
        Members::default()
            .with("from", self.from.as_str())
            .with("to", self.to.as_str())
            .maybe("when", self.when.as_ref().map(Operand::to_json))
            .into()
    }
}
