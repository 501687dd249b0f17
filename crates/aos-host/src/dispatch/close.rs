//! The end of an effect as a receipt: what it says, signed.
//!
//! Never here: which end it is; see `state.rs`.

use std::borrow::Cow;

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_air::name::is_dotted;
use aos_kernel::gate::Spend;
use aos_kernel::receipt::Receipt;
use serde::Serialize;

use super::state::status_of;
use super::{Finished, now_ns};
use crate::adapter::{Cost, Effect, Failed, Status};
use crate::keys::Signer;

/// The most bytes of the sentence in a failure's receipt.
const MESSAGE_BYTES_MAX: usize = 1024;

/// What a receipt says beside who and what for.
pub(crate) struct Ending {
    pub status: Status,
    pub payload: Vec<u8>,
    pub cost: Spend,
    pub started_ns: u64,
    pub blobs: Vec<(Digest, Vec<u8>)>,
}

/// `sys/EffectError@1`.
#[derive(Serialize)]
struct EffectError<'a> {
    code: &'a str,
    message: &'a str,
    retriable: bool,
}

impl Ending {
    /// An effect that was done.
    pub(crate) const fn answer(payload: Vec<u8>, cost: Cost, blobs: Vec<(Digest, Vec<u8>)>, started_ns: u64) -> Self {
        Self { status: Status::Ok, payload, cost: spend(1, cost), started_ns, blobs }
    }

    /// An effect that has no answer.
    pub(crate) fn failure(status: Status, failed: &Failed, calls: u64, cost: Cost, started_ns: u64) -> Self {
        let (code, message) = if is_dotted(&failed.code) {
            (&*failed.code, Cow::Borrowed(&*failed.message))
        } else {
            ("adapter.failed", Cow::Owned(format!("{}: {}", failed.code, failed.message)))
        };
        let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
        let message = message.get(..end).unwrap_or_default();
        let payload = cbor::to_vec(&EffectError { code, message, retriable: failed.retriable });
        // Two texts and a bool always have a canonical form.
        let payload = payload.unwrap_or_default();
        Self { status, payload, cost: spend(calls, cost), started_ns, blobs: Vec::new() }
    }
}

const fn spend(calls: u64, cost: Cost) -> Spend {
    Spend { calls, tokens: cost.tokens, cents: cost.cents, bytes: cost.bytes }
}

/// Signs the end of an effect.
pub(crate) fn close(effect: &Effect, signer: &Signer, ending: Ending) -> Finished {
    let Ending { status, payload, cost, started_ns, blobs } = ending;
    let receipt = signer.sign(Receipt {
        world: effect.world,
        intent: effect.intent,
        adapter: String::new(),
        key_id: String::new(),
        status,
        payload,
        cost,
        started_ns,
        finished_ns: now_ns().max(started_ns),
    });
    Finished { world: effect.world, intent: effect.intent, status, receipt, blobs }
}

/// Ends an effect whose receipt, of this status, the world refused with this code.
pub fn refused(effect: &Effect, signer: &Signer, status: Status, code: &str) -> Finished {
    let failed = Failed::new("adapter.refused", format!("the world refused the adapter's answer: {code}"));
    let status = if status == Status::Ok { status_of(effect.class, true, failed.status()) } else { status };
    close(effect, signer, Ending::failure(status, &failed, 1, Cost::default(), now_ns()))
}

/// Ends an effect that could not be begun.
pub fn failed(effect: &Effect, signer: &Signer, failed: &Failed) -> Finished {
    close(effect, signer, Ending::failure(failed.status(), failed, 0, Cost::default(), now_ns()))
}

/// Ends an effect of class `once` that an earlier process began and whose answer is lost.
pub fn in_doubt(effect: &Effect, signer: &Signer) -> Finished {
    let message = "the node stopped while the effect may have been on its way";
    let failed = Failed::in_doubt("adapter.lost", message);
    close(effect, signer, Ending::failure(failed.status(), &failed, 1, Cost::default(), now_ns()))
}
