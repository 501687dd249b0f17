//! Admission: whether an input may be applied now. Reads only, and refuses what is malformed, unsigned or unknown.
//!
//! What is well-formed and signed by a known actor is admitted even where it is not permitted or comes in the wrong
//! order: that is an outcome, and part of history. Next: `world.rs` for what happens to an [`Admitted`] input.

use alloc::string::{String, ToString};

use aos_air::hash::Digest;

use crate::blobs::Blobs;
use crate::error::{Fault, ReceiptProblem, Refusal};
use crate::frame::Outcome;
use crate::id::{Height, IntentId, WorldId};
use crate::index::Key;
use crate::input::{Actor, Body, Event, Input, Opening, Signed, Stamp};
use crate::intent::{Class, Closed, Intent, Stage, adapter_of};
use crate::receipt::{Receipt, Status};
use crate::state::{self, UsedInput};
use crate::world::{World, next_deadline, receipt_shape};

/// What admission says of an input.
#[derive(Debug)]
pub enum Admission {
    /// It may be applied, at this height and no other.
    Admitted(Admitted),
    /// The actor has sent it before; this is what became of it.
    Known {
        /// The height of its frame.
        height: Height,
        /// How it ended.
        outcome: Outcome,
    },
}

/// An input that may be applied, valid for one height of one world.
#[derive(Debug)]
pub struct Admitted {
    // INVARIANT: made by `World::admit` alone.
    pub(crate) world: WorldId,
    pub(crate) height: Height,
    pub(crate) stamp: Stamp,
    pub(crate) input: Input,
}

/// Why an input is not admitted, while it is being looked at.
enum No {
    Refused(Refusal),
    Fault(Fault),
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ReceiptProblem> for No {
    fn from(problem: ReceiptProblem) -> Self {
        Self::Refused(Refusal::Receipt(problem))
    }
}

impl From<Fault> for No {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl World {
    /// Says whether an input may be applied now. Reads only.
    ///
    /// # Errors
    /// The outer [`Fault`] where state cannot be read; the inner [`Refusal`] is for the sender.
    pub fn admit(&self, input: Input, stamp: Stamp, blobs: &dyn Blobs) -> Result<Result<Admission, Refusal>, Fault> {
        if self.stopped {
            return Err(Fault::Stopped);
        }
        assert!(self.open.is_some(), "an input is offered while no block is open");
        let Some(open) = &self.open else { return Err(Fault::Stopped) };
        match self.admit_inner(input, stamp, &open.opening, blobs) {
            Ok(admission) => Ok(Ok(admission)),
            Err(No::Refused(refusal)) => Ok(Err(refusal)),
            Err(No::Fault(fault)) => Err(fault),
        }
    }

    fn admit_inner(&self, input: Input, stamp: Stamp, opening: &Opening, blobs: &dyn Blobs) -> Result<Admission, No> {
        self.check_actor(&input.actor)?;
        if let Some(id) = &input.id
            && let Some(used) = self.known(&input, id, blobs)??
        {
            return Ok(Admission::Known { height: used.height, outcome: used.outcome });
        }
        // A resend makes no frame, so that it is answered however long it took.
        self.check_time(stamp, opening)?;
        self.check_body(&input, stamp, blobs)?;
        Ok(Admission::Admitted(Admitted { world: self.id, height: self.chain.height.next(), stamp, input }))
    }

    fn check_actor(&self, actor: &Actor) -> Result<(), Refusal> {
        match actor {
            Actor::Host => Ok(()),
            Actor::Principal(name) if self.program.principal(name).is_some() => Ok(()),
            Actor::Adapter(name) if self.program.has_adapter(name) => Ok(()),
            Actor::Principal(name) | Actor::Adapter(name) => Err(Refusal::ActorUnknown(name.clone())),
            Actor::Inbox(_) if self.program.inbox(actor).is_some() => Ok(()),
            Actor::Inbox(source) => Err(Refusal::InboxUnknown { origin: source.clone() }),
        }
    }

    fn check_time(&self, stamp: Stamp, opening: &Opening) -> Result<(), Refusal> {
        let limit = self.limits().time_step_ns_max;
        let ahead_ns = stamp.now_ns.saturating_sub(self.ledger.logical_now_ns);
        // A frame holds the distance from the block's time base as a signed number.
        let fits = i64::try_from(i128::from(stamp.now_ns) - i128::from(opening.time_base_ns)).is_ok();
        if !fits || ahead_ns > limit && !opening.time_step_allowed {
            return Err(Refusal::TimeStep { ahead_ns, limit });
        }
        Ok(())
    }

    /// Looks up whether the actor used the id before, and for what.
    fn known(&self, input: &Input, id: &[u8], blobs: &dyn Blobs) -> Result<Result<Option<UsedInput>, Refusal>, Fault> {
        let limit = self.limits().input_id_bytes_max;
        if id.is_empty() || id.len() as u64 > limit {
            return Ok(Err(Refusal::InputIdBytes { limit }));
        }
        let Some(record) = self.index.value(blobs, &self.input_key(&input.actor, id))? else { return Ok(Ok(None)) };
        let used = UsedInput::decode(&record).map_err(Fault::Record)?;
        Ok(if used.input == input.body.identity() { Ok(Some(used)) } else { Err(Refusal::InputIdReused(used.height)) })
    }

    fn check_body(&self, input: &Input, stamp: Stamp, blobs: &dyn Blobs) -> Result<(), No> {
        match (&input.body, &input.actor) {
            (Body::Event(event), Actor::Host | Actor::Principal(_)) => Ok(self.check_event(event)?),
            (Body::Event(event), Actor::Inbox(_)) => Err(Refusal::Unrouted { schema: event.schema.clone() }.into()),
            (Body::Message { value, key }, Actor::Inbox(_)) => {
                Ok(self.check_message(&input.actor, value, key.as_deref())?)
            }
            (Body::Message { .. }, actor) => Err(Refusal::InboxUnknown { origin: actor.to_string() }.into()),
            (Body::Receipt(signed), Actor::Adapter(adapter)) => self.check_receipt(adapter, signed, blobs),
            (Body::Decision(signed), Actor::Principal(name)) => Ok(self.check_decision(name, signed)?),
            (Body::Attempt(intent), Actor::Host) => self.check_attempt(*intent, blobs),
            (Body::Tick, Actor::Host) => self.check_tick(stamp, blobs),
            (_, actor) => Err(Refusal::ActorBody(actor.to_string()).into()),
        }
    }

    fn check_message(&self, actor: &Actor, value: &[u8], key: Option<&[u8]>) -> Result<(), Refusal> {
        let unknown = || Refusal::InboxUnknown { origin: actor.to_string() };
        let route = self.program.inbox(actor).ok_or_else(unknown)?;
        let reducer = self.program.reducer(route);
        self.check_value(&reducer.event_schema, &reducer.event, value)?;
        self.check_arm(route, value)?;
        self.check_key(route, &reducer.event, value, key)
    }

    /// Checks that a receipt answers an intent of this world, in the right form, under a key that the manifest trusts.
    fn check_receipt(&self, adapter: &str, signed: &Signed, blobs: &dyn Blobs) -> Result<(), No> {
        let limit = self.limits().receipt_bytes_max;
        if signed.bytes.len() as u64 > limit {
            return Err(ReceiptProblem::Bytes { limit }.into());
        }
        let receipt = self.program.keys().receipt(&signed.bytes, &signed.signature);
        let receipt = receipt.map_err(ReceiptProblem::Unverified)?;
        if receipt.world != self.id {
            return Err(ReceiptProblem::World(receipt.world).into());
        }
        if receipt.adapter != adapter {
            return Err(ReceiptProblem::Adapter(receipt.adapter).into());
        }
        let (kind, manifest) = self.check_answered(&receipt, Digest::of(&signed.bytes), blobs)?;
        if adapter_of(&kind) != receipt.adapter {
            return Err(ReceiptProblem::Adapter(receipt.adapter).into());
        }
        if receipt.status == Status::Denied {
            return Err(ReceiptProblem::Status.into());
        }
        let shape = receipt_shape(&self.program, &manifest, &kind, receipt.status, || {
            self.earlier.receipt_unheld(&manifest, &kind, blobs)
        })?;
        Ok(shape.check(&receipt.payload).map_err(ReceiptProblem::Payload)?)
    }

    /// Finds what a receipt answers: an intent that was dispatched, or one that has ended. Returns kind and manifest.
    fn check_answered(&self, receipt: &Receipt, digest: Digest, blobs: &dyn Blobs) -> Result<(String, Digest), No> {
        let unknown = || No::from(ReceiptProblem::IntentUnknown(receipt.intent));
        let open = self.index.value(blobs, &state::intent_key(receipt.intent)).map_err(Fault::from)?;
        if let Some(record) = open {
            let intent = Intent::decode(&record).map_err(Fault::Record)?;
            if let Stage::Parked { .. } = intent.stage {
                return Err(unknown());
            }
            return Ok((intent.kind, intent.manifest));
        }
        let closed = self.index.value(blobs, &state::closed_key(receipt.intent)).map_err(Fault::from)?;
        let closed = Closed::decode(&closed.ok_or_else(unknown)?).map_err(Fault::Record)?;
        if closed.knows(digest) {
            return Err(ReceiptProblem::Duplicate(closed.height).into());
        }
        Ok((closed.kind, closed.manifest))
    }

    /// Checks the form and the signature of a principal's decision.
    fn check_decision(&self, name: &str, signed: &Signed) -> Result<(), Refusal> {
        let decision = self.program.keys().decision(name, &signed.bytes, &signed.signature);
        let decision = decision.map_err(Refusal::Decision)?;
        if decision.world == self.id { Ok(()) } else { Err(Refusal::DecisionWorld(decision.world)) }
    }

    fn check_attempt(&self, id: IntentId, blobs: &dyn Blobs) -> Result<(), No> {
        let record = self.index.value(blobs, &state::intent_key(id)).map_err(Fault::from)?;
        let intent = record.map(|record| Intent::decode(&record)).transpose().map_err(Fault::Record)?;
        let is_due = intent.is_some_and(|intent| intent.stage == Stage::Open && intent.class == Class::Once);
        if is_due { Ok(()) } else { Err(Refusal::Attempt(id).into()) }
    }

    fn check_tick(&self, stamp: Stamp, blobs: &dyn Blobs) -> Result<(), No> {
        let now_ns = self.ledger.logical_now_ns.max(stamp.now_ns);
        let next = next_deadline(&self.index, blobs)?;
        if next.is_some_and(|next| next.due_ns <= now_ns) { Ok(()) } else { Err(Refusal::TickEarly.into()) }
    }

    fn check_event(&self, event: &Event) -> Result<(), Refusal> {
        let name = &event.schema;
        let (index, schema) = self.program.schema(name).ok_or_else(|| Refusal::SchemaUnknown {
            schema: name.clone(),
            nearest: self.program.nearest_schema(name),
        })?;
        let routes = self.program.routes(index);
        if routes.is_empty() && self.program.triggers(index).is_empty() && !self.program.is_awaited(name) {
            return Err(Refusal::Unrouted { schema: name.clone() });
        }
        self.check_value(name, &schema.shape, &event.value)?;
        routes.iter().try_for_each(|route| {
            self.check_arm(route, &event.value)?;
            self.check_key(route, &schema.shape, &event.value, event.key.as_deref())
        })
    }

    /// Refuses what would reach a reducer as the answer to an effect: that comes by a receipt alone.
    fn check_arm(&self, route: &crate::program::Route, value: &[u8]) -> Result<(), Refusal> {
        let reducer = self.program.reducer(route);
        let is_answer = reducer.answers.values().any(|answer| answer.has_arm_of(route, value));
        if is_answer { Err(Refusal::AnswerArm { reducer: reducer.name.clone() }) } else { Ok(()) }
    }

    fn check_value(&self, schema: &str, shape: &aos_air::schema::Shape, value: &[u8]) -> Result<(), Refusal> {
        let limit = self.limits().event_bytes_max;
        let bytes = value.len() as u64;
        if bytes > limit {
            return Err(Refusal::ValueBytes { bytes, limit });
        }
        shape.check(value).map_err(|mismatch| Refusal::Value { schema: schema.to_string(), mismatch })
    }

    fn check_key(
        &self,
        route: &crate::program::Route,
        shape: &aos_air::schema::Shape,
        value: &[u8],
        given: Option<&[u8]>,
    ) -> Result<(), Refusal> {
        let reducer = self.program.reducer(route);
        let refuse = |problem| Refusal::Key { reducer: reducer.name.clone(), problem };
        crate::program::check_given_key(given, self.limits()).map_err(refuse)?;
        route.key(reducer, shape, value, given, self.limits()).map(drop).map_err(refuse)
    }

    pub(crate) fn input_key(&self, actor: &Actor, id: &[u8]) -> Key {
        state::input_key(&actor.identity(), id)
    }
}
