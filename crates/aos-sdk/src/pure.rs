//! Pure modules: a function from an input to an output, without state, events or effects.
//!
//! A world uses them to enforce a capability of its own, or to migrate cells. Never here: a reducer; see `lib.rs`.

use alloc::string::String;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Failed, Hash};

/// A function from input to output.
///
/// ```
/// use aos_sdk::{Failed, Pure, PureContext, pure};
///
/// struct Double;
///
/// impl Pure for Double {
///     type Input = u64;
///     type Output = u64;
///
///     fn run(input: u64, _: Option<PureContext>) -> Result<u64, Failed> {
///         input.checked_mul(2).ok_or(Failed("too large"))
///     }
/// }
///
/// pure!(Double);
///
/// assert_eq!(Double::run(21, None), Ok(42));
/// ```
pub trait Pure {
    /// What it is given.
    type Input: DeserializeOwned;
    /// What it gives.
    type Output: Serialize;

    /// Computes the output. `context` is there if the module's definition asks for `sys/PureContext@1`.
    ///
    /// # Errors
    /// [`Failed`] where there is no output; what that means, the caller of the module decides.
    fn run(input: Self::Input, context: Option<PureContext>) -> Result<Self::Output, Failed>;
}

/// What a pure module is told about the transaction, if it asks: `sys/PureContext@1`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PureContext {
    /// The world's clock, which never goes back, in nanoseconds since the epoch.
    pub logical_now_ns: u64,
    /// The height of the frame that this call belongs to.
    pub journal_height: u64,
    /// The hash of the manifest in force.
    pub manifest_hash: Hash,
    /// The name of this module.
    pub module: String,
}

/// Exports a [`Pure`] module as the module's `run`. Does nothing on other targets than wasm32, so tests run natively.
///
/// Stands once in a crate, under the same conditions as [`reducer!`](crate::reducer).
#[macro_export]
macro_rules! pure {
    ($pure:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            // SAFETY: `run` is the ABI's name for this function and no other symbol of a guest has it.
            #[unsafe(no_mangle)]
            extern "C" fn run(ptr: usize, len: usize) -> u64 {
                // SAFETY: the ABI's caller passes what it wrote into memory from `alloc(len)`.
                unsafe { $crate::exported_run::<$pure>(ptr, len) }
            }
        };
        const _: fn() = || {
            const fn is_pure<P: $crate::Pure>() {}
            is_pure::<$pure>();
        };
    };
}
