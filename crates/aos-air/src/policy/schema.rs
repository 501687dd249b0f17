//! The Cedar schema of a world: what a policy may speak of, made from its effects.
//!
//! Lives here: entity types, actions and the types of their contexts, as `spec/policy.md` fixes them. `value.rs` makes
//! values of the same types; a property test holds the two against each other. Never here: a policy.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value as Json, json};

use crate::def::Scope;
use crate::limits::POLICY_TYPE_NODES_MAX;
use crate::schema::{Field, KeyType, Shape};

/// The namespace of everything that a policy names.
pub(super) const NAMESPACE: &str = "Aos";
/// The action of a principal who decides on a parked intent. No effect may have this kind.
pub const DECIDE: &str = "effect.decide";
/// The effect whose parameters come with the parts of their URL.
pub(super) const HTTP: &str = "http.request";
/// The parts of the URL that are added to the parameters of [`HTTP`].
pub(super) const SCHEME: &str = "scheme";
/// See [`SCHEME`].
pub(super) const HOST: &str = "host";
/// See [`SCHEME`].
pub(super) const PORT: &str = "port";
/// See [`SCHEME`].
pub(super) const PATH: &str = "path";

/// An effect, as far as policies see it.
#[derive(Debug, Clone, Copy)]
pub struct Effect<'a> {
    /// Its kind, which is the action's id.
    pub kind: &'a str,
    /// Who may ask for it.
    pub scope: Scope,
    /// The type of its parameters.
    pub params: &'a Shape,
}

/// Parameters whose type is larger than [`POLICY_TYPE_NODES_MAX`] nodes when every reference is written out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the type of its parameters, written out, has more than {POLICY_TYPE_NODES_MAX} nodes, which is too large for policies"
)]
pub struct TypeTooLarge;

/// Makes the Cedar schema of a world with these effects, in Cedar's JSON form.
///
/// # Errors
/// [`TypeTooLarge`] for an effect whose parameters' type has no bounded form.
pub fn schema<'a>(effects: impl IntoIterator<Item = Effect<'a>>) -> Result<Json, TypeTooLarge> {
    let mut actions = Map::new();
    for effect in effects {
        actions.insert(effect.kind.to_string(), action(effect)?);
    }
    let decision = [("kind", text(), true), ("approve", json!({"type": "Boolean"}), true), ("now", long(), true)];
    actions.insert(DECIDE.to_string(), applies_to(&["Principal"], record(decision)));
    let named = |more: Vec<(&str, Json, bool)>| {
        let fields = [("name", text(), true)].into_iter().chain(more);
        json!({"memberOfTypes": [], "shape": record(fields)})
    };
    Ok(json!({NAMESPACE: {
        "entityTypes": {
            "Principal": named(Vec::from([("roles", set(text()), true)])),
            "Plan": named(Vec::new()),
            "Reducer": named(Vec::new()),
            "Grant": named(Vec::from([("cap", text(), true), ("cap_type", text(), true)])),
        },
        "actions": actions,
    }}))
}

/// Makes the action of one effect.
pub(super) fn action(effect: Effect<'_>) -> Result<Json, TypeTooLarge> {
    let principals: &[&str] = match effect.scope {
        Scope::Plan => &["Plan"],
        Scope::Reducer => &["Reducer"],
        Scope::Both => &["Plan", "Reducer"],
    };
    let mut budget = POLICY_TYPE_NODES_MAX;
    let mut params = type_of(effect.params, &mut budget)?;
    if effect.kind == HTTP {
        let parts = [(SCHEME, text()), (HOST, text()), (PORT, long()), (PATH, text())];
        if let Some(attributes) = params.get_mut("attributes").and_then(Json::as_object_mut) {
            attributes.extend(parts.map(|(name, of)| (name.to_string(), of)));
        }
    }
    let left = ["calls", "tokens", "cents", "bytes"].map(|dimension| (dimension, long(), false));
    let context = record([("params", params, true), ("now", long(), true), ("budget_left", record(left), true)]);
    Ok(applies_to(principals, context))
}

fn applies_to(principals: &[&str], context: Json) -> Json {
    json!({"appliesTo": {"principalTypes": principals, "resourceTypes": ["Grant"], "context": context}})
}

fn text() -> Json {
    json!({"type": "String"})
}

fn long() -> Json {
    json!({"type": "Long"})
}

fn set(element: Json) -> Json {
    json!({"type": "Set", "element": element})
}

/// Makes a record type; the third of each field says whether it is always there.
fn record<'a>(fields: impl IntoIterator<Item = (&'a str, Json, bool)>) -> Json {
    let attribute = |(name, mut of, required): (&str, Json, bool)| {
        if let (Some(of), false) = (of.as_object_mut(), required) {
            of.insert("required".to_string(), false.into());
        }
        (name.to_string(), of)
    };
    let attributes: Map<String, Json> = fields.into_iter().map(attribute).collect();
    json!({"type": "Record", "attributes": attributes})
}

/// Returns the Cedar type of the values of a shape; `left` is how many nodes it may still have.
fn type_of(shape: &Shape, left: &mut usize) -> Result<Json, TypeTooLarge> {
    *left = left.checked_sub(1).ok_or(TypeTooLarge)?;
    Ok(match shape {
        Shape::Bool => json!({"type": "Boolean"}),
        Shape::Int | Shape::Nat | Shape::Time | Shape::Duration => long(),
        Shape::Dec128 => json!({"type": "Extension", "name": "decimal"}),
        Shape::Bytes => record([("len", long(), true), ("hash", text(), true)]),
        Shape::Text | Shape::Hash | Shape::Uuid => text(),
        Shape::Unit => record([]),
        Shape::Record(fields) => {
            let typed = fields.iter().map(|field| attribute(field, true, left));
            record(typed.collect::<Result<Vec<_>, _>>()?)
        }
        Shape::Variant(arms) => {
            // `tag` comes last: it stands for an arm of this name, whose payload is not shown.
            let payloads = arms.iter().filter(|arm| *arm.shape != Shape::Unit);
            let mut fields = payloads.map(|arm| attribute(arm, false, left)).collect::<Result<Vec<_>, _>>()?;
            fields.push(("tag", text(), true));
            record(fields)
        }
        Shape::List(inner) | Shape::Set(inner) => set(type_of(inner, left)?),
        Shape::Map(key, inner) => {
            let key = match key {
                KeyType::Int | KeyType::Nat => long(),
                KeyType::Text | KeyType::Uuid | KeyType::Hash => text(),
            };
            let (value, required) = optional(inner, true, left)?;
            let entry = record([("key", key.clone(), true), ("value", value, required)]);
            record([("entries", set(entry), true), ("keys", set(key), true)])
        }
        Shape::Option(inner) => record([("value", type_of(inner, left)?, false)]),
    })
}

/// Returns the type of what stands as an attribute, where an option is an attribute that may be absent.
fn optional(shape: &Shape, required: bool, left: &mut usize) -> Result<(Json, bool), TypeTooLarge> {
    match shape {
        Shape::Option(inner) => Ok((type_of(inner, left)?, false)),
        other => Ok((type_of(other, left)?, required)),
    }
}

fn attribute<'a>(field: &'a Field, required: bool, left: &mut usize) -> Result<(&'a str, Json, bool), TypeTooLarge> {
    let (of, required) = optional(&field.shape, required, left)?;
    Ok((field.name.as_str(), of, required))
}
