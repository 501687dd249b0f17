//! From two manifests to the patch that leads from one to the other: what differs, and nothing else.
//!
//! The order is that of the definitions by kind and name, then built-in references, blocks and budgets. Applying the
//! result gives the target's very hash. Never here: effect mode and instances, which no manifest has.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Patch;
use super::edit::{block_hash, budget_hash};
use super::operation::{Operation, Reference};
use crate::def::{Block, BlockName, Definition, Grant, Kind};
use crate::hash::Digest;
use crate::name::Name;
use crate::validate::Manifest;

/// Makes the patch that turns `base` into `target`; it has no operation if the two are equal.
///
/// It is in its normal form. Above the size of a node it has none, which [`Patch::node`] says.
pub fn diff(base: &Manifest, target: &Manifest) -> Patch {
    let mut operations = definitions(base, target);
    operations.extend(references(base, target));
    operations.extend(BlockName::ALL.into_iter().filter_map(|name| block(base, target, name)));
    operations.extend(budgets(base, target));
    Patch { base: base.hash(), operations }
}

type Nodes<'a> = BTreeMap<(Kind, &'a Name), (Digest, &'a Definition)>;

fn nodes(manifest: &Manifest) -> Nodes<'_> {
    manifest
        .definitions()
        .filter_map(|(hash, definition)| Some(((definition.kind(), definition.name()?), (hash, definition))))
        .collect()
}

fn definitions(base: &Manifest, target: &Manifest) -> Vec<Operation> {
    let (before, after) = (nodes(base), nodes(target));
    let all: BTreeSet<(Kind, &Name)> = before.keys().chain(after.keys()).copied().collect();
    let operation = |key: (Kind, &Name)| match (before.get(&key), after.get(&key)) {
        (None, Some((_, node))) => Some(Operation::AddDef { node: Box::new((*node).clone()) }),
        (Some((pre_hash, _)), None) => {
            Some(Operation::RemoveDef { kind: key.0, name: key.1.clone(), pre_hash: *pre_hash })
        }
        (Some((pre_hash, _)), Some((hash, node))) if pre_hash != hash => {
            Some(Operation::ReplaceDef { node: Box::new((*node).clone()), pre_hash: *pre_hash })
        }
        _ => None,
    };
    all.into_iter().filter_map(operation).collect()
}

fn references(base: &Manifest, target: &Manifest) -> Option<Operation> {
    let listed = |manifest: &Manifest| -> BTreeSet<Reference> {
        let lists = manifest.definition().lists.iter();
        let of_kind = lists.flat_map(|(kind, listed)| listed.iter().map(|listed| (*kind, listed)));
        let built_in = of_kind.filter(|(_, listed)| listed.name.is_built_in());
        built_in.map(|(kind, listed)| Reference { kind, name: listed.name.clone(), hash: listed.hash }).collect()
    };
    let (before, after) = (listed(base), listed(target));
    let add: Vec<Reference> = after.difference(&before).cloned().collect();
    let remove: Vec<Reference> = before.difference(&after).cloned().collect();
    if add.is_empty() && remove.is_empty() { None } else { Some(Operation::SetManifestRefs { add, remove }) }
}

fn block(base: &Manifest, target: &Manifest, name: BlockName) -> Option<Operation> {
    let mut after = target.definition().clone();
    if name == BlockName::Defaults {
        // Budgets of grants that stay have their own operation.
        for grant in &mut after.grants {
            if let Some(before) = base.definition().grant(&grant.name) {
                grant.budget = before.budget;
            }
        }
    }
    let pre_hash = block_hash(base.definition(), name);
    (block_hash(&after, name) != pre_hash)
        .then(|| Operation::SetBlock { block: Box::new(Block::of(&after, name)), pre_hash })
}

fn budgets<'a>(base: &'a Manifest, target: &'a Manifest) -> impl Iterator<Item = Operation> + 'a {
    let mut grants: Vec<&Grant> = target.definition().grants.iter().collect();
    grants.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    grants.into_iter().filter_map(|grant| {
        let before = base.definition().grant(&grant.name)?;
        (before.budget != grant.budget).then(|| Operation::SetBudget {
            grant: grant.name.clone(),
            budget: grant.budget,
            pre_hash: budget_hash(before.budget.as_ref()),
        })
    })
}
