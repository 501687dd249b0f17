//! The lenses against each other: whatever is printed, in whichever mixture, is read as the same value.

use alloc::string::String;
use alloc::vec::Vec;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::schema::arbitrary::{AWKWARD, PLAIN, typed_values};
use crate::schema::{KeyType, Type};

/// Prints and parses, as a file would be written and read.
fn through_text(json: &Json) -> Json {
    let (short, long) = (parse(&compact(json)).unwrap(), parse(&pretty(json)).unwrap());
    assert_eq!(short, long);
    long
}

/// Prints each level in the lens that the next bit says.
fn mixed(shape: &Shape, value: &Value, bits: &mut dyn Iterator<Item = bool>) -> Json {
    if bits.next() == Some(true) {
        return tagged(value);
    }
    match (shape, value) {
        (Shape::Option(inner), Value::Option(Some(value))) => mixed(inner, value, bits),
        (Shape::Record(fields), Value::Record(values)) => {
            let member =
                |field: &crate::schema::Field| (field.name.clone(), mixed(&field.shape, &values[&field.name], bits));
            Json::object(fields.iter().map(member).collect::<Vec<_>>())
        }
        (Shape::Variant(_), Value::Variant(tag, payload)) => {
            Json::one(tag, mixed(&shape.arm(tag).unwrap().shape, payload, bits))
        }
        (Shape::List(inner), Value::List(items)) => {
            Json::one("list", Json::list(items.iter().map(|item| mixed(inner, item, bits)).collect::<Vec<_>>()))
        }
        (Shape::Set(inner), Value::Set(items)) => {
            Json::list(items.values().rev().map(|item| mixed(inner, item, bits)).collect::<Vec<_>>())
        }
        (Shape::Map(key, inner), Value::Map(entries)) if *key != KeyType::Text => {
            let key_shape = Shape::from(*key);
            let pair =
                |(key, value): &(Value, Value)| Json::list([mixed(&key_shape, key, bits), mixed(inner, value, bits)]);
            Json::list(entries.values().rev().map(pair).collect::<Vec<_>>())
        }
        _ => sugar(shape, value),
    }
}

proptest! {
    #[test]
    fn both_lenses_and_cbor_agree((shape, value) in typed_values(AWKWARD)) {
        let bytes = value.to_cbor();
        prop_assert_eq!(shape.check(&bytes), Ok(()));
        prop_assert_eq!(shape.decode(&bytes), Ok(value.clone()));
        for lens in [Lens::Sugar, Lens::Tagged] {
            let printed = through_text(&lens.print(&shape, &value));
            prop_assert_eq!(read(&shape, &printed), Ok(value.clone()), "{}", compact(&printed));
        }
    }

    #[test]
    fn the_tagged_lens_needs_no_schema((_, value) in typed_values(AWKWARD)) {
        let printed = through_text(&tagged(&value));
        let report = Report::default();
        let bytes = read_tagged(&At::root(&printed, &report)).map(|value| value.to_cbor());
        prop_assert_eq!(bytes, Some(value.to_cbor()), "{} {:?}", compact(&printed), report.into_problems());
    }

    #[test]
    fn the_lenses_mix_at_every_place((shape, value) in typed_values(PLAIN), bits in proptest::collection::vec(any::<bool>(), 64)) {
        let printed = through_text(&mixed(&shape, &value, &mut bits.into_iter().cycle()));
        prop_assert_eq!(read(&shape, &printed), Ok(value.clone()), "{}", compact(&printed));
    }
}

fn problems(written: Type, text: &str) -> String {
    let shape = Shape::resolve(&written, &|_| None).unwrap();
    let problems = read(&shape, &parse(text).unwrap()).unwrap_err();
    let line = |problem: &Problem| {
        let help = problem.help.as_ref().map(|help| alloc::format!(" ({help})")).unwrap_or_default();
        alloc::format!("{} {}: {}{help}", problem.rule.code(), problem.pointer, problem.message)
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_does_not_fit_is_said_in_words() {
    let point = Type::Record([("name".into(), Type::Text), ("count".into(), Type::Nat)].into());
    let choice = Type::Variant([("Add".into(), Type::Nat), ("Reset".into(), Type::Unit)].into());
    assert_snapshot!(problems(point, r#"{"nmae": "a", "count": {"int": 5}}"#), @r#"
    value.unknown /nmae: the type has no field `nmae` (did you mean `name`?)
    value.type /count: a nat was expected here, not an object with `int`
    value.field_missing : field `name` is missing
    "#);
    assert_snapshot!(problems(choice.clone(), r#"{"Ad": 5}"#), @"value.unknown /Ad: the type has no tag `Ad` (did you mean `Add`?)");
    assert_snapshot!(problems(choice, r#""Add""#), @"value.type : `Add` has a payload, a nat, which is missing");
    assert_snapshot!(problems(Type::Set(Type::Time.into()), r#"["2026-02-30T00:00:00Z", 5, "5"]"#), @"value.form /0: this is not a time (nanoseconds since 1970, or RFC 3339 as in `2026-11-21T08:40:00Z`)");
    assert_snapshot!(problems(Type::Dec128, r#""1.2.3""#), @"value.form : `1.2.3` is not a dec128 (a decimal is written `-12.5` or `1.25E+3`)");
}
