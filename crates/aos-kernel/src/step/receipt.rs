//! A receipt in a transaction: it ends its intent, settles the budget, and lets the asker go on.
//!
//! The end and the settling are the ledger's and stand whatever follows. Admission has checked the signature, the key,
//! the intent and the payload. Never here: whether a receipt is to be believed (`world/`, `crate::receipt`).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use aos_air::def;
use aos_air::hash::Digest;
use aos_air::plan::Status;
use aos_air::schema::{Shape, Value};

use super::effect::failed_value;
use super::{Step, Stop, Task};
use crate::Machine;
use crate::derived::Derived;
use crate::error::Fault;
use crate::id::IntentId;
use crate::input::Signed;
use crate::intent::{Closed, End, Intent, Origin, Stage};
use crate::program::Answer;
use crate::receipt::Receipt;
use crate::state::{self, Deadline, Due};
use crate::world::receipt_shape;

impl Step<'_> {
    pub(super) fn take_receipt(&mut self, machine: &mut Machine<'_>, signed: &Signed) -> Result<(), Stop> {
        let receipt = Receipt::decode(&signed.bytes).map_err(Fault::Record)?;
        let digest = Digest::of(&signed.bytes);
        let Some(intent) = self.intent(machine, receipt.intent)? else {
            return Ok(self.take_late(machine, &receipt, digest)?);
        };
        // Whoever doubts whether it was done does not know what it cost either.
        let cost = (receipt.status != Status::InDoubt).then_some(receipt.cost);
        let end = End { status: receipt.status, payload: receipt.payload, cost, receipt: Some(digest) };
        self.close(machine, &intent, &end)?;
        self.go_on(machine, &intent, &end)
    }

    /// Reads an intent that has not ended.
    pub(super) fn intent(&self, machine: &Machine<'_>, id: IntentId) -> Result<Option<Intent>, Fault> {
        let record = self.record(machine, &state::intent_key(id))?;
        record.map(|record| Intent::decode(&record).map_err(Fault::Record)).transpose()
    }

    /// Ends an intent: in the ledger, whatever follows.
    pub(super) fn close(&mut self, machine: &Machine<'_>, intent: &Intent, end: &End) -> Result<(), Fault> {
        let mut budget = self.budget(machine, &intent.grant)?;
        let closed = Closed::of(intent, self.place.height, end);
        let spent = closed.settled;
        let is_overrun = budget.settle(&self.limit(&intent.grant), intent.reserved, spent).is_overrun;
        self.set_budget(&intent.grant, &budget);
        self.set(state::intent_key(intent.id), None);
        if let Stage::Parked { expires_ns } = intent.stage {
            self.set(Deadline { due_ns: expires_ns, what: Due::Approval(intent.id) }.key(), None);
        }
        let slot = self.ledger().intents_closed;
        self.ledger().intents_closed += 1;
        self.ledger().intents_open -= 1;
        self.forget_closed(machine)?;
        self.set(state::closed_key(intent.id), Some(closed.encode()));
        self.set(state::closed_slot_key(slot), Some(intent.id.0.as_bytes().as_slice().into()));
        self.tell(Derived::Ended { intent: intent.id, status: end.status, is_late: false, spent, is_overrun });
        Ok(())
    }

    /// Returns the budget that the manifest in force gives a grant; an empty one where it has none, or is gone.
    fn limit(&self, grant: &str) -> def::Budget {
        self.program.grant(grant).and_then(|known| known.definition.budget).unwrap_or_default()
    }

    /// Forgets the oldest ended intents beyond the window: one for each that ends, two where the window was made smaller.
    fn forget_closed(&mut self, machine: &Machine<'_>) -> Result<(), Fault> {
        for _ in 0..2 {
            let ledger = *self.ledger();
            if ledger.intents_closed - ledger.intents_forgotten <= self.program.limits().intents_closed_kept {
                break;
            }
            let slot = state::closed_slot_key(ledger.intents_forgotten);
            self.ledger().intents_forgotten += 1;
            let oldest = self.record(machine, &slot)?.and_then(|id| <[u8; 32]>::try_from(&*id).ok());
            let oldest = oldest.ok_or_else(|| Fault::Record(missing()))?;
            self.set(state::closed_key(IntentId(Digest::from_bytes(oldest))), None);
            self.set(slot, None);
        }
        Ok(())
    }

    /// Records an answer to an intent that has ended: it settles what nobody knew before, and resumes nothing.
    fn take_late(&mut self, machine: &Machine<'_>, receipt: &Receipt, digest: Digest) -> Result<(), Fault> {
        let key = state::closed_key(receipt.intent);
        let record = self.record(machine, &key)?.ok_or_else(|| Fault::Record(missing()))?;
        let mut closed = Closed::decode(&record).map_err(Fault::Record)?;
        let mut is_overrun = false;
        if !closed.is_known && receipt.status != Status::InDoubt {
            let mut budget = self.budget(machine, &closed.grant)?;
            is_overrun = budget.settle_again(&self.limit(&closed.grant), closed.settled, receipt.cost).is_overrun;
            self.set_budget(&closed.grant, &budget);
            closed.settled = receipt.cost;
            closed.is_known = true;
        }
        closed.remember(digest);
        let (status, spent) = (receipt.status, closed.settled);
        self.set(key, Some(closed.encode()));
        self.tell(Derived::Ended { intent: receipt.intent, status, is_late: true, spent, is_overrun });
        Ok(())
    }

    /// Lets whoever asked go on: the plan's instance, or the reducer with an event of its own.
    pub(super) fn go_on(&mut self, machine: &mut Machine<'_>, intent: &Intent, end: &End) -> Result<(), Stop> {
        self.begin_world();
        match &intent.origin {
            Origin::Plan { instance, step, .. } => {
                self.resume(machine, *instance, step, intent.id, end.status, &end.payload)
            }
            Origin::Reducer { reducer, key } => {
                let answer = self.program.reducer_named(reducer).and_then(|known| known.answers.get(&intent.kind));
                // A reducer that is gone, or no longer takes the answer, is not told.
                let Some(answer) = answer else { return Ok(()) };
                let value = match end.status {
                    Status::Ok => {
                        let payload = self.answer_value(machine, answer, intent, &end.payload)?;
                        let is_earlier = intent.manifest != self.program.manifest().hash();
                        // An answer of an earlier manifest may be none that the reducer takes now.
                        if is_earlier && answer.payload.check(&payload).is_err() {
                            return Ok(());
                        }
                        answer.wrap(&payload, true)
                    }
                    status => {
                        let key = intent.author_key.as_deref();
                        answer.wrap(&failed_value(intent.id, key, &intent.kind, status, &end.payload), false)
                    }
                };
                let (reducer, key) = (reducer.clone(), key.clone());
                self.queue(None, Task::Answer { reducer, key, value, ordinal: 0 });
                Ok(())
            }
        }
    }

    /// Makes the event with which an answer comes back: the receipt's payload, or a record that takes its fields from
    /// the intent, the receipt and the parameters, in this order.
    fn answer_value(
        &mut self,
        machine: &Machine<'_>,
        answer: &Answer,
        intent: &Intent,
        payload: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let shape = match &*answer.payload {
            Shape::Record(fields) if !answer.is_receipt => fields,
            _ => return Ok(payload.to_vec()),
        };
        let receipt = receipt_shape(self.program, &intent.manifest, &intent.kind, Status::Ok, || {
            self.earlier.receipt(&intent.manifest, &intent.kind, machine.blobs)
        })?;
        let payload = receipt.decode(payload).map_err(|_| Fault::Record(missing()))?;
        let params = self.program.effect(&intent.kind).and_then(|effect| effect.params.decode(&intent.params).ok());
        let field = |value: &Value, name: &str| match value {
            Value::Record(fields) => fields.get(name).cloned(),
            _ => None,
        };
        let part = |name: &str| match name {
            "intent_id" => Some(Value::Hash(intent.id.0)),
            "idempotency_key" => {
                Some(Value::Option(intent.author_key.as_ref().map(|key| Box::new(Value::Text(key.clone())))))
            }
            _ => field(&payload, name).or_else(|| params.as_ref().and_then(|params| field(params, name))),
        };
        let fields = shape.iter().map(|of| part(&of.name).map(|value| (of.name.clone(), value)));
        let fields = fields.collect::<Option<BTreeMap<String, Value>>>();
        fields.map(|fields| Value::Record(fields).to_cbor()).ok_or_else(|| Fault::Record(missing()))
    }
}

fn missing() -> aos_air::cbor::CborError {
    aos_air::cbor::Reader::error(0, aos_air::cbor::Problem::Truncated)
}
