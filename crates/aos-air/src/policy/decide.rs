//! A request, weighed: deny if a forbid holds, else allow, else ask somebody, else deny; an error denies.
//!
//! Lives here: requests, decisions, and the policies in force, ready to decide. Deterministic: Cedar's answers are sets,
//! and are sorted before they leave. Never here: capabilities, budgets, what happens next.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, ContextCreationError, Decision as Answer, Entities, Entity, EntityId,
    EntityTypeName, EntityUid, EvaluationError, Policy, PolicyId, Request as CedarRequest, RestrictedExpression,
};

use super::check::APPROVAL;
use super::schema::{DECIDE, HOST, HTTP, NAMESPACE, PATH, PORT, SCHEME};
use super::slice::Slices;
use super::value::{self, Fields, OutOfRange};
use crate::schema::Value;
use crate::url::{Target, UrlRefused};

/// The role whose principals may decide on parked intents, unless a policy forbids it.
pub const APPROVER: &str = "approver";
/// The policy that says so, with its id.
const BUILT_IN: (&str, &str) = (
    "sys/Decide@1#approver",
    r#"permit(principal is Aos::Principal, action == Aos::Action::"effect.decide", resource) when { principal.roles.contains("approver") };"#,
);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal<'a> {
    /// A plan, by its name.
    Plan(&'a str),
    /// A reducer, by its module's name.
    Reducer(&'a str),
    /// A person or program of the trust block.
    Principal {
        /// The name.
        name: &'a str,
        /// The roles that count.
        roles: &'a [String],
    },
}

/// What is left of a grant's budget; none where that dimension has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// Count of effects.
    pub calls: Option<u64>,
    /// Tokens of language models.
    pub tokens: Option<u64>,
    /// Money, in hundredths.
    pub cents: Option<u64>,
    /// Bytes sent and received.
    pub bytes: Option<u64>,
}

impl From<[Option<u64>; 4]> for Left {
    /// Takes calls, tokens, cents and bytes, in this order.
    fn from([calls, tokens, cents, bytes]: [Option<u64>; 4]) -> Self {
        Self { calls, tokens, cents, bytes }
    }
}

/// An effect that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: Principal<'a>,
    /// The effect's kind.
    pub action: &'a str,
    /// The grant's name.
    pub grant: &'a str,
    /// The parameters, of the type that the effect has.
    pub params: &'a Value,
    /// Logical time in nanoseconds since 1970.
    pub now_ns: u64,
    /// What is left of the grant's budget.
    pub budget_left: Left,
}

/// A parked intent that a principal wants to approve or to deny.
#[derive(Debug, Clone, Copy)]
pub struct Parked<'a> {
    /// The principal's name.
    pub principal: &'a str,
    /// The principal's roles.
    pub roles: &'a [String],
    /// The kind of the intent's effect.
    pub kind: &'a str,
    /// The intent's grant.
    pub grant: &'a str,
    /// Whether it is to be approved.
    pub approve: bool,
    /// Logical time in nanoseconds since 1970.
    pub now_ns: u64,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may go ahead.
    Allow,
    /// It may not.
    Deny,
    /// It waits until somebody approves it.
    NeedsApproval,
}

/// A decision with what determined it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What was decided.
    pub verdict: Verdict,
    /// The policies that determined it, sorted: `<defpolicy>#<@id or index>`.
    pub policies: Vec<String>,
    /// For a denial: `policy.denied`, `policy.error`, `policy.range`, or the code of a URL that cannot be read.
    pub code: Option<&'static str>,
}

/// Cedar ran out of stack. The host's stack is too small for what was admitted: a Fault, never a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a policy ran out of stack")]
pub struct Recursion;

/// A grant, as far as policies see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant<'a> {
    pub name: &'a str,
    pub cap: &'a str,
    pub cap_type: &'a str,
}

/// The policies in force, ready to decide. A clone is cheap.
#[derive(Clone)]
pub struct Policies(Arc<Prepared>);

struct Prepared {
    slices: Slices,
    /// The permits that only hold once somebody approves.
    annotated: BTreeSet<PolicyId>,
    /// The grants, and the plans, reducers and principals that are known.
    entities: Entities,
    types: Types,
    authorizer: Authorizer,
}

/// The entity types, read once.
struct Types {
    principal: (String, EntityTypeName),
    plan: (String, EntityTypeName),
    reducer: (String, EntityTypeName),
    grant: EntityTypeName,
    action: EntityTypeName,
}

/// Why a request cannot be shown to policies.
pub(super) enum Unseen {
    Range,
    Url(UrlRefused),
    Recursion,
}

impl From<OutOfRange> for Unseen {
    fn from(_: OutOfRange) -> Self {
        Self::Range
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Policies").field(&self.0.slices).finish()
    }
}

impl Policies {
    /// Makes policies with different ids ready, beside the one that is always in force.
    pub(crate) fn new<'a>(
        mut policies: Vec<Policy>,
        grants: impl IntoIterator<Item = Grant<'a>>,
        principals: impl IntoIterator<Item = Principal<'a>>,
    ) -> Self {
        let (id, text) = BUILT_IN;
        policies.extend(Policy::parse(Some(PolicyId::new(id)), text));
        Self::prepare(&policies, Slices::new(&policies), grants, principals)
    }

    /// Makes the same policies ready without slicing them.
    #[cfg(test)]
    pub(super) fn whole<'a>(
        mut policies: Vec<Policy>,
        grants: impl IntoIterator<Item = Grant<'a>>,
        principals: impl IntoIterator<Item = Principal<'a>>,
    ) -> Self {
        let (id, text) = BUILT_IN;
        policies.extend(Policy::parse(Some(PolicyId::new(id)), text));
        Self::prepare(&policies, super::slice::whole(&policies), grants, principals)
    }

    fn prepare<'a>(
        policies: &[Policy],
        slices: Slices,
        grants: impl IntoIterator<Item = Grant<'a>>,
        principals: impl IntoIterator<Item = Principal<'a>>,
    ) -> Self {
        let types = Types::new();
        let grants = grants.into_iter().map(|grant| types.grant(grant));
        let principals = principals.into_iter().map(|principal| types.principal(principal));
        let entities: BTreeMap<EntityUid, Entity> =
            grants.chain(principals).map(|entity| (entity.uid(), entity)).collect();
        let Ok(entities) = Entities::from_entities(entities.into_values(), None) else {
            unreachable!("entities without parents, each once, always stand together");
        };
        let annotated = policies.iter().filter(|policy| policy.annotation(APPROVAL).is_some());
        let annotated = annotated.map(|policy| policy.id().clone()).collect();
        Self(Arc::new(Prepared { slices, annotated, entities, types, authorizer: Authorizer::new() }))
    }

    /// Decides whether an effect may go ahead.
    ///
    /// # Errors
    /// [`Recursion`], where the caller's stack is too small.
    pub fn decide(&self, request: &Request<'_>) -> Result<Decision, Recursion> {
        match effect_context(request) {
            Ok(context) => self.0.weigh(request.principal, request.action, request.grant, context),
            Err(Unseen::Range) => Ok(Decision::denied("policy.range", BTreeSet::new())),
            Err(Unseen::Url(refused)) => Ok(Decision::denied(refused.code(), BTreeSet::new())),
            Err(Unseen::Recursion) => Err(Recursion),
        }
    }

    /// Decides whether a principal may approve or deny a parked intent; this itself never needs an approval.
    ///
    /// # Errors
    /// [`Recursion`], where the caller's stack is too small.
    pub fn decide_parked(&self, parked: &Parked<'_>) -> Result<Decision, Recursion> {
        let fields = [
            ("kind", RestrictedExpression::new_string(parked.kind.to_string())),
            ("approve", RestrictedExpression::new_bool(parked.approve)),
            ("now", value::time(parked.now_ns)),
        ];
        let context = match context(fields) {
            Ok(context) => context,
            Err(Unseen::Recursion) => return Err(Recursion),
            Err(Unseen::Range | Unseen::Url(_)) => return Ok(Decision::denied("policy.range", BTreeSet::new())),
        };
        let principal = Principal::Principal { name: parked.principal, roles: parked.roles };
        let decision = self.0.weigh(principal, DECIDE, parked.grant, context)?;
        Ok(match decision.verdict {
            Verdict::NeedsApproval => Decision::denied("policy.denied", BTreeSet::new()),
            Verdict::Allow | Verdict::Deny => decision,
        })
    }
}

impl Prepared {
    fn weigh(
        &self,
        principal: Principal<'_>,
        action: &str,
        grant: &str,
        context: Context,
    ) -> Result<Decision, Recursion> {
        let (principal_type, name) = self.types.of(principal);
        let uid = |of: &EntityTypeName, id: &str| EntityUid::from_type_name_and_id(of.clone(), EntityId::new(id));
        let who = uid(&principal_type.1, name);
        let entities = self.entities_with(principal, &who);
        let entities = entities.as_ref().unwrap_or(&self.entities);
        let request =
            CedarRequest::new(who, uid(&self.types.action, action), uid(&self.types.grant, grant), context, None);
        let Ok(request) = request else {
            unreachable!("without a schema Cedar takes every request");
        };
        let mut found = Found::default();
        for set in self.slices.of(&principal_type.0, name, action) {
            let response = self.authorizer.is_authorized(&request, set, entities);
            for AuthorizationError::PolicyEvaluationError(error) in response.diagnostics().errors() {
                if matches!(error.inner(), EvaluationError::RecursionLimit(_)) {
                    return Err(Recursion);
                }
                found.errors.insert(error.policy_id().to_string());
            }
            for policy in response.diagnostics().reason() {
                let ids = match response.decision() {
                    Answer::Deny => &mut found.forbids,
                    Answer::Allow if self.annotated.contains(policy) => &mut found.annotated,
                    Answer::Allow => &mut found.permits,
                };
                ids.insert(policy.to_string());
            }
        }
        Ok(found.decision())
    }

    /// Returns the entities with a principal whom the manifest in force does not know as given: a plan that runs on
    /// after it left the manifest, or a principal with other roles. None where the prepared ones do.
    fn entities_with(&self, principal: Principal<'_>, uid: &EntityUid) -> Option<Entities> {
        let known = self.entities.get(uid);
        if known.is_some() && !matches!(principal, Principal::Principal { .. }) {
            return None;
        }
        let entity = self.types.principal(principal);
        if known.is_some_and(|known| known.deep_eq(&entity)) {
            return None;
        }
        let Ok(entities) = self.entities.clone().upsert_entities([entity], None) else {
            unreachable!("an entity without parents stands beside any others");
        };
        Some(entities)
    }
}

/// The policies that hold, and those that erred.
#[derive(Default)]
struct Found {
    errors: BTreeSet<String>,
    forbids: BTreeSet<String>,
    permits: BTreeSet<String>,
    annotated: BTreeSet<String>,
}

impl Found {
    fn decision(self) -> Decision {
        let Self { errors, forbids, permits, annotated } = self;
        let held = |verdict, policies: BTreeSet<String>| Decision {
            verdict,
            policies: policies.into_iter().collect(),
            code: None,
        };
        if !errors.is_empty() {
            Decision::denied("policy.error", errors)
        } else if !forbids.is_empty() {
            Decision::denied("policy.denied", forbids)
        } else if !permits.is_empty() {
            held(Verdict::Allow, permits)
        } else if !annotated.is_empty() {
            held(Verdict::NeedsApproval, annotated)
        } else {
            Decision::denied("policy.denied", BTreeSet::new())
        }
    }
}

impl Decision {
    fn denied(code: &'static str, policies: BTreeSet<String>) -> Self {
        Self { verdict: Verdict::Deny, policies: policies.into_iter().collect(), code: Some(code) }
    }
}

impl Types {
    fn new() -> Self {
        let of = |name: &str| {
            let name = [NAMESPACE, "::", name].concat();
            let Ok(read) = name.parse() else { unreachable!("the entity types are names in Cedar") };
            (name, read)
        };
        Self {
            principal: of("Principal"),
            plan: of("Plan"),
            reducer: of("Reducer"),
            grant: of("Grant").1,
            action: of("Action").1,
        }
    }

    fn of<'a>(&self, principal: Principal<'a>) -> (&(String, EntityTypeName), &'a str) {
        match principal {
            Principal::Plan(name) => (&self.plan, name),
            Principal::Reducer(name) => (&self.reducer, name),
            Principal::Principal { name, .. } => (&self.principal, name),
        }
    }

    fn principal(&self, principal: Principal<'_>) -> Entity {
        let (of, name) = self.of(principal);
        let text = |text: &str| RestrictedExpression::new_string(text.to_string());
        let mut attributes = Vec::from([("name".to_string(), text(name))]);
        if let Principal::Principal { roles, .. } = principal {
            let roles = roles.iter().map(|role| text(role));
            attributes.push(("roles".to_string(), RestrictedExpression::new_set(roles)));
        }
        entity(&of.1, name, attributes)
    }

    fn grant(&self, grant: Grant<'_>) -> Entity {
        let fields = [("name", grant.name), ("cap", grant.cap), ("cap_type", grant.cap_type)];
        let attributes = fields.map(|(name, of)| (name.to_string(), RestrictedExpression::new_string(of.to_string())));
        entity(&self.grant, grant.name, attributes.into())
    }
}

fn entity(of: &EntityTypeName, name: &str, attributes: Fields) -> Entity {
    let uid = EntityUid::from_type_name_and_id(of.clone(), EntityId::new(name));
    let Ok(entity) = Entity::new(uid, attributes.into_iter().collect(), [].into_iter().collect()) else {
        unreachable!("attributes that are texts need no evaluation");
    };
    entity
}

/// Makes the context of an effect.
pub(super) fn effect_context(request: &Request<'_>) -> Result<Context, Unseen> {
    let params = match request.params {
        Value::Record(params) => {
            let mut fields = value::record_fields(params)?;
            if let (HTTP, Some(Value::Text(url))) = (request.action, params.get("url")) {
                let Target { scheme, host, port, path, .. } = Target::parse(url).map_err(Unseen::Url)?;
                let text = [(SCHEME, scheme), (HOST, host), (PATH, path)];
                fields.extend(text.map(|(name, of)| (name.to_string(), RestrictedExpression::new_string(of))));
                fields.push((PORT.to_string(), RestrictedExpression::new_long(port.into())));
            }
            value::record(fields)?
        }
        other => value::value(other)?,
    };
    let Left { calls, tokens, cents, bytes } = request.budget_left;
    let mut left = Vec::new();
    for (name, amount) in [("calls", calls), ("tokens", tokens), ("cents", cents), ("bytes", bytes)] {
        if let Some(amount) = amount {
            left.push((name.to_string(), value::nat(amount)?));
        }
    }
    context([("params", params), ("now", value::time(request.now_ns)), ("budget_left", value::record(left)?)])
}

fn context<const N: usize>(fields: [(&str, RestrictedExpression); N]) -> Result<Context, Unseen> {
    Context::from_pairs(fields.map(|(name, of)| (name.to_string(), of))).map_err(|error| match error {
        ContextCreationError::Evaluation(EvaluationError::RecursionLimit(_)) => Unseen::Recursion,
        ContextCreationError::Evaluation(_)
        | ContextCreationError::NotARecord(_)
        | ContextCreationError::ExpressionConstruction(_) => Unseen::Range,
    })
}
