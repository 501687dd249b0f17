//! Asking for an effect: from a plan's step or a reducer's reply to an intent, or to a denial.
//!
//! The order is fixed: grant, expiry, mode, constraints with the worst case, secrets, policy, budget. Whatever is refused
//! is a recorded decision and an end that the asker can branch on; only an effect that the module may not ask for at
//! all, or whose parameters are no such parameters, fails the transaction.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use aos_air::abi::{Effect, PureCall, PureReply};
use aos_air::built_in::{self, EFFECT_ERROR};
use aos_air::cbor::write;
use aos_air::def::{Definition, Kind};
use aos_air::module::Entry;
use aos_air::name::Name;
use aos_air::plan::{EffectError, Status};
use aos_air::policy;
use aos_air::schema::{MismatchKind, Value};
use aos_air::validate::Role;

use super::{Step, Stop, Task};
use crate::Machine;
use crate::derived::{Derived, Verdict};
use crate::error::{Cause, Fault};
use crate::gate::{self, Budget, Denied, Enforcer, Spend, WorstCase, custom, secret};
use crate::genesis::EffectMode;
use crate::id::IntentId;
use crate::intent::{Asked, Class, Intent, Origin, Stage};
use crate::program::{self, Grant, Reducer};
use crate::state::{self, Deadline, Due};

/// An effect that somebody asks for.
pub(super) struct Ask<'a> {
    pub kind: &'a str,
    /// In canonical CBOR, fitting the effect's schema.
    pub params: Vec<u8>,
    pub grant: &'a str,
    pub author_key: Option<String>,
    pub origin: Origin,
}

/// When the gate is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// When the effect is asked for.
    First,
    /// Again, once a principal has approved it: then a policy that wants an approval has it.
    Approved,
}

/// What the gate came to.
pub(super) struct Judged {
    pub verdict: Verdict,
    pub policies: Vec<String>,
    pub class: Class,
}

impl<'a> Step<'a> {
    /// Takes in an effect of a reducer's reply.
    pub(super) fn ask_for_reducer(
        &mut self,
        machine: &mut Machine<'_>,
        reducer: &Reducer,
        key: Option<&[u8]>,
        effect: Effect,
        cause: u64,
    ) -> Result<(), Stop> {
        let fail = |of, place: &str| Self::failed(of, Some(reducer.index), cause, place);
        let Some((known, answer)) = self.program.effect(&effect.kind).zip(reducer.answers.get(&effect.kind)) else {
            return Err(fail(Cause::EffectKind, &effect.kind));
        };
        let params = known.params.canonical(&effect.params, self.program.limits().event_bytes_max);
        let params = params.map_err(|mismatch| match mismatch.kind {
            MismatchKind::TooLarge => fail(Cause::EventBytes, ""),
            _ => fail(Cause::EffectParams, &mismatch.pointer),
        })?;
        let params = params.into_owned();
        let slot = effect.cap_slot.as_deref().or_else(|| reducer.only_slot(&known.cap_type));
        let bound = slot.and_then(|slot| reducer.bindings.get(slot));
        let Some(grant) = bound else { return Err(fail(Cause::EffectSlot, slot.unwrap_or(&effect.kind))) };
        let origin = Origin::Reducer { reducer: reducer.name.clone(), key: key.map(Into::into) };
        let ask = Ask { kind: &effect.kind, params, grant, author_key: effect.idempotency_key.clone(), origin };
        let (intent, denied) = self.ask(machine, ask, cause)?;
        if let Some(denied) = denied {
            let failed = failed_value(intent, effect.idempotency_key.as_deref(), &effect.kind, Status::Denied, &denied);
            let value = answer.wrap(&failed, false);
            let (reducer, key) = (reducer.name.clone(), key.map(Into::into));
            self.queue(self.blamed.clone(), Task::Answer { reducer, key, value, ordinal: cause });
        }
        Ok(())
    }

    /// Decides on an effect and records it: as an intent, or as a denial, whose error is returned in canonical form.
    pub(super) fn ask(
        &mut self,
        machine: &mut Machine<'_>,
        ask: Ask<'_>,
        cause: u64,
    ) -> Result<(IntentId, Option<Vec<u8>>), Stop> {
        let Ask { kind, params, grant, author_key, origin } = ask;
        let bytes = params.len() + kind.len() + grant.len() + author_key.as_ref().map_or(0, String::len);
        self.count_derived(bytes, None, cause)?;
        let asked = Asked { kind, params: &params, grant, author_key: author_key.as_deref(), origin: &origin };
        let ordinal = self.asked;
        let id = asked.id(self.place.world, self.place.height, ordinal);
        self.asked += 1;
        self.tell(Derived::Asked {
            intent: id,
            origin: origin.clone(),
            kind: kind.into(),
            params: params.clone(),
            grant: grant.into(),
            author_key: author_key.clone(),
        });
        let judged = self.judge(machine, kind, &params, grant, &origin, Asking::First)?;
        self.tell(Derived::Decided {
            intent: id,
            verdict: judged.verdict.clone(),
            policies: judged.policies,
            principal: None,
        });
        let (reserved, stage) = match judged.verdict {
            Verdict::Denied { code, message } => return Ok((id, Some(error(code, message, false)))),
            Verdict::Allowed { reserved } => (reserved, Stage::Open),
            Verdict::Parked { expires_ns } => (Spend::default(), Stage::Parked { expires_ns }),
        };
        let intent = Intent {
            id,
            height: self.place.height,
            ordinal,
            manifest: self.program.manifest().hash(),
            mode: self.place.mode,
            origin,
            kind: kind.into(),
            params,
            grant: grant.into(),
            author_key,
            class: judged.class,
            reserved,
            stage,
        };
        if let Stage::Parked { expires_ns } = stage {
            let deadline = Deadline { due_ns: expires_ns, what: Due::Approval(id) };
            self.set(deadline.key(), Some(state::mark()));
        }
        self.ledger().intents_open += 1;
        self.set(state::intent_key(id), Some(intent.encode()));
        Ok((id, None))
    }

    /// Lets capability, policy and budget decide under the manifest in force; an allowed effect's worst case is reserved.
    pub(super) fn judge(
        &mut self,
        machine: &mut Machine<'_>,
        kind: &str,
        params: &[u8],
        grant: &str,
        origin: &Origin,
        asking: Asking,
    ) -> Result<Judged, Stop> {
        let mut class = Class::Once;
        let program = self.program;
        let refuse = |class, denied: Denied, policies| Judged {
            verdict: Verdict::Denied { code: denied.code.into_owned(), message: denied.message },
            policies,
            class,
        };
        let found = match self.find_grant(kind, grant) {
            Ok(found) => found,
            Err(denied) => return Ok(refuse(class, denied, Vec::new())),
        };
        let (effect, granted) = found;
        let Ok(value) = effect.params.decode(params) else {
            let denied = Denied::new("effect.params", format!("the parameters are not those of `{kind}` any more"));
            return Ok(refuse(class, denied, Vec::new()));
        };
        class = Class::of(kind, method(&value), granted.definition.honours_key);
        let worst = match self.constrain(machine, effect, granted, &value, params, origin)? {
            Ok(worst) => worst,
            Err(denied) => return Ok(refuse(class, denied, Vec::new())),
        };
        let budget = self.budget(machine, grant)?;
        let limit = granted.definition.budget.unwrap_or_default();
        let request = policy::Request {
            principal: origin.principal(),
            action: kind,
            grant,
            params: &value,
            now_ns: self.place.logical_now_ns,
            budget_left: budget.left(&limit).into(),
        };
        let decision = program.manifest().policies().decide(&request).map_err(|_| Fault::PolicyRecursion)?;
        let parked = match decision.verdict {
            policy::Verdict::Allow => false,
            policy::Verdict::NeedsApproval => asking == Asking::First,
            policy::Verdict::Deny => {
                let code = decision.code.unwrap_or("policy.denied");
                return Ok(refuse(class, Denied::new(code, policy_words(code, kind, origin)), decision.policies));
            }
        };
        if asking == Asking::First && self.ledger().intents_open >= program.limits().intents_open_max {
            let message = format!("{} intents are open already", program.limits().intents_open_max);
            return Ok(refuse(class, Denied::new("limit.intents_open", message), decision.policies));
        }
        if parked {
            let expires_ns = self.place.logical_now_ns.saturating_add(program.limits().approval_wait_ns);
            return Ok(Judged { verdict: Verdict::Parked { expires_ns }, policies: decision.policies, class });
        }
        let mut budget = budget;
        match budget.reserve(&limit, &worst) {
            Err(denied) => Ok(refuse(class, denied, decision.policies)),
            Ok(reserved) => {
                self.set_budget(grant, &budget);
                Ok(Judged { verdict: Verdict::Allowed { reserved }, policies: decision.policies, class })
            }
        }
    }

    /// Finds the grant in force, of the right type and not expired, in a world that performs effects at all.
    fn find_grant(&self, kind: &str, grant: &str) -> Result<(&'a program::Effect, &'a Grant), Denied> {
        let program = self.program;
        let Some((effect, granted)) = program.effect(kind).zip(program.grant(grant)) else {
            return Err(Denied::new("cap.revoked", format!("the grant `{grant}` is gone")));
        };
        if granted.cap_type != effect.cap_type {
            let message =
                format!("the grant `{grant}` is of the type `{}`, not `{}`", granted.cap_type, effect.cap_type);
            return Err(Denied::new("cap.revoked", message));
        }
        gate::check_expiry(&granted.definition, self.place.logical_now_ns)?;
        if self.place.mode == EffectMode::Deny {
            return Err(Denied::new("effect.mode", "the world's effect mode is deny".to_string()));
        }
        Ok((effect, granted))
    }

    /// Checks an effect against its grant's constraints and the rules for secrets.
    fn constrain(
        &mut self,
        machine: &mut Machine<'_>,
        effect: &program::Effect,
        grant: &Grant,
        value: &Value,
        params: &[u8],
        origin: &Origin,
    ) -> Result<Result<WorstCase, Denied>, Stop> {
        let known = match gate::constrain(grant.enforcer, &effect.kind, &grant.params, value) {
            Ok(known) => known,
            Err(denied) => return Ok(Err(denied)),
        };
        let worst = match grant.enforcer {
            Enforcer::Custom => self.ask_enforcer(machine, effect, grant, params, origin, known)?,
            Enforcer::AllowAll | Enforcer::HttpOut | Enforcer::LlmBasic => Ok(known),
        };
        let plan = matches!(origin, Origin::Plan { .. }).then(|| origin.name());
        let user = secret::User { grant: &grant.definition.name, plan };
        let manifest = self.program.manifest();
        let find = |name: &str| match manifest.find(Kind::Secret, &Name::parse(name).ok()?)? {
            (_, Definition::Secret(secret)) => Some(secret),
            _ => None,
        };
        Ok(worst.and_then(|worst| secret::check(&effect.kind, value, user, &find).map(|_| worst)))
    }

    /// Lets the world's own module enforce a grant's constraints.
    fn ask_enforcer(
        &mut self,
        machine: &mut Machine<'_>,
        effect: &program::Effect,
        grant: &Grant,
        params: &[u8],
        origin: &Origin,
        known: WorstCase,
    ) -> Result<Result<WorstCase, Denied>, Stop> {
        let module = grant.module.as_ref().and_then(|name| self.program.manifest().module(name));
        assert!(module.is_some(), "a checked manifest names an enforcer that is not there");
        let Some(module) = module else { return Ok(Err(custom::failed("is not there"))) };
        let check = custom::Check {
            cap_params: &grant.params.to_cbor(),
            effect_kind: &effect.kind,
            effect_params: params,
            grant: &grant.definition.name,
            origin_kind: origin.word(),
            origin_name: origin.name(),
            logical_now_ns: self.place.logical_now_ns,
        };
        let wants_context = matches!(&module.role, Role::Pure(pure) if pure.context);
        let context = wants_context.then(|| self.pure_context(module.name.as_str()));
        self.scratch.call.clear();
        PureCall { input: &check.encode(), context: context.as_deref() }.encode(&mut self.scratch.call);
        Ok(match self.run_module(machine, &module.wasm_hash, Entry::Pure)? {
            Err(cause) => Err(custom::failed(&format!("failed: {}", cause.code()))),
            Ok(()) => match PureReply::decode(&self.scratch.reply) {
                Ok(PureReply::Output(output)) => custom::verdict(&output, known),
                Ok(PureReply::Error(words)) => Err(custom::failed(&format!("failed: {words}"))),
                Err(_) => Err(custom::failed("gave no verdict")),
            },
        })
    }

    /// Makes the context of a pure module, `sys/PureContext@1`, in canonical form.
    fn pure_context(&self, module: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        write::map(&mut out, 4);
        write::text(&mut out, "module");
        write::text(&mut out, module);
        write::text(&mut out, "manifest_hash");
        write::bytes(&mut out, self.program.manifest().hash().as_bytes());
        write::text(&mut out, "journal_height");
        write::uint(&mut out, self.place.height.0);
        write::text(&mut out, "logical_now_ns");
        write::uint(&mut out, self.place.logical_now_ns);
        out
    }

    /// Reads what was spent of a grant's budget.
    pub(super) fn budget(&self, machine: &Machine<'_>, grant: &str) -> Result<Budget, Fault> {
        state::budget_of(self.record(machine, &state::budget_key(grant))?.as_deref())
    }

    /// Writes what was spent of a grant's budget.
    pub(super) fn set_budget(&mut self, grant: &str, budget: &Budget) {
        self.set(state::budget_key(grant), Some(state::encode_budget(grant, budget)));
    }
}

/// Returns the method of an HTTP request's parameters.
fn method(params: &Value) -> Option<&str> {
    let Value::Record(fields) = params else { return None };
    match fields.get("method") {
        Some(Value::Text(method)) => Some(method),
        _ => None,
    }
}

fn policy_words(code: &str, kind: &str, origin: &Origin) -> String {
    match code {
        "policy.error" => format!("a policy could not be evaluated for `{kind}`"),
        "policy.range" => format!("a parameter of `{kind}` lies outside what policies can compare"),
        _ => format!("no policy allows `{kind}` for {}", origin.name()),
    }
}

/// Makes a value of `sys/EffectError@1` in canonical form.
pub(super) fn error(code: impl Into<String>, message: impl Into<String>, retriable: bool) -> Vec<u8> {
    EffectError { code: code.into(), message: message.into(), retriable }.value().to_cbor()
}

/// Makes a value of `sys/EffectFailed@1` in canonical form; `error` is one of `sys/EffectError@1`.
pub(super) fn failed_value(intent: IntentId, key: Option<&str>, kind: &str, status: Status, error: &[u8]) -> Vec<u8> {
    let error = built_in::schema_named(EFFECT_ERROR).and_then(|schema| schema.shape.decode(error).ok());
    let option = |value: Option<Value>| Value::Option(value.map(Box::new));
    let fields = [
        ("intent_id", Value::Hash(intent.0)),
        ("idempotency_key", option(key.map(|key| Value::Text(key.into())))),
        ("kind", Value::Text(kind.into())),
        ("status", status.value()),
        ("error", option(error)),
    ];
    Value::Record(fields.into_iter().map(|(name, value)| (name.into(), value)).collect()).to_cbor()
}
