//! The one signature rule: ed25519 by `verify_strict`, under keys that were checked once.
//!
//! Whoever verifies, one signature or a million on all cores, calls [`VerifyingKey::verify`]: there is no batch
//! equation and no second function, so no signature passes one and fails the other. Never here: a secret key.

use core::fmt;

use ed25519_dalek::Signature;

use crate::def::PublicKey;

/// Length of a signature in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// A public key that was decompressed and found usable.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

/// Why a public key is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKey {
    /// Its bytes are no point of the curve, or not the one encoding of it.
    #[error("its bytes are no point of the curve in its only encoding")]
    Malformed,
    /// It is of small order, or has a part of small order: signatures under it can be made without a secret key, or
    /// mean different things to different verifiers.
    #[error("it has a part of small order")]
    Weak,
}

/// A signature that is not the key holder's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct Forged;

impl VerifyingKey {
    /// Decompresses a public key and checks it.
    ///
    /// # Errors
    /// [`UnusableKey`].
    pub fn of(key: &PublicKey) -> Result<Self, UnusableKey> {
        let read = ed25519_dalek::VerifyingKey::from_bytes(&key.0).map_err(|_| UnusableKey::Malformed)?;
        let point = read.to_edwards();
        if point.compress().as_bytes() != &key.0 {
            return Err(UnusableKey::Malformed);
        }
        if point.is_small_order() || !point.is_torsion_free() {
            return Err(UnusableKey::Weak);
        }
        Ok(Self(read))
    }

    /// Verifies a signature over `message`.
    ///
    /// # Errors
    /// [`Forged`], also for a signature that is not [`SIGNATURE_BYTES`] long.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Forged> {
        let signature = Signature::from_slice(signature).map_err(|_| Forged)?;
        self.0.verify_strict(message, &signature).map_err(|_| Forged)
    }

    /// Returns the key as a manifest writes it.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.to_bytes())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.public(), f)
    }
}
