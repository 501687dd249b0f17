//! Definitions: a file per kind, each with its fields, how it is read from JSON and how it is printed.
//!
//! The canonical node of a definition is the canonical CBOR of its normal JSON: `$kind` included, comments gone, absent
//! fields absent, literals tagged, hashes and large integers as texts. Its hash is the digest of the node.
//! Never here: whether what a definition names exists; see `validate/`.

mod block;
mod cap;
mod effect;
mod kind;
mod literal;
mod manifest;
mod migration;
mod module;
mod node;
mod plan;
mod policy;
mod schema;
mod secret;
#[cfg(test)]
pub(crate) mod tests;

pub use block::{Block, BlockName};
pub use cap::Cap;
pub use effect::{Effect, Scope};
pub use kind::Kind;
pub use literal::Literal;
pub use manifest::{
    AdapterKey, Budget, EventRoute, Governance, Grant, HostKey, Inbox, Listed, Manifest, NotAKey, Principal, PublicKey,
    Trigger, Trust,
};
pub use migration::Migration;
pub use module::{Abi, Module, Reducer};
pub use node::NodeError;
pub(crate) use node::canonical as canonical_json;
pub(crate) use node::decode as decode_json;
pub(crate) use node::encode as encode_json;
pub use plan::{Edge, Op, Plan, Step};
pub use policy::{Body, Decision, Origin, Policy, Rule, When};
pub use schema::{Schema, type_json};
pub use secret::Secret;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::name::Name;
use crate::text::{At, Json, Report, Rule as Broken, suggest};

/// A definition of any kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Definition {
    /// A type with a name.
    Schema(Schema),
    /// A WASM module with its interface.
    Module(Module),
    /// A plan.
    Plan(Plan),
    /// A kind of effect.
    Effect(Effect),
    /// A kind of capability.
    Cap(Cap),
    /// A policy.
    Policy(Policy),
    /// A secret.
    Secret(Secret),
    /// A link of a chain of migrations.
    Migration(Migration),
    /// The manifest.
    Manifest(Manifest),
}

impl Definition {
    /// Reads a definition; what is wrong goes to the report, and then there is none.
    ///
    /// A returned definition may lack parts that were reported: it is whole only if the report is still empty.
    pub fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let kind = match object.optional("$kind") {
            Some(at) => read_kind(&at)?,
            None => {
                let help = format!("one of {}", Kind::ALL.map(Kind::keyword).join(", "));
                return at.refuse_with(Broken::KindMissing, "the definition has no `$kind`".into(), Some(help));
            }
        };
        let read = match kind {
            Kind::Schema => Schema::read(&mut object).map(Self::Schema),
            Kind::Module => Module::read(&mut object).map(Self::Module),
            Kind::Plan => Plan::read(&mut object).map(Self::Plan),
            Kind::Effect => Effect::read(&mut object).map(Self::Effect),
            Kind::Cap => Cap::read(&mut object).map(Self::Cap),
            Kind::Policy => Policy::read(&mut object).map(Self::Policy),
            Kind::Secret => Secret::read(&mut object).map(Self::Secret),
            Kind::Migration => Migration::read(&mut object).map(Self::Migration),
            Kind::Manifest => Manifest::read(&mut object).map(Self::Manifest),
        };
        object.finish();
        read
    }

    /// Returns the kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Schema(_) => Kind::Schema,
            Self::Module(_) => Kind::Module,
            Self::Plan(_) => Kind::Plan,
            Self::Effect(_) => Kind::Effect,
            Self::Cap(_) => Kind::Cap,
            Self::Policy(_) => Kind::Policy,
            Self::Secret(_) => Kind::Secret,
            Self::Migration(_) => Kind::Migration,
            Self::Manifest(_) => Kind::Manifest,
        }
    }

    /// Returns the name; only the manifest has none.
    pub const fn name(&self) -> Option<&Name> {
        Some(match self {
            Self::Schema(def) => &def.name,
            Self::Module(def) => &def.name,
            Self::Plan(def) => &def.name,
            Self::Effect(def) => &def.name,
            Self::Cap(def) => &def.name,
            Self::Policy(def) => &def.name,
            Self::Secret(def) => &def.name,
            Self::Migration(def) => &def.name,
            Self::Manifest(_) => return None,
        })
    }

    /// Prints the normal JSON, whose literals are tagged once their schemas are known.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Schema(def) => def.to_json(),
            Self::Module(def) => def.to_json(),
            Self::Plan(def) => def.to_json(),
            Self::Effect(def) => def.to_json(),
            Self::Cap(def) => def.to_json(),
            Self::Policy(def) => def.to_json(),
            Self::Secret(def) => def.to_json(),
            Self::Migration(def) => def.to_json(),
            Self::Manifest(def) => def.to_json(),
        }
    }

    /// Tells whether its node is the canonical one: every literal was read by its schema, every hash is there.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Module(module) => module.wasm_hash.is_some(),
            Self::Plan(plan) => plan.is_settled(),
            Self::Manifest(manifest) => manifest.grants.iter().all(|grant| grant.params.value().is_some()),
            _ => true,
        }
    }

    /// Encodes the canonical node.
    ///
    /// # Errors
    /// [`NodeError::Size`] for a definition that is larger or deeper than a node may be, [`NodeError::Form`] for one
    /// whose literals were not read by their schemas yet and hold numbers that are no integers.
    pub fn node(&self) -> Result<Vec<u8>, NodeError> {
        node::encode(&self.to_json())
    }

    /// Reads a canonical node, strictly: encoding the result gives the same bytes.
    ///
    /// # Errors
    /// [`NodeError::Cbor`] for bytes that are not canonical CBOR, [`NodeError::Form`] for a node in another than the
    /// normal form, or what is wrong with the definition in it.
    pub fn decode(bytes: &[u8]) -> Result<Self, NodeError> {
        let json = node::decode(bytes)?;
        let report = Report::default();
        let read = Self::read(&At::root(&json, &report));
        match (read, report.is_empty()) {
            (Some(definition), true) => {
                // Names and lists may be in another order than the normal one, and literals untagged.
                if definition.node()? == bytes { Ok(definition) } else { Err(NodeError::Form) }
            }
            _ => Err(NodeError::Definition(report.into_problems())),
        }
    }
}

fn read_kind(at: &At<'_>) -> Option<Kind> {
    let text = at.text()?;
    let known = Kind::ALL.into_iter().find(|kind| kind.keyword() == text);
    known.or_else(|| {
        let keywords = Kind::ALL.map(Kind::keyword);
        let help = suggest(text, keywords).unwrap_or_else(|| format!("one of {}", keywords.join(", ")));
        at.refuse_with(Broken::KindUnknown, format!("there is no kind `{text}`"), Some(help))
    })
}

/// Turns "absent, unreadable or read" into "none if unreadable": absence is fine, what was reported is not.
fn given<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(inner) => inner.map(Some),
    }
}

/// Reads a list in which each item stands once, and sorts it: its order means nothing.
fn words_once<'a, T: Ord + core::fmt::Display>(at: &At<'a>, item: impl Fn(&At<'a>) -> Option<T>) -> Option<Vec<T>> {
    let mut items = at.list(item)?;
    items.sort_unstable();
    let again = |pair: &[T]| matches!(pair, [a, b] if a == b).then(|| pair.first().map(|item| format!("`{item}`")))?;
    let twice: Vec<String> = items.windows(2).filter_map(again).collect();
    if twice.is_empty() {
        Some(items)
    } else {
        at.refuse(Broken::ValueTwice, format!("{} stands here twice", twice.join(", ")))
    }
}
