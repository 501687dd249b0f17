//! The sugar lens: plain JSON that says only what the type leaves open.
//!
//! Where plain JSON would look like a tagged literal, the tagged literal is printed, so that reading is never in doubt.

use alloc::string::ToString;

use super::json::{Json, Node};
use super::read::{is_null, single, tag_of};
use super::scalar as form;
use super::tagged::tagged;
use crate::schema::{KeyType, Shape, Value};

/// Prints a value of the type `shape` as plain JSON. A value of another type is printed in the tagged lens.
pub fn sugar(shape: &Shape, value: &Value) -> Json {
    let plain = match (shape, value) {
        (Shape::Unit, Value::Unit) | (Shape::Option(_), Value::Option(None)) => Node::Null.into(),
        (Shape::Option(inner), Value::Option(Some(value))) => sugar(inner, value),
        (Shape::Bool, Value::Bool(value)) => (*value).into(),
        (Shape::Int, Value::Int(value)) | (Shape::Duration, Value::Duration(value)) => (*value).into(),
        (Shape::Nat, Value::Nat(value)) => (*value).into(),
        (Shape::Dec128, Value::Dec128(value)) => value.to_string().as_str().into(),
        (Shape::Bytes, Value::Bytes(value)) => form::print_bytes(value).as_str().into(),
        (Shape::Text, Value::Text(value)) => value.as_str().into(),
        (Shape::Time, Value::Time(value)) => form::print_time(*value).as_str().into(),
        (Shape::Hash, Value::Hash(value)) => (*value).into(),
        (Shape::Uuid, Value::Uuid(value)) => form::print_uuid(value).as_str().into(),
        (Shape::Record(_), Value::Record(fields)) => Json::object(fields.iter().map(|(name, value)| {
            let printed = shape.field(name).map_or_else(|| tagged(value), |field| sugar(&field.shape, value));
            (name.as_str(), printed)
        })),
        (Shape::Variant(_), Value::Variant(tag, payload)) => {
            let printed = shape.arm(tag).map_or_else(|| tagged(payload), |arm| sugar(&arm.shape, payload));
            Json::one(tag, printed)
        }
        (Shape::List(inner), Value::List(items)) => Json::list(items.iter().map(|item| sugar(inner, item))),
        (Shape::Set(inner), Value::Set(items)) => Json::list(items.values().map(|item| sugar(inner, item))),
        (Shape::Map(KeyType::Text, inner), Value::Map(entries)) => {
            Json::object(entries.values().map(|(key, value)| (text_of(key), sugar(inner, value))))
        }
        (Shape::Map(_, inner), Value::Map(entries)) => {
            let key = |key: &Value| match key {
                Value::Hash(key) => (*key).into(),
                Value::Uuid(key) => form::print_uuid(key).as_str().into(),
                Value::Int(key) => (*key).into(),
                Value::Nat(key) => (*key).into(),
                other => tagged(other),
            };
            Json::list(entries.values().map(|(k, value)| Json::list([key(k), sugar(inner, value)])))
        }
        _ => tagged(value),
    };
    if looks_tagged(shape, &plain) { tagged(value) } else { plain }
}

/// Tells whether plain JSON of this type could be taken for a tagged literal or for null.
fn looks_tagged(shape: &Shape, plain: &Json) -> bool {
    let own_tag = || single(plain).is_some_and(|(key, _)| key == tag_of(shape));
    let plain_null = matches!(plain.node, Node::Null);
    matches!(shape, Shape::Record(_) | Shape::Variant(_) | Shape::Map(..))
        && (own_tag() || is_null(plain) && !plain_null)
}

/// Returns the text of a key; a value of this type has no other keys.
fn text_of(key: &Value) -> &str {
    if let Value::Text(key) = key { key } else { "" }
}
