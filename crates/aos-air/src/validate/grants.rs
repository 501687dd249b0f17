//! Grants, bindings and secrets: what they name is there, and a grant's params fit its capability.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::String;

use super::constraints;
use super::found::{Found, Origin};
use super::table::Table;
use crate::def::{Definition, Grant, Kind, Manifest};
use crate::name::Name;
use crate::text::{At, Json, Node, Report, Rule, pointer};

/// The grants of a manifest by their names, each with its capability type where that is known.
pub(super) struct Grants(BTreeMap<String, Option<String>>);

impl Grants {
    /// Reads the params of the grants and checks what they name.
    pub fn read(table: &Table, manifest: &mut Manifest, origin: &Origin, found: &mut Found) -> Self {
        let null = Json::from(Node::Null);
        let mut grants = BTreeMap::new();
        for (index, grant) in manifest.grants.iter_mut().enumerate() {
            let at = format!("/defaults/cap_grants/{index}");
            let cap_type = table.cap(&grant.cap).map(|cap| cap.cap_type.clone());
            match grants.entry(grant.name.clone()) {
                Entry::Vacant(free) => drop(free.insert(cap_type)),
                Entry::Occupied(_) => {
                    let message = format!("another grant is called `{}`", grant.name);
                    found.add(origin, &pointer(&at, "name"), Rule::GrantTwice, message, None);
                }
            }
            table.expect(Kind::Cap, &grant.cap, origin, &pointer(&at, "cap"), found);
            if let Some(shape) = table.cap_shape(&grant.cap) {
                let report = Report::default();
                grant.params.settle(shape, &At { json: &null, pointer: pointer(&at, "params"), report: &report });
                found.take(origin, report);
                check_constraints(table, grant, &pointer(&at, "params"), origin, found);
            }
        }
        Self(grants)
    }

    /// Checks that a grant is there and, where a type is wanted, of that type.
    pub fn expect(&self, name: &str, wanted: Option<&str>, from: &Origin, at: &str, found: &mut Found) {
        match (self.0.get(name), wanted) {
            (None, _) => self.missing(name, Rule::GrantMissing, from, at, found),
            (Some(Some(cap_type)), Some(wanted)) if cap_type != wanted => {
                let message = format!("the grant `{name}` is of the type `{cap_type}`, not `{wanted}`");
                found.add(from, at, Rule::GrantType, message, None);
            }
            (Some(_), _) => {}
        }
    }

    /// Tells whether a grant is there.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Goes through the names of the grants.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Checks that a grant that a rule of a policy names is there.
    pub fn expect_in_rule(&self, name: &str, from: &Origin, at: &str, found: &mut Found) {
        if !self.0.contains_key(name) {
            self.missing(name, Rule::PolicyNever, from, at, found);
        }
    }

    fn missing(&self, name: &str, rule: Rule, from: &Origin, at: &str, found: &mut Found) {
        let help = found.suggest(name, self.0.keys().map(String::as_str));
        found.add(from, at, rule, format!("there is no grant `{name}`"), help);
    }
}

/// Checks that each constraint of a grant can be met, where a built-in enforcer reads them.
fn check_constraints(table: &Table, grant: &Grant, at: &str, origin: &Origin, found: &mut Found) {
    let enforcer = table.cap(&grant.cap).and_then(|cap| cap.enforcer.as_ref());
    let (Some(enforcer), Some(params)) = (enforcer, grant.params.value()) else { return };
    for unfit in constraints::check(enforcer.as_str(), params) {
        let at = format!("{at}{}", unfit.pointer);
        found.add(origin, &at, Rule::GrantParams, unfit.message, unfit.help);
    }
}

/// Checks bindings and secrets.
pub(super) fn check(table: &Table, manifest: &Manifest, grants: &Grants, origin: &Origin, found: &mut Found) {
    for (module, slots) in &manifest.bindings {
        let at = pointer("/module_bindings", module.as_str());
        for (slot, grant) in slots {
            let at = pointer(&pointer(&at, "slots"), slot);
            let wanted = slot_type(table, module, slot, origin, &at, found);
            grants.expect(grant, wanted, origin, &at, found);
        }
    }
    for entry in table.own(Kind::Secret) {
        let Definition::Secret(secret) = &entry.definition else { continue };
        for (index, grant) in secret.allowed_caps.iter().flatten().enumerate() {
            grants.expect(grant, None, &entry.origin, &format!("/allowed_caps/{index}"), found);
        }
        for (index, plan) in secret.allowed_plans.iter().flatten().enumerate() {
            table.expect(Kind::Plan, plan, &entry.origin, &format!("/allowed_plans/{index}"), found);
        }
    }
}

/// Returns the capability type of a module's slot.
fn slot_type<'t>(
    table: &'t Table,
    module: &Name,
    slot: &str,
    origin: &Origin,
    at: &str,
    found: &mut Found,
) -> Option<&'t str> {
    let definition = &table.expect(Kind::Module, module, origin, at, found)?.definition;
    let Definition::Module(definition) = definition else { return None };
    let slots = definition.reducer().map(|reducer| &reducer.cap_slots);
    let wanted = slots.and_then(|slots| slots.get(slot));
    if wanted.is_none() {
        let help = found.suggest(slot, slots.into_iter().flat_map(|slots| slots.keys().map(String::as_str)));
        found.add(origin, at, Rule::BindingSlot, format!("`{module}` has no slot `{slot}`"), help);
    }
    wanted.map(String::as_str)
}
