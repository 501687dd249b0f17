//! Random types and random values of them, for property tests of this crate.
//!
//! Field names are few and awkward on purpose: some are the words by which a tagged literal is known.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::{Decimal, KeyType, Shape, Type, Value};
use crate::hash::Digest;

/// Names that make plain JSON look like a tagged literal, among names that do not.
pub const AWKWARD: &str = "record|variant|map|null|list|tag|value|key|nat|text|a|bb|a/b|é";
/// Names that no tagged literal has.
pub const PLAIN: &str = "a|bb|ccc|a/b|é";

/// Makes types whose fields are called as `names` says, a regular expression.
pub fn types(names: &'static str) -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        Just(Type::Bool),
        Just(Type::Int),
        Just(Type::Nat),
        Just(Type::Dec128),
        Just(Type::Bytes),
        Just(Type::Text),
        Just(Type::Time),
        Just(Type::Duration),
        Just(Type::Hash),
        Just(Type::Uuid),
        Just(Type::Unit),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            btree_map(names, inner.clone(), 0..4).prop_map(Type::Record),
            btree_map(names, inner.clone(), 1..4).prop_map(Type::Variant),
            inner.clone().prop_map(|inner| Type::List(Box::new(inner))),
            inner.clone().prop_map(|inner| Type::Set(Box::new(inner))),
            (keys(), inner.clone()).prop_map(|(key, inner)| Type::Map(key, Box::new(inner))),
            inner.prop_map(|inner| match inner {
                Type::Option(_) | Type::Unit => inner,
                other => Type::Option(Box::new(other)),
            }),
        ]
    })
}

fn keys() -> impl Strategy<Value = KeyType> {
    prop_oneof![Just(KeyType::Int), Just(KeyType::Nat), Just(KeyType::Text), Just(KeyType::Uuid), Just(KeyType::Hash)]
}

/// Makes a type with a value of it.
pub fn typed_values(names: &'static str) -> impl Strategy<Value = (Arc<Shape>, Value)> {
    let resolve = |written: Type| Shape::resolve(&written, &|_| None).unwrap();
    types(names).prop_map(resolve).prop_flat_map(|shape| values(&shape).prop_map(move |value| (shape.clone(), value)))
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![4 => AWKWARD.prop_map(String::from), 1 => Just("$comment".into()), 2 => any::<String>()]
}

/// Integers near the places where a form changes, and anywhere.
fn naturals() -> impl Strategy<Value = u64> {
    prop_oneof![0..30_u64, Just((1 << 53) - 1), Just(1 << 53), Just(u64::MAX), any::<u64>()]
}

fn integers() -> impl Strategy<Value = i64> {
    prop_oneof![-30..30_i64, Just(-(1 << 53)), Just(1 - (1 << 53)), Just(i64::MIN), Just(i64::MAX), any::<i64>()]
}

fn decimals() -> impl Strategy<Value = Decimal> {
    let mantissa = prop_oneof![-1_000..1_000_i128, -(10_i128.pow(34)) + 1..10_i128.pow(34)];
    (mantissa, -6_176..=6_111_i64)
        .prop_map(|(mantissa, exponent)| Decimal::new(mantissa, exponent).unwrap_or(Decimal::ZERO))
}

/// Makes values of a type.
pub fn values(shape: &Shape) -> BoxedStrategy<Value> {
    match shape {
        Shape::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Shape::Int => integers().prop_map(Value::Int).boxed(),
        Shape::Nat => naturals().prop_map(Value::Nat).boxed(),
        Shape::Dec128 => decimals().prop_map(Value::Dec128).boxed(),
        Shape::Bytes => vec(any::<u8>(), 0..20).prop_map(Value::Bytes).boxed(),
        Shape::Text => texts().prop_map(Value::Text).boxed(),
        Shape::Time => naturals().prop_map(Value::Time).boxed(),
        Shape::Duration => integers().prop_map(Value::Duration).boxed(),
        Shape::Hash => any::<[u8; 32]>().prop_map(|bytes| Value::Hash(Digest::from_bytes(bytes))).boxed(),
        Shape::Uuid => any::<[u8; 16]>().prop_map(Value::Uuid).boxed(),
        Shape::Unit => Just(Value::Unit).boxed(),
        Shape::Record(fields) => {
            let fields = fields.iter().map(|field| (Just(field.name.clone()), values(&field.shape)));
            fields
                .collect::<alloc::vec::Vec<_>>()
                .prop_map(|fields| Value::Record(fields.into_iter().collect()))
                .boxed()
        }
        Shape::Variant(arms) => {
            let arm = |arm: &super::Field| {
                let tag = arm.name.clone();
                values(&arm.shape).prop_map(move |payload| Value::Variant(tag.clone(), Box::new(payload))).boxed()
            };
            proptest::strategy::Union::new(arms.iter().map(arm)).boxed()
        }
        Shape::List(inner) => vec(values(inner), 0..4).prop_map(Value::List).boxed(),
        Shape::Set(inner) => {
            let set = vec(values(inner), 0..4)
                .prop_map(|items| items.into_iter().map(|item| (item.to_cbor(), item)).collect());
            set.prop_map(Value::Set).boxed()
        }
        Shape::Map(key, inner) => {
            let entries = vec((values(&(*key).into()), values(inner)), 0..4);
            let map = entries
                .prop_map(|entries| entries.into_iter().map(|(key, value)| (key.to_cbor(), (key, value))).collect());
            map.prop_map(Value::Map).boxed()
        }
        Shape::Option(inner) => option::of(values(inner)).prop_map(|inner| Value::Option(inner.map(Box::new))).boxed(),
    }
}
