//! A manifest made ready to run: names become indexes, routes become lists, so that a step looks up nothing by text but
//! the schema that an event names.
//!
//! Made once when a manifest comes into force. Never here: state; two worlds may share a program.

mod names;
mod route;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use aos_air::built_in;
use aos_air::def::{self, Definition, Kind, Scope};
use aos_air::diag;
use aos_air::hash::Digest;
use aos_air::limits::Limits;
use aos_air::name::Name;
use aos_air::plan::{Op, Plan, Step};
use aos_air::schema::{Shape, Value};
use aos_air::validate::{self, Checked, Manifest, ReducerModule, Role};

use crate::gate::Enforcer;
use crate::index;
use crate::input::Actor;
use crate::receipt::Keys;
use crate::state;

use route::Wrap;
pub(crate) use route::check_given_key;
pub use route::{Answer, Route};

/// A manifest in force.
pub struct Program {
    manifest: Checked<Manifest>,
    limits: Limits,
    schemas: Vec<Schema>,
    schema_by_name: BTreeMap<String, usize>,
    reducers: Vec<Reducer>,
    /// By the index of the event's schema.
    routes: Vec<Vec<Route>>,
    /// By the index of the event's schema.
    triggers: Vec<Vec<Trigger>>,
    principals: Vec<Principal>,
    /// The adapters of the trusted keys, in the manifest's order.
    adapters: Vec<String>,
    keys: Keys,
    /// The events that steps of plans wait for.
    awaited: BTreeSet<String>,
    inboxes: Vec<Inbox>,
    effects: BTreeMap<String, Effect>,
    grants: BTreeMap<String, Grant>,
}

/// An effect that can be asked for.
pub struct Effect {
    /// Its kind.
    pub kind: String,
    /// The capability type that a grant for it has.
    pub cap_type: String,
    /// The type of its parameters.
    pub params: Arc<Shape>,
    /// The type of its receipt's payload.
    pub receipt: Arc<Shape>,
    /// Who may ask for it.
    pub scope: Scope,
}

/// A capability that was granted.
pub struct Grant {
    /// The grant as the manifest has it.
    pub definition: def::Grant,
    /// The constraints in the form of the capability's schema.
    pub params: Value,
    /// The capability's type.
    pub cap_type: String,
    /// Who enforces the constraints.
    pub enforcer: Enforcer,
    /// The module that does, where it is one of the world's own.
    pub module: Option<Name>,
}

/// A principal of the manifest's `trust`.
pub struct Principal {
    /// Its name.
    pub name: String,
    /// Its roles.
    pub roles: Vec<String>,
}

/// An event that starts a plan.
pub struct Trigger {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Where the value stands in the event that correlates the instance, for [`Shape::select`].
    pub correlate_by: Option<String>,
}

/// A schema that events may have.
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Its type.
    pub shape: Arc<Shape>,
    /// Binds the schema and all that it refers to.
    pub closure: Digest,
}

/// A module that keeps state.
pub struct Reducer {
    /// Its name.
    pub name: String,
    /// Its index among the manifest's modules, which frames use.
    pub index: u64,
    /// What the keys of its cells in the state index start with.
    pub cells: index::Key,
    /// Digest of the author's WASM.
    pub wasm: Digest,
    /// The name of its event schema, which its calls carry.
    pub event_schema: String,
    /// The type of its events.
    pub event: Arc<Shape>,
    /// Closure of its state schema, which each cell stores: it names the whole type, references and all.
    pub state_schema: Digest,
    /// The type of its state.
    pub state: Arc<Shape>,
    /// The type of its keys, where it is keyed.
    pub key: Option<Arc<Shape>>,
    /// The type of its annotations, where it declares them.
    pub annotations: Option<Arc<Shape>>,
    /// Whether its calls carry a context.
    pub context: bool,
    /// The capability type of each slot.
    pub slots: BTreeMap<String, String>,
    /// The grant of each slot that is bound.
    pub bindings: BTreeMap<String, String>,
    /// The kinds of effects that it may ask for.
    pub answers: BTreeMap<String, Answer>,
}

struct Inbox {
    source: String,
    route: Route,
}

impl Program {
    /// Compiles a manifest. `base` are the limits of the world's genesis; the manifest's own replace them one by one.
    pub fn compile(manifest: Checked<Manifest>, base: &Limits) -> Self {
        let limits = manifest.limits_over(base);
        // The listed ones in the manifest's order, then built-in ones that only routes name, in the order of the routes.
        let listed = listed(&manifest, Kind::Schema)
            .chain(manifest.routes().iter().map(|route| &route.event))
            .chain(manifest.triggers().iter().map(|trigger| &trigger.event))
            .chain(manifest.plans().flat_map(|plan| &plan.steps).filter_map(event_of));
        let (mut schemas, mut seen): (Vec<Schema>, BTreeSet<&Name>) = (Vec::new(), BTreeSet::new());
        for name in listed {
            if seen.insert(name) {
                let schema = manifest.schema(name).map(|schema| (schema.shape.clone(), schema.closure));
                assert!(schema.is_some(), "a checked manifest names a schema that is not there");
                schemas.extend(schema.map(|(shape, closure)| Schema { name: name.to_string(), shape, closure }));
            }
        }
        let schema_by_name = schemas.iter().enumerate().map(|(index, schema)| (schema.name.clone(), index)).collect();
        let mut program = Self {
            limits,
            schemas,
            schema_by_name,
            reducers: Vec::new(),
            routes: Vec::new(),
            triggers: Vec::new(),
            principals: Vec::new(),
            adapters: Vec::new(),
            keys: Keys::of(&manifest.definition().trust),
            awaited: manifest
                .plans()
                .flat_map(|plan| &plan.steps)
                .filter(|step| matches!(step.op, Op::AwaitEvent { .. }))
                .filter_map(event_of)
                .map(ToString::to_string)
                .collect(),
            inboxes: Vec::new(),
            effects: effects(&manifest),
            grants: grants(&manifest),
            manifest,
        };
        program.reducers = program.compile_reducers();
        program.compile_routes();
        program.compile_triggers();
        program.compile_trust();
        program
    }
}

impl Program {
    /// Returns the manifest.
    pub const fn manifest(&self) -> &Checked<Manifest> {
        &self.manifest
    }

    /// Returns the limits in force.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the schema of this name, with its index.
    pub fn schema(&self, name: &str) -> Option<(usize, &Schema)> {
        let index = *self.schema_by_name.get(name)?;
        Some((index, self.schemas.get(index)?))
    }

    /// Returns the schema at an index that the program itself has given out.
    pub fn schema_at(&self, index: usize) -> &Schema {
        let schema = self.schemas.get(index);
        assert!(schema.is_some(), "a schema's index is out of range");
        #[expect(clippy::indexing_slicing, reason = "asserted on the line above")]
        &self.schemas[index]
    }

    /// Returns the name of a schema that is near `name`.
    pub fn nearest_schema(&self, name: &str) -> Option<String> {
        diag::nearest(name, self.schemas.iter().map(|schema| schema.name.as_str())).map(Into::into)
    }

    /// Returns where events of a schema go, in the manifest's order.
    pub fn routes(&self, schema: usize) -> &[Route] {
        self.routes.get(schema).map_or(&[], Vec::as_slice)
    }

    /// Returns where messages of an actor go; none for one that is no inbox.
    pub fn inbox(&self, actor: &Actor) -> Option<&Route> {
        let Actor::Inbox(source) = actor else { return None };
        self.inboxes.iter().find(|inbox| inbox.source == *source).map(|inbox| &inbox.route)
    }

    /// Returns the reducers.
    pub fn reducers(&self) -> &[Reducer] {
        &self.reducers
    }

    /// Returns the reducer that a route leads to.
    pub fn reducer(&self, route: &Route) -> &Reducer {
        let reducer = self.reducers.get(route.reducer);
        assert!(reducer.is_some(), "a route leads to no reducer");
        #[expect(clippy::indexing_slicing, reason = "asserted on the line above")]
        &self.reducers[route.reducer]
    }

    /// Returns the plans that events of a schema start, in the manifest's order.
    pub fn triggers(&self, schema: usize) -> &[Trigger] {
        self.triggers.get(schema).map_or(&[], Vec::as_slice)
    }

    /// Finds a reducer by its name.
    pub fn reducer_named(&self, name: &str) -> Option<&Reducer> {
        self.reducers.iter().find(|reducer| reducer.name == name)
    }

    /// Finds a principal by its name.
    pub fn principal(&self, name: &str) -> Option<&Principal> {
        self.principals.iter().find(|principal| principal.name == name)
    }

    /// Tells whether the manifest trusts a key of this adapter.
    pub fn has_adapter(&self, name: &str) -> bool {
        self.adapters.iter().any(|adapter| adapter == name)
    }

    /// Returns the keys that the manifest trusts.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Tells whether a step of a plan waits for events of this schema.
    pub fn is_awaited(&self, event: &str) -> bool {
        self.awaited.contains(event)
    }

    /// Finds an effect by its kind.
    pub fn effect(&self, kind: &str) -> Option<&Effect> {
        self.effects.get(kind)
    }

    /// Finds a grant by its name.
    pub fn grant(&self, name: &str) -> Option<&Grant> {
        self.grants.get(name)
    }

    /// Goes through the grants by name.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants.values()
    }

    fn compile_reducers(&self) -> Vec<Reducer> {
        let mut reducers = Vec::new();
        for (index, name) in (0_u64..).zip(listed(&self.manifest, Kind::Module)) {
            let Some(module) = self.manifest.module(name) else { continue };
            let Role::Reducer(abi) = &module.role else { continue };
            reducers.push(Reducer {
                name: name.to_string(),
                index,
                cells: state::cells_prefix(name.as_str()),
                wasm: module.wasm_hash,
                event_schema: abi.event.name.to_string(),
                event: abi.event.shape.clone(),
                state_schema: abi.state.closure,
                state: abi.state.shape.clone(),
                key: abi.key.map(|key| Arc::new(key.into())),
                annotations: abi.annotations.as_ref().map(|schema| schema.shape.clone()),
                context: abi.context,
                slots: abi.cap_slots.clone(),
                bindings: self.manifest.definition().bindings.get(name).cloned().unwrap_or_default(),
                answers: self.compile_answers(abi),
            });
        }
        reducers
    }

    fn compile_answers(&self, abi: &ReducerModule) -> BTreeMap<String, Answer> {
        let wrap = |tag: &str| {
            let unit = abi.event.shape.arm(tag).is_some_and(|arm| *arm.shape == Shape::Unit);
            Wrap::of_arm(tag, unit)
        };
        let compile = |(kind, answer): (&String, &validate::Answer)| {
            let payload = self.manifest.schema(&answer.payload).map(|schema| schema.shape.clone());
            assert!(payload.is_some(), "a checked manifest answers with a schema that is not there");
            let answer = Answer {
                payload: payload?,
                is_receipt: built_in::answer(kind).is_none(),
                ok: wrap(&answer.ok),
                failed: wrap(&answer.failed),
            };
            Some((kind.clone(), answer))
        };
        abi.answers.iter().filter_map(compile).collect()
    }

    fn compile_triggers(&mut self) {
        let mut triggers: Vec<Vec<Trigger>> = self.schemas.iter().map(|_| Vec::new()).collect();
        for trigger in self.manifest.triggers() {
            let slot = self.schema_by_name.get(trigger.event.as_str()).and_then(|index| triggers.get_mut(*index));
            let plan = self.manifest.plan(&trigger.plan).cloned();
            assert!(slot.is_some() && plan.is_some(), "a checked manifest has a trigger that leads nowhere");
            if let Some((slot, plan)) = slot.zip(plan) {
                slot.push(Trigger { plan, correlate_by: trigger.correlate_by.clone() });
            }
        }
        self.triggers = triggers;
    }

    fn compile_trust(&mut self) {
        let trust = &self.manifest.definition().trust;
        let principal = |known: &def::Principal| Principal { name: known.name.clone(), roles: known.roles.clone() };
        self.principals = trust.principals.iter().map(principal).collect();
        self.adapters = trust.adapters.iter().map(|key| key.adapter.clone()).collect();
    }

    fn compile_routes(&mut self) {
        let position = |name: &str| {
            let position = self.reducers.iter().position(|reducer| reducer.name == name);
            assert!(position.is_some(), "a checked manifest routes to a reducer that is not there");
            position.unwrap_or_default()
        };
        let mut routes: Vec<Vec<Route>> = self.schemas.iter().map(|_| Vec::new()).collect();
        for route in self.manifest.routes() {
            let reducer = position(route.reducer.as_str());
            let unit = |tag: &str| {
                let arm = self.reducers.get(reducer).and_then(|reducer| reducer.event.arm(tag));
                arm.is_some_and(|arm| *arm.shape == Shape::Unit)
            };
            let wrap = match &route.arm {
                None => Wrap::None,
                Some(tag) => Wrap::of_arm(tag, unit(tag)),
            };
            let slot = self.schema_by_name.get(route.event.as_str()).and_then(|index| routes.get_mut(*index));
            assert!(slot.is_some(), "a checked manifest routes an event whose schema is not there");
            if let Some(slot) = slot {
                slot.push(Route { reducer, wrap, key_field: route.key_field.clone() });
            }
        }
        let inboxes = self.manifest.definition().inboxes.iter().map(|inbox| Inbox {
            source: inbox.source.clone(),
            route: Route { reducer: position(inbox.reducer.as_str()), wrap: Wrap::None, key_field: None },
        });
        self.inboxes = inboxes.collect();
        self.routes = routes;
    }
}

/// Goes through all effects, the built-in ones too, which are there without being listed.
pub(crate) fn effects(manifest: &Manifest) -> BTreeMap<String, Effect> {
    let own = manifest.definitions().map(|(_, definition)| definition);
    let definitions = own.chain(built_in::definitions().map(|(_, definition)| definition));
    let compile = |definition: &Definition| {
        let Definition::Effect(effect) = definition else { return None };
        let shape = |name| manifest.schema(name).map(|schema| schema.shape.clone());
        let compiled = Effect {
            kind: effect.kind.clone(),
            cap_type: effect.cap_type.clone(),
            params: shape(&effect.params_schema)?,
            receipt: shape(&effect.receipt_schema)?,
            scope: effect.origin_scope,
        };
        Some((effect.kind.clone(), compiled))
    };
    definitions.filter_map(compile).collect()
}

fn grants(manifest: &Manifest) -> BTreeMap<String, Grant> {
    let compile = |definition: &def::Grant| {
        let (cap, params) = (manifest.cap(&definition.cap), definition.params.value());
        assert!(cap.is_some() && params.is_some(), "a checked manifest has a grant without capability or params");
        let cap = cap?;
        let grant = Grant {
            definition: definition.clone(),
            params: params?.clone(),
            cap_type: cap.definition.cap_type.clone(),
            enforcer: Enforcer::of(&cap.definition),
            module: cap.definition.enforcer.clone(),
        };
        Some((definition.name.clone(), grant))
    };
    manifest.definition().grants.iter().filter_map(compile).collect()
}

/// Goes through the names of a kind in the order of the manifest.
fn listed(manifest: &Manifest, kind: Kind) -> impl Iterator<Item = &Name> {
    manifest.definition().lists.get(&kind).into_iter().flatten().map(|listed| &listed.name)
}

/// Returns the event that a step raises or waits for.
fn event_of(step: &Step) -> Option<&Name> {
    match &step.op {
        Op::Raise { event, .. } | Op::AwaitEvent { event, .. } => Some(event),
        Op::Emit(_) | Op::AwaitReceipt { .. } | Op::Assign { .. } | Op::End { .. } => None,
    }
}

impl Reducer {
    /// Returns the slot of a capability type, where there is exactly one.
    pub fn only_slot(&self, cap_type: &str) -> Option<&str> {
        let mut fitting = self.slots.iter().filter(|(_, of)| of.as_str() == cap_type).map(|(slot, _)| slot.as_str());
        fitting.next().filter(|_| fitting.next().is_none())
    }
}
