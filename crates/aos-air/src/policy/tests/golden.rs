//! What a policy sees of each built-in effect: the action in the schema, and an example of a request.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cedar_policy::{Context, Schema};
use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::built_in;
use crate::def::Definition;
use crate::hash::Digest;
use crate::schema::{KeyType, Shape};

/// Makes the same value of a shape each time: options are there, sets and maps have one item.
fn example(name: &str, shape: &Shape) -> Value {
    match shape {
        Shape::Bool => Value::Bool(true),
        Shape::Int => Value::Int(-7),
        Shape::Nat => Value::Nat(7),
        Shape::Dec128 => Value::Dec128("0.25".parse().unwrap()),
        Shape::Bytes => Value::Bytes(b"bytes".to_vec()),
        Shape::Text if name == "url" => Value::Text("https://A.example./v0/../v1?q=1#f".into()),
        Shape::Text => Value::Text(alloc::format!("some {name}")),
        Shape::Time => Value::Time(1_767_225_600_123_456_789),
        Shape::Duration => Value::Duration(1_500_000_000),
        Shape::Hash => Value::Hash(Digest::of(name.as_bytes())),
        Shape::Uuid => Value::Uuid([7; 16]),
        Shape::Unit => Value::Unit,
        Shape::Record(fields) => {
            let field = |field: &crate::schema::Field| (field.name.clone(), example(&field.name, &field.shape));
            Value::Record(fields.iter().map(field).collect())
        }
        Shape::Variant(arms) => {
            let arm = arms.iter().find(|arm| *arm.shape != Shape::Unit).unwrap_or(&arms[0]);
            Value::Variant(arm.name.clone(), Box::new(example(&arm.name, &arm.shape)))
        }
        Shape::List(inner) => Value::List([example(name, inner)].into()),
        Shape::Set(inner) => Value::set([example(name, inner)]).unwrap(),
        Shape::Map(key, inner) => {
            let key = example("key", &Shape::from(*key));
            Value::map([(key, example("value", inner))]).unwrap()
        }
        Shape::Option(inner) => Value::Option(Some(Box::new(example(name, inner)))),
    }
}

fn built_in_effects() -> Vec<(String, crate::def::Scope, &'static Shape)> {
    let effects = built_in::definitions().filter_map(|(_, definition)| match definition {
        Definition::Effect(effect) => {
            let shape = &*built_in::schema(&effect.params_schema).unwrap().shape;
            Some((effect.kind.clone(), effect.origin_scope, shape))
        }
        _ => None,
    });
    effects.collect()
}

fn pretty(json: &serde_json::Value) -> String {
    // Sorted, whatever order the library keeps.
    fn sorted(json: &serde_json::Value) -> serde_json::Value {
        match json {
            serde_json::Value::Object(map) => {
                let map: BTreeMap<&String, &serde_json::Value> = map.iter().collect();
                map.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
            }
            serde_json::Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    serde_json::to_string_pretty(&sorted(json)).unwrap()
}

#[test]
fn what_a_policy_sees_of_each_built_in_effect() {
    let effects = built_in_effects();
    assert!(effects.len() >= 14, "{}", effects.len());
    let all = effects.iter().map(|(kind, scope, params)| Effect { kind, scope: *scope, params });
    let schema = Schema::from_json_value(schema::schema(all).unwrap()).unwrap();
    for (kind, scope, shape) in &effects {
        let params = example("", shape);
        let left = Left { calls: Some(3), tokens: None, cents: Some(250), bytes: None };
        let principal = match scope {
            crate::def::Scope::Reducer => Principal::Reducer("shop/Orders@1"),
            _ => Principal::Plan("shop/Pay@1"),
        };
        let now_ns = 1_767_225_600_123_456_789;
        let request = Request { principal, action: kind, grant: "web", params: &params, now_ns, budget_left: left };
        let context = decide::effect_context(&request).ok().unwrap();
        context.validate(&schema, &alloc::format!("Aos::Action::\"{kind}\"").parse().unwrap()).unwrap();
        let seen = json!({
            "action": schema::action(Effect { kind, scope: *scope, params: shape }).unwrap(),
            "context": Context::to_json_value(&context).unwrap(),
        });
        assert_snapshot!(kind.as_str(), pretty(&seen));
    }
    assert_snapshot!("entities_and_decide", pretty(&schema::schema([]).unwrap()));
}

#[test]
fn shapes_that_no_built_in_effect_has() {
    let shape = |json: &str| {
        let world = alloc::format!(
            r#"[{{"$kind": "defschema", "name": "a/T@1", "type": {json}}}, {{"$kind": "manifest", "air_version": "1", "schemas": [{{"name": "a/T@1"}}]}}]"#
        );
        let source = crate::validate::Source { file: "t".into(), text: world };
        let manifest = crate::validate::load(&[source], &|_| None).unwrap();
        manifest.schema(&Name::parse("a/T@1").unwrap()).unwrap().shape.clone()
    };
    let shape = shape(
        r#"{"record": {
            "u": {"unit": {}}, "t": {"time": {}}, "d": {"duration": {}}, "id": {"uuid": {}}, "s": {"set": {"int": {}}},
            "l": {"list": {"option": {"bool": {}}}}, "m": {"map": {"key": {"nat": {}}, "value": {"option": {"text": {}}}}},
            "v": {"variant": {"tag": {"text": {}}}}, "w": {"variant": {"Card": {"record": {"n": {"text": {}}}}, "Cash": {"unit": {}}}},
            "o": {"option": {"dec128": {}}}}}"#,
    );
    let made = example("", &shape);
    let value = value::value(&made).unwrap();
    let context = Context::from_pairs([("value".to_string(), value)]).unwrap();
    let action = schema::action(Effect { kind: "a.b", scope: crate::def::Scope::Both, params: &shape }).unwrap();
    let params = &action["appliesTo"]["context"]["attributes"]["params"];
    assert_snapshot!("shapes", pretty(&json!({"type": params, "value": context.to_json_value().unwrap()["value"]})));
    let keys = [KeyType::Int, KeyType::Nat, KeyType::Text, KeyType::Uuid, KeyType::Hash];
    for key in keys {
        let map = Shape::Map(key, Shape::Bool.into());
        let params = example("", &map);
        let request = Request { action: "a.b", ..asks(Principal::Plan("shop/Pay@1"), &params) };
        assert!(laws::fits_its_type(&map, &request), "{key:?}");
    }
}
