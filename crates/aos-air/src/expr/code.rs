//! Compiled expressions: typed, every name resolved, ready to be evaluated.
//!
//! Evaluation is in `eval.rs`; what makes a [`Code`] is `compile.rs`.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Operator;
use crate::schema::{Shape, Value};

/// A compiled expression of a known type.
#[derive(Debug, Clone)]
pub struct Code {
    pub(super) term: Term,
    pub(super) shape: Arc<Shape>,
    /// The variables that it mentions, sorted.
    pub(super) slots: Vec<usize>,
    /// The steps whose ends it mentions, sorted.
    pub(super) steps: Vec<usize>,
    /// The steps whose status it reads, sorted.
    pub(super) statuses: Vec<usize>,
}

/// A node of a compiled expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    /// A literal.
    Const(Value),
    /// What something holds; the text is the reference as written, for messages.
    Ref(Source, Vec<Segment>, String),
    /// A part of what a term gives.
    Part(Box<Term>, Segment),
    /// Whether an optional field of a record is there.
    HasField(Box<Term>, String),
    /// Whether a variant has this tag, or the opposite.
    TagIs(Box<Term>, String, bool),
    /// An operator with its arguments.
    Op(Operator, Vec<Term>),
    /// What is in an option, or else the second.
    OrElse(Box<Term>, Box<Term>),
    /// A record.
    Record(Vec<(String, Term)>),
    /// A variant.
    Variant(String, Box<Term>),
    /// A list.
    List(Vec<Term>),
    /// A set.
    Set(Vec<Term>),
    /// A map.
    Map(Vec<(Term, Term)>),
    /// An option that holds what the term gives.
    Some(Box<Term>),
}

/// What a reference starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The plan's input.
    Input,
    /// A variable.
    Slot(usize),
    /// How a step ended.
    Status(usize),
    /// Why a step did not end well: an option.
    Error(usize),
    /// The event that is being looked at.
    Event,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// A field of a record.
    Field(String),
    /// The payload of a variant that has this tag.
    Payload(String),
    /// What is in an option.
    Content,
}

/// Why an evaluation gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at `{place}`")]
pub struct EvalError {
    /// What went wrong.
    pub problem: EvalProblem,
    /// Which part of the expression: the reference as written, or the operator's word.
    pub place: String,
}

/// What can go wrong in an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvalProblem {
    /// A variable, field, item or key that is not there.
    #[error("it is not there")]
    Missing,
    /// A result beyond the bounds of its type.
    #[error("the result is out of range")]
    Overflow,
    /// A division by zero.
    #[error("a division by zero")]
    Division,
    /// A decimal result that 34 digits cannot hold exactly.
    #[error("the decimal result is not exact")]
    Inexact,
    /// An item of a set or a key of a map that stands twice.
    #[error("an item or key stands there twice")]
    Twice,
    /// More work than one evaluation may do.
    #[error("the evaluation takes too much work")]
    Cost,
    /// A value of another type than was compiled for; a compiled expression in its own plan never meets one.
    #[error("a value has another type than was compiled for")]
    Type,
}

impl EvalProblem {
    /// Every problem, by number.
    pub const ALL: [Self; 7] =
        [Self::Missing, Self::Overflow, Self::Division, Self::Inexact, Self::Twice, Self::Cost, Self::Type];

    /// Returns the number of it in formats.
    pub const fn number(self) -> u8 {
        match self {
            Self::Missing => 0,
            Self::Overflow => 1,
            Self::Division => 2,
            Self::Inexact => 3,
            Self::Twice => 4,
            Self::Cost => 5,
            Self::Type => 6,
        }
    }

    /// Finds a problem by its number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|problem| u64::from(problem.number()) == number)
    }
}

impl EvalError {
    /// Returns the stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self.problem {
            EvalProblem::Missing => "expr.missing",
            EvalProblem::Overflow => "expr.overflow",
            EvalProblem::Division => "expr.division",
            EvalProblem::Inexact => "expr.inexact",
            EvalProblem::Twice => "expr.twice",
            EvalProblem::Cost => "expr.cost",
            EvalProblem::Type => "expr.type",
        }
    }
}

impl Code {
    /// Returns the type of what it gives.
    pub const fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// Returns the variables that it mentions, sorted.
    pub fn slots(&self) -> &[usize] {
        &self.slots
    }

    /// Tells whether it reads the status of a step.
    pub fn reads_status(&self, step: usize) -> bool {
        self.statuses.binary_search(&step).is_ok()
    }

    /// Returns the steps whose ends it mentions, sorted.
    pub fn steps(&self) -> &[usize] {
        &self.steps
    }
}
