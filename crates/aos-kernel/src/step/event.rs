//! An event on its way: to every reducer that the manifest routes it to, and what they answer.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use aos_air::abi::{Call, DomainEvent, Reply};
use aos_air::cbor::write;
use aos_air::hash::{Digest, Purpose};
use aos_air::module::Entry;
use aos_air::schema::{MismatchKind, Shape};

use super::{Delivery, Step, Stop, Task};
use crate::Machine;
use crate::derived::{By, Derived};
use crate::error::{Cause, Fault};
use crate::guest::{Allowance, CallError, Trap};
use crate::index::Bytes;
use crate::input::Event;
use crate::program::{Reducer, Route, check_given_key};
use crate::state::{self, Cell};

impl Step<'_> {
    /// Hands an event to its reducers in the manifest's order, then to the instances that wait for it, then starts plans.
    pub(super) fn handle(&mut self, machine: &mut Machine<'_>, event: &Delivery) -> Result<(), Stop> {
        let program = self.program;
        let shape = program.schema_at(event.schema).shape.clone();
        for route in program.routes(event.schema) {
            self.deliver(machine, route, &shape, &event.value, event.key.as_deref(), event.ordinal)?;
        }
        self.wake(machine, event)?;
        self.start_plans(event)
    }

    /// Hands an answer to the reducer that asked for the effect.
    pub(super) fn answer(
        &mut self,
        machine: &mut Machine<'_>,
        reducer: &str,
        key: Option<&[u8]>,
        value: &[u8],
        ordinal: u64,
    ) -> Result<(), Stop> {
        // A reducer that the manifest in force no longer has takes no answer.
        let Some(reducer) = self.program.reducer_named(reducer) else { return Ok(()) };
        self.scratch.event.clear();
        self.scratch.event.extend_from_slice(value);
        self.call_reducer(machine, reducer, key, ordinal)
    }

    /// Calls one reducer with one event and takes in its answer.
    pub(super) fn deliver(
        &mut self,
        machine: &mut Machine<'_>,
        route: &Route,
        shape: &Shape,
        value: &[u8],
        given_key: Option<&[u8]>,
        ordinal: u64,
    ) -> Result<(), Stop> {
        let program = self.program;
        let reducer = program.reducer(route);
        let fail = |cause, place: &str| Self::failed(cause, Some(reducer.index), ordinal, place);
        let key = route
            .key(reducer, shape, value, given_key, program.limits())
            .map_err(|problem| fail(Cause::from(&problem), ""))?;
        self.scratch.event.clear();
        route.wrap(value, &mut self.scratch.event);
        self.call_reducer(machine, reducer, key, ordinal)
    }

    /// Calls a reducer with the event in `scratch`, which is its own or an arm of it.
    fn call_reducer(
        &mut self,
        machine: &mut Machine<'_>,
        reducer: &Reducer,
        key: Option<&[u8]>,
        ordinal: u64,
    ) -> Result<(), Stop> {
        if self.calls >= self.program.limits().calls_per_frame_max {
            return Err(Self::failed(Cause::CallsPerFrame, Some(reducer.index), ordinal, ""));
        }
        self.calls += 1;
        let cell_key = state::cell_key(&reducer.cells, &reducer.name, key);
        let before = self.record(machine, &cell_key)?;
        let reply = self.call(machine, reducer, before.as_deref(), key, ordinal)?;
        let after = self.next_state(reducer, key, reply.state.as_deref(), ordinal)?;
        self.set(cell_key, after);
        self.follow(machine, reducer, key, reply, ordinal)
    }

    /// Calls the module and reads its envelope.
    fn call(
        &mut self,
        machine: &mut Machine<'_>,
        reducer: &Reducer,
        cell: Option<&[u8]>,
        key: Option<&[u8]>,
        ordinal: u64,
    ) -> Result<Reply, Stop> {
        let fail = |cause| Self::failed(cause, Some(reducer.index), ordinal, "");
        let context = reducer.context.then(|| self.context(reducer, key));
        let cell = cell.map(Cell::decode).transpose().map_err(Fault::Record)?;
        let call = Call {
            state: cell.as_ref().map(|cell| cell.state),
            schema: &reducer.event_schema,
            value: &self.scratch.event,
            key,
            context: context.as_deref(),
        };
        self.scratch.call.clear();
        call.encode(&mut self.scratch.call);
        self.run_module(machine, &reducer.wasm, Entry::Reducer)?.map_err(fail)?;
        let reply = Reply::decode(&self.scratch.reply).map_err(|_| fail(Cause::ReplyForm))?;
        match reply.error {
            Some(why) => Err(Self::failed(Cause::Refused, Some(reducer.index), ordinal, &why)),
            None => Ok(reply),
        }
    }

    /// Runs a module on what is in `scratch`, under the fuel that the frame has left.
    pub(super) fn run_module(
        &mut self,
        machine: &mut Machine<'_>,
        module: &Digest,
        entry: Entry,
    ) -> Result<Result<(), Cause>, Fault> {
        let limits = self.program.limits();
        let left = limits.fuel_per_frame_max.saturating_sub(self.fuel_used);
        let fuel = limits.fuel_per_call_max.min(left);
        let allowance = Allowance { fuel, reply_bytes: limits.reply_bytes_max };
        match machine.guest.call(module, entry, &self.scratch.call, allowance, &mut self.scratch.reply) {
            Ok(used) => {
                self.fuel_used += used;
                Ok(Ok(()))
            }
            Err(CallError::Fault(fault)) => Err(fault.into()),
            Err(CallError::Failed { trap, fuel_used }) => {
                self.fuel_used += fuel_used;
                Ok(Err(if trap == Trap::Fuel && fuel == left { Cause::FuelPerFrame } else { trap.into() }))
            }
        }
    }

    /// Checks the new state and makes the cell's record of it.
    fn next_state(
        &self,
        reducer: &Reducer,
        key: Option<&[u8]>,
        state: Option<&[u8]>,
        ordinal: u64,
    ) -> Result<Option<Bytes>, Stop> {
        let fail = |cause, place: &str| Self::failed(cause, Some(reducer.index), ordinal, place);
        let Some(state) = state else { return Ok(None) };
        let limit = self.program.limits().state_bytes_max;
        let state = reducer.state.canonical(state, limit).map_err(|mismatch| match mismatch.kind {
            MismatchKind::TooLarge => fail(Cause::StateBytes, ""),
            _ => fail(Cause::State, &mismatch.pointer),
        })?;
        Ok(Some(Cell { schema: reducer.state_schema, reducer: &reducer.name, key, state: &state }.encode()))
    }

    /// Takes in what a reply says beyond the state: annotation, events, effects, in this order.
    fn follow(
        &mut self,
        machine: &mut Machine<'_>,
        reducer: &Reducer,
        key: Option<&[u8]>,
        reply: Reply,
        cause: u64,
    ) -> Result<(), Stop> {
        let limits = self.program.limits();
        let fail = |cause_of, place: &str| Self::failed(cause_of, Some(reducer.index), cause, place);
        if reply.effects.len() as u64 > limits.effects_per_call_max {
            return Err(fail(Cause::EffectsPerCall, ""));
        }
        if reply.domain_events.len() as u64 > limits.events_per_call_max {
            return Err(fail(Cause::EventsPerCall, ""));
        }
        if let Some(annotation) = reply.annotation {
            let shape = reducer.annotations.as_ref().ok_or_else(|| fail(Cause::Annotation, ""))?;
            let value = shape.canonical(&annotation, limits.frame_bytes_max);
            let value = value.map_err(|mismatch| match mismatch.kind {
                MismatchKind::TooLarge => fail(Cause::FrameBytes, ""),
                _ => fail(Cause::Annotation, &mismatch.pointer),
            })?;
            self.count_derived(value.len(), Some(reducer.index), cause)?;
            self.tell(Derived::Annotation { cause, reducer: reducer.index, value: value.into_owned() });
        }
        for event in reply.domain_events {
            let (schema, event) = self.check_event(reducer, event, cause)?;
            self.raise(schema, event, By::Handling(cause), cause, Some(reducer.index))?;
        }
        for effect in reply.effects {
            self.ask_for_reducer(machine, reducer, key, effect, cause)?;
        }
        Ok(())
    }

    /// Checks an event that a reducer raises, and puts its value into canonical form.
    fn check_event(&self, reducer: &Reducer, event: DomainEvent, cause: u64) -> Result<(usize, Event), Stop> {
        let limits = self.program.limits();
        let fail = |cause_of, place: &str| Self::failed(cause_of, Some(reducer.index), cause, place);
        let (schema, known) =
            self.program.schema(&event.schema).ok_or_else(|| fail(Cause::EventSchema, &event.schema))?;
        let canonical = known.shape.canonical(&event.value, limits.event_bytes_max);
        let canonical = canonical.map_err(|mismatch| match mismatch.kind {
            MismatchKind::TooLarge => fail(Cause::EventBytes, ""),
            _ => fail(Cause::EventValue, &mismatch.pointer),
        })?;
        let value = match canonical {
            Cow::Borrowed(_) => event.value,
            Cow::Owned(canonical) => canonical,
        };
        check_given_key(event.key.as_deref(), limits).map_err(|problem| fail(Cause::from(&problem), ""))?;
        Ok((schema, Event { schema: event.schema, value, key: event.key }))
    }

    /// Records an event and queues it.
    pub(super) fn raise(
        &mut self,
        schema: usize,
        event: Event,
        by: By,
        cause: u64,
        reducer: Option<u64>,
    ) -> Result<(), Stop> {
        if self.events >= self.program.limits().events_per_frame_max {
            return Err(Self::failed(Cause::EventsPerFrame, reducer, cause, ""));
        }
        self.count_derived(event.value.len(), reducer, cause)?;
        self.events += 1;
        let (value, key) = (event.value.clone(), event.key.clone());
        self.tell(Derived::Event { by, event });
        self.queue(self.blamed.clone(), Task::Event(Delivery { ordinal: self.events, schema, value, key }));
        Ok(())
    }

    /// Counts bytes that the frame will hold, so that it fails before they are all in memory.
    pub(super) fn count_derived(&mut self, bytes: usize, reducer: Option<u64>, cause: u64) -> Result<(), Stop> {
        self.derived_bytes += bytes as u64;
        if self.derived_bytes > self.program.limits().frame_bytes_max {
            return Err(Self::failed(Cause::FrameBytes, reducer, cause, ""));
        }
        Ok(())
    }

    /// Makes the context of a call, `sys/ReducerContext@1`, in canonical form.
    fn context(&self, reducer: &Reducer, key: Option<&[u8]>) -> Vec<u8> {
        let mut event = Purpose::Event.hasher();
        event.update(reducer.event_schema.as_bytes()).update(&[0]).update(&self.scratch.event);
        let mut out = Vec::with_capacity(256);
        write::map(&mut out, 9);
        write::text(&mut out, "key");
        write::bytes_or_null(&mut out, key);
        write::text(&mut out, "now_ns");
        write::uint(&mut out, self.place.now_ns);
        write::text(&mut out, "entropy");
        write::bytes(&mut out, self.place.entropy(self.calls).as_bytes());
        write::text(&mut out, "reducer");
        write::text(&mut out, &reducer.name);
        write::text(&mut out, "cell_mode");
        write::bool(&mut out, reducer.key.is_some());
        write::text(&mut out, "event_hash");
        write::bytes(&mut out, event.finish().as_bytes());
        write::text(&mut out, "manifest_hash");
        write::bytes(&mut out, self.program.manifest().hash().as_bytes());
        write::text(&mut out, "journal_height");
        write::uint(&mut out, self.place.height.0);
        write::text(&mut out, "logical_now_ns");
        write::uint(&mut out, self.place.logical_now_ns);
        out
    }
}
