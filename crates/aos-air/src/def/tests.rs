//! Nodes: strict reading and what is no node. Golden nodes of every kind are in `spec/vectors/air/nodes.json`.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use insta::assert_snapshot;

use super::*;
use crate::text::parse;

fn definition(text: &str) -> Definition {
    let (tree, report) = (parse(text).unwrap(), Report::default());
    let read = Definition::read(&At::root(&tree, &report));
    read.filter(|_| report.is_empty()).unwrap_or_else(|| panic!("{text}: {:?}", report.into_problems()))
}

fn decode(text: &str) -> String {
    let bytes = node::encode(&parse(text).unwrap()).unwrap();
    match Definition::decode(&bytes) {
        Ok(definition) => definition.kind().to_string(),
        Err(error) => [error.code(), ": ", &error.to_string()].concat(),
    }
}

#[test]
fn decoding_is_strict() {
    assert_snapshot!(decode(r#"{"$kind":"defschema","name":"a/B@1","type":{"nat":{}}}"#), @"defschema");
    assert_snapshot!(decode(r#"{"$kind":"defschema","name":"a/B@1","type":{"nat":{}},"$comment":"x"}"#), @"node.damaged: the node is not in its normal form");
    assert_snapshot!(decode(r#"{"$kind":"defschema","name":"a/B@1"}"#), @"field.missing: the node is no definition: `type` is missing");
    assert_snapshot!(decode(r#"{"$kind":"defsecret","name":"a/S@1","binding_id":"s","allowed_caps":["b","a"]}"#), @"node.damaged: the node is not in its normal form");
    assert_snapshot!(decode(r#"{"$kind":"defcap","name":"a/C@1","cap_type":"c","schema":"a/B@1"}"#), @"node.damaged: the node is not in its normal form");
    assert_snapshot!(decode(r#"{"$kind":"manifest","air_version":"1","limits":{"reply_bytes_max":"5"}}"#), @"node.damaged: the node is not in its normal form");
    assert_snapshot!(decode("[5]"), @"field.type: the node is no definition: an object was expected here, not a list");
    assert_eq!(
        Definition::decode(&[0x41, 0]).map_err(|error| error.code()),
        Err("node.damaged"),
        "a byte string is no node"
    );
    assert_eq!(Definition::decode(&[0xa0, 0]).map_err(|error| error.code()), Err("node.damaged"), "trailing bytes");
}

#[test]
fn a_node_has_a_size_and_a_depth() {
    let text = |len: usize| format!(r#"{{"$kind":"defpolicy","name":"a/P@1","cedar":"{}"}}"#, "x".repeat(len));
    let around = definition(&text(70_000)).node().unwrap().len() - 70_000;
    let most = crate::limits::DOCUMENT_BYTES_MAX - around;
    assert_eq!(definition(&text(most)).node().map(|node| node.len()), Ok(crate::limits::DOCUMENT_BYTES_MAX));
    assert_eq!(definition(&text(most + 1)).node(), Err(NodeError::Size));
    let grant = |depth: usize| {
        let params = [r#"{"list":["#.repeat(depth), "]}".repeat(depth)].concat();
        let grant = format!(r#"{{"name":"g","cap":"a/C@1","params":{params}}}"#);
        definition(&format!(r#"{{"$kind":"manifest","air_version":"1","defaults":{{"cap_grants":[{grant}]}}}}"#))
    };
    assert!(grant(58).node().is_ok());
    assert_eq!(grant(59).node(), Err(NodeError::Size));
}

#[test]
fn a_number_that_is_no_integer_has_no_node() {
    let text =
        r#"{"$kind":"manifest","air_version":"1","defaults":{"cap_grants":[{"name":"g","cap":"a/C@1","params":1.5}]}}"#;
    assert_eq!(definition(text).node(), Err(NodeError::Form));
    assert!(!definition(text).is_settled());
}

#[test]
fn keywords_and_lists_are_each_kinds_own() {
    let mut words: Vec<&str> = Kind::ALL.iter().flat_map(|kind| [kind.keyword(), kind.list()]).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), 2 * Kind::ALL.len());
}

#[test]
fn public_keys_have_one_form() {
    let text = ["ed25519:", &"0a".repeat(32)].concat();
    assert_eq!(text.parse::<PublicKey>().map(|key| key.to_string()), Ok(text.clone()));
    for bad in
        ["", "ed25519:", "ed25519:0a", &text.to_uppercase(), &text.replace("ed25519:", ""), &[&text, "00"].concat()]
    {
        assert_eq!(bad.parse::<PublicKey>(), Err(NotAKey), "{bad}");
    }
}

fn reading(written: &str) -> String {
    let text = format!(r#"{{"$kind":"defschema","name":"a/B@1","type":{written}}}"#);
    let (tree, report) = (parse(&text).unwrap(), Report::default());
    let read = Definition::read(&At::root(&tree, &report));
    let problems = report.into_problems();
    assert_eq!(read.is_some(), problems.is_empty());
    problems.first().map_or("read".into(), |problem| problem.rule.code().into())
}

#[test]
fn a_type_is_as_large_as_the_limits_and_not_larger() {
    use crate::limits::{NAME_BYTES_MAX, TYPE_DEPTH_MAX, TYPE_NODES_MAX, TYPE_WIDTH_MAX};
    let nested =
        |depth: usize| [r#"{"list":"#.repeat(depth - 1), r#"{"nat":{}}"#.into(), "}".repeat(depth - 1)].concat();
    assert_eq!(reading(&nested(TYPE_DEPTH_MAX)), "read");
    assert_eq!(reading(&nested(TYPE_DEPTH_MAX + 1)), "type.size");
    let record = |width: usize, inner: &str| {
        let fields: Vec<String> = (0..width).map(|index| format!(r#""f{index}":{inner}"#)).collect();
        format!(r#"{{"record":{{{}}}}}"#, fields.join(","))
    };
    assert_eq!(reading(&record(TYPE_WIDTH_MAX, r#"{"nat":{}}"#)), "read");
    assert_eq!(reading(&record(TYPE_WIDTH_MAX + 1, r#"{"nat":{}}"#)), "type.size");
    // One record of records, each of which has one part more than its fields.
    let inner = record(TYPE_NODES_MAX / 32 - 1, r#"{"nat":{}}"#);
    let outer = |width: usize| record(width, &inner);
    assert_eq!(reading(&outer(31)), "read");
    assert_eq!(reading(&outer(32)), "type.size");
    assert_eq!(reading(&format!(r#"{{"record":{{"{}":{{"nat":{{}}}}}}}}"#, "x".repeat(NAME_BYTES_MAX))), "read");
    assert_eq!(
        reading(&format!(r#"{{"record":{{"{}":{{"nat":{{}}}}}}}}"#, "x".repeat(NAME_BYTES_MAX + 1))),
        "field.form"
    );
}
