//! A literal inside a definition: as it was written, until the schema of its place is known.

use crate::schema::{Shape, Value};
use crate::text::{At, Json, read_at, tagged};

/// A literal whose schema stands in another definition.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// As written, in either lens.
    Written(Json),
    /// Read by its schema.
    Value(Value),
}

impl Literal {
    /// Prints it: tagged once it was read, else as written.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Written(json) => json.clone(),
            Self::Value(value) => tagged(value),
        }
    }

    /// Returns the value, if it was read.
    pub const fn value(&self) -> Option<&Value> {
        match self {
            Self::Written(_) => None,
            Self::Value(value) => Some(value),
        }
    }

    /// Reads it by `shape`; `at` is its place, where what does not fit is reported.
    pub(crate) fn settle(&mut self, shape: &Shape, at: &At<'_>) {
        if let Self::Written(json) = self {
            let read = read_at::<Value>(shape, &At { json, pointer: at.pointer.clone(), report: at.report });
            if let Some(value) = read {
                *self = Self::Value(value);
            }
        }
    }
}
