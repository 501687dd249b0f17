//! What an evaluation may cost, at the limit and one past it; and that typing takes no longer than there is to type.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use super::super::EvalProblem;
use super::twin::compile;
use super::*;
use crate::limits::EXPR_COST_MAX;
use crate::plan::Scope;
use crate::schema::Value;

#[test]
fn an_evaluation_costs_as_much_as_the_limit_and_not_one_more() {
    let text = Arc::new(Shape::Text);
    // The reference twice and their concatenation cost 3 and three heads, and four times the text.
    let (_, code) =
        compile(&text, r#"{"op": "concat", "args": [{"ref": "@plan.input"}, {"ref": "@plan.input"}]}"#).unwrap();
    let with = |length: u64| {
        let input = Value::Text("x".repeat(usize::try_from(length).unwrap()));
        code.eval(&Scope { input: &input, slots: &[], steps: &[], event: None }).map_err(|error| error.problem)
    };
    let most = (EXPR_COST_MAX - 3 - 3 * 5) / 4;
    assert!(with(most).is_ok());
    assert_eq!(with(most + 1), Err(EvalProblem::Cost));
    // To the one: a bytes literal fills what is left.
    let spent = |bytes: u64| {
        let text = format!(
            r#"{{"op": "and", "args": [{{"op": "eq", "args": [{{"ref": "@plan.input"}}, {{"text": "{}"}}]}}, {{"bool": false}}]}}"#,
            "y".repeat(usize::try_from(bytes).unwrap())
        );
        let (_, code) = compile(&Arc::new(Shape::Text), &text).unwrap();
        // `and` 1 + 1, `eq` 1 + 1, two texts with heads of five bytes and one each.
        let length = EXPR_COST_MAX - 2 - 2 - 2 - 10 - bytes;
        [length, length + 1].map(|length| {
            let input = Value::Text("x".repeat(usize::try_from(length).unwrap()));
            code.eval(&Scope { input: &input, slots: &[], steps: &[], event: None }).map_err(|error| error.problem)
        })
    };
    assert_eq!(spent(70_000), [Ok(Value::Bool(false)), Err(EvalProblem::Cost)]);
}

#[test]
fn deep_expressions_are_typed_once() {
    let nested = |start: &str, open: &str, close: &str, levels: usize| -> String {
        [open.repeat(levels), start.into(), close.repeat(levels)].concat()
    };
    let list = Arc::new(Shape::List(Arc::new(Shape::Int)));
    let leaf = r#"{"ref": "@plan.input"}"#;
    for (open, close) in [
        (r#"{"op": "concat", "args": ["#, r#", {"list": []}]}"#),
        (r#"{"op": "get", "args": [{"list": ["#, r#"]}, {"nat": 0}]}"#),
        (r#"{"op": "get", "args": [{"record": {"x": "#, r#"}}, {"text": "x"}]}"#),
    ] {
        let text = nested(leaf, open, close, 15);
        assert!(compile(&list, &text).is_ok(), "{text}");
    }
    let text = nested(r#"{"bool": true}"#, r#"{"op": "eq", "args": ["#, r#", {"bool": true}]}"#, 31);
    assert!(compile(&list, &text).is_ok());
}

#[test]
fn types_that_share_parts_are_compared_once() {
    // Each level holds the one below twice: 2^40 leaves, written in a few lines.
    let tower = || {
        (0..40).fold(Arc::new(Shape::Int), |below, _| {
            let field = |name: &str| (String::from(name), below.clone());
            Arc::new(super::super::fit::record(alloc::vec![field("a"), field("b")]))
        })
    };
    assert!(super::super::is_same(&tower(), &tower()));
}
