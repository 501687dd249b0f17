//! A demo from its folder to its story: build, load, drive until nothing is left outside, close, replay without the outside.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aos_air::cbor::{CborError, Problem};
use aos_air::hash::Digest;
use aos_air::name::Name;
use aos_air::schema::{Mismatch, Shape};
use aos_air::text;
use aos_host::build::{Builder, Progress};
use aos_host::cache;
use aos_host::driver::{self, Ambient, Answer, DriveError, Driver, Replayed, Start, StoreBlobs, System, Verify};
use aos_host::keys::Keys;
use aos_host::store::{FILE_NAME, FileStore, Origin, Read, StoreId};
use aos_host::wasm::{CodeCache, Engine, Strategy};
use aos_kernel::bundle::Bundle;
use aos_kernel::derived::Derived;
use aos_kernel::error::{BlockProblem, Fault};
use aos_kernel::frame::Frame;
use aos_kernel::genesis::Genesis;
use aos_kernel::id::{BlockHash, BlockIndex, Height, StateRoot, WorldId};
use aos_kernel::input::{Actor, Body, Input, Signed};
use aos_kernel::intent::Stage;
use aos_kernel::receipt::PrincipalDecision;
use ed25519_dalek::Signer;
use serde_json::{Value, json};

use crate::demo::Demo;
use crate::error::RunError;
use crate::events::{self, Act};
use crate::node::Node;
use crate::out::Output;
use crate::story::{Entry, Teller};

/// How many events go into one commit.
const COMMIT_EVENTS: usize = 64;
/// How many cells of a keyed reducer are shown.
const CELLS_SHOWN: usize = 100;
/// The longest wait until a world is quiet.
const QUIET_MAX: Duration = Duration::from_secs(60);
/// How far ahead a deadline may lie that a run still waits for; an approval may wait for days.
const DEADLINE_MAX: Duration = Duration::from_secs(10);
/// The longest wait for one answer, after which the run looks around.
const TURN: Duration = Duration::from_secs(1);
/// What is left to adapters at the end; nothing runs any more unless the run gave up waiting.
const GRACE: Duration = Duration::from_secs(1);
/// How an effect stands that should have ended.
pub const UNANSWERED: &str = "has no answer";
/// How long an approval counts.
const APPROVAL: Duration = Duration::from_secs(60);

/// How a demo is run.
pub struct Options<'a> {
    /// Builds the WASM again.
    pub force_build: bool,
    /// Where the world is kept; a temporary folder otherwise.
    pub data: Option<&'a Path>,
    /// Where the recorded world is written to.
    pub record: Option<&'a Path>,
}

/// What happened.
#[derive(Default)]
pub struct Happened {
    /// Events that were applied in this run.
    pub applied: u64,
    /// Events that an earlier run had applied.
    pub known: u64,
    /// Events that reducers raised.
    pub derived: u64,
    /// Transactions that failed.
    pub failed: Vec<Failed>,
    /// Events that were refused: number, code, words.
    pub refused: Vec<(usize, &'static str, String)>,
}

/// A transaction that failed.
pub struct Failed {
    /// The height of its frame.
    pub height: Height,
    /// The number of the event in its file, from 1; none where the input was another one.
    pub event: Option<usize>,
    /// The stable code.
    pub code: &'static str,
    /// The reducer's own words, or where in the value; may be empty.
    pub place: String,
}

/// A demo's story.
pub struct Story {
    /// The world.
    pub world: WorldId,
    /// What happened in this run.
    pub happened: Happened,
    /// The same, one thing after the other.
    pub entries: Vec<Entry>,
    /// How many receipts came in.
    pub receipts: u64,
    /// What the demo's server was asked, and how often.
    pub server: BTreeMap<String, u64>,
    /// What is left outside: kind, grant, and how it stands.
    pub open: Vec<(String, String, &'static str)>,
    /// The height of the last frame.
    pub height: Height,
    /// The hash of the last block.
    pub head: BlockHash,
    /// The root of the state.
    pub state_root: StateRoot,
    /// The state of every reducer that has any.
    pub state: Vec<(String, Value)>,
}

/// Runs a demo to its end, and replays it from its genesis.
pub fn run(demo: &Demo, options: &Options<'_>, output: &Output) -> Result<Story, RunError> {
    let cache = cache::folder();
    output.progress(format!("{}: building", demo.slug));
    let temporary = tempfile::tempdir().map_err(RunError::io(Path::new("a temporary folder")))?;
    let folder = options.data.unwrap_or(temporary.path());
    let mut node = Node::open(folder, &demo.folder)?;
    let (start, keys) = start(demo, &mut node, &cache, options.force_build, output)?;
    let acts = events::read(&node.source(&demo.folder.join("events.json"))?, &start.manifest)?;
    let engine = Engine::new(Strategy::Optimised, Some(CodeCache::open(&cache.join("code"))?))?;
    // Whatever is wrong with the demo has been said before there is a world in the data folder.
    start.check(&engine)?;
    fs::create_dir_all(folder).map_err(RunError::io(folder))?;
    let store = FileStore::open(&folder.join(FILE_NAME), &origin()?)?;
    let mut driver = open(store, &engine, start, output)?;
    let mut performance = Performance::begin(&mut driver, &mut node, keys)?;
    performance.play(demo, acts, output)?;
    let last = performance.driver.disconnect(GRACE)?;
    performance.take_all(last)?;
    let Performance { happened, teller, .. } = performance;
    let open = left_open(&driver)?;
    // From here on nothing can be asked any more: the replay needs nobody.
    let server = node.end();
    let (state, state_root, head) = (state(&driver)?, driver.snapshot()?, *driver.head());
    let (world, reader) = (driver.id(), driver.reader()?);
    let run = Replayed { block: head.block, hash: head.hash, height: head.height, state_root: Some(state_root) };
    replay(&*reader, driver.blobs(), world, &run, &mut |height| {
        output.progress(format!("{}: replaying, frame {height} of {}", demo.slug, run.height));
    })?;
    if let Some(path) = options.record {
        write(path, &driver::record(&*reader, driver.blobs(), world)?)?;
    }
    // The store's last handle is the driver's, which leaves one file.
    drop(reader);
    driver.close()?;
    let Teller { entries, receipts, .. } = teller;
    let (height, head) = (run.height, run.hash);
    Ok(Story { world, happened, entries, receipts, server, open, height, head, state_root, state })
}

/// A demo being played on its world.
struct Performance<'a> {
    driver: &'a mut Driver,
    node: &'a mut Node,
    happened: Happened,
    teller: Teller,
    is_connected: bool,
}

impl<'a> Performance<'a> {
    /// Connects the world to the outside, where it has any.
    fn begin(driver: &'a mut Driver, node: &'a mut Node, keys: Option<Arc<Keys>>) -> Result<Self, RunError> {
        let teller = Teller::of(driver.world()?, driver.blobs()).map_err(DriveError::from)?;
        let is_connected = keys.is_some();
        if let Some(keys) = keys {
            let dispatcher = node.dispatcher(driver.blobs())?;
            let doubted = driver.connect(dispatcher, keys)?;
            let mut performance = Self { driver, node, happened: Happened::default(), teller, is_connected };
            // What a run before this one left in doubt is said first.
            performance.take_all(doubted)?;
            return Ok(performance);
        }
        Ok(Self { driver, node, happened: Happened::default(), teller, is_connected })
    }

    fn take_all(&mut self, answers: Vec<Answer>) -> Result<(), RunError> {
        answers.into_iter().try_for_each(|answer| self.take(None, answer))
    }

    fn play(&mut self, demo: &Demo, acts: Vec<Act>, output: &Output) -> Result<(), RunError> {
        let (mut commit, mut number) = (Vec::new(), 0);
        for act in acts {
            output.progress(format!("{}: event {number}", demo.slug));
            match act {
                Act::Send(input) => {
                    commit.push(input);
                    if commit.len() == COMMIT_EVENTS {
                        self.send(&mut commit, &mut number)?;
                    }
                }
                Act::Wait => {
                    self.send(&mut commit, &mut number)?;
                    self.settle(false)?;
                }
                Act::Approve(grant) => {
                    self.send(&mut commit, &mut number)?;
                    self.approve(&grant)?;
                }
            }
        }
        self.send(&mut commit, &mut number)?;
        self.settle(true)
    }

    fn send(&mut self, commit: &mut Vec<Input>, number: &mut usize) -> Result<(), RunError> {
        for answer in self.driver.submit(commit.drain(..))? {
            *number += 1;
            self.take(Some(*number), answer)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Option<usize>, answer: Answer) -> Result<(), RunError> {
        if let Answer::Applied(frame) = &answer {
            self.teller.tell(self.driver.world()?.program(), frame);
        }
        self.happened.take(event, answer);
        Ok(())
    }

    /// Takes in what comes back until nothing is outside; at the end also what is only due.
    fn settle(&mut self, is_last: bool) -> Result<(), RunError> {
        let begun = Instant::now();
        while self.is_connected && begun.elapsed() < QUIET_MAX {
            let (world, blobs) = (self.driver.world()?, self.driver.blobs());
            let intents = world.intents(blobs).map_err(DriveError::from)?;
            let is_outside = intents.iter().any(|intent| !matches!(intent.stage, Stage::Parked { .. }));
            let due_ns = world.next_due_ns(blobs).map_err(DriveError::from)?.filter(|_| is_last);
            let latest_ns = System.now_ns()?.saturating_add(u64::try_from(DEADLINE_MAX.as_nanos()).unwrap_or(u64::MAX));
            let is_silent = self.teller.called_off.is_empty();
            if !is_outside && is_silent && due_ns.is_none_or(|due_ns| due_ns > latest_ns) {
                break;
            }
            let answers = self.driver.turn(TURN)?;
            self.take_all(answers)?;
        }
        Ok(())
    }

    /// Signs an approval of everything that waits under a grant, in the name of the manifest's first principal.
    fn approve(&mut self, grant: &str) -> Result<(), RunError> {
        let world = self.driver.world()?;
        let parked = world.intents(self.driver.blobs()).map_err(DriveError::from)?;
        let parked = parked.into_iter().filter(|intent| intent.grant == grant);
        let parked = parked.filter(|intent| matches!(intent.stage, Stage::Parked { .. }));
        let manifest = world.program().manifest();
        let Some(principal) = manifest.definition().trust.principals.first() else { return Ok(()) };
        let actor = Actor::Principal(principal.name.clone());
        let now_ns = System.now_ns()?;
        let expires_at_ns = now_ns.saturating_add(u64::try_from(APPROVAL.as_nanos()).unwrap_or(u64::MAX));
        let mut inputs = Vec::new();
        for intent in parked {
            let decision = PrincipalDecision {
                world: self.driver.id(),
                manifest: manifest.hash(),
                manifest_seq: world.manifest_seq(),
                intent: intent.id,
                approve: true,
                expires_at_ns,
            };
            let signature = self.node.approver()?.sign(&decision.message()).to_bytes();
            let body = Body::Decision(Signed { bytes: decision.encode(), signature });
            inputs.push(Input { actor: actor.clone(), id: None, body });
        }
        let answers = self.driver.submit(inputs)?;
        self.take_all(answers)
    }
}

/// Lists what is left outside.
fn left_open(driver: &Driver) -> Result<Vec<(String, String, &'static str)>, RunError> {
    let intents = driver.world()?.intents(driver.blobs()).map_err(DriveError::from)?;
    let standing = |stage| match stage {
        Stage::Parked { .. } => "waits for approval",
        Stage::Open | Stage::Attempted => UNANSWERED,
    };
    Ok(intents.into_iter().map(|intent| (intent.kind, intent.grant, standing(intent.stage))).collect())
}

impl Happened {
    /// Counts what became of an input; `event` is its number, if it is an event of the file.
    fn take(&mut self, event: Option<usize>, answer: Answer) {
        match answer {
            Answer::Known { .. } => self.known += 1,
            Answer::Refused(refusal) => {
                self.refused.push((event.unwrap_or_default(), refusal.code(), refusal.to_string()));
            }
            Answer::Applied(Frame { height, derived, outcome, .. }) => {
                self.applied += u64::from(event.is_some());
                let events = derived.iter().filter(|derived| matches!(derived, Derived::Event { .. }));
                self.derived += events.count() as u64;
                self.failed.extend(outcome.failure.map(|failure| Failed {
                    height,
                    event,
                    code: failure.cause.code(),
                    place: failure.place,
                }));
            }
        }
    }
}

/// Builds the modules and checks the documents.
fn start(
    demo: &Demo,
    node: &mut Node,
    cache: &Path,
    force: bool,
    output: &Output,
) -> Result<(Start, Option<Arc<Keys>>), RunError> {
    let mut draft = node.documents(&demo.folder.join("air"))?;
    let unbuilt = draft.unbuilt();
    let mut built: Vec<(Name, Digest, Vec<u8>)> = Vec::new();
    // Documents that are wrong in themselves are said before anything is compiled.
    if !draft.is_faulty() {
        for module in &unbuilt {
            let folder = reducer_folder(&demo.folder, &module.name, unbuilt.len());
            let mut say = |progress: Progress<'_>| output.progress(words(progress));
            let made = Builder::new(cache).force(force).build(&folder, &mut say)?;
            built.push((module.name.clone(), made.digest, made.wasm));
        }
    }
    // In wrong documents any digest stands for what was not built: that is not what is wrong with them.
    let instead = draft.is_faulty().then(|| Digest::of(&[]));
    let built_as = |name: &Name| built.iter().find(|(built, ..)| built == name).map(|(_, digest, _)| *digest);
    let hash = |name: &Name| built_as(name).or(instead);
    let keys = if draft.is_faulty() { None } else { node.trust(&mut draft)? };
    let manifest = draft.check(&hash)?;
    let modules = built.into_iter().map(|(_, digest, wasm)| (digest, wasm)).collect();
    Ok((Start { manifest, modules }, keys))
}

/// Where a module's crate lies: `reducer/` where there is one, else `reducers/` and the module's own name.
fn reducer_folder(demo: &Path, name: &Name, modules: usize) -> PathBuf {
    if modules == 1 { demo.join("reducer") } else { demo.join("reducers").join(name.local().to_lowercase()) }
}

fn words(progress: Progress<'_>) -> String {
    match progress {
        Progress::AddingTarget => "installing the wasm32-unknown-unknown target".into(),
        Progress::Compiling { package } => format!("compiling {package} to WebAssembly"),
        Progress::Cargo { line } => line.trim().to_owned(),
    }
}

fn origin() -> Result<Origin, RunError> {
    let created_by = concat!("aos-examples ", env!("CARGO_PKG_VERSION")).into();
    Ok(Origin { id: StoreId(System.random()?), created_by })
}

/// Takes up the demo's world in the store, or makes it. Another manifest or module is another world.
fn open(store: FileStore, engine: &Engine, start: Start, output: &Output) -> Result<Driver, RunError> {
    // Whoever runs a demo again after a day is the operator who lets the clock step.
    let options = driver::Options { time_step_allowed: true, ..driver::Options::default() };
    let ambient = Box::new(System);
    match find(&store, start.manifest.hash())? {
        None => Ok(Driver::create(Box::new(store), engine.clone(), ambient, start, options)?),
        Some(world) => {
            let mut progress = |height| output.progress(format!("opening, frame {height}"));
            let opened =
                Driver::open(Box::new(store), engine.clone(), ambient, world, Verify::History, options, &mut progress)?;
            output.opened(&opened.1)?;
            Ok(opened.0)
        }
    }
}

/// Finds the world that started from a manifest.
fn find(store: &dyn Read, manifest: Digest) -> Result<Option<WorldId>, RunError> {
    for (world, _) in store.worlds()? {
        // A world whose genesis cannot be read is not passed over: it may be the one that is looked for.
        let damaged = Fault::Block { index: BlockIndex(0), problem: BlockProblem::Genesis };
        let genesis = store.block(world, BlockIndex(0))?.and_then(|block| Genesis::decode(&block.body).ok());
        if genesis.ok_or(DriveError::from(damaged))?.manifest == manifest {
            return Ok(Some(world));
        }
    }
    Ok(None)
}

/// Reads the state of every reducer, as plain JSON.
fn state(driver: &Driver) -> Result<Vec<(String, Value)>, RunError> {
    let mut shown = Vec::new();
    let world = driver.world()?;
    for reducer in world.program().reducers() {
        let cells = world.cells(driver.blobs(), &reducer.name, CELLS_SHOWN).map_err(DriveError::from)?;
        let plain =
            |shape: &Shape, bytes: &[u8]| shape.decode(bytes).map(|value| plain_json(shape, &value)).map_err(damaged);
        let state = match (&reducer.key, cells.first()) {
            (_, None) => continue,
            (None, Some(cell)) => plain(&reducer.state, &cell.state)?,
            (Some(key), Some(_)) => {
                let cells = cells.iter().map(|cell| {
                    let key = plain(key, cell.key.as_deref().unwrap_or_default())?;
                    Ok(json!({"key": key, "state": plain(&reducer.state, &cell.state)?}))
                });
                Value::Array(cells.collect::<Result<_, RunError>>()?)
            }
        };
        shown.push((reducer.name.clone(), state));
    }
    Ok(shown)
}

fn plain_json(shape: &Shape, value: &aos_air::schema::Value) -> Value {
    let text = text::compact(&text::sugar(shape, value));
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn damaged(mismatch: Mismatch) -> RunError {
    DriveError::from(Fault::Record(CborError { offset: mismatch.offset, problem: Problem::Type })).into()
}

/// Replays the world from its genesis on an engine that compiles otherwise, and compares both ends.
fn replay(
    reader: &dyn Read,
    blobs: &StoreBlobs,
    world: WorldId,
    run: &Replayed,
    progress: &mut dyn FnMut(Height),
) -> Result<(), RunError> {
    let other = Engine::new(Strategy::Unoptimised, None)?;
    let found = driver::replay_history(reader, blobs, &other, world, None, progress)?;
    if found == *run {
        return Ok(());
    }
    Err(RunError::Replay { expected: format!("{run:?}"), found: format!("{found:?}") })
}

fn write(path: &Path, bundle: &Bundle) -> Result<(), RunError> {
    fs::write(path, bundle.encode()).map_err(RunError::io(path))
}
