//! AIR, the typed control plane of a world: what a definition means.
//!
//! Lives here: types and values, canonical CBOR, hashes, names, limits, definitions, their JSON lenses, validation,
//! and the admission of WASM modules. Never here: a world, a clock, a file, a thread.
//! Without the `language` feature only [`abi`] and [`cbor`] remain, free of `std`: that is what a guest links.
//! Read next: `schema/` for types and values, `def/` for the kinds of definition, `validate/` for what is refused.
#![cfg_attr(not(feature = "language"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod abi;
#[cfg(feature = "language")]
pub mod built_in;
pub mod cbor;
#[cfg(feature = "language")]
pub mod def;
#[cfg(feature = "language")]
pub mod diag;
#[cfg(feature = "language")]
pub mod expr;
#[cfg(feature = "language")]
pub mod hash;
#[cfg(feature = "language")]
pub mod limits;
#[cfg(feature = "language")]
pub mod module;
#[cfg(feature = "language")]
pub mod name;
#[cfg(feature = "language")]
pub mod patch;
#[cfg(feature = "language")]
pub mod plan;
#[cfg(feature = "language")]
pub mod policy;
#[cfg(feature = "language")]
pub mod schema;
#[cfg(feature = "language")]
pub mod signature;
#[cfg(feature = "language")]
pub mod text;
#[cfg(feature = "language")]
pub mod url;
#[cfg(feature = "language")]
pub mod validate;
