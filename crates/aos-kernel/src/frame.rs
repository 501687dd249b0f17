//! A frame: one transaction, from its input to its outcome, and its compact form in the journal.
//!
//! The form is a positional array; `spec/journal.md` has it field by field. Names of the manifest are written as indexes
//! into the manifest in force when the frame began; [`Names`] is that table.

use alloc::string::String;
use alloc::vec::Vec;

use aos_air::cbor::{CborError, Problem, Reader, write};
use aos_air::hash::{Digest, Purpose};

use crate::derived::Derived;
use crate::error::{Cause, Failure};
use crate::id::{Height, IntentId};
use crate::input::{Actor, Body, Event, Input, Signed, Stamp};

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its number in the world, from 1.
    pub height: Height,
    /// When the host took the input in.
    pub stamp: Stamp,
    /// What came in.
    pub input: Input,
    /// What followed from it, in order; where the transaction failed, what the ledger keeps of it.
    pub derived: Vec<Derived>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Fuel that its calls used.
    pub fuel_used: u64,
    /// Why it failed; none where it succeeded.
    pub failure: Option<Failure>,
}

/// The names of a manifest by index, both ways.
pub trait Names {
    /// Returns the index of a schema.
    fn schema_index(&self, name: &str) -> Option<u64>;
    /// Returns the schema at an index.
    fn schema_at(&self, index: u64) -> Option<&str>;
    /// Returns the index of a principal.
    fn principal_index(&self, name: &str) -> Option<u64>;
    /// Returns the principal at an index.
    fn principal_at(&self, index: u64) -> Option<&str>;
    /// Returns the index of an inbox's source.
    fn inbox_index(&self, source: &str) -> Option<u64>;
    /// Returns the source of the inbox at an index.
    fn inbox_at(&self, index: u64) -> Option<&str>;
    /// Returns the index of an adapter: that of its first key.
    fn adapter_index(&self, name: &str) -> Option<u64>;
    /// Returns the adapter of the key at an index.
    fn adapter_at(&self, index: u64) -> Option<&str>;
}

const ACTOR_HOST: u64 = 0;
const ACTOR_PRINCIPAL: u64 = 1;
const ACTOR_ADAPTER: u64 = 2;
const ACTOR_INBOX: u64 = 3;
const BODY_EVENT: u64 = 0;
const BODY_MESSAGE: u64 = 1;
const BODY_RECEIPT: u64 = 2;
const BODY_DECISION: u64 = 3;
const BODY_ATTEMPT: u64 = 4;
const BODY_TICK: u64 = 5;
const OUTCOME_OK: u64 = 0;
const OUTCOME_FAILED: u64 = 1;

impl Frame {
    /// Appends the journal form. `time_base_ns` is the block's.
    ///
    /// Every name must be in `names`: the input was admitted against them.
    pub fn write(&self, names: &dyn Names, time_base_ns: u64, out: &mut Vec<u8>) {
        write::array(out, 6);
        write::int(out, delta(self.stamp.now_ns, time_base_ns));
        self.input.actor.write(names, out);
        write::bytes_or_null(out, self.input.id.as_deref());
        self.input.body.write(names, out);
        write::array(out, self.derived.len());
        self.derived.iter().for_each(|derived| derived.write(names, out));
        self.outcome.write(out);
    }

    /// Reads the frame that comes next.
    ///
    /// # Errors
    /// Where the bytes are no frame, with the offset.
    pub fn read(
        reader: &mut Reader<'_>,
        names: &dyn Names,
        time_base_ns: u64,
        height: Height,
    ) -> Result<Self, CborError> {
        let start = reader.offset();
        reader.array_of(6)?;
        let range = Reader::error(start, Problem::Range);
        let now_ns = time_base_ns.checked_add_signed(reader.int()?).ok_or(range)?;
        let actor = Actor::read(reader, names)?;
        let id = reader.bytes_or_null()?.map(Into::into);
        let body = Body::read(reader, names)?;
        let derived = (0..reader.array()?).map(|_| Derived::read(reader, names)).collect::<Result<_, _>>()?;
        let outcome = Outcome::read(reader)?;
        Ok(Self { height, stamp: Stamp { now_ns }, input: Input { actor, id, body }, derived, outcome })
    }
}

/// The signed distance from the base, which fits because admission keeps stamps within it.
fn delta(now_ns: u64, base_ns: u64) -> i64 {
    let distance = i128::from(now_ns) - i128::from(base_ns);
    let delta = i64::try_from(distance);
    assert!(delta.is_ok(), "a stamp lies further from its block's time base than 292 years");
    delta.unwrap_or_default()
}

/// The index of a name that admission has found in the table.
fn known(index: Option<u64>) -> u64 {
    assert!(index.is_some(), "a frame holds a name that its manifest does not");
    index.unwrap_or_default()
}

impl Actor {
    fn write(&self, names: &dyn Names, out: &mut Vec<u8>) {
        let (kind, index) = match self {
            Self::Host => return write::uint(out, ACTOR_HOST),
            Self::Principal(name) => (ACTOR_PRINCIPAL, names.principal_index(name)),
            Self::Adapter(name) => (ACTOR_ADAPTER, names.adapter_index(name)),
            Self::Inbox(source) => (ACTOR_INBOX, names.inbox_index(source)),
        };
        write::array(out, 2);
        write::uint(out, kind);
        write::uint(out, known(index));
    }

    fn read(reader: &mut Reader<'_>, names: &dyn Names) -> Result<Self, CborError> {
        let wrong = Reader::error(reader.offset(), Problem::Type);
        if reader.take_exact(&[0]) {
            return Ok(Self::Host);
        }
        reader.array_of(2)?;
        let (kind, index) = (reader.uint()?, reader.uint()?);
        match kind {
            ACTOR_PRINCIPAL => Ok(Self::Principal(names.principal_at(index).ok_or(wrong)?.into())),
            ACTOR_ADAPTER => Ok(Self::Adapter(names.adapter_at(index).ok_or(wrong)?.into())),
            ACTOR_INBOX => Ok(Self::Inbox(names.inbox_at(index).ok_or(wrong)?.into())),
            _ => Err(wrong),
        }
    }
}

impl Body {
    fn write(&self, names: &dyn Names, out: &mut Vec<u8>) {
        match self {
            Self::Event(event) => {
                write::array(out, 4);
                write::uint(out, BODY_EVENT);
                event.write(names, out);
            }
            Self::Message { value, key } => {
                write::array(out, 3);
                write::uint(out, BODY_MESSAGE);
                write::bytes(out, value);
                write::bytes_or_null(out, key.as_deref());
            }
            Self::Receipt(signed) => signed.write(BODY_RECEIPT, out),
            Self::Decision(signed) => signed.write(BODY_DECISION, out),
            Self::Attempt(intent) => write_attempt(*intent, out),
            Self::Tick => write_tick(out),
        }
    }

    fn read(reader: &mut Reader<'_>, names: &dyn Names) -> Result<Self, CborError> {
        let wrong = Reader::error(reader.offset(), Problem::Type);
        let len = reader.array()?;
        match (reader.uint()?, len) {
            (BODY_EVENT, 4) => Ok(Self::Event(Event::read(reader, names)?)),
            (BODY_MESSAGE, 3) => {
                let value = reader.bytes()?.into();
                Ok(Self::Message { value, key: reader.bytes_or_null()?.map(Into::into) })
            }
            (BODY_RECEIPT, 3) => Ok(Self::Receipt(Signed::read(reader)?)),
            (BODY_DECISION, 3) => Ok(Self::Decision(Signed::read(reader)?)),
            (BODY_ATTEMPT, 2) => Ok(Self::Attempt(IntentId(Digest::from_bytes(reader.byte_array()?)))),
            (BODY_TICK, 1) => Ok(Self::Tick),
            _ => Err(wrong),
        }
    }
}

fn write_attempt(intent: IntentId, out: &mut Vec<u8>) {
    write::array(out, 2);
    write::uint(out, BODY_ATTEMPT);
    write::bytes(out, intent.0.as_bytes());
}

fn write_tick(out: &mut Vec<u8>) {
    write::array(out, 1);
    write::uint(out, BODY_TICK);
}

impl Signed {
    fn identity(&self, kind: u64) -> Digest {
        let mut form = Vec::with_capacity(self.bytes.len() + 80);
        self.write(kind, &mut form);
        Purpose::Input.hash(&form)
    }

    fn write(&self, kind: u64, out: &mut Vec<u8>) {
        write::array(out, 3);
        write::uint(out, kind);
        write::bytes(out, &self.bytes);
        write::bytes(out, &self.signature);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        Ok(Self { bytes: reader.bytes()?.into(), signature: reader.byte_array()? })
    }
}

impl Body {
    /// Returns a digest of what the input is, with names and not indexes, so that it stays the same under another manifest.
    pub(crate) fn identity(&self) -> Digest {
        let mut form = Vec::with_capacity(128);
        let (schema, value, key) = match self {
            Self::Event(event) => (Some(event.schema.as_str()), &event.value, &event.key),
            Self::Message { value, key } => (None, value, key),
            Self::Receipt(signed) => return signed.identity(BODY_RECEIPT),
            Self::Decision(signed) => return signed.identity(BODY_DECISION),
            Self::Attempt(intent) => {
                write_attempt(*intent, &mut form);
                return Purpose::Input.hash(&form);
            }
            Self::Tick => {
                write_tick(&mut form);
                return Purpose::Input.hash(&form);
            }
        };
        write::array(&mut form, 3);
        write::text_or_null(&mut form, schema);
        write::bytes(&mut form, value);
        write::bytes_or_null(&mut form, key.as_deref());
        Purpose::Input.hash(&form)
    }
}

impl Event {
    /// Writes schema, value and key, without an array around them.
    pub(crate) fn write(&self, names: &dyn Names, out: &mut Vec<u8>) {
        write::uint(out, known(names.schema_index(&self.schema)));
        write::bytes(out, &self.value);
        write::bytes_or_null(out, self.key.as_deref());
    }

    pub(crate) fn read(reader: &mut Reader<'_>, names: &dyn Names) -> Result<Self, CborError> {
        let wrong = Reader::error(reader.offset(), Problem::Type);
        let schema = names.schema_at(reader.uint()?).ok_or(wrong)?.into();
        let value = reader.bytes()?.into();
        Ok(Self { schema, value, key: reader.bytes_or_null()?.map(Into::into) })
    }
}

impl Outcome {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Some(failure) = &self.failure else {
            write::array(out, 2);
            write::uint(out, OUTCOME_OK);
            return write::uint(out, self.fuel_used);
        };
        write::array(out, 6);
        write::uint(out, OUTCOME_FAILED);
        write::uint(out, self.fuel_used);
        write::text(out, failure.cause.code());
        match failure.reducer {
            Some(reducer) => write::uint(out, reducer),
            None => write::null(out),
        }
        write::uint(out, failure.event);
        write::text(out, &failure.place);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let wrong = Reader::error(reader.offset(), Problem::Type);
        let len = reader.array()?;
        let kind = reader.uint()?;
        let fuel_used = reader.uint()?;
        match (kind, len) {
            (OUTCOME_OK, 2) => Ok(Self { fuel_used, failure: None }),
            (OUTCOME_FAILED, 6) => {
                let cause = Cause::of_code(reader.text()?).ok_or(wrong)?;
                let reducer = if reader.take_null() { None } else { Some(reader.uint()?) };
                let event = reader.uint()?;
                let place = String::from(reader.text()?);
                Ok(Self { fuel_used, failure: Some(Failure { cause, reducer, event, place }) })
            }
            _ => Err(wrong),
        }
    }
}
