//! The pure floors where there is no operating system: `aos-replay` in an engine as an auditor has it, with the import as
//! `spec/replay.md` says, and the kernel's own tests.
//!
//! The engine here shares nothing with the host's: no pool, no settings, no admission.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_air::validate::{self, Source};
use aos_host::build::{Builder, TARGET};
use aos_host::driver::{self, Answer, Driver, Options, Start, System};
use aos_host::store::{MemoryStore, Origin, StoreId};
use aos_host::wasm::{Engine, Guests, Strategy};
use aos_kernel::bundle::Bundle;
use aos_kernel::input::{Actor, Body, Event, Input};
use serde::Deserialize;
use wasmtime::{Caller, Config, Instance, Linker, Memory, Module, OptLevel, Store, Val};

/// A counter, and three modules that fail each in its own way.
const AIR: &str = r#"[
  {"$kind": "manifest", "air_version": "1",
    "schemas": [{"name": "demo/CounterState@1"}, {"name": "demo/CounterEvent@1"}, {"name": "demo/Milestone@1"},
      {"name": "test/State@1"}, {"name": "test/Loop@1"}, {"name": "test/Recurse@1"}, {"name": "test/Point@1"}],
    "modules": [{"name": "demo/Counter@1"}, {"name": "test/Loops@1"}, {"name": "test/Recurses@1"}, {"name": "test/Points@1"}],
    "routing": {"events": [
      {"event": "demo/CounterEvent@1", "reducer": "demo/Counter@1"}, {"event": "test/Loop@1", "reducer": "test/Loops@1"},
      {"event": "test/Recurse@1", "reducer": "test/Recurses@1"}, {"event": "test/Point@1", "reducer": "test/Points@1"}]},
    "limits": {"fuel_per_call_max": 1000000}},
  {"$kind": "defschema", "name": "demo/CounterState@1", "type": {"record": {"count": {"nat": {}}}}},
  {"$kind": "defschema", "name": "demo/CounterEvent@1", "type": {"variant": {"Add": {"nat": {}}, "Subtract": {"nat": {}}, "Reset": {"unit": {}}}}},
  {"$kind": "defschema", "name": "demo/Milestone@1", "type": {"record": {"count": {"nat": {}}}}},
  {"$kind": "defschema", "name": "test/State@1", "type": {"unit": {}}},
  {"$kind": "defschema", "name": "test/Loop@1", "type": {"unit": {}}},
  {"$kind": "defschema", "name": "test/Recurse@1", "type": {"unit": {}}},
  {"$kind": "defschema", "name": "test/Point@1", "type": {"unit": {}}},
  {"$kind": "defmodule", "name": "demo/Counter@1", "module_kind": "reducer", "abi": {"reducer": {"state": "demo/CounterState@1", "event": "demo/CounterEvent@1"}}},
  {"$kind": "defmodule", "name": "test/Loops@1", "module_kind": "reducer", "abi": {"reducer": {"state": "test/State@1", "event": "test/Loop@1"}}},
  {"$kind": "defmodule", "name": "test/Recurses@1", "module_kind": "reducer", "abi": {"reducer": {"state": "test/State@1", "event": "test/Recurse@1"}}},
  {"$kind": "defmodule", "name": "test/Points@1", "module_kind": "reducer", "abi": {"reducer": {"state": "test/State@1", "event": "test/Point@1"}}}
]"#;

/// The bodies of the three, and how the world's frames name what they do.
const FAILING: [(&str, &str, &str); 3] = [
    ("test/Loops@1", "loop br 0 end unreachable", "guest.fuel"),
    ("test/Recurses@1", "local.get 0 local.get 1 call $step", "guest.stack"),
    ("test/Points@1", "i64.const -1", "guest.pointer"),
];

/// The target folder of the build that these tests belong to, so that nothing is compiled twice.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// Runs a cargo command that builds for wasm32, and returns the modules that it made.
fn cargo(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(arguments).args(["--locked", "--target", TARGET, "--message-format=json", "--target-dir"]);
    command.arg(target()).current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit());
    // Flags of the build around this one may mean another machine.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}");
    let messages = String::from_utf8(output.stdout).unwrap();
    let files = messages.lines().flat_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        message["filenames"].as_array().cloned().unwrap_or_default()
    });
    let modules = files.filter(|file| file.as_str().unwrap().ends_with(".wasm"));
    modules.map(|file| std::fs::read(file.as_str().unwrap()).unwrap()).collect()
}

fn engine() -> wasmtime::Engine {
    // These modules are large and run for a moment.
    wasmtime::Engine::new(Config::new().cranelift_opt_level(OptLevel::None)).unwrap()
}

/// How far the auditor's engine is to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    True,
    /// It says that the module used a unit of fuel less.
    Fuel,
    /// It hands back memory that nobody reserved.
    Reply,
    /// It never runs anything.
    Fails,
}

/// An engine as an auditor has it.
struct Auditor {
    engine: wasmtime::Engine,
    compiled: HashMap<([u8; 32], &'static str), Module>,
    word: Word,
    calls: u64,
}

impl Auditor {
    /// Runs one call as the specification says. Returns the end, both counters and the answer.
    fn run(
        &self,
        module: &Module,
        input: &[u8],
        counters: (i64, i32),
        reply_bytes_max: u32,
        entry: &str,
    ) -> (i32, i64, i32, Vec<u8>) {
        let mut store = Store::new(&self.engine, ());
        let instance = Instance::new(&mut store, module, &[]).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let [fuel, stack] = ["aos:fuel", "aos:stack"].map(|name| instance.get_global(&mut store, name).unwrap());
        fuel.set(&mut store, Val::I64(counters.0)).unwrap();
        stack.set(&mut store, Val::I32(counters.1)).unwrap();
        let (end, reply) = match step(&mut store, &instance, memory, input, entry) {
            Err(_) => (1, Vec::new()),
            Ok(None) => (2, Vec::new()),
            Ok(Some(reply)) if reply.len() > reply_bytes_max as usize => (3, Vec::new()),
            Ok(Some(reply)) => (0, reply),
        };
        (end, fuel.get(&mut store).unwrap_i64(), stack.get(&mut store).unwrap_i32(), reply)
    }
}

/// Calls `alloc` and the entry. None where one of them points outside the memory.
fn step(
    store: &mut Store<()>,
    instance: &Instance,
    memory: Memory,
    input: &[u8],
    entry: &str,
) -> wasmtime::Result<Option<Vec<u8>>> {
    let alloc = instance.get_typed_func::<u32, u32>(&mut *store, "alloc").unwrap();
    let entry = instance.get_typed_func::<(u32, u32), u64>(&mut *store, entry).unwrap();
    let len = u32::try_from(input.len()).unwrap();
    let ptr = alloc.call(&mut *store, len)?;
    if memory.write(&mut *store, ptr as usize, input).is_err() {
        return Ok(None);
    }
    let (ptr, len) = unpack(entry.call(&mut *store, (ptr, len))?);
    Ok(memory.data(&*store).get(ptr..ptr + len).map(<[u8]>::to_vec))
}

fn unpack(packed: u64) -> (usize, usize) {
    let part = |bits: u64| usize::try_from(bits & u64::from(u32::MAX)).unwrap();
    (part(packed >> 32), part(packed))
}

/// The import.
fn call_guest(mut caller: Caller<'_, Auditor>, at: u32) -> i32 {
    let memory = caller.get_export("memory").unwrap().into_memory().unwrap();
    let at = at as usize;
    let record: [u8; 80] = memory.data(&caller)[at..at + 80].try_into().unwrap();
    let number = |offset: usize| u32::from_le_bytes(record[offset..offset + 4].try_into().unwrap());
    let bytes = |offset: usize| {
        let ptr = number(offset) as usize;
        memory.data(&caller)[ptr..ptr + number(offset + 4) as usize].to_vec()
    };
    let digest: [u8; 32] = record[..32].try_into().unwrap();
    let (code, input) = (bytes(32), bytes(40));
    let counters = (i64::from_le_bytes(record[48..56].try_into().unwrap()), number(56).cast_signed());

    let auditor = caller.data_mut();
    auditor.calls += 1;
    let (word, engine) = (auditor.word, auditor.engine.clone());
    if word == Word::Fails {
        return 4;
    }
    let entry = if number(64) == 1 { "run" } else { "step" };
    let module = auditor.compiled.entry((digest, entry)).or_insert_with(|| Module::new(&engine, code).unwrap()).clone();
    let (end, fuel, stack, reply) = auditor.run(&module, &input, counters, number(60), entry);
    if end == 0 {
        let alloc = caller.get_export("alloc").unwrap().into_func().unwrap();
        let alloc = alloc.typed::<u32, u32>(&caller).unwrap();
        let len = u32::try_from(reply.len()).unwrap();
        let ptr = alloc.call(&mut caller, len).unwrap();
        memory.write(&mut caller, ptr as usize, &reply).unwrap();
        let ptr = if word == Word::Reply { ptr + 1 } else { ptr };
        memory.write(&mut caller, at + 68, &[ptr.to_le_bytes(), len.to_le_bytes()].concat()).unwrap();
    }
    let fuel = fuel + i64::from(word == Word::Fuel);
    memory.write(&mut caller, at + 48, &[&fuel.to_le_bytes()[..], &stack.to_le_bytes()].concat()).unwrap();
    end
}

/// What `replay` answers.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Said {
    head: Option<Digest>,
    world: Option<Digest>,
    height: u64,
    state_root: Option<Digest>,
    code: String,
    message: String,
}

/// `aos-replay`, compiled once.
struct Replayer {
    engine: wasmtime::Engine,
    module: Module,
}

impl Replayer {
    fn new() -> Self {
        let engine = engine();
        let module = Module::new(&engine, &cargo(&["build", "--package", "aos-replay"], &[])[0]).unwrap();
        let imports: Vec<_> = module.imports().map(|import| (import.module(), import.name())).collect();
        assert_eq!(imports, [("aos", "call_guest")]);
        Self { engine, module }
    }

    /// Replays a bundle in a new instance; returns the answer and how often a module was called.
    fn replay(&self, bundle: &[u8], word: Word) -> (Said, u64) {
        let auditor = Auditor { engine: self.engine.clone(), compiled: HashMap::new(), word, calls: 0 };
        let mut store = Store::new(&self.engine, auditor);
        let mut linker = Linker::new(&self.engine);
        linker.func_wrap("aos", "call_guest", call_guest).unwrap();
        let instance = linker.instantiate(&mut store, &self.module).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let alloc = instance.get_typed_func::<u32, u32>(&mut store, "alloc").unwrap();
        let replay = instance.get_typed_func::<(u32, u32), u64>(&mut store, "replay").unwrap();
        let len = u32::try_from(bundle.len()).unwrap();
        let ptr = alloc.call(&mut store, len).unwrap();
        memory.write(&mut store, ptr as usize, bundle).unwrap();
        let (ptr, len) = unpack(replay.call(&mut store, (ptr, len)).unwrap());
        let answer = memory.data(&store)[ptr..ptr + len].to_vec();
        (cbor::from_slice(&answer).unwrap(), store.data().calls)
    }
}

fn event(schema: &str, value: &str) -> Input {
    let value = serde_json::from_str::<serde_json::Value>(value).unwrap();
    let value = cbor::to_vec(&value).unwrap();
    Input { actor: Actor::Host, id: None, body: Body::Event(Event { schema: schema.into(), value, key: None }) }
}

/// Lets a world of the four modules run on the host, and records it.
fn recorded() -> Bundle {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/00-counter/reducer");
    let counter = Builder::new(&target().join("aos")).build(&folder, &mut |_| {}).unwrap();
    let failing = FAILING.map(|(name, body, _)| {
        let text = format!(
            r#"(module (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) i32.const 0)
              (func $step (export "step") (param i32 i32) (result i64) {body}))"#
        );
        (name, wat::parse_str(text).unwrap())
    });
    let mut modules = vec![("demo/Counter@1", counter.wasm)];
    modules.extend(failing);
    let digest = |name: &str| modules.iter().find(|(known, _)| *known == name).map(|(_, wasm)| Digest::of(wasm));
    let source = Source { file: "test.air.json".into(), text: AIR.into() };
    let manifest = validate::load(&[source], &|name| digest(name.as_str())).unwrap();
    let modules = modules.into_iter().map(|(_, wasm)| (Digest::of(&wasm), wasm)).collect();

    let store = MemoryStore::new(Origin { id: StoreId([5; 32]), created_by: "the tests for wasm32".into() });
    let engine = Engine::new(Strategy::Optimised, None).unwrap();
    let start = Start { manifest, modules };
    let mut driver = Driver::create(Box::new(store), engine, Box::new(System), start, Options::default()).unwrap();
    let mut codes = Vec::new();
    for commit in [
        vec![event("demo/CounterEvent@1", r#"{"Add": 120}"#), event("demo/CounterEvent@1", r#"{"Subtract": 999}"#)],
        vec![event("test/Loop@1", "null"), event("test/Recurse@1", "null"), event("test/Point@1", "null")],
        vec![event("demo/CounterEvent@1", r#"{"Add": 7}"#)],
    ] {
        for answer in driver.submit(commit).unwrap() {
            let Answer::Applied(frame) = answer else { panic!("{answer:?}") };
            codes.push(frame.outcome.failure.map_or("ok", |failure| failure.cause.code()));
        }
    }
    assert_eq!(codes, ["ok", "reducer.refused", FAILING[0].2, FAILING[1].2, FAILING[2].2, "ok"]);
    let (reader, blobs, world) = (driver.reader().unwrap(), driver.blobs().clone(), driver.id());
    driver.close().unwrap();
    driver::record(&*reader, &blobs, world).unwrap()
}

/// Replays a bundle on the host, which is what an auditor's answer has to say.
fn on_the_host(bundle: &[u8]) -> Said {
    let failed = |code: &'static str, message: String| Said { code: code.into(), message, ..Said::default() };
    let bundle = match Bundle::decode(bundle) {
        Ok(bundle) => bundle,
        Err(error) => return failed(error.code(), error.to_string()),
    };
    let mut guests = Guests::new(Engine::new(Strategy::Unoptimised, None).unwrap(), bundle.blobs.clone());
    match bundle.replay(&mut guests, &mut |_| {}) {
        Ok(world) => Said {
            head: Some(world.head().1.0),
            world: Some(world.id().0),
            height: world.height().0,
            state_root: world.state_root().map(|root| root.0),
            ..Said::default()
        },
        Err(fault) => failed(fault.code(), fault.to_string()),
    }
}

/// Changes a bundle and seals it with a digest that fits.
fn changed(bundle: &Bundle, change: impl FnOnce(&mut Bundle)) -> Vec<u8> {
    let mut bundle = bundle.clone();
    change(&mut bundle);
    bundle.encode()
}

#[test]
fn an_auditors_engine_replays_a_world_as_the_host_does() {
    let replayer = Replayer::new();
    let bundle = recorded();
    let bytes = bundle.encode();
    let expected = on_the_host(&bytes);
    assert_eq!((expected.height, expected.code.as_str()), (6, ""));
    assert!(expected.state_root.is_some());
    assert_eq!(replayer.replay(&bytes, Word::True), (expected, 6));

    let ladder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/00-counter/recorded.aosw");
    let ladder = std::fs::read(ladder).unwrap();
    let (said, calls) = replayer.replay(&ladder, Word::True);
    assert_eq!(said, on_the_host(&ladder));
    assert!(said.height > 0 && calls > 0 && said.code.is_empty(), "{said:?}");

    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let counter = bundle.blobs.iter().max_by_key(|(_, blob)| blob.len()).map(|(digest, _)| *digest).unwrap();
    for (code, damaged) in [
        ("bundle.form", Vec::new()),
        ("bundle.digest", flipped),
        ("block.damaged", changed(&bundle, |bundle| bundle.blocks[2].1[3] ^= 1)),
        ("block.damaged", changed(&bundle, |bundle| drop(bundle.blocks.remove(1)))),
        ("blob.missing", changed(&bundle, |bundle| drop(bundle.blobs.remove(&counter)))),
    ] {
        let (said, _) = replayer.replay(&damaged, Word::True);
        assert_eq!(said.code, code);
        assert_eq!(said, on_the_host(&damaged));
    }
    for (word, code) in
        [(Word::Fuel, "replay.divergence"), (Word::Reply, "module.engine"), (Word::Fails, "module.engine")]
    {
        let (said, calls) = replayer.replay(&bytes, word);
        assert_eq!((said.code.as_str(), calls), (code, 1), "{word:?}: {}", said.message);
    }
}

#[test]
fn the_kernels_own_tests_pass_on_wasm32() {
    let engine = engine();
    // The libraries of the tests find neither files nor randomness there, and are told so when they are compiled.
    let variables = [("INSTA_WORKSPACE_ROOT", "/"), ("RUSTFLAGS", r#"--cfg getrandom_backend="unsupported""#)];
    let modules = cargo(&["test", "--no-run", "--package", "aos-kernel", "--lib", "--test", "suite"], &variables);
    assert_eq!(modules.len(), 2);
    for module in modules {
        let module = Module::new(&engine, module).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let main = instance.get_typed_func::<(i32, i32), i32>(&mut store, "main").unwrap();
        // A test that fails panics, and a panic is a trap here.
        assert_eq!(main.call(&mut store, (0, 0)).unwrap(), 0);
    }
}
