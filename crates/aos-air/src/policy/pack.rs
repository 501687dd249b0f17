//! Rule packs as Cedar: rule i becomes a policy that holds where rule i matches and none of the rules before it does.
//!
//! So exactly one policy of a pack holds for a request, or none, and Cedar's own order of forbid and permit never
//! matters. A pack speaks of effects only, never of decisions on parked intents. Never here: Cedar's text of authors.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::{Policy, PolicyId};

use super::schema::DECIDE;
use crate::def::{Decision, Origin, Rule, When};
use crate::name::Name;

/// Compiles the rules of a pack; the policy of rule i has the id `<name>#<i>`, from 0.
pub(super) fn compile(name: &Name, rules: &[Rule]) -> Vec<Policy> {
    let policy = |(index, rule): (usize, &Rule)| {
        let earlier = rules.get(..index).unwrap_or_default();
        let id = PolicyId::new(format!("{name}#{index}"));
        let Ok(policy) = Policy::parse(Some(id), text(rule, earlier)) else {
            unreachable!("a rule of a pack has a Cedar text, whatever its names are");
        };
        policy
    };
    rules.iter().enumerate().map(policy).collect()
}

/// Writes the policy of a rule that stands behind `earlier` ones.
fn text(rule: &Rule, earlier: &[Rule]) -> String {
    let When { effect_kind, cap_name, cap_type, origin_kind, origin_name } = &rule.when;
    let effect = match rule.decision {
        Decision::Allow => "permit",
        Decision::Deny => "forbid",
        Decision::RequireApproval => "@approval(\"required\") permit",
    };
    let principal = match (origin_kind, origin_name) {
        (Some(kind), Some(name)) => format!("principal == Aos::{}::{:?}", entity(*kind), name.as_str()),
        (Some(kind), None) => format!("principal is Aos::{}", entity(*kind)),
        (None, _) => "principal".to_string(),
    };
    let action = effect_kind.as_ref().map_or("action".to_string(), |kind| format!("action == {}", action(kind)));
    let resource = cap_name.as_ref().map_or("resource".to_string(), |name| format!("resource == {}", grant(name)));
    let mut text = format!("{effect}({principal}, {action}, {resource})");
    if effect_kind.is_none() {
        text += &format!(" when {{ action != {} }}", self::action(DECIDE));
    }
    if let Some(cap_type) = cap_type {
        text += &format!(" when {{ {} }}", has_cap_type(cap_type));
    }
    if let (None, Some(name)) = (origin_kind, origin_name) {
        text += &format!(" when {{ {} }}", has_name(name));
    }
    // What excludes this rule anyway need not be negated.
    for before in earlier.iter().map(|rule| &rule.when).filter(|when| can_meet(when, &rule.when)) {
        text += &format!(" unless {{ {} }}", condition(before));
    }
    text + ";"
}

/// Tells whether one request can match both.
fn can_meet(left: &When, right: &When) -> bool {
    fn agree<T: PartialEq>(left: &Option<T>, right: &Option<T>) -> bool {
        left.is_none() || right.is_none() || left == right
    }
    agree(&left.effect_kind, &right.effect_kind)
        && agree(&left.cap_name, &right.cap_name)
        && agree(&left.cap_type, &right.cap_type)
        && agree(&left.origin_kind, &right.origin_kind)
        && agree(&left.origin_name, &right.origin_name)
}

/// Writes what a rule matches as one expression.
fn condition(when: &When) -> String {
    let When { effect_kind, cap_name, cap_type, origin_kind, origin_name } = when;
    let parts = [
        effect_kind.as_ref().map(|kind| format!("action == {}", action(kind))),
        cap_name.as_ref().map(|name| format!("resource == {}", grant(name))),
        cap_type.as_ref().map(|cap_type| has_cap_type(cap_type)),
        origin_kind.as_ref().map(|kind| format!("principal is Aos::{}", entity(*kind))),
        origin_name.as_ref().map(has_name),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "true".to_string() } else { parts.join(" && ") }
}

const fn entity(kind: Origin) -> &'static str {
    match kind {
        Origin::Plan => "Plan",
        Origin::Reducer => "Reducer",
    }
}

fn action(kind: &str) -> String {
    format!("Aos::Action::{kind:?}")
}

fn grant(name: &str) -> String {
    format!("Aos::Grant::{name:?}")
}

fn has_cap_type(cap_type: &str) -> String {
    format!("resource.cap_type == {cap_type:?}")
}

fn has_name(name: &Name) -> String {
    format!("principal.name == {:?}", name.as_str())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn a_rule_says_no_to_those_before_it_that_it_could_meet() {
        let rule = |when: When, decision| Rule { when, decision };
        let pay = Name::parse("shop/Pay@1").unwrap();
        let rules = [
            rule(When { effect_kind: Some("http.request".into()), ..When::default() }, Decision::Deny),
            rule(When { effect_kind: Some("timer.set".into()), ..When::default() }, Decision::Allow),
            rule(
                When {
                    effect_kind: Some("http.request".into()),
                    cap_name: Some("web".into()),
                    cap_type: Some("http.out".into()),
                    origin_kind: Some(Origin::Plan),
                    origin_name: Some(pay.clone()),
                },
                Decision::RequireApproval,
            ),
            rule(When { origin_name: Some(pay), ..When::default() }, Decision::Allow),
            rule(When::default(), Decision::Deny),
        ];
        let texts: Vec<String> = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| text(rule, &rules[..index]).replace(" unless", "\n  unless"))
            .collect();
        assert_snapshot!(texts.join("\n"), @r#"
        forbid(principal, action == Aos::Action::"http.request", resource);
        permit(principal, action == Aos::Action::"timer.set", resource);
        @approval("required") permit(principal == Aos::Plan::"shop/Pay@1", action == Aos::Action::"http.request", resource == Aos::Grant::"web") when { resource.cap_type == "http.out" }
          unless { action == Aos::Action::"http.request" };
        permit(principal, action, resource) when { action != Aos::Action::"effect.decide" } when { principal.name == "shop/Pay@1" }
          unless { action == Aos::Action::"http.request" }
          unless { action == Aos::Action::"timer.set" }
          unless { action == Aos::Action::"http.request" && resource == Aos::Grant::"web" && resource.cap_type == "http.out" && principal is Aos::Plan && principal.name == "shop/Pay@1" };
        forbid(principal, action, resource) when { action != Aos::Action::"effect.decide" }
          unless { action == Aos::Action::"http.request" }
          unless { action == Aos::Action::"timer.set" }
          unless { action == Aos::Action::"http.request" && resource == Aos::Grant::"web" && resource.cap_type == "http.out" && principal is Aos::Plan && principal.name == "shop/Pay@1" }
          unless { principal.name == "shop/Pay@1" };
        "#);
    }
}
