//! One call from envelope to envelope: decode, step or run, encode.
//!
//! Never here: where the bytes lie in memory; see `wasm.rs`. Tests of a module may use [`answer`] or [`answer_pure`] to
//! see the exact bytes that the kernel would.

use alloc::vec::Vec;

use aos_air::abi::{Call, PureCall, PureReply};
use aos_air::cbor::{from_slice, to_vec};

use crate::{Failed, Pure, Reducer, Step};

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

/// Runs one call of a pure module on an encoded envelope and returns the encoded reply.
///
/// # Errors
/// [`Failed`] where the envelope, the input or the context does not decode, where the module fails, or where the output
/// has no canonical form.
pub fn answer_pure<P: Pure>(input: &[u8]) -> Result<Vec<u8>, Failed> {
    let call = PureCall::decode(input).map_err(|_| Failed("the call's envelope does not decode"))?;
    let context = match call.context {
        Some(bytes) => Some(from_slice(bytes).map_err(|_| Failed("the context is of another type"))?),
        None => None,
    };
    let input = from_slice(call.input).map_err(|_| Failed("the input does not decode"))?;
    let output = P::run(input, context)?;
    let output = to_vec(&output).map_err(|_| Failed("the output has no canonical form"))?;
    let mut out = Vec::new();
    PureReply::Output(output).encode(&mut out);
    Ok(out)
}

/// Returns the encoded reply of a pure module that failed on purpose.
#[cfg(target_arch = "wasm32")]
pub(crate) fn pure_refusal(Failed(why): Failed) -> Vec<u8> {
    let mut out = Vec::new();
    PureReply::Error(why.into()).encode(&mut out);
    out
}

/// Returns the encoded reply of a step that failed on purpose.
#[cfg(target_arch = "wasm32")]
pub(crate) fn refusal(Failed(why): Failed) -> Vec<u8> {
    let mut out = Vec::new();
    aos_air::abi::Reply { error: Some(why.into()), ..Default::default() }.encode(&mut out);
    out
}
