//! The recorded worlds of the ladder: each comes out the same, today and under every strategy.
//!
//! A recording that is replaced changes the numbers here, which is a reviewed decision: it says that the meaning of
//! worlds that exist has changed, or that the demo has.
//! Read next: `spec/bundle.md`.

use std::fs;

use aos_host::wasm::{Engine, Guests, Strategy};
use aos_kernel::bundle::Bundle;

use crate::support::{Ladder, examples};

#[test]
fn the_recorded_counter_is_replayed_to_the_same_end_twice_under_both_strategies() {
    let bytes = fs::read(examples().join("00-counter/recorded.aosw")).unwrap();
    let bundle = Bundle::decode(&bytes).unwrap();
    assert_eq!(bundle.encode(), bytes, "one form");
    for strategy in [Strategy::Optimised, Strategy::Unoptimised] {
        let engine = Engine::new(strategy, None).unwrap();
        for _ in 0..2 {
            let mut guests = Guests::new(engine.clone(), bundle.blobs.clone());
            let mut told = Vec::new();
            let world = bundle.replay(&mut guests, &mut |height| told.push(height.0)).unwrap();
            let (block, head) = world.head();
            assert_eq!((block.0, world.height().0, told), (2, 8, vec![8, 8]));
            assert_eq!(head.to_string(), "blake3:6908298d416ecbff39ab784c0331410065251392572de3a1a5583bfef862ebf7");
            assert_eq!(
                world.state_root().unwrap().to_string(),
                "blake3:bf7e984e022ea6d7e00bb8647d66afd6306f5c495dc5e9d893ccf49455f16d49"
            );
        }
    }
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
