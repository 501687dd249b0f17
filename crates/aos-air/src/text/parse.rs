//! Text to tree: JSON as RFC 8259 has it and nothing more; no comments, no trailing commas, no key twice.
//!
//! `jsonc-parser` gives the tree with positions. It is made for editors and forgives even when told not to (control
//! characters in texts, other white space), so `serde_json` has to accept the same text: what is hashed must not depend
//! on what one of them forgives. Never here: what the JSON means.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use jsonc_parser::tokens::Token;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, Scanner, ScannerOptions, parse_to_ast};
use serde::de::IgnoredAny;

use super::json::{Json, Node, pointer};
use super::rule::Rule;
use crate::limits::JSON_DEPTH_MAX;

/// Why and where a text is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JsonError {
    /// [`Rule::JsonSyntax`], [`Rule::JsonKeyTwice`] or [`Rule::JsonDepth`].
    pub rule: Rule,
    /// Where it was noticed, in bytes.
    pub offset: usize,
    /// The innermost value that was being read.
    pub pointer: String,
    /// What is wrong, in lower-case words.
    pub message: String,
}

/// Nothing that JSON does not have.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Parses one JSON text.
///
/// # Errors
/// The one place where the text stops being JSON; else every value that is nested too deeply and every key that stands
/// twice.
pub fn parse(text: &str) -> Result<Json, Vec<JsonError>> {
    let syntax = |offset, message| {
        let pointer = innermost(text.get(..offset).unwrap_or(text));
        Vec::from([JsonError { rule: Rule::JsonSyntax, offset, pointer, message }])
    };
    let collect = CollectOptions { comments: CommentCollectionStrategy::Off, tokens: false };
    let parsed = parse_to_ast(text, &collect, &STRICT)
        .map_err(|error| syntax(error.range().start, lower(&error.kind().to_string())))?;
    let value = parsed.value.ok_or_else(|| syntax(0, "the text is empty".to_owned()))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| {
        let message = error.to_string();
        let words = message.rsplit_once(" at line ").map_or(message.as_str(), |(words, _)| words);
        syntax(offset(text, error.line(), error.column()), lower(words))
    })?;
    let mut tree = Tree { path: Vec::new(), errors: Vec::new() };
    let json = tree.take(value);
    if tree.errors.is_empty() { Ok(json) } else { Err(tree.errors) }
}

/// The byte offset of a line and a column in bytes, both from 1.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column.saturating_sub(1)).min(text.len())
}

fn lower(words: &str) -> String {
    let mut characters = words.chars();
    characters.next().map_or_else(String::new, |first| format!("{}{}", first.to_lowercase(), characters.as_str()))
}

/// The pointer to the value that a text breaks off in.
fn innermost(text: &str) -> String {
    /// What a container has got to: the last key, or the index of the item.
    enum At {
        Key(Option<String>),
        Item(usize),
    }
    let mut open: Vec<At> = Vec::new();
    let mut scanner = Scanner::new(text, &ScannerOptions::default());
    while let Ok(Some(token)) = scanner.scan() {
        match (token, open.last_mut()) {
            (Token::OpenBrace, _) => open.push(At::Key(None)),
            (Token::OpenBracket, _) => open.push(At::Item(0)),
            (Token::CloseBrace | Token::CloseBracket, _) => drop(open.pop()),
            (Token::Comma, Some(At::Item(index))) => *index += 1,
            (Token::Comma, Some(At::Key(key))) => *key = None,
            (Token::String(text), Some(At::Key(key @ None))) => *key = Some(text.into_owned()),
            _ => {}
        }
    }
    open.into_iter().fold(String::new(), |base, at| match at {
        At::Key(None) => base,
        At::Key(Some(key)) => pointer(&base, &key),
        At::Item(index) => pointer(&base, &index.to_string()),
    })
}

/// The tree being made from the parser's.
struct Tree {
    path: Vec<String>,
    errors: Vec<JsonError>,
}

impl Tree {
    fn take(&mut self, value: Value<'_>) -> Json {
        let offset = value.range().start;
        let node = match value {
            Value::NullKeyword(_) => Node::Null,
            Value::BooleanLit(lit) => Node::Bool(lit.value),
            Value::NumberLit(lit) => Node::Number(lit.value.to_owned()),
            Value::StringLit(lit) => Node::Text(lit.value.into_owned()),
            Value::Array(_) | Value::Object(_) if self.path.len() >= JSON_DEPTH_MAX => {
                let message = format!("values are nested deeper than {JSON_DEPTH_MAX}");
                self.error(Rule::JsonDepth, offset, message);
                Node::Null
            }
            Value::Array(array) => {
                let items = array.elements.into_iter().enumerate();
                Node::List(items.map(|(index, item)| self.inside(index.to_string(), item)).collect())
            }
            Value::Object(object) => {
                let mut seen = BTreeSet::new();
                let mut members = Vec::with_capacity(object.properties.len());
                for property in object.properties {
                    let offset = property.range.start;
                    let key = property.name.into_string();
                    let value = self.inside(key.clone(), property.value);
                    if !seen.insert(key.clone()) {
                        self.path.push(key.clone());
                        self.error(Rule::JsonKeyTwice, offset, format!("the key `{key}` stands twice in one object"));
                        self.path.pop();
                    }
                    members.push((key, value));
                }
                Node::Object(members)
            }
        };
        Json { offset, node }
    }

    fn inside(&mut self, segment: String, value: Value<'_>) -> Json {
        self.path.push(segment);
        let json = self.take(value);
        self.path.pop();
        json
    }

    fn error(&mut self, rule: Rule, offset: usize, message: String) {
        let pointer = self.path.iter().fold(String::new(), |base, segment| pointer(&base, segment));
        self.errors.push(JsonError { rule, offset, pointer, message });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_refused_and_where() {
        let cases = [
            ("", "json.syntax 0 : the text is empty"),
            ("{", "json.syntax 0 : unterminated object"),
            (r#"{"a":[1,]}"#, "json.syntax 7 /a/0: trailing commas are not allowed"),
            (r#"{"a":1,}"#, "json.syntax 6 /a: trailing commas are not allowed"),
            (r#"{"a" 1}"#, "json.syntax 5 /a: expected colon after the string or word in object property"),
            ("[1 2]", "json.syntax 2 /0: expected comma"),
            (r#"[1,{"a":[0,{"b":x}]}]"#, "json.syntax 16 /1/a/1/b: unexpected token"),
            ("01", "json.syntax 1 : text cannot contain more than one JSON value"),
            ("1.", "json.syntax 0 : leading or trailing decimal points on numbers are not allowed"),
            ("+1", "json.syntax 0 : unary plus on numbers is not allowed"),
            ("NaN", "json.syntax 0 : unexpected word"),
            ("// x\n1", "json.syntax 0 : comments are not allowed"),
            ("[\"a\nb\"]", "json.syntax 2 /0: control character (\\u0000-\\u001F) found while parsing a string"),
            ("{\n \"a\":\u{a0}1}", "json.syntax 7 /a: expected value"),
            (r#""\x""#, "json.syntax 1 : invalid escape"),
            ("\u{feff}1", "json.syntax 0 : unexpected token"),
            (r#"{"a":{"b/c":1,"b/c":2}}"#, "json.key_twice 14 /a/b~1c: the key `b/c` stands twice in one object"),
        ];
        for (text, expected) in cases {
            let found = parse(text).unwrap_err();
            let error = &found[0];
            let shown = format!("{} {} {}: {}", error.rule.code(), error.offset, error.pointer, error.message);
            assert_eq!(shown, expected, "{text}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_no_text() {
        for text in [r#""\ud800""#, r#""\ud800A""#, r#""\udc00""#] {
            assert_eq!(parse(text).unwrap_err()[0].rule, Rule::JsonSyntax, "{text}");
        }
        assert!(parse(r#""\ud83d\ude00""#).is_ok());
    }

    #[test]
    fn depth_is_accepted_at_the_limit_and_not_one_past_it() {
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(parse(&nested(JSON_DEPTH_MAX)).is_ok());
        assert_eq!(parse(&nested(JSON_DEPTH_MAX + 1)).unwrap_err()[0].rule, Rule::JsonDepth);
    }

    fn same(ours: &Json, theirs: &serde_json::Value) -> bool {
        match (&ours.node, theirs) {
            (Node::Null, serde_json::Value::Null) => true,
            (Node::Bool(a), serde_json::Value::Bool(b)) => a == b,
            (Node::Number(a), serde_json::Value::Number(b)) => a.parse::<f64>().ok() == b.as_f64(),
            (Node::Text(a), serde_json::Value::String(b)) => a == b,
            (Node::List(a), serde_json::Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Node::Object(a), serde_json::Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
            }
            _ => false,
        }
    }

    proptest! {
        /// Short texts of JSON's own characters: mostly wrong, often right, never judged otherwise than by serde_json.
        #[test]
        fn agrees_with_serde_json(text in r#"([\[\]{},:"]|"[ab]":|"\\(n|u00e9|ud83d\\ude00|udc00)"|-?[0-9]{1,3}|[.eE+-]|true|null|[ \n\t]|é){0,12}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match parse(&text) {
                Ok(ours) => prop_assert!(theirs.is_ok_and(|theirs| same(&ours, &theirs)), "{}", text),
                // serde_json keeps the last of two equal keys, and refuses numbers that no f64 holds.
                Err(errors) => prop_assert!(theirs.is_err() || errors.iter().all(|error| error.rule == Rule::JsonKeyTwice), "{}", text),
            }
        }
    }
}
