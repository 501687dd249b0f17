//! The tagged lens, which needs no schema: every literal says its type.
//!
//! Canonical nodes hold literals in this form. An option's value and its content look the same here, and so do the unit
//! and an empty option, because their canonical bytes are the same; only as a variant's payload they differ: the unit
//! is left out.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::at::{At, COMMENT, suggest};
use super::json::{Json, Members, Node};
use super::read::{Target, is_null, scalar, single};
use super::rule::Rule;
use super::scalar as form;
use crate::schema::{Shape, Value};

/// Prints a value in the tagged lens.
pub fn tagged(value: &Value) -> Json {
    match value {
        Value::Unit | Value::Option(None) => Json::one("null", Json::empty()),
        Value::Option(Some(inner)) => tagged(inner),
        Value::Bool(value) => Json::one("bool", (*value).into()),
        Value::Int(value) => Json::one("int", (*value).into()),
        Value::Nat(value) => Json::one("nat", (*value).into()),
        Value::Dec128(value) => Json::one("dec128", value.to_string().as_str().into()),
        Value::Bytes(value) => Json::one("bytes_b64", form::print_bytes(value).as_str().into()),
        Value::Text(value) => Json::one("text", value.as_str().into()),
        Value::Time(value) => Json::one("time_ns", (*value).into()),
        Value::Duration(value) => Json::one("duration_ns", (*value).into()),
        Value::Hash(value) => Json::one("hash", (*value).into()),
        Value::Uuid(value) => Json::one("uuid", form::print_uuid(value).as_str().into()),
        Value::Record(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.as_str(), tagged(value)));
            Json::one("record", Json::object(fields))
        }
        Value::Variant(tag, payload) => {
            let payload = (**payload != Value::Unit).then(|| tagged(payload));
            Json::one("variant", Members::default().with("tag", tag.as_str()).maybe("value", payload).into())
        }
        Value::List(items) => Json::one("list", Json::list(items.iter().map(tagged))),
        Value::Set(items) => Json::one("set", Json::list(items.values().map(tagged))),
        Value::Map(entries) => {
            let entry = |(key, value): &(Value, Value)| Json::object([("key", tagged(key)), ("value", tagged(value))]);
            Json::one("map", Json::list(entries.values().map(entry)))
        }
    }
}

/// The scalars by their tags.
const SCALARS: [(&str, Shape); 10] = [
    ("bool", Shape::Bool),
    ("int", Shape::Int),
    ("nat", Shape::Nat),
    ("dec128", Shape::Dec128),
    ("bytes_b64", Shape::Bytes),
    ("text", Shape::Text),
    ("time_ns", Shape::Time),
    ("duration_ns", Shape::Duration),
    ("hash", Shape::Hash),
    ("uuid", Shape::Uuid),
];

const CONTAINERS: [&str; 6] = ["record", "variant", "list", "set", "map", "null"];

/// Reads a tagged literal without a schema; what is wrong is reported there.
pub fn read_tagged(at: &At<'_>) -> Option<Value> {
    read(at)
}

/// Reads tagged literals and what else the target has.
pub(crate) fn read<T: Target>(at: &At<'_>) -> Option<T> {
    if let Some(read) = T::beyond_literals(at) {
        return read;
    }
    if is_null(at.json) && !matches!(at.json.node, Node::Null) {
        return Some(T::option(None));
    }
    let Some((tag, inner)) = single(at.json) else {
        let help = "without a schema a literal says its type, as in {\"nat\": 5}".to_owned();
        return at.refuse_with(
            Rule::ValueType,
            format!("a tagged literal was expected here, not {}", at.json.word()),
            Some(help),
        );
    };
    let content = at.inside(tag, inner);
    if let Some((_, shape)) = SCALARS.iter().find(|(name, _)| *name == tag) {
        return match (shape, &inner.node) {
            (Shape::Time, Node::Text(text)) if text.contains('T') => {
                content.refuse(Rule::ValueForm, "this is not nanoseconds".to_owned())
            }
            _ => scalar(shape, &content).map(T::scalar),
        };
    }
    match tag {
        "record" => fields(&content),
        "variant" => variant(&content),
        "list" => items(&content).map(T::list),
        "set" => T::set(items(&content)?).map_err(|index| twice(&content, index)).ok(),
        "map" => T::map(entries(&content)?).map_err(|index| twice(&content, index)).ok(),
        _ => {
            let help = suggest(tag, SCALARS.iter().map(|(name, _)| *name).chain(CONTAINERS));
            content.refuse_with(Rule::ValueType, format!("`{tag}` is no tag of a literal"), help)
        }
    }
}

fn twice(at: &At<'_>, index: usize) {
    let place = match &at.json.node {
        Node::List(items) => items.get(index).map(|json| at.inside(&index.to_string(), json)),
        _ => None,
    };
    let message = "the same item or key stands here a second time".to_owned();
    place.as_ref().unwrap_or(at).refuse::<()>(Rule::ValueTwice, message);
}

fn fields<T: Target>(at: &At<'_>) -> Option<T> {
    let Node::Object(members) = &at.json.node else { return at.unexpected("an object") };
    let mut fields = BTreeMap::new();
    let mut whole = true;
    for (key, json) in members.iter().filter(|(key, _)| key != COMMENT) {
        match read(&at.inside(key, json)) {
            Some(value) => drop(fields.insert(key.clone(), value)),
            None => whole = false,
        }
    }
    whole.then(|| T::record(fields))
}

fn variant<T: Target>(at: &At<'_>) -> Option<T> {
    let mut object = at.object()?;
    let (tag, value) = (object.required("tag"), object.optional("value"));
    object.finish();
    let payload = match value {
        Some(value) => read(&value),
        None => Some(T::scalar(Value::Unit)),
    };
    Some(T::variant(tag?.text()?.to_owned(), payload?))
}

fn items<T: Target>(at: &At<'_>) -> Option<Vec<T>> {
    let Node::List(items) = &at.json.node else { return at.unexpected("a list") };
    let read: Vec<Option<T>> =
        items.iter().enumerate().map(|(index, json)| read(&at.inside(&index.to_string(), json))).collect();
    read.into_iter().collect()
}

fn entries<T: Target>(at: &At<'_>) -> Option<Vec<(T, T)>> {
    let Node::List(items) = &at.json.node else { return at.unexpected("a list") };
    let entry = |(index, json): (usize, _)| {
        let mut object = at.inside(&index.to_string(), json).object()?;
        let (key, value) = (object.required("key"), object.required("value"));
        object.finish();
        let sides: (Option<T>, Option<T>) = (read(&key?), read(&value?));
        sides.0.zip(sides.1)
    };
    let read: Vec<Option<(T, T)>> = items.iter().enumerate().map(entry).collect();
    read.into_iter().collect()
}
