//! What a command needs and a new machine lacks: cargo's own tools at pinned versions, the wasm32 target, components.
//!
//! Tools are built into the target folder, so that nobody's own tools are replaced; a tool of the pinned version on
//! the PATH is used as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{Workspace, output};

/// The target of guests and of the pure floors.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// A cargo subcommand that is installed when it is missing.
#[derive(Debug, Clone, Copy)]
pub enum Tool {
    /// Runs tests.
    Nextest,
    /// Checks dependencies.
    Deny,
}

impl Tool {
    const fn name(self) -> &'static str {
        match self {
            Self::Nextest => "cargo-nextest",
            Self::Deny => "cargo-deny",
        }
    }

    const fn version(self) -> &'static str {
        match self {
            Self::Nextest => "0.9.143",
            Self::Deny => "0.20.2",
        }
    }

    /// The features that we use; both tools have more by default, which only costs time to build.
    const fn features(self) -> &'static str {
        match self {
            Self::Nextest => "default-no-update",
            Self::Deny => "",
        }
    }
}

/// Returns a runnable tool of the pinned version, built now if there is none, and which one it is in words.
pub fn ensure(tool: Tool, workspace: &Workspace) -> Result<(PathBuf, String), String> {
    let root = workspace.target.join("tools");
    let own = root.join("bin").join(tool.name());
    for candidate in [own.clone(), PathBuf::from(tool.name())] {
        if is_version(&candidate, tool) {
            let found = format!("{} at {}", tool.version(), candidate.display());
            return Ok((candidate, found));
        }
    }
    let package = format!("{}@{}", tool.name(), tool.version());
    let mut install = Command::new("cargo");
    install.args(["install", "--locked", &package, "--no-default-features", "--features", tool.features()]);
    let build = root.join("build");
    install.arg("--root").arg(&root).arg("--target-dir").arg(&build);
    // They run for seconds: a quick build is worth more than a quick program.
    for (key, value) in [("OPT_LEVEL", "0"), ("LTO", "off"), ("CODEGEN_UNITS", "16"), ("DEBUG", "false")] {
        install.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    output(&mut install).map_err(|why| format!("cannot install {package}: {why}"))?;
    // About a gigabyte for both tools that nothing reads again.
    std::fs::remove_dir_all(&build).map_err(|error| format!("cannot remove {}: {error}", build.display()))?;
    if !is_version(&own, tool) {
        return Err(format!("{package} was installed but does not run"));
    }
    let installed = format!("{} installed as {}", tool.version(), own.display());
    Ok((own, installed))
}

/// Asks the tool itself; what does not start is not there.
fn is_version(path: &Path, tool: Tool) -> bool {
    // Called by its own name a subcommand wants its verb first, as cargo would pass it.
    let verb = tool.name().trim_start_matches("cargo-");
    let said = output(Command::new(path).args([verb, "--version"]));
    said.is_ok_and(|said| said.split_whitespace().any(|word| word == tool.version()))
}

/// Makes sure that the standard library for wasm32 is there; rustup does not add it by itself everywhere.
pub fn wasm_target() -> Result<(), String> {
    let libraries = output(Command::new("rustc").args(["--print", "target-libdir", "--target", WASM_TARGET]))?;
    if Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    println!("adding the target {WASM_TARGET}");
    output(Command::new("rustup").args(["target", "add", WASM_TARGET]))
        .map(drop)
        .map_err(|why| format!("run `rustup target add {WASM_TARGET}`, which did not work from here: {why}"))
}

/// Makes sure that a component of the toolchain is there: `rustfmt` or `clippy`.
pub fn component(name: &str) -> Result<(), String> {
    let subcommand = if name == "rustfmt" { "fmt" } else { name };
    if output(Command::new("cargo").args([subcommand, "--version"])).is_ok() {
        return Ok(());
    }
    println!("adding the component {name}");
    output(Command::new("rustup").args(["component", "add", name]))
        .map(drop)
        .map_err(|why| format!("run `rustup component add {name}`, which did not work from here: {why}"))
}
