//! `manifest`: what a world consists of, how events find reducers and plans, and who may do and say what.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::{Kind, Literal, given};
use crate::hash::Digest;
use crate::name::Name;
use crate::text::{At, Json, Members, Object, Rule, scalar};

/// The version of the format that this crate reads.
const VERSION: &str = "1";

/// The manifest of a world.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Manifest {
    /// The definitions that belong to the world, by kind.
    pub lists: BTreeMap<Kind, Vec<Listed>>,
    /// Which reducer takes which event, in order.
    pub events: Vec<EventRoute>,
    /// Which reducer takes what comes in from which source.
    pub inboxes: Vec<Inbox>,
    /// Which event starts which plan, in order.
    pub triggers: Vec<Trigger>,
    /// The policy in force; without one everything is denied.
    pub policy: Option<Name>,
    /// The capabilities that were granted.
    pub grants: Vec<Grant>,
    /// Which grant fills which slot of which module.
    pub bindings: BTreeMap<Name, BTreeMap<String, String>>,
    /// Whose signatures count.
    pub trust: Trust,
    /// Limits other than the defaults, by name.
    pub limits: BTreeMap<String, u64>,
    /// How many approvals a change needs.
    pub governance: Option<Governance>,
}

/// A definition in a list of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name.
    pub name: Name,
    /// The hash of its node; an author may leave it out, a checked manifest has it.
    pub hash: Option<Digest>,
}

/// A route from an event to a reducer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRoute {
    /// The schema of the event.
    pub event: Name,
    /// The module that takes it.
    pub reducer: Name,
    /// Where the key stands in the event: field names with dots between them.
    pub key_field: Option<String>,
}

/// A route from a source outside to a reducer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbox {
    /// The source, as the adapter names it.
    pub source: String,
    /// The module that takes what comes.
    pub reducer: Name,
}

/// An event that starts a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The schema of the event.
    pub event: Name,
    /// The plan that it starts.
    pub plan: Name,
    /// Where the event says what belongs together: field names with dots between them.
    pub correlate_by: Option<String>,
}

/// A capability that was granted under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// Its name, which steps and slots use.
    pub name: String,
    /// The capability.
    pub cap: Name,
    /// Its constraints, of the capability's schema.
    pub params: Literal,
    /// When it ends, in nanoseconds since 1970.
    pub expiry_ns: Option<u64>,
    /// The most that may be spent under it.
    pub budget: Option<Budget>,
    /// Whether the service behind it honours idempotency keys.
    pub honours_key: bool,
}

/// The most that may be spent under a grant; what is not named is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Count of effects.
    pub calls: Option<u64>,
    /// Tokens of language models.
    pub tokens: Option<u64>,
    /// Money, in hundredths.
    pub cents: Option<u64>,
    /// Bytes sent and received.
    pub bytes: Option<u64>,
}

/// Whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust {
    /// Keys that sign receipts.
    pub adapters: Vec<AdapterKey>,
    /// People and programs that propose and approve.
    pub principals: Vec<Principal>,
    /// Keys that sign checkpoints.
    pub hosts: Vec<HostKey>,
}

/// A key that signs an adapter's receipts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterKey {
    /// The adapter.
    pub adapter: String,
    /// Which of its keys.
    pub key_id: String,
    /// The key.
    pub key: PublicKey,
}

/// Somebody who proposes and approves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The name under which they act.
    pub name: String,
    /// Their key.
    pub key: PublicKey,
    /// Their roles, each once, sorted.
    pub roles: Vec<String>,
}

/// A key that signs checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// The host's name.
    pub name: String,
    /// Its key.
    pub key: PublicKey,
}

/// An ed25519 public key. Shown and read as `ed25519:` and 64 lower-case hexadecimal digits.
///
/// Any 32 bytes pass; whether they are a point of the curve is seen when a signature is verified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", scalar::print_hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is `ed25519:` and 64 lower-case hexadecimal digits")]
pub struct NotAKey;

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        text.strip_prefix("ed25519:").and_then(scalar::hex).map(Self).ok_or(NotAKey)
    }
}

/// How a change of the manifest is approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Governance {
    /// How many approvals a change needs.
    pub approvals: u64,
    /// Whether the author of a change may approve it alone.
    pub solo: bool,
}

impl Manifest {
    /// Finds a grant by its name.
    pub fn grant(&self, name: &str) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.name == name)
    }

    pub(super) fn read(object: &mut Object<'_>) -> Option<Self> {
        let version = object.required("air_version").and_then(|at| at.word(&[(VERSION, ())]));
        let mut lists = BTreeMap::new();
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Manifest) {
            let listed = object.optional(kind.list()).and_then(|at| at.list(Listed::read));
            lists.extend(listed.map(|listed| (kind, listed)));
        }
        let routing = object.optional("routing").map(|at| read_routing(&at));
        let triggers = object.optional("triggers").map(|at| at.list(Trigger::read));
        let defaults = object.optional("defaults").map(|at| read_defaults(&at));
        let bindings = object.optional("module_bindings").map(|at| at.entries(read_binding));
        let trust = object.optional("trust").map(|at| Trust::read(&at));
        let limits = object.optional("limits").map(|at| at.entries(|name, at| Some((name.to_owned(), at.nat()?))));
        let governance = object.optional("governance").map(|at| Governance::read(&at));
        version?;
        let (events, inboxes) = given(routing)?.unwrap_or_default();
        let (policy, grants) = given(defaults)?.unwrap_or_default();
        Some(Self {
            lists,
            events,
            inboxes,
            triggers: given(triggers)?.unwrap_or_default(),
            policy,
            grants,
            bindings: given(bindings)?.unwrap_or_default().into_iter().collect(),
            trust: given(trust)?.unwrap_or_default(),
            limits: given(limits)?.unwrap_or_default().into_iter().collect(),
            governance: given(governance)?,
        })
    }

    pub(super) fn to_json(&self) -> Json {
        let mut members = Members::of_kind(Kind::Manifest.keyword()).with("air_version", VERSION);
        for (kind, listed) in &self.lists {
            let mut listed: Vec<&Listed> = listed.iter().collect();
            listed.sort_unstable();
            members = members.list(kind.list(), listed.into_iter().map(Listed::to_json));
        }
        let routing = Members::default()
            .list("events", self.events.iter().map(EventRoute::to_json))
            .list("inboxes", self.inboxes.iter().map(Inbox::to_json));
        let defaults = Members::default()
            .maybe("policy", self.policy.as_ref())
            .list("cap_grants", self.grants.iter().map(Grant::to_json));
        let bindings = self.bindings.iter().map(|(module, slots)| (module.as_str().to_owned(), binding_json(slots)));
        members
            .block("routing", routing)
            .list("triggers", self.triggers.iter().map(Trigger::to_json))
            .block("defaults", defaults)
            .object("module_bindings", bindings)
            .block("trust", self.trust.to_json())
            .object("limits", self.limits.iter().map(|(name, value)| (name.clone(), (*value).into())))
            .maybe("governance", self.governance.map(Governance::to_json))
            .into()
    }
}

fn read_routing(at: &At<'_>) -> Option<(Vec<EventRoute>, Vec<Inbox>)> {
    let mut object = at.object()?;
    let events = object.optional("events").map(|at| at.list(EventRoute::read));
    let inboxes = object.optional("inboxes").map(|at| at.list(Inbox::read));
    object.finish();
    Some((given(events)?.unwrap_or_default(), given(inboxes)?.unwrap_or_default()))
}

pub(super) fn read_defaults(at: &At<'_>) -> Option<(Option<Name>, Vec<Grant>)> {
    let mut object = at.object()?;
    let policy = object.optional("policy").map(|at| at.name());
    let grants = object.optional("cap_grants").map(|at| at.list(Grant::read));
    object.finish();
    Some((given(policy)?, given(grants)?.unwrap_or_default()))
}

impl Listed {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let name = object.required("name").and_then(|at| at.name());
        let hash = object.optional("hash").map(|at| at.digest());
        object.finish();
        Some(Self { name: name?, hash: given(hash)? })
    }

    pub(crate) fn to_json(&self) -> Json {
        Members::default().with("name", &self.name).maybe("hash", self.hash).into()
    }
}

impl EventRoute {
    pub(super) fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let event = object.required("event").and_then(|at| at.name());
        let reducer = object.required("reducer").and_then(|at| at.name());
        let key_field = object.optional("key_field").map(|at| at.words());
        object.finish();
        Some(Self { event: event?, reducer: reducer?, key_field: given(key_field)? })
    }

    pub(super) fn to_json(&self) -> Json {
        Members::default()
            .with("event", &self.event)
            .with("reducer", &self.reducer)
            .maybe("key_field", self.key_field.as_deref())
            .into()
    }
}

impl Inbox {
    pub(super) fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let source = object.required("source").and_then(|at| at.words());
        let reducer = object.required("reducer").and_then(|at| at.name());
        object.finish();
        Some(Self { source: source?, reducer: reducer? })
    }

    pub(super) fn to_json(&self) -> Json {
        Members::default().with("source", self.source.as_str()).with("reducer", &self.reducer).into()
    }
}

impl Trigger {
    pub(super) fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let event = object.required("event").and_then(|at| at.name());
        let plan = object.required("plan").and_then(|at| at.name());
        let correlate_by = object.optional("correlate_by").map(|at| at.words());
        object.finish();
        Some(Self { event: event?, plan: plan?, correlate_by: given(correlate_by)? })
    }

    pub(super) fn to_json(&self) -> Json {
        Members::default()
            .with("event", &self.event)
            .with("plan", &self.plan)
            .maybe("correlate_by", self.correlate_by.as_deref())
            .into()
    }
}

impl Grant {
    pub(super) fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let name = object.required("name").and_then(|at| at.identifier());
        let cap = object.required("cap").and_then(|at| at.name());
        let params = object.required("params").map(|at| Literal::Written(at.json.clone()));
        let expiry_ns = object.optional("expiry_ns").map(|at| at.time());
        let budget = object.optional("budget").map(|at| Budget::read(&at));
        let honours_key = object.optional("honours_key").map(|at| at.bool());
        object.finish();
        Some(Self {
            name: name?,
            cap: cap?,
            params: params?,
            expiry_ns: given(expiry_ns)?,
            budget: given(budget)?,
            honours_key: given(honours_key)?.unwrap_or_default(),
        })
    }

    pub(super) fn to_json(&self) -> Json {
        Members::default()
            .with("name", self.name.as_str())
            .with("cap", &self.cap)
            .with("params", self.params.to_json())
            .maybe("expiry_ns", self.expiry_ns)
            .maybe("budget", self.budget.map(Budget::to_json))
            .maybe("honours_key", self.honours_key.then_some(true))
            .into()
    }
}

impl Budget {
    pub(crate) fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let calls = object.optional("calls").map(|at| at.nat());
        let tokens = object.optional("tokens").map(|at| at.nat());
        let cents = object.optional("cents").map(|at| at.nat());
        let bytes = object.optional("bytes").map(|at| at.nat());
        object.finish();
        Some(Self { calls: given(calls)?, tokens: given(tokens)?, cents: given(cents)?, bytes: given(bytes)? })
    }

    pub(crate) fn to_json(self) -> Json {
        Members::default()
            .maybe("calls", self.calls)
            .maybe("tokens", self.tokens)
            .maybe("cents", self.cents)
            .maybe("bytes", self.bytes)
            .into()
    }
}

pub(super) fn read_binding(module: &str, at: &At<'_>) -> Option<(Name, BTreeMap<String, String>)> {
    let Ok(module) = Name::parse(module) else {
        return at.refuse(Rule::NameForm, format!("`{module}` is not a name"));
    };
    let mut object = at.object()?;
    let slots = object
        .required("slots")
        .and_then(|at| at.entries(|slot, at| Some((at.as_identifier(slot)?, at.identifier()?))));
    object.finish();
    Some((module, slots?.into_iter().collect()))
}

pub(super) fn binding_json(slots: &BTreeMap<String, String>) -> Json {
    Json::one("slots", Json::object(slots.iter().map(|(slot, grant)| (slot.as_str(), grant.as_str().into()))))
}

impl Trust {
    pub(super) fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let adapters = object.optional("adapters").map(|at| at.list(AdapterKey::read));
        let principals = object.optional("principals").map(|at| at.list(Principal::read));
        let hosts = object.optional("hosts").map(|at| at.list(HostKey::read));
        object.finish();
        Some(Self {
            adapters: given(adapters)?.unwrap_or_default(),
            principals: given(principals)?.unwrap_or_default(),
            hosts: given(hosts)?.unwrap_or_default(),
        })
    }

    pub(super) fn to_json(&self) -> Members {
        Members::default()
            .list("adapters", self.adapters.iter().map(AdapterKey::to_json))
            .list("principals", self.principals.iter().map(Principal::to_json))
            .list("hosts", self.hosts.iter().map(HostKey::to_json))
    }
}

fn read_public_key(at: &At<'_>) -> Option<PublicKey> {
    let text = at.text()?;
    let help = |NotAKey| {
        at.refuse_with::<()>(Rule::FieldForm, format!("`{text}` is not a public key"), Some(format!("{NotAKey}")))
    };
    text.parse().map_err(help).ok()
}

impl AdapterKey {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let adapter = object.required("adapter").and_then(|at| at.identifier());
        let key_id = object.required("key_id").and_then(|at| at.identifier());
        let key = object.required("key").and_then(|at| read_public_key(&at));
        object.finish();
        Some(Self { adapter: adapter?, key_id: key_id?, key: key? })
    }

    fn to_json(&self) -> Json {
        Members::default()
            .with("adapter", self.adapter.as_str())
            .with("key_id", self.key_id.as_str())
            .with("key", format!("{}", self.key).as_str())
            .into()
    }
}

impl Principal {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let name = object.required("name").and_then(|at| at.identifier());
        let key = object.required("key").and_then(|at| read_public_key(&at));
        let roles = object.required("roles").and_then(|at| super::words_once(&at, At::identifier));
        object.finish();
        Some(Self { name: name?, key: key?, roles: roles? })
    }

    fn to_json(&self) -> Json {
        Members::default()
            .with("name", self.name.as_str())
            .with("key", format!("{}", self.key).as_str())
            .with("roles", Json::list(self.roles.iter().map(|role| role.as_str().into())))
            .into()
    }
}

impl HostKey {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let name = object.required("name").and_then(|at| at.identifier());
        let key = object.required("key").and_then(|at| read_public_key(&at));
        object.finish();
        Some(Self { name: name?, key: key? })
    }

    fn to_json(&self) -> Json {
        Members::default().with("name", self.name.as_str()).with("key", format!("{}", self.key).as_str()).into()
    }
}

impl Governance {
    pub(super) fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let approvals = object.required("approvals").and_then(|at| at.nat());
        let solo = object.required("solo").and_then(|at| at.bool());
        object.finish();
        Some(Self { approvals: approvals?, solo: solo? })
    }

    pub(super) fn to_json(self) -> Json {
        Members::default().with("approvals", self.approvals).with("solo", self.solo).into()
    }
}
