//! A world as a state machine: inputs in, frames out. Start reading at [`World`].
//!
//! Lives here: admission and the step, the state index, frames, blocks and their chain, snapshots, replay.
//! Never here: a disk, a network, a clock, randomness, a thread, a WASM engine. Time and entropy come in as data, stored
//! bytes through [`blobs::Blobs`], modules through [`guest::Guest`]; what is to be stored leaves in a [`Sealed`] block.
#![forbid(unsafe_code)]

extern crate alloc;

mod admit;
pub mod blobs;
pub mod block;
pub mod bundle;
#[cfg(test)]
mod cases;
pub mod derived;
mod earlier;
pub mod error;
pub mod frame;
pub mod gate;
pub mod genesis;
pub mod guest;
pub mod id;
pub mod index;
pub mod input;
pub mod intent;
mod mountain;
pub mod plan;
pub mod program;
mod query;
pub mod receipt;
mod replay;
mod snapshot;
mod state;
mod step;
mod world;

pub use admit::{Admission, Admitted};
pub use mountain::Mountain;
pub use query::{BudgetView, CellView, InstanceView};
pub use replay::replay;
pub use snapshot::Snapshot;
pub use world::{Machine, Seal, Sealed, World};

/// The executor of this kernel: the number of its semantics, cost table and ABI. A journal names the one it was made by.
pub const EXECUTOR: u64 = 1;
