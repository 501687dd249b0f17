//! The three families of what can go wrong, never mixed: a [`Refusal`] is said to the caller and leaves no trace, a
//! [`Failure`] ran and is part of history, a [`Fault`] means that our own bytes are broken and stops the world.

use alloc::string::String;

use aos_air::cbor::CborError;
use aos_air::diag::Findings;
use aos_air::hash::Digest;
use aos_air::schema::Mismatch;

use crate::blobs::BlobFault;
use crate::guest::{GuestFault, Trap};
use crate::id::{BlockIndex, Height, IntentId, WorldId};
use crate::index::TreeFault;
use crate::receipt::{DecisionRefused, ReceiptRefused};

/// Why an input is not admitted. Nothing is recorded; the caller may correct it and send it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The event's schema is not among the manifest's.
    #[error("schema `{schema}` is not in the manifest")]
    SchemaUnknown {
        /// The schema that was named.
        schema: String,
        /// The nearest name that is there.
        nearest: Option<String>,
    },
    /// No reducer takes events of this schema.
    #[error("no reducer takes events of schema `{schema}`")]
    Unrouted {
        /// The schema that was named.
        schema: String,
    },
    /// No reducer takes messages of this source.
    #[error("no inbox takes messages from `{origin}`")]
    InboxUnknown {
        /// The source that was named.
        origin: String,
    },
    /// The value does not fit its schema.
    #[error("the value does not fit schema `{schema}`: {mismatch}")]
    Value {
        /// The schema that was named.
        schema: String,
        /// Where and why.
        mismatch: Mismatch,
    },
    /// The event would reach a reducer as the answer to an effect.
    #[error("the event would reach reducer `{reducer}` as the answer to an effect")]
    AnswerArm {
        /// The reducer.
        reducer: String,
    },
    /// The value is larger than `event_bytes_max`.
    #[error("the value has {bytes} bytes, more than {limit}")]
    ValueBytes {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The key is missing, of another type, too long, or not the one that the value holds.
    #[error("the key for reducer `{reducer}`: {problem}")]
    Key {
        /// The reducer that it is for.
        reducer: String,
        /// What is wrong.
        problem: KeyProblem,
    },
    /// The actor is not in the manifest.
    #[error("actor `{0}` is not in the manifest")]
    ActorUnknown(String),
    /// The input id is empty or longer than `input_id_bytes_max`.
    #[error("an input id has 1 to {limit} bytes")]
    InputIdBytes {
        /// The limit.
        limit: u64,
    },
    /// The input id was used for another input.
    #[error("the input id was used for another input at height {0}")]
    InputIdReused(Height),
    /// The actor cannot send an input of this kind.
    #[error("{0} cannot send an input of this kind")]
    ActorBody(String),
    /// A receipt does not count.
    #[error("the receipt does not count: {0}")]
    Receipt(ReceiptProblem),
    /// A principal's decision does not count.
    #[error("{0}")]
    Decision(DecisionRefused),
    /// The decision is for another world.
    #[error("the decision is for the world {0}")]
    DecisionWorld(WorldId),
    /// The intent is not one of class `once` that has not been attempted.
    #[error("intent {0} is not waiting for its one attempt")]
    Attempt(IntentId),
    /// Nothing is due yet.
    #[error("nothing is due yet")]
    TickEarly,
    /// The stamp lies too far past the frame before.
    #[error("the clock is {ahead_ns} ns past the last frame, more than {limit} without the operator")]
    TimeStep {
        /// How far.
        ahead_ns: u64,
        /// The limit.
        limit: u64,
    },
}

impl Refusal {
    /// Returns the stable code of this refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::SchemaUnknown { .. } => "event.schema_unknown",
            Self::Unrouted { .. } => "event.unrouted",
            Self::InboxUnknown { .. } => "inbox.unknown",
            Self::Value { .. } => "event.value",
            Self::AnswerArm { .. } => "event.answer_arm",
            Self::ValueBytes { .. } => "limit.event_bytes",
            Self::Key { problem, .. } => problem.code(),
            Self::ActorUnknown(_) => "actor.unknown",
            Self::InputIdBytes { .. } => "limit.input_id_bytes",
            Self::InputIdReused(_) => "input.id_reused",
            Self::ActorBody(_) => "actor.body",
            Self::Receipt(problem) => problem.code(),
            Self::Decision(refused) => refused.code(),
            Self::DecisionWorld(_) => "decision.world",
            Self::Attempt(_) => "attempt.not_open",
            Self::TickEarly => "tick.early",
            Self::TimeStep { .. } => "stamp.time_step",
        }
    }

    /// Returns what the caller can do.
    pub fn help(&self) -> Option<String> {
        use alloc::format;
        Some(match self {
            Self::SchemaUnknown { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::SchemaUnknown { nearest: None, .. } => "add the schema to the manifest's `schemas`".into(),
            Self::Unrouted { .. } => "add a route for it to the manifest's `routing.events`".into(),
            Self::InboxUnknown { .. } => "add it to the manifest's `routing.inboxes`".into(),
            Self::Value { .. } => "change the value to fit its schema".into(),
            Self::AnswerArm { .. } => "send it in another arm: answers come by signed receipts alone".into(),
            Self::Key { problem, .. } => problem.help().into(),
            Self::ActorUnknown(_) => "add the principal to the manifest's `trust.principals`".into(),
            Self::InputIdReused(_) => "use a new id for a new input".into(),
            Self::TimeStep { .. } => "check the clock; an operator may let the step pass".into(),
            Self::Decision(DecisionRefused::Signature) => {
                "sign the decision's bytes with the key that `trust.principals` names".into()
            }
            Self::Receipt(ReceiptProblem::Unverified(ReceiptRefused::KeyUnknown { .. })) => {
                "add the key to the manifest's `trust.adapters`".into()
            }
            Self::ValueBytes { .. }
            | Self::InputIdBytes { .. }
            | Self::ActorBody(_)
            | Self::Receipt(_)
            | Self::Decision(_)
            | Self::DecisionWorld(_)
            | Self::Attempt(_)
            | Self::TickEarly => return None,
        })
    }
}

/// Why a receipt does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptProblem {
    /// It is larger than `receipt_bytes_max`.
    #[error("it is larger than {limit} bytes")]
    Bytes {
        /// The limit.
        limit: u64,
    },
    /// Its bytes are no receipt, its key is not trusted, or its signature does not verify.
    #[error(transparent)]
    Unverified(ReceiptRefused),
    /// It is for another world.
    #[error("it is for the world {0}")]
    World(WorldId),
    /// It answers no intent that was dispatched, or one that ended longer ago than is remembered.
    #[error("it answers no intent {0}")]
    IntentUnknown(IntentId),
    /// It was recorded before.
    #[error("it was recorded at height {0}")]
    Duplicate(Height),
    /// The adapter is not the one that answers such intents.
    #[error("the adapter `{0}` does not answer this intent")]
    Adapter(String),
    /// An adapter cannot deny.
    #[error("an adapter cannot deny an effect")]
    Status,
    /// The payload does not fit the schema of the answer.
    #[error("its payload does not fit: {0}")]
    Payload(Mismatch),
}

impl ReceiptProblem {
    /// Returns the stable code of this problem.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bytes { .. } => "limit.receipt_bytes",
            Self::Unverified(refused) => refused.code(),
            Self::World(_) => "receipt.world",
            Self::IntentUnknown(_) => "receipt.intent_unknown",
            Self::Duplicate(_) => "receipt.duplicate",
            Self::Adapter(_) => "receipt.adapter",
            Self::Status => "receipt.status",
            Self::Payload(_) => "receipt.payload",
        }
    }
}

/// What can be wrong with an event's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// The reducer is keyed, and neither the value nor the event gives a key.
    #[error("there is none")]
    Missing,
    /// The event's key is not the one in its value.
    #[error("it is not the one in the value")]
    Conflict,
    /// It does not have the type of the reducer's keys.
    #[error("it does not have the key's type")]
    Type,
    /// It is longer than `key_bytes_max`.
    #[error("it is longer than the limit")]
    Bytes,
}

impl KeyProblem {
    /// Returns the stable code of this problem.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "key.missing",
            Self::Conflict => "key.conflict",
            Self::Type => "key.type",
            Self::Bytes => "limit.key_bytes",
        }
    }

    const fn help(&self) -> &'static str {
        match self {
            Self::Missing => "send a key with the event, or give the route a `key_field`",
            Self::Conflict => "leave the key out, or send the one in the value",
            Self::Type => "send a key of the reducer's `key_schema`",
            Self::Bytes => "use a shorter key",
        }
    }
}

/// Why a transaction failed. It is part of the frame, so it is made of codes and positions, never of an engine's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub cause: Cause,
    /// The reducer that was called, by its index in the manifest's modules; none where no call was under way.
    pub reducer: Option<u64>,
    /// The event that was being handled: 0 is the input, n the n-th derived event.
    pub event: u64,
    /// Pointer into the value that does not fit, the name that is not there, or the reducer's own words; else empty.
    pub place: String,
}

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// What can fail a transaction.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Cause { $($(#[$doc])* $name,)* }

        impl Cause {
            /// Every cause.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the stable code of this cause, which is what a frame records.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Finds the cause with this code.
            pub fn of_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|cause| cause.code() == code)
            }
        }
    };
}

causes! {
    /// The module trapped.
    Trap = "guest.trap",
    /// The module used all its fuel.
    Fuel = "guest.fuel",
    /// The module called deeper than its stack budget.
    Stack = "guest.stack",
    /// The module returned a pointer or length outside its memory.
    Pointer = "guest.pointer",
    /// The module's answer is larger than `reply_bytes_max`.
    ReplyBytes = "guest.reply_bytes",
    /// The module's answer is no reply envelope.
    ReplyForm = "guest.reply_form",
    /// The reducer refused the event; the place holds its words.
    Refused = "reducer.refused",
    /// The new state does not fit the state schema.
    State = "reducer.state",
    /// The new state is larger than `state_bytes_max`.
    StateBytes = "limit.state_bytes",
    /// A derived event's schema is not in the manifest.
    EventSchema = "derived.schema_unknown",
    /// A derived event's value does not fit its schema.
    EventValue = "derived.value",
    /// A derived event's value is larger than `event_bytes_max`.
    EventBytes = "limit.event_bytes",
    /// A derived event has no key for a keyed reducer that takes it.
    KeyMissing = "key.missing",
    /// A derived event's key is not the one in its value.
    KeyConflict = "key.conflict",
    /// A derived event's key does not have the key's type.
    KeyType = "key.type",
    /// A derived event's key is longer than `key_bytes_max`.
    KeyBytes = "limit.key_bytes",
    /// One call emitted more events than `events_per_call_max`.
    EventsPerCall = "limit.events_per_call",
    /// The frame derived more events than `events_per_frame_max`.
    EventsPerFrame = "limit.events_per_frame",
    /// The frame needed more calls than `calls_per_frame_max`.
    CallsPerFrame = "limit.calls_per_frame",
    /// The frame's calls used more fuel than `fuel_per_frame_max`.
    FuelPerFrame = "limit.fuel_per_frame",
    /// One call asked for more effects than `effects_per_call_max`.
    EffectsPerCall = "limit.effects_per_call",
    /// The frame is larger than `frame_bytes_max`.
    FrameBytes = "limit.frame_bytes",
    /// The module asked for an effect without a grant in the slot that it named.
    EffectSlot = "cap.slot_unbound",
    /// The module asked for a kind of effect that it does not declare.
    EffectKind = "effect.undeclared",
    /// The parameters of an effect do not fit its schema.
    EffectParams = "effect.params",
    /// The frame took more plan steps than `steps_per_frame_max`.
    StepsPerFrame = "limit.steps_per_frame",
    /// More plan instances would run than `instances_max`.
    Instances = "limit.instances",
    /// The record of a plan instance is larger than `instance_bytes_max`; the instance ends.
    InstanceBytes = "limit.instance_bytes",
    /// The principal may not decide on this intent.
    DecisionNotPermitted = "decision.not_permitted",
    /// The intent does not wait for a decision.
    DecisionNotPending = "decision.not_pending",
    /// The decision was signed for another manifest, or its time is over.
    DecisionStale = "decision.stale",
    /// The annotation does not fit the module's annotations schema, or the module declares none.
    Annotation = "reducer.annotation",
}

impl From<Trap> for Cause {
    fn from(trap: Trap) -> Self {
        match trap {
            Trap::Trap => Self::Trap,
            Trap::Fuel => Self::Fuel,
            Trap::Stack => Self::Stack,
            Trap::Pointer => Self::Pointer,
            Trap::ReplyBytes => Self::ReplyBytes,
        }
    }
}

impl From<&KeyProblem> for Cause {
    fn from(problem: &KeyProblem) -> Self {
        match problem {
            KeyProblem::Missing => Self::KeyMissing,
            KeyProblem::Conflict => Self::KeyConflict,
            KeyProblem::Type => Self::KeyType,
            KeyProblem::Bytes => Self::KeyBytes,
        }
    }
}

/// Our own bytes or invariants are broken, or the host cannot do its part. The world stops before anything is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A blob cannot be had.
    #[error(transparent)]
    Blob(#[from] BlobFault),
    /// A node of the state index cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeFault),
    /// A module cannot be run.
    #[error(transparent)]
    Guest(#[from] GuestFault),
    /// A value of the state index is not in its form.
    #[error("the state index holds a record that is none: {0}")]
    Record(CborError),
    /// The stored manifest does not pass validation.
    #[error("manifest {manifest} does not validate:\n{findings}")]
    Manifest {
        /// The manifest's digest.
        manifest: Digest,
        /// What is wrong with it.
        findings: Findings,
    },
    /// A block is not the successor of the one before, or its parts do not fit its header.
    #[error("block {index} is damaged: {problem}")]
    Block {
        /// The block's index.
        index: BlockIndex,
        /// Which part.
        problem: BlockProblem,
    },
    /// A frame could not be read.
    #[error("the frame at height {height} cannot be read: {problem}")]
    Frame {
        /// The frame's height.
        height: Height,
        /// Where and why.
        problem: CborError,
    },
    /// A replay gave another frame than the one recorded.
    #[error("the replay differs at height {height}: recorded {expected}, found {found}")]
    Divergence {
        /// The frame's height.
        height: Height,
        /// What is recorded, in words.
        expected: String,
        /// What the replay gave, in words.
        found: String,
    },
    /// A snapshot is not one of this world's, or its parts do not fit a sealed header.
    #[error("the snapshot at height {0} fits no sealed header")]
    Snapshot(Height),
    /// A policy is nested deeper than the evaluator goes, which loading should have refused.
    #[error("a policy is nested deeper than the evaluator goes")]
    PolicyRecursion,
    /// The world stopped on an earlier fault.
    #[error("the world has stopped on an earlier fault")]
    Stopped,
    /// The journal's executor is not one that this kernel replays.
    #[error("executor {0} is not one that this kernel replays")]
    Executor(u64),
}

/// Which part of a block does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockProblem {
    /// The header's bytes are no header.
    #[error("its header cannot be read")]
    Header,
    /// The body does not have the header's length or root.
    #[error("its body does not have the digest that its header names")]
    Body,
    /// The frames' ends do not have the header's count or root.
    #[error("its frames do not end where its header says")]
    Ends,
    /// The header does not name the block before, or not the height after it.
    #[error("it does not follow the block before")]
    Chain,
    /// The header's root of earlier blocks is another.
    #[error("it names another history")]
    Mountain,
    /// The header that the replay made is another.
    #[error("the replay seals it with another header")]
    Seal,
    /// The genesis is no genesis of this world.
    #[error("it is no genesis of this world")]
    Genesis,
}

impl Fault {
    /// Returns the stable code of this fault.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Blob(fault) | Self::Tree(TreeFault::Blob(fault)) => fault.code(),
            Self::Tree(TreeFault::Node(_)) | Self::Record(_) => "state.damaged",
            Self::Guest(fault) => fault.code(),
            Self::Manifest { .. } => "manifest.damaged",
            Self::Block { .. } => "block.damaged",
            Self::Frame { .. } => "frame.damaged",
            Self::Divergence { .. } => "replay.divergence",
            Self::Snapshot(_) => "snapshot.damaged",
            Self::PolicyRecursion => "policy.recursion",
            Self::Stopped => "world.stopped",
            Self::Executor(_) => "executor.unknown",
        }
    }
}
