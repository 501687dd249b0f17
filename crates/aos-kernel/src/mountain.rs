//! The Merkle mountain range over a world's block hashes: its root in every header names the whole history, and a path of
//! logarithmic length leads from any block to it.
//!
//! Peaks are perfect binary trees from the left, as in Peter Todd's description of the structure; the root binds the
//! count of leaves and the peaks from the highest to the lowest.

use alloc::vec::Vec;

use aos_air::hash::{Digest, Purpose};

use crate::id::BlockHash;

/// The peaks of a mountain range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mountain {
    // INVARIANT: one peak for each bit of `leaves`, the highest first.
    leaves: u64,
    peaks: Vec<Digest>,
}

impl Mountain {
    /// Takes up a range from its parts. None unless there is one peak for each bit of the count.
    pub fn from_parts(leaves: u64, peaks: Vec<Digest>) -> Option<Self> {
        (u32::try_from(peaks.len()) == Ok(leaves.count_ones())).then_some(Self { leaves, peaks })
    }

    /// Returns the count of leaves.
    pub const fn leaves(&self) -> u64 {
        self.leaves
    }

    /// Returns the peaks, the highest first.
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// Adds the next block.
    pub fn push(&mut self, block: BlockHash) {
        let mut peak = block.0;
        for _ in 0..self.leaves.trailing_ones() {
            let left = self.peaks.pop();
            assert!(left.is_some(), "a mountain range lacks a peak that its count of leaves promises");
            peak = node(&left.unwrap_or(peak), &peak);
        }
        self.peaks.push(peak);
        self.leaves += 1;
    }

    /// Returns the root.
    pub fn root(&self) -> Digest {
        let mut hasher = Purpose::Mountain.hasher();
        hasher.update(&self.leaves.to_be_bytes());
        for peak in &self.peaks {
            hasher.update(peak.as_bytes());
        }
        hasher.finish()
    }
}

/// Hashes an inner node.
fn node(left: &Digest, right: &Digest) -> Digest {
    Purpose::MountainNode.hasher().update(left.as_bytes()).update(right.as_bytes()).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root by definition: split the leaves into perfect trees from the left.
    fn reference(leaves: &[Digest]) -> Digest {
        fn tree(leaves: &[Digest]) -> Digest {
            match leaves {
                [one] => *one,
                _ => {
                    let (left, right) = leaves.split_at(leaves.len() / 2);
                    node(&tree(left), &tree(right))
                }
            }
        }
        let mut hasher = Purpose::Mountain.hasher();
        hasher.update(&(leaves.len() as u64).to_be_bytes());
        let mut rest = leaves;
        while !rest.is_empty() {
            let (peak, after) = rest.split_at(1 << rest.len().ilog2());
            hasher.update(tree(peak).as_bytes());
            rest = after;
        }
        hasher.finish()
    }

    #[test]
    fn pushing_gives_the_root_by_definition() {
        let leaves: Vec<Digest> = (0_u32..200).map(|index| Digest::of(&index.to_be_bytes())).collect();
        let mut mountain = Mountain::default();
        for (count, leaf) in leaves.iter().enumerate() {
            assert_eq!(mountain.root(), reference(&leaves[..count]), "{count}");
            mountain.push(BlockHash(*leaf));
        }
        let same = Mountain::from_parts(mountain.leaves(), mountain.peaks().to_vec());
        assert_eq!(same, Some(mountain.clone()));
        assert_eq!(Mountain::from_parts(mountain.leaves() + 1, mountain.peaks().to_vec()), None);
    }
}
