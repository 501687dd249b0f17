//! The loop around a world: stamp, admit, apply, seal, append, and only then answer.
//!
//! [`Driver`] owns one world, its right to append, the clock and the entropy. What it answers is durable; when an append
//! fails, the world in memory is dropped and nobody is told yes. Read next: `open.rs` for how a world is taken up again,
//! `history.rs` for replay, `audit.rs` for signatures in bulk, `ambient.rs` for clock and entropy.

mod ambient;
mod audit;
mod error;
mod history;
mod open;
mod outside;
mod source;

use aos_air::diag::{Finding, Findings, Place};
use aos_air::hash::Digest;
use aos_air::limits::Limits;
use aos_air::validate::{Checked, Manifest};
use aos_kernel::error::Refusal;
use aos_kernel::frame::{Frame, Outcome};
use aos_kernel::genesis::{EffectMode, Genesis};
use aos_kernel::id::{Height, StateRoot, WorldId};
use aos_kernel::input::{Input, Opening, Stamp};
use aos_kernel::{Admission, EXECUTOR, Machine, Seal, Sealed, World};

pub use self::ambient::{Ambient, System};
pub use self::audit::{Signatures, Unverified, verify_history, verify_input, verify_inputs};
pub use self::error::DriveError;
pub use self::history::{Replayed, record, replay_history};
pub use self::open::{Opened, Verify};
pub use self::outside::Outside;
pub use self::source::StoreBlobs;
use crate::store::{Commit, Fence, Head, Read, Store, StoredBlock};
use crate::wasm::{Engine, Guests};

/// How often a snapshot is taken by default, in frames. A crash costs the replay of at most so many; a snapshot costs the
/// records that changed, and the window of input ids alone can be 8,192 of them.
const SNAPSHOT_FRAMES: u64 = 16_384;

/// Bytes of frames after which a block is sealed even if more inputs wait.
const BLOCK_BYTES: usize = 16 << 20;

/// How a driver works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Frames after which the next block carries a snapshot.
    pub snapshot_frames: u64,
    /// Whether an operator lets the clock step further than `time_step_ns_max` since the last frame.
    pub time_step_allowed: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { snapshot_frames: SNAPSHOT_FRAMES, time_step_allowed: false }
    }
}

/// A world's first manifest and the modules that it names.
pub struct Start {
    /// The manifest.
    pub manifest: Checked<Manifest>,
    /// The authors' WASM by digest.
    pub modules: Vec<(Digest, Vec<u8>)>,
}

impl Start {
    /// Compiles every module, so that one that cannot run is refused before anything is stored.
    ///
    /// # Errors
    /// [`DriveError::Modules`] with all modules that are missing or refused.
    pub fn check(&self, engine: &Engine) -> Result<(), DriveError> {
        let mut findings = Vec::new();
        for module in self.manifest.modules() {
            let bytes = self.modules.iter().find(|(hash, _)| *hash == module.wasm_hash).map(|(_, bytes)| bytes);
            let (code, message) = match bytes.map(|bytes| engine.prepare(bytes, module.entry())) {
                Some(Ok(_)) => continue,
                Some(Err(error)) => (error.code(), error.to_string()),
                None => {
                    let message = format!("the WASM of module `{}`, {}, is not there", module.name, module.wasm_hash);
                    ("module.wasm_missing", message)
                }
            };
            let place = Place { file: module.name.to_string(), ..Place::default() };
            findings.push(Finding { place, code, message, help: None });
        }
        if findings.is_empty() { Ok(()) } else { Err(DriveError::Modules(Findings(findings))) }
    }
}

/// What became of an input. By the time it is given, it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was applied: this is its frame, with its outcome.
    Applied(Frame),
    /// The actor had sent it before.
    Known {
        /// The height of its frame.
        height: Height,
        /// How it ended.
        outcome: Outcome,
    },
    /// It was refused, and nothing was recorded.
    Refused(Refusal),
}

/// Drives one world over one store.
pub struct Driver {
    world: World,
    // Fields end in this order: the readers before the store, whose end as the last handle leaves one file.
    blobs: StoreBlobs,
    guests: Guests<StoreBlobs>,
    store: Box<dyn Store>,
    fence: Fence,
    head: Head,
    ambient: Box<dyn Ambient>,
    options: Options,
    frames_since_snapshot: u64,
    /// Blobs that receipts of the open block name.
    fresh_blobs: Vec<(Digest, Vec<u8>)>,
    /// The adapters, while the world is connected.
    outside: Option<Outside>,
    /// When the clock was last seen where the world may follow it, in nanoseconds since the epoch.
    seen_ns: u64,
    /// Set by a failure: what is in memory may not be what is durable.
    stopped: bool,
}

impl Driver {
    /// Makes a world in a store.
    ///
    /// # Errors
    /// [`DriveError`] where the store, the entropy or the manifest's modules fail; then there is no world.
    pub fn create(
        mut store: Box<dyn Store>,
        engine: Engine,
        mut ambient: Box<dyn Ambient>,
        start: Start,
        options: Options,
    ) -> Result<Self, DriveError> {
        let genesis = Genesis {
            executor: EXECUTOR,
            manifest: start.manifest.hash(),
            limits: Limits::default(),
            effect_mode: EffectMode::Live,
            created_ns: ambient.now_ns()?,
            nonce: ambient.random()?,
        };
        start.check(&engine)?;
        let blobs = StoreBlobs::new(store.reader()?);
        let (world, mut sealed) = World::create(genesis, start.manifest)?;
        sealed.blobs.extend(start.modules);
        let block = stored(&sealed);
        let snapshot = sealed.snapshot.as_ref().map(aos_kernel::Snapshot::encode);
        let fence =
            store.create(world.id(), &Commit { block: &block, blobs: &sealed.blobs, snapshot: snapshot.as_deref() })?;
        Ok(Self::over(world, store, fence, block.head(), blobs, engine, ambient, options))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a driver, each of its own type")]
    fn over(
        world: World,
        store: Box<dyn Store>,
        fence: Fence,
        head: Head,
        blobs: StoreBlobs,
        engine: Engine,
        ambient: Box<dyn Ambient>,
        options: Options,
    ) -> Self {
        let guests = Guests::new(engine, blobs.clone());
        Self {
            seen_ns: world.logical_now_ns(),
            world,
            store,
            fence,
            head,
            blobs,
            guests,
            ambient,
            options,
            frames_since_snapshot: 0,
            fresh_blobs: Vec::new(),
            outside: None,
            stopped: false,
        }
    }

    /// Returns the world's id.
    pub const fn id(&self) -> WorldId {
        self.world.id()
    }

    /// Returns the world, for reading. What it shows is durable: between calls no block is half done.
    ///
    /// # Errors
    /// [`DriveError::Stopped`] after a failure: what is in memory then was told to nobody.
    pub const fn world(&self) -> Result<&World, DriveError> {
        if self.stopped { Err(DriveError::Stopped) } else { Ok(&self.world) }
    }

    /// Returns where the world's blobs come from.
    pub const fn blobs(&self) -> &StoreBlobs {
        &self.blobs
    }

    /// Opens a handle on the world's store for reading, which may go to another thread.
    ///
    /// # Errors
    /// [`DriveError::Store`] where the store cannot be opened again.
    pub fn reader(&self) -> Result<Box<dyn Read>, DriveError> {
        Ok(self.store.reader()?)
    }

    /// Returns the durable head.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Takes in inputs, in order, as one commit (or several, where a block's limits ask for it), and answers each.
    ///
    /// One sync makes all of them durable; an input that is refused costs none.
    ///
    /// # Errors
    /// [`DriveError`] where the world or the store fails. Then nothing may be concluded about any of the inputs but by
    /// opening the world again; the driver takes no more.
    pub fn submit(&mut self, inputs: impl IntoIterator<Item = Input>) -> Result<Vec<Answer>, DriveError> {
        self.guarded(|driver| {
            let answers = inputs.into_iter().map(|input| driver.take(input)).collect::<Result<_, _>>()?;
            driver.flush()?;
            Ok(answers)
        })
    }

    /// Seals a snapshot at the head, if there is none there already, and returns the state's root.
    ///
    /// # Errors
    /// As [`Driver::submit`].
    pub fn snapshot(&mut self) -> Result<StateRoot, DriveError> {
        self.guarded(|driver| {
            if let Some(root) = driver.world.state_root() {
                return Ok(root);
            }
            driver.begin()?;
            driver.commit(Seal::Snapshot)?;
            driver.world.state_root().ok_or(DriveError::Stopped)
        })
    }

    /// Ends the driver with a snapshot at the head, so that the world opens without a replay.
    ///
    /// # Errors
    /// As [`Driver::submit`]; the world is intact all the same.
    pub fn close(mut self) -> Result<(Head, StateRoot), DriveError> {
        let root = self.snapshot()?;
        Ok((self.head, root))
    }

    /// Runs a piece of work after which the driver either stands as before or takes nothing more.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, DriveError>) -> Result<T, DriveError> {
        if self.stopped {
            return Err(DriveError::Stopped);
        }
        let result = work(self);
        if result.is_err() {
            self.stopped = true;
            // What has not begun outside does not begin any more: perhaps another host has the world.
            self.outside = None;
        }
        result
    }

    /// Looks at the clock.
    ///
    /// A clock that is looked at all the time goes on in small steps, however long ago the last frame was: a world may
    /// sleep for weeks until its timer is due. One that has made a large step between two looks needs the operator.
    fn look(&mut self) -> Result<u64, DriveError> {
        let now_ns = self.ambient.now_ns()?;
        let is_small = now_ns.saturating_sub(self.seen_ns) <= self.world.limits().time_step_ns_max;
        if is_small || self.options.time_step_allowed {
            self.seen_ns = self.seen_ns.max(now_ns);
        }
        Ok(now_ns)
    }

    /// Begins a block, unless one is open that holds a frame.
    fn begin(&mut self) -> Result<(), DriveError> {
        if self.world.frames_open() > 0 {
            return Ok(());
        }
        let time_base_ns = self.look()?;
        let is_far = time_base_ns.saturating_sub(self.world.logical_now_ns()) > self.world.limits().time_step_ns_max;
        let is_watched = is_far && time_base_ns <= self.seen_ns;
        let time_step_allowed = self.options.time_step_allowed || is_watched;
        self.world.begin(Opening { time_base_ns, seed: self.ambient.random()?, time_step_allowed });
        Ok(())
    }

    /// Stamps, admits and applies one input, in a block with room for it.
    fn take(&mut self, input: Input) -> Result<Answer, DriveError> {
        if self.block_is_full() {
            self.commit(Seal::Plain)?;
        }
        self.begin()?;
        let stamp = Stamp { now_ns: self.look()? };
        Ok(match self.world.admit(input, stamp, &self.blobs)? {
            Err(refusal) => Answer::Refused(refusal),
            Ok(Admission::Known { height, outcome }) => Answer::Known { height, outcome },
            Ok(Admission::Admitted(admitted)) => {
                let mut machine = Machine { guest: &mut self.guests, blobs: &self.blobs };
                let frame = self.world.apply(&mut machine, admitted)?;
                self.note(&frame);
                Answer::Applied(frame)
            }
        })
    }

    /// Makes the open block durable, if it holds frames.
    fn commit_open(&mut self) -> Result<(), DriveError> {
        if self.world.frames_open() > 0 { self.commit(Seal::Plain) } else { Ok(()) }
    }

    fn block_is_full(&self) -> bool {
        let frames = self.world.frames_open() as u64;
        let blobs: usize = self.fresh_blobs.iter().map(|(_, bytes)| bytes.len()).sum();
        frames >= self.world.limits().frames_per_block_max || self.world.open_body_bytes() + blobs >= BLOCK_BYTES
    }

    /// Seals the open block and makes it durable.
    fn commit(&mut self, seal: Seal) -> Result<(), DriveError> {
        self.frames_since_snapshot += self.world.frames_open() as u64;
        let seal = if self.frames_since_snapshot >= self.options.snapshot_frames { Seal::Snapshot } else { seal };
        let mut sealed = self.world.seal(seal, &self.blobs)?;
        sealed.blobs.append(&mut self.fresh_blobs);
        let block = stored(&sealed);
        let snapshot = sealed.snapshot.as_ref().map(aos_kernel::Snapshot::encode);
        let commit = Commit { block: &block, blobs: &sealed.blobs, snapshot: snapshot.as_deref() };
        self.head = self.store.append(self.world.id(), self.fence, &self.head, &commit)?;
        if snapshot.is_some() {
            self.frames_since_snapshot = 0;
        }
        tracing::debug!(block = %self.head.block, height = %self.head.height, frames = sealed.header.frames, "committed");
        Ok(())
    }
}

/// Puts a sealed block into the store's form.
fn stored(sealed: &Sealed) -> StoredBlock {
    StoredBlock {
        index: sealed.header.index,
        hash: sealed.hash,
        last_height: sealed.header.last_height(),
        header: sealed.header_bytes.clone(),
        body: sealed.body.clone(),
    }
}
