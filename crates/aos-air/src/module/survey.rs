//! A first look at a module: what its sections hold, how much of it, and whether the ABI's exports are there.
//!
//! Lives here: everything that can be said without validating, so that all such refusals come at once. What is collected here
//! is not trusted until the module was validated as well (`mod.rs`). Read next: `body.rs` for functions, `assemble.rs` for
//! what becomes of the sections.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::ops::Range;

use wasmparser::{
    ConstExpr, Data, DataKind, Element, ElementItems, ElementKind, Export, ExternalKind, FromReader, FuncType, Imports,
    KnownCustom, MemoryType, Name, NameSectionReader, Operator, Parser, Payload, SectionLimited, TableType, TypeRef,
    ValType,
};

use super::{
    Entry, FEATURES, FINDINGS_MAX, RESERVED_PREFIX,
    limits::{Bound, Limits},
    reason,
    refused::{FunctionPlace, Place, Refused},
};

/// Size of one memory page in bytes.
const PAGE_BYTES: u64 = 65_536;

/// A section that the pass extends: its entries as the author's bytes, without the count in front.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    /// How many there are.
    pub(super) count: u32,
    /// Where their bytes are.
    pub(super) bytes: Range<usize>,
}

impl Entries {
    fn of<'a, T: FromReader<'a>>(section: &SectionLimited<'a, T>) -> Self {
        Self { count: section.count(), bytes: section.original_position()..section.range().end }
    }
}

/// An export by name.
#[derive(Debug, Clone)]
pub(super) struct Exported<'a> {
    pub(super) name: &'a str,
    pub(super) kind: ExternalKind,
    pub(super) index: u32,
}

/// What the sections of a module hold. Nothing here is trusted before validation.
#[derive(Default)]
pub(super) struct Survey<'a> {
    pub(super) types: Vec<FuncType>,
    pub(super) type_entries: Entries,
    /// Type index of each function; imported ones come first, and lead to a refusal.
    pub(super) functions: Vec<u32>,
    pub(super) function_section: Option<Range<usize>>,
    /// The first table; validation refuses a second one.
    pub(super) table: Option<TableType>,
    /// The first memory; validation refuses a second one.
    pub(super) memory: Option<MemoryType>,
    pub(super) globals: Entries,
    pub(super) exports: Vec<Exported<'a>>,
    pub(super) element_section: Option<Range<usize>>,
    pub(super) data_count: Option<u32>,
    pub(super) data_section: Option<Range<usize>>,
    names: Option<NameSectionReader<'a>>,
    /// What is already known to be wrong.
    pub(super) refused: Vec<Refused>,
    /// A structure is past its limit, or this is no core module: it is not looked at any further.
    pub(super) stopped: bool,
    /// A section could not be read. Validation says why.
    pub(super) unreadable: Option<wasmparser::Error>,
}

/// Looks through all sections of `wasm` and at the exports that `entry` needs.
pub(super) fn survey<'a>(wasm: &'a [u8], entry: Entry, limits: &Limits) -> Survey<'a> {
    let mut found = Survey::default();
    found.check_limit(limits, Bound::ModuleBytes, wasm.len(), Place::at(0));
    if let Some(component) = reason::component(wasm) {
        found.refuse(component);
        found.stopped = true;
    }
    if found.stopped {
        return found;
    }
    if let Err(error) = found.sections(wasm, limits) {
        found.unreadable = Some(error);
        return found;
    }
    if !found.stopped {
        found.check_abi(entry);
        found.check_segments(wasm);
    }
    found
}

impl<'a> Survey<'a> {
    /// Adds a reason, unless there are as many as a refusal lists.
    fn refuse(&mut self, reason: Refused) {
        if self.refused.len() < FINDINGS_MAX {
            self.refused.push(reason);
        }
    }

    /// Refuses a count past its limit.
    fn check_limit(&mut self, limits: &Limits, bound: Bound, found: impl TryInto<u64>, place: Place) -> bool {
        let found = found.try_into().unwrap_or(u64::MAX);
        let max = bound.of(limits);
        let over = found > u64::from(max);
        if over {
            self.stopped = true;
            self.refuse(Refused::Limit { bound, found, max, place });
        }
        !over
    }

    fn sections(&mut self, wasm: &'a [u8], limits: &Limits) -> wasmparser::Result<()> {
        let mut parser = Parser::new(0);
        parser.set_features(FEATURES);
        for payload in parser.parse_all(wasm) {
            match payload? {
                Payload::TypeSection(section) => self.types(section, limits)?,
                Payload::ImportSection(section) => self.imports(section)?,
                Payload::FunctionSection(section) => self.functions(section, limits)?,
                Payload::TableSection(section) => {
                    for item in section.into_iter_with_offsets() {
                        let (offset, table) = item?;
                        self.check_limit(limits, Bound::TableEntries, table.ty.initial, Place::at(offset));
                        self.table.get_or_insert(table.ty);
                    }
                }
                Payload::MemorySection(section) => {
                    for item in section.into_iter_with_offsets() {
                        let (offset, memory) = item?;
                        self.check_limit(limits, Bound::MemoryPages, memory.initial, Place::at(offset));
                        self.memory.get_or_insert(memory);
                    }
                }
                Payload::GlobalSection(section) => {
                    self.check_limit(limits, Bound::Globals, section.count(), Place::at(section.range().start));
                    self.globals = Entries::of(&section);
                }
                Payload::ExportSection(section) => self.exports(section, limits)?,
                Payload::StartSection { func, range } => {
                    self.refuse(Refused::Start { function: func, place: Place::at(range.start) });
                }
                Payload::ElementSection(section) => {
                    let place = Place::at(section.range().start);
                    self.check_limit(limits, Bound::ElementSegments, section.count(), place);
                    self.element_section = Some(section.range());
                }
                Payload::DataCountSection { count, range } => {
                    self.check_limit(limits, Bound::DataSegments, count, Place::at(range.start));
                    self.data_count = Some(count);
                }
                Payload::DataSection(section) => self.data(section, limits)?,
                Payload::CodeSectionEntry(body) => {
                    let range = body.range();
                    self.check_limit(limits, Bound::BodyBytes, range.len(), Place::at(range.start));
                }
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        self.names = Some(names);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn types(&mut self, section: SectionLimited<'a, wasmparser::RecGroup>, limits: &Limits) -> wasmparser::Result<()> {
        let place = Place::at(section.range().start);
        self.type_entries = Entries::of(&section);
        if !self.check_limit(limits, Bound::Types, section.count(), place.clone()) {
            return Ok(());
        }
        for function_type in section.into_iter_err_on_gc_types() {
            let function_type = function_type?;
            self.check_limit(limits, Bound::Params, function_type.params().len(), place.clone());
            self.check_limit(limits, Bound::Results, function_type.results().len(), place.clone());
            self.types.push(function_type);
        }
        Ok(())
    }

    fn imports(&mut self, section: SectionLimited<'a, Imports<'a>>) -> wasmparser::Result<()> {
        for item in section.into_iter_with_offsets() {
            let (offset, imports) = item?;
            let (module, name) = match imports {
                Imports::Single(_, import) => {
                    if let TypeRef::Func(type_index) = import.ty {
                        self.functions.push(type_index);
                    }
                    (import.module, import.name)
                }
                Imports::Compact1 { module, .. } | Imports::Compact2 { module, .. } => (module, "*"),
            };
            self.refuse(Refused::Import {
                module: module.to_string(),
                name: name.to_string(),
                place: Place::at(offset),
            });
            if self.refused.len() >= FINDINGS_MAX {
                break;
            }
        }
        Ok(())
    }

    fn functions(&mut self, section: SectionLimited<'a, u32>, limits: &Limits) -> wasmparser::Result<()> {
        self.function_section = Some(section.range());
        if self.check_limit(limits, Bound::Functions, section.count(), Place::at(section.range().start)) {
            for type_index in section {
                self.functions.push(type_index?);
            }
        }
        Ok(())
    }

    fn exports(&mut self, section: SectionLimited<'a, Export<'a>>, limits: &Limits) -> wasmparser::Result<()> {
        if !self.check_limit(limits, Bound::Exports, section.count(), Place::at(section.range().start)) {
            return Ok(());
        }
        for export in section {
            let Export { name, kind, index } = export?;
            if name.starts_with(RESERVED_PREFIX) {
                self.refuse(Refused::ExportReserved { name: name.to_string() });
            }
            self.exports.push(Exported { name, kind, index });
        }
        Ok(())
    }

    fn data(&mut self, section: SectionLimited<'a, Data<'a>>, limits: &Limits) -> wasmparser::Result<()> {
        let place = Place::at(section.range().start);
        self.data_section = Some(section.range());
        if self.check_limit(limits, Bound::DataSegments, section.count(), place.clone()) {
            let mut bytes = 0_usize;
            for segment in section {
                bytes += segment?.data.len();
            }
            self.check_limit(limits, Bound::DataBytes, bytes, place);
        }
        Ok(())
    }

    /// Returns the export of this name.
    pub(super) fn exported(&self, name: &str) -> Option<&Exported<'a>> {
        self.exports.iter().find(|export| export.name == name)
    }

    /// Returns the type of a function, if its index and its type's index exist.
    pub(super) fn function_type(&self, function: u32) -> Option<&FuncType> {
        let index = *self.functions.get(usize::try_from(function).ok()?)?;
        self.types.get(usize::try_from(index).ok()?)
    }

    fn check_abi(&mut self, entry: Entry) {
        let expected = "a memory";
        match self.exported("memory").map(|export| export.kind) {
            Some(ExternalKind::Memory) => {}
            Some(kind) => {
                let found = kind_in_words(kind).to_string();
                self.refuse(Refused::Signature { name: "memory", expected, found });
            }
            None => self.refuse(Refused::ExportMissing { name: "memory", expected }),
        }
        let (i32, i64) = (ValType::I32, ValType::I64);
        self.check_function("alloc", "a function (i32) -> i32", &[i32], &[i32]);
        self.check_function(entry.export(), "a function (i32, i32) -> i64", &[i32, i32], &[i64]);
    }

    fn check_function(&mut self, name: &'static str, expected: &'static str, params: &[ValType], results: &[ValType]) {
        let Some(export) = self.exported(name) else {
            self.refuse(Refused::ExportMissing { name, expected });
            return;
        };
        let found = match (export.kind, self.function_type(export.index)) {
            (ExternalKind::Func, Some(found)) if found.params() == params && found.results() == results => return,
            (ExternalKind::Func, Some(found)) => function_in_words(found),
            (kind, _) => kind_in_words(kind).to_string(),
        };
        self.refuse(Refused::Signature { name, expected, found });
    }

    /// Refuses active segments that would make every instantiation trap. Their offsets are constants: nothing is imported.
    fn check_segments(&mut self, wasm: &[u8]) {
        let memory = self.memory.as_ref().map_or(0, |memory| memory.initial.saturating_mul(PAGE_BYTES));
        let table = self.table.as_ref().map_or(0, |table| table.initial);
        for (index, (start, length, offset)) in (0_u32..).zip(self.active_data(wasm)) {
            self.check_segment("data", index, start.map(|start| start + length), "memory", memory, offset);
        }
        for (index, (start, length, offset)) in (0_u32..).zip(self.active_elements(wasm)) {
            self.check_segment("element", index, start.map(|start| start + length), "table", table, offset);
        }
    }

    fn check_segment(
        &mut self,
        segment: &'static str,
        index: u32,
        end: Option<u64>,
        target: &'static str,
        size: u64,
        offset: usize,
    ) {
        if let Some(end) = end.filter(|end| *end > size) {
            self.refuse(Refused::Segment { segment, index, end, target, size, place: Place::at(offset) });
        }
    }

    /// Lists data segments: where each begins in memory if it is active, its bytes, and its place in the module.
    fn active_data(&self, wasm: &[u8]) -> Vec<(Option<u64>, u64, usize)> {
        let segments = self.data_section.as_ref().and_then(|range| reader::<Data<'_>>(wasm, range));
        segments
            .into_iter()
            .flatten()
            .map_while(Result::ok)
            .map(|segment| {
                let start = match &segment.kind {
                    DataKind::Active { offset_expr, .. } => constant(offset_expr),
                    DataKind::Passive => None,
                };
                (start, segment.data.len().try_into().unwrap_or(u64::MAX), segment.range.start)
            })
            .collect()
    }

    /// Lists element segments in the same way.
    fn active_elements(&self, wasm: &[u8]) -> Vec<(Option<u64>, u64, usize)> {
        let segments = self.element_section.as_ref().and_then(|range| reader::<Element<'_>>(wasm, range));
        segments
            .into_iter()
            .flatten()
            .map_while(Result::ok)
            .map(|segment| {
                let start = match &segment.kind {
                    ElementKind::Active { offset_expr, .. } => constant(offset_expr),
                    ElementKind::Passive | ElementKind::Declared => None,
                };
                let length = match &segment.items {
                    ElementItems::Functions(items) => items.count(),
                    ElementItems::Expressions(_, items) => items.count(),
                };
                (start, u64::from(length), segment.range.start)
            })
            .collect()
    }

    /// Returns the place of `offset` in the body of `function`, with the function's name if there is one.
    pub(super) fn place_in(&self, function: u32, offset: usize) -> Place {
        Place { offset, function: Some(FunctionPlace { index: function, name: self.name_of(function) }) }
    }

    fn name_of(&self, function: u32) -> Option<String> {
        let listed = self.names.clone().into_iter().flatten().map_while(Result::ok).find_map(|section| match section {
            Name::Function(map) => {
                map.into_iter().map_while(Result::ok).find(|naming| naming.index == function).map(|naming| naming.name)
            }
            _ => None,
        });
        let exported = || {
            let export = self.exports.iter().find(|e| e.kind == ExternalKind::Func && e.index == function);
            export.map(|export| export.name)
        };
        listed.or_else(exported).map(ToString::to_string)
    }

    /// Takes what was found wrong, in the order of the module's bytes, and says why an unreadable section is unreadable.
    pub(super) fn take_refused(&mut self, wasm: &[u8]) -> Vec<Refused> {
        let mut refused = core::mem::take(&mut self.refused);
        if let (false, Some(error)) = (self.stopped, &self.unreadable) {
            refused.push(reason::of(error, wasm, Place::at(error.offset())));
        }
        refused
    }
}

/// Opens a section again.
fn reader<'a, T: FromReader<'a>>(wasm: &'a [u8], range: &Range<usize>) -> Option<SectionLimited<'a, T>> {
    let bytes = wasm.get(range.clone())?;
    SectionLimited::new(wasmparser::BinaryReader::new_features(bytes, range.start, FEATURES)).ok()
}

/// Reads an offset expression: the only valid one is a single `i32.const`.
fn constant(expression: &ConstExpr<'_>) -> Option<u64> {
    match expression.get_operators_reader().read() {
        Ok(Operator::I32Const { value }) => Some(u64::from(value.cast_unsigned())),
        _ => None,
    }
}

fn kind_in_words(kind: ExternalKind) -> &'static str {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => "a function",
        ExternalKind::Table => "a table",
        ExternalKind::Memory => "a memory",
        ExternalKind::Global => "a global",
        ExternalKind::Tag => "a tag",
    }
}

fn function_in_words(function_type: &FuncType) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let params = list(function_type.params());
    match function_type.results() {
        [] => alloc::format!("a function ({params})"),
        [one] => alloc::format!("a function ({params}) -> {one}"),
        many => alloc::format!("a function ({params}) -> ({})", list(many)),
    }
}
