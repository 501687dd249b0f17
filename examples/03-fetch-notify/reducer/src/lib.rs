//! A desk that keeps what became of each topic.
//!
//! All that happens outside is the plan's business; the reducer gets to know the end. The types are those of the world's
//! `air` folder.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;

use aos_sdk::{EffectStatus, Next, Reducer, Step, reducer};
use serde::{Deserialize, Serialize};

/// What became of a topic, `demo/Outcome@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The topic.
    pub topic: String,
    /// What became of it.
    pub result: Ending,
}

/// How the plan ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The inbox was told.
    Told {
        /// What it answered.
        status: i64,
    },
    /// The feed is not there.
    Absent {
        /// What its server answered.
        status: i64,
    },
    /// The feed could not be had.
    Failed {
        /// How the effect ended.
        status: EffectStatus,
        /// Why.
        code: String,
    },
}

/// The reducer.
#[derive(Debug)]
pub struct Desk;

impl Reducer for Desk {
    type State = Vec<Outcome>;
    type Event = Outcome;

    fn step(state: Option<Vec<Outcome>>, event: Outcome, _: &mut Step<'_>) -> Next<Vec<Outcome>> {
        let mut outcomes = state.unwrap_or_default();
        outcomes.push(event);
        Ok(Some(outcomes))
    }
}

reducer!(Desk);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_kept_in_order() {
        let told = Outcome { topic: "a".into(), result: Ending::Told { status: 202 } };
        let failed = Ending::Failed { status: EffectStatus::Denied, code: "http.host".into() };
        let failed = Outcome { topic: "b".into(), result: failed };
        let first = Desk::step(None, told.clone(), &mut Step::default()).unwrap();
        assert_eq!(Desk::step(first, failed.clone(), &mut Step::default()), Ok(Some(vec![told, failed])));
    }
}
