//! What a user sees when all goes well, and when a word on the command line is wrong.
//!
//! Read next: `documents.rs`.

use serde_json::{Value, json};

use crate::support::{Ladder, Ran, always, run, run_with};

/// The fields of a demo's line, in order. The first nine are what the README promises; others may follow.
const FIELDS: [&str; 17] = [
    "demo",
    "number",
    "height",
    "head",
    "state_root",
    "state",
    "frames",
    "receipts",
    "replay",
    "world",
    "events",
    "known",
    "failed",
    "refused",
    "story",
    "server",
    "open",
];

fn fields(line: &Value) -> Vec<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn without_a_demo_it_lists_them() {
    let Ran { exit, stdout, stderr } = run::<&str>([]);
    assert_eq!((exit, stderr.as_str()), (0, ""));
    let summary = "One reducer that counts, refuses to go below zero, and raises a milestone at each hundred.";
    assert_eq!(stdout.lines().next(), Some(format!("00  counter           {summary}").as_str()));
    let listed = run(["--json"]).lines();
    assert_eq!(listed[0], json!({"number": 0, "demo": "counter", "summary": summary}));
}

#[test]
fn a_demo_tells_its_story_in_one_line_of_json() {
    for word in ["counter", "0", "00"] {
        let line = run([word, "--json"]).line();
        assert_eq!(fields(&line), FIELDS);
        for hash in ["head", "state_root", "world"] {
            let hash = line[hash].as_str().unwrap();
            assert!(hash.len() == 71 && hash.starts_with("blake3:"), "{hash}");
        }
        let words = "the count would fall below zero";
        let refused = json!([{"height": 6, "code": "reducer.refused", "event": 6, "place": words}]);
        for (field, value) in [
            ("demo", json!("counter")),
            ("number", json!(0)),
            ("height", json!(8)),
            ("state", json!({"demo/Counter@1": {"count": 42}})),
            ("frames", json!(8)),
            ("receipts", json!(0)),
            ("replay", json!("identical")),
            ("events", json!(8)),
            ("known", json!(0)),
            ("failed", refused),
            ("refused", json!([])),
        ] {
            assert_eq!(line[field], value, "{field}");
        }
    }
}

#[test]
fn a_demo_tells_its_story_in_words() {
    let Ran { exit, stdout, stderr } = run(["counter"]);
    assert_eq!((exit, stderr.as_str()), (0, ""), "quiet in a pipe");
    // Every run makes another world.
    let hash = |line: &str| match line.split_once("blake3:") {
        Some((before, _)) => format!("{before}HASH"),
        None => line.to_owned(),
    };
    let lines: Vec<_> = stdout.lines().map(hash).collect();
    assert_eq!(
        lines,
        [
            "00 counter: One reducer that counts, refuses to go below zero, and raises a milestone at each hundred.",
            "",
            "  world       HASH",
            "  events      8 applied, 2 derived",
            "  failed      event 6 at height 6: reducer.refused: the count would fall below zero",
            "  state       demo/Counter@1 {\"count\":42}",
            "  height      8",
            "  head        HASH",
            "  state root  HASH",
            "  replay      identical: 8 frames again from the genesis, same head, same state root",
        ]
    );
}

#[test]
fn all_runs_every_demo_in_order() {
    let listed = run(["--json"]).lines();
    let ran = run(["all", "--json"]).lines();
    let names = |lines: &[Value]| lines.iter().map(|line| line["demo"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&ran), names(&listed));
    assert!(ran.iter().all(|line| line["replay"] == "identical"));
}

#[test]
fn a_reducer_that_traps_or_loops_is_told_and_the_run_goes_on() {
    for (step, code) in [("core::arch::wasm32::unreachable()", "guest.trap"), ("loop {}", "guest.fuel")] {
        let ladder = Ladder::counter();
        ladder.write_reducer(step);
        let line = ladder.run(&["--json"]).line();
        let failed = line["failed"].as_array().unwrap();
        assert!(failed.len() == 8 && failed.iter().all(|failed| failed["code"] == code), "{failed:?}");
        assert_eq!((&line["height"], &line["state"], &line["replay"]), (&json!(8), &json!({}), &json!("identical")));
        let words = ladder.run(&[]);
        assert_eq!(words.stdout.matches(&format!("at height 3: {code}")).count(), 1, "{}", words.stdout);
    }
}

#[test]
fn a_word_that_is_no_demo_gets_a_suggestion() {
    let unknown = run(["countr"]);
    assert_eq!((unknown.exit, unknown.stdout.as_str()), (2, ""));
    assert_eq!(unknown.stderr, "error[demo.unknown]: there is no demo `countr`\n  help: did you mean `counter`?\n");
    assert!(run(["fetch"]).stderr.ends_with("did you mean `fetch-notify`?\n"));
    assert_eq!(
        run(["77"]).stderr,
        "error[demo.unknown]: there is no demo `77`\n  help: run without a demo to see the list\n"
    );
    let object: Value = serde_json::from_str(&run(["countr", "--json"]).stderr).unwrap();
    let message = "there is no demo `countr`";
    let expected =
        json!({"code": "demo.unknown", "message": message, "help": "did you mean `counter`?", "findings": []});
    assert_eq!(object, expected);
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [&["--jsn"][..], &["counter", "more"], &["--record", "file"], &["all", "--record", "file"]] {
        let ran = run(arguments);
        assert_eq!((ran.exit, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.stderr.contains("Usage: aos-examples"), "{}", ran.stderr);
    }
}

#[test]
fn the_log_explains_the_build_and_the_cache() {
    let ladder = Ladder::counter();
    ladder.write_reducer(&always(3));
    let folder = ladder.demo();
    let examples = folder.parent().unwrap().to_str().unwrap();
    let arguments = ["--examples", examples, "counter", "--force-build"];
    let ran = run_with(arguments, |command| {
        command.env("RUST_LOG", "debug");
    });
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    for said in ["not in the cache", "compiling", "module built", "module ready", "committed"] {
        assert!(ran.stderr.contains(said), "`{said}` is not in:\n{}", ran.stderr);
    }
}

/// Without a standard library for WebAssembly, and with a rustup that cannot fetch it.
#[test]
fn a_missing_target_that_cannot_be_added_is_said_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    // A compiler whose folder holds no target; everything else about it is the real one's.
    script("rustc", "case \"$*\" in --print=sysroot) echo /nowhere ;; *) PATH=${PATH#*:} exec rustc \"$@\" ;; esac");
    script("rustup", "echo 'could not download' >&2; exit 1");
    let ladder = Ladder::counter();
    ladder.write_reducer(&always(4));
    let examples = ladder.demo();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let arguments = ["--examples", examples.parent().unwrap().to_str().unwrap(), "counter"];
    let ran = run_with(arguments, |command| {
        command.env("PATH", path);
    });
    assert_eq!((ran.exit, ran.stdout.as_str()), (3, ""), "{}", ran.stderr);
    let sentence = "error[build.target_missing]: the Rust target for WebAssembly is missing: \
                    run `rustup target add wasm32-unknown-unknown`";
    assert_eq!(ran.stderr.lines().collect::<Vec<_>>(), [sentence, "could not download"]);
}
