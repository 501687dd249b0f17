//! JSON: the strict parser, the tree with places, and the two lenses through which values are read and printed.
//!
//! Lives here: everything that knows what JSON looks like, and the table of rules that documents can break.
//! Never here: what a definition means; see `def/`. Never floats.
//! Read next: `json.rs` for the tree, `read.rs` for how a place's type decides what JSON means there.

mod at;
mod document;
mod json;
mod parse;
mod print;
mod read;
mod rule;
pub(crate) mod scalar;
mod sugar;
mod tagged;
#[cfg(test)]
mod tests;

pub use at::{At, COMMENT, Object, Problem, Report, suggest};
pub use document::{Document, Source};
pub use json::{INTEGER_MAX, Json, Members, Node, pointer};
pub use parse::{JsonError, parse};
pub use print::{compact, pretty};
pub use read::read;
pub(crate) use read::{Target, read_at, single};
pub use rule::Rule;
pub use sugar::sugar;
pub(crate) use tagged::read as read_schemaless;
pub use tagged::{read_tagged, tagged};

use crate::schema::{Shape, Value};

/// How a value is printed. Both forms are read at every place, and give the same canonical bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lens {
    /// Plain JSON that says only what the type leaves open.
    Sugar,
    /// Every literal says its type.
    Tagged,
}

impl Lens {
    /// Prints a value of the type `shape`.
    pub fn print(self, shape: &Shape, value: &Value) -> Json {
        match self {
            Self::Sugar => sugar(shape, value),
            Self::Tagged => tagged(value),
        }
    }
}
