//! The test vectors of `spec/vectors/air`, which were made by another implementation.

use std::collections::BTreeMap;

use aos_air::built_in;
use aos_air::cbor;
use aos_air::def::{Definition, Kind};
use aos_air::hash::{Digest, value_hash};
use aos_air::name::{Name, is_dotted, is_identifier};
use aos_air::schema::{Shape, Value};
use aos_air::text::{At, Json, Report, compact, parse, read, sugar, tagged};
use aos_air::validate::{Checked, Manifest, Source, from_nodes, load};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Tree;

/// Reads a file of the vectors.
pub fn vectors(file: &str) -> String {
    let path = format!("{}/../../spec/vectors/air/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn from_file<T: DeserializeOwned>(file: &str) -> T {
    serde_json::from_str(&vectors(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn json(tree: &Tree) -> Json {
    parse(&tree.to_string()).unwrap_or_else(|errors| panic!("{tree}: {errors:?}"))
}

/// Reads hexadecimal digits.
pub fn unhex(text: &str) -> Vec<u8> {
    let digit = |index: usize| u8::from_str_radix(&text[index..index + 2], 16).unwrap_or_else(|_| panic!("{text}"));
    (0..text.len()).step_by(2).map(digit).collect()
}

/// Writes hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Deserialize)]
struct Names {
    names: Vec<String>,
    not_names: Vec<String>,
    identifiers: Vec<String>,
    not_identifiers: Vec<String>,
    dotted: Vec<String>,
    not_dotted: Vec<String>,
}

#[test]
fn names() {
    let file: Names = from_file("names.json");
    let each = |what: &str, test: &dyn Fn(&str) -> bool, yes: &[String], no: &[String]| {
        assert!(!yes.is_empty() && !no.is_empty());
        yes.iter().for_each(|text| assert!(test(text), "{what}: {text}"));
        no.iter().for_each(|text| assert!(!test(text), "not {what}: {text}"));
    };
    each("name", &|text| Name::parse(text).is_ok(), &file.names, &file.not_names);
    each("identifier", &is_identifier, &file.identifiers, &file.not_identifiers);
    each("dotted", &is_dotted, &file.dotted, &file.not_dotted);
}

#[derive(Deserialize)]
struct Cbor {
    valid: Vec<String>,
    invalid: Vec<NotCbor>,
}

#[derive(Deserialize)]
struct NotCbor {
    cbor: String,
    offset: usize,
    code: String,
}

#[test]
fn canonical_cbor() {
    let file: Cbor = from_file("cbor.json");
    for bytes in &file.valid {
        assert_eq!(cbor::check(&unhex(bytes)), Ok(()), "{bytes}");
    }
    for NotCbor { cbor, offset, code } in &file.invalid {
        let found = cbor::check(&unhex(cbor)).map_err(|error| (error.offset, error.code()));
        assert_eq!(found, Err((*offset, code.as_str())), "{cbor}");
    }
}

#[derive(Deserialize)]
struct Values {
    valid: Vec<Good>,
    invalid: Vec<Bad>,
}

#[derive(Deserialize)]
struct Good {
    r#type: Tree,
    sugar: Tree,
    tagged: Tree,
    #[serde(default)]
    also: Vec<Tree>,
    cbor: String,
    schema_hash: String,
    value_hash: String,
}

#[derive(Deserialize)]
struct Bad {
    r#type: Tree,
    json: Tree,
    findings: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    code: String,
    /// None where parsers differ in what they were reading.
    pointer: Option<String>,
}

/// Findings come in any order, those about syntax without pointer.
fn in_order(findings: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let is_syntax = |code: &str| code == "json.syntax";
    let findings =
        findings.map(|(pointer, code)| if is_syntax(&code) { (String::new(), code) } else { (pointer, code) });
    let mut findings: Vec<_> = findings.collect();
    findings.sort();
    findings
}

fn expected(findings: &[Expected]) -> Vec<(String, String)> {
    in_order(findings.iter().map(|finding| (finding.pointer.clone().unwrap_or_default(), finding.code.clone())))
}

/// Reads a type as the schema that the vectors hash it in.
fn schema(written: &Tree) -> (Digest, std::sync::Arc<Shape>) {
    let document = serde_json::json!({"$kind": "defschema", "name": "vector/Type@1", "type": written});
    let (tree, report) = (json(&document), Report::default());
    let Some(Definition::Schema(schema)) = Definition::read(&At::root(&tree, &report)) else {
        panic!("{document}: {:?}", report.into_problems());
    };
    let shape = Shape::resolve(&schema.written, &|_| None).unwrap_or_else(|error| panic!("{document}: {error}"));
    let node = Definition::Schema(schema).node().unwrap_or_else(|error| panic!("{document}: {error}"));
    (Digest::of(&node), shape)
}

#[test]
fn values_in_both_lenses() {
    let file: Values = from_file("values.json");
    for good in &file.valid {
        let (hash, shape) = schema(&good.r#type);
        let at = |form: &Tree| format!("{} as {}", form, good.r#type);
        let value = shape.decode(&unhex(&good.cbor)).unwrap_or_else(|error| panic!("{}: {error}", at(&good.sugar)));
        for form in [&good.sugar, &good.tagged].into_iter().chain(&good.also) {
            let found = read(&shape, &json(form)).map(|value| hex(&value.to_cbor()));
            assert_eq!(found.as_ref(), Ok(&good.cbor), "{}", at(form));
        }
        assert_eq!(compact(&sugar(&shape, &value)), compact(&sorted(&json(&good.sugar))), "{}", at(&good.sugar));
        assert_eq!(compact(&tagged(&value)), compact(&sorted(&json(&good.tagged))), "{}", at(&good.tagged));
        assert_eq!(hash.to_string(), good.schema_hash, "{}", at(&good.sugar));
        assert_eq!(value_hash(&hash, &value.to_cbor()).to_string(), good.value_hash, "{}", at(&good.sugar));
        assert!(matches!(value, Value::Option(None)) || shape.check(&value.to_cbor()).is_ok(), "{}", at(&good.sugar));
    }
    for bad in &file.invalid {
        let found = match read(&schema(&bad.r#type).1, &json(&bad.json)) {
            Ok(value) => panic!("{} as {} is read as {value:?}", bad.json, bad.r#type),
            Err(problems) => problems.into_iter().map(|problem| (problem.pointer, problem.rule.code().to_owned())),
        };
        assert_eq!(in_order(found), expected(&bad.findings), "{} as {}", bad.json, bad.r#type);
    }
}

/// Sorts what the reader of the vectors may have in another order: the members of objects.
fn sorted(json: &Json) -> Json {
    use aos_air::text::Node;
    match &json.node {
        Node::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            Json::object(members)
        }
        Node::List(items) => Json::list(items.iter().map(sorted)),
        _ => json.clone(),
    }
}

#[derive(Deserialize)]
struct Nodes {
    wasm: BTreeMap<String, String>,
    nodes: Vec<NodeVector>,
    closures: Vec<Closure>,
    built_in: Vec<BuiltIn>,
}

#[derive(Deserialize)]
struct NodeVector {
    name: String,
    normal: Tree,
    node: String,
    hash: String,
}

#[derive(Deserialize)]
struct Closure {
    schema: String,
    closure: String,
}

#[derive(Deserialize)]
struct BuiltIn {
    kind: String,
    name: String,
    hash: String,
}

/// Loads a world whose modules have the hashes of the vectors.
pub fn load_text(text: String) -> Result<Checked<Manifest>, aos_air::diag::Findings> {
    let file: Nodes = from_file("nodes.json");
    let wasm = |name: &Name| file.wasm.get(name.as_str()).and_then(|hash| hash.parse().ok());
    load(&[Source { file: "world.air.json".into(), text }], &wasm)
}

#[test]
fn nodes_and_hashes() {
    let file: Nodes = from_file("nodes.json");
    let world = load_text(vectors("world.air.json")).unwrap_or_else(|findings| panic!("{findings}"));
    let nodes: Vec<(Digest, &[u8])> = world.nodes().collect();
    assert_eq!(nodes.len(), file.nodes.len());
    for (expected, (hash, node)) in file.nodes.iter().zip(&nodes) {
        let definition = Definition::decode(node).unwrap_or_else(|error| panic!("{}: {error}", expected.name));
        let normal = compact(&sorted(&definition.to_json()));
        assert_eq!(normal, compact(&sorted(&json(&expected.normal))), "{}", expected.name);
        assert_eq!(hex(node), expected.node, "{}", expected.name);
        assert_eq!(hash.to_string(), expected.hash, "{}", expected.name);
        let report = Report::default();
        let again = Definition::read(&At::root(&json(&expected.normal), &report));
        assert_eq!(again.map(|definition| definition.node()), Some(Ok(node.to_vec())), "{}: {report:?}", expected.name);
    }
    for Closure { schema, closure } in &file.closures {
        let found =
            Name::parse(schema).ok().and_then(|name| world.schema(&name)).map(|schema| schema.closure.to_string());
        assert_eq!(found.as_ref(), Some(closure), "{schema}");
    }
    let built_in: Vec<(&str, &str, String)> = built_in::definitions()
        .map(|(hash, definition)| {
            (definition.kind().keyword(), definition.name().map_or("", Name::as_str), hash.to_string())
        })
        .collect();
    let expected: Vec<_> = file.built_in.iter().map(|b| (b.kind.as_str(), b.name.as_str(), b.hash.clone())).collect();
    assert_eq!(built_in.len(), expected.len());
    for one in &built_in {
        assert!(expected.contains(one), "{one:?}");
    }
}

#[test]
fn a_world_comes_back_from_its_nodes() {
    let world = load_text(vectors("world.air.json")).unwrap_or_else(|findings| panic!("{findings}"));
    let nodes: BTreeMap<Digest, Vec<u8>> = world.nodes().map(|(hash, node)| (hash, node.to_vec())).collect();
    let again =
        from_nodes(&world.hash(), &|hash| nodes.get(hash).cloned()).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(again.hash(), world.hash());
    assert_eq!(again.definition(), world.definition());
    assert!(again.definitions().eq(world.definitions()));
}

/// Texts and patches that are refused.
#[derive(Deserialize)]
pub struct Invalid {
    texts: Vec<InvalidText>,
    patches: Vec<InvalidPatch>,
}

#[derive(Deserialize)]
struct InvalidText {
    what: String,
    text: String,
    findings: Vec<Expected>,
}

/// A change of the world that is refused.
#[derive(Deserialize)]
pub struct InvalidPatch {
    /// What is wrong.
    pub what: String,
    patch: Vec<Change>,
    findings: Vec<Expected>,
    /// Whether the JSON Schemas refuse it too.
    #[serde(default)]
    pub schema_refuses: bool,
}

#[derive(Deserialize)]
struct Change {
    op: String,
    path: String,
    #[serde(default)]
    value: Tree,
}

/// Returns the normal forms of a world's definitions.
pub fn normal_forms() -> Vec<Tree> {
    from_file::<Nodes>("nodes.json").nodes.into_iter().map(|node| node.normal).collect()
}

/// Returns the patches that are refused.
pub fn invalid_patches() -> Vec<InvalidPatch> {
    from_file::<Invalid>("invalid.json").patches
}

impl InvalidPatch {
    /// Returns the changed world.
    pub fn world(&self) -> Tree {
        let mut world: Tree = from_file("world.air.json");
        for Change { op, path, value } in &self.patch {
            let (parent, last) = path.rsplit_once('/').unwrap_or_else(|| panic!("{}: {path}", self.what));
            let last = last.replace("~1", "/").replace("~0", "~");
            let place = world.pointer_mut(parent).unwrap_or_else(|| panic!("{}: {path} is not there", self.what));
            match place {
                Tree::Object(members) => {
                    let before =
                        if op == "remove" { members.remove(&last) } else { members.insert(last, value.clone()) };
                    assert_eq!(before.is_some(), op != "add", "{}: {path}", self.what);
                }
                Tree::Array(items) => match (op.as_str(), last.parse::<usize>()) {
                    ("add", Err(_)) if last == "-" => items.push(value.clone()),
                    ("add", Ok(index)) => items.insert(index, value.clone()),
                    ("remove", Ok(index)) => drop(items.remove(index)),
                    ("replace", Ok(index)) => items[index] = value.clone(),
                    _ => panic!("{}: {op} {path}", self.what),
                },
                other => panic!("{}: {path} leads into {other}", self.what),
            }
        }
        world
    }
}

#[test]
fn invalid_documents() {
    let file: Invalid = from_file("invalid.json");
    let texts = file.texts.iter().map(|case| (&case.what, case.text.clone(), &case.findings));
    let patches = file.patches.iter().map(|case| (&case.what, case.world().to_string(), &case.findings));
    let mut wrong = Vec::new();
    for (what, text, findings) in texts.chain(patches) {
        let expected = expected(findings);
        let found = load_text(text).err().unwrap_or_default();
        let found = in_order(found.0.into_iter().map(|finding| (finding.place.pointer, finding.code.to_owned())));
        if found != expected {
            wrong.push(format!("{what}\n  expected {expected:?}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kind_is_in_the_vectors() {
    let file: Nodes = from_file("nodes.json");
    for kind in Kind::ALL {
        assert!(file.nodes.iter().any(|node| node.normal["$kind"] == kind.keyword()), "{kind}");
    }
}
