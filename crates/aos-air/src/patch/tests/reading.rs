//! What a person reads.

use insta::assert_snapshot;
use serde_json::json;

use super::*;

#[test]
fn a_patch_reads_as_what_it_changes() {
    let all = changed(|world| CHANGES.iter().for_each(|change| change(world)));
    assert_snapshot!(render(&world(), &diff(&world(), &all)), @r#"
    ~ schema shop/Limits@1
        + type.note: option of text
    + schema shop/Note@1
        + type: list of shop/Line@1
    - schema shop/Old@1
        - type: list of shop/Line@1
    ~ schema shop/PingParams@1
        + type.copy: option of text
    ~ module shop/Orders@1
        ~ wasm_hash: blake3:97d4a6a6087cad2f849cb0edfd5de0dd498286887b5e85473221f5f805215d80 → blake3:cee450a2406289497e67bcd0cc5503c073a6f15504e5c6993ab085f4d4e09462
    - module shop/Upgrade@1
        - module_kind: pure
        - wasm_hash: blake3:5555555555555555555555555555555555555555555555555555555555555555
        - abi: {pure: {input: shop/Old@1, output: shop/Order@1, context: sys/PureContext@1}}
    ~ plan shop/Pay@1
        ~ steps[answer].timeout_ns: 5000000000 → 7
        + steps[print].params.copy: null
    ~ effect shop/ping@1
        - description line 1 | asks the shop's printer whether it is there
        + description line 1 | asks
        + description line 2 | the printer
    ~ policy shop/Rules@1
        - rules[0].when: {effect_kind: http.request, cap_name: web, origin_kind: plan, origin_name: shop/Pay@1}
        - rules[0].decision: allow
        - rules[1]: {when: {cap_type: shop.ping}, decision: require_approval}
        - rules[2]: {when: {}, decision: deny}
        + rules[0]: {when: {}, decision: allow}
    - secret shop/api@1
        - binding_id: shop-api
        - expected_digest: blake3:6666666666666666666666666666666666666666666666666666666666666666
        - allowed_caps: [web]
        - allowed_plans: [shop/Pay@1]
    - migration shop/FromOld@1
        - reducer: shop/Orders@1
        - from: shop/Old@1
        - to: shop/Order@1
        - module: shop/Upgrade@1
    ~ built-in definitions that the manifest lists
        - effect sys/http.request@1
        + effect sys/timer.set@1
    ~ routes of events
        - in the order shop/Placed@1 shop/Orders@1, shop/Paid@1 shop/Orders@1, shop/Event@1 shop/Orders@1
        + in the order shop/Event@1 shop/Orders@1, shop/Paid@1 shop/Orders@1, shop/Placed@1 shop/Orders@1
    ~ routes of inboxes
        - [mail]: {source: mail, reducer: shop/Orders@1}
        + [post]: {source: post, reducer: shop/Orders@1}
    ~ policy and grants
        - policy: shop/Rules@1
        - cap_grants[web].expiry_ns: 2030-01-01T00:00:00Z
        + cap_grants[ping].params.note: null
        + cap_grants[spare].name: spare
        + cap_grants[spare].cap: sys/http.out@1
        + cap_grants[spare].params.body_bytes_max: null
        + cap_grants[spare].params.hosts: ["c.example"]
        + cap_grants[spare].params.methods: null
        + cap_grants[spare].params.path_prefixes: null
        + cap_grants[spare].params.ports: null
        + cap_grants[spare].params.schemes: null
        + cap_grants[spare].budget: {calls: 1}
    ~ trust
        + principals[ann].roles[0]: auditor
        - principals[ann].roles[1]: owner
    ~ limits
        - events_per_call_max: 8
    ~ governance
        ~ approvals: 1 → 2
        ~ solo: false → true
    ~ budget of the grant clock
        ~ null → {}
    ~ budget of the grant web
        ~ {calls: 100, bytes: 18446744073709551615} → null
    "#);
    assert_snapshot!(render(&all, &diff(&all, &world())), @r#"
    ~ schema shop/Limits@1
        - type.note: option of text
    - schema shop/Note@1
        - type: list of shop/Line@1
    + schema shop/Old@1
        + type: list of shop/Line@1
    ~ schema shop/PingParams@1
        - type.copy: option of text
    ~ module shop/Orders@1
        ~ wasm_hash: blake3:cee450a2406289497e67bcd0cc5503c073a6f15504e5c6993ab085f4d4e09462 → blake3:97d4a6a6087cad2f849cb0edfd5de0dd498286887b5e85473221f5f805215d80
    + module shop/Upgrade@1
        + module_kind: pure
        + wasm_hash: blake3:5555555555555555555555555555555555555555555555555555555555555555
        + abi: {pure: {input: shop/Old@1, output: shop/Order@1, context: sys/PureContext@1}}
    ~ plan shop/Pay@1
        ~ steps[answer].timeout_ns: 7 → 5000000000
        - steps[print].params.copy: null
    ~ effect shop/ping@1
        - description line 1 | asks
        - description line 2 | the printer
        + description line 1 | asks the shop's printer whether it is there
    ~ policy shop/Rules@1
        - rules[0]: {when: {}, decision: allow}
        + rules[0].when: {effect_kind: http.request, cap_name: web, origin_kind: plan, origin_name: shop/Pay@1}
        + rules[0].decision: allow
        + rules[1]: {when: {cap_type: shop.ping}, decision: require_approval}
        + rules[2]: {when: {}, decision: deny}
    + secret shop/api@1
        + binding_id: shop-api
        + expected_digest: blake3:6666666666666666666666666666666666666666666666666666666666666666
        + allowed_caps: [web]
        + allowed_plans: [shop/Pay@1]
    + migration shop/FromOld@1
        + reducer: shop/Orders@1
        + from: shop/Old@1
        + to: shop/Order@1
        + module: shop/Upgrade@1
    ~ built-in definitions that the manifest lists
        - effect sys/timer.set@1
        + effect sys/http.request@1
    ~ routes of events
        - in the order shop/Event@1 shop/Orders@1, shop/Paid@1 shop/Orders@1, shop/Placed@1 shop/Orders@1
        + in the order shop/Placed@1 shop/Orders@1, shop/Paid@1 shop/Orders@1, shop/Event@1 shop/Orders@1
    ~ routes of inboxes
        - [post]: {source: post, reducer: shop/Orders@1}
        + [mail]: {source: mail, reducer: shop/Orders@1}
    ~ policy and grants
        + cap_grants[web].expiry_ns: 2030-01-01T00:00:00Z
        - cap_grants[ping].params.note: null
        - cap_grants[spare].name: spare
        - cap_grants[spare].cap: sys/http.out@1
        - cap_grants[spare].params.body_bytes_max: null
        - cap_grants[spare].params.hosts: ["c.example"]
        - cap_grants[spare].params.methods: null
        - cap_grants[spare].params.path_prefixes: null
        - cap_grants[spare].params.ports: null
        - cap_grants[spare].params.schemes: null
        - cap_grants[spare].budget: {calls: 1}
        + policy: shop/Rules@1
    ~ trust
        - principals[ann].roles[0]: auditor
        + principals[ann].roles[1]: owner
    ~ limits
        + events_per_call_max: 8
    ~ governance
        ~ approvals: 2 → 1
        ~ solo: true → false
    ~ budget of the grant clock
        ~ {} → null
    ~ budget of the grant web
        ~ null → {calls: 100, bytes: 18446744073709551615}
    "#);
}

#[test]
fn a_change_of_a_plan_is_shown_by_its_steps() {
    let target = changed(|world| {
        let plan = definition(world, "shop/Pay@1");
        plan["steps"][0]["params"]["method"] = json!("PUT");
        plan["steps"][0]["params"]["headers"] = json!({"accept": "text/plain", "x-shop-id": "7"});
        plan["steps"][4]["where"] =
            json!({"op": "eq", "args": [{"ref": "@var:correlation_id"}, {"ref": "@plan.input.order"}]});
        plan["steps"].as_array_mut().unwrap().swap(2, 3);
        plan["edges"][1]["when"] = json!({"op": "ne", "args": [{"ref": "@step:answer.status"}, {"text": "failed"}]});
        plan["invariants"] = json!([{"op": "not", "args": [{"bool": false}]}, {"bool": true}]);
        definition(world, "shop/Cedar@1")["cedar"] = json!(
            "permit (principal, action, resource)\nwhen { context.now > 5 };\nforbid (principal, action, resource)\nwhen { resource.cap_type == \"timer\" };"
        );
        definition(world, "shop/Paid@1")["type"]["variant"]["Card"]["record"]["code"] = json!({"option": {"int": {}}});
        definition(world, "shop/Order@1")["type"]["record"]["notes"] =
            json!({"map": {"key": {"text": {}}, "value": {"list": {"text": {}}}}});
        definition(world, "shop/Rules@1")["rules"]
            .as_array_mut()
            .unwrap()
            .insert(1, json!({"when": {"effect_kind": "shop.ping", "origin_kind": "reducer"}, "decision": "deny"}));
    });
    assert_snapshot!(render(&world(), &diff(&world(), &target)), @r#"
    ~ schema shop/Order@1
        + type.notes: map of text to list of text
    ~ schema shop/Paid@1
        ~ type.variant.Card.code: int → option of int
    ~ plan shop/Pay@1
        + steps[charge].params.headers.x-shop-id: "7"
        ~ steps[charge].params.method: "POST" → "PUT"
        ~ steps[note].where: eq(@plan.input.order, @var:correlation_id) → eq(@var:correlation_id, @plan.input.order)
        - steps: in the order charge, answer, print, line, note, paid, end
        + steps: in the order charge, answer, line, print, note, paid, end
        ~ edges[answer print].when: eq(@step:answer.status, "ok") → ne(@step:answer.status, "failed")
        + invariants[1]: true
    ~ policy shop/Cedar@1
        - cedar line 1 | permit (principal, action, resource);
        + cedar line 1 | permit (principal, action, resource)
        + cedar line 2 | when { context.now > 5 };
        + cedar line 3 | forbid (principal, action, resource)
        + cedar line 4 | when { resource.cap_type == "timer" };
    ~ policy shop/Rules@1
        + rules[1]: {when: {effect_kind: shop.ping, origin_kind: reducer}, decision: deny}
    "#);
}

#[test]
fn what_is_shown_hides_nothing() {
    let candidate = applied(json!([
        {"add_def": {"kind": "defpolicy", "node": {"$kind": "defpolicy", "name": "shop/New@1", "cedar": "// \u{202e}\u{1b}[2K\u{200b}\npermit (principal, action, resource);"}}},
        {"add_def": {"kind": "defplan", "node": {
            "$kind": "defplan", "name": "shop/Say@1", "input": "shop/Placed@1",
            "steps": [
                {"id": "say", "op": "assign", "expr": {"op": "concat", "args": [{"text": "\u{1b}\"\\"}, {"text": "\u{2066}"}]}, "bind": {"as": "said"}},
                {"id": "put", "op": "assign", "expr": {"record": {"a: 1, b": {"nat": 1}, "c": {"nat": 2}}}, "bind": {"as": "kept"}}
            ]
        }}},
        {"set_secrets": {"pre_hash": "{hash of secrets}", "secrets": [{"$kind": "defsecret", "name": "shop/api@1", "binding_id": "shop-api\r\u{200d}"}]}},
        {"set_effect_mode": {"mode": "recorded"}},
        {"cancel_instances": {"instances": [12]}}
    ]));
    assert_snapshot!(render(&world(), &candidate.patch), @r#"
    + policy shop/New@1
        + cedar | // \u{202e}\u{1b}[2K\u{200b}
        + cedar | permit (principal, action, resource);
    + plan shop/Say@1
        + input: shop/Placed@1
        + steps[say]: {id: say, op: assign, expr: concat("\u{1b}\"\\", "\u{2066}"), bind: {as: said}}
        + steps[put]: {id: put, op: assign, expr: {"a: 1, b": 1, c: 2}, bind: {as: kept}}
    ~ secrets
        ~ [shop/api@1].binding_id: shop-api → "shop-api\u{d}\u{200d}"
        - [shop/api@1].expected_digest: blake3:6666666666666666666666666666666666666666666666666666666666666666
        - [shop/api@1].allowed_caps: [web]
        - [shop/api@1].allowed_plans: [shop/Pay@1]
    ! effect mode recorded
    ! cancel the plan instances 12
    "#);
}
