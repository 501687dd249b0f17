//! Types and values: what a schema says, the one [`Value`], and whether bytes fit a type.
//!
//! [`Type`] is what an author wrote; [`Shape`] is the same with references resolved and fields in canonical order, made
//! once when a manifest loads, so that [`Shape::check`] walks bytes without building anything.
//! Never here: JSON; see `text/`.

#[cfg(test)]
pub mod arbitrary;
mod canon;
mod decimal;
mod shape;
mod types;
mod value;

pub use canon::{Mismatch, MismatchKind};
pub use decimal::{Decimal, NotADecimal};
pub use shape::{Field, Shape, ShapeError, ShapeProblem};
pub use types::{KeyType, Type};
pub use value::{Twice, Value};

#[cfg(test)]
mod tests;
