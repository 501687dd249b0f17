//! Why bytes are refused as canonical CBOR, and where.

use core::fmt;

/// A refusal with the offset of the item that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CborError {
    /// Offset in bytes from the start of the item that is wrong.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The bytes end inside an item.
    Truncated,
    /// Bytes follow the one item that was expected.
    Trailing,
    /// An integer, a length or a decimal is not in its shortest form.
    NonMinimal,
    /// A string, an array or a map has no length in front.
    Indefinite,
    /// A float, which canonical values do not contain.
    Float,
    /// A simple value other than false, true and null, or a reserved head.
    Reserved,
    /// A tag other than 4 (decimal fraction) and, inside it, 2 and 3.
    Tag,
    /// A text that is not UTF-8.
    Utf8,
    /// A map's keys are not in bytewise order of their encoded form.
    KeyOrder,
    /// A map holds a key twice.
    KeyTwice,
    /// Items are nested deeper than [`super::DEPTH_MAX`].
    Depth,
    /// An integer beyond 64 bits, or a decimal beyond 34 digits or the exponents of decimal128.
    Range,
    /// An item of another type than the reader expects.
    Type,
    /// A value of a serde type that has no canonical form: a float, or a failure of its own.
    Unsupported,
}

impl CborError {
    /// Returns the stable code of this refusal.
    pub const fn code(&self) -> &'static str {
        match self.problem {
            Problem::Truncated => "cbor.truncated",
            Problem::Trailing => "cbor.trailing",
            Problem::NonMinimal => "cbor.non_minimal",
            Problem::Indefinite => "cbor.indefinite",
            Problem::Float => "cbor.float",
            Problem::Reserved => "cbor.reserved",
            Problem::Tag => "cbor.tag",
            Problem::Utf8 => "cbor.utf8",
            Problem::KeyOrder => "cbor.key_order",
            Problem::KeyTwice => "cbor.key_twice",
            Problem::Depth => "cbor.depth",
            Problem::Range => "cbor.range",
            Problem::Type => "cbor.type",
            Problem::Unsupported => "cbor.unsupported",
        }
    }
}

impl fmt::Display for CborError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.problem {
            Problem::Truncated => "the bytes end inside an item",
            Problem::Trailing => "bytes follow the item",
            Problem::NonMinimal => "a number or length is not in its shortest form",
            Problem::Indefinite => "an item of indefinite length",
            Problem::Float => "a float, which values never contain",
            Problem::Reserved => "a simple value other than false, true and null",
            Problem::Tag => "a tag that values never contain",
            Problem::Utf8 => "a text that is not UTF-8",
            Problem::KeyOrder => "map keys out of order",
            Problem::KeyTwice => "a map key that stands twice",
            Problem::Depth => "items nested too deeply",
            Problem::Range => "a number out of range",
            Problem::Type => "an item of another type than expected",
            Problem::Unsupported => "a value without a canonical form",
        };
        write!(f, "{what}, at byte {}", self.offset)
    }
}

impl core::error::Error for CborError {}
