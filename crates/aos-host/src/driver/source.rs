//! A world's blobs, read from its store.

use std::sync::{Arc, Mutex, PoisonError};

use aos_air::hash::Digest;
use aos_kernel::blobs::{BlobFault, Blobs};

use crate::store::{Error, Read};

/// Blobs of a store, shared by the kernel and the engine of one world.
#[derive(Clone)]
pub struct StoreBlobs(Arc<Mutex<Box<dyn Read>>>);

impl StoreBlobs {
    /// Reads blobs through `reader`.
    pub fn new(reader: Box<dyn Read>) -> Self {
        Self(Arc::new(Mutex::new(reader)))
    }
}

impl Blobs for StoreBlobs {
    fn blob(&self, hash: &Digest) -> Result<Vec<u8>, BlobFault> {
        // A reader holds no state that a panic could leave half done.
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reader.blob(hash).map_err(|error| match error {
            Error::BlobMissing { .. } => BlobFault::Missing(*hash),
            Error::BlobDamaged { .. } => BlobFault::Damaged(*hash),
            other if other.is_damage() => {
                tracing::warn!(%hash, code = other.code(), error = %other, "a blob lies in a damaged file");
                BlobFault::Damaged(*hash)
            }
            other => {
                tracing::error!(%hash, code = other.code(), error = %other, "a blob cannot be read");
                BlobFault::Unreadable(*hash)
            }
        })
    }
}
