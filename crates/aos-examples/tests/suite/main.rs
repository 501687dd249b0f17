//! The runner through its binary: what it prints, where, and with which exit code.
//!
//! `cfg(test)` holds for all of this binary; it is written out so that clippy knows these modules as tests.
//! Read next: `support.rs`.

#[cfg(test)]
mod documents;
#[cfg(test)]
mod ladder;
#[cfg(test)]
mod output;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod support;
#[cfg(test)]
mod worlds;
