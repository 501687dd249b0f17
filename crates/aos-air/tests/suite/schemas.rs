//! The JSON Schemas of `spec/schemas` and the code say the same of the same documents.

use aos_air::built_in;
use aos_air::def::Kind;
use aos_air::text::compact;
use serde_json::Value;

use super::json_schema::Schemas;
use super::vectors::{invalid_patches, normal_forms, vectors};

const DOCUMENT: &str = "document.schema.json";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn valid_documents_are_accepted() {
    let schemas = Schemas::of_the_specification();
    assert!(schemas.accept(DOCUMENT, &json(&vectors("world.air.json"))));
    for normal in normal_forms() {
        let kind = normal["$kind"].as_str().unwrap_or_default();
        let own = format!("{kind}.schema.json");
        assert!(schemas.accept(&own, &normal), "{normal}");
        let others = Kind::ALL.iter().filter(|other| other.keyword() != kind);
        others.for_each(|other| {
            assert!(!schemas.accept(&format!("{other}.schema.json"), &normal), "{other} accepts {normal}")
        });
    }
    for (_, definition) in built_in::definitions() {
        assert!(schemas.accept(DOCUMENT, &json(&compact(&definition.to_json()))), "{:?}", definition.name());
    }
}

#[test]
fn what_is_wrong_in_one_definition_is_refused_and_nothing_else() {
    let schemas = Schemas::of_the_specification();
    let refused = |accepted: bool| if accepted { "accepted" } else { "refused" };
    let judged = invalid_patches().into_iter().map(|case| (schemas.accept(DOCUMENT, &case.world()), case));
    let wrong: Vec<String> = judged
        .filter(|(accepted, case)| *accepted == case.schema_refuses)
        .map(|(accepted, case)| format!("{} is {}", case.what, refused(accepted)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_has_a_schema() {
    let schemas = Schemas::of_the_specification();
    let mut expected: Vec<String> = Kind::ALL
        .iter()
        .map(|kind| kind.keyword())
        .chain(["common", "document", "patch"])
        .map(|name| format!("{name}.schema.json"))
        .collect();
    expected.sort();
    assert!(schemas.files().eq(expected.iter().map(String::as_str)));
}
