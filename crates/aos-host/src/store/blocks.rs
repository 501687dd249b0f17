//! Going through a world's blocks in order, a batch at a time.
//!
//! Holds one batch in memory, whatever the world's size. Ends at the head that was durable at the start.
//! Read next: [`Read::blocks`], which it calls.

use std::collections::VecDeque;

use aos_kernel::id::{BlockIndex, WorldId};

use super::{Error, Read, StoredBlock};

/// How many blocks one batch asks for; [`super::BATCH_BYTES`] bounds it further.
const BATCH_COUNT: usize = 1024;

/// The blocks of a world from one index up to its durable head, in order. Ends after the first error.
pub struct Blocks<'a> {
    store: &'a dyn Read,
    world: WorldId,
    next: BlockIndex,
    last: BlockIndex,
    batch: VecDeque<StoredBlock>,
    failed: bool,
}

impl<'a> Blocks<'a> {
    /// Starts at `from`. Fails if the world or its head cannot be read.
    pub fn new(store: &'a dyn Read, world: WorldId, from: BlockIndex) -> Result<Self, Error> {
        let last = store.head(world)?.block;
        Ok(Self { store, world, next: from, last, batch: VecDeque::new(), failed: false })
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<StoredBlock, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.next > self.last {
            return None;
        }
        if self.batch.is_empty() {
            match self.store.blocks(self.world, self.next, BATCH_COUNT) {
                Ok(blocks) => self.batch = blocks.into(),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        let block = self.batch.pop_front()?;
        self.next = self.next.next();
        Some(Ok(block))
    }
}
