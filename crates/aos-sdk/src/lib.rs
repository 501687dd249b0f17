//! What the author of a reducer or a pure module writes against: plain serde types, a trait and a macro for each. Free
//! of `std`.
//!
//! Lives here: [`Reducer`] with what a step sees and asks for ([`Step`]), [`Pure`], and on wasm32 the exports, the
//! allocator and the panic handler. Never here: a clock, an import, the host; a reducer is a function of state and event.
//! Read next: `step.rs`, `effects.rs`, then the counter in `examples/00-counter/reducer`.
//!
//! ```
//! use aos_sdk::{Failed, Next, Reducer, Step, reducer};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Lamp {
//!     on: bool,
//! }
//!
//! #[derive(Deserialize)]
//! enum Switch {
//!     Press,
//!     Remove,
//! }
//!
//! impl Reducer for Lamp {
//!     type State = Self;
//!     type Event = Switch;
//!
//!     fn step(state: Option<Self>, event: Switch, _: &mut Step<'_>) -> Next<Self> {
//!         match (state, event) {
//!             (None, Switch::Press) => Ok(Some(Self { on: true })),
//!             (Some(lamp), Switch::Press) => Ok(Some(Self { on: !lamp.on })),
//!             (Some(_), Switch::Remove) => Ok(None),
//!             (None, Switch::Remove) => Err(Failed("there is no lamp to remove")),
//!         }
//!     }
//! }
//!
//! reducer!(Lamp);
//!
//! let next = Lamp::step(None, Switch::Press, &mut Step::default());
//! assert_eq!(next.map(|state| state.map(|lamp| lamp.on)), Ok(Some(true)));
//! ```
#![no_std]

extern crate alloc;

mod call;
mod effects;
mod pure;
mod step;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use call::{answer, answer_pure};
pub use effects::{BlobGetResult, BlobPutResult, EffectError, EffectFailed, EffectStatus, Hash, TimerFired};
pub use pure::{Pure, PureContext};
/// A byte string: the schema type `bytes`.
pub use serde_bytes::ByteBuf as Bytes;
pub use step::{Context, Step};

#[doc(hidden)]
#[cfg(target_arch = "wasm32")]
pub use wasm::{run as exported_run, step as exported_step};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A function from state and event to the next state.
///
/// The types take the form that their schemas give them: a struct is a record with the same field names, an enum a
/// variant with the same tags, `u64` a `nat`, `i64` an `int`, `Option` an `option`. Floats have no schema.
pub trait Reducer {
    /// What a cell remembers between events.
    type State: Serialize + DeserializeOwned;
    /// What happens to it.
    type Event: DeserializeOwned;

    /// Computes what follows from `event`. `state` is none where the cell does not exist yet.
    ///
    /// `Ok(None)` deletes the cell. Whatever else should happen is asked for through `step`.
    ///
    /// # Errors
    /// A step that returns [`Failed`] fails the whole transaction, as one that panics does: no cell changes, no event or
    /// effect leaves, and the frame records the failed outcome, here with the step's own words.
    fn step(state: Option<Self::State>, event: Self::Event, step: &mut Step<'_>) -> Next<Self::State>;
}

/// What a step returns: the next state, none to delete the cell, or why it refuses.
pub type Next<S> = Result<Option<S>, Failed>;

/// Why a step refuses to go on.
///
/// The frame keeps up to 256 bytes of the text, so it is for people who read the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed(pub &'static str);

impl core::fmt::Display for Failed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for Failed {}

/// Exports a [`Reducer`] as the module's `step`. Does nothing on other targets than wasm32, so tests run natively.
///
/// Stands once in a crate of type `cdylib` whose root says `#![cfg_attr(target_arch = "wasm32", no_std)]`; the memory, `alloc`, the allocator and the
/// panic handler come with this crate. The crate itself may forbid unsafe code.
#[macro_export]
macro_rules! reducer {
    ($reducer:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            // SAFETY: `step` is the ABI's name for this function and no other symbol of a guest has it.
            #[unsafe(no_mangle)]
            extern "C" fn step(ptr: usize, len: usize) -> u64 {
                // SAFETY: the ABI's caller passes what it wrote into memory from `alloc(len)`.
                unsafe { $crate::exported_step::<$reducer>(ptr, len) }
            }
        };
        const _: fn() = || {
            const fn is_reducer<R: $crate::Reducer>() {}
            is_reducer::<$reducer>();
        };
    };
}
