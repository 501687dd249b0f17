//! A slow twin of typing and evaluation: it walks the expression as written, over values without types, and looks up
//! every name as it meets it. What it says and what compiled code says is the same, and never an error of type.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::{Compiler, EvalProblem, Source, Start, decimal};
use super::*;
use crate::def::Definition;
use crate::plan::Scope;
use crate::schema::arbitrary::values;
use crate::schema::{Shape, Value};

const INPUT: &str = r#"{"record": {"i": {"int": {}}, "n": {"nat": {}}, "d": {"dec128": {}}, "t": {"text": {}}, "b": {"bytes": {}},
    "at": {"time": {}}, "for": {"duration": {}}, "yes": {"bool": {}}, "list": {"list": {"int": {}}},
    "map": {"map": {"key": {"text": {}}, "value": {"int": {}}}}, "some": {"option": {"int": {}}},
    "r": {"record": {"a": {"int": {}}, "o": {"option": {"record": {"x": {"text": {}}}}}}},
    "v": {"variant": {"Card": {"record": {"code": {"int": {}}}}, "Cash": {"unit": {}}}}}}"#;

fn input() -> Arc<Shape> {
    let document = format!(r#"{{"$kind": "defschema", "name": "t/In@1", "type": {INPUT}}}"#);
    let (json, report) = (parse(&document).unwrap(), Report::default());
    let Some(Definition::Schema(schema)) = Definition::read(&At::root(&json, &report)) else { panic!("a schema") };
    Shape::resolve(&schema.written, &|_| None).unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Bool,
    Int,
    Nat,
    Dec,
    Text,
    Bytes,
    Time,
    Duration,
    List,
    Maybe,
}

const ORDERED: [Kind; 7] = [Kind::Int, Kind::Nat, Kind::Dec, Kind::Text, Kind::Bytes, Kind::Time, Kind::Duration];

fn reference(path: &str) -> String {
    format!(r#"{{"ref": "@plan.input.{path}"}}"#)
}

fn leaf(kind: Kind) -> BoxedStrategy<String> {
    let refer = |paths: &'static [&'static str]| prop::sample::select(paths).prop_map(reference).boxed();
    let small = |tag: &'static str, low: i64| (low..9).prop_map(move |value| format!(r#"{{"{tag}": {value}}}"#));
    match kind {
        Kind::Bool => prop_oneof![refer(&["yes"]), any::<bool>().prop_map(|is| format!(r#"{{"bool": {is}}}"#))].boxed(),
        Kind::Int => {
            prop_oneof![2 => refer(&["i", "r.a", "v.Card.code", "some.$value", "some"]).prop_filter("not an option", |text| !text.contains("some\"")), 3 => small("int", -4)]
                .boxed()
        }
        Kind::Nat => prop_oneof![1 => refer(&["n"]), 3 => small("nat", 0)].boxed(),
        Kind::Dec => prop_oneof![
            1 => refer(&["d"]),
            3 => (-99..99_i64, -3..3_i64).prop_map(|(mantissa, exponent)| format!(r#"{{"dec128": "{mantissa}E{exponent}"}}"#)),
        ]
        .boxed(),
        Kind::Text => prop_oneof![refer(&["t", "r.o.x"]), "a|b|é|".prop_map(|text| format!(r#"{{"text": "{text}"}}"#))].boxed(),
        Kind::Bytes => prop_oneof![refer(&["b"]), Just(r#"{"bytes_b64": "AQI="}"#.to_string())].boxed(),
        Kind::Time => prop_oneof![1 => refer(&["at"]), 2 => small("time_ns", 0)].boxed(),
        Kind::Duration => prop_oneof![1 => refer(&["for"]), 2 => small("duration_ns", -4)].boxed(),
        Kind::List => prop_oneof![refer(&["list"]), Just(r#"{"list": [{"int": 1}, {"int": 2}]}"#.to_string())].boxed(),
        Kind::Maybe => refer(&["some"]),
    }
}

fn operation(word: &str, args: &[String]) -> String {
    format!(r#"{{"op": "{word}", "args": [{}]}}"#, args.join(", "))
}

/// Expressions of a kind, of some depth.
fn expressions(kind: Kind, depth: u32) -> BoxedStrategy<String> {
    if depth == 0 {
        return leaf(kind);
    }
    let of = |kind| expressions(kind, depth - 1);
    let two = |words: &'static [&'static str], a, b| {
        (prop::sample::select(words), of(a), of(b)).prop_map(|(word, a, b)| operation(word, &[a, b])).boxed()
    };
    let both = |words, kind| two(words, kind, kind);
    const ARITHMETIC: &[&str] = &["add", "sub", "mul", "div", "mod"];
    const EXACT: &[&str] = &["add", "sub", "mul", "div"];
    let deeper = match kind {
        Kind::Bool => prop_oneof![
            prop::sample::select(&ORDERED[..]).prop_flat_map(move |kind| {
                let words = prop::sample::select(&["lt", "le", "gt", "ge", "eq", "ne"][..]);
                (words, expressions(kind, depth - 1), expressions(kind, depth - 1))
            }).prop_map(|(word, a, b)| operation(word, &[a, b])),
            both(&["and", "or"], Kind::Bool),
            both(&["eq", "ne"], Kind::List),
            two(&["eq", "ne"], Kind::Maybe, Kind::Int),
            two(&["has"], Kind::List, Kind::Nat),
            two(&["contains"], Kind::List, Kind::Int),
            both(&["starts_with", "ends_with", "contains"], Kind::Text),
            of(Kind::Bool).prop_map(|of| operation("not", &[of])),
            of(Kind::Text).prop_map(|key| operation("has", &[reference("map"), key])),
            prop::sample::select(&["eq", "ne", "has"][..]).prop_map(|word| operation(word, &[reference("v"), r#"{"text": "Card"}"#.into()])),
            Just(operation("has", &[reference("r"), r#"{"text": "o"}"#.into()])),
            Just(operation("eq", &[reference("some"), r#"{"null": {}}"#.into()])),
        ].boxed(),
        Kind::Int => prop_oneof![
            3 => both(ARITHMETIC, Kind::Int),
            1 => two(&["get"], Kind::List, Kind::Nat),
            1 => two(&["get"], Kind::Maybe, Kind::Int),
            1 => of(Kind::Text).prop_map(|key| operation("get", &[reference("map"), key])),
            1 => of(Kind::Int).prop_map(|field| operation("get", &[format!(r#"{{"record": {{"x": {field}}}}}"#), r#"{"text": "x"}"#.into()])),
        ].boxed(),
        Kind::Nat => prop_oneof![
            3 => both(ARITHMETIC, Kind::Nat),
            1 => prop::sample::select(&[Kind::Text, Kind::Bytes, Kind::List][..])
                .prop_flat_map(move |kind| expressions(kind, depth - 1)).prop_map(|of| operation("len", &[of])),
        ].boxed(),
        Kind::Dec => both(EXACT, Kind::Dec),
        Kind::Text => both(&["concat"], Kind::Text),
        Kind::Bytes => both(&["concat"], Kind::Bytes),
        Kind::Time => two(&["add", "sub"], Kind::Time, Kind::Duration),
        Kind::Duration => prop_oneof![
            both(&["add", "sub"], Kind::Duration),
            both(&["sub"], Kind::Time),
            two(&["mul", "div"], Kind::Duration, Kind::Int),
        ].boxed(),
        Kind::List => prop_oneof![
            both(&["concat"], Kind::List),
            (of(Kind::Int), of(Kind::Int)).prop_map(|(a, b)| format!(r#"{{"list": [{a}, {b}]}}"#)),
            of(Kind::List).prop_map(|list| operation("concat", &[r#"{"list": []}"#.into(), list])),
        ].boxed(),
        Kind::Maybe => leaf(kind),
    };
    prop_oneof![1 => leaf(kind), 4 => deeper].boxed()
}

fn any_expression() -> impl Strategy<Value = String> {
    let kinds = [Kind::Bool, Kind::Int, Kind::Nat, Kind::Dec, Kind::Text, Kind::Time, Kind::Duration, Kind::List];
    (prop::sample::select(kinds.to_vec()), 0..4_u32).prop_flat_map(|(kind, depth)| expressions(kind, depth))
}

type Said = Result<Value, EvalProblem>;

/// Takes the options out of a value: without types, a value and an option that holds it are the same.
fn bare(value: &Value) -> Value {
    match value {
        Value::Option(Some(inner)) => bare(inner),
        Value::Record(fields) => {
            Value::Record(fields.iter().map(|(name, value)| (name.clone(), bare(value))).collect())
        }
        Value::Variant(tag, payload) => Value::Variant(tag.clone(), Box::new(bare(payload))),
        Value::List(items) => Value::List(items.iter().map(bare).collect()),
        Value::Map(entries) => Value::map(entries.values().map(|(key, value)| (key.clone(), bare(value)))).unwrap(),
        other => other.clone(),
    }
}

fn look_up(path: &str, input: &Value) -> Said {
    let mut here = input.clone();
    for name in path.split('.').filter(|name| *name != "$value") {
        here = match here {
            Value::Record(mut fields) => fields.remove(name).unwrap(),
            Value::Variant(tag, payload) if tag == name => *payload,
            Value::Variant(..) | Value::Option(None) => return Err(EvalProblem::Missing),
            other => panic!("{name} of {other:?}"),
        };
    }
    if path.ends_with("$value") && here == Value::Option(None) { Err(EvalProblem::Missing) } else { Ok(here) }
}

fn say(expr: &Expr, input: &Value) -> Said {
    Ok(match expr {
        Expr::Const(value) => bare(value),
        Expr::Ref(reference, _) => look_up(&reference.rest, input)?,
        Expr::Op(operator @ (Operator::And | Operator::Or), args, _) => {
            let decides = *operator == Operator::Or;
            for arg in args {
                if say(arg, input)? == Value::Bool(decides) {
                    return Ok(Value::Bool(decides));
                }
            }
            Value::Bool(!decides)
        }
        Expr::Op(Operator::Get, args, _) if say(&args[0], input) == Ok(Value::Option(None)) => say(&args[1], input)?,
        // Only an option gives an int where `get` is asked of it.
        Expr::Op(Operator::Get, args, _) if matches!(say(&args[0], input), Ok(Value::Int(_))) => say(&args[0], input)?,
        Expr::Op(operator, args, _) => {
            let args = args.iter().map(|arg| say(arg, input)).collect::<Result<Vec<_>, _>>()?;
            compute(*operator, &args)?
        }
        Expr::Record(fields) => {
            let fields = fields.iter().map(|(name, field)| Ok((name.clone(), say(field, input)?)));
            Value::Record(fields.collect::<Result<BTreeMap<_, _>, EvalProblem>>()?)
        }
        Expr::List(items) => Value::List(items.iter().map(|item| say(item, input)).collect::<Result<_, _>>()?),
        other => panic!("{other:?} is not made here"),
    })
}

fn compute(operator: Operator, args: &[Value]) -> Said {
    use Operator as O;
    let bool = |is| Ok(Value::Bool(is));
    match (operator, args) {
        (O::Not, [Value::Bool(of)]) => bool(!of),
        (O::Len, [Value::Text(of)]) => Ok(Value::Nat(of.chars().fold(0, |count, _| count + 1))),
        (O::Len, [Value::Bytes(of)]) => Ok(Value::Nat(of.len() as u64)),
        (O::Len, [Value::List(of)]) => Ok(Value::Nat(of.len() as u64)),
        (O::Eq | O::Ne | O::Has, [Value::Variant(tag, _), Value::Text(of)]) => bool((tag == of) != (operator == O::Ne)),
        (O::Has, [Value::Record(fields), Value::Text(name)]) => bool(fields[name] != Value::Option(None)),
        (O::Has, [Value::List(items), Value::Nat(index)]) => bool(*index < items.len() as u64),
        (O::Has, [Value::Map(entries), key]) => bool(entries.values().any(|(found, _)| found == key)),
        (O::Get, [Value::Record(fields), Value::Text(name)]) => Ok(fields[name].clone()),
        (O::Get, [Value::List(items), Value::Nat(index)]) => items
            .iter()
            .enumerate()
            .find(|(at, _)| *at as u64 == *index)
            .map(|(_, item)| item.clone())
            .ok_or(EvalProblem::Missing),
        (O::Get, [Value::Map(entries), key]) => {
            entries.values().find(|(found, _)| found == key).map(|(_, value)| value.clone()).ok_or(EvalProblem::Missing)
        }
        (O::Contains, [Value::List(items), item]) => bool(items.iter().any(|found| found == item)),
        (O::Contains, [Value::Text(text), Value::Text(part)]) => {
            bool(part.is_empty() || text.find(part.as_str()).is_some())
        }
        (O::StartsWith, [Value::Text(text), Value::Text(part)]) => bool(text.strip_prefix(part.as_str()).is_some()),
        (O::EndsWith, [Value::Text(text), Value::Text(part)]) => bool(text.strip_suffix(part.as_str()).is_some()),
        (O::Concat, [Value::Text(a), Value::Text(b)]) => Ok(Value::Text([a.as_str(), b].concat())),
        (O::Concat, [Value::Bytes(a), Value::Bytes(b)]) => Ok(Value::Bytes([a.as_slice(), b].concat())),
        (O::Concat, [Value::List(a), Value::List(b)]) => Ok(Value::List([a.as_slice(), b].concat())),
        (O::Eq, [a, b]) => bool(a.to_cbor() == b.to_cbor()),
        (O::Ne, [a, b]) => bool(a.to_cbor() != b.to_cbor()),
        (O::Lt, [a, b]) => bool(amount(a, b) < 0),
        (O::Le, [a, b]) => bool(amount(a, b) <= 0),
        (O::Gt, [a, b]) => bool(amount(a, b) > 0),
        (O::Ge, [a, b]) => bool(amount(a, b) >= 0),
        // Decimals have a twin of their own.
        (O::Add, [Value::Dec128(a), Value::Dec128(b)]) => decimal::add(*a, *b).map(Value::Dec128),
        (O::Sub, [Value::Dec128(a), Value::Dec128(b)]) => decimal::sub(*a, *b).map(Value::Dec128),
        (O::Mul, [Value::Dec128(a), Value::Dec128(b)]) => decimal::mul(*a, *b).map(Value::Dec128),
        (O::Div, [Value::Dec128(a), Value::Dec128(b)]) => decimal::div(*a, *b).map(Value::Dec128),
        (operator, [a, b]) => whole(operator, a, b),
        other => panic!("{other:?} is not made here"),
    }
}

fn number(value: &Value) -> i128 {
    match value {
        Value::Int(value) | Value::Duration(value) => (*value).into(),
        Value::Nat(value) | Value::Time(value) => (*value).into(),
        other => panic!("{other:?} is no whole number"),
    }
}

fn amount(a: &Value, b: &Value) -> i32 {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a.cmp(b) as i32,
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b) as i32,
        (Value::Dec128(a), Value::Dec128(b)) => decimal::compare(*a, *b) as i32,
        _ => number(a).cmp(&number(b)) as i32,
    }
}

/// Computes in 128 bits, and looks at the bounds afterwards.
fn whole(operator: Operator, a: &Value, b: &Value) -> Said {
    let (x, y) = (number(a), number(b));
    if matches!(operator, Operator::Div | Operator::Mod) && y == 0 {
        return Err(EvalProblem::Division);
    }
    let result = match operator {
        Operator::Add => x + y,
        Operator::Sub => x - y,
        Operator::Mul => x.saturating_mul(y),
        Operator::Div => x / y,
        Operator::Mod => x % y,
        other => panic!("{other:?} is no arithmetic"),
    };
    let signed = i64::try_from(result).map_err(|_| EvalProblem::Overflow);
    let unsigned = u64::try_from(result).map_err(|_| EvalProblem::Overflow);
    match (a, b) {
        (Value::Int(_), _) => signed.map(Value::Int),
        (Value::Nat(_), _) => unsigned.map(Value::Nat),
        (Value::Time(_), Value::Time(_)) | (Value::Duration(_), _) => signed.map(Value::Duration),
        _ => unsigned.map(Value::Time),
    }
}

/// Compiles an expression over the input, and what is said against it.
pub fn compile(shape: &Arc<Shape>, text: &str) -> Result<(Expr, Code), String> {
    let (json, report) = (parse(text).unwrap(), Report::default());
    let expr = Expr::read(None, &At::root(&json, &report));
    let resolve =
        |reference: &Reference| Ok(Start { source: Source::Input, shape: shape.clone(), path: reference.rest.clone() });
    let code = expr.as_ref().and_then(|expr| Compiler::new("a test", &resolve, &report).compile(expr, None, ""));
    expr.zip(code).ok_or_else(|| format!("{:?}", report.into_problems()))
}

fn inputs_and_expressions() -> impl Strategy<Value = (Value, String)> {
    (values(&input()), any_expression())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn compiled_code_says_what_its_twin_says((value, text) in inputs_and_expressions()) {
        let (expr, code) = compile(&input(), &text).unwrap_or_else(|problems| panic!("{text}: {problems}"));
        let scope = Scope { input: &value, slots: &[], steps: &[], event: None };
        let found = code.eval(&scope);
        if let Ok(found) = &found {
            prop_assert_eq!(code.shape().check(&found.to_cbor()), Ok(()), "{} has the type it was given", text);
        }
        let found = found.map(|value| bare(&value)).map_err(|error| error.problem);
        prop_assert_ne!(&found, &Err(EvalProblem::Type), "{}", text);
        prop_assert_eq!(found, say(&expr, &bare(&value)), "{}", text);
    }

    /// Any operators over anything: most are refused, and what is not refused has the type that it was given.
    #[test]
    fn what_is_typed_never_meets_another_type(
        value in values(&input()),
        words in prop::collection::vec(prop::sample::select(Operator::ALL), 1..4),
        leaves in prop::collection::vec(prop::sample::select(&["i", "n", "d", "t", "b", "at", "for", "yes", "list", "map", "some", "r", "v", "r.o", "null", "empty", "t:a", "i:1", "n:0"][..]), 8),
    ) {
        let mut leaves = leaves.into_iter().map(|leaf| match leaf {
            "null" => r#"{"null": {}}"#.to_string(),
            "empty" => r#"{"list": []}"#.to_string(),
            "t:a" => r#"{"text": "a"}"#.to_string(),
            "i:1" => r#"{"int": 1}"#.to_string(),
            "n:0" => r#"{"nat": 0}"#.to_string(),
            path => reference(path),
        });
        let mut text = leaves.next().unwrap();
        for operator in words {
            let args = if operator.takes(1) { Vec::from([text]) } else { Vec::from([text, leaves.next().unwrap()]) };
            text = operation(operator.word(), &args);
        }
        if let Ok((_, code)) = compile(&input(), &text) {
            let scope = Scope { input: &value, slots: &[], steps: &[], event: None };
            match code.eval(&scope) {
                Ok(found) => prop_assert_eq!(code.shape().check(&found.to_cbor()), Ok(()), "{}", text),
                Err(error) => prop_assert_ne!(error.problem, EvalProblem::Type, "{}", text),
            }
        }
    }
}
