//! The test vectors of `spec/vectors/journal`, which were made by another implementation: two worlds call by call, one of
//! them with plans and effects, and bytes that are refused. The parts of a world are in `vectors/parts.rs`.

mod parts;

use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;

use aos_air::hash::Digest;
use aos_air::limits::Limits;
use aos_air::module::Entry;
use aos_air::validate::{self, Checked, Manifest, Source};
use aos_kernel::block::Header;
use aos_kernel::bundle::Bundle;
use aos_kernel::derived::Derived;
use aos_kernel::frame::Frame;
use aos_kernel::genesis::{EffectMode, Genesis};
use aos_kernel::guest::{Allowance, CallError, Guest, Trap};
use aos_kernel::id::{IntentId, StateRoot};
use aos_kernel::index::Index;
use aos_kernel::input::{Actor, Body, Event, Input, Opening, Signed, Stamp};
use aos_kernel::{Admission, EXECUTOR, Machine, Seal, Sealed, Snapshot, World};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const AIR: &str = include_str!("../../../../spec/vectors/journal/world.air.json");
const WORLD: &str = include_str!("../../../../spec/vectors/journal/world.json");
const EFFECTS_AIR: &str = include_str!("../../../../spec/vectors/journal/effects.air.json");
const EFFECTS: &str = include_str!("../../../../spec/vectors/journal/effects.json");
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
#[serde(deny_unknown_fields)]
struct WorldVector {
    #[serde(rename = "about")]
    _about: String,
    modules: BTreeMap<String, Hex>,
    nodes: Vec<NodeVector>,
    genesis: GenesisVector,
    #[serde(default)]
    intents: Vec<IntentVector>,
    blocks: Vec<BlockVector>,
    bundle: Hex,
    #[serde(default)]
    refused: Vec<RefusedFrames>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusedFrames {
    what: String,
    block: usize,
    frames: Vec<Hex>,
    code: String,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntentVector {
    height: u64,
    kind: String,
    grant: String,
    author_key: Option<String>,
    request_hash: Text<Digest>,
    intent: Text<Digest>,
    outward_key: Hex,
    dispatch: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeVector {
    hash: Text<Digest>,
    node: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
struct OpeningVector {
    time_base_ns: Text<u64>,
    seed: Hex,
    time_step_allowed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputVector {
    actor: BTreeMap<String, Option<String>>,
    id: Option<Hex>,
    event: Option<EventVector>,
    message: Option<MessageVector>,
    receipt: Option<SignedVector>,
    decision: Option<SignedVector>,
    attempt: Option<Text<Digest>>,
    #[serde(default)]
    tick: bool,
    now_ns: Text<u64>,
    calls: Vec<CallVector>,
    frame: Hex,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventVector {
    schema: String,
    value: Hex,
    key: Option<Hex>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageVector {
    value: Hex,
    key: Option<Hex>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedVector {
    bytes: Hex,
    signature: Hex,
}

impl SignedVector {
    fn signed(&self) -> Signed {
        Signed { bytes: self.bytes.0.clone(), signature: self.signature.0.clone().try_into().unwrap() }
    }
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
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
            "adapter" => Actor::Adapter(name),
            "inbox" => Actor::Inbox(name),
            other => panic!("{other}"),
        };
        let mut bodies: Vec<Body> = Vec::new();
        bodies.extend(self.event.as_ref().map(|event| {
            let key = event.key.as_ref().map(|key| key.0.clone());
            Body::Event(Event { schema: event.schema.clone(), value: event.value.0.clone(), key })
        }));
        bodies.extend(self.message.as_ref().map(|message| {
            let key = message.key.as_ref().map(|key| key.0.clone());
            Body::Message { value: message.value.0.clone(), key }
        }));
        bodies.extend(self.receipt.as_ref().map(|receipt| Body::Receipt(receipt.signed())));
        bodies.extend(self.decision.as_ref().map(|decision| Body::Decision(decision.signed())));
        bodies.extend(self.attempt.map(|intent| Body::Attempt(IntentId(intent.0))));
        bodies.extend(self.tick.then_some(Body::Tick));
        assert_eq!(bodies.len(), 1, "an input has one body");
        Input { actor, id: self.id.as_ref().map(|id| id.0.clone()), body: bodies.remove(0) }
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
        _: Entry,
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

fn manifest(vector: &WorldVector, air: &str) -> Checked<Manifest> {
    let source = Source { file: "world.air.json".into(), text: air.into() };
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
    play(AIR, &from_text(WORLD));
}

#[test]
fn a_world_with_plans_and_effects_from_its_genesis_to_its_bundle() {
    let vector: WorldVector = from_text(EFFECTS);
    assert_eq!(play(EFFECTS_AIR, &vector), vector.intents);
}

#[test]
fn frames_that_are_no_frames_or_not_what_happened() {
    let vector: WorldVector = from_text(EFFECTS);
    let whole = Bundle::decode(&vector.bundle.0).unwrap();
    assert!(!vector.refused.is_empty());
    for RefusedFrames { what, block, frames, code } in &vector.refused {
        let mut bundle = whole.clone();
        bundle.blocks.truncate(block + 1);
        let (header, body) = bundle.blocks.last_mut().unwrap();
        let mut ends = Vec::new();
        body.clear();
        for frame in frames {
            body.extend_from_slice(&frame.0);
            ends.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        }
        let fitting = Header {
            body_bytes: body.len() as u64,
            body_root: Digest::of(body),
            frames: frames.len() as u64,
            ends_root: Digest::of(&ends),
            ..Header::decode(header).unwrap()
        };
        *header = fitting.encode();
        let fault = bundle.replay(&mut Player::of(&vector), &mut |_| ()).map(drop).unwrap_err();
        assert_eq!(fault.code(), code, "{what}: {fault}");
    }
}

/// Makes the world of the vectors again, and compares every byte. Returns the intents that were asked for, in order.
fn play(air: &str, vector: &WorldVector) -> Vec<IntentVector> {
    let manifest = manifest(vector, air);
    let nodes: Vec<(Digest, &[u8])> = manifest.nodes().collect();
    let expected: Vec<(Digest, &[u8])> = vector.nodes.iter().map(|node| (node.hash.0, &*node.node.0)).collect();
    assert_eq!(nodes, expected);
    let mut blobs: BTreeMap<Digest, Vec<u8>> = expected.iter().map(|(hash, node)| (*hash, node.to_vec())).collect();
    blobs.extend(vector.modules.values().map(|bytes| (Digest::of(&bytes.0), bytes.0.clone())));
    let bundled = blobs.clone();

    let (mut world, sealed) = World::create(genesis(&vector.genesis), manifest).unwrap();
    blobs.extend(sealed.blobs.iter().cloned());
    assert_sealed(&sealed, &vector.blocks[0], &blobs);
    let (mut player, mut intents) = (Player::of(vector), Vec::new());
    for expected in &vector.blocks[1..] {
        let sealed = drive(&mut world, &mut player, expected, &blobs, &mut intents);
        blobs.extend(sealed.blobs.iter().cloned());
        assert_sealed(&sealed, expected, &blobs);
    }
    assert!(player.calls.is_empty());

    let blocks = vector.blocks.iter().map(|block| (block.header.0.clone(), block.body.0.clone())).collect();
    let bundle = Bundle { world: world.id(), blocks, blobs: bundled };
    assert_eq!(bundle.encode(), vector.bundle.0);
    let replayed = Bundle::decode(&vector.bundle.0).unwrap().replay(&mut Player::of(vector), &mut |_| ()).unwrap();
    assert_eq!((replayed.head(), replayed.state_root()), (world.head(), world.state_root()));
    for block in &vector.blocks {
        let Some(record) = &block.snapshot else { continue };
        let restored = World::restore(&Snapshot::decode(&record.0).unwrap(), &blobs).unwrap();
        assert_eq!(
            (restored.head().1.0, restored.state_root().unwrap().0),
            (block.hash.0, block.state_root.unwrap().0)
        );
    }
    intents
}

/// Applies the inputs of a block and seals it.
fn drive(
    world: &mut World,
    player: &mut Player,
    expected: &BlockVector,
    blobs: &BTreeMap<Digest, Vec<u8>>,
    intents: &mut Vec<IntentVector>,
) -> Sealed {
    let time_base_ns = expected.opening.time_base_ns.0;
    let seed = expected.opening.seed.0.clone().try_into().unwrap();
    world.begin(Opening { time_base_ns, seed, time_step_allowed: expected.opening.time_step_allowed });
    for vector in &expected.inputs {
        let stamp = Stamp { now_ns: vector.now_ns.0 };
        let Ok(Admission::Admitted(admitted)) = world.admit(vector.input(), stamp, blobs).unwrap() else {
            panic!("not admitted: {:?} at {}", vector.input(), world.height())
        };
        let frame = world.apply(&mut Machine { guest: &mut *player, blobs }, admitted).unwrap();
        assert_eq!(Hex(bytes_of(&frame, world, time_base_ns)), vector.frame, "height {}", frame.height);
        intents.extend(asked(&frame, world, blobs));
        if vector.id.is_some() {
            let Ok(Admission::Known { height, outcome }) = world.admit(vector.input(), stamp, blobs).unwrap() else {
                panic!("a resend at height {} is not known", frame.height)
            };
            assert_eq!((height, outcome), (frame.height, frame.outcome));
        }
    }
    world.seal(if expected.snapshot.is_some() { Seal::Snapshot } else { Seal::Plain }, blobs).unwrap()
}

/// Returns the intents that a frame asked for.
fn asked(frame: &Frame, world: &World, blobs: &BTreeMap<Digest, Vec<u8>>) -> Vec<IntentVector> {
    let ids = frame.derived.iter().filter_map(|derived| match derived {
        Derived::Asked { intent, .. } => Some(*intent),
        _ => None,
    });
    ids.map(|id| {
        let intent = world.intent(blobs, id).unwrap().unwrap();
        assert_eq!(intent.id, id);
        IntentVector {
            height: intent.height.0,
            request_hash: Text(intent.request_hash()),
            intent: Text(id.0),
            outward_key: Hex(intent.outward_key(world.id()).as_bytes().to_vec()),
            dispatch: intent.class.word().into(),
            kind: intent.kind,
            grant: intent.grant,
            author_key: intent.author_key,
        }
    })
    .collect()
}

fn bytes_of(frame: &Frame, world: &World, time_base_ns: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.write(world.program(), time_base_ns, &mut bytes);
    bytes
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefusedVector {
    #[serde(rename = "about")]
    _about: String,
    genesis: Vec<Refused>,
    header: Vec<Refused>,
    snapshot: Vec<Refused>,
    restore: Vec<Refused>,
    bundle: Vec<Refused>,
    replay: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
