//! Worlds that stay: run again, with other modules, on a damaged store.
//!
//! Read next: `recorded.rs`.

use std::fs;

use aos_host::store::FileStore;
use serde_json::{Value, json};

use crate::support::{Ladder, Ran, always};

#[test]
fn a_second_run_knows_every_event_and_changes_nothing() {
    let ladder = Ladder::counter();
    let first = ladder.run_on_data().line();
    assert_eq!((&first["events"], &first["known"]), (&json!(8), &json!(0)));
    let files = || fs::read_dir(ladder.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(files(), ["node.aos"], "one file");
    for _ in 0..2 {
        let again = ladder.run_on_data().line();
        for field in ["world", "height", "head", "state_root", "state"] {
            assert_eq!(again[field], first[field], "{field}");
        }
        assert_eq!((&again["events"], &again["known"]), (&json!(0), &json!(8)));
        assert_eq!((&again["failed"], files()), (&json!([]), vec!["node.aos".into()]));
    }
    let words = ladder.run(&["--data", ladder.data().to_str().unwrap()]).stdout;
    assert!(words.contains("events      0 applied, 8 known from an earlier run, 0 derived"), "{words}");

    // More events go on where the first left off; one that was changed is not taken for the one that it was.
    ladder.replace(
        "events.json",
        r#"{"Add": 42}}"#,
        r#"{"Add": 42}}, {"event": "demo/CounterEvent@1", "value": {"Add": 1}}"#,
    );
    ladder.replace("events.json", r#"{"Add": 40}"#, r#"{"Add": 41}"#);
    let more = ladder.run_on_data();
    assert_eq!((more.exit, more.stderr.as_str()), (1, ""), "something was refused");
    let line: Value = serde_json::from_str(&more.stdout).unwrap();
    assert_eq!((&line["events"], &line["known"], &line["height"]), (&json!(1), &json!(7), &json!(9)));
    assert_eq!(line["state"], json!({"demo/Counter@1": {"count": 43}}));
    assert_eq!((&line["refused"][0]["event"], &line["refused"][0]["code"]), (&json!(1), &json!("input.id_reused")));
}

#[test]
fn another_module_is_another_world_beside_the_first() {
    let ladder = Ladder::counter();
    let mut worlds = Vec::new();
    for count in [5, 6, 5] {
        ladder.write_reducer(&always(count));
        let line = ladder.run_on_data().line();
        assert_eq!(line["state"], json!({"demo/Counter@1": {"count": count}}));
        worlds.push((line["world"].clone(), line["events"].clone()));
    }
    assert!(worlds[0].0 != worlds[1].0 && worlds[0].0 == worlds[2].0, "{worlds:?}");
    assert_eq!(worlds.iter().map(|(_, events)| events.as_u64().unwrap()).collect::<Vec<_>>(), [8, 8, 0]);
    assert_eq!(FileStore::open_read(&ladder.store()).unwrap().worlds().unwrap().len(), 2);
}

/// Flips a bit wherever the file has these bytes.
fn flip(ladder: &Ladder, bytes: &[u8], offset: usize) {
    let mut file = fs::read(ladder.store()).unwrap();
    let places: Vec<_> = (0..file.len()).filter(|at| file[*at..].starts_with(bytes)).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|place| file[place + offset] ^= 1);
    fs::write(ladder.store(), file).unwrap();
}

#[test]
fn a_damaged_store_is_told_and_left_as_it_is() {
    let body = b"\x63Add\x18\x2a";
    for (name, bytes, code, says) in [
        ("an event", &body[..], "store.block_damaged", "frames from height 1 on"),
        ("a module", b"\0asm\x01", "blob.damaged", "blob blake3:"),
    ] {
        let ladder = Ladder::counter();
        ladder.run_on_data().line();
        flip(&ladder, bytes, 4);
        let before = fs::read(ladder.store()).unwrap();
        let Ran { exit, stdout, stderr } = ladder.run_on_data();
        assert_eq!((exit, stdout.as_str()), (4, ""), "{name}: {stderr}");
        let said: Value = serde_json::from_str(&stderr).unwrap();
        assert_eq!(said["code"], code, "{name}");
        assert!(said["message"].as_str().unwrap().contains(says), "{name}: {said}");
        assert_eq!(fs::read(ladder.store()).unwrap(), before, "{name}");
    }
}

#[test]
fn a_store_that_cannot_be_had_says_why() {
    let ladder = Ladder::counter();
    fs::create_dir_all(ladder.store()).unwrap();
    let ran = ladder.run(&["--data", ladder.data().to_str().unwrap()]);
    assert_eq!(ran.exit, 3, "{ran:?}");
    let line = ran.stderr.lines().next().unwrap();
    let start = "error[store.io]: the store's file cannot be used: ";
    assert!(line.starts_with(start) && line.len() > start.len(), "{line}");

    let ladder = Ladder::counter();
    fs::write(ladder.data(), "a file in the folder's place").unwrap();
    let ran = ladder.run(&["--data", ladder.data().to_str().unwrap()]);
    assert_eq!(ran.exit, 3);
    assert!(ran.stderr.starts_with(&format!("error[file.io]: {}: ", ladder.data().display())), "{}", ran.stderr);
}
