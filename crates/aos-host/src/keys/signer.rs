//! Keys that sign receipts: one file for each, held under the adapter's name and the key's id.
//!
//! An adapter may have several: a new key takes over in a world when its manifest trusts it, and until then the old one
//! goes on. Never here: whose keys a world trusts; see `trust.adapters` in its manifest.

use core::fmt;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aos_air::def::{AdapterKey, PublicKey};
use aos_air::hash::Digest;
use aos_air::name::is_dotted;
use aos_kernel::receipt::Receipt;
use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

use super::file::{self, FileError};

/// The folder of the keys in a node's data folder.
const FOLDER: &str = "keys";
/// How a key's file begins: the format and its version.
const MAGIC: &str = "aos-key/1";
/// The most bytes of a key's file.
const FILE_BYTES_MAX: u64 = 512;
/// How the name of a key's file ends.
const EXTENSION: &str = "key";

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file or the folder cannot be used.
    #[error("a key file cannot be used: {0}")]
    File(#[from] FileError),
    /// An adapter's name is not a lower-case word.
    #[error("`{adapter}` is not an adapter's name")]
    Name {
        /// The name.
        adapter: String,
    },
    /// None of the keys that are trusted for the adapter is held here.
    #[error("this node holds no key that is trusted for adapter `{adapter}`")]
    NotHeld {
        /// The adapter.
        adapter: String,
    },
    /// The machine gives no random bytes.
    #[error("the machine gives no random bytes for a key")]
    Entropy(#[source] getrandom::Error),
}

impl KeyError {
    /// Returns the stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::Name { .. } => "keys.name",
            Self::NotHeld { .. } => "keys.not_held",
            Self::Entropy(_) => "host.entropy",
        }
    }
}

/// A receipt with its signature: what a world is fed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The receipt's canonical bytes.
    pub receipt: Vec<u8>,
    /// The signature over them, under the purpose of receipts.
    pub signature: [u8; 64],
}

/// One key of one adapter.
pub struct Signer {
    adapter: String,
    key_id: String,
    made_ns: u64,
    key: SigningKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("adapter", &self.adapter).field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Signer {
    /// Makes an adapter's key out of 32 secret bytes; `made_ns` tells which of several is the newest.
    pub fn new(adapter: &str, made_ns: u64, secret: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(secret);
        let key_id = key_id(key.verifying_key().as_bytes());
        Self { adapter: adapter.to_owned(), key_id, made_ns, key }
    }

    /// Returns the adapter that it signs for.
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// Returns its public half as a manifest lists it.
    pub fn public(&self) -> AdapterKey {
        let key = PublicKey(self.key.verifying_key().to_bytes());
        AdapterKey { adapter: self.adapter.clone(), key_id: self.key_id.clone(), key }
    }

    /// Signs a receipt, after writing its own adapter and key id into it.
    pub fn sign(&self, receipt: Receipt) -> Signed {
        let receipt = Receipt { adapter: self.adapter.clone(), key_id: self.key_id.clone(), ..receipt };
        let signature = self.key.sign(&receipt.message()).to_bytes();
        Signed { receipt: receipt.encode(), signature }
    }
}

/// Returns a key's id: `k` and the first half of the BLAKE3 of the public key, in hexadecimal.
fn key_id(public: &[u8; 32]) -> String {
    let hex = Digest::of(public).to_hex();
    ["k", hex.get(..32).unwrap_or_default()].concat()
}

/// The keys of one node.
#[derive(Debug)]
pub struct Keys {
    folder: PathBuf,
    // By adapter, oldest first.
    signers: BTreeMap<String, Vec<Arc<Signer>>>,
}

impl Keys {
    /// Opens the keys in a node's data folder, whose folder for them is made if it is missing.
    ///
    /// # Errors
    /// [`KeyError::File`] where the folder or one of the keys cannot be read, is damaged, or is open to others.
    pub fn open(data: &Path) -> Result<Self, KeyError> {
        let folder = data.join(FOLDER);
        file::make_folder(&folder)?;
        let mut keys = Self { folder, signers: BTreeMap::new() };
        let entries = fs::read_dir(&keys.folder).map_err(FileError::io(&keys.folder))?;
        for entry in entries {
            let path = entry.map_err(FileError::io(&keys.folder))?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION)
                && let Some(signer) = read_signer(&path)?
            {
                keys.keep(Arc::new(signer));
            }
        }
        Ok(keys)
    }

    /// Returns the newest key of an adapter, made if it has none: what a new manifest is to trust.
    ///
    /// # Errors
    /// As [`Keys::make`].
    pub fn newest(&mut self, adapter: &str) -> Result<Arc<Signer>, KeyError> {
        match self.signers.get(adapter).and_then(|signers| signers.last()) {
            Some(signer) => Ok(Arc::clone(signer)),
            None => self.make(adapter),
        }
    }

    /// Makes a further key for an adapter; its file is durable when it returns.
    ///
    /// # Errors
    /// [`KeyError::Name`], [`KeyError::Entropy`], or [`KeyError::File`] where it cannot be written.
    pub fn make(&mut self, adapter: &str) -> Result<Arc<Signer>, KeyError> {
        if !is_adapter(adapter) {
            return Err(KeyError::Name { adapter: adapter.to_owned() });
        }
        let secret = random()?;
        let newest = self.signers.get(adapter).and_then(|signers| signers.last()).map(|signer| signer.made_ns);
        // Newer than the newest, also where the clock was put back.
        let made_ns = crate::dispatch::now_ns().max(newest.map_or(0, |made_ns| made_ns.saturating_add(1)));
        let signer = Arc::new(Signer::new(adapter, made_ns, &secret));
        let path = self.folder.join(format!("{adapter}.{}.{EXTENSION}", signer.key_id));
        if !file::create(&path, print_key(adapter, made_ns, &secret).as_bytes())? {
            // 32 random bytes came twice, which says more about the machine than about the file.
            return Err(FileError::damaged(&path).into());
        }
        self.keep(Arc::clone(&signer));
        Ok(signer)
    }

    /// Returns the newest key of an adapter that is among `trusted`, which may hold keys of all adapters.
    ///
    /// # Errors
    /// [`KeyError::NotHeld`] where there is none: nobody here can answer that world's intents for this adapter.
    pub fn trusted(&self, adapter: &str, trusted: &[AdapterKey]) -> Result<Arc<Signer>, KeyError> {
        let held = self.signers.get(adapter).into_iter().flatten().rev();
        let mut held = held.filter(|signer| trusted.contains(&signer.public()));
        held.next().map(Arc::clone).ok_or_else(|| KeyError::NotHeld { adapter: adapter.to_owned() })
    }

    fn keep(&mut self, signer: Arc<Signer>) {
        let signers = self.signers.entry(signer.adapter.clone()).or_default();
        signers.push(signer);
        signers.sort_by(|a, b| (a.made_ns, &a.key_id).cmp(&(b.made_ns, &b.key_id)));
    }
}

/// Returns 32 random bytes of the machine.
pub(super) fn random() -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(KeyError::Entropy)?;
    Ok(bytes)
}

fn is_adapter(name: &str) -> bool {
    is_dotted(name) && !name.contains('.')
}

fn read_signer(path: &Path) -> Result<Option<Signer>, KeyError> {
    let Some(text) = file::read(path, FILE_BYTES_MAX)? else { return Ok(None) };
    let (owner, made_ns, secret) = parse_key(&text).ok_or_else(|| FileError::damaged(path))?;
    if !is_adapter(owner) {
        // The vault's key lies in the same folder.
        return if owner == VAULT { Ok(None) } else { Err(FileError::damaged(path).into()) };
    }
    let signer = Signer::new(owner, made_ns, &secret);
    // The name holds the id, which follows from the key: a damaged digit makes another id.
    let name = format!("{owner}.{}.{EXTENSION}", signer.key_id);
    if path.file_name().is_some_and(|file| file == name.as_str()) {
        Ok(Some(signer))
    } else {
        Err(FileError::damaged(path).into())
    }
}

/// Who the vault's master key belongs to, in its file. Not an adapter's name.
pub(super) const VAULT: &str = "vault:master";

/// Writes a key's file: format, owner, time, secret.
pub(super) fn print_key(owner: &str, made_ns: u64, secret: &[u8; 32]) -> Zeroizing<String> {
    let hex = Zeroizing::new(Digest::from_bytes(*secret).to_hex());
    // Room for all of it at once: growing would leave copies behind.
    let mut line = Zeroizing::new(String::with_capacity(256));
    for part in [MAGIC, " ", owner, " ", &made_ns.to_string(), " ", &hex, "\n"] {
        line.push_str(part);
    }
    line
}

/// Reads a key's file.
pub(super) fn parse_key(bytes: &[u8]) -> Option<(&str, u64, Zeroizing<[u8; 32]>)> {
    let line = core::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let mut words = line.split(' ');
    let (magic, owner, made_ns, hex) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if magic != MAGIC || words.next().is_some() {
        return None;
    }
    Some((owner, made_ns.parse().ok()?, parse_hex(hex)?))
}

/// Reads 32 bytes from 64 lower-case hexadecimal digits.
pub(super) fn parse_hex(hex: &str) -> Option<Zeroizing<[u8; 32]>> {
    let lower = hex.bytes().all(|byte| !byte.is_ascii_uppercase());
    blake3::Hash::from_hex(hex).ok().filter(|_| lower).map(|hash| Zeroizing::new(*hash.as_bytes()))
}
