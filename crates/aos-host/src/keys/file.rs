//! Files that this user alone may read: written whole and durable, or not at all; read only if nobody else can.
//!
//! Never here: what stands in them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

/// Why a private file cannot be used, and which.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: {problem}", .path.display())]
pub struct FileError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: FileProblem,
}

/// What can be wrong with a private file.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// The system does not let us.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Others than its owner may read or write it.
    #[error("others may use it (mode {0:03o})")]
    Open(u32),
    /// What stands in it is not what was written.
    #[error("its content is damaged")]
    Damaged,
}

impl FileError {
    pub(super) fn damaged(path: &Path) -> Self {
        Self { path: path.to_owned(), problem: FileProblem::Damaged }
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self { path, problem: error.into() }
    }

    /// Returns the stable code of this error.
    pub const fn code(&self) -> &'static str {
        match self.problem {
            FileProblem::Io(_) => "keys.io",
            FileProblem::Open(_) => "keys.open",
            FileProblem::Damaged => "keys.damaged",
        }
    }
}

/// Makes a folder for this user alone, if it is not there yet, and its name durable.
pub(super) fn make_folder(folder: &Path) -> Result<(), FileError> {
    let io = FileError::io(folder);
    if folder.is_dir() {
        return Ok(());
    }
    let make = || {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        sync_folder(folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    };
    make().map_err(io)
}

/// Reads a private file of at most `bytes_max` bytes; `None` if there is none.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::io(path)(error)),
    };
    // Of the open file, so that it cannot be exchanged in between.
    let metadata = file.metadata().map_err(FileError::io(path))?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileError { path: path.to_owned(), problem: FileProblem::Open(mode) });
    }
    // One allocation that holds it all: growing would leave copies behind.
    let size = usize::try_from(metadata.len().min(bytes_max)).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.saturating_add(2)));
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(FileError::io(path))?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read > bytes_max) {
        return Err(FileError::damaged(path));
    }
    Ok(Some(bytes))
}

/// Writes a private file that must not be there yet; durable when it returns. Returns whether it was written: if the
/// file is there, nothing changes.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    let make = || {
        let temporary = write_temporary(path, bytes)?;
        // Unlike a rename, a link never takes the place of a file that is there.
        let linked = fs::hard_link(&temporary, path);
        fs::remove_file(&temporary)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            other => other?,
        }
        sync_folder(path.parent().unwrap_or(Path::new(".")))?;
        Ok(true)
    };
    make().map_err(FileError::io(path))
}

/// Puts `bytes` in the place of a private file; durable when it returns. On an error the file is as it was, or the new
/// one whole.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let swap = || {
        let temporary = write_temporary(path, bytes)?;
        fs::rename(&temporary, path).inspect_err(|_| drop(fs::remove_file(&temporary)))?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))
    };
    swap().map_err(FileError::io(path))
}

fn write_temporary(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (temporary, mut file) = loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{}-{count}.new", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary) {
            Ok(file) => break (temporary, file),
            // Left by a process of the same number that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    };
    match file.write_all(bytes).and_then(|()| file.sync_all()) {
        Ok(()) => Ok(temporary),
        Err(error) => {
            drop(fs::remove_file(&temporary));
            Err(error)
        }
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
