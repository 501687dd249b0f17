//! The signatures of a history, verified in bulk: on all cores, without executing anything.
//!
//! The rule is admission's own (`Keys::receipt`, `Keys::decision`), called once for each signature: there is no batch
//! equation, so no signature passes here and fails there. Never here: whether a receipt answers an intent, or whether a
//! frame is right. A replay says both, and verifies every signature again on its way; read next: `history.rs`.

use std::num::NonZero;
use std::thread;

use aos_air::cbor::Reader;
use aos_kernel::block::Raw;
use aos_kernel::error::{BlockProblem, Fault, ReceiptProblem, Refusal};
use aos_kernel::frame::Frame;
use aos_kernel::id::{BlockIndex, Height, WorldId};
use aos_kernel::input::{Actor, Body, Input};
use aos_kernel::program::Program;
use aos_kernel::receipt::Keys;

use super::history::genesis;
use super::{DriveError, StoreBlobs};
use crate::store::{Blocks, Read, StoredBlock};

/// How many signed inputs are read before they are verified: enough that the threads cost nothing beside them.
const BATCH_COUNT: usize = 4_096;

/// Bytes of signed inputs after which a batch is verified even if it holds fewer.
const BATCH_BYTES: usize = 16 << 20;

/// An input of a history whose signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the input at height {height} does not count: {refusal}")]
pub struct Unverified {
    /// The height of its frame.
    pub height: Height,
    /// What admission says to it.
    pub refusal: Refusal,
}

/// How many signatures of a history were verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signatures {
    /// Those of adapters, on receipts.
    pub receipts: u64,
    /// Those of principals, on decisions.
    pub decisions: u64,
}

impl Signatures {
    const fn and(self, more: Self) -> Self {
        Self { receipts: self.receipts + more.receipts, decisions: self.decisions + more.decisions }
    }
}

/// Verifies the signature of every receipt and decision up to a world's durable head, on all cores.
///
/// The digests of blocks are checked too, but not their chain, and nothing is executed: what is verified is that adapters
/// and principals that the world trusts have signed what its frames say they have.
///
/// # Errors
/// [`DriveError::Unverified`] for the first input that does not verify, in the order of heights; another [`DriveError`]
/// where a block before it cannot be read.
pub fn verify_history(store: &dyn Read, blobs: &StoreBlobs, id: WorldId) -> Result<Signatures, DriveError> {
    // The manifest that a world starts with is in force all along: no input changes it.
    let world = genesis(store, blobs, id)?;
    let program = world.program();
    let mut batch = Batch::default();
    let mut verified = Signatures::default();
    for block in Blocks::new(store, id, BlockIndex(1))? {
        let read = block.map_err(DriveError::from).and_then(|block| batch.read(&block, program));
        if batch.is_full() || read.is_err() {
            verified = verified.and(batch.verify(program.keys())?);
        }
        read?;
    }
    Ok(verified.and(batch.verify(program.keys())?))
}

/// Verifies the signatures of inputs, each at its height, on all cores. One that needs no signature counts.
///
/// # Errors
/// [`Unverified`] for the first one, in the order given, that admission would refuse for its signature.
pub fn verify_inputs(keys: &Keys, inputs: &[(Height, Input)]) -> Result<(), Unverified> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = inputs.len().div_ceil(threads).max(1);
    let mut found: Vec<Result<(), Unverified>> = inputs.chunks(share).map(|_| Ok(())).collect();
    thread::scope(|scope| {
        let mut shares = inputs.chunks(share).zip(&mut found);
        let own = shares.next();
        for (inputs, found) in shares {
            scope.spawn(move || *found = verify_share(keys, inputs));
        }
        if let Some((inputs, found)) = own {
            *found = verify_share(keys, inputs);
        }
    });
    found.into_iter().collect()
}

fn verify_share(keys: &Keys, inputs: &[(Height, Input)]) -> Result<(), Unverified> {
    inputs.iter().try_for_each(|(height, input)| {
        verify_input(keys, input).map_err(|refusal| Unverified { height: *height, refusal })
    })
}

/// Verifies the signature of one input, if its kind has one, as admission does.
///
/// # Errors
/// The [`Refusal`] that admission would give.
pub fn verify_input(keys: &Keys, input: &Input) -> Result<(), Refusal> {
    match (&input.body, &input.actor) {
        (Body::Receipt(signed), _) => match keys.receipt(&signed.bytes, &signed.signature) {
            Ok(_) => Ok(()),
            Err(refused) => Err(Refusal::Receipt(ReceiptProblem::Unverified(refused))),
        },
        (Body::Decision(signed), Actor::Principal(name)) => {
            keys.decision(name, &signed.bytes, &signed.signature).map(drop).map_err(Refusal::Decision)
        }
        (Body::Decision(_), actor) => Err(Refusal::ActorBody(actor.to_string())),
        (Body::Event(_) | Body::Message { .. } | Body::Attempt(_) | Body::Tick, _) => Ok(()),
    }
}

/// Signed inputs that were read and wait to be verified.
#[derive(Default)]
struct Batch {
    inputs: Vec<(Height, Input)>,
    bytes: usize,
    count: Signatures,
}

impl Batch {
    /// Takes the signed inputs out of a block's frames.
    fn read(&mut self, block: &StoredBlock, program: &Program) -> Result<(), DriveError> {
        let at = block.head();
        let header = Raw { header: &block.header, body: &block.body }.open(block.index).map_err(DriveError::at(at))?;
        let mut reader = Reader::strict(&block.body);
        for height in (header.first_height.0..).map(Height).take(usize::try_from(header.frames).unwrap_or(usize::MAX)) {
            let frame = Frame::read(&mut reader, program, header.opening.time_base_ns, height);
            let frame = frame.map_err(|problem| DriveError::at(at)(Fault::Frame { height, problem }))?;
            self.take(height, frame.input);
        }
        let ends = Fault::Block { index: block.index, problem: BlockProblem::Ends };
        reader.end().map_err(|_| DriveError::at(at)(ends))
    }

    fn take(&mut self, height: Height, input: Input) {
        match &input.body {
            Body::Receipt(signed) => {
                self.count.receipts += 1;
                self.bytes += signed.bytes.len();
            }
            Body::Decision(signed) => {
                self.count.decisions += 1;
                self.bytes += signed.bytes.len();
            }
            Body::Event(_) | Body::Message { .. } | Body::Attempt(_) | Body::Tick => return,
        }
        self.inputs.push((height, input));
    }

    fn is_full(&self) -> bool {
        self.inputs.len() >= BATCH_COUNT || self.bytes >= BATCH_BYTES
    }

    /// Verifies what waits, and begins anew. Returns how much there was.
    fn verify(&mut self, keys: &Keys) -> Result<Signatures, Unverified> {
        let Self { inputs, count, .. } = core::mem::take(self);
        verify_inputs(keys, &inputs)?;
        Ok(count)
    }
}
