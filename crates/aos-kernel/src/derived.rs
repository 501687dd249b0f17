//! What follows from an input, as a frame records it: what an auditor wants to read without executing anything.
//!
//! Events, annotations, what was asked for and what the gate said, how intents and plans began and ended. The form is a
//! positional array; `spec/journal.md` has it field by field. Definitions are named by text here: an instance may run a
//! plan that the manifest in force no longer has.

use alloc::string::String;
use alloc::vec::Vec;

use aos_air::cbor::{CborError, Problem, Reader, write};
use aos_air::hash::Digest;
use aos_air::plan::Status;

use crate::frame::Names;
use crate::gate::Spend;
use crate::id::{InstanceId, IntentId};
use crate::input::Event;
use crate::intent::Origin;

/// Something that followed from an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Derived {
    /// An event was raised.
    Event {
        /// By what.
        by: By,
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
    /// An effect was asked for.
    Asked {
        /// The intent's id.
        intent: IntentId,
        /// Who asked.
        origin: Origin,
        /// The effect's kind.
        kind: String,
        /// The parameters in canonical CBOR.
        params: Vec<u8>,
        /// The grant's name.
        grant: String,
        /// The author's own key against doing it twice.
        author_key: Option<String>,
    },
    /// The gate decided on an intent.
    Decided {
        /// The intent.
        intent: IntentId,
        /// What it said.
        verdict: Verdict,
        /// The policies that determined it, `<policy>#<id>`, sorted; none where the capability alone decided.
        policies: Vec<String>,
        /// The principal who approved or denied it, where one did.
        principal: Option<String>,
    },
    /// An intent ended, or a late answer to it was recorded.
    Ended {
        /// The intent.
        intent: IntentId,
        /// How.
        status: Status,
        /// Whether it had ended before: then nothing is resumed.
        is_late: bool,
        /// What the grant's budget was charged.
        spent: Spend,
        /// Whether that is more than was reserved, which blocks the grant.
        is_overrun: bool,
    },
    /// A plan instance started.
    PlanStarted {
        /// The instance.
        instance: InstanceId,
        /// The plan.
        plan: String,
        /// What started it: 0 is the input, n the n-th derived event of this frame.
        cause: u64,
        /// The value that correlates it, in canonical CBOR.
        correlation: Option<Vec<u8>>,
    },
    /// A plan instance ended.
    PlanEnded {
        /// The instance.
        instance: InstanceId,
        /// What it came to.
        end: PlanEnd,
    },
}

/// What raised an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A reducer, while it handled something: 0 is the input, n the n-th derived event of this frame.
    Handling(u64),
    /// A step of a plan.
    Step {
        /// The instance.
        instance: InstanceId,
        /// The step's id.
        step: String,
    },
}

/// What the gate says of an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may leave; this much of the grant's budget is held for it.
    Allowed {
        /// What is held.
        reserved: Spend,
    },
    /// It may not.
    Denied {
        /// The stable code.
        code: String,
        /// One sentence for a person.
        message: String,
    },
    /// It waits for a principal's word.
    Parked {
        /// When that lapses, in nanoseconds of the logical clock.
        expires_ns: u64,
    },
}

/// What a plan instance came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanEnd {
    /// It ended, with its result in canonical CBOR where it has one.
    Done(Option<Vec<u8>>),
    /// It failed.
    Failed {
        /// The stable code.
        code: String,
        /// The step that it failed in.
        step: Option<String>,
        /// Where in the step, or what was missing; may be empty.
        place: String,
    },
}

const EVENT: u64 = 0;
const ANNOTATION: u64 = 1;
const ASKED: u64 = 2;
const ALLOWED: u64 = 3;
const DENIED: u64 = 4;
const PARKED: u64 = 5;
const ENDED: u64 = 6;
const PLAN_STARTED: u64 = 7;
const PLAN_DONE: u64 = 8;
const PLAN_FAILED: u64 = 9;

impl Derived {
    /// Appends the journal form.
    pub(crate) fn write(&self, names: &dyn Names, out: &mut Vec<u8>) {
        match self {
            Self::Event { by, event } => {
                head(out, 5, EVENT);
                by.write(out);
                event.write(names, out);
            }
            Self::Annotation { cause, reducer, value } => {
                head(out, 4, ANNOTATION);
                write::uint(out, *cause);
                write::uint(out, *reducer);
                write::bytes(out, value);
            }
            Self::Asked { intent, origin, kind, params, grant, author_key } => {
                head(out, 7, ASKED);
                write::bytes(out, intent.0.as_bytes());
                origin.write(out);
                write::text(out, kind);
                write::bytes(out, params);
                write::text(out, grant);
                write::text_or_null(out, author_key.as_deref());
            }
            Self::Decided { intent, verdict, policies, principal } => {
                write_decided(*intent, verdict, policies, principal.as_deref(), out);
            }
            Self::Ended { intent, status, is_late, spent, is_overrun } => {
                head(out, 6, ENDED);
                write::bytes(out, intent.0.as_bytes());
                write::uint(out, u64::from(status.number()));
                write::bool(out, *is_late);
                spent.write(out);
                write::bool(out, *is_overrun);
            }
            Self::PlanStarted { instance, plan, cause, correlation } => {
                head(out, 5, PLAN_STARTED);
                write::uint(out, instance.0);
                write::text(out, plan);
                write::uint(out, *cause);
                write::bytes_or_null(out, correlation.as_deref());
            }
            Self::PlanEnded { instance, end: PlanEnd::Done(result) } => {
                head(out, 3, PLAN_DONE);
                write::uint(out, instance.0);
                write::bytes_or_null(out, result.as_deref());
            }
            Self::PlanEnded { instance, end: PlanEnd::Failed { code, step, place } } => {
                head(out, 5, PLAN_FAILED);
                write::uint(out, instance.0);
                write::text(out, code);
                write::text_or_null(out, step.as_deref());
                write::text(out, place);
            }
        }
    }

    /// Reads the record that comes next.
    pub(crate) fn read(reader: &mut Reader<'_>, names: &dyn Names) -> Result<Self, CborError> {
        let wrong = Reader::error(reader.offset(), Problem::Type);
        let len = reader.array()?;
        match (reader.uint()?, len) {
            (EVENT, 5) => Ok(Self::Event { by: By::read(reader)?, event: Event::read(reader, names)? }),
            (ANNOTATION, 4) => {
                Ok(Self::Annotation { cause: reader.uint()?, reducer: reader.uint()?, value: reader.bytes()?.into() })
            }
            (ASKED, 7) => Ok(Self::Asked {
                intent: read_intent(reader)?,
                origin: Origin::read(reader)?,
                kind: reader.text()?.into(),
                params: reader.bytes()?.into(),
                grant: reader.text()?.into(),
                author_key: reader.text_or_null()?.map(Into::into),
            }),
            (kind @ (ALLOWED | PARKED), 5) | (kind @ DENIED, 6) => Self::read_decided(reader, kind),
            (ENDED, 6) => Ok(Self::Ended {
                intent: read_intent(reader)?,
                status: Status::from_number(reader.uint()?).ok_or(wrong)?,
                is_late: reader.bool()?,
                spent: Spend::read(reader)?,
                is_overrun: reader.bool()?,
            }),
            (PLAN_STARTED, 5) => Ok(Self::PlanStarted {
                instance: InstanceId(reader.uint()?),
                plan: reader.text()?.into(),
                cause: reader.uint()?,
                correlation: reader.bytes_or_null()?.map(Into::into),
            }),
            (PLAN_DONE, 3) => Ok(Self::PlanEnded {
                instance: InstanceId(reader.uint()?),
                end: PlanEnd::Done(reader.bytes_or_null()?.map(Into::into)),
            }),
            (PLAN_FAILED, 5) => Ok(Self::PlanEnded {
                instance: InstanceId(reader.uint()?),
                end: PlanEnd::Failed {
                    code: reader.text()?.into(),
                    step: reader.text_or_null()?.map(Into::into),
                    place: reader.text()?.into(),
                },
            }),
            _ => Err(wrong),
        }
    }

    fn read_decided(reader: &mut Reader<'_>, kind: u64) -> Result<Self, CborError> {
        let intent = read_intent(reader)?;
        let policies = (0..reader.array()?).map(|_| reader.text().map(Into::into)).collect::<Result<_, _>>()?;
        let principal = reader.text_or_null()?.map(Into::into);
        let verdict = match kind {
            ALLOWED => Verdict::Allowed { reserved: Spend::read(reader)? },
            DENIED => Verdict::Denied { code: reader.text()?.into(), message: reader.text()?.into() },
            _ => Verdict::Parked { expires_ns: reader.uint()? },
        };
        Ok(Self::Decided { intent, verdict, policies, principal })
    }
}

fn head(out: &mut Vec<u8>, len: usize, kind: u64) {
    write::array(out, len);
    write::uint(out, kind);
}

fn write_decided(intent: IntentId, verdict: &Verdict, policies: &[String], principal: Option<&str>, out: &mut Vec<u8>) {
    match verdict {
        Verdict::Allowed { .. } => head(out, 5, ALLOWED),
        Verdict::Denied { .. } => head(out, 6, DENIED),
        Verdict::Parked { .. } => head(out, 5, PARKED),
    }
    write::bytes(out, intent.0.as_bytes());
    write::array(out, policies.len());
    policies.iter().for_each(|policy| write::text(out, policy));
    write::text_or_null(out, principal);
    match verdict {
        Verdict::Allowed { reserved } => reserved.write(out),
        Verdict::Denied { code, message } => {
            write::text(out, code);
            write::text(out, message);
        }
        Verdict::Parked { expires_ns } => write::uint(out, *expires_ns),
    }
}

fn read_intent(reader: &mut Reader<'_>) -> Result<IntentId, CborError> {
    Ok(IntentId(Digest::from_bytes(reader.byte_array()?)))
}

impl By {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Handling(ordinal) => write::uint(out, *ordinal),
            Self::Step { instance, step } => {
                write::array(out, 2);
                write::uint(out, instance.0);
                write::text(out, step);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        use aos_air::cbor::Head;
        if let Head::Uint(_) = reader.peek()? {
            return Ok(Self::Handling(reader.uint()?));
        }
        reader.array_of(2)?;
        Ok(Self::Step { instance: InstanceId(reader.uint()?), step: reader.text()?.into() })
    }
}
