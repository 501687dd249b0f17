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
/// What an enforcer that a world brings itself takes, and what it answers.
pub const ENFORCER_SCHEMAS: [&str; 2] = ["sys/CapCheck@1", "sys/CapVerdict@1"];
/// The enforcer of `http.out`.
pub const HTTP_ENFORCER: &str = "sys/CapEnforceHttpOut@1";
/// The enforcer of `llm.basic`.
pub const LLM_ENFORCER: &str = "sys/CapEnforceLlmBasic@1";
/// The enforcer that allows all, which is also what a capability without one has.
pub const ALLOW_ALL: &str = "sys/CapAllowAll@1";
/// Why an effect did not end well.
pub const EFFECT_ERROR: &str = "sys/EffectError@1";
/// The names of built-in modules.
pub const MODULES: [&str; 4] = [ALLOW_ALL, HTTP_ENFORCER, LLM_ENFORCER, "sys/ObjectCatalog@1"];

/// How a failed micro-effect comes back to its reducer.
pub const EFFECT_FAILED: &str = "sys/EffectFailed@1";

const DOCUMENTS: [(&str, &str); 10] = [
    ("sys/blob.air.json", include_str!("blob.air.json")),
    ("sys/cap.air.json", include_str!("cap.air.json")),
    ("sys/catalog.air.json", include_str!("catalog.air.json")),
    ("sys/context.air.json", include_str!("context.air.json")),
    ("sys/governance.air.json", include_str!("governance.air.json")),
    ("sys/http.air.json", include_str!("http.air.json")),
    ("sys/introspect.air.json", include_str!("introspect.air.json")),
    ("sys/llm.air.json", include_str!("llm.air.json")),
    ("sys/timer.air.json", include_str!("timer.air.json")),
    ("sys/vault.air.json", include_str!("vault.air.json")),
];

/// Returns the event with which the answer to a reducer's effect comes back to it, for a kind that has one of its own;
/// for any other kind it is the receipt's payload.
pub fn answer(kind: &str) -> Option<&'static str> {
    match kind {
        "timer.set" => Some("sys/TimerFired@1"),
        "blob.put" => Some("sys/BlobPutResult@1"),
        "blob.get" => Some("sys/BlobGetResult@1"),
        _ => None,
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

/// Tells whether effects of a kind are built in: those of `sys/<kind>@1`.
pub fn is_effect(kind: &str) -> bool {
    Name::parse(&format!("sys/{kind}@1")).is_ok_and(|name| find(Kind::Effect, &name).is_some())
}

/// Finds a built-in schema.
pub fn schema(name: &Name) -> Option<&'static Schema> {
    library().ok()?.schema(name).map(|schema| &**schema)
}

/// Finds a built-in schema by the text of its name.
pub fn schema_named(name: &str) -> Option<&'static Schema> {
    schema(&Name::parse(name).ok()?)
}

/// Goes through the built-in definitions by kind and name, with the hashes of their nodes.
pub fn definitions() -> impl Iterator<Item = (Digest, &'static Definition)> {
    let entries = library().into_iter().flat_map(|library| library.entries());
    entries.filter_map(|entry| Some((entry.hash?, &entry.definition)))
}
