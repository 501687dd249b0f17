//! Fuel: what small programs cost, that every loop ends, that bulk operators are charged by length.
//!
//! The figures follow from the table in `cost.rs` and are checked by hand once; a changed figure is a new executor.

use super::{PLENTY, Ran, STACK_SLOTS_DEFAULT, Stopped, admitted, pure, pure_run, run, run_with};

/// A name, the body of `run`, its arguments, its result and the fuel that it takes.
type Program = (&'static str, &'static str, (i32, i32), i64, i64);

#[test]
fn small_programs_cost_what_the_table_says() {
    let count = "(local $i i32)
        (block $out (loop $again
            (br_if $out (i32.ge_u (local.get $i) (local.get 1)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $again)))
        (i64.extend_i32_u (local.get $i))";
    let choose = "(if (result i64) (local.get 0) (then (i64.const 7)) (else (i64.div_u (i64.const 9) (i64.const 3))))";
    let table = "(block $b (block $a (br_table $a $b (local.get 0))) (return (i64.const 1))) (i64.const 2)";
    let cases: &[Program] = &[
        ("constant", "(i64.const 5)", (0, 0), 5, 1),
        ("nothing costs nothing", "(nop) (block) (i64.const 5)", (0, 0), 5, 1),
        ("locals are set to zero", "(local i64 i64 i64 i64 i64 i64 i64 i64 i64) (i64.const 5)", (0, 0), 5, 3),
        // 1 for the locals; 5 for each test, 5 for each turn, 2 after the loop.
        ("a loop of no turns", count, (0, 0), 0, 1 + 5 + 2),
        ("a loop of three turns", count, (0, 3), 3, 1 + 4 * 5 + 3 * 5 + 2),
        ("then", choose, (1, 0), 7, 3 + 1),
        ("else", choose, (0, 0), 3, 3 + 18),
        ("first target", table, (0, 0), 1, 5 + 2),
        ("default target", table, (9, 0), 2, 5 + 1),
        (
            "dead code is free",
            "(return (i64.const 5)) (drop (i64.div_u (i64.const 9) (i64.const 3))) (i64.const 1)",
            (0, 0),
            5,
            2,
        ),
        ("multiplication", "(i64.mul (i64.const 3) (i64.const 4))", (0, 0), 12, 4),
        ("floats", "(i64.trunc_f64_s (f64.add (f64.const 3) (f64.const 4)))", (0, 0), 7, 2 + 6 + 4),
        (
            "load and store",
            "(i64.store (i32.const 8) (i64.const 4)) (i64.load (i32.const 8))",
            (0, 0),
            4,
            2 + 2 + 1 + 2,
        ),
    ];
    for (name, body, args, result, fuel) in cases {
        let ran = run(&pure_run(body), *args);
        assert_eq!((ran.end, ran.fuel_used), (Ok(*result), *fuel), "{name}");
    }
}

#[test]
fn a_call_is_charged_in_caller_and_callee() {
    let text = pure(
        r#"(table funcref (elem $seven)) (type $t (func (result i64)))
        (func $seven (type $t) (i64.const 7))
        (func (export "run") (param i32 i32) (result i64)
            (if (result i64) (local.get 0) (then (call $seven)) (else (call_indirect (type $t) (i32.const 0)))))"#,
    );
    assert_eq!(run(&text, (1, 0)).fuel_used, 3 + 10 + 1);
    assert_eq!(run(&text, (0, 0)).fuel_used, 3 + 1 + 14 + 1);
}

#[test]
fn fuel_may_reach_zero_and_not_less() {
    let module = admitted(&pure_run("(i64.mul (i64.const 3) (i64.const 4))"));
    assert_eq!(run_with(&module, (0, 0), 4, STACK_SLOTS_DEFAULT).end, Ok(12));
    assert_eq!(run_with(&module, (0, 0), 3, STACK_SLOTS_DEFAULT).end, Err(Stopped::Fuel));
    assert_eq!(run_with(&module, (0, 0), 0, STACK_SLOTS_DEFAULT).end, Err(Stopped::Fuel));
}

/// Every way to go on for ever: each runs out of fuel, having written what it wrote before.
#[test]
fn nothing_runs_for_ever() {
    let endless = [
        "(loop $l (br $l)) (i64.const 0)",
        "(loop $l (br_if $l (i32.const 1))) (i64.const 0)",
        "(loop $l (br_table $l $l (i32.const 0))) (i64.const 0)",
        "(loop $l (block $b (br $l))) (i64.const 0)",
        "(loop $outer (loop $inner (br_if $inner (local.get 0)) (br $outer))) (i64.const 0)",
        "(loop $l (if (i32.const 1) (then (br $l)))) (i64.const 0)",
        "(loop $l (result i64) (i64.const 0) (drop) (br $l))",
        "(i64.store (i32.const 0) (i64.const 77)) (loop $l (br $l)) (i64.const 0)",
    ];
    for body in endless {
        let module = admitted(&pure_run(body));
        let ran = run_with(&module, (0, 0), 1_000_000, STACK_SLOTS_DEFAULT);
        assert_eq!(ran.end, Err(Stopped::Fuel), "{body}");
        assert!((1_000_001..1_000_100).contains(&ran.fuel_used), "{body}: {}", ran.fuel_used);
    }
}

#[test]
fn a_trap_is_told_apart_and_keeps_its_fuel() {
    let cases = [
        ("(unreachable)", 0),
        ("(i64.div_u (i64.const 1) (i64.const 0))", 18),
        ("(i64.load (i32.const -1))", 3),
        ("(i64.trunc_f64_s (f64.const nan))", 5),
    ];
    for (body, fuel) in cases {
        let Ran { end, fuel_used, .. } = run(&pure_run(body), (0, 0));
        assert_eq!((end, fuel_used), (Err(Stopped::Trap), fuel), "{body}");
    }
}

/// Bulk operators: the part that depends on the length, for lengths around the rate.
#[test]
fn bulk_operators_are_charged_by_length() {
    let fill = pure_run("(memory.fill (i32.const 0) (i32.const 1) (local.get 1)) (i64.const 0)");
    let copy = pure_run("(memory.copy (i32.const 0) (i32.const 8) (local.get 1)) (i64.const 0)");
    let init = pure(
        r#"(data $d "0123456789abcdef") (func (export "run") (param i32 i32) (result i64)
        (memory.init $d (i32.const 0) (i32.const 0) (local.get 1)) (i64.const 0))"#,
    );
    let table = r#"(table 40 funcref) (elem $e func $f $f $f $f) (func $f)"#;
    let table_init = pure(&format!(
        r#"{table} (func (export "run") (param i32 i32) (result i64)
        (table.init $e (i32.const 0) (i32.const 0) (local.get 1)) (i64.const 0))"#
    ));
    let table_copy = pure(&format!(
        r#"{table} (func (export "run") (param i32 i32) (result i64)
        (table.copy (i32.const 0) (i32.const 8) (local.get 1)) (i64.const 0))"#
    ));
    let fixed = 20 + 4;
    let cases: &[(&str, i32, i64)] = &[
        (&fill, 0, 0),
        (&fill, 7, 0),
        (&fill, 8, 1),
        (&fill, 65_536, 8_192),
        (&copy, 15, 1),
        (&copy, 16, 2),
        (&init, 16, 2),
        (&table_init, 0, 0),
        (&table_init, 4, 32),
        (&table_copy, 32, 256),
    ];
    for (text, length, by_length) in cases {
        let ran = run(text, (0, *length));
        assert_eq!((ran.end, ran.fuel_used), (Ok(0), fixed + by_length), "{length} in {text}");
    }
    // The charge comes first: a fill that the fuel does not cover writes nothing.
    let ran = run_with(&admitted(&fill), (0, 65_536), fixed + 8_191, STACK_SLOTS_DEFAULT);
    assert_eq!(ran.end, Err(Stopped::Fuel));
    assert!(ran.memory.iter().all(|byte| *byte == 0));
}

/// Growth: pages asked for, result, fuel. Past the maximum it fails and the pages cost nothing.
#[test]
fn memory_grows_to_its_maximum_and_no_further() {
    let grow = pure_run("(i64.extend_i32_s (memory.grow (local.get 1)))");
    let fixed = 100 + 2;
    for (pages, result, by_length) in [
        (0, 1, 0),
        (1, 1, 65_536),
        (1_023, 1, 1_023 * 65_536),
        (1_024, -1, 1_024 * 65_536),
        (1_025, -1, 0),
        (-1, -1, 0),
    ] {
        let ran = run(&grow, (0, pages));
        assert_eq!((ran.end, ran.fuel_used), (Ok(result), fixed + by_length), "{pages}");
    }
    // A maximum of the author's below the limit stays.
    let small = r#"(module (memory (export "memory") 1 3) (func (export "alloc") (param i32) (result i32) (i32.const 0))
        (func (export "run") (param i32 i32) (result i64) (i64.extend_i32_s (memory.grow (local.get 1)))))"#;
    assert_eq!(admitted(small).memory_pages_max, 3);
    assert_eq!(run(small, (0, 2)).end, Ok(1));
    assert_eq!(run(small, (0, 3)).end, Ok(-1));
    // One above the limit is lowered to it.
    let large = small.replace("1 3", "1 65536");
    assert_eq!(admitted(&large).memory_pages_max, 1_024);
    assert_eq!(run(&large, (0, 1_023)).end, Ok(1));
    assert_eq!(run_with(&admitted(&large), (0, 1_024), PLENTY, STACK_SLOTS_DEFAULT).end, Ok(-1));
}
