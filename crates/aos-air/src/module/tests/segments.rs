//! What the rewritten module looks like: its bytes for a small module, and where segments begin.

use std::{string::String, vec::Vec};

use wasmparser::{Operator, Parser, Payload};

use super::{admitted, pure_run};

/// The rewritten bytes of a small module. A change here is a change of `spec/modules.md`.
#[test]
fn golden_bytes() {
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "alloc") (param i32) (result i32) (i32.const 8))
        (func (export "run") (param i32 i32) (result i64)
            (return (i64.extend_i32_u (call 0 (local.get 1))))))"#;
    let bytes = admitted(text).bytes;
    let lines: Vec<String> =
        bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>()).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    0061736d01000000010c0260017f017f60027f7f017e03030200010505010101
    8008060b027e0142000b7f0141000b072f05066d656d6f7279020005616c6c6f
    6300000372756e000108616f733a6675656c030009616f733a737461636b0301
    0a56021801017e230042017d2201240020014200530440000b41080b3b02017e
    017f2301410b6b2203240120034100480440000b027e2300420d7d2202240020
    024200530440000b20011000ad0c000b2301410b6a24010b
    ");
}

/// The charges of `run`'s body, in the order of the code.
fn charges(body: &str) -> Vec<i64> {
    let admitted = admitted(&pure_run(body));
    let bodies = Parser::new(0).parse_all(&admitted.bytes).filter_map(|payload| match payload.expect("valid") {
        Payload::CodeSectionEntry(body) => Some(body),
        _ => None,
    });
    let run = bodies.last().expect("run");
    let operators: Vec<Operator<'_>> =
        run.get_operators_reader().expect("valid").into_iter().map(|operator| operator.expect("valid")).collect();
    let charge = |window: &[Operator<'_>]| match window {
        // The fuel is global 0: the modules here have none of their own.
        [Operator::GlobalGet { global_index: 0 }, Operator::I64Const { value }, Operator::I64Sub] => Some(*value),
        _ => None,
    };
    operators.windows(3).filter_map(charge).collect()
}

#[test]
fn segments_begin_where_the_rules_say() {
    let cases: &[(&str, &str, &[i64])] = &[
        ("straight", "(drop (i32.const 1)) (i64.const 0)", &[2]),
        ("a block that nothing branches to", "(block (drop (i32.const 1))) (i64.const 0)", &[2]),
        ("a block with a branch to its end", "(block $b (br $b)) (i64.const 0)", &[1, 1]),
        ("a block that is only left by return", "(block (return (i64.const 1))) (i64.const 0)", &[2, 1]),
        ("br_if", "(block $b (br_if $b (i32.const 1)) (drop (i32.const 2))) (i64.const 0)", &[3, 1, 1]),
        ("an if without an else", "(if (i32.const 1) (then (drop (i32.const 2)))) (i64.const 0)", &[3, 1, 1]),
        ("an empty if", "(if (i32.const 1) (then)) (i64.const 0)", &[3, 1]),
        ("a loop that does not turn", "(loop (drop (i32.const 1))) (i64.const 0)", &[2]),
        ("a loop that turns", "(drop (i32.const 1)) (loop $l (br_if $l (i32.const 1))) (i64.const 0)", &[1, 3, 1]),
        ("a dead branch does not count", "(block $b (unreachable) (br $b)) (i64.const 0)", &[1]),
        ("a call does not end a segment", "(drop (call 0 (i32.const 1))) (i64.const 0)", &[12]),
        ("nothing to charge", "(unreachable)", &[]),
    ];
    for (name, body, expected) in cases {
        assert_eq!(charges(body), *expected, "{name}");
    }
}

/// What is dropped: custom sections, the name section, other exports, code that is never reached.
#[test]
fn only_what_is_needed_is_kept() {
    let text = r#"(module (@custom "note" "hello") (memory (export "memory") 1) (global (export "g") i32 (i32.const 1))
        (func $named (export "alloc") (export "again") (param i32) (result i32) (i32.const 0))
        (func (export "run") (param i32 i32) (result i64) (unreachable) (drop (i32.const 123456789)) (i64.const 0)))"#;
    let bytes = admitted(text).bytes;
    let mut exports = Vec::new();
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.expect("valid") {
            Payload::ExportSection(section) => {
                exports.extend(section.into_iter().map(|e| String::from(e.expect("valid").name)))
            }
            Payload::CustomSection(section) => panic!("`{}` was kept", section.name()),
            _ => {}
        }
    }
    assert_eq!(exports, ["memory", "alloc", "run", "aos:fuel", "aos:stack"]);
    assert!(bytes.len() < 200, "{}", bytes.len());
}
