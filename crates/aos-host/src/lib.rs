//! The machine under a world: the only floor that touches disk, clock, randomness and threads.
//!
//! Lives here: the driver loop, the stores, the WASM engine, the builder of reducers, and the way from a folder
//! to a checked manifest. Never here: what a frame means or how a state follows; that is the kernel's.
//! Read next: `driver/`, which puts the parts together.

pub mod adapter;
pub mod build;
pub mod cache;
pub mod dispatch;
pub mod driver;
pub mod keys;
pub mod load;
pub mod store;
pub mod wasm;
