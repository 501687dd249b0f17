//! Timers: no thread and no clock, only a queue that the driver asks.
//!
//! The world's state is the truth about which timers are open; after a restart the driver pushes them again. Ties break
//! by the place of the intent in the world's history, so the order never depends on a container.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Answer, Cost, Effect, Failed, IntentId};
use crate::dispatch::{Ending, Finished, close};
use crate::keys::Signer;

/// The adapter's name.
pub const NAME: &str = "timer";
/// The only kind of effect that it performs.
const KIND: &str = "timer.set";

/// `sys/TimerSetParams@1`.
#[derive(Deserialize)]
struct Params {
    deliver_at_ns: u64,
    key: Option<String>,
}

/// `sys/TimerSetReceipt@1`.
#[derive(Serialize)]
struct Receipt<'a> {
    delivered_at_ns: u64,
    key: Option<&'a str>,
}

/// Where an intent stands in its world's history: the height of the frame that asked, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The height.
    pub height: u64,
    /// Which of the frame's intents.
    pub ordinal: u64,
}

/// The open timers of one world.
#[derive(Debug, Default)]
pub struct Timers {
    // INVARIANT: `queue` and `by_intent` hold the same intents.
    queue: BTreeMap<(u64, Place, IntentId), Timer>,
    by_intent: BTreeMap<IntentId, (u64, Place, IntentId)>,
}

#[derive(Debug)]
struct Timer {
    effect: Effect,
    key: Option<String>,
    signer: Arc<Signer>,
}

impl Timers {
    /// Sets the timer of a `timer.set`. One that is already there stays as it is.
    ///
    /// # Errors
    /// `adapter.kind` for another kind, `adapter.params` where the params are not those of a timer.
    pub fn push(&mut self, effect: Effect, place: Place, signer: Arc<Signer>) -> Result<(), Failed> {
        if effect.kind != KIND {
            return Err(effect.unknown_kind());
        }
        let Params { deliver_at_ns, key } = effect.params()?;
        let intent = effect.intent;
        if let Entry::Vacant(vacant) = self.by_intent.entry(intent) {
            vacant.insert((deliver_at_ns, place, intent));
            self.queue.insert((deliver_at_ns, place, intent), Timer { effect, key, signer });
        }
        Ok(())
    }

    /// Returns when the next timer is due, in nanoseconds of the world's clock.
    pub fn next_due(&self) -> Option<u64> {
        self.queue.keys().next().map(|(deliver_at_ns, ..)| *deliver_at_ns)
    }

    /// Ends all timers that are due at `now_ns`, in the order of their times, then of their places.
    pub fn due(&mut self, now_ns: u64) -> Vec<Finished> {
        let mut due = Vec::new();
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= now_ns) {
            let (_, timer) = entry.remove_entry();
            self.by_intent.remove(&timer.effect.intent);
            due.push(timer.deliver(now_ns));
        }
        due
    }

    /// Ends a timer as cancelled; `None` if there is none.
    pub fn cancel(&mut self, intent: IntentId, now_ns: u64) -> Option<Finished> {
        let timer = self.queue.remove(&self.by_intent.remove(&intent)?)?;
        let failed = Failed::cancelled("adapter.cancelled", "the timer was called off");
        Some(timer.end(&failed, now_ns))
    }

    /// Returns how many timers are open.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns whether no timer is open.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Timer {
    fn deliver(self, now_ns: u64) -> Finished {
        match Answer::of(&Receipt { delivered_at_ns: now_ns, key: self.key.as_deref() }) {
            Ok(Answer { payload, cost }) => {
                close(&self.effect, &self.signer, Ending::answer(payload, cost, Vec::new(), now_ns))
            }
            Err(failed) => self.end(&failed, now_ns),
        }
    }

    fn end(self, failed: &Failed, now_ns: u64) -> Finished {
        close(&self.effect, &self.signer, Ending::failure(failed.status(), failed, 0, Cost::default(), now_ns))
    }
}
