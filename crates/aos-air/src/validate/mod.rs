//! From documents or nodes to a [`Checked<Manifest>`]: the only maker of it, and the only judge of what is refused.
//!
//! Everything that is wrong is collected, each with code, place and help; nothing stops at the first.
//! Lives here: a file per family of rules. Never here: reading one definition alone (`def/`), files, or running anything.
//! Read next: `draft.rs` for the way from texts, `nodes.rs` for the way from the store, `manifest.rs` for what comes out.

mod caps;
mod constraints;
mod draft;
mod found;
mod governance;
mod grants;
mod hashes;
mod lists;
mod manifest;
mod migrations;
mod modules;
mod nodes;
mod path;
mod plans;
mod policies;
mod routing;
mod table;
#[cfg(test)]
mod tests;
mod types;

pub use crate::text::Source;
pub use draft::{Draft, Unbuilt};
pub(crate) use found::Origin;
pub use manifest::{Answer, Cap, Checked, Manifest, Module, PureModule, ReducerModule, Role, Route, Schema};
pub use nodes::from_nodes;
pub(crate) use table::{Table, missing};

use crate::diag::Findings;
use crate::hash::Digest;
use crate::name::Name;

/// Loads the documents of one world. `wasm` gives the hash of the built module where a `defmodule` leaves it out.
///
/// # Errors
/// Everything that is wrong, sorted by place.
pub fn load(sources: &[Source], wasm: &dyn Fn(&Name) -> Option<Digest>) -> Result<Checked<Manifest>, Findings> {
    Draft::read(sources).check(wasm)
}
