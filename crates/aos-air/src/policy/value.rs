//! AIR values as Cedar values: by their shape, exactly or not at all.
//!
//! What Cedar cannot hold exactly has no value here, and the request is denied with `policy.range`. `schema.rs` has the
//! types that belong to these values. Never here: a decision.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::RestrictedExpression as Cedar;

use crate::hash::Digest;
use crate::schema::{Decimal, Value};
use crate::text::scalar;

/// A value that Cedar cannot hold: a natural number above 2^63−1, or a decimal with more than its 4 places or 19 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request holds a number that policies cannot see exactly")]
pub(super) struct OutOfRange;

/// Fields of a record.
pub(super) type Fields = Vec<(String, Cedar)>;

const NS_PER_MS: u64 = 1_000_000;
/// Cedar's decimals have four places.
const PLACES: i64 = 4;
const ONE: u64 = 10_u64.pow(4);

/// Makes the Cedar value of a value.
pub(super) fn value(value: &Value) -> Result<Cedar, OutOfRange> {
    Ok(match value {
        Value::Bool(value) => Cedar::new_bool(*value),
        Value::Int(value) => Cedar::new_long(*value),
        Value::Nat(value) => nat(*value)?,
        Value::Dec128(value) => Cedar::new_decimal(decimal(*value)?),
        Value::Bytes(bytes) => {
            let len = u64::try_from(bytes.len()).map_err(|_| OutOfRange)?;
            let hash = Cedar::new_string(Digest::of(bytes).to_string());
            record(Vec::from([("len".to_string(), nat(len)?), ("hash".to_string(), hash)]))?
        }
        Value::Text(text) => Cedar::new_string(text.clone()),
        Value::Time(ns) => time(*ns),
        // Towards the past, as a time is rounded, so that both stay comparable.
        Value::Duration(ns) => Cedar::new_long(ns.div_euclid(1_000_000)),
        Value::Hash(hash) => Cedar::new_string(hash.to_string()),
        Value::Uuid(uuid) => Cedar::new_string(scalar::print_uuid(uuid)),
        Value::Unit => record(Vec::new())?,
        Value::Record(fields) => record(record_fields(fields)?)?,
        Value::Variant(tag, payload) => variant(tag, payload)?,
        Value::List(items) => set(items.iter())?,
        Value::Set(items) => set(items.values())?,
        Value::Map(entries) => {
            let entry = |(key, inner): &(Value, Value)| {
                let mut fields = Vec::from([("key".to_string(), self::value(key)?)]);
                fields.extend(attribute("value", inner)?);
                record(fields)
            };
            let keys = set(entries.values().map(|(key, _)| key))?;
            let entries = Cedar::new_set(entries.values().map(entry).collect::<Result<Vec<_>, _>>()?);
            record(Vec::from([("entries".to_string(), entries), ("keys".to_string(), keys)]))?
        }
        Value::Option(None) => record(Vec::new())?,
        Value::Option(Some(inner)) => record(Vec::from([("value".to_string(), self::value(inner)?)]))?,
    })
}

/// Makes the fields of a record, without the options that are empty.
pub(super) fn record_fields(fields: &BTreeMap<String, Value>) -> Result<Fields, OutOfRange> {
    let mut made = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        made.extend(attribute(name, value)?);
    }
    Ok(made)
}

/// Makes a record; the names of its fields differ.
pub(super) fn record(fields: Fields) -> Result<Cedar, OutOfRange> {
    // Cedar refuses only a name that stands twice, which none of the callers makes.
    Cedar::new_record(fields).map_err(|_| OutOfRange)
}

/// Makes a natural number.
pub(super) fn nat(value: u64) -> Result<Cedar, OutOfRange> {
    i64::try_from(value).map(Cedar::new_long).map_err(|_| OutOfRange)
}

/// Makes a time from nanoseconds: milliseconds, rounded down.
pub(super) fn time(ns: u64) -> Cedar {
    Cedar::new_long((ns / NS_PER_MS).cast_signed())
}

fn set<'a>(items: impl Iterator<Item = &'a Value>) -> Result<Cedar, OutOfRange> {
    Ok(Cedar::new_set(items.map(value).collect::<Result<Vec<_>, _>>()?))
}

fn variant(tag: &str, payload: &Value) -> Result<Cedar, OutOfRange> {
    let mut fields = Vec::from([("tag".to_string(), Cedar::new_string(tag.to_string()))]);
    // An arm that is called `tag` gives way to the tag.
    if *payload != Value::Unit && tag != "tag" {
        fields.extend(attribute(tag, payload)?);
    }
    record(fields)
}

/// Makes what stands as an attribute, where an empty option is absent.
fn attribute(name: &str, of: &Value) -> Result<Option<(String, Cedar)>, OutOfRange> {
    Ok(match of {
        Value::Option(None) => None,
        Value::Option(Some(inner)) => Some((name.to_string(), value(inner)?)),
        other => Some((name.to_string(), value(other)?)),
    })
}

/// Writes a decimal as Cedar does, if it is one of Cedar's: an i64 of ten-thousandths.
fn decimal(decimal: Decimal) -> Result<String, OutOfRange> {
    let shift = u32::try_from(decimal.exponent() + PLACES).map_err(|_| OutOfRange)?;
    let scale = 10_i128.checked_pow(shift).ok_or(OutOfRange)?;
    let scaled = decimal.mantissa().checked_mul(scale).and_then(|scaled| i64::try_from(scaled).ok());
    let scaled = scaled.ok_or(OutOfRange)?;
    let sign = if scaled < 0 { "-" } else { "" };
    let (whole, rest) = (scaled.unsigned_abs() / ONE, scaled.unsigned_abs() % ONE);
    Ok(format!("{sign}{whole}.{rest:04}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_that_cedar_has_and_the_next_that_it_has_not() {
        let cases = [
            ("0", Some("0.0000")),
            ("-0.5", Some("-0.5000")),
            ("1.2345", Some("1.2345")),
            ("1.23456", None),
            ("1200", Some("1200.0000")),
            ("922337203685477.5807", Some("922337203685477.5807")),
            ("922337203685477.5808", None),
            ("-922337203685477.5808", Some("-922337203685477.5808")),
            ("-922337203685477.5809", None),
            ("1E-4", Some("0.0001")),
            ("1E-5", None),
            ("1E+14", Some("100000000000000.0000")),
            ("1E+15", None),
            ("9E+6144", None),
        ];
        for (text, expected) in cases {
            let made = decimal(text.parse().unwrap()).ok();
            assert_eq!(made.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_at_the_limit_and_one_past_it() {
        let most = i64::MAX.unsigned_abs();
        assert_eq!(nat(most), Ok(Cedar::new_long(i64::MAX)));
        assert_eq!(nat(most + 1), Err(OutOfRange));
        assert_eq!(value(&Value::List([Value::Nat(most + 1)].into())), Err(OutOfRange), "also deep inside");
        assert_eq!(time(1_999_999), Cedar::new_long(1));
        assert_eq!(time(u64::MAX), Cedar::new_long(18_446_744_073_709));
        assert_eq!(value(&Value::Duration(-1)), Ok(Cedar::new_long(-1)), "rounded down, not to zero");
        assert_eq!(value(&Value::Duration(-1_000_000)), Ok(Cedar::new_long(-1)));
    }
}
