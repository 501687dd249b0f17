//! Policies by whom and what they are about, so that a decision looks only at those that could hold.
//!
//! A policy's head names a principal, a type of principal or neither, and some actions or none; it stands in the buckets
//! of what it names, and a request looks into the six buckets that its principal and action open. A policy outside of
//! them has a head that is false for the request, so it can neither hold nor err: slicing is never seen from outside.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use cedar_policy::{ActionConstraint, EntityUid, Policy, PolicySet, PrincipalConstraint};

/// Policies by action.
#[derive(Debug, Clone, Default)]
struct ByAction {
    /// Those about all actions, and those whose head is not understood here.
    any: Bucket,
    /// Those about some actions, by the action's id.
    one: BTreeMap<String, Bucket>,
}

/// Policies that are looked at together.
#[derive(Debug, Clone, Default)]
struct Bucket(PolicySet);

/// Policies by principal and action.
#[derive(Debug, Clone, Default)]
pub(super) struct Slices {
    /// Those about all principals.
    any: ByAction,
    /// Those about a type of principal, by the type's name.
    of_type: BTreeMap<String, ByAction>,
    /// Those about one principal, by its type's name and its id.
    one: BTreeMap<String, BTreeMap<String, ByAction>>,
}

impl Slices {
    /// Sorts policies with different ids into buckets.
    pub fn new(policies: &[Policy]) -> Self {
        let mut slices = Self::default();
        for policy in policies {
            let by_action = match policy.principal_constraint() {
                PrincipalConstraint::Any => &mut slices.any,
                PrincipalConstraint::Is(of_type) => slices.of_type.entry(of_type.to_string()).or_default(),
                // No entity has a parent, so to be in one is to be it.
                PrincipalConstraint::Eq(one) | PrincipalConstraint::In(one) => slices.principal(&one),
                PrincipalConstraint::IsIn(_, one) => slices.principal(&one),
            };
            by_action.add(policy);
        }
        slices
    }

    fn principal(&mut self, principal: &EntityUid) -> &mut ByAction {
        let of_type = self.one.entry(principal.type_name().to_string()).or_default();
        of_type.entry(principal.id().unescaped().to_string()).or_default()
    }

    /// Goes through the buckets with policies that could hold for a request.
    pub fn of(&self, principal_type: &str, principal: &str, action: &str) -> impl Iterator<Item = &PolicySet> {
        let of_type = self.of_type.get(principal_type);
        let one = self.one.get(principal_type).and_then(|names| names.get(principal));
        let by_action = [Some(&self.any), of_type, one].into_iter().flatten();
        let buckets = by_action.flat_map(move |policies| [Some(&policies.any), policies.one.get(action)]);
        buckets.flatten().map(|bucket| &bucket.0).filter(|set| !set.is_empty())
    }
}

impl ByAction {
    fn add(&mut self, policy: &Policy) {
        match policy.action_constraint() {
            ActionConstraint::Any => self.any.add(policy),
            ActionConstraint::Eq(action) => self.of(&action).add(policy),
            ActionConstraint::In(mut actions) => {
                actions.sort_unstable();
                actions.dedup();
                actions.iter().for_each(|action| self.of(action).add(policy));
            }
        }
    }

    fn of(&mut self, action: &EntityUid) -> &mut Bucket {
        self.one.entry(action.id().unescaped().to_string()).or_default()
    }
}

impl Bucket {
    fn add(&mut self, policy: &Policy) {
        let added = self.0.add(policy.clone());
        assert!(added.is_ok(), "two policies have the id {}", policy.id());
    }
}

/// Returns the whole set as one bucket, to hold the slices against.
#[cfg(test)]
pub(super) fn whole(policies: &[Policy]) -> Slices {
    let mut slices = Slices::default();
    policies.iter().for_each(|policy| slices.any.any.add(policy));
    slices
}
