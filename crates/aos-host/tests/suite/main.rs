//! Tests of the host through its public face; one module for each part of it.
//!
//! `cfg(test)` holds for all of this binary; it is written out so that clippy knows these modules as tests.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod blob;
#[cfg(test)]
mod dispatch;
#[cfg(test)]
mod dispatch_end;
#[cfg(test)]
mod dispatch_stress;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod http;
#[cfg(test)]
mod http_server;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod llm;
#[cfg(test)]
mod outside;
#[cfg(test)]
mod store;
#[cfg(test)]
mod timer;
#[cfg(test)]
mod vault;
#[cfg(test)]
mod wasm32;
