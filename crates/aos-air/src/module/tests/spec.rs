//! The cost table, against every operator there is and against the table in `spec/modules.md`.

use std::{collections::BTreeSet, format, string::String, vec::Vec};

use wasm_encoder::Encode;
use wasmparser::{BinaryReader, Operator, OperatorsReader, WasmFeatures};

use crate::module::{FEATURES, cost};

/// Every operator of the three opcode spaces that the allowed features touch, with immediates of zero.
fn decodable(features: WasmFeatures) -> Vec<Vec<u8>> {
    let single = (0..=0xff_u8).filter(|byte| ![0xfc, 0xfd].contains(byte)).map(|byte| vec![byte]);
    let saturating_and_bulk = (0..=20_u8).map(|code| vec![0xfc, code]);
    let vector = (0..=300_u32).map(|code| {
        let mut bytes = vec![0xfd];
        code.encode(&mut bytes);
        bytes
    });
    let with_immediates = single.chain(saturating_and_bulk).chain(vector).map(|mut code| {
        code.extend([0; 24]);
        code
    });
    with_immediates.filter(|code| name(code, features).is_some()).collect()
}

fn read<'a>(code: &'a [u8], features: WasmFeatures) -> Option<Operator<'a>> {
    // `else` and `end` are only read inside a block.
    let mut reader = OperatorsReader::new(BinaryReader::new_features(code, 0, features));
    reader.read().ok()
}

/// The operator's name in wasmparser, without its immediates.
fn name(code: &[u8], features: WasmFeatures) -> Option<String> {
    let debug = format!("{:?}", read(code, features)?);
    Some(debug.split([' ', '{']).next().unwrap_or_default().into())
}

#[test]
fn every_allowed_operator_has_a_cost_and_no_other() {
    let listed: BTreeSet<String> = cost::ROWS.iter().flat_map(|(_, names)| *names).map(|name| (*name).into()).collect();
    let allowed: BTreeSet<String> = decodable(FEATURES)
        .iter()
        .filter(|code| read(code, FEATURES).is_some_and(|operator| cost::of(&operator).is_some()))
        .filter_map(|code| name(code, FEATURES))
        .chain(["Else".into()])
        .collect();
    assert_eq!(listed, allowed);
    let count: usize = cost::ROWS.iter().map(|(_, names)| names.len()).sum();
    assert_eq!(count, listed.len(), "an operator stands in two rows");
}

/// Writes the name of an operator as the text format has it.
fn text_name(name: &str) -> String {
    let mut words = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    // Names that do not follow the pattern.
    for (from, to) in [
        ("and_not", "andnot"),
        ("ext_add", "extadd"),
        ("ext_mul", "extmul"),
        ("q15_mulr", "q15mulr"),
        ("p_min", "pmin"),
        ("p_max", "pmax"),
    ] {
        words = words.replace(from, to);
    }
    let prefixes = [
        "i32", "i64", "f32", "f64", "v128", "i8x16", "i16x8", "i32x4", "i64x2", "f32x4", "f64x2", "local", "global",
        "memory", "table", "data", "elem",
    ];
    match words.split_once('_') {
        Some((prefix, rest)) if prefixes.contains(&prefix) => format!("{prefix}.{rest}"),
        _ => words,
    }
}

/// The table as the specification prints it.
fn printed() -> String {
    let rows = cost::ROWS.iter().map(|(cost, names)| {
        let names: Vec<String> = names.iter().map(|name| format!("`{}`", text_name(name))).collect();
        format!("| {cost} | {} |\n", names.join(" "))
    });
    rows.collect()
}

#[test]
fn the_specification_has_the_same_table() {
    let specification = include_str!("../../../../../spec/modules.md");
    assert!(specification.contains(&printed()), "spec/modules.md should hold these rows:\n{}", printed());
}
