//! Policies: the one in force is there, no rule and no policy names something that does not exist, and Cedar finds
//! every policy of the manifest right, also those that are not in force.
//!
//! What can never hold is refused because a mistyped deny would silently let things pass.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use cedar_policy::Schema;

use super::found::{Found, Origin};
use super::grants::Grants;
use super::table::{Entry, Table};
use crate::def::{Body, Definition, Kind, Manifest, Origin as Asker, When};
use crate::limits::PACK_RULES_MAX;
use crate::name::Name;
use crate::policy::{self, DECIDE, Policies, Principal};
use crate::schema::Shape;
use crate::text::Rule;

/// Checks the policies.
pub(super) fn check(table: &Table, manifest: &Manifest, grants: &Grants, origin: &Origin, found: &mut Found) {
    if let Some(policy) = &manifest.policy {
        table.expect(Kind::Policy, policy, origin, "/defaults/policy", found);
    }
    for entry in table.own(Kind::Effect) {
        let Definition::Effect(effect) = &entry.definition else { continue };
        if effect.kind == DECIDE {
            let message = format!("`{DECIDE}` is what principals do with parked intents; no effect can be called so");
            found.add(&entry.origin, "/kind", Rule::NameReserved, message, None);
        }
    }
    let schema = schema(table, found);
    for entry in table.own(Kind::Policy) {
        let Definition::Policy(policy) = &entry.definition else { continue };
        match &policy.body {
            Body::Rules(rules) => {
                for (index, rule) in rules.iter().enumerate() {
                    check_when(table, grants, &rule.when, &entry.origin, &format!("/rules/{index}/when"), found);
                }
                if rules.len() > PACK_RULES_MAX {
                    let message = format!("there are {} rules; a pack has at most {PACK_RULES_MAX}", rules.len());
                    found.add(&entry.origin, "/rules", Rule::PolicySize, message, None);
                }
            }
            Body::Cedar(text) => {
                let world = World { table, manifest, grants, schema: schema.as_ref() };
                world.check_cedar(&policy.name, text, entry, found);
            }
        }
    }
}

fn check_when(table: &Table, grants: &Grants, when: &When, from: &Origin, at: &str, found: &mut Found) {
    let at = |key: &str| [at, "/", key].concat();
    if let Some(cap_type) = &when.cap_type {
        table.expect_cap_type(cap_type, from, &at("cap_type"), Rule::PolicyNever, found);
    }
    if let Some(name) = &when.cap_name {
        grants.expect_in_rule(name, from, &at("cap_name"), found);
    }
    if let Some(kind) = &when.effect_kind {
        table.expect_effect(kind, from, &at("effect_kind"), Rule::PolicyNever, found);
    }
    let Some(name) = &when.origin_name else { return };
    let kinds: &[Kind] = match when.origin_kind {
        Some(Asker::Plan) => &[Kind::Plan],
        Some(Asker::Reducer) => &[Kind::Module],
        None => &[Kind::Plan, Kind::Module],
    };
    if !kinds.iter().any(|kind| table.entry(*kind, name).is_some() || table.is_broken(*kind, name)) {
        let help = found.suggest(name.as_str(), kinds.iter().flat_map(|kind| table.names(*kind)));
        let message = format!("nothing called `{name}` asks for effects");
        found.add(from, &at("origin_name"), Rule::PolicyNever, message, help);
    }
}

/// Makes the schema that policies are checked against. None where some effect could not be read, or no policy needs it.
fn schema(table: &Table, found: &mut Found) -> Option<Schema> {
    let is_cedar = |entry: &Entry| matches!(&entry.definition, Definition::Policy(policy) if matches!(policy.body, Body::Cedar(_)));
    if !table.own(Kind::Policy).any(is_cedar) || !table.knows_all(Kind::Effect) {
        return None;
    }
    let mut effects: BTreeMap<&str, policy::Effect<'_>> = BTreeMap::new();
    for entry in table.of_kind(Kind::Effect) {
        let Definition::Effect(effect) = &entry.definition else { continue };
        let params: &Shape = &table.schema(&effect.params_schema)?.shape;
        let seen = policy::Effect { kind: &effect.kind, scope: effect.origin_scope, params };
        if let Err(error) = policy::schema([seen]) {
            let help = "let the parameters hold large values as blobs, by their hash".to_string();
            found.add(&entry.origin, "/params_schema", Rule::PolicyParams, error.to_string(), Some(help));
            return None;
        }
        // An effect of a kind that is taken has been reported.
        effects.entry(&effect.kind).or_insert(seen);
    }
    let json = policy::schema(effects.into_values()).ok()?;
    let Ok(schema) = Schema::from_json_value(json) else {
        unreachable!("Cedar takes every schema that is made from effects");
    };
    Some(schema)
}

/// What Cedar's text is checked against.
struct World<'a> {
    table: &'a Table,
    manifest: &'a Manifest,
    grants: &'a Grants,
    schema: Option<&'a Schema>,
}

impl World<'_> {
    fn check_cedar(&self, name: &Name, text: &str, entry: &Entry, found: &mut Found) {
        let flaws = match policy::read(name, text) {
            Ok(policies) => {
                for ((of, id), policy) in policy::entities(&policies) {
                    self.check_entity(&of, &id, &policy, &entry.origin, found);
                }
                self.schema.map(|schema| policy::validate(&policies, text, schema.clone())).unwrap_or_default()
            }
            Err(flaws) => flaws,
        };
        for flaw in flaws {
            found.add(&entry.origin, "/cedar", flaw.rule, flaw.message, flaw.help);
        }
    }

    /// Checks that what a policy names is there. Types and actions are Cedar's to check.
    fn check_entity(&self, of: &str, id: &str, policy: &str, from: &Origin, found: &mut Found) {
        let table = self.table;
        let is_there =
            |kind| Name::parse(id).is_ok_and(|name| table.entry(kind, &name).is_some() || table.is_broken(kind, &name));
        let (word, known, names): (&str, bool, Vec<&str>) = match of {
            "Aos::Plan" => ("plan", is_there(Kind::Plan), table.names(Kind::Plan).collect()),
            "Aos::Reducer" => ("reducer", is_there(Kind::Module), table.names(Kind::Module).collect()),
            "Aos::Grant" => ("grant", self.grants.contains(id), self.grants.names().collect()),
            "Aos::Principal" => {
                let names: Vec<&str> = self.manifest.trust.principals.iter().map(|one| one.name.as_str()).collect();
                ("principal", names.contains(&id), names)
            }
            _ => return,
        };
        if !known {
            let help = found.suggest(id, names);
            let message = format!("`{policy}` names {of}::{id:?}, and there is no {word} `{id}`");
            found.add(from, "/cedar", Rule::PolicyNever, message, help);
        }
    }
}

/// Makes the policies in force ready, once everything was checked.
pub(super) fn in_force(table: &Table, manifest: &Manifest) -> Policies {
    let entry = manifest.policy.as_ref().and_then(|name| table.entry(Kind::Policy, name));
    let policies = match entry.map(|entry| &entry.definition) {
        Some(Definition::Policy(policy)) => policy::compile(policy),
        _ => Vec::new(),
    };
    let grants = manifest.grants.iter().filter_map(|grant| {
        let cap_type = &table.cap(&grant.cap)?.cap_type;
        Some(policy::Grant { name: &grant.name, cap: grant.cap.as_str(), cap_type })
    });
    let plans = table.names(Kind::Plan).map(Principal::Plan);
    let reducers = table.of_kind(Kind::Module).filter_map(|entry| match &entry.definition {
        Definition::Module(module) => module.reducer().map(|_| Principal::Reducer(module.name.as_str())),
        _ => None,
    });
    let people = manifest.trust.principals.iter();
    let people = people.map(|one| Principal::Principal { name: &one.name, roles: &one.roles });
    Policies::new(policies, grants, plans.chain(reducers).chain(people))
}
