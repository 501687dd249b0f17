//! Whether a grant's params allow less than before, for the two built-in enforcers that read them.
//!
//! What each field allows, and what it allows when it is left out, is in the kernel's `gate/`. A lower bound per call
//! lowers what a budget holds back for it, so under a budget it is no proof.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use super::Doubt;
use crate::built_in::{ALLOW_ALL, HTTP_ENFORCER, LLM_ENFORCER};
use crate::def::{Budget, Grant};
use crate::schema::Value;
use crate::validate::Manifest;

/// What a field allows where it is left out.
#[derive(Debug, Clone, Copy)]
enum Absent {
    /// Everything.
    All,
    /// These words.
    Words(&'static [&'static str]),
    /// What no set says.
    Other,
}

/// A field that bounds each call, and what of a budget it counts in.
type Bound = (&'static str, fn(&Budget) -> Option<u64>);

const HTTP_SETS: [(&str, Absent); 5] = [
    ("hosts", Absent::Words(&[])),
    ("schemes", Absent::Words(&["https"])),
    ("methods", Absent::Words(&["GET", "HEAD"])),
    ("ports", Absent::Other),
    ("path_prefixes", Absent::All),
];
const HTTP_BOUNDS: [Bound; 1] = [("body_bytes_max", |budget| budget.bytes)];
const LLM_SETS: [(&str, Absent); 3] =
    [("providers", Absent::All), ("models", Absent::All), ("tools_allow", Absent::Words(&[]))];
const LLM_BOUNDS: [Bound; 3] = [
    ("max_tokens", |budget| budget.tokens),
    ("prompt_tokens_max", |budget| budget.tokens),
    ("cents_max", |budget| budget.cents),
];

/// Says why the params of a grant may allow more than before; none if they do not.
pub(super) fn doubt(base: &Manifest, before: &Grant, after: &Grant) -> Doubt {
    if before.params == after.params {
        return None;
    }
    let enforcer = base.cap(&before.cap).and_then(|cap| cap.definition.enforcer.as_ref());
    let (sets, bounds): (&[(&str, Absent)], &[Bound]) = match enforcer.map(|name| name.as_str()) {
        None | Some(ALLOW_ALL) => return None,
        Some(HTTP_ENFORCER) => (&HTTP_SETS, &HTTP_BOUNDS),
        Some(LLM_ENFORCER) => (&LLM_SETS, &LLM_BOUNDS),
        Some(_) => return Some("what its enforcer makes of the params is not known".to_owned()),
    };
    let (Some(Value::Record(old)), Some(Value::Record(new))) = (before.params.value(), after.params.value()) else {
        return Some("its params were not read".to_owned());
    };
    for (field, absent) in sets {
        if !is_subset(present(new.get(*field)), present(old.get(*field)), *absent) {
            return Some(format!("`{field}` allows something else"));
        }
    }
    let budget = before.budget.unwrap_or_default();
    for (field, dimension) in bounds {
        match (number(old.get(*field)), number(new.get(*field))) {
            (old, new) if old == new => {}
            (Some(old), Some(new)) if new > old => return Some(format!("`{field}` is raised")),
            (Some(_), None) => return Some(format!("`{field}` is raised")),
            _ if dimension(&budget).is_some() => {
                return Some(format!("a lower `{field}` lets more calls into its budget"));
            }
            _ => {}
        }
    }
    None
}

/// Looks through options.
fn present(value: Option<&Value>) -> Option<&Value> {
    match value {
        Some(Value::Option(inner)) => inner.as_deref(),
        other => other,
    }
}

fn number(value: Option<&Value>) -> Option<u64> {
    match present(value) {
        Some(Value::Nat(number)) => Some(*number),
        _ => None,
    }
}

fn is_subset(new: Option<&Value>, old: Option<&Value>, absent: Absent) -> bool {
    if new == old {
        return true;
    }
    let words = |value: Option<&Value>| -> Option<BTreeSet<String>> {
        match (value, absent) {
            (Some(Value::Set(items)), _) => items
                .values()
                .map(|item| match item {
                    Value::Text(text) => Some(text.clone()),
                    Value::Nat(number) => Some(format!("{number}")),
                    _ => None,
                })
                .collect(),
            (None, Absent::Words(words)) => Some(words.iter().map(|word| (*word).to_owned()).collect()),
            _ => None,
        }
    };
    match (words(new), words(old)) {
        (Some(new), Some(old)) => new.is_subset(&old),
        (Some(_), None) => old.is_none() && matches!(absent, Absent::All),
        _ => false,
    }
}
