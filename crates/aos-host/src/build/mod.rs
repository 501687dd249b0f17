//! Building a reducer crate to WASM: cargo, locked, reproducible, and only when something has changed.
//!
//! The same sources, lock file and toolchain give the same bytes in every folder, because the compiler sees no path of
//! this machine. Never here: admission and running (`wasm/`), printing; a caller hears of [`Progress`].
//! Read next: `cargo.rs` (what is run), `sources.rs` (what a cached build depends on), `toolchain.rs`.

mod cargo;
mod error;
mod sources;
#[cfg(test)]
mod tests;
mod toolchain;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use aos_air::hash::Digest;

use self::sources::{Package, Sources};
use self::toolchain::Toolchain;

pub use error::BuildError;
pub use toolchain::TARGET;

/// Builds reducer crates, with finished modules and cargo's target folders kept in a cache folder.
#[derive(Debug, Clone)]
pub struct Builder {
    cache: PathBuf,
    force: bool,
}

/// A module that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The name of the crate.
    pub package: String,
    /// The module.
    pub wasm: Vec<u8>,
    /// Its digest, by which a `defmodule` names it.
    pub digest: Digest,
    /// Whether it came from the cache, without a compiler.
    pub cached: bool,
}

/// What a build is about to do or has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// The compiler cannot build WASM yet; rustup downloads what it needs.
    AddingTarget,
    /// Cargo starts on this package.
    Compiling {
        /// The package's name.
        package: &'a str,
    },
    /// Cargo says this on its standard error.
    Cargo {
        /// One line.
        line: &'a str,
    },
}

impl Builder {
    /// Makes a builder that keeps what it makes in `cache`.
    pub fn new(cache: &Path) -> Self {
        Self { cache: cache.into(), force: false }
    }

    /// Compiles even what the cache has, if `force` is set.
    #[must_use]
    pub fn force(self, force: bool) -> Self {
        Self { force, ..self }
    }

    /// Builds the crate whose `Cargo.toml` lies in `folder`. Calls `progress` as things happen, from this thread.
    ///
    /// # Errors
    /// [`BuildError`]: no toolchain, no wasm32 target and no way to add it, a crate that does not compile or is not a
    /// `cdylib`, a cache folder that cannot be written.
    pub fn build(&self, folder: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Built, BuildError> {
        let start = Instant::now();
        let folder = fs::canonicalize(folder).map_err(|source| BuildError::Io { path: folder.into(), source })?;
        let toolchain = Toolchain::find(&folder)?;
        let package = Package::read(&folder)?;
        let before = Sources::hash(&package, &toolchain)?;
        let kept = self.cache.join("wasm").join(before.key().to_hex());
        let cached = if self.force { None } else { read_kept(&kept) };
        let built = match cached {
            Some(wasm) => Built { package: package.name, digest: Digest::of(&wasm), wasm, cached: true },
            None => {
                tracing::debug!(package = package.name, key = %before.key(), force = self.force, "not in the cache");
                toolchain.add_target(&folder, progress)?;
                let wasm = self.compile(&package, &toolchain, progress)?;
                // Sources that changed while the compiler read them do not belong to the key from before.
                if Sources::hash(&package, &toolchain)? == before {
                    keep(&kept, &wasm)?;
                } else {
                    tracing::warn!(package = package.name, "the sources changed during the build; it is not kept");
                }
                Built { package: package.name, digest: Digest::of(&wasm), wasm, cached: false }
            }
        };
        tracing::debug!(
            package = built.package, module = %built.digest, cached = built.cached, elapsed = ?start.elapsed(), "module built"
        );
        Ok(built)
    }

    /// Runs cargo; with `force` in a folder of its own, so that it builds everything and no other build is disturbed.
    fn compile(
        &self,
        package: &Package,
        toolchain: &Toolchain,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<u8>, BuildError> {
        let kept = self.target_folder(package);
        if !self.force {
            return cargo::compile(package, toolchain, &kept, progress);
        }
        let own = kept.with_extension(format!("forced-{}", std::process::id()));
        let compiled = cargo::compile(package, toolchain, &own, progress);
        if let Err(source) = fs::remove_dir_all(&own) {
            tracing::warn!(folder = %own.display(), error = %source, "a folder of a forced build stays behind");
        }
        compiled
    }

    /// Cargo's own folder. One for each project: the flags hold the project's path, and other flags mean other builds.
    fn target_folder(&self, package: &Package) -> PathBuf {
        let project = Digest::of(package.workspace.as_os_str().as_encoded_bytes()).to_hex();
        self.cache.join("target").join(project.get(..16).unwrap_or_default())
    }
}

/// Reads the module in `folder` if it still is what its file name says.
fn read_kept(folder: &Path) -> Option<Vec<u8>> {
    for entry in fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        if !is_module(&path) {
            continue;
        }
        let Ok(wasm) = fs::read(&path) else { continue };
        if path.file_stem().is_some_and(|stem| stem == Digest::of(&wasm).to_hex().as_str()) {
            return Some(wasm);
        }
        tracing::warn!(file = %path.display(), "a cached module is damaged; building again");
    }
    None
}

/// Replaces the module that `folder` holds by `wasm`, in a file that is named by its digest.
///
/// Another process may be doing the same: a file appears whole, and nobody removes what another one is writing.
fn keep(folder: &Path, wasm: &[u8]) -> Result<(), BuildError> {
    let io = |source| BuildError::Io { path: folder.into(), source };
    fs::create_dir_all(folder).map_err(io)?;
    let path = folder.join(Digest::of(wasm).to_hex());
    let (kept, unfinished) = (path.with_extension("wasm"), path.with_extension(std::process::id().to_string()));
    fs::write(&unfinished, wasm).map_err(io)?;
    fs::rename(&unfinished, &kept).map_err(io)?;
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path == kept || !is_module(&path) {
            continue;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn is_module(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wasm")
}
