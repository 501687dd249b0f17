//! The world: admits inputs, applies them, seals blocks.
//!
//! The host drives it: [`World::begin`] a block, then [`World::admit`] and [`World::apply`] input by input, then
//! [`World::seal`]; only when the sealed block is durable does it answer anyone. Replay drives it the same way.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use aos_air::built_in::{self, EFFECT_ERROR};
use aos_air::cbor::{Problem, Reader};
use aos_air::hash::Digest;
use aos_air::limits::Limits;
use aos_air::plan::Status;
use aos_air::schema::Shape;
use aos_air::validate::{Checked, Manifest};

use crate::EXECUTOR;
use crate::admit::Admitted;
use crate::blobs::Blobs;
use crate::block::{self, Header};
use crate::earlier::Earlier;
use crate::error::{Cause, Failure, Fault};
use crate::frame::{Frame, Outcome};
use crate::genesis::Genesis;
use crate::guest::Guest;
use crate::id::{BlockHash, BlockIndex, Height, StateRoot, WorldId};
use crate::index::{Bytes, Index, Key};
use crate::input::Opening;
use crate::mountain::Mountain;
use crate::program::Program;
use crate::snapshot::Snapshot;
use crate::state::{self, Deadline, Ledger, UsedInput};
use crate::step::{Place, Scratch, Step};

/// What a world needs of its host while it works.
pub struct Machine<'a> {
    /// Runs modules.
    pub guest: &'a mut dyn Guest,
    /// Gives stored bytes.
    pub blobs: &'a dyn Blobs,
}

/// A world: one agent's whole runtime as a value.
pub struct World {
    pub(crate) id: WorldId,
    genesis: Genesis,
    pub(crate) program: Arc<Program>,
    pub(crate) chain: Chain,
    pub(crate) ledger: Ledger,
    pub(crate) index: Index,
    pub(crate) open: Option<Open>,
    scratch: Scratch,
    pub(crate) earlier: Earlier,
    /// Set by a fault: what is in memory may be half done, so nothing of it may be written.
    pub(crate) stopped: bool,
}

/// Where the journal stands.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    /// The last sealed block.
    pub block: BlockIndex,
    pub hash: BlockHash,
    /// The last applied frame.
    pub height: Height,
    /// Over all blocks up to the last sealed one.
    pub mountain: Mountain,
}

/// The block being filled.
pub(crate) struct Open {
    pub opening: Opening,
    first_height: Height,
    body: Vec<u8>,
    ends: Vec<u32>,
}

/// How a block is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// Without a state root.
    Plain,
    /// With a state root, and a snapshot to restore from.
    Snapshot,
}

/// A sealed block: what one commit makes durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Its hash.
    pub hash: BlockHash,
    /// Its header.
    pub header: Header,
    /// The header's bytes.
    pub header_bytes: Vec<u8>,
    /// The frames, back to back; of block 0, the genesis.
    pub body: Vec<u8>,
    /// Blobs that the block makes necessary: definitions at the start, nodes of the state index at a snapshot.
    pub blobs: Vec<(Digest, Vec<u8>)>,
    /// The snapshot, where one was asked for.
    pub snapshot: Option<Snapshot>,
}

impl World {
    /// Makes a world and its block 0, which the host stores before anything else happens.
    ///
    /// # Errors
    /// [`Fault::Executor`] where the genesis names another executor.
    ///
    /// # Panics
    /// Where the genesis names another manifest, or a limit out of range: its maker has both in hand.
    pub fn create(genesis: Genesis, manifest: Checked<Manifest>) -> Result<(Self, Sealed), Fault> {
        let mut world = Self::at_genesis(genesis, manifest)?;
        let nodes: Vec<_> = world.program.manifest().nodes().map(|(hash, bytes)| (hash, bytes.to_vec())).collect();
        let mut sealed = world.seal_genesis()?;
        sealed.blobs.extend(nodes);
        Ok((world, sealed))
    }

    /// Makes the world that a genesis describes, before its block 0 is sealed.
    fn at_genesis(genesis: Genesis, manifest: Checked<Manifest>) -> Result<Self, Fault> {
        if genesis.executor != EXECUTOR {
            return Err(Fault::Executor(genesis.executor));
        }
        assert!(genesis.limits.is_in_range(), "a genesis sets a limit out of range");
        assert!(genesis.manifest == manifest.hash(), "a genesis names another manifest than the one it is made with");
        let ledger = Ledger { logical_now_ns: genesis.created_ns, ..Ledger::default() };
        let mut index = Index::empty();
        let nothing = alloc::collections::BTreeMap::new();
        index.set(&nothing, state::ledger_key(), Some(ledger.encode()))?;
        index.set(&nothing, state::manifest_key(), Some(genesis.manifest.as_bytes().as_slice().into()))?;
        index.set(&nothing, state::genesis_key(), Some(genesis.encode().into()))?;
        Ok(Self {
            id: genesis.id(),
            program: Arc::new(Program::compile(manifest, &genesis.limits)),
            genesis,
            chain: Chain {
                block: BlockIndex(0),
                hash: BlockHash(Digest::from_bytes([0; 32])),
                height: Height(0),
                mountain: Mountain::default(),
            },
            ledger,
            index,
            open: None,
            scratch: Scratch::default(),
            earlier: Earlier::default(),
            stopped: false,
        })
    }

    fn seal_genesis(&mut self) -> Result<Sealed, Fault> {
        let body = self.genesis.encode();
        let opening = Opening { time_base_ns: self.genesis.created_ns, seed: [0; 32], time_step_allowed: false };
        let open = Open { opening, first_height: Height(1), body, ends: Vec::new() };
        self.seal_open(BlockIndex(0), open, Seal::Snapshot, &alloc::collections::BTreeMap::new())
    }

    /// Takes up a world where a snapshot left it. What is not needed yet is not read.
    ///
    /// # Errors
    /// [`Fault::Snapshot`] where the snapshot's parts do not fit its header, or what cannot be read behind it.
    pub fn restore(snapshot: &Snapshot, blobs: &dyn Blobs) -> Result<Self, Fault> {
        let (chain, root) = snapshot.chain()?;
        let index = Index::at(root);
        let record =
            |key: Key| -> Result<Bytes, Fault> { index.value(blobs, &key)?.ok_or(Fault::Snapshot(chain.height)) };
        let genesis = Genesis::decode(&record(state::genesis_key())?).map_err(Fault::Record)?;
        if genesis.executor != EXECUTOR {
            return Err(Fault::Executor(genesis.executor));
        }
        let ledger = Ledger::decode(&record(state::ledger_key())?).map_err(Fault::Record)?;
        let hash: [u8; 32] =
            record(state::manifest_key())?.as_ref().try_into().map_err(|_| Fault::Snapshot(chain.height))?;
        let manifest = load_manifest(&Digest::from_bytes(hash), blobs)?;
        let program = Arc::new(Program::compile(manifest, &genesis.limits));
        let id = genesis.id();
        Ok(Self {
            id,
            genesis,
            program,
            chain,
            ledger,
            index,
            open: None,
            scratch: Scratch::default(),
            earlier: Earlier::default(),
            stopped: false,
        })
    }

    /// Makes the world of a stored block 0, and seals it again as a check.
    ///
    /// # Errors
    /// [`Fault::Block`] where the block is no genesis or not the one that its content makes.
    pub fn from_genesis(raw: block::Raw<'_>, blobs: &dyn Blobs) -> Result<(Self, Sealed), Fault> {
        use crate::error::BlockProblem;
        let damaged = |problem| Fault::Block { index: BlockIndex(0), problem };
        raw.open(BlockIndex(0))?;
        let genesis = Genesis::decode(raw.body).map_err(|_| damaged(BlockProblem::Genesis))?;
        if genesis.executor != EXECUTOR {
            return Err(Fault::Executor(genesis.executor));
        }
        let manifest = load_manifest(&genesis.manifest, blobs)?;
        let (world, sealed) = Self::create(genesis, manifest)?;
        if sealed.header_bytes != raw.header || sealed.body != raw.body {
            return Err(damaged(BlockProblem::Seal));
        }
        Ok((world, sealed))
    }

    /// Returns the world's id.
    pub const fn id(&self) -> WorldId {
        self.id
    }

    /// Returns what the world started from.
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Returns the manifest in force, made ready to run.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Returns the limits in force.
    pub fn limits(&self) -> &Limits {
        self.program.limits()
    }

    /// Returns the height of the last applied frame.
    pub const fn height(&self) -> Height {
        self.chain.height
    }

    /// Returns the last sealed block.
    pub const fn head(&self) -> (BlockIndex, BlockHash) {
        (self.chain.block, self.chain.hash)
    }

    pub(crate) const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Stops the world: what is in memory is no longer what a journal says.
    pub(crate) const fn stop(&mut self) {
        self.stopped = true;
    }

    /// Returns what the open block's body holds from `start` on.
    pub(crate) fn open_bytes(&self, start: usize) -> &[u8] {
        self.open.as_ref().and_then(|open| open.body.get(start..)).unwrap_or_default()
    }

    /// Returns the logical clock, in nanoseconds since the epoch.
    pub const fn logical_now_ns(&self) -> u64 {
        self.ledger.logical_now_ns
    }

    /// Tells whether a block is open.
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns how many bytes of frames the open block holds.
    pub fn open_body_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.body.len())
    }

    /// Counts the frames in the block being filled.
    pub fn frames_open(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.ends.len())
    }

    /// Begins a block, in the place of one that has no frames.
    pub fn begin(&mut self, opening: Opening) {
        assert!(self.frames_open() == 0, "a block is begun while another is open");
        self.open = Some(Open { opening, first_height: self.chain.height.next(), body: Vec::new(), ends: Vec::new() });
    }

    /// Applies an admitted input: runs it to quiescence and adds its frame to the open block.
    ///
    /// Whatever the input's modules do, there is a frame, with its outcome.
    ///
    /// # Errors
    /// A [`Fault`], after which the world has stopped and is to be dropped.
    pub fn apply(&mut self, machine: &mut Machine<'_>, admitted: Admitted) -> Result<Frame, Fault> {
        if self.stopped {
            return Err(Fault::Stopped);
        }
        assert!(
            admitted.world == self.id && admitted.height == self.chain.height.next(),
            "an admission is used at another height"
        );
        assert!((self.frames_open() as u64) < self.limits().frames_per_block_max, "a block is filled past its limit");
        let applied = self.apply_inner(machine, admitted);
        self.stopped = applied.is_err();
        applied
    }

    fn apply_inner(&mut self, machine: &mut Machine<'_>, admitted: Admitted) -> Result<Frame, Fault> {
        let Admitted { height, stamp, input, .. } = admitted;
        let Some(mut open) = self.open.take() else { return Err(Fault::Stopped) };
        let logical_now_ns = self.ledger.logical_now_ns.max(stamp.now_ns);
        let place = Place {
            world: self.id,
            mode: self.genesis.effect_mode,
            actor: input.actor.clone(),
            height,
            now_ns: stamp.now_ns,
            logical_now_ns,
            seed: &open.opening.seed,
        };
        let ledger = Ledger { logical_now_ns, ..self.ledger };
        let (scratch, earlier) = (core::mem::take(&mut self.scratch), core::mem::take(&mut self.earlier));
        let mut step = Step::new(&self.program, place, &self.index, ledger, scratch, earlier);
        let failure = step.run(machine, &input)?.err();
        let mut changes = match &failure {
            None => step.succeed(),
            Some(failure) => step.fail(machine, failure)?,
        };
        let outcome = Outcome { fuel_used: step.fuel_used, failure };
        let derived = core::mem::take(&mut changes.derived);
        let mut frame = Frame { height, stamp, input, derived, outcome };
        let start = open.body.len();
        frame.write(&*self.program, open.opening.time_base_ns, &mut open.body);
        if (open.body.len() - start) as u64 > self.limits().frame_bytes_max && frame.outcome.failure.is_none() {
            let failure = Failure { cause: Cause::FrameBytes, reducer: None, event: 0, place: String::new() };
            changes = step.fail(machine, &failure)?;
            frame.derived = core::mem::take(&mut changes.derived);
            frame.outcome.failure = Some(failure);
            open.body.truncate(start);
            frame.write(&*self.program, open.opening.time_base_ns, &mut open.body);
        }
        (self.scratch, self.earlier) = (step.scratch, step.earlier);
        let end = u32::try_from(open.body.len());
        assert!(end.is_ok(), "a block's body passes four gigabytes");
        open.ends.push(end.unwrap_or(u32::MAX));
        self.open = Some(open);
        for (key, value) in changes.records {
            self.index.set(machine.blobs, key, value)?;
        }
        self.ledger = changes.ledger;
        self.commit_ledger(machine.blobs, &frame)?;
        self.chain.height = height;
        Ok(frame)
    }

    /// Commits what stands whatever the outcome: the clock, the counters, and the input's id.
    fn commit_ledger(&mut self, blobs: &dyn Blobs, frame: &Frame) -> Result<(), Fault> {
        if let Some(id) = &frame.input.id {
            let slot = state::input_slot_key(self.ledger.inputs_used);
            self.ledger.inputs_used += 1;
            let key = self.input_key(&frame.input.actor, id);
            self.forget_inputs(blobs)?;
            let used =
                UsedInput { height: frame.height, input: frame.input.body.identity(), outcome: frame.outcome.clone() };
            self.index.set(blobs, key.clone(), Some(used.encode()))?;
            self.index.set(blobs, slot, Some(key.into()))?;
        }
        self.index.set(blobs, state::ledger_key(), Some(self.ledger.encode()))?;
        Ok(())
    }

    /// Forgets the oldest input ids beyond the window: one a frame, two where a manifest has made the window smaller.
    fn forget_inputs(&mut self, blobs: &dyn Blobs) -> Result<(), Fault> {
        for _ in 0..2 {
            let kept = self.ledger.inputs_used - self.ledger.inputs_forgotten;
            if kept <= self.limits().input_ids_kept {
                break;
            }
            let slot = state::input_slot_key(self.ledger.inputs_forgotten);
            self.ledger.inputs_forgotten += 1;
            let missing = Fault::Record(Reader::error(0, Problem::Truncated));
            let oldest = self.index.value(blobs, &slot)?.ok_or(missing)?;
            self.index.set(blobs, oldest.to_vec(), None)?;
            self.index.set(blobs, slot, None)?;
        }
        Ok(())
    }

    /// Ends the open block.
    ///
    /// # Errors
    /// A [`Fault`] where the state index cannot be read for a snapshot; then the world has stopped.
    pub fn seal(&mut self, seal: Seal, blobs: &dyn Blobs) -> Result<Sealed, Fault> {
        if self.stopped {
            return Err(Fault::Stopped);
        }
        assert!(self.open.is_some(), "a block is sealed while none is open");
        let Some(open) = self.open.take() else { return Err(Fault::Stopped) };
        if self.ledger.instances_running == 0 && self.ledger.intents_open == 0 {
            self.earlier.clear();
        }
        let sealed = self.seal_open(self.chain.block.next(), open, seal, blobs);
        self.stopped = sealed.is_err();
        sealed
    }

    fn seal_open(&mut self, index: BlockIndex, open: Open, seal: Seal, blobs: &dyn Blobs) -> Result<Sealed, Fault> {
        let changes = self.index.end_block();
        let (state_root, nodes) = match seal {
            Seal::Plain => (None, Vec::new()),
            Seal::Snapshot => {
                let (root, nodes) = self.index.flush(blobs)?;
                (Some(root), nodes)
            }
        };
        let before = self.chain.mountain.clone();
        let header = Header {
            index,
            executor: EXECUTOR,
            first_height: open.first_height,
            body_bytes: open.body.len() as u64,
            body_root: Digest::of(&open.body),
            frames: open.ends.len() as u64,
            ends_root: block::ends_root(&open.ends),
            opening: open.opening,
            previous: self.chain.hash,
            mountain: before.root(),
            changes,
            state_root,
        };
        let header_bytes = header.encode();
        let hash = block::hash_of(&header_bytes);
        self.chain.block = index;
        self.chain.hash = hash;
        self.chain.mountain.push(hash);
        let snapshot = state_root.map(|_| Snapshot { header: header_bytes.clone(), earlier: before });
        Ok(Sealed { hash, header, header_bytes, body: open.body, blobs: nodes, snapshot })
    }

    /// Returns the root of the state index as of the last sealed block that has one; none while frames came after it.
    pub fn state_root(&self) -> Option<StateRoot> {
        self.index.root()
    }
}

/// Loads a manifest and everything that it names from their nodes.
///
/// # Errors
/// A [`Fault`] where a node is missing or damaged, or the manifest does not validate.
pub(crate) fn load_manifest(hash: &Digest, blobs: &dyn Blobs) -> Result<Checked<Manifest>, Fault> {
    // The loader asks for nodes as an option; the first one that is missing or damaged is the better message.
    let missing = core::cell::RefCell::new(None);
    let node = |hash: &Digest| blobs.blob(hash).map_err(|fault| *missing.borrow_mut().get_or_insert(fault)).ok();
    let loaded = aos_air::validate::from_nodes(hash, &node);
    match (missing.into_inner(), loaded) {
        (Some(fault), _) => Err(fault.into()),
        (None, Ok(manifest)) => Ok(manifest),
        (None, Err(findings)) => Err(Fault::Manifest { manifest: *hash, findings }),
    }
}

/// Finds what happens next when the logical clock goes on, if anything does.
///
/// # Errors
/// A [`Fault`] where state cannot be read.
pub(crate) fn next_deadline(index: &Index, blobs: &dyn Blobs) -> Result<Option<Deadline>, Fault> {
    let mut earliest: Option<Deadline> = None;
    for prefix in Deadline::prefixes() {
        index.scan(blobs, &prefix, &mut |key, _| {
            let first = Deadline::of_key(key);
            earliest = earliest.into_iter().chain(first).min();
            false
        })?;
    }
    Ok(earliest)
}

/// Returns the type of a receipt's payload: the effect's, by the manifest under which it was asked for, or an error's.
/// `earlier` finds the effect's where that manifest is in force no more.
///
/// # Errors
/// A [`Fault`] where that manifest cannot be had, or does not know the effect.
pub(crate) fn receipt_shape(
    program: &Program,
    manifest: &Digest,
    kind: &str,
    status: Status,
    earlier: impl FnOnce() -> Result<Arc<Shape>, Fault>,
) -> Result<Arc<Shape>, Fault> {
    let missing = || Fault::Record(Reader::error(0, Problem::Range));
    if status != Status::Ok {
        return built_in::schema_named(EFFECT_ERROR).map(|schema| schema.shape.clone()).ok_or_else(missing);
    }
    if *manifest == program.manifest().hash() {
        return program.effect(kind).map(|effect| effect.receipt.clone()).ok_or_else(missing);
    }
    earlier()
}
