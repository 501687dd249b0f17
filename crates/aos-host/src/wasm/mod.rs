//! Modules on wasmtime: one engine per strategy, compiled code kept in memory and on disk, fresh memory for each call.
//!
//! What a module may do is decided by admission (`aos_air::module`), which rewrites it to meter itself; nothing that an
//! engine decides can be seen in a frame. Never here: what the bytes mean, worlds, stores.
//! Read next: `engine.rs` (settings and compiled modules), `call.rs` (one call), `code.rs` (the disk).

mod call;
mod code;
mod engine;
#[cfg(test)]
mod tests;

pub use call::Guests;
pub use code::{CodeCache, CodeCacheError};
pub use engine::{Engine, EngineError, Strategy};
