//! Rewrites one function: validates it operator by operator, cuts it into segments, and writes it again with its charges.
//!
//! Lives here: where charges, stack accounting and canonical NaNs go. Never here: what they look like (`emit.rs`), what they
//! cost (`cost.rs`). The exact rules are in `spec/modules.md`; this file and that page change together.

use alloc::vec::Vec;
use core::ops::Range;

use wasm_encoder::{BlockType, Encode, Instruction, ValType};
use wasmparser::{FuncToValidate, FuncType, FuncValidator, FunctionBody, Operator, ValidatorResources};

use super::{
    cost,
    emit::{self, Bulk, Counters, Nan},
    limits::{Bound, Limits},
    reason,
    refused::{Place, Refused},
    survey::Survey,
};

/// Slots that every frame takes, for what an engine keeps beside locals and operands.
pub(super) const FRAME_SLOTS_BASE: u32 = 8;
/// Operators for which a frame takes one more slot: an optimiser may keep a value for each across a call.
pub(super) const OPERATORS_PER_SLOT: u32 = 16;
/// The largest frame of a function without calls that need not be accounted for: at most one such frame is active.
pub(super) const LEAF_SLOTS_MAX: u32 = 64;

/// What rewriting a function needs to know of its module.
pub(super) struct Context<'a, 's> {
    pub(super) wasm: &'a [u8],
    pub(super) survey: &'s Survey<'a>,
    pub(super) limits: &'s Limits,
    pub(super) counters: Counters,
    /// The memory's maximum in pages.
    pub(super) pages_max: u32,
}

/// Function types without parameters that admission adds, one for each list of two or more results.
#[derive(Debug)]
pub(super) struct AddedTypes {
    /// Index of the first added type.
    pub(super) first: u32,
    /// Their results.
    pub(super) results: Vec<Vec<wasmparser::ValType>>,
}

impl AddedTypes {
    /// Returns the type of a block that takes nothing and leaves the results of `function_type`.
    fn block(&mut self, function_type: &FuncType) -> Block {
        match function_type.results() {
            [] => Block::Plain(BlockType::Empty),
            [wasmparser::ValType::I32] => Block::Plain(BlockType::Result(ValType::I32)),
            [wasmparser::ValType::I64] => Block::Plain(BlockType::Result(ValType::I64)),
            [wasmparser::ValType::F32] => Block::Plain(BlockType::Result(ValType::F32)),
            [wasmparser::ValType::F64] => Block::Plain(BlockType::Result(ValType::F64)),
            [wasmparser::ValType::V128] => Block::Plain(BlockType::Result(ValType::V128)),
            results => {
                let position = self.results.iter().position(|known| known == results).unwrap_or_else(|| {
                    self.results.push(results.to_vec());
                    self.results.len() - 1
                });
                Block::Added(u32::try_from(position).unwrap_or(u32::MAX))
            }
        }
    }
}

/// A block type, or the position of one among the added types.
enum Block {
    Plain(BlockType),
    Added(u32),
}

/// A part of the new body.
enum Piece {
    /// Bytes of the author's module.
    Copied(Range<usize>),
    /// A charge for the segment of this number, if it costs anything.
    Charge(usize),
    /// `return` with this many labels below the function's own.
    Return(u32),
    /// A charge by the length on top of the operand stack.
    Bulk(Bulk),
    /// The value on top of the operand stack made canonical.
    Nan(Nan),
}

/// An open block.
struct Label {
    kind: LabelKind,
    /// A live branch goes to the block's end.
    targeted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LabelKind {
    Function,
    Block,
    Loop,
    If,
}

/// Whether the operators at hand can be reached.
enum Flow {
    Live,
    /// After an operator that never passes on, with this many blocks opened since.
    Dead {
        opened: u32,
    },
}

/// Locals that admission adds behind the author's, one of each type at most, in this order.
const SCRATCH: [ValType; 5] = [ValType::I64, ValType::I32, ValType::F32, ValType::F64, ValType::V128];

struct Rewriter<'a, 's, 'c> {
    context: &'c Context<'a, 's>,
    pieces: Vec<Piece>,
    /// Cost of each segment.
    segments: Vec<i64>,
    labels: Vec<Label>,
    flow: Flow,
    /// Parameters and declared locals.
    locals: u32,
    calls: bool,
    operators: u32,
    operands_max: u32,
}

/// Validates the function behind `to_validate` and returns its new body, without the length in front.
pub(super) fn rewrite(
    context: &Context<'_, '_>,
    added_types: &mut AddedTypes,
    to_validate: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
) -> Result<Vec<u8>, Refused> {
    let function = to_validate.index;
    let refuse =
        |error: &wasmparser::Error| reason::of(error, context.wasm, context.survey.place_in(function, error.offset()));
    let mut validator = to_validate.into_validator(wasmparser::FuncValidatorAllocations::default());

    let mut locals = body.get_locals_reader().map_err(|error| refuse(&error))?;
    let locals_start = locals.original_position();
    let groups = locals.get_count();
    let mut declared = 0_u64;
    for _ in 0..groups {
        let (count, local_type) = locals.read().map_err(|error| refuse(&error))?;
        declared += u64::from(count);
        let place = || context.survey.place_in(function, locals_start);
        within(context.limits, Bound::Locals, declared, place)?;
        validator.define_locals(locals.original_position(), count, local_type).map_err(|error| refuse(&error))?;
    }
    let mut operators = body.get_operators_reader().map_err(|error| refuse(&error))?;
    let locals_bytes = locals_start..operators.original_position();

    let mut rewriter = Rewriter::new(context, validator.len_locals());
    rewriter.open_segment();
    // Setting the declared locals to zero is work too.
    rewriter.add_cost(u32::try_from(declared).unwrap_or(u32::MAX).div_ceil(cost::ENTRY_LOCALS));
    while !operators.eof() {
        let (operator, start) = operators.read_with_offset().map_err(|error| refuse(&error))?;
        validator.op(start, &operator).map_err(|error| refuse(&error))?;
        rewriter.operator(&operator, start..operators.original_position(), &validator)?;
    }
    operators.finish().map_err(|error| refuse(&error))?;

    let place = || context.survey.place_in(function, locals_start);
    let slots = rewriter.frame_slots();
    within(context.limits, Bound::FrameSlots, u64::from(slots), place)?;
    let block = match context.survey.function_type(function) {
        Some(function_type) if rewriter.accounts_for_stack() => Some(added_types.block(function_type)),
        _ => None,
    };
    Ok(rewriter.assemble(slots, block.map(|block| block.at(added_types.first)), groups, locals_bytes))
}

impl Block {
    fn at(self, first_added: u32) -> BlockType {
        match self {
            Self::Plain(block_type) => block_type,
            Self::Added(position) => BlockType::FunctionType(first_added + position),
        }
    }
}

/// Refuses `found` past its limit.
fn within(limits: &Limits, bound: Bound, found: u64, place: impl FnOnce() -> Place) -> Result<(), Refused> {
    let max = bound.of(limits);
    if found > u64::from(max) {
        return Err(Refused::Limit { bound, found, max, place: place() });
    }
    Ok(())
}

impl<'a, 's, 'c> Rewriter<'a, 's, 'c> {
    fn new(context: &'c Context<'a, 's>, locals: u32) -> Self {
        Self {
            context,
            pieces: Vec::new(),
            segments: Vec::new(),
            labels: alloc::vec![Label { kind: LabelKind::Function, targeted: false }],
            flow: Flow::Live,
            locals,
            calls: false,
            operators: 0,
            operands_max: 0,
        }
    }

    /// Begins a segment here: what follows is charged here, up to the next segment.
    fn open_segment(&mut self) {
        self.pieces.push(Piece::Charge(self.segments.len()));
        self.segments.push(0);
    }

    fn add_cost(&mut self, cost: u32) {
        if let Some(segment) = self.segments.last_mut() {
            *segment += i64::from(cost);
        }
    }

    fn copy(&mut self, bytes: Range<usize>) {
        match self.pieces.last_mut() {
            Some(Piece::Copied(before)) if before.end == bytes.start => before.end = bytes.end,
            _ => self.pieces.push(Piece::Copied(bytes)),
        }
    }

    /// Takes the next operator, which was just validated.
    fn operator(
        &mut self,
        operator: &Operator<'_>,
        bytes: Range<usize>,
        validator: &FuncValidator<ValidatorResources>,
    ) -> Result<(), Refused> {
        let function = validator.index();
        let place = || self.context.survey.place_in(function, bytes.start);
        let limits = self.context.limits;
        within(limits, Bound::Nesting, u64::from(validator.control_stack_height()), place)?;
        if let Operator::BrTable { targets } = operator {
            within(limits, Bound::BrTableTargets, u64::from(targets.len()), place)?;
        }
        if !self.reaches(operator) {
            return Ok(());
        }
        let operands = validator.operand_stack_height();
        within(limits, Bound::Operands, u64::from(operands), place)?;
        let Some(cost) = cost::of(operator) else {
            // INVARIANT: the allowed features hold no operator without a cost; a test goes through all of them.
            let message = alloc::format!("{operator:?} has no cost");
            return Err(Refused::Feature { feature: "an operator that is not metered", place: place(), message });
        };
        self.operands_max = self.operands_max.max(operands);
        self.operators += 1;
        self.add_cost(cost);
        self.write_operator(operator, bytes);
        Ok(())
    }

    /// Follows the flow past dead operators. Returns whether `operator` is live: dead ones are left out.
    fn reaches(&mut self, operator: &Operator<'_>) -> bool {
        let Flow::Dead { opened } = &mut self.flow else { return true };
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => *opened += 1,
            Operator::Else | Operator::End if *opened == 0 => return true,
            Operator::End => *opened -= 1,
            _ => {}
        }
        false
    }

    fn write_operator(&mut self, operator: &Operator<'_>, bytes: Range<usize>) {
        match operator {
            Operator::Block { .. } => self.open_block(LabelKind::Block, bytes),
            Operator::Loop { .. } => self.open_block(LabelKind::Loop, bytes),
            Operator::If { .. } => self.open_block(LabelKind::If, bytes),
            Operator::Else => {
                self.copy(bytes);
                self.flow = Flow::Live;
                self.open_segment();
            }
            Operator::End => self.close_block(bytes),
            Operator::Br { relative_depth } => {
                self.target(*relative_depth);
                self.leave_with(bytes);
            }
            Operator::BrIf { relative_depth } => {
                self.target(*relative_depth);
                self.copy(bytes);
                self.open_segment();
            }
            Operator::BrTable { targets } => {
                targets.targets().flatten().for_each(|depth| self.target(depth));
                self.target(targets.default());
                self.leave_with(bytes);
            }
            Operator::Return => {
                let depth = u32::try_from(self.labels.len() - 1).unwrap_or(u32::MAX);
                self.pieces.push(Piece::Return(depth));
                self.flow = Flow::Dead { opened: 0 };
            }
            Operator::Unreachable => self.leave_with(bytes),
            Operator::Call { .. } | Operator::CallIndirect { .. } => {
                self.calls = true;
                self.copy(bytes);
            }
            _ => self.write_plain(operator, bytes),
        }
    }

    /// Writes an operator that control passes through, with what goes before and after it.
    fn write_plain(&mut self, operator: &Operator<'_>, bytes: Range<usize>) {
        if let Some(bulk) = Bulk::of(operator, self.context.pages_max) {
            self.pieces.push(Piece::Bulk(bulk));
        }
        self.copy(bytes);
        if let Some(nan) = Nan::of(operator) {
            self.pieces.push(Piece::Nan(nan));
        }
    }

    fn open_block(&mut self, kind: LabelKind, bytes: Range<usize>) {
        self.copy(bytes);
        self.labels.push(Label { kind, targeted: false });
        if kind != LabelKind::Block {
            self.open_segment();
        }
    }

    fn close_block(&mut self, bytes: Range<usize>) {
        let Some(label) = self.labels.pop() else { return };
        if label.kind == LabelKind::Function {
            return; // The function's own end is written by `assemble`.
        }
        self.copy(bytes);
        let dead = matches!(self.flow, Flow::Dead { .. });
        self.flow = Flow::Live;
        if dead || label.targeted || label.kind == LabelKind::If {
            self.open_segment();
        }
    }

    /// Writes an operator after which nothing is reached before the block's end.
    fn leave_with(&mut self, bytes: Range<usize>) {
        self.copy(bytes);
        self.flow = Flow::Dead { opened: 0 };
    }

    /// Notes that a live branch goes to the label at `depth`.
    fn target(&mut self, depth: u32) {
        let index = usize::try_from(depth).ok().and_then(|depth| self.labels.len().checked_sub(depth + 1));
        if let Some(label) = index.and_then(|index| self.labels.get_mut(index)) {
            // A branch to a loop goes to its start, which begins a segment anyway.
            label.targeted = label.kind != LabelKind::Loop;
        }
    }

    /// Returns the slots that one call of this function takes.
    fn frame_slots(&self) -> u32 {
        FRAME_SLOTS_BASE + self.locals + self.operands_max + self.operators / OPERATORS_PER_SLOT
    }

    fn accounts_for_stack(&self) -> bool {
        self.calls || self.frame_slots() > LEAF_SLOTS_MAX
    }

    /// Returns the scratch locals that the new body uses, each with its index.
    fn scratch(&self, accounts: bool) -> Vec<(ValType, u32)> {
        let bulk = self.pieces.iter().any(|piece| matches!(piece, Piece::Bulk(_)));
        let charged = self.segments.iter().any(|cost| *cost > 0);
        let nan = |of| self.pieces.iter().any(|piece| matches!(piece, Piece::Nan(nan) if nan.local_type() == of));
        let used = SCRATCH.into_iter().filter(|local_type| match local_type {
            ValType::I64 => charged || bulk,
            ValType::I32 => accounts || bulk,
            other => nan(*other),
        });
        used.zip(self.locals..).collect()
    }

    /// Writes the new body. `block` is there if the function accounts for its stack.
    fn assemble(self, slots: u32, block: Option<BlockType>, groups: u32, locals_bytes: Range<usize>) -> Vec<u8> {
        let counters = self.context.counters;
        let slots = slots.cast_signed();
        let scratch = self.scratch(block.is_some());
        let local = |of: ValType| scratch.iter().find(|(known, _)| *known == of).map_or(u32::MAX, |(_, index)| *index);

        let mut out = Vec::new();
        let added = u32::try_from(scratch.len()).unwrap_or(u32::MAX);
        (groups + added).encode(&mut out);
        out.extend_from_slice(self.context.bytes(&locals_bytes));
        for (local_type, _) in &scratch {
            1_u32.encode(&mut out);
            local_type.encode(&mut out);
        }
        if let Some(block_type) = block {
            emit::enter(&mut out, counters, local(ValType::I32), slots);
            Instruction::Block(block_type).encode(&mut out);
        }
        for piece in &self.pieces {
            match piece {
                Piece::Copied(bytes) => out.extend_from_slice(self.context.bytes(bytes)),
                Piece::Charge(segment) => match self.segments.get(*segment) {
                    Some(0) | None => {}
                    Some(cost) => emit::charge(&mut out, counters, local(ValType::I64), *cost),
                },
                Piece::Return(depth) if block.is_some() => Instruction::Br(*depth).encode(&mut out),
                Piece::Return(_) => Instruction::Return.encode(&mut out),
                Piece::Bulk(bulk) => {
                    emit::charge_bulk(&mut out, counters, local(ValType::I64), local(ValType::I32), *bulk);
                }
                Piece::Nan(nan) => emit::canonical_nan(&mut out, local(nan.local_type()), *nan),
            }
        }
        if block.is_some() {
            Instruction::End.encode(&mut out);
            emit::leave(&mut out, counters, slots);
        }
        Instruction::End.encode(&mut out);
        out
    }
}

impl<'a> Context<'a, '_> {
    /// Returns bytes of the author's module; the range comes from its own reader.
    fn bytes(&self, range: &Range<usize>) -> &'a [u8] {
        self.wasm.get(range.clone()).unwrap_or_default()
    }
}
