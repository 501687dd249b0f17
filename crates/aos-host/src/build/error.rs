//! Why a reducer crate was not built. All of it is the environment's or the crate author's to mend.

use std::io;
use std::path::PathBuf;

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A program of the Rust toolchain does not start.
    #[error("`{program}` cannot be started ({source}); install Rust from https://rustup.rs")]
    Toolchain {
        /// The program.
        program: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The compiler has no standard library for WASM, and rustup did not add it.
    #[error("the Rust target for WebAssembly is missing: run `rustup target add wasm32-unknown-unknown`{}", said(.stderr))]
    TargetMissing {
        /// What rustup said.
        stderr: String,
    },
    /// A program of the toolchain failed before anything was compiled: no `Cargo.toml`, or a lock file that is missing or out of date.
    #[error("`{command}` failed{}", said(.stderr))]
    Metadata {
        /// What was run.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// The crate does not compile.
    #[error("`{package}` does not build for WebAssembly{}", said(.stderr))]
    Cargo {
        /// The package.
        package: String,
        /// What cargo said.
        stderr: String,
    },
    /// The package has no library that is linked into a module of its own.
    #[error("`{package}` makes no module: add `crate-type = [\"cdylib\", \"rlib\"]` under `[lib]` in its Cargo.toml")]
    NoArtifact {
        /// The package.
        package: String,
    },
    /// There is no package in the folder.
    #[error("there is no package in `{}`", .folder.display())]
    NoPackage {
        /// The folder.
        folder: PathBuf,
    },
    /// A file or folder cannot be read or written.
    #[error("`{}`: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl BuildError {
    /// Returns the stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Toolchain { .. } => "build.toolchain",
            Self::TargetMissing { .. } => "build.target_missing",
            Self::Metadata { .. } => "build.metadata",
            Self::Cargo { .. } => "build.cargo",
            Self::NoArtifact { .. } => "build.no_artifact",
            Self::NoPackage { .. } => "build.no_package",
            Self::Io { .. } => "build.io",
        }
    }
}

/// Puts a program's words below the sentence, if there are any.
fn said(stderr: &str) -> String {
    let stderr = stderr.trim_end();
    if stderr.is_empty() { String::new() } else { format!("\n{stderr}") }
}
