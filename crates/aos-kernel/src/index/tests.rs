//! The index against a plain map, whatever the order and grouping of changes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use aos_air::hash::Digest;
use proptest::prelude::*;

use super::*;

/// A key whose first byte fixes its length, so that none is the prefix of another.
fn key() -> impl Strategy<Value = Key> {
    (0_u8..3, prop::collection::vec(0_u8..4, 8)).prop_map(|(kind, tail)| {
        core::iter::once(kind).chain(tail.into_iter().take(1 + 3 * usize::from(kind))).collect()
    })
}

fn value() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::weighted(0.7, (0_usize..200, any::<u8>()).prop_map(|(len, byte)| Bytes::from(vec![byte; len])))
}

fn twin(model: &BTreeMap<Key, Bytes>) -> StateRoot {
    let mut fresh = Index::empty();
    let blobs = BTreeMap::new();
    for (key, value) in model {
        fresh.set(&blobs, key.clone(), Some(value.clone())).unwrap();
    }
    fresh.end_block();
    fresh.flush(&blobs).unwrap().0
}

fn scanned(index: &Index, blobs: &dyn Blobs, prefix: &[u8]) -> Vec<(Key, Bytes)> {
    let mut found = Vec::new();
    index
        .scan(blobs, prefix, &mut |key, value| {
            found.push((key.to_vec(), value.clone()));
            true
        })
        .unwrap();
    found
}

proptest! {
    #![proptest_config(crate::cases::cases(256))]

    #[test]
    fn equals_a_plain_map(batches in prop::collection::vec((prop::collection::vec((key(), value()), 0..24), any::<bool>()), 0..12)) {
        let mut model: BTreeMap<Key, Bytes> = BTreeMap::new();
        let mut blobs: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
        let mut index = Index::empty();
        for (batch, flush) in batches {
            for (key, value) in batch {
                index.set(&blobs, key.clone(), value.clone()).unwrap();
                match value {
                    Some(value) => model.insert(key, value),
                    None => model.remove(&key),
                };
            }
            index.end_block();
            if flush {
                let (root, nodes) = index.flush(&blobs).unwrap();
                blobs.extend(nodes);
                prop_assert_eq!(root, twin(&model), "the root depends on the content alone");
                index = Index::at(root);
            }
            for prefix in [&[][..], &[1], &[2, 0], &[2, 3, 1]] {
                let expected: Vec<_> = model.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect();
                prop_assert_eq!(scanned(&index, &blobs, prefix), expected);
            }
            for (key, value) in &model {
                prop_assert_eq!(index.value(&blobs, key).unwrap(), Some(value.clone()));
            }
            prop_assert_eq!(index.value(&blobs, &[0, 9]).unwrap(), None);
        }
    }
}

#[test]
fn a_missing_or_damaged_node_is_a_fault_that_names_it() {
    let mut blobs: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    let mut index = Index::empty();
    for byte in 0..64 {
        index.set(&blobs, vec![byte], Some(Bytes::from(vec![byte; 200]))).unwrap();
    }
    index.end_block();
    let (root, nodes) = index.flush(&blobs).unwrap();
    blobs.extend(nodes);
    let mut damaged = blobs.clone();
    damaged.get_mut(&root.0).unwrap()[3] ^= 1;
    assert!(
        matches!(Index::at(root).value(&damaged, &[1]), Err(TreeFault::Blob(crate::blobs::BlobFault::Damaged(hash))) if hash == root.0)
    );
    blobs.remove(&root.0);
    assert!(
        matches!(Index::at(root).value(&blobs, &[1]), Err(TreeFault::Blob(crate::blobs::BlobFault::Missing(hash))) if hash == root.0)
    );
}

#[test]
fn a_snapshot_costs_what_changed() {
    let mut blobs: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    let mut index = Index::empty();
    for number in 0_u32..20_000 {
        index
            .set(&blobs, Digest::of(&number.to_be_bytes()).as_bytes().to_vec(), Some(Bytes::from(vec![0; 100])))
            .unwrap();
    }
    index.end_block();
    let (root, nodes) = index.flush(&blobs).unwrap();
    blobs.extend(nodes);
    let mut index = Index::at(root);
    index.set(&blobs, Digest::of(&7_u32.to_be_bytes()).as_bytes().to_vec(), Some(Bytes::from(vec![1; 100]))).unwrap();
    index.end_block();
    let (_, nodes) = index.flush(&blobs).unwrap();
    assert!(nodes.len() <= 6, "one changed key among 20,000 made {} nodes", nodes.len());
}
