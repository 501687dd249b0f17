//! Routes, inboxes and triggers: every event finds who takes it, and keys stand where they are said to stand.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::found::{Found, Origin};
use super::manifest::{Route, Schema};
use super::modules::{arms, is_reserved};
use super::path::ends;
use super::table::Table;
use crate::def::{self, Definition, EventRoute, Kind, Manifest, Trigger};
use crate::name::Name;
use crate::schema::KeyType;
use crate::text::Rule;

/// Checks routing and triggers; returns the routes that could be made ready.
pub(super) fn check(table: &Table, manifest: &Manifest, origin: &Origin, found: &mut Found) -> Vec<Route> {
    let mut seen = BTreeSet::new();
    let mut routes = Vec::new();
    for (index, route) in manifest.events.iter().enumerate() {
        let at = format!("/routing/events/{index}");
        if !seen.insert((&route.event, &route.reducer)) {
            let message = format!("`{}` goes to `{}` already", route.event, route.reducer);
            found.add(origin, &at, Rule::RouteTwice, message, None);
        }
        routes.extend(ready(table, route, origin, &at, found));
    }
    let mut sources = BTreeSet::new();
    for (index, inbox) in manifest.inboxes.iter().enumerate() {
        let at = format!("/routing/inboxes/{index}");
        reducer(table, &inbox.reducer, origin, &[&at, "/reducer"].concat(), found);
        if !sources.insert(&inbox.source) {
            let message = format!("the source `{}` has an inbox already", inbox.source);
            found.add(origin, &[&at, "/source"].concat(), Rule::RouteTwice, message, None);
        }
    }
    let mut seen = BTreeSet::new();
    for (index, trigger) in manifest.triggers.iter().enumerate() {
        let at = format!("/triggers/{index}");
        if !seen.insert((&trigger.event, &trigger.plan)) {
            let message = format!("`{}` starts `{}` already", trigger.event, trigger.plan);
            found.add(origin, &at, Rule::Trigger, message, None);
        }
        check_trigger(table, trigger, origin, &at, found);
    }
    routes
}

/// Finds a module that must be a reducer with WASM.
fn reducer<'t>(
    table: &'t Table,
    name: &Name,
    origin: &Origin,
    at: &str,
    found: &mut Found,
) -> Option<(&'t def::Module, &'t def::Reducer)> {
    if is_reserved(name) {
        let message = format!("the built-in module `{name}` cannot be routed to yet");
        found.add(origin, at, Rule::ModuleMissing, message, None);
        return None;
    }
    let Definition::Module(module) = &table.expect(Kind::Module, name, origin, at, found)?.definition else {
        return None;
    };
    let reducer = module.reducer();
    if reducer.is_none() {
        found.add(origin, at, Rule::ModuleKind, format!("`{name}` is a pure module; events go to reducers"), None);
    }
    reducer.map(|reducer| (module, reducer))
}

fn ready(table: &Table, route: &EventRoute, origin: &Origin, at: &str, found: &mut Found) -> Option<Route> {
    let event = table.expect_schema(&route.event, origin, &[at, "/event"].concat(), found);
    let (module, reducer) = reducer(table, &route.reducer, origin, &[at, "/reducer"].concat(), found)?;
    let event = event?;
    if let Some(path) = &route.key_field {
        let key = module.key_schema.as_ref();
        check_key_field(table, path, key, &event, origin, &[at, "/key_field"].concat(), found);
    }
    let arm =
        if route.event == reducer.event { None } else { Some(arm(table, route, &reducer.event, origin, at, found)?) };
    Some(Route { event: route.event.clone(), reducer: route.reducer.clone(), arm, key_field: route.key_field.clone() })
}

/// Finds the one arm of the reducer's event that takes the event.
fn arm(
    table: &Table,
    route: &EventRoute,
    takes: &Name,
    origin: &Origin,
    at: &str,
    found: &mut Found,
) -> Option<String> {
    let tags = arms(table, &table.schema(takes)?.written, route.event.as_str()).unwrap_or_default();
    let at = [at, "/event"].concat();
    match tags.as_slice() {
        [tag] => Some((*tag).to_string()),
        [] => {
            let message =
                format!("`{}` takes `{takes}`, which is not `{}` and has no arm for it", route.reducer, route.event);
            let help = format!("add an arm whose payload is {{\"ref\": \"{}\"}}, or route another event", route.event);
            found.add(origin, &at, Rule::RouteEvent, message, Some(help));
            None
        }
        several => {
            let message = format!("{} arms of `{takes}` take `{}`: {}", several.len(), route.event, several.join(", "));
            found.add(origin, &at, Rule::RouteArms, message, Some("leave one of them".into()));
            None
        }
    }
}

fn check_key_field(
    table: &Table,
    path: &str,
    key: Option<&Name>,
    event: &Schema,
    origin: &Origin,
    at: &str,
    found: &mut Found,
) {
    let Some(key) = key else {
        let message = "the reducer has no `key_schema`, so there is no key to take from the event".to_string();
        return found.add(origin, at, Rule::RouteKey, message, None);
    };
    let Some(wanted) = table.schema(key).and_then(|schema| schema.shape.key_type()) else { return };
    let message = match ends(&event.shape, path) {
        None => format!("`{path}` does not lead to a field in every `{}`", event.name),
        Some(ends) if ends.iter().any(|end| end.key_type() != Some(wanted)) => {
            format!("`{path}` does not lead to {}, the reducer's key", key_word(wanted))
        }
        Some(_) => return,
    };
    let help = "field names with dots between; in a variant the path goes on in every payload".to_string();
    found.add(origin, at, Rule::RouteKey, message, Some(help));
}

const fn key_word(key: KeyType) -> &'static str {
    match key {
        KeyType::Int => "an int",
        KeyType::Nat => "a nat",
        KeyType::Text => "a text",
        KeyType::Uuid => "a uuid",
        KeyType::Hash => "a hash",
    }
}

fn check_trigger(table: &Table, trigger: &Trigger, origin: &Origin, at: &str, found: &mut Found) {
    let event = table.expect_schema(&trigger.event, origin, &[at, "/event"].concat(), found);
    let plan = table.expect(Kind::Plan, &trigger.plan, origin, &[at, "/plan"].concat(), found);
    if let Some(Definition::Plan(plan)) = plan.map(|entry| &entry.definition)
        && plan.input != trigger.event
    {
        let message = format!("`{}` takes `{}`, not `{}`", plan.name, plan.input, trigger.event);
        found.add(origin, &[at, "/event"].concat(), Rule::Trigger, message, None);
    }
    if let (Some(path), Some(event)) = (&trigger.correlate_by, event) {
        let keys: Option<BTreeSet<Option<KeyType>>> =
            ends(&event.shape, path).map(|ends| ends.into_iter().map(|end| end.key_type()).collect());
        let message = match keys {
            None => format!("`{path}` does not lead to a field in every `{}`", event.name),
            Some(keys) if keys.len() > 1 || keys.contains(&None) => {
                format!("`{path}` does not lead to an int, nat, text, uuid or hash, the same in every `{}`", event.name)
            }
            Some(_) => return,
        };
        found.add(origin, &[at, "/correlate_by"].concat(), Rule::Trigger, message, None);
    }
}
