//! A type made ready for use: references resolved and shared, fields in canonical order with their encoded names.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::types::{KeyType, Type};
use crate::cbor::write;
use crate::limits::TYPE_DEPTH_MAX;
use crate::name::Name;

/// A resolved type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A bool.
    Bool,
    /// A signed integer.
    Int,
    /// An unsigned integer.
    Nat,
    /// A decimal.
    Dec128,
    /// Bytes.
    Bytes,
    /// Text.
    Text,
    /// Nanoseconds since the epoch.
    Time,
    /// Nanoseconds.
    Duration,
    /// A digest.
    Hash,
    /// A UUID.
    Uuid,
    /// The unit.
    Unit,
    /// Fields in canonical order.
    Record(Vec<Field>),
    /// Arms in canonical order.
    Variant(Vec<Field>),
    /// A list.
    List(Arc<Shape>),
    /// A set.
    Set(Arc<Shape>),
    /// A map.
    Map(KeyType, Arc<Shape>),
    /// A value or none.
    Option(Arc<Shape>),
}

/// A field of a record or an arm of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name, or the arm's tag.
    pub name: String,
    /// The name as canonical CBOR, for comparison with bytes.
    pub key: Vec<u8>,
    /// The field's type, or the arm's payload.
    pub shape: Arc<Shape>,
}

/// Why a type cannot be resolved, with a JSON pointer into the type as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at `{pointer}`")]
pub struct ShapeError {
    /// What is wrong.
    pub problem: ShapeProblem,
    /// Where, from the type's own root.
    pub pointer: String,
}

/// What can be wrong with a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeProblem {
    /// The referenced schema is not there, or could not be resolved itself.
    #[error("schema `{0}` is not there")]
    Missing(Name),
    /// An option lies directly over an option or the unit, so that null would mean two things.
    #[error("an option directly over an option or unit")]
    Option,
    /// The resolved type is nested deeper than [`TYPE_DEPTH_MAX`].
    #[error("a type nested deeper than {TYPE_DEPTH_MAX}")]
    Depth,
}

impl From<KeyType> for Shape {
    fn from(key: KeyType) -> Self {
        match key {
            KeyType::Int => Self::Int,
            KeyType::Nat => Self::Nat,
            KeyType::Text => Self::Text,
            KeyType::Uuid => Self::Uuid,
            KeyType::Hash => Self::Hash,
        }
    }
}

impl ShapeError {
    fn new(problem: ShapeProblem) -> Self {
        Self { problem, pointer: String::new() }
    }

    fn within(mut self, segments: &str) -> Self {
        self.pointer.insert_str(0, segments);
        self
    }
}

impl Shape {
    /// Returns the key type that this type is; none where it cannot be a key.
    pub const fn key_type(&self) -> Option<KeyType> {
        Some(match self {
            Self::Int => KeyType::Int,
            Self::Nat => KeyType::Nat,
            Self::Text => KeyType::Text,
            Self::Uuid => KeyType::Uuid,
            Self::Hash => KeyType::Hash,
            _ => return None,
        })
    }

    /// Resolves a type; `lookup` knows the schemas that it refers to.
    ///
    /// # Errors
    /// The first problem in the type's own order.
    pub fn resolve(written: &Type, lookup: &dyn Fn(&Name) -> Option<Arc<Self>>) -> Result<Arc<Self>, ShapeError> {
        let shape = resolve(written, lookup)?;
        if shape.depth() > TYPE_DEPTH_MAX {
            return Err(ShapeError::new(ShapeProblem::Depth));
        }
        Ok(shape)
    }

    /// Returns the word that names this type in a message.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Nat => "nat",
            Self::Dec128 => "dec128",
            Self::Bytes => "bytes",
            Self::Text => "text",
            Self::Time => "time",
            Self::Duration => "duration",
            Self::Hash => "hash",
            Self::Uuid => "uuid",
            Self::Unit => "unit",
            Self::Record(_) => "record",
            Self::Variant(_) => "variant",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Map(..) => "map",
            Self::Option(_) => "option",
        }
    }

    /// Finds the arm of a variant by its tag.
    pub fn arm(&self, tag: &str) -> Option<&Field> {
        if let Self::Variant(arms) = self { arms.iter().find(|arm| arm.name == tag) } else { None }
    }

    /// Finds the field of a record by its name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        if let Self::Record(fields) = self { fields.iter().find(|field| field.name == name) } else { None }
    }

    /// Counts the levels of nesting; a shared part is measured once, so the cost is that of the written types.
    pub fn depth(&self) -> usize {
        let mut known = BTreeMap::new();
        depth(self, &mut known)
    }
}

/// Measures `shape`, remembering what was measured by address: sharing makes the tree far larger than the graph.
fn depth(shape: &Shape, known: &mut BTreeMap<*const Shape, usize>) -> usize {
    let mut inner = |child: &Arc<Shape>| -> usize {
        let address = Arc::as_ptr(child);
        if let Some(depth) = known.get(&address) {
            return *depth;
        }
        let measured = depth(child, known);
        known.insert(address, measured);
        measured
    };
    1 + match shape {
        Shape::Record(fields) | Shape::Variant(fields) => {
            fields.iter().map(|field| inner(&field.shape)).max().unwrap_or(0)
        }
        Shape::List(child) | Shape::Set(child) | Shape::Map(_, child) | Shape::Option(child) => inner(child),
        _ => 0,
    }
}

fn resolve(written: &Type, lookup: &dyn Fn(&Name) -> Option<Arc<Shape>>) -> Result<Arc<Shape>, ShapeError> {
    let inner = |child: &Type, segment: &str| resolve(child, lookup).map_err(|error| error.within(segment));
    Ok(Arc::new(match written {
        Type::Bool => Shape::Bool,
        Type::Int => Shape::Int,
        Type::Nat => Shape::Nat,
        Type::Dec128 => Shape::Dec128,
        Type::Bytes => Shape::Bytes,
        Type::Text => Shape::Text,
        Type::Time => Shape::Time,
        Type::Duration => Shape::Duration,
        Type::Hash => Shape::Hash,
        Type::Uuid => Shape::Uuid,
        Type::Unit => Shape::Unit,
        Type::Record(fields) => Shape::Record(resolve_fields(fields, lookup, "/record")?),
        Type::Variant(arms) => Shape::Variant(resolve_fields(arms, lookup, "/variant")?),
        Type::List(child) => Shape::List(inner(child, "/list")?),
        Type::Set(child) => Shape::Set(inner(child, "/set")?),
        Type::Map(key, child) => Shape::Map(*key, inner(child, "/map/value")?),
        Type::Option(child) => {
            let shape = inner(child, "/option")?;
            if matches!(*shape, Shape::Option(_) | Shape::Unit) {
                return Err(ShapeError::new(ShapeProblem::Option));
            }
            Shape::Option(shape)
        }
        Type::Ref(name) => {
            let missing = || ShapeError::new(ShapeProblem::Missing(name.clone())).within("/ref");
            return lookup(name).ok_or_else(missing);
        }
    }))
}

fn resolve_fields(
    fields: &BTreeMap<String, Type>,
    lookup: &dyn Fn(&Name) -> Option<Arc<Shape>>,
    kind: &str,
) -> Result<Vec<Field>, ShapeError> {
    let mut resolved = Vec::with_capacity(fields.len());
    for (name, written) in fields {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        let shape = resolve(written, lookup).map_err(|error| error.within(&[kind, "/", &escaped].concat()))?;
        let mut key = Vec::new();
        write::text(&mut key, name);
        resolved.push(Field { name: name.to_string(), key, shape });
    }
    resolved.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(resolved)
}
