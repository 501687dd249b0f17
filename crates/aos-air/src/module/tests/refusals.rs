//! Refusals: what is said to the author of a module that is not admitted, case by case.

use std::{
    string::{String, ToString},
    vec::Vec,
};

use super::{super::FINDINGS_MAX, Entry, Limits, admit, pure, pure_run, wasm};

fn refusals(bytes: &[u8]) -> Vec<String> {
    let refused = admit(bytes, Entry::Pure, &Limits::default()).expect_err("the module is refused");
    refused.iter().map(|reason| format!("{}: {reason}", reason.code())).collect()
}

fn with_memory(memory: &str, rest: &str) -> String {
    format!(
        r#"(module {memory} (func (export "alloc") (param i32) (result i32) (i32.const 0))
        (func (export "run") (param i32 i32) (result i64) (i64.const 0)) {rest})"#
    )
}

/// Proposals that are not allowed, each with the name it is refused by.
#[test]
fn proposals_are_refused_by_name() {
    let cases: &[(&str, String)] = &[
        ("threads", with_memory(r#"(memory (export "memory") 1 1 shared)"#, "")),
        ("threads", pure_run("(drop (i32.atomic.load (i32.const 0))) (i64.const 0)")),
        ("64-bit memory", with_memory(r#"(memory (export "memory") i64 1)"#, "")),
        ("multiple memories", with_memory(r#"(memory (export "memory") 1) (memory 1)"#, "")),
        ("custom page sizes", with_memory(r#"(memory (export "memory") 1 (pagesize 1))"#, "")),
        (
            "relaxed SIMD",
            pure_run("(drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))) (i64.const 0)"),
        ),
        ("tail calls", pure_run("(return_call 1 (i32.const 0) (i32.const 0))")),
        ("reference types", pure_run("(drop (ref.is_null (ref.null func))) (i64.const 0)")),
        (
            "reference types",
            pure(
                r#"(table $a 1 funcref) (table $b 1 funcref) (func (export "run") (param i32 i32) (result i64) (i64.const 0))"#,
            ),
        ),
        (
            "reference types",
            pure(r#"(table $a 1 externref) (func (export "run") (param i32 i32) (result i64) (i64.const 0))"#),
        ),
        (
            "reference types",
            pure(
                r#"(table $a 1 funcref) (func (export "run") (param i32 i32) (result i64) (i64.extend_i32_u (table.size $a)))"#,
            ),
        ),
        ("exceptions", pure(r#"(tag $t) (func (export "run") (param i32 i32) (result i64) (throw $t))"#)),
        (
            "garbage collection",
            pure(r#"(type $s (struct)) (func (export "run") (param i32 i32) (result i64) (i64.const 0))"#),
        ),
        ("reference types", pure_run("(local (ref null 0)) (i64.const 0)")),
        (
            "extended constant expressions",
            pure(
                r#"(global i32 (i32.add (i32.const 1) (i32.const 1))) (func (export "run") (param i32 i32) (result i64) (i64.const 0))"#,
            ),
        ),
        ("wide arithmetic", pure_run("(i64.mul_wide_u (i64.const 1) (i64.const 1)) (drop)")),
    ];
    for (feature, text) in cases {
        let said = refusals(&wasm(text));
        let prefix = format!("module.feature: uses {feature}, which is not allowed: ");
        assert!(said.iter().any(|line| line.starts_with(&prefix)), "{feature}: {said:#?}");
    }
    let component = refusals(b"\0asm\x0d\0\x01\0");
    assert_eq!(
        component,
        [
            "module.feature: uses the component model, which is not allowed: the file is a component, not a core module (byte 0x4)"
        ]
    );
}

/// The ABI: everything that is missing or wrong is said at once.
#[test]
fn the_abi_is_checked_as_a_whole() {
    insta::assert_snapshot!(refusals(&wasm("(module)")).join("\n"), @r"
    module.export_missing: does not export `memory`, which must be a memory
    module.export_missing: does not export `alloc`, which must be a function (i32) -> i32
    module.export_missing: does not export `run`, which must be a function (i32, i32) -> i64
    ");
    let wrong = r#"(module
        (import "env" "now" (func (result i64)))
        (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
        (memory 1)
        (func $init) (start $init)
        (global (export "memory") i32 (i32.const 0))
        (func (export "alloc") (param i64) (result i32) (i32.const 0))
        (func (export "run") (param i32) (i64.const 0) (drop))
        (func (export "aos:fuel")))"#;
    insta::assert_snapshot!(refusals(&wasm(wrong)).join("\n"), @r"
    module.import: imports `now` from `env`, but nothing is there to import (byte 0x26)
    module.import: imports `fd_write` from `wasi_snapshot_preview1`, but nothing is there to import (byte 0x30)
    module.export_reserved: exports `aos:fuel`, but names that begin with `aos:` are reserved
    module.start: has a start function (function 2), which would run before the fuel is set (byte 0x8d)
    module.signature: exports `memory` as a global, but it must be a memory
    module.signature: exports `alloc` as a function (i64) -> i32, but it must be a function (i32) -> i32
    module.signature: exports `run` as a function (i32), but it must be a function (i32, i32) -> i64
    ");
}

#[test]
fn an_entry_is_needed_for_what_the_module_is_for() {
    let bytes = wasm(&pure_run("(i64.const 0)"));
    let refused = admit(&bytes, Entry::Reducer, &Limits::default()).expect_err("`step` is missing");
    assert_eq!(
        refused.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["does not export `step`, which must be a function (i32, i32) -> i64"]
    );
}

#[test]
fn segments_outside_the_start_sizes_are_refused() {
    let cases = [
        (r#"(data (i32.const 65535) "a")"#, None),
        (r#"(data (i32.const 65535) "ab")"#, Some("data segment 0 ends at 65537, but the memory starts with 65536")),
        (r#"(data (i32.const -1) "a")"#, Some("data segment 0 ends at 4294967296, but the memory starts with 65536")),
        (r#"(data "passive, and longer than nothing") (data (i32.const 0) "")"#, None),
        ("(table 2 funcref) (elem (i32.const 1) $f)", None),
        (
            "(table 2 funcref) (elem (i32.const 1) $f $f)",
            Some("element segment 0 ends at 3, but the table starts with 2"),
        ),
    ];
    for (segment, said) in cases {
        let text =
            pure(&format!(r#"(func $f) {segment} (func (export "run") (param i32 i32) (result i64) (i64.const 0))"#));
        match said {
            None => assert!(admit(&wasm(&text), Entry::Pure, &Limits::default()).is_ok(), "{segment}"),
            Some(said) => {
                assert!(refusals(&wasm(&text))[0].starts_with(&format!("module.segment: {said} (byte")), "{segment}")
            }
        }
    }
}

/// One reason for each function, with the function's name.
#[test]
fn each_wrong_function_is_named() {
    let text = pure(
        r#"(func $sum (param i32) (result i32) (i64.const 1))
        (func (export "other") (drop))
        (func (export "run") (param i32 i32) (result i64) (i64.atomic.load (i32.const 0)))"#,
    );
    insta::assert_snapshot!(refusals(&wasm(&text)).join("\n"), @r"
    module.malformed: not a valid WebAssembly module: type mismatch: expected i32, found i64 (function 1 `sum`, byte 0x53)
    module.malformed: not a valid WebAssembly module: type mismatch: expected a type but nothing on stack (function 2 `other`, byte 0x56)
    module.feature: uses threads, which is not allowed: threads support is not enabled (function 3 `run`, byte 0x5c)
    ");
}

/// Bytes that are no module, and every truncation and many flips of one that is: an answer, never a panic.
#[test]
fn damaged_bytes_are_refused() {
    let whole = wasm(&pure_run(
        "(local f64) (if (i32.const 1) (then (br 0))) (f64.add (local.get 2) (local.get 2)) (drop) (i64.const 0)",
    ));
    for bytes in [&b""[..], b"\0asm", b"\0asm\x02\0\0\0", b"#!/bin/sh"] {
        assert!(refusals(bytes)[0].starts_with("module.malformed: "), "{bytes:?}");
    }
    for length in 0..whole.len() {
        if let Ok(admitted) = admit(&whole[..length], Entry::Pure, &Limits::default()) {
            // What is left after a whole section may be a module still, if only custom sections were cut off.
            super::admitted_bytes(&whole[..length]);
            assert!(!admitted.bytes.is_empty());
        }
    }
    for position in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[position] ^= 1 << bit;
            if admit(&flipped, Entry::Pure, &Limits::default()).is_ok() {
                super::admitted_bytes(&flipped);
            }
        }
    }
}

#[test]
fn a_refusal_lists_no_more_than_its_maximum() {
    let imports: String = (0..FINDINGS_MAX + 10).map(|n| format!(r#"(import "env" "f{n}" (func))"#)).collect();
    assert_eq!(refusals(&wasm(&format!("(module {imports})"))).len(), FINDINGS_MAX);
    let bad: String = (0..FINDINGS_MAX + 10).map(|_| "(func (drop))").collect();
    assert_eq!(refusals(&wasm(&pure(&bad))).len(), FINDINGS_MAX);
}
