//! An event on its way: to every reducer that the manifest routes it to, and what they answer.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use aos_air::abi::{Call, DomainEvent, Reply};
use aos_air::cbor::write;
use aos_air::hash::Purpose;
use aos_air::schema::{MismatchKind, Shape};

use super::{Delivery, Step, Stop};
use crate::Machine;
use crate::error::{Cause, Fault};
use crate::frame::Derived;
use crate::guest::{Allowance, CallError};
use crate::index::Bytes;
use crate::input::Event;
use crate::program::{Reducer, Route, check_given_key};
use crate::state::{self, Cell};

impl Step<'_> {
    /// Hands an event to its reducers, in the manifest's order.
    pub(super) fn handle(&mut self, machine: &mut Machine<'_>, event: &Delivery) -> Result<(), Stop> {
        let program = self.program;
        let shape = program.schema_at(event.schema).shape.clone();
        for route in program.routes(event.schema) {
            self.deliver(machine, route, &shape, &event.value, event.key.as_deref(), event.ordinal)?;
        }
        Ok(())
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
        if self.calls >= program.limits().calls_per_frame_max {
            return Err(fail(Cause::CallsPerFrame, ""));
        }
        self.calls += 1;
        let cell_key = state::cell_key(&reducer.cells, &reducer.name, key);
        let before = match self.cells.get(&cell_key) {
            Some(changed) => changed.clone(),
            None => self.index.value(machine.blobs, &cell_key)?,
        };
        let reply = self.call(machine, route, reducer, before.as_deref(), value, key, ordinal)?;
        let after = self.next_state(reducer, key, reply.state.as_deref(), ordinal)?;
        self.cells.insert(cell_key, after);
        self.raise(reducer, reply, ordinal)
    }

    /// Calls the module and reads its envelope.
    #[expect(clippy::too_many_arguments, reason = "the parts of one call, used once")]
    fn call(
        &mut self,
        machine: &mut Machine<'_>,
        route: &Route,
        reducer: &Reducer,
        cell: Option<&[u8]>,
        value: &[u8],
        key: Option<&[u8]>,
        ordinal: u64,
    ) -> Result<Reply, Stop> {
        let fail = |cause| Self::failed(cause, Some(reducer.index), ordinal, "");
        let limits = self.program.limits();
        let left = limits.fuel_per_frame_max.saturating_sub(self.fuel_used);
        let fuel = limits.fuel_per_call_max.min(left);
        self.scratch.event.clear();
        route.wrap(value, &mut self.scratch.event);
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
        let allowance = Allowance { fuel, reply_bytes: limits.reply_bytes_max };
        match machine.guest.call(&reducer.wasm, &self.scratch.call, allowance, &mut self.scratch.reply) {
            Ok(used) => self.fuel_used += used,
            Err(CallError::Fault(fault)) => return Err(fault.into()),
            Err(CallError::Failed { trap, fuel_used }) => {
                self.fuel_used += fuel_used;
                let cause =
                    if trap == crate::guest::Trap::Fuel && fuel == left { Cause::FuelPerFrame } else { trap.into() };
                return Err(fail(cause));
            }
        }
        let reply = Reply::decode(&self.scratch.reply).map_err(|_| fail(Cause::ReplyForm))?;
        match reply.error {
            Some(why) => Err(Self::failed(Cause::Refused, Some(reducer.index), ordinal, &why)),
            None => Ok(reply),
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

    /// Queues the events of a reply, and records them and the annotation.
    fn raise(&mut self, reducer: &Reducer, reply: Reply, cause: u64) -> Result<(), Stop> {
        let limits = self.program.limits();
        let fail = |cause_of, place: &str| Self::failed(cause_of, Some(reducer.index), cause, place);
        if reply.effects.len() as u64 > limits.effects_per_call_max {
            return Err(fail(Cause::EffectsPerCall, ""));
        }
        if let Some(effect) = reply.effects.first() {
            return Err(fail(Cause::EffectSlot, effect.cap_slot.as_deref().unwrap_or(&effect.kind)));
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
            self.count_derived(value.len(), reducer, cause)?;
            self.derived.push(Derived::Annotation { cause, reducer: reducer.index, value: value.into_owned() });
        }
        for event in reply.domain_events {
            self.raise_one(reducer, event, cause)?;
        }
        Ok(())
    }

    fn raise_one(&mut self, reducer: &Reducer, event: DomainEvent, cause: u64) -> Result<(), Stop> {
        let limits = self.program.limits();
        let fail = |cause_of, place: &str| Self::failed(cause_of, Some(reducer.index), cause, place);
        if self.events >= limits.events_per_frame_max {
            return Err(fail(Cause::EventsPerFrame, ""));
        }
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
        self.count_derived(value.len(), reducer, cause)?;
        check_given_key(event.key.as_deref(), limits).map_err(|problem| fail(Cause::from(&problem), ""))?;
        self.events += 1;
        let recorded = Event { schema: event.schema, value: value.clone(), key: event.key.clone() };
        self.derived.push(Derived::Event { cause, event: recorded });
        self.queue.push_back(Delivery { ordinal: self.events, schema, value, key: event.key });
        Ok(())
    }

    /// Counts bytes that the frame will hold, so that it fails before they are all in memory.
    fn count_derived(&mut self, bytes: usize, reducer: &Reducer, cause: u64) -> Result<(), Stop> {
        self.derived_bytes += bytes as u64;
        if self.derived_bytes > self.program.limits().frame_bytes_max {
            return Err(Self::failed(Cause::FrameBytes, Some(reducer.index), cause, ""));
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
