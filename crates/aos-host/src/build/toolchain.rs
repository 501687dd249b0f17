//! The Rust toolchain that a crate's folder asks for, and its WASM target.
//!
//! Programs are found on the path, as rustup sets it up. Whatever the surrounding process has put into the environment
//! for its own build is taken out, so that a build started by `cargo run` gives the same bytes as one started by hand.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::Progress;
use super::error::BuildError;

/// The compiler's name for WASM without an operating system.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Variables that begin like this may decide how cargo reaches its sources, not what it makes of them.
const KEPT: &[&str] = &["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "RUSTUP_"];

/// A toolchain.
pub(super) struct Toolchain {
    /// What `rustc -vV` says: the version, the commit, the host.
    pub version: String,
    /// Where it is installed.
    pub sysroot: PathBuf,
}

impl Toolchain {
    /// Asks the compiler that is used in `folder` for its version.
    pub fn find(folder: &Path) -> Result<Self, BuildError> {
        let version = succeed("rustc", program("rustc", folder).arg("-vV"))?;
        let sysroot = succeed("rustc", program("rustc", folder).arg("--print=sysroot"))?;
        Ok(Self { version, sysroot: sysroot.trim_end().into() })
    }

    /// Returns the commit of the compiler, under which it names the sources of the standard library.
    pub fn commit(&self) -> &str {
        self.version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown")
    }

    /// Makes sure that the compiler can build for [`TARGET`]; lets rustup add it where it cannot.
    pub fn add_target(&self, folder: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), BuildError> {
        if self.has_target() {
            return Ok(());
        }
        progress(Progress::AddingTarget);
        let mut command = program("rustup", folder);
        command.args(["target", "add", TARGET]);
        tracing::debug!(?command, "adding the target");
        let stderr = match command.output() {
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => format!("`rustup` cannot be started: {error}"),
        };
        if self.has_target() { Ok(()) } else { Err(BuildError::TargetMissing { stderr }) }
    }

    fn has_target(&self) -> bool {
        let lib = self.sysroot.join("lib/rustlib").join(TARGET).join("lib");
        let core = lib.read_dir().map(|entries| {
            entries.flatten().any(|entry| entry.file_name().as_encoded_bytes().starts_with(b"libcore-"))
        });
        core.unwrap_or(false)
    }
}

/// Prepares a program of the toolchain to run in `folder`.
pub(super) fn program(name: &'static str, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(folder).stdin(Stdio::null());
    for (variable, _) in env::vars_os() {
        if variable.to_str().is_some_and(|variable| !is_kept(variable)) {
            command.env_remove(variable);
        }
    }
    command
}

fn is_kept(variable: &str) -> bool {
    // Keys of ours are not for the build scripts of a reducer's dependencies.
    if variable.starts_with("AOS_") {
        return false;
    }
    let of_toolchain = variable.starts_with("CARGO") || variable.starts_with("RUST");
    !of_toolchain || variable != "RUSTUP_TOOLCHAIN" && KEPT.iter().any(|kept| variable.starts_with(kept))
}

/// Runs a program that has to succeed, and returns its standard output.
pub(super) fn succeed(name: &'static str, command: &mut Command) -> Result<String, BuildError> {
    let Output { status, stdout, stderr } =
        command.output().map_err(|source| BuildError::Toolchain { program: name, source })?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    Err(BuildError::Metadata { command: shown(command), stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

/// Returns a command as it would be typed, without its environment.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_of_another_build_is_taken_out() {
        for (variable, kept) in [
            ("PATH", true),
            ("HOME", true),
            ("HTTPS_PROXY", true),
            ("CARGO_HOME", true),
            ("CARGO_NET_OFFLINE", true),
            ("CARGO_REGISTRIES_MINE_INDEX", true),
            ("RUSTUP_HOME", true),
            ("RUSTUP_AUTO_INSTALL", true),
            ("RUSTUP_TOOLCHAIN", false),
            ("RUSTFLAGS", false),
            ("RUSTC_WRAPPER", false),
            ("CARGO_ENCODED_RUSTFLAGS", false),
            ("CARGO_PROFILE_RELEASE_LTO", false),
            ("CARGO_TARGET_DIR", false),
            ("CARGO_PKG_NAME", false),
            ("CARGO", false),
        ] {
            assert_eq!(is_kept(variable), kept, "{variable}");
        }
    }
}
