//! Diffs of worlds that differ at random lead from one to the other, with nothing too much.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::def::Block;
use crate::text::pretty;
use crate::validate::from_nodes;

fn any_world() -> impl Strategy<Value = Checked<Manifest>> {
    proptest::collection::vec(0..CHANGES.len(), 0..6).prop_map(|picked| {
        let mut value = world_value();
        picked.into_iter().for_each(|index| CHANGES[index](&mut value));
        load_value(&value)
    })
}

fn expect_leads(base: &Checked<Manifest>, target: &Checked<Manifest>) {
    let patch = diff(base, target);
    assert_eq!(patch.operations.is_empty(), base.hash() == target.hash());
    let candidate = apply(base, &patch).unwrap_or_else(|findings| panic!("{}{findings}", pretty(&patch.to_json())));
    assert_eq!(candidate.manifest.hash(), target.hash());
    assert!(candidate.manifest.nodes().eq(target.nodes()));
    assert_eq!(candidate.patch, patch, "a diff is in its normal form");
    assert_eq!(Patch::decode(&candidate.node).and_then(|patch| patch.node()), Ok(candidate.node.clone()));
    assert_eq!(apply_node(base, &candidate.node).map(|again| again.manifest.hash()), Ok(target.hash()));
    let text = pretty(&patch.to_json());
    let document = Document::parse(&Source { file: String::new(), text }).unwrap();
    assert_eq!(apply_document(base, &document).map(|again| again.hash), Ok(candidate.hash));
    let nodes: BTreeMap<Digest, Vec<u8>> =
        candidate.manifest.nodes().map(|(hash, node)| (hash, node.to_vec())).collect();
    assert_eq!(
        from_nodes(&target.hash(), &|hash| nodes.get(hash).cloned()).map(|again| again.hash()),
        Ok(target.hash())
    );
    // The order of operations means nothing, and none of them is one too many.
    let reversed = Patch { base: patch.base, operations: patch.operations.iter().rev().cloned().collect() };
    assert_eq!(apply(base, &reversed).map(|again| again.manifest.hash()), Ok(target.hash()));
    for left_out in 0..patch.operations.len() {
        let mut fewer = patch.clone();
        fewer.operations.remove(left_out);
        let reached = apply(base, &fewer).is_ok_and(|again| again.manifest.hash() == target.hash());
        assert!(!reached, "{:?} changes nothing", patch.operations[left_out]);
    }
    for operation in &patch.operations {
        let shown = render_operation(base, operation);
        assert!(shown.lines().count() > 1, "{shown}");
        assert!(shown.chars().all(|character| character == '\n' || !character.is_control()), "{shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_diff_leads_from_one_world_to_the_other((base, target) in (any_world(), any_world())) {
        expect_leads(&base, &target);
        expect_leads(&target, &base);
    }
}

/// Returns the pointers to all values of a tree.
fn pointers(tree: &serde_json::Value, at: &str, all: &mut Vec<String>) {
    all.push(at.into());
    match tree {
        serde_json::Value::Object(members) => {
            members.iter().for_each(|(key, value)| pointers(value, &crate::text::pointer(at, key), all));
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| pointers(value, &format!("{at}/{index}"), all));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A part of a patch in the place of another: mostly wrong, sometimes right, never a panic, and what is made is whole.
    #[test]
    fn any_part_in_any_place_is_judged(from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>()) {
        let base = world();
        let patch = diff(&base, &changed(|world| CHANGES.iter().for_each(|change| change(world))));
        let mut tree: serde_json::Value = serde_json::from_str(&pretty(&patch.to_json())).unwrap();
        let mut all = Vec::new();
        pointers(&tree, "", &mut all);
        let part = tree.pointer(&all[from.index(all.len())]).unwrap().clone();
        *tree.pointer_mut(&all[to.index(all.len())]).unwrap() = part;
        match apply_document(&base, &document(&tree)) {
            Ok(candidate) => {
                let again = apply_node(&base, &candidate.node).map(|again| again.manifest.hash());
                prop_assert_eq!(again, Ok(candidate.manifest.hash()));
                let nodes: BTreeMap<Digest, Vec<u8>> =
                    candidate.manifest.nodes().map(|(hash, node)| (hash, node.to_vec())).collect();
                prop_assert!(from_nodes(&candidate.manifest.hash(), &|hash| nodes.get(hash).cloned()).is_ok());
            }
            Err(findings) => {
                prop_assert!(!findings.0.is_empty());
                prop_assert!(findings.0.iter().all(|finding| finding.code != "node.damaged"), "{}", findings);
            }
        }
        let mut node = patch.node().unwrap();
        let byte = flip.index(node.len());
        node[byte] ^= 1;
        prop_assert!(apply_node(&base, &node).map_or_else(|findings| !findings.0.is_empty(), |other| other.hash == Digest::of(&node)));
    }
}

#[test]
fn each_change_alone_is_a_diff() {
    for (index, change) in CHANGES.iter().enumerate() {
        let target = changed(change);
        assert_eq!(diff(&world(), &target).operations.is_empty(), index == 9, "{index}");
        expect_leads(&world(), &target);
        expect_leads(&target, &world());
    }
    assert_eq!(diff(&world(), &world()), Patch { base: world().hash(), operations: Vec::new() });
}

#[test]
fn the_order_of_a_diff_is_that_of_kinds_names_and_blocks() {
    let all = changed(|world| CHANGES.iter().for_each(|change| change(world)));
    let words: Vec<String> = diff(&world(), &all)
        .operations
        .iter()
        .map(|operation| match operation {
            Operation::AddDef { node } | Operation::ReplaceDef { node, .. } => {
                format!("{} {}", operation.word(), node.name().unwrap())
            }
            Operation::RemoveDef { name, .. } => format!("{} {name}", operation.word()),
            Operation::SetBudget { grant, .. } => format!("{} {grant}", operation.word()),
            other => other.word().to_string(),
        })
        .collect();
    assert_snapshot!(words.join("\n"), @"
    replace_def shop/Limits@1
    add_def shop/Note@1
    remove_def shop/Old@1
    replace_def shop/PingParams@1
    replace_def shop/Orders@1
    remove_def shop/Upgrade@1
    replace_def shop/Pay@1
    replace_def shop/ping@1
    replace_def shop/Rules@1
    remove_def shop/api@1
    remove_def shop/FromOld@1
    set_manifest_refs
    set_routing_events
    set_routing_inboxes
    set_defaults
    set_trust
    set_limits
    set_governance
    set_budget clock
    set_budget web
    ");
}

#[test]
fn a_block_that_is_not_there_is_its_empty_one() {
    let empty = load_value(&json!([{"$kind": "manifest", "air_version": "1"}]));
    for name in BlockName::ALL {
        let block = Block::of(empty.definition(), name);
        let expected: &[u8] = match name {
            BlockName::Events | BlockName::Inboxes | BlockName::Triggers => &[0x80],
            BlockName::Governance => &[0xf6],
            _ => &[0xa0],
        };
        assert_eq!(crate::def::encode_json(&block.to_json()).as_deref(), Ok(expected), "{name:?}");
    }
    expect_leads(&empty, &world());
    expect_leads(&world(), &empty);
}
