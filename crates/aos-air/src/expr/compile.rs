//! Typing: from an expression as written to one that is compiled, or to what is wrong with it.
//!
//! A part is *checked* where its place says a type, and *inferred* where it does not. The only conversion is from a type
//! to an option of it. The rules for each operator are in `typing.rs`; `spec/plans.md` has them all.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::code::{Code, Segment, Source, Term};
use super::fit::{self, describe, fit, is_same, shape_of};
use super::{Expr, Operator, Reference, Spot};
use crate::schema::{Shape, Value};
use crate::text::{Problem, Report, Rule};

/// What to do about an option where its content is wanted.
pub(super) const MAY_BE_EMPTY: &str =
    "it may be empty: end the path with `$value` to fail then, or give a default with `get`";

/// What a reference starts from, with its type and the path that is left.
pub(crate) struct Start {
    pub source: Source,
    pub shape: Arc<Shape>,
    pub path: String,
}

/// Why a reference starts from nothing.
pub(crate) enum Lost {
    /// Something is wrong with the reference.
    Wrong { rule: Rule, message: String, help: Option<String> },
    /// What it refers to has a fault of its own, which was reported.
    Known,
}

/// Finds what a reference starts from.
pub(crate) type Resolve<'a> = dyn Fn(&Reference) -> Result<Start, Lost> + 'a;

/// A part with its type.
pub(super) struct Typed {
    pub term: Term,
    pub shape: Arc<Shape>,
}

/// Why a part has no type.
pub(super) enum Untyped {
    /// It leaves its type open.
    Open,
    /// It is wrong, which was reported.
    Wrong,
}

/// One expression being typed.
pub(crate) struct Compiler<'a> {
    /// Where it stands, for people: ``step `pay` of `shop/Pay@1` ``.
    pub context: &'a str,
    /// What its references start from.
    pub resolve: &'a Resolve<'a>,
    /// Where what is wrong goes.
    pub report: &'a Report,
    slots: BTreeSet<usize>,
    steps: BTreeSet<usize>,
    statuses: BTreeSet<usize>,
}

impl<'a> Compiler<'a> {
    /// Begins with an expression.
    pub const fn new(context: &'a str, resolve: &'a Resolve<'a>, report: &'a Report) -> Self {
        Self { context, resolve, report, slots: BTreeSet::new(), steps: BTreeSet::new(), statuses: BTreeSet::new() }
    }

    /// Compiles an expression, of the type of its place if that has one; `at` leads to the place. None after a report.
    pub fn compile(mut self, expr: &Expr, shape: Option<&Arc<Shape>>, at: &str) -> Option<Code> {
        let typed = match shape {
            Some(shape) => Typed { term: self.check(expr, shape, at)?, shape: shape.clone() },
            None => self.infer_or_say(expr, at)?,
        };
        let sorted = |set: BTreeSet<usize>| set.into_iter().collect();
        Some(Code {
            term: typed.term,
            shape: typed.shape,
            slots: sorted(self.slots),
            steps: sorted(self.steps),
            statuses: sorted(self.statuses),
        })
    }

    /// Reports what is wrong; `None` is for the caller to hand on.
    pub(super) fn wrong<T>(&self, at: &str, rule: Rule, message: &str, help: Option<String>) -> Option<T> {
        let message = format!("{}: {message}", self.context);
        self.report.add(Problem { pointer: at.to_string(), rule, message, help });
        None
    }

    /// Reports a part of another type than its place has.
    pub(super) fn unfit<T>(&self, at: &str, wanted: &Shape, found: &Shape) -> Option<T> {
        let help = match (wanted, found) {
            (_, Shape::Option(inner)) if is_same(inner, wanted) => Some(MAY_BE_EMPTY.to_string()),
            (Shape::Int, Shape::Nat) | (Shape::Nat, Shape::Int) => {
                Some("int and nat are not mixed; a literal says which it is, as in {\"int\": 5}".to_string())
            }
            _ => None,
        };
        let message = format!("{} was expected here, not {}", describe(wanted), describe(found));
        self.wrong(at, Rule::ExprType, &message, help)
    }

    /// Infers, and reports a part that leaves its type open.
    pub(super) fn infer_or_say(&mut self, expr: &Expr, at: &str) -> Option<Typed> {
        match self.infer(expr, at) {
            Ok(typed) => Some(typed),
            Err(Untyped::Wrong) => None,
            Err(Untyped::Open) => {
                let help = "declare the variable in `locals`, or assign the part to one that is".to_string();
                self.wrong(spot(expr, at), Rule::ExprType, "nothing here says which type this has", Some(help))
            }
        }
    }

    /// Types a part of a place that says no type.
    pub(super) fn infer(&mut self, expr: &Expr, at: &str) -> Result<Typed, Untyped> {
        if is_open(expr) {
            return Err(Untyped::Open);
        }
        match expr {
            Expr::Const(value) => {
                let shape = shape_of(value).ok_or(Untyped::Open)?;
                let value = fit(value, &shape).ok_or(Untyped::Open)?;
                Ok(Typed { term: Term::Const(value), shape })
            }
            Expr::Ref(reference, spot) => self.reference(reference, spot).ok_or(Untyped::Wrong),
            Expr::Op(operator, args, spot) => self.operator(*operator, args, spot.pointer(at), None),
            Expr::Record(fields) => {
                let mut terms = Vec::new();
                let mut shapes = Vec::new();
                for (name, field) in fields {
                    let typed = self.infer(field, at)?;
                    terms.push((name.clone(), typed.term));
                    shapes.push((name.clone(), typed.shape));
                }
                Ok(Typed { term: Term::Record(terms), shape: Arc::new(fit::record(shapes)) })
            }
            Expr::Variant(..) => Err(Untyped::Open),
            Expr::List(items) => {
                let (inner, terms) = self.common(&items.iter().collect::<Vec<_>>(), at)?;
                Ok(Typed { term: Term::List(terms), shape: Arc::new(Shape::List(inner)) })
            }
            Expr::Set(items) => {
                let (inner, terms) = self.common(&items.iter().collect::<Vec<_>>(), at)?;
                Ok(Typed { term: Term::Set(terms), shape: Arc::new(Shape::Set(inner)) })
            }
            Expr::Map(entries) => {
                let (key, keys) = self.common(&entries.iter().map(|(key, _)| key).collect::<Vec<_>>(), at)?;
                let Some(key_type) = key.key_type() else {
                    let message = format!("{} cannot key a map", describe(&key));
                    return self.wrong(at, Rule::ExprType, &message, None).ok_or(Untyped::Wrong);
                };
                let (inner, values) = self.common(&entries.iter().map(|(_, value)| value).collect::<Vec<_>>(), at)?;
                let term = Term::Map(keys.into_iter().zip(values).collect());
                Ok(Typed { term, shape: Arc::new(Shape::Map(key_type, inner)) })
            }
        }
    }

    /// Types parts alike: as the first one says that says its type.
    pub(super) fn common(&mut self, parts: &[&Expr], at: &str) -> Result<(Arc<Shape>, Vec<Term>), Untyped> {
        let first = parts.iter().position(|part| !is_open(part)).ok_or(Untyped::Open)?;
        let (mut shape, mut inferred) = (None, None);
        if let Some(part) = parts.get(first) {
            let typed = self.infer(part, at)?;
            (shape, inferred) = (Some(typed.shape), Some(typed.term));
        }
        let shape = shape.ok_or(Untyped::Open)?;
        let mut term = |(index, part): (usize, &&Expr)| match inferred.take_if(|_| index == first) {
            Some(term) => Some(term),
            None => self.check(part, &shape, at),
        };
        let terms = parts.iter().enumerate().map(&mut term).collect::<Option<Vec<_>>>();
        Ok((shape.clone(), terms.ok_or(Untyped::Wrong)?))
    }

    /// Types a part whose place says the type. None after a report.
    pub(super) fn check(&mut self, expr: &Expr, shape: &Arc<Shape>, at: &str) -> Option<Term> {
        match (expr, &**shape) {
            (Expr::Const(value), _) => match (fit(value, shape), shape_of(value)) {
                (Some(value), _) => Some(Term::Const(value)),
                (None, Some(found)) if !is_same(&found, shape) => self.unfit(at, shape, &found),
                (None, _) => {
                    self.wrong(at, Rule::ExprType, &format!("the literal does not fit {}", describe(shape)), None)
                }
            },
            (Expr::Ref(reference, spot), _) => {
                let typed = self.reference(reference, spot)?;
                self.assign(typed, shape, spot.pointer(at))
            }
            (Expr::Op(operator, args, spot), _) => {
                let at = spot.pointer(at);
                match self.operator(*operator, args, at, Some(shape)) {
                    Ok(typed) => self.assign(typed, shape, at),
                    Err(Untyped::Wrong) => None,
                    Err(Untyped::Open) => self.wrong(at, Rule::ExprType, "nothing here says which type this has", None),
                }
            }
            (_, Shape::Option(inner)) => self.check(expr, inner, at).map(|term| Term::Some(Box::new(term))),
            (Expr::Record(given), Shape::Record(_)) => self.record(given, shape, at),
            (Expr::Variant(tag, payload), Shape::Variant(arms)) => match shape.arm(tag) {
                Some(arm) => Some(Term::Variant(tag.clone(), Box::new(self.check(payload, &arm.shape, at)?))),
                None => {
                    let help = self.report.suggest(tag, arms.iter().map(|arm| arm.name.as_str()));
                    self.wrong(at, Rule::ExprType, &format!("the variant has no tag `{tag}`"), help)
                }
            },
            (Expr::List(items), Shape::List(inner)) => self.all(items, inner, at).map(Term::List),
            (Expr::Set(items), Shape::Set(inner)) => self.all(items, inner, at).map(Term::Set),
            (Expr::Map(entries), Shape::Map(key, inner)) => {
                let key_shape = Arc::new(Shape::from(*key));
                let mut entry = |(key, value): &(Expr, Expr)| {
                    Some((self.check(key, &key_shape, at)?, self.check(value, inner, at)?))
                };
                entries.iter().map(&mut entry).collect::<Option<_>>().map(Term::Map)
            }
            _ => {
                let message = format!("{} was expected here, not a {}", describe(shape), constructor(expr));
                self.wrong(at, Rule::ExprType, &message, None)
            }
        }
    }

    fn all(&mut self, items: &[Expr], shape: &Arc<Shape>, at: &str) -> Option<Vec<Term>> {
        items.iter().map(|item| self.check(item, shape, at)).collect()
    }

    /// Types a record; optional fields that are left out are empty.
    fn record(&mut self, given: &BTreeMap<String, Expr>, shape: &Shape, at: &str) -> Option<Term> {
        let Shape::Record(fields) = shape else { return None };
        if let Some(unknown) = given.keys().find(|name| shape.field(name).is_none()) {
            let help = self.report.suggest(unknown, fields.iter().map(|field| field.name.as_str()));
            return self.wrong(at, Rule::ExprType, &format!("the record has no field `{unknown}`"), help);
        }
        let mut terms = Vec::new();
        for field in fields {
            let term = match (given.get(&field.name), &*field.shape) {
                (Some(expr), _) => self.check(expr, &field.shape, at)?,
                (None, Shape::Option(_)) => Term::Const(Value::Option(None)),
                (None, _) => {
                    let message = format!("the field `{}` is missing", field.name);
                    return self.wrong(at, Rule::ExprType, &message, None);
                }
            };
            terms.push((field.name.clone(), term));
        }
        Some(Term::Record(terms))
    }

    /// Takes a part at a place of a type.
    fn assign(&self, typed: Typed, shape: &Shape, at: &str) -> Option<Term> {
        match shape {
            _ if is_same(&typed.shape, shape) => Some(typed.term),
            Shape::Option(inner) if is_same(&typed.shape, inner) => Some(Term::Some(Box::new(typed.term))),
            _ => self.unfit(at, shape, &typed.shape),
        }
    }

    fn reference(&mut self, reference: &Reference, spot: &Spot) -> Option<Typed> {
        let at = spot.pointer("");
        let Start { source, mut shape, path } = match (self.resolve)(reference) {
            Ok(start) => start,
            Err(Lost::Wrong { rule, message, help }) => return self.wrong(at, rule, &message, help),
            Err(Lost::Known) => return None,
        };
        match source {
            Source::Slot(slot) => drop(self.slots.insert(slot)),
            Source::Status(step) => {
                self.steps.insert(step);
                self.statuses.insert(step);
            }
            Source::Error(step) => drop(self.steps.insert(step)),
            Source::Input | Source::Event => {}
        }
        let mut segments = Vec::new();
        for segment in path.split('.').filter(|_| !path.is_empty()) {
            if let Shape::Option(inner) = &*shape {
                shape = inner.clone();
                segments.push(Segment::Content);
                if segment == "$value" {
                    continue;
                }
            }
            let (next, inside) = self.inside(&shape, segment, &reference.to_string(), at)?;
            segments.push(next);
            shape = inside;
        }
        Some(Typed { term: Term::Ref(source, segments, reference.to_string()), shape })
    }

    /// Goes on to a field of a record or the payload of a tag.
    pub(super) fn inside(&self, shape: &Shape, name: &str, written: &str, at: &str) -> Option<(Segment, Arc<Shape>)> {
        let (what, fields) = match shape {
            Shape::Record(fields) => ("field", fields),
            Shape::Variant(arms) => ("tag", arms),
            other => {
                let message = format!("`{written}` leads nowhere: {} has no fields, so no `{name}`", describe(other));
                return self.wrong(at, Rule::ExprField, &message, None);
            }
        };
        if let Some(found) = fields.iter().find(|field| field.name == name) {
            let segment = match shape {
                Shape::Record(_) => Segment::Field(name.to_string()),
                _ => Segment::Payload(name.to_string()),
            };
            return Some((segment, found.shape.clone()));
        }
        let help = self.report.suggest(name, fields.iter().map(|field| field.name.as_str()));
        let message = format!("`{written}` leads nowhere: the {} has no {what} `{name}`", shape.word());
        self.wrong(at, Rule::ExprField, &message, help)
    }
}

/// Tells whether a part leaves its type open, as it is written: no part is typed twice to find out.
pub(super) fn is_open(expr: &Expr) -> bool {
    match expr {
        Expr::Const(value) => shape_of(value).is_none(),
        Expr::Ref(..) => false,
        Expr::Op(Operator::Concat, args, _) => args.iter().all(is_open),
        Expr::Op(..) => false,
        Expr::Record(fields) => fields.values().any(is_open),
        Expr::Variant(..) => true,
        Expr::List(items) | Expr::Set(items) => items.iter().all(is_open),
        Expr::Map(entries) => {
            entries.iter().all(|(key, _)| is_open(key)) || entries.iter().all(|(_, value)| is_open(value))
        }
    }
}

/// Returns where a part is written, as near as that is known.
pub(super) fn spot<'e>(expr: &'e Expr, at: &'e str) -> &'e str {
    match expr {
        Expr::Ref(_, spot) | Expr::Op(_, _, spot) => spot.pointer(at),
        _ => at,
    }
}

const fn constructor(expr: &Expr) -> &'static str {
    match expr {
        Expr::Const(_) | Expr::Ref(..) | Expr::Op(..) => "value",
        Expr::Record(_) => "record",
        Expr::Variant(..) => "variant",
        Expr::List(_) => "list",
        Expr::Set(_) => "set",
        Expr::Map(_) => "map",
    }
}
