//! A demo from its folder to its story: build, load, drive, close, replay.

use std::fs;
use std::path::{Path, PathBuf};

use aos_air::cbor::{CborError, Problem};
use aos_air::hash::Digest;
use aos_air::name::Name;
use aos_air::schema::{Mismatch, Shape};
use aos_air::text;
use aos_host::build::{Builder, Progress};
use aos_host::driver::{self, Ambient, Answer, DriveError, Driver, Replayed, Start, StoreBlobs, System, Verify};
use aos_host::store::{FILE_NAME, FileStore, Origin, Read, StoreId};
use aos_host::wasm::{CodeCache, Engine, Strategy};
use aos_host::{cache, load};
use aos_kernel::bundle::Bundle;
use aos_kernel::error::{BlockProblem, Fault};
use aos_kernel::frame::Frame;
use aos_kernel::genesis::Genesis;
use aos_kernel::id::{BlockHash, BlockIndex, Height, StateRoot, WorldId};
use serde_json::{Value, json};

use crate::demo::Demo;
use crate::error::RunError;
use crate::events;
use crate::out::Output;

/// How many events go into one commit.
const COMMIT_EVENTS: usize = 64;
/// How many cells of a keyed reducer are shown.
const CELLS_SHOWN: usize = 100;

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
    /// The number of the event in its file, from 1.
    pub event: usize,
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
    let start = start(demo, &cache, options.force_build, output)?;
    let inputs = events::read(&demo.folder.join("events.json"), &start.manifest)?;
    let engine = Engine::new(Strategy::Optimised, Some(CodeCache::open(&cache.join("code"))?))?;
    // Whatever is wrong with the demo has been said before the data folder is touched.
    start.check(&engine)?;
    let temporary = tempfile::tempdir().map_err(|source| RunError::Io { path: "a temporary folder".into(), source })?;
    let folder = options.data.unwrap_or(temporary.path());
    fs::create_dir_all(folder).map_err(|source| RunError::Io { path: folder.into(), source })?;
    let store = FileStore::open(&folder.join(FILE_NAME), &origin()?)?;
    let mut driver = open(store, &engine, start, output)?;

    let mut happened = Happened::default();
    let mut number = 0;
    for commit in inputs.chunks(COMMIT_EVENTS) {
        output.progress(format!("{}: event {number} of {}", demo.slug, inputs.len()));
        for answer in driver.submit(commit.iter().cloned())? {
            number += 1;
            happened.take(number, answer);
        }
    }
    let state = state(&driver)?;
    let (state_root, head) = (driver.snapshot()?, *driver.head());
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
    Ok(Story { world, happened, height: run.height, head: run.hash, state_root, state })
}

impl Happened {
    fn take(&mut self, event: usize, answer: Answer) {
        match answer {
            Answer::Known { .. } => self.known += 1,
            Answer::Refused(refusal) => self.refused.push((event, refusal.code(), refusal.to_string())),
            Answer::Applied(Frame { height, derived, outcome, .. }) => {
                self.applied += 1;
                self.derived += derived.len() as u64;
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
fn start(demo: &Demo, cache: &Path, force: bool, output: &Output) -> Result<Start, RunError> {
    let draft = load::folder(&demo.folder.join("air"))?;
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
    let manifest = draft.check(&hash)?;
    Ok(Start { manifest, modules: built.into_iter().map(|(_, digest, wasm)| (digest, wasm)).collect() })
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
    fs::write(path, bundle.encode()).map_err(|source| RunError::Io { path: path.into(), source })
}
