//! Reads CBOR item by item without recursion.
//!
//! Strict: every head must be the shortest, so what was read is canonical (map order is the caller's or `check`'s to see).
//! Lenient, for guest output only: longer heads pass; floats, indefinite lengths and unknown tags are refused all
//! the same.

use super::error::{CborError, Problem};

/// The head of one item, with the content of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head<'a> {
    /// An unsigned integer.
    Uint(u64),
    /// A negative integer, as `-1 - n`.
    Nint(u64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text.
    Text(&'a str),
    /// An array of so many items, which follow.
    Array(usize),
    /// A map of so many entries, which follow.
    Map(usize),
    /// A tag on the item that follows.
    Tag(u64),
    /// False or true.
    Bool(bool),
    /// Null.
    Null,
}

/// A cursor over bytes that hold CBOR.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    lenient: bool,
}

/// Largest count of digits of a decimal's mantissa.
const MANTISSA_MAX: u128 = 9_999_999_999_999_999_999_999_999_999_999_999;

impl<'a> Reader<'a> {
    /// Starts at the first byte and accepts shortest heads only.
    pub const fn strict(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, lenient: false }
    }

    /// Starts at the first byte and accepts heads that are longer than needed.
    pub const fn lenient(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, lenient: true }
    }

    /// Returns the offset of the next byte.
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// Returns the bytes from `start` to here.
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// Returns the bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Makes an error at `offset`.
    pub const fn error(offset: usize, problem: Problem) -> CborError {
        CborError { offset, problem }
    }

    /// Ends reading: refuses bytes that follow.
    ///
    /// # Errors
    /// [`Problem::Trailing`] where bytes are left.
    pub fn end(&self) -> Result<(), CborError> {
        if self.rest().is_empty() { Ok(()) } else { Err(Self::error(self.at, Problem::Trailing)) }
    }

    /// Takes `len` raw bytes.
    fn take(&mut self, len: u64) -> Result<&'a [u8], CborError> {
        let truncated = Self::error(self.at, Problem::Truncated);
        let len = usize::try_from(len).map_err(|_| truncated)?;
        let end = self.at.checked_add(len).ok_or(truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(truncated)?;
        self.at = end;
        Ok(taken)
    }

    /// Reads the argument of a head whose low five bits are `low`.
    fn argument(&mut self, start: usize, low: u8) -> Result<u64, CborError> {
        let (value, least) = match low {
            0..=23 => return Ok(u64::from(low)),
            24 => (self.big_endian(1)?, 24),
            25 => (self.big_endian(2)?, 0x100),
            26 => (self.big_endian(4)?, 0x1_0000),
            27 => (self.big_endian(8)?, 0x1_0000_0000),
            31 => return Err(Self::error(start, Problem::Indefinite)),
            _ => return Err(Self::error(start, Problem::Reserved)),
        };
        if value < least && !self.lenient {
            return Err(Self::error(start, Problem::NonMinimal));
        }
        Ok(value)
    }

    fn big_endian(&mut self, len: u64) -> Result<u64, CborError> {
        Ok(self.take(len)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// Reads a count of items and refuses one that the remaining bytes cannot hold.
    fn count(&self, start: usize, count: u64) -> Result<usize, CborError> {
        let count = usize::try_from(count).ok().filter(|count| *count <= self.rest().len());
        count.ok_or(Self::error(start, Problem::Truncated))
    }

    /// Reads the next head, and the content of a string.
    ///
    /// # Errors
    /// Everything in [`Problem`] that one head can show.
    pub fn head(&mut self) -> Result<Head<'a>, CborError> {
        let start = self.at;
        let first = *self.take(1)?.first().ok_or(Self::error(start, Problem::Truncated))?;
        let low = first & 0x1f;
        if first >> 5 == 7 {
            return match low {
                20 => Ok(Head::Bool(false)),
                21 => Ok(Head::Bool(true)),
                22 => Ok(Head::Null),
                25..=27 => Err(Self::error(start, Problem::Float)),
                31 => Err(Self::error(start, Problem::Indefinite)),
                _ => Err(Self::error(start, Problem::Reserved)),
            };
        }
        let argument = self.argument(start, low)?;
        Ok(match first >> 5 {
            0 => Head::Uint(argument),
            1 => Head::Nint(argument),
            2 => Head::Bytes(self.take(argument)?),
            3 => {
                let text = core::str::from_utf8(self.take(argument)?);
                Head::Text(text.map_err(|_| Self::error(start, Problem::Utf8))?)
            }
            4 => Head::Array(self.count(start, argument)?),
            5 => Head::Map(self.count(start, argument)?),
            _ => Head::Tag(argument),
        })
    }

    /// Reads the next head without moving.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn peek(&self) -> Result<Head<'a>, CborError> {
        self.clone().head()
    }

    /// Takes `expected` if the next bytes are exactly these, and tells whether they were.
    pub fn take_exact(&mut self, expected: &[u8]) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    /// Takes a null if one comes next, and tells whether one did.
    pub fn take_null(&mut self) -> bool {
        self.take_exact(&[0xf6])
    }

    /// Reads an unsigned integer.
    ///
    /// # Errors
    /// [`Problem::Type`] for another item, or what [`Reader::head`] finds.
    pub fn uint(&mut self) -> Result<u64, CborError> {
        let start = self.at;
        if let Head::Uint(value) = self.head()? { Ok(value) } else { Err(Self::error(start, Problem::Type)) }
    }

    /// Reads a signed integer of 64 bits.
    ///
    /// # Errors
    /// [`Problem::Range`] beyond 64 bits, [`Problem::Type`] for another item, or what [`Reader::head`] finds.
    pub fn int(&mut self) -> Result<i64, CborError> {
        let start = self.at;
        let range = Self::error(start, Problem::Range);
        match self.head()? {
            Head::Uint(value) => i64::try_from(value).map_err(|_| range),
            Head::Nint(value) => i64::try_from(value).map(|value| !value).map_err(|_| range),
            _ => Err(Self::error(start, Problem::Type)),
        }
    }

    /// Reads a byte string.
    ///
    /// # Errors
    /// [`Problem::Type`] for another item, or what [`Reader::head`] finds.
    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let start = self.at;
        if let Head::Bytes(value) = self.head()? { Ok(value) } else { Err(Self::error(start, Problem::Type)) }
    }

    /// Reads a byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// [`Problem::Type`] for another item or length, or what [`Reader::head`] finds.
    pub fn byte_array<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        let start = self.at;
        self.bytes()?.try_into().map_err(|_| Self::error(start, Problem::Type))
    }

    /// Reads a byte string, or none for null.
    ///
    /// # Errors
    /// As [`Reader::bytes`].
    pub fn bytes_or_null(&mut self) -> Result<Option<&'a [u8]>, CborError> {
        if self.take_null() { Ok(None) } else { self.bytes().map(Some) }
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`Problem::Type`] for another item, or what [`Reader::head`] finds.
    pub fn text(&mut self) -> Result<&'a str, CborError> {
        let start = self.at;
        if let Head::Text(value) = self.head()? { Ok(value) } else { Err(Self::error(start, Problem::Type)) }
    }

    /// Reads a text, or none for null.
    ///
    /// # Errors
    /// As [`Reader::text`].
    pub fn text_or_null(&mut self) -> Result<Option<&'a str>, CborError> {
        if self.take_null() { Ok(None) } else { self.text().map(Some) }
    }

    /// Reads a bool.
    ///
    /// # Errors
    /// [`Problem::Type`] for another item, or what [`Reader::head`] finds.
    pub fn bool(&mut self) -> Result<bool, CborError> {
        let start = self.at;
        if let Head::Bool(value) = self.head()? { Ok(value) } else { Err(Self::error(start, Problem::Type)) }
    }

    /// Reads the head of an array and returns its length.
    ///
    /// # Errors
    /// [`Problem::Type`] for another item, or what [`Reader::head`] finds.
    pub fn array(&mut self) -> Result<usize, CborError> {
        let start = self.at;
        if let Head::Array(len) = self.head()? { Ok(len) } else { Err(Self::error(start, Problem::Type)) }
    }

    /// Reads the head of an array of exactly `len` items.
    ///
    /// # Errors
    /// [`Problem::Type`] for another item or length, or what [`Reader::head`] finds.
    pub fn array_of(&mut self, len: usize) -> Result<(), CborError> {
        let start = self.at;
        if self.array()? == len { Ok(()) } else { Err(Self::error(start, Problem::Type)) }
    }

    /// Reads the head of a map and returns its length.
    ///
    /// # Errors
    /// [`Problem::Type`] for another item, or what [`Reader::head`] finds.
    pub fn map(&mut self) -> Result<usize, CborError> {
        let start = self.at;
        if let Head::Map(len) = self.head()? { Ok(len) } else { Err(Self::error(start, Problem::Type)) }
    }

    /// Reads a decimal fraction with its tag, as exponent and mantissa.
    ///
    /// # Errors
    /// [`Problem::NonMinimal`] for trailing zeros or a needless bignum, [`Problem::Range`] beyond 34 digits,
    /// [`Problem::Type`] for another item, or what [`Reader::head`] finds.
    pub fn decimal(&mut self) -> Result<(i64, i128), CborError> {
        let start = self.at;
        if self.head()? != Head::Tag(4) {
            return Err(Self::error(start, Problem::Type));
        }
        self.array_of(2)?;
        let exponent = self.int()?;
        let (negative, magnitude) = match self.head()? {
            Head::Uint(value) => (false, u128::from(value)),
            Head::Nint(value) => (true, u128::from(value)),
            Head::Tag(tag @ (2 | 3)) => (tag == 3, self.bignum(start)?),
            _ => return Err(Self::error(start, Problem::Type)),
        };
        if magnitude > MANTISSA_MAX - u128::from(negative) {
            return Err(Self::error(start, Problem::Range));
        }
        let mantissa = if negative { !magnitude.cast_signed() } else { magnitude.cast_signed() };
        let shortest = if mantissa == 0 { exponent == 0 } else { mantissa % 10 != 0 };
        if !shortest && !self.lenient {
            return Err(Self::error(start, Problem::NonMinimal));
        }
        Ok((exponent, mantissa))
    }

    /// Reads the bytes of a bignum, which are more than eight and start with no zero.
    fn bignum(&mut self, start: usize) -> Result<u128, CborError> {
        let bytes = self.bytes()?;
        let shortest = bytes.len() > 8 && bytes.first() != Some(&0);
        if !shortest && !self.lenient {
            return Err(Self::error(start, Problem::NonMinimal));
        }
        if bytes.len() > 16 {
            return Err(Self::error(start, Problem::Range));
        }
        Ok(bytes.iter().fold(0, |value, byte| value << 8 | u128::from(*byte)))
    }
}
