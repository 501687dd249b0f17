//! Plan instances in a transaction: started by events, woken by events and answers, one step at a time.
//!
//! What a step means is the instance's business (`crate::plan`); here its wishes meet the world: events are raised,
//! effects asked for, and what an instance waits for is registered in the state index when the step has ended.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use aos_air::cbor::{Problem, Reader};
use aos_air::hash::Digest;
use aos_air::name::Name;
use aos_air::plan::{Plan, Status};

use super::effect::Ask;
use super::{Blame, Delivery, Step, Stop, Task};
use crate::Machine;
use crate::derived::{By, Derived, PlanEnd};
use crate::error::{Cause, Fault};
use crate::id::{InstanceId, IntentId};
use crate::index::Bytes;
use crate::input::Event;
use crate::intent::Origin;
use crate::plan::{Header, Instance, Next, PlanFailure, Start, Wait};
use crate::state::{self, Deadline, Due};

/// An instance that a transaction has looked at.
pub(super) struct Live {
    pub instance: Instance,
    /// What it waits for as the state index has it; none for one that started in this frame.
    before: Option<Registered>,
    is_changed: bool,
    // INVARIANT: true while the queue holds an `Advance` of it; there is never a second one.
    is_queued: bool,
}

impl Live {
    /// Returns the id of a step.
    pub(super) fn step_id(&self, step: usize) -> String {
        self.instance.plan().steps.get(step).map(|step| step.id.clone()).unwrap_or_default()
    }

    /// Returns the intent whose answer a step waits for.
    pub(super) fn intent_awaited(&self, step: usize) -> Option<IntentId> {
        let wait = self.instance.waits().find(|(waiting, _)| *waiting == step);
        wait.and_then(|(_, wait)| if let Wait::Receipt(intent) = wait { Some(IntentId(intent)) } else { None })
    }

    /// Ends a step's waiting for an event.
    pub(super) fn time_out(&mut self, step: usize) {
        self.instance.timed_out(step);
        self.is_changed = true;
    }
}

/// What an instance waits for, as the state index has it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Registered {
    events: BTreeSet<String>,
    deadlines: BTreeSet<Deadline>,
}

impl Registered {
    fn of(id: InstanceId, instance: &Instance) -> Self {
        let deadline =
            |(step, due_ns): (usize, u64)| Deadline { due_ns, what: Due::Step { instance: id, step: step as u64 } };
        let event = |(_, wait): (usize, Wait<'_>)| match wait {
            Wait::Event { event, .. } => Some(event.to_string()),
            Wait::Receipt(_) => None,
        };
        Self {
            events: instance.waits().filter_map(event).collect(),
            deadlines: instance.deadlines().map(deadline).collect(),
        }
    }
}

impl Step<'_> {
    /// Starts the plans that an event starts, in the manifest's order.
    pub(super) fn start_plans(&mut self, event: &Delivery) -> Result<(), Stop> {
        let program = self.program;
        let shape = &program.schema_at(event.schema).shape;
        for trigger in program.triggers(event.schema) {
            let limit = program.limits().instances_max;
            if self.ledger().instances_running >= limit {
                return Err(Self::failed(Cause::Instances, None, event.ordinal, trigger.plan.name.as_str()));
            }
            let correlation = trigger.correlate_by.as_ref().and_then(|path| shape.select(&event.value, path));
            let correlation = correlation.map(|(_, bytes)| bytes.to_vec());
            self.count_derived(correlation.as_ref().map_or(0, Vec::len), None, event.ordinal)?;
            let ledger = self.ledger();
            ledger.instances_started += 1;
            ledger.instances_running += 1;
            let id = InstanceId(ledger.instances_started);
            let start = Start {
                id: id.0,
                plan: trigger.plan.clone(),
                manifest: program.manifest().hash(),
                input: &event.value,
                started_at: self.place.height,
                actor: self.place.actor.identity(),
            };
            // The value fits: it was checked against the same schema when it came in or was raised.
            let instance = Instance::start(start);
            let instance = instance.map_err(|_| Self::failed(Cause::EventValue, None, event.ordinal, ""))?;
            let plan = trigger.plan.name.to_string();
            self.tell(Derived::PlanStarted { instance: id, plan, cause: event.ordinal, correlation });
            self.live.insert(id, Live { instance, before: None, is_changed: true, is_queued: false });
            self.queue_advance(self.blamed.clone(), id);
        }
        Ok(())
    }

    /// Hands an event to the instances that wait for it, in the order of their numbers.
    pub(super) fn wake(&mut self, machine: &mut Machine<'_>, event: &Delivery) -> Result<(), Stop> {
        if self.live.is_empty() && self.kept.ledger.event_waits == 0 {
            return Ok(());
        }
        let program = self.program;
        let schema = program.schema_at(event.schema);
        for id in self.waiting(machine, &schema.name)? {
            if !self.find(machine, id)? {
                continue;
            }
            let Some(live) = self.live.get_mut(&id) else { continue };
            let wanted = |(step, wait): (usize, Wait<'_>)| match wait {
                Wait::Event { event, closure } if event.as_str() == schema.name && closure == schema.closure => {
                    Some(step)
                }
                _ => None,
            };
            let steps: Vec<usize> = live.instance.waits().filter_map(wanted).collect();
            let mut woken = None;
            for step in steps {
                if live.instance.event(step, &event.value) {
                    woken = woken.or(Some(step));
                }
            }
            if let Some(step) = woken {
                live.is_changed = true;
                let step = live.step_id(step);
                self.queue_advance(Some(Blame { instance: id, step }), id);
            }
        }
        Ok(())
    }

    /// Returns the instances that may wait for an event.
    fn waiting(&self, machine: &Machine<'_>, event: &str) -> Result<BTreeSet<InstanceId>, Fault> {
        // What this frame has changed is in `live`; the index has the rest.
        let changed = self.live.iter().filter(|(_, live)| live.is_changed);
        let mut ids: BTreeSet<InstanceId> = changed.map(|(id, _)| *id).collect();
        if self.kept.ledger.event_waits > 0 {
            self.index.scan(machine.blobs, &state::waits_prefix(event), &mut |key, _| {
                ids.extend(state::waiting_instance(key));
                true
            })?;
        }
        Ok(ids)
    }

    /// Tells an instance how an effect that it asked for ended, and lets it go on.
    pub(super) fn resume(
        &mut self,
        machine: &mut Machine<'_>,
        id: InstanceId,
        step: &str,
        intent: IntentId,
        status: Status,
        payload: &[u8],
    ) -> Result<(), Stop> {
        if !self.find(machine, id)? {
            return Ok(());
        }
        let Some(live) = self.live.get_mut(&id) else { return Ok(()) };
        live.is_changed = true;
        let goes_on = live.instance.effect_ended(intent.0, status, payload);
        // An answer that it keeps for later is lost with the frame too, so that it ends with the frame all the same.
        self.resumed = Some(Blame { instance: id, step: step.to_string() });
        if goes_on {
            self.queue_advance(self.resumed.clone(), id);
        }
        Ok(())
    }

    /// Queues an instance's next step, unless it is queued already.
    pub(super) fn queue_advance(&mut self, blamed: Option<Blame>, id: InstanceId) {
        let Some(live) = self.live.get_mut(&id) else { return };
        if !core::mem::replace(&mut live.is_queued, true) {
            self.queue(blamed, Task::Advance(id));
        }
    }

    /// Lets an instance take its next step.
    pub(super) fn advance(&mut self, machine: &mut Machine<'_>, id: InstanceId) -> Result<(), Stop> {
        let (now_ns, limit) = (self.place.logical_now_ns, self.program.limits().event_bytes_max);
        let Some(live) = self.live.get_mut(&id) else { return Ok(()) };
        if self.steps >= self.program.limits().steps_per_frame_max {
            return Err(Self::failed(Cause::StepsPerFrame, None, 0, ""));
        }
        self.steps += 1;
        live.is_changed = true;
        live.is_queued = false;
        let next = live.instance.advance(now_ns);
        if let Next::Emit { step, params: value, .. } | Next::Raise { step, value, .. } = &next
            && value.len() as u64 > limit
        {
            self.end_at_limit(id, *step);
            return Ok(());
        }
        match next {
            Next::Idle => return Ok(()),
            Next::Moved => {}
            Next::Emit { step, kind, params, grant, key } => {
                let plan = live.instance.plan().name.to_string();
                let origin = Origin::Plan { plan, instance: id, step: live.step_id(step) };
                let ask = Ask { kind: &kind, params, grant: &grant, author_key: key, origin };
                let (intent, denied) = self.ask(machine, ask, 0)?;
                if let Some(live) = self.live.get_mut(&id) {
                    live.instance.emitted(step, intent.0);
                    if let Some(denied) = denied {
                        live.instance.effect_ended(intent.0, Status::Denied, &denied);
                    }
                }
            }
            Next::Raise { step, event, closure, value } => self.raise_for_plan(id, step, &event, &closure, value)?,
            Next::Ended(result) => {
                let end = match result {
                    Ok(result) => {
                        let bytes = result.as_ref().map_or(0, Vec::len);
                        let end = PlanEnd::Done(result);
                        self.count_derived(bytes, None, 0)?;
                        end
                    }
                    Err(failure) => failed(live.instance.plan(), failure),
                };
                self.end_instance(id, end);
                return Ok(());
            }
        }
        self.queue_advance(self.blamed.clone(), id);
        Ok(())
    }

    /// Ends an instance whose step would hand out a value that is larger than an event may be.
    fn end_at_limit(&mut self, id: InstanceId, step: usize) {
        let step = self.live.get(&id).map(|live| live.step_id(step));
        let code = Cause::EventBytes.code().into();
        self.end_instance(id, PlanEnd::Failed { code, step, place: String::new() });
    }

    /// Raises a plan's event, if the manifest in force still has its schema as the plan knows it.
    fn raise_for_plan(
        &mut self,
        id: InstanceId,
        step: usize,
        event: &Name,
        closure: &Digest,
        value: Vec<u8>,
    ) -> Result<(), Stop> {
        let program = self.program;
        let Some(live) = self.live.get_mut(&id) else { return Ok(()) };
        let step_id = live.step_id(step);
        let Some((schema, _)) = program.schema(event.as_str()).filter(|(_, known)| known.closure == *closure) else {
            let code = "plan.event_schema_changed".into();
            self.end_instance(id, PlanEnd::Failed { code, step: Some(step_id), place: event.to_string() });
            return Ok(());
        };
        live.instance.raised(step);
        let before = self.blamed.replace(Blame { instance: id, step: step_id.clone() });
        let event = Event { schema: event.to_string(), value, key: None };
        self.raise(schema, event, By::Step { instance: id, step: step_id }, 0, None)?;
        self.blamed = before;
        Ok(())
    }

    /// Makes sure that an instance is at hand. False where there is none of this number.
    pub(super) fn find(&mut self, machine: &Machine<'_>, id: InstanceId) -> Result<bool, Fault> {
        if self.live.contains_key(&id) {
            return Ok(true);
        }
        let Some(record) = self.record(machine, &state::instance_key(id))? else { return Ok(false) };
        let header = Header::decode(&record).map_err(Fault::Record)?;
        let plan = self.plan_of(machine, &header)?;
        let instance = Instance::decode(&record, plan).map_err(Fault::Record)?;
        let before = Some(Registered::of(id, &instance));
        self.live.insert(id, Live { instance, before, is_changed: false, is_queued: false });
        Ok(true)
    }

    /// Finds the plan that an instance runs: that of the manifest under which it started.
    fn plan_of(&mut self, machine: &Machine<'_>, header: &Header) -> Result<Arc<Plan>, Fault> {
        let missing = || Fault::Record(Reader::error(0, Problem::Range));
        let name = Name::parse(&header.plan).map_err(|_| missing())?;
        if header.manifest == self.program.manifest().hash() {
            return self.program.manifest().plan(&name).cloned().ok_or_else(missing);
        }
        self.earlier.plan(&header.manifest, &name, machine.blobs)
    }

    /// Ends an instance: nothing of it stays in the state.
    pub(super) fn end_instance(&mut self, id: InstanceId, end: PlanEnd) {
        let live = self.live.remove(&id);
        assert!(live.is_some(), "an instance ends that is not at hand");
        let before = live.and_then(|live| live.before);
        self.ledger().instances_running -= 1;
        if let Some(before) = before {
            self.set(state::instance_key(id), None);
            self.ledger().event_waits -= before.events.len() as u64;
            for event in &before.events {
                self.set(state::wait_key(event, id), None);
            }
            for deadline in &before.deadlines {
                self.set(deadline.key(), None);
            }
        }
        self.tell(Derived::PlanEnded { instance: id, end });
    }

    /// Writes the instances that were changed, and what they wait for now.
    pub(super) fn register(&mut self) -> Result<(), Stop> {
        let limit = self.program.limits().instance_bytes_max;
        let changed: Vec<InstanceId> =
            self.live.iter().filter(|(_, live)| live.is_changed).map(|(id, _)| *id).collect();
        for id in changed {
            let Some(live) = self.live.get(&id) else { continue };
            let record: Bytes = live.instance.encode().into();
            if record.len() as u64 > limit {
                let code = Cause::InstanceBytes.code().into();
                self.end_instance(id, PlanEnd::Failed { code, step: None, place: String::new() });
                continue;
            }
            let now = Registered::of(id, &live.instance);
            let before = live.before.as_ref().map(|before| (before.events.clone(), before.deadlines.clone()));
            let (events, deadlines) = before.unwrap_or_default();
            self.set(state::instance_key(id), Some(record));
            self.ledger().event_waits += now.events.len() as u64;
            self.ledger().event_waits -= events.len() as u64;
            events.difference(&now.events).for_each(|event| self.set(state::wait_key(event, id), None));
            now.events.difference(&events).for_each(|event| self.set(state::wait_key(event, id), Some(state::mark())));
            deadlines.difference(&now.deadlines).for_each(|deadline| self.set(deadline.key(), None));
            now.deadlines.difference(&deadlines).for_each(|deadline| self.set(deadline.key(), Some(state::mark())));
        }
        Ok(())
    }
}

fn failed(plan: &Plan, failure: PlanFailure) -> PlanEnd {
    let step = failure.step.and_then(|step| plan.steps.get(step)).map(|step| step.id.clone());
    PlanEnd::Failed { code: failure.code.into(), step, place: failure.place }
}
