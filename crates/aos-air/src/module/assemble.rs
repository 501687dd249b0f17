//! Puts the admitted module together from the author's sections and the rewritten bodies.
//!
//! Lives here: the order and content of the sections. Function, type and global indices of the author's module stay what they
//! were: admission only adds at the end. Never here: code (`body.rs`). Custom sections, the start section and all exports that
//! the ABI does not need are left out.

use alloc::vec::Vec;
use core::ops::Range;

use wasm_encoder::{
    CodeSection, Encode, ExportKind, ExportSection, MemorySection, MemoryType, Module, RawSection, RefType, SectionId,
    TableSection, TableType, ValType,
};
use wasmparser::ExternalKind;

use super::{
    Entry, FUEL_GLOBAL, STACK_GLOBAL,
    body::AddedTypes,
    emit::Counters,
    survey::{Entries, Survey},
};

/// What goes into the admitted module beside the author's own sections.
pub(super) struct Parts<'a, 's> {
    pub(super) wasm: &'a [u8],
    pub(super) survey: &'s Survey<'a>,
    pub(super) entry: Entry,
    pub(super) added_types: &'s AddedTypes,
    pub(super) counters: Counters,
    pub(super) pages_max: u32,
    pub(super) bodies: &'s [Vec<u8>],
}

/// Returns the admitted module.
pub(super) fn module(parts: &Parts<'_, '_>) -> Vec<u8> {
    let survey = parts.survey;
    let mut module = Module::new();
    raw(&mut module, SectionId::Type, &parts.types());
    parts.copy(&mut module, SectionId::Function, survey.function_section.as_ref());
    if let Some(table) = &survey.table {
        module.section(TableSection::new().table(TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum: table.initial,
            maximum: Some(table.initial),
            shared: false,
        }));
    }
    if let Some(memory) = &survey.memory {
        module.section(MemorySection::new().memory(MemoryType {
            minimum: memory.initial,
            maximum: Some(u64::from(parts.pages_max)),
            memory64: false,
            shared: false,
            page_size_log2: None,
        }));
    }
    raw(&mut module, SectionId::Global, &parts.globals());
    module.section(&parts.exports());
    parts.copy(&mut module, SectionId::Element, survey.element_section.as_ref());
    if let Some(count) = survey.data_count {
        let mut bytes = Vec::new();
        count.encode(&mut bytes);
        raw(&mut module, SectionId::DataCount, &bytes);
    }
    let mut code = CodeSection::new();
    for body in parts.bodies {
        code.raw(body);
    }
    module.section(&code);
    parts.copy(&mut module, SectionId::Data, survey.data_section.as_ref());
    module.finish()
}

/// Appends a section whose content is ready.
fn raw(module: &mut Module, id: SectionId, data: &[u8]) {
    module.section(&RawSection { id: id.into(), data });
}

impl Parts<'_, '_> {
    fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.wasm.get(range.clone()).unwrap_or_default()
    }

    /// Appends a section as the author wrote it.
    fn copy(&self, module: &mut Module, id: SectionId, section: Option<&Range<usize>>) {
        if let Some(range) = section {
            raw(module, id, self.bytes(range));
        }
    }

    /// Returns the author's entries with `added` more to follow.
    fn extended(&self, entries: &Entries, added: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        (entries.count + added).encode(&mut bytes);
        bytes.extend_from_slice(self.bytes(&entries.bytes));
        bytes
    }

    fn types(&self) -> Vec<u8> {
        let added = &self.added_types.results;
        let mut bytes = self.extended(&self.survey.type_entries, u32::try_from(added.len()).unwrap_or(u32::MAX));
        for results in added {
            bytes.extend([0x60, 0]); // A function type without parameters.
            u32::try_from(results.len()).unwrap_or(u32::MAX).encode(&mut bytes);
            for result in results {
                value_type(*result).encode(&mut bytes);
            }
        }
        bytes
    }

    /// Returns the author's globals and the two counters, which start at zero: nothing runs before the host sets them.
    fn globals(&self) -> Vec<u8> {
        const MUTABLE: u8 = 1;
        let mut bytes = self.extended(&self.survey.globals, 2);
        ValType::I64.encode(&mut bytes);
        bytes.push(MUTABLE);
        wasm_encoder::ConstExpr::i64_const(0).encode(&mut bytes);
        ValType::I32.encode(&mut bytes);
        bytes.push(MUTABLE);
        wasm_encoder::ConstExpr::i32_const(0).encode(&mut bytes);
        bytes
    }

    fn exports(&self) -> ExportSection {
        let mut exports = ExportSection::new();
        for name in ["memory", "alloc", self.entry.export()] {
            if let Some(export) = self.survey.exported(name) {
                let kind = match export.kind {
                    ExternalKind::Memory => ExportKind::Memory,
                    _ => ExportKind::Func,
                };
                exports.export(name, kind, export.index);
            }
        }
        exports.export(FUEL_GLOBAL, ExportKind::Global, self.counters.fuel);
        exports.export(STACK_GLOBAL, ExportKind::Global, self.counters.stack);
        exports
    }
}

/// Translates a value type; without reference types these five are all there are.
fn value_type(of: wasmparser::ValType) -> ValType {
    match of {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(_) => ValType::FUNCREF,
    }
}
