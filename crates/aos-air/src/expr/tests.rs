//! Expressions: what is read, in which normal form it is printed, and what is refused.

mod bounds;
mod twin;

use alloc::string::String;
use alloc::vec::Vec;

use super::*;
use crate::schema::Type;
use crate::text::{Report, compact, parse};

fn read(written: Option<&Type>, text: &str) -> Result<Expr, String> {
    let shape = written.map(|written| Shape::resolve(written, &|_| None).unwrap());
    let (tree, report) = (parse(text).unwrap(), Report::default());
    let read = Expr::read(shape.as_deref(), &At::root(&tree, &report));
    let problems: Vec<String> =
        report.into_problems().iter().map(|problem| format!("{} {}", problem.rule.code(), problem.pointer)).collect();
    read.filter(|_| problems.is_empty()).ok_or_else(|| problems.join(", "))
}

#[test]
fn forms_and_their_normal_form() {
    let record = Type::Record([("a".into(), Type::Nat), ("ref".into(), Type::Option(Type::Text.into()))].into());
    let operation = Type::Record([("op".into(), Type::Text), ("args".into(), Type::List(Type::Nat.into()))].into());
    let cases: [(Option<&Type>, &str, &str); 13] = [
        (None, r#"{"nat":"5"}"#, r#"{"nat":5}"#),
        (None, r#"{"set":[{"nat":2},{"nat":1}]}"#, r#"{"set":[{"nat":1},{"nat":2}]}"#),
        (None, r#"{"set":[{"nat":2},{"ref":"@event"}]}"#, r#"{"set":[{"nat":2},{"ref":"@event"}]}"#),
        (
            None,
            r#"{"variant":{"tag":"Ok","value":{"ref":"@var:a.b"}}}"#,
            r#"{"variant":{"tag":"Ok","value":{"ref":"@var:a.b"}}}"#,
        ),
        (
            None,
            r#"{"args":[{"ref":"@plan.input"}],"op":"len","$comment":"x"}"#,
            r#"{"op":"len","args":[{"ref":"@plan.input"}]}"#,
        ),
        (
            None,
            r#"{"map":[{"key":{"text":"a"},"value":{"ref":"@step:s.status"}}]}"#,
            r#"{"map":[{"key":{"text":"a"},"value":{"ref":"@step:s.status"}}]}"#,
        ),
        (Some(&Type::Bool), "true", r#"{"bool":true}"#),
        (Some(&Type::Text), r#"{"ref":"@plan.input.a.b"}"#, r#"{"ref":"@plan.input.a.b"}"#),
        (Some(&record), r#"{"a":5}"#, r#"{"record":{"a":{"nat":5},"ref":{"null":{}}}}"#),
        (
            Some(&record),
            r#"{"a":{"ref":"@event.n"},"ref":"@event"}"#,
            r#"{"record":{"a":{"ref":"@event.n"},"ref":{"text":"@event"}}}"#,
        ),
        (Some(&record), r#"{"record":{"a":{"nat":5}}}"#, r#"{"record":{"a":{"nat":5},"ref":{"null":{}}}}"#),
        // An object of exactly `op` and `args` is an operation even where a record could have these fields.
        (Some(&operation), r#"{"op":"len","args":[{"list":[]}]}"#, r#"{"op":"len","args":[{"list":[]}]}"#),
        (
            Some(&operation),
            r#"{"record":{"op":"len","args":[1]}}"#,
            r#"{"record":{"args":{"list":[{"nat":1}]},"op":{"text":"len"}}}"#,
        ),
    ];
    for (written, text, normal) in cases {
        let expr = read(written, text).unwrap_or_else(|problems| panic!("{text}: {problems}"));
        assert_eq!(compact(&expr.to_json()), normal);
        assert_eq!(read(written, normal), Ok(expr), "{normal} is read as the same expression");
    }
}

#[test]
fn what_is_refused() {
    let record = Type::Record([("ref".into(), Type::Text)].into());
    let cases: [(Option<&Type>, &str, &str); 9] = [
        (None, "5", "value.type "),
        (None, r#"{"ref":"x"}"#, "value.type /ref"),
        (None, r#"{"ref":"@x"}"#, "expr.reference /ref"),
        (None, r#"{"op":"plus","args":[]}"#, "expr.operator /op"),
        (None, r#"{"op":"and","args":[{"bool":true}]}"#, "expr.operator /args"),
        (None, r#"{"op":"not","args":[5]}"#, "value.type /args/0"),
        (None, r#"{"set":[{"nat":1},{"nat":1}]}"#, "value.twice /set/1"),
        (Some(&Type::Nat), r#"{"text":"a"}"#, "value.type "),
        // A text that looks like a reference is one; as a literal it is written tagged.
        (Some(&record), r#"{"ref":"@nothing"}"#, "expr.reference /ref"),
    ];
    for (written, text, expected) in cases {
        assert_eq!(read(written, text), Err(expected.into()), "{text}");
    }
    assert!(read(Some(&record), r#"{"record":{"ref":"@nothing"}}"#).is_ok());
}

#[test]
fn depth_is_accepted_at_the_limit_and_not_one_past_it() {
    let nested = |depth: usize| {
        let not = r#"{"op":"not","args":["#;
        [not.repeat(depth - 1), r#"{"bool":true}"#.into(), "]}".repeat(depth - 1)].concat()
    };
    assert!(read(None, &nested(EXPR_DEPTH_MAX)).is_ok());
    assert_eq!(read(None, &nested(EXPR_DEPTH_MAX + 1)), Err("expr.depth ".into()));
}

#[test]
fn every_operator_says_what_it_takes() {
    for operator in Operator::ALL {
        assert_eq!(Operator::from_word(operator.word()), Some(*operator));
        let counts: Vec<usize> = (0..5).filter(|count| operator.takes(*count)).collect();
        let expected: &[usize] = match operator.arity().as_str() {
            "one argument" => &[1],
            "two arguments" => &[2],
            _ => &[2, 3, 4],
        };
        assert_eq!(counts, expected, "{}", operator.word());
    }
}

#[test]
fn references_are_read_and_split() {
    for text in ["@plan.input", "@plan.input.a.b", "@var:x", "@var:x.y.z", "@step:s.status", "@event", "@event.a"] {
        assert_eq!(Reference::parse(text).map(|reference| reference.to_string()).as_deref(), Ok(text));
    }
    for text in [
        "",
        "@",
        "plan.input",
        "@plan",
        "@plan.input.",
        "@plan.inputs",
        "@plan.input..a",
        "@var:",
        "@var:.a",
        "@var:a.",
        "@step",
        "@event.",
        "@events",
    ] {
        assert_eq!(Reference::parse(text), Err(NotAReference), "{text}");
    }
    let reference = Reference::parse("@step:a.b.status").unwrap();
    assert_eq!(reference.split(|name| ["a"].contains(&name)), Some(("a", "b.status")));
    assert_eq!(reference.split(|name| ["a", "a.b"].contains(&name)), Some(("a.b", "status")));
    assert_eq!(reference.split(|name| ["a.b.status"].contains(&name)), Some(("a.b.status", "")));
    assert_eq!(reference.split(|name| ["a.bc", "b"].contains(&name)), None);
}
