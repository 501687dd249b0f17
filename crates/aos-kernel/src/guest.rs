//! The border to modules: bytes in, bytes out, under fuel. The host implements it with an engine, a browser with its own.
//!
//! Nothing here knows WASM. What an engine may and may not decide is rule by rule in `spec/modules.md`.

use alloc::vec::Vec;

use aos_air::hash::Digest;
use aos_air::module::Entry;

use crate::blobs::BlobFault;

/// Runs modules on fresh memory.
///
/// For the same module, input and allowance every implementation gives the same output, the same fuel and the same
/// failure: what a module does is metered by the module's own admitted bytes, not by the engine.
pub trait Guest {
    /// Calls `entry` of `module` (the digest of the author's WASM) with `input`, and puts its answer into `output`.
    ///
    /// The memory is fresh: nothing of an earlier call is seen. `output` is cleared first. Returns the fuel used.
    ///
    /// # Errors
    /// [`CallError::Failed`] for what the module did, which becomes an outcome; [`CallError::Fault`] for what the host
    /// could not do, which stops the world.
    fn call(
        &mut self,
        module: &Digest,
        entry: Entry,
        input: &[u8],
        allowance: Allowance,
        output: &mut Vec<u8>,
    ) -> Result<u64, CallError>;
}

/// What one call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Fuel, in units of the admission pass's cost table.
    pub fuel: u64,
    /// Largest answer in bytes.
    pub reply_bytes: u64,
}

/// Why a call gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The module failed; every engine would see the same.
    #[error("the module failed: {trap}")]
    Failed {
        /// How.
        trap: Trap,
        /// Fuel used up to there, at most the allowance.
        fuel_used: u64,
    },
    /// The host could not run the module.
    #[error(transparent)]
    Fault(#[from] GuestFault),
}

/// How a module can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trap {
    /// It trapped: unreachable, a bad access, a division by zero, a panic.
    #[error("it trapped")]
    Trap,
    /// It used all its fuel.
    #[error("it ran out of fuel")]
    Fuel,
    /// It called deeper than its stack budget.
    #[error("it called too deeply")]
    Stack,
    /// It returned a pointer or a length outside its memory.
    #[error("it returned bytes outside its memory")]
    Pointer,
    /// Its answer is larger than allowed.
    #[error("its answer is too large")]
    ReplyBytes,
}

/// Why the host could not run a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestFault {
    /// The module's bytes cannot be had.
    #[error("the module's bytes: {0}")]
    Blob(#[from] BlobFault),
    /// The module does not pass admission.
    #[error("module {0} is not admitted")]
    Refused(Digest),
    /// The engine hit a limit of its own (native stack, host memory) that admission keeps out of reach.
    #[error("the engine failed on module {0}")]
    Engine(Digest),
}

impl GuestFault {
    /// Returns the stable code of this fault.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Blob(fault) => fault.code(),
            Self::Refused(_) => "module.refused",
            Self::Engine(_) => "module.engine",
        }
    }
}

impl Trap {
    /// Returns the stable code of this failure.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Trap => "guest.trap",
            Self::Fuel => "guest.fuel",
            Self::Stack => "guest.stack",
            Self::Pointer => "guest.pointer",
            Self::ReplyBytes => "guest.reply_bytes",
        }
    }
}
