//! Keys of this node: those that sign receipts, and the vault that keeps secrets.
//!
//! Never here: which key a world trusts (its manifest says so), and what a receipt says.
//! Read next: [`Keys`], then `vault/`.

mod file;
mod secret;
mod signer;
pub mod vault;

pub use file::{FileError, FileProblem};
pub use secret::{REDACTED, SEARCHED_BYTES_MIN, Secret};
pub use signer::{KeyError, Keys, Signed, Signer};
pub use vault::Vault;
