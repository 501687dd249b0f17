//! The rules that only this repository has, as plain functions from a tree to findings.
//!
//! Every finding names its rule; `RULES` says what each one wants. Never here: what clippy, rustfmt or cargo-deny
//! already know.
//! Read next: `tree.rs` for what a rule sees, then a file per family of rules.

mod codes;
mod floors;
mod formats;
mod manifests;
mod modules;
mod source;
mod text;
mod tree;

use std::fmt;

use crate::workspace::Workspace;
use tree::Tree;

/// Every rule once: its name, and what it wants.
const RULES: &[(&str, &str)] = &[
    (text::FIRST_LINE, "a .rs file opens with `//!`: what lives here, what never does, where to read next"),
    (text::MACHINE_PATH, "no file names a folder of somebody's machine"),
    (text::LONG_FILE, "a file has one subject and fewer than 900 lines"),
    (source::SYNTAX, "a .rs file is Rust"),
    (source::IGNORED_TEST, "a test runs, or it is deleted; assert today's wrong answer and say so"),
    (source::UNFINISHED, "no unfinished code"),
    (source::ALLOW, "a lint is expected with a reason, never allowed"),
    (modules::FORGOTTEN_FILE, "a .rs file of a crate is reached from one of its targets"),
    (modules::TEST_BINARIES, "a crate has one integration-test binary at most"),
    (floors::FLOOR, "a crate depends on lower floors only"),
    (manifests::VERSION_TABLE, "versions are named in [workspace.dependencies] and nowhere else"),
    (manifests::DEPENDENCY_ROW, "every dependency has a row with its reasons, and every row a dependency"),
    (manifests::LINT_TABLE, "every crate takes the workspace's lints"),
    (codes::ERROR_PAGE, "every error code has a page in docs/errors, and every page a code"),
    (formats::FORMAT_DIGEST, "a format and its document change together"),
];

/// Something that a rule does not like.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    message: String,
}

impl Finding {
    /// A finding at a line, from 1; 0 stands for the whole file.
    fn new(rule: &'static str, path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, message: message.into() }
    }

    /// Warnings are shown and fail nothing.
    fn is_warning(&self) -> bool {
        self.rule == text::LONG_FILE
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = if self.is_warning() { "warning" } else { "error" };
        write!(f, "{level}[tidy.{}]: {}", self.rule, self.path)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Holds all rules against the repository. With `bless` the digests of the formats are rewritten first.
///
/// Both ends are text for a person: a summary with the warnings, or all findings and what their rules want.
pub fn check(workspace: &Workspace, bless: bool) -> Result<String, String> {
    let mut tree = Tree::read(workspace)?;
    if bless {
        let blessed = formats::bless(&tree)?;
        let path = workspace.root.join(formats::PATH);
        std::fs::write(&path, &blessed).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        tree = Tree::read(workspace)?;
    }
    let mut findings = Vec::new();
    for rule in [text::check, source::check, codes::check, formats::check, manifests::check] {
        findings.extend(rule(&tree));
    }
    findings.extend(modules::check(&tree, &workspace.packages));
    findings.extend(floors::check(&workspace.packages));
    findings.sort();
    report(&findings, tree.rust().count())
}

fn report(findings: &[Finding], rust_files: usize) -> Result<String, String> {
    let mut said: Vec<String> = findings.iter().map(Finding::to_string).collect();
    if findings.iter().all(Finding::is_warning) {
        said.insert(0, format!("{} rules, {rust_files} Rust files, {} warnings", RULES.len(), findings.len()));
        return Ok(said.join("\n"));
    }
    for (rule, wants) in RULES {
        if findings.iter().any(|finding| finding.rule == *rule && !finding.is_warning()) {
            said.push(format!("rule {rule}: {wants}"));
        }
    }
    Err(said.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_fail_nothing_and_findings_bring_their_rule() {
        let long = || Finding::new(text::LONG_FILE, "a.rs", 0, "has 901 lines");
        let first = Finding::new(text::FIRST_LINE, "b.rs", 1, "opens with `use`");
        assert_eq!(
            report(&[long()], 7),
            Ok(format!(
                "{} rules, 7 Rust files, 1 warnings\nwarning[tidy.long-file]: a.rs: has 901 lines",
                RULES.len()
            ))
        );
        let said = report(&[long(), first], 7).unwrap_err();
        assert!(said.contains("error[tidy.first-line]: b.rs:1: opens with `use`"), "{said}");
        assert!(said.contains("rule first-line: a .rs file opens"), "{said}");
        assert!(!said.contains("rule long-file"), "{said}");
    }
}
