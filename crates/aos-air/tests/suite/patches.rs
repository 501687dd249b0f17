//! Patches against `spec/vectors/air/patches.json`, whose bytes and hashes were made by another implementation.

use std::collections::{BTreeMap, BTreeSet};

use aos_air::diag::Findings;
use aos_air::patch::{Action, Candidate, Patch, apply_document, apply_node, diff};
use aos_air::text::{Document, compact, parse};
use aos_air::validate::{Checked, Manifest, Source};
use serde::Deserialize;
use serde_json::Value as Tree;

use super::json_schema::Schemas;
use super::vectors::{hex, load_text, unhex, vectors};

#[derive(Deserialize)]
struct File {
    blocks: Vec<Block>,
    applied: Vec<Applied>,
    refused: Vec<Refused>,
    damaged: Vec<Damaged>,
}

#[derive(Deserialize)]
struct Block {
    block: String,
    json: Tree,
    cbor: Option<String>,
    hash: String,
}

#[derive(Deserialize)]
struct Applied {
    what: String,
    patch: Tree,
    normal: Option<Tree>,
    node: String,
    hash: String,
    manifest: String,
    #[serde(default)]
    actions: Vec<Tree>,
}

#[derive(Deserialize)]
struct Refused {
    what: String,
    patch: Tree,
    findings: Vec<Expected>,
    /// Whether the JSON Schema refuses it too.
    #[serde(default)]
    schema_refuses: bool,
}

#[derive(Deserialize)]
struct Expected {
    code: String,
    pointer: String,
}

#[derive(Deserialize)]
struct Damaged {
    what: String,
    node: String,
}

fn file() -> File {
    serde_json::from_str(&vectors("patches.json")).unwrap_or_else(|error| panic!("patches.json: {error}"))
}

fn world() -> Checked<Manifest> {
    load_text(vectors("world.air.json")).unwrap_or_else(|findings| panic!("{findings}"))
}

fn apply(base: &Manifest, patch: &Tree) -> Result<Candidate, Findings> {
    let source = Source { file: "change.patch.json".into(), text: patch.to_string() };
    apply_document(base, &Document::parse(&source)?)
}

fn action(action: &Action) -> Tree {
    match action {
        Action::SetEffectMode(mode) => serde_json::json!({"set_effect_mode": mode.word()}),
        Action::SetBudget { grant } => serde_json::json!({"set_budget": grant}),
        Action::CancelInstances(instances) => serde_json::json!({"cancel_instances": instances}),
    }
}

#[test]
fn what_is_applied_has_these_bytes_and_hashes() {
    let base = world();
    for case in file().applied {
        let what = &case.what;
        let candidate = apply(&base, &case.patch).unwrap_or_else(|findings| panic!("{what}: {findings}"));
        let normal: Tree = serde_json::from_str(&compact(&candidate.patch.to_json())).expect("JSON");
        assert_eq!(&normal["patches"], case.normal.as_ref().unwrap_or(&case.patch["patches"]), "{what}");
        assert_eq!(hex(&candidate.node), case.node, "{what}");
        assert_eq!(candidate.hash.to_string(), case.hash, "{what}");
        assert_eq!(candidate.manifest.hash().to_string(), case.manifest, "{what}");
        assert_eq!(candidate.actions.iter().map(action).collect::<Vec<_>>(), case.actions, "{what}");
        let again = apply_node(&base, &unhex(&case.node)).unwrap_or_else(|findings| panic!("{what}: {findings}"));
        assert_eq!((again.hash, again.manifest.hash()), (candidate.hash, candidate.manifest.hash()), "{what}");
        let back = diff(&candidate.manifest, &base);
        let node = back.node().unwrap_or_else(|error| panic!("{what}: {error}"));
        let undone = apply_node(&candidate.manifest, &node).unwrap_or_else(|findings| panic!("{what}: {findings}"));
        assert_eq!(undone.manifest.hash(), base.hash(), "{what}");
    }
}

#[test]
fn what_is_refused_is_found_where_it_stands() {
    let base = world();
    let mut wrong = Vec::new();
    for Refused { what, patch, findings, .. } in file().refused {
        let found = apply(&base, &patch).err().unwrap_or_default();
        let mut found: Vec<_> =
            found.0.into_iter().map(|finding| (finding.code.to_owned(), finding.place.pointer)).collect();
        let mut expected: Vec<_> = findings.into_iter().map(|Expected { code, pointer }| (code, pointer)).collect();
        found.sort();
        expected.sort();
        if found != expected {
            wrong.push(format!("{what}\n  expected {expected:?}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_of_patches_is_in_the_vectors() {
    let codes: BTreeSet<String> =
        file().refused.into_iter().flat_map(|case| case.findings).map(|finding| finding.code).collect();
    let folder = format!("{}/../../docs/errors", env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let pages = pages.map(|page| page.expect("a page").file_name().to_string_lossy().into_owned());
    let mut count = 0;
    for page in pages.filter(|page| page.starts_with("patch.")) {
        let code = page.trim_end_matches(".md");
        assert!(codes.contains(code), "{code}");
        count += 1;
    }
    assert_eq!(count, codes.iter().filter(|code| code.starts_with("patch.")).count());
}

#[test]
fn a_node_that_is_not_the_normal_form_is_damaged() {
    let base = world();
    for Damaged { what, node } in file().damaged {
        match apply_node(&base, &unhex(&node)) {
            Ok(_) => panic!("{what}: taken"),
            Err(findings) => {
                let codes: Vec<&str> = findings.0.iter().map(|finding| finding.code).collect();
                assert_eq!(codes, ["node.damaged"], "{what}: {findings}");
            }
        }
    }
}

#[test]
fn what_pre_hash_hashes_is_told() {
    let file = file();
    let blocks: BTreeMap<String, String> =
        file.blocks.iter().map(|block| (block.block.clone(), block.hash.clone())).collect();
    assert_eq!(blocks.len(), file.blocks.len());
    // Each of them is what some patch replaces.
    let texts = file.applied.iter().map(|case| &case.patch).chain(file.refused.iter().map(|case| &case.patch));
    let all: String = texts.map(ToString::to_string).collect();
    for Block { block, json, cbor, hash } in &file.blocks {
        assert!(all.contains(hash.as_str()) || block == "module_bindings", "{block}");
        let bytes = canonical(json);
        assert_eq!(&aos_air::hash::Digest::of(&bytes).to_string(), hash, "{block}");
        assert!(cbor.as_ref().is_none_or(|cbor| *cbor == hex(&bytes)), "{block}");
    }
}

/// Encodes normal JSON.
fn canonical(json: &Tree) -> Vec<u8> {
    let mut out = Vec::new();
    write(&parse(&json.to_string()).expect("JSON"), &mut out);
    out
}

/// Writes JSON as canonical CBOR, slowly and obviously.
fn write(json: &aos_air::text::Json, out: &mut Vec<u8>) {
    use aos_air::cbor::write;
    use aos_air::text::Node;
    match &json.node {
        Node::Null => write::null(out),
        Node::Bool(value) => write::bool(out, *value),
        Node::Number(number) => write::uint(out, number.parse().expect("a natural number")),
        Node::Text(text) => write::text(out, text),
        Node::List(items) => {
            write::array(out, items.len());
            items.iter().for_each(|item| self::write(item, out));
        }
        Node::Object(members) => {
            let mut encoded: Vec<(Vec<u8>, Vec<u8>)> = members
                .iter()
                .map(|(key, value)| {
                    let (mut k, mut v) = (Vec::new(), Vec::new());
                    write::text(&mut k, key);
                    self::write(value, &mut v);
                    (k, v)
                })
                .collect();
            encoded.sort();
            write::map(out, encoded.len());
            encoded.into_iter().for_each(|(key, value)| {
                out.extend(key);
                out.extend(value);
            });
        }
    }
}

#[test]
fn a_patch_of_the_vectors_is_read_without_its_base() {
    for case in file().applied {
        let patch = Patch::decode(&unhex(&case.node)).unwrap_or_else(|error| panic!("{}: {error}", case.what));
        assert_eq!(patch.node().map(|node| hex(&node)), Ok(case.node), "{}", case.what);
    }
}

#[test]
fn the_json_schema_says_the_same_of_their_form() {
    let (file, schemas) = (file(), Schemas::of_the_specification());
    let accepts = |patch: &Tree| schemas.accept("patch.schema.json", patch);
    let base = world();
    for Applied { what, patch, .. } in &file.applied {
        assert!(accepts(patch), "{what} is refused");
        let normal = apply(&base, patch).map(|candidate| compact(&candidate.patch.to_json()));
        let normal: Tree = serde_json::from_str(&normal.unwrap_or_default()).unwrap_or_default();
        assert!(accepts(&normal), "the normal form of {what} is refused");
    }
    let wrong: Vec<&str> = file
        .refused
        .iter()
        .filter(|case| accepts(&case.patch) == case.schema_refuses)
        .map(|case| case.what.as_str())
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
