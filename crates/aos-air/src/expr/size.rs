//! How many bytes a value's canonical form has, without writing it: the measure of what an evaluation costs.

use alloc::vec::Vec;

use crate::cbor::write;
use crate::schema::Value;

/// Returns the length of the canonical form in bytes.
pub(super) fn size(value: &Value) -> u64 {
    match value {
        Value::Unit | Value::Bool(_) | Value::Option(None) => 1,
        Value::Int(value) | Value::Duration(value) => head(if *value < 0 { !*value } else { *value }.unsigned_abs()),
        Value::Nat(value) | Value::Time(value) => head(*value),
        Value::Dec128(value) => {
            let mut bytes = Vec::new();
            write::decimal(&mut bytes, value.exponent(), value.mantissa());
            bytes.len() as u64
        }
        Value::Bytes(value) => string(value.len()),
        Value::Text(value) => string(value.len()),
        Value::Hash(_) => string(32),
        Value::Uuid(_) => string(16),
        Value::Record(fields) => {
            head(fields.len() as u64) + fields.iter().map(|(name, value)| string(name.len()) + size(value)).sum::<u64>()
        }
        Value::Variant(tag, payload) if **payload == Value::Unit => string(tag.len()),
        Value::Variant(tag, payload) => 1 + string(tag.len()) + size(payload),
        Value::List(items) => head(items.len() as u64) + items.iter().map(size).sum::<u64>(),
        Value::Set(items) => head(items.len() as u64) + items.keys().map(|item| item.len() as u64).sum::<u64>(),
        Value::Map(entries) => {
            let entry = |(key, (_, value)): (&Vec<u8>, &(Value, Value))| key.len() as u64 + size(value);
            head(entries.len() as u64) + entries.iter().map(entry).sum::<u64>()
        }
        Value::Option(Some(inner)) => size(inner),
    }
}

/// Returns the length of a head with this argument.
const fn head(argument: u64) -> u64 {
    match argument {
        0..=0x17 => 1,
        0x18..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

const fn string(bytes: usize) -> u64 {
    head(bytes as u64) + bytes as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::arbitrary::{AWKWARD, typed_values};

    proptest! {
        #[test]
        fn the_size_is_the_length_of_the_bytes((_, value) in typed_values(AWKWARD)) {
            prop_assert_eq!(size(&value), value.to_cbor().len() as u64);
        }
    }
}
