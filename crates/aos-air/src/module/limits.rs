//! Every bound that the admission pass puts on a module.
//!
//! Lives here: the numbers and what each one counts. Never here: the checks (`survey.rs` for sections, `body.rs` for functions).
//! Read next: `refused.rs`, which says what a module past a limit is told.

/// Bounds on the structure of an author's module and on what it may ask of an engine.
///
/// A module exactly at a bound is admitted. The bounds are part of what makes a result reproducible: `memory_pages_max`
/// is written into the admitted module, the others decide whether there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the author's module.
    pub module_bytes_max: u32,
    /// Bytes of the module after rewriting.
    pub admitted_bytes_max: u32,
    /// Function types.
    pub types_max: u32,
    /// Parameters of one function type.
    pub params_max: u32,
    /// Results of one function type.
    pub results_max: u32,
    /// Functions.
    pub functions_max: u32,
    /// Globals.
    pub globals_max: u32,
    /// Exports.
    pub exports_max: u32,
    /// Element segments.
    pub element_segments_max: u32,
    /// Data segments.
    pub data_segments_max: u32,
    /// Bytes in all data segments together.
    pub data_bytes_max: u32,
    /// Entries of the table at its start, which is also its maximum.
    pub table_entries_max: u32,
    /// Pages of 64 KiB that the memory may grow to; also the most that it may start with.
    pub memory_pages_max: u32,
    /// Bytes of one function's body.
    pub body_bytes_max: u32,
    /// Locals that one function declares, parameters not counted.
    pub locals_max: u32,
    /// Values on the operand stack of one function at any point.
    pub operands_max: u32,
    /// Blocks open at one point of one function, the function's own included.
    pub nesting_max: u32,
    /// Targets of one `br_table`, the default not counted.
    pub br_table_targets_max: u32,
    /// Slots that one call of one function takes from the stack budget.
    pub frame_slots_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            module_bytes_max: 4 * 1024 * 1024,
            admitted_bytes_max: 16 * 1024 * 1024,
            types_max: 4_096,
            params_max: 64,
            results_max: 16,
            functions_max: 16_384,
            globals_max: 1_024,
            exports_max: 1_024,
            element_segments_max: 1_024,
            data_segments_max: 1_024,
            data_bytes_max: 2 * 1024 * 1024,
            table_entries_max: 16_384,
            memory_pages_max: 1_024,
            body_bytes_max: 256 * 1024,
            locals_max: 2_048,
            operands_max: 1_024,
            nesting_max: 1_024,
            br_table_targets_max: 4_096,
            frame_slots_max: 8_192,
        }
    }
}

/// Names the bound that a module went past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `module_bytes_max`.
    ModuleBytes,
    /// `admitted_bytes_max`.
    AdmittedBytes,
    /// `types_max`.
    Types,
    /// `params_max`.
    Params,
    /// `results_max`.
    Results,
    /// `functions_max`.
    Functions,
    /// `globals_max`.
    Globals,
    /// `exports_max`.
    Exports,
    /// `element_segments_max`.
    ElementSegments,
    /// `data_segments_max`.
    DataSegments,
    /// `data_bytes_max`.
    DataBytes,
    /// `table_entries_max`.
    TableEntries,
    /// `memory_pages_max`.
    MemoryPages,
    /// `body_bytes_max`.
    BodyBytes,
    /// `locals_max`.
    Locals,
    /// `operands_max`.
    Operands,
    /// `nesting_max`.
    Nesting,
    /// `br_table_targets_max`.
    BrTableTargets,
    /// `frame_slots_max`.
    FrameSlots,
}

impl Bound {
    /// Returns what the bound counts, in words that fit "has N …, at most M are allowed".
    pub fn counted(self) -> &'static str {
        match self {
            Self::ModuleBytes => "bytes",
            Self::AdmittedBytes => "bytes after rewriting",
            Self::Types => "function types",
            Self::Params => "parameters",
            Self::Results => "results",
            Self::Functions => "functions",
            Self::Globals => "globals",
            Self::Exports => "exports",
            Self::ElementSegments => "element segments",
            Self::DataSegments => "data segments",
            Self::DataBytes => "bytes of data",
            Self::TableEntries => "table entries",
            Self::MemoryPages => "memory pages",
            Self::BodyBytes => "bytes in one body",
            Self::Locals => "locals",
            Self::Operands => "operands on the stack",
            Self::Nesting => "nested blocks",
            Self::BrTableTargets => "br_table targets",
            Self::FrameSlots => "stack slots in one frame",
        }
    }

    /// Returns the number that `limits` sets for this bound.
    pub fn of(self, limits: &Limits) -> u32 {
        match self {
            Self::ModuleBytes => limits.module_bytes_max,
            Self::AdmittedBytes => limits.admitted_bytes_max,
            Self::Types => limits.types_max,
            Self::Params => limits.params_max,
            Self::Results => limits.results_max,
            Self::Functions => limits.functions_max,
            Self::Globals => limits.globals_max,
            Self::Exports => limits.exports_max,
            Self::ElementSegments => limits.element_segments_max,
            Self::DataSegments => limits.data_segments_max,
            Self::DataBytes => limits.data_bytes_max,
            Self::TableEntries => limits.table_entries_max,
            Self::MemoryPages => limits.memory_pages_max,
            Self::BodyBytes => limits.body_bytes_max,
            Self::Locals => limits.locals_max,
            Self::Operands => limits.operands_max,
            Self::Nesting => limits.nesting_max,
            Self::BrTableTargets => limits.br_table_targets_max,
            Self::FrameSlots => limits.frame_slots_max,
        }
    }
}
