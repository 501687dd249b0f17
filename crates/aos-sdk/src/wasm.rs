//! The guest's side of the ABI on wasm32: `alloc`, the bodies of `step` and `run`, the allocator, the panic handler.
//!
//! The only unsafe code of this crate. Memory is fresh for every call, so nothing is ever freed, and a panic is a
//! trap. Never here: what is decoded and answered; see `call.rs`.
#![expect(unsafe_code, reason = "exports, raw memory and a global allocator cannot be written without")]

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::{Pure, Reducer, call};

/// Bytes of a page of WebAssembly memory.
const PAGE_BYTES: usize = 65_536;

/// Reserves `len` bytes for the caller's input and returns where they lie.
// SAFETY: `alloc` is the ABI's name for this function and no other symbol of a guest has it.
#[unsafe(no_mangle)]
extern "C" fn alloc(len: usize) -> usize {
    Vec::<u8>::with_capacity(len).leak().as_ptr().addr()
}

/// Answers one call whose envelope lies at `ptr`, as `ptr << 32 | len` of the reply, which says so where the step fails.
///
/// # Safety
/// `len` bytes at `ptr` are initialized and nothing writes to them during the call.
pub unsafe fn step<R: Reducer>(ptr: usize, len: usize) -> u64 {
    // SAFETY: the caller's promise. A pointer made from a number is what the ABI passes.
    let input = unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(ptr), len) };
    packed(call::answer::<R>(input).unwrap_or_else(call::refusal))
}

/// Answers one call of a pure module, as [`step`] does for a reducer.
///
/// # Safety
/// As [`step`].
pub unsafe fn run<P: Pure>(ptr: usize, len: usize) -> u64 {
    // SAFETY: the caller's promise. A pointer made from a number is what the ABI passes.
    let input = unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(ptr), len) };
    packed(call::answer_pure::<P>(input).unwrap_or_else(call::pure_refusal))
}

/// Leaves a reply in memory and says where.
fn packed(reply: Vec<u8>) -> u64 {
    let reply = reply.leak();
    (reply.as_ptr().addr() as u64) << 32 | reply.len() as u64
}

/// Hands out memory upwards from the end of the module's data and takes none back.
struct Bump {
    /// The first free address; 0 until the first allocation.
    next: AtomicUsize,
}

#[global_allocator]
static BUMP: Bump = Bump { next: AtomicUsize::new(0) };

unsafe extern "C" {
    /// The linker's mark at the end of data and stack.
    static __heap_base: u8;
}

impl Bump {
    /// Returns the first free address.
    fn next(&self) -> usize {
        match self.next.load(Relaxed) {
            0 => (&raw const __heap_base).addr(),
            next => next,
        }
    }

    /// Moves the end of used memory to `end`, growing the memory if need be. Returns false where it cannot grow.
    fn advance(&self, end: usize) -> bool {
        let have = wasm32::memory_size(0) * PAGE_BYTES;
        if end > have && wasm32::memory_grow(0, (end - have).div_ceil(PAGE_BYTES)) == usize::MAX {
            return false;
        }
        self.next.store(end, Relaxed);
        true
    }
}

// SAFETY: regions are handed out once, in ascending order from the end of data and stack, inside the memory, aligned as
// asked. `realloc` extends only the last region. A wasm32 guest has one thread.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.next().checked_next_multiple_of(layout.align());
        let end = start.and_then(|start| start.checked_add(layout.size()));
        match (start, end) {
            (Some(start), Some(end)) if self.advance(end) => core::ptr::with_exposed_provenance_mut(start),
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size <= layout.size() {
            return ptr;
        }
        if ptr.addr() + layout.size() == self.next() {
            let grown = ptr.addr().checked_add(size).is_some_and(|end| self.advance(end));
            return if grown { ptr } else { core::ptr::null_mut() };
        }
        // SAFETY: the caller promises that `size`, rounded up to the alignment, does not overflow `isize`.
        let fresh = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !fresh.is_null() {
            // SAFETY: both regions hold `layout.size()` bytes, and a fresh one overlaps no other.
            unsafe { core::ptr::copy_nonoverlapping(ptr, fresh, layout.size()) };
        }
        fresh
    }
}

/// Traps. The message is not formatted, so that no guest carries the formatting code for it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    wasm32::unreachable()
}
