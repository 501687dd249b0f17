//! Random calls on a store and on a model of it: both must answer alike, at every step and after reopening.
//!
//! The model is a map from worlds to lists; it knows the contract and nothing of backends.
//! Read next: `conformance.rs` for the contract case by case.

use std::collections::BTreeMap;

use aos_air::hash::Digest;
use aos_host::store::{Commit, Fence, Store, StoredBlock};
use aos_kernel::id::{BlockHash, BlockIndex, Height, WorldId};
use proptest::prelude::*;

use super::{InFile, InMemory, Place, Whole, block, code, commit, named, whole, world};

#[derive(Debug, Clone)]
enum Call {
    Create(u8),
    Acquire(u8),
    /// Appends with the fence and the head as they were so many changes ago (0: the newest).
    Append {
        world: u8,
        fence_age: usize,
        head_age: usize,
        frames: u64,
        blob: u8,
        snapshot: bool,
    },
    PutBlob(u8),
    Reopen,
}

fn call() -> impl Strategy<Value = Call> {
    let age = || prop_oneof![6 => Just(0_usize), 1 => 1..3_usize];
    prop_oneof![
        1 => (0..3_u8).prop_map(Call::Create),
        1 => (0..3_u8).prop_map(Call::Acquire),
        8 => (0..3_u8, age(), age(), 0..4_u64, any::<u8>(), any::<bool>()).prop_map(
            |(world, fence_age, head_age, frames, blob, snapshot)| Call::Append {
                world, fence_age, head_age, frames, blob, snapshot
            }
        ),
        1 => any::<u8>().prop_map(Call::PutBlob),
        1 => Just(Call::Reopen),
    ]
}

/// Everything that a world ever was; the newest fence and block and the oldest snapshot are last.
#[derive(Default)]
struct ModelWorld {
    fences: Vec<Fence>,
    blocks: Vec<StoredBlock>,
    snapshots: Vec<(BlockIndex, Option<Vec<u8>>)>,
}

#[derive(Default)]
struct Model {
    worlds: BTreeMap<WorldId, ModelWorld>,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

fn blob(number: u8) -> (Digest, Vec<u8>) {
    named(vec![number; usize::from(number)])
}

/// The item so many places before the last, or the first.
fn aged<T>(items: &[T], age: usize) -> &T {
    &items[items.len().saturating_sub(1 + age)]
}

impl Model {
    /// Makes one call on both and compares what they say.
    fn step(&mut self, store: &mut dyn Store, call: &Call) {
        match *call {
            Call::Create(number) => {
                let id = world(&number.to_string());
                let genesis = block(id, 0, 1, 0);
                let result = store.create(id, &commit(&genesis));
                let known = self.worlds.entry(id).or_default();
                if known.blocks.is_empty() {
                    known.fences.push(result.unwrap());
                    known.blocks.push(genesis);
                } else {
                    assert_eq!(code(result), "store.world_exists");
                }
            }
            Call::Acquire(number) => {
                let id = world(&number.to_string());
                let result = store.acquire(id);
                match self.worlds.get_mut(&id) {
                    None => assert_eq!(code(result), "store.world_unknown"),
                    Some(ModelWorld { fences, .. }) => {
                        let fence = result.unwrap();
                        assert!(fences.iter().all(|earlier| *earlier < fence));
                        fences.push(fence);
                    }
                }
            }
            Call::Append { world: number, fence_age, head_age, frames, blob: content, snapshot } => {
                let id = world(&number.to_string());
                let Some(ModelWorld { fences, blocks, snapshots }) = self.worlds.get_mut(&id) else { return };
                let (fence, after) = (*aged(fences, fence_age), aged(blocks, head_age).head());
                let next = StoredBlock {
                    hash: BlockHash(Digest::of(&[number, content])),
                    last_height: Height(after.height.0 + frames),
                    ..block(id, after.block.0 + 1, 1, usize::from(content))
                };
                let blobs = [blob(content)];
                let record = [content; 7];
                let commit = Commit { block: &next, blobs: &blobs, snapshot: snapshot.then_some(&record) };
                let result = store.append(id, fence, &after, &commit);
                let expected = if fence != *aged(fences, 0) {
                    "store.fenced"
                } else if after != aged(blocks, 0).head() {
                    "store.not_at_head"
                } else {
                    if snapshot {
                        snapshots.insert(0, (next.index, Some(record.to_vec())));
                    }
                    blocks.push(next);
                    self.blobs.extend(blobs.clone());
                    "ok"
                };
                assert_eq!(code(result), expected);
            }
            Call::PutBlob(number) => {
                store.put_blobs(&[blob(number)]).unwrap();
                self.blobs.extend([blob(number)]);
            }
            Call::Reopen => {}
        }
    }

    fn compare(&self, store: &dyn Store) {
        let heads: Vec<_> = self.worlds.iter().map(|(id, known)| (*id, aged(&known.blocks, 0).head())).collect();
        assert_eq!(store.worlds().unwrap(), heads);
        for (id, ModelWorld { fences, blocks, snapshots }) in &self.worlds {
            let expected = Whole {
                head: aged(blocks, 0).head(),
                fence: *aged(fences, 0),
                blocks: blocks.clone(),
                snapshots: snapshots.clone(),
                beyond: Vec::new(),
            };
            assert_eq!(whole(store, *id).unwrap(), expected);
            for height in 0..=aged(blocks, 0).last_height.0 {
                let expected = blocks.iter().find(|block| block.last_height.0 >= height);
                assert_eq!(store.block_at(*id, Height(height)).unwrap().as_ref(), expected);
            }
        }
        for number in 0..=u8::MAX {
            let (hash, bytes) = blob(number);
            match self.blobs.get(&hash) {
                Some(_) => assert_eq!(store.blob(&hash).unwrap(), bytes),
                None => assert_eq!(code(store.blob(&hash)), "store.blob_missing"),
            }
        }
    }
}

fn run(place: &dyn Place, calls: &[Call]) {
    let mut model = Model::default();
    let mut store = place.open();
    for call in calls {
        if matches!(call, Call::Reopen) {
            drop(store);
            store = place.open();
        }
        model.step(&mut *store, call);
    }
    model.compare(&*store);
    drop(store);
    model.compare(&*place.open());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_answers_like_its_model(calls in prop::collection::vec(call(), 1..80)) {
        run(&InMemory::new(), &calls);
    }

    #[test]
    fn a_file_answers_like_its_model(calls in prop::collection::vec(call(), 1..80)) {
        run(&InFile::new(), &calls);
    }
}
