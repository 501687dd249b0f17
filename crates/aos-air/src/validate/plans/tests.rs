//! What findings about plans say, and what a compiled plan knows. What is refused stands in `spec/vectors/air/invalid.json`.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use insta::assert_snapshot;

use crate::limits::{PLAN_STEPS_MAX, TYPE_DEPTH_MAX};
use crate::name::Name;
use crate::plan::{Op, Plan};
use crate::validate::{Source, load};

const SCHEMAS: &str = r#"{"$kind": "defschema", "name": "t/In@1", "type": {"record": {"n": {"nat": {}}, "who": {"option": {"text": {}}}}}}"#;

/// Loads a plan, or says what is found.
fn plan(body: &str) -> Result<Arc<Plan>, String> {
    let text = format!(
        r#"[{{"$kind": "manifest", "air_version": "1", "schemas": [{{"name": "t/In@1"}}], "plans": [{{"name": "t/P@1"}}]}}, {SCHEMAS},
{{"$kind": "defplan", "name": "t/P@1", "input": "t/In@1", {body}}}]"#
    );
    let manifest = load(&[Source { file: "p.air.json".into(), text }], &|_| None);
    let manifest = manifest.map_err(|findings| format!("{findings}"))?;
    Ok(manifest.plan(&Name::parse("t/P@1").unwrap()).unwrap().clone())
}

fn assign(id: &str, expr: &str, bind: &str) -> String {
    format!(r#"{{"id": "{id}", "op": "assign", "expr": {expr}, "bind": {{"as": "{bind}"}}}}"#)
}

#[track_caller]
fn refused(body: &str) -> String {
    plan(body).expect_err("the plan is refused")
}

#[test]
fn a_finding_names_plan_step_and_path() {
    let one = |expr: &str| refused(&format!(r#""steps": [{}]"#, assign("sum", expr, "x")));
    assert_snapshot!(one(r#"{"ref": "@plan.input.whom"}"#), @"
    error[expr.field]: step `sum` of `t/P@1`: `@plan.input.whom` leads nowhere: the record has no field `whom`
      p.air.json:2:114  /2/steps/0/expr/ref
      help: did you mean `who`?
    ");
    assert_snapshot!(one(r#"{"op": "concat", "args": [{"ref": "@plan.input.who"}, {"text": "!"}]}"#), @"
    error[expr.type]: step `sum` of `t/P@1`: `concat` does not take option of text
      p.air.json:2:140  /2/steps/0/expr/args/0/ref
      help: it may be empty: end the path with `$value` to fail then, or give a default with `get`
    ");
    assert_snapshot!(one(r#"{"op": "starts_with", "args": [{"ref": "@plan.input.who"}, {"text": "!"}]}"#), @"
    error[expr.type]: step `sum` of `t/P@1`: text was expected here, not option of text
      p.air.json:2:145  /2/steps/0/expr/args/0/ref
      help: it may be empty: end the path with `$value` to fail then, or give a default with `get`
    ");
    assert_snapshot!(one(r#"{"op": "add", "args": [{"ref": "@plan.input.n"}, {"int": 1}]}"#), @r#"
    error[expr.type]: step `sum` of `t/P@1`: nat was expected here, not int
      p.air.json:2:155  /2/steps/0/expr/args/1
      help: int and nat are not mixed; a literal says which it is, as in {"int": 5}
    "#);
    assert_snapshot!(one(r#"{"list": []}"#), @"
    error[expr.type]: step `sum` of `t/P@1`: nothing here says which type this has
      p.air.json:2:106  /2/steps/0/expr
      help: declare the variable in `locals`, or assign the part to one that is
    ");
    assert_snapshot!(one(r#"{"ref": "@var:x"}"#), @"
    error[plan.step_unbound]: step `sum` of `t/P@1`: `@var:x` is read, which no step before sets
      p.air.json:2:114  /2/steps/0/expr/ref
    ");
}

#[test]
fn a_variable_has_one_type() {
    let steps =
        |first: &str, second: &str| format!(r#""steps": [{}, {}]"#, assign("b", first, "x"), assign("a", second, "x"));
    let shape = |body: String| plan(&body).map(|plan| format!("{:?}", plan.slots[0].shape));
    assert_eq!(shape(steps(r#"{"nat": 1}"#, r#"{"nat": 2}"#)).as_deref(), Ok("Nat"));
    // The first in the order of steps says it; here nothing waits, so that is `a`.
    assert_snapshot!(refused(&steps(r#"{"nat": 1}"#, r#"{"text": "a"}"#)), @"
    error[expr.type]: step `b` of `t/P@1`: text was expected here, not nat
      p.air.json:2:104  /2/steps/0/expr
    ");
    let declared =
        |locals: &str| format!(r#""locals": {{"x": "{locals}"}}, "steps": [{}]"#, assign("a", r#"{"n": 1}"#, "x"));
    assert!(plan(&declared("t/In@1")).is_ok());
    assert_snapshot!(refused(&declared("t/Inn@1")), @"
    error[schema.missing]: there is no schema `t/Inn@1`
      p.air.json:2:74  /2/locals/x
      help: did you mean `t/In@1`?
    ");
}

#[test]
fn types_that_are_worked_out_stay_within_the_limit() {
    let tower = |levels: usize| {
        let step = |index: usize| match index {
            0 => assign("s000", r#"{"nat": 1}"#, "x0"),
            _ => assign(
                &format!("s{index:03}"),
                &format!(r#"{{"list": [{{"ref": "@var:x{}"}}]}}"#, index - 1),
                &format!("x{index}"),
            ),
        };
        let edge = |index: usize| format!(r#"{{"from": "s{:03}", "to": "s{index:03}"}}"#, index - 1);
        let (steps, edges): (Vec<_>, Vec<_>) = ((0..levels).map(step).collect(), (1..levels).map(edge).collect());
        plan(&format!(r#""steps": [{}], "edges": [{}]"#, steps.join(","), edges.join(",")))
    };
    assert!(tower(TYPE_DEPTH_MAX).is_ok());
    assert_snapshot!(tower(TYPE_DEPTH_MAX + 1).expect_err("too deep"), @"
    error[type.size]: step `s048` of `t/P@1`: the type of `x48` is nested deeper than 48
      p.air.json:2:4626  /2/steps/48/expr
    ");
}

#[test]
fn a_plan_has_as_many_steps_as_the_limit_and_not_one_more() {
    let chain = |count: usize| {
        let steps: Vec<String> = (0..count).map(|index| assign(&format!("s{index}"), "{\"nat\": 1}", "x")).collect();
        let edges: Vec<String> =
            (1..count).map(|index| format!(r#"{{"from": "s{}", "to": "s{index}"}}"#, index - 1)).collect();
        plan(&format!(r#""steps": [{}], "edges": [{}]"#, steps.join(","), edges.join(",")))
    };
    assert_eq!(chain(PLAN_STEPS_MAX).map(|plan| plan.steps.len()), Ok(PLAN_STEPS_MAX));
    assert_snapshot!(chain(PLAN_STEPS_MAX + 1).expect_err("too many"), @"
    error[plan.size]: `t/P@1` has 1025 steps, more than 1024
      p.air.json:2:67  /2/steps
      help: split it: an event that one plan raises can start another
    ");
}

#[test]
fn a_compiled_plan_knows_who_reads_a_status() {
    let body = |word: &str| {
        format!(
            r#""steps": [{{"id": "hear", "op": "await_event", "event": "t/In@1", "bind": {{"as": "heard"}}, "timeout_ns": 5}}, {}],
               "edges": [{{"from": "hear", "to": "x", "when": {word}}}]"#,
            assign("x", r#"{"ref": "@plan.input.n"}"#, "x")
        )
    };
    let reads = |word: &str| match plan(&body(word)).unwrap().steps[0].op {
        Op::AwaitEvent { status_is_read, .. } => status_is_read,
        _ => panic!("it waits"),
    };
    assert!(reads(r#"{"op": "eq", "args": [{"ref": "@step:hear.status"}, {"text": "timeout"}]}"#));
    assert!(!reads("true"));
    assert_snapshot!(refused(&body(r#"{"op": "has", "args": [{"ref": "@step:hear.error"}, {"text": "code"}]}"#)), @"
    error[expr.field]: the edge to step `x` of `t/P@1`: `@step:hear.error` leads nowhere: a step has status
      p.air.json:3:93  /2/edges/0/when/args/0/ref
      help: the receipt is read through the variable that the step binds
    ");
}
