//! A place in a tree that is being read, and the report that collects what is wrong on the way.
//!
//! A reader returns none only after it has reported why, so nothing is found twice and nothing is lost.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use super::json::{Json, Node, pointer};
use super::read::read_at;
use super::rule::Rule;
use super::scalar;
use crate::diag::nearest;
use crate::hash::Digest;
use crate::limits::{FINDINGS_MAX, SUGGESTIONS_MAX};
use crate::name::{Name, is_dotted, is_identifier};
use crate::schema::{Shape, Value};

/// The key that is ignored wherever the format fixes the keys, and never hashed.
pub const COMMENT: &str = "$comment";

/// One thing that is wrong with a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer from the root of what was read.
    pub pointer: String,
    /// The rule that is broken.
    pub rule: Rule,
    /// One lower-case sentence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Collects problems in the order in which they are met.
#[derive(Debug, Default)]
pub struct Report {
    problems: RefCell<Vec<Problem>>,
}

impl Report {
    /// Adds a problem, while there are fewer than [`FINDINGS_MAX`].
    pub fn add(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < FINDINGS_MAX {
            problems.push(problem);
        }
    }

    /// Makes the help line for a word that is near one of `candidates`, while there are few problems.
    pub fn suggest<'a>(&self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
        if self.problems.borrow().len() < SUGGESTIONS_MAX { suggest(word, candidates) } else { None }
    }

    /// Tells whether nothing was reported yet.
    pub fn is_empty(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// Returns what was reported.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// A value being read, with the way to it.
#[derive(Debug, Clone)]
pub struct At<'a> {
    /// The value.
    pub json: &'a Json,
    /// JSON pointer to it.
    pub pointer: String,
    /// Where problems go.
    pub report: &'a Report,
}

impl<'a> At<'a> {
    /// Begins at a root.
    pub const fn root(json: &'a Json, report: &'a Report) -> Self {
        Self { json, pointer: String::new(), report }
    }

    /// Goes on to a value inside this one.
    #[must_use]
    pub fn inside(&self, segment: &str, json: &'a Json) -> Self {
        Self { json, pointer: pointer(&self.pointer, segment), report: self.report }
    }

    /// Reports a problem here, and returns none for the caller to hand on.
    pub fn refuse<T>(&self, rule: Rule, message: String) -> Option<T> {
        self.refuse_with(rule, message, None)
    }

    /// Reports a problem here with a help line, and returns none for the caller to hand on.
    pub fn refuse_with<T>(&self, rule: Rule, message: String, help: Option<String>) -> Option<T> {
        self.report.add(Problem { pointer: self.pointer.clone(), rule, message, help });
        None
    }

    /// Reports another JSON type than `wanted`.
    pub fn unexpected<T>(&self, wanted: &str) -> Option<T> {
        self.refuse(Rule::FieldType, format!("{wanted} was expected here, not {}", self.json.word()))
    }

    /// Reads a value of the type `shape`, in either lens.
    pub fn value(&self, shape: &Shape) -> Option<Value> {
        read_at(shape, self)
    }

    /// Reads an object whose keys the format fixes.
    pub fn object(&self) -> Option<Object<'a>> {
        match &self.json.node {
            Node::Object(members) => Some(Object { at: self.clone(), members, known: Vec::new() }),
            _ => self.unexpected("an object"),
        }
    }

    /// Reads a list, item by item; an item that cannot be read is reported and left out.
    pub fn list<T>(&self, item: impl Fn(&At<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Node::List(items) = &self.json.node else { return self.unexpected("a list") };
        let read = |(index, json): (usize, &'a Json)| item(&self.inside(&index.to_string(), json));
        Some(items.iter().enumerate().filter_map(read).collect())
    }

    /// Reads an object whose keys the author chose, entry by entry.
    pub fn entries<T>(&self, entry: impl Fn(&str, &At<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Node::Object(members) = &self.json.node else { return self.unexpected("an object") };
        let members = members.iter().filter(|(key, _)| key != COMMENT);
        Some(members.filter_map(|(key, json)| entry(key, &self.inside(key, json))).collect())
    }

    /// Reads a text.
    pub fn text(&self) -> Option<&'a str> {
        match &self.json.node {
            Node::Text(text) => Some(text),
            _ => self.unexpected("a text"),
        }
    }

    /// Reads a text that is not empty.
    pub fn words(&self) -> Option<String> {
        match self.text()? {
            "" => self.refuse(Rule::FieldForm, "an empty text stands here".to_owned()),
            text => Some(text.to_owned()),
        }
    }

    /// Reads a bool.
    pub fn bool(&self) -> Option<bool> {
        match self.json.node {
            Node::Bool(value) => Some(value),
            _ => self.unexpected("a bool"),
        }
    }

    /// Reads an unsigned integer, as a number or as decimal text.
    pub fn nat(&self) -> Option<u64> {
        let (Node::Number(text) | Node::Text(text)) = &self.json.node else { return self.unexpected("a number") };
        let value = scalar::nat(text);
        value.or_else(|| self.refuse(Rule::FieldForm, format!("`{text}` is not an integer from 0 to {}", u64::MAX)))
    }

    /// Reads a time: nanoseconds since 1970, or RFC 3339.
    pub fn time(&self) -> Option<u64> {
        match &self.json.node {
            Node::Text(text) if text.contains('T') => scalar::time(text)
                .or_else(|| self.refuse(Rule::FieldForm, format!("`{text}` is not a time as in 2026-11-21T08:40:00Z"))),
            _ => self.nat(),
        }
    }

    /// Reads the name of a definition.
    pub fn name(&self) -> Option<Name> {
        let text = self.text()?;
        Name::parse(text)
            .map_err(|error| {
                self.refuse_with::<()>(Rule::NameForm, format!("`{text}` is not a name"), Some(error.to_string()))
            })
            .ok()
    }

    /// Reads the name of a variable, step, grant or the like.
    pub fn identifier(&self) -> Option<String> {
        self.as_identifier(self.text()?)
    }

    /// Takes a text that stands here, as a value or as a key, as the name of a variable, step, grant or the like.
    pub fn as_identifier(&self, text: &str) -> Option<String> {
        if is_identifier(text) {
            return Some(text.to_owned());
        }
        let help = "it starts with a letter or `_`, goes on with letters, digits, `_`, `.`, `-`, and has at most 64 characters";
        self.refuse_with(Rule::FieldForm, format!("`{text}` cannot be a name here"), Some(help.to_owned()))
    }

    /// Reads an effect kind or a capability type.
    pub fn dotted(&self) -> Option<String> {
        let text = self.text()?;
        if is_dotted(text) {
            return Some(text.to_owned());
        }
        let help = "lower-case words with dots between them, as in `http.request`";
        self.refuse_with(
            Rule::FieldForm,
            format!("`{text}` is no effect kind or capability type"),
            Some(help.to_owned()),
        )
    }

    /// Reads a digest.
    pub fn digest(&self) -> Option<Digest> {
        let text = self.text()?;
        let help = || Some("a hash is `blake3:` and 64 lower-case hexadecimal digits".to_owned());
        let read = text.parse().ok();
        read.or_else(|| self.refuse_with(Rule::FieldForm, format!("`{text}` is not a hash"), help()))
    }

    /// Reads one of several words.
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = suggest(text, all.iter().copied()).or_else(|| Some(format!("one of {}", all.join(", "))));
        self.refuse_with(Rule::FieldWord, format!("`{text}` means nothing here"), help)
    }
}

/// Makes the help line for a word that is near one of `candidates`.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|near| format!("did you mean `{near}`?"))
}

/// An object being read: which keys the format knows is what its reader asks for.
#[derive(Debug)]
pub struct Object<'a> {
    /// Where the object is.
    pub at: At<'a>,
    members: &'a [(String, Json)],
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// Goes on to a member if it is there.
    pub fn optional(&mut self, key: &'static str) -> Option<At<'a>> {
        self.known.push(key);
        self.members.iter().find(|(name, _)| name == key).map(|(_, json)| self.at.inside(key, json))
    }

    /// Goes on to a member, and reports it if it is not there.
    pub fn required(&mut self, key: &'static str) -> Option<At<'a>> {
        let found = self.optional(key);
        found.or_else(|| self.at.refuse(Rule::FieldMissing, format!("`{key}` is missing")))
    }

    /// Ends reading: reports every key that nobody asked for.
    pub fn finish(self) {
        for (key, json) in self.members {
            if key == COMMENT || self.known.contains(&key.as_str()) {
                continue;
            }
            let help = suggest(key, self.known.iter().copied())
                .or_else(|| Some(format!("known here: {}", self.known.join(", "))));
            self.at.inside(key, json).refuse_with::<()>(Rule::FieldUnknown, format!("`{key}` is not known here"), help);
        }
    }
}
