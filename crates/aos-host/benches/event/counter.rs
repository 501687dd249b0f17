//! The world under measurement: the ladder's counter, built from its source, and its events.

use std::path::Path;

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_air::validate::{Checked, Manifest};
use aos_host::build::Builder;
use aos_host::driver::{Driver, Options, Start, System};
use aos_host::load;
use aos_host::store::{Origin, Store, StoreId};
use aos_host::wasm::{Engine, Strategy};
use aos_kernel::input::{Actor, Body, Event, Input};
use serde::Serialize;

use crate::Done;

/// The count that a world starts from, so that no number changes its length during a run.
const START: u64 = 1_000_000;

/// The counter's definitions and module.
pub struct Counter {
    pub manifest: Checked<Manifest>,
    pub digest: Digest,
    pub wasm: Vec<u8>,
}

#[derive(Serialize)]
enum CounterEvent {
    Add(u64),
}

impl Counter {
    /// Builds the module, or takes it from the cache that the ladder's runner uses.
    pub fn build() -> Done<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/00-counter");
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("aos");
        let built = Builder::new(&cache).build(&folder.join("reducer"), &mut |_| {})?;
        let draft = load::folder(&folder.join("air")).map_err(|findings| findings.to_string())?;
        let manifest = draft.check(&|_| Some(built.digest)).map_err(|findings| findings.to_string())?;
        Ok(Self { manifest, digest: built.digest, wasm: built.wasm })
    }

    /// Makes a world in `store` that has taken its first event.
    pub fn create(&self, store: Box<dyn Store>, engine: &Engine) -> Done<Driver> {
        let start = Start { manifest: self.manifest.clone(), modules: vec![(self.digest, self.wasm.clone())] };
        let mut driver = Driver::create(store, engine.clone(), Box::new(System), start, Options::default())?;
        driver.submit([first()?])?;
        Ok(driver)
    }
}

/// Starts the engine that worlds run on.
pub fn engine() -> Done<Engine> {
    Ok(Engine::new(Strategy::Optimised, None)?)
}

pub fn origin() -> Origin {
    Origin { id: StoreId([1; 32]), created_by: "the host's benchmark".into() }
}

/// The first event of a world.
pub fn first() -> Done<Input> {
    add(START)
}

/// Every event after it.
pub fn next() -> Done<Input> {
    add(1)
}

fn add(n: u64) -> Done<Input> {
    let event = Event { schema: "demo/CounterEvent@1".into(), value: cbor::to_vec(&CounterEvent::Add(n))?, key: None };
    Ok(Input { actor: Actor::Host, id: None, body: Body::Event(event) })
}
