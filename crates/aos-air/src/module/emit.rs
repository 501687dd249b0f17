//! The short operator sequences that admission adds to a function.
//!
//! Lives here: how a charge, a stack check and a canonical NaN are written. Never here: where they go (`body.rs`) or how
//! much is charged (`cost.rs`). Every sequence leaves the operand stack as it found it.

use alloc::vec::Vec;

use wasm_encoder::{BlockType, Encode, Ieee32, Ieee64, Instruction, ValType};
use wasmparser::Operator;

use super::cost;

/// Bits of the canonical NaN: quiet, positive, nothing else in the payload.
const NAN_F32: u32 = 0x7fc0_0000;
/// The same for 64 bits.
const NAN_F64: u64 = 0x7ff8_0000_0000_0000;
/// Four canonical NaNs of 32 bits.
const NAN_F32X4: i128 = 0x7fc0_0000_7fc0_0000_7fc0_0000_7fc0_0000;
/// Two canonical NaNs of 64 bits.
const NAN_F64X2: i128 = 0x7ff8_0000_0000_0000_7ff8_0000_0000_0000;

/// Where the two counters live in the rewritten module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counters {
    /// Index of the global `aos:fuel`.
    pub(super) fuel: u32,
    /// Index of the global `aos:stack`.
    pub(super) stack: u32,
}

/// What the length on top of the operand stack counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bulk {
    /// Bytes of memory.
    Bytes,
    /// Entries of the table.
    Entries,
    /// Pages to grow by, of which more than `max` are refused by the engine and cost nothing.
    Pages {
        /// The memory's maximum in pages.
        max: u32,
    },
}

impl Bulk {
    /// Returns how `operator` is charged by length, if it is.
    pub(super) fn of(operator: &Operator<'_>, pages_max: u32) -> Option<Self> {
        match operator {
            Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } | Operator::MemoryInit { .. } => {
                Some(Self::Bytes)
            }
            Operator::TableInit { .. } | Operator::TableCopy { .. } => Some(Self::Entries),
            Operator::MemoryGrow { .. } => Some(Self::Pages { max: pages_max }),
            _ => None,
        }
    }
}

/// The type of a value that may be a NaN with arbitrary bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nan {
    F32,
    F64,
    F32x4,
    F64x2,
}

macro_rules! one_of {
    ($operator:expr; $($name:ident)+) => { matches!($operator, $(Operator::$name)|+) };
}

impl Nan {
    /// Returns what `operator` leaves on the stack if the standard lets an engine choose the bits of a NaN there.
    pub(super) fn of(operator: &Operator<'_>) -> Option<Self> {
        if one_of!(operator; F32Ceil F32Floor F32Trunc F32Nearest F32Sqrt F32Add F32Sub F32Mul F32Div F32Min F32Max
            F32DemoteF64)
        {
            Some(Self::F32)
        } else if one_of!(operator; F64Ceil F64Floor F64Trunc F64Nearest F64Sqrt F64Add F64Sub F64Mul F64Div F64Min
            F64Max F64PromoteF32)
        {
            Some(Self::F64)
        } else if one_of!(operator; F32x4Ceil F32x4Floor F32x4Trunc F32x4Nearest F32x4Sqrt F32x4Add F32x4Sub F32x4Mul
            F32x4Div F32x4Min F32x4Max F32x4DemoteF64x2Zero)
        {
            Some(Self::F32x4)
        } else if one_of!(operator; F64x2Ceil F64x2Floor F64x2Trunc F64x2Nearest F64x2Sqrt F64x2Add F64x2Sub F64x2Mul
            F64x2Div F64x2Min F64x2Max F64x2PromoteLowF32x4)
        {
            Some(Self::F64x2)
        } else {
            None
        }
    }

    /// Returns the type of the local that `canonical_nan` needs.
    pub(super) fn local_type(self) -> ValType {
        match self {
            Self::F32 => ValType::F32,
            Self::F64 => ValType::F64,
            Self::F32x4 | Self::F64x2 => ValType::V128,
        }
    }
}

/// Writes operators one after another.
fn write(out: &mut Vec<u8>, instructions: &[Instruction<'_>]) {
    for instruction in instructions {
        instruction.encode(out);
    }
}

/// Stores the new fuel, which is on the operand stack, and traps if it is below zero.
fn settle_fuel(out: &mut Vec<u8>, counters: Counters, left: u32) {
    write(
        out,
        &[
            Instruction::LocalTee(left),
            Instruction::GlobalSet(counters.fuel),
            Instruction::LocalGet(left),
            Instruction::I64Const(0),
            Instruction::I64LtS,
            Instruction::If(BlockType::Empty),
            Instruction::Unreachable,
            Instruction::End,
        ],
    );
}

/// Takes `cost` from the fuel. `left` is a local of type i64.
pub(super) fn charge(out: &mut Vec<u8>, counters: Counters, left: u32, cost: i64) {
    write(out, &[Instruction::GlobalGet(counters.fuel), Instruction::I64Const(cost), Instruction::I64Sub]);
    settle_fuel(out, counters, left);
}

/// Takes fuel for the length on top of the operand stack, which stays there. `left` is a local of type i64, `length` of i32.
pub(super) fn charge_bulk(out: &mut Vec<u8>, counters: Counters, left: u32, length: u32, bulk: Bulk) {
    write(out, &[Instruction::LocalTee(length), Instruction::GlobalGet(counters.fuel), Instruction::LocalGet(length)]);
    match bulk {
        Bulk::Bytes => write(
            out,
            &[Instruction::I64ExtendI32U, Instruction::I64Const(cost::BULK_BYTES_LOG2), Instruction::I64ShrU],
        ),
        Bulk::Entries => {
            write(out, &[Instruction::I64ExtendI32U, Instruction::I64Const(cost::BULK_ENTRY_LOG2), Instruction::I64Shl])
        }
        Bulk::Pages { max } => write(
            out,
            &[
                Instruction::I32Const(0),
                Instruction::LocalGet(length),
                Instruction::I32Const(max.cast_signed()),
                Instruction::I32LeU,
                Instruction::Select,
                Instruction::I64ExtendI32U,
                Instruction::I64Const(cost::GROW_PAGE_LOG2),
                Instruction::I64Shl,
            ],
        ),
    }
    write(out, &[Instruction::I64Sub]);
    settle_fuel(out, counters, left);
}

/// Takes `slots` from the stack budget and traps if it is below zero. `left` is a local of type i32.
pub(super) fn enter(out: &mut Vec<u8>, counters: Counters, left: u32, slots: i32) {
    write(
        out,
        &[
            Instruction::GlobalGet(counters.stack),
            Instruction::I32Const(slots),
            Instruction::I32Sub,
            Instruction::LocalTee(left),
            Instruction::GlobalSet(counters.stack),
            Instruction::LocalGet(left),
            Instruction::I32Const(0),
            Instruction::I32LtS,
            Instruction::If(BlockType::Empty),
            Instruction::Unreachable,
            Instruction::End,
        ],
    );
}

/// Gives `slots` back to the stack budget.
pub(super) fn leave(out: &mut Vec<u8>, counters: Counters, slots: i32) {
    write(
        out,
        &[
            Instruction::GlobalGet(counters.stack),
            Instruction::I32Const(slots),
            Instruction::I32Add,
            Instruction::GlobalSet(counters.stack),
        ],
    );
}

/// Replaces a NaN on top of the operand stack by the canonical one. `value` is a local of `nan.local_type()`.
///
/// A value equals itself unless it is a NaN; `select` and `v128.bitselect` do not touch the bits of what they pass on.
pub(super) fn canonical_nan(out: &mut Vec<u8>, value: u32, nan: Nan) {
    let (constant, equal, choose) = match nan {
        Nan::F32 => (Instruction::F32Const(Ieee32::new(NAN_F32)), Instruction::F32Eq, Instruction::Select),
        Nan::F64 => (Instruction::F64Const(Ieee64::new(NAN_F64)), Instruction::F64Eq, Instruction::Select),
        Nan::F32x4 => (Instruction::V128Const(NAN_F32X4), Instruction::F32x4Eq, Instruction::V128Bitselect),
        Nan::F64x2 => (Instruction::V128Const(NAN_F64X2), Instruction::F64x2Eq, Instruction::V128Bitselect),
    };
    write(
        out,
        &[
            Instruction::LocalTee(value),
            constant,
            Instruction::LocalGet(value),
            Instruction::LocalGet(value),
            equal,
            choose,
        ],
    );
}
