//! One transaction: an input and all that follows from it, in first-in first-out order, until nothing is left to do.
//!
//! [`Step`] holds what a step may read and what it has changed so far; nothing of it reaches the state index before the
//! step has ended. `event` is the one kind of input there is so far. Never here: the ledger and the frame, which
//! `world` writes whether or not the step succeeded.

mod event;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use aos_air::hash::{Digest, Purpose};
use aos_air::limits::FAILURE_PLACE_BYTES_MAX;

use crate::Machine;
use crate::error::{Cause, Failure, Fault};
use crate::frame::Derived;
use crate::id::Height;
use crate::index::{Bytes, Index, Key};
use crate::input::{Body, Input};
use crate::program::Program;

/// What a frame knows of its place: everything that is the same for all calls of a step.
pub(crate) struct Place<'a> {
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
    /// Cells that were changed, by their key in the index.
    cells: BTreeMap<Key, Option<Bytes>>,
    derived: Vec<Derived>,
    queue: VecDeque<Delivery>,
    /// Events raised so far; the number of the last one.
    events: u64,
    calls: u64,
    /// Bytes of values derived so far.
    derived_bytes: u64,
    fuel_used: u64,
    scratch: Scratch,
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

/// What a step came to.
pub(crate) struct Ended {
    /// What it changed and derived, or why it failed.
    pub result: Result<Changes, Failure>,
    pub fuel_used: u64,
    /// The buffers, for the next step.
    pub scratch: Scratch,
}

/// What a successful step leaves behind.
pub(crate) struct Changes {
    pub cells: BTreeMap<Key, Option<Bytes>>,
    pub derived: Vec<Derived>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(program: &'a Program, place: Place<'a>, index: &'a Index, scratch: Scratch) -> Self {
        Self {
            program,
            place,
            index,
            cells: BTreeMap::new(),
            derived: Vec::new(),
            queue: VecDeque::new(),
            events: 0,
            calls: 0,
            derived_bytes: 0,
            fuel_used: 0,
            scratch,
        }
    }

    /// Runs an admitted input to quiescence.
    ///
    /// # Errors
    /// A [`Fault`]; whatever the step itself did wrong is in [`Ended::result`].
    pub(crate) fn run(mut self, machine: &mut Machine<'_>, input: &Input) -> Result<Ended, Fault> {
        let result = match self.drain(machine, input) {
            Ok(()) => Ok(Changes { cells: self.cells, derived: self.derived }),
            Err(Stop::Failed(failure)) => Err(failure),
            Err(Stop::Fault(fault)) => return Err(fault),
        };
        Ok(Ended { result, fuel_used: self.fuel_used, scratch: self.scratch })
    }

    fn drain(&mut self, machine: &mut Machine<'_>, input: &Input) -> Result<(), Stop> {
        match &input.body {
            Body::Event(event) => {
                let schema = self.program.schema(&event.schema).map(|(index, _)| index);
                assert!(schema.is_some(), "an event was admitted whose schema is not there");
                let (value, key) = (event.value.clone(), event.key.clone());
                self.queue.push_back(Delivery { ordinal: 0, schema: schema.unwrap_or_default(), value, key });
            }
            Body::Message { value, key } => {
                let route = self.program.inbox(&input.actor);
                assert!(route.is_some(), "a message was admitted that comes from no inbox");
                if let Some(route) = route {
                    let shape = self.program.reducer(route).event.clone();
                    self.deliver(machine, route, &shape, value, key.as_deref(), 0)?;
                }
            }
        }
        while let Some(delivery) = self.queue.pop_front() {
            self.handle(machine, &delivery)?;
        }
        Ok(())
    }

    /// Makes a failure of the call under way. The place may be a guest's own words, so it is cut.
    fn failed(cause: Cause, reducer: Option<u64>, event: u64, place: &str) -> Stop {
        let place = place.get(..place.floor_char_boundary(FAILURE_PLACE_BYTES_MAX)).unwrap_or_default();
        Stop::Failed(Failure { cause, reducer, event, place: place.into() })
    }
}
