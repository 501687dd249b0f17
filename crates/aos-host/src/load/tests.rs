//! Folders and files that load, and that do not.

use std::fs;

use aos_air::hash::Digest;
use aos_air::name::Name;
use tempfile::TempDir;

use super::*;

fn with_files(files: &[(&str, &[u8])]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    root
}

/// Returns what is found, with the folder's own path left out.
fn found(root: &TempDir) -> String {
    let findings = match folder(root.path()) {
        Ok(draft) => draft.check(&|_| None).map(|_| ()).unwrap_err(),
        Err(findings) => findings,
    };
    findings.to_string().replace(&root.path().display().to_string(), "(root)")
}

const MANIFEST: &[u8] = br#"{"$kind": "manifest", "air_version": "1", "schemas": [{"name": "a/B@1"}]}"#;
const SCHEMA: &[u8] = br#"[{"$kind": "defschema", "name": "a/B@1", "type": {"nat": {}}}]"#;

#[test]
fn every_document_below_the_folder_is_read() {
    let files: [(&str, &[u8]); 4] = [
        ("b/c/schema.air.json", SCHEMA),
        ("manifest.air.json", MANIFEST),
        ("notes.json", b"{"),
        ("b/README.md", b"\xff"),
    ];
    let root = with_files(&files);
    let manifest = folder(root.path()).unwrap().check(&|_| None).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(manifest.definitions().count(), 1);
}

#[test]
fn the_counter_loads_and_names_what_is_to_be_built() {
    let air = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/00-counter/air");
    let draft = folder(&air).unwrap_or_else(|findings| panic!("{findings}"));
    let unbuilt: Vec<String> = draft.unbuilt().iter().map(|module| module.name.to_string()).collect();
    assert_eq!(unbuilt, ["demo/Counter@1"]);
    let wasm = |name: &Name| Some(Digest::of(name.as_str().as_bytes()));
    let manifest = draft.check(&wasm).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(manifest.routes().len(), 1);
}

#[test]
fn findings_name_the_file() {
    let root = with_files(&[
        ("manifest.air.json", MANIFEST),
        ("x/schema.air.json", b"{\n  \"$kind\": \"defschema\",\n  \"name\": \"a/B@1\"\n}"),
    ]);
    insta::assert_snapshot!(found(&root), @r#"
    error[field.missing]: `type` is missing
      (root)/x/schema.air.json:1:1
    "#);
}

#[test]
fn what_cannot_be_read_is_said_for_every_file() {
    let large = vec![b' '; DOCUMENT_BYTES_MAX + 1];
    let root = with_files(&[("a.air.json", b"\"\xff\""), ("b.air.json", &large), ("c.air.json", SCHEMA)]);
    insta::assert_snapshot!(found(&root), @r#"
    error[file.not_utf8]: the file is not UTF-8; byte 1 is the first that is wrong
      (root)/a.air.json
      help: save it as UTF-8
    error[file.size]: the file has 8388609 bytes, and 8388608 are the most
      (root)/b.air.json
      help: split it
    "#);
    insta::assert_snapshot!(found(&with_files(&[("notes.json", b"{}")])), @r#"
    error[file.none]: there is no document in this folder
      (root)
      help: documents are files that end in `.air.json`
    "#);
    let gone = with_files(&[]);
    fs::remove_dir(gone.path()).unwrap();
    insta::assert_snapshot!(found(&gone), @r#"
    error[file.unreadable]: the folder cannot be read: No such file or directory (os error 2)
      (root)
    "#);
}

#[test]
fn folders_end_at_a_depth() {
    let path = |depth: usize| format!("{}schema.air.json", "d/".repeat(depth));
    let at_limit = with_files(&[(&path(FOLDER_DEPTH_MAX), SCHEMA), ("m.air.json", MANIFEST)]);
    assert!(folder(at_limit.path()).is_ok());
    let beyond = with_files(&[(&path(FOLDER_DEPTH_MAX + 1), SCHEMA), ("m.air.json", MANIFEST)]);
    insta::assert_snapshot!(found(&beyond), @r#"
    error[file.unreadable]: folders are nested deeper than 16
      (root)/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d
    "#);
}

#[cfg(unix)]
#[test]
fn a_circle_of_links_ends() {
    let root = with_files(&[("manifest.air.json", MANIFEST)]);
    std::os::unix::fs::symlink(root.path(), root.path().join("again")).unwrap();
    assert!(found(&root).contains("nested deeper than 16"));
}
