//! The micro-effects that a reducer may ask for itself, and how their answers come back as its own events.
//!
//! A module lists the kinds in `effects_emitted`, and its event has an arm for each answer type here that belongs to
//! them, and one for [`EffectFailed`]. Never here: what a plan alone may ask for, and whether the gate lets it out.

use alloc::string::String;

use aos_air::abi::Effect;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{Failed, Step};

/// A BLAKE3 hash: the name of a blob, or of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hash(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl Step<'_> {
    /// Asks for a timer that answers with [`TimerFired`] at or after `at_ns` of the world's clock, which [`Step::context`]
    /// gives. `key` comes back with the answer.
    ///
    /// # Errors
    /// [`Failed`] never in practice: the parameters always have a canonical form.
    pub fn set_timer(&mut self, at_ns: u64, key: Option<&str>) -> Result<&mut Effect, Failed> {
        #[derive(Serialize)]
        struct Params<'a> {
            deliver_at_ns: u64,
            key: Option<&'a str>,
        }
        self.effect("timer.set", &Params { deliver_at_ns: at_ns, key })
    }

    /// Asks for bytes to be stored; the answer is [`BlobPutResult`].
    ///
    /// # Errors
    /// As [`Step::set_timer`].
    pub fn put_blob(&mut self, bytes: &[u8]) -> Result<&mut Effect, Failed> {
        #[derive(Serialize)]
        struct Params<'a> {
            blob_ref: Option<Hash>,
            bytes: Option<&'a serde_bytes::Bytes>,
        }
        self.effect("blob.put", &Params { blob_ref: None, bytes: Some(serde_bytes::Bytes::new(bytes)) })
    }

    /// Asks for stored bytes; the answer is [`BlobGetResult`], which holds them if there are at most `inline_max`.
    ///
    /// # Errors
    /// As [`Step::set_timer`].
    pub fn get_blob(&mut self, blob_ref: Hash, inline_max: u64) -> Result<&mut Effect, Failed> {
        #[derive(Serialize)]
        struct Params {
            blob_ref: Hash,
            inline_max: Option<u64>,
        }
        self.effect("blob.get", &Params { blob_ref, inline_max: Some(inline_max) })
    }
}

/// A timer has fired: `sys/TimerFired@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerFired {
    /// The intent that is answered.
    pub intent_id: Hash,
    /// The idempotency key that the reducer gave.
    pub idempotency_key: Option<String>,
    /// When it was to fire, in nanoseconds since the epoch.
    pub deliver_at_ns: u64,
    /// When it did, in nanoseconds since the epoch.
    pub delivered_at_ns: u64,
    /// The key that the timer was set with.
    pub key: Option<String>,
}

/// Bytes are stored: `sys/BlobPutResult@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobPutResult {
    /// The intent that is answered.
    pub intent_id: Hash,
    /// The idempotency key that the reducer gave.
    pub idempotency_key: Option<String>,
    /// The hash by which they are found again.
    pub blob_ref: Hash,
    /// How many they are.
    pub size: u64,
}

/// Stored bytes were found: `sys/BlobGetResult@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobGetResult {
    /// The intent that is answered.
    pub intent_id: Hash,
    /// The idempotency key that the reducer gave.
    pub idempotency_key: Option<String>,
    /// Their hash.
    pub blob_ref: Hash,
    /// How many they are.
    pub size: u64,
    /// The bytes, where the reducer asked for so many.
    pub bytes: Option<ByteBuf>,
}

/// An effect did not end well: `sys/EffectFailed@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectFailed {
    /// The intent that is answered.
    pub intent_id: Hash,
    /// The idempotency key that the reducer gave.
    pub idempotency_key: Option<String>,
    /// The effect's kind.
    pub kind: String,
    /// How it ended.
    pub status: EffectStatus,
    /// Why, where that is known.
    pub error: Option<EffectError>,
}

/// How an effect ended: `sys/EffectStatus@1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectStatus {
    /// It was done.
    Ok,
    /// The gate refused it; nothing left the world.
    Denied,
    /// It was tried and failed.
    Failed,
    /// There was no answer in time.
    Timeout,
    /// It may have been done or not.
    InDoubt,
    /// It was called off.
    Cancelled,
}

/// Why an effect did not end well: `sys/EffectError@1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectError {
    /// A stable dotted code.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// Whether it may go well another time.
    pub retriable: bool,
}
