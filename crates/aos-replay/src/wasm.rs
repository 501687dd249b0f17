//! This crate as a WebAssembly module: `alloc` and `replay` go out, `aos.call_guest` comes in. `spec/replay.md` has both.
//!
//! The only unsafe code here is that of the names. Memory that the surrounding engine writes to is a list of ordinary
//! vectors, so what it hands back is looked up and never trusted. Next: `engine.rs`, which judges what it reports.
#![expect(unsafe_code, reason = "exports and an import cannot be declared without")]

use alloc::vec::Vec;
use core::mem::{offset_of, size_of};
use std::sync::{Mutex, PoisonError};

use aos_air::module::Entry;

use crate::{Call, End, Ended, Engine, encode};

/// What `alloc` gave out and nobody has handed back yet.
static REGIONS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// The last answer, which stays where it is until the next one.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Reserves `len` bytes for the surrounding engine to write to and returns where they lie.
// SAFETY: no other symbol of this module has the name.
#[unsafe(no_mangle)]
extern "C" fn alloc(len: usize) -> usize {
    let mut region = alloc::vec![0; len];
    let ptr = region.as_mut_ptr().expose_provenance();
    REGIONS.lock().unwrap_or_else(PoisonError::into_inner).push(region);
    ptr
}

/// Replays the bundle in the `len` bytes that `alloc` gave at `ptr`, and returns where the answer lies.
// SAFETY: no other symbol of this module has the name.
#[unsafe(no_mangle)]
extern "C" fn replay(ptr: usize, len: usize) -> u64 {
    let bundle = take(ptr, len).unwrap_or_default();
    let answer = encode(&crate::replay(&bundle, &mut Surrounding));
    let packed = (answer.as_ptr().addr() as u64) << 32 | answer.len() as u64;
    *ANSWER.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    packed
}

/// Takes back what `alloc` gave out.
fn take(ptr: usize, len: usize) -> Option<Vec<u8>> {
    let mut regions = REGIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let index = regions.iter().position(|region| region.as_ptr().addr() == ptr && region.len() == len)?;
    Some(regions.swap_remove(index))
}

/// One call as it crosses the border.
#[repr(C)]
struct Record {
    module: [u8; 32],
    code: usize,
    code_len: usize,
    input: usize,
    input_len: usize,
    fuel: i64,
    stack: i32,
    reply_bytes_max: u32,
    /// 0 for `step`, 1 for `run`.
    entry: u32,
    reply: usize,
    reply_len: usize,
}

const _: () = assert!(size_of::<Record>() == 80 && offset_of!(Record, code) == 32);
const _: () = assert!(offset_of!(Record, fuel) == 48 && offset_of!(Record, reply) == 68);

// SAFETY: the surrounding engine provides the import with this type, and writes to nothing but the record's last fields
// and what it has reserved with `alloc`.
#[link(wasm_import_module = "aos")]
unsafe extern "C" {
    safe fn call_guest(record: &mut Record) -> i32;
}

/// The engine around this module.
struct Surrounding;

impl Engine for Surrounding {
    fn run(&mut self, call: &Call<'_>, reply: &mut Vec<u8>) -> Ended {
        let mut record = Record {
            module: *call.module.as_bytes(),
            code: call.code.as_ptr().expose_provenance(),
            code_len: call.code.len(),
            input: call.input.as_ptr().expose_provenance(),
            input_len: call.input.len(),
            fuel: call.fuel,
            stack: call.stack,
            reply_bytes_max: call.reply_bytes_max,
            entry: match call.entry {
                Entry::Reducer => 0,
                Entry::Pure => 1,
            },
            reply: 0,
            reply_len: 0,
        };
        let end = match call_guest(&mut record) {
            0 => match take(record.reply, record.reply_len) {
                Some(bytes) => {
                    *reply = bytes;
                    End::Returned
                }
                None => End::Engine,
            },
            1 => End::Trapped,
            2 => End::Pointer,
            3 => End::ReplyBytes,
            _ => End::Engine,
        };
        Ended { end, fuel: record.fuel, stack: record.stack }
    }
}
