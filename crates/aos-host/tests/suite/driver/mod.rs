//! The driver with real modules, on real files, killed and damaged for real.
//!
//! Here: the counter of the ladder, built once and cached, engines of both strategies, a clock and entropy that a test
//! decides, and inputs. The n-th event of a test has the id n, so that a height tells which events are in a world.
//! Read next: `answers.rs`.

mod answers;
mod crash;
mod damage;
mod guests;
mod replay;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_air::validate::{self, Source};
use aos_host::build::{Builder, Built};
use aos_host::driver::{Ambient, DriveError, Driver, Opened, Options, Start, Verify};
use aos_host::load;
use aos_host::store::{FileStore, Head, Origin, Store, StoreId};
use aos_host::wasm::{CodeCache, Engine, Strategy};
use aos_kernel::id::{Height, WorldId};
use aos_kernel::input::{Actor, Body, Event, Input};
use serde::{Deserialize, Serialize};

const COUNTER: &str = "demo/Counter@1";
const COUNTER_EVENT: &str = "demo/CounterEvent@1";
const STRATEGIES: [Strategy; 2] = [Strategy::Optimised, Strategy::Unoptimised];
const LEVELS: [Verify; 3] = [Verify::Tail, Verify::Chain, Verify::History];

/// The time at which the worlds of the tests are made.
const START_NS: u64 = 1_700_000_000_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Count {
    Add(u64),
    Subtract(u64),
    Reset,
}

#[derive(Debug, Deserialize)]
struct CounterState {
    count: u64,
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Where modules and compiled code are kept between runs of the tests.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("aos-cache")
}

/// The counter's module, built from its source.
fn counter() -> &'static Built {
    static COUNTER: OnceLock<Built> = OnceLock::new();
    COUNTER.get_or_init(|| Builder::new(&cache()).build(&examples().join("00-counter/reducer"), &mut |_| {}).unwrap())
}

fn engine(strategy: Strategy) -> Engine {
    static ENGINES: OnceLock<[Engine; 2]> = OnceLock::new();
    let [optimised, unoptimised] = ENGINES.get_or_init(|| {
        STRATEGIES.map(|strategy| Engine::new(strategy, Some(CodeCache::open(&cache().join("code")).unwrap())).unwrap())
    });
    match strategy {
        Strategy::Optimised => optimised.clone(),
        Strategy::Unoptimised => unoptimised.clone(),
    }
}

/// A clock that stands where a test puts it and goes on by a microsecond at each look, and entropy that repeats.
#[derive(Clone, Default)]
struct Script {
    passed_ns: Arc<AtomicU64>,
    drawn: Arc<AtomicU64>,
}

impl Ambient for Script {
    fn now_ns(&mut self) -> Result<u64, DriveError> {
        Ok(START_NS + self.passed_ns.fetch_add(1_000, Ordering::SeqCst))
    }

    fn random(&mut self) -> Result<[u8; 32], DriveError> {
        Ok(*Digest::of(&self.drawn.fetch_add(1, Ordering::SeqCst).to_be_bytes()).as_bytes())
    }
}

fn origin() -> Origin {
    Origin { id: StoreId([7; 32]), created_by: "the driver's tests".to_owned() }
}

fn file(path: &Path) -> Box<dyn Store> {
    Box::new(FileStore::open(path, &origin()).unwrap())
}

/// The counter's world, from the documents of the ladder.
fn demo() -> Start {
    let draft = load::folder(&examples().join("00-counter/air")).unwrap();
    let manifest = draft.check(&|_| Some(counter().digest)).unwrap();
    Start { manifest, modules: vec![(counter().digest, counter().wasm.clone())] }
}

/// A world from a text, whose modules are these, by name.
fn start(air: &str, modules: &[(&str, &[u8])]) -> Start {
    let source = Source { file: "test.air.json".into(), text: air.into() };
    let hash = |name: &aos_air::name::Name| {
        modules.iter().find(|(module, _)| *module == name.as_str()).map(|(_, wasm)| Digest::of(wasm))
    };
    let manifest = validate::load(&[source], &hash).unwrap_or_else(|findings| panic!("{findings}"));
    Start { manifest, modules: modules.iter().map(|(_, wasm)| (Digest::of(wasm), wasm.to_vec())).collect() }
}

fn create(store: Box<dyn Store>, start: Start, options: Options) -> Driver {
    Driver::create(store, engine(Strategy::Optimised), Box::new(Script::default()), start, options).unwrap()
}

fn open(store: Box<dyn Store>, world: WorldId, verify: Verify) -> Result<(Driver, Opened), DriveError> {
    let options = Options { time_step_allowed: true, ..Options::default() };
    let ambient = Box::new(Script::default());
    Driver::open(store, engine(Strategy::Optimised), ambient, world, verify, options, &mut |_| {})
}

/// Options that take a snapshot after so many frames.
fn every(snapshot_frames: u64) -> Options {
    Options { snapshot_frames, ..Options::default() }
}

fn event(schema: &str, value: &impl Serialize) -> Input {
    let event = Event { schema: schema.into(), value: cbor::to_vec(value).unwrap(), key: None };
    Input { actor: Actor::Host, id: None, body: Body::Event(event) }
}

fn with_id(input: Input, id: u64) -> Input {
    Input { id: Some(id.to_string().into_bytes()), ..input }
}

/// The n-th event of a test that only counts.
fn add_one(id: u64) -> Input {
    with_id(event(COUNTER_EVENT, &Count::Add(1)), id)
}

/// What a reducer with the counter's state has counted.
fn count_of(driver: &Driver, reducer: &str) -> Option<u64> {
    let cell = driver.world().unwrap().cell(driver.blobs(), reducer, None).unwrap()?;
    Some(cbor::from_slice::<CounterState>(&cell.state).unwrap().count)
}

fn count(driver: &Driver) -> Option<u64> {
    count_of(driver, COUNTER)
}

fn height(head: &Head) -> Height {
    head.height
}

fn code<T>(result: &Result<T, DriveError>) -> &'static str {
    result.as_ref().err().map_or("ok", DriveError::code)
}
