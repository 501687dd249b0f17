//! Replay: the same from genesis and from every snapshot; anything else is named with its height.

use aos_kernel::block::Raw;
use aos_kernel::error::{BlockProblem, Fault};
use aos_kernel::guest::GuestFault;
use aos_kernel::id::{BlockIndex, Height, StateRoot};
use aos_kernel::{Machine, Seal, Sealed, World, replay};
use proptest::prelude::*;

use crate::support::{Act, Added, Bench, Native, acts, added, raise, with_id};

fn raw(sealed: &Sealed) -> Raw<'_> {
    Raw { header: &sealed.header_bytes, body: &sealed.body }
}

/// Replays the blocks after a world's head; returns the head's hash and every state root on the way.
fn replay_all(world: &mut World, bench: &Bench, native: &mut Native) -> Result<Vec<Option<StateRoot>>, Fault> {
    let next = usize::try_from(world.head().0.0 + 1).unwrap();
    bench.blocks[next..]
        .iter()
        .map(|block| {
            let mut machine = Machine { guest: &mut *native, blobs: &bench.blobs };
            replay(world, &mut machine, raw(block)).map(|sealed| sealed.header.state_root)
        })
        .collect()
}

fn from_genesis(bench: &Bench) -> World {
    World::from_genesis(raw(&bench.blocks[0]), &bench.blobs).unwrap().0
}

#[derive(Debug, Clone)]
enum Move {
    Add(u8, u64),
    Again(u8),
    Script(Vec<Act>),
    Seal,
    Snapshot,
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_u64..9).prop_map(Act::Add),
        4 => (0_u8..4, 0_u64..9).prop_map(|(name, n)| raise("test/Added@1", &Added { name: format!("k{name}"), n }, None)),
        2 => (0_u64..5, 0_u8..4).prop_map(|(count, name)| Act::RaiseMany(count, format!("k{name}"))),
        1 => Just(Act::Delete),
        1 => Just(Act::Trap),
        1 => Just(Act::BadState),
        1 => Just(Act::ShowContext),
        1 => ".{0,6}".prop_map(Act::Annotate),
    ]
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => (0_u8..9, any::<u64>()).prop_map(|(name, n)| Move::Add(name, n)),
        1 => (0_u8..9).prop_map(Move::Again),
        4 => prop::collection::vec(any_act(), 0..5).prop_map(Move::Script),
        2 => Just(Move::Seal),
        1 => Just(Move::Snapshot),
    ]
}

fn play(moves: Vec<Move>) -> Bench {
    let mut bench = Bench::new(r#""input_ids_kept": 4"#);
    for (number, step) in moves.into_iter().enumerate() {
        match step {
            Move::Add(name, n) => drop(bench.send(with_id(added(&format!("k{name}"), n), &number.to_be_bytes()))),
            Move::Again(name) => drop(bench.admit(with_id(added("again", 1), &[name]))),
            Move::Script(script) => drop(bench.send(acts(&script))),
            Move::Seal => drop(bench.seal(Seal::Plain)),
            Move::Snapshot => drop(bench.seal(Seal::Snapshot)),
        }
    }
    bench.seal(Seal::Snapshot);
    bench
}

proptest! {
    #![proptest_config(crate::cases::cases(96))]

    #[test]
    fn a_history_replays_from_genesis_and_from_every_snapshot(moves in prop::collection::vec(any_move(), 0..60)) {
        let bench = play(moves);
        let roots: Vec<_> = bench.blocks.iter().map(|block| block.header.state_root).collect();
        let mut worlds = vec![from_genesis(&bench)];
        for snapshot in bench.blocks.iter().filter_map(|block| block.snapshot.as_ref()) {
            worlds.push(World::restore(snapshot, &bench.blobs).unwrap());
        }
        for mut world in worlds {
            let first = usize::try_from(world.head().0.0 + 1).unwrap();
            let found = replay_all(&mut world, &bench, &mut Native::default()).unwrap();
            prop_assert_eq!(&found[..], &roots[first..]);
            prop_assert_eq!((world.head(), world.height(), world.state_root()), (bench.world.head(), bench.world.height(), bench.world.state_root()));
            prop_assert_eq!(world.logical_now_ns(), bench.world.logical_now_ns());
        }
    }
}

#[test]
fn another_module_is_found_at_its_first_height() {
    let mut bench = Bench::new("");
    for n in [0, 1, 2] {
        bench.send(acts(&[Act::Add(n)]));
    }
    bench.send(added("a", u64::MAX));
    bench.seal(Seal::Snapshot);
    let mut wrong = Native { wrong: true, ..Native::default() };
    let mut world = from_genesis(&bench);
    let fault = replay_all(&mut world, &bench, &mut wrong).unwrap_err();
    assert_eq!(world.seal(Seal::Plain, &bench.blobs).unwrap_err(), Fault::Stopped, "a diverged world seals nothing");
    insta::assert_snapshot!(fault, @"the replay differs at height 4: recorded success with 0 derived records and 1 fuel, found failure guest.trap with 0 derived records and 1 fuel");
    assert_eq!(fault.code(), "replay.divergence");
}

#[test]
fn a_module_that_changes_only_state_is_found_at_the_block() {
    let mut bench = Bench::new("");
    bench.send(added("a", 1));
    bench.seal(Seal::Plain);
    let mut wrong = Native { wrong: true, ..Native::default() };
    let fault = replay_all(&mut from_genesis(&bench), &bench, &mut wrong).unwrap_err();
    assert_eq!(fault, Fault::Block { index: BlockIndex(1), problem: BlockProblem::Seal });
}

#[test]
fn every_flipped_bit_of_a_block_is_found() {
    let mut bench = Bench::new("");
    bench.send(with_id(added("a", 1), b"x"));
    bench.send(acts(&[Act::RaiseMany(2, "k".into())]));
    bench.seal(Seal::Snapshot);
    let sealed = bench.blocks.pop().unwrap();
    for part in [0, 1] {
        let len = if part == 0 { sealed.header_bytes.len() } else { sealed.body.len() };
        for bit in 0..len * 8 {
            let mut damaged = sealed.clone();
            let bytes = if part == 0 { &mut damaged.header_bytes } else { &mut damaged.body };
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut machine = Machine { guest: &mut Native::default(), blobs: &bench.blobs };
            let found = replay(&mut from_genesis(&bench), &mut machine, raw(&damaged));
            // A header with another seed may replay, if no module looked at its entropy; then it names another block.
            assert!(found.is_err() || part == 0, "part {part}, bit {bit}");
            assert!(found.as_ref().map_or(true, |found| found.hash != sealed.hash), "part {part}, bit {bit}");
        }
    }
}

#[test]
fn blocks_out_of_order_and_foreign_blocks_are_refused() {
    let mut bench = Bench::new("");
    for n in 0..3 {
        bench.send(added("a", n));
        bench.seal(Seal::Plain);
    }
    let mut other = Bench::new(r#""events_per_call_max": 7"#);
    other.send(added("a", 0));
    other.seal(Seal::Plain);
    for (block, problem) in [(&bench.blocks[2], BlockProblem::Chain), (&other.blocks[1], BlockProblem::Chain)] {
        let mut machine = Machine { guest: &mut Native::default(), blobs: &bench.blobs };
        let fault = replay(&mut from_genesis(&bench), &mut machine, raw(block)).unwrap_err();
        assert_eq!(fault, Fault::Block { index: BlockIndex(1), problem });
    }
}

#[test]
fn a_fault_stops_the_world_before_anything_is_written() {
    struct Broken;
    impl aos_kernel::guest::Guest for Broken {
        fn call(
            &mut self,
            module: &aos_air::hash::Digest,
            _: aos_air::module::Entry,
            _: &[u8],
            _: aos_kernel::guest::Allowance,
            _: &mut Vec<u8>,
        ) -> Result<u64, aos_kernel::guest::CallError> {
            Err(GuestFault::Engine(*module).into())
        }
    }
    let mut bench = Bench::new("");
    let Ok(aos_kernel::Admission::Admitted(admitted)) = bench.admit(added("a", 1)) else { panic!("not admitted") };
    let mut machine = Machine { guest: &mut Broken, blobs: &bench.blobs };
    let fault = bench.world.apply(&mut machine, admitted).unwrap_err();
    assert_eq!(fault.code(), "module.engine");
    assert_eq!(bench.world.seal(Seal::Plain, &bench.blobs).unwrap_err(), Fault::Stopped);
    assert_eq!(bench.world.height(), Height(0));
}

#[test]
fn a_snapshot_that_fits_no_header_is_refused() {
    let mut bench = Bench::new("");
    bench.send(added("a", 1));
    let sealed = bench.seal(Seal::Snapshot);
    let good = sealed.snapshot.unwrap();
    let plain = aos_kernel::Snapshot {
        header: {
            bench.send(added("a", 1));
            bench.seal(Seal::Plain).header_bytes
        },
        earlier: good.earlier.clone(),
    };
    let foreign = aos_kernel::Snapshot { header: good.header.clone(), earlier: aos_kernel::Mountain::default() };
    for snapshot in [plain, foreign] {
        assert_eq!(World::restore(&snapshot, &bench.blobs).map(|_| ()).unwrap_err().code(), "snapshot.damaged");
    }
}
