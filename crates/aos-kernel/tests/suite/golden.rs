//! Golden bytes: a fixed world with fixed stamps has these ids, frames and hashes. Changing one is a change of format.

use aos_kernel::Seal;
use aos_kernel::block::Header;
use aos_kernel::genesis::Genesis;

use crate::support::{Act, Bench, acts, added, assert_kept, with_id};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_fixed_world_has_fixed_bytes() {
    let mut bench = Bench::new("");
    bench.send(with_id(added("ann", 5), b"id"));
    bench.send(acts(&[Act::Trap]));
    let sealed = bench.seal(Seal::Snapshot);
    let lines = [
        ("world", bench.world.id().to_string()),
        ("genesis body", hex(&bench.blocks[0].body)),
        ("genesis block", bench.blocks[0].hash.to_string()),
        ("body", hex(&sealed.body)),
        ("header", hex(&sealed.header_bytes)),
        ("block", sealed.hash.to_string()),
        ("state root", sealed.header.state_root.unwrap().to_string()),
        ("snapshot", hex(&sealed.snapshot.unwrap().encode())),
    ];
    let text: Vec<String> = lines.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let text = text.join("\n");
    assert_kept!("golden", "a_fixed_world_has_fixed_bytes", text);
}

#[test]
fn every_format_reads_back_what_it_writes() {
    let mut bench = Bench::new("");
    bench.send(added("ann", 5));
    let sealed = bench.seal(Seal::Snapshot);
    assert_eq!(Header::decode(&sealed.header_bytes).unwrap(), sealed.header);
    let snapshot = sealed.snapshot.unwrap();
    assert_eq!(aos_kernel::Snapshot::decode(&snapshot.encode()).unwrap(), snapshot);
    let genesis = Genesis::decode(&bench.blocks[0].body).unwrap();
    assert_eq!((genesis.encode(), genesis.id()), (bench.blocks[0].body.clone(), bench.world.id()));
    for bytes in [&sealed.header_bytes, &snapshot.encode(), &bench.blocks[0].body] {
        for at in 0..bytes.len() {
            let cut = &bytes[..at];
            assert!(
                Header::decode(cut).is_err()
                    && aos_kernel::Snapshot::decode(cut).is_err()
                    && Genesis::decode(cut).is_err()
            );
        }
    }
}

/// A genesis from elsewhere with a limit of zero once stopped the process at the first input with an id.
#[test]
fn a_genesis_with_a_limit_out_of_range_is_refused() {
    let mut genesis = Genesis::decode(&Bench::new("").blocks[0].body).unwrap();
    for wrong in [0, u64::MAX] {
        genesis.limits.input_ids_kept = wrong;
        assert_eq!(Genesis::decode(&genesis.encode()).unwrap_err().code(), "cbor.range");
    }
}
