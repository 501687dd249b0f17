//! What cargo knows of this repository: folders, packages, targets and who depends on whom.
//!
//! Never here: an opinion about it; those are rules in `tidy/`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// The repository as `cargo metadata` describes it. All paths but `root` and `target` are relative to `root`.
#[derive(Debug)]
pub struct Workspace {
    /// The folder of the root manifest.
    pub root: PathBuf,
    /// The target folder in force.
    pub target: PathBuf,
    /// The members.
    pub packages: Vec<Package>,
    /// All files that git has or would take.
    pub files: Vec<String>,
}

/// A member of the workspace.
#[derive(Debug, Default)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its folder, without a slash at the end.
    pub folder: String,
    /// The files in which its targets begin.
    pub targets: Vec<Target>,
    /// Packages of this repository that it depends on, for tests too.
    pub dependencies: BTreeSet<String>,
}

/// A target of a package.
#[derive(Debug)]
pub struct Target {
    /// The file it begins in.
    pub path: String,
    /// Whether it is an integration test.
    pub is_test: bool,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<MetadataTarget>,
    dependencies: Vec<MetadataDependency>,
}

#[derive(Deserialize)]
struct MetadataTarget {
    kind: Vec<String>,
    src_path: PathBuf,
}

#[derive(Deserialize)]
struct MetadataDependency {
    name: String,
    path: Option<PathBuf>,
}

impl Workspace {
    /// Asks cargo and git, and makes the root the current folder; fails with one sentence where one of them does.
    pub fn read() -> Result<Self, String> {
        let json = output(Command::new("cargo").args(["metadata", "--format-version", "1", "--no-deps"]))?;
        let metadata: Metadata =
            serde_json::from_str(&json).map_err(|error| format!("cargo metadata cannot be read: {error}"))?;
        let root = metadata.workspace_root;
        std::env::set_current_dir(&root).map_err(|error| format!("cannot enter {}: {error}", root.display()))?;
        let packages: Vec<Package> =
            metadata.packages.into_iter().map(|package| Package::new(package, &root)).collect();
        // A clone that another user owns is still this repository, hence `safe.directory`.
        let mut git = Command::new("git");
        git.args(["-c", "safe.directory=*", "ls-files", "-z"]);
        git.args(["--cached", "--others", "--exclude-standard", "--deduplicate"]);
        let files: Vec<String> = output(&mut git)?.split_terminator('\0').map(str::to_owned).collect();
        Ok(Self { root, target: metadata.target_directory, packages, files })
    }
}

impl Package {
    fn new(package: MetadataPackage, root: &Path) -> Self {
        let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
        let folder = package.manifest_path.parent().map(relative).unwrap_or_default();
        let target =
            |target: MetadataTarget| Target { path: relative(&target.src_path), is_test: target.kind == ["test"] };
        let local = package.dependencies.into_iter().filter(|dependency| dependency.path.is_some());
        Self {
            name: package.name,
            folder,
            targets: package.targets.into_iter().map(target).collect(),
            dependencies: local.map(|dependency| dependency.name).collect(),
        }
    }
}

/// Runs a command and returns its standard output; a failure carries what it said.
pub fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("`{name}` does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{name}` failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{name}` printed bytes that are no text"))
}
