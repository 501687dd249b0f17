//! What is signed outside and taken in: an adapter's receipt for an intent, a principal's decision on a parked one.
//!
//! Lives here: the forms, the bytes that a signature covers, the keys that count. Never here: a secret key, or whether
//! a receipt answers an open intent, which is the world's to say. The rule itself is `aos_air::signature`.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use aos_air::cbor::{CborError, Problem, Reader, write};
use aos_air::def::Trust;
use aos_air::hash::Digest;
pub use aos_air::plan::Status;
use aos_air::signature::{Forged, VerifyingKey};

use crate::gate::Spend;
use crate::id::{IntentId, WorldId};

/// What stands before a receipt's bytes in the message that is signed.
pub const RECEIPT_DOMAIN: &[u8] = b"aos/receipt/1\0";
/// What stands before a decision's bytes in the message that is signed.
pub const DECISION_DOMAIN: &[u8] = b"aos/decide/1\0";

/// The version of both forms.
const VERSION: u64 = 1;

/// What an adapter says came of an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The world whose intent it is.
    pub world: WorldId,
    /// The intent.
    pub intent: IntentId,
    /// The adapter: the first segment of the effect's kind.
    pub adapter: String,
    /// Which of the adapter's keys has signed.
    pub key_id: String,
    /// How it ended.
    pub status: Status,
    /// Where the status is ok a canonical value of the effect's receipt schema, else one of `sys/EffectError@1`.
    pub payload: Vec<u8>,
    /// What it cost.
    pub cost: Spend,
    /// When the adapter began, by its host's clock, in nanoseconds since 1970.
    pub started_ns: u64,
    /// When it ended.
    pub finished_ns: u64,
}

/// Why a receipt does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptRefused {
    /// Its bytes are not the one form of a receipt.
    #[error("the bytes are no receipt: {0}")]
    Form(CborError),
    /// The manifest trusts no such key for this adapter.
    #[error("the manifest trusts no key `{key_id}` of an adapter `{adapter}`")]
    KeyUnknown {
        /// The adapter that the receipt names.
        adapter: String,
        /// The key that it names.
        key_id: String,
    },
    /// The signature does not verify.
    #[error("the receipt's signature does not verify")]
    Signature,
}

impl ReceiptRefused {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "receipt.form",
            Self::KeyUnknown { .. } => "receipt.key_unknown",
            Self::Signature => "receipt.signature",
        }
    }
}

impl Receipt {
    /// Returns the canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() + 192);
        write::array(&mut out, 10);
        write::uint(&mut out, VERSION);
        write::bytes(&mut out, self.world.0.as_bytes());
        write::bytes(&mut out, self.intent.0.as_bytes());
        write::text(&mut out, &self.adapter);
        write::text(&mut out, &self.key_id);
        write::uint(&mut out, u64::from(self.status.number()));
        write::bytes(&mut out, &self.payload);
        self.cost.write(&mut out);
        write::uint(&mut out, self.started_ns);
        write::uint(&mut out, self.finished_ns);
        out
    }

    /// Reads the canonical bytes, and nothing else. The signature is not looked at.
    ///
    /// # Errors
    /// Where and how the bytes are not in the form.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        reader.array_of(10)?;
        read_version(&mut reader)?;
        let receipt = Self {
            world: WorldId(Digest::from_bytes(reader.byte_array()?)),
            intent: IntentId(Digest::from_bytes(reader.byte_array()?)),
            adapter: reader.text()?.into(),
            key_id: reader.text()?.into(),
            status: {
                let wrong = Reader::error(reader.offset(), Problem::Type);
                Status::from_number(reader.uint()?).ok_or(wrong)?
            },
            payload: reader.bytes()?.into(),
            cost: Spend::read(&mut reader)?,
            started_ns: reader.uint()?,
            finished_ns: reader.uint()?,
        };
        reader.end()?;
        Ok(receipt)
    }

    /// Returns the message that the adapter's key signs.
    pub fn message(&self) -> Vec<u8> {
        message(RECEIPT_DOMAIN, &self.encode())
    }
}

/// What a principal says about a parked intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalDecision {
    /// The world.
    pub world: WorldId,
    /// The manifest that was in force when the principal looked.
    pub manifest: Digest,
    /// The count of manifests so far, which grows also when an old one returns.
    pub manifest_seq: u64,
    /// The intent.
    pub intent: IntentId,
    /// Whether it may leave.
    pub approve: bool,
    /// When the decision lapses, in nanoseconds of the logical clock.
    pub expires_at_ns: u64,
}

/// Why a decision does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecisionRefused {
    /// Its bytes are not the one form of a decision.
    #[error("the bytes are no decision: {0}")]
    Form(CborError),
    /// The manifest has no such principal.
    #[error("`{0}` is no principal of the manifest")]
    PrincipalUnknown(String),
    /// The signature does not verify.
    #[error("the decision's signature does not verify")]
    Signature,
}

impl DecisionRefused {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "decision.form",
            Self::PrincipalUnknown(_) => "actor.unknown",
            Self::Signature => "decision.signature",
        }
    }
}

impl PrincipalDecision {
    /// Returns the canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        write::array(&mut out, 7);
        write::uint(&mut out, VERSION);
        write::bytes(&mut out, self.world.0.as_bytes());
        write::bytes(&mut out, self.manifest.as_bytes());
        write::uint(&mut out, self.manifest_seq);
        write::bytes(&mut out, self.intent.0.as_bytes());
        write::bool(&mut out, self.approve);
        write::uint(&mut out, self.expires_at_ns);
        out
    }

    /// Reads the canonical bytes, and nothing else. The signature is not looked at.
    ///
    /// # Errors
    /// Where and how the bytes are not in the form.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::strict(bytes);
        reader.array_of(7)?;
        read_version(&mut reader)?;
        let decision = Self {
            world: WorldId(Digest::from_bytes(reader.byte_array()?)),
            manifest: Digest::from_bytes(reader.byte_array()?),
            manifest_seq: reader.uint()?,
            intent: IntentId(Digest::from_bytes(reader.byte_array()?)),
            approve: reader.bool()?,
            expires_at_ns: reader.uint()?,
        };
        reader.end()?;
        Ok(decision)
    }

    /// Returns the message that the principal's key signs.
    pub fn message(&self) -> Vec<u8> {
        message(DECISION_DOMAIN, &self.encode())
    }
}

/// The keys of a manifest's trust block, decompressed once.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    adapters: BTreeMap<String, BTreeMap<String, VerifyingKey>>,
    principals: BTreeMap<String, VerifyingKey>,
}

impl Keys {
    /// Takes the keys of a trust block. One that is not usable is left out, so that nothing verifies under it; a checked
    /// manifest has none (`trust.key`).
    pub fn of(trust: &Trust) -> Self {
        let mut adapters: BTreeMap<String, BTreeMap<String, VerifyingKey>> = BTreeMap::new();
        for entry in &trust.adapters {
            if let Ok(key) = VerifyingKey::of(&entry.key) {
                adapters.entry(entry.adapter.clone()).or_default().insert(entry.key_id.clone(), key);
            }
        }
        let principal =
            |entry: &aos_air::def::Principal| Some((entry.name.clone(), VerifyingKey::of(&entry.key).ok()?));
        Self { adapters, principals: trust.principals.iter().filter_map(principal).collect() }
    }

    /// Finds an adapter's key.
    pub fn adapter(&self, adapter: &str, key_id: &str) -> Option<&VerifyingKey> {
        self.adapters.get(adapter)?.get(key_id)
    }

    /// Finds a principal's key.
    pub fn principal(&self, name: &str) -> Option<&VerifyingKey> {
        self.principals.get(name)
    }

    /// Reads a receipt and verifies it under the key that it names.
    ///
    /// # Errors
    /// [`ReceiptRefused`]. What it answers, and whether it fits, is not looked at.
    pub fn receipt(&self, bytes: &[u8], signature: &[u8]) -> Result<Receipt, ReceiptRefused> {
        let receipt = Receipt::decode(bytes).map_err(ReceiptRefused::Form)?;
        let Some(key) = self.adapter(&receipt.adapter, &receipt.key_id) else {
            let Receipt { adapter, key_id, .. } = receipt;
            return Err(ReceiptRefused::KeyUnknown { adapter, key_id });
        };
        verify(bytes, signature, key).map_err(|Forged| ReceiptRefused::Signature)?;
        Ok(receipt)
    }

    /// Reads a decision and verifies it under the principal's key.
    ///
    /// # Errors
    /// [`DecisionRefused`]. Whether the principal may decide, and whether it is still time, is not looked at.
    pub fn decision(
        &self,
        principal: &str,
        bytes: &[u8],
        signature: &[u8],
    ) -> Result<PrincipalDecision, DecisionRefused> {
        let decision = PrincipalDecision::decode(bytes).map_err(DecisionRefused::Form)?;
        let key = self.principal(principal).ok_or_else(|| DecisionRefused::PrincipalUnknown(principal.into()))?;
        key.verify(&message(DECISION_DOMAIN, bytes), signature).map_err(|Forged| DecisionRefused::Signature)?;
        Ok(decision)
    }
}

/// Verifies the signature of a receipt's bytes, which is all that bulk verification does, on as many cores as there are.
///
/// # Errors
/// [`Forged`].
pub fn verify(bytes: &[u8], signature: &[u8], key: &VerifyingKey) -> Result<(), Forged> {
    key.verify(&message(RECEIPT_DOMAIN, bytes), signature)
}

fn message(domain: &[u8], bytes: &[u8]) -> Vec<u8> {
    [domain, bytes].concat()
}

fn read_version(reader: &mut Reader<'_>) -> Result<(), CborError> {
    let wrong = Reader::error(reader.offset(), Problem::Type);
    if reader.uint()? == VERSION { Ok(()) } else { Err(wrong) }
}
