//! One call of a module: a fresh instance, the input in, the entry, the answer out.
//!
//! What the module did is told from the two counters that admission put into it; what the engine could not do is a
//! Fault. Never here: how modules are compiled (`engine.rs`).

use std::sync::Arc;

use aos_air::hash::Digest;
use aos_air::module::{Entry, STACK_SLOTS_DEFAULT, Stopped};
use aos_kernel::blobs::Blobs;
use aos_kernel::guest::{Allowance, CallError, Guest, GuestFault, Trap};
use wasmtime::{Extern, Global, Instance, Memory, ModuleExport, ResourceLimiter, Store, TypedFunc, Val};

use super::engine::{Compiled, Engine, EngineError, STACK_BYTES};

/// Native stack that a call needs in all: the engine's bound and room for the host's own frames around it.
const CALL_STACK_BYTES: usize = STACK_BYTES + (128 << 10);

/// Size of the stack that a call moves to where its thread has less left than it needs.
const SPARE_STACK_BYTES: usize = 2 * CALL_STACK_BYTES;

/// A world's way to its modules: the shared engine, and the blobs that hold the authors' bytes.
pub struct Guests<B> {
    engine: Engine,
    blobs: B,
    last: Option<(Digest, Entry, Arc<Compiled>)>,
}

impl<B: Blobs> Guests<B> {
    /// Runs modules from `blobs` on `engine`.
    pub fn new(engine: Engine, blobs: B) -> Self {
        Self { engine, blobs, last: None }
    }

    /// Returns where the authors' bytes come from.
    pub fn blobs(&self) -> &B {
        &self.blobs
    }

    fn compiled(&mut self, digest: &Digest, entry: Entry) -> Result<Arc<Compiled>, GuestFault> {
        if let Some((last, last_entry, compiled)) = &self.last
            && (last, *last_entry) == (digest, entry)
        {
            return Ok(compiled.clone());
        }
        let compiled = match self.engine.compiled(digest, entry) {
            Some(compiled) => compiled,
            None => self.load(digest, entry)?,
        };
        self.last = Some((*digest, entry, compiled.clone()));
        Ok(compiled)
    }

    fn load(&self, digest: &Digest, entry: Entry) -> Result<Arc<Compiled>, GuestFault> {
        let wasm = self.blobs.blob(digest).map_err(GuestFault::from)?;
        self.engine.compile(*digest, &wasm, entry).map_err(|error| {
            tracing::error!(module = %digest, code = error.code(), %error, "a module cannot run");
            match error {
                EngineError::Refused(_) => GuestFault::Refused(*digest),
                EngineError::Start(_) | EngineError::Compile(_) => GuestFault::Engine(*digest),
            }
        })
    }
}

impl<B: Blobs> Guest for Guests<B> {
    fn call(
        &mut self,
        module: &Digest,
        entry: Entry,
        input: &[u8],
        allowance: Allowance,
        output: &mut Vec<u8>,
    ) -> Result<u64, CallError> {
        output.clear();
        let compiled = self.compiled(module, entry)?;
        let engine = self.engine.engine();
        let call = || run(engine, &compiled, input, allowance, output);
        let result = stacker::maybe_grow(CALL_STACK_BYTES, SPARE_STACK_BYTES, call);
        result.map_err(|stop| match stop {
            Stop::Failed { trap, fuel_used } => CallError::Failed { trap, fuel_used },
            Stop::Engine(error) => {
                tracing::error!(%module, error = format!("{error:#}"), "the engine failed");
                GuestFault::Engine(*module).into()
            }
        })
    }
}

/// What the store of a call keeps: the size that the module asked its memory to have, where its maximum allows it.
#[derive(Default)]
pub(super) struct Watch {
    memory_bytes: usize,
}

impl ResourceLimiter for Watch {
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_none_or(|maximum| desired <= maximum) {
            self.memory_bytes = desired;
        }
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

/// Why a call ended early.
enum Stop {
    Failed { trap: Trap, fuel_used: u64 },
    Engine(wasmtime::Error),
}

impl From<wasmtime::Error> for Stop {
    fn from(error: wasmtime::Error) -> Self {
        Self::Engine(error)
    }
}

fn run(
    engine: &wasmtime::Engine,
    compiled: &Compiled,
    input: &[u8],
    allowance: Allowance,
    output: &mut Vec<u8>,
) -> Result<u64, Stop> {
    let mut running = Running::start(engine, compiled, allowance.fuel)?;
    let result = running.answer(compiled, input, allowance.reply_bytes, output);
    // A growth that the module's maximum allows and the machine did not give would be seen by the module as a failure
    // that no other engine repeats.
    if running.memory.data_size(&running.store) < running.store.data().memory_bytes {
        return Err(Stop::Engine(wasmtime::Error::msg("the machine has no memory for a growth that was allowed")));
    }
    result?;
    Ok(running.fuel_used())
}

/// A fresh instance during its one call.
struct Running {
    store: Store<Watch>,
    instance: Instance,
    memory: Memory,
    fuel: Global,
    stack: Global,
    fuel_given: i64,
}

impl Running {
    fn start(engine: &wasmtime::Engine, compiled: &Compiled, fuel: u64) -> Result<Self, Stop> {
        let mut store = Store::new(engine, Watch::default());
        store.limiter(|watch| watch);
        let instance = compiled.instance.instantiate(&mut store)?;
        let memory = export(&mut store, &instance, &compiled.memory)?.into_memory().ok_or_else(not_admitted)?;
        let fuel_global = export(&mut store, &instance, &compiled.fuel)?.into_global().ok_or_else(not_admitted)?;
        let stack = export(&mut store, &instance, &compiled.stack)?.into_global().ok_or_else(not_admitted)?;
        let fuel_given = i64::try_from(fuel).unwrap_or(i64::MAX);
        fuel_global.set(&mut store, Val::I64(fuel_given))?;
        stack.set(&mut store, Val::I32(STACK_SLOTS_DEFAULT))?;
        Ok(Self { store, instance, memory, fuel: fuel_global, stack, fuel_given })
    }

    /// Calls `alloc` and the entry, and copies the answer into `output`.
    fn answer(
        &mut self,
        compiled: &Compiled,
        input: &[u8],
        reply_bytes: u64,
        output: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let alloc = export(&mut self.store, &self.instance, &compiled.alloc)?.into_func().ok_or_else(not_admitted)?;
        let entry = export(&mut self.store, &self.instance, &compiled.entry)?.into_func().ok_or_else(not_admitted)?;
        let alloc: TypedFunc<u32, u32> = alloc.typed(&self.store)?;
        let entry: TypedFunc<(u32, u32), u64> = entry.typed(&self.store)?;

        let len = u32::try_from(input.len()).map_err(|_| wasmtime::Error::msg("the input is larger than a memory"))?;
        let ptr = alloc.call(&mut self.store, len).map_err(|error| self.stopped(error))?;
        let Some(place) = range(self.memory.data_mut(&mut self.store), ptr, len) else {
            return Err(self.failed(Trap::Pointer));
        };
        place.copy_from_slice(input);

        let packed = entry.call(&mut self.store, (ptr, len)).map_err(|error| self.stopped(error))?;
        let (ptr, len) = unpack(packed);
        let Some(place) = range(self.memory.data_mut(&mut self.store), ptr, len) else {
            return Err(self.failed(Trap::Pointer));
        };
        if u64::from(len) > reply_bytes {
            return Err(self.failed(Trap::ReplyBytes));
        }
        output.extend_from_slice(place);
        Ok(())
    }

    /// Tells what a trap was. A limit of the engine's own is not the module's doing.
    fn stopped(&mut self, error: wasmtime::Error) -> Stop {
        use wasmtime::Trap as Code;
        match error.downcast_ref::<Code>() {
            Some(
                Code::UnreachableCodeReached
                | Code::MemoryOutOfBounds
                | Code::TableOutOfBounds
                | Code::IndirectCallToNull
                | Code::BadSignature
                | Code::IntegerOverflow
                | Code::IntegerDivisionByZero
                | Code::BadConversionToInteger,
            ) => {}
            _ => return Stop::Engine(error),
        }
        let fuel = self.fuel.get(&mut self.store).i64().unwrap_or(0);
        let stack = self.stack.get(&mut self.store).i32().unwrap_or(0);
        self.failed(match Stopped::from_counters(fuel, stack) {
            Stopped::Fuel => Trap::Fuel,
            Stopped::Stack => Trap::Stack,
            Stopped::Trap => Trap::Trap,
        })
    }

    fn failed(&mut self, trap: Trap) -> Stop {
        Stop::Failed { trap, fuel_used: self.fuel_used() }
    }

    fn fuel_used(&mut self) -> u64 {
        let left = self.fuel.get(&mut self.store).i64().unwrap_or(0).max(0);
        self.fuel_given.saturating_sub(left).unsigned_abs()
    }
}

fn export(store: &mut Store<Watch>, instance: &Instance, export: &ModuleExport) -> Result<Extern, Stop> {
    instance.get_module_export(store, export).ok_or_else(not_admitted)
}

/// An export is missing or of another kind, which admission has excluded.
fn not_admitted() -> Stop {
    Stop::Engine(wasmtime::Error::msg("an admitted export is missing"))
}

/// Returns `len` bytes of `memory` at `ptr`, if they lie inside it.
fn range(memory: &mut [u8], ptr: u32, len: u32) -> Option<&mut [u8]> {
    let start = usize::try_from(ptr).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    memory.get_mut(start..end)
}

/// Splits the entry's result, `ptr << 32 | len`.
fn unpack(packed: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = packed.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}
