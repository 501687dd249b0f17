//! Definitions as a person reads them: types in words, literals without their tags, nothing that could fool a terminal.
//!
//! Only for reading: different JSON may look alike here only where it means the same. Next: `changes.rs` compares two.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::text::{Json, Node, scalar, single};

/// A part of a definition, ready to be compared and printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plain {
    /// A word that stands for itself, safe to print: a number, a bool, null, a type, an operation.
    Word(String),
    /// A text.
    Text(String),
    /// Items in order.
    List(Vec<Plain>),
    /// Members in order.
    Object(Vec<(String, Plain)>),
}

/// What a part of a definition is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lens {
    /// The format's own fields.
    Fields,
    /// A type.
    Type,
    /// Tagged literals, with references and operations in them.
    Tagged,
}

/// Takes a definition or a part of a manifest in its normal form.
pub(super) fn of(json: &Json) -> Plain {
    read(json, Lens::Fields)
}

fn read(json: &Json, lens: Lens) -> Plain {
    match (&json.node, lens) {
        (Node::Null, _) => Plain::Word("null".to_owned()),
        (Node::Bool(value), _) => Plain::Word(value.to_string()),
        (Node::Number(number), _) => Plain::Word(safe(number)),
        (Node::Text(text), Lens::Fields) if is_plain_word(text) => Plain::Word(text.clone()),
        (Node::Text(text), _) => Plain::Text(text.clone()),
        (Node::List(items), _) => Plain::List(items.iter().map(|item| read(item, lens)).collect()),
        (Node::Object(_), Lens::Type) => read_type(json),
        (Node::Object(_), Lens::Tagged) => read_tagged(json),
        (Node::Object(members), Lens::Fields) => {
            let member = |(key, json): &(String, Json)| {
                let time = (key == "expiry_ns").then(|| time(json)).flatten();
                (key.clone(), time.unwrap_or_else(|| read(json, lens_of(key, json))))
            };
            Plain::Object(members.iter().map(member).collect())
        }
    }
}

/// Tells whether a text of the format's own fields needs no quotes: a name, a hash, a key, a word, a large number.
fn is_plain_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@/:-".contains(&byte))
}

fn time(json: &Json) -> Option<Plain> {
    let (Node::Number(text) | Node::Text(text)) = &json.node else { return None };
    Some(Plain::Word(scalar::print_time(scalar::nat(text)?)))
}

/// Tells what stands under a key of the format.
fn lens_of(key: &str, json: &Json) -> Lens {
    match key {
        "type" | "schema" => Lens::Type,
        "params" | "value" | "expr" | "result" | "where" | "idempotency_key" | "invariants" => Lens::Tagged,
        // That of a rule has fields of the format, that of an edge is an expression.
        "when" if !is_of_rule(json) => Lens::Tagged,
        _ => Lens::Fields,
    }
}

fn is_of_rule(json: &Json) -> bool {
    const FIELDS: [&str; 5] = ["effect_kind", "cap_name", "cap_type", "origin_kind", "origin_name"];
    let Node::Object(members) = &json.node else { return false };
    members.iter().all(|(key, _)| FIELDS.contains(&key.as_str()))
}

fn read_type(json: &Json) -> Plain {
    let Some((keyword, inner)) = single(json) else { return read(json, Lens::Fields) };
    let fields = |members: &Vec<(String, Json)>| {
        Plain::Object(members.iter().map(|(key, inner)| (key.clone(), read_type(inner))).collect())
    };
    match (keyword, &inner.node) {
        ("record", Node::Object(members)) => fields(members),
        ("variant", Node::Object(members)) => Plain::Object(Vec::from([("variant".to_owned(), fields(members))])),
        ("ref", Node::Text(name)) => Plain::Word(safe(name)),
        ("map", Node::Object(_)) => {
            let side = |key| inner.member(key).map_or_else(|| Plain::Word("?".to_owned()), read_type);
            match (side("key"), side("value")) {
                (Plain::Word(key), Plain::Word(value)) => Plain::Word(format!("map of {key} to {value}")),
                (key, value) => Plain::Object(Vec::from([(
                    "map".to_owned(),
                    Plain::Object(Vec::from([("key".to_owned(), key), ("value".to_owned(), value)])),
                )])),
            }
        }
        ("list" | "set" | "option", _) => match read_type(inner) {
            Plain::Word(inner) => Plain::Word(format!("{keyword} of {inner}")),
            inner => Plain::Object(Vec::from([(keyword.to_owned(), inner)])),
        },
        _ => Plain::Word(safe(keyword)),
    }
}

fn read_tagged(json: &Json) -> Plain {
    let Node::Object(members) = &json.node else { return read(json, Lens::Tagged) };
    if let (Some(Node::Text(word)), Some(Node::List(args))) =
        (json.member("op").map(|op| &op.node), json.member("args").map(|args| &args.node))
    {
        let args: Vec<String> = args.iter().map(|arg| read_tagged(arg).line()).collect();
        return Plain::Word(format!("{}({})", safe(word), args.join(", ")));
    }
    let fields = |members: &[(String, Json)]| {
        Plain::Object(members.iter().map(|(key, inner)| (key.clone(), read_tagged(inner))).collect())
    };
    let Some((tag, inner)) = single(json) else { return fields(members) };
    match (tag, &inner.node) {
        ("record", Node::Object(members)) => fields(members),
        ("list" | "set", Node::List(items)) => Plain::List(items.iter().map(read_tagged).collect()),
        ("map", Node::List(entries)) => {
            let side = |entry: &Json, key| entry.member(key).map_or(Plain::Word("?".to_owned()), read_tagged);
            let pair = |entry: &Json| (side(entry, "key"), side(entry, "value"));
            let pairs = entries.iter().map(pair).map(|(key, value)| match key {
                Plain::Text(key) => (key, value),
                key => (key.line(), value),
            });
            Plain::Object(pairs.collect())
        }
        ("variant", Node::Object(_)) => {
            let Some(Node::Text(tag)) = inner.member("tag").map(|tag| &tag.node) else { return fields(members) };
            match inner.member("value") {
                Some(value) => Plain::Object(Vec::from([(tag.clone(), read_tagged(value))])),
                None => Plain::Word(safe(tag)),
            }
        }
        ("null", _) => Plain::Word("null".to_owned()),
        ("ref", Node::Text(reference)) => Plain::Word(safe(reference)),
        ("text", Node::Text(text)) => Plain::Text(text.clone()),
        // What is not text and came as text is a large integer, a decimal, a hash or the like.
        (_, Node::Text(text)) => Plain::Word(safe(text)),
        (_, Node::Bool(_) | Node::Number(_)) => read(inner, Lens::Tagged),
        _ => fields(members),
    }
}

impl Plain {
    /// Prints on one line.
    pub fn line(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Text(text) => quoted(text),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::line).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Object(members) if members.is_empty() => "{}".to_owned(),
            Self::Object(members) => {
                let members: Vec<String> =
                    members.iter().map(|(key, value)| format!("{}: {}", label(key), value.line())).collect();
                format!("{{{}}}", members.join(", "))
            }
        }
    }

    /// Finds a member of an object.
    pub fn member(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", safe(text).replace('"', "\\\""))
}

/// Prints a key, or what an item is known by: in quotes where it could be taken for more than one word.
pub(super) fn label(text: &str) -> String {
    let is_word = is_plain_word(text.strip_prefix('$').unwrap_or(text));
    if is_word { text.to_owned() } else { quoted(text) }
}

/// Escapes what a terminal would obey, or what would make one text look like another.
pub(super) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let is_hidden = matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            other if other.is_control() || is_hidden => out.push_str(&format!("\\u{{{:x}}}", u32::from(other))),
            other => out.push(other),
        }
    }
    out
}
