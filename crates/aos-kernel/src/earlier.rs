//! Manifests that are in force no more, made ready once for the instances and intents that keep their meaning.
//!
//! A cache and nothing else: what it holds follows from the stored nodes, so it is no part of the state and may be empty
//! at any time. Never here: grants, policies or limits of an earlier manifest, which count for nothing any more.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;

use aos_air::cbor::{Problem, Reader};
use aos_air::hash::Digest;
use aos_air::name::Name;
use aos_air::plan::Plan;
use aos_air::schema::Shape;

use crate::blobs::Blobs;
use crate::error::Fault;
use crate::program;
use crate::world::load_manifest;

/// How many manifests are held; the one that was not used for longest goes first.
const HELD_MAX: usize = 8;

/// The manifests that are held.
#[derive(Default)]
pub(crate) struct Earlier {
    // INVARIANT: no more than `HELD_MAX`.
    held: BTreeMap<Digest, Held>,
    uses: u64,
}

/// What a manifest meant.
struct Held {
    plans: BTreeMap<Name, Arc<Plan>>,
    /// The type of a receipt's payload, by the effect's kind.
    receipts: BTreeMap<String, Arc<Shape>>,
    /// The number of the last use.
    used: u64,
}

impl Held {
    fn load(manifest: &Digest, blobs: &dyn Blobs) -> Result<Self, Fault> {
        let manifest = load_manifest(manifest, blobs)?;
        let plans = manifest.plans().map(|plan| (plan.name.clone(), plan.clone())).collect();
        let receipts = program::effects(&manifest).into_iter().map(|(kind, effect)| (kind, effect.receipt)).collect();
        Ok(Self { plans, receipts, used: 0 })
    }
}

impl Earlier {
    /// Finds a plan of a manifest.
    ///
    /// # Errors
    /// A [`Fault`] where the manifest cannot be had, or has no such plan.
    pub fn plan(&mut self, manifest: &Digest, name: &Name, blobs: &dyn Blobs) -> Result<Arc<Plan>, Fault> {
        self.held(manifest, blobs)?.plans.get(name).cloned().ok_or_else(missing)
    }

    /// Finds the type of a receipt's payload, for an effect that was asked for under a manifest.
    ///
    /// # Errors
    /// A [`Fault`] where the manifest cannot be had, or does not know the effect.
    pub fn receipt(&mut self, manifest: &Digest, kind: &str, blobs: &dyn Blobs) -> Result<Arc<Shape>, Fault> {
        self.held(manifest, blobs)?.receipts.get(kind).cloned().ok_or_else(missing)
    }

    /// Finds the type of a receipt's payload as [`Earlier::receipt`] does, for one who may only read: holds nothing new.
    ///
    /// # Errors
    /// The same.
    pub fn receipt_unheld(&self, manifest: &Digest, kind: &str, blobs: &dyn Blobs) -> Result<Arc<Shape>, Fault> {
        match self.held.get(manifest) {
            Some(held) => held.receipts.get(kind).cloned(),
            None => Held::load(manifest, blobs)?.receipts.remove(kind),
        }
        .ok_or_else(missing)
    }

    /// Lets go of everything: no instance runs and no intent is open that could keep a manifest.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    fn held(&mut self, manifest: &Digest, blobs: &dyn Blobs) -> Result<&Held, Fault> {
        self.uses += 1;
        if !self.held.contains_key(manifest) {
            let held = Held::load(manifest, blobs)?;
            if self.held.len() >= HELD_MAX {
                let oldest = self.held.iter().min_by_key(|(_, held)| held.used).map(|(manifest, _)| *manifest);
                oldest.and_then(|oldest| self.held.remove(&oldest));
            }
            self.held.insert(*manifest, held);
        }
        let held = self.held.get_mut(manifest).ok_or_else(missing)?;
        held.used = self.uses;
        Ok(held)
    }
}

/// State names what its manifest does not have: it is not what this kernel wrote.
fn missing() -> Fault {
    Fault::Record(Reader::error(0, Problem::Range))
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;
    use core::cell::RefCell;

    use aos_air::validate::{Source, load};

    use super::*;
    use crate::blobs::BlobFault;

    /// Stored nodes, and which were read.
    struct Nodes {
        nodes: BTreeMap<Digest, Vec<u8>>,
        read: RefCell<Vec<Digest>>,
    }

    impl Blobs for Nodes {
        fn blob(&self, hash: &Digest) -> Result<Vec<u8>, BlobFault> {
            self.read.borrow_mut().push(*hash);
            self.nodes.blob(hash)
        }
    }

    /// A manifest of one plan, which differs from others by its number.
    fn stored(number: u64, nodes: &mut Nodes) -> Digest {
        let text = format!(
            r#"[{{"$kind": "defschema", "name": "t/In@1", "type": {{"nat": {{}}}}}},
            {{"$kind": "defplan", "name": "t/P@1", "input": "t/In@1",
              "steps": [{{"id": "a", "op": "assign", "expr": {{"nat": {number}}}, "bind": {{"as": "a"}}}}]}},
            {{"$kind": "manifest", "air_version": "1", "schemas": [{{"name": "t/In@1"}}], "plans": [{{"name": "t/P@1"}}]}}]"#
        );
        let manifest = load(&[Source { file: "m.air.json".into(), text }], &|_| None).unwrap();
        nodes.nodes.extend(manifest.nodes().map(|(hash, node)| (hash, node.to_vec())));
        manifest.hash()
    }

    /// An instance that was resumed under another manifest once loaded and checked its own anew each time.
    #[test]
    fn a_manifest_is_loaded_once_while_it_is_held() {
        let mut nodes = Nodes { nodes: BTreeMap::new(), read: RefCell::default() };
        let manifests: Vec<Digest> = (0..=HELD_MAX as u64).map(|number| stored(number, &mut nodes)).collect();
        let name = Name::parse("t/P@1").unwrap();
        let mut earlier = Earlier::default();
        let first = earlier.plan(&manifests[0], &name, &nodes).unwrap();
        let loads =
            |nodes: &Nodes, manifest: &Digest| nodes.read.borrow().iter().filter(|hash| *hash == manifest).count();
        assert!(Arc::ptr_eq(&earlier.plan(&manifests[0], &name, &nodes).unwrap(), &first));
        assert!(earlier.receipt(&manifests[0], "timer.set", &nodes).is_ok());
        assert!(earlier.receipt_unheld(&manifests[0], "timer.set", &nodes).is_ok());
        assert_eq!(loads(&nodes, &manifests[0]), 1);
        // Who only reads holds nothing.
        assert!(earlier.receipt_unheld(&manifests[1], "timer.set", &nodes).is_ok());
        assert_eq!(earlier.held.len(), 1);
        // The one that was not used for longest makes room.
        for manifest in &manifests[1..HELD_MAX] {
            earlier.plan(manifest, &name, &nodes).unwrap();
        }
        earlier.plan(&manifests[0], &name, &nodes).unwrap();
        earlier.plan(&manifests[HELD_MAX], &name, &nodes).unwrap();
        assert_eq!(earlier.held.len(), HELD_MAX);
        assert!(earlier.held.contains_key(&manifests[0]) && !earlier.held.contains_key(&manifests[1]));
        earlier.clear();
        earlier.plan(&manifests[0], &name, &nodes).unwrap();
        assert_eq!(loads(&nodes, &manifests[0]), 2);
        let other = Name::parse("t/Q@1").unwrap();
        let none = earlier.plan(&manifests[0], &other, &nodes).map(drop);
        assert_eq!(none.map_err(|fault| fault.code()), Err("state.damaged"));
        assert_eq!(earlier.receipt(&manifests[0], "t.ask", &nodes).map_err(|fault| fault.code()), Err("state.damaged"));
    }
}
