//! Patches of one world. Here: the world, its changes, and what comes out of a patch.
//!
//! Golden bytes and the whole table of what is refused are in `spec/vectors/air/patches.json`.

mod diffs;
mod reading;
mod refused;
mod tightening;

use alloc::string::{String, ToString};

use serde_json::{Value, json};

use super::*;
use crate::def::{BlockName, Kind};
use crate::name::Name;
use crate::text::Source;
use crate::validate::{Checked, Manifest, load};

/// A world with every kind of definition.
const WORLD: &str = include_str!("../../../../spec/vectors/air/world.air.json");

fn wasm(name: &Name) -> Option<Digest> {
    Some(Digest::of(name.as_str().as_bytes()))
}

#[track_caller]
fn load_value(world: &Value) -> Checked<Manifest> {
    let source = Source { file: "world.air.json".into(), text: world.to_string() };
    load(&[source], &wasm).unwrap_or_else(|findings| panic!("{findings}"))
}

fn world_value() -> Value {
    serde_json::from_str(WORLD).unwrap()
}

fn world() -> Checked<Manifest> {
    load_value(&world_value())
}

/// Loads the world after a change of its documents.
#[track_caller]
fn changed(change: impl Fn(&mut Value)) -> Checked<Manifest> {
    let mut value = world_value();
    change(&mut value);
    load_value(&value)
}

/// Finds a definition among a world's documents.
fn definition<'a>(world: &'a mut Value, name: &str) -> &'a mut Value {
    let all = world.as_array_mut().unwrap();
    all.iter_mut().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}"))
}

/// Adds a definition to a world's documents, and lists it.
fn insert(world: &mut Value, list: &str, node: Value) {
    let name = node["name"].clone();
    if world[0][list].is_null() {
        world[0][list] = json!([]);
    }
    world[0][list].as_array_mut().unwrap().push(json!({"name": name}));
    world.as_array_mut().unwrap().push(node);
}

/// Takes a definition out of a world's documents and its list, if it is there.
fn delete(world: &mut Value, list: &str, name: &str) {
    world[0][list].as_array_mut().unwrap().retain(|one| one["name"] != name);
    world.as_array_mut().unwrap().retain(|one| one["name"] != name);
}

fn document(patch: &Value) -> Document {
    let text = serde_json::to_string_pretty(patch).unwrap();
    Document::parse(&Source { file: "change.patch.json".into(), text }).unwrap()
}

/// Makes a patch of the world from operations, in which `{hash of …}` stands for a hash.
fn patch_of(operations: Value) -> Value {
    let base = world();
    let find = |word: &str| {
        let block = BlockName::ALL.into_iter().find(|name| name.key() == word);
        if let Some(name) = block {
            return edit::block_hash(base.definition(), name);
        }
        if word == "secrets" {
            return edit::secrets_hash(base.definition());
        }
        if let Some(grant) = word.strip_prefix("budget ") {
            return edit::budget_hash(base.definition().grant(grant).unwrap().budget.as_ref());
        }
        let name = Name::parse(word).unwrap();
        let (hash, _) =
            Kind::ALL.into_iter().find_map(|kind| base.find(kind, &name)).unwrap_or_else(|| panic!("{word}"));
        hash
    };
    let mut text =
        json!({"version": "1", "base_manifest_hash": base.hash().to_string(), "patches": operations}).to_string();
    while let Some(start) = text.find("{hash of ") {
        let end = start + text[start..].find('}').unwrap();
        let hash = find(&text[start + "{hash of ".len()..end]).to_string();
        text.replace_range(start..=end, &hash);
    }
    serde_json::from_str(&text).unwrap()
}

#[track_caller]
fn applied(operations: Value) -> Candidate {
    apply_document(&world(), &document(&patch_of(operations))).unwrap_or_else(|findings| panic!("{findings}"))
}

/// Says what is found in a patch of the world.
fn refused(operations: Value) -> String {
    match apply_document(&world(), &document(&patch_of(operations))) {
        Ok(_) => "nothing".into(),
        Err(findings) => findings.to_string(),
    }
}

/// Changes that leave a world whole, in any combination and order.
const CHANGES: [fn(&mut Value); 24] = [
    |world| world[0]["limits"] = json!({"events_per_call_max": 9, "calls_per_frame_max": 77}),
    |world| drop(world[0].as_object_mut().unwrap().remove("limits")),
    |world| drop(world[0].as_object_mut().unwrap().remove("governance")),
    |world| world[0]["governance"] = json!({"approvals": 2, "solo": true}),
    |world| world[0]["defaults"]["cap_grants"][0]["budget"] = json!({"calls": 101, "tokens": 3}),
    |world| drop(world[0]["defaults"]["cap_grants"][0].as_object_mut().unwrap().remove("budget")),
    |world| drop(world[0]["defaults"]["cap_grants"][0].as_object_mut().unwrap().remove("expiry_ns")),
    |world| world[0]["defaults"]["cap_grants"][1]["budget"] = json!({}),
    |world| {
        let spare = json!({"name": "spare", "cap": "sys/http.out@1", "params": {"hosts": ["c.example"]}, "budget": {"calls": 1}});
        let grants = world[0]["defaults"]["cap_grants"].as_array_mut().unwrap();
        grants.retain(|grant| grant["name"] != "spare");
        grants.push(spare);
    },
    |world| world[0]["defaults"]["policy"] = json!("shop/Rules@1"),
    |world| drop(world[0]["defaults"].as_object_mut().unwrap().remove("policy")),
    |world| definition(world, "shop/Rules@1")["rules"] = json!([{"when": {}, "decision": "allow"}]),
    |world| {
        delete(world, "schemas", "shop/Note@1");
        insert(
            world,
            "schemas",
            json!({"$kind": "defschema", "name": "shop/Note@1", "type": {"list": {"ref": "shop/Line@1"}}}),
        );
    },
    // What is not changed reads differently after it.
    |world| definition(world, "shop/Limits@1")["type"]["record"]["note"] = json!({"option": {"text": {}}}),
    |world| definition(world, "shop/PingParams@1")["type"]["record"]["copy"] = json!({"option": {"text": {}}}),
    |world| definition(world, "shop/Pay@1")["steps"][1]["timeout_ns"] = json!(7),
    |world| world[0]["routing"]["inboxes"] = json!([{"source": "post", "reducer": "shop/Orders@1"}]),
    |world| world[0]["routing"]["events"].as_array_mut().unwrap().reverse(),
    |world| world[0]["trust"]["principals"][0]["roles"] = json!(["auditor", "author"]),
    |world| delete(world, "secrets", "shop/api@1"),
    |world| {
        delete(world, "migrations", "shop/FromOld@1");
        delete(world, "modules", "shop/Upgrade@1");
        delete(world, "schemas", "shop/Old@1");
    },
    |world| definition(world, "shop/ping@1")["description"] = json!("asks\nthe printer"),
    |world| world[0]["effects"] = json!([{"name": "shop/ping@1"}, {"name": "sys/timer.set@1"}]),
    |world| definition(world, "shop/Orders@1")["wasm_hash"] = json!(Digest::of(b"another").to_string()),
];

#[test]
fn a_patch_does_what_the_same_change_of_the_documents_does() {
    let note = json!({"$kind": "defschema", "name": "shop/Note@1", "type": {"text": {}}});
    let rules = json!({"$kind": "defpolicy", "name": "shop/Rules@1", "rules": []});
    type Change = fn(&mut Value);
    let cases: [(&str, Value, Change); 12] = [
        ("nothing", json!([]), |_| ()),
        ("add_def", json!([{"add_def": {"kind": "defschema", "node": note}}]), |world| {
            insert(world, "schemas", json!({"$kind": "defschema", "name": "shop/Note@1", "type": {"text": {}}}));
        }),
        (
            "replace_def",
            json!([{"replace_def": {"kind": "defpolicy", "name": "shop/Rules@1", "new_node": rules, "pre_hash": "{hash of shop/Rules@1}"}}]),
            |world| definition(world, "shop/Rules@1")["rules"] = json!([]),
        ),
        (
            "remove_def",
            json!([{"remove_def": {"kind": "defpolicy", "name": "shop/Cedar@1", "pre_hash": "{hash of shop/Cedar@1}"}}]),
            |world| delete(world, "policies", "shop/Cedar@1"),
        ),
        (
            "set_manifest_refs",
            json!([{"set_manifest_refs": {
                "add": [{"kind": "defschema", "name": "sys/TimerFired@1"}, {"kind": "defmodule", "name": "sys/CapAllowAll@1"}],
                "remove": [{"kind": "defeffect", "name": "sys/http.request@1"}]
            }}]),
            |world| {
                world[0]["schemas"].as_array_mut().unwrap().push(json!({"name": "sys/TimerFired@1"}));
                world[0]["modules"].as_array_mut().unwrap().push(json!({"name": "sys/CapAllowAll@1"}));
                world[0]["effects"].as_array_mut().unwrap().retain(|one| one["name"] != "sys/http.request@1");
            },
        ),
        (
            "set_routing_inboxes",
            json!([{"set_routing_inboxes": {"inboxes": [], "pre_hash": "{hash of inboxes}"}}]),
            |world| drop(world[0]["routing"].as_object_mut().unwrap().remove("inboxes")),
        ),
        ("set_limits", json!([{"set_limits": {"limits": {}, "pre_hash": "{hash of limits}"}}]), |world| {
            drop(world[0].as_object_mut().unwrap().remove("limits"))
        }),
        (
            "set_governance",
            json!([{"set_governance": {"governance": null, "pre_hash": "{hash of governance}"}}]),
            |world| drop(world[0].as_object_mut().unwrap().remove("governance")),
        ),
        (
            "set_secrets",
            json!([{"set_secrets": {"secrets": [{"$kind": "defsecret", "name": "shop/api@1", "binding_id": "other"}], "pre_hash": "{hash of secrets}"}}]),
            |world| {
                *definition(world, "shop/api@1") =
                    json!({"$kind": "defsecret", "name": "shop/api@1", "binding_id": "other"})
            },
        ),
        (
            "set_budget",
            json!([{"set_budget": {"grant": "web", "budget": {"cents": "7"}, "pre_hash": "{hash of budget web}"}}]),
            |world| world[0]["defaults"]["cap_grants"][0]["budget"] = json!({"cents": 7}),
        ),
        (
            "set_defaults and set_budget",
            json!([
                {"set_budget": {"grant": "clock", "budget": {"calls": 5}, "pre_hash": "{hash of budget clock}"}},
                {"set_defaults": {
                    "defaults": {"policy": "shop/Rules@1", "cap_grants": [
                        {"name": "clock", "cap": "sys/timer@1", "params": {}},
                        {"name": "ping", "cap": "shop/Ping@1", "params": {"most": 4, "since": "2026-01-01T00:00:00Z"}},
                        {
                            "name": "web", "cap": "sys/http.out@1", "params": {"hosts": ["a.example"]},
                            "budget": {"calls": 100, "bytes": "18446744073709551615"}
                        }
                    ]},
                    "pre_hash": "{hash of defaults}"
                }}
            ]),
            |world| {
                world[0]["defaults"]["cap_grants"] = json!([
                    {"name": "clock", "cap": "sys/timer@1", "params": {}, "budget": {"calls": 5}},
                    {"name": "ping", "cap": "shop/Ping@1", "params": {"most": 4, "since": "2026-01-01T00:00:00Z"}},
                    {
                        "name": "web", "cap": "sys/http.out@1", "params": {"hosts": ["a.example"]},
                        "budget": {"calls": 100, "bytes": "18446744073709551615"}
                    }
                ]);
            },
        ),
        (
            "what is not in the manifest",
            json!([{"set_effect_mode": {"mode": "deny"}}, {"cancel_instances": {"instances": [9, 3]}}]),
            |_| (),
        ),
    ];
    for (what, operations, change) in cases {
        let candidate = applied(operations);
        assert_eq!(candidate.manifest.hash(), changed(change).hash(), "{what}");
        let again = apply_node(&world(), &candidate.node).map(|again| (again.hash, again.manifest.hash()));
        assert_eq!(again, Ok((candidate.hash, candidate.manifest.hash())), "{what}");
    }
}

#[test]
fn what_no_manifest_has_is_handed_on() {
    let candidate = applied(json!([
        {"set_budget": {"grant": "web", "budget": null, "pre_hash": "{hash of budget web}"}},
        {"cancel_instances": {"instances": [9, "3"]}},
        {"set_effect_mode": {"mode": "simulated"}}
    ]));
    assert_eq!(
        candidate.actions,
        [
            Action::CancelInstances(Vec::from([3, 9])),
            Action::SetEffectMode(EffectMode::Simulated),
            Action::SetBudget { grant: "web".into() }
        ]
    );
    let only_mode = applied(json!([{"set_effect_mode": {"mode": "live"}}]));
    assert_eq!(only_mode.manifest.hash(), world().hash());
}
