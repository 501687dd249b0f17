//! Modules written as text, run in both strategies: equal answers, equal fuel, equal failures.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use aos_air::hash::Digest;
use aos_air::module::{self, Entry, admit};
use aos_kernel::blobs::BlobFault;
use aos_kernel::guest::{Allowance, CallError, Guest, GuestFault, Trap};

use super::{CodeCache, Engine, Guests, Strategy};

type Modules = BTreeMap<Digest, Vec<u8>>;

const ALLOWANCE: Allowance = Allowance { fuel: 1_000_000, reply_bytes: 64 };
const STRATEGIES: [Strategy; 2] = [Strategy::Optimised, Strategy::Unoptimised];

/// One engine of each strategy for all tests of the process: a pool reserves address space.
fn engine(strategy: Strategy) -> Engine {
    static ENGINES: OnceLock<[Engine; 2]> = OnceLock::new();
    let [optimised, unoptimised] =
        ENGINES.get_or_init(|| STRATEGIES.map(|strategy| Engine::new(strategy, None).expect("an engine")));
    match strategy {
        Strategy::Optimised => optimised.clone(),
        Strategy::Unoptimised => unoptimised.clone(),
    }
}

/// A module with two pages, an `alloc` that always answers 1024, and `body` as its `step`.
fn step(body: &str) -> Vec<u8> {
    module("i32.const 1024", body, "")
}

fn module(alloc: &str, body: &str, rest: &str) -> Vec<u8> {
    let text = format!(
        r#"(module (memory (export "memory") 2 16) {rest}
            (func (export "alloc") (param $len i32) (result i32) {alloc})
            (func $step (export "step") (param $ptr i32) (param $len i32) (result i64) {body}))"#
    );
    wat::parse_str(text).expect("a module")
}

/// Packs a pointer and a length as the ABI does.
const ECHO: &str =
    "(i64.or (i64.shl (i64.extend_i32_u (local.get $ptr)) (i64.const 32)) (i64.extend_i32_u (local.get $len)))";

fn store(wasm: &[u8]) -> (Digest, Modules) {
    let digest = Digest::of(wasm);
    (digest, Modules::from([(digest, wasm.to_vec())]))
}

/// Runs one call and returns the answer with its fuel.
fn run(strategy: Strategy, wasm: &[u8], input: &[u8], allowance: Allowance) -> Result<(Vec<u8>, u64), CallError> {
    let (digest, modules) = store(wasm);
    let mut output = b"left from before".to_vec();
    let fuel = Guests::new(engine(strategy), modules).call(&digest, Entry::Reducer, input, allowance, &mut output)?;
    Ok((output, fuel))
}

/// Runs one call in both strategies, which must agree.
fn both(wasm: &[u8], input: &[u8], allowance: Allowance) -> Result<(Vec<u8>, u64), CallError> {
    let [optimised, unoptimised] = STRATEGIES.map(|strategy| run(strategy, wasm, input, allowance));
    assert_eq!(optimised, unoptimised);
    optimised
}

fn trap(result: Result<(Vec<u8>, u64), CallError>) -> Trap {
    match result {
        Err(CallError::Failed { trap, fuel_used }) => {
            assert!(fuel_used <= ALLOWANCE.fuel, "{trap:?} used {fuel_used}");
            trap
        }
        other => panic!("expected a failure, found {other:?}"),
    }
}

#[test]
fn an_answer_and_its_fuel_are_the_same_in_both_strategies() {
    let (output, fuel) = both(&step(ECHO), b"some bytes", ALLOWANCE).expect("an answer");
    assert_eq!(output, b"some bytes");
    let exactly = Allowance { fuel, ..ALLOWANCE };
    assert_eq!(both(&step(ECHO), b"some bytes", exactly), Ok((output, fuel)));
    let one_less = Allowance { fuel: fuel - 1, ..ALLOWANCE };
    let failed = CallError::Failed { trap: Trap::Fuel, fuel_used: fuel - 1 };
    assert_eq!(both(&step(ECHO), b"some bytes", one_less), Err(failed));
    assert_eq!(both(&step(ECHO), b"", ALLOWANCE).map(|(output, _)| output), Ok(Vec::new()));
}

#[test]
fn what_a_module_does_wrong_is_told_apart() {
    let divide = "(i64.extend_i32_u (i32.div_u (i32.const 1) (i32.const 0)))";
    let overflow = "(i64.extend_i32_s (i32.div_s (i32.const 0x80000000) (i32.const -1)))";
    let null = module("i32.const 1024", "(call_indirect (result i64) (i32.const 0))", "(table 1 funcref)");
    let wrong = module("i32.const 1024", "(call_indirect (result i64) (i32.const 0))", "(table funcref (elem $step))");
    let outside = module("i32.const 1024", "(call_indirect (result i64) (i32.const 7))", "(table 1 funcref)");
    for (name, wasm, expected) in [
        ("unreachable", step("unreachable"), Trap::Trap),
        ("division by zero", step(divide), Trap::Trap),
        ("overflow", step(overflow), Trap::Trap),
        ("conversion", step("(i64.trunc_f64_s (f64.const nan))"), Trap::Trap),
        ("load out of bounds", step("(i64.load (i32.const 131065))"), Trap::Trap),
        ("load far out of bounds", step("(i64.load offset=0xffffffff (i32.const -1))"), Trap::Trap),
        ("table out of bounds", outside, Trap::Trap),
        ("null in the table", null, Trap::Trap),
        ("wrong type in the table", wrong, Trap::Trap),
        ("trap in alloc", module("unreachable", ECHO, ""), Trap::Trap),
        ("endless loop", step("(loop $l (br $l)) (i64.const 0)"), Trap::Fuel),
        ("endless loop in alloc", module("(loop $l (br $l)) (i32.const 0)", ECHO, ""), Trap::Fuel),
        ("endless recursion", step("(call $step (local.get $ptr) (local.get $len))"), Trap::Stack),
        ("input outside", module("i32.const 131070", ECHO, ""), Trap::Pointer),
        ("input at a negative pointer", module("i32.const -1", ECHO, ""), Trap::Pointer),
        ("answer outside", step("(i64.const 0x0001ffff_00000002)"), Trap::Pointer),
        ("answer far outside", step("(i64.const -1)"), Trap::Pointer),
        ("answer too large", step("(i64.const 65)"), Trap::ReplyBytes),
    ] {
        assert_eq!(trap(both(&wasm, b"input", ALLOWANCE)), expected, "{name}");
    }
    let largest = both(&step("(i64.const 0x0001ffc0_00000040)"), b"input", ALLOWANCE);
    assert_eq!(
        largest.map(|(output, _)| output),
        Ok(vec![0; 64]),
        "an answer of exactly the limit that ends the memory"
    );
}

#[test]
fn memory_globals_and_tables_are_fresh_for_every_call() {
    // Answers how often it was called: in memory within and past the data, in a global, in the size of its memory.
    let count = r#"
        (i32.store8 (i32.const 8) (i32.add (i32.load8_u (i32.const 8)) (i32.const 1)))
        (i32.store8 (i32.const 9) (i32.add (i32.load8_u (i32.const 9)) (i32.load8_u (i32.const 131071))))
        (i32.store8 (i32.const 131071) (i32.const 1))
        (global.set $g (i32.add (global.get $g) (i32.const 1)))
        (i32.store8 (i32.const 10) (global.get $g))
        (i32.store8 (i32.const 11) (memory.grow (i32.const 1)))
        (i32.store8 (i32.const 12) (i32.load8_u (i32.const 131072)))
        (i32.store8 (i32.const 131072) (i32.const 1))
        (i64.const 0x00000008_00000005)"#;
    let wasm = module("i32.const 1024", count, r#"(global $g (mut i32) (i32.const 0)) (data (i32.const 8) "\10")"#);
    let other = module("i32.const 1024", "(i64.const 0x00000008_00000005)", "");
    for strategy in STRATEGIES {
        let (digest, mut modules) = store(&wasm);
        modules.insert(Digest::of(&other), other.clone());
        let mut guests = Guests::new(engine(strategy), modules);
        let mut output = Vec::new();
        for round in 0..200 {
            guests.call(&digest, Entry::Reducer, b"input", ALLOWANCE, &mut output).expect("an answer");
            assert_eq!(output, [0x11, 0, 1, 2, 0], "round {round}");
            guests.call(&Digest::of(&other), Entry::Reducer, b"input", ALLOWANCE, &mut output).expect("an answer");
            assert_eq!(output, [0; 5], "another module, round {round}");
        }
    }
}

#[test]
fn memory_grows_to_its_maximum_and_no_further() {
    let grow =
        "(drop (memory.grow (i32.const 14))) (i32.store (i32.const 0) (memory.grow (i32.const 1))) (i64.const 4)";
    assert_eq!(both(&step(grow), b"", ALLOWANCE).map(|(output, _)| output), Ok(vec![0xff; 4]));
    let most = module::Limits::default().memory_pages_max;
    let text = format!(
        r#"(module (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) (i32.const 0))
            (func (export "step") (param i32 i32) (result i64)
                (i32.store (i32.const 0) (memory.grow (i32.const {})))
                (i32.store (i32.const {}) (i32.const 1))
                (i64.const 4)))"#,
        most - 1,
        u64::from(most) * 65_536 - 4,
    );
    let allowance = Allowance { fuel: 100_000_000, ..ALLOWANCE };
    let wasm = wat::parse_str(text).expect("a module");
    assert_eq!(both(&wasm, b"", allowance).map(|(output, _)| output), Ok(vec![1, 0, 0, 0]));
}

/// A module whose `step` recurses with `values` i64 values alive across the call.
fn recursion(values: u32) -> Vec<u8> {
    let locals: String = (0..values).map(|n| format!("(local $v{n} i64) ")).collect();
    let set: String = (0..values)
        .map(|n| format!("(local.set $v{n} (i64.mul (i64.load (local.get $ptr)) (i64.const {}))) ", 2 * n + 3))
        .collect();
    let sum: String = (0..values).map(|n| format!("(local.get $v{n}) i64.xor ")).collect();
    module(
        "i32.const 1024",
        &format!("{locals} {set} (call $step (i32.add (local.get $ptr) (i32.const 1)) (local.get $len)) {sum}"),
        "",
    )
}

#[test]
fn a_deep_recursion_ends_by_the_budget_in_both_strategies() {
    let allowance = Allowance { fuel: 100_000_000, ..ALLOWANCE };
    for values in [0, 1, 2, 8, 64, 500, 2_000] {
        let result = both(&recursion(values), b"input", allowance);
        assert!(matches!(result, Err(CallError::Failed { trap: Trap::Stack, .. })), "{values} values: {result:?}");
    }
}

#[test]
fn a_thread_with_a_small_stack_runs_the_same() {
    let thread = std::thread::Builder::new().stack_size(256 << 10);
    let result = thread.spawn(|| both(&recursion(8), b"input", ALLOWANCE)).expect("a thread").join().expect("no panic");
    assert_eq!(trap(result), Trap::Stack);
}

#[test]
fn threads_share_an_engine() {
    let wasm = step(ECHO);
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let wasm = &wasm;
            scope.spawn(move || {
                for round in 0..50 {
                    let input = [thread, round];
                    let answer = run(Strategy::Optimised, wasm, &input, ALLOWANCE).map(|(output, _)| output);
                    assert_eq!(answer, Ok(input.to_vec()));
                }
            });
        }
    });
}

#[test]
fn what_the_host_cannot_run_is_a_fault() {
    let wasm = step(ECHO);
    let (digest, modules) = store(&wasm);
    let other = Digest::of(b"no module");
    let refused = Digest::of(b"(not wasm)");
    let imports = wat::parse_str(r#"(module (import "a" "b" (func)))"#).expect("a module");
    let modules: Modules = modules
        .into_iter()
        .chain([(other, wasm), (refused, b"(not wasm)".to_vec()), (Digest::of(&imports), imports.clone())])
        .collect();
    let mut guests = Guests::new(engine(Strategy::Optimised), modules);
    let nowhere = Digest::of(b"nowhere");
    for (module, expected) in [
        (digest, None),
        (nowhere, Some(GuestFault::Blob(BlobFault::Missing(nowhere)))),
        (other, Some(GuestFault::Blob(BlobFault::Damaged(other)))),
        (refused, Some(GuestFault::Refused(refused))),
        (Digest::of(&imports), Some(GuestFault::Refused(Digest::of(&imports)))),
    ] {
        let found = guests.call(&module, Entry::Reducer, b"input", ALLOWANCE, &mut Vec::new());
        assert_eq!(found.err(), expected.map(CallError::Fault), "{module}");
    }
    let error = engine(Strategy::Optimised).prepare(&imports, Entry::Reducer).expect_err("an import");
    assert_eq!((error.code(), error.to_string().contains("imports `b` from `a`")), ("module.refused", true));
}

/// A cache folder, an engine without memory of its own, and the two admitted modules of the cache tests.
struct Cached {
    folder: tempfile::TempDir,
    admitted: [module::Admitted; 2],
}

impl Cached {
    /// Compiles both modules into the cache.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let admitted = [ECHO, "(i64.const 5)"]
            .map(|body| admit(&step(body), Entry::Reducer, &module::Limits::default()).expect("admitted"));
        let engine = Engine::new(Strategy::Optimised, Some(CodeCache::open(folder.path()).expect("a cache")));
        let engine = engine.expect("an engine");
        for body in [ECHO, "(i64.const 5)"] {
            engine.prepare(&step(body), Entry::Reducer).expect("prepared");
        }
        let cached = Self { folder, admitted };
        assert_eq!(cached.taken(), [true, true]);
        assert_eq!(cached.files().len(), 2);
        cached
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut files: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|end| end == "code")).collect();
        files.sort();
        files
    }

    /// Tells for each module whether a freshly opened cache takes its file.
    fn taken(&self) -> [bool; 2] {
        let cache = CodeCache::open(self.folder.path()).expect("a cache");
        let engine = engine(Strategy::Optimised);
        self.admitted.each_ref().map(|admitted| cache.load(engine.engine(), admitted).is_some())
    }

    /// Runs the first module in a new engine over the cache, as a later process would.
    fn run_again(&self) {
        let cache = CodeCache::open(self.folder.path()).expect("a cache");
        let engine = Engine::new(Strategy::Optimised, Some(cache)).expect("an engine");
        let (digest, modules) = store(&step(ECHO));
        let mut output = Vec::new();
        Guests::new(engine, modules)
            .call(&digest, Entry::Reducer, b"again", ALLOWANCE, &mut output)
            .expect("an answer");
        assert_eq!(output, b"again");
        assert!(self.taken()[0], "the file was written again");
    }
}

#[test]
fn a_damaged_cache_file_is_compiled_again() {
    let cached = Cached::new();
    let taken_count = || cached.taken().iter().filter(|taken| **taken).count();
    for file in cached.files() {
        let whole = fs::read(&file).expect("a file");
        for at in (0..whole.len()).step_by(whole.len() / 64) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&file, flipped).expect("written");
            assert_eq!(taken_count(), 1, "byte {at}");
        }
        for shorter in [0, 31, 32, 33, whole.len() - 1] {
            fs::write(&file, &whole[..shorter]).expect("written");
            assert_eq!(taken_count(), 1, "{shorter} bytes");
        }
        cached.run_again();
        fs::write(&file, whole).expect("written");
    }
    assert_eq!(taken_count(), 2);
}

#[test]
fn swapped_cache_files_are_compiled_again() {
    let cached = Cached::new();
    let files = cached.files();
    let [one, other] = [&files[0], &files[1]].map(|file| fs::read(file).expect("a file"));
    fs::write(&files[0], other).expect("written");
    fs::write(&files[1], one).expect("written");
    assert_eq!(cached.taken(), [false, false]);
    cached.run_again();
}

#[test]
fn code_of_another_strategy_is_not_taken() {
    let cached = Cached::new();
    let cache = CodeCache::open(cached.folder.path()).expect("a cache");
    assert!(cache.load(engine(Strategy::Unoptimised).engine(), &cached.admitted[0]).is_none());
}

#[test]
fn a_key_that_others_can_read_is_replaced() {
    let cached = Cached::new();
    let key = cached.folder.path().join("key");
    let mode = |path: &PathBuf| fs::metadata(path).expect("a key").permissions().mode() & 0o777;
    assert_eq!(mode(&key), 0o600);
    let before = fs::read(&key).expect("a key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("permitted");
    assert_eq!(cached.taken(), [false, false]);
    assert_eq!(mode(&key), 0o600);
    assert_ne!(fs::read(&key).expect("a key"), before);
    fs::write(&key, b"short").expect("written");
    cached.run_again();
}
