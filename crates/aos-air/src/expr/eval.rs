//! Evaluation of compiled expressions: total, bounded, and the same everywhere.
//!
//! Each part that is evaluated costs one, and one for each byte of its value's canonical form, so that no work is done
//! that is not counted. What the operators compute is in `operation.rs`.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Operator;
use super::code::{Code, EvalError, EvalProblem, Segment, Source, Term};
use super::operation::apply;
use super::size::size;
use crate::limits::EXPR_COST_MAX;
use crate::plan::Scope;
use crate::schema::Value;

type Evaluated<'a> = Result<Cow<'a, Value>, EvalError>;

impl Code {
    /// Computes the value.
    ///
    /// # Errors
    /// Where something is not there, a result is out of range, or the work passes [`EXPR_COST_MAX`].
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Value, EvalError> {
        let mut run = Run { scope, left: EXPR_COST_MAX };
        run.eval(&self.term).map(Cow::into_owned)
    }

    /// Tells whether every variable and every end of a step that it mentions is there.
    pub fn is_ready(&self, scope: &Scope<'_>) -> bool {
        self.slots.iter().all(|slot| scope.slots.get(*slot).is_some_and(Option::is_some))
            && self.steps.iter().all(|step| scope.steps.get(*step).is_some_and(Option::is_some))
    }
}

struct Run<'a> {
    scope: &'a Scope<'a>,
    left: u64,
}

impl<'a> Run<'a> {
    fn eval(&mut self, term: &'a Term) -> Evaluated<'a> {
        let value = self.value(term)?;
        // An option made of its content is no part of its own.
        if !matches!(term, Term::Some(_)) {
            let cost = size(&value) + 1;
            self.left = self.left.checked_sub(cost).ok_or_else(|| fail(term, EvalProblem::Cost))?;
        }
        Ok(value)
    }

    fn value(&mut self, term: &'a Term) -> Evaluated<'a> {
        let at = |problem| fail(term, problem);
        Ok(match term {
            Term::Const(value) => Cow::Borrowed(value),
            Term::Ref(source, path, _) => {
                let start = self.source(*source).ok_or_else(|| at(EvalProblem::Missing))?;
                path.iter().try_fold(start, part).map_err(at)?
            }
            Term::Part(of, segment) => part(self.eval(of)?, segment).map_err(at)?,
            Term::HasField(of, field) => match self.eval(of)?.as_ref() {
                Value::Record(fields) => bool(fields.get(field).is_some_and(|field| *field != Value::Option(None))),
                _ => return Err(at(EvalProblem::Type)),
            },
            Term::TagIs(of, tag, expected) => match self.eval(of)?.as_ref() {
                Value::Variant(found, _) => bool((found == tag) == *expected),
                _ => return Err(at(EvalProblem::Type)),
            },
            Term::Op(operator @ (Operator::And | Operator::Or), args) => self.connect(*operator, args, term)?,
            Term::Op(operator, args) => {
                let args = args.iter().map(|arg| self.eval(arg)).collect::<Result<Vec<_>, _>>()?;
                Cow::Owned(apply(*operator, &args).map_err(at)?)
            }
            Term::OrElse(of, default) => match self.eval(of)? {
                Cow::Borrowed(Value::Option(Some(inner))) => Cow::Borrowed(&**inner),
                Cow::Owned(Value::Option(Some(inner))) => Cow::Owned(*inner),
                Cow::Borrowed(Value::Option(None)) | Cow::Owned(Value::Option(None)) => self.eval(default)?,
                _ => return Err(at(EvalProblem::Type)),
            },
            Term::Record(fields) => {
                let field = |(name, field): &'a (String, Term)| Ok((name.clone(), self.eval(field)?.into_owned()));
                Cow::Owned(Value::Record(fields.iter().map(field).collect::<Result<_, EvalError>>()?))
            }
            Term::Variant(tag, payload) => {
                Cow::Owned(Value::Variant(tag.clone(), Box::new(self.eval(payload)?.into_owned())))
            }
            Term::List(items) => Cow::Owned(Value::List(self.all(items)?)),
            Term::Set(items) => Cow::Owned(Value::set(self.all(items)?).map_err(|_| at(EvalProblem::Twice))?),
            Term::Map(entries) => {
                let mut entry =
                    |(key, value): &'a (Term, Term)| Ok((self.eval(key)?.into_owned(), self.eval(value)?.into_owned()));
                let entries = entries.iter().map(&mut entry).collect::<Result<Vec<_>, EvalError>>()?;
                Cow::Owned(Value::map(entries).map_err(|_| at(EvalProblem::Twice))?)
            }
            Term::Some(of) => Cow::Owned(Value::Option(Some(Box::new(self.eval(of)?.into_owned())))),
        })
    }

    fn all(&mut self, items: &'a [Term]) -> Result<Vec<Value>, EvalError> {
        items.iter().map(|item| self.eval(item).map(Cow::into_owned)).collect()
    }

    /// Evaluates until one argument decides.
    fn connect(&mut self, operator: Operator, args: &'a [Term], term: &Term) -> Evaluated<'a> {
        let decides = operator == Operator::Or;
        for arg in args {
            match self.eval(arg)?.as_ref() {
                Value::Bool(value) if *value == decides => return Ok(bool(decides)),
                Value::Bool(_) => {}
                _ => return Err(fail(term, EvalProblem::Type)),
            }
        }
        Ok(bool(!decides))
    }

    fn source(&self, source: Source) -> Option<Cow<'a, Value>> {
        let ended = |step: usize| self.scope.steps.get(step)?.as_ref();
        match source {
            Source::Input => Some(Cow::Borrowed(self.scope.input)),
            Source::Slot(slot) => self.scope.slots.get(slot)?.as_ref().map(Cow::Borrowed),
            Source::Event => self.scope.event.map(Cow::Borrowed),
            Source::Status(step) => Some(Cow::Owned(ended(step)?.status.value())),
            Source::Error(step) => {
                let error = ended(step)?.error.as_ref();
                Some(Cow::Owned(Value::Option(error.map(|error| Box::new(error.value())))))
            }
        }
    }
}

const fn bool<'a>(value: bool) -> Cow<'a, Value> {
    Cow::Owned(Value::Bool(value))
}

/// Goes one step of a path.
fn part<'a>(of: Cow<'a, Value>, segment: &Segment) -> Result<Cow<'a, Value>, EvalProblem> {
    Ok(match of {
        Cow::Borrowed(of) => Cow::Borrowed(inside(of, segment)?),
        Cow::Owned(of) => Cow::Owned(inside(&of, segment)?.clone()),
    })
}

fn inside<'a>(of: &'a Value, segment: &Segment) -> Result<&'a Value, EvalProblem> {
    match (of, segment) {
        (Value::Record(fields), Segment::Field(name)) => fields.get(name).ok_or(EvalProblem::Type),
        (Value::Variant(found, payload), Segment::Payload(tag)) if found == tag => Ok(payload),
        (Value::Variant(..), Segment::Payload(_)) | (Value::Option(None), Segment::Content) => {
            Err(EvalProblem::Missing)
        }
        (Value::Option(Some(inner)), Segment::Content) => Ok(inner),
        _ => Err(EvalProblem::Type),
    }
}

fn fail(term: &Term, problem: EvalProblem) -> EvalError {
    EvalError { problem, place: place(term) }
}

/// Says which part of an expression a term is.
fn place(term: &Term) -> String {
    match term {
        Term::Ref(_, _, written) => written.clone(),
        Term::Op(operator, _) => operator.word().to_string(),
        Term::Part(..) | Term::OrElse(..) => Operator::Get.word().to_string(),
        Term::HasField(..) => Operator::Has.word().to_string(),
        Term::TagIs(..) => Operator::Eq.word().to_string(),
        Term::Const(_) => "literal".to_string(),
        Term::Record(_) => "record".to_string(),
        Term::Variant(..) => "variant".to_string(),
        Term::List(_) => "list".to_string(),
        Term::Set(_) => "set".to_string(),
        Term::Map(_) => "map".to_string(),
        Term::Some(of) => place(of),
    }
}
