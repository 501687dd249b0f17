//! What the host and principals say about intents: a decision on a parked one, the mark before a `once` intent leaves,
//! and the tick that consumes a deadline.

use alloc::format;

use aos_air::plan::Status;
use aos_air::policy;

use super::effect::{Asking, error};
use super::{Blame, Step, Stop};
use crate::Machine;
use crate::derived::{Derived, Verdict};
use crate::error::{Cause, Fault};
use crate::gate::Spend;
use crate::id::IntentId;
use crate::input::{Actor, Signed};
use crate::intent::{End, Intent, Stage};
use crate::receipt::PrincipalDecision;
use crate::state::{self, Deadline, Due};

impl Step<'_> {
    /// Approves or denies a parked intent in the name of a principal, if policy lets the principal.
    pub(super) fn take_decision(
        &mut self,
        machine: &mut Machine<'_>,
        actor: &Actor,
        signed: &Signed,
    ) -> Result<(), Stop> {
        let fail = |cause, place: &str| Self::failed(cause, None, 0, place);
        let decision = PrincipalDecision::decode(&signed.bytes).map_err(Fault::Record)?;
        let Actor::Principal(name) = actor else { return Err(fail(Cause::DecisionNotPermitted, "")) };
        let Some(principal) = self.program.principal(name) else {
            return Err(fail(Cause::DecisionNotPermitted, name));
        };
        let is_stale = decision.manifest != self.program.manifest().hash()
            || decision.manifest_seq != self.kept.ledger.manifest_seq
            || decision.expires_at_ns <= self.place.logical_now_ns;
        if is_stale {
            return Err(fail(Cause::DecisionStale, ""));
        }
        let parked = self.intent(machine, decision.intent)?;
        // What has lapsed is not decided any more, also before the tick that ends it.
        let now_ns = self.place.logical_now_ns;
        let is_pending = |intent: &Intent| matches!(intent.stage, Stage::Parked { expires_ns } if now_ns < expires_ns);
        let Some(intent) = parked.filter(is_pending) else {
            return Err(fail(Cause::DecisionNotPending, ""));
        };
        let request = policy::Parked {
            principal: name,
            roles: &principal.roles,
            grant: &intent.grant,
            kind: &intent.kind,
            approve: decision.approve,
            now_ns: self.place.logical_now_ns,
        };
        let said = self.program.manifest().policies().decide_parked(&request).map_err(|_| Fault::PolicyRecursion)?;
        if said.verdict != policy::Verdict::Allow {
            return Err(fail(Cause::DecisionNotPermitted, name));
        }
        if decision.approve {
            self.release(machine, intent, name)
        } else {
            let message = format!("principal {name} denied it");
            self.deny(machine, intent, "approval.denied", message, said.policies, Some(name))
        }
    }

    /// Lets an approved intent leave, if everything still allows it under the manifest in force.
    fn release(&mut self, machine: &mut Machine<'_>, mut intent: Intent, principal: &str) -> Result<(), Stop> {
        let judged =
            self.judge(machine, &intent.kind, &intent.params, &intent.grant, &intent.origin, Asking::Approved)?;
        match judged.verdict {
            Verdict::Denied { code, message } => {
                self.deny(machine, intent, &code, message, judged.policies, Some(principal))
            }
            Verdict::Allowed { reserved } => {
                if let Stage::Parked { expires_ns } = intent.stage {
                    self.set(Deadline { due_ns: expires_ns, what: Due::Approval(intent.id) }.key(), None);
                }
                (intent.reserved, intent.stage, intent.class) = (reserved, Stage::Open, judged.class);
                self.set(state::intent_key(intent.id), Some(intent.encode()));
                self.tell(Derived::Decided {
                    intent: intent.id,
                    verdict: Verdict::Allowed { reserved },
                    policies: judged.policies,
                    principal: Some(principal.into()),
                });
                Ok(())
            }
            Verdict::Parked { .. } => Err(Self::failed(Cause::DecisionNotPending, None, 0, "")),
        }
    }

    /// Ends a parked intent as denied.
    fn deny(
        &mut self,
        machine: &mut Machine<'_>,
        intent: Intent,
        code: &str,
        message: alloc::string::String,
        policies: alloc::vec::Vec<alloc::string::String>,
        principal: Option<&str>,
    ) -> Result<(), Stop> {
        self.tell(Derived::Decided {
            intent: intent.id,
            verdict: Verdict::Denied { code: code.into(), message: message.clone() },
            policies,
            principal: principal.map(Into::into),
        });
        let payload = error(code, message, false);
        let end = End { status: Status::Denied, payload, cost: Some(Spend::ZERO), receipt: None };
        self.close(machine, &intent, &end)?;
        self.go_on(machine, &intent, &end)
    }

    /// Marks an intent of class `once` before its first byte may leave.
    pub(super) fn take_attempt(&mut self, machine: &mut Machine<'_>, id: IntentId) -> Result<(), Stop> {
        let intent = self.intent(machine, id)?;
        assert!(intent.is_some(), "an attempt was admitted of an intent that is not there");
        if let Some(mut intent) = intent {
            intent.stage = Stage::Attempted;
            self.set(state::intent_key(id), Some(intent.encode()));
        }
        Ok(())
    }

    /// Consumes the earliest deadline.
    pub(super) fn take_tick(&mut self, machine: &mut Machine<'_>) -> Result<(), Stop> {
        let deadline = crate::world::next_deadline(self.index, machine.blobs)?;
        assert!(
            deadline.is_some_and(|deadline| deadline.due_ns <= self.place.logical_now_ns),
            "a tick was admitted before anything is due"
        );
        let Some(deadline) = deadline else { return Ok(()) };
        self.set(deadline.key(), None);
        match deadline.what {
            Due::Step { instance, step } => self.time_out(machine, instance, step),
            Due::Approval(id) => {
                let Some(intent) = self.intent(machine, id)? else { return Ok(()) };
                let message = "nobody approved it in time".into();
                self.deny(machine, intent, "approval.expired", message, alloc::vec::Vec::new(), None)
            }
        }
    }

    /// Ends a step's waiting. An intent that it waits for ends with it; one that may have left does so at its worst case,
    /// as nobody knows what became of it.
    fn time_out(&mut self, machine: &mut Machine<'_>, id: crate::id::InstanceId, step: u64) -> Result<(), Stop> {
        if !self.find(machine, id)? {
            return Ok(());
        }
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        let Some(live) = self.live.get(&id) else { return Ok(()) };
        let blame = Blame { instance: id, step: live.step_id(step) };
        if let Some(intent) = live.intent_awaited(step)
            && let Some(intent) = self.intent(machine, intent)?
        {
            let message = "no answer came within the time that the step waits";
            let payload = error("plan.await_timeout", message, false);
            // What was parked never left: that it cost nothing is known.
            let cost = matches!(intent.stage, Stage::Parked { .. }).then_some(Spend::ZERO);
            let end = End { status: Status::Timeout, payload, cost, receipt: None };
            self.close(machine, &intent, &end)?;
            self.go_on(machine, &intent, &end)?;
            self.resumed = Some(blame);
            return Ok(());
        }
        self.begin_world();
        if let Some(live) = self.live.get_mut(&id) {
            live.time_out(step);
        }
        self.resumed = Some(blame.clone());
        self.queue_advance(Some(blame), id);
        Ok(())
    }
}
