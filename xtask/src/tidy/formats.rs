//! The rule of the formats: `docs/formats.toml` maps each document to the sources that define the same format, with a
//! digest of both, so that a change to one side makes somebody look at the other.
//!
//! The digest of a source covers its code without comments, docs and tests; that of a document all its bytes.

use std::fmt::Write;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use serde::Deserialize;

use super::Finding;
use super::source::without_tests_and_docs;
use super::tree::Tree;

pub const FORMAT_DIGEST: &str = "format-digest";

/// The table.
pub const PATH: &str = "docs/formats.toml";

#[derive(Deserialize)]
struct Formats {
    #[serde(default)]
    format: Vec<Format>,
}

/// A document, and the files or folders (with a slash at the end) that define what it says.
#[derive(Deserialize)]
struct Format {
    document: String,
    sources: Vec<String>,
    #[serde(default)]
    document_digest: String,
    #[serde(default)]
    sources_digest: String,
}

pub fn check(tree: &Tree) -> Vec<Finding> {
    let formats = match read(tree) {
        Ok(formats) => formats.format,
        Err(message) => return vec![Finding::new(FORMAT_DIGEST, PATH, 0, message)],
    };
    let mut findings = Vec::new();
    for (path, _) in tree.texts().filter(|(path, _)| is_specification(path)) {
        if !formats.iter().any(|format| format.document == path) {
            findings.push(Finding::new(FORMAT_DIGEST, path, 0, format!("has no entry in {PATH}")));
        }
    }
    for format in &formats {
        findings.extend(judge(tree, format));
    }
    findings
}

/// A page of the specification; its README only says where to find them.
fn is_specification(path: &str) -> bool {
    let page = path.strip_prefix("spec/").and_then(|page| page.strip_suffix(".md"));
    page.is_some_and(|page| page != "README" && !page.contains('/'))
}

fn judge(tree: &Tree, format: &Format) -> Option<Finding> {
    let (document, sources) = match digests(tree, format) {
        Ok(digests) => digests,
        Err(message) => return Some(Finding::new(FORMAT_DIGEST, PATH, 0, message)),
    };
    let names = format.sources.join(", ");
    let what = match (document == format.document_digest, sources == format.sources_digest) {
        (true, true) => return None,
        (false, true) => format!("changed, and {names} did not"),
        (true, false) => format!("did not change, but {names} did"),
        (false, false) => format!("and {names} changed"),
    };
    let help = "read both, make them agree, then run `cargo xtask tidy --bless`";
    Some(Finding::new(FORMAT_DIGEST, &format.document, 0, format!("{what}; {help}")))
}

/// Returns the table with the digests of today.
pub fn bless(tree: &Tree) -> Result<String, String> {
    // What stands above the first entry is for people and stays.
    let text = tree.text(PATH).unwrap_or_default();
    let head = text.split("[[format]]").next().unwrap_or_default();
    let mut blessed = head.to_owned();
    let entries: Result<Vec<String>, String> =
        read(tree)?.format.iter().map(|format| entry(format, digests(tree, format)?)).collect();
    blessed.push_str(&entries?.join("\n"));
    Ok(blessed)
}

fn entry(format: &Format, (document, sources): (String, String)) -> Result<String, String> {
    let mut text = String::new();
    writeln!(text, "[[format]]\ndocument = {:?}\nsources = {:?}", format.document, format.sources)
        .and_then(|()| writeln!(text, "document_digest = {document:?}\nsources_digest = {sources:?}"))
        .map_err(|error| error.to_string())?;
    Ok(text)
}

fn read(tree: &Tree) -> Result<Formats, String> {
    let text = tree.text(PATH).ok_or("is missing")?;
    toml::from_str(text).map_err(|error| error.to_string())
}

/// Returns the digests of a format's document and of its sources.
fn digests(tree: &Tree, format: &Format) -> Result<(String, String), String> {
    let text = tree.text(&format.document).ok_or_else(|| format!("{} does not exist", format.document))?;
    let mut hasher = blake3::Hasher::new();
    for source in &format.sources {
        let files: Vec<(&str, &TokenStream)> = tree
            .rust()
            .filter(|(path, _)| path == source || (source.ends_with('/') && path.starts_with(source.as_str())))
            .filter(|(path, _)| !path.ends_with("/tests.rs"))
            .filter_map(|(path, tokens)| Some((path, tokens?)))
            .collect();
        if files.is_empty() {
            return Err(format!("{source}, a source of {}, does not exist", format.document));
        }
        for (path, tokens) in files {
            hasher.update(path.as_bytes());
            feed(&mut hasher, without_tests_and_docs(tokens));
        }
    }
    let digest = |hash: blake3::Hash| format!("blake3:{hash}");
    Ok((digest(blake3::hash(text.as_bytes())), digest(hasher.finalize())))
}

/// Hashes tokens one by one, each behind a zero byte: layout does not count.
fn feed(hasher: &mut blake3::Hasher, tokens: TokenStream) {
    for token in tokens {
        hasher.update(&[0]);
        match token {
            TokenTree::Group(group) => {
                let open = match group.delimiter() {
                    Delimiter::Parenthesis => "(",
                    Delimiter::Brace => "{",
                    Delimiter::Bracket => "[",
                    Delimiter::None => "",
                };
                hasher.update(open.as_bytes());
                feed(hasher, group.stream());
                hasher.update(b"\0end");
            }
            token => {
                hasher.update(token.to_string().as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "# For people.\n\n[[format]]\ndocument = \"spec/frame.md\"\nsources = [\"crates/k/src/frame/\"]\n";
    const CODE: &str = "/// Doc.\npub struct Frame(u8);";

    fn findings(table: &str, document: &str, code: &str) -> Vec<String> {
        check(&tree(table, document, code)).iter().map(Finding::to_string).collect()
    }

    fn tree(table: &str, document: &str, code: &str) -> Tree {
        Tree::of(&[
            (PATH, table),
            ("spec/frame.md", document),
            ("spec/README.md", ""),
            ("spec/vectors/a.md", ""),
            ("crates/k/src/frame/mod.rs", code),
            ("crates/k/src/frame/tests.rs", "fn a() {}"),
        ])
    }

    #[test]
    fn a_change_on_either_side_is_found_until_it_is_blessed() {
        let blessed = bless(&tree(TABLE, "one byte", CODE)).unwrap();
        assert!(blessed.starts_with(TABLE), "{blessed}");
        assert_eq!(bless(&tree(&blessed, "one byte", CODE)), Ok(blessed.clone()));

        let help = "read both, make them agree, then run `cargo xtask tidy --bless`";
        let changed = "pub struct Frame(u16);";
        let cases = [
            ("one byte", CODE, ""),
            ("one byte", "pub  struct Frame ( u8 ) ; // layout\n#[cfg(test)] mod tests { }", ""),
            ("two bytes", CODE, "changed, and crates/k/src/frame/ did not"),
            ("one byte", changed, "did not change, but crates/k/src/frame/ did"),
            ("two bytes", changed, "and crates/k/src/frame/ changed"),
        ];
        for (document, code, what) in cases {
            let expected = if what.is_empty() {
                vec![]
            } else {
                vec![format!("error[tidy.format-digest]: spec/frame.md: {what}; {help}")]
            };
            assert_eq!(findings(&blessed, document, code), expected, "{document} {code}");
        }
    }

    #[test]
    fn a_page_without_an_entry_and_an_entry_without_a_file_are_found() {
        assert_eq!(
            findings("", "", ""),
            ["error[tidy.format-digest]: spec/frame.md: has no entry in docs/formats.toml"]
        );
        let gone = TABLE.replace("src/frame/", "src/gone.rs");
        assert_eq!(
            findings(&gone, "", ""),
            [
                "error[tidy.format-digest]: docs/formats.toml: crates/k/src/gone.rs, a source of spec/frame.md, does not exist"
            ]
        );
        assert_eq!(
            check(&Tree::of(&[])).iter().map(Finding::to_string).collect::<Vec<_>>(),
            ["error[tidy.format-digest]: docs/formats.toml: is missing"]
        );
    }
}
