//! What loads, what comes back from nodes, and how findings read. The full table of what is refused is in
//! `spec/vectors/air/invalid.json`.

use alloc::collections::BTreeMap;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::built_in;
use crate::def::{Definition, Kind};
use crate::limits::Limits;
use crate::schema::KeyType;
use crate::text::{COMMENT, Json, Node, compact, parse, pretty};

/// A world with every kind of definition.
const WORLD: &str = include_str!("../../../../spec/vectors/air/world.air.json");

fn wasm(name: &Name) -> Option<Digest> {
    Some(Digest::of(name.as_str().as_bytes()))
}

fn source(file: &str, text: &str) -> Source {
    Source { file: file.into(), text: text.into() }
}

fn load_text(text: &str) -> Result<Checked<Manifest>, Findings> {
    load(&[source("air/world.air.json", text)], &wasm)
}

#[track_caller]
fn world() -> Checked<Manifest> {
    load_text(WORLD).unwrap_or_else(|findings| panic!("{findings}"))
}

/// Loads the world with pieces of its text replaced, and returns what is found.
#[track_caller]
fn found(changes: &[(&str, &str)]) -> String {
    let mut text = WORLD.to_owned();
    for (from, to) in changes {
        assert_eq!(text.matches(from).count(), 1, "`{from}` stands there exactly once");
        text = text.replace(from, to);
    }
    load_text(&text).map_or_else(|findings| findings.to_string(), |_| "nothing".into())
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn a_finding_says_what_where_and_what_to_do() {
    assert_snapshot!(found(&[(r#"{"name": "shop/Key@1"},"#, r#"{"name": "shop/Key@1"}"#)]), @r#"
    error[json.syntax]: expected comma
      air/world.air.json:7:29  /0/schemas/0
    "#);
    assert_snapshot!(found(&[(r#""$kind": "defplan""#, r#""$kind": "defpaln""#)]), @r#"
    error[kind.unknown]: there is no kind `defpaln`
      air/world.air.json:170:14  /19/$kind
      help: did you mean `defplan`?
    "#);
    assert_snapshot!(found(&[(r#""since": {"option": {"time": {}}}"#, r#""since": {"optoin": {"time": {}}}"#)]), @r#"
    error[type.form]: there is no type `optoin`
      air/world.air.json:96:112  /9/type/record/since/optoin
      help: did you mean `option`?
    "#);
    assert_snapshot!(found(&[(r#""calls": 100"#, r#""calls": true"#)]), @r#"
    error[field.type]: a number was expected here, not a bool
      air/world.air.json:41:31  /0/defaults/cap_grants/0/budget/calls
    "#);
    let hash = format!(r#"{{"name": "shop/Paid@1", "hash": "blake3:{}"}},"#, "0".repeat(64));
    assert_snapshot!(found(&[(r#"{"name": "shop/Paid@1"},"#, &hash)]), @r#"
    error[manifest.hash]: the hash is not that of the schema `shop/Paid@1`
      air/world.air.json:12:39  /0/schemas/5/hash
      help: it is blake3:6c96b7a571b2235a896b693aa408d9888ca90ff2299d02cce14da14d882ae547; leave the hash out to have it filled in
    "#);
    assert_snapshot!(found(&[(r#""state": "shop/Order@1""#, r#""state": "shop/Oder@1""#)]), @r#"
    error[schema.missing]: there is no schema `shop/Oder@1`
      air/world.air.json:104:18  /10/abi/reducer/state
      help: did you mean `shop/Order@1`?
    "#);
    assert_snapshot!(found(&[(r#""slots": {"later": "clock"}"#, r#""slots": {"later": "clok"}"#)]), @r#"
    error[grant.missing]: there is no grant `clok`
      air/world.air.json:48:62  /0/module_bindings/shop~1Orders@1/slots/later
      help: did you mean `clock`?
    "#);
    assert_snapshot!(found(&[(r#""name": "shop/Line@1", "type""#, r#""name": "shop/Key@1", "type""#)]), @r#"
    error[manifest.dangling]: no document defines the schema `shop/Line@1`
      air/world.air.json:8:16  /0/schemas/1/name
    error[name.twice]: the schema `shop/Key@1` is defined twice
      air/world.air.json:61:34  /2/name
      help: the first one is in air/world.air.json:60
    error[schema.missing]: there is no schema `shop/Line@1`
      air/world.air.json:62:73  /3/type/list/ref
    error[schema.missing]: there is no schema `shop/Line@1`
      air/world.air.json:66:51  /4/type/record/lines/list/ref
    error[schema.missing]: there is no schema `shop/Line@1`
      air/world.air.json:71:74  /5/type/record/lines/list/ref
    error[schema.missing]: there is no schema `shop/Line@1`
      air/world.air.json:107:24  /10/abi/reducer/annotations
    error[schema.missing]: there is no schema `shop/Line@1`
      air/world.air.json:131:23  /13/receipt_schema
    error[schema.missing]: there is no schema `shop/Line@1`
      air/world.air.json:173:15  /19/output
    error[schema.missing]: there is no schema `shop/Line@1`
      air/world.air.json:174:24  /19/locals/line
    error[schema.missing]: there is no schema `shop/Line@1`
      air/world.air.json:203:18  /19/steps/4/event
    "#);
    assert_snapshot!(found(&[(r#""$kind": "defpolicy", "name": "shop/Cedar@1""#, r#""$kind": "defpolicy", "name": "sys/Cedar@1""#)]), @r#"
    error[manifest.dangling]: no document defines the policy `shop/Cedar@1`
      air/world.air.json:21:53  /0/policies/1/name
    error[name.reserved]: `sys/Cedar@1` lies in the reserved namespace
      air/world.air.json:152:34  /16/name
      help: choose a namespace other than `sys`, which is for built-in definitions
    "#);
}

#[test]
fn everything_is_found_at_once_in_the_order_of_the_documents() {
    let sources = [
        source("air/b.air.json", r#"{"$kind": "defschema", "name": "a/B@1", "type": {"nta": {}}, "tpye": 1}"#),
        source(
            "air/a.air.json",
            "[{\"$kind\": \"manifest\", \"air_version\": \"1\",\n  \"schemas\": [{\"name\": \"a/B@1\"}, {\"name\": \"a/C@1\"}],\n  \"routing\": {\"events\": [{\"event\": \"a/B@1\", \"reducer\": \"a/Réducer@1\"}]}}]",
        ),
        source("air/c.air.json", r#"{"$kind": "defschema", "name": "a/D@1", "type": {"ref": "a/B@1"}}"#),
    ];
    assert_snapshot!(load(&sources, &wasm).unwrap_err(), @r#"
    error[name.form]: `a/Réducer@1` is not a name
      air/a.air.json:3:56  /0/routing/events/0/reducer
      help: a name starts with a letter and goes on with letters, digits, `.`, `_`, `-`
    error[type.form]: there is no type `nta`
      air/b.air.json:1:57  /type/nta
      help: did you mean `nat`?
    error[field.unknown]: `tpye` is not known here
      air/b.air.json:1:70  /tpye
      help: did you mean `type`?
    "#);
    // What could not be read may well define what is missing, so nothing is said about that.
    let broken = source("air/d.air.json", "{");
    let manifest = source(
        "air/a.air.json",
        r#"{"$kind": "manifest", "air_version": "1", "schemas": [{"name": "a/C@1"}], "limits": {"no": 1}}"#,
    );
    assert_snapshot!(load(&[broken, manifest], &wasm).unwrap_err(), @r#"
    error[limit.range]: there is no limit `no`
      air/a.air.json:1:92  /limits/no
    error[json.syntax]: unterminated object
      air/d.air.json:1:1
    "#);
    assert_snapshot!(load(&[], &wasm).unwrap_err(), @r#"
    error[manifest.missing]: no document is a manifest
      (no file)
      help: add a document with `"$kind": "manifest"`
    "#);
}

#[test]
fn a_module_without_wasm_is_named_before_and_refused_after() {
    let draft = Draft::read(&[source("air/world.air.json", WORLD)]);
    assert!(!draft.is_faulty());
    let unbuilt: Vec<String> =
        draft.unbuilt().iter().map(|module| format!("{} {:?}", module.name, module.place.line)).collect();
    assert_eq!(unbuilt, ["shop/Orders@1 Some(99)", "shop/Guard@1 Some(122)"]);
    let findings = draft.check(&|name| wasm(name).filter(|_| name.as_str() == "shop/Guard@1")).unwrap_err();
    assert_snapshot!(findings, @r#"
    error[module.wasm_missing]: the module `shop/Orders@1` has no `wasm_hash` and was not built
      air/world.air.json:97:3  /10
      help: build the module, or give the hash of one that is there
    "#);
    assert!(Draft::read(&[source("a", "{")]).is_faulty());
}

#[test]
fn a_file_is_as_large_as_the_limit_and_not_one_byte_larger() {
    let manifest = r#"{"$kind": "manifest", "air_version": "1"}"#;
    let padded = |bytes: usize| [manifest, &" ".repeat(bytes - manifest.len())].concat();
    assert!(load_text(&padded(crate::limits::DOCUMENT_BYTES_MAX)).is_ok());
    assert_snapshot!(load_text(&padded(crate::limits::DOCUMENT_BYTES_MAX + 1)).unwrap_err(), @r#"
    error[json.size]: the file has more than 8388608 bytes
      air/world.air.json
      help: split it
    "#);
}

#[test]
fn what_a_world_needs_is_linked() {
    let world = world();
    let routes: Vec<String> = world
        .routes()
        .iter()
        .map(|Route { event, reducer, arm, key_field }| format!("{event} {reducer} {arm:?} {key_field:?}"))
        .collect();
    assert_snapshot!(routes.join("\n"), @r#"
    shop/Placed@1 shop/Orders@1 Some("Placed") Some("order")
    shop/Paid@1 shop/Orders@1 Some("Paid") Some("$value.order")
    shop/Event@1 shop/Orders@1 None None
    "#);
    let orders = world.reducer(&name("shop/Orders@1")).unwrap();
    assert_eq!((orders.key, orders.context), (Some(KeyType::Uuid), true));
    assert_eq!((orders.state.name.as_str(), orders.event.name.as_str()), ("shop/Order@1", "shop/Event@1"));
    assert_eq!(orders.annotations.as_ref().map(|schema| schema.name.as_str()), Some("shop/Line@1"));
    assert!(world.reducer(&name("shop/Upgrade@1")).is_none());
    let upgrade = world.module(&name("shop/Upgrade@1")).unwrap();
    assert!(matches!(&upgrade.role, Role::Pure(pure) if pure.context && pure.input.name.as_str() == "shop/Old@1"));
    assert_eq!(world.limits_over(&Limits::default()), Limits { events_per_call_max: 8, ..Limits::default() });
    assert!(world.schema(&name("sys/TimerFired@1")).is_some(), "built-in schemas are there");
    assert!(world.find(Kind::Effect, &name("sys/timer.set@1")).is_some());
    assert!(world.cap(&name("sys/http.out@1")).is_some(), "a capability that a grant names is there");
    assert!(world.definition().grants.iter().all(|grant| grant.params.value().is_some()), "params are read");
    let hashes = world.definition().lists.values().flatten().map(|listed| listed.hash);
    assert!(hashes.into_iter().all(|hash| hash.is_some()), "every hash is filled in");
}

#[test]
fn a_schema_is_bound_to_what_it_refers_to() {
    let before = world();
    let changed =
        WORLD.replace(r#""price": {"dec128": {}}"#, r#""price": {"dec128": {}}, "note": {"option": {"text": {}}}"#);
    let after = load_text(&changed).unwrap_or_else(|findings| panic!("{findings}"));
    let order = name("shop/Order@1");
    let (before, after) = (before.schema(&order).unwrap(), after.schema(&order).unwrap());
    assert_eq!(before.hash, after.hash, "the node says only the name of the line's schema");
    assert_ne!(before.closure, after.closure);
}

#[test]
fn printed_definitions_load_to_the_same_hashes() {
    let world = world();
    let manifest = Definition::Manifest(world.definition().clone());
    let printed = Json::list(
        core::iter::once(&manifest)
            .chain(world.definitions().map(|(_, definition)| definition))
            .map(Definition::to_json),
    );
    for text in [pretty(&printed), compact(&printed)] {
        let again =
            load(&[source("printed.air.json", &text)], &|_| None).unwrap_or_else(|findings| panic!("{findings}"));
        assert!(again.nodes().eq(world.nodes()));
    }
}

#[test]
fn what_stands_around_a_definition_does_not_change_its_hash() {
    let tree = parse(WORLD).unwrap();
    let Node::List(items) = &tree.node else { panic!("the world is a list") };
    let turned = Json::list(items.iter().rev().map(turn));
    let one_each: Vec<Source> =
        items.iter().enumerate().map(|(index, item)| source(&format!("{index}.air.json"), &pretty(item))).collect();
    let expected = world().hash();
    assert_eq!(load_text(&compact(&turned)).map(|world| world.hash()), Ok(expected));
    assert_eq!(load(&one_each, &wasm).map(|world| world.hash()), Ok(expected));
}

/// Turns the order of members around and adds comments, where the format fixes the keys.
fn turn(json: &Json) -> Json {
    match &json.node {
        Node::Object(members) => {
            let comment = (COMMENT.to_owned(), Json::from("turned"));
            // The headers of a request are a map: there a comment would be an entry.
            let keys_are_data = members.iter().any(|(key, _)| key == "accept");
            let members = members.iter().rev().filter(|(key, _)| key != COMMENT);
            let turned = members.map(|(key, value)| (key.clone(), turn(value)));
            Json::object(turned.chain((!keys_are_data).then_some(comment)))
        }
        Node::List(items) => Json::list(items.iter().map(turn)),
        _ => json.clone(),
    }
}

#[test]
fn damaged_nodes_are_named_by_their_hash() {
    let world = world();
    let nodes: BTreeMap<Digest, Vec<u8>> = world.nodes().map(|(hash, node)| (hash, node.to_vec())).collect();
    let load = |nodes: &BTreeMap<Digest, Vec<u8>>, manifest: Digest| {
        let loaded = from_nodes(&manifest, &|hash| nodes.get(hash).cloned());
        loaded.map_or_else(|findings| findings.to_string(), |world| world.hash().to_string())
    };
    assert_eq!(load(&nodes, world.hash()), world.hash().to_string());
    let key = world.find(Kind::Schema, &name("shop/Key@1")).unwrap().0;
    let mut without = nodes.clone();
    without.remove(&key);
    assert_snapshot!(load(&without, world.hash()), @r#"
    error[node.missing]: the node of the schema `shop/Key@1` is missing
      blake3:50c107ef12ba14068fecff2f436bfbad89e2dfb39bbbd58bb77daa21e2d8d6c9
    "#);
    let mut flipped = nodes.clone();
    *flipped.get_mut(&key).unwrap().last_mut().unwrap() ^= 1;
    assert_snapshot!(load(&flipped, world.hash()), @r#"
    error[node.damaged]: the bytes of the schema `shop/Key@1` do not have their hash
      blake3:50c107ef12ba14068fecff2f436bfbad89e2dfb39bbbd58bb77daa21e2d8d6c9
    "#);
    without.remove(&world.hash());
    assert_snapshot!(load(&without, world.hash()), @r#"
    error[node.missing]: the node of the manifest is missing
      blake3:1e3ed1ea3026e9463994f3801ab9624f6f3006919e8b442b9a84ad3519581766
    "#);
    assert_snapshot!(load(&nodes, key), @r#"
    error[node.damaged]: the node is no manifest
      blake3:50c107ef12ba14068fecff2f436bfbad89e2dfb39bbbd58bb77daa21e2d8d6c9
    "#);
}

/// Encodes a changed manifest as a node, and loads it with the world's other nodes.
fn load_changed(change: impl Fn(&mut Vec<(String, Json)>)) -> String {
    let world = world();
    let Node::Object(mut members) = Definition::Manifest(world.definition().clone()).to_json().node else {
        panic!("an object")
    };
    change(&mut members);
    let mut nodes: BTreeMap<Digest, Vec<u8>> = world.nodes().map(|(hash, node)| (hash, node.to_vec())).collect();
    let node = crate::def::encode_json(&Json::object(members)).unwrap();
    let hash = Digest::of(&node);
    nodes.insert(hash, node);
    let loaded = from_nodes(&hash, &|hash| nodes.get(hash).cloned());
    loaded.map_or_else(|findings| findings.to_string().replace(&hash.to_string(), "(hash)"), |_| "loaded".into())
}

#[test]
fn a_node_says_things_in_one_way_only() {
    assert_eq!(load_changed(|_| ()), "loaded");
    let comment = |members: &mut Vec<(String, Json)>| members.push(("$comment".into(), "x".into()));
    assert_snapshot!(load_changed(comment), @r#"
    error[node.damaged]: the manifest is not in its normal form
      (hash)
    "#);
    let order = |members: &mut Vec<(String, Json)>| {
        for (_, value) in members.iter_mut().filter(|(key, _)| key == "schemas") {
            if let Node::List(items) = &mut value.node {
                items.reverse();
            }
        }
    };
    assert_snapshot!(load_changed(order), @r#"
    error[node.damaged]: the manifest is not in its normal form
      (hash)
    "#);
    let empty = |members: &mut Vec<(String, Json)>| members.push(("triggers".into(), Json::list([])));
    assert_snapshot!(load_changed(|members| { members.retain(|(key, _)| key != "triggers"); empty(members); }), @r#"
    error[plan.unbound]: step `note` of `shop/Pay@1`: `@var:correlation_id` names no variable of the plan
      blake3:145fcc3f49836cf5015292873542e988f162629e0520a776e4734b7059429d1e  /steps/4/where/args/1/ref
    "#);
}

#[test]
fn a_listed_built_in_keeps_its_hash() {
    let text = r#"{"$kind": "manifest", "air_version": "1", "schemas": [{"name": "sys/TimerFired@1"}], "modules": [{"name": "sys/CapAllowAll@1"}]}"#;
    let world = load_text(text).unwrap_or_else(|findings| panic!("{findings}"));
    let listed = &world.definition().lists[&Kind::Schema][0];
    assert_eq!(listed.hash, built_in::find(Kind::Schema, &listed.name).map(|(hash, _)| hash));
    assert_eq!(world.nodes().count(), 1, "its node is not the world's to store");
    let nodes: BTreeMap<Digest, Vec<u8>> = world.nodes().map(|(hash, node)| (hash, node.to_vec())).collect();
    assert_eq!(from_nodes(&world.hash(), &|hash| nodes.get(hash).cloned()).map(|world| world.hash()), Ok(world.hash()));
}

/// Replaces the `at`-th value of the tree, counted in its own order.
fn replace(json: &Json, at: &mut usize, by: &Json) -> Json {
    if *at == 0 {
        *at = usize::MAX;
        return by.clone();
    }
    *at = at.saturating_sub(1);
    match &json.node {
        Node::Object(members) => {
            Json::object(members.iter().map(|(key, value)| (key.clone(), replace(value, at, by))).collect::<Vec<_>>())
        }
        Node::List(items) => Json::list(items.iter().map(|item| replace(item, at, by)).collect::<Vec<_>>()),
        _ => json.clone(),
    }
}

fn count(json: &Json) -> usize {
    1 + match &json.node {
        Node::Object(members) => members.iter().map(|(_, value)| count(value)).sum(),
        Node::List(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

/// Returns the `at`-th value of the tree.
fn pick(json: &Json, at: &mut usize) -> Option<Json> {
    if *at == 0 {
        return Some(json.clone());
    }
    *at -= 1;
    match &json.node {
        Node::Object(members) => members.iter().find_map(|(_, value)| pick(value, at)),
        Node::List(items) => items.iter().find_map(|item| pick(item, at)),
        _ => None,
    }
}

proptest! {
    /// A part of the world in the place of another: mostly wrong, sometimes right, never a panic, and what loads comes back.
    #[test]
    fn any_part_in_any_place_is_judged(from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let tree = parse(WORLD).unwrap();
        let values = count(&tree);
        let part = pick(&tree, &mut from.index(values)).unwrap();
        let text = compact(&replace(&tree, &mut to.index(values), &part));
        match load_text(&text) {
            Ok(world) => {
                let nodes: BTreeMap<Digest, Vec<u8>> = world.nodes().map(|(hash, node)| (hash, node.to_vec())).collect();
                let again = from_nodes(&world.hash(), &|hash| nodes.get(hash).cloned());
                prop_assert_eq!(again.map(|world| world.hash()), Ok(world.hash()));
            }
            Err(findings) => {
                prop_assert!(!findings.0.is_empty());
                prop_assert!(findings.0.iter().all(|finding| finding.code != "node.damaged"), "{}", findings);
            }
        }
    }
}

#[test]
fn there_are_as_many_definitions_as_the_limit_and_not_one_more() {
    let over = |count: usize| {
        let one = |index: usize| format!(r#"{{"$kind":"defpolicy","name":"a/P{index}@1","rules":[]}}"#);
        let all: Vec<String> = (0..count).map(one).collect();
        let findings = load_text(&format!("[{}]", all.join(","))).unwrap_err();
        findings.0.iter().filter(|finding| finding.code == "manifest.list").count()
    };
    assert_eq!(over(crate::limits::DEFINITIONS_MAX), 0);
    assert_eq!(over(crate::limits::DEFINITIONS_MAX + 1), 1);
}

#[test]
fn findings_end_at_their_limit_and_suggestions_before() {
    use crate::limits::{FINDINGS_MAX, SUGGESTIONS_MAX};
    let rules = [r#"{"when":{"effect_kind":"timer.sett"},"decision":"deny"}"#; FINDINGS_MAX + 1].join(",");
    let policy = format!(r#"{{"$kind":"defpolicy","name":"a/P@1","rules":[{rules}]}}"#);
    let manifest = r#"{"$kind":"manifest","air_version":"1","policies":[{"name":"a/P@1"}]}"#;
    let text = format!("[{manifest},{policy}]");
    let findings = load_text(&text).unwrap_err().0;
    assert_eq!(findings.len(), FINDINGS_MAX);
    assert_eq!(findings.iter().filter(|finding| finding.help.is_some()).count(), SUGGESTIONS_MAX);
}
