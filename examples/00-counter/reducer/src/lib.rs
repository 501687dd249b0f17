//! A counter: the smallest reducer that does all there is to do. It changes its state, refuses, and raises an event.
//!
//! The types are those of `demo/CounterState@1`, `demo/CounterEvent@1` and `demo/Milestone@1` in the world's `air` folder.
//! Read next: `aos_sdk::Reducer`, for what a step may do.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![forbid(unsafe_code)]

use aos_sdk::{Failed, Next, Reducer, Step, reducer};
use serde::{Deserialize, Serialize};

/// A milestone is raised whenever the count reaches or passes a multiple of this.
pub const MILESTONE_EVERY: u64 = 100;

/// What the counter remembers, `demo/CounterState@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The sum so far.
    pub count: u64,
}

/// What happens to it, `demo/CounterEvent@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Counts up.
    Add(u64),
    /// Counts down.
    Subtract(u64),
    /// Forgets the count: the cell is deleted.
    Reset,
}

/// Raised when the count reaches or passes a multiple of [`MILESTONE_EVERY`], `demo/Milestone@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Milestone {
    /// The multiple, not the count.
    pub count: u64,
}

/// The reducer.
#[derive(Debug)]
pub struct Counter;

impl Reducer for Counter {
    type State = State;
    type Event = Event;

    fn step(state: Option<State>, event: Event, step: &mut Step<'_>) -> Next<State> {
        let before = state.map_or(0, |state| state.count);
        let count = match event {
            Event::Add(n) => before.checked_add(n).ok_or(Failed("the count does not fit 64 bits"))?,
            Event::Subtract(n) => before.checked_sub(n).ok_or(Failed("the count would fall below zero"))?,
            Event::Reset => return Ok(None),
        };
        if count / MILESTONE_EVERY > before / MILESTONE_EVERY {
            step.raise("demo/Milestone@1", &Milestone { count: count - count % MILESTONE_EVERY })?;
        }
        Ok(Some(State { count }))
    }
}

reducer!(Counter);

#[cfg(test)]
mod tests {
    use super::*;

    fn run(count: Option<u64>, event: Event) -> (Next<State>, usize) {
        let mut step = Step::default();
        let next = Counter::step(count.map(|count| State { count }), event, &mut step);
        (next, step.reply().domain_events.len())
    }

    #[test]
    fn counts_refuses_and_raises_milestones() {
        for (count, event, next, raised) in [
            (None, Event::Add(2), Ok(Some(2)), 0),
            (Some(2), Event::Add(97), Ok(Some(99)), 0),
            (Some(99), Event::Add(1), Ok(Some(100)), 1),
            (Some(99), Event::Add(500), Ok(Some(599)), 1),
            (Some(100), Event::Subtract(100), Ok(Some(0)), 0),
            (None, Event::Subtract(1), Err(Failed("the count would fall below zero")), 0),
            (Some(u64::MAX), Event::Add(1), Err(Failed("the count does not fit 64 bits")), 0),
            (Some(7), Event::Reset, Ok(None), 0),
        ] {
            let expected = next.map(|next| next.map(|count| State { count }));
            assert_eq!(run(count, event.clone()), (expected, raised), "{count:?} {event:?}");
        }
    }

    #[test]
    fn a_milestone_names_the_multiple_that_was_passed() {
        let mut step = Step::default();
        assert!(Counter::step(Some(State { count: 150 }), Event::Add(90), &mut step).is_ok());
        let raised: Option<Result<Milestone, Failed>> = step.raised("demo/Milestone@1").next();
        assert_eq!(raised, Some(Ok(Milestone { count: 200 })));
    }
}
