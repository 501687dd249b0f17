//! Types as an author writes them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;

use crate::name::Name;

/// A type of AIR. Recursive types do not exist: references form no cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// False or true.
    Bool,
    /// A signed integer of 64 bits.
    Int,
    /// An unsigned integer of 64 bits.
    Nat,
    /// A decimal of at most 34 significant digits.
    Dec128,
    /// Bytes.
    Bytes,
    /// Text in UTF-8.
    Text,
    /// Nanoseconds since 1970-01-01T00:00:00Z, unsigned.
    Time,
    /// Nanoseconds, signed.
    Duration,
    /// A BLAKE3-256 digest.
    Hash,
    /// A UUID of 16 bytes.
    Uuid,
    /// The one value that says nothing.
    Unit,
    /// Named fields, all present.
    Record(BTreeMap<String, Type>),
    /// One of several tags with its payload.
    Variant(BTreeMap<String, Type>),
    /// Items in order.
    List(Box<Type>),
    /// Items without order, each once.
    Set(Box<Type>),
    /// Entries, each key once.
    Map(KeyType, Box<Type>),
    /// A value or none; never directly over an option or the unit.
    Option(Box<Type>),
    /// The type of another schema.
    Ref(Name),
}

/// The types that may key a map or a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyType {
    /// A signed integer.
    Int,
    /// An unsigned integer.
    Nat,
    /// Text.
    Text,
    /// A UUID.
    Uuid,
    /// A digest.
    Hash,
}

impl KeyType {
    /// Returns the type of such keys.
    pub const fn as_type(self) -> Type {
        match self {
            Self::Int => Type::Int,
            Self::Nat => Type::Nat,
            Self::Text => Type::Text,
            Self::Uuid => Type::Uuid,
            Self::Hash => Type::Hash,
        }
    }
}

impl Type {
    /// Returns the keyword that names this type in JSON.
    pub const fn keyword(&self) -> &'static str {
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
            Self::Ref(_) => "ref",
        }
    }

    /// Returns the types directly inside this one, in order; references are not followed.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        let (fields, inner) = match self {
            Self::Record(fields) | Self::Variant(fields) => (Some(fields), None),
            Self::List(inner) | Self::Set(inner) | Self::Map(_, inner) | Self::Option(inner) => (None, Some(&**inner)),
            Self::Bool | Self::Int | Self::Nat | Self::Dec128 | Self::Bytes | Self::Text | Self::Time => (None, None),
            Self::Duration | Self::Hash | Self::Uuid | Self::Unit | Self::Ref(_) => (None, None),
        };
        fields.into_iter().flat_map(BTreeMap::values).chain(inner)
    }
}
