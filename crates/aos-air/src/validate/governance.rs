//! Trust, limits and governance: names are unique, limits are limits, and a change can be approved by somebody.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::found::{Found, Origin};
use crate::def::{Manifest, PublicKey, Trust};
use crate::limits::Limits;
use crate::signature::VerifyingKey;
use crate::text::{Rule, pointer};

/// Checks the three blocks.
pub(super) fn check(manifest: &Manifest, origin: &Origin, found: &mut Found) {
    let trust = &manifest.trust;
    let keys = trust.adapters.iter().map(|key| format!("{}/{}", key.adapter, key.key_id)).collect();
    once("adapters", "key_id", keys, origin, found);
    once(
        "principals",
        "name",
        trust.principals.iter().map(|principal| principal.name.clone()).collect(),
        origin,
        found,
    );
    once("hosts", "name", trust.hosts.iter().map(|host| host.name.clone()).collect(), origin, found);
    check_keys(trust, origin, found);
    if let Some(governance) = manifest.governance {
        let people = u64::try_from(trust.principals.len()).unwrap_or(u64::MAX);
        // An author's own approval counts only in a solo world.
        let approvers = if governance.solo { people } else { people.saturating_sub(1) };
        if governance.approvals == 0 || governance.approvals > approvers {
            let message =
                format!("a change needs {} approvals, and {approvers} principals can give one", governance.approvals);
            let help = "ask for at least one approval, and for no more than there are principals besides the author"
                .to_string();
            found.add(origin, "/governance/approvals", Rule::Governance, message, Some(help));
        }
    }
    let mut limits = Limits::default();
    for (name, value) in &manifest.limits {
        if limits.set(name, *value) {
            continue;
        }
        let known = Limits::TABLE.iter().find(|(known, ..)| known == name);
        let (message, help) = match known {
            Some((_, _, most)) => {
                (format!("`{name}` cannot be {value}"), Some(format!("it is at least 1 and at most {most}")))
            }
            None => (
                format!("there is no limit `{name}`"),
                found.suggest(name, Limits::TABLE.iter().map(|(known, ..)| *known)),
            ),
        };
        found.add(origin, &pointer("/limits", name), Rule::LimitRange, message, help);
    }
}

/// Reports every key that no signature should be verified with.
fn check_keys(trust: &Trust, origin: &Origin, found: &mut Found) {
    let mut check = |list: &str, index: usize, key: &PublicKey| {
        if let Err(problem) = VerifyingKey::of(key) {
            let help = "make a key pair with an ed25519 library, and write its public key here".to_string();
            let at = format!("/trust/{list}/{index}/key");
            found.add(origin, &at, Rule::TrustKey, format!("`{key}` cannot be trusted: {problem}"), Some(help));
        }
    };
    trust.adapters.iter().enumerate().for_each(|(index, entry)| check("adapters", index, &entry.key));
    trust.principals.iter().enumerate().for_each(|(index, entry)| check("principals", index, &entry.key));
    trust.hosts.iter().enumerate().for_each(|(index, entry)| check("hosts", index, &entry.key));
}

/// Reports every name after the first of its kind.
fn once(list: &str, key: &str, names: Vec<String>, origin: &Origin, found: &mut Found) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.into_iter().enumerate() {
        if !seen.insert(name.clone()) {
            let message = format!("`{name}` stands among the {list} already");
            found.add(origin, &format!("/trust/{list}/{index}/{key}"), Rule::TrustTwice, message, None);
        }
    }
}
