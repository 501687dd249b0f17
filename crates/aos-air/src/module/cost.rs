//! What each operator costs in fuel.
//!
//! Lives here: the cost table and the rates for bulk operators, nothing else. The table is part of the executor number:
//! a changed figure changes which runs end out of fuel, so it is a new executor. `spec/modules.md` holds the same table.
//! Read next: `body.rs`, which sums costs per segment, and `emit.rs`, which writes the charges.

use wasmparser::Operator;

/// Defines the table once, as the lookup and, for tests and the specification, as rows of names.
macro_rules! cost_table {
    ($($cost:literal => $($name:ident)+ ;)+) => {
        /// Returns the cost of one operator in fuel, or `None` for an operator that no admitted module may hold.
        ///
        /// For bulk operators this is the part that does not depend on the length.
        pub(super) fn of(operator: &Operator<'_>) -> Option<u32> {
            match operator {
                $($(Operator::$name { .. })|+ => Some($cost),)+
                _ => None,
            }
        }

        /// The table as rows: a cost and the operators that have it.
        #[cfg(test)]
        pub(super) const ROWS: &[(u32, &[&str])] = &[$(($cost, &[$(stringify!($name)),+])),+];
    };
}

/// Bytes written or copied for one unit of fuel, as a power of two: 8 bytes.
pub(super) const BULK_BYTES_LOG2: i64 = 3;

/// Fuel for one table entry written or copied, as a power of two: 8.
pub(super) const BULK_ENTRY_LOG2: i64 = 3;

/// Fuel for one page of memory grown, as a power of two: 65,536. Most of it is for the first touch of fresh memory.
pub(super) const GROW_PAGE_LOG2: i64 = 16;

/// Declared locals that one unit of fuel sets to zero when a function is entered.
pub(super) const ENTRY_LOCALS: u32 = 8;

cost_table! {
    0 =>
        Unreachable Nop Block Loop Else End Drop ;
    1 =>
        Br Return Select LocalGet LocalSet LocalTee MemorySize I32Const I64Const F32Const F64Const I32Eqz I32Eq I32Ne I32LtS
        I32LtU I32GtS I32GtU I32LeS I32LeU I32GeS I32GeU I64Eqz I64Eq I64Ne I64LtS I64LtU I64GtS I64GtU I64LeS I64LeU I64GeS
        I64GeU I32Clz I32Ctz I32Popcnt I32Add I32Sub I32And I32Or I32Xor I32Shl I32ShrS I32ShrU I32Rotl I32Rotr I64Clz
        I64Ctz I64Popcnt I64Add I64Sub I64And I64Or I64Xor I64Shl I64ShrS I64ShrU I64Rotl I64Rotr F32Abs F32Neg F32Copysign
        F64Abs F64Neg F64Copysign I32WrapI64 I64ExtendI32S I64ExtendI32U I32ReinterpretF32 I64ReinterpretF64 F32ReinterpretI32
        F64ReinterpretI64 I32Extend8S I32Extend16S I64Extend8S I64Extend16S I64Extend32S ;
    2 =>
        If BrIf GlobalGet GlobalSet I32Load I64Load F32Load F64Load I32Load8S I32Load8U I32Load16S I32Load16U I64Load8S
        I64Load8U I64Load16S I64Load16U I64Load32S I64Load32U I32Store I64Store F32Store F64Store I32Store8 I32Store16
        I64Store8 I64Store16 I64Store32 F32Eq F32Ne F32Lt F32Gt F32Le F32Ge F64Eq F64Ne F64Lt F64Gt F64Le F64Ge I32Mul
        I64Mul V128Const V128Not V128And V128AndNot V128Or V128Xor ;
    3 =>
        V128Load V128Load8x8S V128Load8x8U V128Load16x4S V128Load16x4U V128Load32x2S V128Load32x2U V128Load8Splat
        V128Load16Splat V128Load32Splat V128Load64Splat V128Load32Zero V128Load64Zero V128Store V128Load8Lane V128Load16Lane
        V128Load32Lane V128Load64Lane V128Store8Lane V128Store16Lane V128Store32Lane V128Store64Lane I8x16Shuffle
        I8x16ExtractLaneS I8x16ExtractLaneU I8x16ReplaceLane I16x8ExtractLaneS I16x8ExtractLaneU I16x8ReplaceLane
        I32x4ExtractLane I32x4ReplaceLane I64x2ExtractLane I64x2ReplaceLane F32x4ExtractLane F32x4ReplaceLane
        F64x2ExtractLane F64x2ReplaceLane I8x16Swizzle I8x16Splat I16x8Splat I32x4Splat I64x2Splat F32x4Splat F64x2Splat
        I8x16Eq I8x16Ne I8x16LtS I8x16LtU I8x16GtS I8x16GtU I8x16LeS I8x16LeU I8x16GeS I8x16GeU I16x8Eq I16x8Ne I16x8LtS
        I16x8LtU I16x8GtS I16x8GtU I16x8LeS I16x8LeU I16x8GeS I16x8GeU I32x4Eq I32x4Ne I32x4LtS I32x4LtU I32x4GtS I32x4GtU
        I32x4LeS I32x4LeU I32x4GeS I32x4GeU I64x2Eq I64x2Ne I64x2LtS I64x2GtS I64x2LeS I64x2GeS F32x4Eq F32x4Ne F32x4Lt
        F32x4Gt F32x4Le F32x4Ge F64x2Eq F64x2Ne F64x2Lt F64x2Gt F64x2Le F64x2Ge V128Bitselect V128AnyTrue I8x16Abs I8x16Neg
        I8x16AllTrue I8x16Bitmask I8x16NarrowI16x8S I8x16NarrowI16x8U I8x16Shl I8x16ShrS I8x16ShrU I8x16Add I8x16AddSatS
        I8x16AddSatU I8x16Sub I8x16SubSatS I8x16SubSatU I8x16MinS I8x16MinU I8x16MaxS I8x16MaxU I8x16AvgrU
        I16x8ExtAddPairwiseI8x16S I16x8ExtAddPairwiseI8x16U I16x8Abs I16x8Neg I16x8Q15MulrSatS I16x8AllTrue I16x8Bitmask
        I16x8NarrowI32x4S I16x8NarrowI32x4U I16x8ExtendLowI8x16S I16x8ExtendHighI8x16S I16x8ExtendLowI8x16U
        I16x8ExtendHighI8x16U I16x8Shl I16x8ShrS I16x8ShrU I16x8Add I16x8AddSatS I16x8AddSatU I16x8Sub I16x8SubSatS
        I16x8SubSatU I16x8Mul I16x8MinS I16x8MinU I16x8MaxS I16x8MaxU I16x8AvgrU I16x8ExtMulLowI8x16S I16x8ExtMulHighI8x16S
        I16x8ExtMulLowI8x16U I16x8ExtMulHighI8x16U I32x4ExtAddPairwiseI16x8S I32x4ExtAddPairwiseI16x8U I32x4Abs I32x4Neg
        I32x4AllTrue I32x4Bitmask I32x4ExtendLowI16x8S I32x4ExtendHighI16x8S I32x4ExtendLowI16x8U I32x4ExtendHighI16x8U
        I32x4Shl I32x4ShrS I32x4ShrU I32x4Add I32x4Sub I32x4Mul I32x4MinS I32x4MinU I32x4MaxS I32x4MaxU I32x4DotI16x8S
        I32x4ExtMulLowI16x8S I32x4ExtMulHighI16x8S I32x4ExtMulLowI16x8U I32x4ExtMulHighI16x8U I64x2Abs I64x2Neg I64x2AllTrue
        I64x2Bitmask I64x2ExtendLowI32x4S I64x2ExtendHighI32x4S I64x2ExtendLowI32x4U I64x2ExtendHighI32x4U I64x2Shl
        I64x2ShrS I64x2ShrU I64x2Add I64x2Sub I64x2ExtMulLowI32x4S I64x2ExtMulHighI32x4S I64x2ExtMulLowI32x4U
        I64x2ExtMulHighI32x4U F32x4Abs F32x4Neg F32x4PMin F32x4PMax F64x2Abs F64x2Neg F64x2PMin F64x2PMax ;
    4 =>
        BrTable I32TruncF32S I32TruncF32U I32TruncF64S I32TruncF64U I64TruncF32S I64TruncF32U I64TruncF64S I64TruncF64U
        F32ConvertI32S F32ConvertI32U F32ConvertI64S F32ConvertI64U F64ConvertI32S F64ConvertI32U F64ConvertI64S
        F64ConvertI64U I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S I32TruncSatF64U I64TruncSatF32S I64TruncSatF32U
        I64TruncSatF64S I64TruncSatF64U DataDrop ElemDrop ;
    6 =>
        F32Ceil F32Floor F32Trunc F32Nearest F32Add F32Sub F32Mul F32Min F32Max F64Ceil F64Floor F64Trunc F64Nearest F64Add
        F64Sub F64Mul F64Min F64Max F32DemoteF64 F64PromoteF32 ;
    8 =>
        I8x16Popcnt I64x2Mul F32x4Ceil F32x4Floor F32x4Trunc F32x4Nearest F32x4Add F32x4Sub F32x4Mul F32x4Min F32x4Max
        F64x2Ceil F64x2Floor F64x2Trunc F64x2Nearest F64x2Add F64x2Sub F64x2Mul F64x2Min F64x2Max I32x4TruncSatF32x4S
        I32x4TruncSatF32x4U F32x4ConvertI32x4S F32x4ConvertI32x4U I32x4TruncSatF64x2SZero I32x4TruncSatF64x2UZero
        F64x2ConvertLowI32x4S F64x2ConvertLowI32x4U F32x4DemoteF64x2Zero F64x2PromoteLowF32x4 ;
    10 =>
        Call ;
    14 =>
        CallIndirect ;
    16 =>
        I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU ;
    20 =>
        MemoryInit MemoryCopy MemoryFill TableInit TableCopy ;
    24 =>
        F32Sqrt F32Div F64Sqrt F64Div ;
    32 =>
        F32x4Sqrt F32x4Div F64x2Sqrt F64x2Div ;
    100 =>
        MemoryGrow ;
}
