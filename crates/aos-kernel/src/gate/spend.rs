//! What effects cost, in four dimensions, and the most that one may cost before it has left.

use alloc::vec::Vec;

use aos_air::cbor::{CborError, Reader, write};
use aos_air::def;

/// What was or may be spent. Sums saturate: nothing ever wraps back below a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spend {
    /// Count of effects.
    pub calls: u64,
    /// Tokens of language models.
    pub tokens: u64,
    /// Money, in hundredths.
    pub cents: u64,
    /// Bytes sent and received.
    pub bytes: u64,
}

/// The most that one effect may cost besides its one call; none where that cannot be bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorstCase {
    /// Tokens of language models.
    pub tokens: Option<u64>,
    /// Money, in hundredths.
    pub cents: Option<u64>,
    /// Bytes sent and received.
    pub bytes: Option<u64>,
}

/// A limit by dimension, in the order of [`Spend::by_dimension`].
pub(super) const fn limits(budget: &def::Budget) -> [Option<u64>; 4] {
    [budget.calls, budget.tokens, budget.cents, budget.bytes]
}

/// The words for the dimensions.
pub(super) const DIMENSIONS: [&str; 4] = ["calls", "tokens", "cents", "bytes"];

impl Spend {
    /// Nothing.
    pub const ZERO: Self = Self { calls: 0, tokens: 0, cents: 0, bytes: 0 };

    /// Returns calls, tokens, cents, bytes.
    pub const fn by_dimension(&self) -> [u64; 4] {
        [self.calls, self.tokens, self.cents, self.bytes]
    }

    const fn of([calls, tokens, cents, bytes]: [u64; 4]) -> Self {
        Self { calls, tokens, cents, bytes }
    }

    /// Adds, up to the greatest number in each dimension.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            tokens: self.tokens.saturating_add(other.tokens),
            cents: self.cents.saturating_add(other.cents),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// Takes away, down to zero in each dimension.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            tokens: self.tokens.saturating_sub(other.tokens),
            cents: self.cents.saturating_sub(other.cents),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// Appends the form: an array of the four numbers.
    pub fn write(&self, out: &mut Vec<u8>) {
        write::array(out, 4);
        for number in self.by_dimension() {
            write::uint(out, number);
        }
    }

    /// Reads the form.
    ///
    /// # Errors
    /// Where and how the bytes are not in it.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.array_of(4)?;
        Ok(Self::of([reader.uint()?, reader.uint()?, reader.uint()?, reader.uint()?]))
    }
}

impl WorstCase {
    /// Costs its call and nothing else.
    pub const FREE: Self = Self { tokens: Some(0), cents: Some(0), bytes: Some(0) };
    /// May cost anything.
    pub const UNKNOWN: Self = Self { tokens: None, cents: None, bytes: None };

    /// Returns calls, which is one, tokens, cents, bytes.
    pub const fn by_dimension(&self) -> [Option<u64>; 4] {
        [Some(1), self.tokens, self.cents, self.bytes]
    }

    /// Takes the larger of what both say, and what one says where the other says nothing.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        // No bound is less than any bound.
        Self {
            tokens: self.tokens.max(other.tokens),
            cents: self.cents.max(other.cents),
            bytes: self.bytes.max(other.bytes),
        }
    }

    /// Returns what is held for it under a limit: in a dimension that is not limited only the call.
    pub(super) fn held(&self, budget: &def::Budget) -> Spend {
        let held = |limit: Option<u64>, worst: Option<u64>| if limit.is_some() { worst.unwrap_or_default() } else { 0 };
        Spend {
            calls: 1,
            tokens: held(budget.tokens, self.tokens),
            cents: held(budget.cents, self.cents),
            bytes: held(budget.bytes, self.bytes),
        }
    }
}
