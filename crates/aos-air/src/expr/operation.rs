//! What each operator computes from the values of its arguments. `and`, `or` and what looks into records and variants
//! are in `eval.rs`, because they do not look at every argument.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{EvalProblem, Operator, decimal};
use crate::schema::Value;

type Computed = Result<Value, EvalProblem>;

/// Applies an operator. Arguments that no typed expression has give [`EvalProblem::Type`].
pub(super) fn apply(operator: Operator, args: &[Cow<'_, Value>]) -> Computed {
    match (operator, args) {
        (Operator::Concat, args) => concat(args),
        (Operator::Len, [of]) => len(of),
        (Operator::Not, [of]) => match of.as_ref() {
            Value::Bool(of) => Ok(Value::Bool(!of)),
            _ => Err(EvalProblem::Type),
        },
        (_, [a, b]) => pair(operator, a, b),
        _ => Err(EvalProblem::Type),
    }
}

fn pair(operator: Operator, a: &Value, b: &Value) -> Computed {
    let ordered = |is: fn(Ordering) -> bool| compare(a, b).map(|ordering| Value::Bool(is(ordering)));
    match operator {
        Operator::Eq => Ok(Value::Bool(a == b)),
        Operator::Ne => Ok(Value::Bool(a != b)),
        Operator::Lt => ordered(Ordering::is_lt),
        Operator::Le => ordered(Ordering::is_le),
        Operator::Gt => ordered(Ordering::is_gt),
        Operator::Ge => ordered(Ordering::is_ge),
        Operator::Get => part(a, b)?.cloned().ok_or(EvalProblem::Missing),
        Operator::Has => Ok(Value::Bool(match a {
            Value::Set(items) => items.contains_key(&b.to_cbor()),
            _ => part(a, b)?.is_some(),
        })),
        Operator::Contains => contains(a, b).map(Value::Bool),
        Operator::StartsWith => texts(a, b).map(|(a, b)| Value::Bool(a.starts_with(b))),
        Operator::EndsWith => texts(a, b).map(|(a, b)| Value::Bool(a.ends_with(b))),
        Operator::Add | Operator::Sub | Operator::Mul | Operator::Div | Operator::Mod => arithmetic(operator, a, b),
        Operator::Len | Operator::And | Operator::Or | Operator::Not | Operator::Concat => Err(EvalProblem::Type),
    }
}

/// Finds the item of a list or the value of a map.
fn part<'a>(of: &'a Value, at: &Value) -> Result<Option<&'a Value>, EvalProblem> {
    match (of, at) {
        (Value::List(items), Value::Nat(index)) => Ok(usize::try_from(*index).ok().and_then(|index| items.get(index))),
        (Value::Map(entries), key) => Ok(entries.get(&key.to_cbor()).map(|(_, value)| value)),
        _ => Err(EvalProblem::Type),
    }
}

fn texts<'a>(a: &'a Value, b: &'a Value) -> Result<(&'a str, &'a str), EvalProblem> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok((a, b)),
        _ => Err(EvalProblem::Type),
    }
}

fn contains(a: &Value, b: &Value) -> Result<bool, EvalProblem> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(a.contains(b.as_str())),
        (Value::List(items), b) => Ok(items.contains(b)),
        (Value::Set(items), b) => Ok(items.contains_key(&b.to_cbor())),
        _ => Err(EvalProblem::Type),
    }
}

fn len(of: &Value) -> Computed {
    let count = match of {
        Value::Text(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.len(),
        Value::Set(items) => items.len(),
        Value::Map(entries) => entries.len(),
        _ => return Err(EvalProblem::Type),
    };
    Ok(Value::Nat(count as u64))
}

fn concat(args: &[Cow<'_, Value>]) -> Computed {
    match args.first().map(AsRef::as_ref) {
        Some(Value::Text(_)) => {
            let part =
                |arg: &Cow<'_, Value>| if let Value::Text(part) = arg.as_ref() { Some(part.clone()) } else { None };
            args.iter().map(part).collect::<Option<String>>().map(Value::Text)
        }
        Some(Value::Bytes(_)) => {
            let part =
                |arg: &Cow<'_, Value>| if let Value::Bytes(part) = arg.as_ref() { Some(part.clone()) } else { None };
            args.iter().map(part).collect::<Option<Vec<_>>>().map(|parts| Value::Bytes(parts.concat()))
        }
        Some(Value::List(_)) => {
            let part =
                |arg: &Cow<'_, Value>| if let Value::List(part) = arg.as_ref() { Some(part.clone()) } else { None };
            args.iter().map(part).collect::<Option<Vec<_>>>().map(|parts| Value::List(parts.concat()))
        }
        _ => None,
    }
    .ok_or(EvalProblem::Type)
}

/// Orders two scalars of one type: numbers by amount, text and bytes bytewise, a prefix first.
fn compare(a: &Value, b: &Value) -> Result<Ordering, EvalProblem> {
    Ok(match (a, b) {
        (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
        (Value::Nat(a), Value::Nat(b)) | (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Dec128(a), Value::Dec128(b)) => decimal::compare(*a, *b),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Hash(a), Value::Hash(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        _ => return Err(EvalProblem::Type),
    })
}

fn arithmetic(operator: Operator, a: &Value, b: &Value) -> Computed {
    let over = EvalProblem::Overflow;
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => int(operator, *a, *b).map(Value::Int),
        (Value::Nat(a), Value::Nat(b)) => nat(operator, *a, *b).map(Value::Nat),
        (Value::Dec128(a), Value::Dec128(b)) => match operator {
            Operator::Add => decimal::add(*a, *b),
            Operator::Sub => decimal::sub(*a, *b),
            Operator::Mul => decimal::mul(*a, *b),
            Operator::Div => decimal::div(*a, *b),
            _ => Err(EvalProblem::Type),
        }
        .map(Value::Dec128),
        (Value::Duration(a), Value::Duration(b)) if matches!(operator, Operator::Add | Operator::Sub) => {
            int(operator, *a, *b).map(Value::Duration)
        }
        (Value::Duration(a), Value::Int(b)) if matches!(operator, Operator::Mul | Operator::Div) => {
            int(operator, *a, *b).map(Value::Duration)
        }
        (Value::Time(a), Value::Duration(b)) => match operator {
            Operator::Add => a.checked_add_signed(*b).ok_or(over).map(Value::Time),
            Operator::Sub => a.checked_sub_signed(*b).ok_or(over).map(Value::Time),
            _ => Err(EvalProblem::Type),
        },
        (Value::Time(a), Value::Time(b)) if operator == Operator::Sub => {
            a.checked_signed_diff(*b).ok_or(over).map(Value::Duration)
        }
        _ => Err(EvalProblem::Type),
    }
}

/// Division goes towards zero, and a remainder has the sign of what is divided.
fn int(operator: Operator, a: i64, b: i64) -> Result<i64, EvalProblem> {
    let divides = matches!(operator, Operator::Div | Operator::Mod);
    if divides && b == 0 {
        return Err(EvalProblem::Division);
    }
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Sub => a.checked_sub(b),
        Operator::Mul => a.checked_mul(b),
        Operator::Div => a.checked_div(b),
        Operator::Mod => Some(a.wrapping_rem(b)),
        _ => return Err(EvalProblem::Type),
    }
    .ok_or(EvalProblem::Overflow)
}

fn nat(operator: Operator, a: u64, b: u64) -> Result<u64, EvalProblem> {
    let divides = matches!(operator, Operator::Div | Operator::Mod);
    if divides && b == 0 {
        return Err(EvalProblem::Division);
    }
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Sub => a.checked_sub(b),
        Operator::Mul => a.checked_mul(b),
        Operator::Div => a.checked_div(b),
        Operator::Mod => a.checked_rem(b),
        _ => return Err(EvalProblem::Type),
    }
    .ok_or(EvalProblem::Overflow)
}
