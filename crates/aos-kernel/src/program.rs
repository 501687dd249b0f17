//! A manifest made ready to run: names become indexes, routes become lists, so that a step looks up nothing by text but
//! the schema that an event names.
//!
//! Made once when a manifest comes into force. Never here: state; two worlds may share a program.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use aos_air::cbor::write;
use aos_air::def::Kind;
use aos_air::diag;
use aos_air::hash::Digest;
use aos_air::limits::Limits;
use aos_air::name::Name;
use aos_air::schema::Shape;
use aos_air::validate::{Checked, Manifest, Role};

use crate::error::KeyProblem;
use crate::frame::Names;
use crate::index::Key;
use crate::input::Actor;
use crate::state;

/// A manifest in force.
pub struct Program {
    manifest: Checked<Manifest>,
    limits: Limits,
    schemas: Vec<Schema>,
    schema_by_name: BTreeMap<String, usize>,
    reducers: Vec<Reducer>,
    /// By the index of the event's schema.
    routes: Vec<Vec<Route>>,
    principals: Vec<String>,
    inboxes: Vec<Inbox>,
}

/// A schema that events may have.
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Its type.
    pub shape: Arc<Shape>,
}

/// A module that keeps state.
pub struct Reducer {
    /// Its name.
    pub name: String,
    /// Its index among the manifest's modules, which frames use.
    pub index: u64,
    /// What the keys of its cells in the state index start with.
    pub cells: Key,
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
}

/// Where an event of some schema goes.
pub struct Route {
    /// The reducer, by its position in the program.
    pub reducer: usize,
    /// What stands in front of the value to make it an arm of the reducer's event: all of it, for an arm of the unit.
    wrap: Wrap,
    /// The path in the value that gives the key.
    key_field: Option<String>,
}

enum Wrap {
    /// The event is the reducer's own.
    None,
    /// The head of a one-entry map and the tag.
    Arm(Vec<u8>),
    /// The tag alone: the arm's payload is the unit.
    Tag(Vec<u8>),
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
        let listed = listed(&manifest, Kind::Schema).chain(manifest.routes().iter().map(|route| &route.event));
        let mut schemas: Vec<Schema> = Vec::new();
        for name in listed {
            if schemas.iter().all(|schema| schema.name != name.as_str()) {
                let shape = manifest.schema(name).map(|schema| schema.shape.clone());
                assert!(shape.is_some(), "a checked manifest names a schema that is not there");
                schemas.extend(shape.map(|shape| Schema { name: name.to_string(), shape }));
            }
        }
        let schema_by_name = schemas.iter().enumerate().map(|(index, schema)| (schema.name.clone(), index)).collect();
        let mut program = Self {
            limits,
            schemas,
            schema_by_name,
            reducers: Vec::new(),
            routes: Vec::new(),
            principals: manifest.definition().trust.principals.iter().map(|principal| principal.name.clone()).collect(),
            inboxes: Vec::new(),
            manifest,
        };
        program.reducers = program.compile_reducers();
        program.compile_routes();
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

    /// Tells whether `name` is a principal of the manifest.
    pub fn has_principal(&self, name: &str) -> bool {
        self.principals.iter().any(|principal| principal == name)
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
            });
        }
        reducers
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

/// Goes through the names of a kind in the order of the manifest.
fn listed(manifest: &Manifest, kind: Kind) -> impl Iterator<Item = &Name> {
    manifest.definition().lists.get(&kind).into_iter().flatten().map(|listed| &listed.name)
}

impl Wrap {
    fn of_arm(tag: &str, unit: bool) -> Self {
        let mut head = Vec::new();
        if unit {
            write::text(&mut head, tag);
            return Self::Tag(head);
        }
        write::map(&mut head, 1);
        write::text(&mut head, tag);
        Self::Arm(head)
    }
}

impl Route {
    /// Puts the event into `out` as the reducer takes it: its own event, or the arm that holds it.
    pub fn wrap(&self, value: &[u8], out: &mut Vec<u8>) {
        match &self.wrap {
            Wrap::None => out.extend_from_slice(value),
            Wrap::Arm(head) => {
                out.extend_from_slice(head);
                out.extend_from_slice(value);
            }
            Wrap::Tag(tag) => out.extend_from_slice(tag),
        }
    }

    /// Finds the key of the cell that an event goes to: from the value by the route's `key_field`, or the event's own.
    ///
    /// None for a reducer without keys, whatever key the event has: that is meant for others.
    ///
    /// # Errors
    /// [`KeyProblem`] where the reducer has keys and the event gives none, two different ones, or one that does not fit.
    pub fn key<'a>(
        &self,
        reducer: &Reducer,
        shape: &Shape,
        value: &'a [u8],
        given: Option<&'a [u8]>,
        limits: &Limits,
    ) -> Result<Option<&'a [u8]>, KeyProblem> {
        let Some(key_shape) = &reducer.key else { return Ok(None) };
        let held = match &self.key_field {
            Some(path) => Some(shape.select(value, path).ok_or(KeyProblem::Missing)?.1),
            None => None,
        };
        let key = match (held, given) {
            (Some(held), Some(given)) if held != given => return Err(KeyProblem::Conflict),
            (Some(key), _) | (None, Some(key)) => key,
            (None, None) => return Err(KeyProblem::Missing),
        };
        if key.len() as u64 > limits.key_bytes_max {
            return Err(KeyProblem::Bytes);
        }
        key_shape.check(key).map_err(|_| KeyProblem::Type)?;
        Ok(Some(key))
    }
}

/// Checks the key that an event itself carries: canonical CBOR of an allowed length, whoever it is for.
///
/// # Errors
/// [`KeyProblem::Bytes`] or [`KeyProblem::Type`].
pub(crate) fn check_given_key(given: Option<&[u8]>, limits: &Limits) -> Result<(), KeyProblem> {
    let Some(key) = given else { return Ok(()) };
    if key.len() as u64 > limits.key_bytes_max {
        return Err(KeyProblem::Bytes);
    }
    aos_air::cbor::check(key).map_err(|_| KeyProblem::Type)
}

fn number(position: Option<usize>) -> Option<u64> {
    position.and_then(|position| u64::try_from(position).ok())
}

fn at<T>(list: &[T], index: u64) -> Option<&T> {
    usize::try_from(index).ok().and_then(|index| list.get(index))
}

impl Names for Program {
    fn schema_index(&self, name: &str) -> Option<u64> {
        number(self.schema_by_name.get(name).copied())
    }

    fn schema_at(&self, index: u64) -> Option<&str> {
        at(&self.schemas, index).map(|schema| schema.name.as_str())
    }

    fn principal_index(&self, name: &str) -> Option<u64> {
        number(self.principals.iter().position(|principal| principal == name))
    }

    fn principal_at(&self, index: u64) -> Option<&str> {
        at(&self.principals, index).map(String::as_str)
    }

    fn inbox_index(&self, source: &str) -> Option<u64> {
        number(self.inboxes.iter().position(|inbox| inbox.source == source))
    }

    fn inbox_at(&self, index: u64) -> Option<&str> {
        at(&self.inboxes, index).map(|inbox| inbox.source.as_str())
    }
}
