//! The vault's file: what is in it and how it is sealed.
//!
//! Every value is sealed on its own with XChaCha20-Poly1305, bound to the vault and to its place. A MAC over the whole
//! file, under the same master key, keeps the places together; a plain checksum tells damage from a wrong key.
//! Never here: files and locks.

use std::collections::BTreeMap;

use aos_air::cbor::{CborError, Reader, write};
use aos_air::hash::Digest;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::VaultError;
use crate::keys::Secret;

/// How the file begins: the format and its version.
const MAGIC: &[u8] = b"aos-vault/1\n";
/// What every version of the format begins with.
const FAMILY: &[u8] = b"aos-vault/";
/// Bytes of the MAC and of the checksum that follow the content.
const TAG_BYTES: usize = 32;

/// The keys that follow from the master key, each for one use.
pub(super) struct SealingKeys {
    seal: Zeroizing<[u8; 32]>,
    digest: Zeroizing<[u8; 32]>,
    mac: Zeroizing<[u8; 32]>,
}

impl SealingKeys {
    pub(super) fn derive(master: &[u8; 32]) -> Self {
        let key = |context| Zeroizing::new(blake3::derive_key(context, master));
        Self { seal: key("aos/vault/seal/1"), digest: key("aos/vault/digest/1"), mac: key("aos/vault/mac/1") }
    }

    /// Names a value without giving anything away: keyed, and bound to the handle under which it came in, so that
    /// nobody can try guesses through the intake.
    pub(super) fn digest(&self, handle: &str, value: &Secret) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.digest);
        let handle_digest = Digest::of(handle.as_bytes());
        hasher.update(handle_digest.as_bytes()).update(value.expose());
        Digest::from_bytes(*hasher.finalize().as_bytes())
    }
}

/// A value's place, to which its seal is bound.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    Intake(&'a str),
    Version(&'a str, u64),
}

impl Place<'_> {
    fn bytes(self, vault: &[u8; 32]) -> Vec<u8> {
        let mut out = Vec::new();
        let (kind, name, version) = match self {
            Self::Intake(handle) => ("intake", handle, 0),
            Self::Version(binding, version) => ("version", binding, version),
        };
        write::array(&mut out, 5);
        write::text(&mut out, "aos/vault/value/1");
        write::bytes(&mut out, vault);
        write::text(&mut out, kind);
        write::text(&mut out, name);
        write::uint(&mut out, version);
        out
    }
}

/// A sealed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) digest: Digest,
    nonce: [u8; 24],
    value: Vec<u8>,
}

/// The versions of one secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Binding {
    pub(super) current: u64,
    pub(super) versions: BTreeMap<u64, Sealed>,
}

/// All that the vault's file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    vault: [u8; 32],
    pub(super) bindings: BTreeMap<String, Binding>,
    pub(super) intake: BTreeMap<String, Sealed>,
}

impl Content {
    /// Makes an empty vault with a random id.
    pub(super) fn empty() -> Result<Self, VaultError> {
        let mut vault = [0; 32];
        getrandom::fill(&mut vault).map_err(|_| VaultError::Entropy)?;
        Ok(Self { vault, bindings: BTreeMap::new(), intake: BTreeMap::new() })
    }

    /// Counts the values in it.
    pub(super) fn count(&self) -> usize {
        self.intake.len() + self.bindings.values().map(|binding| binding.versions.len()).sum::<usize>()
    }

    /// Seals a value for a place.
    pub(super) fn seal(
        &self,
        keys: &SealingKeys,
        place: Place<'_>,
        digest: Digest,
        value: &Secret,
    ) -> Result<Sealed, VaultError> {
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).map_err(|_| VaultError::Entropy)?;
        let cipher = XChaCha20Poly1305::new(&(*keys.seal).into());
        let aad = place.bytes(&self.vault);
        let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg: value.expose(), aad: &aad });
        // It only refuses lengths that a vault never has.
        let value = sealed.map_err(|_| VaultError::Size)?;
        Ok(Sealed { digest, nonce, value })
    }

    /// Opens the value at a place.
    pub(super) fn open(&self, keys: &SealingKeys, place: Place<'_>, sealed: &Sealed) -> Result<Secret, VaultError> {
        let cipher = XChaCha20Poly1305::new(&(*keys.seal).into());
        let aad = place.bytes(&self.vault);
        let opened = cipher.decrypt(&XNonce::from(sealed.nonce), Payload { msg: &sealed.value, aad: &aad });
        opened.map(Secret::new).map_err(|_| VaultError::Damaged("a value does not open"))
    }

    /// Writes the file.
    pub(super) fn encode(&self, keys: &SealingKeys) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        write::array(&mut out, 3);
        write::bytes(&mut out, &self.vault);
        write::array(&mut out, self.bindings.len());
        for (id, binding) in &self.bindings {
            write::array(&mut out, 3);
            write::text(&mut out, id);
            write::uint(&mut out, binding.current);
            write::array(&mut out, binding.versions.len());
            for (version, sealed) in &binding.versions {
                write::array(&mut out, 2);
                write::uint(&mut out, *version);
                sealed.encode(&mut out);
            }
        }
        write::array(&mut out, self.intake.len());
        for (handle, sealed) in &self.intake {
            write::array(&mut out, 2);
            write::text(&mut out, handle);
            sealed.encode(&mut out);
        }
        let mac = blake3::keyed_hash(&keys.mac, &out);
        out.extend_from_slice(mac.as_bytes());
        let checksum = blake3::hash(&out);
        out.extend_from_slice(checksum.as_bytes());
        out
    }

    /// Reads the file.
    pub(super) fn decode(keys: &SealingKeys, bytes: &[u8]) -> Result<Self, VaultError> {
        if !bytes.starts_with(FAMILY) {
            return Err(VaultError::Damaged("it does not begin as a vault does"));
        }
        let (rest, checksum) = bytes.split_last_chunk::<TAG_BYTES>().ok_or(VaultError::Damaged("it is cut off"))?;
        if blake3::hash(rest) != *checksum {
            return Err(VaultError::Damaged("its checksum is wrong"));
        }
        let (rest, mac) = rest.split_last_chunk::<TAG_BYTES>().ok_or(VaultError::Damaged("it is cut off"))?;
        // The checksum is right, so another format is one, and not damage.
        let content = rest.strip_prefix(MAGIC).ok_or(VaultError::Format)?;
        if blake3::keyed_hash(&keys.mac, rest) != *mac {
            return Err(VaultError::WrongKey);
        }
        read_content(content).map_err(|_| VaultError::Damaged("its content has a wrong form"))
    }
}

impl Sealed {
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, 3);
        write::bytes(out, self.digest.as_bytes());
        write::bytes(out, &self.nonce);
        write::bytes(out, &self.value);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        reader.array_of(3)?;
        let digest = Digest::from_bytes(reader.byte_array()?);
        let nonce = reader.byte_array()?;
        Ok(Self { digest, nonce, value: reader.bytes()?.to_vec() })
    }
}

fn read_content(bytes: &[u8]) -> Result<Content, CborError> {
    let mut reader = Reader::strict(bytes);
    reader.array_of(3)?;
    let vault = reader.byte_array()?;
    let mut bindings = BTreeMap::new();
    for _ in 0..reader.array()? {
        reader.array_of(3)?;
        let id = reader.text()?.to_owned();
        let mut binding = Binding { current: reader.uint()?, versions: BTreeMap::new() };
        for _ in 0..reader.array()? {
            reader.array_of(2)?;
            binding.versions.insert(reader.uint()?, Sealed::read(&mut reader)?);
        }
        bindings.insert(id, binding);
    }
    let mut intake = BTreeMap::new();
    for _ in 0..reader.array()? {
        reader.array_of(2)?;
        intake.insert(reader.text()?.to_owned(), Sealed::read(&mut reader)?);
    }
    reader.end()?;
    Ok(Content { vault, bindings, intake })
}
