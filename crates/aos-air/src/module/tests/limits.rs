//! Limits: a module exactly at each bound is admitted, one past it is refused by that bound.

use std::{string::String, vec::Vec};

use super::{super::Bound, Entry, Limits, admit, wasm};
use crate::module::Refused;

/// A module whose size in one respect is `count` and otherwise small.
fn sized(bound: Bound, count: u32) -> Vec<u8> {
    let n = usize::try_from(count).expect("small");
    let (mut memory, mut rest, mut body) = (String::from("1"), String::new(), String::from("(i64.const 0)"));
    match bound {
        // A custom section fills up to the byte: its name takes one byte and its size two.
        Bound::ModuleBytes => {
            let bytes = wasm(&module("1", "", "(i64.const 0)"));
            let padding = n - bytes.len() - 5;
            let mut padded = bytes;
            padded.extend([
                0,
                u8::try_from(0x80 | ((padding + 2) & 0x7f)).expect("7 bits"),
                u8::try_from((padding + 2) >> 7).expect("small"),
                1,
                b'x',
            ]);
            padded.extend(std::iter::repeat_n(0, padding));
            return padded;
        }
        Bound::AdmittedBytes => {}
        Bound::Types => rest = (3..n).map(|_| "(type (func))").collect(),
        Bound::Params => rest = format!("(type (func (param {})))", "i32 ".repeat(n)),
        Bound::Results => rest = format!("(type (func (result {})))", "i32 ".repeat(n)),
        Bound::Functions => rest = "(func)".repeat(n - 2),
        Bound::Globals => rest = "(global i32 (i32.const 0))".repeat(n),
        Bound::Exports => rest = (3..n).map(|index| format!(r#"(export "e{index}" (func 0))"#)).collect(),
        Bound::ElementSegments => rest = format!("(table 1 funcref) {}", "(elem (i32.const 0) func 0)".repeat(n)),
        Bound::DataSegments => rest = r#"(data (i32.const 0) "x")"#.repeat(n),
        Bound::DataBytes => rest = format!(r#"(data (i32.const 0) "{}") (data "abc")"#, "x".repeat(n - 3)),
        Bound::TableEntries => rest = format!("(table {n} funcref)"),
        Bound::MemoryPages => memory = format!("{n}"),
        // No locals (1), `i64.const 0` (2), `end` (1).
        Bound::BodyBytes => body = format!("{} (i64.const 0)", "nop ".repeat(n - 4)),
        Bound::Locals => body = format!("(local {}) (i64.const 0)", "i32 ".repeat(n)),
        Bound::Operands => body = format!("{} {}", "(i64.const 1) ".repeat(n), "(i64.add) ".repeat(n - 1)),
        Bound::Nesting => {
            body = format!("{} (i64.const 0) {}", "(block (result i64) ".repeat(n - 1), ")".repeat(n - 1))
        }
        Bound::BrTableTargets => body = format!("(i64.const 0) (br_table {} 0 (i32.const 0))", "0 ".repeat(n)),
        // 8, 2 parameters, 1 operand, and n / 16 for the operators: `end` is one too.
        Bound::FrameSlots => body = format!("(local {}) (i64.const 0)", "i32 ".repeat(n - 11)),
    }
    wasm(&module(&memory, &rest, &body))
}

fn module(memory: &str, rest: &str, body: &str) -> String {
    format!(
        r#"(module (type (func)) (memory (export "memory") {memory}) (func (export "alloc") (param i32) (result i32) (i32.const 0))
        (func (export "run") (param i32 i32) (result i64) {body}) {rest})"#
    )
}

#[test]
fn each_bound_holds_at_its_limit_and_one_past_it() {
    let all = Limits {
        module_bytes_max: 4_000,
        admitted_bytes_max: 100_000,
        types_max: 20,
        params_max: 20,
        results_max: 10,
        functions_max: 20,
        globals_max: 20,
        exports_max: 20,
        element_segments_max: 20,
        data_segments_max: 20,
        data_bytes_max: 200,
        table_entries_max: 30,
        memory_pages_max: 20,
        body_bytes_max: 500,
        locals_max: 100,
        operands_max: 30,
        nesting_max: 25,
        br_table_targets_max: 30,
        frame_slots_max: 90,
    };
    for bound in [
        Bound::ModuleBytes,
        Bound::Types,
        Bound::Params,
        Bound::Results,
        Bound::Functions,
        Bound::Globals,
        Bound::Exports,
        Bound::ElementSegments,
        Bound::DataSegments,
        Bound::DataBytes,
        Bound::TableEntries,
        Bound::MemoryPages,
        Bound::BodyBytes,
        Bound::Locals,
        Bound::Operands,
        Bound::Nesting,
        Bound::BrTableTargets,
        Bound::FrameSlots,
    ] {
        // A frame is bounded below what many locals take; each is tested without the other.
        let limits = if bound == Bound::Locals { Limits { frame_slots_max: 1_000, ..all } } else { all };
        let max = bound.of(&limits);
        if let Err(refused) = admit(&sized(bound, max), Entry::Pure, &limits) {
            panic!("{bound:?} at its limit: {refused:#?}");
        }
        let refused = admit(&sized(bound, max + 1), Entry::Pure, &limits).expect_err("one past the limit");
        let expected = (bound, u64::from(max) + 1, max);
        let said = refused.iter().any(
            |reason| matches!(reason, Refused::Limit { bound, found, max, .. } if (*bound, *found, *max) == expected),
        );
        assert!(said, "{bound:?} one past its limit: {refused:#?}");
    }
}

#[test]
fn the_result_is_bounded_too() {
    let bytes = sized(Bound::AdmittedBytes, 0);
    let size = u32::try_from(super::admitted_bytes(&bytes).bytes.len()).expect("small");
    let with = |admitted_bytes_max| admit(&bytes, Entry::Pure, &Limits { admitted_bytes_max, ..Limits::default() });
    assert!(with(size).is_ok());
    // The second figure is past the limit before all functions are written.
    for admitted_bytes_max in [size - 1, 10] {
        let refused = with(admitted_bytes_max).expect_err("too large");
        assert!(
            matches!(refused[..], [Refused::Limit { bound: Bound::AdmittedBytes, max, .. }] if max == admitted_bytes_max),
            "{refused:?}"
        );
    }
}
