//! Expressions of plans: references, literals, operators and constructors, as they are written.
//!
//! Lives here: the tree and its JSON form, typing and compiling it, and evaluation.
//! Never here: which variables a plan has, or how it runs.
//! A literal of a known place is read by the place's schema, so plain JSON and references mix freely; elsewhere literals
//! are tagged. The normal form is the tagged lens with references and operators in it.

mod code;
mod compile;
mod decimal;
mod eval;
mod fit;
mod operation;
mod operator;
mod reference;
mod size;
#[cfg(test)]
mod tests;
mod typing;

pub(crate) use code::Source;
pub use code::{Code, EvalError, EvalProblem};
pub(crate) use compile::{Compiler, Lost, Start};
pub(crate) use fit::is_same;
pub use operator::Operator;
pub use reference::{NotAReference, Reference, Root};

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::limits::EXPR_DEPTH_MAX;
use crate::schema::{Shape, Value};
use crate::text::{At, COMMENT, Json, Members, Node, Rule, Target, read_at, read_schemaless, single, suggest, tagged};

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A literal; a constructor whose parts are all literals is one itself.
    Const(Value),
    /// What something holds.
    Ref(Reference, Spot),
    /// An operator with its arguments.
    Op(Operator, Vec<Expr>, Spot),
    /// A record.
    Record(BTreeMap<String, Expr>),
    /// A variant.
    Variant(String, Box<Expr>),
    /// A list.
    List(Vec<Expr>),
    /// A set.
    Set(Vec<Expr>),
    /// A map.
    Map(Vec<(Expr, Expr)>),
}

/// Where a part of an expression was written: a JSON pointer. It says nothing about what the part means, so that any two
/// are equal.
#[derive(Debug, Clone, Default)]
pub struct Spot(String);

impl PartialEq for Spot {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Spot {
    /// Returns the pointer, or `other` where it is not known.
    pub(crate) fn pointer<'s>(&'s self, other: &'s str) -> &'s str {
        if self.0.is_empty() { other } else { &self.0 }
    }
}

/// An expression inside a definition: as it was written, until the schema of its place is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// As written.
    Written(Json),
    /// Read, by the schema of its place if there is one.
    Expr(Expr),
}

impl Operand {
    /// Prints it: in the normal form once it was read, else as written.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Written(json) => json.clone(),
            Self::Expr(expr) => expr.to_json(),
        }
    }

    /// Returns the expression, if it was read.
    pub const fn expr(&self) -> Option<&Expr> {
        match self {
            Self::Written(_) => None,
            Self::Expr(expr) => Some(expr),
        }
    }

    /// Reads it by `shape`, or without a schema; `at` is its place, where what is wrong is reported.
    pub(crate) fn settle(&mut self, shape: Option<&Shape>, at: &At<'_>) {
        if let Self::Written(json) = self {
            let at = At { json, pointer: at.pointer.clone(), report: at.report };
            if let Some(read) = Expr::read(shape, &at) {
                *self = Self::Expr(read);
            }
        }
    }
}

impl Expr {
    /// Reads an expression, by the schema of its place if there is one.
    pub fn read(shape: Option<&Shape>, at: &At<'_>) -> Option<Self> {
        let read = match shape {
            Some(shape) => read_at::<Self>(shape, at)?,
            None => read_schemaless::<Self>(at)?,
        };
        if read.depth() > EXPR_DEPTH_MAX {
            return at.refuse(Rule::ExprDepth, format!("the expression is nested deeper than {EXPR_DEPTH_MAX}"));
        }
        Some(read)
    }

    /// Prints the normal form.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Const(value) => tagged(value),
            Self::Ref(reference, _) => Json::one("ref", reference.to_string().as_str().into()),
            Self::Op(operator, args, _) => Members::default()
                .with("op", operator.word())
                .with("args", Json::list(args.iter().map(Self::to_json)))
                .into(),
            Self::Record(fields) => {
                Json::one("record", Json::object(fields.iter().map(|(name, field)| (name.as_str(), field.to_json()))))
            }
            Self::Variant(tag, payload) => Json::one(
                "variant",
                Members::default().with("tag", tag.as_str()).with("value", payload.to_json()).into(),
            ),
            Self::List(items) => Json::one("list", Json::list(items.iter().map(Self::to_json))),
            Self::Set(items) => Json::one("set", Json::list(items.iter().map(Self::to_json))),
            Self::Map(entries) => {
                let entry =
                    |(key, value): &(Self, Self)| Json::object([("key", key.to_json()), ("value", value.to_json())]);
                Json::one("map", Json::list(entries.iter().map(entry)))
            }
        }
    }

    /// Counts the levels of nesting; a literal is one.
    fn depth(&self) -> usize {
        let deepest = |parts: &mut dyn Iterator<Item = &Self>| parts.map(Self::depth).max().unwrap_or_default();
        1 + match self {
            Self::Const(_) | Self::Ref(..) => 0,
            Self::Op(_, parts, _) | Self::List(parts) | Self::Set(parts) => deepest(&mut parts.iter()),
            Self::Record(fields) => deepest(&mut fields.values()),
            Self::Variant(_, payload) => payload.depth(),
            Self::Map(entries) => deepest(&mut entries.iter().flat_map(|(key, value)| [key, value])),
        }
    }

    fn into_const(self) -> Result<Value, Self> {
        match self {
            Self::Const(value) => Ok(value),
            other => Err(other),
        }
    }
}

/// Returns all parts as literals, if they all are.
fn constants<'a>(parts: impl IntoIterator<Item = &'a Expr>) -> Option<Vec<Value>> {
    let constant = |part: &Expr| if let Expr::Const(value) = part { Some(value.clone()) } else { None };
    parts.into_iter().map(constant).collect()
}

impl Target for Expr {
    fn beyond_literals(at: &At<'_>) -> Option<Option<Self>> {
        if let Some(("ref", inner)) = single(at.json) {
            let Node::Text(text) = &inner.node else { return None };
            return text.starts_with('@').then(|| read_reference(text, &at.inside("ref", inner)));
        }
        let Node::Object(members) = &at.json.node else { return None };
        let keys: Vec<&str> = members.iter().map(|(key, _)| key.as_str()).filter(|key| *key != COMMENT).collect();
        matches!(keys.as_slice(), ["op", "args"] | ["args", "op"]).then(|| read_operator(at))
    }

    fn scalar(value: Value) -> Self {
        Self::Const(value)
    }

    fn record(fields: BTreeMap<String, Self>) -> Self {
        match constants(fields.values()) {
            Some(values) => Self::Const(Value::Record(fields.into_keys().zip(values).collect())),
            None => Self::Record(fields),
        }
    }

    fn variant(tag: String, payload: Self) -> Self {
        match payload.into_const() {
            Ok(value) => Self::Const(Value::Variant(tag, Box::new(value))),
            Err(payload) => Self::Variant(tag, Box::new(payload)),
        }
    }

    fn list(items: Vec<Self>) -> Self {
        constants(&items).map_or_else(|| Self::List(items), |values| Self::Const(Value::List(values)))
    }

    fn set(items: Vec<Self>) -> Result<Self, usize> {
        match constants(&items) {
            Some(values) => Value::set(values).map(Self::Const).map_err(|twice| twice.index),
            None => Ok(Self::Set(items)),
        }
    }

    fn map(entries: Vec<(Self, Self)>) -> Result<Self, usize> {
        let keys = constants(entries.iter().map(|(key, _)| key));
        let values = constants(entries.iter().map(|(_, value)| value));
        match keys.zip(values) {
            Some((keys, values)) => {
                Value::map(keys.into_iter().zip(values)).map(Self::Const).map_err(|twice| twice.index)
            }
            None => Ok(Self::Map(entries)),
        }
    }

    fn option(inner: Option<Self>) -> Self {
        match inner.map(Self::into_const) {
            None => Self::Const(Value::Option(None)),
            Some(Ok(value)) => Self::Const(Value::Option(Some(Box::new(value)))),
            // What a reference holds may stand for an option of it.
            Some(Err(inner)) => inner,
        }
    }
}

fn read_reference(text: &str, at: &At<'_>) -> Option<Expr> {
    match Reference::parse(text) {
        Ok(reference) => Some(Expr::Ref(reference, Spot(at.pointer.clone()))),
        Err(error) => {
            at.refuse_with(Rule::ExprReference, format!("`{text}` refers to nothing"), Some(error.to_string()))
        }
    }
}

fn read_operator(at: &At<'_>) -> Option<Expr> {
    let mut object = at.object()?;
    let operator = object.required("op").and_then(|at| {
        let word = at.text()?;
        Operator::from_word(word).or_else(|| {
            let help = suggest(word, Operator::ALL.iter().map(|operator| operator.word()));
            at.refuse_with(Rule::ExprOperator, format!("there is no operator `{word}`"), help)
        })
    });
    let args = object.required("args").and_then(|at| {
        let Node::List(items) = &at.json.node else { return at.unexpected("a list") };
        let read: Vec<Option<Expr>> = items
            .iter()
            .enumerate()
            .map(|(index, json)| read_schemaless(&at.inside(&index.to_string(), json)))
            .collect();
        read.into_iter().collect::<Option<Vec<Expr>>>().map(|args| (args, at))
    });
    object.finish();
    let (operator, (args, args_at)) = (operator?, args?);
    if !operator.takes(args.len()) {
        let message = format!("`{}` takes {}, not {}", operator.word(), operator.arity(), args.len());
        return args_at.refuse(Rule::ExprOperator, message);
    }
    Some(Expr::Op(operator, args, Spot(at.pointer.clone())))
}
