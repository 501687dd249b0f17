//! The definitions of `sys/`: written as AIR documents like any other, read by the same code, there without being listed.
//!
//! Lives here: one document per family, and the few names that rules and modules know. The modules of `sys/` are names
//! only: nothing can be routed to them, and a capability may name them as its enforcer.
//! Never here: what an effect does.

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use alloc::borrow::ToOwned;

use crate::def::{Definition, Kind};
use crate::diag::Findings;
use crate::hash::Digest;
use crate::name::Name;
use crate::validate::{Schema, Source, Table};

/// What a reducer gets when it asks for a context.
pub const REDUCER_CONTEXT: &str = "sys/ReducerContext@1";
/// What a pure module gets when it asks for a context.
pub const PURE_CONTEXT: &str = "sys/PureContext@1";
/// The names of built-in modules.
pub const MODULES: [&str; 4] =
    ["sys/CapAllowAll@1", "sys/CapEnforceHttpOut@1", "sys/CapEnforceLlmBasic@1", "sys/ObjectCatalog@1"];

/// How a failed micro-effect comes back.
const FAILED: &str = "sys/EffectFailed@1";

const DOCUMENTS: [(&str, &str); 9] = [
    ("sys/blob.air.json", include_str!("blob.air.json")),
    ("sys/catalog.air.json", include_str!("catalog.air.json")),
    ("sys/context.air.json", include_str!("context.air.json")),
    ("sys/governance.air.json", include_str!("governance.air.json")),
    ("sys/http.air.json", include_str!("http.air.json")),
    ("sys/introspect.air.json", include_str!("introspect.air.json")),
    ("sys/llm.air.json", include_str!("llm.air.json")),
    ("sys/timer.air.json", include_str!("timer.air.json")),
    ("sys/vault.air.json", include_str!("vault.air.json")),
];

/// Returns the events with which the answer to a reducer's effect comes back to it.
pub fn answers(kind: &str) -> &'static [&'static str] {
    match kind {
        "timer.set" => &["sys/TimerFired@1", FAILED],
        "blob.put" => &["sys/BlobPutResult@1", FAILED],
        "blob.get" => &["sys/BlobGetResult@1", FAILED],
        _ => &[FAILED],
    }
}

/// Returns the table of the built-in definitions, read once.
///
/// # Errors
/// What is wrong with our own documents; a test sees to it that nothing is.
pub(crate) fn library() -> Result<&'static Table, &'static Findings> {
    static LIBRARY: OnceLock<Result<Table, Findings>> = OnceLock::new();
    let read = || {
        let sources = DOCUMENTS.map(|(file, text)| Source { file: file.to_owned(), text: text.to_owned() });
        Table::library(&sources)
    };
    LIBRARY.get_or_init(read).as_ref()
}

/// Finds a built-in definition, with the hash of its node.
pub fn find(kind: Kind, name: &Name) -> Option<(Digest, &'static Definition)> {
    let entry = library().ok()?.entry(kind, name)?;
    Some((entry.hash?, &entry.definition))
}

/// Finds a built-in schema.
pub fn schema(name: &Name) -> Option<&'static Schema> {
    library().ok()?.schema(name).map(|schema| &**schema)
}

/// Goes through the built-in definitions by kind and name, with the hashes of their nodes.
pub fn definitions() -> impl Iterator<Item = (Digest, &'static Definition)> {
    let entries = library().into_iter().flat_map(|library| library.entries());
    entries.filter_map(|entry| Some((entry.hash?, &entry.definition)))
}
