//! A snapshot: the sealed header that names a state root, and the mountain range before it. The state itself lies in
//! the blob store under that root.

use alloc::vec::Vec;

use aos_air::cbor::{CborError, Reader, write};
use aos_air::hash::Digest;

use crate::block::{self, Header};
use crate::error::Fault;
use crate::id::{Height, StateRoot};
use crate::mountain::Mountain;
use crate::world::Chain;

/// What a world can be taken up from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The bytes of the header that names the state root.
    pub header: Vec<u8>,
    /// The mountain range over all blocks before this one.
    pub earlier: Mountain,
}

impl Snapshot {
    /// Returns the record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write::array(&mut out, 3);
        write::bytes(&mut out, &self.header);
        write::uint(&mut out, self.earlier.leaves());
        write::array(&mut out, self.earlier.peaks().len());
        self.earlier.peaks().iter().for_each(|peak| write::bytes(&mut out, peak.as_bytes()));
        out
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Where the bytes are none, with the offset.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        reader.array_of(3)?;
        let header = reader.bytes()?.to_vec();
        let leaves = reader.uint()?;
        let start = reader.offset();
        let peaks =
            (0..reader.array()?).map(|_| reader.byte_array().map(Digest::from_bytes)).collect::<Result<_, _>>()?;
        reader.end()?;
        let wrong = Reader::error(start, aos_air::cbor::Problem::Type);
        let earlier = Mountain::from_parts(leaves, peaks).ok_or(wrong)?;
        Ok(Self { header, earlier })
    }

    /// Checks that the parts fit each other, and returns where the chain stands and the root.
    pub(crate) fn chain(&self) -> Result<(Chain, StateRoot), Fault> {
        let header = Header::decode(&self.header).map_err(|_| Fault::Snapshot(Height(0)))?;
        let height = header.last_height();
        let root = header.state_root.ok_or(Fault::Snapshot(height))?;
        if self.earlier.root() != header.mountain || self.earlier.leaves() != header.index.0 {
            return Err(Fault::Snapshot(height));
        }
        let hash = block::hash_of(&self.header);
        let mut mountain = self.earlier.clone();
        mountain.push(hash);
        Ok((Chain { block: header.index, hash, height, mountain }, root))
    }
}
