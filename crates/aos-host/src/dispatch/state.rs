//! Which effects are open, where each one stands, and what follows from what happened to it. All under one lock.
//!
//! An effect is queued, running, or waiting for a further try, and then gone. Never here: threads, an adapter's code.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempt::{Answered, Try};
use super::close::{Ending, close};
use super::{Finished, LOST_MAX, Options, Order, Rest, StartError, now_ns};
use crate::adapter::{Cancellation, Class, Cost, Failed, IntentId, Status};

/// How soon a thread is asked for again where the system gave none.
const THREAD_AGAIN: Duration = Duration::from_millis(100);

/// How far a dispatcher's life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Nothing begins any more.
    Closing,
    /// Nobody listens any more.
    Ended,
}

pub(super) struct State {
    options: Options,
    phase: Phase,
    tasks: BTreeMap<IntentId, Task>,
    lanes: BTreeMap<String, Lane>,
    // INVARIANT: holds each task's `due`, if it has one.
    timeline: BTreeSet<(Instant, IntentId)>,
    thread_again: Option<Instant>,
    finished: Vec<Finished>,
    released: Vec<IntentId>,
    tries: u64,
}

/// One adapter's queue and threads.
#[derive(Default)]
struct Lane {
    concurrency: usize,
    queue: VecDeque<IntentId>,
    /// Threads that take from the queue.
    workers: usize,
    /// Those of them that were begun and have not taken anything yet.
    starting: usize,
    /// Threads that were given up and have not come back.
    lost: usize,
}

/// An open effect.
struct Task {
    order: Arc<Order>,
    stage: Stage,
    due: Option<Instant>,
    /// Set by the first try.
    begun: Option<Begun>,
    tries: u32,
    /// Why the last try has no answer: the end, if there is no further one.
    last: Option<Failed>,
    /// Whether something may have happened outside in any try.
    sent: bool,
    cost: Cost,
    cancellation: Cancellation,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    at_ns: u64,
    deadline: Instant,
}

enum Stage {
    Queued,
    Running { number: u64 },
    Waiting,
}

impl State {
    pub(super) fn new(lanes: impl Iterator<Item = (String, usize)>, options: Options) -> Self {
        Self {
            options,
            phase: Phase::Open,
            tasks: BTreeMap::new(),
            lanes: lanes.map(|(name, concurrency)| (name, Lane { concurrency, ..Lane::default() })).collect(),
            timeline: BTreeSet::new(),
            thread_again: None,
            finished: Vec::new(),
            released: Vec::new(),
            tries: 0,
        }
    }

    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn open(&self) -> usize {
        self.tasks.len()
    }

    pub(super) const fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    pub(super) fn take_finished(&mut self) -> Vec<Finished> {
        core::mem::take(&mut self.finished)
    }

    /// Queues an effect, or ends it where there is nobody to perform it.
    pub(super) fn start(&mut self, order: Order) -> Result<(), StartError> {
        let intent = order.effect.intent;
        if self.phase != Phase::Open {
            return Err(StartError::Closed);
        }
        if self.tasks.contains_key(&intent) {
            return Err(StartError::Twice(intent));
        }
        let task = Task {
            order: Arc::new(order),
            stage: Stage::Queued,
            due: None,
            begun: None,
            tries: 0,
            last: None,
            sent: false,
            cost: Cost::default(),
            cancellation: Cancellation::default(),
        };
        let adapter = task.order.effect.adapter();
        match self.lanes.get_mut(adapter) {
            Some(lane) => {
                lane.queue.push_back(intent);
                self.tasks.insert(intent, task);
            }
            None => {
                let missing = Failed::new("adapter.missing", format!("this node has no adapter `{adapter}`"));
                self.finished.push(task.end(missing));
            }
        }
        Ok(())
    }

    /// Takes a place for a thread of a lane that has work and room, and returns the lane.
    pub(super) fn lane_with_room(&mut self) -> Option<String> {
        self.thread_again = self.thread_again.filter(|again| self.phase == Phase::Open && Instant::now() < *again);
        if self.phase != Phase::Open || self.thread_again.is_some() {
            return None;
        }
        let stuck: Vec<IntentId> = self
            .lanes
            .values_mut()
            .filter(|lane| lane.lost >= LOST_MAX)
            .flat_map(|lane| lane.queue.drain(..))
            .collect();
        for intent in stuck {
            self.end_task(intent, Failed::new("adapter.stuck", "too many tries of the adapter did not come back"));
        }
        let has_room = |lane: &Lane| lane.workers < lane.concurrency && lane.starting < lane.queue.len();
        let (name, lane) = self.lanes.iter_mut().find(|(_, lane)| has_room(lane))?;
        lane.workers += 1;
        lane.starting += 1;
        Some(name.clone())
    }

    /// Gives a thread's place back that the system did not give.
    pub(super) fn no_thread(&mut self, adapter: &str) {
        if let Some(lane) = self.lanes.get_mut(adapter) {
            lane.workers -= 1;
            lane.starting -= 1;
        }
        self.thread_again = Some(Instant::now() + THREAD_AGAIN);
    }

    /// Gives a new thread of a lane its first try, as [`State::next_try`] does.
    pub(super) fn first_try(&mut self, adapter: &str) -> Option<Try> {
        self.lanes.get_mut(adapter)?.starting -= 1;
        self.next_try(adapter)
    }

    /// Gives a thread of a lane its next try, or takes the thread's place back.
    pub(super) fn next_try(&mut self, adapter: &str) -> Option<Try> {
        while let Some(intent) = self.lanes.get_mut(adapter)?.queue.pop_front() {
            // One that was called off, and perhaps begun anew, is still in the queue.
            let task = self.tasks.get_mut(&intent).filter(|task| matches!(task.stage, Stage::Queued));
            let Some(task) = task else { continue };
            let begun = *task.begun.get_or_insert_with(|| {
                let time = self.options.deadlines.get(adapter).copied().unwrap_or(self.options.deadline);
                Begun { at_ns: now_ns(), deadline: Instant::now() + time }
            });
            // A further try whose turn comes too late is none.
            if begun.deadline <= Instant::now()
                && let Some(last) = task.last.take()
            {
                self.end_task(intent, last);
                continue;
            }
            self.tries += 1;
            let number = self.tries;
            let before = task.tries;
            task.tries += 1;
            task.stage = Stage::Running { number };
            let order = Arc::clone(&task.order);
            let cancellation = task.cancellation.clone();
            set_due(&mut self.timeline, intent, task, Some(begun.deadline + self.options.overdue));
            return Some(Try {
                number,
                before,
                deadline: begun.deadline,
                started_ns: begun.at_ns,
                order,
                cancellation,
            });
        }
        self.lanes.get_mut(adapter)?.workers -= 1;
        None
    }

    /// Takes the result of a try. Returns false where its thread was given up meanwhile and has to go.
    pub(super) fn tried(&mut self, done: &Try, result: Result<Answered, Failed>) -> bool {
        let intent = done.order.effect.intent;
        let open = self.tasks.get(&intent).filter(|task| task.is_running(done.number));
        if open.is_none() {
            self.late(done, result);
            return false;
        }
        match result {
            Ok(answered) => {
                if let Some(task) = self.remove(intent) {
                    self.finished.push(task.answer(answered));
                }
            }
            Err(failed) => self.failed(intent, failed),
        }
        true
    }

    /// Takes a result that comes after the end: an answer is still told, so that the world can book it.
    fn late(&mut self, done: &Try, result: Result<Answered, Failed>) {
        let effect = &done.order.effect;
        if let Some(lane) = self.lanes.get_mut(effect.adapter()) {
            lane.lost = lane.lost.saturating_sub(1);
        }
        match result {
            Ok(answered) if self.phase != Phase::Ended => {
                let ending = answered.into_ending(Cost::default(), done.started_ns);
                self.finished.push(close(effect, &done.order.signer, ending));
            }
            Ok(_) => tracing::warn!(intent = %effect.intent, "an answer came after the dispatcher's end"),
            Err(failed) => {
                tracing::warn!(intent = %effect.intent, code = %failed.code, "a try came back after its effect's end");
            }
        }
    }

    /// Takes a failure of a running try: another try, an end, or, while closing, neither.
    fn failed(&mut self, intent: IntentId, failed: Failed) {
        let Some(task) = self.tasks.get_mut(&intent) else { return };
        task.sent |= failed.sent;
        task.cost = task.cost.plus(failed.cost);
        let may_repeat = task.order.effect.class != Class::Once;
        if self.phase != Phase::Open && may_repeat && (failed.retriable || failed.status() != Status::Failed) {
            self.release(intent);
            return;
        }
        let is_paid = task.order.limited.holds(task.cost);
        if may_repeat && failed.retriable && !is_paid && !task.cancellation.is_cancelled() {
            let again = Instant::now() + backoff(&self.options, task.tries);
            if task.begun.is_some_and(|begun| again < begun.deadline) {
                tracing::debug!(%intent, code = %failed.code, tries = task.tries, "an effect is tried again");
                task.stage = Stage::Waiting;
                task.last = Some(failed);
                set_due(&mut self.timeline, intent, task, Some(again));
                return;
            }
        }
        self.end_task(intent, failed);
    }

    /// Calls an effect off.
    pub(super) fn cancel(&mut self, intent: IntentId) -> bool {
        let Some(task) = self.tasks.get(&intent) else { return false };
        task.cancellation.cancel();
        if !matches!(task.stage, Stage::Running { .. }) {
            self.end_task(intent, Failed::cancelled("adapter.cancelled", "the effect was called off"));
        }
        true
    }

    /// Does what is due.
    pub(super) fn due(&mut self, now: Instant) {
        while let Some((_, intent)) = self.timeline.first().copied().filter(|(due, _)| *due <= now) {
            let Some(task) = self.tasks.get_mut(&intent) else {
                self.timeline.pop_first();
                continue;
            };
            set_due(&mut self.timeline, intent, task, None);
            if matches!(task.stage, Stage::Running { .. }) {
                self.give_up(intent);
            } else {
                task.stage = Stage::Queued;
                if let Some(lane) = self.lanes.get_mut(task.order.effect.adapter()) {
                    // Before those that have not begun: its time is running.
                    lane.queue.push_front(intent);
                }
            }
        }
    }

    /// Returns when something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.timeline.first().map(|(due, _)| *due).into_iter().chain(self.thread_again).min()
    }

    /// Ends an effect whose running try does not come back. Its thread no longer counts.
    fn give_up(&mut self, intent: IntentId) {
        let Some(task) = self.tasks.get(&intent) else { return };
        task.cancellation.cancel();
        let adapter = task.order.effect.adapter();
        tracing::warn!(%intent, adapter, "a try does not come back; its thread is given up");
        if let Some(lane) = self.lanes.get_mut(adapter) {
            lane.workers -= 1;
            lane.lost += 1;
        }
        self.end_task(intent, Failed::timeout("adapter.overdue", "the adapter did not come back in time").sent());
    }

    /// Lets nothing begin any more: what is not running is released or, of class `once`, ended.
    pub(super) fn close(&mut self) {
        self.phase = Phase::Closing;
        let still: Vec<_> =
            self.tasks.iter().filter(|(_, task)| !matches!(task.stage, Stage::Running { .. })).collect();
        let still: Vec<_> = still.into_iter().map(|(intent, task)| (*intent, task.order.effect.class)).collect();
        for (intent, class) in still {
            if class == Class::Once {
                self.end_task(intent, Failed::cancelled("adapter.shutdown", "the node stopped before it was begun"));
            } else {
                self.release(intent);
            }
        }
    }

    /// Says stop to every try that runs.
    pub(super) fn cancel_running(&self) {
        for task in self.tasks.values() {
            task.cancellation.cancel();
        }
    }

    /// Gives up what still runs.
    pub(super) fn end(&mut self) -> Rest {
        let running: Vec<_> = self.tasks.iter().map(|(intent, task)| (*intent, task.order.effect.class)).collect();
        for (intent, class) in running {
            if class == Class::Once { self.give_up(intent) } else { self.release(intent) }
        }
        self.phase = Phase::Ended;
        Rest { finished: self.take_finished(), released: core::mem::take(&mut self.released) }
    }

    fn release(&mut self, intent: IntentId) {
        if self.remove(intent).is_some() {
            self.released.push(intent);
        }
    }

    fn end_task(&mut self, intent: IntentId, failed: Failed) {
        if let Some(task) = self.remove(intent) {
            self.finished.push(task.end(failed));
        }
    }

    fn remove(&mut self, intent: IntentId) -> Option<Task> {
        let task = self.tasks.remove(&intent)?;
        if let Some(due) = task.due {
            self.timeline.remove(&(due, intent));
        }
        Some(task)
    }
}

impl Task {
    fn is_running(&self, number: u64) -> bool {
        matches!(self.stage, Stage::Running { number: running } if running == number)
    }

    fn started_ns(&self) -> u64 {
        self.begun.map_or_else(now_ns, |begun| begun.at_ns)
    }

    fn answer(self, answered: Answered) -> Finished {
        let ending = answered.into_ending(self.cost, self.started_ns());
        close(&self.order.effect, &self.order.signer, ending)
    }

    fn end(self, failed: Failed) -> Finished {
        let sent = self.sent || failed.sent;
        let status = status_of(self.order.effect.class, sent, failed.status());
        let calls = u64::from(self.tries > 0);
        let ending = Ending::failure(status, &failed, calls, self.cost, self.started_ns());
        close(&self.order.effect, &self.order.signer, ending)
    }
}

/// Returns how an effect ended of which no try has an answer.
pub(super) const fn status_of(class: Class, sent: bool, said: Status) -> Status {
    match (class, said) {
        // Whatever happened outside, it changed nothing.
        (Class::Safe, Status::InDoubt) => Status::Failed,
        (Class::Keyed | Class::Once, _) if sent => Status::InDoubt,
        _ => said,
    }
}

fn set_due(timeline: &mut BTreeSet<(Instant, IntentId)>, intent: IntentId, task: &mut Task, due: Option<Instant>) {
    if let Some(old) = core::mem::replace(&mut task.due, due) {
        timeline.remove(&(old, intent));
    }
    timeline.extend(due.map(|due| (due, intent)));
}

/// Returns the pause after `tries` tries: doubling, of which the second half is left to chance, so that many effects
/// that failed together do not come back together.
fn backoff(options: &Options, tries: u32) -> Duration {
    let doubled = options.backoff_first.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    let half = doubled.min(options.backoff_max) / 2;
    let mut chance = [0; 4];
    // Without random bytes the pauses are only less spread.
    if let Err(error) = getrandom::fill(&mut chance) {
        tracing::debug!(%error, "no random bytes for a pause");
    }
    let part = u128::from(u32::from_le_bytes(chance)) * half.as_nanos() / u128::from(u32::MAX);
    half + Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_vary_by_half() {
        let options = Options {
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_millis(1000),
            ..Options::default()
        };
        for (tries, whole) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (40, 1000), (u32::MAX, 1000)] {
            let whole = Duration::from_millis(whole);
            let pauses: Vec<_> = (0..50).map(|_| backoff(&options, tries)).collect();
            assert!(pauses.iter().all(|pause| (whole / 2..=whole).contains(pause)), "{tries}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{tries}");
        }
    }

    #[test]
    fn only_what_may_not_be_repeated_freely_ends_in_doubt() {
        use Class::{Keyed, Once, Safe};
        use Status::{Cancelled, Failed, InDoubt, Timeout};
        for (class, sent, said, status) in [
            (Safe, true, Failed, Failed),
            (Safe, true, Timeout, Timeout),
            (Safe, true, InDoubt, Failed),
            (Keyed, false, Failed, Failed),
            (Keyed, true, Timeout, InDoubt),
            (Once, false, Cancelled, Cancelled),
            (Once, true, Cancelled, InDoubt),
            (Once, true, Failed, InDoubt),
        ] {
            assert_eq!(status_of(class, sent, said), status, "{class:?} {sent} {said:?}");
        }
    }
}
