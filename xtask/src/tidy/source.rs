//! Rules about single pieces of Rust, and the few ways in which rules look at tokens.
//!
//! Rules see tokens and not text, so a word in a comment or in a string is never mistaken for code.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::Finding;
use super::tree::Tree;

pub const SYNTAX: &str = "syntax";
pub const IGNORED_TEST: &str = "ignored-test";
pub const UNFINISHED: &str = "unfinished";
pub const ALLOW: &str = "allow";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, tokens) in tree.rust() {
        let Some(tokens) = tokens else {
            findings.push(Finding::new(SYNTAX, path, 0, "cannot be split into tokens"));
            continue;
        };
        each_level(tokens, &mut |level| {
            for pair in level.windows(2) {
                findings.extend(judge(path, pair));
            }
        });
        findings.extend(ignored_doc_tests(path, tree.text(path).unwrap_or_default()));
    }
    findings
}

/// Judges two neighbours: an attribute is `#` or `!` before brackets, a macro call is a name before `!`.
fn judge(path: &str, pair: &[TokenTree]) -> Option<Finding> {
    match pair {
        [TokenTree::Punct(mark), TokenTree::Group(group)]
            if matches!(mark.as_char(), '#' | '!') && group.delimiter() == Delimiter::Bracket =>
        {
            let line = group.span_open().start().line;
            if attribute_names(group, "ignore") {
                return Some(Finding::new(IGNORED_TEST, path, line, "a test is ignored"));
            }
            attribute_names(group, "allow").then(|| Finding::new(ALLOW, path, line, "a lint is allowed"))
        }
        [TokenTree::Ident(name), TokenTree::Punct(mark)]
            if mark.as_char() == '!' && (name == "todo" || name == "unimplemented") =>
        {
            Some(Finding::new(UNFINISHED, path, name.span().start().line, format!("calls `{name}!`")))
        }
        _ => None,
    }
}

/// Says whether an attribute is `name`, alone or behind a `cfg_attr`.
fn attribute_names(brackets: &Group, name: &str) -> bool {
    let mut tokens = brackets.stream().into_iter();
    match tokens.next() {
        Some(TokenTree::Ident(first)) if first == "cfg_attr" => match tokens.next() {
            Some(TokenTree::Group(inner)) => inner.stream().into_iter().any(|token| is_ident(&token, name)),
            _ => false,
        },
        Some(token) => is_ident(&token, name),
        None => false,
    }
}

/// Finds code blocks in documentation that are marked as not to be run.
fn ignored_doc_tests(path: &str, text: &str) -> Vec<Finding> {
    let marked = text.lines().enumerate().filter(|(_, line)| {
        let comment = line.trim_start().strip_prefix("//").unwrap_or_default();
        comment.trim_start_matches(['/', '!', ' ']).strip_prefix("```").is_some_and(|info| info.contains("ignore"))
    });
    marked.map(|(index, _)| Finding::new(IGNORED_TEST, path, index + 1, "a doc test is ignored")).collect()
}

/// Says whether a token is this name.
pub fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

/// Says whether a token is this mark.
pub fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

/// Calls `see` with the tokens of the file, then with those of every group in it, at any depth.
pub fn each_level(tokens: &TokenStream, see: &mut impl FnMut(&[TokenTree])) {
    let level: Vec<TokenTree> = tokens.clone().into_iter().collect();
    see(&level);
    for token in &level {
        if let TokenTree::Group(group) = token {
            each_level(&group.stream(), see);
        }
    }
}

/// Returns the inside of a plain string literal, with its line.
pub fn string_literal(token: &TokenTree) -> Option<(String, usize)> {
    let TokenTree::Literal(literal) = token else { return None };
    let text = literal.to_string();
    let inside = text.strip_prefix('"')?.strip_suffix('"')?;
    Some((inside.to_owned(), literal.span().start().line))
}

/// Drops every item behind `#[cfg(test)]`, and every doc comment.
pub fn without_tests_and_docs(tokens: &TokenStream) -> TokenStream {
    let mut kept = Vec::new();
    let mut rest = tokens.clone().into_iter().peekable();
    while let Some(token) = rest.next() {
        match (token, rest.peek()) {
            (TokenTree::Punct(mark), Some(TokenTree::Group(group))) if mark.as_char() == '#' => {
                let said = group.stream().to_string().replace(' ', "");
                if said == "cfg(test)" {
                    // The item ends with its braces or with a semicolon.
                    rest.find(|token| {
                        is_punct(token, ';')
                            || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
                    });
                } else if said.starts_with("doc=") {
                    rest.next();
                } else {
                    kept.push(TokenTree::Punct(mark));
                }
            }
            (TokenTree::Group(group), _) => {
                kept.push(TokenTree::Group(Group::new(group.delimiter(), without_tests_and_docs(&group.stream()))));
            }
            (token, _) => kept.push(token),
        }
    }
    kept.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<(&'static str, usize)> {
        check(&Tree::of(&[("a.rs", text)])).into_iter().map(|finding| (finding.rule, finding.line)).collect()
    }

    #[test]
    fn forbidden_pieces_are_found_in_code_only() {
        let cases: &[(&str, &[(&str, usize)])] = &[
            ("#[test]\n#[ignore]\nfn a() {}", &[(IGNORED_TEST, 2)]),
            ("#[ignore = \"slow\"] fn a() {}", &[(IGNORED_TEST, 1)]),
            ("#[cfg_attr(miri, ignore)] fn a() {}", &[(IGNORED_TEST, 1)]),
            ("/// ```ignore\n/// a();\n/// ```\nfn a() {}", &[(IGNORED_TEST, 1)]),
            ("fn a() {\n    todo!()\n}", &[(UNFINISHED, 2)]),
            ("fn a() { unimplemented!(\"x\") }", &[(UNFINISHED, 1)]),
            ("#![allow(dead_code)]", &[(ALLOW, 1)]),
            ("mod a { #[allow(dead_code)] fn b() {} }", &[(ALLOW, 1)]),
            ("#[cfg_attr(test, allow(dead_code))] fn a() {}", &[(ALLOW, 1)]),
            ("fn a() { \"unclosed }", &[(SYNTAX, 0)]),
            ("// todo!() #[ignore] #[allow(x)]\nfn a() { let b = \"todo!() #[ignore]\"; }", &[]),
            ("#[expect(dead_code, reason = \"allow\")] fn a() { allow(ignore) }", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(rules(text), *expected, "{text}");
        }
    }

    #[test]
    fn tests_and_documentation_can_be_left_out() {
        let full =
            "/// Doc.\npub fn a() {}\n#[cfg(test)]\nmod tests { fn b() {} }\n#[cfg(test)] mod c;\nmod d { /** x */ }";
        let bare = "pub fn a() {} mod d {}";
        let parse = |text: &str| text.parse::<TokenStream>().unwrap();
        assert_eq!(without_tests_and_docs(&parse(full)).to_string(), parse(bare).to_string());
    }
}
