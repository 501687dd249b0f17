//! Rules about how files become a crate: none is forgotten, and tests are one binary.
//!
//! A file that no `mod` names is not compiled: its tests do not run and nothing says so.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::Finding;
use super::source::{is_ident, is_punct};
use super::tree::Tree;
use crate::workspace::Package;

pub const FORGOTTEN_FILE: &str = "forgotten-file";
pub const TEST_BINARIES: &str = "test-binaries";

pub fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let tests: Vec<&str> =
            package.targets.iter().filter(|target| target.is_test).map(|target| target.path.as_str()).collect();
        if tests.len() > 1 {
            let message = format!("has {} integration-test binaries: {}", tests.len(), tests.join(", "));
            findings.push(Finding::new(TEST_BINARIES, &format!("{}/Cargo.toml", package.folder), 0, message));
        }
        let mut reached = BTreeSet::new();
        for target in &package.targets {
            let folder = parent(&target.path).to_owned();
            reached.insert(target.path.clone());
            follow(tree, &target.path, &folder, &mut reached);
        }
        let prefix = format!("{}/", package.folder);
        for (path, _) in tree.rust().filter(|(path, _)| path.starts_with(&prefix)) {
            if !reached.contains(path) {
                findings.push(Finding::new(FORGOTTEN_FILE, path, 0, "no `mod` names this file"));
            }
        }
    }
    findings
}

/// Adds every file that `path` reaches; `folder` is where its children lie.
fn follow(tree: &Tree, path: &str, folder: &str, reached: &mut BTreeSet<String>) {
    let Some(tokens) = tree.tokens(path) else { return };
    for child in children(tokens, folder) {
        for candidate in [format!("{child}.rs"), format!("{child}/mod.rs")] {
            if tree.text(&candidate).is_some() && reached.insert(candidate.clone()) {
                follow(tree, &candidate, &child, reached);
            }
        }
    }
}

/// Returns where the files of all `mod name;` lie, without `.rs`; those within `mod name { … }` lie one folder deeper.
fn children(tokens: &TokenStream, folder: &str) -> Vec<String> {
    let level: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut found = Vec::new();
    for three in level.windows(3) {
        let [keyword, TokenTree::Ident(name), end] = three else { continue };
        if !is_ident(keyword, "mod") {
            continue;
        }
        let child = format!("{folder}/{name}");
        match end {
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
                found.extend(children(&body.stream(), &child));
            }
            _ if is_punct(end, ';') => found.push(child),
            _ => {}
        }
    }
    found
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Target;

    fn package(targets: &[(&str, bool)]) -> Package {
        let target = |(path, is_test): &(&str, bool)| Target { path: (*path).to_owned(), is_test: *is_test };
        Package { folder: "c".to_owned(), targets: targets.iter().map(target).collect(), ..Package::default() }
    }

    fn found(tree: &Tree, targets: &[(&str, bool)]) -> Vec<(&'static str, String)> {
        check(tree, &[package(targets)]).into_iter().map(|finding| (finding.rule, finding.path)).collect()
    }

    #[test]
    fn a_file_that_no_mod_names_is_found() {
        let tree = Tree::of(&[
            ("c/src/lib.rs", "pub mod a; mod b { mod inner; } #[cfg(test)] mod tests;"),
            ("c/src/a/mod.rs", "mod deep;"),
            ("c/src/a/deep.rs", "pub(crate) mod deeper;"),
            ("c/src/a/deep/deeper.rs", ""),
            ("c/src/b/inner.rs", ""),
            ("c/src/tests.rs", "// mod forgotten;"),
            ("c/src/forgotten.rs", ""),
            ("c/src/a/tests.rs", ""),
            ("c/tests/suite/main.rs", "mod crash;"),
            ("c/tests/suite/crash.rs", ""),
            ("c/tests/suite/lost.rs", ""),
            ("other/src/lib.rs", ""),
        ]);
        let forgotten: Vec<String> = found(&tree, &[("c/src/lib.rs", false), ("c/tests/suite/main.rs", true)])
            .into_iter()
            .map(|(rule, path)| {
                assert_eq!(rule, FORGOTTEN_FILE);
                path
            })
            .collect();
        assert_eq!(forgotten, ["c/src/a/tests.rs", "c/src/forgotten.rs", "c/tests/suite/lost.rs"]);
    }

    #[test]
    fn a_second_test_binary_is_found() {
        let tree = Tree::of(&[("c/tests/a.rs", ""), ("c/tests/b.rs", "")]);
        assert_eq!(found(&tree, &[("c/tests/a.rs", true), ("c/tests/b.rs", false)]), []);
        assert_eq!(
            found(&tree, &[("c/tests/a.rs", true), ("c/tests/b.rs", true)]),
            [(TEST_BINARIES, "c/Cargo.toml".to_owned())]
        );
    }
}
