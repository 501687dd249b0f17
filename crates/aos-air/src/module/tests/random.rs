//! Random programs: whatever is admitted validates, and the optimised and the plain engine agree on everything it does.
//!
//! Programs are built from random bytes as typed expressions, so all of them are valid; they may loop, recurse, trap and run
//! out of everything. A shorter or smaller byte string gives a simpler program, so a failure shrinks.

use std::{string::String, vec::Vec};

use proptest::{
    collection,
    prelude::{ProptestConfig, any},
    proptest,
};

use super::{admitted, pure, run_with};

/// Takes choices from a byte string; when it is used up, every choice is the first one.
struct Choices(std::vec::IntoIter<u8>);

impl Choices {
    fn byte(&mut self) -> u8 {
        self.0.next().unwrap_or(0)
    }

    fn of<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[usize::from(self.byte()) % among.len()]
    }

    fn number(&mut self) -> u64 {
        if self.byte() < 128 {
            u64::from(self.byte() % 8)
        } else {
            u64::from_be_bytes(std::array::from_fn(|_| self.byte()))
        }
    }

    /// An expression of type i64. `$a`, `$b` are i64 locals, `$x` is an f64, `$v` a v128.
    fn integer(&mut self, depth: u32) -> String {
        let choice = if depth == 0 { self.byte() % 3 } else { self.byte() % 20 };
        let below = depth.saturating_sub(1);
        match choice {
            0 => self.of(&["(local.get $a)", "(local.get $b)", "(global.get $g)"]).into(),
            1 | 2 => format!("(i64.const {})", self.number()),
            3..=6 => {
                let operator = self.of(&["add", "sub", "mul", "xor", "shl", "rotl", "div_s", "rem_u", "and"]);
                format!("(i64.{operator} {} {})", self.integer(below), self.integer(below))
            }
            7 => format!("(i64.load (i32.and (i32.wrap_i64 {}) (i32.const 0xffff)))", self.integer(below)),
            8 | 9 => format!("(i64.reinterpret_f64 {})", self.float(below)),
            10 => format!("(i64.trunc_sat_f64_s {})", self.float(below)),
            11 => format!("(i64x2.extract_lane 1 {})", self.vector(below)),
            12 => format!("(block (result i64) {} {})", self.statement(below), self.integer(below)),
            13 | 14 => {
                let (test, yes, no) = (self.integer(below), self.integer(below), self.integer(below));
                format!("(if (result i64) (i64.eqz {test}) (then {yes}) (else {no}))")
            }
            15 => {
                let (value, test) = (self.integer(below), self.integer(below));
                format!("(block $out (result i64) (br_if $out {value} (i32.wrap_i64 {test})))")
            }
            16 | 17 => format!("(call $again {} {})", self.integer(below), self.integer(below)),
            18 => format!(
                "(i64.extend_i32_s (memory.grow (i32.wrap_i64 (i64.and {} (i64.const 3)))))",
                self.integer(below)
            ),
            _ => format!("(block (result i64) (return {}))", self.integer(below)),
        }
    }

    /// An expression of type f64.
    fn float(&mut self, depth: u32) -> String {
        let choice = if depth == 0 { self.byte() % 3 } else { self.byte() % 12 };
        let below = depth.saturating_sub(1);
        match choice {
            0 => "(local.get $x)".into(),
            1 => self
                .of(&["(f64.const inf)", "(f64.const 0.5)", "(f64.const -0)", "(f64.const -nan:0x8000000001234)"])
                .into(),
            2 => format!("(f64.reinterpret_i64 (i64.const {}))", self.number()),
            3..=6 => {
                let operator = self.of(&["add", "sub", "mul", "div", "min", "max", "copysign"]);
                format!("(f64.{operator} {} {})", self.float(below), self.float(below))
            }
            7 | 8 => format!("(f64.{} {})", self.of(&["sqrt", "nearest", "neg", "floor"]), self.float(below)),
            9 => format!("(f64.promote_f32 (f32.demote_f64 {}))", self.float(below)),
            10 => format!("(f64.convert_i64_s {})", self.integer(below)),
            _ => format!("(f64x2.extract_lane 0 {})", self.vector(below)),
        }
    }

    /// An expression of type v128.
    fn vector(&mut self, depth: u32) -> String {
        let below = depth.saturating_sub(1);
        match if depth == 0 { 0 } else { self.byte() % 6 } {
            0 => "(local.get $v)".into(),
            1 => format!("(f64x2.splat {})", self.float(below)),
            2 => format!("(i64x2.splat {})", self.integer(below)),
            _ => {
                let operator = self.of(&["f32x4.add", "f32x4.mul", "f64x2.div", "f64x2.max", "i64x2.add"]);
                format!("({operator} {} {})", self.vector(below), self.vector(below))
            }
        }
    }

    /// A statement, which leaves nothing on the operand stack.
    fn statement(&mut self, depth: u32) -> String {
        let below = depth.saturating_sub(1);
        match if depth == 0 { 0 } else { self.byte() % 12 } {
            0 => "(nop)".into(),
            1 => format!("(local.set $a {})", self.integer(below)),
            2 => format!("(global.set $g {})", self.integer(below)),
            3 => format!("(local.set $x {})", self.float(below)),
            4 => format!("(local.set $v {})", self.vector(below)),
            5 => {
                let (at, value) = (self.integer(below), self.integer(below));
                format!("(i64.store (i32.and (i32.wrap_i64 {at}) (i32.const 0xffff)) {value})")
            }
            6 => {
                let length = self.integer(below);
                format!(
                    "(memory.fill (i32.const 64) (i32.const 1) (i32.wrap_i64 (i64.and {length} (i64.const 0xff7f))))"
                )
            }
            7 | 8 => format!("{} {}", self.statement(below), self.statement(below)),
            9 => {
                let (body, test) = (self.statement(below), self.integer(below));
                format!("(loop $l {body} (br_if $l (i32.wrap_i64 (i64.and {test} (i64.const 1)))))")
            }
            10 => {
                let (test, near, dead) = (self.integer(below), self.statement(below), self.statement(below));
                format!(
                    "(block $far (block $near (br_table $near $far $near (i32.wrap_i64 {test}))) {near} (br $far) {dead})"
                )
            }
            _ => {
                let (test, yes, no) = (self.integer(below), self.statement(below), self.statement(below));
                format!("(if (i64.eqz {test}) (then {yes}) (else {no}))")
            }
        }
    }
}

/// A pure module that calls a random function, which may call itself.
fn program(choices: Vec<u8>) -> String {
    let mut choices = Choices(choices.into_iter());
    let (before, value) = (choices.statement(6), choices.integer(6));
    pure(&format!(
        r#"(global $g (mut i64) (i64.const 3))
        (func $again (param $a i64) (param $b i64) (result i64) (local $x f64) (local $v v128) {before} {value})
        (func (export "run") (param i32 i32) (result i64)
            (call $again (i64.extend_i32_s (local.get 0)) (i64.const 5)))"#
    ))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree(choices in collection::vec(any::<u8>(), 0..600), a in any::<i32>(), fuel in 0_i64..300_000, stack in 0..4_000) {
        let text = program(choices);
        let module = admitted(&text);
        assert_eq!(module, admitted(&text), "the same bytes give the same module");
        let ran = run_with(&module, (a, 0), fuel, stack);
        if ran.end.is_ok() {
            assert_eq!(ran.stack_left, stack, "a call that returns gives all its slots back");
        }
    }
}
