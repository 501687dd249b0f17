//! Plans made ready to run: every name resolved to an index, every expression typed and compiled.
//!
//! Lives here: the compiled form and how a step can end. Only `validate` makes one, with a checked manifest.
//! Never here: the form that an author writes (`def/plan.rs`), the typing (`validate/plans/`), or a running instance.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::expr::Code;
use crate::hash::Digest;
use crate::name::Name;
use crate::schema::{Shape, Value};

mod status;
pub use status::{EffectError, Ended, Status};

/// A plan that can be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub name: Name,
    /// The hash of its node.
    pub hash: Digest,
    /// The schema of its input, which is the event that starts it.
    pub input_schema: Name,
    /// Binds that schema and all that it refers to.
    pub input_closure: Digest,
    /// The type of its input.
    pub input: Arc<Shape>,
    /// The type of its result; none for a plan that has no result.
    pub output: Option<Arc<Shape>>,
    /// The variables, by name: what steps bind, handles among them, and the correlation.
    pub slots: Vec<Slot>,
    /// The steps, by id.
    // INVARIANT: edges point at steps, `incoming` and `outgoing` say the same, and there is no circle.
    pub steps: Vec<Step>,
    /// What must hold after each step, as far as what it reads is there.
    pub invariants: Vec<Code>,
    /// Where the events that belong together say so, if a trigger correlates the plan.
    pub correlation: Option<Correlation>,
}

/// A variable.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Its type.
    pub shape: Arc<Shape>,
}

/// What belongs together, taken from the event that starts the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    /// The variable `correlation_id`.
    pub slot: usize,
    /// Where the value stands in the input, for [`Shape::select`].
    pub path: String,
}

/// A step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its id.
    pub id: String,
    /// What it does.
    pub op: Op,
    /// The edges that lead to it, by the step that they come from.
    pub incoming: Vec<Edge>,
    /// The steps that its edges lead to, in order.
    pub outgoing: Vec<usize>,
}

/// An edge, seen from the step that it leads to.
#[derive(Debug, Clone)]
pub struct Edge {
    /// The step before.
    pub from: usize,
    /// What must be true for it.
    pub when: Option<Code>,
}

/// What a step does. Variables are indexes of [`Plan::slots`], steps of [`Plan::steps`].
#[derive(Debug, Clone)]
pub enum Op {
    /// Asks for an effect.
    Emit(Box<Emit>),
    /// Waits for the answer to an effect.
    AwaitReceipt {
        /// The variable that holds the intent's id.
        handle: usize,
        /// The step that asked.
        emit: usize,
        /// The variable that takes the receipt.
        bind: usize,
        /// How long it waits at most, in nanoseconds.
        timeout_ns: Option<u64>,
        /// Whether an edge out of it reads its status; else any end but `ok` fails the instance.
        status_is_read: bool,
    },
    /// Raises an event.
    Raise {
        /// Its schema.
        event: Name,
        /// Binds the schema and all that it refers to.
        closure: Digest,
        /// Its value.
        value: Code,
    },
    /// Waits for an event.
    AwaitEvent {
        /// Its schema.
        event: Name,
        /// Binds the schema and all that it refers to.
        closure: Digest,
        /// The event's type.
        shape: Arc<Shape>,
        /// Which one it waits for; none takes the first.
        filter: Option<Code>,
        /// The variable that takes the event.
        bind: usize,
        /// How long it waits at most, in nanoseconds.
        timeout_ns: Option<u64>,
        /// Whether an edge out of it reads its status; else a timeout fails the instance.
        status_is_read: bool,
    },
    /// Computes a variable.
    Assign {
        /// Its value.
        value: Code,
        /// The variable.
        bind: usize,
    },
    /// Ends the plan.
    End {
        /// Its result, exactly where the plan has an output.
        result: Option<Code>,
    },
}

/// An effect to ask for.
#[derive(Debug, Clone)]
pub struct Emit {
    /// Its kind.
    pub kind: String,
    /// The effect's definition.
    pub effect: Name,
    /// Its parameters.
    pub params: Code,
    /// Binds the schema of the parameters and all that it refers to.
    pub params_closure: Digest,
    /// The name of the grant under which it is asked for.
    pub grant: String,
    /// The author's own key against doing it twice.
    pub key: Option<Code>,
    /// The variable that takes the intent's id.
    pub handle: usize,
    /// The type of the receipt's payload.
    pub receipt: Arc<Shape>,
    /// Binds the schema of the receipt and all that it refers to.
    pub receipt_closure: Digest,
}

impl Plan {
    /// Finds a step by its id.
    pub fn step(&self, id: &str) -> Option<usize> {
        self.steps.binary_search_by(|step| step.id.as_str().cmp(id)).ok()
    }
}

/// What an expression can see.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The plan's input.
    pub input: &'a Value,
    /// The variables, as far as they are bound.
    pub slots: &'a [Option<Value>],
    /// How the steps ended that can be asked for it, as far as they ended.
    pub steps: &'a [Option<Ended>],
    /// The event that is being looked at.
    pub event: Option<&'a Value>,
}
