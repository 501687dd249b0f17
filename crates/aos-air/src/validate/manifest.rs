//! What validation hands on: a manifest with everything it names, ready for a world to run on.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Deref;

use crate::built_in;
use crate::def::{self, Definition, Kind, Trigger};
use crate::hash::Digest;
use crate::limits::Limits;
use crate::module::Entry;
use crate::name::Name;
use crate::plan;
use crate::policy::Policies;
use crate::schema::{KeyType, Shape, Type};

/// Something that validation found nothing wrong with. Only this module makes one.
#[derive(Debug, Clone)]
pub struct Checked<T>(T);

impl<T> Checked<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for Checked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A schema with its resolved type.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Its name.
    pub name: Name,
    /// The hash of its node, in which references are names.
    pub hash: Digest,
    /// Binds the schema and every schema that its type reaches: equal only if the whole type is equal.
    ///
    /// The node's hash where the type refers to nothing; else the digest of the canonical array of the node's hash and
    /// then, in the order of their names, the closures of the schemas that it refers to, as byte strings.
    pub closure: Digest,
    /// The type as written.
    pub written: Type,
    /// The type, its references resolved.
    pub shape: Arc<Shape>,
}

/// A module with its schemas.
#[derive(Debug, Clone)]
pub struct Module {
    /// Its name.
    pub name: Name,
    /// The hash of its node.
    pub hash: Digest,
    /// The hash of the author's WASM.
    pub wasm_hash: Digest,
    /// What it is for.
    pub role: Role,
}

/// What a module is for.
#[derive(Debug, Clone)]
pub enum Role {
    /// Turns state and event into state.
    Reducer(ReducerModule),
    /// Turns input into output.
    Pure(PureModule),
}

impl Module {
    /// Returns the export that the module is called through.
    pub const fn entry(&self) -> Entry {
        match self.role {
            Role::Reducer(_) => Entry::Reducer,
            Role::Pure(_) => Entry::Pure,
        }
    }
}

/// The interface of a reducer.
#[derive(Debug, Clone)]
pub struct ReducerModule {
    /// The type of the key, where each key has a cell of its own.
    pub key: Option<KeyType>,
    /// The state of a cell.
    pub state: Arc<Schema>,
    /// The events that it takes.
    pub event: Arc<Schema>,
    /// Whether it wants `sys/ReducerContext@1`.
    pub context: bool,
    /// Its annotations.
    pub annotations: Option<Arc<Schema>>,
    /// The kinds of micro-effects that it may ask for, with how the answers come back.
    pub answers: BTreeMap<String, Answer>,
    /// The capability types of its slots.
    pub cap_slots: BTreeMap<String, String>,
}

/// How the answer to a micro-effect comes back to its reducer: as an arm of the reducer's event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The schema of the arm's payload on success: the answer's own event, or the receipt's payload.
    pub payload: Name,
    /// The arm that takes it.
    pub ok: String,
    /// The arm that takes `sys/EffectFailed@1`.
    pub failed: String,
}

/// The interface of a pure module.
#[derive(Debug, Clone)]
pub struct PureModule {
    /// What goes in.
    pub input: Arc<Schema>,
    /// What comes out.
    pub output: Arc<Schema>,
    /// Whether it wants `sys/PureContext@1`.
    pub context: bool,
}

/// A route from an event to a reducer, made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The schema of the event.
    pub event: Name,
    /// The reducer that takes it.
    pub reducer: Name,
    /// The arm of the reducer's event variant that wraps it; none where the event is the reducer's own schema.
    pub arm: Option<String>,
    /// Where the key stands in the event, for [`Shape::select`].
    pub key_field: Option<String>,
}

/// A capability with the resolved type of its grants' params.
#[derive(Debug, Clone)]
pub struct Cap {
    /// The definition.
    pub definition: def::Cap,
    /// The type of a grant's params.
    pub shape: Arc<Shape>,
}

/// A manifest with everything it names.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub(super) definition: def::Manifest,
    /// The manifest's node first, then the definitions' by kind and name.
    pub(super) nodes: Vec<(Digest, Vec<u8>)>,
    pub(super) hash: Digest,
    pub(super) definitions: BTreeMap<(Kind, Name), (Digest, Definition)>,
    pub(super) schemas: BTreeMap<Name, Arc<Schema>>,
    pub(super) modules: BTreeMap<Name, Module>,
    pub(super) caps: BTreeMap<Name, Cap>,
    pub(super) routes: Vec<Route>,
    pub(super) plans: BTreeMap<Name, Arc<plan::Plan>>,
    pub(super) policies: Policies,
}

impl Manifest {
    /// Returns the hash of the manifest's node.
    pub const fn hash(&self) -> Digest {
        self.hash
    }

    /// Goes through the nodes to be stored: the manifest's first, then those of all its definitions but the built-in ones.
    pub fn nodes(&self) -> impl Iterator<Item = (Digest, &[u8])> {
        self.nodes.iter().map(|(hash, node)| (*hash, node.as_slice()))
    }

    /// Returns the manifest as a definition, with all hashes filled in.
    pub const fn definition(&self) -> &def::Manifest {
        &self.definition
    }

    /// Goes through the definitions by kind and name with the hashes of their nodes, without the built-in ones.
    pub fn definitions(&self) -> impl Iterator<Item = (Digest, &Definition)> {
        self.definitions.values().map(|(hash, definition)| (*hash, definition))
    }

    /// Finds a definition of the world or a built-in one, with the hash of its node.
    pub fn find(&self, kind: Kind, name: &Name) -> Option<(Digest, &Definition)> {
        let own = self.definitions.get(&(kind, name.clone())).map(|(hash, definition)| (*hash, definition));
        own.or_else(|| built_in::find(kind, name))
    }

    /// Finds a schema of the world or a built-in one.
    pub fn schema(&self, name: &Name) -> Option<&Schema> {
        self.schemas.get(name).map(|schema| &**schema).or_else(|| built_in::schema(name))
    }

    /// Goes through the world's own schemas by name.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        self.schemas.values().map(|schema| &**schema)
    }

    /// Finds a module.
    pub fn module(&self, name: &Name) -> Option<&Module> {
        self.modules.get(name)
    }

    /// Finds a reducer.
    pub fn reducer(&self, name: &Name) -> Option<&ReducerModule> {
        match &self.modules.get(name)?.role {
            Role::Reducer(reducer) => Some(reducer),
            Role::Pure(_) => None,
        }
    }

    /// Goes through the modules by name.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.values()
    }

    /// Finds a capability that a grant or definition of this world names, built-in ones among them.
    pub fn cap(&self, name: &Name) -> Option<&Cap> {
        self.caps.get(name)
    }

    /// Returns the routes in the order of the manifest.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Finds a plan, ready to run.
    pub fn plan(&self, name: &Name) -> Option<&Arc<plan::Plan>> {
        self.plans.get(name)
    }

    /// Goes through the plans by name, ready to run.
    pub fn plans(&self) -> impl Iterator<Item = &Arc<plan::Plan>> {
        self.plans.values()
    }

    /// Returns the triggers in the order of the manifest; the event of each is the input of its plan.
    pub fn triggers(&self) -> &[Trigger] {
        &self.definition.triggers
    }

    /// Returns the policies in force: those of `defaults.policy`, or none, which denies everything.
    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Returns the limits in force over those of a world's genesis: the manifest's own replace them one by one.
    pub fn limits_over(&self, base: &Limits) -> Limits {
        let mut limits = base.clone();
        for (name, value) in &self.definition.limits {
            let set = limits.set(name, *value);
            assert!(set, "a checked manifest sets a limit that is not there");
        }
        limits
    }
}
