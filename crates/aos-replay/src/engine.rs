//! The border to the auditor's engine: one admitted module, run once on fresh memory.
//!
//! The engine reports plain facts. What they mean for the world, an outcome or a fault, is decided here, so that every
//! auditor decides alike. Never here: how the facts cross the border of a WebAssembly module (`wasm.rs`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use aos_air::hash::Digest;
use aos_air::module::{Entry, Limits, STACK_SLOTS_DEFAULT, Stopped, admit};
use aos_kernel::blobs::Blobs;
use aos_kernel::guest::{Allowance, CallError, Guest, GuestFault, Trap};

/// Runs admitted modules: the one thing that a replay cannot do by itself.
pub trait Engine {
    /// Makes an instance of the code with fresh memory, runs `call` on it, and puts the answer into the empty `reply`.
    ///
    /// Sets both counters, calls `alloc`, writes the input, calls the entry, reads the answer and both counters, in this
    /// order. The instance is not used again.
    fn run(&mut self, call: &Call<'_>, reply: &mut Vec<u8>) -> Ended;
}

/// One call of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// Digest of the author's module, which stands for `code` wherever an engine keeps what it compiled.
    pub module: &'a Digest,
    /// The admitted module.
    pub code: &'a [u8],
    /// The export that is called.
    pub entry: Entry,
    /// What is written where `alloc` says.
    pub input: &'a [u8],
    /// What the fuel counter is set to.
    pub fuel: i64,
    /// What the stack counter is set to.
    pub stack: i32,
    /// Longest answer in bytes.
    pub reply_bytes_max: u32,
}

/// What the engine saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How the call ended.
    pub end: End,
    /// The fuel counter at the end.
    pub fuel: i64,
    /// The stack counter at the end.
    pub stack: i32,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The entry returned, and its answer was read.
    Returned,
    /// `alloc` or the entry trapped.
    Trapped,
    /// `alloc` or the entry returned bytes outside the module's memory.
    Pointer,
    /// The answer is longer than allowed.
    ReplyBytes,
    /// The engine could not do it: it does not take the code, or hit a limit of its own.
    Engine,
}

/// A bundle's modules, admitted when they are first called.
pub struct Modules<'a> {
    blobs: &'a BTreeMap<Digest, Vec<u8>>,
    engine: &'a mut dyn Engine,
    /// By digest and whether the module is pure.
    admitted: BTreeMap<(Digest, bool), Vec<u8>>,
}

impl<'a> Modules<'a> {
    /// Runs the authors' modules among `blobs` on `engine`.
    pub fn new(blobs: &'a BTreeMap<Digest, Vec<u8>>, engine: &'a mut dyn Engine) -> Self {
        Self { blobs, engine, admitted: BTreeMap::new() }
    }

    fn admit(&mut self, module: &Digest, entry: Entry) -> Result<(), GuestFault> {
        let key = (*module, entry == Entry::Pure);
        if self.admitted.contains_key(&key) {
            return Ok(());
        }
        let wasm = self.blobs.blob(module)?;
        let admitted = admit(&wasm, entry, &Limits::default()).map_err(|_| GuestFault::Refused(*module))?;
        self.admitted.insert(key, admitted.bytes);
        Ok(())
    }
}

impl Guest for Modules<'_> {
    fn call(
        &mut self,
        module: &Digest,
        entry: Entry,
        input: &[u8],
        allowance: Allowance,
        output: &mut Vec<u8>,
    ) -> Result<u64, CallError> {
        output.clear();
        self.admit(module, entry)?;
        let broken = || CallError::from(GuestFault::Engine(*module));
        let code = self.admitted.get(&(*module, entry == Entry::Pure)).ok_or_else(broken)?;
        let fuel = i64::try_from(allowance.fuel).unwrap_or(i64::MAX);
        let reply_bytes_max = u32::try_from(allowance.reply_bytes).unwrap_or(u32::MAX);
        let call = Call { module, code, entry, input, fuel, stack: STACK_SLOTS_DEFAULT, reply_bytes_max };
        let ended = self.engine.run(&call, output);
        // The counter passes below zero where the fuel is gone; more than was given it never holds.
        let fuel_used = fuel.checked_sub(ended.fuel.max(0)).and_then(|used| u64::try_from(used).ok());
        let fuel_used = fuel_used.ok_or_else(broken)?;
        let trap = match ended.end {
            End::Returned if output.len() as u64 <= allowance.reply_bytes => return Ok(fuel_used),
            End::Returned | End::Engine => return Err(broken()),
            End::Pointer => Trap::Pointer,
            End::ReplyBytes => Trap::ReplyBytes,
            End::Trapped => match Stopped::from_counters(ended.fuel, ended.stack) {
                Stopped::Fuel => Trap::Fuel,
                Stopped::Stack => Trap::Stack,
                Stopped::Trap => Trap::Trap,
            },
        };
        Err(CallError::Failed { trap, fuel_used })
    }
}

#[cfg(test)]
mod tests {
    use aos_kernel::blobs::BlobFault;

    use super::*;

    /// Says that every call ended in one way, with an answer of some length.
    struct Says(Ended, usize);

    impl Engine for Says {
        fn run(&mut self, call: &Call<'_>, reply: &mut Vec<u8>) -> Ended {
            assert!(call.code.starts_with(b"\0asm") && call.stack == STACK_SLOTS_DEFAULT && reply.is_empty());
            reply.resize(self.1, 0);
            self.0
        }
    }

    /// `(module (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) local.get 0)
    /// (func (export "step") (param i32 i32) (result i64) i64.const 0))`
    const WASM: &[u8] = b"\0asm\x01\0\0\0\x01\x0c\x02\x60\x01\x7f\x01\x7f\x60\x02\x7f\x7f\x01\x7e\x03\x03\x02\0\x01\
        \x05\x03\x01\0\x01\x07\x19\x03\x06memory\x02\0\x05alloc\0\0\x04step\0\x01\x0a\x0b\x02\x04\0\x20\0\x0b\x04\0\x42\0\x0b";

    #[test]
    fn facts_become_outcomes_and_faults() {
        let module = Digest::of(WASM);
        let blobs = BTreeMap::from([(module, WASM.to_vec())]);
        let failed = |trap, fuel_used| Err(CallError::Failed { trap, fuel_used });
        let broken = Err(CallError::Fault(GuestFault::Engine(module)));
        for ((end, fuel, stack, reply), expected) in [
            ((End::Returned, 7, 1, 5), Ok(3)),
            ((End::Returned, 0, 1, 0), Ok(10)),
            ((End::Returned, 7, 1, 6), broken.clone()),
            ((End::Returned, 11, 1, 5), broken.clone()),
            ((End::Engine, 7, 1, 0), broken),
            ((End::Trapped, 4, 0, 0), failed(Trap::Trap, 6)),
            ((End::Trapped, -9, 1, 0), failed(Trap::Fuel, 10)),
            ((End::Trapped, 4, -1, 0), failed(Trap::Stack, 6)),
            ((End::Pointer, 4, 1, 0), failed(Trap::Pointer, 6)),
            ((End::ReplyBytes, 4, 1, 0), failed(Trap::ReplyBytes, 6)),
        ] {
            let mut engine = Says(Ended { end, fuel, stack }, reply);
            let mut output = alloc::vec![1];
            let allowance = Allowance { fuel: 10, reply_bytes: 5 };
            let found = Modules::new(&blobs, &mut engine).call(&module, Entry::Reducer, b"", allowance, &mut output);
            assert_eq!(found, expected, "{end:?} {fuel} {stack} {reply}");
        }
    }

    #[test]
    fn a_module_that_is_not_there_or_not_admitted_is_a_fault() {
        let (module, other) = (Digest::of(WASM), Digest::of(b"no module"));
        let blobs = BTreeMap::from([(module, b"other bytes".to_vec()), (other, b"no module".to_vec())]);
        let missing = Digest::of(b"missing");
        let mut engine = Says(Ended { end: End::Returned, fuel: 0, stack: 0 }, 0);
        for (module, expected) in [
            (missing, GuestFault::Blob(BlobFault::Missing(missing))),
            (module, GuestFault::Blob(BlobFault::Damaged(module))),
            (other, GuestFault::Refused(other)),
        ] {
            let allowance = Allowance { fuel: 1, reply_bytes: 1 };
            let found =
                Modules::new(&blobs, &mut engine).call(&module, Entry::Reducer, b"", allowance, &mut Vec::new());
            assert_eq!(found, Err(expected.into()));
        }
    }
}
