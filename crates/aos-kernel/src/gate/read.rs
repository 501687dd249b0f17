//! Parts of values by their names, for values whose schemas are known and checked.

use alloc::string::String;
use alloc::vec::Vec;

use aos_air::schema::Value;

/// Finds a field; an option that is there counts as what it holds, an empty one as none.
pub(super) fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let Value::Record(fields) = value else { return None };
    match fields.get(name)? {
        Value::Option(inner) => inner.as_deref(),
        value => Some(value),
    }
}

/// Finds a text.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    as_text(field(value, name)?)
}

/// Finds a nat.
pub(super) fn nat(value: &Value, name: &str) -> Option<u64> {
    as_nat(field(value, name)?)
}

/// Finds a set or list of texts.
pub(super) fn texts(value: &Value, name: &str) -> Option<Vec<String>> {
    all(field(value, name)?, |item| as_text(item).map(Into::into))
}

/// Finds a set of nats.
pub(super) fn nats(value: &Value, name: &str) -> Option<Vec<u64>> {
    all(field(value, name)?, as_nat)
}

pub(super) fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

const fn as_nat(value: &Value) -> Option<u64> {
    match value {
        Value::Nat(nat) => Some(*nat),
        _ => None,
    }
}

fn all<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Set(items) => items.values().map(read).collect(),
        Value::List(items) => items.iter().map(read).collect(),
        _ => None,
    }
}
