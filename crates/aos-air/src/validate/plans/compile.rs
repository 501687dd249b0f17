//! A plan compiled: every expression typed, every name an index, and what a step reads is set by a step before it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::found::{Found, Origin};
use super::super::manifest::Schema;
use super::super::path::ends;
use super::super::table::Table;
use super::graph::Graph;
use super::{CORRELATION, bound_by};
use crate::def::{self, Op};
use crate::expr::{Code, Compiler, Lost, Operand, Reference, Root, Source, Start, is_same};
use crate::hash::Digest;
use crate::limits::TYPE_DEPTH_MAX;
use crate::name::Name;
use crate::plan::{Correlation, Edge, Emit, Op as Ready, Plan, Slot, Step};
use crate::schema::Shape;
use crate::text::{Problem, Report, Rule};

/// A variable of a plan.
struct Variable {
    /// Its type, as soon as it is known; none if something is wrong with it.
    shape: Option<Arc<Shape>>,
    /// The steps that bind it; none for the correlation, which is there from the start.
    binders: Vec<usize>,
    is_given: bool,
    /// Its place among the variables by name.
    slot: usize,
}

/// Where an expression stands, as far as that decides what it may read.
#[derive(Clone, Copy)]
enum At<'s> {
    /// In a step, or on an edge that leads to it.
    Step(usize),
    /// In the `where` of a step that waits for an event of this type, if that is known.
    Where(usize, Option<&'s Arc<Shape>>),
    /// In an invariant, which is looked at as soon as all is there that it reads.
    Invariant,
}

impl At<'_> {
    fn is_in(self, step: usize) -> bool {
        match self {
            At::Step(here) | At::Where(here, _) => here == step,
            At::Invariant => false,
        }
    }
}

/// Compiles a plan whose graph is sound. None where something is wrong, which is reported.
pub(super) fn compile(
    table: &Table,
    plan: &def::Plan,
    correlate_by: Option<&String>,
    origin: &Origin,
    found: &mut Found,
) -> Option<Plan> {
    let graph = Graph::of(plan);
    let report = Report::default();
    let schema = |name: &Name| table.schema(name).cloned();
    let built_in = |name: &str| Some(table.schema(&Name::parse(name).ok()?)?.shape.clone());
    let mut compiling = Compiling {
        table,
        plan,
        graph: &graph,
        report: &report,
        input: schema(&plan.input),
        ended: built_in("sys/EffectStatus@1").zip(built_in("sys/EffectError@1")),
        variables: variables(table, plan, &graph, correlate_by),
    };
    let compiled = compiling.run(correlate_by);
    found.take(origin, report);
    compiled
}

/// Collects the variables with what is known of their types before any expression is typed.
fn variables(
    table: &Table,
    plan: &def::Plan,
    graph: &Graph<'_>,
    correlate_by: Option<&String>,
) -> BTreeMap<String, Variable> {
    let shape = |name: &Name| table.schema(name).map(|schema| schema.shape.clone());
    let mut variables: BTreeMap<String, Variable> = BTreeMap::new();
    for step in &plan.steps {
        let (Some((name, _)), Some(index)) = (bound_by(step), graph.step(&step.id)) else { continue };
        let known = match &step.op {
            Op::EmitEffect { .. } => Some(Arc::new(Shape::Hash)),
            Op::AwaitReceipt { handle, .. } => emit(plan, handle)
                .and_then(|(_, kind)| table.effect(kind))
                .and_then(|effect| shape(&effect.receipt_schema)),
            Op::AwaitEvent { event, .. } => shape(event),
            Op::Assign { .. } => plan.locals.get(name).and_then(shape),
            Op::RaiseEvent { .. } | Op::End { .. } => None,
        };
        let variable = variables.entry(name.to_string()).or_insert_with(|| Variable {
            shape: known,
            binders: Vec::new(),
            is_given: false,
            slot: 0,
        });
        variable.binders.push(index);
    }
    if let Some(path) = correlate_by {
        let shape = shape(&plan.input).and_then(|input| {
            let ends = ends(&input, path)?;
            let (first, rest) = ends.split_first()?;
            let is_key = first.key_type().is_some() && rest.iter().all(|end| is_same(end, first));
            is_key.then(|| Arc::new((*first).clone()))
        });
        variables.insert(CORRELATION.to_string(), Variable { shape, binders: Vec::new(), is_given: true, slot: 0 });
    }
    variables.values_mut().enumerate().for_each(|(slot, variable)| variable.slot = slot);
    variables
}

/// Finds the step that binds a handle, with the kind of its effect.
fn emit<'p>(plan: &'p def::Plan, wanted: &str) -> Option<(&'p str, &'p str)> {
    plan.steps.iter().find_map(|step| match &step.op {
        Op::EmitEffect { kind, handle, .. } if handle == wanted => Some((step.id.as_str(), kind.as_str())),
        _ => None,
    })
}

struct Compiling<'a> {
    table: &'a Table,
    plan: &'a def::Plan,
    graph: &'a Graph<'a>,
    report: &'a Report,
    input: Option<Arc<Schema>>,
    /// The types of a status and of an error.
    ended: Option<(Arc<Shape>, Arc<Shape>)>,
    variables: BTreeMap<String, Variable>,
}

impl Compiling<'_> {
    fn run(&mut self, correlate_by: Option<&String>) -> Option<Plan> {
        let plan = self.plan;
        let mut steps: BTreeMap<usize, Option<Step>> = BTreeMap::new();
        for index in self.graph.order.clone() {
            let id = self.graph.ids.get(index)?;
            let (at, step) = plan.steps.iter().enumerate().find(|(_, step)| step.id == **id)?;
            let step = self.step(index, at, step);
            steps.insert(index, step);
        }
        let invariants: Vec<Option<Code>> = plan
            .invariants
            .iter()
            .enumerate()
            .map(|(index, operand)| {
                let context = format!("an invariant of `{}`", plan.name);
                self.code(
                    operand,
                    Some(&Arc::new(Shape::Bool)),
                    At::Invariant,
                    &context,
                    &format!("/invariants/{index}"),
                )
            })
            .collect();
        let mut steps = steps.into_values().collect::<Option<Vec<_>>>()?;
        note_reads(&mut steps);
        let slots = self
            .variables
            .iter()
            .map(|(name, variable)| Some(Slot { name: name.clone(), shape: variable.shape.clone()? }));
        let slots = slots.collect::<Option<Vec<_>>>()?;
        let correlation =
            correlate_by.and_then(|path| Some(Correlation { slot: self.slot(CORRELATION)?, path: path.clone() }));
        let input = self.input.clone()?;
        let output = match &plan.output {
            Some(output) => Some(self.table.schema(output)?.shape.clone()),
            None => None,
        };
        Some(Plan {
            name: plan.name.clone(),
            // The node is made once every plan was looked at.
            hash: Digest::from_bytes([0; 32]),
            input_schema: plan.input.clone(),
            input_closure: input.closure,
            input: input.shape.clone(),
            output,
            slots,
            steps,
            invariants: invariants.into_iter().collect::<Option<_>>()?,
            correlation,
        })
    }

    fn slot(&self, name: &str) -> Option<usize> {
        self.variables.get(name).map(|variable| variable.slot)
    }

    fn say<T>(&self, at: &str, rule: Rule, message: String, help: Option<String>) -> Option<T> {
        self.report.add(Problem { pointer: at.to_string(), rule, message, help });
        None
    }

    fn step(&mut self, index: usize, at: usize, step: &def::Step) -> Option<Step> {
        let plan = self.plan;
        let mut incoming = Vec::new();
        let mut whole = true;
        for (from, edge) in self.graph.incoming.get(index).cloned().into_iter().flatten() {
            let when = plan.edges.get(edge).and_then(|edge| edge.when.as_ref());
            let code = when.map(|when| {
                let context = format!("the edge to step `{}` of `{}`", step.id, plan.name);
                self.code(when, Some(&Arc::new(Shape::Bool)), At::Step(index), &context, &format!("/edges/{edge}/when"))
            });
            match code {
                Some(None) => whole = false,
                Some(Some(when)) => incoming.push(Edge { from, when: Some(when) }),
                None => incoming.push(Edge { from, when: None }),
            }
        }
        let context = format!("step `{}` of `{}`", step.id, plan.name);
        let op = self.op(index, &step.op, &context, &format!("/steps/{at}"))?;
        let outgoing = self.graph.outgoing.get(index).cloned().unwrap_or_default();
        whole.then(|| Step { id: step.id.clone(), op, incoming, outgoing })
    }

    fn op(&mut self, index: usize, op: &Op, context: &str, at: &str) -> Option<Ready> {
        let place = |key: &str| [at, "/", key].concat();
        let here = At::Step(index);
        Some(match op {
            Op::EmitEffect { kind, params, cap, idempotency_key, handle } => {
                let effect = self.table.effect(kind).cloned();
                let schema = |name: &Name| self.table.schema(name).cloned();
                let takes = effect.as_ref().and_then(|effect| schema(&effect.params_schema));
                let gives = effect.as_ref().and_then(|effect| schema(&effect.receipt_schema));
                let params = takes
                    .as_ref()
                    .and_then(|takes| self.code(params, Some(&takes.shape), here, context, &place("params")));
                let key = idempotency_key
                    .as_ref()
                    .map(|key| self.code(key, Some(&Arc::new(Shape::Text)), here, context, &place("idempotency_key")));
                let key = match key {
                    Some(key) => Some(key?),
                    None => None,
                };
                Ready::Emit(Box::new(Emit {
                    kind: kind.clone(),
                    effect: effect?.name,
                    params: params?,
                    params_closure: takes?.closure,
                    grant: cap.clone(),
                    key,
                    handle: self.slot(handle)?,
                    receipt: gives.as_ref()?.shape.clone(),
                    receipt_closure: gives?.closure,
                }))
            }
            Op::AwaitReceipt { handle, bind, timeout_ns } => {
                let emit = self.graph.step(emit(self.plan, handle)?.0)?;
                if !self.graph.is_before(emit, index) {
                    let message = format!("{context}: no way leads here from the step that binds `{handle}`");
                    let help = format!("add an edge from `{}`", self.graph.ids.get(emit)?);
                    return self.say(&place("for"), Rule::PlanStepUnbound, message, Some(help));
                }
                self.fits_local(bind, context, &place("bind/as"))?;
                let (handle, bind) = (self.slot(handle)?, self.slot(bind)?);
                Ready::AwaitReceipt { handle, emit, bind, timeout_ns: *timeout_ns, status_is_read: false }
            }
            Op::RaiseEvent { event, value } => {
                let schema = self.table.schema(event).cloned()?;
                let value = self.code(value, Some(&schema.shape), here, context, &place("value"))?;
                Ready::Raise { event: event.clone(), closure: schema.closure, value }
            }
            Op::AwaitEvent { event, filter, bind, timeout_ns } => {
                let schema = self.table.schema(event).cloned();
                let shape = schema.as_ref().map(|schema| &schema.shape);
                let filter = filter.as_ref().map(|filter| {
                    let here = At::Where(index, shape);
                    self.code(filter, Some(&Arc::new(Shape::Bool)), here, context, &place("where"))
                });
                let filter = match filter {
                    Some(filter) => Some(filter?),
                    None => None,
                };
                let schema = schema?;
                self.correlates(filter.as_ref(), context, &place("where"))?;
                self.fits_local(bind, context, &place("bind/as"))?;
                Ready::AwaitEvent {
                    event: event.clone(),
                    closure: schema.closure,
                    shape: schema.shape.clone(),
                    filter,
                    bind: self.slot(bind)?,
                    timeout_ns: *timeout_ns,
                    status_is_read: false,
                }
            }
            Op::Assign { expr, bind } => {
                let value = self.assign(expr, bind, here, context, &place("expr"))?;
                Ready::Assign { value, bind: self.slot(bind)? }
            }
            Op::End { result } => {
                let output = self.plan.output.as_ref();
                let result = match (result, output) {
                    (None, None) => None,
                    (Some(result), Some(output)) => {
                        let shape = self.table.schema(output)?.shape.clone();
                        Some(self.code(result, Some(&shape), here, context, &place("result"))?)
                    }
                    (Some(_), None) => {
                        let message = format!("{context}: a result, but the plan has no `output`");
                        return self.say(&place("result"), Rule::PlanResult, message, None);
                    }
                    (None, Some(output)) => {
                        let message = format!("{context}: no result, but the plan gives a `{output}`");
                        return self.say(at, Rule::PlanResult, message, Some("add `result`".to_string()));
                    }
                };
                Ready::End { result }
            }
        })
    }

    /// Types the value of a variable; where nothing declares it, the first value says its type.
    fn assign(&mut self, expr: &Operand, bind: &String, here: At<'_>, context: &str, at: &str) -> Option<Code> {
        let known = self.variables.get(bind)?.shape.clone();
        if known.is_none() && self.plan.locals.contains_key(bind) {
            return None;
        }
        let code = self.code(expr, known.as_ref(), here, context, at)?;
        if known.is_none() {
            if code.shape().depth() > TYPE_DEPTH_MAX {
                let message = format!("{context}: the type of `{bind}` is nested deeper than {TYPE_DEPTH_MAX}");
                return self.say(at, Rule::TypeSize, message, None);
            }
            self.variables.get_mut(bind)?.shape = Some(code.shape().clone());
        }
        Some(code)
    }

    /// A variable that `locals` declares and that takes something else has the declared type.
    fn fits_local(&self, bind: &str, context: &str, at: &str) -> Option<()> {
        let Some(local) = self.plan.locals.get(bind) else { return Some(()) };
        let (declared, found) = (&self.table.schema(local)?.shape, self.variables.get(bind)?.shape.as_ref()?);
        if is_same(declared, found) {
            return Some(());
        }
        let message = format!("{context}: `{bind}` is declared as a `{local}`, but takes another type");
        self.say(at, Rule::ExprType, message, Some("bind another name".to_string()))
    }

    /// A correlated plan compares every event that it waits for.
    fn correlates(&self, filter: Option<&Code>, context: &str, at: &str) -> Option<()> {
        let Some(slot) = self.variables.get(CORRELATION).filter(|variable| variable.is_given) else { return Some(()) };
        if filter.is_some_and(|filter| filter.slots().contains(&slot.slot)) {
            return Some(());
        }
        let message = format!("{context}: a trigger correlates this plan, but the step takes any event");
        let help = format!("compare with `@var:{CORRELATION}` in its `where`");
        self.say(at, Rule::PlanCorrelation, message, Some(help))
    }

    fn code(
        &self,
        operand: &Operand,
        shape: Option<&Arc<Shape>>,
        here: At<'_>,
        context: &str,
        at: &str,
    ) -> Option<Code> {
        // What could not be read was reported.
        let expr = operand.expr()?;
        let resolve = |reference: &Reference| self.start(reference, here);
        Compiler::new(context, &resolve, self.report).compile(expr, shape, at)
    }

    fn start(&self, reference: &Reference, here: At<'_>) -> Result<Start, Lost> {
        match (reference.root, here) {
            (Root::Input, _) => {
                let shape = self.input.as_ref().ok_or(Lost::Known)?.shape.clone();
                Ok(Start { source: Source::Input, shape, path: reference.rest.clone() })
            }
            (Root::Event, At::Where(_, shape)) => {
                let shape = shape.ok_or(Lost::Known)?.clone();
                Ok(Start { source: Source::Event, shape, path: reference.rest.clone() })
            }
            (Root::Event, _) => Err(Lost::Wrong {
                rule: Rule::PlanUnbound,
                message: "`@event` is there only in the `where` of an `await_event`".to_string(),
                help: None,
            }),
            (Root::Var, _) => self.variable(reference, here),
            (Root::Step, _) => self.ended(reference, here),
        }
    }

    fn variable(&self, reference: &Reference, here: At<'_>) -> Result<Start, Lost> {
        let known = |name: &str| self.variables.contains_key(name);
        let Some((name, path)) = reference.split(known) else {
            return Err(self.nothing(reference, "variable", self.variables.keys().map(String::as_str)));
        };
        let variable = self.variables.get(name).ok_or(Lost::Known)?;
        let is_set = match here {
            At::Invariant => true,
            At::Step(step) | At::Where(step, _) => {
                variable.is_given || variable.binders.iter().any(|binder| self.graph.is_before(*binder, step))
            }
        };
        if !is_set {
            let others = variable.binders.iter().filter(|binder| !here.is_in(**binder));
            let binders: Vec<String> =
                others.filter_map(|step| self.graph.ids.get(*step)).map(|id| format!("`{id}`")).collect();
            let help = format!("`{name}` is set by {}; add an edge from there", binders.join(", "));
            return Err(Lost::Wrong {
                rule: Rule::PlanStepUnbound,
                message: format!("`{reference}` is read, which no step before sets"),
                help: (!binders.is_empty()).then_some(help),
            });
        }
        let shape = variable.shape.clone().ok_or(Lost::Known)?;
        Ok(Start { source: Source::Slot(variable.slot), shape, path: path.to_string() })
    }

    fn ended(&self, reference: &Reference, here: At<'_>) -> Result<Start, Lost> {
        let wrong = |rule, message, help| Err(Lost::Wrong { rule, message, help });
        let Some((id, path)) = reference.split(|id| self.graph.step(id).is_some()) else {
            return Err(self.nothing(reference, "step", self.graph.ids.iter().copied()));
        };
        let step = self.graph.step(id).ok_or(Lost::Known)?;
        let op = self.plan.steps.iter().find(|step| step.id == id).map(|step| &step.op);
        let parts: &[&str] = match op {
            Some(Op::AwaitReceipt { .. }) => &["status", "error"],
            Some(Op::AwaitEvent { timeout_ns: Some(_), .. }) => &["status"],
            _ => {
                let message = format!("`{reference}` names a step that has no status");
                let help = "an `await_receipt` has one, and an `await_event` with `timeout_ns`; what a step computes is read through the variable that it binds";
                return wrong(Rule::PlanUnbound, message, Some(help.to_string()));
            }
        };
        if let At::Step(reader) | At::Where(reader, _) = here
            && !self.graph.is_before(step, reader)
        {
            let message = format!("`{reference}` is read, but no way leads here from `{id}`");
            return wrong(Rule::PlanStepUnbound, message, Some(format!("add an edge from `{id}`")));
        }
        let (part, path) = path.split_once('.').unwrap_or((path, ""));
        if !parts.contains(&part) {
            let message = format!("`{reference}` leads nowhere: a step has {}", parts.join(" and "));
            let help = self.report.suggest(part, parts.iter().copied());
            let help =
                help.unwrap_or_else(|| "the receipt is read through the variable that the step binds".to_string());
            return wrong(Rule::ExprField, message, Some(help));
        }
        let path = path.to_string();
        let (status, error) = self.ended.clone().ok_or(Lost::Known)?;
        Ok(match part {
            "status" => Start { source: Source::Status(step), shape: status, path },
            _ => Start { source: Source::Error(step), shape: Arc::new(Shape::Option(error)), path },
        })
    }

    fn nothing<'n>(&self, reference: &Reference, what: &str, known: impl Iterator<Item = &'n str>) -> Lost {
        let first = reference.rest.split('.').next().unwrap_or_default();
        Lost::Wrong {
            rule: Rule::PlanUnbound,
            message: format!("`{reference}` names no {what} of the plan"),
            help: self.report.suggest(first, known),
        }
    }
}

/// Notes at each step that waits whether an edge out of it reads its status.
fn note_reads(steps: &mut [Step]) {
    let mut read = alloc::vec![false; steps.len()];
    for edge in steps.iter().flat_map(|step| &step.incoming) {
        let reads = edge.when.as_ref().is_some_and(|when| when.reads_status(edge.from));
        if let (true, Some(read)) = (reads, read.get_mut(edge.from)) {
            *read = true;
        }
    }
    for (step, read) in steps.iter_mut().zip(read) {
        if let Ready::AwaitReceipt { status_is_read, .. } | Ready::AwaitEvent { status_is_read, .. } = &mut step.op {
            *status_is_read = read;
        }
    }
}
