//! The types that each operator takes and gives.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::code::{Segment, Term};
use super::compile::{Compiler, MAY_BE_EMPTY, Typed, Untyped, is_open, spot};
use super::fit::{describe, is_same};
use super::{Expr, Operator};
use crate::schema::{Shape, Value};
use crate::text::Rule;

type Inferred = Result<Typed, Untyped>;

/// Two arguments of one type.
struct Pair {
    terms: [Term; 2],
    shape: Arc<Shape>,
}

impl Compiler<'_> {
    /// Types an operation; `wanted` is the type of its place, which helps where the arguments leave theirs open.
    pub(super) fn operator(
        &mut self,
        operator: Operator,
        args: &[Expr],
        at: &str,
        wanted: Option<&Arc<Shape>>,
    ) -> Inferred {
        let args: Vec<(&Expr, String)> =
            args.iter().enumerate().map(|(index, arg)| (arg, format!("{at}/args/{index}"))).collect();
        let typed = match (operator, args.as_slice()) {
            (Operator::And | Operator::Or | Operator::Not, args) => {
                self.every(operator, args, &Arc::new(Shape::Bool), Shape::Bool)
            }
            (Operator::StartsWith | Operator::EndsWith, args) => {
                self.every(operator, args, &Arc::new(Shape::Text), Shape::Bool)
            }
            (Operator::Concat, args) => return self.concat(args, at, wanted),
            (Operator::Len, [of]) => self.len(of),
            (Operator::Eq | Operator::Ne, [a, b]) => self.equal(operator, a, b, at),
            (Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge, [a, b]) => self.ordered(operator, a, b, at),
            (Operator::Add | Operator::Sub | Operator::Mul | Operator::Div | Operator::Mod, [a, b]) => {
                self.arithmetic(operator, a, b, at)
            }
            (Operator::Get, [of, key]) => self.get(of, key),
            (Operator::Has, [of, key]) => self.has(of, key),
            (Operator::Contains, [of, item]) => self.contains(of, item),
            // The count of arguments was checked when the expression was read.
            _ => None,
        };
        typed.ok_or(Untyped::Wrong)
    }

    fn takes_not<T>(&self, operator: Operator, at: &str, found: &Shape) -> Option<T> {
        let message = format!("`{}` does not take {}", operator.word(), describe(found));
        let help = matches!(found, Shape::Option(_)).then(|| MAY_BE_EMPTY.to_string());
        self.wrong(at, Rule::ExprType, &message, help)
    }

    /// Arguments that all are of one known type.
    fn every(&mut self, operator: Operator, args: &[Arg<'_>], takes: &Arc<Shape>, gives: Shape) -> Option<Typed> {
        // Each argument is looked at, so that all that is wrong is found at once.
        let terms: Vec<Option<Term>> = args.iter().map(|(arg, at)| self.check(arg, takes, at)).collect();
        let terms = terms.into_iter().collect::<Option<_>>()?;
        Some(Typed { term: Term::Op(operator, terms), shape: Arc::new(gives) })
    }

    fn concat(&mut self, args: &[Arg<'_>], at: &str, wanted: Option<&Arc<Shape>>) -> Inferred {
        let first = args.iter().position(|(arg, _)| !is_open(arg));
        let (shape, mut inferred, at) = match (first.and_then(|first| args.get(first)), wanted) {
            (Some((arg, at)), _) => {
                let typed = self.infer(arg, at)?;
                (typed.shape, Some(typed.term), spot(arg, at))
            }
            (None, Some(wanted)) => (wanted.clone(), None, at),
            (None, None) => return Err(Untyped::Open),
        };
        if !matches!(*shape, Shape::Text | Shape::Bytes | Shape::List(_)) {
            return self.takes_not(Operator::Concat, at, &shape).ok_or(Untyped::Wrong);
        }
        let mut term = |(index, (arg, at)): (usize, &Arg<'_>)| match inferred.take_if(|_| first == Some(index)) {
            Some(term) => Some(term),
            None => self.check(arg, &shape, at),
        };
        let terms: Vec<Option<Term>> = args.iter().enumerate().map(&mut term).collect();
        let terms = terms.into_iter().collect::<Option<_>>().ok_or(Untyped::Wrong)?;
        Ok(Typed { term: Term::Op(Operator::Concat, terms), shape })
    }

    fn len(&mut self, (of, at): &Arg<'_>) -> Option<Typed> {
        let typed = self.infer_or_say(of, at)?;
        match &*typed.shape {
            Shape::Text | Shape::Bytes | Shape::List(_) | Shape::Set(_) | Shape::Map(..) => {
                let term = Term::Op(Operator::Len, Vec::from([typed.term]));
                Some(Typed { term, shape: Arc::new(Shape::Nat) })
            }
            other => self.takes_not(Operator::Len, spot(of, at), other),
        }
    }

    fn equal(&mut self, operator: Operator, a: &Arg<'_>, b: &Arg<'_>, at: &str) -> Option<Typed> {
        let gives = |term| Some(Typed { term, shape: Arc::new(Shape::Bool) });
        for ((of, of_at), (other, other_at), is_first) in [(a, b, true), (b, a, false)] {
            let Expr::Const(Value::Text(tag)) = other else { continue };
            if matches!(of, Expr::Const(_)) {
                continue;
            }
            let typed = self.infer_or_say(of, of_at)?;
            // A text literal beside a variant is a tag.
            if matches!(*typed.shape, Shape::Variant(_)) {
                self.inside(&typed.shape, tag, tag, other_at)?;
                return gives(Term::TagIs(Box::new(typed.term), tag.clone(), operator == Operator::Eq));
            }
            let literal = self.check(other, &typed.shape, other_at)?;
            let terms = if is_first { [typed.term, literal] } else { [literal, typed.term] };
            return gives(Term::Op(operator, terms.into()));
        }
        let pair = self.alike(a, b, at)?;
        gives(Term::Op(operator, pair.terms.into()))
    }

    fn ordered(&mut self, operator: Operator, a: &Arg<'_>, b: &Arg<'_>, at: &str) -> Option<Typed> {
        let pair = self.alike(a, b, at)?;
        match &*pair.shape {
            Shape::Int | Shape::Nat | Shape::Dec128 | Shape::Time | Shape::Duration => {}
            Shape::Text | Shape::Bytes | Shape::Hash | Shape::Uuid => {}
            other => return self.takes_not(operator, at, other),
        }
        Some(Typed { term: Term::Op(operator, pair.terms.into()), shape: Arc::new(Shape::Bool) })
    }

    /// Types two arguments alike: one may be an option of the other's type, and a literal takes the other's type.
    fn alike(&mut self, (a, a_at): &Arg<'_>, (b, b_at): &Arg<'_>, at: &str) -> Option<Pair> {
        let takes_other = |part: &Expr| matches!(part, Expr::Const(_)) || is_open(part);
        match (is_open(a), is_open(b)) {
            (true, true) => return self.wrong(at, Rule::ExprType, "nothing here says which type is compared", None),
            (false, _) if takes_other(b) => {
                let left = self.infer_or_say(a, a_at)?;
                let term = self.check(b, &left.shape, b_at)?;
                return Some(Pair { terms: [left.term, term], shape: left.shape });
            }
            (_, false) if takes_other(a) => {
                let right = self.infer_or_say(b, b_at)?;
                let term = self.check(a, &right.shape, a_at)?;
                return Some(Pair { terms: [term, right.term], shape: right.shape });
            }
            _ => {}
        }
        let (left, right) = (self.infer_or_say(a, a_at), self.infer_or_say(b, b_at));
        let (left, right) = (left?, right?);
        let some = |term: Term| Term::Some(Box::new(term));
        match (&*left.shape, &*right.shape) {
            (l, r) if is_same(l, r) => Some(Pair { terms: [left.term, right.term], shape: left.shape }),
            (Shape::Option(inner), r) if is_same(inner, r) => {
                Some(Pair { terms: [left.term, some(right.term)], shape: left.shape })
            }
            (l, Shape::Option(inner)) if is_same(l, inner) => {
                Some(Pair { terms: [some(left.term), right.term], shape: right.shape })
            }
            (l, r) => self.unfit(spot(b, b_at), l, r),
        }
    }

    fn arithmetic(&mut self, operator: Operator, a: &Arg<'_>, b: &Arg<'_>, at: &str) -> Option<Typed> {
        let left = self.infer_or_say(a.0, &a.1);
        let right = self.infer_or_say(b.0, &b.1);
        let (left, right) = (left?, right?);
        let gives = match (operator, &*left.shape, &*right.shape) {
            (_, Shape::Int, Shape::Int) => Shape::Int,
            (_, Shape::Nat, Shape::Nat) => Shape::Nat,
            (Operator::Mod, Shape::Dec128, _) => return self.takes_not(operator, at, &left.shape),
            (_, Shape::Dec128, Shape::Dec128) => Shape::Dec128,
            (Operator::Add | Operator::Sub, Shape::Duration, Shape::Duration) => Shape::Duration,
            (Operator::Mul | Operator::Div, Shape::Duration, Shape::Int) => Shape::Duration,
            (Operator::Add | Operator::Sub, Shape::Time, Shape::Duration) => Shape::Time,
            (Operator::Sub, Shape::Time, Shape::Time) => Shape::Duration,
            (_, Shape::Int | Shape::Nat | Shape::Dec128, found) => {
                return self.unfit(spot(b.0, &b.1), &left.shape, found);
            }
            (_, Shape::Time | Shape::Duration, found) => {
                let message = format!("`{}` does not take {} and {}", operator.word(), left.shape.word(), found.word());
                return self.wrong(at, Rule::ExprType, &message, None);
            }
            (_, other, _) => return self.takes_not(operator, spot(a.0, &a.1), other),
        };
        Some(Typed { term: Term::Op(operator, Vec::from([left.term, right.term])), shape: Arc::new(gives) })
    }

    fn get(&mut self, (of, at): &Arg<'_>, key: &Arg<'_>) -> Option<Typed> {
        let typed = self.infer_or_say(of, at)?;
        match &*typed.shape {
            Shape::List(inner) | Shape::Map(_, inner) => {
                let key = self.key(&typed.shape, key)?;
                Some(Typed { term: Term::Op(Operator::Get, Vec::from([typed.term, key])), shape: inner.clone() })
            }
            Shape::Option(inner) => {
                let default = self.check(key.0, inner, &key.1)?;
                Some(Typed { term: Term::OrElse(Box::new(typed.term), Box::new(default)), shape: inner.clone() })
            }
            Shape::Record(_) | Shape::Variant(_) => {
                let (segment, shape) = self.named(&typed.shape, key)?;
                Some(Typed { term: Term::Part(Box::new(typed.term), segment), shape })
            }
            other => self.takes_not(Operator::Get, spot(of, at), other),
        }
    }

    fn has(&mut self, (of, at): &Arg<'_>, key: &Arg<'_>) -> Option<Typed> {
        let typed = self.infer_or_say(of, at)?;
        let term = match &*typed.shape {
            Shape::List(_) | Shape::Map(..) => {
                let key = self.key(&typed.shape, key)?;
                Term::Op(Operator::Has, Vec::from([typed.term, key]))
            }
            Shape::Set(inner) => {
                let item = self.check(key.0, inner, &key.1)?;
                Term::Op(Operator::Has, Vec::from([typed.term, item]))
            }
            Shape::Record(_) | Shape::Variant(_) => match self.named(&typed.shape, key)? {
                (Segment::Payload(tag), _) => Term::TagIs(Box::new(typed.term), tag, true),
                (Segment::Field(field), shape) if matches!(*shape, Shape::Option(_)) => {
                    Term::HasField(Box::new(typed.term), field)
                }
                (Segment::Field(field), _) => {
                    let message = format!("the field `{field}` is always there");
                    return self.wrong(&key.1, Rule::ExprType, &message, None);
                }
                (Segment::Content, _) => return None,
            },
            other => return self.takes_not(Operator::Has, spot(of, at), other),
        };
        Some(Typed { term, shape: Arc::new(Shape::Bool) })
    }

    /// Types the index of a list or the key of a map.
    fn key(&mut self, of: &Shape, (key, at): &Arg<'_>) -> Option<Term> {
        let takes = match of {
            Shape::Map(key, _) => Shape::from(*key),
            _ => Shape::Nat,
        };
        self.check(key, &Arc::new(takes), at)
    }

    /// Takes a literal as the name of a field or tag.
    fn named(&self, of: &Shape, (name, at): &Arg<'_>) -> Option<(Segment, Arc<Shape>)> {
        match name {
            Expr::Const(Value::Text(name)) => self.inside(of, name, name, at),
            _ => {
                let message = format!("a part of a {} is named by a text literal", of.word());
                self.wrong(spot(name, at), Rule::ExprType, &message, None)
            }
        }
    }

    fn contains(&mut self, (of, at): &Arg<'_>, (item, item_at): &Arg<'_>) -> Option<Typed> {
        let typed = self.infer_or_say(of, at)?;
        let takes = match &*typed.shape {
            Shape::Text => typed.shape.clone(),
            Shape::List(inner) | Shape::Set(inner) => inner.clone(),
            other => return self.takes_not(Operator::Contains, spot(of, at), other),
        };
        let item = self.check(item, &takes, item_at)?;
        let term = Term::Op(Operator::Contains, Vec::from([typed.term, item]));
        Some(Typed { term, shape: Arc::new(Shape::Bool) })
    }
}

/// An argument with the pointer to it.
type Arg<'e> = (&'e Expr, String);
