//! The one cargo command that makes a module, with every setting on its command line.
//!
//! A reducer's crate needs no profile of its own. Paths of this machine are replaced in everything the compiler writes,
//! so that they are not part of a module's digest. Never here: when a build is needed; see `sources.rs`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::Progress;
use super::error::BuildError;
use super::sources::Package;
use super::toolchain::{TARGET, Toolchain, program};

/// The name of the profile, which is also the name of cargo's folder for it.
const PROFILE_NAME: &str = "aos-guest";

/// The settings of the profile.
pub(super) const PROFILE: &[&str] = &[
    r#"profile.aos-guest.inherits="release""#,
    // Smaller than "s" here: serde's generic code shrinks by being inlined. `docs/decisions/0004-guests.md` has figures.
    "profile.aos-guest.opt-level=2",
    r#"profile.aos-guest.lto="fat""#,
    r#"profile.aos-guest.panic="abort""#,
    r#"profile.aos-guest.strip="symbols""#,
    "profile.aos-guest.codegen-units=1",
    "profile.aos-guest.debug=false",
    "profile.aos-guest.debug-assertions=false",
    "profile.aos-guest.incremental=false",
    // An overflow fails the step instead of wrapping into the state.
    "profile.aos-guest.overflow-checks=true",
];

/// The compiler's flags, without those that hold paths. A small stack keeps the memory small, and a first heap of a page
/// spares most calls a growth, which costs as much fuel as it has bytes.
pub(super) const FLAGS: &[&str] = &["-Clink-arg=-zstack-size=16384", "-Clink-arg=--initial-heap=65536"];

/// Compiles `package` and returns its module.
pub(super) fn compile(
    package: &Package,
    toolchain: &Toolchain,
    target_folder: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<u8>, BuildError> {
    progress(Progress::Compiling { package: &package.name });
    let mut command = program("cargo", &package.folder);
    command.args(["build", "--locked", "--lib", "--target", TARGET, "--profile", PROFILE_NAME, "--color=never"]);
    command.arg("--target-dir").arg(target_folder);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    // Of all places that may set flags, cargo takes this one and no other.
    command.env("CARGO_ENCODED_RUSTFLAGS", flags(package, toolchain).join(OsStr::new("\u{1f}")));
    tracing::debug!(?command, "compiling");
    let start_error = |source| BuildError::Toolchain { program: "cargo", source };
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(start_error)?;
    let mut stderr = String::new();
    for line in child.stderr.take().into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n')) {
        let line = line.map_err(start_error)?;
        let line = String::from_utf8_lossy(&line);
        progress(Progress::Cargo { line: &line });
        stderr.push_str(&line);
        stderr.push('\n');
    }
    if !child.wait().map_err(start_error)?.success() {
        return Err(BuildError::Cargo { package: package.name.clone(), stderr });
    }
    let file = target_folder.join(TARGET).join(PROFILE_NAME).join(&package.library).with_extension("wasm");
    fs::read(&file).map_err(|source| BuildError::Io { path: file, source })
}

/// Returns [`FLAGS`] and the replacements of paths; where two match, the compiler takes the later one.
fn flags(package: &Package, toolchain: &Toolchain) -> Vec<OsString> {
    let mut flags: Vec<OsString> = FLAGS.iter().map(OsString::from).collect();
    let mut replace = |path: &Path, with: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(path);
        flag.push("=");
        flag.push(with);
        flags.push(flag);
    };
    if let Some(home) = home() {
        replace(&home, "/cargo");
    }
    replace(&toolchain.sysroot, "/rust");
    // Where the standard library's sources are installed, the compiler would name them by their place.
    replace(&toolchain.sysroot.join("lib/rustlib/src/rust"), &format!("/rustc/{}", toolchain.commit()));
    replace(&package.workspace, "/project");
    for (folder, name) in &package.local {
        if !folder.starts_with(&package.workspace) {
            replace(folder, &format!("/{name}"));
        }
    }
    flags
}

/// Returns cargo's home, where the sources of registries lie.
fn home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")))
}
