//! What an instance does when it is advanced: one step at a time, the ready ones in the order of their ids.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use aos_air::expr::{Code, EvalError};
use aos_air::limits::FAILURE_PLACE_BYTES_MAX;
use aos_air::plan::{EffectError, Ended, Op, Plan, Status};
use aos_air::schema::Value;

use super::{Answer, Instance, Next, PlanFailure, State};

/// The error of a step that waited for an answer as long as it may.
const AWAIT_TIMEOUT_CODE: &str = "plan.await_timeout";

type Stepped = Result<Next, PlanFailure>;

impl PlanFailure {
    fn new(code: &'static str, step: usize, place: &str) -> Self {
        let place = place.get(..place.floor_char_boundary(FAILURE_PLACE_BYTES_MAX)).unwrap_or_default();
        Self { code, step: Some(step), place: place.to_owned() }
    }

    fn eval(step: usize, error: &EvalError) -> Self {
        Self::new(error.code(), step, &error.place)
    }
}

impl Instance {
    /// Goes one step on: looks at the invariants after the step before, then at the first step that is ready.
    /// `logical_now_ns` says from when a step waits that begins to wait.
    pub fn advance(&mut self, logical_now_ns: u64) -> Next {
        if self.is_over {
            return Next::Idle;
        }
        let next = self.go_on(logical_now_ns).unwrap_or_else(|failure| Next::Ended(Err(failure)));
        if let Next::Ended(_) = next {
            self.is_over = true;
            self.ready.clear();
        }
        next
    }

    fn go_on(&mut self, logical_now_ns: u64) -> Stepped {
        let plan = self.plan.0.clone();
        if let Some(step) = self.unchecked.take() {
            self.check_invariants(&plan, step)?;
        }
        let Some(step) = self.ready.pop_first() else { return Ok(self.rest(&plan)) };
        match self.states.get(step).cloned() {
            Some(State::Open) if self.is_skipped(&plan, step)? => {
                self.settle(step, State::Skipped);
                Ok(Next::Moved)
            }
            Some(State::Open) => self.begin(&plan, step, logical_now_ns),
            Some(State::Waiting(_)) => self.answered(&plan, step),
            Some(State::TimedOut) => self.waited_in_vain(&plan, step),
            Some(State::Heard(value)) => self.heard(&plan, step, &value),
            Some(State::Broken(error)) => Err(PlanFailure::eval(step, &error)),
            Some(State::Skipped | State::Done | State::Asked) | None => Ok(Next::Moved),
        }
    }

    /// Nothing is ready: it waits, or it is over.
    fn rest(&self, plan: &Plan) -> Next {
        let goes_on = |state: &State| matches!(state, State::Waiting(_) | State::Asked);
        if self.states.iter().any(goes_on) {
            return Next::Idle;
        }
        Next::Ended(match plan.output {
            None => Ok(None),
            Some(_) => Err(PlanFailure { code: "plan.no_result", step: None, place: String::new() }),
        })
    }

    /// Every invariant holds of which all is there that it reads.
    fn check_invariants(&self, plan: &Plan, step: usize) -> Result<(), PlanFailure> {
        let scope = self.scope();
        for (index, invariant) in plan.invariants.iter().enumerate().filter(|(_, code)| code.is_ready(&scope)) {
            let holds = invariant.eval(&scope).map_err(|error| PlanFailure::eval(step, &error))?;
            if holds != Value::Bool(true) {
                return Err(PlanFailure::new("plan.invariant_violation", step, &format!("/invariants/{index}")));
            }
        }
        Ok(())
    }

    /// Tells whether a step is left out: a guard on an edge from a step that was done is false, or no step before it was
    /// done.
    fn is_skipped(&self, plan: &Plan, step: usize) -> Result<bool, PlanFailure> {
        let Some(incoming) = plan.steps.get(step).map(|step| &step.incoming) else { return Ok(false) };
        let mut done = incoming.iter().filter(|edge| self.states.get(edge.from) == Some(&State::Done)).peekable();
        if done.peek().is_none() {
            return Ok(!incoming.is_empty());
        }
        for edge in done {
            let Some(when) = &edge.when else { continue };
            if self.eval(when, step)? != Value::Bool(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn eval(&self, code: &Code, step: usize) -> Result<Value, PlanFailure> {
        code.eval(&self.scope()).map_err(|error| PlanFailure::eval(step, &error))
    }

    /// Does what a step does.
    fn begin(&mut self, plan: &Arc<Plan>, step: usize, logical_now_ns: u64) -> Stepped {
        let Some(op) = plan.steps.get(step).map(|step| &step.op) else { return Ok(Next::Moved) };
        match op {
            Op::Emit(emit) => {
                let params = self.eval(&emit.params, step)?.to_cbor();
                let key = match &emit.key {
                    Some(key) => match self.eval(key, step)? {
                        Value::Text(key) => Some(key),
                        _ => None,
                    },
                    None => None,
                };
                self.set(step, State::Asked);
                Ok(Next::Emit { step, kind: emit.kind.clone(), params, grant: emit.grant.clone(), key })
            }
            Op::Raise { event, closure, value } => {
                let value = self.eval(value, step)?.to_cbor();
                self.set(step, State::Asked);
                Ok(Next::Raise { step, event: event.clone(), closure: *closure, value })
            }
            Op::Assign { value, bind } => {
                let value = self.eval(value, step)?;
                self.bind(*bind, value);
                self.done(step);
                Ok(Next::Moved)
            }
            Op::End { result } => {
                let result = result.as_ref().map(|result| self.eval(result, step)).transpose()?;
                self.done(step);
                Ok(Next::Ended(Ok(result.map(|result| result.to_cbor()))))
            }
            Op::AwaitReceipt { handle, timeout_ns, .. } => {
                if !matches!(self.slots.get(*handle), Some(Some(_))) {
                    let name = plan.slots.get(*handle).map(|slot| slot.name.as_str()).unwrap_or_default();
                    return Err(PlanFailure::new("plan.handle_unbound", step, name));
                }
                if self.answer_to(step).is_some() {
                    return self.answered(plan, step);
                }
                self.wait(step, *timeout_ns, logical_now_ns);
                Ok(Next::Moved)
            }
            Op::AwaitEvent { timeout_ns, .. } => {
                self.wait(step, *timeout_ns, logical_now_ns);
                Ok(Next::Moved)
            }
        }
    }

    fn wait(&mut self, step: usize, timeout_ns: Option<u64>, logical_now_ns: u64) {
        self.set(step, State::Waiting(timeout_ns.map(|timeout| logical_now_ns.saturating_add(timeout))));
    }

    /// Takes the answer that a step waits for.
    fn answered(&mut self, plan: &Plan, step: usize) -> Stepped {
        let Some(Op::AwaitReceipt { emit, bind, status_is_read, .. }) = plan.steps.get(step).map(|step| &step.op)
        else {
            return Ok(Next::Moved);
        };
        let Some(Answer { status, payload }) = self.kept.remove(emit) else { return Ok(Next::Moved) };
        let changed = |place: &str| PlanFailure::new("plan.receipt_schema_changed", step, place);
        if status == Status::Ok {
            let Some(Op::Emit(emit)) = plan.steps.get(*emit).map(|step| &step.op) else { return Ok(Next::Moved) };
            let receipt = emit.receipt.decode(&payload).map_err(|mismatch| changed(&mismatch.pointer))?;
            self.bind(*bind, receipt);
            return Ok(self.end_wait(step, Ended { status, error: None }));
        }
        let error = EffectError::decode(&payload).ok_or_else(|| changed(""))?;
        if !status_is_read {
            return Err(PlanFailure::new("plan.effect_failed", step, &error.code));
        }
        Ok(self.end_wait(step, Ended { status, error: Some(error) }))
    }

    /// Ends a wait whose time is over.
    fn waited_in_vain(&mut self, plan: &Plan, step: usize) -> Stepped {
        let status = Status::Timeout;
        match plan.steps.get(step).map(|step| &step.op) {
            Some(Op::AwaitReceipt { status_is_read: false, .. }) => {
                Err(PlanFailure::new("plan.effect_failed", step, AWAIT_TIMEOUT_CODE))
            }
            Some(Op::AwaitEvent { status_is_read: false, .. }) => Err(PlanFailure::new("plan.event_timeout", step, "")),
            Some(Op::AwaitReceipt { .. }) => {
                let message = "no answer came within the time that the step waits".to_owned();
                let error = EffectError { code: AWAIT_TIMEOUT_CODE.to_owned(), message, retriable: false };
                Ok(self.end_wait(step, Ended { status, error: Some(error) }))
            }
            _ => Ok(self.end_wait(step, Ended { status, error: None })),
        }
    }

    fn heard(&mut self, plan: &Plan, step: usize, value: &[u8]) -> Stepped {
        if let Some(Op::AwaitEvent { shape, bind, .. }) = plan.steps.get(step).map(|step| &step.op)
            && let Ok(event) = shape.decode(value)
        {
            self.bind(*bind, event);
        }
        Ok(self.end_wait(step, Ended { status: Status::Ok, error: None }))
    }

    fn end_wait(&mut self, step: usize, ended: Ended) -> Next {
        if let Some(place) = self.ended.get_mut(step) {
            *place = Some(ended);
        }
        self.done(step);
        Next::Moved
    }
}
