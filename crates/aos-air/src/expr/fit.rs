//! Literals and types: which type a literal says by itself, whether it fits one, and whether two types are the same.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::cbor::write;
use crate::schema::{Field, Shape, Value};

/// Returns the type that a literal has by itself; none where it leaves it open, as null, an empty list and a variant do.
pub(super) fn shape_of(value: &Value) -> Option<Arc<Shape>> {
    Some(Arc::new(match value {
        Value::Unit => Shape::Unit,
        Value::Bool(_) => Shape::Bool,
        Value::Int(_) => Shape::Int,
        Value::Nat(_) => Shape::Nat,
        Value::Dec128(_) => Shape::Dec128,
        Value::Bytes(_) => Shape::Bytes,
        Value::Text(_) => Shape::Text,
        Value::Time(_) => Shape::Time,
        Value::Duration(_) => Shape::Duration,
        Value::Hash(_) => Shape::Hash,
        Value::Uuid(_) => Shape::Uuid,
        Value::Record(fields) => {
            let fields = fields.iter().map(|(name, value)| Some((name.clone(), shape_of(value)?)));
            record(fields.collect::<Option<Vec<_>>>()?)
        }
        Value::List(items) => Shape::List(common(items.iter())?),
        Value::Set(items) => Shape::Set(common(items.values())?),
        Value::Map(entries) => {
            let key = common(entries.values().map(|(key, _)| key))?.key_type()?;
            Shape::Map(key, common(entries.values().map(|(_, value)| value))?)
        }
        Value::Option(Some(inner)) => Shape::Option(shape_of(inner)?),
        Value::Option(None) | Value::Variant(..) => return None,
    }))
}

/// Returns the type that all of the literals fit, as the first one that has a type by itself says it.
fn common<'a>(values: impl Iterator<Item = &'a Value> + Clone) -> Option<Arc<Shape>> {
    let shape = values.clone().find_map(shape_of)?;
    values.into_iter().all(|value| fit(value, &shape).is_some()).then_some(shape)
}

/// Makes the type of a record.
pub(super) fn record(fields: Vec<(String, Arc<Shape>)>) -> Shape {
    let field = |(name, shape): (String, Arc<Shape>)| {
        let mut key = Vec::new();
        write::text(&mut key, &name);
        Field { name, key, shape }
    };
    let mut fields: Vec<Field> = fields.into_iter().map(field).collect();
    fields.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Shape::Record(fields)
}

/// Turns a literal into the value of a type: null becomes an empty option or the unit, a value what is in an option,
/// and optional fields that were left out are empty. None where it does not fit.
pub(super) fn fit(value: &Value, shape: &Shape) -> Option<Value> {
    Some(match (value, shape) {
        (Value::Option(None), Shape::Option(_)) => Value::Option(None),
        (Value::Option(Some(value)), Shape::Option(inner)) => Value::Option(Some(Box::new(fit(value, inner)?))),
        (value, Shape::Option(inner)) => Value::Option(Some(Box::new(fit(value, inner)?))),
        (Value::Option(None) | Value::Unit, Shape::Unit) => Value::Unit,
        (Value::Record(given), Shape::Record(fields)) => {
            if given.keys().any(|name| !fields.iter().any(|field| field.name == *name)) {
                return None;
            }
            let field = |field: &Field| {
                let value = given.get(&field.name).unwrap_or(&Value::Option(None));
                Some((field.name.clone(), fit(value, &field.shape)?))
            };
            Value::Record(fields.iter().map(field).collect::<Option<BTreeMap<_, _>>>()?)
        }
        (Value::Variant(tag, payload), Shape::Variant(_)) => {
            Value::Variant(tag.clone(), Box::new(fit(payload, &shape.arm(tag)?.shape)?))
        }
        (Value::List(items), Shape::List(inner)) => Value::List(all(items.iter(), inner)?),
        (Value::Set(items), Shape::Set(inner)) => Value::set(all(items.values(), inner)?).ok()?,
        (Value::Map(entries), Shape::Map(key, inner)) => {
            let key = Shape::from(*key);
            let fitted = entries.values().map(|(k, value)| Some((fit(k, &key)?, fit(value, inner)?)));
            Value::map(fitted.collect::<Option<Vec<_>>>()?).ok()?
        }
        (Value::Bool(_), Shape::Bool)
        | (Value::Int(_), Shape::Int)
        | (Value::Nat(_), Shape::Nat)
        | (Value::Dec128(_), Shape::Dec128)
        | (Value::Bytes(_), Shape::Bytes)
        | (Value::Text(_), Shape::Text)
        | (Value::Time(_), Shape::Time)
        | (Value::Duration(_), Shape::Duration)
        | (Value::Hash(_), Shape::Hash)
        | (Value::Uuid(_), Shape::Uuid) => value.clone(),
        _ => return None,
    })
}

const fn is_scalar(shape: &Shape) -> bool {
    !matches!(
        shape,
        Shape::Record(_) | Shape::Variant(_) | Shape::List(_) | Shape::Set(_) | Shape::Map(..) | Shape::Option(_)
    )
}

fn all<'a>(values: impl Iterator<Item = &'a Value>, shape: &Shape) -> Option<Vec<Value>> {
    values.map(|value| fit(value, shape)).collect()
}

/// Says what a type is, in a word or two.
pub(super) fn describe(shape: &Shape) -> String {
    match shape {
        Shape::Option(inner) => format!("option of {}", inner.word()),
        Shape::List(inner) | Shape::Set(inner) | Shape::Map(_, inner) => {
            format!("{} of {}", shape.word(), inner.word())
        }
        _ => shape.word().to_string(),
    }
}

/// Tells whether two types are the same; shared parts are compared once, so the cost is that of the written types.
pub(crate) fn is_same(a: &Shape, b: &Shape) -> bool {
    same(a, b, &mut BTreeSet::new())
}

fn same(a: &Shape, b: &Shape, known: &mut BTreeSet<(*const Shape, *const Shape)>) -> bool {
    let pair: (*const Shape, *const Shape) = (a, b);
    // A pair that was met before is either the same or has made the answer no already.
    if core::ptr::eq(a, b) || !known.insert(pair) {
        return true;
    }
    match (a, b) {
        (Shape::Record(a), Shape::Record(b)) | (Shape::Variant(a), Shape::Variant(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name && same(&a.shape, &b.shape, known))
        }
        (Shape::List(a), Shape::List(b)) | (Shape::Set(a), Shape::Set(b)) | (Shape::Option(a), Shape::Option(b)) => {
            same(a, b, known)
        }
        (Shape::Map(key, a), Shape::Map(other, b)) => key == other && same(a, b, known),
        _ => is_scalar(a) && a == b,
    }
}
