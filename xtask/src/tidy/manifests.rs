//! Rules about manifests: versions stand in one table, each with its reasons in a decision record, and every crate
//! takes the workspace's lints.
//!
//! A package that is its own workspace keeps its own table.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::Finding;
use super::tree::Tree;

pub const VERSION_TABLE: &str = "version-table";
pub const LINT_TABLE: &str = "lint-table";
pub const DEPENDENCY_ROW: &str = "dependency-row";

/// The decision record with a table of dependencies; the first cell of a row names one or more of them.
const RECORD: &str = "docs/decisions/0001-dependencies.md";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| *path == "Cargo.toml" || path.ends_with("/Cargo.toml")) {
        // A manifest that is no TOML stops cargo long before this.
        let Ok(manifest) = text.parse::<Table>() else { continue };
        if let Some(workspace) = manifest.get("workspace") {
            if path == "Cargo.toml" {
                findings.extend(rows(tree, workspace));
            }
            continue;
        }
        for (name, dependency) in dependencies(&manifest) {
            if dependency.get("workspace") != Some(&Value::Boolean(true)) {
                let message = format!("`{name}` is not taken from the workspace (`{name}.workspace = true`)");
                findings.push(Finding::new(VERSION_TABLE, path, 0, message));
            }
        }
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        if lints != Some(&Value::Boolean(true)) {
            findings.push(Finding::new(LINT_TABLE, path, 0, "lacks `[lints]` with `workspace = true`"));
        }
    }
    findings
}

/// Holds the workspace's table of versions and the record's table of reasons against each other.
fn rows(tree: &Tree, workspace: &Value) -> Vec<Finding> {
    let table = workspace.get("dependencies").and_then(Value::as_table).into_iter().flatten();
    let named: BTreeSet<&str> =
        table.filter(|(_, dependency)| dependency.get("path").is_none()).map(|(name, _)| name.as_str()).collect();
    let lines = tree.text(RECORD).unwrap_or_default().lines().filter_map(|line| line.strip_prefix("| "));
    let cells = lines.filter_map(|row| row.split(" |").next()).filter(|cell| *cell != "crate");
    let explained: BTreeSet<&str> = cells.flat_map(|cell| cell.split(", ")).collect();
    let lacks = named
        .difference(&explained)
        .map(|name| Finding::new(DEPENDENCY_ROW, "Cargo.toml", 0, format!("`{name}` has no row in {RECORD}")));
    let orphan = explained
        .difference(&named)
        .map(|name| Finding::new(DEPENDENCY_ROW, RECORD, 0, format!("`{name}` is no dependency of the workspace")));
    lacks.chain(orphan).collect()
}

/// Returns the dependencies of every kind, those of single targets too.
fn dependencies(manifest: &Table) -> Vec<(&String, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = targets.filter_map(Value::as_table).chain([manifest]);
    tables
        .flat_map(|table| ["dependencies", "dev-dependencies", "build-dependencies"].map(|kind| table.get(kind)))
        .flatten()
        .filter_map(Value::as_table)
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(manifest: &str) -> Vec<String> {
        check(&Tree::of(&[("c/Cargo.toml", manifest)])).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn versions_stand_in_the_workspace_table() {
        let lints = "[lints]\nworkspace = true\n";
        assert_eq!(
            messages(&format!("{lints}[dependencies]\na.workspace = true\nb = {{ workspace = true }}")),
            [""; 0]
        );
        for table in ["dependencies", "dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
            for dependency in ["a = \"1\"", "a = { version = \"1\" }", "a = { path = \"../a\" }"] {
                assert_eq!(
                    messages(&format!("{lints}[{table}]\n{dependency}")),
                    ["`a` is not taken from the workspace (`a.workspace = true`)"],
                    "{table} {dependency}"
                );
            }
        }
        assert_eq!(messages("[workspace]\n[dependencies]\na = \"1\""), [""; 0]);
    }

    #[test]
    fn every_dependency_has_its_reasons() {
        let root = "[workspace.dependencies]\nours = { path = \"x\" }\nused = \"1\"\nnew = { version = \"1\" }";
        let record = "| crate | what for |\n|---|---|\n| gone, used | x |\n";
        let found = check(&Tree::of(&[("Cargo.toml", root), (RECORD, record)]));
        let messages: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(messages, [&format!("`new` has no row in {RECORD}"), "`gone` is no dependency of the workspace"]);
    }

    #[test]
    fn every_crate_takes_the_lints() {
        assert_eq!(messages("[package]"), ["lacks `[lints]` with `workspace = true`"]);
    }
}
