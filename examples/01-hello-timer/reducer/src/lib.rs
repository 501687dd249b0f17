//! A greeter: says hello when a timer fires, and at once where it gets no timer.
//!
//! The types are those of the world's `air` folder. A reducer has no clock: the world's time is in the context, and a
//! timer is an effect whose answer comes back as the reducer's own event. Read next: `aos_sdk::Step::set_timer`.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use aos_sdk::{EffectFailed, Failed, Next, Reducer, Step, TimerFired, reducer};
use serde::{Deserialize, Serialize};

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// What the greeter remembers, `demo/GreeterState@1`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Who is to be greeted, in the order of asking.
    pub waiting: Vec<String>,
    /// What was said.
    pub said: Vec<String>,
}

/// What happens to it, `demo/GreeterEvent@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Somebody is to be greeted, `demo/GreetingWanted@1`.
    Wanted {
        /// Who.
        name: String,
        /// When, from now.
        delay_ms: u64,
    },
    /// A timer has fired.
    Fired(TimerFired),
    /// There is no timer.
    Failed(EffectFailed),
}

/// The reducer.
#[derive(Debug)]
pub struct Greeter;

impl Reducer for Greeter {
    type State = State;
    type Event = Event;

    fn step(state: Option<State>, event: Event, step: &mut Step<'_>) -> Next<State> {
        let mut state = state.unwrap_or_default();
        match event {
            Event::Wanted { name, delay_ms } => {
                let now_ns = step.context()?.ok_or(Failed("the module asks for the context"))?.logical_now_ns;
                let at_ns = delay_ms.checked_mul(MS).and_then(|delay_ns| now_ns.checked_add(delay_ns));
                // The idempotency key comes back with whatever becomes of the timer, so the answer says whom it is about.
                let timer = step.set_timer(at_ns.ok_or(Failed("that is never"))?, Some(&name))?;
                timer.idempotency_key = Some(name.clone());
                state.waiting.push(name);
            }
            Event::Fired(TimerFired { idempotency_key, .. }) => state.greet(idempotency_key, "")?,
            Event::Failed(EffectFailed { idempotency_key, error, .. }) => {
                let code = error.map_or(String::new(), |error| format!(" (at once: {})", error.code));
                state.greet(idempotency_key, &code)?;
            }
        }
        Ok(Some(state))
    }
}

impl State {
    fn greet(&mut self, name: Option<String>, how: &str) -> Result<(), Failed> {
        let name = name.ok_or(Failed("an answer about nobody"))?;
        self.waiting.retain(|waiting| *waiting != name);
        self.said.push(format!("hello {name}{how}"));
        Ok(())
    }
}

reducer!(Greeter);

#[cfg(test)]
mod tests {
    use aos_sdk::{EffectError, EffectStatus, Hash};

    use super::*;

    fn fired(name: &str) -> Event {
        let idempotency_key = Some(name.into());
        let intent_id = Hash([0; 32]);
        Event::Fired(TimerFired { intent_id, idempotency_key, deliver_at_ns: 1, delivered_at_ns: 2, key: None })
    }

    #[test]
    fn greets_in_the_order_in_which_timers_fire() {
        let mut state = State { waiting: vec!["ann".into(), "bob".into()], said: vec![] };
        for name in ["bob", "ann"] {
            state = Greeter::step(Some(state), fired(name), &mut Step::default()).unwrap().unwrap();
        }
        assert_eq!(state, State { waiting: vec![], said: vec!["hello bob".into(), "hello ann".into()] });
    }

    #[test]
    fn greets_at_once_where_there_is_no_timer() {
        let error = EffectError { code: "budget.exceeded".into(), message: "no".into(), retriable: false };
        let failed = EffectFailed {
            intent_id: Hash([0; 32]),
            idempotency_key: Some("dan".into()),
            kind: "timer.set".into(),
            status: EffectStatus::Denied,
            error: Some(error),
        };
        let state = State { waiting: vec!["dan".into()], said: vec![] };
        let next = Greeter::step(Some(state), Event::Failed(failed), &mut Step::default());
        assert_eq!(
            next,
            Ok(Some(State { waiting: vec![], said: vec!["hello dan (at once: budget.exceeded)".into()] }))
        );
    }

    #[test]
    fn without_the_context_there_is_no_time_to_wait_until() {
        let wanted = Event::Wanted { name: "ann".into(), delay_ms: 5 };
        let next = Greeter::step(None, wanted, &mut Step::default());
        assert_eq!(next, Err(Failed("the module asks for the context")));
    }
}
