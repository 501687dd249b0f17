//! The kernel from outside: worlds with native guests, their blocks, snapshots and replays.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by failing"
)]

mod admit;
mod approvals;
mod budgets;
mod bundle;
#[path = "../../src/cases.rs"]
mod cases;
mod clerk;
mod effects;
mod gate;
mod golden;
mod limits;
mod micro;
mod outside;
mod plan_ends;
mod plans;
mod receipt;
mod receipts;
mod replay;
mod site;
mod support;
mod transaction;
mod vectors;
