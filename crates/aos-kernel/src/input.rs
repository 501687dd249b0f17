//! What enters a world: an input, who sent it, and the stamp that the host put on it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use aos_air::cbor::write;

use crate::id::IntentId;

/// Something that a world is asked to take in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Who sent it.
    pub actor: Actor,
    /// The sender's own id for it, unique per actor; a resend with the same id gets the first outcome.
    pub id: Option<Vec<u8>>,
    /// What it is.
    pub body: Body,
}

/// Who sent an input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// The host itself, in whose hands the world is.
    Host,
    /// A principal of the manifest's `trust`, whom the host has authenticated.
    Principal(String),
    /// An adapter with a key in the manifest's `trust`.
    Adapter(String),
    /// An outside source with an inbox in the manifest's `routing`.
    Inbox(String),
}

impl Actor {
    /// Returns bytes that name the actor under any manifest: its name and not its index, with its length in front, so
    /// that no name and what follows it join to those of another actor.
    pub(crate) fn identity(&self) -> Vec<u8> {
        let (kind, name) = match self {
            Self::Host => return alloc::vec![0],
            Self::Principal(name) => (1, name),
            Self::Adapter(name) => (2, name),
            Self::Inbox(source) => (3, source),
        };
        let mut identity = alloc::vec![kind];
        write::text(&mut identity, name);
        identity
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Principal(name) => write!(f, "principal {name}"),
            Self::Adapter(name) => write!(f, "adapter {name}"),
            Self::Inbox(source) => write!(f, "inbox {source}"),
        }
    }
}

/// What an input is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// An event, for every reducer that the manifest routes it to.
    Event(Event),
    /// A message to the inbox of the actor, in the event schema of the inbox's reducer.
    Message {
        /// The value in canonical CBOR.
        value: Vec<u8>,
        /// The key in canonical CBOR, for a keyed reducer.
        key: Option<Vec<u8>>,
    },
    /// An adapter's answer to an intent.
    Receipt(Signed),
    /// A principal's word on an intent that waits for approval.
    Decision(Signed),
    /// The host is about to dispatch an intent of class `once`: the mark that is durable before its first byte leaves.
    Attempt(IntentId),
    /// The host's clock has passed the earliest deadline: of a waiting step, or of an approval.
    Tick,
}

/// Canonical bytes and the signature over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What was signed, without the text that separates its purpose.
    pub bytes: Vec<u8>,
    /// The ed25519 signature.
    pub signature: [u8; 64],
}

/// A typed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The name of its schema.
    pub schema: String,
    /// Its value in canonical CBOR.
    pub value: Vec<u8>,
    /// The key of the cell that it is meant for, in canonical CBOR, where the value does not hold it.
    pub key: Option<Vec<u8>>,
}

/// What the host adds to an input: the time at which it took it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The host's clock, in nanoseconds since the epoch. It may go backwards; the world's logical clock does not.
    pub now_ns: u64,
}

/// What the host begins a block with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The time from which the block's stamps count, in nanoseconds since the epoch.
    pub time_base_ns: u64,
    /// Fresh random bytes, from which every call of the block draws its entropy.
    pub seed: [u8; 32],
    /// Whether an operator lets the block's stamps lie further ahead than `time_step_ns_max`.
    pub time_step_allowed: bool,
}
