//! What is refused, how it reads, and which node is none.

use alloc::string::ToString;
use alloc::vec::Vec;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;
use crate::def::Definition;

#[test]
fn a_patch_is_refused_where_it_does_not_meet_its_base() {
    let rules = json!({"$kind": "defpolicy", "name": "shop/Rules@1", "rules": []});
    let zero = Digest::from_bytes([0; 32]).to_string();
    assert_snapshot!(refused(json!([
        {"add_def": {"kind": "defpolicy", "node": rules}},
        {"replace_def": {"kind": "defpolicy", "name": "shop/Cedar@1", "new_node": {"$kind": "defpolicy", "name": "shop/Cedar@1", "rules": []}, "pre_hash": zero}},
        {"remove_def": {"kind": "defschema", "name": "shop/Oder@1", "pre_hash": zero}},
        {"set_limits": {"limits": {}, "pre_hash": zero}},
        {"set_limits": {"limits": {"events_per_call_max": 9}, "pre_hash": zero}},
        {"set_budget": {"grant": "wbe", "budget": null, "pre_hash": zero}},
        {"set_manifest_refs": {"add": [{"kind": "defschema", "name": "shop/Key@1"}], "remove": [{"kind": "defcap", "name": "sys/timer@1"}]}}
    ])), @"
    error[patch.exists]: the policy `shop/Rules@1` is there already
      change.patch.json:10:19  /patches/0/add_def/node/name
      help: to change it, use `replace_def`
    error[patch.pre_hash]: the policy `shop/Cedar@1` is not what the operation says it is
      change.patch.json:24:21  /patches/1/replace_def/pre_hash
      help: in the base its hash is blake3:ccc0d16f6d6f40fc0f7e6093f01ef17f1f22565865a3619364154c92ae68084c; look at it before you take that over
    error[patch.unknown]: the base has no schema `shop/Oder@1`
      change.patch.json:30:17  /patches/2/remove_def/name
      help: did you mean `shop/Order@1`?
    error[patch.pre_hash]: the block `limits` is not what the operation says it is
      change.patch.json:37:21  /patches/3/set_limits/pre_hash
      help: in the base its hash is blake3:39252cb25a95e85d07ae85922d507e480df52478efab9f77db3cfdbf15be9aa4; look at it before you take that over
    error[patch.twice]: the patch changes the block `limits` twice
      change.patch.json:41:21  /patches/4/set_limits
      help: the first operation that changes it is /patches/3/set_limits; make one of them
    error[patch.unknown]: the base has no grant `wbe`
      change.patch.json:50:18  /patches/5/set_budget/grant
      help: did you mean `web`?
    error[patch.unknown]: the schema `shop/Key@1` is not built in
      change.patch.json:60:21  /patches/6/set_manifest_refs/add/0/name
      help: a definition of the world's own is listed by `add_def`, and no more by `remove_def`
    error[patch.unknown]: the manifest does not list the capability `sys/timer@1`
      change.patch.json:66:21  /patches/6/set_manifest_refs/remove/0/name
    ");
    assert_snapshot!(refused(json!([
        {"set_defaults": {"defaults": {"cap_grants": [{"name": "web", "cap": "sys/http.out@1", "params": {"hosts": ["a.example"]}, "budget": {"calls": 101}}]}, "pre_hash": "{hash of defaults}"}},
        {"set_budget": {"grant": "clock", "budget": {"calls": 1}, "pre_hash": "{hash of budget clock}"}},
        {"remove_def": {"kind": "defsecret", "name": "shop/api@1", "pre_hash": "{hash of shop/api@1}"}},
        {"set_secrets": {"secrets": [], "pre_hash": "{hash of secrets}"}}
    ])), @"
    error[patch.budget]: the budget of the grant `web` changes
      change.patch.json:17:25  /patches/0/set_defaults/defaults/cap_grants/0/budget
      help: leave it here as it is in the base, and change it with `set_budget`
    error[patch.unknown]: the patch takes the grant `clock` away
      change.patch.json:28:18  /patches/1/set_budget/grant
    error[patch.twice]: the patch changes the secrets twice
      change.patch.json:43:22  /patches/3/set_secrets
      help: the first operation that changes it is /patches/2/remove_def; make one of them
    ");
    let mut other = patch_of(json!([{"set_limits": {"limits": {}, "pre_hash": zero}}]));
    other["base_manifest_hash"] = json!(zero);
    assert_snapshot!(apply_document(&world(), &document(&other)).unwrap_err(), @"
    error[patch.base]: the patch changes blake3:0000000000000000000000000000000000000000000000000000000000000000, and this manifest is blake3:1e3ed1ea3026e9463994f3801ab9624f6f3006919e8b442b9a84ad3519581766
      change.patch.json:3:25  /base_manifest_hash
      help: make the patch again from the manifest that is in force
    ");
}

#[test]
fn what_is_removed_is_not_used_any_more() {
    assert_snapshot!(refused(json!([
        {"remove_def": {"kind": "defschema", "name": "shop/Key@1", "pre_hash": "{hash of shop/Key@1}"}},
        {"remove_def": {"kind": "defeffect", "name": "shop/ping@1", "pre_hash": "{hash of shop/ping@1}"}},
        {"remove_def": {"kind": "defpolicy", "name": "shop/Rules@1", "pre_hash": "{hash of shop/Rules@1}"}}
    ])), @"
    error[patch.still_used]: the schema `shop/Key@1` is still used by the module `shop/Orders@1`, at /key_schema
      change.patch.json:6:21  /patches/0/remove_def
      help: change that in the same patch, or leave this where it is
    error[patch.still_used]: the schema `shop/Key@1` is still used by the schema `shop/Paid@1`, at /type/variant/Card/record/order/ref
      change.patch.json:6:21  /patches/0/remove_def
      help: change that in the same patch, or leave this where it is
    error[patch.still_used]: the effect `shop/ping@1` is still used by the plan `shop/Pay@1`, at /steps/2/kind
      change.patch.json:13:21  /patches/1/remove_def
      help: change that in the same patch, or leave this where it is
    error[patch.still_used]: the policy `shop/Rules@1` is still used by the manifest, at /defaults/policy
      change.patch.json:20:21  /patches/2/remove_def
      help: change that in the same patch, or leave this where it is
    ");
    assert_snapshot!(refused(json!([
        {"set_defaults": {"defaults": {"cap_grants": []}, "pre_hash": "{hash of defaults}"}}
    ])), @"
    error[patch.still_used]: the grant `clock` is still used by the manifest, at /module_bindings/shop~1Orders@1/slots/later
      change.patch.json:7:21  /patches/0/set_defaults/defaults
      help: change that in the same patch, or leave this where it is
    error[patch.still_used]: the grant `ping` is still used by the plan `shop/Pay@1`, at /steps/2/cap
      change.patch.json:7:21  /patches/0/set_defaults/defaults
      help: change that in the same patch, or leave this where it is
    error[patch.still_used]: the grant `web` is still used by the plan `shop/Pay@1`, at /steps/0/cap
      change.patch.json:7:21  /patches/0/set_defaults/defaults
      help: change that in the same patch, or leave this where it is
    error[patch.still_used]: the grant `web` is still used by the policy `shop/Rules@1`, at /rules/0/when/cap_name
      change.patch.json:7:21  /patches/0/set_defaults/defaults
      help: change that in the same patch, or leave this where it is
    error[patch.still_used]: the grant `web` is still used by the secret `shop/api@1`, at /allowed_caps/0
      change.patch.json:7:21  /patches/0/set_defaults/defaults
      help: change that in the same patch, or leave this where it is
    ");
    // What the patch itself brings and gets wrong is said at its place in the patch.
    let plan = json!({"$kind": "defschema", "name": "shop/Note@1", "type": {"ref": "shop/Key@1"}});
    assert_snapshot!(refused(json!([
        {"remove_def": {"kind": "defpolicy", "name": "shop/Cedar@1", "pre_hash": "{hash of shop/Cedar@1}"}},
        {"add_def": {"kind": "defschema", "node": plan}},
        {"set_triggers": {"triggers": [{"event": "shop/Note@1", "plan": "shop/Pya@1"}], "pre_hash": "{hash of triggers}"}},
        {"set_limits": {"limits": {"fuel": 1}, "pre_hash": "{hash of limits}"}},
        {"add_def": {"kind": "defsecret", "node": {"$kind": "defsecret", "name": "sys/key@1", "binding_id": "x"}}},
        {"add_def": {"kind": "defmodule", "node": {"$kind": "defmodule", "name": "shop/New@1", "module_kind": "pure", "abi": {"pure": {"input": "shop/Key@1", "output": "shop/Key@1"}}}}}
    ])), @"
    error[plan.unbound]: step `note` of `shop/Pay@1`: `@var:correlation_id` names no variable of the plan
      base: defplan shop/Pay@1  /steps/4/where/args/1/ref
    error[plan.missing]: there is no plan `shop/Pya@1`
      change.patch.json:29:21  /patches/2/set_triggers/triggers/0/plan
      help: did you mean `shop/Pay@1`?
    error[limit.range]: there is no limit `fuel`
      change.patch.json:38:19  /patches/3/set_limits/limits/fuel
    error[name.reserved]: `sys/key@1` lies in the reserved namespace
      change.patch.json:48:19  /patches/4/add_def/node/name
      help: choose a namespace other than `sys`, which is for built-in definitions
    error[module.wasm_missing]: the module `shop/New@1` has no `wasm_hash` and was not built
      change.patch.json:56:17  /patches/5/add_def/node
      help: build the module, or give the hash of one that is there
    ");
}

#[test]
fn a_patch_says_all_that_it_changes() {
    let line = json!({"$kind": "defschema", "name": "shop/Limits@1", "type": {"record": {"most": {"nat": {}}, "since": {"option": {"time": {}}}, "note": {"option": {"text": {}}}}}});
    let params = json!({"$kind": "defschema", "name": "shop/PingParams@1", "type": {"record": {"ref": {"text": {}}, "note": {"option": {"text": {}}}, "copy": {"option": {"text": {}}}}}});
    assert_snapshot!(refused(json!([
        {"replace_def": {"kind": "defschema", "name": "shop/Limits@1", "new_node": line, "pre_hash": "{hash of shop/Limits@1}"}},
        {"replace_def": {"kind": "defschema", "name": "shop/PingParams@1", "new_node": params, "pre_hash": "{hash of shop/PingParams@1}"}}
    ])), @"
    error[patch.incomplete]: the plan `shop/Pay@1` would read differently, and the patch does not name it
      base: defplan shop/Pay@1
      help: replace it too, as a diff of the changed documents does
    error[patch.incomplete]: the block `defaults` would read differently, and the patch does not name it
      candidate: manifest
      help: replace it too, as a diff of the changed documents does
    ");
}

#[test]
fn the_form_of_a_patch_is_strict() {
    let zero = Digest::from_bytes([0; 32]).to_string();
    assert_snapshot!(refused(json!([
        {"ad_def": {}},
        {"add_def": {}, "remove_def": {}},
        5,
        {"add_def": {"kind": "manifest", "node": {}}},
        {"add_def": {"kind": "defschema", "node": {"$kind": "defsecret", "name": "shop/b@1", "binding_id": "b"}}},
        {"replace_def": {"kind": "defsecret", "name": "shop/a@1", "new_node": {"$kind": "defsecret", "name": "shop/b@1", "binding_id": "b"}, "pre_hash": zero}},
        {"remove_def": {"kind": "defschema", "name": "shop/Key@1"}},
        {"set_manifest_refs": {}},
        {"set_triggers": {"trigger": [], "pre_hash": zero}},
        {"set_effect_mode": {"mode": "dead"}},
        {"cancel_instances": {"instances": [1, 2, 1]}},
        {"cancel_instances": {"instances": []}},
        {"set_budget": {"grant": "web", "pre_hash": zero}}
    ])), @r#"
    error[patch.operation]: there is no operation `ad_def`
      change.patch.json:6:17  /patches/0/ad_def
      help: did you mean `add_def`?
    error[patch.operation]: an operation is an object with exactly one key
      change.patch.json:8:5  /patches/1
      help: as in {"remove_def": {…}}
    error[field.type]: an operation was expected here, not a number
      change.patch.json:12:5  /patches/2
    error[field.word]: `manifest` means nothing here
      change.patch.json:15:17  /patches/3/add_def/kind
      help: one of defschema, defmodule, defplan, defeffect, defcap, defpolicy, defsecret, defmigration
    error[kind.missing]: the definition has no `$kind`
      change.patch.json:16:17  /patches/3/add_def/node
      help: one of defschema, defmodule, defplan, defeffect, defcap, defpolicy, defsecret, defmigration, manifest
    error[patch.node]: the operation is about a schema, and its node is a secret
      change.patch.json:22:17  /patches/4/add_def/node
    error[patch.node]: the operation is about `shop/a@1`, and its node is `shop/b@1`
      change.patch.json:33:21  /patches/5/replace_def/new_node
      help: to rename a definition, remove one and add the other
    error[field.missing]: `pre_hash` is missing
      change.patch.json:42:21  /patches/6/remove_def
    error[patch.operation]: the operation neither adds nor removes anything
      change.patch.json:48:28  /patches/7/set_manifest_refs
    error[field.missing]: `triggers` is missing
      change.patch.json:51:23  /patches/8/set_triggers
    error[field.unknown]: `trigger` is not known here
      change.patch.json:52:20  /patches/8/set_triggers/trigger
      help: did you mean `triggers`?
    error[field.word]: `dead` means nothing here
      change.patch.json:58:17  /patches/9/set_effect_mode/mode
      help: one of live, recorded, simulated, deny
    error[value.twice]: the instance 1 stands here twice
      change.patch.json:63:22  /patches/10/cancel_instances/instances
    error[patch.operation]: the operation names no instance
      change.patch.json:72:22  /patches/11/cancel_instances/instances
    error[field.missing]: `budget` is missing
      change.patch.json:76:21  /patches/12/set_budget
    "#);
    let read =
        |text: &str| match Patch::read(&Document::parse(&Source { file: "p".into(), text: text.into() }).unwrap()) {
            Ok(patch) => format!("{} operations", patch.operations.len()),
            Err(findings) => findings.to_string(),
        };
    let head = format!(r#""base_manifest_hash": "{zero}""#);
    assert_snapshot!(read(&format!(r#"{{"$kind": "patch", "version": "1", {head}, "patches": [], "$comment": "nothing"}}"#)), @"0 operations");
    assert_snapshot!(read(&format!(r#"{{"$kind": "manifest", "version": "1", {head}, "patches": []}}"#)), @"
    error[field.word]: `manifest` means nothing here
      p:1:11  /$kind
      help: one of patch
    ");
    assert_snapshot!(read(&format!(r#"{{"version": "2", {head}, "patches": []}}"#)), @"
    error[field.word]: `2` means nothing here
      p:1:13  /version
      help: did you mean `1`?
    ");
    assert_snapshot!(read(r#"{"version": "1", "base": 1}"#), @"
    error[field.missing]: `base_manifest_hash` is missing
      p:1:1
    error[field.missing]: `patches` is missing
      p:1:1
    error[field.unknown]: `base` is not known here
      p:1:26  /base
      help: known here: $kind, version, base_manifest_hash, patches
    ");
}

#[test]
fn a_node_says_things_in_one_way_only() {
    let base = world();
    let decode = |patch: &Value| {
        let node = crate::def::encode_json(document(patch).json()).unwrap();
        match apply_node(&base, &node) {
            Ok(candidate) => candidate.manifest.hash().to_string(),
            Err(findings) => findings.to_string().replace(&Digest::of(&node).to_string(), "(hash)"),
        }
    };
    let refs = |add: Value| {
        let mut patch = patch_of(json!([{"set_manifest_refs": {"add": add}}]));
        patch["$kind"] = json!("patch");
        patch
    };
    let fired = json!({"kind": "defschema", "name": "sys/TimerFired@1", "hash": "{hash of sys/TimerFired@1}"});
    let error = json!({"kind": "defschema", "name": "sys/EffectError@1", "hash": "{hash of sys/EffectError@1}"});
    let target = applied(json!([{"set_manifest_refs": {"add": [fired, error]}}])).manifest.hash().to_string();
    assert_eq!(decode(&refs(json!([error, fired]))), target);
    assert_snapshot!(decode(&refs(json!([fired, error]))), @"
    error[node.damaged]: the patch is not in its normal form
      (hash)
    ");
    assert_snapshot!(decode(&refs(json!([{"kind": "defschema", "name": "sys/TimerFired@1"}]))), @"
    error[node.damaged]: the patch is not in its normal form
      (hash)
    ");
    let mut without_kind = refs(json!([fired]));
    without_kind.as_object_mut().unwrap().remove("$kind");
    assert_snapshot!(decode(&without_kind), @"
    error[node.damaged]: the patch is not in its normal form
      (hash)
    ");
    let mut sugar = patch_of(json!([{"set_defaults": {
        "defaults": {"policy": "shop/Cedar@1", "cap_grants": [
            {"name": "web", "cap": "sys/http.out@1", "params": {"hosts": ["a.example"]}, "budget": {"calls": 100, "bytes": "18446744073709551615"}},
            {"name": "clock", "cap": "sys/timer@1", "params": {}},
            {"name": "ping", "cap": "shop/Ping@1", "params": {"most": 3}}
        ]},
        "pre_hash": "{hash of defaults}"
    }}]));
    sugar["$kind"] = json!("patch");
    assert_snapshot!(decode(&sugar), @"
    error[node.damaged]: the patch is not in its normal form
      (hash)
    ");
    assert_eq!(apply_node(&base, &[0xa0, 0]).map(|_| ()).unwrap_err().0[0].code, "node.damaged", "trailing bytes");
    assert_eq!(apply_node(&base, base.nodes().next().unwrap().1).map(|_| ()).unwrap_err().0[0].code, "field.word");
}

#[test]
fn a_patch_has_the_size_of_a_document() {
    let most = crate::limits::DOCUMENT_BYTES_MAX;
    let padded = |bytes: usize| Patch {
        base: world().hash(),
        operations: Vec::from([Operation::AddDef {
            node: Definition::Policy(crate::def::Policy {
                name: Name::parse("shop/Long@1").unwrap(),
                body: crate::def::Body::Cedar("x".repeat(bytes)),
            })
            .into(),
        }]),
    };
    let around = padded(70_000).node().unwrap().len() - 70_000;
    assert_eq!(padded(most - around).node().map(|node| node.len()), Ok(most));
    assert_eq!(padded(most - around + 1).node(), Err(NodeError::Size));
}
