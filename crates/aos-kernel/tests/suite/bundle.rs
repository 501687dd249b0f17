//! Bundles: they replay on their own, have one form, and show every change.

use aos_kernel::Seal;
use aos_kernel::bundle::{Bundle, BundleError};

use crate::support::{Act, Bench, Native, acts, added};

fn bundle() -> (Bench, Bundle) {
    let mut bench = Bench::new("");
    let program = bench.world.program();
    let nodes = program.manifest().nodes().map(|(hash, node)| (hash, node.to_vec()));
    // A native module's digest is that of its name.
    let modules = program.reducers().iter().map(|reducer| (reducer.wasm, reducer.name.clone().into_bytes()));
    let definitions = nodes.chain(modules).collect();
    for n in 0..20 {
        bench.send(added(&format!("k{n}"), n));
        bench.seal(if n % 7 == 0 { Seal::Snapshot } else { Seal::Plain });
    }
    bench.send(acts(&[Act::Trap]));
    bench.seal(Seal::Snapshot);
    let blocks = bench.blocks.iter().map(|block| (block.header_bytes.clone(), block.body.clone())).collect();
    let bundle = Bundle { world: bench.world.id(), blocks, blobs: definitions };
    (bench, bundle)
}

#[test]
fn a_bundle_replays_without_the_state_nodes() {
    let (bench, bundle) = bundle();
    let read = Bundle::decode(&bundle.encode()).unwrap();
    assert_eq!(read, bundle);
    let world = read.replay(&mut Native::default(), &mut |_| ()).unwrap();
    assert_eq!((world.head(), world.state_root()), (bench.world.head(), bench.world.state_root()));
}

#[test]
fn every_changed_byte_of_a_bundle_is_found() {
    let bytes = bundle().1.encode();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        assert_eq!(Bundle::decode(&damaged), Err(BundleError::Digest), "byte {at}");
    }
    for len in [0, 31, 32, 40, bytes.len() - 1] {
        assert!(Bundle::decode(&bytes[..len]).is_err());
    }
}

#[test]
fn a_bundle_that_lacks_a_blob_or_a_block_does_not_replay() {
    let (bench, whole) = bundle();
    assert_eq!(whole.blobs.len(), bench.world.program().manifest().nodes().count() + 2);
    for hash in whole.blobs.keys() {
        let mut lacking = whole.clone();
        lacking.blobs.remove(hash);
        let fault = lacking.replay(&mut Native::default(), &mut |_| ()).map(|_| ()).unwrap_err();
        assert_eq!(fault.code(), "blob.missing");
        assert!(fault.to_string().contains(&hash.to_string()), "{fault}");
    }
    let mut more = whole.clone();
    more.blobs.insert(aos_air::hash::Digest::of(b"more"), b"more".to_vec());
    assert_eq!(more.replay(&mut Native::default(), &mut |_| ()).map(|_| ()).unwrap_err().code(), "bundle.extra");
    for at in 0..whole.blocks.len() - 1 {
        let mut lacking = whole.clone();
        lacking.blocks.remove(at);
        assert!(lacking.replay(&mut Native::default(), &mut |_| ()).is_err(), "without block {at}");
    }
}
