//! Performs the effects that a world has asked for: each is tried as its class allows and ends exactly once, as a
//! signed receipt.
//!
//! Lives here: queues and threads per adapter, deadlines, repetition, cancellation, shutting down. A try runs on a thread
//! of its own adapter, so a slow one holds up nobody else. Never here: whether an effect may happen, when it is durable
//! enough to begin (the driver says so by calling [`Dispatcher::start`]), and what a world makes of a receipt.
//! Read next: `state.rs`, where all decisions are taken; `attempt.rs`, one try.

mod attempt;
mod close;
mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aos_air::hash::Digest;
use aos_air::schema::Shape;
use aos_kernel::blobs::Blobs;
use aos_kernel::id::WorldId;

use crate::adapter::{Adapter, Cost, Effect, IntentId, Status};
use crate::keys::{Signed, Signer, Vault};

pub use close::in_doubt;
pub(crate) use close::{Ending, close, failed, refused};
use state::{Phase, State};

/// The time that all tries of one effect have together, if its adapter has no other: a minute.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// The same for language models, which write for minutes: five.
pub const LLM_DEADLINE: Duration = Duration::from_secs(300);
/// How long a try may go on after its effect's time is over, before its thread is given up.
pub const OVERDUE: Duration = Duration::from_secs(5);
/// The pause before the second try of an effect; it doubles with each further one.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// The longest pause between two tries.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// How many threads of one adapter may be given up before it gets no new effects.
pub const LOST_MAX: usize = 64;

/// What a dispatcher does when, beyond the trait's rules.
#[derive(Debug, Clone)]
pub struct Options {
    /// The time that all tries of one effect have together.
    pub deadline: Duration,
    /// The same for single adapters, by name.
    pub deadlines: BTreeMap<String, Duration>,
    /// How long a try may go on after that before its thread is given up.
    pub overdue: Duration,
    /// The pause before the second try.
    pub backoff_first: Duration,
    /// The longest pause between two tries.
    pub backoff_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: DEADLINE,
            deadlines: BTreeMap::from([("llm".to_owned(), LLM_DEADLINE)]),
            overdue: OVERDUE,
            backoff_first: BACKOFF_FIRST,
            backoff_max: BACKOFF_MAX,
        }
    }
}

/// Where the value of a secret lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretBinding {
    /// The vault's binding.
    pub binding_id: String,
    /// The keyed digest that the version in use must have, if the manifest says so.
    pub expected_digest: Option<Digest>,
}

/// An effect to perform, with what is needed to end it.
#[derive(Debug, Clone)]
pub struct Order {
    /// The effect.
    pub effect: Effect,
    /// The key that signs its receipt: one that the world trusts for the effect's adapter.
    pub signer: Arc<Signer>,
    /// The shape of the effect's receipt schema. An answer that does not fit ends as `adapter.payload`.
    pub receipt: Arc<Shape>,
    /// The most bytes that the answer's payload may have.
    pub payload_bytes_max: usize,
    /// The secrets that the effect may use, by the names of the manifest's `defsecret`s.
    pub secrets: BTreeMap<String, SecretBinding>,
    /// What the grant's budget limits. What was reserved there is for one try: when a try has cost some of it, there is no
    /// further one.
    pub limited: Limited,
    /// Says whether policy lets the effect go on elsewhere; none where it cannot be sent elsewhere.
    pub elsewhere: Option<Elsewhere>,
}

/// Says whether policy lets an effect that was let out go to another URL, with another method.
#[derive(Clone)]
pub struct Elsewhere(Arc<Judge>);

type Judge = dyn Fn(&str, &str) -> bool + Send + Sync;

impl Elsewhere {
    /// Takes what judges a URL and a method.
    pub fn new(judge: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(judge))
    }

    /// Returns whether the effect may go there.
    pub fn allows(&self, url: &str, method: &str) -> bool {
        (self.0)(url, method)
    }
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Elsewhere")
    }
}

/// The dimensions of a budget that are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limited {
    /// Tokens.
    pub tokens: bool,
    /// Cents.
    pub cents: bool,
    /// Bytes.
    pub bytes: bool,
}

impl Limited {
    /// Returns whether a cost lies in one of them.
    pub(super) const fn holds(self, cost: Cost) -> bool {
        self.tokens && cost.tokens > 0 || self.cents && cost.cents > 0 || self.bytes && cost.bytes > 0
    }
}

/// How an effect ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The world that asked.
    pub world: WorldId,
    /// The intent.
    pub intent: IntentId,
    /// How it ended, as the receipt says.
    pub status: Status,
    /// The receipt.
    pub receipt: Signed,
    /// The blobs that the answer names: stored together with the receipt.
    pub blobs: Vec<(Digest, Vec<u8>)>,
}

/// What is left of a dispatcher that was shut down.
#[derive(Debug, Default)]
pub struct Rest {
    /// What ended until then and was not taken yet, in the order of arrival.
    pub finished: Vec<Finished>,
    /// Effects that may be repeated and have no end yet: they are still open and are started again another time.
    pub released: Vec<IntentId>,
}

/// Why an effect is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The intent has been started and has no end yet.
    #[error("intent {0} is already being performed")]
    Twice(IntentId),
    /// The dispatcher is shutting down.
    #[error("the dispatcher takes no more effects")]
    Closed,
}

impl StartError {
    /// Returns the stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Twice(_) => "dispatch.twice",
            Self::Closed => "dispatch.closed",
        }
    }
}

/// Performs effects of any number of worlds. Dropping it gives up what is running; [`Dispatcher::shutdown`] waits.
pub struct Dispatcher {
    shared: Arc<Shared>,
    watch: Option<JoinHandle<()>>,
}

/// What the threads of a dispatcher share.
struct Shared {
    adapters: BTreeMap<String, Arc<dyn Adapter>>,
    vault: Option<Arc<Vault>>,
    blobs: Arc<dyn Blobs + Send + Sync>,
    state: Mutex<State>,
    /// Something ended, or a thread went.
    arrived: Condvar,
    /// The watch has to look again.
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing of ours panics while it holds the state; an adapter's code never runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everybody look again who waits for a change of the state. Due after every one.
    fn go_on(&self) {
        self.arrived.notify_all();
        self.changed.notify_all();
    }
}

impl Dispatcher {
    /// Makes a dispatcher with these adapters. Of two with one name the later one counts.
    ///
    /// # Errors
    /// What the system says where it gives no thread.
    pub fn new(
        adapters: impl IntoIterator<Item = Arc<dyn Adapter>>,
        vault: Option<Arc<Vault>>,
        blobs: Arc<dyn Blobs + Send + Sync>,
        options: Options,
    ) -> std::io::Result<Self> {
        let adapters: BTreeMap<_, _> =
            adapters.into_iter().map(|adapter| (adapter.name().to_owned(), adapter)).collect();
        let lanes = adapters.iter().map(|(name, adapter)| (name.clone(), adapter.concurrency().max(1)));
        let state = Mutex::new(State::new(lanes, options));
        let (arrived, changed) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { adapters, vault, blobs, state, arrived, changed });
        let watched = Arc::clone(&shared);
        let watch = std::thread::Builder::new().name("aos-dispatch".to_owned()).spawn(move || watch(&watched))?;
        Ok(Self { shared, watch: Some(watch) })
    }

    /// Begins an effect, whose block must be durable, and for class `once` its attempt mark. It ends exactly once, in
    /// [`Dispatcher::wait`]; one whose adapter is not there ends at once, as `adapter.missing`.
    ///
    /// # Errors
    /// [`StartError`]; the effect is then not begun.
    pub fn start(&self, order: Order) -> Result<(), StartError> {
        let mut state = self.shared.state();
        state.start(order)?;
        self.go_on(state);
        Ok(())
    }

    /// Takes what has ended, in the order of arrival, without waiting.
    pub fn poll(&self) -> Vec<Finished> {
        self.shared.state().take_finished()
    }

    /// Takes what has ended, in the order of arrival; waits for the first, at most for `timeout`.
    pub fn wait(&self, timeout: Duration) -> Vec<Finished> {
        let state = self.shared.state();
        let waited = self.shared.arrived.wait_timeout_while(state, timeout, |state| !state.has_finished());
        waited.unwrap_or_else(PoisonError::into_inner).0.take_finished()
    }

    /// Calls an effect off, and returns whether it was open. One that is not on its way ends at once; one that is ends
    /// when its adapter gives in, or as it would have ended.
    pub fn cancel(&self, intent: IntentId) -> bool {
        let mut state = self.shared.state();
        let open = state.cancel(intent);
        self.go_on(state);
        open
    }

    /// Returns whether nothing is open and nothing waits to be taken.
    pub fn is_idle(&self) -> bool {
        let state = self.shared.state();
        state.open() == 0 && !state.has_finished()
    }

    /// Ends the dispatcher within `grace`. No try begins any more. For half of the grace those that run may end by
    /// themselves, then they are called off, and after the grace they are given up.
    ///
    /// An effect that may be repeated and has no answer is released: it stays open. One of class `once` ends: as
    /// `cancelled` if nothing of it was sent, else as `in_doubt`.
    pub fn shutdown(mut self, grace: Duration) -> Rest {
        let begun = Instant::now();
        self.shared.state().close();
        self.wait_for_running(begun, grace / 2);
        self.shared.state().cancel_running();
        self.wait_for_running(begun, grace);
        let rest = self.shared.state().end();
        self.join();
        rest
    }

    fn wait_for_running(&self, begun: Instant, time: Duration) {
        let left = time.saturating_sub(begun.elapsed());
        let waited = self.shared.arrived.wait_timeout_while(self.shared.state(), left, |state| state.open() > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends the watch; the state is closed.
    fn join(&mut self) {
        self.shared.changed.notify_all();
        if let Some(watch) = self.watch.take()
            && watch.join().is_err()
        {
            tracing::error!("the dispatcher's watch has panicked");
        }
    }

    /// Lets the threads go on after a change of the state.
    fn go_on(&self, mut state: MutexGuard<'_, State>) {
        fill(&self.shared, &mut state);
        drop(state);
        self.shared.go_on();
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        if self.watch.is_some() {
            let mut state = self.shared.state();
            state.close();
            state.cancel_running();
            state.end();
            drop(state);
            self.join();
        }
    }
}

/// Begins as many threads as there are queued tries and free places.
fn fill(shared: &Arc<Shared>, state: &mut State) {
    while let Some(adapter) = state.lane_with_room() {
        let (worker, lane) = (Arc::clone(shared), adapter.clone());
        let name = format!("aos-{adapter}");
        let spawned = std::thread::Builder::new().name(name).spawn(move || attempt::work(&worker, &lane));
        if let Err(error) = spawned {
            // The watch comes back to it.
            tracing::error!(%adapter, %error, "no thread for an adapter");
            state.no_thread(&adapter);
            return;
        }
    }
}

/// Sees to what is due by time: further tries, and tries that do not end.
fn watch(shared: &Arc<Shared>) {
    let mut state = shared.state();
    while state.phase() != Phase::Ended {
        state.due(Instant::now());
        fill(shared, &mut state);
        shared.arrived.notify_all();
        let next = state.next_due().map(|due| due.saturating_duration_since(Instant::now()));
        state = match next {
            Some(time) => shared.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
            None => shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

/// Returns the machine's time in nanoseconds since the epoch, for receipts; 0 before it.
pub(crate) fn now_ns() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}
