//! A travel agency that keeps how each trip ended.
//!
//! The saga is the plan's: `air/book.air.json`. The types are those of the world's `air` folder.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;

use aos_sdk::{Failed, Next, Reducer, Step, reducer};
use serde::{Deserialize, Serialize};

/// How a trip ended, `demo/TripEnded@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TripEnded {
    /// The trip.
    pub trip: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// How the saga came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Everything is booked.
    Booked,
    /// Nothing is: what was booked was undone.
    Cancelled {
        /// Why.
        why: String,
    },
}

/// The reducer.
#[derive(Debug)]
pub struct Agency;

impl Reducer for Agency {
    type State = Vec<TripEnded>;
    type Event = TripEnded;

    fn step(state: Option<Vec<TripEnded>>, event: TripEnded, _: &mut Step<'_>) -> Next<Vec<TripEnded>> {
        let mut trips = state.unwrap_or_default();
        if trips.iter().any(|ended| ended.trip == event.trip) {
            return Err(Failed("a trip ends once"));
        }
        trips.push(event);
        Ok(Some(trips))
    }
}

reducer!(Agency);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trip_ends_once() {
        let rome = TripEnded { trip: "rome".into(), outcome: Outcome::Booked };
        let bern = Outcome::Cancelled { why: "nobody confirmed it".into() };
        let bern = TripEnded { trip: "bern".into(), outcome: bern };
        let first = Agency::step(None, rome.clone(), &mut Step::default()).unwrap();
        let second = Agency::step(first, bern.clone(), &mut Step::default()).unwrap();
        assert_eq!(second, Some(vec![rome, bern.clone()]));
        assert_eq!(Agency::step(second, bern, &mut Step::default()), Err(Failed("a trip ends once")));
    }
}
