//! Nodes and hashes: every definition gets its node, every entry of a list its hash, and a hash that was given must be it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::found::{Found, Origin};
use super::manifest::{Cap, Checked, Manifest, Route};
use super::table::Table;
use super::{modules, policies};
use crate::def::{self, Definition, NodeError};
use crate::diag::Findings;
use crate::hash::Digest;
use crate::name::Name;
use crate::plan;
use crate::text::Rule;

/// Encodes every definition that has no node yet and whose literals are all read.
pub(super) fn encode(table: &mut Table, found: &mut Found) {
    for entry in table.entries_mut().filter(|entry| entry.hash.is_none()) {
        if !entry.definition.is_settled() {
            continue;
        }
        match entry.definition.node() {
            Ok(node) => {
                entry.hash = Some(Digest::of(&node));
                entry.node = node;
            }
            Err(error) => found.add(&entry.origin, "", rule(&error), error.to_string(), None),
        }
    }
}

const fn rule(error: &NodeError) -> Rule {
    match error {
        NodeError::Size => Rule::NodeSize,
        NodeError::Cbor(_) | NodeError::Form | NodeError::Definition(_) => Rule::NodeDamaged,
    }
}

/// Fills in the hashes of the manifest's lists, and compares those that were given.
pub(super) fn fill(table: &Table, manifest: &mut def::Manifest, origin: &Origin, found: &mut Found) {
    for (kind, listed) in &mut manifest.lists {
        for (index, listed) in listed.iter_mut().enumerate() {
            let Some(hash) = table.entry(*kind, &listed.name).and_then(|entry| entry.hash) else { continue };
            if listed.hash.is_some_and(|given| given != hash) {
                let message = format!("the hash is not that of the {} `{}`", kind.word(), listed.name);
                let help = format!("it is {hash}; leave the hash out to have it filled in");
                found.add(origin, &format!("/{}/{index}/hash", kind.list()), Rule::ManifestHash, message, Some(help));
            }
            listed.hash = Some(hash);
        }
        listed.sort_unstable();
    }
}

/// Makes the result, if nothing was found.
pub(super) fn finish(
    table: Table,
    manifest: def::Manifest,
    origin: &Origin,
    routes: Vec<Route>,
    plans: BTreeMap<Name, plan::Plan>,
    mut found: Found,
) -> Result<Checked<Manifest>, Findings> {
    let definition = Definition::Manifest(manifest);
    let node = definition.node();
    // What was not read by its schema has been reported with the reason.
    if let (Err(error), true) = (&node, definition.is_settled()) {
        found.add(origin, "", rule(error), error.to_string(), None);
    }
    if found.count() == 0 {
        let unread = table.entries().filter(|entry| entry.hash.is_none()).map(|entry| &entry.origin);
        for origin in unread.chain((!definition.is_settled()).then_some(origin)) {
            let message = "the definition holds a literal that no schema reads".to_string();
            found.add(origin, "", Rule::NodeDamaged, message, None);
        }
    }
    let (Ok(node), Definition::Manifest(definition), 0) = (node, definition, found.count()) else {
        return Err(found.into_findings());
    };
    let hash = Digest::of(&node);
    let modules = modules::linked(&table);
    let caps = caps(&table, &definition);
    let plans = plans_by_name(&table, plans);
    let policies = policies::in_force(&table, &definition);
    let mut nodes = Vec::from([(hash, node)]);
    let mut definitions = BTreeMap::new();
    let schemas = table.schemas.clone();
    for entry in table.into_entries() {
        if let (Some(hash), Some(name)) = (entry.hash, entry.definition.name()) {
            nodes.push((hash, entry.node));
            definitions.insert((entry.definition.kind(), name.clone()), (hash, entry.definition));
        }
    }
    Ok(Checked::new(Manifest { definition, nodes, hash, definitions, schemas, modules, caps, routes, plans, policies }))
}

/// Gives each plan the hash of its node.
fn plans_by_name(table: &Table, plans: BTreeMap<Name, plan::Plan>) -> BTreeMap<Name, Arc<plan::Plan>> {
    let hashed = |(name, plan): (Name, plan::Plan)| {
        let hash = table.own_entry(def::Kind::Plan, &name)?.hash?;
        Some((name, Arc::new(plan::Plan { hash, ..plan })))
    };
    plans.into_iter().filter_map(hashed).collect()
}

/// Returns the capabilities of the world and those that its grants name.
fn caps(table: &Table, manifest: &def::Manifest) -> BTreeMap<Name, Cap> {
    let own = table.own(def::Kind::Cap).filter_map(|entry| entry.definition.name());
    let named = own.chain(manifest.grants.iter().map(|grant| &grant.cap));
    let cap = |name: &Name| {
        let (definition, shape) = (table.cap(name)?.clone(), table.cap_shape(name)?.clone());
        Some((name.clone(), Cap { definition, shape }))
    };
    named.filter_map(cap).collect()
}
