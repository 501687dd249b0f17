//! Why the vault does not do something.

use super::{ENTRIES_MAX, SECRET_BYTES_MAX};
use crate::keys::file::FileError;

/// A failure of the vault. Its text never holds a value.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A file cannot be used.
    #[error("the vault cannot be used: {0}")]
    File(#[from] FileError),
    /// The file could not be replaced; whether the change lasts is open.
    #[error("the vault could not be written: {0}")]
    Write(FileError),
    /// The vault's file is not what the vault wrote.
    #[error("the vault's file is damaged: {0}")]
    Damaged(&'static str),
    /// The vault's file has a form that this version does not know.
    #[error("the vault's file has another format")]
    Format,
    /// The master key is not the one that sealed the vault.
    #[error("the master key does not open the vault")]
    WrongKey,
    /// The vault is there, and its master key is not.
    #[error("the vault's master key is missing")]
    KeyMissing,
    /// What is given as the master key is not one.
    #[error("the vault's master key is 64 lower-case hexadecimal digits")]
    KeyForm,
    /// The machine gives no random bytes.
    #[error("the machine gives no random bytes for the vault")]
    Entropy,
    /// Nothing waits in the intake under the handle.
    #[error("nothing waits in the vault's intake as `{handle}`")]
    HandleUnknown {
        /// The handle.
        handle: String,
    },
    /// A value does not have the digest that was expected.
    #[error("the value of `{subject}` does not have the expected digest")]
    Digest {
        /// The handle or the binding.
        subject: String,
    },
    /// The vault has nothing under the binding.
    #[error("the vault has no binding `{binding}`")]
    BindingUnknown {
        /// The binding's id.
        binding: String,
    },
    /// The binding has no such version.
    #[error("binding `{binding}` has no version {version}")]
    VersionUnknown {
        /// The binding's id.
        binding: String,
        /// The version.
        version: u64,
    },
    /// A binding's id is empty or too long.
    #[error("a binding's id has 1 to 256 bytes")]
    BindingForm,
    /// A value is empty or too large.
    #[error("a secret has 1 to {SECRET_BYTES_MAX} bytes")]
    Size,
    /// The vault holds as much as it may.
    #[error("the vault holds {ENTRIES_MAX} values, which is the most")]
    Full,
}

impl VaultError {
    /// Returns the stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File(error) | Self::Write(error) => error.code(),
            Self::Damaged(_) => "vault.damaged",
            Self::Format => "vault.format",
            Self::WrongKey => "vault.wrong_key",
            Self::KeyMissing => "vault.key_missing",
            Self::KeyForm => "vault.key_form",
            Self::Entropy => "host.entropy",
            Self::HandleUnknown { .. } => "vault.handle_unknown",
            Self::Digest { .. } => "vault.digest",
            Self::BindingUnknown { .. } => "vault.binding_unknown",
            Self::VersionUnknown { .. } => "vault.version_unknown",
            Self::BindingForm => "vault.binding_form",
            Self::Size => "vault.size",
            Self::Full => "vault.full",
        }
    }
}
