//! The vectors of expressions in `spec/vectors/air/expressions.json`: each is the value of a variable of a small plan.

use aos_air::diag::Findings;
use aos_air::name::Name;
use aos_air::plan::{Op, Scope};
use aos_air::text::{compact, parse, read, tagged};
use aos_air::validate::{Checked, Manifest, Source, load};
use serde::Deserialize;
use serde_json::{Value as Tree, json};

use crate::vectors::vectors;

#[derive(Deserialize)]
struct File {
    input: Tree,
    value: Tree,
    gives: Vec<Gives>,
    errors: Vec<Errors>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Gives {
    expr: Tree,
    gives: Tree,
}

#[derive(Deserialize)]
struct Errors {
    expr: Tree,
    error: String,
}

#[derive(Deserialize)]
struct Refused {
    expr: Tree,
    code: String,
    pointer: String,
}

/// Loads a world whose plan computes an expression.
fn plan(input: &Tree, expr: &Tree) -> Result<Checked<Manifest>, Findings> {
    let world = json!([
        {"$kind": "manifest", "air_version": "1", "schemas": [{"name": "v/In@1"}], "plans": [{"name": "v/P@1"}]},
        {"$kind": "defschema", "name": "v/In@1", "type": input},
        {"$kind": "defplan", "name": "v/P@1", "input": "v/In@1",
         "steps": [{"id": "x", "op": "assign", "expr": expr, "bind": {"as": "x"}}]},
    ]);
    load(&[Source { file: "v.air.json".into(), text: world.to_string() }], &|_| None)
}

fn literal(value: &aos_air::schema::Value) -> Tree {
    serde_json::from_str(&compact(&tagged(value))).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_expressions_give_and_what_is_refused() {
    let text = vectors("expressions.json");
    let file: File = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
    let mut wrong = Vec::new();
    let expected = file.gives.iter().map(|case| (&case.expr, Ok(case.gives.clone())));
    let expected = expected.chain(file.errors.iter().map(|case| (&case.expr, Err(case.error.clone()))));
    for (expr, expected) in expected {
        let world = match plan(&file.input, expr) {
            Ok(world) => world,
            Err(findings) => {
                wrong.push(format!("{expr}\n{findings}"));
                continue;
            }
        };
        let plan = Name::parse("v/P@1").ok().and_then(|name| world.plan(&name).cloned());
        let plan = plan.unwrap_or_else(|| panic!("the plan is compiled"));
        let json = parse(&file.value.to_string()).unwrap_or_else(|errors| panic!("{errors:?}"));
        let input = read(&plan.input, &json).unwrap_or_else(|problems| panic!("{problems:?}"));
        let Op::Assign { value, .. } = &plan.steps[0].op else { panic!("an assign") };
        let scope = Scope { input: &input, slots: &[None], steps: &[None], event: None };
        let found = value.eval(&scope);
        if let Ok(found) = &found {
            assert_eq!(value.shape().check(&found.to_cbor()), Ok(()), "{expr} gives a value of its type");
        }
        let found = found.map(|value| literal(&value)).map_err(|error| error.code().to_owned());
        if found != expected {
            wrong.push(format!("{expr}\n  expected {expected:?}\n  found    {found:?}"));
        }
    }
    for Refused { expr, code, pointer } in &file.refused {
        let found = plan(&file.input, expr).err().unwrap_or_default().0;
        let found: Vec<_> = found.iter().map(|finding| (finding.code, finding.place.pointer.as_str())).collect();
        let place = format!("/2/steps/0/expr{pointer}");
        if found != [(code.as_str(), place.as_str())] {
            wrong.push(format!("{expr}\n  expected {code} {place}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
