//! The blocks of a manifest that a patch replaces as a whole, each under its name.
//!
//! A block that a manifest leaves out is its empty one: an empty list or object, and null for `governance`.
//! The lists of definitions are no blocks: they follow the definitions. Next: `patch/`.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::manifest::{binding_json, read_binding, read_defaults};
use super::{EventRoute, Governance, Grant, Inbox, Manifest, Trigger, Trust};
use crate::name::Name;
use crate::text::{At, Json, Members, Node};

/// The name of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockName {
    /// Which reducer takes which event.
    Events,
    /// Which reducer takes what comes from outside.
    Inboxes,
    /// Which event starts which plan.
    Triggers,
    /// The policy in force and the grants.
    Defaults,
    /// Which grant fills which slot.
    ModuleBindings,
    /// Whose signatures count.
    Trust,
    /// Limits other than the defaults.
    Limits,
    /// How many approvals a change needs.
    Governance,
}

impl BlockName {
    /// Every block, in the order of the manifest.
    pub const ALL: [Self; 8] = [
        Self::Events,
        Self::Inboxes,
        Self::Triggers,
        Self::Defaults,
        Self::ModuleBindings,
        Self::Trust,
        Self::Limits,
        Self::Governance,
    ];

    /// Returns the key under which the block stands.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Inboxes => "inboxes",
            Self::Triggers => "triggers",
            Self::Defaults => "defaults",
            Self::ModuleBindings => "module_bindings",
            Self::Trust => "trust",
            Self::Limits => "limits",
            Self::Governance => "governance",
        }
    }

    /// Returns the JSON pointer to the block in a manifest.
    pub const fn pointer(self) -> &'static str {
        match self {
            Self::Events => "/routing/events",
            Self::Inboxes => "/routing/inboxes",
            Self::Triggers => "/triggers",
            Self::Defaults => "/defaults",
            Self::ModuleBindings => "/module_bindings",
            Self::Trust => "/trust",
            Self::Limits => "/limits",
            Self::Governance => "/governance",
        }
    }
}

/// A block of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// Which reducer takes which event, in order.
    Events(Vec<EventRoute>),
    /// Which reducer takes what comes from outside.
    Inboxes(Vec<Inbox>),
    /// Which event starts which plan, in order.
    Triggers(Vec<Trigger>),
    /// The policy in force and the grants.
    Defaults {
        /// The policy; without one everything is denied.
        policy: Option<Name>,
        /// The grants.
        grants: Vec<Grant>,
    },
    /// Which grant fills which slot of which module.
    ModuleBindings(BTreeMap<Name, BTreeMap<String, String>>),
    /// Whose signatures count.
    Trust(Trust),
    /// Limits other than the defaults, by name.
    Limits(BTreeMap<String, u64>),
    /// How many approvals a change needs.
    Governance(Option<Governance>),
}

impl Block {
    /// Takes a block from a manifest.
    pub fn of(manifest: &Manifest, name: BlockName) -> Self {
        match name {
            BlockName::Events => Self::Events(manifest.events.clone()),
            BlockName::Inboxes => Self::Inboxes(manifest.inboxes.clone()),
            BlockName::Triggers => Self::Triggers(manifest.triggers.clone()),
            BlockName::Defaults => Self::Defaults { policy: manifest.policy.clone(), grants: manifest.grants.clone() },
            BlockName::ModuleBindings => Self::ModuleBindings(manifest.bindings.clone()),
            BlockName::Trust => Self::Trust(manifest.trust.clone()),
            BlockName::Limits => Self::Limits(manifest.limits.clone()),
            BlockName::Governance => Self::Governance(manifest.governance),
        }
    }

    /// Returns which block it is.
    pub const fn name(&self) -> BlockName {
        match self {
            Self::Events(_) => BlockName::Events,
            Self::Inboxes(_) => BlockName::Inboxes,
            Self::Triggers(_) => BlockName::Triggers,
            Self::Defaults { .. } => BlockName::Defaults,
            Self::ModuleBindings(_) => BlockName::ModuleBindings,
            Self::Trust(_) => BlockName::Trust,
            Self::Limits(_) => BlockName::Limits,
            Self::Governance(_) => BlockName::Governance,
        }
    }

    /// Puts the block into a manifest, in the place of the one that is there.
    pub fn put(self, manifest: &mut Manifest) {
        match self {
            Self::Events(events) => manifest.events = events,
            Self::Inboxes(inboxes) => manifest.inboxes = inboxes,
            Self::Triggers(triggers) => manifest.triggers = triggers,
            Self::Defaults { policy, grants } => {
                manifest.policy = policy;
                manifest.grants = grants;
            }
            Self::ModuleBindings(bindings) => manifest.bindings = bindings,
            Self::Trust(trust) => manifest.trust = trust,
            Self::Limits(limits) => manifest.limits = limits,
            Self::Governance(governance) => manifest.governance = governance,
        }
    }

    /// Reads a block; what is wrong goes to the report.
    pub(crate) fn read(name: BlockName, at: &At<'_>) -> Option<Self> {
        Some(match name {
            BlockName::Events => Self::Events(at.list(EventRoute::read)?),
            BlockName::Inboxes => Self::Inboxes(at.list(Inbox::read)?),
            BlockName::Triggers => Self::Triggers(at.list(Trigger::read)?),
            BlockName::Defaults => {
                let (policy, grants) = read_defaults(at)?;
                Self::Defaults { policy, grants }
            }
            BlockName::ModuleBindings => Self::ModuleBindings(at.entries(read_binding)?.into_iter().collect()),
            BlockName::Trust => Self::Trust(Trust::read(at)?),
            BlockName::Limits => {
                Self::Limits(at.entries(|name, at| Some((name.to_owned(), at.nat()?)))?.into_iter().collect())
            }
            BlockName::Governance => match at.json.node {
                Node::Null => Self::Governance(None),
                _ => Self::Governance(Some(Governance::read(at)?)),
            },
        })
    }

    /// Prints the normal JSON of the block.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Events(events) => Json::list(events.iter().map(EventRoute::to_json)),
            Self::Inboxes(inboxes) => Json::list(inboxes.iter().map(Inbox::to_json)),
            Self::Triggers(triggers) => Json::list(triggers.iter().map(Trigger::to_json)),
            Self::Defaults { policy, grants } => Members::default()
                .maybe("policy", policy.as_ref())
                .list("cap_grants", grants.iter().map(Grant::to_json))
                .into(),
            Self::ModuleBindings(bindings) => {
                Json::object(bindings.iter().map(|(module, slots)| (module.as_str(), binding_json(slots))))
            }
            Self::Trust(trust) => trust.to_json().into(),
            Self::Limits(limits) => Json::object(limits.iter().map(|(name, value)| (name.as_str(), (*value).into()))),
            Self::Governance(None) => Node::Null.into(),
            Self::Governance(Some(governance)) => governance.to_json(),
        }
    }
}
