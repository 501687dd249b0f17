//! A running plan as a pure state machine: what it does next, and what it waits for.
//!
//! Lives here: one instance. It asks for effects and raises events by handing them out, and is told what became of them;
//! it knows no index, no guest, no gate and no other instance. Who starts and wakes instances is `step/`.
//! Read next: `advance.rs` for what a step does, `record.rs` for the stored form; `spec/plans.md` has the rules.

mod advance;
mod record;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use aos_air::expr::EvalError;
use aos_air::hash::Digest;
use aos_air::name::Name;
use aos_air::plan::{Ended, Op, Plan, Scope, Status};
use aos_air::schema::{Mismatch, Value};

use crate::id::Height;

pub use record::Header;

/// A running plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its number in the world.
    pub id: u64,
    /// The manifest whose plan and schemas it keeps.
    pub manifest: Digest,
    /// The height of the frame that started it.
    pub started_at: Height,
    /// The actor of the input at the root of its cause, in its journal form.
    pub actor: Vec<u8>,
    plan: Pinned,
    input: Value,
    // INVARIANT: `slots` is as long as the plan's variables, `states` and `ended` as its steps.
    slots: Vec<Option<Value>>,
    states: Vec<State>,
    ended: Vec<Option<Ended>>,
    /// Answers that came before somebody waited, by the step that asked.
    kept: BTreeMap<usize, Answer>,
    /// The step that was done since the invariants were last looked at.
    unchecked: Option<usize>,
    is_over: bool,
    // INVARIANT: for each step how many steps before it are not settled, and the steps that `advance` can act on; both
    // follow from the rest.
    unsettled: Vec<usize>,
    ready: BTreeSet<usize>,
}

/// The plan that an instance keeps, equal by its hash.
#[derive(Debug, Clone)]
struct Pinned(Arc<Plan>);

impl PartialEq for Pinned {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash
    }
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Not looked at.
    Open,
    /// Left out.
    Skipped,
    /// Done.
    Done,
    /// What it asks for or raises was handed out.
    Asked,
    /// It waits, until then if it does not wait forever.
    Waiting(Option<u64>),
    /// It waited, and the time is over.
    TimedOut,
    /// It waited, and this event came.
    Heard(Vec<u8>),
    /// It waited, and looking at an event failed.
    Broken(EvalError),
}

impl State {
    const fn is_settled(&self) -> bool {
        matches!(self, Self::Skipped | Self::Done)
    }
}

/// How an effect ended: the payload of its receipt, or an error.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    status: Status,
    payload: Vec<u8>,
}

/// What an instance does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing before something comes in.
    Idle,
    /// It went one step on.
    Moved,
    /// It asks for an effect; [`Instance::emitted`] is the answer.
    Emit {
        /// The step.
        step: usize,
        /// The kind of effect.
        kind: String,
        /// The parameters in canonical CBOR.
        params: Vec<u8>,
        /// The name of the grant.
        grant: String,
        /// The author's own key.
        key: Option<String>,
    },
    /// It raises an event; [`Instance::raised`] is the answer.
    Raise {
        /// The step.
        step: usize,
        /// The event's schema.
        event: Name,
        /// Binds the schema as the plan knows it.
        closure: Digest,
        /// The value in canonical CBOR.
        value: Vec<u8>,
    },
    /// It is over; the result in canonical CBOR, where the plan has an output.
    Ended(Result<Option<Vec<u8>>, PlanFailure>),
}

/// Why an instance failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} at `{place}`")]
pub struct PlanFailure {
    /// Stable dotted code.
    pub code: &'static str,
    /// The step at which it failed.
    pub step: Option<usize>,
    /// What more there is to say: a reference, an operator, the code of an effect's error; may be empty.
    pub place: String,
}

/// What a step waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait<'a> {
    /// The answer to this intent.
    Receipt(Digest),
    /// An event of this schema.
    Event {
        /// The schema.
        event: &'a Name,
        /// Binds the schema as the plan knows it.
        closure: Digest,
    },
}

/// What starts an instance.
#[derive(Debug, Clone)]
pub struct Start<'a> {
    /// Its number in the world.
    pub id: u64,
    /// The plan.
    pub plan: Arc<Plan>,
    /// The manifest in force, which the plan is of.
    pub manifest: Digest,
    /// The event, of the plan's input schema, in canonical CBOR.
    pub input: &'a [u8],
    /// The height of the frame.
    pub started_at: Height,
    /// The actor at the root of the cause, in its journal form.
    pub actor: Vec<u8>,
}

impl Instance {
    /// Starts a plan; nothing is done before [`Instance::advance`].
    ///
    /// # Errors
    /// Where the input does not fit the plan's input schema.
    pub fn start(start: Start<'_>) -> Result<Self, Mismatch> {
        let Start { id, plan, manifest, input: bytes, started_at, actor } = start;
        let input = plan.input.decode(bytes)?;
        let mut slots = alloc::vec![None; plan.slots.len()];
        if let Some(correlation) = &plan.correlation
            && let (Some(slot), Some((shape, bytes))) =
                (slots.get_mut(correlation.slot), plan.input.select(bytes, &correlation.path))
        {
            *slot = Some(shape.decode(bytes)?);
        }
        let steps = plan.steps.len();
        let mut instance = Self {
            id,
            manifest,
            started_at,
            actor,
            plan: Pinned(plan),
            input,
            slots,
            states: alloc::vec![State::Open; steps],
            ended: alloc::vec![None; steps],
            kept: BTreeMap::new(),
            unchecked: None,
            is_over: false,
            unsettled: Vec::new(),
            ready: BTreeSet::new(),
        };
        instance.work_out();
        Ok(instance)
    }

    /// Returns the plan that it keeps.
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan.0
    }

    /// Tells whether it ended.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Works out what follows from the states of the steps.
    fn work_out(&mut self) {
        let plan = self.plan.0.clone();
        let is_unsettled = |step: usize| self.states.get(step).is_some_and(|state| !state.is_settled());
        self.unsettled =
            plan.steps.iter().map(|step| step.incoming.iter().filter(|edge| is_unsettled(edge.from)).count()).collect();
        self.ready = (0..self.states.len()).filter(|step| self.can_act(*step)).collect();
    }

    /// Tells whether `advance` can act on a step.
    fn can_act(&self, step: usize) -> bool {
        match self.states.get(step) {
            Some(State::Open) => self.unsettled.get(step) == Some(&0),
            Some(State::Waiting(_)) => self.answer_to(step).is_some(),
            Some(State::TimedOut | State::Heard(_) | State::Broken(_)) => true,
            Some(State::Skipped | State::Done | State::Asked) | None => false,
        }
    }

    /// Finds the answer that a step waits for.
    fn answer_to(&self, step: usize) -> Option<&Answer> {
        match self.plan.0.steps.get(step)?.op {
            Op::AwaitReceipt { emit, .. } => self.kept.get(&emit),
            _ => None,
        }
    }

    /// Goes through what it waits for, by step.
    pub fn waits(&self) -> impl Iterator<Item = (usize, Wait<'_>)> {
        let waiting = self.waiting();
        waiting.filter_map(|(step, _)| match &self.plan.0.steps.get(step)?.op {
            Op::AwaitReceipt { handle, .. } => match self.slots.get(*handle)? {
                Some(Value::Hash(intent)) => Some((step, Wait::Receipt(*intent))),
                _ => None,
            },
            Op::AwaitEvent { event, closure, .. } => Some((step, Wait::Event { event, closure: *closure })),
            Op::Emit(_) | Op::Raise { .. } | Op::Assign { .. } | Op::End { .. } => None,
        })
    }

    /// Goes through the steps that do not wait forever, each with the logical time at which its wait is over.
    pub fn deadlines(&self) -> impl Iterator<Item = (usize, u64)> {
        self.waiting().filter_map(|(step, due)| Some((step, due?)))
    }

    fn waiting(&self) -> impl Iterator<Item = (usize, Option<u64>)> {
        let waiting = self.states.iter().enumerate().filter(|_| !self.is_over);
        waiting.filter_map(|(step, state)| match state {
            State::Waiting(due) if !self.ready.contains(&step) => Some((step, *due)),
            _ => None,
        })
    }

    /// Takes in that the effect which a step asked for is this intent now.
    pub fn emitted(&mut self, step: usize, intent: Digest) {
        let plan = self.plan.0.clone();
        if let Some(Op::Emit(emit)) = plan.steps.get(step).map(|step| &step.op)
            && self.states.get(step) == Some(&State::Asked)
        {
            self.bind(emit.handle, Value::Hash(intent));
            self.done(step);
        }
    }

    /// Takes in that the event which a step raised is on its way.
    pub fn raised(&mut self, step: usize) {
        if self.states.get(step) == Some(&State::Asked) {
            self.done(step);
        }
    }

    /// Takes in how an intent ended: `payload` is that of the receipt for `ok`, else a `sys/EffectError@1`, in canonical
    /// CBOR. An answer is kept until a step waits for it. Returns whether the instance is to be advanced.
    pub fn effect_ended(&mut self, intent: Digest, status: Status, payload: &[u8]) -> bool {
        let plan = self.plan.0.clone();
        let asked = plan.steps.iter().enumerate().find(|(_, step)| match &step.op {
            Op::Emit(emit) => matches!(self.slots.get(emit.handle), Some(Some(Value::Hash(own))) if *own == intent),
            _ => false,
        });
        let Some((asked, _)) = asked.filter(|_| !self.is_over) else { return false };
        let awaits = |op: &Op| matches!(op, Op::AwaitReceipt { emit, .. } if *emit == asked);
        let Some(waiter) = plan.steps.iter().position(|step| awaits(&step.op)) else { return false };
        match self.states.get(waiter) {
            Some(State::Open | State::Waiting(_)) if !self.kept.contains_key(&asked) => {
                self.kept.insert(asked, Answer { status, payload: payload.to_vec() });
                self.wake(waiter)
            }
            _ => false,
        }
    }

    /// Shows an event to a step that waits for one of its schema. Returns whether the instance is to be advanced: because
    /// this is the event, or because looking at it failed.
    pub fn event(&mut self, step: usize, value: &[u8]) -> bool {
        let plan = self.plan.0.clone();
        let Some(Op::AwaitEvent { shape, filter, .. }) = plan.steps.get(step).map(|step| &step.op) else {
            return false;
        };
        if !matches!(self.states.get(step), Some(State::Waiting(_))) || self.is_over {
            return false;
        }
        let Ok(event) = shape.decode(value) else { return false };
        let matches = match filter {
            Some(filter) => filter.eval(&Scope { event: Some(&event), ..self.scope() }),
            None => Ok(Value::Bool(true)),
        };
        match matches {
            Ok(Value::Bool(true)) => self.set(step, State::Heard(value.to_vec())),
            Ok(_) => return false,
            Err(error) => self.set(step, State::Broken(error)),
        }
        self.wake(step)
    }

    /// Takes in that the time of a step that waits is over. Returns whether the instance is to be advanced.
    pub fn timed_out(&mut self, step: usize) -> bool {
        let waits = matches!(self.states.get(step), Some(State::Waiting(_)));
        if self.is_over || !waits || self.ready.contains(&step) {
            return false;
        }
        self.set(step, State::TimedOut);
        self.wake(step)
    }

    fn scope(&self) -> Scope<'_> {
        Scope { input: &self.input, slots: &self.slots, steps: &self.ended, event: None }
    }

    fn set(&mut self, step: usize, state: State) {
        if let Some(place) = self.states.get_mut(step) {
            *place = state;
        }
    }

    fn bind(&mut self, slot: usize, value: Value) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(value);
        }
    }

    /// Lets `advance` act on a step, if it can.
    fn wake(&mut self, step: usize) -> bool {
        let can_act = self.can_act(step);
        if can_act {
            self.ready.insert(step);
        }
        can_act
    }

    fn done(&mut self, step: usize) {
        self.settle(step, State::Done);
        self.unchecked = Some(step);
    }

    /// Settles a step, and lets go what waits for it alone.
    fn settle(&mut self, step: usize, state: State) {
        self.set(step, state);
        self.ready.remove(&step);
        let plan = self.plan.0.clone();
        for next in plan.steps.get(step).map(|step| step.outgoing.as_slice()).unwrap_or_default() {
            if let Some(count) = self.unsettled.get_mut(*next) {
                *count = count.saturating_sub(1);
            }
            self.wake(*next);
        }
    }
}
