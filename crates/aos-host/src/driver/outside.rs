//! A world's way to the outside: intents that are durable go to adapters, their receipts come back as inputs.
//!
//! Nothing is dispatched whose block is not durable, and a `once` intent not before its attempt mark is. Which of the
//! open intents of a world that is taken up again may be sent once more, their class says. Never here: how an effect is
//! performed (`adapter/`), or when it is tried again (`dispatch/`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aos_air::def::{Definition, Kind};
use aos_air::name::Name;
use aos_air::policy;
use aos_air::schema::Value;
use aos_kernel::derived::{Derived, Verdict};
use aos_kernel::error::{Fault, Refusal};
use aos_kernel::frame::Frame;
use aos_kernel::gate::secret;
use aos_kernel::genesis::EffectMode;
use aos_kernel::id::IntentId;
use aos_kernel::input::{Actor, Body, Input, Signed};
use aos_kernel::intent::{Class, Intent, Origin, Stage, adapter_of};
use aos_kernel::program::Program;
use aos_kernel::receipt::Receipt;

use super::{Answer, DriveError, Driver};
use crate::adapter::Effect;
use crate::adapter::timer::{self, Place, Timers};
use crate::dispatch::{self, Dispatcher, Elsewhere, Finished, Limited, Order, Rest, SecretBinding};
use crate::keys::{Keys, Signer};
use crate::store;

/// Most deadlines that one turn consumes; the next turn goes on.
const TICKS_MAX: usize = 1_024;

/// What a receipt has beside its payload and its adapter's name: 172 bytes at most.
const RECEIPT_BYTES: usize = 192;

/// The adapters of a world and the keys that sign for them.
pub struct Outside {
    /// None while the world is being disconnected.
    dispatcher: Option<Dispatcher>,
    keys: Arc<Keys>,
    timers: Timers,
    /// What became open and was not dispatched yet, in order.
    fresh: Vec<IntentId>,
    /// What has ended and was not taken in yet, in the order of arrival.
    arrived: VecDeque<Finished>,
    /// Whether the clock stands further ahead than the world takes in without its operator.
    is_held: bool,
}

impl Driver {
    /// Connects the world to its adapters and takes up its open intents, each by its class: `safe` and `keyed` ones are
    /// dispatched, also if they were before; a `once` intent that may have left ends as `in_doubt`. Returns these ends,
    /// durable. An earlier connection is given up.
    ///
    /// # Errors
    /// [`DriveError::Keys`] where the world trusts adapters and no key of any of them is held here: then nothing has
    /// happened. Else as [`Driver::submit`].
    pub fn connect(&mut self, dispatcher: Dispatcher, keys: Arc<Keys>) -> Result<Vec<Answer>, DriveError> {
        let trusted = &self.world.program().manifest().definition().trust.adapters;
        let adapters: BTreeSet<&str> = trusted.iter().map(|key| key.adapter.as_str()).collect();
        let held: Vec<_> = adapters.iter().map(|adapter| keys.trusted(adapter, trusted)).collect();
        if !held.iter().any(Result::is_ok) {
            held.into_iter().next().transpose()?;
        }
        self.guarded(|driver| {
            driver.outside = Some(Outside {
                dispatcher: Some(dispatcher),
                keys,
                timers: Timers::default(),
                fresh: Vec::new(),
                arrived: VecDeque::new(),
                is_held: false,
            });
            for intent in driver.world.intents(&driver.blobs)? {
                let is_lost = intent.stage == Stage::Attempted;
                let lost = if is_lost { driver.effect(&intent) } else { None };
                let Some(outside) = &mut driver.outside else { break };
                outside.arrived.extend(lost.map(|(effect, signer)| dispatch::in_doubt(&effect, &signer)));
                if intent.stage == Stage::Open {
                    outside.fresh.push(intent.id);
                }
            }
            let answers = driver.take_arrived()?;
            driver.flush()?;
            Ok(answers)
        })
    }

    /// Waits for something to happen outside, at most for `timeout`, and takes it in: receipts in the order in which they
    /// arrived, timers and deadlines that are due. Returns what became of it, durable; empty where nothing happened, and
    /// at once where the world is not connected.
    ///
    /// What the world refuses because the clock has stepped too far is kept and offered again at the next turn.
    ///
    /// # Errors
    /// As [`Driver::submit`].
    pub fn turn(&mut self, timeout: Duration) -> Result<Vec<Answer>, DriveError> {
        self.guarded(|driver| {
            let wait = driver.until_due(timeout)?;
            let dispatcher = driver.outside.as_ref().and_then(|outside| outside.dispatcher.as_ref());
            let Some(arrived) = dispatcher.map(|dispatcher| dispatcher.wait(wait)) else { return Ok(Vec::new()) };
            let now_ns = driver.look()?;
            if let Some(outside) = &mut driver.outside {
                outside.arrived.extend(arrived);
                outside.arrived.extend(outside.timers.due(now_ns));
                outside.is_held = false;
            }
            let mut answers = driver.take_arrived()?;
            for _ in 0..TICKS_MAX {
                let next = driver.world.next_due_ns(&driver.blobs)?;
                if next.is_none_or(|next| next > now_ns) {
                    break;
                }
                let answer = driver.take(Input { actor: Actor::Host, id: None, body: Body::Tick })?;
                let is_taken = matches!(answer, Answer::Applied(_));
                driver.hold(&answer);
                answers.push(answer);
                if !is_taken {
                    break;
                }
            }
            driver.flush()?;
            Ok(answers)
        })
    }

    /// Disconnects the world: what runs outside has `grace` to end, and what ended is taken in. What may be repeated
    /// stays open.
    ///
    /// # Errors
    /// As [`Driver::submit`].
    pub fn disconnect(&mut self, grace: Duration) -> Result<Vec<Answer>, DriveError> {
        self.guarded(|driver| {
            let Some(outside) = &mut driver.outside else { return Ok(Vec::new()) };
            let Some(dispatcher) = outside.dispatcher.take() else { return Ok(Vec::new()) };
            let Rest { finished, .. } = dispatcher.shutdown(grace);
            outside.arrived.extend(finished);
            let answers = driver.take_arrived()?;
            driver.flush()?;
            driver.outside = None;
            Ok(answers)
        })
    }

    /// Returns how long nothing is due, at most `timeout`, and never so long that the clock goes on unseen.
    fn until_due(&mut self, timeout: Duration) -> Result<Duration, DriveError> {
        let timeout = timeout.min(Duration::from_nanos(self.world.limits().time_step_ns_max / 2));
        let Some(outside) = &self.outside else { return Ok(timeout) };
        if outside.is_held {
            return Ok(timeout);
        }
        if !outside.arrived.is_empty() {
            return Ok(Duration::ZERO);
        }
        let (timer, deadline) = (outside.timers.next_due(), self.world.next_due_ns(&self.blobs)?);
        let Some(next_ns) = timer.into_iter().chain(deadline).min() else { return Ok(timeout) };
        let left_ns = next_ns.saturating_sub(self.look()?);
        Ok(timeout.min(Duration::from_nanos(left_ns)))
    }

    /// Takes in what has arrived, in order, until the clock stands in the way.
    fn take_arrived(&mut self) -> Result<Vec<Answer>, DriveError> {
        let mut answers = Vec::new();
        while let Some(finished) = self.outside.as_mut().and_then(|outside| outside.arrived.pop_front()) {
            let answer = self.take_receipt(&finished)?;
            let is_held = self.hold(&answer);
            answers.push(answer);
            if is_held && let Some(outside) = &mut self.outside {
                outside.arrived.push_front(finished);
                break;
            }
        }
        Ok(answers)
    }

    /// Takes in a receipt; the blobs that it names are stored with it. One that the world refuses does not leave its
    /// intent open for ever: another one, which says so, ends it.
    fn take_receipt(&mut self, finished: &Finished) -> Result<Answer, DriveError> {
        let answer = self.take(input(finished)?)?;
        match &answer {
            Answer::Applied(_) => self.fresh_blobs.extend(finished.blobs.iter().cloned()),
            Answer::Refused(Refusal::TimeStep { .. }) | Answer::Known { .. } => {}
            Answer::Refused(refusal) => {
                let (intent, code) = (finished.intent, refusal.code());
                tracing::error!(%intent, code, %refusal, "the world refuses a receipt of its own adapter");
                let open = self.world.intent(&self.blobs, intent)?;
                let open = open.filter(|intent| !matches!(intent.stage, Stage::Parked { .. }));
                if let Some((effect, signer)) = open.and_then(|intent| self.effect(&intent)) {
                    return self.take(input(&dispatch::refused(&effect, &signer, finished.status, code))?);
                }
            }
        }
        Ok(answer)
    }

    /// Notes whether an answer says that the clock stands too far ahead.
    fn hold(&mut self, answer: &Answer) -> bool {
        let is_held = matches!(answer, Answer::Refused(Refusal::TimeStep { .. }));
        if is_held && let Some(outside) = &mut self.outside {
            outside.is_held = true;
            tracing::error!("the clock has stepped further than the world takes in without its operator");
        }
        is_held
    }

    /// Notes what a frame lets out and what it calls off.
    pub(super) fn note(&mut self, frame: &Frame) {
        let Some(outside) = &mut self.outside else { return };
        for derived in &frame.derived {
            match derived {
                Derived::Decided { intent, verdict: Verdict::Allowed { .. }, .. } => outside.fresh.push(*intent),
                // Whatever ended it: what still runs of it is called off, and told as late.
                Derived::Ended { intent, is_late: false, .. } => {
                    if let Some(dispatcher) = &outside.dispatcher {
                        dispatcher.cancel(*intent);
                    }
                    outside.arrived.extend(outside.timers.cancel(*intent, frame.stamp.now_ns));
                }
                _ => {}
            }
        }
    }

    /// Makes everything durable that was taken in, and lets out what may leave.
    pub(super) fn flush(&mut self) -> Result<(), DriveError> {
        let mut held = Vec::new();
        loop {
            self.commit_open()?;
            let fresh = match &mut self.outside {
                Some(outside) if outside.dispatcher.is_some() => std::mem::take(&mut outside.fresh),
                _ => return Ok(()),
            };
            if fresh.is_empty() {
                break;
            }
            // Whoever has taken the world over dispatches.
            let newest = self.store.fence(self.world.id())?;
            if newest != self.fence {
                let (held, newest) = (self.fence.number(), newest.number());
                return Err(store::Error::Fenced { world: self.world.id(), held, newest }.into());
            }
            held.extend(self.let_out(fresh)?);
        }
        if let Some(outside) = &mut self.outside {
            outside.fresh = held;
        }
        Ok(())
    }

    /// Dispatches durable intents; those of class `once` only after their marks are durable as well. Returns those that
    /// cannot be marked now, because of the clock.
    fn let_out(&mut self, fresh: Vec<IntentId>) -> Result<Vec<IntentId>, DriveError> {
        let (mut marked, mut held) = (Vec::new(), Vec::new());
        for id in fresh {
            let Some(intent) = self.world.intent(&self.blobs, id)? else { continue };
            if intent.mode != EffectMode::Live || intent.stage != Stage::Open {
                continue;
            }
            let Some((effect, signer)) = self.effect(&intent) else { continue };
            if intent.class != Class::Once {
                self.dispatch(&intent, effect, signer)?;
                continue;
            }
            let answer = self.take(Input { actor: Actor::Host, id: None, body: Body::Attempt(id) })?;
            match &answer {
                Answer::Applied(_) => marked.push((intent, effect, signer)),
                // Without its mark it does not leave: after a crash it would be sent again.
                _ if self.hold(&answer) => held.push(id),
                _ => tracing::error!(intent = %id, ?answer, "an intent of class once could not be marked"),
            }
        }
        self.commit_open()?;
        for (intent, effect, signer) in marked {
            self.dispatch(&intent, effect, signer)?;
        }
        Ok(held)
    }

    /// Hands an intent to its adapter.
    fn dispatch(&mut self, intent: &Intent, effect: Effect, signer: Arc<Signer>) -> Result<(), DriveError> {
        let program = self.world.program();
        let known = program.effect(&intent.kind).map(|effect| effect.receipt.clone());
        let receipt_bytes_max = usize::try_from(program.limits().receipt_bytes_max).unwrap_or(usize::MAX);
        let adapter = adapter_of(&intent.kind);
        if adapter == timer::NAME {
            let place = Place { height: intent.height.0, ordinal: intent.ordinal };
            let Some(outside) = &mut self.outside else { return Ok(()) };
            let set = outside.timers.push(effect.clone(), place, Arc::clone(&signer));
            outside.arrived.extend(set.err().map(|failed| dispatch::failed(&effect, &signer, &failed)));
            return Ok(());
        }
        let (secrets, elsewhere) = (secrets(program, intent), self.elsewhere(intent)?);
        let budget = program.grant(&intent.grant).and_then(|grant| grant.definition.budget).unwrap_or_default();
        let limited =
            Limited { tokens: budget.tokens.is_some(), cents: budget.cents.is_some(), bytes: budget.bytes.is_some() };
        let dispatcher = self.outside.as_ref().and_then(|outside| outside.dispatcher.as_ref());
        let (Some(receipt), Some(dispatcher)) = (known, dispatcher) else { return Ok(()) };
        let payload_bytes_max = receipt_bytes_max.saturating_sub(RECEIPT_BYTES + adapter.len());
        Ok(dispatcher.start(Order { effect, signer, receipt, payload_bytes_max, secrets, limited, elsewhere })?)
    }

    /// Returns what judges where a server sends a request on to: the policies under which it is dispatched.
    fn elsewhere(&self, intent: &Intent) -> Result<Option<Elsewhere>, DriveError> {
        let program = self.world.program();
        let params = program.effect(&intent.kind).and_then(|effect| effect.params.decode(&intent.params).ok());
        let (Some(Value::Record(params)), "http.request") = (params, intent.kind.as_str()) else { return Ok(None) };
        let limit = program.grant(&intent.grant).and_then(|grant| grant.definition.budget).unwrap_or_default();
        let budget_left = self.world.budget(&self.blobs, &intent.grant)?.left(&limit).into();
        let policies = program.manifest().policies().clone();
        let (origin, kind, grant) = (intent.origin.clone(), intent.kind.clone(), intent.grant.clone());
        let now_ns = self.world.logical_now_ns();
        Ok(Some(Elsewhere::new(move |url: &str, method: &str| {
            let mut params = params.clone();
            params.insert("url".into(), Value::Text(url.into()));
            params.insert("method".into(), Value::Text(method.into()));
            let params = &Value::Record(params);
            let principal = origin.principal();
            let request = policy::Request { principal, action: &kind, grant: &grant, params, now_ns, budget_left };
            policies.decide(&request).is_ok_and(|decision| decision.verdict == policy::Verdict::Allow)
        })))
    }

    /// Makes what an adapter sees of an intent, and finds the key that signs its receipt. None where no such key is held
    /// here: then it stays open, for a host that has one.
    fn effect(&self, intent: &Intent) -> Option<(Effect, Arc<Signer>)> {
        let program = self.world.program();
        let trusted = &program.manifest().definition().trust.adapters;
        let signer = match self.outside.as_ref()?.keys.trusted(adapter_of(&intent.kind), trusted) {
            Ok(signer) => signer,
            Err(error) => {
                tracing::error!(intent = %intent.id, code = error.code(), %error, "an intent cannot be answered here");
                return None;
            }
        };
        let grant_params = program.grant(&intent.grant).map(|grant| grant.params.to_cbor());
        let effect = Effect {
            world: self.world.id(),
            intent: intent.id,
            kind: intent.kind.clone(),
            params: intent.params.clone(),
            grant: intent.grant.clone(),
            // A grant that is gone constrains nothing any more: what it let out was decided before.
            grant_params: grant_params.unwrap_or_else(|| vec![0xa0]),
            class: intent.class,
            key: intent.outward_key(self.world.id()).to_hex(),
        };
        Some((effect, signer))
    }
}

/// Makes a receipt an input.
fn input(finished: &Finished) -> Result<Input, DriveError> {
    let crate::keys::Signed { receipt, signature } = finished.receipt.clone();
    let adapter = Receipt::decode(&receipt).map_err(Fault::Record)?.adapter;
    Ok(Input { actor: Actor::Adapter(adapter), id: None, body: Body::Receipt(Signed { bytes: receipt, signature }) })
}

/// Reads where the secrets lie that the manifest keeps for an intent's grant and plan, or for all.
fn secrets(program: &Program, intent: &Intent) -> BTreeMap<String, SecretBinding> {
    let plan = if let Origin::Plan { plan, .. } = &intent.origin { Some(plan.as_str()) } else { None };
    let user = secret::User { grant: &intent.grant, plan };
    let manifest = program.manifest();
    let binding = |name: &Name| match manifest.find(Kind::Secret, name)? {
        (_, Definition::Secret(secret)) if user.may_use(secret) => {
            let binding =
                SecretBinding { binding_id: secret.binding_id.clone(), expected_digest: secret.expected_digest };
            Some((secret.name.to_string(), binding))
        }
        _ => None,
    };
    let listed = manifest.definition().lists.get(&Kind::Secret).into_iter().flatten();
    listed.filter_map(|listed| binding(&listed.name)).collect()
}
