//! The one value of AIR, and its canonical bytes.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::Decimal;
use crate::cbor::write;
use crate::hash::Digest;

/// A value of some [`super::Type`]. Equal values have equal canonical bytes, whatever order they were made in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The unit.
    Unit,
    /// A bool.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Nat(u64),
    /// A decimal.
    Dec128(Decimal),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A text.
    Text(String),
    /// Nanoseconds since the epoch.
    Time(u64),
    /// Nanoseconds.
    Duration(i64),
    /// A digest.
    Hash(Digest),
    /// A UUID.
    Uuid([u8; 16]),
    /// A record's fields.
    Record(BTreeMap<String, Value>),
    /// A variant's tag and payload.
    Variant(String, Box<Value>),
    /// A list.
    List(Vec<Value>),
    /// A set, by the canonical bytes of its items; made by [`Value::set`].
    Set(BTreeMap<Vec<u8>, Value>),
    /// A map, by the canonical bytes of its keys; made by [`Value::map`].
    Map(BTreeMap<Vec<u8>, (Value, Value)>),
    /// A value or none.
    Option(Option<Box<Value>>),
}

/// An item of a set or a key of a map that stands twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("item {index} stands there already")]
pub struct Twice {
    /// Position of the second one, from 0.
    pub index: usize,
}

impl Value {
    /// Makes a set.
    ///
    /// # Errors
    /// [`Twice`] for an item that is there already.
    pub fn set(items: impl IntoIterator<Item = Self>) -> Result<Self, Twice> {
        let mut set = BTreeMap::new();
        for (index, item) in items.into_iter().enumerate() {
            if set.insert(item.to_cbor(), item).is_some() {
                return Err(Twice { index });
            }
        }
        Ok(Self::Set(set))
    }

    /// Makes a map.
    ///
    /// # Errors
    /// [`Twice`] for a key that is there already.
    pub fn map(entries: impl IntoIterator<Item = (Self, Self)>) -> Result<Self, Twice> {
        let mut map = BTreeMap::new();
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if map.insert(key.to_cbor(), (key, value)).is_some() {
                return Err(Twice { index });
            }
        }
        Ok(Self::Map(map))
    }

    /// Returns the canonical bytes.
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Appends the canonical bytes to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unit => write::null(out),
            Self::Bool(value) => write::bool(out, *value),
            Self::Int(value) | Self::Duration(value) => write::int(out, *value),
            Self::Nat(value) | Self::Time(value) => write::uint(out, *value),
            Self::Dec128(value) => write::decimal(out, value.exponent(), value.mantissa()),
            Self::Bytes(value) => write::bytes(out, value),
            Self::Text(value) => write::text(out, value),
            Self::Hash(value) => write::bytes(out, value.as_bytes()),
            Self::Uuid(value) => write::bytes(out, value),
            Self::Record(fields) => write_record(out, fields),
            Self::Variant(tag, payload) => {
                if **payload != Self::Unit {
                    write::map(out, 1);
                }
                write::text(out, tag);
                if **payload != Self::Unit {
                    payload.write(out);
                }
            }
            Self::List(items) => {
                write::array(out, items.len());
                items.iter().for_each(|item| item.write(out));
            }
            Self::Set(items) => {
                write::array(out, items.len());
                items.keys().for_each(|item| out.extend_from_slice(item));
            }
            Self::Map(entries) => {
                write::map(out, entries.len());
                for (key, (_, value)) in entries {
                    out.extend_from_slice(key);
                    value.write(out);
                }
            }
            Self::Option(None) => write::null(out),
            Self::Option(Some(value)) => value.write(out),
        }
    }
}

/// Writes fields in bytewise order of their encoded names, which is by length first.
fn write_record(out: &mut Vec<u8>, fields: &BTreeMap<String, Value>) {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| (name.len(), name.as_str()));
    write::map(out, fields.len());
    for (name, value) in fields {
        write::text(out, name);
        value.write(out);
    }
}
