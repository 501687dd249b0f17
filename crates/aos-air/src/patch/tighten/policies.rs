//! Whether a policy in force lets through less than before.
//!
//! Two packs of rules are compared on every class of requests that their rules can tell apart, which is all requests.
//! Of Cedar's policies the very same ones are kept: permits may go, forbids may come. A permit that can fail must stay,
//! because a failure denies. Never here: packs against Cedar, and what only a solver sees.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cedar_policy::Effect;
use serde_json::Value as Tree;

use super::Doubt;
use crate::def::{Body, Decision, Policy, Rule, When};
use crate::policy;

/// Most classes of requests that two packs are compared on.
const CLASSES_MAX: usize = 1 << 16;

/// Says why `after` may let through more than `before`; none if it does not.
pub(super) fn doubt(before: &Policy, after: &Policy) -> Doubt {
    match (&before.body, &after.body) {
        (Body::Rules(old), Body::Rules(new)) => packs(old, new),
        (Body::Cedar(old), Body::Cedar(new)) => cedar(before, old, new),
        (Body::Rules(_), Body::Cedar(_)) | (Body::Cedar(_), Body::Rules(_)) => {
            Some("rules and Cedar's text are not compared".to_owned())
        }
    }
}

/// What a rule looks at, in the order of its fields; none for a value that no rule names.
type Class<'a> = [Option<&'a str>; 5];

fn fields(when: &When) -> Class<'_> {
    let When { effect_kind, cap_name, cap_type, origin_kind, origin_name } = when;
    [
        effect_kind.as_deref(),
        cap_name.as_deref(),
        cap_type.as_deref(),
        origin_kind.map(crate::def::Origin::word),
        origin_name.as_ref().map(crate::name::Name::as_str),
    ]
}

fn packs(old: &[Rule], new: &[Rule]) -> Doubt {
    let mut values: [BTreeSet<Option<&str>>; 5] = Default::default();
    for rule in old.iter().chain(new) {
        values.iter_mut().zip(fields(&rule.when)).for_each(|(values, value)| values.extend([value]));
    }
    values.iter_mut().for_each(|values| values.extend([None]));
    if let [.., origins, _] = &mut values
        && origins.len() > 2
    {
        // Whoever asks is a plan or a reducer.
        origins.remove(&None);
    }
    let count = values.iter().try_fold(1_usize, |count, values| count.checked_mul(values.len()));
    if count.is_none_or(|count| count > CLASSES_MAX) {
        return Some(format!("the rules tell more than {CLASSES_MAX} classes of requests apart"));
    }
    let [kinds, caps, types, origins, names] = values;
    for kind in &kinds {
        for cap in &caps {
            for cap_type in &types {
                for origin in &origins {
                    for name in &names {
                        let class = [*kind, *cap, *cap_type, *origin, *name];
                        if rank(decide(new, &class)) > rank(decide(old, &class)) {
                            return Some(format!("the rules let more through{}", words(&class)));
                        }
                    }
                }
            }
        }
    }
    None
}

fn decide(rules: &[Rule], class: &Class<'_>) -> Decision {
    let holds =
        |rule: &&Rule| fields(&rule.when).iter().zip(class).all(|(wanted, found)| wanted.is_none() || wanted == found);
    rules.iter().find(holds).map_or(Decision::Deny, |rule| rule.decision)
}

const fn rank(decision: Decision) -> u8 {
    match decision {
        Decision::Deny => 0,
        Decision::RequireApproval => 1,
        Decision::Allow => 2,
    }
}

/// Names what a class of requests has in common.
fn words(class: &Class<'_>) -> String {
    let names = ["effect_kind", "cap_name", "cap_type", "origin_kind", "origin_name"];
    let parts = names.iter().zip(class).filter_map(|(name, value)| Some(format!("{name} `{}`", (*value)?)));
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { String::new() } else { [" for ", &parts.join(", ")].concat() }
}

/// One of Cedar's policies, without its id and what is said for people.
struct Part {
    is_permit: bool,
    is_annotated: bool,
    /// What it says, as Cedar's own JSON.
    content: Tree,
}

fn parts(policy: &Policy, text: &str) -> Option<Vec<Part>> {
    let policies = policy::read(&policy.name, text).ok()?;
    let part = |policy: cedar_policy::Policy| {
        let Ok(Tree::Object(mut content)) = policy.to_json() else { return None };
        content.remove("annotations");
        Some(Part {
            is_permit: policy.effect() == Effect::Permit,
            is_annotated: policy.annotation(policy::APPROVAL).is_some(),
            content: Tree::Object(content),
        })
    };
    policies.into_iter().map(part).collect()
}

fn cedar(policy: &Policy, old: &str, new: &str) -> Doubt {
    let (Some(old), Some(new)) = (parts(policy, old), parts(policy, new)) else {
        return Some("Cedar does not read it".to_owned());
    };
    // A permit that held needs an approval at most; one that needed an approval must not hold by itself.
    let was_there = |part: &Part| {
        old.iter().any(|other| other.content == part.content && (part.is_annotated || !other.is_annotated))
    };
    if new.iter().any(|part| part.is_permit && !was_there(part)) {
        return Some("a permit is new, or needs no approval any more".to_owned());
    }
    let stays = |part: &&Part| new.iter().any(|other| other.content == part.content);
    let gone: Vec<&Part> = old.iter().filter(|part| !stays(part)).collect();
    if gone.iter().any(|part| !part.is_permit) {
        return Some("a forbid is gone".to_owned());
    }
    if gone.iter().any(|part| !cannot_fail(part)) {
        return Some("a permit is gone that could have failed, which denies".to_owned());
    }
    None
}

fn cannot_fail(part: &Part) -> bool {
    let conditions = part.content.get("conditions").and_then(Tree::as_array);
    conditions.is_some_and(|all| all.iter().all(|one| one.get("body").is_some_and(is_total)))
}

/// Tells whether an expression of a validated policy has a value for every request: no arithmetic, no extension.
fn is_total(expression: &Tree) -> bool {
    const TOTAL: [&str; 21] = [
        "!",
        "==",
        "!=",
        "in",
        "<",
        "<=",
        ">",
        ">=",
        "&&",
        "||",
        "contains",
        "containsAll",
        "containsAny",
        "isEmpty",
        ".",
        "has",
        "like",
        "is",
        "if-then-else",
        "Set",
        "Record",
    ];
    let Some(object) = expression.as_object() else { return false };
    object.iter().all(|(word, inner)| match word.as_str() {
        "Value" | "Var" => true,
        word if TOTAL.contains(&word) => match inner {
            Tree::Array(items) => items.iter().all(is_total),
            Tree::Object(members) => {
                // Beside expressions stand names: `attr`, `entity_type`, `pattern`.
                members.values().filter(|member| member.is_object()).all(is_total)
            }
            _ => false,
        },
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;
    use crate::def::Origin;
    use crate::name::Name;

    fn rules(text: &str) -> Policy {
        let text = format!(r#"{{"$kind":"defpolicy","name":"a/P@1","rules":[{text}]}}"#);
        read(&text)
    }

    fn read(text: &str) -> Policy {
        use crate::def::Definition;
        use crate::text::{At, Report, parse};
        let (tree, report) = (parse(text).unwrap(), Report::default());
        match Definition::read(&At::root(&tree, &report)) {
            Some(Definition::Policy(policy)) if report.is_empty() => policy,
            other => panic!("{text}: {other:?} {:?}", report.into_problems()),
        }
    }

    fn text(text: &str) -> Policy {
        Policy { name: Name::parse("a/P@1").unwrap(), body: Body::Cedar(text.to_string()) }
    }

    fn tightens(before: &Policy, after: &Policy) -> bool {
        doubt(before, after).is_none()
    }

    #[test]
    fn packs_are_compared_on_every_class_of_requests() {
        let http = r#"{"when":{"effect_kind":"http.request"},"decision":"allow"}"#;
        let web = r#"{"when":{"cap_name":"web"},"decision":"require_approval"}"#;
        let timer = r#"{"when":{"effect_kind":"timer.set"},"decision":"deny"}"#;
        let all = r#"{"when":{},"decision":"allow"}"#;
        let none = r#"{"when":{},"decision":"deny"}"#;
        let cases: [(&str, &str, bool); 12] = [
            ("", "", true),
            (all, none, true),
            (none, all, false),
            ("", none, true),
            ("", timer, true),
            (all, &[timer, all].join(","), true),
            (&[timer, all].join(","), all, false),
            (http, &[web, http].join(","), false),
            (&[http, all].join(","), &[web, all].join(","), true),
            (&[http, web].join(","), &[web, http].join(","), true),
            (&[web, http].join(","), &[http, web].join(","), false),
            (&[http, none].join(","), http, true),
        ];
        for (before, after, expected) in cases {
            assert_eq!(tightens(&rules(before), &rules(after)), expected, "{before} to {after}");
        }
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let word = |words: [&'static str; 2]| proptest::option::of(proptest::sample::select(words.to_vec()));
        let origin = proptest::option::of(prop_oneof![Just(Origin::Plan), Just(Origin::Reducer)]);
        let decision = prop_oneof![Just(Decision::Allow), Just(Decision::Deny), Just(Decision::RequireApproval)];
        let when = (word(["a", "b"]), word(["c", "d"]), word(["t", "u"]), origin, word(["x/X@1", "y/Y@1"]));
        (when, decision).prop_map(|((kind, cap, cap_type, origin_kind, name), decision)| Rule {
            when: When {
                effect_kind: kind.map(String::from),
                cap_name: cap.map(String::from),
                cap_type: cap_type.map(String::from),
                origin_kind,
                origin_name: name.and_then(|name| Name::parse(name).ok()),
            },
            decision,
        })
    }

    /// Goes through every request that words from outside the rules make too, and lets the first rule decide.
    fn lets_more_through(old: &[Rule], new: &[Rule]) -> bool {
        let decide = |rules: &[Rule], request: [&str; 5]| {
            let [kind, cap, cap_type, origin, name] = request;
            let fits = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
            let rule = rules.iter().find(|Rule { when, .. }| {
                fits(&when.effect_kind, kind)
                    && fits(&when.cap_name, cap)
                    && fits(&when.cap_type, cap_type)
                    && fits(&when.origin_kind.map(|kind| kind.word().to_string()), origin)
                    && fits(&when.origin_name.as_ref().map(ToString::to_string), name)
            });
            rank(rule.map_or(Decision::Deny, |rule| rule.decision))
        };
        let mut more = false;
        for kind in ["a", "b", "-"] {
            for cap in ["c", "d", "-"] {
                for cap_type in ["t", "u", "-"] {
                    for origin in ["plan", "reducer"] {
                        for name in ["x/X@1", "y/Y@1", "-"] {
                            let request = [kind, cap, cap_type, origin, name];
                            more |= decide(new, request) > decide(old, request);
                        }
                    }
                }
            }
        }
        more
    }

    proptest! {
        #[test]
        fn a_pack_tightens_only_if_no_request_gets_more(
            old in proptest::collection::vec(any_rule(), 0..6),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any_rule(), any::<bool>()), 0..3),
        ) {
            let mut new = old.clone();
            for (place, rule, is_removed) in edits {
                let place = place.index(new.len() + 1);
                if is_removed && place < new.len() { drop(new.remove(place)) } else { new.insert(place, rule) }
            }
            prop_assert_eq!(packs(&old, &new).is_some(), lets_more_through(&old, &new));
        }
    }

    #[test]
    fn packs_are_compared_up_to_the_limit_and_not_one_class_further() {
        let rule = |index: usize| {
            let when =
                When { effect_kind: Some(format!("k{index}")), cap_name: Some(format!("c{index}")), ..When::default() };
            Rule { when, decision: Decision::Deny }
        };
        let rules: Vec<Rule> = (0..256).map(rule).collect();
        let (old, rest) = rules.split_at(127);
        assert_eq!(packs(old, &rest[..128]), None, "256 kinds by 256 grants, one of each that no rule names");
        let doubt = packs(old, rest).unwrap_or_default();
        assert_eq!(doubt, format!("the rules tell more than {CLASSES_MAX} classes of requests apart"));
    }

    #[test]
    fn of_cedar_the_same_policies_are_kept() {
        let permit = "permit (principal, action, resource);";
        let asked = r#"@approval("required") permit (principal, action, resource);"#;
        let forbid = r#"forbid (principal, action, resource) when { resource.cap_type == "timer" };"#;
        let sum = "permit (principal, action, resource) when { context.now + 1 > 5 };";
        let other = "permit (principal, action, resource) when { context.now > 5 };";
        let cases: [(String, String, bool); 10] = [
            (permit.into(), format!(" {permit} // the same"), true),
            (permit.into(), format!("@id(\"one\") {permit}"), true),
            (permit.into(), [permit, forbid].concat(), true),
            ([permit, forbid].concat(), permit.into(), false),
            ([permit, other].concat(), permit.into(), true),
            ([permit, sum].concat(), permit.into(), false),
            (permit.into(), [permit, other].concat(), false),
            (permit.into(), asked.into(), true),
            (asked.into(), permit.into(), false),
            ([permit, other].concat(), other.into(), true),
        ];
        for (before, after, expected) in cases {
            assert_eq!(tightens(&text(&before), &text(&after)), expected, "{before} to {after}");
        }
        assert!(!tightens(&text(permit), &rules("")));
    }
}
