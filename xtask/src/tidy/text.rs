//! Rules about text: how a file opens, how long it is, and that it names no folder of somebody's machine.

use super::Finding;
use super::tree::Tree;

pub const FIRST_LINE: &str = "first-line";
pub const MACHINE_PATH: &str = "machine-path";
pub const LONG_FILE: &str = "long-file";

/// The longest a file gets without a word about it.
const LINES_MAX: usize = 900;

/// Folders at the root of a machine that mean nothing on another one.
const FOLDERS: [&str; 4] = ["root", "work", "tmp", "home"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        if path.ends_with(".rs") && !text.starts_with("//!") {
            let first = text.lines().next().unwrap_or_default().trim();
            findings.push(Finding::new(FIRST_LINE, path, 1, format!("opens with `{first}`")));
        }
        let lines = text.lines().count();
        if (path.ends_with(".rs") || path.ends_with(".md")) && lines > LINES_MAX {
            findings.push(Finding::new(LONG_FILE, path, 0, format!("has {lines} lines")));
        }
        for (index, line) in text.lines().enumerate() {
            if let Some(folder) = FOLDERS.iter().find(|folder| names_folder(line, folder)) {
                findings.push(Finding::new(MACHINE_PATH, path, index + 1, format!("names `/{folder}/`")));
            }
        }
    }
    findings
}

/// Says whether a line holds `/folder/` as the start of an absolute path, and not inside another path or address.
fn names_folder(line: &str, folder: &str) -> bool {
    let needle = format!("/{folder}/");
    line.match_indices(&needle).any(|(at, _)| {
        let before = line.get(..at).and_then(|start| start.chars().next_back());
        before.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '}')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<(&'static str, usize)> {
        check(&Tree::of(&[(path, text)])).into_iter().map(|finding| (finding.rule, finding.line)).collect()
    }

    #[test]
    fn rust_files_open_with_their_subject() {
        assert_eq!(rules("a.rs", "//! What lives here.\n"), []);
        assert_eq!(rules("a.rs", "use std::fmt;\n//! late\n"), [(FIRST_LINE, 1)]);
        assert_eq!(rules("a.rs", ""), [(FIRST_LINE, 1)]);
        assert_eq!(rules("a.md", "# no Rust\n"), []);
    }

    #[test]
    fn long_files_are_seen_from_one_line_past_the_limit() {
        assert_eq!(rules("a.md", &"x\n".repeat(LINES_MAX)), []);
        assert_eq!(rules("a.md", &"x\n".repeat(LINES_MAX + 1)), [(LONG_FILE, 0)]);
        assert_eq!(rules("a.json", &"x\n".repeat(LINES_MAX + 1)), []);
    }

    #[test]
    fn machine_paths_are_absolute() {
        // The needles are put together here, so that this file does not hold them.
        for folder in FOLDERS {
            assert_eq!(rules("a.sh", &format!("ok\ncd /{folder}/x\n")), [(MACHINE_PATH, 2)], "{folder}");
            assert_eq!(rules("a.md", &format!("see `/{folder}/x`")), [(MACHINE_PATH, 1)], "{folder}");
            assert_eq!(rules("a.md", &format!("https://a.b/{folder}/x and src/{folder}/x")), [], "{folder}");
            assert_eq!(rules("a.md", &format!("/{folder}s/x")), [], "{folder}");
        }
    }
}
