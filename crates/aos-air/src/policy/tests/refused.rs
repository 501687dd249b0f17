//! Policies that do not load, with what is said about them; limits at the limit and one past it.

use alloc::format;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::hash::Digest;
use crate::limits::{POLICIES_MAX, POLICY_BYTES_MAX, POLICY_TYPE_NODES_MAX};
use crate::schema::Type;
use crate::validate::{Source, load};

const WORLD: &str = include_str!("../../../../../spec/vectors/air/world.air.json");

/// Loads the world with another text for its Cedar policy, and returns what is found.
fn found(cedar: &str) -> String {
    let text = serde_json::to_string(cedar).unwrap();
    let before = r#""permit (principal, action, resource);""#;
    assert_eq!(WORLD.matches(before).count(), 1);
    load_world(&WORLD.replace(before, &text))
}

fn load_world(text: &str) -> String {
    let source = Source { file: "w".into(), text: text.into() };
    let wasm = |name: &Name| Some(Digest::of(name.as_str().as_bytes()));
    load(&[source], &wasm).map_or_else(|findings| findings.to_string(), |_| "nothing".into())
}

#[test]
fn findings_name_the_policy_and_the_place() {
    assert_snapshot!(found("permit(principal, action, resource) when { true && };\n"), @r#"
    error[policy.syntax]: unexpected token `}` (line 1, column 52 of the policy: `permit(principal, action, resource) when { true && };`)
      w:152:59  /16/cedar
    "#);
    assert_snapshot!(found("permit(principal, action, resource);\n  forbid(principle, action, resource);\nallow(principal, action, resource);"), @r#"
    error[policy.syntax]: found an invalid variable in the policy scope: principle (line 2, column 10 of the policy: `forbid(principle, action, resource);`)
      w:152:59  /16/cedar
      help: policy scopes must contain a `principal`, `action`, and `resource` element in that order
    error[policy.syntax]: invalid policy effect: allow (line 3, column 1 of the policy: `allow(principal, action, resource);`)
      w:152:59  /16/cedar
      help: effect must be either `permit` or `forbid`
    "#);
    assert_snapshot!(found("@id(\"web\")\npermit(principal, action == Aos::Action::\"http.request\", resource)\n  when { context.params.hots == \"a.example\" };"), @r#"
    error[policy.type]: for policy `shop/Cedar@1#web`, attribute `params.hots` in context for Aos::Action::"http.request" not found (line 3, column 10 of the policy: `when { context.params.hots == "a.example" };`)
      w:152:59  /16/cedar
      help: did you mean `host`?
    "#);
    assert_snapshot!(found("permit(principal, action == Aos::Action::\"http.requets\", resource);"), @r#"
    error[policy.type]: for policy `shop/Cedar@1#0`, unrecognized action `Aos::Action::"http.requets"` (line 1, column 29 of the policy: `Aos::Action::"http.requets", resource);`)
      w:152:59  /16/cedar
      help: did you mean `Aos::Action::"http.request"`?
    "#);
    assert_snapshot!(found("permit(principal is Aos::Plam, action, resource);"), @r#"
    error[policy.type]: for policy `shop/Cedar@1#0`, unrecognized entity type `Aos::Plam` (line 1, column 21 of the policy: `permit(principal is Aos::Plam, action, resource);`)
      w:152:59  /16/cedar
      help: did you mean `Aos::Plan`?
    "#);
    assert_snapshot!(found("permit(principal, action == Aos::Action::\"timer.set\", resource) when { context.params.key == \"a\" };"), @r#"
    error[policy.type]: for policy `shop/Cedar@1#0`, unable to guarantee safety of access to optional attribute `params.key` in context for Aos::Action::"timer.set" (line 1, column 72 of the policy: `context.params.key == "a" };`)
      w:152:59  /16/cedar
      help: try testing for the attribute's presence with `context.params has key && ..`
    "#);
    assert_snapshot!(found("permit(principal, action == Aos::Action::\"timer.set\", resource) when { context.params.deliver_at_ns == \"a\" };"), @r#"
    error[policy.type]: the types Long and String are not compatible (line 1, column 72 of the policy: `context.params.deliver_at_ns == "a" };`)
      w:152:59  /16/cedar
      help: for policy `shop/Cedar@1#0`, both operands to a `==` expression must have compatible types. Types must be exactly equal to be compatible
    "#);
    assert_snapshot!(found("forbid(principal == Aos::Plan::\"shop/Pey@1\", action, resource == Aos::Grant::\"wed\");"), @r#"
    error[policy.never]: `shop/Cedar@1#0` names Aos::Grant::"wed", and there is no grant `wed`
      w:152:59  /16/cedar
      help: did you mean `web`?
    error[policy.never]: `shop/Cedar@1#0` names Aos::Plan::"shop/Pey@1", and there is no plan `shop/Pey@1`
      w:152:59  /16/cedar
      help: did you mean `shop/Pay@1`?
    "#);
    assert_snapshot!(found("forbid(principal is Aos::Reducer, action == Aos::Action::\"http.request\", resource);"), @r#"
    error[policy.never]: for policy `shop/Cedar@1#0`, unable to find an applicable action given the policy scope constraints (line 1, column 1 of the policy: `forbid(principal is Aos::Reducer, action == Aos::Action::"ht`)
      w:152:59  /16/cedar
    "#);
    assert_snapshot!(found("permit(principal == ?principal, action, resource);"), @r#"
    error[policy.template]: a policy has a `?principal` or `?resource`, and nothing here fills it in
      w:152:59  /16/cedar
    "#);
    assert_snapshot!(found("@id(\"a\") permit(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);"), @r#"
    error[policy.twice]: two policies have the id `shop/Cedar@1#a`
      w:152:59  /16/cedar
    "#);
    assert_snapshot!(found("@approve @id(\"1\") @approval(\"yes\") permit(principal, action, resource);\n@approval(\"required\") forbid(principal, action, resource);"), @r#"
    error[policy.annotation]: `@approval("yes")` of policy 0 is not `@approval("required")`
      w:152:59  /16/cedar
      help: the annotations are `@id("name")`, `@approval("required")` and `@description("text")`
    error[policy.annotation]: `@id("1")` of policy 0 is no id: a letter, then letters, digits, `_`, `.` and `-`, at most 64
      w:152:59  /16/cedar
      help: the annotations are `@id("name")`, `@approval("required")` and `@description("text")`
    error[policy.annotation]: policy 0 has the annotation `@approve`, which means nothing here
      w:152:59  /16/cedar
      help: the annotations are `@id("name")`, `@approval("required")` and `@description("text")`
    error[policy.annotation]: policy 1 is a `forbid`, which no approval lifts; `@approval` belongs to a `permit`
      w:152:59  /16/cedar
      help: the annotations are `@id("name")`, `@approval("required")` and `@description("text")`
    error[policy.twice]: two policies have the id `shop/Cedar@1#1`
      w:152:59  /16/cedar
    "#);
    let hidden = found("permit(principal, action, resource) when { principal.name == \"a\u{202e}b\" };");
    assert!(hidden.starts_with("error[policy.syntax]") && hidden.contains("BIDI"), "{hidden}");
}

#[test]
fn what_loads() {
    let texts = [
        "// nothing",
        "@id(\"a\") @description(\"why\") @approval(\"required\") permit(principal, action, resource);",
        "permit(principal, action == Aos::Action::\"effect.decide\", resource) when { principal.roles.contains(\"owner\") };",
        "forbid(principal, action == Aos::Action::\"vault.put\", resource);",
        "permit(principal, action in [Aos::Action::\"shop.ping\", Aos::Action::\"timer.set\"], resource) when { context has params };",
        "forbid(principal, action == Aos::Action::\"http.request\", resource) when { context.params.headers.keys.contains(\"x\") };",
        "forbid(principal, action == Aos::Action::\"llm.generate\", resource) when { context.params.temperature.greaterThan(decimal(\"0.5\")) };",
        "forbid(principal == Aos::Plan::\"shop/Pay@1\", action, resource == Aos::Grant::\"web\") unless { context.now > 0 };",
    ];
    for text in texts {
        assert_eq!(found(text), "nothing", "{text}");
    }
}

#[test]
fn no_effect_is_called_as_the_decision_is() {
    let text = WORLD.replace(r#""kind": "shop.ping""#, r#""kind": "effect.decide""#);
    assert!(load_world(&text).contains("error[name.reserved]"), "{}", load_world(&text));
}

#[test]
fn texts_at_the_limit_and_one_past_it() {
    let code = |text: &str| read(&name(), text).map(|_| ()).map_err(|flaws| flaws[0].rule.code());
    let padded = |bytes: usize| format!("permit(principal, action, resource);{}", " ".repeat(bytes - 36));
    assert_eq!(code(&padded(POLICY_BYTES_MAX)), Ok(()));
    assert_eq!(code(&padded(POLICY_BYTES_MAX + 1)), Err("policy.size"));
    let many = |count: usize| "permit(principal, action, resource);".repeat(count);
    assert_eq!(code(&many(POLICIES_MAX)), Ok(()));
    assert_eq!(code(&many(POLICIES_MAX + 1)), Err("policy.size"));
    let deep =
        |depth: usize| format!("permit(principal, action, resource) when {{ true{} }};", " && true".repeat(depth - 9));
    assert_eq!(measure::depth(&deep(POLICY_DEPTH_MAX)), POLICY_DEPTH_MAX);
    assert_eq!(code(&deep(POLICY_DEPTH_MAX)), Ok(()));
    assert_eq!(code(&deep(POLICY_DEPTH_MAX + 1)), Err("policy.depth"));
}

#[test]
fn packs_at_the_limit_and_one_past_it() {
    let pack = |count: usize| {
        let rules = alloc::vec![r#"{"when": {}, "decision": "deny"}"#; count].join(",");
        let before = r#""cedar": "permit (principal, action, resource);""#;
        load_world(&WORLD.replace(before, &format!(r#""rules": [{rules}]"#)))
    };
    assert_eq!(pack(PACK_RULES_MAX), "nothing");
    assert!(pack(PACK_RULES_MAX + 1).starts_with("error[policy.size]: there are 129 rules"));
}

#[test]
fn a_type_that_is_small_as_written_and_endless_as_read_is_refused() {
    // Each schema holds the one before it twice, so the sixteenth has 2^16 leaves.
    let schema = |at: usize| {
        let inner = if at == 0 { r#"{"text": {}}"#.into() } else { format!(r#"{{"ref": "shop/T{}@1"}}"#, at - 1) };
        format!(
            r#"{{"$kind": "defschema", "name": "shop/T{at}@1", "type": {{"record": {{"a": {inner}, "b": {inner}}}}}}},"#
        )
    };
    let schemas: String = (0..16).map(schema).collect();
    let listed: String = (0..16).map(|at| format!(r#"{{"name": "shop/T{at}@1"}},"#)).collect();
    let text = WORLD
        .replacen("\"schemas\": [", &format!("\"schemas\": [{listed}"), 1)
        .replacen("  {\"$kind\": \"defschema\"", &format!("{schemas}{{\"$kind\": \"defschema\""), 1)
        .replace(r#""params_schema": "shop/PingParams@1""#, r#""params_schema": "shop/T15@1""#);
    let said = load_world(&text);
    assert!(said.contains("error[policy.params]"), "{said}");
    let flat = |fields: usize| {
        let fields = (0..fields).map(|at| (format!("f{at}"), Type::Bool)).collect();
        let shape = crate::schema::Shape::resolve(&Type::Record(fields), &|_| None).unwrap();
        schema::schema([Effect { kind: "a.b", scope: crate::def::Scope::Plan, params: &shape }]).is_ok()
    };
    // The record itself is a node.
    assert!(flat(POLICY_TYPE_NODES_MAX - 1));
    assert!(!flat(POLICY_TYPE_NODES_MAX));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in r#"(permit|forbid|\(|\)|principal|action|resource|,|;|when|\{|\}|"|//|@id|==|!|a|\.|\n| ){0,40}"#) {
        prop_assert!(read(&name(), &text).is_ok_and(|read| read.iter().all(|policy| policy.id().to_string().starts_with("shop/Rules@1#"))) || read(&name(), &text).is_err_and(|flaws| !flaws.is_empty()));
    }
}
