//! Replays a recorded world inside an engine of the auditor's choice: a browser's, Node's, any that runs core WebAssembly.
//!
//! Lives here: [`replay`], from the bytes of a bundle to where its history ends, and [`Modules`], which runs the world's
//! modules through the auditor's [`Engine`]. On wasm32 this crate is a module itself, with two exports and one import.
//! Never here: an engine, a file, a clock; nothing above the kernel. Read next: `spec/replay.md`, then `wasm.rs`.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

extern crate alloc;

mod answer;
mod engine;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use answer::{ReplayError, Replayed, encode};
pub use engine::{Call, End, Ended, Engine, Modules};

use aos_kernel::bundle::Bundle;

/// Replays a bundle from its genesis, compares every frame and header, and says where the history ends.
///
/// # Errors
/// [`ReplayError::Bundle`] where the bytes are no whole bundle, [`ReplayError::Fault`] at the first block that is damaged
/// or comes out otherwise, and where a module is missing or `engine` cannot run it.
pub fn replay(bundle: &[u8], engine: &mut dyn Engine) -> Result<Replayed, ReplayError> {
    let bundle = Bundle::decode(bundle)?;
    let world = bundle.replay(&mut Modules::new(&bundle.blobs, engine), &mut |_| {})?;
    Ok(Replayed::of(&world))
}
