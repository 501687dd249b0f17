//! A temperature as an exact decimal, from the params into a provider's JSON, and never through a float.
//!
//! Never here: which temperatures a model takes; the provider says so.

use std::fmt;

use aos_air::schema::Decimal;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::Value;

/// A decimal whose mantissa has at most 63 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Temperature(Decimal);

impl Temperature {
    /// Writes an object with the temperature as its first field.
    pub(super) fn put_into(self, object: &Value) -> Vec<u8> {
        let text = object.to_string();
        let rest = text.strip_prefix('{').unwrap_or_default();
        format!("{{\"temperature\":{},{rest}", self.0).into_bytes()
    }
}

impl<'de> Deserialize<'de> for Temperature {
    /// Reads the pair in a decimal fraction, `[exponent, mantissa]`; the decoder passes over its tag.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Temperature;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal fraction")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Temperature, A::Error> {
                let missing = || A::Error::custom("a decimal fraction has two parts");
                let exponent: i64 = pair.next_element()?.ok_or_else(missing)?;
                let mantissa: i64 = pair.next_element()?.ok_or_else(missing)?;
                Decimal::new(mantissa.into(), exponent).map(Temperature).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Pair)
    }
}

#[cfg(test)]
mod tests {
    use aos_air::cbor;

    use super::*;

    #[test]
    fn a_decimal_reaches_the_request_digit_by_digit() {
        for (text, shown) in [("0", "0"), ("0.7", "0.7"), ("1", "1"), ("0.123456789012345678", "0.123456789012345678")]
        {
            let decimal: Decimal = text.parse().unwrap();
            let mut bytes = Vec::new();
            cbor::write::decimal(&mut bytes, decimal.exponent(), decimal.mantissa());
            let temperature: Temperature = cbor::from_slice(&bytes).unwrap();
            let body = temperature.put_into(&serde_json::json!({"a": 1}));
            assert_eq!(String::from_utf8(body).unwrap(), format!("{{\"temperature\":{shown},\"a\":1}}"));
        }
    }
}
