//! What can keep a demo from running, and the exit code that goes with it.

use std::path::PathBuf;

use aos_air::diag::Findings;
use aos_host::build::BuildError;
use aos_host::driver::DriveError;
use aos_host::store;
use aos_host::wasm::{CodeCacheError, EngineError};
use aos_kernel::error::Fault;

/// Why a demo did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no such demo.
    #[error("there is no demo `{word}`")]
    DemoUnknown {
        /// What was asked for.
        word: String,
        /// The nearest slug.
        nearest: Option<String>,
    },
    /// A document or the event file is wrong.
    #[error("{0}")]
    Findings(#[from] Findings),
    /// The reducer cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The engine cannot be started.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The folder for compiled modules cannot be used.
    #[error(transparent)]
    CodeCache(#[from] CodeCacheError),
    /// The world cannot be made, opened or driven.
    #[error(transparent)]
    Drive(DriveError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The replay came to another end than the run.
    #[error("the replay ends at {found}, and the run at {expected}")]
    Replay {
        /// Where the run ended.
        expected: String,
        /// Where the replay ended.
        found: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl RunError {
    /// Returns the stable code of this failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DemoUnknown { .. } => "demo.unknown",
            // Findings are never empty where they are an error.
            Self::Findings(findings) => findings.0.first().map(|finding| finding.code).unwrap_or_default(),
            Self::Build(error) => error.code(),
            Self::Engine(error) => error.code(),
            Self::CodeCache(error) => error.code(),
            Self::Drive(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Replay { .. } => "replay.divergence",
            Self::Io { .. } => "file.io",
        }
    }

    /// Returns what to do, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::DemoUnknown { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::DemoUnknown { nearest: None, .. } => Some("run without a demo to see the list".into()),
            _ => None,
        }
    }

    /// Returns the exit code: 1 no, 2 usage or a wrong file, 3 environment, 4 damaged world.
    pub fn exit(&self) -> u8 {
        match self {
            Self::DemoUnknown { .. } | Self::Findings(_) | Self::Drive(DriveError::Modules(_)) => 2,
            Self::Drive(DriveError::Fault(fault) | DriveError::At { fault, .. }) => fault_exit(fault),
            Self::Drive(DriveError::Store(error)) | Self::Store(error) => {
                if error.is_damage() {
                    4
                } else {
                    3
                }
            }
            Self::Drive(DriveError::Head { .. }) | Self::Replay { .. } => 4,
            Self::Drive(DriveError::Clock | DriveError::Entropy(_) | DriveError::Stopped) => 3,
            Self::Build(_) | Self::Engine(_) | Self::CodeCache(_) | Self::Io { .. } => 3,
        }
    }
}

/// Tells faults of the machine from damage.
fn fault_exit(fault: &Fault) -> u8 {
    match fault.code() {
        "blob.unreadable" | "module.engine" | "executor.unknown" | "world.stopped" => 3,
        _ => 4,
    }
}

/// A manifest whose modules cannot run is said like any other wrong document.
impl From<DriveError> for RunError {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Modules(findings) => Self::Findings(findings),
            other => Self::Drive(other),
        }
    }
}
