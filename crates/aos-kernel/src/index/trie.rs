//! The persistent tree behind the state index: a radix tree over nibbles whose nodes are blobs.
//!
//! The tree depends on its content alone, not on the order or grouping of changes, so a root found by replay equals one
//! found from a snapshot. No key may be the prefix of another. A node of at most [`INLINE_MAX`] bytes lies inside its
//! parent. Everything is a pure function of a root and the blobs; caching is `mod.rs`'s business.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use aos_air::cbor::{CborError, Head, Problem, Reader, write};
use aos_air::hash::Digest;

use super::nibbles::Nibbles;
use crate::blobs::BlobFault;

/// Largest node in bytes that is kept inside its parent.
pub const INLINE_MAX: usize = 128;

/// Deepest nesting of branches inside one blob: an empty branch takes 20 bytes, so [`INLINE_MAX`] allows fewer.
const INLINE_DEPTH_MAX: usize = 8;

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A key's end and its value.
    Leaf {
        /// The key's nibbles below the parent.
        path: Nibbles,
        /// The value.
        value: Arc<[u8]>,
    },
    /// Where keys part.
    Branch {
        /// The nibbles that all keys below share.
        path: Nibbles,
        /// By the next nibble; at least two are there.
        children: Box<[Option<Link>; 16]>,
    },
}

/// How a branch holds a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// As a blob of its own.
    Stored(Digest),
    /// Within the branch.
    Inline(Arc<Node>),
}

/// Why the tree could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeFault {
    /// A node could not be had.
    #[error(transparent)]
    Blob(#[from] BlobFault),
    /// A node's bytes are not a node.
    #[error("the state index holds a node that is none: {0}")]
    Node(CborError),
}

/// Gives nodes by their digest.
pub trait Nodes {
    /// Returns the node with this digest.
    ///
    /// # Errors
    /// [`TreeFault`].
    fn node(&self, hash: &Digest) -> Result<Arc<Node>, TreeFault>;
}

/// A change: a key's nibbles and its new value, or none to remove it.
pub type Change = (Nibbles, Option<Arc<[u8]>>);

impl Node {
    /// Reads a node.
    ///
    /// # Errors
    /// Where the bytes are no node in its one form.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        let node = Self::read(&mut reader, 0)?;
        reader.end()?;
        Ok(node)
    }

    fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Self, CborError> {
        let start = reader.offset();
        let wrong = Reader::error(start, Problem::Type);
        reader.array_of(3)?;
        match reader.uint()? {
            0 => {
                let path = Nibbles::decode(reader.bytes()?).ok_or(wrong)?;
                Ok(Self::Leaf { path, value: reader.bytes()?.into() })
            }
            1 if depth < INLINE_DEPTH_MAX => {
                let path = Nibbles::decode(reader.bytes()?).ok_or(wrong)?;
                let mut children: Box<[Option<Link>; 16]> = Box::default();
                let mut count = 0;
                reader.array_of(children.len())?;
                for child in children.iter_mut() {
                    *child = Self::read_link(reader, depth)?;
                    count += usize::from(child.is_some());
                }
                if count < 2 { Err(wrong) } else { Ok(Self::Branch { path, children }) }
            }
            _ => Err(wrong),
        }
    }

    fn read_link(reader: &mut Reader<'_>, depth: usize) -> Result<Option<Link>, CborError> {
        match reader.peek()? {
            Head::Null => {
                reader.head()?;
                Ok(None)
            }
            Head::Bytes(_) => Ok(Some(Link::Stored(Digest::from_bytes(reader.byte_array()?)))),
            _ => {
                let start = reader.offset();
                let node = Self::read(reader, depth + 1)?;
                if reader.since(start).len() > INLINE_MAX {
                    return Err(Reader::error(start, Problem::Range));
                }
                Ok(Some(Link::Inline(Arc::new(node))))
            }
        }
    }

    /// Returns the node's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        write::array(out, 3);
        match self {
            Self::Leaf { path, value } => {
                write::uint(out, 0);
                write::bytes(out, &path.encode());
                write::bytes(out, value);
            }
            Self::Branch { path, children } => {
                write::uint(out, 1);
                write::bytes(out, &path.encode());
                write::array(out, children.len());
                for child in children.iter() {
                    match child {
                        None => write::null(out),
                        Some(Link::Stored(hash)) => write::bytes(out, hash.as_bytes()),
                        Some(Link::Inline(node)) => node.write(out),
                    }
                }
            }
        }
    }

    const fn path(&self) -> &Nibbles {
        match self {
            Self::Leaf { path, .. } | Self::Branch { path, .. } => path,
        }
    }

    fn with_path(&self, path: Nibbles) -> Self {
        match self {
            Self::Leaf { value, .. } => Self::Leaf { path, value: value.clone() },
            Self::Branch { children, .. } => Self::Branch { path, children: children.clone() },
        }
    }
}

/// Finds the value of a key below `root`.
///
/// # Errors
/// [`TreeFault`] where a node cannot be had.
pub fn find(nodes: &dyn Nodes, root: &Digest, key: &Nibbles) -> Result<Option<Arc<[u8]>>, TreeFault> {
    let mut link = Link::Stored(*root);
    let mut rest = key.as_slice();
    loop {
        let node = load(nodes, &link)?;
        let Some(below) = rest.strip_prefix(node.path().as_slice()) else { return Ok(None) };
        match &*node {
            Node::Leaf { value, .. } => return Ok(below.is_empty().then(|| value.clone())),
            Node::Branch { children, .. } => {
                let Some((nibble, below)) = below.split_first() else { return Ok(None) };
                let Some(child) = children.get(usize::from(*nibble)).and_then(Option::as_ref) else { return Ok(None) };
                link = child.clone();
                rest = below;
            }
        }
    }
}

/// Visits every key below `root` that starts with `prefix`, in order, until `visit` returns false.
///
/// # Errors
/// [`TreeFault`] where a node cannot be had.
pub fn scan(
    nodes: &dyn Nodes,
    root: &Digest,
    prefix: &Nibbles,
    visit: &mut dyn FnMut(Nibbles, &Arc<[u8]>) -> bool,
) -> Result<(), TreeFault> {
    scan_link(nodes, &Link::Stored(*root), &Nibbles::default(), prefix.as_slice(), visit).map(drop)
}

fn scan_link(
    nodes: &dyn Nodes,
    link: &Link,
    above: &Nibbles,
    prefix: &[u8],
    visit: &mut dyn FnMut(Nibbles, &Arc<[u8]>) -> bool,
) -> Result<bool, TreeFault> {
    let node = load(nodes, link)?;
    let mut here = above.clone();
    here.extend(node.path());
    let shared = Nibbles::shared(here.as_slice(), prefix);
    if shared < here.as_slice().len().min(prefix.len()) {
        return Ok(true);
    }
    match &*node {
        Node::Leaf { value, .. } => Ok(shared < prefix.len() || visit(here, value)),
        Node::Branch { children, .. } => {
            for (nibble, child) in (0_u8..).zip(children.iter()) {
                let Some(child) = child else { continue };
                if !scan_link(nodes, child, &here.join(nibble, &Nibbles::default()), prefix, visit)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// A tree being changed: reads nodes, collects new ones.
pub struct Update<'a> {
    nodes: &'a dyn Nodes,
    made: Vec<(Digest, Vec<u8>, Arc<Node>)>,
}

/// A child of a branch that is being changed; one that was made has no blob until the branch itself is ended.
enum Child {
    Kept(Link),
    Made(Node),
}

type Children = [Option<Child>; 16];

/// What an update made: the new root, and the nodes to store, children before parents.
pub struct Updated {
    /// The new root; none for a tree without keys.
    pub root: Option<Digest>,
    /// New nodes with their digests and bytes.
    pub nodes: Vec<(Digest, Vec<u8>, Arc<Node>)>,
}

/// Applies `changes`, which are sorted by key and name each key once, to the tree at `root`.
///
/// # Errors
/// [`TreeFault`] where a node cannot be had.
pub fn update(nodes: &dyn Nodes, root: Option<&Digest>, changes: &[Change]) -> Result<Updated, TreeFault> {
    let mut update = Update { nodes, made: Vec::new() };
    let before = root.map(|root| nodes.node(root)).transpose()?;
    let after = update.merge(before, changes.to_vec())?;
    let root = after.map(|node| update.store(Arc::new(node)));
    Ok(Updated { root, nodes: update.made })
}

fn load(nodes: &dyn Nodes, link: &Link) -> Result<Arc<Node>, TreeFault> {
    match link {
        Link::Stored(hash) => nodes.node(hash),
        Link::Inline(node) => Ok(node.clone()),
    }
}

impl Update<'_> {
    /// Merges changes, whose keys are relative to the node's parent, into a node.
    fn merge(&mut self, node: Option<Arc<Node>>, mut changes: Vec<Change>) -> Result<Option<Node>, TreeFault> {
        let Some(node) = node else {
            changes.retain(|(_, value)| value.is_some());
            return self.build(changes);
        };
        match &*node {
            Node::Leaf { path, value } => {
                let at = changes.binary_search_by(|(key, _)| key.cmp(path));
                if let Err(at) = at {
                    changes.insert(at, (path.clone(), Some(value.clone())));
                }
                changes.retain(|(_, value)| value.is_some());
                self.build(changes)
            }
            Node::Branch { path, children } => {
                let within = |key: &Nibbles| key.as_slice().starts_with(path.as_slice());
                changes.retain(|(key, value)| value.is_some() || within(key));
                let shared = changes.iter().map(|(key, _)| Nibbles::shared(key.as_slice(), path.as_slice())).min();
                match shared {
                    None => Ok(Some((*node).clone())),
                    Some(shared) if shared == path.as_slice().len() => {
                        self.merge_children(path, children.clone().map(|child| child.map(Child::Kept)), changes)
                    }
                    Some(shared) => self.split(&node, shared, changes),
                }
            }
        }
    }

    /// Distributes changes that all lie below `path` over the children, and drops or folds a branch that is left with too few.
    fn merge_children(
        &mut self,
        path: &Nibbles,
        mut children: Children,
        changes: Vec<Change>,
    ) -> Result<Option<Node>, TreeFault> {
        for (nibble, group) in group(path.as_slice().len(), changes) {
            let Some(child) = children.get_mut(usize::from(nibble)) else { continue };
            let before = child.take().map(|child| self.open(child)).transpose()?;
            *child = self.merge(before, group)?.map(Child::Made);
        }
        let mut left = (0_u8..).zip(&mut children).filter(|(_, child)| child.is_some());
        match (left.next(), left.next()) {
            (None, _) => Ok(None),
            (Some((nibble, only)), None) => {
                let only = only.take().map(|child| self.open(child)).transpose()?;
                Ok(only.map(|only| only.with_path(path.join(nibble, only.path()))))
            }
            _ => Ok(Some(Node::Branch {
                path: path.clone(),
                children: Box::new(children.map(|child| child.map(|child| self.link(child)))),
            })),
        }
    }

    /// Parts a branch's path after `shared` nibbles: the branch becomes one child, the changes go where they belong.
    fn split(&mut self, branch: &Node, shared: usize, changes: Vec<Change>) -> Result<Option<Node>, TreeFault> {
        let path = branch.path();
        let mut children = Children::default();
        let slot = path.as_slice().get(shared).and_then(|nibble| children.get_mut(usize::from(*nibble)));
        assert!(slot.is_some(), "a path is parted inside itself");
        if let Some(slot) = slot {
            *slot = Some(Child::Made(branch.with_path(path.from(shared + 1))));
        }
        self.merge_children(&path.to(shared), children, changes)
    }

    /// Builds a tree of new keys.
    fn build(&mut self, changes: Vec<Change>) -> Result<Option<Node>, TreeFault> {
        let (Some((first, value)), Some((last, _))) = (changes.first(), changes.last()) else { return Ok(None) };
        if changes.len() == 1 {
            return Ok(value.clone().map(|value| Node::Leaf { path: first.clone(), value }));
        }
        // Sorted, so what the first and the last share is shared by all.
        let path = first.to(Nibbles::shared(first.as_slice(), last.as_slice()));
        assert!(path.as_slice().len() < first.as_slice().len(), "a key of the state index is the prefix of another");
        self.merge_children(&path, Children::default(), changes)
    }

    /// Opens a child for reading.
    fn open(&self, child: Child) -> Result<Arc<Node>, TreeFault> {
        match child {
            Child::Kept(link) => load(self.nodes, &link),
            Child::Made(node) => Ok(Arc::new(node)),
        }
    }

    /// Ends a child: inside its parent where it is small, as a blob where it is not.
    fn link(&mut self, child: Child) -> Link {
        let node = match child {
            Child::Kept(link) => return link,
            Child::Made(node) => Arc::new(node),
        };
        let bytes = node.encode();
        if bytes.len() <= INLINE_MAX { Link::Inline(node) } else { Link::Stored(self.store_bytes(node, bytes)) }
    }

    fn store(&mut self, node: Arc<Node>) -> Digest {
        let bytes = node.encode();
        self.store_bytes(node, bytes)
    }

    fn store_bytes(&mut self, node: Arc<Node>, bytes: Vec<u8>) -> Digest {
        let hash = Digest::of(&bytes);
        self.made.push((hash, bytes, node));
        hash
    }
}

/// Groups changes by the nibble after `skip`, and cuts the keys behind it.
fn group(skip: usize, changes: Vec<Change>) -> Vec<(u8, Vec<Change>)> {
    let mut groups: Vec<(u8, Vec<Change>)> = Vec::new();
    for (key, value) in changes {
        let Some(nibble) = key.as_slice().get(skip).copied() else { continue };
        let change = (key.from(skip + 1), value);
        match groups.last_mut() {
            Some((last, group)) if *last == nibble => group.push(change),
            _ => groups.push((nibble, alloc::vec![change])),
        }
    }
    groups
}
