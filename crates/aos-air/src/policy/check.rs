//! Cedar's text as policies: read, limited, validated against the world's schema. All findings at once.
//!
//! A position is Cedar's own, in the text of the policy; the caller knows where that text stands in a document.
//! Never here: what a policy decides.

use alloc::collections::BTreeMap;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{
    Effect, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationError, ValidationMode, ValidationWarning,
    Validator,
};

use super::measure;
use crate::limits::{POLICIES_MAX, POLICY_BYTES_MAX, POLICY_DEPTH_MAX};
use crate::name::{Name, is_identifier};
use crate::text::Rule;

/// The annotation that names a policy.
const ID: &str = "id";
/// The annotation of a permit that only holds once somebody approves, with the one value that it may have.
pub(crate) const APPROVAL: &str = "approval";
/// See [`APPROVAL`].
pub(super) const REQUIRED: &str = "required";
/// The annotation that is for people.
const DESCRIPTION: &str = "description";

/// Something wrong in the text of a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flaw {
    /// Which rule it breaks.
    pub rule: Rule,
    /// One sentence, with the place in the text where that is known.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Flaw {
    const fn new(rule: Rule, message: String) -> Self {
        Self { rule, message, help: None }
    }

    /// Takes over one of Cedar's diagnostics.
    fn cedar(rule: Rule, text: &str, said: DetailedError) -> Self {
        let place = said.source_locations.first().map(|label| measure::place(text, label.loc.start));
        let message = match place {
            Some(place) => format!("{} ({place})", said.message),
            None => said.message,
        };
        Self { rule, message: one_line(&message), help: said.help.map(|help| one_line(&help)) }
    }
}

/// Puts a message of several lines on one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads the policies of a text; each gets the id `<name>#<@id, else index>`.
///
/// # Errors
/// Everything that is wrong without a look at the world.
pub(crate) fn read(name: &Name, text: &str) -> Result<Vec<Policy>, Vec<Flaw>> {
    if text.len() > POLICY_BYTES_MAX {
        let message = format!("the text has {} bytes; a policy has at most {POLICY_BYTES_MAX}", text.len());
        return Err(Vec::from([Flaw::new(Rule::PolicySize, message)]));
    }
    let depth = measure::depth(text);
    if depth > POLICY_DEPTH_MAX {
        let message =
            format!("the text is {depth} deep in brackets and operators; a policy is at most {POLICY_DEPTH_MAX}");
        return Err(Vec::from([Flaw::new(Rule::PolicyDepth, message)]));
    }
    let set: PolicySet = text.parse().map_err(|errors: cedar_policy::ParseErrors| {
        errors.iter().map(|error| Flaw::cedar(Rule::PolicySyntax, text, error.into())).collect::<Vec<_>>()
    })?;
    let mut flaws: Vec<Flaw> = Vec::new();
    if set.num_of_templates() > 0 {
        let message = "a policy has a `?principal` or `?resource`, and nothing here fills it in".to_string();
        flaws.push(Flaw::new(Rule::PolicyTemplate, message));
    }
    let count = set.num_of_policies();
    if count > POLICIES_MAX {
        let message = format!("there are {count} policies; a definition has at most {POLICIES_MAX}");
        flaws.push(Flaw::new(Rule::PolicySize, message));
    }
    // Cedar calls them `policy0`, `policy1`, … in the order of the text.
    let index = |policy: &Policy| policy.id().to_string().trim_start_matches("policy").parse::<usize>().ok();
    let in_order: BTreeMap<Option<usize>, &Policy> = set.policies().map(|policy| (index(policy), policy)).collect();
    let mut ids: BTreeSet<String> = BTreeSet::new();
    let mut policies = Vec::with_capacity(in_order.len());
    for (index, policy) in in_order {
        let index = index.unwrap_or_default();
        check_annotations(policy, index, &mut flaws);
        let id = policy.annotation(ID).map_or_else(|| index.to_string(), ToString::to_string);
        let whole = format!("{name}#{id}");
        if !ids.insert(id) {
            flaws.push(Flaw::new(Rule::PolicyTwice, format!("two policies have the id `{whole}`")));
        }
        policies.push(policy.new_id(PolicyId::new(whole)));
    }
    if flaws.is_empty() { Ok(policies) } else { Err(flaws) }
}

fn check_annotations(policy: &Policy, index: usize, flaws: &mut Vec<Flaw>) {
    for (name, value) in policy.annotations() {
        let message = match name {
            ID if is_identifier(value) => continue,
            ID => format!(
                "`@id({value:?})` of policy {index} is no id: a letter, then letters, digits, `_`, `.` and `-`, at most 64"
            ),
            APPROVAL if value != REQUIRED => {
                format!("`@approval({value:?})` of policy {index} is not `@approval(\"{REQUIRED}\")`")
            }
            APPROVAL if policy.effect() == Effect::Forbid => {
                format!("policy {index} is a `forbid`, which no approval lifts; `@approval` belongs to a `permit`")
            }
            APPROVAL | DESCRIPTION => continue,
            _ => format!("policy {index} has the annotation `@{name}`, which means nothing here"),
        };
        let help = "the annotations are `@id(\"name\")`, `@approval(\"required\")` and `@description(\"text\")`";
        flaws.push(Flaw { rule: Rule::PolicyAnnotation, message, help: Some(help.to_string()) });
    }
}

/// Validates policies strictly against the schema of the world.
///
/// A policy that can never hold is a flaw as well: a mistyped forbid would silently let things pass. `text` is the one
/// that the policies were read from.
pub(crate) fn validate(policies: &[Policy], text: &str, schema: Schema) -> Vec<Flaw> {
    let Ok(set) = PolicySet::from_policies(policies.iter().cloned()) else {
        unreachable!("policies that were read have different ids");
    };
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    let error = |error: &ValidationError| Flaw::cedar(Rule::PolicyType, text, error.into());
    // That no action fits is the reason why a policy is impossible, and the better thing to say.
    let unfit = |id: &PolicyId| {
        let same = |warning: &ValidationWarning| {
            matches!(warning, ValidationWarning::InvalidActionApplication(_)) && warning.policy_id() == id
        };
        result.validation_warnings().any(same)
    };
    let warning = |warning: &ValidationWarning| {
        let rule = match warning {
            ValidationWarning::ImpossiblePolicy(_) if unfit(warning.policy_id()) => return None,
            ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_) => {
                Rule::PolicyNever
            }
            ValidationWarning::BidiCharsInString(_) | ValidationWarning::BidiCharsInIdentifier(_) => Rule::PolicySyntax,
            // A path or a name may well be written in two scripts.
            _ => return None,
        };
        Some(Flaw::cedar(rule, text, warning.into()))
    };
    let errors = result.validation_errors().map(error);
    // Where a policy has no type, it is not known whether it can hold.
    let mistyped: BTreeSet<String> = result.validation_errors().map(|error| error.policy_id().to_string()).collect();
    let clear = |warning: &&ValidationWarning| !mistyped.contains(&warning.policy_id().to_string());
    let mut flaws: Vec<Flaw> = errors.chain(result.validation_warnings().filter(clear).filter_map(warning)).collect();
    flaws.sort_unstable();
    // Cedar reports one fault once for each action that the policy may apply to.
    flaws.dedup();
    flaws
}

/// Returns the entities that policies name, once each, with the id of a policy that does.
pub(crate) fn entities(policies: &[Policy]) -> BTreeMap<(String, String), String> {
    let named = |policy: &Policy| {
        let id = policy.id().to_string();
        let pair = move |uid: EntityUid| ((uid.type_name().to_string(), uid.id().unescaped().to_string()), id.clone());
        policy.entity_literals().into_iter().map(pair).collect::<Vec<_>>()
    };
    // The first policy that names an entity stays.
    policies.iter().rev().flat_map(named).collect()
}
