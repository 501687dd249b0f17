//! Admission of WASM modules: checks an author's module once and rewrites it so that every engine runs it the same.
//!
//! Lives here: [`admit`], a pure function from bytes to bytes, and what an engine needs to run its result. Never here: an engine,
//! a hash, a store. A module that is admitted counts its own fuel and stack, has canonical NaNs, and imports nothing.
//! Read next: `survey.rs` (what is checked), `body.rs` (how functions are rewritten), `cost.rs` (the table), `spec/modules.md`.

mod assemble;
mod body;
mod cost;
mod emit;
mod limits;
mod reason;
mod refused;
mod survey;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use wasmparser::{Parser, ValidPayload, Validator, WasmFeatures};

use self::{
    assemble::Parts,
    body::{AddedTypes, Context},
    emit::Counters,
};

pub use self::{
    limits::{Bound, Limits},
    refused::{FunctionPlace, Place, Refused},
};

/// Name of the exported mutable i64 global that holds the fuel left. The host sets it before each call; it starts at 0.
pub const FUEL_GLOBAL: &str = "aos:fuel";
/// Name of the exported mutable i32 global that holds the stack slots left. The host sets it before each call; it starts at 0.
pub const STACK_GLOBAL: &str = "aos:stack";
/// Stack budget of a call in slots, unless a world's limits say otherwise.
pub const STACK_SLOTS_DEFAULT: i32 = 16_384;
/// The most reasons that one refusal lists.
pub const FINDINGS_MAX: usize = 64;

/// Export names that begin like this belong to the rewritten module.
const RESERVED_PREFIX: &str = "aos:";

/// The parts of WebAssembly that a module may use.
const FEATURES: WasmFeatures = WasmFeatures::WASM1
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::SIMD);

/// What a module is for, which decides the entry that it must export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entry {
    /// A reducer: exports `step`.
    Reducer,
    /// A pure module: exports `run`.
    Pure,
}

impl Entry {
    /// Returns the name of the export that a call goes to, a function `(i32, i32) -> i64`.
    pub fn export(self) -> &'static str {
        match self {
            Self::Reducer => "step",
            Self::Pure => "run",
        }
    }
}

/// A module that an engine may run, and what the engine has to provide for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The rewritten module. The author's bytes, not these, are what a world names by hash.
    pub bytes: Vec<u8>,
    /// Pages of 64 KiB that the memory starts with.
    pub memory_pages_min: u32,
    /// Pages that the memory may grow to. The engine must provide them: growth past this fails, growth up to it never does.
    pub memory_pages_max: u32,
    /// Entries of the table; the table does not grow.
    pub table_entries: u32,
}

/// Why an admitted module trapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It ran out of fuel.
    Fuel,
    /// It ran out of stack slots.
    Stack,
    /// It trapped by itself: `unreachable`, a division by zero, an access out of bounds.
    Trap,
}

impl Stopped {
    /// Tells the reasons apart by the two counters as a trap left them.
    ///
    /// An engine's own stack overflow is none of these: the host has to recognise it by the engine's trap code first.
    pub fn from_counters(fuel: i64, stack: i32) -> Self {
        match (fuel, stack) {
            (..0, _) => Self::Fuel,
            (_, ..0) => Self::Stack,
            _ => Self::Trap,
        }
    }
}

/// Checks an author's module and rewrites it.
///
/// The same bytes, entry and limits always give the same result. The result validates, keeps the indices of the author's
/// functions and globals, and exports `memory`, `alloc`, the entry, [`FUEL_GLOBAL`] and [`STACK_GLOBAL`].
///
/// # Errors
/// Returns all reasons found, at most [`FINDINGS_MAX`] and at least one. A module past one of its limits is not looked at
/// further; in code, one reason is found per function.
pub fn admit(wasm: &[u8], entry: Entry, limits: &Limits) -> Result<Admitted, Vec<Refused>> {
    let mut survey = survey::survey(wasm, entry, limits);
    let mut refused = survey.take_refused(wasm);
    if survey.stopped || survey.unreadable.is_some() {
        return Err(capped(refused));
    }
    let pages_max = survey
        .memory
        .as_ref()
        .and_then(|memory| memory.maximum)
        .map_or(limits.memory_pages_max, |max| u32::try_from(max).unwrap_or(u32::MAX).min(limits.memory_pages_max));
    let counters = Counters { fuel: survey.globals.count, stack: survey.globals.count + 1 };
    let context = Context { wasm, survey: &survey, limits, counters, pages_max };
    let mut added_types = AddedTypes { first: survey.type_entries.count, results: Vec::new() };
    let bodies = validate_and_rewrite(&context, &mut added_types, &mut refused);
    if !refused.is_empty() {
        return Err(capped(refused));
    }
    let parts = Parts { wasm, survey: &survey, entry, added_types: &added_types, counters, pages_max, bodies: &bodies };
    let bytes = assemble::module(&parts);
    if let Some(reason) = too_large(bytes.len(), limits) {
        return Err(alloc::vec![reason]);
    }
    Ok(Admitted {
        bytes,
        memory_pages_min: first_size(survey.memory.as_ref().map(|memory| memory.initial)),
        memory_pages_max: pages_max,
        table_entries: first_size(survey.table.as_ref().map(|table| table.initial)),
    })
}

/// Returns an initial size, which validation has kept within 32 bits.
fn first_size(initial: Option<u64>) -> u32 {
    initial.and_then(|size| u32::try_from(size).ok()).unwrap_or(0)
}

/// Refuses a result of this many bytes if that is past the limit.
fn too_large(bytes: usize, limits: &Limits) -> Option<Refused> {
    let (bound, max) = (Bound::AdmittedBytes, limits.admitted_bytes_max);
    let found = u64::try_from(bytes).unwrap_or(u64::MAX);
    (found > u64::from(max)).then(|| Refused::Limit { bound, found, max, place: Place::at(0) })
}

fn capped(mut refused: Vec<Refused>) -> Vec<Refused> {
    refused.truncate(FINDINGS_MAX);
    refused
}

/// Validates the whole module and rewrites each function on the way. Adds what is wrong to `refused`.
fn validate_and_rewrite(
    context: &Context<'_, '_>,
    added_types: &mut AddedTypes,
    refused: &mut Vec<Refused>,
) -> Vec<Vec<u8>> {
    let wasm = context.wasm;
    let refuse = |error: &wasmparser::Error| reason::of(error, wasm, Place::at(error.offset()));
    let mut validator = Validator::new_with_features(FEATURES);
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    let mut bodies = Vec::new();
    let mut bytes_written = 0;
    for payload in parser.parse_all(wasm) {
        match payload.and_then(|payload| validator.payload(&payload)) {
            Ok(ValidPayload::Func(to_validate, body)) => {
                match body::rewrite(context, added_types, to_validate, &body) {
                    Ok(body) => {
                        bytes_written += body.len();
                        bodies.push(body);
                    }
                    Err(reason) => refused.push(reason),
                }
            }
            Ok(_) => {}
            Err(error) => {
                refused.push(refuse(&error));
                break;
            }
        }
        // Said here as well, so that memory stays bounded on the way.
        if let Some(reason) = too_large(bytes_written, context.limits) {
            refused.push(reason);
            break;
        }
        if refused.len() >= FINDINGS_MAX {
            break;
        }
    }
    bodies
}
