//! A fetcher that tries again: twice as long a pause after each failed attempt, a little of it by chance, four attempts.
//!
//! The rhythm is the reducer's, because it is logic: it raises an event that starts one attempt, and sets a timer for the
//! next one. Each job is a cell of its own. The types are those of the world's `air` folder.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use aos_sdk::{EffectFailed, Failed, Next, Reducer, Step, TimerFired, reducer};
use serde::{Deserialize, Serialize};

/// Most attempts of a job.
pub const ATTEMPTS_MAX: u64 = 4;
/// The pause after the first attempt, in nanoseconds; it doubles with each further one.
pub const PAUSE_NS: u64 = 80_000_000;

/// What is known of one job, `demo/FetcherState@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What is to be fetched.
    pub url: String,
    /// How often that was tried.
    pub attempts: u64,
    /// How it stands.
    pub phase: Phase,
}

/// How a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// An attempt is under way.
    Trying,
    /// The next attempt waits for its timer.
    Pausing,
    /// It is fetched.
    Done,
    /// It is not, and there will be no further attempt.
    GivenUp {
        /// Why.
        why: String,
    },
}

/// What happens to a job, `demo/FetcherEvent@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It begins.
    Job {
        /// Its name, which is the cell's key.
        id: String,
        /// What is to be fetched.
        url: String,
    },
    /// An attempt has ended.
    Ended {
        /// The job.
        id: String,
        /// How.
        result: Attempt,
    },
    /// The pause is over.
    Fired(TimerFired),
    /// There is no timer for a pause.
    NoTimer(EffectFailed),
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attempt {
    /// The service answered.
    Answered {
        /// The HTTP status.
        status: i64,
    },
    /// There was no answer.
    Failed {
        /// Why.
        code: String,
        /// Whether it may go well another time.
        retriable: bool,
    },
}

/// Starts an attempt, `demo/AttemptWanted@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptWanted {
    /// The job.
    pub id: String,
    /// What is to be fetched.
    pub url: String,
}

/// The reducer.
#[derive(Debug)]
pub struct Fetcher;

impl Reducer for Fetcher {
    type State = State;
    type Event = Event;

    fn step(state: Option<State>, event: Event, step: &mut Step<'_>) -> Next<State> {
        let job = match (state, event) {
            (None, Event::Job { url, .. }) => return attempt(State { url, attempts: 0, phase: Phase::Trying }, step),
            (Some(job), Event::Fired(_)) => return attempt(job, step),
            (Some(_), Event::Job { .. }) => return Err(Failed("there is a job of this name")),
            (None, _) => return Err(Failed("there is no such job")),
            (Some(job), Event::NoTimer(failed)) => {
                let why = failed.error.map_or(String::new(), |error| error.code);
                State { phase: Phase::GivenUp { why }, ..job }
            }
            (Some(job), Event::Ended { result, .. }) => State { phase: next(result, job.attempts), ..job },
        };
        if job.phase == Phase::Pausing {
            let context = step.context()?.ok_or(Failed("the module asks for the context"))?;
            let pause_ns = pause_ns(job.attempts, context.entropy.first().copied().unwrap_or_default());
            step.set_timer(context.logical_now_ns.saturating_add(pause_ns), None)?;
        }
        Ok(Some(job))
    }
}

/// Begins the next attempt.
fn attempt(job: State, step: &mut Step<'_>) -> Next<State> {
    let id = step.key()?.ok_or(Failed("a job has a name"))?;
    step.raise("demo/AttemptWanted@1", &AttemptWanted { id, url: job.url.clone() })?;
    Ok(Some(State { attempts: job.attempts + 1, phase: Phase::Trying, ..job }))
}

/// Says what follows from an attempt: success, a pause, or that it is no use.
fn next(result: Attempt, attempts: u64) -> Phase {
    let why = match result {
        Attempt::Answered { status: 200..=299 } => return Phase::Done,
        Attempt::Answered { status: 500..=599 } | Attempt::Failed { retriable: true, .. }
            if attempts < ATTEMPTS_MAX =>
        {
            return Phase::Pausing;
        }
        Attempt::Answered { status } => format!("the service answered {status}"),
        Attempt::Failed { code, .. } => code,
    };
    Phase::GivenUp { why }
}

/// Returns the pause after an attempt: doubled each time, and up to a quarter more by chance, so that many worlds do not
/// come back at once. The chance is the context's, so a replay has the same.
fn pause_ns(attempts: u64, chance: u8) -> u64 {
    let pause_ns = PAUSE_NS << attempts.saturating_sub(1).min(16);
    pause_ns + pause_ns / 4 * u64::from(chance) / 255
}

reducer!(Fetcher);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_ends_in_success_a_pause_or_for_good() {
        let given_up = |why: &str| Phase::GivenUp { why: why.into() };
        let failed = |retriable| Attempt::Failed { code: "http.timeout".into(), retriable };
        for (result, attempts, phase) in [
            (Attempt::Answered { status: 204 }, 4, Phase::Done),
            (Attempt::Answered { status: 503 }, 3, Phase::Pausing),
            (Attempt::Answered { status: 503 }, 4, given_up("the service answered 503")),
            (Attempt::Answered { status: 404 }, 1, given_up("the service answered 404")),
            (failed(true), 1, Phase::Pausing),
            (failed(true), 4, given_up("http.timeout")),
            (failed(false), 1, given_up("http.timeout")),
        ] {
            assert_eq!(next(result.clone(), attempts), phase, "{result:?} {attempts}");
        }
    }

    #[test]
    fn pauses_double_and_vary_by_a_quarter() {
        for (attempts, chance, factor) in [(1, 0, 4), (1, 255, 5), (2, 0, 8), (3, 255, 20)] {
            assert_eq!(pause_ns(attempts, chance), PAUSE_NS / 4 * factor, "{attempts} {chance}");
        }
        assert!(pause_ns(u64::MAX, 255) < u64::MAX / 2);
    }

    #[test]
    fn a_job_begins_once_with_its_first_attempt() {
        let begin = || Event::Job { id: "a".into(), url: "u".into() };
        let mut step = Step::new(Some(b"\x61a"), None);
        let job = State { url: "u".into(), attempts: 1, phase: Phase::Trying };
        assert_eq!(Fetcher::step(None, begin(), &mut step), Ok(Some(job.clone())));
        let raised: Vec<_> = step.raised("demo/AttemptWanted@1").collect();
        assert_eq!(raised, [Ok(AttemptWanted { id: "a".into(), url: "u".into() })]);
        let again = Fetcher::step(Some(job), begin(), &mut Step::default());
        assert_eq!(again, Err(Failed("there is a job of this name")));
    }
}
