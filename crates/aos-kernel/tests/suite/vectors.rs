//! The test vectors of `spec/vectors/journal`, which were made by another implementation: a world call by call, the
//! mountain range, the tree of the state index, and bytes that are refused.

use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;

use aos_air::def::Definition;
use aos_air::hash::Digest;
use aos_air::limits::Limits;
use aos_air::schema::Shape;
use aos_air::text::{At, Report, parse};
use aos_air::validate::{self, Checked, Manifest, Source};
use aos_kernel::block::Header;
use aos_kernel::bundle::Bundle;
use aos_kernel::frame::Frame;
use aos_kernel::genesis::{EffectMode, Genesis};
use aos_kernel::guest::{Allowance, CallError, Guest, Trap};
use aos_kernel::id::{BlockHash, StateRoot};
use aos_kernel::index::{Index, TreeFault};
use aos_kernel::input::{Actor, Body, Event, Input, Opening, Stamp};
use aos_kernel::{Admission, EXECUTOR, Machine, Mountain, Seal, Sealed, Snapshot, World};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const AIR: &str = include_str!("../../../../spec/vectors/journal/world.air.json");
const WORLD: &str = include_str!("../../../../spec/vectors/journal/world.json");
const MOUNTAIN: &str = include_str!("../../../../spec/vectors/journal/mountain.json");
const INDEX: &str = include_str!("../../../../spec/vectors/journal/index.json");
const LENIENT: &str = include_str!("../../../../spec/vectors/journal/lenient.json");
const REFUSED: &str = include_str!("../../../../spec/vectors/journal/refused.json");

fn from_text<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap()
}

/// Bytes in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "String")]
struct Hex(Vec<u8>);

impl From<String> for Hex {
    fn from(text: String) -> Self {
        assert!(text.len().is_multiple_of(2), "{text}");
        Self((0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect())
    }
}

/// A digest or a number as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String", bound = "T: FromStr")]
struct Text<T>(T);

impl<T: FromStr> TryFrom<String> for Text<T> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| text)
    }
}

#[derive(Deserialize)]
struct WorldVector {
    modules: BTreeMap<String, Hex>,
    nodes: Vec<NodeVector>,
    genesis: GenesisVector,
    blocks: Vec<BlockVector>,
    bundle: Hex,
}

#[derive(Deserialize)]
struct NodeVector {
    hash: Text<Digest>,
    node: Hex,
}

#[derive(Deserialize)]
struct GenesisVector {
    executor: u64,
    manifest: Text<Digest>,
    limits: Limits,
    effect_mode: u64,
    created_ns: Text<u64>,
    nonce: Hex,
    bytes: Hex,
    world: Text<Digest>,
}

#[derive(Deserialize)]
struct BlockVector {
    opening: OpeningVector,
    inputs: Vec<InputVector>,
    header: Hex,
    body: Hex,
    hash: Text<Digest>,
    state_root: Option<Text<Digest>>,
    records: Vec<(Hex, Hex)>,
    nodes: Vec<Hex>,
    snapshot: Option<Hex>,
}

#[derive(Deserialize)]
struct OpeningVector {
    time_base_ns: Text<u64>,
    seed: Hex,
    time_step_allowed: bool,
}

#[derive(Deserialize)]
struct InputVector {
    actor: BTreeMap<String, Option<String>>,
    id: Option<Hex>,
    event: Option<EventVector>,
    message: Option<MessageVector>,
    now_ns: Text<u64>,
    calls: Vec<CallVector>,
    frame: Hex,
}

#[derive(Deserialize)]
struct EventVector {
    schema: String,
    value: Hex,
    key: Option<Hex>,
}

#[derive(Deserialize)]
struct MessageVector {
    value: Hex,
    key: Option<Hex>,
}

#[derive(Clone, Deserialize)]
struct CallVector {
    module: String,
    fuel: u64,
    call: Hex,
    reply: Option<Hex>,
    trap: Option<String>,
    used: u64,
}

impl InputVector {
    fn input(&self) -> Input {
        let (kind, name) = self.actor.first_key_value().unwrap();
        let name = name.clone().unwrap_or_default();
        let actor = match kind.as_str() {
            "host" => Actor::Host,
            "principal" => Actor::Principal(name),
            "inbox" => Actor::Inbox(name),
            other => panic!("{other}"),
        };
        let bytes = |hex: &Option<Hex>| hex.as_ref().map(|hex| hex.0.clone());
        let body = match (&self.event, &self.message) {
            (Some(event), None) => Body::Event(Event {
                schema: event.schema.clone(),
                value: event.value.0.clone(),
                key: bytes(&event.key),
            }),
            (None, Some(message)) => Body::Message { value: message.value.0.clone(), key: bytes(&message.key) },
            _ => panic!("an input is one event or one message"),
        };
        Input { actor, id: bytes(&self.id), body }
    }
}

/// Gives the answers of the vectors, and checks that the calls are those of the vectors.
struct Player {
    modules: BTreeMap<String, Digest>,
    calls: VecDeque<CallVector>,
}

impl Player {
    fn of(world: &WorldVector) -> Self {
        let modules = world.modules.iter().map(|(name, bytes)| (name.clone(), Digest::of(&bytes.0))).collect();
        let inputs = world.blocks.iter().flat_map(|block| &block.inputs);
        Self { modules, calls: inputs.flat_map(|input| input.calls.clone()).collect() }
    }
}

impl Guest for Player {
    fn call(
        &mut self,
        module: &Digest,
        input: &[u8],
        allowance: Allowance,
        output: &mut Vec<u8>,
    ) -> Result<u64, CallError> {
        let call = self.calls.pop_front().unwrap();
        assert_eq!((self.modules[&call.module], call.fuel), (*module, allowance.fuel));
        assert_eq!(call.call.0, input);
        output.clear();
        let trap = match call.trap.as_deref() {
            None => {
                output.extend(call.reply.unwrap().0);
                return Ok(call.used);
            }
            Some("trap") => Trap::Trap,
            Some("fuel") => Trap::Fuel,
            Some(other) => panic!("{other}"),
        };
        Err(CallError::Failed { trap, fuel_used: call.used })
    }
}

fn manifest(vector: &WorldVector) -> Checked<Manifest> {
    let source = Source { file: "world.air.json".into(), text: AIR.into() };
    let wasm = |name: &aos_air::name::Name| vector.modules.get(name.as_str()).map(|bytes| Digest::of(&bytes.0));
    validate::load(&[source], &wasm).unwrap_or_else(|findings| panic!("{findings}"))
}

fn genesis(vector: &GenesisVector) -> Genesis {
    assert_eq!((vector.executor, vector.effect_mode), (EXECUTOR, EffectMode::Live.number()));
    let genesis = Genesis {
        executor: vector.executor,
        manifest: vector.manifest.0,
        limits: vector.limits.clone(),
        effect_mode: EffectMode::Live,
        created_ns: vector.created_ns.0,
        nonce: vector.nonce.0.clone().try_into().unwrap(),
    };
    assert_eq!(genesis.encode(), vector.bytes.0);
    assert_eq!(Genesis::decode(&vector.bytes.0), Ok(genesis.clone()));
    assert_eq!(genesis.id().0, vector.world.0);
    assert_eq!(vector.limits, Limits::default(), "the example has the limits of a new world");
    genesis
}

fn assert_sealed(sealed: &Sealed, expected: &BlockVector, blobs: &BTreeMap<Digest, Vec<u8>>) {
    assert_eq!(sealed.body, expected.body.0);
    assert_eq!(sealed.header_bytes, expected.header.0);
    assert_eq!(sealed.hash.0, expected.hash.0);
    assert_eq!(Header::decode(&expected.header.0).unwrap(), sealed.header);
    assert_eq!(sealed.header.state_root.map(|root| root.0), expected.state_root.map(|root| root.0));
    assert_eq!(sealed.snapshot.as_ref().map(|s| Hex(s.encode())), expected.snapshot);
    for node in &expected.nodes {
        assert_eq!(blobs.get(&Digest::of(&node.0)), Some(&node.0), "a node of the state");
    }
    if let Some(root) = expected.state_root {
        assert_eq!(records(&Index::at(StateRoot(root.0)), blobs), expected.records);
    }
}

fn records(index: &Index, blobs: &BTreeMap<Digest, Vec<u8>>) -> Vec<(Hex, Hex)> {
    let mut records = Vec::new();
    let mut visit = |key: &[u8], value: &aos_kernel::index::Bytes| {
        records.push((Hex(key.into()), Hex(value.to_vec())));
        true
    };
    index.scan(blobs, &[], &mut visit).unwrap();
    records
}

#[test]
fn a_world_from_its_genesis_to_its_bundle() {
    let vector: WorldVector = from_text(WORLD);
    let manifest = manifest(&vector);
    let nodes: Vec<(Digest, &[u8])> = manifest.nodes().collect();
    let expected: Vec<(Digest, &[u8])> = vector.nodes.iter().map(|node| (node.hash.0, &*node.node.0)).collect();
    assert_eq!(nodes, expected);
    let mut blobs: BTreeMap<Digest, Vec<u8>> = expected.iter().map(|(hash, node)| (*hash, node.to_vec())).collect();
    blobs.extend(vector.modules.values().map(|bytes| (Digest::of(&bytes.0), bytes.0.clone())));
    let bundled = blobs.clone();

    let (mut world, sealed) = World::create(genesis(&vector.genesis), manifest).unwrap();
    blobs.extend(sealed.blobs.iter().cloned());
    assert_sealed(&sealed, &vector.blocks[0], &blobs);
    let mut player = Player::of(&vector);
    for expected in &vector.blocks[1..] {
        let sealed = drive(&mut world, &mut player, expected, &blobs);
        blobs.extend(sealed.blobs.iter().cloned());
        assert_sealed(&sealed, expected, &blobs);
    }
    assert!(player.calls.is_empty());

    let blocks = vector.blocks.iter().map(|block| (block.header.0.clone(), block.body.0.clone())).collect();
    let bundle = Bundle { world: world.id(), blocks, blobs: bundled };
    assert_eq!(bundle.encode(), vector.bundle.0);
    let replayed = Bundle::decode(&vector.bundle.0).unwrap().replay(&mut Player::of(&vector), &mut |_| ()).unwrap();
    assert_eq!((replayed.head(), replayed.state_root()), (world.head(), world.state_root()));
    for block in &vector.blocks {
        let Some(record) = &block.snapshot else { continue };
        let restored = World::restore(&Snapshot::decode(&record.0).unwrap(), &blobs).unwrap();
        assert_eq!(
            (restored.head().1.0, restored.state_root().unwrap().0),
            (block.hash.0, block.state_root.unwrap().0)
        );
    }
}

/// Applies the inputs of a block and seals it.
fn drive(world: &mut World, player: &mut Player, expected: &BlockVector, blobs: &BTreeMap<Digest, Vec<u8>>) -> Sealed {
    let time_base_ns = expected.opening.time_base_ns.0;
    let seed = expected.opening.seed.0.clone().try_into().unwrap();
    world.begin(Opening { time_base_ns, seed, time_step_allowed: expected.opening.time_step_allowed });
    for vector in &expected.inputs {
        let stamp = Stamp { now_ns: vector.now_ns.0 };
        let Ok(Admission::Admitted(admitted)) = world.admit(vector.input(), stamp, blobs).unwrap() else {
            panic!("not admitted: {:?}", vector.input())
        };
        let frame = world.apply(&mut Machine { guest: &mut *player, blobs }, admitted).unwrap();
        assert_eq!(Hex(bytes_of(&frame, world, time_base_ns)), vector.frame, "height {}", frame.height);
        if vector.id.is_some() {
            let Ok(Admission::Known { height, outcome }) = world.admit(vector.input(), stamp, blobs).unwrap() else {
                panic!("a resend at height {} is not known", frame.height)
            };
            assert_eq!((height, outcome), (frame.height, frame.outcome));
        }
    }
    world.seal(if expected.snapshot.is_some() { Seal::Snapshot } else { Seal::Plain }, blobs).unwrap()
}

fn bytes_of(frame: &Frame, world: &World, time_base_ns: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.write(world.program(), time_base_ns, &mut bytes);
    bytes
}

#[derive(Deserialize)]
struct MountainVector {
    leaves: Vec<Text<Digest>>,
    roots: Vec<RootVector>,
}

#[derive(Deserialize)]
struct RootVector {
    leaves: usize,
    peaks: Vec<Text<Digest>>,
    root: Text<Digest>,
}

#[test]
fn mountain_ranges() {
    let vector: MountainVector = from_text(MOUNTAIN);
    assert_eq!(vector.roots.len(), vector.leaves.len() + 1);
    let mut mountain = Mountain::default();
    for (count, expected) in vector.roots.iter().enumerate() {
        let peaks: Vec<Digest> = expected.peaks.iter().map(|peak| peak.0).collect();
        assert_eq!(count, expected.leaves);
        assert_eq!((mountain.peaks(), mountain.root()), (&*peaks, expected.root.0), "{count} leaves");
        if let Some(leaf) = vector.leaves.get(count) {
            mountain.push(BlockHash(leaf.0));
        }
    }
}

#[derive(Deserialize)]
struct IndexVector {
    maps: Vec<MapVector>,
    changes: Vec<ChangesVector>,
    node: Hex,
    refused_nodes: Vec<RefusedNode>,
}

#[derive(Deserialize)]
struct MapVector {
    what: String,
    records: Vec<(Hex, Hex)>,
    root: Text<Digest>,
    nodes: Vec<Hex>,
}

#[derive(Deserialize)]
struct ChangesVector {
    before: Vec<(Hex, Hex)>,
    after: Vec<(Hex, Hex)>,
    changes: Text<Digest>,
}

#[derive(Deserialize)]
struct RefusedNode {
    what: String,
    node: Hex,
}

/// Makes the changes that lead from one map to another.
fn lead(index: &mut Index, blobs: &BTreeMap<Digest, Vec<u8>>, before: &[(Hex, Hex)], after: &[(Hex, Hex)]) {
    for (key, _) in before {
        index.set(blobs, key.0.clone(), None).unwrap();
    }
    for (key, value) in after {
        index.set(blobs, key.0.clone(), Some(value.0.as_slice().into())).unwrap();
    }
}

#[test]
fn trees_of_the_state_index() {
    let vector: IndexVector = from_text(INDEX);
    for map in &vector.maps {
        let mut index = Index::empty();
        lead(&mut index, &BTreeMap::new(), &[], &map.records);
        index.end_block();
        let (root, made) = index.flush(&BTreeMap::new()).unwrap();
        let mut nodes: Vec<Hex> = made.iter().map(|(_, node)| Hex(node.clone())).collect();
        nodes.sort();
        assert_eq!((root.0, &nodes), (map.root.0, &map.nodes), "{}", map.what);
        assert_eq!(records(&Index::at(root), &made.into_iter().collect()), map.records, "{}", map.what);
    }
    for change in &vector.changes {
        let (mut index, blobs) = (Index::empty(), BTreeMap::new());
        lead(&mut index, &blobs, &[], &change.before);
        index.end_block();
        lead(&mut index, &blobs, &change.before, &change.after);
        assert_eq!(index.end_block(), change.changes.0);
    }
    let read = |node: &Hex| {
        let root = Digest::of(&node.0);
        let blobs = BTreeMap::from([(root, node.0.clone())]);
        Index::at(StateRoot(root)).value(&blobs, &[0x20]).map(drop)
    };
    assert_eq!(read(&vector.node), Ok(()));
    for refused in &vector.refused_nodes {
        assert!(matches!(read(&refused.node), Err(TreeFault::Node(_))), "{}", refused.what);
    }
}

#[derive(Deserialize)]
struct LenientVector {
    cases: Vec<LenientCase>,
}

#[derive(Deserialize)]
struct LenientCase {
    r#type: serde_json::Value,
    bytes: Hex,
    bytes_max: u64,
    canonical: Option<Hex>,
    code: Option<String>,
    pointer: Option<String>,
}

fn shape(written: &serde_json::Value) -> std::sync::Arc<Shape> {
    let document = serde_json::json!({"$kind": "defschema", "name": "vector/Type@1", "type": written}).to_string();
    let (tree, report) = (parse(&document).unwrap(), Report::default());
    match Definition::read(&At::root(&tree, &report)) {
        Some(Definition::Schema(schema)) => Shape::resolve(&schema.written, &|_| None).unwrap(),
        _ => panic!("{document}"),
    }
}

#[test]
fn what_a_guest_may_write() {
    for case in from_text::<LenientVector>(LENIENT).cases {
        let shape = shape(&case.r#type);
        let found = shape.canonical(&case.bytes.0, case.bytes_max).map(|bytes| Hex(bytes.into_owned()));
        let words = format!("{:x?} as {} under {}: {found:?}", case.bytes.0, case.r#type, case.bytes_max);
        assert_eq!(found.as_ref().ok(), case.canonical.as_ref(), "{words}");
        let mismatch = found.err();
        assert_eq!(mismatch.as_ref().map(|found| found.code()), case.code.as_deref(), "{words}");
        // Where a value is too large is not part of what a frame says.
        if let Some(pointer) = case.pointer {
            assert_eq!(mismatch.map(|found| found.pointer), Some(pointer), "{words}");
        }
    }
}

#[derive(Deserialize)]
struct RefusedVector {
    genesis: Vec<Refused>,
    header: Vec<Refused>,
    snapshot: Vec<Refused>,
    restore: Vec<Refused>,
    bundle: Vec<Refused>,
    replay: Vec<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    what: String,
    bytes: Hex,
    #[serde(default)]
    code: String,
}

#[test]
fn bytes_that_are_refused() {
    let vector: RefusedVector = from_text(REFUSED);
    let world: WorldVector = from_text(WORLD);
    for Refused { what, bytes, .. } in &vector.genesis {
        assert!(Genesis::decode(&bytes.0).is_err(), "{what}");
    }
    for Refused { what, bytes, .. } in &vector.header {
        assert!(Header::decode(&bytes.0).is_err(), "{what}");
    }
    for Refused { what, bytes, .. } in &vector.snapshot {
        assert!(Snapshot::decode(&bytes.0).is_err(), "{what}");
    }
    for Refused { what, bytes, .. } in &vector.restore {
        let restored = World::restore(&Snapshot::decode(&bytes.0).unwrap(), &BTreeMap::new());
        assert_eq!(restored.map(drop).unwrap_err().code(), "snapshot.damaged", "{what}");
    }
    for Refused { what, bytes, code } in &vector.bundle {
        assert_eq!(Bundle::decode(&bytes.0).unwrap_err().code(), code, "{what}");
    }
    for Refused { what, bytes, code } in &vector.replay {
        let replayed = Bundle::decode(&bytes.0).unwrap().replay(&mut Player::of(&world), &mut |_| ());
        assert_eq!(replayed.map(drop).unwrap_err().code(), code, "{what}");
    }
}
