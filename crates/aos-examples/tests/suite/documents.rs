//! Documents and event files that are wrong: every finding with its place, exit code 2, and nothing written.
//!
//! Read next: `worlds.rs`.

use serde_json::{Value, json};

use crate::support::Ladder;

const AIR: &str = "air/counter.air.json";
const EVENTS: &str = "events.json";

/// A change of a file, and what is found: code, line, column, pointer, and words of the message or the help.
struct Case {
    name: &'static str,
    file: &'static str,
    old: &'static str,
    new: &'static str,
    found: &'static [(&'static str, u64, u64, &'static str, &'static str)],
}

const CASES: &[Case] = &[
    Case {
        name: "bad JSON",
        file: AIR,
        old: r#""air_version": "1","#,
        new: r#""air_version" "1","#,
        found: &[("json.syntax", 5, 19, "/0/air_version", "")],
    },
    Case {
        name: "an unknown kind",
        file: AIR,
        old: "defmodule",
        new: "defmodul",
        found: &[("kind.unknown", 31, 14, "/4/$kind", "did you mean `defmodule`?")],
    },
    Case {
        name: "an unknown type",
        file: AIR,
        old: r#"{"Add": {"nat": {}}"#,
        new: r#"{"Add": {"natt": {}}"#,
        found: &[("type.form", 22, 42, "/2/type/variant/Add/natt", "did you mean `nat`?")],
    },
    Case {
        name: "a wrong type",
        file: AIR,
        old: r#""name": "demo/CounterState@1","#,
        new: r#""name": 5,"#,
        found: &[("field.type", 16, 13, "/1/name", "not a number")],
    },
    Case {
        name: "a field that is not known",
        file: AIR,
        old: r#""air_version": "1","#,
        new: r#""air_version": "1", "modles": [],"#,
        found: &[("field.unknown", 5, 35, "/0/modles", "did you mean `modules`?")],
    },
    Case {
        name: "a wrong hash",
        file: AIR,
        old: r#"{"name": "demo/CounterEvent@1"}"#,
        new: r#"{"name": "demo/CounterEvent@1", "hash": "blake3:0000000000000000000000000000000000000000000000000000000000000000"}"#,
        found: &[("manifest.hash", 8, 47, "/0/schemas/1/hash", "leave the hash out to have it filled in")],
    },
    Case {
        name: "a missing definition",
        file: AIR,
        old: r#"{"name": "demo/Milestone@1"}"#,
        new: r#"{"name": "demo/Mileston@1"}"#,
        found: &[
            ("manifest.dangling", 9, 16, "/0/schemas/2/name", "did you mean `demo/Milestone@1`?"),
            ("manifest.unlisted", 26, 13, "/3/name", "remove the definition"),
        ],
    },
    Case {
        name: "a missing schema",
        file: AIR,
        old: r#"{"state": "demo/CounterState@1""#,
        new: r#"{"state": "demo/CountrState@1""#,
        found: &[("schema.missing", 35, 34, "/4/abi/reducer/state", "did you mean `demo/CounterState@1`?")],
    },
    Case {
        name: "a reference to a schema that is not there",
        file: AIR,
        old: r#""type": {"record": {"count": {"nat": {}}}}
  },
  {
    "$kind": "defschema",
    "name": "demo/CounterEvent@1","#,
        new: r#""type": {"record": {"count": {"ref": "demo/Number@1"}}}
  },
  {
    "$kind": "defschema",
    "name": "demo/CounterEvent@1","#,
        found: &[("schema.missing", 17, 42, "/1/type/record/count/ref", "there is no schema `demo/Number@1`")],
    },
    Case {
        name: "a route to a module that is not there",
        file: AIR,
        old: r#""reducer": "demo/Counter@1""#,
        new: r#""reducer": "demo/Conter@1""#,
        found: &[("module.missing", 12, 72, "/0/routing/events/0/reducer", "did you mean `demo/Counter@1`?")],
    },
    Case {
        name: "a name twice, and what is missing for it",
        file: AIR,
        old: r#""name": "demo/CounterEvent@1","#,
        new: r#""name": "demo/CounterState@1","#,
        found: &[
            ("manifest.dangling", 8, 16, "/0/schemas/1/name", "no document defines the schema `demo/CounterEvent@1`"),
            ("schema.missing", 12, 38, "/0/routing/events/0/event", ""),
            ("name.twice", 21, 13, "/2/name", "the first one is in "),
            ("schema.missing", 35, 66, "/4/abi/reducer/event", ""),
        ],
    },
    Case {
        name: "a definition in the reserved namespace",
        file: AIR,
        old: r#""name": "demo/CounterEvent@1","#,
        new: r#""name": "sys/CounterEvent@1","#,
        found: &[
            ("manifest.dangling", 8, 16, "/0/schemas/1/name", ""),
            ("schema.missing", 12, 38, "/0/routing/events/0/event", ""),
            ("name.reserved", 21, 13, "/2/name", "choose a namespace other than `sys`"),
            ("schema.missing", 35, 66, "/4/abi/reducer/event", ""),
        ],
    },
    Case {
        name: "an event that does not fit",
        file: EVENTS,
        old: r#"{"Add": 40}"#,
        new: r#"{"Add": "many"}"#,
        found: &[("value.form", 2, 53, "/0/value/Add", "this is not a nat")],
    },
    Case {
        name: "an event with an unknown tag",
        file: EVENTS,
        old: r#"{"Subtract": 7}"#,
        new: r#"{"Subtrct": 7}"#,
        found: &[("value.unknown", 4, 57, "/2/value/Subtrct", "did you mean `Subtract`?")],
    },
    Case {
        name: "an event of an unknown schema",
        file: EVENTS,
        old: r#""demo/CounterEvent@1", "value": {"Add": 30}"#,
        new: r#""demo/CounterEvnt@1", "value": {"Add": 30}"#,
        found: &[("schema.missing", 5, 13, "/3/event", "did you mean `demo/CounterEvent@1`?")],
    },
    Case {
        name: "an event with a key for a reducer without keys",
        file: EVENTS,
        old: r#""value": {"Add": 30}"#,
        new: r#""value": {"Add": 30}, "key": "k""#,
        found: &[("route.key", 5, 65, "/3/key", "has keys")],
    },
    Case {
        name: "an event file that is no JSON",
        file: EVENTS,
        old: r#"{"Add": 42}}"#,
        new: r#"{"Add": 42}"#,
        found: &[("json.syntax", 10, 1, "/7/value", "")],
    },
];

#[test]
fn a_wrong_document_is_told_with_its_place_and_nothing_is_written() {
    for Case { name, file, old, new, found } in CASES {
        let ladder = Ladder::counter();
        ladder.replace(file, old, new);
        let ran = ladder.run_on_data();
        assert_eq!((ran.exit, ran.stdout.as_str()), (2, ""), "{name}: {ran:?}");
        assert!(!ladder.data().exists(), "{name}: nothing is written");

        let said: Value = serde_json::from_str(&ran.stderr).unwrap();
        let findings = said["findings"].as_array().unwrap();
        assert_eq!(said["code"], found[0].0, "{name}");
        assert_eq!(findings.len(), found.len(), "{name}: {findings:?}");
        let path = ladder.demo().join(file).display().to_string();
        for (finding, (code, line, column, pointer, says)) in findings.iter().zip(*found) {
            let place = json!({"file": path, "pointer": pointer, "line": line, "column": column});
            assert_eq!((&finding["code"], &finding["place"]), (&json!(code), &place), "{name}");
            assert!(format!("{} {}", finding["message"], finding["help"]).contains(says), "{name}: {finding}");
        }
    }
}

#[test]
fn findings_in_words_have_the_same_fields() {
    let ladder = Ladder::counter();
    ladder.replace(AIR, r#"{"name": "demo/Milestone@1"}"#, r#"{"name": "demo/Mileston@1"}"#);
    let ran = ladder.run(&[]);
    let path = ladder.demo().join(AIR);
    let lines = [
        "error[manifest.dangling]: no document defines the schema `demo/Mileston@1`".to_owned(),
        format!("  {}:9:16  /0/schemas/2/name", path.display()),
        "  help: did you mean `demo/Milestone@1`?".to_owned(),
        "error[manifest.unlisted]: the manifest does not list the schema `demo/Milestone@1`".to_owned(),
        format!("  {}:26:13  /3/name", path.display()),
        "  help: add {\"name\": \"demo/Milestone@1\"} to its `schemas`, or remove the definition".to_owned(),
    ];
    assert_eq!((ran.exit, ran.stderr.lines().map(str::to_owned).collect()), (2, lines.to_vec()));
}

#[test]
fn a_missing_folder_or_file_is_told() {
    for (gone, code) in [("air", "file.unreadable"), (AIR, "file.none"), (EVENTS, "file.unreadable")] {
        let ladder = Ladder::counter();
        let path = ladder.demo().join(gone);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        let ran = ladder.run_on_data();
        let said: Value = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!((ran.exit, &said["code"]), (2, &code.into()), "{gone}");
        assert!(!ladder.data().exists());
    }
}

#[test]
fn a_module_that_cannot_run_is_told_and_nothing_is_written() {
    let import = "unsafe extern \"C\" { fn now() -> u64; }\n    unsafe { now() }";
    let (other, unbuilt) = (
        r#""module_kind": "reducer","#,
        r#""module_kind": "reducer", "wasm_hash": "blake3:00000000000000000000000000000000000000000000000000000000000000aa","#,
    );
    type Change<'a> = &'a dyn Fn(&Ladder);
    let cases: [(&str, Change<'_>, &str, &str); 2] = [
        ("an import", &|ladder| ladder.write_reducer(import), "module.refused", "`now`"),
        (
            "a hash of nothing that is there",
            &|ladder| ladder.replace(AIR, other, unbuilt),
            "module.wasm_missing",
            "0000aa",
        ),
    ];
    for (name, change, code, says) in cases {
        let ladder = Ladder::counter();
        change(&ladder);
        let ran = ladder.run_on_data();
        let said: Value = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!((ran.exit, &said["code"]), (2, &code.into()), "{name}: {said}");
        let finding = &said["findings"][0];
        assert_eq!(finding["place"]["file"], "demo/Counter@1", "{name}");
        assert!(finding["message"].as_str().unwrap().contains(says), "{name}: {finding}");
        assert!(!ladder.data().exists(), "{name}: nothing is written");
    }
}
