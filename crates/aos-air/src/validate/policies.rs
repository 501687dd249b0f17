//! Policies: the one in force is there, and no rule names something that does not exist.
//!
//! A rule that can never match is refused because a mistyped deny would silently let things pass.

use alloc::format;

use super::found::{Found, Origin};
use super::grants::Grants;
use super::table::Table;
use crate::def::{Body, Definition, Kind, Manifest, Origin as Asker, When};
use crate::text::Rule;

/// Checks the policies.
pub(super) fn check(table: &Table, manifest: &Manifest, grants: &Grants, origin: &Origin, found: &mut Found) {
    if let Some(policy) = &manifest.policy {
        table.expect(Kind::Policy, policy, origin, "/defaults/policy", found);
    }
    for entry in table.own(Kind::Policy) {
        let Definition::Policy(policy) = &entry.definition else { continue };
        let Body::Rules(rules) = &policy.body else { continue };
        for (index, rule) in rules.iter().enumerate() {
            check_when(table, grants, &rule.when, &entry.origin, &format!("/rules/{index}/when"), found);
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
