//! The regions of the state index: which key holds what, and the form of each record.
//!
//! The first byte of a key names its region and fixes its length. `spec/state.md` has the table.

use alloc::vec::Vec;

use aos_air::cbor::{CborError, Problem, Reader, write};
use aos_air::hash::{Digest, Purpose};

use crate::frame::Outcome;
use crate::id::Height;
use crate::index::{Bytes, Key};

/// The clock and the counters of the ledger.
const LEDGER: u8 = 0x00;
/// The digest of the manifest in force.
const MANIFEST: u8 = 0x01;
/// The genesis.
const GENESIS: u8 = 0x02;
/// Cells, by reducer and key.
const CELL: u8 = 0x10;
/// Used input ids, by actor and id.
const INPUT: u8 = 0x20;
/// The keys of used input ids, by the order in which they were used.
const INPUT_SLOT: u8 = 0x21;

/// Bytes of a reducer's digest that stand in front of its cells' keys, so that they lie together.
const GROUP_BYTES: usize = 8;

/// Returns the key of the ledger.
pub fn ledger_key() -> Key {
    alloc::vec![LEDGER]
}

/// Returns the key of the manifest's digest.
pub fn manifest_key() -> Key {
    alloc::vec![MANIFEST]
}

/// Returns the key of the genesis.
pub fn genesis_key() -> Key {
    alloc::vec![GENESIS]
}

/// Returns what the keys of all cells of a reducer start with.
pub fn cells_prefix(reducer: &str) -> Key {
    let group = Digest::of(reducer.as_bytes());
    core::iter::once(CELL).chain(group.as_bytes().iter().copied().take(GROUP_BYTES)).collect()
}

/// Returns the key of a cell: its group, then a digest of the reducer's name and the cell's key.
pub fn cell_key(prefix: &[u8], reducer: &str, key: Option<&[u8]>) -> Key {
    let mut identity = Vec::with_capacity(reducer.len() + key.map_or(1, <[u8]>::len) + 4);
    write::text(&mut identity, reducer);
    write::bytes_or_null(&mut identity, key);
    let mut cell = prefix.to_vec();
    cell.extend_from_slice(Purpose::CellKey.hash(&identity).as_bytes());
    cell
}

/// Returns the key of a used input id; `actor` is the actor's journal form.
pub fn input_key(actor: &[u8], id: &[u8]) -> Key {
    let mut identity = actor.to_vec();
    write::bytes(&mut identity, id);
    core::iter::once(INPUT).chain(*Purpose::InputKey.hash(&identity).as_bytes()).collect()
}

/// Returns the key under which the n-th used input id is remembered, from 0.
pub fn input_slot_key(slot: u64) -> Key {
    core::iter::once(INPUT_SLOT).chain(slot.to_be_bytes()).collect()
}

/// The clock and the counters that commit with every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ledger {
    /// The logical clock, in nanoseconds since the epoch; never goes backwards.
    pub logical_now_ns: u64,
    /// How many input ids were used so far.
    pub inputs_used: u64,
    /// How many of them, the oldest, are forgotten.
    pub inputs_forgotten: u64,
}

impl Ledger {
    /// Returns the record's bytes.
    pub fn encode(self) -> Bytes {
        let mut out = Vec::with_capacity(20);
        write::array(&mut out, 3);
        write::uint(&mut out, self.logical_now_ns);
        write::uint(&mut out, self.inputs_used);
        write::uint(&mut out, self.inputs_forgotten);
        out.into()
    }

    /// Reads the record.
    ///
    /// # Errors
    /// Where the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        reader.array_of(3)?;
        let start = reader.offset();
        let (logical_now_ns, inputs_used, inputs_forgotten) = (reader.uint()?, reader.uint()?, reader.uint()?);
        reader.end()?;
        if inputs_forgotten > inputs_used {
            return Err(Reader::error(start, Problem::Range));
        }
        Ok(Self { logical_now_ns, inputs_used, inputs_forgotten })
    }
}

/// The state of one reducer, or of one key of a keyed reducer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell<'a> {
    /// Closure of the schema that the state was written under.
    pub schema: Digest,
    /// The reducer's name.
    pub reducer: &'a str,
    /// The key in canonical CBOR; none for a reducer without keys.
    pub key: Option<&'a [u8]>,
    /// The state in canonical CBOR.
    pub state: &'a [u8],
}

impl<'a> Cell<'a> {
    /// Returns the record's bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(48 + self.reducer.len() + self.key.map_or(0, <[u8]>::len) + self.state.len());
        write::array(&mut out, 4);
        write::bytes(&mut out, self.schema.as_bytes());
        write::text(&mut out, self.reducer);
        write::bytes_or_null(&mut out, self.key);
        write::bytes(&mut out, self.state);
        out.into()
    }

    /// Reads the record.
    ///
    /// # Errors
    /// Where the bytes are none.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        reader.array_of(4)?;
        let cell = Self {
            schema: Digest::from_bytes(reader.byte_array()?),
            reducer: reader.text()?,
            key: reader.bytes_or_null()?,
            state: reader.bytes()?,
        };
        reader.end()?;
        Ok(cell)
    }
}

/// What became of an input with an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedInput {
    /// The height of its frame.
    pub height: Height,
    /// Digest of what it was.
    pub input: Digest,
    /// How it ended.
    pub outcome: Outcome,
}

impl UsedInput {
    /// Returns the record's bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(56);
        write::array(&mut out, 3);
        write::uint(&mut out, self.height.0);
        write::bytes(&mut out, self.input.as_bytes());
        self.outcome.write(&mut out);
        out.into()
    }

    /// Reads the record.
    ///
    /// # Errors
    /// Where the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        reader.array_of(3)?;
        let height = Height(reader.uint()?);
        let input = Digest::from_bytes(reader.byte_array()?);
        let outcome = Outcome::read(&mut reader)?;
        reader.end()?;
        Ok(Self { height, input, outcome })
    }
}
