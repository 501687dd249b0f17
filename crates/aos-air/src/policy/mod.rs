//! Policies: one engine, Cedar, for rule packs and for Cedar's own text.
//!
//! Lives here: the schema that policies are checked against, values as Cedar sees them, compilation, limits, slices and
//! decisions. Never here: capabilities and budgets (the kernel's gate), and no text of Cedar's leaves with a decision.
//! Read next: `decide.rs` for what is asked and answered, `check.rs` for what is refused, `schema.rs` and `value.rs`
//! for what a policy can see. `spec/policy.md` says all of it for a second implementation.

mod check;
mod decide;
mod measure;
mod pack;
mod schema;
mod slice;
#[cfg(test)]
mod tests;
mod value;

use alloc::vec::Vec;

pub(crate) use check::{APPROVAL, entities, read, validate};
pub(crate) use decide::Grant;
pub use decide::{APPROVER, Decision, Left, Parked, Policies, Principal, Recursion, Request, Verdict};
pub use schema::{DECIDE, Effect, TypeTooLarge, schema};

use crate::def::{Body, Policy};

/// Compiles a policy of a checked manifest.
///
/// Text that does not read gives no policy, which denies; a checked manifest has none.
pub(crate) fn compile(policy: &Policy) -> Vec<cedar_policy::Policy> {
    match &policy.body {
        Body::Rules(rules) => pack::compile(&policy.name, rules),
        Body::Cedar(text) => read(&policy.name, text).unwrap_or_default(),
    }
}
