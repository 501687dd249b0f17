//! The regions of the state index: which key holds what, and the form of each record.
//!
//! The first byte of a key names its region and fixes its length. `spec/state.md` has the table.

use alloc::string::String;
use alloc::vec::Vec;

use aos_air::cbor::{CborError, Problem, Reader, write};
use aos_air::hash::{Digest, Purpose};

use crate::error::Fault;
use crate::frame::Outcome;
use crate::gate::Budget;
use crate::id::{Height, InstanceId, IntentId};
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
/// Intents that have not ended, by id.
const INTENT: u8 = 0x30;
/// Intents that have ended, by id.
const CLOSED: u8 = 0x31;
/// The ids of ended intents, by the order in which they ended.
const CLOSED_SLOT: u8 = 0x32;
/// Steps that wait no longer than to a time, by that time.
const STEP_DEADLINE: u8 = 0x33;
/// Approvals that lapse, by the time.
const APPROVAL_DEADLINE: u8 = 0x34;
/// Running plan instances, by number.
const INSTANCE: u8 = 0x40;
/// Which instances wait for which event.
const WAIT: u8 = 0x41;
/// What was spent of each grant's budget, by the digest of the grant's name.
const BUDGET: u8 = 0x50;

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

/// Returns the key of an intent that has not ended.
pub fn intent_key(intent: IntentId) -> Key {
    core::iter::once(INTENT).chain(*intent.0.as_bytes()).collect()
}

/// Returns what the keys of all intents that have not ended start with.
pub fn intents_prefix() -> Key {
    alloc::vec![INTENT]
}

/// Returns the key of an intent that has ended.
pub fn closed_key(intent: IntentId) -> Key {
    core::iter::once(CLOSED).chain(*intent.0.as_bytes()).collect()
}

/// Returns the key under which the n-th ended intent is remembered, from 0.
pub fn closed_slot_key(slot: u64) -> Key {
    core::iter::once(CLOSED_SLOT).chain(slot.to_be_bytes()).collect()
}

/// Returns the key of an instance.
pub fn instance_key(instance: InstanceId) -> Key {
    core::iter::once(INSTANCE).chain(instance.0.to_be_bytes()).collect()
}

/// Returns what the keys of all instances start with.
pub fn instances_prefix() -> Key {
    alloc::vec![INSTANCE]
}

/// Returns the number of the instance that a key names.
pub fn instance_of_key(key: &[u8]) -> InstanceId {
    InstanceId(number_at(key, 1).unwrap_or_default())
}

/// Returns what the keys of all waits for an event start with.
pub fn waits_prefix(event: &str) -> Key {
    let group = Digest::of(event.as_bytes());
    core::iter::once(WAIT).chain(group.as_bytes().iter().copied().take(GROUP_BYTES)).collect()
}

/// Returns the key of one instance's wait for an event.
pub fn wait_key(event: &str, instance: InstanceId) -> Key {
    let mut key = waits_prefix(event);
    key.extend_from_slice(&instance.0.to_be_bytes());
    key
}

/// Returns the instance of a wait's key.
pub fn waiting_instance(key: &[u8]) -> Option<InstanceId> {
    number_at(key, 1 + GROUP_BYTES).map(InstanceId)
}

/// Returns the key of a budget.
pub fn budget_key(grant: &str) -> Key {
    core::iter::once(BUDGET).chain(*Digest::of(grant.as_bytes()).as_bytes()).collect()
}

/// Returns what the keys of all budgets start with.
pub fn budgets_prefix() -> Key {
    alloc::vec![BUDGET]
}

fn number_at(key: &[u8], start: usize) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(start..start + 8)?.try_into().ok()?))
}

/// Something that happens when the logical clock passes a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// The time, in nanoseconds since the epoch.
    pub due_ns: u64,
    /// What happens then.
    pub what: Due,
}

/// What happens at a deadline. At one time steps come before approvals, each in the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// A step stops waiting.
    Step {
        /// The instance.
        instance: InstanceId,
        /// The step's position in its plan.
        step: u64,
    },
    /// An approval lapses.
    Approval(IntentId),
}

impl Deadline {
    /// Returns what the keys of all deadlines start with, for each region.
    pub fn prefixes() -> [Key; 2] {
        [alloc::vec![STEP_DEADLINE], alloc::vec![APPROVAL_DEADLINE]]
    }

    /// Returns the deadline's key, under which nothing more is said.
    pub fn key(self) -> Key {
        let due = self.due_ns.to_be_bytes();
        match self.what {
            Due::Step { instance, step } => core::iter::once(STEP_DEADLINE)
                .chain(due)
                .chain(instance.0.to_be_bytes())
                .chain(step.to_be_bytes())
                .collect(),
            Due::Approval(intent) => {
                core::iter::once(APPROVAL_DEADLINE).chain(due).chain(*intent.0.as_bytes()).collect()
            }
        }
    }

    /// Reads a deadline's key.
    pub fn of_key(key: &[u8]) -> Option<Self> {
        let due_ns = number_at(key, 1)?;
        let what = match *key.first()? {
            STEP_DEADLINE => Due::Step { instance: InstanceId(number_at(key, 9)?), step: number_at(key, 17)? },
            _ => Due::Approval(IntentId(Digest::from_bytes(key.get(9..)?.try_into().ok()?))),
        };
        Some(Self { due_ns, what })
    }
}

/// The record of a key that says everything itself.
pub fn mark() -> Bytes {
    [0xf6].as_slice().into()
}

/// The clock and the counters that commit with every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// The logical clock, in nanoseconds since the epoch; never goes backwards.
    pub logical_now_ns: u64,
    /// How many input ids were used so far.
    pub inputs_used: u64,
    /// How many of them, the oldest, are forgotten.
    pub inputs_forgotten: u64,
    /// How often another manifest came into force.
    pub manifest_seq: u64,
    /// How many intents have not ended.
    pub intents_open: u64,
    /// How many intents have ended so far.
    pub intents_closed: u64,
    /// How many of them, the oldest, are forgotten.
    pub intents_forgotten: u64,
    /// How many plan instances started so far; the number of the last one.
    pub instances_started: u64,
    /// How many of them run.
    pub instances_running: u64,
    /// How many waits for an event there are.
    pub event_waits: u64,
}

impl Ledger {
    /// Returns the record's bytes.
    pub fn encode(self) -> Bytes {
        let fields = self.fields();
        let mut out = Vec::with_capacity(12 + fields.len());
        write::array(&mut out, fields.len());
        fields.into_iter().for_each(|field| write::uint(&mut out, field));
        out.into()
    }

    /// Reads the record.
    ///
    /// # Errors
    /// Where the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        reader.array_of(Self::default().fields().len())?;
        let start = reader.offset();
        let ledger = Self {
            logical_now_ns: reader.uint()?,
            inputs_used: reader.uint()?,
            inputs_forgotten: reader.uint()?,
            manifest_seq: reader.uint()?,
            intents_open: reader.uint()?,
            intents_closed: reader.uint()?,
            intents_forgotten: reader.uint()?,
            instances_started: reader.uint()?,
            instances_running: reader.uint()?,
            event_waits: reader.uint()?,
        };
        reader.end()?;
        let is_sound = ledger.inputs_forgotten <= ledger.inputs_used
            && ledger.intents_forgotten <= ledger.intents_closed
            && ledger.instances_running <= ledger.instances_started;
        if is_sound { Ok(ledger) } else { Err(Reader::error(start, Problem::Range)) }
    }

    /// Returns the fields in the order of the record.
    const fn fields(self) -> [u64; 10] {
        [
            self.logical_now_ns,
            self.inputs_used,
            self.inputs_forgotten,
            self.manifest_seq,
            self.intents_open,
            self.intents_closed,
            self.intents_forgotten,
            self.instances_started,
            self.instances_running,
            self.event_waits,
        ]
    }
}

/// How many records there are of what the ledger counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    inputs: u64,
    input_slots: u64,
    intents: u64,
    closed: u64,
    closed_slots: u64,
    instances: u64,
    waits: u64,
}

impl Counts {
    /// Returns what the ledger says.
    pub const fn of(ledger: &Ledger) -> Self {
        let inputs = ledger.inputs_used - ledger.inputs_forgotten;
        let closed = ledger.intents_closed - ledger.intents_forgotten;
        Self {
            inputs,
            input_slots: inputs,
            intents: ledger.intents_open,
            closed,
            closed_slots: closed,
            instances: ledger.instances_running,
            waits: ledger.event_waits,
        }
    }

    /// Counts a record by its key.
    pub fn add(&mut self, key: &[u8]) {
        match key.first() {
            Some(&INPUT) => self.inputs += 1,
            Some(&INPUT_SLOT) => self.input_slots += 1,
            Some(&INTENT) => self.intents += 1,
            Some(&CLOSED) => self.closed += 1,
            Some(&CLOSED_SLOT) => self.closed_slots += 1,
            Some(&INSTANCE) => self.instances += 1,
            Some(&WAIT) => self.waits += 1,
            _ => {}
        }
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

/// Returns the record of a budget.
pub fn encode_budget(grant: &str, budget: &Budget) -> Bytes {
    let mut out = Vec::with_capacity(48 + grant.len());
    write::array(&mut out, 2);
    write::text(&mut out, grant);
    write::bytes(&mut out, &budget.encode());
    out.into()
}

/// Reads the record of a budget: the grant's name and what was spent.
///
/// # Errors
/// Where the bytes are none.
pub fn decode_budget(bytes: &[u8]) -> Result<(String, Budget), CborError> {
    let mut reader = Reader::strict(bytes);
    reader.array_of(2)?;
    let grant = reader.text()?.into();
    let budget = Budget::decode(reader.bytes()?)?;
    reader.end()?;
    Ok((grant, budget))
}

/// Reads the budget in a grant's record; nothing is spent or held where there is none.
///
/// # Errors
/// [`Fault::Record`] where the bytes are no such record.
pub fn budget_of(record: Option<&[u8]>) -> Result<Budget, Fault> {
    let budget = record.map(decode_budget).transpose().map_err(Fault::Record)?;
    Ok(budget.map(|(_, budget)| budget).unwrap_or_default())
}
