//! The ledger of one grant's name: what is spent, what is held for effects that are out, and whether it is blocked.
//!
//! Lives here: the arithmetic, which saturates and never wraps. The limit comes from the manifest in force, so the
//! ledger outlives every manifest. Never here: which effect a reservation belongs to (the world's step keeps that).

use alloc::format;
use alloc::vec::Vec;

use aos_air::cbor::{CborError, Reader, write};
use aos_air::def;

use super::spend::{DIMENSIONS, limits};
use super::{Denied, Spend, WorstCase};

/// The ledger of one grant's name.
// INVARIANT: at each reservation that succeeds, spent + reserved <= limit in every dimension that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// What ended effects have cost.
    pub spent: Spend,
    /// What is held for effects that have not ended.
    pub reserved: Spend,
    /// Whether an effect has cost more than was held for it. Only a governed change of the budget lifts that.
    pub blocked: bool,
}

/// What the end of an effect did to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// What was booked as spent.
    pub booked: Spend,
    /// Whether that is more than was held, in a dimension with a limit: `budget.overrun`.
    pub is_overrun: bool,
}

impl Budget {
    /// Holds the worst case of one effect, and returns what is held.
    ///
    /// A grant without a budget has an empty limit; its calls are counted all the same.
    ///
    /// # Errors
    /// `budget.overrun` while the grant is blocked, `budget.unbounded` where a limited dimension has no worst case,
    /// `budget.exceeded` where too little is left. Nothing is held then.
    pub fn reserve(&mut self, limit: &def::Budget, worst: &WorstCase) -> Result<Spend, Denied> {
        if self.blocked {
            let message = "an earlier effect under this grant cost more than was held for it";
            return Err(Denied::new("budget.overrun", message));
        }
        let used = self.spent.plus(self.reserved).by_dimension().into_iter();
        let dimensions = limits(limit).into_iter().zip(used).zip(worst.by_dimension()).zip(DIMENSIONS);
        for (((limit, used), worst), dimension) in dimensions {
            let Some(limit) = limit else { continue };
            let Some(worst) = worst else {
                let message = format!("the grant limits {dimension}, and what this effect may cost has no bound");
                return Err(Denied::new("budget.unbounded", message));
            };
            // Where more is used than a limit that was lowered, not even an effect that costs nothing leaves.
            if used.checked_add(worst).is_none_or(|total| total > limit) {
                let left = limit.saturating_sub(used);
                let message = format!("the effect may cost {worst} {dimension}, and the grant has {left} left");
                return Err(Denied::new("budget.exceeded", message));
            }
        }
        let held = worst.held(limit);
        self.reserved = self.reserved.plus(held);
        Ok(held)
    }

    /// Ends an effect: gives back what was held and books what it cost.
    ///
    /// An effect whose cost nobody knows is booked in full, by `cost = held`; one that never left costs [`Spend::ZERO`].
    pub fn settle(&mut self, limit: &def::Budget, held: Spend, cost: Spend) -> Settled {
        self.reserved = self.reserved.minus(held);
        self.book(limit, held, cost)
    }

    /// Takes a late receipt of an effect that ended before: what was booked then is taken back, and its cost booked.
    pub fn settle_again(&mut self, limit: &def::Budget, booked: Spend, cost: Spend) -> Settled {
        self.spent = self.spent.minus(booked);
        // What was booked at an end without a receipt is what was held.
        self.book(limit, booked, cost)
    }

    fn book(&mut self, limit: &def::Budget, held: Spend, cost: Spend) -> Settled {
        let pairs = limits(limit).into_iter().zip(held.by_dimension().into_iter().zip(cost.by_dimension()));
        let is_overrun = pairs.into_iter().any(|(limit, (held, cost))| limit.is_some() && cost > held);
        self.spent = self.spent.plus(cost);
        self.blocked |= is_overrun;
        Settled { booked: cost, is_overrun }
    }

    /// Returns what is left in calls, tokens, cents, bytes; none in a dimension without a limit.
    pub fn left(&self, limit: &def::Budget) -> [Option<u64>; 4] {
        let used = self.spent.plus(self.reserved).by_dimension();
        let mut left = limits(limit);
        for (left, used) in left.iter_mut().zip(used) {
            *left = left.map(|limit| limit.saturating_sub(used));
        }
        left
    }

    /// Returns the form: `[spent, reserved, blocked]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        write::array(&mut out, 3);
        self.spent.write(&mut out);
        self.reserved.write(&mut out);
        write::bool(&mut out, self.blocked);
        out
    }

    /// Reads the form.
    ///
    /// # Errors
    /// Where and how the bytes are not in it.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        reader.array_of(3)?;
        let (spent, reserved) = (Spend::read(&mut reader)?, Spend::read(&mut reader)?);
        let blocked = reader.bool()?;
        reader.end()?;
        Ok(Self { spent, reserved, blocked })
    }
}
