//! The recorded worlds of the ladder: each comes out the same, today and under every strategy.
//!
//! A recording that is replaced changes the numbers here, which is a reviewed decision: it says that the meaning of
//! worlds that exist has changed, or that the demo has.
//! Read next: `spec/bundle.md`.

use std::fs;

use aos_host::wasm::{Engine, Guests, Strategy};
use aos_kernel::bundle::Bundle;

use crate::support::{Ladder, examples};

/// Most bytes of a recording: somebody who clones the repository fetches all of them.
const RECORDING_BYTES_MAX: usize = 400 << 10;

/// Replays a bundle, and says where it ends. No adapter, no key and no server is there: what came from outside is in the
/// journal. `Bundle::replay` compares every frame and every block's hash with the recorded ones.
fn end(bundle: &Bundle, engine: &Engine) -> String {
    let mut guests = Guests::new(engine.clone(), bundle.blobs.clone());
    let world = bundle.replay(&mut guests, &mut |_| {}).unwrap();
    let (block, head) = world.head();
    format!("height {} in block {block}\n  head  {head}\n  state {}\n", world.height(), world.state_root().unwrap())
}

/// The height, the head and the state root of each recording are pinned in the snapshot: the head names all of the
/// history, the root all of the state, so a kernel that means something else by the same journal fails here.
#[test]
fn every_recording_is_replayed_to_the_same_end_twice_under_both_strategies() {
    let engines = [Strategy::Optimised, Strategy::Unoptimised].map(|strategy| Engine::new(strategy, None).unwrap());
    let mut folders: Vec<_> = fs::read_dir(examples()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let mut ends = String::new();
    for folder in folders {
        let bytes = fs::read(folder.join("recorded.aosw")).unwrap();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        assert!(bytes.len() < RECORDING_BYTES_MAX, "{name}: {} bytes", bytes.len());
        let bundle = Bundle::decode(&bytes).unwrap();
        assert_eq!(bundle.encode(), bytes, "one form");
        let [first, again @ ..] = [&engines[0], &engines[1], &engines[1]].map(|engine| end(&bundle, engine));
        again.iter().for_each(|again| assert_eq!(*again, first, "{name}"));
        ends += &format!("{name}: {first}");
    }
    insta::assert_snapshot!(ends);
}

#[test]
fn a_recording_that_is_changed_is_refused() {
    let bytes = fs::read(examples().join("00-counter/recorded.aosw")).unwrap();
    for at in (0..bytes.len()).step_by(997).chain([bytes.len() - 1]) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert_eq!(Bundle::decode(&changed).map_err(|error| error.code()).err(), Some("bundle.digest"), "byte {at}");
    }
}

#[test]
fn what_a_run_records_is_the_world_that_it_ran() {
    let ladder = Ladder::counter();
    let file = ladder.data().with_extension("aosw");
    let line = ladder.run(&["--json", "--record", file.to_str().unwrap()]).line();
    let bundle = Bundle::decode(&fs::read(file).unwrap()).unwrap();
    let engine = Engine::new(Strategy::Unoptimised, None).unwrap();
    let world = bundle.replay(&mut Guests::new(engine, bundle.blobs.clone()), &mut |_| {}).unwrap();
    assert_eq!((world.id().to_string(), world.head().1.to_string()), (text(&line, "world"), text(&line, "head")));
    assert_eq!(world.state_root().unwrap().to_string(), text(&line, "state_root"));
}

fn text(line: &serde_json::Value, field: &str) -> String {
    line[field].as_str().unwrap().to_owned()
}
