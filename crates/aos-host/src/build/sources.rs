//! What a build depends on: the crate's sources, those of its path dependencies, the lock file, the toolchain, the flags.
//!
//! Every file of a package's folder counts, so that a text that is included from beside `src` is not missed. Packages of
//! a registry are named by the lock file, with their checksums.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use aos_air::hash::Digest;
use serde::Deserialize;

use super::cargo;
use super::error::BuildError;
use super::toolchain::{TARGET, Toolchain, program, succeed};

/// The package to build and the packages beside it.
pub(super) struct Package {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The folder of the workspace, which has the lock file.
    pub workspace: PathBuf,
    /// The name of its `cdylib`.
    pub library: String,
    /// The folders of all packages that are built from a path, with their names; this one is among them.
    pub local: BTreeMap<PathBuf, String>,
}

impl Package {
    /// Reads the package in `folder`, as cargo sees it.
    pub fn read(folder: &Path) -> Result<Self, BuildError> {
        let mut command = program("cargo", folder);
        command.args(["metadata", "--format-version=1", "--locked", "--filter-platform", TARGET]);
        let json = succeed("cargo", &mut command)?;
        let metadata: Metadata = serde_json::from_str(&json).map_err(|error| BuildError::Metadata {
            command: "cargo metadata".into(),
            stderr: format!("its answer has an unknown form: {error}"),
        })?;
        metadata.package(folder)
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Described>,
    resolve: Resolve,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Described {
    id: String,
    name: String,
    /// None for a package from a path.
    source: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// None for a normal dependency, `dev` or `build`.
    kind: Option<String>,
}

impl Metadata {
    fn package(&self, folder: &Path) -> Result<Package, BuildError> {
        let root = self.packages.iter().find(|package| package.folder() == folder);
        let root = root.ok_or_else(|| BuildError::NoPackage { folder: folder.into() })?;
        let library = root.targets.iter().find(|target| target.crate_types.iter().any(|kind| kind == "cdylib"));
        let library = library.ok_or_else(|| BuildError::NoArtifact { package: root.name.clone() })?;
        let needed = self.needed(&root.id);
        let local =
            self.packages.iter().filter(|package| package.source.is_none() && needed.contains(package.id.as_str()));
        Ok(Package {
            name: root.name.clone(),
            folder: folder.into(),
            workspace: self.workspace_root.clone(),
            library: library.name.replace('-', "_"),
            local: local.map(|package| (package.folder().into(), package.name.clone())).collect(),
        })
    }

    /// Returns the ids of the packages that building `root` needs, itself included.
    fn needed<'a>(&'a self, root: &'a str) -> BTreeSet<&'a str> {
        let mut needed = BTreeSet::from([root]);
        let mut queue = vec![root];
        while let Some(id) = queue.pop() {
            let dependencies = self.resolve.nodes.iter().filter(|node| node.id == id).flat_map(|node| &node.deps);
            for dependency in dependencies {
                let is_built = dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"));
                if is_built && needed.insert(&dependency.pkg) {
                    queue.push(&dependency.pkg);
                }
            }
        }
        needed
    }
}

impl Described {
    fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

/// What a build depends on, as one digest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sources(Digest);

impl Sources {
    /// Hashes everything that the module of `package` depends on.
    pub fn hash(package: &Package, toolchain: &Toolchain) -> Result<Self, BuildError> {
        let mut hasher = blake3::Hasher::new_derive_key("aos/guest-build/1");
        let mut part = |bytes: &[u8]| {
            hasher.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(bytes);
        };
        part(toolchain.version.as_bytes());
        part(package.name.as_bytes());
        cargo::PROFILE.iter().chain(cargo::FLAGS).for_each(|flag| part(flag.as_bytes()));
        let mut files = BTreeMap::new();
        for name in ["Cargo.lock", "Cargo.toml", ".cargo/config.toml", ".cargo/config"] {
            let path = package.workspace.join(name);
            if path.is_file() {
                files.insert(format!("workspace/{name}"), path);
            }
        }
        for (folder, name) in &package.local {
            walk(folder, &mut |path| {
                let inside = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy();
                files.insert(format!("package/{name}/{inside}"), path.clone());
            })?;
        }
        for (name, path) in files {
            part(name.as_bytes());
            part(&fs::read(&path).map_err(|source| BuildError::Io { path, source })?);
        }
        Ok(Self(Digest::from_bytes(*hasher.finalize().as_bytes())))
    }

    /// Returns the digest.
    pub fn key(&self) -> Digest {
        self.0
    }
}

/// Calls `found` for each file below `folder` that can belong to its package: nothing hidden, no build output, no
/// package of its own.
fn walk(folder: &Path, found: &mut impl FnMut(PathBuf)) -> Result<(), BuildError> {
    let io = |source| BuildError::Io { path: folder.into(), source };
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        let metadata = fs::metadata(&path).map_err(io)?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if metadata.is_file() && !is_hidden {
            found(path);
        } else if metadata.is_dir() && !is_hidden {
            let is_apart = ["Cargo.toml", "CACHEDIR.TAG"].iter().any(|mark| path.join(mark).exists());
            if !is_apart {
                walk(&path, found)?;
            }
        }
    }
    Ok(())
}
