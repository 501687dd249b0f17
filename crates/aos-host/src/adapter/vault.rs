//! Changes of the vault that a world asks for: `vault.put` and `vault.rotate`.
//!
//! Values never pass here: a put names a handle that the vault's intake gave to a person. Read next: `keys/vault/`.

use std::sync::Arc;

use aos_air::hash::Digest;
use serde::{Deserialize, Serialize};

use super::{Adapter, Answer, Call, Effect, Failed};
use crate::keys::Vault;
use crate::keys::vault::{VaultError, Version};

/// Performs `vault.put` and `vault.rotate` on one vault.
pub struct VaultAdapter(pub Arc<Vault>);

/// `sys/VaultPutParams@1`.
#[derive(Deserialize)]
struct PutParams {
    alias: String,
    binding_id: String,
    value_ref: String,
    expected_digest: Digest,
}

/// `sys/VaultRotateParams@1`.
#[derive(Deserialize)]
struct RotateParams {
    alias: String,
    binding_id: String,
    version: u64,
    expected_digest: Digest,
}

/// `sys/VaultPutReceipt@1` and `sys/VaultRotateReceipt@1`.
#[derive(Serialize)]
struct Receipt {
    alias: String,
    version: u64,
    binding_id: String,
    digest: Digest,
}

impl Adapter for VaultAdapter {
    fn name(&self) -> &str {
        "vault"
    }

    fn perform(&self, effect: &Effect, _: &mut Call<'_>) -> Result<Answer, Failed> {
        let (alias, binding_id, changed) = match &*effect.kind {
            "vault.put" => {
                let PutParams { alias, binding_id, value_ref, expected_digest } = effect.params()?;
                let changed = self.0.put(&binding_id, &value_ref, &expected_digest);
                (alias, binding_id, changed)
            }
            "vault.rotate" => {
                let RotateParams { alias, binding_id, version, expected_digest } = effect.params()?;
                let changed = self.0.rotate(&binding_id, version, &expected_digest);
                (alias, binding_id, changed)
            }
            _ => return Err(effect.unknown_kind()),
        };
        let Version { version, digest } = changed?;
        Answer::of(&Receipt { alias, version, binding_id, digest })
    }

    /// Changes of one vault wait for each other anyway.
    fn concurrency(&self) -> usize {
        1
    }
}

impl From<VaultError> for Failed {
    fn from(error: VaultError) -> Self {
        let failed = Self::new(error.code(), error.to_string());
        if matches!(error, VaultError::Write(_)) { failed.sent() } else { failed }
    }
}
