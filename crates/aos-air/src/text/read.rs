//! JSON to value, by the type of the place: either lens at every place, decided without trying both.
//!
//! An object with one member that is called like the type's own tag (`record`, `variant`, `map`, …) is the tagged form;
//! where a record, a variant or a text-keyed map could mean such an object itself, its content decides, one level deep.
//! The same walk reads expressions: [`Target`] says what is built, and which forms it has beyond literals.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::at::{At, COMMENT, Problem, Report};
use super::json::{Json, Node};
use super::rule::Rule;
use super::scalar;
use crate::schema::{Decimal, Field, KeyType, Shape, Value};

/// Reads a value of the type `shape`, in either lens.
///
/// # Errors
/// Every place where the JSON does not fit the type.
pub fn read(shape: &Shape, json: &Json) -> Result<Value, Vec<Problem>> {
    let report = Report::default();
    match read_at::<Value>(shape, &At::root(json, &report)) {
        Some(value) if report.is_empty() => Ok(value),
        _ => Err(report.into_problems()),
    }
}

/// What a reader builds: a value, or something that has values in it.
pub(crate) trait Target: Sized {
    /// Reads a form that is no literal, if one stands here: none if none does, `Some(None)` if it was refused.
    fn beyond_literals(at: &At<'_>) -> Option<Option<Self>>;
    /// Takes a scalar or the unit.
    fn scalar(value: Value) -> Self;
    /// Takes a record's fields.
    fn record(fields: BTreeMap<String, Self>) -> Self;
    /// Takes a variant.
    fn variant(tag: String, payload: Self) -> Self;
    /// Takes a list.
    fn list(items: Vec<Self>) -> Self;
    /// Takes a set; the error is the index of an item that stands there already.
    fn set(items: Vec<Self>) -> Result<Self, usize>;
    /// Takes a map; the error is the index of a key that stands there already.
    fn map(entries: Vec<(Self, Self)>) -> Result<Self, usize>;
    /// Takes an option.
    fn option(inner: Option<Self>) -> Self;
}

impl Target for Value {
    fn beyond_literals(_: &At<'_>) -> Option<Option<Self>> {
        None
    }

    fn scalar(value: Value) -> Self {
        value
    }

    fn record(fields: BTreeMap<String, Self>) -> Self {
        Self::Record(fields)
    }

    fn variant(tag: String, payload: Self) -> Self {
        Self::Variant(tag, Box::new(payload))
    }

    fn list(items: Vec<Self>) -> Self {
        Self::List(items)
    }

    fn set(items: Vec<Self>) -> Result<Self, usize> {
        Self::set(items).map_err(|twice| twice.index)
    }

    fn map(entries: Vec<(Self, Self)>) -> Result<Self, usize> {
        Self::map(entries).map_err(|twice| twice.index)
    }

    fn option(inner: Option<Self>) -> Self {
        Self::Option(inner.map(Box::new))
    }
}

/// Returns the word under which the tagged form of a type stands; an option has the one of what is in it.
pub(super) const fn tag_of(shape: &Shape) -> &'static str {
    match shape {
        Shape::Bytes => "bytes_b64",
        Shape::Time => "time_ns",
        Shape::Duration => "duration_ns",
        Shape::Unit => "null",
        other => other.word(),
    }
}

/// Reads at a place; what does not fit is reported there.
pub(crate) fn read_at<T: Target>(shape: &Shape, at: &At<'_>) -> Option<T> {
    if let Some(read) = T::beyond_literals(at) {
        return read;
    }
    match shape {
        Shape::Option(_) if is_null(at.json) => Some(T::option(None)),
        Shape::Option(inner) => read_at(inner, at).map(|inner| T::option(Some(inner))),
        Shape::Unit if is_null(at.json) => Some(T::scalar(Value::Unit)),
        Shape::Record(fields) => record(fields, at),
        Shape::Variant(arms) => variant(arms, at),
        Shape::List(inner) => items(inner, shape, at).map(T::list),
        Shape::Set(inner) => {
            let content = content(shape, at);
            let items = items(inner, shape, at)?;
            T::set(items).map_err(|index| twice(&content, index)).ok()
        }
        Shape::Map(key, inner) => map(*key, inner, shape, at),
        _ => match &at.json.node {
            Node::Object(_) => tagged_scalar(shape, at).map(T::scalar),
            _ => scalar(shape, at).map(T::scalar),
        },
    }
}

/// Tells whether `null` or `{"null":{}}` stands here.
pub(super) fn is_null(json: &Json) -> bool {
    let is_empty =
        |json: &Json| matches!(&json.node, Node::Object(members) if members.iter().all(|(key, _)| key == COMMENT));
    match &json.node {
        Node::Null => true,
        _ => single(json).is_some_and(|(key, inner)| key == "null" && is_empty(inner)),
    }
}

/// Returns the one member of an object, comments aside.
pub(crate) fn single(json: &Json) -> Option<(&str, &Json)> {
    let Node::Object(members) = &json.node else { return None };
    let mut members = members.iter().filter(|(key, _)| key != COMMENT);
    match (members.next(), members.next()) {
        (Some((key, inner)), None) => Some((key, inner)),
        _ => None,
    }
}

/// Steps into `{"<tag>": …}` where it stands, else stays.
fn content<'a>(shape: &Shape, at: &At<'a>) -> At<'a> {
    match single(at.json) {
        Some((key, inner)) if key == tag_of(shape) => at.inside(key, inner),
        _ => at.clone(),
    }
}

fn expected<T>(shape: &Shape, at: &At<'_>) -> Option<T> {
    let found = match single(at.json) {
        Some((key, _)) => format!("an object with `{key}`"),
        None => at.json.word().to_owned(),
    };
    at.refuse(Rule::ValueType, format!("{} was expected here, not {found}", with_article(shape.word())))
}

fn with_article(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {word}")
}

fn twice(at: &At<'_>, index: usize) {
    let Node::List(items) = &at.json.node else { return };
    if let Some(json) = items.get(index) {
        let at = at.inside(&index.to_string(), json);
        at.refuse::<()>(Rule::ValueTwice, "the same item or key stands here a second time".to_owned());
    }
}

/// Reads `{"nat": 5}` at a place for a nat, and so on.
fn tagged_scalar(shape: &Shape, at: &At<'_>) -> Option<Value> {
    match single(at.json) {
        Some((key, inner)) if key == tag_of(shape) => {
            let at = at.inside(key, inner);
            match (shape, &inner.node) {
                (Shape::Time, Node::Text(text)) if text.contains('T') => expected(&Shape::Nat, &at),
                _ => scalar(shape, &at),
            }
        }
        _ => expected(shape, at),
    }
}

/// Reads a scalar from a plain JSON scalar.
pub(super) fn scalar(shape: &Shape, at: &At<'_>) -> Option<Value> {
    let value = match (shape, &at.json.node) {
        (Shape::Bool, Node::Bool(value)) => return Some(Value::Bool(*value)),
        (Shape::Text, Node::Text(text)) => return Some(Value::Text(text.clone())),
        (Shape::Int, Node::Number(text) | Node::Text(text)) => scalar::int(text).map(Value::Int),
        (Shape::Duration, Node::Number(text) | Node::Text(text)) => scalar::int(text).map(Value::Duration),
        (Shape::Nat, Node::Number(text) | Node::Text(text)) => scalar::nat(text).map(Value::Nat),
        (Shape::Time, Node::Text(text)) if text.contains('T') => scalar::time(text).map(Value::Time),
        (Shape::Time, Node::Number(text) | Node::Text(text)) => scalar::nat(text).map(Value::Time),
        (Shape::Dec128, Node::Number(text) | Node::Text(text)) => match text.parse::<Decimal>() {
            Ok(decimal) => Some(Value::Dec128(decimal)),
            Err(error) => {
                return at.refuse_with(Rule::ValueForm, format!("`{text}` is not a dec128"), Some(error.to_string()));
            }
        },
        (Shape::Bytes, Node::Text(text)) => scalar::bytes(text).map(Value::Bytes),
        (Shape::Hash, Node::Text(text)) => text.parse().ok().map(Value::Hash),
        (Shape::Uuid, Node::Text(text)) => scalar::uuid(text).map(Value::Uuid),
        _ => return expected(shape, at),
    };
    value.or_else(|| {
        at.refuse_with(
            Rule::ValueForm,
            format!("this is not {}", with_article(shape.word())),
            Some(form(shape).to_owned()),
        )
    })
}

/// Says how a scalar is written.
const fn form(shape: &Shape) -> &'static str {
    match shape {
        Shape::Int | Shape::Duration => "an integer from -2^63 to 2^63-1, as a number or as decimal text",
        Shape::Nat => "an integer from 0 to 2^64-1, as a number or as decimal text",
        Shape::Time => "nanoseconds since 1970, or RFC 3339 as in `2026-11-21T08:40:00Z`",
        Shape::Bytes => "base64 of the standard alphabet with padding",
        Shape::Hash => "`blake3:` and 64 lower-case hexadecimal digits",
        Shape::Uuid => "lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12",
        _ => "see the type",
    }
}

/// Returns the members of an object without its comments.
fn members<'a>(at: &At<'a>) -> Option<Vec<(&'a str, &'a Json)>> {
    let Node::Object(members) = &at.json.node else { return None };
    Some(members.iter().filter(|(key, _)| key != COMMENT).map(|(key, json)| (key.as_str(), json)).collect())
}

fn record<T: Target>(fields: &[Field], at: &At<'_>) -> Option<T> {
    let at = match single(at.json) {
        Some(("record", inner)) if is_tagged_record(fields, inner) => at.inside("record", inner),
        _ => at.clone(),
    };
    let Some(members) = members(&at) else { return expected(&Shape::Record(Vec::new()), &at) };
    let mut read = BTreeMap::new();
    let mut whole = true;
    for (key, json) in &members {
        let Some(field) = fields.iter().find(|field| field.name == *key) else {
            unknown(&at.inside(key, json), "field", key, fields);
            whole = false;
            continue;
        };
        match read_at::<T>(&field.shape, &at.inside(key, json)) {
            Some(value) => drop(read.insert(field.name.clone(), value)),
            None => whole = false,
        }
    }
    for field in fields.iter().filter(|field| !members.iter().any(|(key, _)| *key == field.name)) {
        if matches!(*field.shape, Shape::Option(_)) {
            read.insert(field.name.clone(), T::option(None));
        } else {
            at.refuse::<()>(Rule::ValueFieldMissing, format!("field `{}` is missing", field.name));
            whole = false;
        }
    }
    whole.then(|| T::record(read))
}

fn unknown(at: &At<'_>, what: &str, name: &str, fields: &[Field]) {
    let help = at.report.suggest(name, fields.iter().map(|field| field.name.as_str()));
    at.refuse_with::<()>(Rule::ValueUnknown, format!("the type has no {what} `{name}`"), help);
}

/// Decides whether `inner` is the content of a tagged record and not the field `record` itself.
fn is_tagged_record(fields: &[Field], inner: &Json) -> bool {
    let known = |name: &str| fields.iter().any(|field| field.name == name);
    if !known("record") {
        return true;
    }
    let Node::Object(members) = &inner.node else { return false };
    let given: BTreeSet<&str> = members.iter().map(|(key, _)| key.as_str()).filter(|key| *key != COMMENT).collect();
    let needed = fields.iter().filter(|field| !matches!(*field.shape, Shape::Option(_)));
    given.iter().all(|key| known(key)) && needed.into_iter().all(|field| given.contains(field.name.as_str()))
}

fn variant<T: Target>(arms: &[Field], at: &At<'_>) -> Option<T> {
    if let Some(("variant", inner)) = single(at.json)
        && is_tagged_variant(arms, inner)
    {
        return tagged_variant(arms, &at.inside("variant", inner));
    }
    let (tag, payload) = match (&at.json.node, single(at.json)) {
        (Node::Text(tag), _) => (tag.as_str(), None),
        (_, Some((tag, inner))) => (tag, Some(at.inside(tag, inner))),
        _ => return expected(&Shape::Variant(Vec::new()), at),
    };
    arm(arms, tag, at, payload)
}

/// Reads the payload of the arm `tag`; only the unit may be left out.
fn arm<T: Target>(arms: &[Field], tag: &str, at: &At<'_>, payload: Option<At<'_>>) -> Option<T> {
    let Some(arm) = arms.iter().find(|arm| arm.name == tag) else {
        unknown(payload.as_ref().unwrap_or(at), "tag", tag, arms);
        return None;
    };
    let payload = match (payload, &*arm.shape) {
        (Some(payload), shape) => read_at(shape, &payload)?,
        (None, Shape::Unit) => T::scalar(Value::Unit),
        (None, shape) => {
            let message = format!("`{tag}` has a payload, {}, which is missing", with_article(shape.word()));
            return at.refuse(Rule::ValueType, message);
        }
    };
    Some(T::variant(arm.name.clone(), payload))
}

fn is_tagged_variant(arms: &[Field], inner: &Json) -> bool {
    let known = |tag: &str| arms.iter().any(|arm| arm.name == tag);
    if !known("variant") {
        return true;
    }
    let Node::Object(members) = &inner.node else { return false };
    let exact = members.iter().all(|(key, _)| key == "tag" || key == "value" || key == COMMENT);
    exact && matches!(inner.member("tag").map(|tag| &tag.node), Some(Node::Text(tag)) if known(tag))
}

fn tagged_variant<T: Target>(arms: &[Field], at: &At<'_>) -> Option<T> {
    let mut object = at.object()?;
    let (tag, value) = (object.required("tag"), object.optional("value"));
    object.finish();
    let tag = tag?;
    arm(arms, tag.text()?, &tag, value)
}

/// Reads the items of a list or set.
fn items<T: Target>(inner: &Shape, shape: &Shape, at: &At<'_>) -> Option<Vec<T>> {
    let at = content(shape, at);
    let Node::List(items) = &at.json.node else { return expected(shape, &at) };
    let read = |(index, json): (usize, _)| read_at(inner, &at.inside(&index.to_string(), json));
    all(items.iter().enumerate().map(read))
}

/// Collects what was read if all was; goes on after the first failure, so that each one is reported.
fn all<T>(read: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let mut whole = Vec::new();
    let mut failed = false;
    for item in read {
        match item {
            Some(item) => whole.push(item),
            None => failed = true,
        }
    }
    (!failed).then_some(whole)
}

fn map<T: Target>(key: KeyType, inner: &Shape, shape: &Shape, at: &At<'_>) -> Option<T> {
    let key_shape = Shape::from(key);
    let (entries, list) = match single(at.json) {
        Some(("map", content)) if key != KeyType::Text || is_list_of_entries(content) => {
            let at = at.inside("map", content);
            (tagged_entries(&key_shape, inner, &at)?, at)
        }
        _ if key == KeyType::Text => {
            let Node::Object(members) = &at.json.node else { return expected(shape, at) };
            let read = |(key, json): &(String, Json)| {
                Some((T::scalar(Value::Text(key.clone())), read_at(inner, &at.inside(key, json))?))
            };
            (all(members.iter().map(read))?, at.clone())
        }
        _ => (pairs(&key_shape, inner, shape, at)?, at.clone()),
    };
    T::map(entries).map_err(|index| twice(&list, index)).ok()
}

fn is_list_of_entries(content: &Json) -> bool {
    let is_entry = |item: &Json| {
        let Node::Object(members) = &item.node else { return false };
        members.iter().all(|(key, _)| key == "key" || key == "value" || key == COMMENT)
            && item.member("key").is_some()
            && item.member("value").is_some()
    };
    matches!(&content.node, Node::List(items) if items.iter().all(is_entry))
}

fn tagged_entries<T: Target>(key: &Shape, inner: &Shape, at: &At<'_>) -> Option<Vec<(T, T)>> {
    let Node::List(items) = &at.json.node else { return at.unexpected("a list") };
    all(items.iter().enumerate().map(|(index, json)| {
        let mut object = at.inside(&index.to_string(), json).object()?;
        let (key_at, value_at) = (object.required("key"), object.required("value"));
        object.finish();
        let read = (read_at(key, &key_at?), read_at(inner, &value_at?));
        read.0.zip(read.1)
    }))
}

fn pairs<T: Target>(key: &Shape, inner: &Shape, shape: &Shape, at: &At<'_>) -> Option<Vec<(T, T)>> {
    let Node::List(items) = &at.json.node else { return expected(shape, at) };
    all(items.iter().enumerate().map(|(index, json)| {
        let at = at.inside(&index.to_string(), json);
        match &json.node {
            Node::List(pair) if pair.len() == 2 => {
                let mut sides = pair.iter().zip([key, inner]).enumerate();
                let mut next = || {
                    sides.next().and_then(|(side, (json, shape))| read_at(shape, &at.inside(&side.to_string(), json)))
                };
                let read: (Option<T>, Option<T>) = (next(), next());
                read.0.zip(read.1)
            }
            _ => at.refuse(Rule::ValueType, format!("a pair `[key, value]` was expected here, not {}", json.word())),
        }
    }))
}
