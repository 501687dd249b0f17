//! From a folder to a draft: every `*.air.json` below it, in the order of their paths.
//!
//! Lives here: finding and reading files, and nothing else; what is in them is judged by `aos_air::validate`.
//! Never here: building modules. A [`Draft`] says which ones are to be built before it can be checked.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use aos_air::diag::{Finding, Findings, Place};
use aos_air::limits::DOCUMENT_BYTES_MAX;
use aos_air::validate::{Draft, Source};

/// How the files of a world end.
pub const SUFFIX: &str = ".air.json";

/// Deepest nesting of folders below the one that is loaded; also ends a circle of links.
const FOLDER_DEPTH_MAX: usize = 16;

const UNREADABLE_CODE: &str = "file.unreadable";
const NOT_UTF8_CODE: &str = "file.not_utf8";
const SIZE_CODE: &str = "file.size";
const NONE_CODE: &str = "file.none";

/// Reads every document below `folder`. What is wrong with their contents is said by [`Draft::check`].
///
/// # Errors
/// Every file or folder that cannot be read, is not UTF-8 or is too large, or that there is no document at all.
pub fn folder(folder: &Path) -> Result<Draft, Findings> {
    let mut walk = Walk::default();
    walk.folder(folder, 0);
    walk.files.sort();
    let mut sources = Vec::new();
    for path in walk.files {
        match file(&path) {
            Ok(source) => sources.push(source),
            Err(findings) => walk.findings.extend(findings.0),
        }
    }
    if sources.is_empty() && walk.findings.is_empty() {
        let help = format!("documents are files that end in `{SUFFIX}`");
        walk.findings.push(finding(folder, NONE_CODE, "there is no document in this folder".into(), Some(help)));
    }
    if walk.findings.is_empty() { Ok(Draft::read(&sources)) } else { Err(Findings(walk.findings)) }
}

/// Reads one file as a text.
///
/// # Errors
/// The one reason why it cannot be read as a text of an allowed size.
pub fn file(path: &Path) -> Result<Source, Findings> {
    let refuse = |code, message, help| Findings(vec![finding(path, code, message, help)]);
    let unreadable = |error: std::io::Error| refuse(UNREADABLE_CODE, format!("the file cannot be read: {error}"), None);
    let too_large = |bytes: u64| {
        let message = format!("the file has {bytes} bytes, and {DOCUMENT_BYTES_MAX} are the most");
        refuse(SIZE_CODE, message, Some("split it".into()))
    };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > DOCUMENT_BYTES_MAX as u64 {
        return Err(too_large(bytes));
    }
    let read = fs::read(path).map_err(unreadable)?;
    // It may have grown meanwhile.
    if read.len() > DOCUMENT_BYTES_MAX {
        return Err(too_large(read.len() as u64));
    }
    let text = String::from_utf8(read).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let message = format!("the file is not UTF-8; byte {offset} is the first that is wrong");
        refuse(NOT_UTF8_CODE, message, Some("save it as UTF-8".into()))
    })?;
    Ok(Source { file: path.display().to_string(), text })
}

fn finding(path: &Path, code: &'static str, message: String, help: Option<String>) -> Finding {
    Finding { place: Place { file: path.display().to_string(), ..Place::default() }, code, message, help }
}

/// Collects files with the suffix.
#[derive(Default)]
struct Walk {
    files: Vec<PathBuf>,
    findings: Vec<Finding>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, depth: usize) {
        let entries = match fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>) {
            Ok(entries) if depth <= FOLDER_DEPTH_MAX => entries,
            Ok(_) => {
                let message = format!("folders are nested deeper than {FOLDER_DEPTH_MAX}");
                return self.findings.push(finding(folder, UNREADABLE_CODE, message, None));
            }
            Err(error) => {
                let message = format!("the folder cannot be read: {error}");
                return self.findings.push(finding(folder, UNREADABLE_CODE, message, None));
            }
        };
        for entry in entries {
            let path = entry.path();
            if path.is_dir() {
                self.folder(&path, depth + 1);
            } else if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(SUFFIX)) {
                self.files.push(path);
            }
        }
    }
}
