//! What can keep a demo from running, and the exit code that goes with it.

use std::io;
use std::path::{Path, PathBuf};

use aos_air::diag::Findings;
use aos_host::adapter::http::RootRefused;
use aos_host::build::BuildError;
use aos_host::driver::DriveError;
use aos_host::keys::KeyError;
use aos_host::keys::vault::VaultError;
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
    /// The file that says how a demo's services behave is wrong.
    #[error("{}: {source}", path.display())]
    Play {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The demo's server cannot have a port.
    #[error("the demo's server cannot listen on {}", port.map_or("loopback".into(), |port| format!("port {port} of loopback")))]
    Port {
        /// The port that the worlds of the data folder know; any would do for a new folder.
        port: Option<u16>,
        /// Why.
        source: io::Error,
    },
    /// The environment names a protocol that no language model speaks here.
    #[error("`{word}` is no protocol of a language model")]
    LlmProtocol {
        /// What it says.
        word: String,
    },
    /// The keys of the data folder cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The vault of the data folder cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The HTTP adapter cannot be set up.
    #[error(transparent)]
    Http(#[from] RootRefused),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
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
            Self::Play { .. } => "demo.server",
            Self::Port { .. } => "demo.port",
            Self::LlmProtocol { .. } => "demo.llm_protocol",
            Self::Keys(error) => error.code(),
            Self::Vault(error) => error.code(),
            Self::Http(error) => error.code(),
            Self::Io { .. } => "file.io",
        }
    }

    /// Returns what to do, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::DemoUnknown { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::DemoUnknown { nearest: None, .. } => Some("run without a demo to see the list".into()),
            Self::Port { port: Some(_), .. } => {
                Some("the worlds of this data folder know that port: free it, or use another folder".into())
            }
            Self::LlmProtocol { .. } => Some("set AOS_LLM_PROTOCOL to `openai` or `anthropic`, or not at all".into()),
            _ => None,
        }
    }

    /// Makes the error of a path that cannot be read or written.
    pub fn io(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path: path.clone(), source }
    }

    /// Returns the exit code: 1 no, 2 usage or a wrong file, 3 environment, 4 damaged world.
    pub fn exit(&self) -> u8 {
        match self {
            Self::DemoUnknown { .. } | Self::Findings(_) | Self::Drive(DriveError::Modules(_)) | Self::Play { .. } => 2,
            Self::Drive(DriveError::Fault(fault) | DriveError::At { fault, .. }) => fault_exit(fault),
            Self::Drive(DriveError::Store(error)) | Self::Store(error) => {
                if error.is_damage() {
                    4
                } else {
                    3
                }
            }
            Self::Drive(DriveError::Head { .. } | DriveError::Unverified(_)) | Self::Replay { .. } => 4,
            Self::Drive(DriveError::Clock | DriveError::Entropy(_) | DriveError::Stopped) => 3,
            Self::Drive(DriveError::Keys(_) | DriveError::Dispatch(_)) => 3,
            Self::Build(_) | Self::Engine(_) | Self::CodeCache(_) | Self::Io { .. } => 3,
            Self::Port { .. } | Self::LlmProtocol { .. } | Self::Keys(_) | Self::Vault(_) | Self::Http(_) => 3,
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
