//! NaNs: after every operator that may make one there is only the canonical one, and what is bit-exact stays bit-exact.

use std::{string::String, vec::Vec};

use super::{pure, run};

const NAN_F32: i64 = 0x7fc0_0000;
const NAN_F64: i64 = 0x7ff8_0000_0000_0000;

/// Runs an expression of this type on operands given by their bits and returns the bits of its value.
fn bits(expression: &str, of: &str) -> i64 {
    let body = match of {
        "f32" => format!("(i64.extend_i32_u (i32.reinterpret_f32 {expression}))"),
        "f64" => format!("(i64.reinterpret_f64 {expression})"),
        lane => format!("({lane} 0 {expression})"),
    };
    let ran = run(&super::pure_run(&body), (0, 0));
    ran.end.unwrap_or_else(|stopped| panic!("{stopped:?} in {expression}"))
}

/// NaNs that are not canonical: negative, with a payload, signalling.
const F32: [&str; 3] = [
    "(f32.reinterpret_i32 (i32.const 0xffc00000))",
    "(f32.reinterpret_i32 (i32.const 0x7fc12345))",
    "(f32.reinterpret_i32 (i32.const 0x7f812345))",
];
const F64: [&str; 3] = [
    "(f64.reinterpret_i64 (i64.const 0xfff8000000000000))",
    "(f64.reinterpret_i64 (i64.const 0x7ff8000012345678))",
    "(f64.reinterpret_i64 (i64.const 0x7ff0000012345678))",
];

#[test]
fn every_operator_that_may_make_a_nan_makes_the_canonical_one() {
    for (of, nans, canonical) in [("f32", F32, NAN_F32), ("f64", F64, NAN_F64)] {
        for nan in nans {
            for unary in ["ceil", "floor", "trunc", "nearest", "sqrt"] {
                assert_eq!(bits(&format!("({of}.{unary} {nan})"), of), canonical, "{of}.{unary} {nan}");
            }
            for binary in ["add", "sub", "mul", "div", "min", "max"] {
                for operands in
                    [format!("{nan} ({of}.const 1)"), format!("({of}.const 1) {nan}"), format!("{nan} {nan}")]
                {
                    assert_eq!(bits(&format!("({of}.{binary} {operands})"), of), canonical, "{of}.{binary} {operands}");
                }
            }
        }
        for made in [
            "(F.div (F.const 0) (F.const 0))",
            "(F.sub (F.const inf) (F.const inf))",
            "(F.mul (F.const 0) (F.const inf))",
            "(F.sqrt (F.const -1))",
        ] {
            assert_eq!(bits(&made.replace('F', of), of), canonical, "{made}");
        }
    }
    for nan in F64 {
        assert_eq!(bits(&format!("(f32.demote_f64 {nan})"), "f32"), NAN_F32);
    }
    for nan in F32 {
        assert_eq!(bits(&format!("(f64.promote_f32 {nan})"), "f64"), NAN_F64);
    }
}

#[test]
fn vectors_too() {
    let cases: [(&str, &str, &str, [&str; 3], i64); 2] = [
        ("f32x4", "i64x2.extract_lane", "f32x4.splat", F32, (NAN_F32 << 32) | NAN_F32),
        ("f64x2", "i64x2.extract_lane", "f64x2.splat", F64, NAN_F64),
    ];
    for (shape, lane, splat, nans, canonical) in cases {
        for nan in nans {
            let nan = format!("({splat} {nan})");
            for unary in ["ceil", "floor", "trunc", "nearest", "sqrt"] {
                assert_eq!(bits(&format!("({shape}.{unary} {nan})"), lane), canonical, "{shape}.{unary}");
            }
            for binary in ["add", "sub", "mul", "div", "min", "max"] {
                assert_eq!(bits(&format!("({shape}.{binary} {nan} {nan})"), lane), canonical, "{shape}.{binary}");
            }
        }
    }
    assert_eq!(bits(&format!("(f64x2.promote_low_f32x4 (f32x4.splat {}))", F32[1]), "i64x2.extract_lane"), NAN_F64);
    // The lanes that demotion fills are zero.
    assert_eq!(
        bits(&format!("(f32x4.demote_f64x2_zero (f64x2.splat {}))", F64[1]), "i64x2.extract_lane"),
        (NAN_F32 << 32) | NAN_F32
    );
    // One lane a NaN, the other a number: only the one changes.
    let mixed = format!(
        "(f32x4.add (f32x4.replace_lane 0 (f32x4.splat (f32.const 1)) {}) (f32x4.splat (f32.const 1)))",
        F32[0]
    );
    assert_eq!(bits(&mixed, "i64x2.extract_lane"), (0x4000_0000 << 32) | NAN_F32);
}

#[test]
fn bit_exact_operators_are_left_alone() {
    let cases: Vec<(String, &str, i64)> = vec![
        (format!("(f32.neg {})", F32[1]), "f32", 0xffc1_2345),
        (format!("(f32.abs {})", F32[0]), "f32", NAN_F32),
        (format!("(f32.copysign {} (f32.const -1))", F32[2]), "f32", 0xff81_2345),
        (format!("(f64.neg {})", F64[2]), "f64", 0xfff0_0000_1234_5678_u64.cast_signed()),
        (format!("(select {} (f64.const 1) (i32.const 1))", F64[1]), "f64", 0x7ff8_0000_1234_5678),
        (
            format!("(f32x4.neg (f32x4.splat {}))", F32[1]),
            "i64x2.extract_lane",
            0xffc1_2345_ffc1_2345_u64.cast_signed(),
        ),
    ];
    for (expression, of, expected) in cases {
        assert_eq!(bits(&expression, of), expected, "{expression}");
    }
    // Through memory, a global, a parameter and a result.
    let text = pure(
        r#"(global $g (mut f64) (f64.const 0)) (func $id (param f64) (result f64) (local.get 0))
        (func (export "run") (param i32 i32) (result i64)
            (i64.store (i32.const 0) (i64.const 0x7ff0000012345678))
            (global.set $g (call $id (f64.load (i32.const 0))))
            (f64.store (i32.const 8) (global.get $g))
            (i64.load (i32.const 8)))"#,
    );
    assert_eq!(run(&text, (0, 0)).end, Ok(0x7ff0_0000_1234_5678));
}

/// Numbers come through as they were, the sign of zero included.
#[test]
fn numbers_are_not_touched() {
    for (expression, of, expected) in [
        ("(f64.add (f64.const 0.1) (f64.const 0.2))", "f64", 0x3fd3_3333_3333_3334),
        ("(f64.mul (f64.const -0) (f64.const 1))", "f64", i64::MIN),
        ("(f32.add (f32.const inf) (f32.const 1))", "f32", 0x7f80_0000),
        ("(f32.min (f32.const -0) (f32.const 0))", "f32", 0x8000_0000),
    ] {
        assert_eq!(bits(expression, of), expected, "{expression}");
    }
}
