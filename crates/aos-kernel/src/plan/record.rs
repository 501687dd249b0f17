//! The stored form of an instance: one canonical positional array, read strictly. The plan itself is not in it.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use aos_air::cbor::{CborError, Problem, Reader, write};
use aos_air::expr::{EvalError, EvalProblem};
use aos_air::hash::Digest;
use aos_air::plan::{EffectError, Ended, Op, Plan, Status};
use aos_air::schema::{Shape, Value};

use super::{Answer, Instance, Pinned, State};
use crate::id::Height;

const VERSION: u64 = 1;
const FIELDS: usize = 13;

/// What a record says before the plan is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The instance's number.
    pub id: u64,
    /// The name of its plan.
    pub plan: String,
    /// The hash of the plan's node.
    pub plan_hash: Digest,
    /// The manifest whose plan and schemas it keeps.
    pub manifest: Digest,
}

impl Header {
    /// Reads the header of a record, to find the plan with which [`Instance::decode`] reads the rest.
    ///
    /// # Errors
    /// Where the bytes are no record.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        Self::read(&mut Reader::strict(bytes))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.array_of(FIELDS)?;
        let start = reader.offset();
        if reader.uint()? != VERSION {
            return Err(Reader::error(start, Problem::Range));
        }
        Ok(Self {
            id: reader.uint()?,
            plan: reader.text()?.to_owned(),
            plan_hash: Digest::from_bytes(reader.byte_array()?),
            manifest: Digest::from_bytes(reader.byte_array()?),
        })
    }
}

impl Instance {
    /// Returns the record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let plan = &self.plan.0;
        let mut out = Vec::with_capacity(256);
        write::array(&mut out, FIELDS);
        write::uint(&mut out, VERSION);
        write::uint(&mut out, self.id);
        write::text(&mut out, plan.name.as_str());
        write::bytes(&mut out, plan.hash.as_bytes());
        write::bytes(&mut out, self.manifest.as_bytes());
        write::uint(&mut out, self.started_at.0);
        write::bytes(&mut out, &self.actor);
        write::bytes(&mut out, &self.input.to_cbor());
        write::array(&mut out, self.slots.len());
        for slot in &self.slots {
            write::bytes_or_null(&mut out, slot.as_ref().map(Value::to_cbor).as_deref());
        }
        write::array(&mut out, self.states.len());
        for (state, ended) in self.states.iter().zip(&self.ended) {
            write_state(&mut out, state, ended.as_ref());
        }
        write::array(&mut out, self.kept.len());
        for (step, Answer { status, payload }) in &self.kept {
            write::array(&mut out, 3);
            write::uint(&mut out, *step as u64);
            write::uint(&mut out, status.number().into());
            write::bytes(&mut out, payload);
        }
        write_index(&mut out, self.unchecked);
        write::bool(&mut out, self.is_over);
        out
    }

    /// Reads a record of an instance of `plan`.
    ///
    /// # Errors
    /// Where the bytes are no such record.
    pub fn decode(bytes: &[u8], plan: Arc<Plan>) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        let header = Header::read(&mut reader)?;
        let here = reader.offset();
        if header.plan_hash != plan.hash || header.plan != plan.name.as_str() {
            return Err(Reader::error(here, Problem::Range));
        }
        let started_at = Height(reader.uint()?);
        let actor = reader.bytes()?.to_vec();
        let input = read_value(&mut reader, &plan.input)?;
        reader.array_of(plan.slots.len())?;
        let mut slots = Vec::with_capacity(plan.slots.len());
        for slot in &plan.slots {
            slots.push(if reader.take_null() { None } else { Some(read_value(&mut reader, &slot.shape)?) });
        }
        reader.array_of(plan.steps.len())?;
        let (mut states, mut ended) = (Vec::new(), Vec::new());
        for step in &plan.steps {
            let (state, end) = read_state(&mut reader, &step.op)?;
            states.push(state);
            ended.push(end);
        }
        let kept = read_kept(&mut reader, &plan)?;
        let unchecked = read_index(&mut reader, &plan)?;
        let start = reader.offset();
        let is_over = match reader.head()? {
            aos_air::cbor::Head::Bool(is_over) => is_over,
            _ => return Err(Reader::error(start, Problem::Type)),
        };
        reader.end()?;
        let mut instance = Self {
            id: header.id,
            manifest: header.manifest,
            started_at,
            actor,
            plan: Pinned(plan),
            input,
            slots,
            states,
            ended,
            kept,
            unchecked,
            is_over,
            unsettled: Vec::new(),
            ready: BTreeSet::new(),
        };
        instance.work_out();
        if is_over {
            instance.ready.clear();
        }
        Ok(instance)
    }
}

fn read_value(reader: &mut Reader<'_>, shape: &Shape) -> Result<Value, CborError> {
    let start = reader.offset();
    let bytes = reader.bytes()?;
    shape.decode(bytes).map_err(|_| Reader::error(start, Problem::Range))
}

fn write_index(out: &mut Vec<u8>, index: Option<usize>) {
    match index {
        Some(index) => write::uint(out, index as u64),
        None => write::null(out),
    }
}

fn read_index(reader: &mut Reader<'_>, plan: &Plan) -> Result<Option<usize>, CborError> {
    if reader.take_null() {
        return Ok(None);
    }
    let start = reader.offset();
    let index = usize::try_from(reader.uint()?).ok().filter(|index| *index < plan.steps.len());
    index.map(Some).ok_or_else(|| Reader::error(start, Problem::Range))
}

fn write_state(out: &mut Vec<u8>, state: &State, ended: Option<&Ended>) {
    let mut tagged = |number: u64, parts: usize| {
        write::array(out, parts + 1);
        write::uint(out, number);
    };
    match (state, ended) {
        (State::Open, _) => write::uint(out, 0),
        (State::Skipped, _) => write::uint(out, 1),
        (State::Done, None) => write::uint(out, 2),
        (State::Asked, _) => write::uint(out, 3),
        (State::TimedOut, _) => write::uint(out, 4),
        (State::Done, Some(Ended { status, error })) => {
            tagged(2, 2);
            write::uint(out, status.number().into());
            write::bytes_or_null(out, error.as_ref().map(|error| error.value().to_cbor()).as_deref());
        }
        (State::Waiting(due), _) => {
            tagged(5, 1);
            match due {
                Some(due) => write::uint(out, *due),
                None => write::null(out),
            }
        }
        (State::Heard(value), _) => {
            tagged(6, 1);
            write::bytes(out, value);
        }
        (State::Broken(EvalError { problem, place }), _) => {
            tagged(7, 2);
            write::uint(out, problem.number().into());
            write::text(out, place);
        }
    }
}

fn read_state(reader: &mut Reader<'_>, op: &Op) -> Result<(State, Option<Ended>), CborError> {
    let start = reader.offset();
    let wrong = || Reader::error(start, Problem::Range);
    let (asks, waits) = match op {
        Op::Emit(_) | Op::Raise { .. } => (true, None),
        Op::AwaitReceipt { .. } => (false, Some(None)),
        Op::AwaitEvent { shape, .. } => (false, Some(Some(shape))),
        Op::Assign { .. } | Op::End { .. } => (false, None),
    };
    if let Ok(parts) = reader.clone().array() {
        reader.array()?;
        let number = reader.uint()?;
        let ended = match (number, parts, waits) {
            (2, 3, Some(_)) => {
                let status = Status::from_number(reader.uint()?).ok_or_else(wrong)?;
                let error = match reader.bytes_or_null()? {
                    Some(error) => Some(EffectError::decode(error).ok_or_else(wrong)?),
                    None => None,
                };
                return Ok((State::Done, Some(Ended { status, error })));
            }
            (5, 2, Some(_)) if reader.take_null() => State::Waiting(None),
            (5, 2, Some(_)) => State::Waiting(Some(reader.uint()?)),
            (6, 2, Some(Some(shape))) => {
                let value = reader.bytes()?;
                shape.check(value).map_err(|_| wrong())?;
                State::Heard(value.to_vec())
            }
            (7, 3, Some(Some(_))) => {
                let problem = EvalProblem::from_number(reader.uint()?).ok_or_else(wrong)?;
                State::Broken(EvalError { problem, place: reader.text()?.to_owned() })
            }
            _ => return Err(wrong()),
        };
        return Ok((ended, None));
    }
    let state = match reader.uint()? {
        0 => State::Open,
        1 => State::Skipped,
        2 if waits.is_none() => State::Done,
        3 if asks => State::Asked,
        4 if waits.is_some() => State::TimedOut,
        _ => return Err(wrong()),
    };
    Ok((state, None))
}

fn read_kept(reader: &mut Reader<'_>, plan: &Plan) -> Result<BTreeMap<usize, Answer>, CborError> {
    let mut kept: BTreeMap<usize, Answer> = BTreeMap::new();
    for _ in 0..reader.array()? {
        let start = reader.offset();
        let wrong = || Reader::error(start, Problem::Range);
        reader.array_of(3)?;
        let step = usize::try_from(reader.uint()?).map_err(|_| wrong())?;
        let emits = plan.steps.get(step).is_some_and(|step| matches!(step.op, Op::Emit(_)));
        if !emits || kept.last_key_value().is_some_and(|(last, _)| *last >= step) {
            return Err(wrong());
        }
        let status = Status::from_number(reader.uint()?).ok_or_else(wrong)?;
        kept.insert(step, Answer { status, payload: reader.bytes()?.to_vec() });
    }
    Ok(kept)
}
