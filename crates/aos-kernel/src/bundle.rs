//! A recorded world as one run of bytes: its journal and the blobs that a replay from the genesis needs, modules included.
//!
//! One canonical form: a head, the blocks in order, the blobs in order of their digests, and a digest over all of it, so
//! that no byte lies outside a hash. `spec/bundle.md` has it. State is not in it: the replay makes it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use aos_air::cbor::{CborError, Problem, Reader, write};
use aos_air::hash::{Digest, Purpose};

use crate::blobs::BlobFault;
use crate::block::Raw;
use crate::error::{BlockProblem, Fault};
use crate::guest::Guest;
use crate::id::{BlockIndex, Height, WorldId};
use crate::world::{Machine, World};

/// What a bundle starts with.
const MAGIC: &str = "aosw";
/// The version of the form.
const VERSION: u64 = 1;

/// A recorded world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The world.
    pub world: WorldId,
    /// Header and body of every block, from the genesis on.
    pub blocks: Vec<(Vec<u8>, Vec<u8>)>,
    /// Every blob that a replay from the genesis needs.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
}

/// Why bytes are no bundle, or not one of an intact world.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The bytes do not have a bundle's form.
    #[error("the bytes are no bundle: {0}")]
    Form(#[from] CborError),
    /// The digest at the end is not that of the bytes before it.
    #[error("the bundle is damaged: its digest is another")]
    Digest,
    /// It holds a blob that its world does not need.
    #[error("the bundle holds blob {0}, which its world does not need")]
    Extra(Digest),
    /// Its history does not replay.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl BundleError {
    /// Returns the stable code of this failure.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "bundle.form",
            Self::Digest => "bundle.digest",
            Self::Extra(_) => "bundle.extra",
            Self::Fault(fault) => fault.code(),
        }
    }
}

impl Bundle {
    /// Returns the bundle's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::array(&mut out, 5);
        write::text(&mut out, MAGIC);
        write::uint(&mut out, VERSION);
        write::bytes(&mut out, self.world.0.as_bytes());
        write::uint(&mut out, self.blocks.len() as u64);
        write::uint(&mut out, self.blobs.len() as u64);
        for (header, body) in &self.blocks {
            write::array(&mut out, 2);
            write::bytes(&mut out, header);
            write::bytes(&mut out, body);
        }
        for bytes in self.blobs.values() {
            write::bytes(&mut out, bytes);
        }
        let digest = Purpose::Bundle.hash(&out);
        out.extend_from_slice(digest.as_bytes());
        out
    }

    /// Reads a bundle. That says that the bytes are whole and in form; that the history is right, its replay says.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        let too_short = Reader::error(bytes.len(), Problem::Truncated);
        let (content, digest) = bytes.split_last_chunk::<32>().ok_or(too_short)?;
        if Purpose::Bundle.hash(content) != Digest::from_bytes(*digest) {
            return Err(BundleError::Digest);
        }
        let mut reader = Reader::strict(content);
        reader.array_of(5)?;
        if reader.text()? != MAGIC || reader.uint()? != VERSION {
            return Err(Reader::error(0, Problem::Type).into());
        }
        let world = WorldId(Digest::from_bytes(reader.byte_array()?));
        let (block_count, blob_count) = (reader.uint()?, reader.uint()?);
        let mut blocks = Vec::new();
        for _ in 0..block_count {
            reader.array_of(2)?;
            blocks.push((reader.bytes()?.to_vec(), reader.bytes()?.to_vec()));
        }
        let mut blobs = BTreeMap::new();
        for _ in 0..blob_count {
            let start = reader.offset();
            let bytes = reader.bytes()?;
            let hash = Digest::of(bytes);
            if blobs.last_key_value().is_some_and(|(last, _)| *last >= hash) {
                return Err(Reader::error(start, Problem::KeyOrder).into());
            }
            blobs.insert(hash, bytes.to_vec());
        }
        reader.end()?;
        Ok(Self { world, blocks, blobs })
    }

    /// Replays the whole history and compares every frame and header. Returns the world at its end.
    ///
    /// `progress` is told the height of each block that is done.
    ///
    /// # Errors
    /// [`BundleError::Fault`] at the first block that is damaged or comes out otherwise, [`BundleError::Extra`] for a blob
    /// that nothing names. A blob that is missing is a fault even if no frame needed it.
    pub fn replay(&self, guest: &mut dyn Guest, progress: &mut dyn FnMut(Height)) -> Result<World, BundleError> {
        let damaged = Fault::Block { index: BlockIndex(0), problem: BlockProblem::Genesis };
        let ((header, body), rest) = self.blocks.split_first().ok_or_else(|| damaged.clone())?;
        let (mut world, sealed) = World::from_genesis(Raw { header, body }, &self.blobs)?;
        if world.id() != self.world {
            return Err(damaged.into());
        }
        // Nodes of the state index are made again on the way, and read again by what follows.
        let mut blobs = self.blobs.clone();
        blobs.extend(sealed.blobs);
        for (header, body) in rest {
            let sealed =
                crate::replay(&mut world, &mut Machine { guest: &mut *guest, blobs: &blobs }, Raw { header, body })?;
            blobs.extend(sealed.blobs);
            progress(world.height());
        }
        let manifest = world.program().manifest();
        let modules = manifest.modules().map(|module| module.wasm_hash);
        let needed: BTreeSet<Digest> = manifest.nodes().map(|(hash, _)| hash).chain(modules).collect();
        if let Some(missing) = needed.iter().find(|hash| !self.blobs.contains_key(hash)) {
            return Err(Fault::from(BlobFault::Missing(*missing)).into());
        }
        match self.blobs.keys().find(|hash| !needed.contains(hash)) {
            Some(extra) => Err(BundleError::Extra(*extra)),
            None => Ok(world),
        }
    }
}
