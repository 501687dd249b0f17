//! The strict checker, the writer and serde's way in, against each other and against golden bytes.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

fn problem(bytes: &[u8]) -> Option<(usize, Problem)> {
    check(bytes).err().map(|error| (error.offset, error.problem))
}

#[test]
fn what_is_not_canonical_is_refused_at_its_offset() {
    let cases: &[(&[u8], usize, Problem)] = &[
        (&[], 0, Problem::Truncated),
        (&[0x18, 0x01], 0, Problem::NonMinimal),
        (&[0x19, 0x00, 0xff], 0, Problem::NonMinimal),
        (&[0x1a, 0, 0, 0xff, 0xff], 0, Problem::NonMinimal),
        (&[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 0, Problem::NonMinimal),
        (&[0x82, 0x01, 0x18, 0x02], 2, Problem::NonMinimal),
        (&[0x9f, 0x01, 0xff], 0, Problem::Indefinite),
        (&[0x5f, 0x41, 0x01, 0xff], 0, Problem::Indefinite),
        (&[0xbf, 0xff], 0, Problem::Indefinite),
        (&[0xff], 0, Problem::Indefinite),
        (&[0xf9, 0, 0], 0, Problem::Float),
        (&[0xfa, 0, 0, 0, 0], 0, Problem::Float),
        (&[0xfb, 0, 0, 0, 0, 0, 0, 0, 0], 0, Problem::Float),
        (&[0xf7], 0, Problem::Reserved),
        (&[0xf8, 0x20], 0, Problem::Reserved),
        (&[0x1c], 0, Problem::Reserved),
        (&[0xc0, 0x60], 0, Problem::Tag),
        (&[0xc2, 0x41, 0x01], 0, Problem::Tag),
        (&[0xc4, 0x82, 0x00, 0x0a], 0, Problem::NonMinimal),
        (&[0xc4, 0x82, 0x00, 0xc2, 0x41, 0x01], 0, Problem::NonMinimal),
        (&[0x61, 0xff], 0, Problem::Utf8),
        (&[0xa2, 0x61, b'b', 0, 0x61, b'a', 0], 4, Problem::KeyOrder),
        (&[0xa2, 0x62, b'a', b'a', 0, 0x61, b'b', 0], 5, Problem::KeyOrder),
        (&[0xa2, 0x01, 0, 0x01, 0], 3, Problem::KeyTwice),
        (&[0xa1, 0x80, 0], 1, Problem::Type),
        (&[0x00, 0x00], 1, Problem::Trailing),
        (&[0x82, 0x01], 0, Problem::Truncated),
        (&[0x82, 0x01, 0x42], 3, Problem::Truncated),
        (&[0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0], 0, Problem::Range),
        (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0, Problem::Truncated),
        (&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 9, Problem::Truncated),
    ];
    for (bytes, offset, expected) in cases {
        assert_eq!(problem(bytes), Some((*offset, *expected)), "{bytes:02x?}");
    }
}

#[test]
fn nesting_is_bounded_and_costs_no_stack() {
    let nested = |depth: usize| [alloc::vec![0x81; depth], alloc::vec![0x00]].concat();
    assert_eq!(problem(&nested(DEPTH_MAX)), None);
    assert_eq!(problem(&nested(DEPTH_MAX + 1)), Some((DEPTH_MAX, Problem::Depth)));
    assert_eq!(problem(&nested(4_000_000)), Some((DEPTH_MAX, Problem::Depth)));
    let maps = |depth: usize| [[0xa1, 0x00].repeat(depth), alloc::vec![0x00]].concat();
    assert_eq!(problem(&maps(DEPTH_MAX)), None);
    // What the checker lets through, the decoder can follow.
    assert!(from_slice::<serde_cbor::Value>(&nested(DEPTH_MAX)).is_ok());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    zeta: u64,
    a: Option<String>,
    kind: Kind,
    list: Vec<i64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    With(u32),
    Named { x: bool, long: () },
}

#[test]
fn serde_types_become_canonical_and_come_back() {
    for kind in [Kind::Plain, Kind::With(500), Kind::Named { x: true, long: () }] {
        let order = Order { zeta: 1, a: None, kind, list: alloc::vec![-1, 256] };
        let bytes = to_vec(&order).unwrap();
        assert_eq!(problem(&bytes), None);
        assert_eq!(from_slice::<Order>(&bytes).unwrap(), order);
    }
    // Fields by length, then by bytes: a, kind, list, zeta.
    let order = Order { zeta: 1, a: None, kind: Kind::Plain, list: Vec::new() };
    let golden = b"\xa4\x61a\xf6\x64kind\x65Plain\x64list\x80\x64zeta\x01";
    assert_eq!(to_vec(&order).unwrap(), golden);
    assert!(to_vec(&1.5_f64).is_err());
    assert_eq!(from_slice::<Order>(&[0xa0]).map_err(|error| error.problem), Err(Problem::Type));
}

#[test]
fn a_decimal_takes_the_shortest_mantissa() {
    let cases: &[(i64, i128, &[u8])] = &[
        (0, 0, &[0xc4, 0x82, 0x00, 0x00]),
        (-1, 15, &[0xc4, 0x82, 0x20, 0x0f]),
        (2, -1, &[0xc4, 0x82, 0x02, 0x20]),
        (0, (1 << 64) - 1, &[0xc4, 0x82, 0, 0x1b, 255, 255, 255, 255, 255, 255, 255, 255]),
        (0, (1 << 64) + 1, &[0xc4, 0x82, 0, 0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 1]),
        (0, -(1 << 64) - 3, &[0xc4, 0x82, 0, 0xc3, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 2]),
    ];
    for (exponent, mantissa, golden) in cases {
        let mut bytes = Vec::new();
        write::decimal(&mut bytes, *exponent, *mantissa);
        assert_eq!(&bytes, golden);
        assert_eq!(Reader::strict(&bytes).decimal(), Ok((*exponent, *mantissa)));
        assert_eq!(problem(&bytes), None);
    }
}

/// Values that canonical CBOR can hold, in the decoder's own type.
fn any_value() -> impl Strategy<Value = serde_cbor::Value> {
    use serde_cbor::Value;
    let leaf = prop_oneof![
        any::<i64>().prop_map(|value| Value::Integer(value.into())),
        any::<u64>().prop_map(|value| Value::Integer(value.into())),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
        ".{0,8}".prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let key = prop_oneof![any::<i32>().prop_map(|key| Value::Integer(key.into())), ".{0,4}".prop_map(Value::Text)];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(key, inner, 0..6).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_canonical_and_reads_back(value in any_value()) {
        let bytes = to_vec(&value).unwrap();
        prop_assert_eq!(problem(&bytes), None);
        prop_assert_eq!(from_slice::<serde_cbor::Value>(&bytes).unwrap(), value);
    }

    /// The checker accepts exactly what decoding and writing again reproduces.
    #[test]
    fn the_checker_agrees_with_writing_again(mut bytes in prop::collection::vec(any::<u8>(), 0..24), value in any_value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut near = to_vec(&value).unwrap();
        let at = at.index(near.len());
        near[at] = byte;
        for bytes in [&mut bytes, &mut near] {
            let again = serde_cbor::from_slice::<serde_cbor::Value>(bytes).ok().and_then(|value| to_vec(&value).ok());
            if check(bytes).is_ok() && !bytes.contains(&0xc4) {
                prop_assert_eq!(again.as_ref(), Some(&*bytes));
            }
            if again.as_ref() == Some(bytes) && !matches!(bytes[0] >> 5, 6) {
                // A map's key may be a container for the decoder; in values it never is.
                prop_assert!(matches!(problem(bytes), None | Some((_, Problem::Type))));
            }
        }
    }

    #[test]
    fn maps_are_sorted_by_their_encoded_keys(map in prop::collection::btree_map("[a-z]{0,4}", any::<u8>(), 0..12)) {
        let bytes = to_vec(&map).unwrap();
        prop_assert_eq!(problem(&bytes), None);
        prop_assert_eq!(from_slice::<BTreeMap<String, u8>>(&bytes).unwrap(), map);
    }
}
