//! `defschema`: a type with a name; and the JSON form of types.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use super::Kind;
use crate::limits::{NAME_BYTES_MAX, TYPE_DEPTH_MAX, TYPE_NODES_MAX, TYPE_WIDTH_MAX};
use crate::name::Name;
use crate::schema::{KeyType, Type};
use crate::text::{At, COMMENT, Json, Members, Node, Object, Rule, suggest};

/// A type with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// Its name.
    pub name: Name,
    /// The type, its references not resolved.
    pub written: Type,
}

impl Schema {
    pub(super) fn read(object: &mut Object<'_>) -> Option<Self> {
        let name = object.required("name").and_then(|at| at.name());
        let written = object.required("type").and_then(|at| read_type(&at));
        Some(Self { name: name?, written: written? })
    }

    pub(super) fn to_json(&self) -> Json {
        Members::of_kind(Kind::Schema.keyword()).with("name", &self.name).with("type", type_json(&self.written)).into()
    }
}

/// Reads a type: an object with one key, which is the type's keyword.
pub(super) fn read_type(at: &At<'_>) -> Option<Type> {
    let mut nodes = 0;
    let read = read_nested(at, 1, &mut nodes);
    if nodes > TYPE_NODES_MAX {
        return at.refuse(Rule::TypeSize, format!("the type has more than {TYPE_NODES_MAX} parts"));
    }
    read
}

const SCALARS: [(&str, Type); 11] = [
    ("bool", Type::Bool),
    ("int", Type::Int),
    ("nat", Type::Nat),
    ("dec128", Type::Dec128),
    ("bytes", Type::Bytes),
    ("text", Type::Text),
    ("time", Type::Time),
    ("duration", Type::Duration),
    ("hash", Type::Hash),
    ("uuid", Type::Uuid),
    ("unit", Type::Unit),
];

const CONTAINERS: [&str; 7] = ["record", "variant", "list", "set", "map", "option", "ref"];

fn read_nested(at: &At<'_>, depth: usize, nodes: &mut usize) -> Option<Type> {
    *nodes += 1;
    if *nodes > TYPE_NODES_MAX {
        return None;
    }
    if depth > TYPE_DEPTH_MAX {
        return at.refuse(Rule::TypeSize, format!("the type is nested deeper than {TYPE_DEPTH_MAX}"));
    }
    let (keyword, inner) = single(at)?;
    if let Some((_, scalar)) = SCALARS.iter().find(|(name, _)| *name == keyword) {
        inner.object()?.finish();
        return Some(scalar.clone());
    }
    match keyword {
        "record" => read_fields(&inner, "field", depth, nodes).map(Type::Record),
        "variant" => read_fields(&inner, "tag", depth, nodes).map(Type::Variant),
        "list" => read_nested(&inner, depth + 1, nodes).map(|inner| Type::List(Box::new(inner))),
        "set" => read_nested(&inner, depth + 1, nodes).map(|inner| Type::Set(Box::new(inner))),
        "option" => read_option(at, &inner, depth, nodes),
        "map" => {
            let mut object = inner.object()?;
            let key = object.required("key").and_then(|at| read_key(&at));
            let value = object.required("value").and_then(|at| read_nested(&at, depth + 1, nodes));
            object.finish();
            Some(Type::Map(key?, Box::new(value?)))
        }
        "ref" => inner.name().map(Type::Ref),
        _ => {
            let help = suggest(keyword, SCALARS.iter().map(|(name, _)| *name).chain(CONTAINERS));
            inner.refuse_with(Rule::TypeForm, format!("there is no type `{keyword}`"), help)
        }
    }
}

/// Steps into the one member of a type.
fn single<'a>(at: &At<'a>) -> Option<(&'a str, At<'a>)> {
    let Node::Object(members) = &at.json.node else {
        let help = "a type is an object with one key, as in {\"nat\": {}}".into();
        return at.refuse_with(Rule::TypeForm, format!("a type was expected here, not {}", at.json.word()), Some(help));
    };
    let mut members = members.iter().filter(|(key, _)| key != COMMENT);
    match (members.next(), members.next()) {
        (Some((key, json)), None) => Some((key, at.inside(key, json))),
        _ => at.refuse(Rule::TypeForm, "a type is an object with exactly one key".into()),
    }
}

fn read_option(at: &At<'_>, inner: &At<'_>, depth: usize, nodes: &mut usize) -> Option<Type> {
    let read = read_nested(inner, depth + 1, nodes)?;
    if matches!(read, Type::Option(_) | Type::Unit) {
        return at.refuse_with(
            Rule::TypeOption,
            format!("an option lies directly over {}", if read == Type::Unit { "the unit" } else { "an option" }),
            Some("null would mean two things; use a variant".into()),
        );
    }
    Some(Type::Option(Box::new(read)))
}

fn read_fields(at: &At<'_>, what: &str, depth: usize, nodes: &mut usize) -> Option<BTreeMap<String, Type>> {
    let Node::Object(members) = &at.json.node else { return at.unexpected("an object") };
    let mut fields = BTreeMap::new();
    let mut whole = true;
    for (key, json) in members.iter().filter(|(key, _)| key != COMMENT) {
        let at = at.inside(key, json);
        if key.is_empty() || key.starts_with('$') || key.len() > NAME_BYTES_MAX {
            let help = format!("it is not empty, does not start with `$`, and has at most {NAME_BYTES_MAX} bytes");
            at.refuse_with::<()>(Rule::FieldForm, format!("`{key}` cannot be a {what}"), Some(help));
            whole = false;
        }
        match read_nested(&at, depth + 1, nodes) {
            Some(read) => drop(fields.insert(key.clone(), read)),
            None => whole = false,
        }
    }
    if fields.len() > TYPE_WIDTH_MAX {
        return at.refuse(Rule::TypeSize, format!("more than {TYPE_WIDTH_MAX} members stand here"));
    }
    whole.then_some(fields)
}

fn read_key(at: &At<'_>) -> Option<KeyType> {
    let (keyword, inner) = single(at)?;
    let keys = [KeyType::Int, KeyType::Nat, KeyType::Text, KeyType::Uuid, KeyType::Hash];
    match keys.into_iter().find(|key| key.as_type().keyword() == keyword) {
        Some(key) => {
            inner.object()?.finish();
            Some(key)
        }
        None => inner.refuse_with(
            Rule::TypeForm,
            format!("`{keyword}` cannot key a map"),
            Some("a key is an int, nat, text, uuid or hash".into()),
        ),
    }
}

/// Prints a type.
pub fn type_json(written: &Type) -> Json {
    let inner = match written {
        Type::Record(fields) | Type::Variant(fields) => {
            Json::object(fields.iter().map(|(name, inner)| (name.as_str(), type_json(inner))))
        }
        Type::List(inner) | Type::Set(inner) | Type::Option(inner) => type_json(inner),
        Type::Map(key, value) => Json::object([("key", type_json(&key.as_type())), ("value", type_json(value))]),
        Type::Ref(name) => name.into(),
        _ => Json::empty(),
    };
    Json::one(written.keyword(), inner)
}
