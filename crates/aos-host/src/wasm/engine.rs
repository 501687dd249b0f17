//! The engine's settings, and the modules that it has compiled.
//!
//! One [`Engine`] serves all worlds of a process on all threads. Never here: a call (`call.rs`), the files that keep
//! compiled code (`code.rs`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aos_air::hash::Digest;
use aos_air::module::{self, Admitted, Entry, Refused, admit};
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, InstancePre, Linker, Module, ModuleExport, OptLevel,
    PoolingAllocationConfig,
};

use super::call::Watch;
use super::code::CodeCache;

/// Bytes of a page of WebAssembly memory.
pub(super) const PAGE_BYTES: usize = 65_536;

/// Native stack that the engine may use for one call. The stack budget of admission ends a call long before this; see
/// `a_deep_recursion_ends_by_the_budget_in_both_strategies`.
pub(super) const STACK_BYTES: usize = 1 << 20;

/// Calls that may run at the same time, each on a thread of its own. Each takes 4 GiB of address space, not of memory.
const CALLS_MAX: u32 = 64;

/// Bytes of each memory in the pool that stay mapped between calls; pages past it go back to the system after a call.
const RESIDENT_BYTES: usize = 1 << 20;

/// Compiled modules kept in memory, about half a megabyte each; the one that was used longest ago leaves first.
const COMPILED_MAX: usize = 256;

/// How modules are compiled. Both give the same results; replaying under each is a test of the compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Optimised for speed: what worlds run on.
    #[default]
    Optimised,
    /// Compiled straight through, without the optimiser.
    Unoptimised,
}

/// Why the engine cannot be had or cannot take a module.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The settings do not work on this machine: no address space for the pool, or a processor that is not supported.
    #[error("the WebAssembly engine cannot start: {0}")]
    Start(#[source] wasmtime::Error),
    /// The module is not admitted.
    #[error("the module is refused for {} reason(s), first: {}", .0.len(), .0.first().map_or(String::new(), ToString::to_string))]
    Refused(Vec<Refused>),
    /// The engine does not compile a module that was admitted.
    #[error("the WebAssembly engine does not compile an admitted module: {0}")]
    Compile(#[source] wasmtime::Error),
}

impl EngineError {
    /// Returns the stable code of this error. A refused module's own reasons have their own codes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Start(_) => "engine.start",
            Self::Refused(_) => "module.refused",
            Self::Compile(_) => "engine.compile",
        }
    }
}

/// An engine with its compiled modules; cheap to clone, shared by all worlds and threads.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    engine: wasmtime::Engine,
    limits: module::Limits,
    code: Option<CodeCache>,
    compiled: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    modules: HashMap<(Digest, Entry), (u64, Arc<Compiled>)>,
    clock: u64,
}

/// A module ready to be instantiated, with its exports resolved.
pub(super) struct Compiled {
    pub(super) instance: InstancePre<Watch>,
    pub(super) memory: ModuleExport,
    pub(super) alloc: ModuleExport,
    pub(super) entry: ModuleExport,
    pub(super) fuel: ModuleExport,
    pub(super) stack: ModuleExport,
}

impl Engine {
    /// Starts an engine. Compiled code is kept in `code` across processes, where there is one.
    ///
    /// # Errors
    /// [`EngineError::Start`] where the machine does not provide what the settings ask for.
    pub fn new(strategy: Strategy, code: Option<CodeCache>) -> Result<Self, EngineError> {
        let limits = module::Limits::default();
        let engine = wasmtime::Engine::new(&config(strategy, &limits)).map_err(EngineError::Start)?;
        Ok(Self(Arc::new(Inner { engine, limits, code, compiled: Mutex::default() })))
    }

    /// Admits and compiles an author's module for `entry`, so that the first call does not wait, and returns its digest.
    ///
    /// # Errors
    /// [`EngineError::Refused`] with all reasons, [`EngineError::Compile`] where the engine fails.
    pub fn prepare(&self, wasm: &[u8], entry: Entry) -> Result<Digest, EngineError> {
        let digest = Digest::of(wasm);
        if self.compiled(&digest, entry).is_none() {
            self.compile(digest, wasm, entry)?;
        }
        Ok(digest)
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        &self.0.engine
    }

    /// Finds the module among those in memory.
    pub(super) fn compiled(&self, digest: &Digest, entry: Entry) -> Option<Arc<Compiled>> {
        let mut kept = self.0.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let clock = kept.clock;
        let (used, compiled) = kept.modules.get_mut(&(*digest, entry))?;
        *used = clock;
        Some(compiled.clone())
    }

    /// Admits and compiles `wasm`, whose digest is `digest`, or takes its code from the disk, and keeps it in memory.
    pub(super) fn compile(&self, digest: Digest, wasm: &[u8], entry: Entry) -> Result<Arc<Compiled>, EngineError> {
        let start = Instant::now();
        let admitted = admit(wasm, entry, &self.0.limits).map_err(EngineError::Refused)?;
        let (module, source) = match self.0.code.as_ref().and_then(|code| code.load(&self.0.engine, &admitted)) {
            Some(module) => (module, "code cache"),
            None => (self.translate(&admitted)?, "compiler"),
        };
        tracing::debug!(module = %digest, source, bytes = wasm.len(), elapsed = ?start.elapsed(), "module ready");
        let compiled = Arc::new(resolve(&self.0.engine, &module, entry).map_err(EngineError::Compile)?);
        let mut kept = self.0.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.modules.len() >= COMPILED_MAX {
            let oldest = kept.modules.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key);
            oldest.map(|oldest| kept.modules.remove(&oldest));
        }
        kept.clock += 1;
        let clock = kept.clock;
        kept.modules.insert((digest, entry), (clock, compiled.clone()));
        Ok(compiled)
    }

    fn translate(&self, admitted: &Admitted) -> Result<Module, EngineError> {
        let module = Module::from_binary(&self.0.engine, &admitted.bytes).map_err(EngineError::Compile)?;
        if let Some(code) = &self.0.code {
            code.store(&self.0.engine, admitted, &module);
        }
        Ok(module)
    }
}

fn resolve(engine: &wasmtime::Engine, module: &Module, entry: Entry) -> wasmtime::Result<Compiled> {
    let export =
        |name| module.get_export_index(name).ok_or_else(|| wasmtime::Error::msg("an admitted export is missing"));
    Ok(Compiled {
        memory: export("memory")?,
        alloc: export("alloc")?,
        entry: export(entry.export())?,
        fuel: export(module::FUEL_GLOBAL)?,
        stack: export(module::STACK_GLOBAL)?,
        instance: Linker::new(engine).instantiate_pre(module)?,
    })
}

/// The deterministic profile: what admission allows and nothing else, no metering by the engine.
fn config(strategy: Strategy, limits: &module::Limits) -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(match strategy {
            Strategy::Optimised => OptLevel::Speed,
            Strategy::Unoptimised => OptLevel::None,
        })
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_extended_const(false)
        .wasm_simd(true)
        .consume_fuel(false)
        .epoch_interruption(false)
        .max_wasm_stack(STACK_BYTES)
        // A trap is an outcome that frames record by its kind; nobody reads the engine's backtrace.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    config
}

/// The pool that instances come from. It gives a memory back its first content by undoing what a call wrote.
fn pool(limits: &module::Limits) -> PoolingAllocationConfig {
    let size = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(CALLS_MAX)
        .total_memories(CALLS_MAX)
        .total_tables(CALLS_MAX)
        .max_memories_per_module(1)
        .max_tables_per_module(1)
        .max_memory_size(size(limits.memory_pages_max).saturating_mul(PAGE_BYTES))
        .table_elements(size(limits.table_entries_max))
        .max_core_instance_size(1 << 20)
        .max_unused_warm_slots(CALLS_MAX)
        .linear_memory_keep_resident(RESIDENT_BYTES)
        .table_keep_resident(PAGE_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}
