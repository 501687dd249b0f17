//! The state index: all of a world's state as one authenticated map from keys to bytes.
//!
//! Changes gather in memory; [`Index::flush`] merges them into the persistent tree of `trie` and gives its root. A root
//! is a snapshot: taking one costs what changed, reading from one loads the nodes on the way and no others.
//! Never here: what keys and values mean; see `state/`.

mod nibbles;
mod trie;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;

use aos_air::cbor::write;
use aos_air::hash::{Digest, Purpose};

pub use self::nibbles::Nibbles;
pub use self::trie::{INLINE_MAX, TreeFault};
use self::trie::{Node, Nodes};
use crate::blobs::Blobs;
use crate::id::StateRoot;

/// A key of the index. No key is the prefix of another: the first byte of a key fixes its length.
pub type Key = Vec<u8>;
/// A value of the index.
pub type Bytes = Arc<[u8]>;

/// What a scan is told: a key and its value; it goes on while this returns true.
type Visit<'a> = dyn FnMut(&[u8], &Bytes) -> bool + 'a;

/// What a flush leaves: the root, and the nodes that are new.
type Flushed = (StateRoot, Vec<(Digest, Vec<u8>)>);

/// Bytes of nodes, and of clean values, that one of two generations keeps; both are caches only.
const CACHED_BYTES_MAX: usize = 4 << 20;
/// What an entry of a cache costs besides its own bytes, about.
const CACHED_ENTRY_BYTES: usize = 256;

/// A map with an authenticated root.
pub struct Index {
    /// The tree under the changes; none while it has no keys.
    root: Option<Digest>,
    /// Changes since the last flush.
    dirty: BTreeMap<Key, Option<Bytes>>,
    /// Digest of the value, before the block, of every key that the block changed.
    before: BTreeMap<Key, Option<Digest>>,
    cache: RefCell<Cache>,
}

/// What was read from the tree, forgotten by generations.
#[derive(Default)]
struct Cache {
    nodes: Generations<Digest, Arc<Node>>,
    values: Generations<Key, Option<Bytes>>,
}

/// Two maps: what is used moves to the young one; when that is full it becomes the old one and the old one goes.
struct Generations<K, V> {
    young: BTreeMap<K, (V, usize)>,
    young_bytes: usize,
    old: BTreeMap<K, (V, usize)>,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self { young: BTreeMap::new(), young_bytes: 0, old: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, V: Clone> Generations<K, V> {
    fn take<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: core::borrow::Borrow<Q>,
    {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, bytes)) = self.old.remove_entry(key)?;
        self.put(key, value.clone(), bytes);
        Some(value)
    }

    fn put(&mut self, key: K, value: V, bytes: usize) {
        if self.young_bytes >= CACHED_BYTES_MAX {
            self.old = core::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes + CACHED_ENTRY_BYTES;
        self.young.insert(key, (value, bytes));
    }
}

/// The tree's nodes as the index sees them: the cache, then the blobs.
struct Cached<'a> {
    blobs: &'a dyn Blobs,
    cache: &'a RefCell<Cache>,
}

impl Nodes for Cached<'_> {
    fn node(&self, hash: &Digest) -> Result<Arc<Node>, TreeFault> {
        if let Some(node) = self.cache.borrow_mut().nodes.take(hash) {
            return Ok(node);
        }
        let bytes = self.blobs.blob(hash)?;
        let node = Arc::new(Node::decode(&bytes).map_err(TreeFault::Node)?);
        self.cache.borrow_mut().nodes.put(*hash, node.clone(), bytes.len());
        Ok(node)
    }
}

/// The digest that stands for a tree without keys: that of no bytes.
fn empty_root() -> Digest {
    Digest::of(&[])
}

impl Index {
    /// Makes an index without keys.
    pub fn empty() -> Self {
        Self { root: None, dirty: BTreeMap::new(), before: BTreeMap::new(), cache: RefCell::default() }
    }

    /// Takes up the index that has this root. Nothing is read yet.
    pub fn at(root: StateRoot) -> Self {
        let root = (root.0 != empty_root()).then_some(root.0);
        Self { root, ..Self::empty() }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// [`TreeFault`] where a node of the tree cannot be had.
    pub fn value(&self, blobs: &dyn Blobs, key: &[u8]) -> Result<Option<Bytes>, TreeFault> {
        if let Some(value) = self.dirty.get(key) {
            return Ok(value.clone());
        }
        let Some(root) = &self.root else { return Ok(None) };
        if let Some(value) = self.cache.borrow_mut().values.take(key) {
            return Ok(value);
        }
        let found = trie::find(&Cached { blobs, cache: &self.cache }, root, &Nibbles::of_key(key))?;
        let bytes = found.as_ref().map_or(0, |value| value.len());
        self.cache.borrow_mut().values.put(key.to_vec(), found.clone(), bytes);
        Ok(found)
    }

    /// Sets a value, or removes it.
    ///
    /// # Errors
    /// [`TreeFault`] where the value before, which the block's `changes` need, cannot be had; then nothing is changed.
    pub fn set(&mut self, blobs: &dyn Blobs, key: Key, value: Option<Bytes>) -> Result<(), TreeFault> {
        if !self.before.contains_key(&key) {
            let before = self.value(blobs, &key)?;
            self.before.insert(key.clone(), before.map(|value| Digest::of(&value)));
        }
        self.dirty.insert(key, value);
        Ok(())
    }

    /// Visits every key that starts with `prefix`, in order, until `visit` returns false.
    ///
    /// # Errors
    /// [`TreeFault`] where a node of the tree cannot be had.
    pub fn scan(&self, blobs: &dyn Blobs, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), TreeFault> {
        let mut changed = self.dirty.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)).peekable();
        let mut going = true;
        if let Some(root) = &self.root {
            let nodes = Cached { blobs, cache: &self.cache };
            trie::scan(&nodes, root, &Nibbles::of_key(prefix), &mut |nibbles, value| {
                let Some(key) = nibbles.to_key() else { return true };
                while let Some((earlier, value)) = changed.next_if(|(earlier, _)| **earlier < key) {
                    going = going && value.as_ref().is_none_or(|value| visit(earlier, value));
                }
                let now = changed.next_if(|(same, _)| **same == key).map_or(Some(value), |(_, value)| value.as_ref());
                going = going && now.is_none_or(|value| visit(&key, value));
                going
            })?;
        }
        for (key, value) in changed {
            going = going && value.as_ref().is_none_or(|value| visit(key, value));
        }
        Ok(())
    }

    /// Ends a block: returns the digest of every key that it changed, with its value's digest before and after.
    pub fn end_block(&mut self) -> Digest {
        let mut list = Vec::new();
        let mut count = 0;
        for (key, before) in core::mem::take(&mut self.before) {
            let after = self.dirty.get(&key).and_then(Option::as_ref).map(|value| Digest::of(value));
            if before != after {
                count += 1;
                write::array(&mut list, 3);
                write::bytes(&mut list, &key);
                write::bytes_or_null(&mut list, before.as_ref().map(|digest| digest.as_bytes().as_slice()));
                write::bytes_or_null(&mut list, after.as_ref().map(|digest| digest.as_bytes().as_slice()));
            }
        }
        let mut head = Vec::new();
        write::array(&mut head, count);
        Purpose::Changes.hasher().update(&head).update(&list).finish()
    }

    /// Merges the changes into the tree; returns its root and the nodes that are new, to be stored with the block.
    ///
    /// Between blocks only: what [`Index::end_block`] looks at is gone afterwards.
    ///
    /// # Errors
    /// [`TreeFault`] where a node of the tree cannot be had; then nothing is changed.
    pub fn flush(&mut self, blobs: &dyn Blobs) -> Result<Flushed, TreeFault> {
        assert!(self.before.is_empty(), "the state index is flushed inside a block");
        let changes: Vec<_> = self.dirty.iter().map(|(key, value)| (Nibbles::of_key(key), value.clone())).collect();
        let updated = trie::update(&Cached { blobs, cache: &self.cache }, self.root.as_ref(), &changes)?;
        self.root = updated.root;
        let cache = self.cache.get_mut();
        for (key, value) in core::mem::take(&mut self.dirty) {
            let bytes = value.as_ref().map_or(0, |value| value.len());
            cache.values.put(key, value, bytes);
        }
        let mut stored = Vec::with_capacity(updated.nodes.len());
        for (hash, bytes, node) in updated.nodes {
            cache.nodes.put(hash, node, bytes.len());
            stored.push((hash, bytes));
        }
        Ok((StateRoot(self.root.unwrap_or_else(empty_root)), stored))
    }

    /// Returns the root, where nothing has changed since the last flush.
    pub fn root(&self) -> Option<StateRoot> {
        self.dirty.is_empty().then(|| StateRoot(self.root.unwrap_or_else(empty_root)))
    }
}

#[cfg(test)]
mod tests;
