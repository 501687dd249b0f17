//! Canonical CBOR: RFC 8949 core deterministic encoding without floats. The only encoder of anything that is hashed.
//!
//! [`check`] refuses what is not canonical, with the byte offset; [`from_slice`] runs it in front of every typed decode,
//! because `serde_cbor`, which decodes, accepts long integers, indefinite lengths, and duplicate or unsorted keys.
//! [`to_vec`] and [`mod@write`] are the one writer. [`Reader`] reads item by item, strictly, or leniently for guest output.
//! Never here: what the items mean; see `schema/`.

mod check;
mod error;
mod reader;
mod ser;
pub mod write;

pub use check::{DEPTH_MAX, check};
pub use error::{CborError, Problem};
pub use reader::{Head, Reader};
pub use ser::to_vec;

/// Decodes canonical bytes into a plain serde type.
///
/// # Errors
/// What [`check`] finds, or [`Problem::Type`] where the items do not fit `T`.
pub fn from_slice<'de, T: serde::Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, CborError> {
    check(bytes)?;
    serde_cbor::from_slice(bytes).map_err(|error| {
        let offset = usize::try_from(error.offset()).unwrap_or(usize::MAX);
        CborError { offset, problem: Problem::Type }
    })
}

#[cfg(all(test, feature = "language"))]
mod tests;
