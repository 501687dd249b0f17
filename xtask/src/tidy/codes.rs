//! The rule of the error pages: every code has a page in `docs/errors`, and every page a code.
//!
//! A code is a dotted string literal in a crate's `src`, outside tests, that is returned by a `fn code` or stands as
//! the value of a field or constant `code`/`…CODE`: `code: "schema.missing"`, `const CODE: &str = "store.busy"`.
//! A page is wanted for these alone; for the way back any equal literal counts, however it reaches the user.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenTree};

use super::Finding;
use super::source::{each_level, is_ident, is_punct, string_literal, without_tests_and_docs};
use super::tree::Tree;

pub const ERROR_PAGE: &str = "error-page";

const PAGES: &str = "docs/errors/";

pub fn check(tree: &Tree) -> Vec<Finding> {
    // Where each code was seen first.
    let mut codes: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    let mut literals = BTreeSet::new();
    for (path, tokens) in tree.rust() {
        let (true, Some(tokens)) = (is_product_code(path), tokens) else { continue };
        each_level(&without_tests_and_docs(tokens), &mut |level| {
            literals.extend(level.iter().filter_map(string_literal).map(|(text, _)| text));
            for (code, line) in codes_of(level) {
                codes.entry(code).or_insert((path, line));
            }
        });
    }
    let pages: BTreeSet<&str> = tree
        .texts()
        .filter_map(|(path, _)| path.strip_prefix(PAGES)?.strip_suffix(".md"))
        .filter(|page| *page != "README")
        .collect();
    let without_page = codes.iter().filter(|(code, _)| !pages.contains(code.as_str()));
    let without_code = pages.iter().filter(|page| !literals.contains(**page));
    let lacks = |(code, (path, line)): (&String, &(&str, usize))| {
        Finding::new(ERROR_PAGE, path, *line, format!("`{code}` has no page {PAGES}{code}.md"))
    };
    let orphan = |page: &&str| {
        Finding::new(ERROR_PAGE, &format!("{PAGES}{page}.md"), 0, format!("no code `{page}` is left in the source"))
    };
    without_page.map(lacks).chain(without_code.map(orphan)).collect()
}

fn is_product_code(path: &str) -> bool {
    path.starts_with("crates/") && path.contains("/src/") && !path.ends_with("/tests.rs") && !path.contains("/tests/")
}

/// Returns the codes that one level of tokens declares.
fn codes_of(level: &[TokenTree]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (index, token) in level.iter().enumerate() {
        let rest = level.get(index + 1..).unwrap_or_default();
        let is_code_fn = is_ident(token, "fn") && rest.first().is_some_and(|name| is_ident(name, "code"));
        if is_code_fn {
            let body = rest.iter().find_map(|token| match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group.stream()),
                _ => None,
            });
            each_level(&body.unwrap_or_default(), &mut |level| found.extend(level.iter().filter_map(string_literal)));
        }
        let TokenTree::Ident(name) = token else { continue };
        let is_constant = name.to_string().ends_with("CODE");
        if name == "code" || is_constant {
            let value = match rest {
                [colon, literal, ..] if is_punct(colon, ':') && !is_constant => string_literal(literal),
                // `: &'static str = "…"`: the value is the first literal before the semicolon.
                _ if is_constant => rest.iter().take_while(|token| !is_punct(token, ';')).find_map(string_literal),
                _ => None,
            };
            found.extend(value);
        }
    }
    found.retain(|(text, _)| is_dotted(text));
    found
}

/// Says whether a text has the form of a code: lower-case words with underscores or digits, and at least one dot.
fn is_dotted(text: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    text.contains('.') && text.split('.').all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        impl E {
            pub const fn code(&self) -> &'static str {
                match self { Self::A => "plan.step_unbound", Self::B(inner) => { inner.code() } Self::C => "no code" }
            }
        }
        fn other() -> Finding { Finding { code: "schema.missing", message: "a.b" } }
        const BUSY_CODE: &str = "store.busy";
        fn say() { push("cbor.depth") }
        #[cfg(test)]
        mod tests { fn code() -> &'static str { "test.only" } }
    "#;

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn codes_and_pages_are_held_against_each_other() {
        assert_eq!(
            messages(&[("crates/a/src/lib.rs", SOURCE), ("docs/errors/cbor.depth.md", ""), ("docs/errors/old.md", "")]),
            [
                "`plan.step_unbound` has no page docs/errors/plan.step_unbound.md",
                "`schema.missing` has no page docs/errors/schema.missing.md",
                "`store.busy` has no page docs/errors/store.busy.md",
                "no code `old` is left in the source",
            ]
        );
        let pages = ["plan.step_unbound", "schema.missing", "store.busy", "cbor.depth", "README"]
            .map(|code| format!("{PAGES}{code}.md"));
        let mut files: Vec<(&str, &str)> = pages.iter().map(|page| (page.as_str(), "")).collect();
        files.push(("crates/a/src/lib.rs", SOURCE));
        assert_eq!(messages(&files), [""; 0]);
    }

    #[test]
    fn tests_declare_no_codes() {
        for path in
            ["crates/a/src/tests.rs", "crates/a/src/b/tests.rs", "crates/a/tests/suite/main.rs", "xtask/src/a.rs"]
        {
            assert_eq!(messages(&[(path, SOURCE)]), [""; 0], "{path}");
        }
    }

    #[test]
    fn a_code_is_lower_case_and_dotted() {
        for (text, expected) in [
            ("a.b", true),
            ("plan.step_failed.x2", true),
            ("plan", false),
            ("Plan.x", false),
            ("a..b", false),
            ("a.b.", false),
            ("a b.c", false),
            ("1.2", false),
        ] {
            assert_eq!(is_dotted(text), expected, "{text}");
        }
    }
}
