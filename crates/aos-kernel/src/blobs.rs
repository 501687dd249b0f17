//! The border to stored bytes: content by its digest. The kernel reads through it and never writes; what is to be stored
//! leaves with the block that needs it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use aos_air::hash::Digest;

/// Content-addressed bytes.
pub trait Blobs {
    /// Returns the bytes whose digest is `hash`. The implementation has compared them with it.
    ///
    /// # Errors
    /// [`BlobFault`] where they are missing, damaged or cannot be read.
    fn blob(&self, hash: &Digest) -> Result<Vec<u8>, BlobFault>;
}

/// Why bytes are not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlobFault {
    /// Nothing is stored under the digest.
    #[error("blob {0} is missing")]
    Missing(Digest),
    /// What is stored does not have the digest.
    #[error("blob {0} is damaged")]
    Damaged(Digest),
    /// The store could not read; its own error is with the host.
    #[error("blob {0} cannot be read")]
    Unreadable(Digest),
}

impl BlobFault {
    /// Returns the stable code of this fault.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "blob.missing",
            Self::Damaged(_) => "blob.damaged",
            Self::Unreadable(_) => "blob.unreadable",
        }
    }
}

/// Blobs in memory.
impl Blobs for BTreeMap<Digest, Vec<u8>> {
    fn blob(&self, hash: &Digest) -> Result<Vec<u8>, BlobFault> {
        let bytes = self.get(hash).ok_or(BlobFault::Missing(*hash))?;
        if Digest::of(bytes) == *hash { Ok(bytes.clone()) } else { Err(BlobFault::Damaged(*hash)) }
    }
}
