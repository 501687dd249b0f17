//! The kernel from outside: worlds with native guests, their blocks, snapshots and replays.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by failing"
)]

mod admit;
mod bundle;
#[path = "../../src/cases.rs"]
mod cases;
mod gate;
mod golden;
mod limits;
mod receipt;
mod replay;
mod support;
mod transaction;
mod vectors;
