//! The envelopes between kernel and guest: what goes into a module, what comes out. Free of `std`, so both sides share it.
//!
//! A reducer takes a [`Call`] and answers with a [`Reply`]; the exports around them (`memory`, `alloc`, `step`) are
//! described in `spec/abi.md`. Values travel as byte strings of CBOR, so the envelope is read without any schema.
//! Never here: what the values mean; see `schema/`.

use alloc::string::String;
use alloc::vec::Vec;

use crate::cbor::{CborError, Problem, Reader, write};

/// The version of the envelopes.
pub const VERSION: u64 = 1;

/// What a reducer is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<'a> {
    /// The cell's state in canonical CBOR; none where the cell does not exist yet.
    pub state: Option<&'a [u8]>,
    /// The name of the event's schema: the reducer's own event schema.
    pub schema: &'a str,
    /// The event's value in canonical CBOR.
    pub value: &'a [u8],
    /// The cell's key in canonical CBOR, for a keyed reducer.
    pub key: Option<&'a [u8]>,
    /// The context in canonical CBOR (`sys/ReducerContext@1`), where the module asks for it.
    pub context: Option<&'a [u8]>,
}

impl<'a> Call<'a> {
    /// Appends the canonical envelope to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write::map(out, 3 + usize::from(self.context.is_some()));
        if let Some(context) = self.context {
            write::text(out, "ctx");
            write::bytes(out, context);
        }
        write::text(out, "event");
        write::map(out, 2 + usize::from(self.key.is_some()));
        if let Some(key) = self.key {
            write::text(out, "key");
            write::bytes(out, key);
        }
        write::text(out, "value");
        write::bytes(out, self.value);
        write::text(out, "schema");
        write::text(out, self.schema);
        write::text(out, "state");
        write::bytes_or_null(out, self.state);
        write::text(out, "version");
        write::uint(out, VERSION);
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// [`Problem::Type`] where a field is missing, unknown or of another type or version, or what the reader finds.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        let (mut state, mut event, mut context, mut version) = (None, None, None, None);
        for _ in 0..reader.map()? {
            let start = reader.offset();
            match reader.text()? {
                "ctx" => context = Some(reader.bytes()?),
                "event" => event = Some(EventIn::decode(&mut reader)?),
                "state" => state = Some(reader.bytes_or_null()?),
                "version" => version = Some(reader.uint()?),
                _ => return Err(Reader::error(start, Problem::Type)),
            }
        }
        reader.end()?;
        match (state, event, version) {
            (Some(state), Some(event), Some(VERSION)) => {
                Ok(Self { state, schema: event.schema, value: event.value, key: event.key, context })
            }
            _ => Err(Reader::error(0, Problem::Type)),
        }
    }
}

struct EventIn<'a> {
    schema: &'a str,
    value: &'a [u8],
    key: Option<&'a [u8]>,
}

impl<'a> EventIn<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, CborError> {
        let start = reader.offset();
        let (mut schema, mut value, mut key) = (None, None, None);
        for _ in 0..reader.map()? {
            let start = reader.offset();
            match reader.text()? {
                "key" => key = Some(reader.bytes()?),
                "schema" => schema = Some(reader.text()?),
                "value" => value = Some(reader.bytes()?),
                _ => return Err(Reader::error(start, Problem::Type)),
            }
        }
        match (schema, value) {
            (Some(schema), Some(value)) => Ok(Self { schema, value, key }),
            _ => Err(Reader::error(start, Problem::Type)),
        }
    }
}

/// What a pure module is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PureCall<'a> {
    /// The input in canonical CBOR.
    pub input: &'a [u8],
    /// The context in canonical CBOR (`sys/PureContext@1`), where the module asks for it.
    pub context: Option<&'a [u8]>,
}

impl<'a> PureCall<'a> {
    /// Appends the canonical envelope to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write::map(out, 2 + usize::from(self.context.is_some()));
        if let Some(context) = self.context {
            write::text(out, "ctx");
            write::bytes(out, context);
        }
        write::text(out, "input");
        write::bytes(out, self.input);
        write::text(out, "version");
        write::uint(out, VERSION);
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// [`Problem::Type`] where a field is missing, unknown or of another type or version, or what the reader finds.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        let (mut input, mut context, mut version) = (None, None, None);
        for _ in 0..reader.map()? {
            let start = reader.offset();
            match reader.text()? {
                "ctx" => context = Some(reader.bytes()?),
                "input" => input = Some(reader.bytes()?),
                "version" => version = Some(reader.uint()?),
                _ => return Err(Reader::error(start, Problem::Type)),
            }
        }
        reader.end()?;
        match (input, version) {
            (Some(input), Some(VERSION)) => Ok(Self { input, context }),
            _ => Err(Reader::error(0, Problem::Type)),
        }
    }
}

/// What a pure module answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PureReply {
    /// The output in CBOR.
    Output(Vec<u8>),
    /// Why there is none, in the module's own words.
    Error(String),
}

impl PureReply {
    /// Appends the canonical envelope to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write::map(out, 1);
        match self {
            Self::Output(output) => {
                write::text(out, "output");
                write::bytes(out, output);
            }
            Self::Error(error) => {
                write::text(out, "error");
                write::text(out, error);
            }
        }
    }

    /// Reads an envelope as guests write it: any order of keys, longer integers, null for an absent field.
    ///
    /// # Errors
    /// [`Problem::Type`] where both fields are there or neither, or one is unknown, twice or of another type.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::lenient(bytes);
        let mut fields = Fields::default();
        let (mut output, mut error) = (None, None);
        for _ in 0..reader.map()? {
            match fields.take(&mut reader, &["output", "error"])? {
                0 => output = reader.bytes_or_null()?.map(Into::into),
                _ => error = reader.text_or_null()?.map(Into::into),
            }
        }
        reader.end()?;
        match (output, error) {
            (Some(output), None) => Ok(Self::Output(output)),
            (None, Some(error)) => Ok(Self::Error(error)),
            _ => Err(Reader::error(0, Problem::Type)),
        }
    }
}

/// What a reducer answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The cell's new state in CBOR; none deletes the cell.
    pub state: Option<Vec<u8>>,
    /// Events that follow from this one, in order.
    pub domain_events: Vec<DomainEvent>,
    /// Micro-effects that the reducer asks for, in order.
    pub effects: Vec<Effect>,
    /// An annotation in CBOR, of the module's annotations schema.
    pub annotation: Option<Vec<u8>>,
    /// Why the step fails on purpose; then nothing else of the reply counts.
    pub error: Option<String>,
}

/// An event that a reducer raises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainEvent {
    /// The name of the event's schema.
    pub schema: String,
    /// The event's value in CBOR.
    pub value: Vec<u8>,
    /// The key of the cell that it is meant for, in CBOR, where the route does not take it from the value.
    pub key: Option<Vec<u8>>,
}

/// A micro-effect that a reducer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The effect's kind, `timer.set`.
    pub kind: String,
    /// Its parameters in CBOR.
    pub params: Vec<u8>,
    /// The slot of the module that names the grant.
    pub cap_slot: Option<String>,
    /// The author's own key for this effect.
    pub idempotency_key: Option<String>,
}

impl Reply {
    /// Appends the canonical envelope to `out`; empty lists and absent fields are left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let optional =
            [self.annotation.is_some(), self.error.is_some(), !self.effects.is_empty(), !self.domain_events.is_empty()];
        write::map(out, 1 + optional.iter().filter(|present| **present).count());
        if let Some(annotation) = &self.annotation {
            write::text(out, "ann");
            write::bytes(out, annotation);
        }
        if let Some(error) = &self.error {
            write::text(out, "error");
            write::text(out, error);
        }
        write::text(out, "state");
        write::bytes_or_null(out, self.state.as_deref());
        if !self.effects.is_empty() {
            write::text(out, "effects");
            write::array(out, self.effects.len());
            self.effects.iter().for_each(|effect| effect.encode(out));
        }
        if !self.domain_events.is_empty() {
            write::text(out, "domain_events");
            write::array(out, self.domain_events.len());
            self.domain_events.iter().for_each(|event| event.encode(out));
        }
    }

    /// Reads an envelope as guests write it: any order of keys, longer integers, null for an absent field.
    ///
    /// # Errors
    /// [`Problem::Type`] where a field is missing, unknown, twice or of another type, or what the reader finds.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::lenient(bytes);
        let mut fields = Fields::default();
        let (mut state, mut reply) = (None, Self::default());
        for _ in 0..reader.map()? {
            match fields.take(&mut reader, &["state", "domain_events", "effects", "ann", "error"])? {
                0 => state = Some(reader.bytes_or_null()?.map(Into::into)),
                1 => reply.domain_events = list(&mut reader, DomainEvent::decode)?,
                2 => reply.effects = list(&mut reader, Effect::decode)?,
                3 => reply.annotation = reader.bytes_or_null()?.map(Into::into),
                _ => reply.error = reader.text_or_null()?.map(Into::into),
            }
        }
        reader.end()?;
        reply.state = state.ok_or(Reader::error(0, Problem::Type))?;
        Ok(reply)
    }
}

impl DomainEvent {
    fn encode(&self, out: &mut Vec<u8>) {
        write::map(out, 2 + usize::from(self.key.is_some()));
        if let Some(key) = &self.key {
            write::text(out, "key");
            write::bytes(out, key);
        }
        write::text(out, "value");
        write::bytes(out, &self.value);
        write::text(out, "schema");
        write::text(out, &self.schema);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let missing = Reader::error(reader.offset(), Problem::Type);
        let mut fields = Fields::default();
        let (mut schema, mut value, mut key) = (None, None, None);
        for _ in 0..reader.map()? {
            match fields.take(reader, &["schema", "value", "key"])? {
                0 => schema = Some(reader.text()?.into()),
                1 => value = Some(reader.bytes()?.into()),
                _ => key = reader.bytes_or_null()?.map(Into::into),
            }
        }
        Ok(Self { schema: schema.ok_or(missing)?, value: value.ok_or(missing)?, key })
    }
}

impl Effect {
    fn encode(&self, out: &mut Vec<u8>) {
        write::map(out, 2 + usize::from(self.cap_slot.is_some()) + usize::from(self.idempotency_key.is_some()));
        write::text(out, "kind");
        write::text(out, &self.kind);
        write::text(out, "params");
        write::bytes(out, &self.params);
        if let Some(slot) = &self.cap_slot {
            write::text(out, "cap_slot");
            write::text(out, slot);
        }
        if let Some(key) = &self.idempotency_key {
            write::text(out, "idempotency_key");
            write::text(out, key);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let missing = Reader::error(reader.offset(), Problem::Type);
        let mut fields = Fields::default();
        let (mut kind, mut params, mut cap_slot, mut idempotency_key) = (None, None, None, None);
        for _ in 0..reader.map()? {
            match fields.take(reader, &["kind", "params", "cap_slot", "idempotency_key"])? {
                0 => kind = Some(reader.text()?.into()),
                1 => params = Some(reader.bytes()?.into()),
                2 => cap_slot = reader.text_or_null()?.map(Into::into),
                _ => idempotency_key = reader.text_or_null()?.map(Into::into),
            }
        }
        Ok(Self { kind: kind.ok_or(missing)?, params: params.ok_or(missing)?, cap_slot, idempotency_key })
    }
}

/// Which fields of a map were seen, to refuse one that stands twice.
#[derive(Default)]
struct Fields(u8);

impl Fields {
    /// Reads the next key and returns its index in `known`.
    fn take(&mut self, reader: &mut Reader<'_>, known: &[&str]) -> Result<usize, CborError> {
        let start = reader.offset();
        let key = reader.text()?;
        let index = known.iter().position(|name| *name == key).ok_or(Reader::error(start, Problem::Type))?;
        let bit = 1 << index;
        if self.0 & bit != 0 {
            return Err(Reader::error(start, Problem::KeyTwice));
        }
        self.0 |= bit;
        Ok(index)
    }
}

fn list<T>(reader: &mut Reader<'_>, item: fn(&mut Reader<'_>) -> Result<T, CborError>) -> Result<Vec<T>, CborError> {
    if reader.take_null() {
        return Ok(Vec::new());
    }
    (0..reader.array()?).map(|_| item(reader)).collect()
}

#[cfg(all(test, feature = "language"))]
mod tests {
    use super::*;
    use crate::cbor::check;

    #[test]
    fn envelopes_round_trip_and_are_canonical() {
        let call = Call { state: Some(&[1]), schema: "a/B@1", value: &[2], key: Some(&[3]), context: Some(&[4]) };
        for call in [Call { state: None, key: None, context: None, ..call.clone() }, call] {
            let mut bytes = Vec::new();
            call.encode(&mut bytes);
            assert_eq!(check(&bytes), Ok(()));
            assert_eq!(Call::decode(&bytes), Ok(call));
        }
        let full = Reply {
            state: Some(vec![1]),
            domain_events: vec![DomainEvent { schema: "a/B@1".into(), value: vec![2], key: Some(vec![3]) }],
            effects: vec![Effect {
                kind: "timer.set".into(),
                params: vec![4],
                cap_slot: Some("s".into()),
                idempotency_key: Some("k".into()),
            }],
            annotation: Some(vec![5]),
            error: Some("no".into()),
        };
        for reply in [Reply::default(), full] {
            let mut bytes = Vec::new();
            reply.encode(&mut bytes);
            assert_eq!(check(&bytes), Ok(()));
            assert_eq!(Reply::decode(&bytes), Ok(reply));
        }
    }

    #[test]
    fn pure_envelopes_round_trip_and_are_canonical() {
        for call in [PureCall { input: &[1], context: None }, PureCall { input: &[], context: Some(&[4]) }] {
            let mut bytes = Vec::new();
            call.encode(&mut bytes);
            assert_eq!(check(&bytes), Ok(()));
            assert_eq!(PureCall::decode(&bytes), Ok(call));
        }
        for reply in [PureReply::Output(vec![1]), PureReply::Error("no".into())] {
            let mut bytes = Vec::new();
            reply.encode(&mut bytes);
            assert_eq!(check(&bytes), Ok(()));
            assert_eq!(PureReply::decode(&bytes), Ok(reply));
        }
        let both = [&[0xa2, 0x65], &b"error"[..], &[0x60, 0x66], b"output", &[0x40]].concat();
        for bad in [&both[..], &[0xa0], &[0xa1, 0x65, b'e', b'r', b'r', b'o', b'r', 0xf6]] {
            assert!(PureReply::decode(bad).is_err(), "{bad:x?}");
        }
    }

    #[test]
    fn a_reply_may_be_written_loosely_but_not_wrongly() {
        // {"state": null, "ann": null} in an order that is not canonical, with a long length.
        let loose = [&[0xb8, 2, 0x65], &b"state"[..], &[0xf6, 0x63], b"ann", &[0xf6]].concat();
        assert_eq!(Reply::decode(&loose), Ok(Reply::default()));
        for bad in [&[0xa0][..], &[0xa1, 0x61, b'x', 0xf6], &[0xbf, 0xff], &[0xf6], &[]] {
            assert!(Reply::decode(bad).is_err(), "{bad:x?}");
        }
        let twice = [&[0xa2, 0x65], &b"state"[..], &[0xf6, 0x65], b"state", &[0xf6]].concat();
        assert_eq!(Reply::decode(&twice).map_err(|error| error.problem), Err(Problem::KeyTwice));
    }
}
