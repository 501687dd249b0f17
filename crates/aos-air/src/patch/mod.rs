//! Patches: typed changes of a world's definitions and manifest against one base, applied all or nothing.
//!
//! A patch is a node like a definition: canonical CBOR of its normal JSON, named by its hash. It carries every node that
//! it brings, so base and patch alone say what comes out. Never here: proposals, approvals, running instances.
//! Read next: `operation.rs` for what a patch can do, `apply.rs` for how it becomes a manifest, `diff.rs` for the way
//! back, `render.rs` for what a person reads. `spec/patches.md` fixes the format.

mod apply;
mod changes;
mod diff;
mod edit;
mod operation;
mod plain;
mod render;
#[cfg(test)]
mod tests;
mod tighten;

pub use apply::{Action, Candidate, apply, apply_document, apply_node};
pub use diff::diff;
pub use operation::{EffectMode, Operation, Reference};
pub use render::{render, render_operation};
pub use tighten::{Tightening, tightening};

use alloc::string::String;
use alloc::vec::Vec;

use crate::def::{NodeError, decode_json, encode_json};
use crate::diag::Findings;
use crate::hash::Digest;
use crate::text::{At, Document, Json, Members, Object, Report};

/// The value of `$kind` in a patch.
pub const KEYWORD: &str = "patch";
/// The version of the format that this crate reads.
const VERSION: &str = "1";

/// A change of a world's definitions and manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// The hash of the manifest that it changes.
    pub base: Digest,
    /// What it does. No two operations change the same thing, so their order means nothing.
    pub operations: Vec<Operation>,
}

impl Patch {
    /// Reads a patch as an author wrote it: literals in either lens.
    ///
    /// # Errors
    /// Everything that is wrong with its form, in the order of the document. Whether it fits its base is said by [`apply`].
    pub fn read(document: &Document) -> Result<Self, Findings> {
        document.read(Self::read_at)
    }

    /// Prints the patch. It is the normal form for one that [`apply`] returned or [`diff`] made.
    pub fn to_json(&self) -> Json {
        Members::of_kind(KEYWORD)
            .with("version", VERSION)
            .with("base_manifest_hash", self.base)
            .with("patches", Json::list(self.operations.iter().map(Operation::to_json)))
            .into()
    }

    /// Encodes the node.
    ///
    /// # Errors
    /// [`NodeError::Size`] for a patch that is larger or deeper than a node may be, [`NodeError::Form`] for one whose
    /// literals were not read by their schemas yet and hold numbers that are no integers.
    pub fn node(&self) -> Result<Vec<u8>, NodeError> {
        encode_json(&self.to_json())
    }

    /// Reads a node, strictly: encoding the result gives the same bytes.
    ///
    /// Literals are read only by [`apply_node`], which refuses a node that is not the normal form of its patch.
    ///
    /// # Errors
    /// [`NodeError::Cbor`] for bytes that are not canonical CBOR, [`NodeError::Form`] for a node in another than the
    /// normal form, or what is wrong with the patch in it.
    pub fn decode(bytes: &[u8]) -> Result<Self, NodeError> {
        let json = decode_json(bytes)?;
        let report = Report::default();
        let read = Self::read_at(&At::root(&json, &report));
        match (read, report.is_empty()) {
            (Some(patch), true) => {
                if patch.node()? == bytes {
                    Ok(patch)
                } else {
                    Err(NodeError::Form)
                }
            }
            _ => Err(NodeError::Definition(report.into_problems())),
        }
    }

    /// Makes a document of the patch, for findings to point into; `file` is what they call it.
    pub(crate) fn document(&self, file: String) -> Document {
        Document::of_node(file, self.to_json())
    }

    fn read_at(at: &At<'_>) -> Option<Self> {
        let mut object: Object<'_> = at.object()?;
        if let Some(kind) = object.optional("$kind") {
            kind.word(&[(KEYWORD, ())])?;
        }
        let version = object.required("version").and_then(|at| at.word(&[(VERSION, ())]));
        let base = object.required("base_manifest_hash").and_then(|at| at.digest());
        let operations = object.required("patches").and_then(|at| at.list(Operation::read));
        object.finish();
        version?;
        Some(Self { base: base?, operations: operations? })
    }
}
