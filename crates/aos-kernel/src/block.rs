//! A block: what one commit makes durable. A header and the frames of the commit, back to back.
//!
//! Headers form a chain by hash; each also holds the root of the mountain range over all blocks before it. The body's
//! root is plain BLAKE3, which is a tree itself, so that a slice proves a part. `spec/journal.md` has the form.

use alloc::vec::Vec;

use aos_air::cbor::{CborError, Problem, Reader, write};
use aos_air::hash::{Digest, Purpose};

use crate::error::{BlockProblem, Fault};
use crate::id::{BlockHash, BlockIndex, Height, StateRoot};
use crate::input::Opening;

/// The version of the header's form.
const HEADER_VERSION: u64 = 1;

/// The head of a block, and through its hash the name of the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The block's number; the genesis is 0.
    pub index: BlockIndex,
    /// The executor whose semantics its frames have.
    pub executor: u64,
    /// The height of its first frame; of the next one, where it has none.
    pub first_height: Height,
    /// What the host began it with.
    pub opening: Opening,
    /// Length of the body in bytes.
    pub body_bytes: u64,
    /// Digest of the body.
    pub body_root: Digest,
    /// Count of frames.
    pub frames: u64,
    /// Digest of the frames' end offsets in the body, each as four bytes, the lowest first.
    pub ends_root: Digest,
    /// Hash of the block before; of the genesis, all zeros.
    pub previous: BlockHash,
    /// Root of the mountain range over all blocks before.
    pub mountain: Digest,
    /// Digest of every key of the state index that the block changed, with its value's digest before and after.
    pub changes: Digest,
    /// Root of the state index after the block, where a snapshot was taken.
    pub state_root: Option<StateRoot>,
}

impl Header {
    /// Returns the header's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(320);
        write::array(&mut out, 15);
        write::uint(&mut out, HEADER_VERSION);
        write::uint(&mut out, self.index.0);
        write::uint(&mut out, self.executor);
        write::uint(&mut out, self.first_height.0);
        write::uint(&mut out, self.opening.time_base_ns);
        write::bytes(&mut out, &self.opening.seed);
        write::bool(&mut out, self.opening.time_step_allowed);
        write::uint(&mut out, self.body_bytes);
        write::bytes(&mut out, self.body_root.as_bytes());
        write::uint(&mut out, self.frames);
        write::bytes(&mut out, self.ends_root.as_bytes());
        write::bytes(&mut out, self.previous.0.as_bytes());
        write::bytes(&mut out, self.mountain.as_bytes());
        write::bytes(&mut out, self.changes.as_bytes());
        write::bytes_or_null(&mut out, self.state_root.as_ref().map(|root| root.0.as_bytes().as_slice()));
        out
    }

    /// Reads a header.
    ///
    /// # Errors
    /// Where the bytes are no header, with the offset.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        reader.array_of(15)?;
        let start = reader.offset();
        if reader.uint()? != HEADER_VERSION {
            return Err(Reader::error(start, Problem::Type));
        }
        let header = Self {
            index: BlockIndex(reader.uint()?),
            executor: reader.uint()?,
            first_height: Height(reader.uint()?),
            opening: Opening {
                time_base_ns: reader.uint()?,
                seed: reader.byte_array()?,
                time_step_allowed: read_bool(&mut reader)?,
            },
            body_bytes: reader.uint()?,
            body_root: Digest::from_bytes(reader.byte_array()?),
            frames: reader.uint()?,
            ends_root: Digest::from_bytes(reader.byte_array()?),
            previous: BlockHash(Digest::from_bytes(reader.byte_array()?)),
            mountain: Digest::from_bytes(reader.byte_array()?),
            changes: Digest::from_bytes(reader.byte_array()?),
            state_root: if reader.take_null() {
                None
            } else {
                Some(StateRoot(Digest::from_bytes(reader.byte_array()?)))
            },
        };
        reader.end()?;
        Ok(header)
    }

    /// Returns the block's hash.
    pub fn hash(&self) -> BlockHash {
        hash_of(&self.encode())
    }

    /// Returns the height of the block's last frame; of the frame before it, where it has none.
    pub const fn last_height(&self) -> Height {
        Height(self.first_height.0.saturating_add(self.frames).saturating_sub(1))
    }
}

fn read_bool(reader: &mut Reader<'_>) -> Result<bool, CborError> {
    let start = reader.offset();
    match reader.head()? {
        aos_air::cbor::Head::Bool(value) => Ok(value),
        _ => Err(Reader::error(start, Problem::Type)),
    }
}

/// Returns the hash of the block whose header has these bytes.
pub fn hash_of(header: &[u8]) -> BlockHash {
    BlockHash(Purpose::Block.hash(header))
}

/// Digest of the frames' end offsets.
pub(crate) fn ends_root(ends: &[u32]) -> Digest {
    let bytes: Vec<u8> = ends.iter().flat_map(|end| end.to_le_bytes()).collect();
    Digest::of(&bytes)
}

/// A block as it lies in a store: two runs of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a> {
    /// The header's bytes.
    pub header: &'a [u8],
    /// The body's bytes.
    pub body: &'a [u8],
}

impl Raw<'_> {
    /// Reads the header and checks that the body is the one it names. Says nothing about the chain.
    ///
    /// # Errors
    /// [`Fault::Block`] with the part that does not fit; `index` is where the block was found.
    pub fn open(&self, index: BlockIndex) -> Result<Header, Fault> {
        let damaged = |problem| Fault::Block { index, problem };
        let header = Header::decode(self.header).map_err(|_| damaged(BlockProblem::Header))?;
        if header.index != index {
            return Err(damaged(BlockProblem::Chain));
        }
        if header.body_bytes != self.body.len() as u64 || header.body_root != Digest::of(self.body) {
            return Err(damaged(BlockProblem::Body));
        }
        Ok(header)
    }
}
