//! An intent: an effect that was asked for, from the asking to its end, and the three values that name it.
//!
//! Its id is unique in all worlds and is what a receipt answers; its request hash only matches recorded answers; its
//! outward key is what a service sees. Never here: whether it may leave (`gate/`), or who performs it (the host).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use aos_air::built_in;
use aos_air::cbor::{CborError, Problem, Reader, write};
use aos_air::hash::{Digest, Purpose};
use aos_air::plan::Status;
use aos_air::policy::Principal;

use crate::gate::Spend;
use crate::genesis::EffectMode;
use crate::id::{Height, InstanceId, IntentId, WorldId};
use crate::index::Bytes;

/// Who asked for an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A step of a running plan.
    Plan {
        /// The plan's name.
        plan: String,
        /// The instance.
        instance: InstanceId,
        /// The step's id.
        step: String,
    },
    /// A reducer, for one of its cells.
    Reducer {
        /// The reducer's name.
        reducer: String,
        /// The cell's key in canonical CBOR; none for a reducer without keys.
        key: Option<Vec<u8>>,
    },
}

impl Origin {
    /// Returns the name of the plan or reducer.
    pub fn name(&self) -> &str {
        match self {
            Self::Plan { plan: name, .. } | Self::Reducer { reducer: name, .. } => name,
        }
    }

    /// Returns the principal that policies see.
    pub fn principal(&self) -> Principal<'_> {
        match self {
            Self::Plan { plan, .. } => Principal::Plan(plan),
            Self::Reducer { reducer, .. } => Principal::Reducer(reducer),
        }
    }

    /// Returns the word for what it is.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Plan { .. } => "plan",
            Self::Reducer { .. } => "reducer",
        }
    }

    /// Appends the journal form.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plan { plan, instance, step } => {
                write::array(out, 4);
                write::uint(out, 0);
                write::text(out, plan);
                write::uint(out, instance.0);
                write::text(out, step);
            }
            Self::Reducer { reducer, key } => {
                write::array(out, 3);
                write::uint(out, 1);
                write::text(out, reducer);
                write::bytes_or_null(out, key.as_deref());
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let wrong = Reader::error(reader.offset(), Problem::Type);
        let len = reader.array()?;
        match (reader.uint()?, len) {
            (0, 4) => Ok(Self::Plan {
                plan: reader.text()?.into(),
                instance: InstanceId(reader.uint()?),
                step: reader.text()?.into(),
            }),
            (1, 3) => {
                Ok(Self::Reducer { reducer: reader.text()?.into(), key: reader.bytes_or_null()?.map(Into::into) })
            }
            _ => Err(wrong),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan { plan, instance, step } => write!(f, "plan {plan} (instance {instance}, step `{step}`)"),
            Self::Reducer { reducer, .. } => write!(f, "reducer {reducer}"),
        }
    }
}

/// What may be done with an intent of which nobody knows whether it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It is sent again: doing it twice is doing it once.
    Safe,
    /// It is sent again under the same outward key, which the service honours.
    Keyed,
    /// It is never sent twice: its end is `in_doubt`.
    Once,
}

impl Class {
    /// Returns the class of an effect: fixed when it is asked for, by kind, method and what the grant says of the service.
    pub fn of(kind: &str, method: Option<&str>, honours_key: bool) -> Self {
        let adapter = adapter_of(kind);
        // Of a kind that a world brings itself nobody knows it, whatever its adapter is called.
        let is_ours = built_in::is_effect(kind);
        let is_safe = is_ours
            && match adapter {
                "timer" | "blob" | "introspect" => true,
                "http" => matches!(method, Some("GET" | "HEAD")),
                _ => false,
            };
        match (is_safe, honours_key) {
            (true, _) => Self::Safe,
            (false, true) => Self::Keyed,
            (false, false) => Self::Once,
        }
    }

    /// Returns the class's number in the journal.
    pub const fn number(self) -> u64 {
        match self {
            Self::Safe => 0,
            Self::Keyed => 1,
            Self::Once => 2,
        }
    }

    /// Returns the word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Keyed => "keyed",
            Self::Once => "once",
        }
    }

    fn of_number(number: u64) -> Option<Self> {
        [Self::Safe, Self::Keyed, Self::Once].into_iter().find(|class| class.number() == number)
    }
}

/// Returns the name of the adapter that answers effects of a kind: the kind's first segment.
pub fn adapter_of(kind: &str) -> &str {
    kind.split_once('.').map_or(kind, |(adapter, _)| adapter)
}

/// How far an intent has come that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits for a principal to approve or deny it.
    Parked {
        /// When that lapses, in nanoseconds of the logical clock.
        expires_ns: u64,
    },
    /// It may be dispatched.
    Open,
    /// It may have been dispatched: the mark of a `once` intent, durable before its first byte leaves.
    Attempted,
}

/// An intent that has not ended, as the state index holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its id.
    pub id: IntentId,
    /// The frame in which it was asked for.
    pub height: Height,
    /// Its number among the effects that the frame asked for, from 0.
    pub ordinal: u64,
    /// The manifest whose schemas its answer has.
    pub manifest: Digest,
    /// What happens to it, set by the world's mode when it was asked for.
    pub mode: EffectMode,
    /// Who asked.
    pub origin: Origin,
    /// The effect's kind.
    pub kind: String,
    /// The parameters in canonical CBOR.
    pub params: Vec<u8>,
    /// The grant's name.
    pub grant: String,
    /// The author's own key against doing it twice.
    pub author_key: Option<String>,
    /// What may be done after a crash.
    pub class: Class,
    /// What of the grant's budget is held for it; nothing while it is parked.
    pub reserved: Spend,
    /// How far it has come.
    pub stage: Stage,
}

/// What an intent asks for, before it has an id.
pub(crate) struct Asked<'a> {
    pub kind: &'a str,
    pub params: &'a [u8],
    pub grant: &'a str,
    pub author_key: Option<&'a str>,
    pub origin: &'a Origin,
}

impl Asked<'_> {
    /// Returns the digest that matches recorded answers.
    pub fn request_hash(&self) -> Digest {
        let mut form = Vec::with_capacity(self.params.len() + 64);
        write::array(&mut form, 3);
        write::text(&mut form, self.kind);
        write::bytes(&mut form, self.params);
        write::text_or_null(&mut form, self.author_key);
        Purpose::Request.hash(&form)
    }

    /// Returns the id, which the ordinal makes unique in its frame.
    pub fn id(&self, world: WorldId, height: Height, ordinal: u64) -> IntentId {
        let mut form = Vec::with_capacity(192);
        write::array(&mut form, 6);
        write::bytes(&mut form, world.0.as_bytes());
        write::uint(&mut form, height.0);
        write::uint(&mut form, ordinal);
        write::bytes(&mut form, self.request_hash().as_bytes());
        write::text(&mut form, self.grant);
        self.origin.write(&mut form);
        IntentId(Purpose::Intent.hash(&form))
    }
}

impl Intent {
    /// Returns the digest that matches recorded answers: of the kind, the parameters and the author's key.
    pub fn request_hash(&self) -> Digest {
        let Self { kind, params, grant, author_key, origin, .. } = self;
        Asked { kind, params, grant, author_key: author_key.as_deref(), origin }.request_hash()
    }

    /// Returns the key that a service sees: from the world, the plan or reducer and the author's key where there is one,
    /// so that asking again under the same key is asking once; else the intent's own id.
    pub fn outward_key(&self, world: WorldId) -> Digest {
        let Some(key) = &self.author_key else { return self.id.0 };
        let mut form = Vec::with_capacity(128);
        write::array(&mut form, 4);
        write::bytes(&mut form, world.0.as_bytes());
        write::uint(&mut form, u64::from(matches!(self.origin, Origin::Reducer { .. })));
        write::text(&mut form, self.origin.name());
        write::text(&mut form, key);
        Purpose::Outward.hash(&form)
    }

    /// Returns the record's bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.params.len() + 256);
        write::array(&mut out, 13);
        write::bytes(&mut out, self.id.0.as_bytes());
        write::uint(&mut out, self.height.0);
        write::uint(&mut out, self.ordinal);
        write::bytes(&mut out, self.manifest.as_bytes());
        write::uint(&mut out, self.mode.number());
        self.origin.write(&mut out);
        write::text(&mut out, &self.kind);
        write::bytes(&mut out, &self.params);
        write::text(&mut out, &self.grant);
        write::text_or_null(&mut out, self.author_key.as_deref());
        write::uint(&mut out, self.class.number());
        self.reserved.write(&mut out);
        match self.stage {
            Stage::Parked { expires_ns } => {
                write::array(&mut out, 2);
                write::uint(&mut out, 0);
                write::uint(&mut out, expires_ns);
            }
            Stage::Open => write::uint(&mut out, 1),
            Stage::Attempted => write::uint(&mut out, 2),
        }
        out.into()
    }

    /// Reads the record.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        let wrong = Reader::error(0, Problem::Type);
        reader.array_of(13)?;
        let intent = Self {
            id: IntentId(Digest::from_bytes(reader.byte_array()?)),
            height: Height(reader.uint()?),
            ordinal: reader.uint()?,
            manifest: Digest::from_bytes(reader.byte_array()?),
            mode: EffectMode::from_number(reader.uint()?).ok_or(wrong)?,
            origin: Origin::read(&mut reader)?,
            kind: reader.text()?.into(),
            params: reader.bytes()?.into(),
            grant: reader.text()?.into(),
            author_key: reader.text_or_null()?.map(Into::into),
            class: Class::of_number(reader.uint()?).ok_or(wrong)?,
            reserved: Spend::read(&mut reader)?,
            stage: read_stage(&mut reader)?,
        };
        reader.end()?;
        Ok(intent)
    }
}

fn read_stage(reader: &mut Reader<'_>) -> Result<Stage, CborError> {
    let wrong = Reader::error(reader.offset(), Problem::Type);
    if reader.take_exact(&[1]) {
        return Ok(Stage::Open);
    }
    if reader.take_exact(&[2]) {
        return Ok(Stage::Attempted);
    }
    reader.array_of(2)?;
    match reader.uint()? {
        0 => Ok(Stage::Parked { expires_ns: reader.uint()? }),
        _ => Err(wrong),
    }
}

/// How an intent ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub status: Status,
    /// The receipt's payload in canonical CBOR; a value of `sys/EffectError@1` where the effect was not done.
    pub payload: Vec<u8>,
    /// What it cost; none where nobody knows, which settles the worst case.
    pub cost: Option<Spend>,
    /// Digest of the receipt, where one ends it.
    pub receipt: Option<Digest>,
}

/// An intent that has ended, kept for a window so that a late answer is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The frame in which it ended.
    pub height: Height,
    /// How.
    pub status: Status,
    /// Its kind.
    pub kind: String,
    /// Its grant.
    pub grant: String,
    /// The manifest whose schemas its answer has.
    pub manifest: Digest,
    /// What of the budget its end has settled.
    pub settled: Spend,
    /// Whether an answer has said what it really cost; until then `settled` is the worst case.
    pub is_known: bool,
    // INVARIANT: no more than `RECEIPTS_KEPT_MAX`.
    /// Digests of the last receipts that were recorded for it, the oldest first.
    receipts: Vec<Digest>,
}

/// How many receipts of an ended intent are known again: one that is not is recorded once more, and changes nothing.
const RECEIPTS_KEPT_MAX: usize = 16;

impl Closed {
    /// Makes the record of an intent that ends.
    pub(crate) fn of(intent: &Intent, height: Height, end: &End) -> Self {
        Self {
            height,
            status: end.status,
            kind: intent.kind.clone(),
            grant: intent.grant.clone(),
            manifest: intent.manifest,
            settled: end.cost.unwrap_or(intent.reserved),
            is_known: end.cost.is_some(),
            receipts: end.receipt.into_iter().collect(),
        }
    }

    /// Remembers a receipt that was recorded.
    pub(crate) fn remember(&mut self, receipt: Digest) {
        if self.receipts.len() >= RECEIPTS_KEPT_MAX {
            self.receipts.remove(0);
        }
        self.receipts.push(receipt);
    }

    /// Tells whether a receipt was recorded before.
    pub(crate) fn knows(&self, receipt: Digest) -> bool {
        self.receipts.contains(&receipt)
    }

    /// Returns the record's bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(160);
        write::array(&mut out, 8);
        write::uint(&mut out, self.height.0);
        write::uint(&mut out, u64::from(self.status.number()));
        write::text(&mut out, &self.kind);
        write::text(&mut out, &self.grant);
        write::bytes(&mut out, self.manifest.as_bytes());
        self.settled.write(&mut out);
        write::bool(&mut out, self.is_known);
        let receipts: Vec<u8> = self.receipts.iter().flat_map(|receipt| *receipt.as_bytes()).collect();
        write::bytes_or_null(&mut out, Some(receipts.as_slice()).filter(|receipts| !receipts.is_empty()));
        out.into()
    }

    /// Reads the record.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        let wrong = Reader::error(0, Problem::Type);
        reader.array_of(8)?;
        let closed = Self {
            height: Height(reader.uint()?),
            status: Status::from_number(reader.uint()?).ok_or(wrong)?,
            kind: reader.text()?.into(),
            grant: reader.text()?.into(),
            manifest: Digest::from_bytes(reader.byte_array()?),
            settled: Spend::read(&mut reader)?,
            is_known: reader.bool()?,
            receipts: match reader.bytes_or_null()? {
                None => Vec::new(),
                Some(bytes) => match bytes.as_chunks::<32>() {
                    (digests @ [_, ..], []) if digests.len() <= RECEIPTS_KEPT_MAX => {
                        digests.iter().map(|digest| Digest::from_bytes(*digest)).collect()
                    }
                    _ => return Err(wrong),
                },
            },
        };
        reader.end()?;
        Ok(closed)
    }
}
