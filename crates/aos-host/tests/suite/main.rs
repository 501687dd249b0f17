//! Tests of the host through its public face; one module for each part of it.
//!
//! `cfg(test)` holds for all of this binary; it is written out so that clippy knows these modules as tests.

#[cfg(test)]
mod driver;
#[cfg(test)]
mod store;
#[cfg(test)]
mod wasm32;
