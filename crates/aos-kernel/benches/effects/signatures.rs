//! Receipts signed and verified, beside ed25519-dalek alone on the same messages.

use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use aos_air::def::{AdapterKey, PublicKey, Trust};
use aos_air::hash::Digest;
use aos_kernel::gate::Spend;
use aos_kernel::id::{IntentId, WorldId};
use aos_kernel::receipt::{Keys, Receipt, Status};
use divan::black_box;
use ed25519_dalek::{Signature, Signer as _, SigningKey};

use crate::each;

pub const BARE_SIGN: &str = "ed25519-dalek alone: sign";
pub const SIGN: &str = "a receipt encoded and signed";
pub const BARE_VERIFY: &str = "ed25519-dalek alone: `verify_strict`";
pub const VERIFY: &str = "a receipt read, its key found, verified";
pub const ALL_CORES: &str = "the same on all cores";

/// Receipts of one turn on one core.
const COUNT: usize = 64;
/// Receipts of one turn on all cores.
const MANY: u64 = 256;

/// Receipts with their messages and signatures.
pub struct Signed {
    key: SigningKey,
    keys: Keys,
    receipts: Vec<Receipt>,
    messages: Vec<Vec<u8>>,
    signed: Vec<(Vec<u8>, [u8; 64])>,
}

impl Signed {
    pub fn new() -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey(key.verifying_key().to_bytes());
        let adapter = AdapterKey { adapter: "http".into(), key_id: "main".into(), key: public };
        let keys = Keys::of(&Trust { adapters: vec![adapter], ..Trust::default() });
        let receipts: Vec<Receipt> = (0..MANY).map(receipt).collect();
        let messages: Vec<Vec<u8>> = receipts.iter().map(Receipt::message).collect();
        let signed = receipts.iter().map(|receipt| (receipt.encode(), key.sign(&receipt.message()).to_bytes()));
        let signed = signed.collect();
        Self { key, keys, receipts, messages, signed }
    }

    pub fn bare_sign(&self) -> (&'static str, Duration) {
        let sign = |message: &Vec<u8>| {
            black_box(self.key.sign(message));
        };
        (BARE_SIGN, each(self.messages.iter().take(COUNT), sign))
    }

    pub fn sign(&self) -> (&'static str, Duration) {
        let sign = |receipt: &Receipt| drop(black_box((receipt.encode(), self.key.sign(&receipt.message()))));
        (SIGN, each(self.receipts.iter().take(COUNT), sign))
    }

    pub fn bare_verify(&self) -> (&'static str, Duration) {
        let key = self.key.verifying_key();
        let verify = |(message, (_, signature)): (&Vec<u8>, &(Vec<u8>, [u8; 64]))| {
            key.verify_strict(message, &Signature::from_bytes(signature)).unwrap();
        };
        (BARE_VERIFY, each(self.messages.iter().zip(&self.signed).take(COUNT), verify))
    }

    pub fn verify(&self) -> (&'static str, Duration) {
        let verify = |(bytes, signature): &(Vec<u8>, [u8; 64])| drop(self.keys.receipt(bytes, signature).unwrap());
        (VERIFY, each(self.signed.iter().take(COUNT), verify))
    }

    /// One share for each core, as `aos_host::driver::verify_inputs` cuts them. The threads' start counts.
    pub fn verify_on_all_cores(&self) -> (&'static str, Duration) {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let start = Instant::now();
        thread::scope(|scope| {
            for share in self.signed.chunks(self.signed.len().div_ceil(threads)) {
                scope.spawn(|| {
                    share.iter().for_each(|(bytes, signature)| drop(self.keys.receipt(bytes, signature).unwrap()));
                });
            }
        });
        (ALL_CORES, start.elapsed() / u32::try_from(MANY).unwrap())
    }
}

/// A receipt of an HTTP request.
fn receipt(number: u64) -> Receipt {
    Receipt {
        world: WorldId(Digest::from_bytes([1; 32])),
        intent: IntentId(Digest::of(&number.to_be_bytes())),
        adapter: "http".into(),
        key_id: "main".into(),
        status: Status::Ok,
        payload: crate::world::answer(),
        cost: Spend { calls: 1, ..Spend::default() },
        started_ns: 1_700_000_000_000_000_000,
        finished_ns: 1_700_000_000_000_000_001,
    }
}
