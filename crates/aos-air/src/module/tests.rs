//! Tests of the admission pass: the harness that admits a text module and runs it on two engine settings.
//!
//! Each file below has one subject. Modules are written in the text format and run for real, once compiled with the optimiser
//! and once without; both runs must agree on everything that can be seen before a test looks at it.

mod fuel;
mod limits;
mod nan;
mod random;
mod refusals;
mod segments;
mod spec;
mod stack;

use std::{string::String, sync::OnceLock, vec::Vec};

use wasmtime::{Config, Engine, Instance, Module, OptLevel, Store, Trap, Val};

use super::{Admitted, Entry, FUEL_GLOBAL, Limits, STACK_GLOBAL, STACK_SLOTS_DEFAULT, Stopped, admit};

/// More fuel than any test needs.
const PLENTY: i64 = 1 << 40;

/// Translates the text format.
fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A pure module with a memory of one page, `alloc`, and `rest`, which has to export `run`.
fn pure(rest: &str) -> String {
    format!(
        r#"(module (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) (i32.const 0))
        {rest})"#
    )
}

/// A pure module whose `run` has this body.
fn pure_run(body: &str) -> String {
    pure(&format!(r#"(func (export "run") (param i32 i32) (result i64) {body})"#))
}

/// Admits a module with the default limits; the result must validate.
fn admitted(text: &str) -> Admitted {
    admitted_bytes(&wasm(text))
}

fn admitted_bytes(bytes: &[u8]) -> Admitted {
    let admitted = admit(bytes, Entry::Pure, &Limits::default()).unwrap_or_else(|refused| panic!("{refused:#?}"));
    wasmparser::Validator::new_with_features(super::FEATURES)
        .validate_all(&admitted.bytes)
        .expect("the result is valid");
    admitted
}

/// What one call did, as far as anybody can see.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ran {
    end: Result<i64, Stopped>,
    fuel_used: i64,
    stack_left: i32,
    memory: Vec<u8>,
}

/// The two engines that must agree: compiled with the optimiser and without.
fn engines() -> &'static [Engine; 2] {
    static ENGINES: OnceLock<[Engine; 2]> = OnceLock::new();
    ENGINES.get_or_init(|| {
        [OptLevel::Speed, OptLevel::None].map(|level| {
            let mut config = Config::new();
            config.cranelift_opt_level(level).wasm_relaxed_simd(false).max_wasm_stack(1 << 20);
            Engine::new(&config).expect("the engine starts")
        })
    })
}

/// Calls `run(a, b)` on a fresh instance with this much fuel and stack, on both engines, and returns what both did.
fn run_with(admitted: &Admitted, args: (i32, i32), fuel: i64, stack: i32) -> Ran {
    let [fast, slow] = engines().each_ref().map(|engine| run_on(engine, &admitted.bytes, args, fuel, stack));
    assert_eq!(fast, slow, "the optimised run and the other one differ");
    fast
}

fn run_on(engine: &Engine, bytes: &[u8], args: (i32, i32), fuel: i64, stack: i32) -> Ran {
    let module = Module::new(engine, bytes).expect("an admitted module compiles");
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).expect("an admitted module instantiates");
    let fuel_global = instance.get_global(&mut store, FUEL_GLOBAL).expect("fuel");
    let stack_global = instance.get_global(&mut store, STACK_GLOBAL).expect("stack");
    fuel_global.set(&mut store, Val::I64(fuel)).expect("fuel is mutable");
    stack_global.set(&mut store, Val::I32(stack)).expect("stack is mutable");
    let run = instance.get_typed_func::<(i32, i32), i64>(&mut store, "run").expect("run");
    let result = run.call(&mut store, args);
    let fuel_left = fuel_global.get(&mut store).unwrap_i64();
    let stack_left = stack_global.get(&mut store).unwrap_i32();
    let end = result.map_err(|error| {
        let trap = error.downcast_ref::<Trap>().expect("only traps stop a call");
        assert_ne!(*trap, Trap::StackOverflow, "the engine's own stack ran out first");
        Stopped::from_counters(fuel_left, stack_left)
    });
    let memory = instance.get_memory(&mut store, "memory").expect("memory").data(&store).to_vec();
    Ran { end, fuel_used: fuel - fuel_left, stack_left, memory }
}

/// Admits and runs with plenty of everything.
fn run(text: &str, args: (i32, i32)) -> Ran {
    run_with(&admitted(text), args, PLENTY, STACK_SLOTS_DEFAULT)
}
