//! Why a module was not admitted, where, and what its author can do.
//!
//! Lives here: the one error type of the admission pass and its stable codes. Never here: how a fault is found.
//! Each code has a page in `docs/errors/`. Read next: `survey.rs` and `body.rs`, which make these values.

use alloc::string::String;
use core::fmt;

use super::limits::Bound;

/// A place in the author's module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Byte offset from the start of the module.
    pub offset: usize,
    /// The function that holds the offset, if the offset lies in a function's body.
    pub function: Option<FunctionPlace>,
}

/// A function of the author's module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionPlace {
    /// Index of the function as WebAssembly counts them.
    pub index: u32,
    /// The function's name, if the module's `name` section or an export gives it one.
    pub name: Option<String>,
}

impl Place {
    /// Makes a place outside any function.
    pub(super) fn at(offset: usize) -> Self {
        Self { offset, function: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(FunctionPlace { index, name: Some(name) }) => write!(f, "function {index} `{name}`, ")?,
            Some(FunctionPlace { index, name: None }) => write!(f, "function {index}, ")?,
            None => {}
        }
        write!(f, "byte {:#x}", self.offset)
    }
}

/// One reason not to admit a module: a Refusal, said to whoever brought the module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes are not a valid module, whatever features are allowed.
    #[error("not a valid WebAssembly module: {message} ({place})")]
    Malformed {
        /// Where the reader or the validator stopped.
        place: Place,
        /// What it found there.
        message: String,
    },
    /// The module uses a part of WebAssembly that does not mean the same on every engine, or that the pass does not meter.
    #[error("uses {feature}, which is not allowed: {message} ({place})")]
    Feature {
        /// Name of the WebAssembly proposal.
        feature: &'static str,
        /// Where it is first used, in the function named or in the module.
        place: Place,
        /// What was found there.
        message: String,
    },
    /// The module imports something.
    #[error("imports `{name}` from `{module}`, but nothing is there to import ({place})")]
    Import {
        /// The module that it imports from.
        module: String,
        /// What it imports.
        name: String,
        /// Where the import stands.
        place: Place,
    },
    /// The module has a start function.
    #[error("has a start function (function {function}), which would run before the fuel is set ({place})")]
    Start {
        /// Index of the function.
        function: u32,
        /// Where the start section stands.
        place: Place,
    },
    /// An export that the ABI needs is not there.
    #[error("does not export `{name}`, which must be {expected}")]
    ExportMissing {
        /// Name of the export.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// An export that the ABI needs is of another kind or type.
    #[error("exports `{name}` as {found}, but it must be {expected}")]
    Signature {
        /// Name of the export.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// An export has a name that the rewritten module keeps for itself.
    #[error("exports `{name}`, but names that begin with `aos:` are reserved")]
    ExportReserved {
        /// Name of the export.
        name: String,
    },
    /// An active segment does not lie inside the memory or the table as they start, so that no instance could be made.
    #[error("{segment} segment {index} ends at {end}, but the {target} starts with {size} ({place})")]
    Segment {
        /// `data` or `element`.
        segment: &'static str,
        /// Index of the segment.
        index: u32,
        /// One past the last byte or entry that it writes.
        end: u64,
        /// `memory` or `table`.
        target: &'static str,
        /// Bytes or entries that there are at the start.
        size: u64,
        /// Where the segment stands.
        place: Place,
    },
    /// A structure is larger than its limit.
    #[error("has {found} {}, at most {max} are allowed ({place})", .bound.counted())]
    Limit {
        /// Which limit.
        bound: Bound,
        /// How many there are. Where counting stops at the limit, one more than `max`.
        found: u64,
        /// How many there may be.
        max: u32,
        /// Where it was counted.
        place: Place,
    },
}

impl Refused {
    /// Returns the stable dotted code of this reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "module.malformed",
            Self::Feature { .. } => "module.feature",
            Self::Import { .. } => "module.import",
            Self::Start { .. } => "module.start",
            Self::ExportMissing { .. } => "module.export_missing",
            Self::Signature { .. } => "module.signature",
            Self::ExportReserved { .. } => "module.export_reserved",
            Self::Segment { .. } => "module.segment",
            Self::Limit { .. } => "module.limit",
        }
    }

    /// Returns one sentence on what the module's author can do.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => {
                "build the module again; if a tool changed it after the compiler, leave that tool out"
            }
            Self::Feature { .. } => {
                "build for plain wasm32 and turn this proposal off in the compiler's target features"
            }
            Self::Import { .. } => {
                "build for wasm32-unknown-unknown and remove what needs a host (WASI, wasm-bindgen, clocks, randomness, printing)"
            }
            Self::Start { .. } => {
                "do this work inside the entry function, or have the tool leave the start function out"
            }
            Self::ExportMissing { .. } => "export it under exactly this name",
            Self::Signature { .. } => "give the export exactly this type",
            Self::ExportReserved { .. } => "export it under another name, or not at all",
            Self::Segment { .. } => "let the memory or the table start larger, or shorten the segment",
            Self::Limit { .. } => {
                "make it smaller: optimise for size, split large functions, or load large data as state"
            }
        }
    }

    /// Returns where in the module the reason lies, if it lies at one place.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Malformed { place, .. }
            | Self::Feature { place, .. }
            | Self::Import { place, .. }
            | Self::Start { place, .. }
            | Self::Segment { place, .. }
            | Self::Limit { place, .. } => Some(place),
            Self::ExportMissing { .. } | Self::Signature { .. } | Self::ExportReserved { .. } => None,
        }
    }
}
