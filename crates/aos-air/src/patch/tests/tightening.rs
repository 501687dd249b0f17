//! What is proved of the operations of a diff.

use alloc::string::String;
use alloc::vec::Vec;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;

/// Says what is proved of each operation of a diff.
fn proved(base: &Checked<Manifest>, target: &Checked<Manifest>) -> String {
    let line = |operation: &Operation| match tightening(base, operation) {
        Tightening::Tightens => format!("{}: tightens", operation.word()),
        Tightening::NotProved { why } => format!("{}: {why}", operation.word()),
    };
    diff(base, target).operations.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn only_structure_that_takes_away_is_proved_to_tighten() {
    let grants = |change: fn(&mut Value)| move |world: &mut Value| change(&mut world[0]["defaults"]["cap_grants"]);
    let cases: [(&str, Checked<Manifest>); 14] = [
        ("fewer hosts", changed(grants(|grants| grants[0]["params"]["hosts"] = json!(["a.example"])))),
        ("other hosts", changed(grants(|grants| grants[0]["params"]["hosts"] = json!(["c.example"])))),
        ("one method", changed(grants(|grants| grants[0]["params"]["methods"] = json!(["GET"])))),
        ("another method", changed(grants(|grants| grants[0]["params"]["methods"] = json!(["GET", "POST"])))),
        ("a path", changed(grants(|grants| grants[0]["params"]["path_prefixes"] = json!(["/v1/"])))),
        ("a port", changed(grants(|grants| grants[0]["params"]["ports"] = json!([443])))),
        ("a bound under a budget", changed(grants(|grants| grants[0]["params"]["body_bytes_max"] = json!(10)))),
        ("an earlier end", changed(grants(|grants| grants[0]["expiry_ns"] = json!("2029-01-01T00:00:00Z")))),
        ("a later end", changed(grants(|grants| grants[0]["expiry_ns"] = json!("2031-01-01T00:00:00Z")))),
        (
            "params that the world's own enforcer reads",
            changed(grants(|grants| grants[2]["params"] = json!({"most": 2}))),
        ),
        ("a new grant", changed(CHANGES[8])),
        ("no policy", changed(CHANGES[10])),
        ("a lower budget", changed(grants(|grants| grants[0]["budget"] = json!({"calls": 1})))),
        ("all of it", changed(|world| CHANGES.iter().for_each(|change| change(world)))),
    ];
    let lines: Vec<String> =
        cases.iter().map(|(what, target)| format!("-- {what}\n{}", proved(&world(), target))).collect();
    assert_snapshot!(lines.join("\n"), @"
    -- fewer hosts
    set_defaults: tightens
    -- other hosts
    set_defaults: the grant `web`: `hosts` allows something else
    -- one method
    set_defaults: tightens
    -- another method
    set_defaults: the grant `web`: `methods` allows something else
    -- a path
    set_defaults: tightens
    -- a port
    set_defaults: the grant `web`: `ports` allows something else
    -- a bound under a budget
    set_defaults: the grant `web`: a lower `body_bytes_max` lets more calls into its budget
    -- an earlier end
    set_defaults: tightens
    -- a later end
    set_defaults: the grant `web`: it ends later
    -- params that the world's own enforcer reads
    set_defaults: the grant `ping`: what its enforcer makes of the params is not known
    -- a new grant
    set_defaults: the grant `spare` is new
    -- no policy
    set_defaults: tightens
    -- a lower budget
    set_budget: it opens a grant that an overrun has blocked
    -- all of it
    replace_def: a change of `schemas` is never proved by structure
    add_def: a change of `schemas` is never proved by structure
    remove_def: a change of `schemas` is never proved by structure
    replace_def: a change of `schemas` is never proved by structure
    replace_def: a change of `modules` is never proved by structure
    remove_def: a change of `modules` is never proved by structure
    replace_def: a change of `plans` is never proved by structure
    replace_def: what another effect lets through is not known
    replace_def: the rules let more through
    remove_def: a change of `secrets` is never proved by structure
    remove_def: a change of `migrations` is never proved by structure
    set_manifest_refs: tightens
    set_routing_events: a change of `events` is never proved by structure
    set_routing_inboxes: a change of `inboxes` is never proved by structure
    set_defaults: the grant `web`: it ends later
    set_trust: a change of `trust` is never proved by structure
    set_limits: a change of `limits` is never proved by structure
    set_governance: a change of `governance` is never proved by structure
    set_budget: it opens a grant that an overrun has blocked
    set_budget: it opens a grant that an overrun has blocked
    ");
}

#[test]
fn what_a_model_may_do_is_narrowed_field_by_field() {
    type Change = fn(&mut Value);
    let with = |change: Change| {
        changed(|world| {
            let model =
                json!({"name": "model", "cap": "sys/llm.basic@1", "params": {"models": ["a", "b"], "max_tokens": 100}});
            world[0]["defaults"]["cap_grants"].as_array_mut().unwrap().push(model);
            world[0]["defaults"]["policy"] = json!("shop/Cedar@1");
            change(world);
        })
    };
    fn model(world: &mut Value) -> &mut Value {
        &mut world[0]["defaults"]["cap_grants"][3]
    }
    let base = with(|_| ());
    let cases: [(&str, Change); 12] = [
        ("fewer models", |world| model(world)["params"]["models"] = json!(["b"])),
        ("any model", |world| drop(model(world)["params"].as_object_mut().unwrap().remove("models"))),
        ("one provider", |world| model(world)["params"]["providers"] = json!(["p"])),
        ("a tool", |world| model(world)["params"]["tools_allow"] = json!(["t"])),
        ("no tool, as before", |world| model(world)["params"]["tools_allow"] = json!([])),
        ("fewer tokens", |world| model(world)["params"]["max_tokens"] = json!(99)),
        ("more tokens", |world| model(world)["params"]["max_tokens"] = json!(101)),
        ("any count of tokens", |world| drop(model(world)["params"].as_object_mut().unwrap().remove("max_tokens"))),
        ("a bound on cost", |world| model(world)["params"]["cents_max"] = json!(5)),
        ("a key that is honoured", |world| model(world)["honours_key"] = json!(true)),
        ("no grant", |world| drop(world[0]["defaults"]["cap_grants"].as_array_mut().unwrap().pop())),
        ("a forbid", |world| {
            let text = "permit (principal, action, resource); forbid (principal, action, resource) when { resource.cap_type == \"timer\" };";
            definition(world, "shop/Cedar@1")["cedar"] = json!(text);
        }),
    ];
    let lines: Vec<String> =
        cases.iter().map(|(what, change)| format!("{what}: {}", proved(&base, &with(*change)))).collect();
    assert_snapshot!(lines.join("\n"), @"
    fewer models: set_defaults: tightens
    any model: set_defaults: the grant `model`: `models` allows something else
    one provider: set_defaults: tightens
    a tool: set_defaults: the grant `model`: `tools_allow` allows something else
    no tool, as before: set_defaults: tightens
    fewer tokens: set_defaults: tightens
    more tokens: set_defaults: the grant `model`: `max_tokens` is raised
    any count of tokens: set_defaults: the grant `model`: `max_tokens` is raised
    a bound on cost: set_defaults: tightens
    a key that is honoured: set_defaults: the grant `model`: effects under it are repeated in another way after a crash
    no grant: set_defaults: tightens
    a forbid: replace_def: tightens
    ");
}
