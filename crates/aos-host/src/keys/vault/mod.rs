//! The vault: secrets of a node, sealed at rest, opened only for the adapter that uses them.
//!
//! A person hands a value to the intake and gets a handle and a digest; the effect `vault.put` moves it under a binding
//! as its next version, and `vault.rotate` says which version is in use. Every change replaces the file whole and is
//! durable when it returns. Never here: which effect may use which secret; see `adapter/vault.rs` and the kernel's gate.

mod error;
mod sealed;

use std::env;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aos_air::hash::Digest;
use zeroize::Zeroizing;

use super::Secret;
use super::file::{self, FileError};
use super::signer::{KeyError, VAULT, parse_hex, parse_key, print_key, random};

pub use error::VaultError;
use sealed::{Content, Place, SealingKeys};

/// Gives the master key, as 64 lower-case hexadecimal digits, in place of the key file.
pub const VARIABLE: &str = "AOS_VAULT_KEY";
/// The most bytes of a secret: 64 KiB.
pub const SECRET_BYTES_MAX: usize = 64 << 10;
/// The most values of a vault, waiting ones and old versions counted.
pub const ENTRIES_MAX: usize = 1024;

/// The vault's folder in a node's data folder.
const FOLDER: &str = "vault";
/// The file with everything in it.
const FILE: &str = "secrets";
/// The file that writers lock.
const LOCK: &str = "lock";
/// The file of the master key, in the data folder.
const KEY_FILE: &str = "keys/vault.key";
/// The most bytes of the vault's file: its values, and room for their names.
const FILE_BYTES_MAX: u64 = 128 << 20;
/// The most bytes of the master key's file.
const KEY_BYTES_MAX: u64 = 512;
/// The most bytes of a binding's id.
const BINDING_BYTES_MAX: usize = 256;

/// What a person gets for a value: how a `vault.put` refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intake {
    /// The handle, for `value_ref`.
    pub handle: String,
    /// The keyed digest, for `expected_digest`.
    pub digest: Digest,
}

/// A version of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Its number; the first is 1.
    pub version: u64,
    /// The keyed digest of its value.
    pub digest: Digest,
}

/// The secrets of one node. Every call reads the file, so several processes may use one vault.
pub struct Vault {
    folder: PathBuf,
    keys: SealingKeys,
}

impl Vault {
    /// Opens the vault in a node's data folder; it is made, with its master key, if it is missing. The master key is what
    /// [`VARIABLE`] gives, else the key file's.
    ///
    /// # Errors
    /// [`VaultError::KeyMissing`] where there is a vault and no key to it, [`VaultError::WrongKey`] where the key is
    /// another one, [`VaultError::Damaged`], or what is wrong with the files. Nothing is changed then.
    pub fn open(data: &Path) -> Result<Self, VaultError> {
        let master = match env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            Some(value) => value.to_str().and_then(parse_hex).ok_or(VaultError::KeyForm)?,
            None => key_in_file(data)?,
        };
        Self::open_with(data, &master)
    }

    /// Opens the vault in a node's data folder with this master key; it is made if it is missing.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn open_with(data: &Path, master: &[u8; 32]) -> Result<Self, VaultError> {
        let vault = Self { folder: data.join(FOLDER), keys: SealingKeys::derive(master) };
        file::make_folder(&vault.folder)?;
        let _lock = vault.lock()?;
        if file::read(&vault.path(), FILE_BYTES_MAX)?.is_none() {
            file::create(&vault.path(), &Content::empty()?.encode(&vault.keys))?;
        }
        vault.read()?;
        Ok(vault)
    }

    /// Takes in a value, sealed: durable when it returns. It waits for a `vault.put`.
    ///
    /// # Errors
    /// [`VaultError::Size`], [`VaultError::Full`], or what is wrong with the files.
    pub fn intake(&self, value: &Secret) -> Result<Intake, VaultError> {
        if value.expose().is_empty() || value.expose().len() > SECRET_BYTES_MAX {
            return Err(VaultError::Size);
        }
        let handle = format!("intake:{}", Digest::from_bytes(*random().map_err(entropy)?).to_hex());
        let digest = self.keys.digest(&handle, value);
        self.change(|content| {
            if content.count() >= ENTRIES_MAX {
                return Err(VaultError::Full);
            }
            let sealed = content.seal(&self.keys, Place::Intake(&handle), digest, value)?;
            content.intake.insert(handle.clone(), sealed);
            Ok(())
        })?;
        Ok(Intake { handle, digest })
    }

    /// Drops a value that waits in the intake.
    ///
    /// # Errors
    /// [`VaultError::HandleUnknown`], or what is wrong with the files.
    pub fn discard(&self, handle: &str) -> Result<(), VaultError> {
        let unknown = || VaultError::HandleUnknown { handle: handle.to_owned() };
        self.change(|content| content.intake.remove(handle).map(|_| ()).ok_or_else(unknown))
    }

    /// Moves a value from the intake under a binding as its next version. The first one is in use at once, later ones
    /// when [`Vault::rotate`] says so.
    ///
    /// # Errors
    /// [`VaultError::HandleUnknown`], [`VaultError::Digest`], [`VaultError::BindingForm`], or what is wrong with the
    /// files. The value then waits where it was.
    pub fn put(&self, binding_id: &str, handle: &str, expected: &Digest) -> Result<Version, VaultError> {
        if binding_id.is_empty() || binding_id.len() > BINDING_BYTES_MAX {
            return Err(VaultError::BindingForm);
        }
        self.change(|content| {
            let unknown = || VaultError::HandleUnknown { handle: handle.to_owned() };
            let waiting = content.intake.remove(handle).ok_or_else(unknown)?;
            if waiting.digest != *expected {
                return Err(VaultError::Digest { subject: handle.to_owned() });
            }
            let value = content.open(&self.keys, Place::Intake(handle), &waiting)?;
            let last = content.bindings.get(binding_id).and_then(|binding| binding.versions.keys().next_back());
            let version = last.map_or(1, |last| last.saturating_add(1));
            let place = Place::Version(binding_id, version);
            let sealed = content.seal(&self.keys, place, waiting.digest, &value)?;
            let binding = content.bindings.entry(binding_id.to_owned()).or_default();
            binding.versions.insert(version, sealed);
            if binding.current == 0 {
                binding.current = version;
            }
            Ok(Version { version, digest: waiting.digest })
        })
    }

    /// Makes a version of a binding the one in use: a newer one, or an older one again.
    ///
    /// # Errors
    /// [`VaultError::BindingUnknown`], [`VaultError::VersionUnknown`], [`VaultError::Digest`] where the version has
    /// another digest, or what is wrong with the files. The version in use then stays.
    pub fn rotate(&self, binding_id: &str, version: u64, expected: &Digest) -> Result<Version, VaultError> {
        self.change(|content| {
            let unknown = || VaultError::BindingUnknown { binding: binding_id.to_owned() };
            let binding = content.bindings.get_mut(binding_id).ok_or_else(unknown)?;
            let unknown = || VaultError::VersionUnknown { binding: binding_id.to_owned(), version };
            let digest = binding.versions.get(&version).ok_or_else(unknown)?.digest;
            if digest != *expected {
                return Err(VaultError::Digest { subject: binding_id.to_owned() });
            }
            binding.current = version;
            Ok(Version { version, digest })
        })
    }

    /// Opens the version of a binding that is in use.
    ///
    /// # Errors
    /// [`VaultError::BindingUnknown`], [`VaultError::Digest`] where `expected` is given and is another one,
    /// [`VaultError::Damaged`], or what is wrong with the files.
    pub fn secret(&self, binding_id: &str, expected: Option<&Digest>) -> Result<Secret, VaultError> {
        let content = self.read()?;
        let unknown = || VaultError::BindingUnknown { binding: binding_id.to_owned() };
        let binding = content.bindings.get(binding_id).ok_or_else(unknown)?;
        let missing = VaultError::Damaged("a version in use is missing");
        let sealed = binding.versions.get(&binding.current).ok_or(missing)?;
        if expected.is_some_and(|expected| sealed.digest != *expected) {
            return Err(VaultError::Digest { subject: binding_id.to_owned() });
        }
        content.open(&self.keys, Place::Version(binding_id, binding.current), sealed)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn read(&self) -> Result<Content, VaultError> {
        let missing = VaultError::Damaged("it is not there any more");
        let bytes = file::read(&self.path(), FILE_BYTES_MAX)?.ok_or(missing)?;
        Content::decode(&self.keys, &bytes)
    }

    /// Reads the file, changes what it holds, and puts the result in its place, with no other writer in between.
    fn change<T>(&self, change: impl FnOnce(&mut Content) -> Result<T, VaultError>) -> Result<T, VaultError> {
        let _lock = self.lock()?;
        let mut content = self.read()?;
        let changed = change(&mut content)?;
        file::replace(&self.path(), &content.encode(&self.keys)).map_err(VaultError::Write)?;
        Ok(changed)
    }

    /// Takes the lock of writers, of this process and of others; it ends with the file.
    fn lock(&self) -> Result<File, VaultError> {
        let path = self.folder.join(LOCK);
        let lock = || {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        Ok(lock().map_err(FileError::io(&path))?)
    }
}

fn entropy(_: KeyError) -> VaultError {
    VaultError::Entropy
}

/// Reads the master key's file, or makes it where there is no vault yet.
fn key_in_file(data: &Path) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    let path = data.join(KEY_FILE);
    let folder = path.parent().unwrap_or(data);
    if file::read(&path, KEY_BYTES_MAX)?.is_none() {
        if data.join(FOLDER).join(FILE).exists() {
            return Err(VaultError::KeyMissing);
        }
        file::make_folder(folder)?;
        let secret = random().map_err(entropy)?;
        // If another process was faster, its key is the one.
        file::create(&path, print_key(VAULT, crate::dispatch::now_ns(), &secret).as_bytes())?;
    }
    let text = file::read(&path, KEY_BYTES_MAX)?.ok_or(VaultError::KeyMissing)?;
    match parse_key(&text) {
        Some((VAULT, _, secret)) => Ok(secret),
        _ => Err(FileError::damaged(&path).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_vault_takes_nothing_in() {
        let data = tempfile::tempdir().unwrap();
        let vault = Vault::open_with(data.path(), &[7; 32]).unwrap();
        let value = Secret::new(b"some value".to_vec());
        let first = vault.intake(&value).unwrap();
        let fill = |content: &mut Content| {
            let sealed = content.seal(&vault.keys, Place::Intake(""), first.digest, &value)?;
            content.intake.extend((0..ENTRIES_MAX - 2).map(|number| (number.to_string(), sealed.clone())));
            Ok(())
        };
        vault.change(fill).unwrap();
        let last = vault.intake(&value).unwrap();
        assert_eq!(vault.intake(&value).unwrap_err().code(), "vault.full");
        // A put only moves a value.
        vault.put("shop", &first.handle, &first.digest).unwrap();
        assert_eq!(vault.intake(&value).unwrap_err().code(), "vault.full");
        vault.discard(&last.handle).unwrap();
        vault.intake(&value).unwrap();
    }
}
