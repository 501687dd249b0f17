//! Turns what wasmparser says about a module into a reason of ours.
//!
//! Lives here: telling a broken module from one that uses a proposal that is not allowed. Never here: our own checks.
//! Read next: `refused.rs`.

use alloc::string::ToString;

use wasmparser::{Error, Validator, WasmFeatures};

use super::{
    FEATURES,
    refused::{Place, Refused},
};

/// Proposals that are recognised in order to be named. A later one includes what it needs of the earlier ones.
const PROPOSALS: &[(WasmFeatures, &str)] = &[
    (WasmFeatures::THREADS, "threads"),
    (WasmFeatures::RELAXED_SIMD, "relaxed SIMD"),
    (WasmFeatures::TAIL_CALL, "tail calls"),
    (WasmFeatures::MULTI_MEMORY, "multiple memories"),
    (WasmFeatures::MEMORY64, "64-bit memory"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "custom page sizes"),
    (WasmFeatures::MEMORY_CONTROL, "memory control"),
    (WasmFeatures::EXTENDED_CONST, "extended constant expressions"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic"),
    (WasmFeatures::REFERENCE_TYPES, "reference types"),
    (WasmFeatures::EXCEPTIONS.union(WasmFeatures::REFERENCE_TYPES), "exceptions"),
    (WasmFeatures::LEGACY_EXCEPTIONS, "legacy exceptions"),
    (WasmFeatures::FUNCTION_REFERENCES.union(WasmFeatures::REFERENCE_TYPES), "typed function references"),
    (
        WasmFeatures::GC.union(WasmFeatures::FUNCTION_REFERENCES).union(WasmFeatures::REFERENCE_TYPES),
        "garbage collection",
    ),
    (WasmFeatures::SHARED_EVERYTHING_THREADS.union(WasmFeatures::THREADS), "shared-everything threads"),
    (WasmFeatures::STACK_SWITCHING, "stack switching"),
];

/// The first eight bytes of a component.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Refuses a component, which is another format under the same magic number.
pub(super) fn component(wasm: &[u8]) -> Option<Refused> {
    let message = "the file is a component, not a core module".to_string();
    wasm.starts_with(COMPONENT).then(|| Refused::Feature {
        feature: "the component model",
        place: Place::at(4),
        message,
    })
}

/// Returns the reason behind `error`, which the reader or the validator gave for the module `wasm` at `place`.
pub(super) fn of(error: &Error, wasm: &[u8], place: Place) -> Refused {
    let message = error.message().to_string();
    let in_function = place.function.is_some();
    match proposal(error, wasm, in_function) {
        Some(feature) => Refused::Feature { feature, place, message },
        None => Refused::Malformed { place, message },
    }
}

/// Names the proposal without which `error` would not have come up.
fn proposal(error: &Error, wasm: &[u8], in_function: bool) -> Option<&'static str> {
    if let Some(missing) = error.missing_wasm_feature() {
        let named = PROPOSALS.iter().find(|(features, _)| features.contains(missing));
        return Some(named.map_or("a proposal outside the allowed set", |(_, name)| *name));
    }
    // Errors about sections do not all say which feature they lack: the one that lets validation get further is it. There is
    // one such error for a module at most, so the module is validated again a bounded number of times.
    if in_function {
        return None;
    }
    let gets_further = |features: WasmFeatures| {
        let mut validator = Validator::new_with_features(FEATURES.union(features));
        match validator.validate_all(wasm) {
            Ok(_) => true,
            Err(later) => later.offset() > error.offset(),
        }
    };
    PROPOSALS.iter().find(|(features, _)| gets_further(*features)).map(|(_, name)| *name)
}
