//! One transaction: an input and all that follows from it, in first-in first-out order, until nothing is left to do.
//!
//! [`Step`] holds what a step may read and what it has changed so far, in two layers: what commits whatever happens (an
//! intent closed, a budget settled, a deadline consumed) and what commits only on success. Nothing of it reaches the
//! state index before the step has ended. A file per kind of input and of work: `event`, `receipt`, `approval` (with
//! attempts and ticks), `effect` (asking), `plan` (instances).

mod approval;
mod effect;
mod event;
mod plan;
mod receipt;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use aos_air::hash::{Digest, Purpose};
use aos_air::limits::FAILURE_PLACE_BYTES_MAX;

use self::plan::Live;
use crate::Machine;
use crate::derived::{Derived, PlanEnd};
use crate::earlier::Earlier;
use crate::error::{Cause, Failure, Fault};
use crate::genesis::EffectMode;
use crate::id::{Height, InstanceId, WorldId};
use crate::index::{Bytes, Index, Key};
use crate::input::{Actor, Body, Input};
use crate::program::Program;
use crate::state::Ledger;

/// What a frame knows of its place: everything that is the same for all calls of a step.
pub(crate) struct Place<'a> {
    pub world: WorldId,
    pub mode: EffectMode,
    /// Who sent the input.
    pub actor: Actor,
    pub height: Height,
    pub now_ns: u64,
    pub logical_now_ns: u64,
    pub seed: &'a [u8; 32],
}

impl Place<'_> {
    /// Draws the entropy of a call.
    fn entropy(&self, ordinal: u64) -> Digest {
        let mut hasher = Purpose::Entropy.hasher();
        hasher.update(self.seed).update(&self.height.0.to_be_bytes()).update(&ordinal.to_be_bytes());
        hasher.finish()
    }
}

/// A transaction under way.
pub(crate) struct Step<'a> {
    program: &'a Program,
    place: Place<'a>,
    index: &'a Index,
    /// What commits whatever happens.
    kept: Layer,
    /// What commits only on success, over `kept`; none while `kept` is being made.
    world: Option<Layer>,
    queue: VecDeque<Work>,
    /// The instances that were looked at.
    live: BTreeMap<InstanceId, Live>,
    /// The instance that the input itself resumes: it cannot be resumed this way again, so a failure ends it.
    resumed: Option<Blame>,
    /// The step that led to what is being done, where one did.
    blamed: Option<Blame>,
    /// Events raised so far; the number of the last one.
    events: u64,
    /// Effects asked for so far.
    asked: u64,
    calls: u64,
    steps: u64,
    /// Bytes of values derived so far.
    derived_bytes: u64,
    pub fuel_used: u64,
    pub scratch: Scratch,
    pub earlier: Earlier,
}

/// Records to be set or removed, what is to be told of it, and the counters after it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    pub records: BTreeMap<Key, Option<Bytes>>,
    pub derived: Vec<Derived>,
    pub ledger: Ledger,
}

/// A piece of work, and the step that led to it.
struct Work {
    blamed: Option<Blame>,
    task: Task,
}

/// A step of an instance, which ends with it where what the step led to fails.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blame {
    instance: InstanceId,
    step: String,
}

enum Task {
    /// An event is to be handled.
    Event(Delivery),
    /// An answer goes back to the reducer that asked.
    Answer {
        /// The reducer's name.
        reducer: String,
        /// The cell's key.
        key: Option<Vec<u8>>,
        /// The reducer's own event.
        value: Vec<u8>,
        /// What was being handled when it came to this: 0 is the input.
        ordinal: u64,
    },
    /// An instance takes its next step.
    Advance(InstanceId),
}

/// An event to be handled.
struct Delivery {
    /// 0 for the input, n for the n-th derived event.
    ordinal: u64,
    /// Index of the schema in the program.
    schema: usize,
    value: Vec<u8>,
    key: Option<Vec<u8>>,
}

/// Buffers that every call of a world uses again.
#[derive(Default)]
pub(crate) struct Scratch {
    event: Vec<u8>,
    call: Vec<u8>,
    reply: Vec<u8>,
}

/// Why a step ended early.
enum Stop {
    Failed(Failure),
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for Stop {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl<'a> Step<'a> {
    pub(crate) fn new(
        program: &'a Program,
        place: Place<'a>,
        index: &'a Index,
        ledger: Ledger,
        scratch: Scratch,
        earlier: Earlier,
    ) -> Self {
        Self {
            program,
            place,
            index,
            kept: Layer { ledger, ..Layer::default() },
            world: None,
            queue: VecDeque::new(),
            live: BTreeMap::new(),
            resumed: None,
            blamed: None,
            events: 0,
            asked: 0,
            calls: 0,
            steps: 0,
            derived_bytes: 0,
            fuel_used: 0,
            scratch,
            earlier,
        }
    }

    /// Runs an admitted input to quiescence. [`Step::succeed`] or [`Step::fail`] then say what is to be committed.
    ///
    /// # Errors
    /// A [`Fault`]; whatever the step itself did wrong is the inner [`Failure`].
    pub(crate) fn run(&mut self, machine: &mut Machine<'_>, input: &Input) -> Result<Result<(), Failure>, Fault> {
        match self.drain(machine, input) {
            Ok(()) => Ok(Ok(())),
            Err(Stop::Failed(failure)) => Ok(Err(failure)),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    fn drain(&mut self, machine: &mut Machine<'_>, input: &Input) -> Result<(), Stop> {
        self.begin(machine, input)?;
        self.begin_world();
        while let Some(Work { blamed, task }) = self.queue.pop_front() {
            self.blamed = blamed;
            match task {
                Task::Event(event) => self.handle(machine, &event)?,
                Task::Answer { reducer, key, value, ordinal } => {
                    self.answer(machine, &reducer, key.as_deref(), &value, ordinal)?;
                }
                Task::Advance(instance) => self.advance(machine, instance)?,
            }
        }
        self.blamed = None;
        self.register()
    }

    /// Commits what the input does to the ledger, and queues what follows.
    fn begin(&mut self, machine: &mut Machine<'_>, input: &Input) -> Result<(), Stop> {
        match &input.body {
            Body::Event(event) => {
                let schema = self.program.schema(&event.schema).map(|(index, _)| index);
                assert!(schema.is_some(), "an event was admitted whose schema is not there");
                let (value, key) = (event.value.clone(), event.key.clone());
                let delivery = Delivery { ordinal: 0, schema: schema.unwrap_or_default(), value, key };
                self.queue(None, Task::Event(delivery));
                Ok(())
            }
            Body::Message { value, key } => {
                let route = self.program.inbox(&input.actor);
                assert!(route.is_some(), "a message was admitted that comes from no inbox");
                self.begin_world();
                let Some(route) = route else { return Ok(()) };
                let shape = self.program.reducer(route).event.clone();
                self.deliver(machine, route, &shape, value, key.as_deref(), 0)
            }
            Body::Receipt(signed) => self.take_receipt(machine, signed),
            Body::Decision(signed) => self.take_decision(machine, &input.actor, signed),
            Body::Attempt(intent) => self.take_attempt(machine, *intent),
            Body::Tick => self.take_tick(machine),
        }
    }

    /// Takes everything that the step changed, after it succeeded. [`Step::fail`] can still follow.
    pub(crate) fn succeed(&mut self) -> Layer {
        let mut all = self.kept.clone();
        if let Some(mut world) = self.world.take() {
            all.records.append(&mut world.records);
            all.derived.append(&mut world.derived);
            all.ledger = world.ledger;
        }
        all
    }

    /// Returns what commits all the same, after the step failed: the ledger, and the end of the instances that led here.
    ///
    /// # Errors
    /// A [`Fault`] where state cannot be read.
    pub(crate) fn fail(&mut self, machine: &mut Machine<'_>, failure: &Failure) -> Result<Layer, Fault> {
        self.world = None;
        self.live.clear();
        self.queue.clear();
        for blame in [self.blamed.take(), self.resumed.take()].into_iter().flatten() {
            // One that started in this frame has never been, and one is ended once.
            if self.find(machine, blame.instance)? {
                let code = "plan.step_failed".into();
                let end = PlanEnd::Failed { code, step: Some(blame.step), place: failure.cause.code().into() };
                self.end_instance(blame.instance, end);
            }
        }
        Ok(self.kept.clone())
    }

    fn queue(&mut self, blamed: Option<Blame>, task: Task) {
        self.queue.push_back(Work { blamed, task });
    }

    /// Ends what commits whatever happens: from here on all is undone where the step fails.
    fn begin_world(&mut self) {
        self.world.get_or_insert_with(|| Layer { ledger: self.kept.ledger, ..Layer::default() });
    }

    /// The layer that is being made.
    fn layer(&mut self) -> &mut Layer {
        self.world.as_mut().unwrap_or(&mut self.kept)
    }

    fn ledger(&mut self) -> &mut Ledger {
        &mut self.layer().ledger
    }

    /// Reads a record as the step has left it so far.
    fn record(&self, machine: &Machine<'_>, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let changed =
            self.world.as_ref().and_then(|world| world.records.get(key)).or_else(|| self.kept.records.get(key));
        match changed {
            Some(changed) => Ok(changed.clone()),
            None => Ok(self.index.value(machine.blobs, key)?),
        }
    }

    fn set(&mut self, key: Key, value: Option<Bytes>) {
        self.layer().records.insert(key, value);
    }

    fn tell(&mut self, derived: Derived) {
        self.layer().derived.push(derived);
    }

    /// Makes a failure of the call under way. The place may be a guest's own words, so it is cut.
    fn failed(cause: Cause, reducer: Option<u64>, event: u64, place: &str) -> Stop {
        let place = place.get(..place.floor_char_boundary(FAILURE_PLACE_BYTES_MAX)).unwrap_or_default();
        Stop::Failed(Failure { cause, reducer, event, place: place.into() })
    }
}
