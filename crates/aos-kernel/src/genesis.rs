//! The genesis: block 0, which says what a world is and from which manifest it starts. It holds no frames.

use alloc::vec::Vec;

use aos_air::cbor::{self, CborError, Problem, Reader, write};
use aos_air::hash::{Digest, Purpose};
use aos_air::limits::Limits;
pub use aos_air::patch::EffectMode;

use crate::id::WorldId;

/// The version of the genesis' form.
const GENESIS_VERSION: u64 = 1;

/// What a world starts from. Its digest is the world's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The executor whose semantics the first frames have.
    pub executor: u64,
    /// The first manifest.
    pub manifest: Digest,
    /// The limits that hold where a manifest sets none.
    pub limits: Limits,
    /// What happens to effects.
    pub effect_mode: EffectMode,
    /// When the world was made, in nanoseconds since the epoch. Its logical clock starts here.
    pub created_ns: u64,
    /// Random bytes that make the id unique.
    pub nonce: [u8; 32],
}

impl Genesis {
    /// Returns the world's id.
    pub fn id(&self) -> WorldId {
        id_of(&self.encode())
    }

    /// Returns the genesis' bytes, which are the body of block 0.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::array(&mut out, 8);
        write::uint(&mut out, GENESIS_VERSION);
        write::uint(&mut out, self.executor);
        write::bytes(&mut out, self.manifest.as_bytes());
        let limits = cbor::to_vec(&self.limits);
        assert!(limits.is_ok(), "limits are a record of integers");
        write::bytes(&mut out, &limits.unwrap_or_default());
        write::uint(&mut out, self.effect_mode.number());
        write::uint(&mut out, self.created_ns);
        // The parent of a fork stands here.
        write::null(&mut out);
        write::bytes(&mut out, &self.nonce);
        out
    }

    /// Reads a genesis.
    ///
    /// # Errors
    /// Where the bytes are no genesis, with the offset.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        let wrong = Reader::error(0, Problem::Type);
        reader.array_of(8)?;
        if reader.uint()? != GENESIS_VERSION {
            return Err(wrong);
        }
        let executor = reader.uint()?;
        let manifest = Digest::from_bytes(reader.byte_array()?);
        let start = reader.offset();
        let limits: Limits = cbor::from_slice(reader.bytes()?)?;
        if !limits.is_in_range() {
            return Err(Reader::error(start, Problem::Range));
        }
        let effect_mode = EffectMode::from_number(reader.uint()?).ok_or(wrong)?;
        let created_ns = reader.uint()?;
        if !reader.take_null() {
            return Err(Reader::error(reader.offset(), Problem::Type));
        }
        let nonce = reader.byte_array()?;
        reader.end()?;
        Ok(Self { executor, manifest, limits, effect_mode, created_ns, nonce })
    }
}

/// Returns the id of the world whose genesis has these bytes.
pub fn id_of(genesis: &[u8]) -> WorldId {
    WorldId(Purpose::World.hash(genesis))
}
