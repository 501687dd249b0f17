//! A buyer: reads what suppliers answered and keeps who wants least.
//!
//! Bodies are bytes to a plan; what they mean is for code to say, which is this reducer. The types are those of the
//! world's `air` folder.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::string::String;

use aos_sdk::{Bytes, Next, Reducer, Step, reducer};
use serde::{Deserialize, Serialize};

/// What suppliers want for each item, `demo/BuyerState@1`.
pub type State = BTreeMap<String, Quotes>;

/// What they want for one item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotes {
    /// By supplier, in hundredths.
    pub cents: BTreeMap<String, u64>,
    /// Who wants least.
    pub best: Option<String>,
}

/// What the plan found out, `demo/Offers@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// The item.
    pub item: String,
    /// The suppliers' answers; none from one that did not answer, or not in time.
    pub offers: BTreeMap<String, Option<Bytes>>,
}

/// The reducer.
#[derive(Debug)]
pub struct Buyer;

impl Reducer for Buyer {
    type State = State;
    type Event = Offers;

    fn step(state: Option<State>, Offers { item, offers }: Offers, _: &mut Step<'_>) -> Next<State> {
        let mut quotes = Quotes::default();
        for (supplier, body) in offers {
            // A supplier that answers nonsense has made no offer.
            if let Some(cents) = body.and_then(|body| core::str::from_utf8(&body).ok()?.trim().parse().ok()) {
                quotes.cents.insert(supplier, cents);
            }
        }
        quotes.best = quotes.cents.iter().min_by_key(|(_, cents)| **cents).map(|(supplier, _)| supplier.clone());
        let mut state = state.unwrap_or_default();
        state.insert(item, quotes);
        Ok(Some(state))
    }
}

reducer!(Buyer);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_of_those_who_answered_is_kept() {
        for (answers, best) in [
            ([Some("20"), Some("10\n"), None], Some("south")),
            ([Some("20"), Some("cheap"), Some("30")], Some("north")),
            ([None, Some(""), Some("-1")], None),
        ] {
            let offers = ["north", "south", "west"].into_iter().zip(answers);
            let offers = offers.map(|(name, body)| (name.into(), body.map(|body| Bytes::from(body.as_bytes()))));
            let event = Offers { item: "lamp".into(), offers: offers.collect() };
            let next = Buyer::step(None, event, &mut Step::default()).unwrap().unwrap();
            assert_eq!(next["lamp"].best.as_deref(), best, "{answers:?}");
        }
    }
}
