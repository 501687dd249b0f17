//! How an effect or a wait can end, as plans see it: `@step:ID.status` and `@step:ID.error`.

use alloc::boxed::Box;
use alloc::string::String;

use crate::cbor::{Head, Reader};
use crate::schema::Value;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $number:literal $word:literal;)*) => {
        /// How an effect, or the wait for it, ended; the arms of `sys/EffectStatus@1` in their order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Status { $($(#[$doc])* $name,)* }

        impl Status {
            /// Every status, by number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the number of it in formats.
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)* }
            }

            /// Returns the word for it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

statuses! {
    /// It was done, and the receipt is there.
    Ok = 0 "ok";
    /// The gate refused it; nothing left the world.
    Denied = 1 "denied";
    /// It was tried and failed.
    Failed = 2 "failed";
    /// There was no answer in time.
    Timeout = 3 "timeout";
    /// It may have been done or not.
    InDoubt = 4 "in_doubt";
    /// It was called off.
    Cancelled = 5 "cancelled";
}

impl Status {
    /// Finds a status by its number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| u64::from(status.number()) == number)
    }

    /// Returns it as a value of `sys/EffectStatus@1`.
    pub fn value(self) -> Value {
        Value::Variant(self.word().into(), Box::new(Value::Unit))
    }
}

/// Why an effect did not end well: a value of `sys/EffectError@1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectError {
    /// Stable dotted code.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// Whether it may go well another time.
    pub retriable: bool,
}

impl EffectError {
    /// Returns it as a value of `sys/EffectError@1`.
    pub fn value(&self) -> Value {
        let fields = [
            ("code", Value::Text(self.code.clone())),
            ("message", Value::Text(self.message.clone())),
            ("retriable", Value::Bool(self.retriable)),
        ];
        Value::Record(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// Reads canonical bytes of `sys/EffectError@1`; none for other bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::strict(bytes);
        let is_whole = reader.map().ok()? == 3;
        let field = |reader: &mut Reader<'_>, name: &str| (reader.text().ok()? == name).then_some(());
        field(&mut reader, "code")?;
        let code = reader.text().ok()?.into();
        field(&mut reader, "message")?;
        let message = reader.text().ok()?.into();
        field(&mut reader, "retriable")?;
        let Head::Bool(retriable) = reader.head().ok()? else { return None };
        (is_whole && reader.end().is_ok()).then_some(Self { code, message, retriable })
    }
}

/// How a step ended that waited for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub status: Status,
    /// Why, where an effect did not end well.
    pub error: Option<EffectError>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::built_in;
    use crate::name::Name;

    #[test]
    fn statuses_and_errors_are_values_of_their_schemas() {
        let schema = |name: &str| &built_in::schema(&Name::parse(name).unwrap()).unwrap().shape;
        for status in Status::ALL {
            assert!(schema("sys/EffectStatus@1").check(&status.value().to_cbor()).is_ok(), "{}", status.word());
            assert_eq!(Status::from_number(status.number().into()), Some(*status));
        }
        assert_eq!(Status::from_number(6), None);
        let error = EffectError { code: "http.host".into(), message: "é".into(), retriable: true };
        let bytes = error.value().to_cbor();
        assert_eq!(schema("sys/EffectError@1").check(&bytes), Ok(()));
        assert_eq!(EffectError::decode(&bytes), Some(error));
        for cut in 0..bytes.len() {
            assert_eq!(EffectError::decode(&bytes[..cut]), None);
        }
        assert_eq!(EffectError::decode(&[bytes.as_slice(), &[0]].concat()), None);
    }
}
