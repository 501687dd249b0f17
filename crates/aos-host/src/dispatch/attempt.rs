//! One try: the adapter's code, with everything caught and checked that comes out of it.
//!
//! Never here: whether there is another try; see `state.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use aos_air::hash::Digest;

use super::close::Ending;
use super::{Order, SecretBinding, Shared};
use crate::adapter::{Adapter, Answer, Call, Cancellation, Cost, Failed, Secrets, no_secret};
use crate::keys::{Secret, Vault};

/// A try that is to be made.
pub(super) struct Try {
    /// Its number in this dispatcher.
    pub number: u64,
    /// How many tries of the effect came before it.
    pub before: u32,
    /// When the effect's time is over.
    pub deadline: Instant,
    /// When the effect was begun.
    pub started_ns: u64,
    pub order: Arc<Order>,
    pub cancellation: Cancellation,
}

/// An answer that holds what a world expects of one.
pub(super) struct Answered {
    payload: Vec<u8>,
    cost: Cost,
    blobs: Vec<(Digest, Vec<u8>)>,
}

impl Answered {
    /// Adds what earlier tries have cost.
    pub(super) fn into_ending(self, before: Cost, started_ns: u64) -> Ending {
        Ending::answer(self.payload, self.cost.plus(before), self.blobs, started_ns)
    }
}

/// Makes one try after the other, until the lane has none left.
pub(super) fn work(shared: &Arc<Shared>, lane: &str) {
    let Some(adapter) = shared.adapters.get(lane) else { return };
    let mut next = shared.state().first_try(lane);
    // The watch has to know when the try is overdue; and an effect may have ended because its time was over.
    shared.go_on();
    while let Some(attempt) = next {
        let result = perform(shared, &**adapter, &attempt);
        let mut state = shared.state();
        let goes_on = state.tried(&attempt, result);
        next = if goes_on { state.next_try(lane) } else { None };
        drop(state);
        shared.go_on();
    }
}

fn perform(shared: &Shared, adapter: &dyn Adapter, attempt: &Try) -> Result<Answered, Failed> {
    let order = &attempt.order;
    let secrets = OrderSecrets { vault: shared.vault.as_deref(), order };
    let mut call = Call::new(attempt.deadline, &attempt.cancellation, &*shared.blobs, &secrets).after(attempt.before);
    call.judge(order.elsewhere.as_ref());
    // What the adapter left half done stays its own: the call is taken apart, and its state is its own to guard.
    let result = catch_unwind(AssertUnwindSafe(|| adapter.perform(&order.effect, &mut call)));
    let (blobs, shown) = call.into_parts();
    match result {
        Ok(Ok(answer)) => check(order, answer, blobs, &shown),
        Ok(Err(failed)) => Err(without_secrets(failed, &shown)),
        Err(panic) => {
            // The panic's own text may hold anything; it has gone to the process's panic hook.
            drop(panic);
            Err(Failed::new("adapter.panic", "the adapter panicked").sent())
        }
    }
}

/// Checks what a world would refuse, and that no secret gets out with it.
fn check(order: &Order, answer: Answer, blobs: Vec<(Digest, Vec<u8>)>, shown: &[Secret]) -> Result<Answered, Failed> {
    let Answer { payload, cost } = answer;
    let refused = |code, message: String| Err(Failed::new(code, message).sent().costing(cost));
    if payload.len() > order.payload_bytes_max {
        let message = format!("the answer has {} bytes, more than {}", payload.len(), order.payload_bytes_max);
        return refused("adapter.payload", message);
    }
    if let Err(mismatch) = order.receipt.check(&payload) {
        return refused("adapter.payload", format!("the adapter's answer does not fit: {mismatch}"));
    }
    let is_out = |secret: &Secret| secret.is_in(&payload) || blobs.iter().any(|(_, bytes)| secret.is_in(bytes));
    if shown.iter().any(is_out) {
        return refused("adapter.secret_leak", "the adapter's answer holds a secret".to_owned());
    }
    Ok(Answered { payload, cost, blobs })
}

fn without_secrets(mut failed: Failed, shown: &[Secret]) -> Failed {
    for secret in shown {
        if secret.is_in(failed.code.as_bytes()) {
            failed.code = "adapter.secret_leak".into();
        }
        if let Some(redacted) = secret.redact(failed.message.as_bytes()) {
            failed.message = String::from_utf8_lossy(&redacted).into_owned();
        }
    }
    failed
}

/// The secrets that one order may use.
struct OrderSecrets<'a> {
    vault: Option<&'a Vault>,
    order: &'a Order,
}

impl Secrets for OrderSecrets<'_> {
    fn secret(&self, name: &str) -> Result<Secret, Failed> {
        let SecretBinding { binding_id, expected_digest } =
            self.order.secrets.get(name).ok_or_else(|| no_secret(name))?;
        let none = || Failed::new("adapter.secret", "this node has no vault");
        self.vault.ok_or_else(none)?.secret(binding_id, expected_digest.as_ref()).map_err(Failed::from)
    }
}
