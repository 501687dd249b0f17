//! A frame: one transaction, from its input to its outcome, and its compact form in the journal.
//!
//! The form is a positional array; `spec/journal.md` has it field by field. Names of the manifest are written as indexes
//! into the manifest in force when the frame began; [`Names`] is that table.

use alloc::string::String;
use alloc::vec::Vec;

use aos_air::cbor::{CborError, Problem, Reader, write};
use aos_air::hash::{Digest, Purpose};

use crate::error::{Cause, Failure};
use crate::id::Height;
use crate::input::{Actor, Body, Event, Input, Stamp};

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its number in the world, from 1.
    pub height: Height,
    /// When the host took the input in.
    pub stamp: Stamp,
    /// What came in.
    pub input: Input,
    /// What followed from it, in order; empty where the transaction failed.
    pub derived: Vec<Derived>,
    /// How it ended.
    pub outcome: Outcome,
}

/// Something that followed from an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Derived {
    /// A reducer raised an event.
    Event {
        /// What was being handled: 0 is the input, n the n-th derived event of this frame.
        cause: u64,
        /// The event.
        event: Event,
    },
    /// A reducer left an annotation.
    Annotation {
        /// What was being handled: 0 is the input, n the n-th derived event of this frame.
        cause: u64,
        /// The reducer, by its index in the manifest's modules.
        reducer: u64,
        /// The annotation in canonical CBOR.
        value: Vec<u8>,
    },
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
}

const ACTOR_HOST: u64 = 0;
const ACTOR_PRINCIPAL: u64 = 1;
const ACTOR_INBOX: u64 = 3;
const BODY_EVENT: u64 = 0;
const BODY_MESSAGE: u64 = 1;
const DERIVED_EVENT: u64 = 0;
const DERIVED_ANNOTATION: u64 = 1;
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
            _ => Err(wrong),
        }
    }
}

impl Body {
    /// Returns a digest of what the input is, with names and not indexes, so that it stays the same under another manifest.
    pub(crate) fn identity(&self) -> Digest {
        let (schema, value, key) = match self {
            Self::Event(event) => (Some(&event.schema), &event.value, &event.key),
            Self::Message { value, key } => (None, value, key),
        };
        let mut form = Vec::with_capacity(value.len() + 64);
        write::array(&mut form, 3);
        match schema {
            Some(schema) => write::text(&mut form, schema),
            None => write::null(&mut form),
        }
        write::bytes(&mut form, value);
        write::bytes_or_null(&mut form, key.as_deref());
        Purpose::Input.hash(&form)
    }
}

impl Event {
    /// Writes schema, value and key, without an array around them.
    fn write(&self, names: &dyn Names, out: &mut Vec<u8>) {
        write::uint(out, known(names.schema_index(&self.schema)));
        write::bytes(out, &self.value);
        write::bytes_or_null(out, self.key.as_deref());
    }

    fn read(reader: &mut Reader<'_>, names: &dyn Names) -> Result<Self, CborError> {
        let wrong = Reader::error(reader.offset(), Problem::Type);
        let schema = names.schema_at(reader.uint()?).ok_or(wrong)?.into();
        let value = reader.bytes()?.into();
        Ok(Self { schema, value, key: reader.bytes_or_null()?.map(Into::into) })
    }
}

impl Derived {
    fn write(&self, names: &dyn Names, out: &mut Vec<u8>) {
        match self {
            Self::Event { cause, event } => {
                write::array(out, 5);
                write::uint(out, DERIVED_EVENT);
                write::uint(out, *cause);
                event.write(names, out);
            }
            Self::Annotation { cause, reducer, value } => {
                write::array(out, 4);
                write::uint(out, DERIVED_ANNOTATION);
                write::uint(out, *cause);
                write::uint(out, *reducer);
                write::bytes(out, value);
            }
        }
    }

    fn read(reader: &mut Reader<'_>, names: &dyn Names) -> Result<Self, CborError> {
        let wrong = Reader::error(reader.offset(), Problem::Type);
        let len = reader.array()?;
        match (reader.uint()?, len) {
            (DERIVED_EVENT, 5) => Ok(Self::Event { cause: reader.uint()?, event: Event::read(reader, names)? }),
            (DERIVED_ANNOTATION, 4) => {
                Ok(Self::Annotation { cause: reader.uint()?, reducer: reader.uint()?, value: reader.bytes()?.into() })
            }
            _ => Err(wrong),
        }
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
