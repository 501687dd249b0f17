//! One call from envelope to envelope: decode, step, encode.
//!
//! Never here: where the bytes lie in memory; see `wasm.rs`. Tests of a reducer may use [`answer`] to see the exact
//! bytes that the kernel would.

use alloc::vec::Vec;

use aos_air::abi::Call;
use aos_air::cbor::{from_slice, to_vec};

use crate::{Failed, Reducer, Step};

/// Runs one call of `R` on an encoded envelope and returns the encoded reply.
///
/// # Errors
/// [`Failed`] where the envelope, the state or the event does not decode, where the step fails, or where the next state
/// has no canonical form (it holds a float, or a map with equal keys).
pub fn answer<R: Reducer>(input: &[u8]) -> Result<Vec<u8>, Failed> {
    let call = Call::decode(input).map_err(|_| Failed("the call's envelope does not decode"))?;
    let state = match call.state {
        Some(bytes) => Some(from_slice(bytes).map_err(|_| Failed("the state does not decode"))?),
        None => None,
    };
    let event = from_slice(call.value).map_err(|_| Failed("the event does not decode"))?;
    let mut step = Step::new(call.key, call.context);
    let next = match R::step(state, event, &mut step)? {
        Some(next) => Some(to_vec(&next).map_err(|_| Failed("the next state has no canonical form"))?),
        None => None,
    };
    let mut out = Vec::new();
    step.into_reply(next).encode(&mut out);
    Ok(out)
}

/// Returns the encoded reply of a step that failed on purpose.
#[cfg(target_arch = "wasm32")]
pub(crate) fn refusal(Failed(why): Failed) -> Vec<u8> {
    let mut out = Vec::new();
    aos_air::abi::Reply { error: Some(why.into()), ..Default::default() }.encode(&mut out);
    out
}
