//! The stack budget: every way out of a function gives its slots back, and recursion ends at one depth on every engine.

use super::{PLENTY, STACK_SLOTS_DEFAULT, Stopped, admitted, pure, run, run_with};

/// Bodies of a function `(param i32) (result i64)` that calls something and leaves in many ways.
const WAYS_OUT: &[(&str, &str)] = &[
    ("the end", "(call $leaf)"),
    ("return", "(return (call $leaf))"),
    ("return from inside blocks", "(block (block (block (return (call $leaf))))) (i64.const 0)"),
    ("return from an if", "(if (local.get 0) (then (return (call $leaf)))) (call $leaf)"),
    ("return from a loop", "(loop $l (if (local.get 0) (then (return (call $leaf)))) (br $l)) (unreachable)"),
    ("br to the outermost label", "(br 0 (call $leaf))"),
    ("br to it from inside blocks", "(block (block (br 2 (call $leaf)))) (i64.const 0)"),
    ("br_if to it", "(br_if 0 (call $leaf) (local.get 0))"),
    ("br_if to it from inside", "(block (drop (br_if 1 (call $leaf) (local.get 0)))) (i64.const 42)"),
    ("br_table to it", "(call $leaf) (br_table 0 0 0 (local.get 0))"),
    ("br_table to it or a block", "(block $b (result i64) (call $leaf) (br_table 1 $b 1 (local.get 0)))"),
    ("operands left below", "(i64.const 1) (i64.const 2) (return (call $leaf))"),
];

#[test]
fn every_way_out_restores_the_budget() {
    for (name, body) in WAYS_OUT {
        let text = pure(&format!(
            r#"(func $leaf (result i64) (i64.const 42))
            (func $f (param i32) (result i64) {body})
            (func (export "run") (param i32 i32) (result i64)
                (drop (call $f (local.get 0))) (drop (call $f (local.get 0))) (call $f (local.get 0)))"#
        ));
        for argument in [0, 1, 2, 77] {
            if name.contains("loop") && argument == 0 {
                continue;
            }
            let ran = run(&text, (argument, 0));
            assert_eq!((ran.end, ran.stack_left), (Ok(42), STACK_SLOTS_DEFAULT), "{name} with {argument}");
        }
    }
}

#[test]
fn many_results_are_kept_on_the_way_out() {
    let text = pure(
        r#"(func $leaf (result i64) (i64.const 1))
        (func $three (param i32) (result i32 i64 f64)
            (if (local.get 0) (then (return (i32.const 7) (call $leaf) (f64.const 3)))) (i32.const 1) (i64.const 2) (f64.const 3))
        (func $same (result i32 i64 f64) (call $three (i32.const 1)))
        (func (export "run") (param i32 i32) (result i64) (local $sum i64)
            (call $three (local.get 0)) (drop) (local.set $sum) (i64.extend_i32_u) (local.set $sum (i64.add (local.get $sum)))
            (call $same) (drop) (drop) (drop) (local.get $sum))"#,
    );
    let ran = run(&text, (1, 0));
    assert_eq!((ran.end, ran.stack_left), (Ok(8), STACK_SLOTS_DEFAULT));
    assert_eq!(run(&text, (0, 0)).end, Ok(3));
}

/// Recursion to the bottom: the depth at which it stops follows from the frame's slots alone.
#[test]
fn recursion_stops_at_the_same_depth() {
    // Counts its depth in memory. Slots: 8 + 1 parameter + 2 operands + 7 operators / 16.
    let frame = 8 + 1 + 2;
    let text = pure(
        r#"(func $down (param $depth i32)
            (i32.store (i32.const 0) (local.get $depth))
            (call $down (i32.add (local.get $depth) (i32.const 1))))
        (func (export "run") (param i32 i32) (result i64) (call $down (i32.const 1)) (i64.const 0))"#,
    );
    let module = admitted(&text);
    // The frame of `run`: 8 + 2 parameters + 1 operand.
    for (stack, depth) in
        [(STACK_SLOTS_DEFAULT, (STACK_SLOTS_DEFAULT - 11) / frame), (11 + frame, 1), (11 + 2 * frame - 1, 1)]
    {
        let ran = run_with(&module, (0, 0), PLENTY, stack);
        assert_eq!(ran.end, Err(Stopped::Stack));
        assert_eq!(ran.memory[..4], depth.to_le_bytes(), "with {stack} slots");
    }
}

#[test]
fn mutual_and_indirect_recursion_stop() {
    let text = pure(
        r#"(type $t (func (param i32))) (table funcref (elem $a $b))
        (func $a (type $t) (call_indirect (type $t) (local.get 0) (i32.const 1)))
        (func $b (type $t) (call_indirect (type $t) (local.get 0) (i32.const 0)))
        (func (export "run") (param i32 i32) (result i64) (call $a (i32.const 0)) (i64.const 0))"#,
    );
    assert_eq!(run(&text, (0, 0)).end, Err(Stopped::Stack));
}

#[test]
fn a_budget_of_exactly_one_frame_is_enough() {
    let text = pure(
        r#"(func $leaf (result i64) (i64.const 42))
        (func (export "run") (param i32 i32) (result i64) (call $leaf))"#,
    );
    let module = admitted(&text);
    assert_eq!(run_with(&module, (0, 0), PLENTY, 11).end, Ok(42));
    assert_eq!(run_with(&module, (0, 0), PLENTY, 10).end, Err(Stopped::Stack));
}

/// A function without calls is left out of the account only while its frame is small.
#[test]
fn a_large_leaf_is_accounted_for() {
    for (locals, needs) in [(53, 0), (54, 65)] {
        let text = super::pure_run(&format!("(local {}) (i64.const 1)", "i32 ".repeat(locals)));
        let module = admitted(&text);
        assert_eq!(run_with(&module, (0, 0), PLENTY, needs).end, Ok(1), "{locals} locals");
        if needs > 0 {
            assert_eq!(run_with(&module, (0, 0), PLENTY, needs - 1).end, Err(Stopped::Stack));
        }
    }
}

/// Values that an optimiser keeps across a recursive call need native stack that locals and operands do not show: the frame
/// also grows with the function's size. The harness fails if the engine's stack of 1 MiB runs out before the budget.
#[test]
fn values_kept_across_calls_fit_the_native_stack() {
    for kept in [16, 64, 256, 1_024] {
        let sums: String = (0..kept)
            .map(|n| {
                format!(
                    "(local.set $sum (i64.xor (local.get $sum) (i64.rotl (local.get $x) (i64.const {}))))",
                    n * 7 + 1
                )
            })
            .collect();
        let products: String = (1..=kept)
            .map(|n| {
                format!(
                    "(local.set $sum (i64.add (local.get $sum) (i64.mul (local.get $x) (i64.const {})))) ",
                    n * 2 + 1
                )
            })
            .collect();
        let text = pure(&format!(
            r#"(func $down (param $x i64) (result i64) (local $sum i64)
                {products} {sums}
                (drop (call $down (i64.add (local.get $x) (i64.const 1))))
                {products} {sums}
                (local.get $sum))
            (func (export "run") (param i32 i32) (result i64) (call $down (i64.extend_i32_u (local.get 0))))"#
        ));
        assert_eq!(run(&text, (3, 0)).end, Err(Stopped::Stack), "{kept} values");
    }
}
