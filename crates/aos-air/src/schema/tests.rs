//! Types against bytes: what fits, what does not and where, what a guest may write.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::*;
use crate::name::Name;

fn shape(ty: &Type) -> Arc<Shape> {
    Shape::resolve(ty, &|_| None).unwrap()
}

fn record(fields: &[(&str, Type)]) -> Type {
    Type::Record(fields.iter().map(|(name, ty)| ((*name).into(), ty.clone())).collect())
}

fn variant(arms: &[(&str, Type)]) -> Type {
    Type::Variant(arms.iter().map(|(name, ty)| ((*name).into(), ty.clone())).collect())
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

/// Type, bytes, and what `check` and `canonical` say: `ok`, the canonical bytes, or code and pointer.
#[test]
fn bytes_against_types() {
    let point = record(&[("x", Type::Int), ("yy", Type::Option(Box::new(Type::Nat)))]);
    let choice = variant(&[("A", Type::Unit), ("Bc", Type::Nat)]);
    let cases: Vec<(Type, &str, &str, &str)> = vec![
        (Type::Bool, "f5", "ok", "ok"),
        (Type::Bool, "f6", "value.type ", "value.type "),
        (Type::Nat, "1818", "ok", "ok"),
        (Type::Nat, "1817", "cbor.non_minimal ", "17"),
        (Type::Nat, "20", "value.type ", "value.type "),
        (Type::Int, "3b7fffffffffffffff", "ok", "ok"),
        (Type::Int, "3b8000000000000000", "cbor.range ", "cbor.range "),
        (Type::Int, "1b8000000000000000", "cbor.range ", "cbor.range "),
        (Type::Nat, "f90000", "cbor.float ", "cbor.float "),
        (Type::Text, "6161", "ok", "ok"),
        (Type::Text, "61ff", "cbor.utf8 ", "cbor.utf8 "),
        (Type::Bytes, "5f4101ff", "cbor.indefinite ", "cbor.indefinite "),
        (Type::Uuid, "41aa", "value.type ", "value.type "),
        (Type::Unit, "f6", "ok", "ok"),
        (Type::Dec128, "c482200f", "ok", "ok"),
        (Type::Dec128, "c48200 0a", "cbor.non_minimal ", "c482 0101"),
        (Type::Dec128, "c4820000", "ok", "ok"),
        (Type::Dec128, "c4821a00010000 01", "cbor.range ", "cbor.range "),
        (point.clone(), "a2 6178 01 627979 f6", "ok", "ok"),
        (point.clone(), "a2 627979 f6 6178 01", "value.field_missing ", "a2 6178 01 627979 f6"),
        (point.clone(), "a1 6178 01", "value.field_missing ", "a2 6178 01 627979 f6"),
        (point.clone(), "a1 627979 01", "value.field_missing ", "value.field_missing "),
        (point.clone(), "a3 6178 01 627979 f6 637a7a7a f6", "value.unknown ", "value.unknown "),
        (point.clone(), "a2 6178 01 6178 02", "value.field_missing ", "value.twice /x"),
        (point.clone(), "a2 6178 6161 627979 f6", "value.type /x", "value.type /x"),
        (point, "80", "value.type ", "value.type "),
        (choice.clone(), "6141", "ok", "ok"),
        (choice.clone(), "a1 624263 05", "ok", "ok"),
        (choice.clone(), "a1 6141 f6", "value.not_canonical ", "6141"),
        (choice.clone(), "624263", "value.type /Bc", "value.type /Bc"),
        (choice.clone(), "615a", "value.unknown ", "value.unknown "),
        (choice, "a1 624263 6161", "value.type /Bc", "value.type /Bc"),
        (Type::List(Box::new(Type::Nat)), "83 03 01 02", "ok", "ok"),
        (Type::List(Box::new(Type::Nat)), "82 03 20", "value.type /1", "value.type /1"),
        (Type::List(Box::new(Type::Nat)), "9affffffff", "cbor.truncated ", "cbor.truncated "),
        (Type::Set(Box::new(Type::Nat)), "82 01 02", "ok", "ok"),
        (Type::Set(Box::new(Type::Nat)), "82 02 01", "value.not_canonical ", "82 01 02"),
        (Type::Set(Box::new(Type::Nat)), "82 01 01", "value.twice ", "value.twice "),
        (Type::Map(KeyType::Text, Box::new(Type::Nat)), "a2 6162 01 626161 02", "ok", "ok"),
        (
            Type::Map(KeyType::Text, Box::new(Type::Nat)),
            "a2 626161 02 6162 01",
            "value.not_canonical ",
            "a2 6162 01 626161 02",
        ),
        (Type::Map(KeyType::Text, Box::new(Type::Nat)), "a1 6162 20", "value.type /b", "value.type /b"),
        (Type::Option(Box::new(Type::Nat)), "f6", "ok", "ok"),
        (Type::Nat, "0000", "cbor.trailing ", "cbor.trailing "),
        (Type::Nat, "", "cbor.truncated ", "cbor.truncated "),
    ];
    for (ty, bytes, strict, lenient) in cases {
        let (shape, bytes) = (shape(&ty), hex(bytes));
        let say = |error: Mismatch| format!("{} {}", error.code(), error.pointer);
        let found = shape.check(&bytes).map_or_else(say, |()| "ok".into());
        assert_eq!(found, strict, "check {ty:?} {bytes:x?}");
        let found = match shape.canonical(&bytes, 1 << 20) {
            Ok(canonical) if *canonical == *bytes => "ok".into(),
            Ok(canonical) => canonical.iter().map(|byte| format!("{byte:02x}")).collect(),
            Err(error) => say(error),
        };
        assert_eq!(
            found,
            lenient.replace(' ', if lenient.contains('.') { " " } else { "" }),
            "canonical {ty:?} {bytes:x?}"
        );
        if let Ok(canonical) = shape.canonical(&bytes, 1 << 20) {
            assert_eq!(shape.check(&canonical), Ok(()), "what is made canonical is canonical");
        }
    }
}

#[test]
fn types_that_do_not_resolve() {
    let option = |inner: Type| Type::Option(Box::new(inner));
    let name = Name::parse("demo/None@1").unwrap();
    let mut deep = Type::Nat;
    for _ in 1..crate::limits::TYPE_DEPTH_MAX {
        deep = Type::List(Box::new(deep));
    }
    assert!(Shape::resolve(&deep, &|_| None).is_ok(), "at the limit");
    let cases = [
        (option(Type::Unit), ShapeProblem::Option, ""),
        (record(&[("a/b", option(option(Type::Nat)))]), ShapeProblem::Option, "/record/a~1b"),
        (
            variant(&[("T", Type::List(Box::new(Type::Ref(name.clone()))))]),
            ShapeProblem::Missing(name),
            "/variant/T/list/ref",
        ),
        (Type::List(Box::new(deep)), ShapeProblem::Depth, ""),
    ];
    for (ty, problem, pointer) in cases {
        assert_eq!(Shape::resolve(&ty, &|_| None), Err(ShapeError { problem, pointer: pointer.into() }));
    }
}

#[test]
fn an_option_is_not_hidden_behind_a_reference() {
    let inner = shape(&Type::Option(Box::new(Type::Nat)));
    let outer = Type::Option(Box::new(Type::Ref(Name::parse("demo/Maybe@1").unwrap())));
    let error = Shape::resolve(&outer, &|_| Some(inner.clone())).unwrap_err();
    assert_eq!(error.problem, ShapeProblem::Option);
}

#[test]
fn depth_of_a_shared_type_is_measured_without_unfolding_it() {
    let mut known: BTreeMap<Name, Arc<Shape>> = BTreeMap::new();
    let mut last = None;
    for level in 0..40 {
        let inner = last.clone().map_or(Type::Nat, Type::Ref);
        let ty = record(&[("a", inner.clone()), ("b", inner)]);
        let name = Name::parse(&format!("demo/L{level}@1")).unwrap();
        let shape = Shape::resolve(&ty, &|name| known.get(name).cloned()).unwrap();
        assert_eq!(shape.depth(), level + 2);
        known.insert(name.clone(), shape);
        last = Some(name);
    }
}

#[test]
fn a_path_selects_part_of_a_value() {
    let inner = record(&[("id", Type::Text), ("n", Type::Nat)]);
    let event = variant(&[("Made", record(&[("note", inner)])), ("Gone", Type::Nat), ("Off", Type::Unit)]);
    let shape = shape(&event);
    let made = hex("a1 644d616465 a1 646e6f7465 a2 616e 07 626964 6161");
    assert_eq!(shape.check(&made), Ok(()));
    let at = |path: &str| shape.select(&made, path).map(|(shape, bytes)| (shape.word(), bytes.to_vec()));
    assert_eq!(at("note.id"), Some(("text", hex("6161"))));
    assert_eq!(at("$value.note.n"), Some(("nat", hex("07"))));
    assert_eq!(at("note.none"), None);
    assert_eq!(at("note.id.x"), None);
    assert_eq!(shape.select(&hex("634f6666"), "note.id"), None);
}

/// A small reply once filled in enough absent options to exhaust the host's memory.
#[test]
fn what_is_filled_in_counts_against_the_bound() {
    let wide: Vec<(String, Type)> =
        (0..64).map(|n| (format!("field{n:02}"), Type::Option(Box::new(Type::Nat)))).collect();
    let wide = Type::Record(wide.into_iter().collect());
    let shape = shape(&Type::List(Box::new(wide)));
    let empty = |count: u8| [[0x98, count].as_slice(), &vec![0xa0; count.into()]].concat();
    let full = shape.canonical(&empty(100), u64::MAX).unwrap().len() as u64;
    assert!(full > 57_000);
    assert!(shape.canonical(&empty(100), full).is_ok());
    for bound in [full - 1, 1_000, 10] {
        let error = shape.canonical(&empty(100), bound).unwrap_err();
        assert_eq!(error.code(), "value.too_large", "{bound}");
    }
}
