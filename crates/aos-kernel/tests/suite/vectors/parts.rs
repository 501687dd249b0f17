//! The test vectors of what a world is made of: the mountain range, the tree of the state index, and what a guest may
//! write. The worlds themselves are in `vectors.rs`.

use std::collections::BTreeMap;

use aos_air::def::Definition;
use aos_air::hash::Digest;
use aos_air::schema::Shape;
use aos_air::text::{At, Report, parse};
use aos_kernel::Mountain;
use aos_kernel::id::{BlockHash, StateRoot};
use aos_kernel::index::{Index, TreeFault};
use serde::Deserialize;

use super::{Hex, Text, from_text, records};

const MOUNTAIN: &str = include_str!("../../../../../spec/vectors/journal/mountain.json");
const INDEX: &str = include_str!("../../../../../spec/vectors/journal/index.json");
const LENIENT: &str = include_str!("../../../../../spec/vectors/journal/lenient.json");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MountainVector {
    #[serde(rename = "about")]
    _about: String,
    leaves: Vec<Text<Digest>>,
    roots: Vec<RootVector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RootVector {
    leaves: usize,
    peaks: Vec<Text<Digest>>,
    root: Text<Digest>,
}

#[test]
fn mountain_ranges() {
    let vector: MountainVector = from_text(MOUNTAIN);
    assert_eq!(vector.roots.len(), vector.leaves.len() + 1);
    let mut mountain = Mountain::default();
    for (count, expected) in vector.roots.iter().enumerate() {
        let peaks: Vec<Digest> = expected.peaks.iter().map(|peak| peak.0).collect();
        assert_eq!(count, expected.leaves);
        assert_eq!((mountain.peaks(), mountain.root()), (&*peaks, expected.root.0), "{count} leaves");
        if let Some(leaf) = vector.leaves.get(count) {
            mountain.push(BlockHash(leaf.0));
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexVector {
    #[serde(rename = "about")]
    _about: String,
    maps: Vec<MapVector>,
    changes: Vec<ChangesVector>,
    node: Hex,
    refused_nodes: Vec<RefusedNode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapVector {
    what: String,
    records: Vec<(Hex, Hex)>,
    root: Text<Digest>,
    nodes: Vec<Hex>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangesVector {
    before: Vec<(Hex, Hex)>,
    after: Vec<(Hex, Hex)>,
    changes: Text<Digest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusedNode {
    what: String,
    node: Hex,
}

/// Makes the changes that lead from one map to another.
fn lead(index: &mut Index, blobs: &BTreeMap<Digest, Vec<u8>>, before: &[(Hex, Hex)], after: &[(Hex, Hex)]) {
    for (key, _) in before {
        index.set(blobs, key.0.clone(), None).unwrap();
    }
    for (key, value) in after {
        index.set(blobs, key.0.clone(), Some(value.0.as_slice().into())).unwrap();
    }
}

#[test]
fn trees_of_the_state_index() {
    let vector: IndexVector = from_text(INDEX);
    for map in &vector.maps {
        let mut index = Index::empty();
        lead(&mut index, &BTreeMap::new(), &[], &map.records);
        index.end_block();
        let (root, made) = index.flush(&BTreeMap::new()).unwrap();
        let mut nodes: Vec<Hex> = made.iter().map(|(_, node)| Hex(node.clone())).collect();
        nodes.sort();
        assert_eq!((root.0, &nodes), (map.root.0, &map.nodes), "{}", map.what);
        assert_eq!(records(&Index::at(root), &made.into_iter().collect()), map.records, "{}", map.what);
    }
    for change in &vector.changes {
        let (mut index, blobs) = (Index::empty(), BTreeMap::new());
        lead(&mut index, &blobs, &[], &change.before);
        index.end_block();
        lead(&mut index, &blobs, &change.before, &change.after);
        assert_eq!(index.end_block(), change.changes.0);
    }
    let read = |node: &Hex| {
        let root = Digest::of(&node.0);
        let blobs = BTreeMap::from([(root, node.0.clone())]);
        Index::at(StateRoot(root)).value(&blobs, &[0x20]).map(drop)
    };
    assert_eq!(read(&vector.node), Ok(()));
    for refused in &vector.refused_nodes {
        assert!(matches!(read(&refused.node), Err(TreeFault::Node(_))), "{}", refused.what);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LenientVector {
    #[serde(rename = "about")]
    _about: String,
    cases: Vec<LenientCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LenientCase {
    r#type: serde_json::Value,
    bytes: Hex,
    bytes_max: u64,
    canonical: Option<Hex>,
    code: Option<String>,
    pointer: Option<String>,
}

fn shape(written: &serde_json::Value) -> std::sync::Arc<Shape> {
    let document = serde_json::json!({"$kind": "defschema", "name": "vector/Type@1", "type": written}).to_string();
    let (tree, report) = (parse(&document).unwrap(), Report::default());
    match Definition::read(&At::root(&tree, &report)) {
        Some(Definition::Schema(schema)) => Shape::resolve(&schema.written, &|_| None).unwrap(),
        _ => panic!("{document}"),
    }
}

#[test]
fn what_a_guest_may_write() {
    for case in from_text::<LenientVector>(LENIENT).cases {
        let shape = shape(&case.r#type);
        let found = shape.canonical(&case.bytes.0, case.bytes_max).map(|bytes| Hex(bytes.into_owned()));
        let words = format!("{:x?} as {} under {}: {found:?}", case.bytes.0, case.r#type, case.bytes_max);
        assert_eq!(found.as_ref().ok(), case.canonical.as_ref(), "{words}");
        let mismatch = found.err();
        assert_eq!(mismatch.as_ref().map(|found| found.code()), case.code.as_deref(), "{words}");
        // Where a value is too large is not part of what a frame says.
        if let Some(pointer) = case.pointer {
            assert_eq!(mismatch.map(|found| found.pointer), Some(pointer), "{words}");
        }
    }
}
