//! The public face of the language against what the specification gives to every implementation.
//!
//! `cfg(test)` holds for all of this binary; it is written out so that clippy knows these modules as tests.
//! Next: `vectors.rs` reads `spec/vectors/air`, `schemas.rs` holds `spec/schemas` against the same documents.
#![expect(clippy::disallowed_methods, reason = "the specification is read from its files")]

#[cfg(test)]
mod expressions;
#[cfg(test)]
mod json_schema;
#[cfg(test)]
mod patches;
#[cfg(test)]
mod schemas;
#[cfg(test)]
mod vectors;
