//! Which operations cannot let anything through that the base holds back, seen from their structure alone.
//!
//! *Tightens* is a proof for one operation against the base; a patch whose operations all tighten permits no effect that
//! the base did not permit. Everything else is *not proved*, which says nothing about whether it loosens. Operations on
//! code, schemas, routing, trust and the like are never proved. Never here: sampling, and what follows from a proof.
//! Next: `tighten/constraints.rs` for the params of grants, `tighten/policies.rs` for policies.

mod constraints;
mod policies;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use super::operation::Operation;
use crate::def::{Block, Definition, Grant, Kind};
use crate::name::Name;
use crate::validate::Manifest;

/// What can be said about an operation from its structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tightening {
    /// It permits nothing that the base does not permit.
    Tightens,
    /// That could not be shown.
    NotProved {
        /// Why, in one sentence.
        why: String,
    },
}

/// Why something was not proved; none where it was.
type Doubt = Option<String>;

/// Judges one operation of a patch in its normal form against the base.
pub fn tightening(base: &Manifest, operation: &Operation) -> Tightening {
    let doubt = match operation {
        Operation::AddDef { node } => added(node.kind()),
        Operation::ReplaceDef { node, .. } => replaced(base, node),
        Operation::RemoveDef { kind, .. } => removed(*kind),
        // Built-in definitions are there whether they are listed or not.
        Operation::SetManifestRefs { .. } => None,
        Operation::SetBlock { block, .. } => match &**block {
            Block::Defaults { policy, grants } => defaults(base, policy.as_ref(), grants),
            other => never(other.name().key()),
        },
        Operation::SetSecrets { .. } => never("secrets"),
        Operation::SetEffectMode { .. } => never("effect mode"),
        Operation::SetBudget { .. } => Some("it opens a grant that an overrun has blocked".to_owned()),
        Operation::CancelInstances { .. } => Some("it ends what is running".to_owned()),
    };
    doubt.map_or(Tightening::Tightens, |why| Tightening::NotProved { why })
}

fn never(what: &str) -> Doubt {
    Some(format!("a change of `{what}` is never proved by structure"))
}

/// Tells which kinds stand for what runs, what it means and what it may know.
const fn is_never_proved(kind: Kind) -> bool {
    match kind {
        Kind::Schema | Kind::Module | Kind::Plan | Kind::Secret | Kind::Migration | Kind::Manifest => true,
        Kind::Effect | Kind::Cap | Kind::Policy => false,
    }
}

fn added(kind: Kind) -> Doubt {
    match kind {
        // It is in force only once `defaults` name it.
        Kind::Policy => None,
        kind if is_never_proved(kind) => never(kind.list()),
        kind => Some(format!("a new {} may be granted or asked for", kind.word())),
    }
}

fn removed(kind: Kind) -> Doubt {
    if is_never_proved(kind) { never(kind.list()) } else { None }
}

fn replaced(base: &Manifest, node: &Definition) -> Doubt {
    match node {
        Definition::Policy(after) => {
            let is_in_force = base.definition().policy.as_ref() == Some(&after.name);
            match base.find(Kind::Policy, &after.name) {
                Some((_, Definition::Policy(before))) if is_in_force => policies::doubt(before, after),
                Some(_) if !is_in_force => None,
                _ => Some("the base does not have it".to_owned()),
            }
        }
        node if is_never_proved(node.kind()) => never(node.kind().list()),
        node => Some(format!("what another {} lets through is not known", node.kind().word())),
    }
}

fn defaults(base: &Manifest, policy: Option<&Name>, grants: &[Grant]) -> Doubt {
    // No policy denies everything.
    if policy.is_some() && policy != base.definition().policy.as_ref() {
        return Some("another policy is in force".to_owned());
    }
    grants.iter().find_map(|grant| {
        let Some(before) = base.definition().grant(&grant.name) else {
            return Some(format!("the grant `{}` is new", grant.name));
        };
        narrowed(base, before, grant).map(|why| format!("the grant `{}`: {why}", grant.name))
    })
}

fn narrowed(base: &Manifest, before: &Grant, after: &Grant) -> Doubt {
    if after.cap != before.cap {
        return Some("it is of another capability".to_owned());
    }
    if after.honours_key != before.honours_key {
        return Some("effects under it are repeated in another way after a crash".to_owned());
    }
    if after.budget != before.budget {
        return Some("its budget changes".to_owned());
    }
    let ends_later = match (before.expiry_ns, after.expiry_ns) {
        (Some(before), Some(after)) => after > before,
        (Some(_), None) => true,
        (None, _) => false,
    };
    if ends_later {
        return Some("it ends later".to_owned());
    }
    constraints::doubt(base, before, after)
}
