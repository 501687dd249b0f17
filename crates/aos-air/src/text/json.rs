//! JSON as a tree that remembers where each value stood, with numbers as they were written.
//!
//! Definitions are read from this tree and printed into it, whether it came from a text or from a node in the store.
//! Numbers never pass through floats. Next: `parse.rs` makes it from text, `print.rs` turns it into text.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::hash::Digest;
use crate::name::Name;

/// Largest integer that every JSON reader keeps exactly: 2^53 - 1. Beyond it integers are printed as texts.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// A JSON value. Two are equal if they say the same, wherever they stood.
#[derive(Debug, Clone)]
pub struct Json {
    /// Where the value begins in its text, in bytes; 0 where it came from no text.
    pub offset: usize,
    /// What it is.
    pub node: Node,
}

/// What a JSON value can be.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Null.
    Null,
    /// A bool.
    Bool(bool),
    /// A number in the characters that it was written with.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object in its written order, each key once.
    Object(Vec<(String, Json)>),
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

impl From<Node> for Json {
    fn from(node: Node) -> Self {
        Self { offset: 0, node }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Node::Text(text.to_owned()).into()
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Node::Bool(value).into()
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        let text = value.to_string();
        if value <= INTEGER_MAX { Node::Number(text).into() } else { Node::Text(text).into() }
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        let text = value.to_string();
        if value.unsigned_abs() <= INTEGER_MAX { Node::Number(text).into() } else { Node::Text(text).into() }
    }
}

impl From<&Name> for Json {
    fn from(name: &Name) -> Self {
        name.as_str().into()
    }
}

impl From<Digest> for Json {
    fn from(digest: Digest) -> Self {
        Node::Text(digest.to_string()).into()
    }
}

impl Json {
    /// Makes a list.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Node::List(items.into_iter().collect()).into()
    }

    /// Makes an object; the caller gives each key once.
    pub fn object<K: Into<String>>(members: impl IntoIterator<Item = (K, Self)>) -> Self {
        Node::Object(members.into_iter().map(|(key, value)| (key.into(), value)).collect()).into()
    }

    /// Makes an object with one member.
    pub fn one(key: &str, value: Self) -> Self {
        Node::Object(Vec::from([(key.to_owned(), value)])).into()
    }

    /// Makes the empty object.
    pub fn empty() -> Self {
        Node::Object(Vec::new()).into()
    }

    /// Returns the word for what stands here, for messages.
    pub const fn word(&self) -> &'static str {
        match &self.node {
            Node::Null => "null",
            Node::Bool(_) => "a bool",
            Node::Number(_) => "a number",
            Node::Text(_) => "a text",
            Node::List(_) => "a list",
            Node::Object(_) => "an object",
        }
    }

    /// Finds a member of an object.
    pub fn member(&self, key: &str) -> Option<&Self> {
        let Node::Object(members) = &self.node else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Returns the value at a JSON pointer, or the nearest one around it that is there.
    pub fn nearest_to(&self, pointer: &str) -> &Self {
        let mut here = self;
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let next = match &here.node {
                Node::Object(_) => here.member(&segment),
                Node::List(items) => segment.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            };
            match next {
                Some(next) => here = next,
                None => break,
            }
        }
        here
    }
}

/// Appends a segment to a JSON pointer.
pub fn pointer(base: &str, segment: &str) -> String {
    let mut joined = String::with_capacity(base.len() + segment.len() + 1);
    joined.push_str(base);
    joined.push('/');
    for character in segment.chars() {
        match character {
            '~' => joined.push_str("~0"),
            '/' => joined.push_str("~1"),
            other => joined.push(other),
        }
    }
    joined
}

/// An object being made: optional members that are absent stay out.
#[derive(Debug, Default)]
pub struct Members(Vec<(String, Json)>);

impl Members {
    /// Starts with a definition's `$kind`.
    pub fn of_kind(keyword: &str) -> Self {
        Self::default().with("$kind", keyword)
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.0.push((key.to_owned(), value.into()));
        self
    }

    /// Adds a member if there is one.
    #[must_use]
    pub fn maybe(self, key: &str, value: Option<impl Into<Json>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds a list unless it is empty.
    #[must_use]
    pub fn list(self, key: &str, items: impl IntoIterator<Item = Json>) -> Self {
        let items: Vec<Json> = items.into_iter().collect();
        if items.is_empty() { self } else { self.with(key, Json::from(Node::List(items))) }
    }

    /// Adds an object made of members unless it is empty.
    #[must_use]
    pub fn block(self, key: &str, members: Self) -> Self {
        self.object(key, members.0)
    }

    /// Adds an object unless it is empty.
    #[must_use]
    pub fn object(self, key: &str, members: impl IntoIterator<Item = (String, Json)>) -> Self {
        let members: Vec<_> = members.into_iter().collect();
        if members.is_empty() { self } else { self.with(key, Json::from(Node::Object(members))) }
    }
}

impl From<Members> for Json {
    fn from(members: Members) -> Self {
        Node::Object(members.0).into()
    }
}
