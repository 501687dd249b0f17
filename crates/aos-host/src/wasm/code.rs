//! Compiled code on disk, and the only unsafe code of the host.
//!
//! A file is native code that this process would execute, so it is taken only if its message authentication code is
//! right under a key that lies beside it, readable by the user alone. Whatever else is found is compiled again.
//! Never here: which modules are needed; see `engine.rs`.

use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use aos_air::module::Admitted;
use wasmtime::Module;

/// Says what the MAC is over, and which form the file has.
const CONTEXT: &[u8] = b"aos/code/1";
/// Bytes of the MAC in front of the code.
const MAC_BYTES: usize = 32;
/// Name of the key's file.
const KEY_FILE: &str = "key";

/// A folder with compiled code.
pub struct CodeCache {
    folder: PathBuf,
    key: [u8; 32],
}

/// Why a folder cannot keep compiled code.
#[derive(Debug, thiserror::Error)]
pub enum CodeCacheError {
    /// The folder or the key cannot be read or written.
    #[error("the code cache `{}` cannot be used: {source}", .folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no random bytes for the key.
    #[error("no random bytes for the code cache's key: {0}")]
    Entropy(getrandom::Error),
}

impl CodeCacheError {
    /// Returns the stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "engine.cache",
            Self::Entropy(_) => "engine.entropy",
        }
    }
}

impl CodeCache {
    /// Opens the cache in `folder`, which is made if it is missing, with a fresh key if there is none of this user's own.
    ///
    /// # Errors
    /// [`CodeCacheError`] where the folder cannot be written; callers may go on without a cache.
    pub fn open(folder: &Path) -> Result<Self, CodeCacheError> {
        let io = |source| CodeCacheError::Io { folder: folder.into(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).map_err(CodeCacheError::Entropy)?;
        let key = own_key(folder, fresh).map_err(io)?;
        Ok(Self { folder: folder.into(), key })
    }

    /// Reads the code of `admitted` for `engine`, if a file made by this user for exactly these is there.
    pub(super) fn load(&self, engine: &wasmtime::Engine, admitted: &Admitted) -> Option<Module> {
        let subject = subject(engine, admitted);
        let path = self.path(&subject);
        let bytes = fs::read(&path).ok()?;
        let (mac, code) = bytes.split_first_chunk::<MAC_BYTES>()?;
        if self.mac(&subject, code) != blake3::Hash::from_bytes(*mac) {
            tracing::warn!(file = %path.display(), "compiled code is damaged or foreign; compiling again");
            return None;
        }
        #[expect(unsafe_code, reason = "wasmtime takes compiled code only on the caller's word")]
        // SAFETY: `code` is what `Module::serialize` gave for these admitted bytes and this engine's settings: its MAC is
        // right, its key is readable by this user alone, and only `store` computes one. It is not read again from disk.
        let module = unsafe { Module::deserialize(engine, code) };
        module.inspect_err(|error| tracing::warn!(file = %path.display(), %error, "compiled code is not taken")).ok()
    }

    /// Writes the code of `module`, compiled by `engine` from `admitted`. A failure costs a compilation next time.
    pub(super) fn store(&self, engine: &wasmtime::Engine, admitted: &Admitted, module: &Module) {
        let subject = subject(engine, admitted);
        let path = self.path(&subject);
        let written = module.serialize().map_err(io::Error::other).and_then(|code| {
            let temporary = write_temporary(&self.folder, &[self.mac(&subject, &code).as_bytes(), &code])?;
            fs::rename(&temporary, &path)
        });
        if let Err(error) = written {
            tracing::warn!(file = %path.display(), %error, "compiled code is not kept");
        }
    }

    fn path(&self, subject: &blake3::Hash) -> PathBuf {
        self.folder.join(subject.to_hex().as_str()).with_extension("code")
    }

    fn mac(&self, subject: &blake3::Hash, code: &[u8]) -> blake3::Hash {
        blake3::Hasher::new_keyed(&self.key).update(CONTEXT).update(subject.as_bytes()).update(code).finalize()
    }
}

/// Names what is compiled and how: the admitted bytes, and the engine's version, settings and processor.
fn subject(engine: &wasmtime::Engine, admitted: &Admitted) -> blake3::Hash {
    let mut hasher = Blake(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.update(blake3::hash(&admitted.bytes).as_bytes());
    hasher.0.finalize()
}

/// Lets BLAKE3 take what implements [`Hash`].
struct Blake(blake3::Hasher);

impl Hasher for Blake {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *self.0.finalize().as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// Returns the folder's key, or puts `fresh` there where it has none that this user alone can read.
fn own_key(folder: &Path, fresh: [u8; 32]) -> io::Result<[u8; 32]> {
    let path = folder.join(KEY_FILE);
    // The new file's owner is this process's user, which the standard library does not tell otherwise.
    let temporary = write_temporary(folder, &[&fresh])?;
    let user = fs::metadata(&temporary)?.uid();
    if let Some(key) = read_key(&path, user)? {
        fs::remove_file(&temporary)?;
        return Ok(key);
    }
    fs::rename(&temporary, &path)?;
    // Another process may have done the same: whoever came last has won.
    Ok(read_key(&path, user)?.unwrap_or(fresh))
}

fn read_key(path: &Path, user: u32) -> io::Result<Option<[u8; 32]>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if metadata.uid() != user || metadata.mode() & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "others can read the code cache's key; making another");
        return Ok(None);
    }
    let mut key = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, 64), &mut key)?;
    Ok(key.try_into().ok())
}

/// Writes a file for this user alone under a name that nobody else uses.
fn write_temporary(folder: &Path, parts: &[&[u8]]) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (path, mut file) = loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{count}.new", std::process::id()));
        // Never a file that is there: it could be another user's, or open to others.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => break (path, file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    };
    for part in parts {
        file.write_all(part)?;
    }
    Ok(path)
}
