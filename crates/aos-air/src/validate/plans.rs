//! Plans: the graph is one, what steps name is there, and every expression can be read.
//!
//! Expressions are read here by the schema of their place. Whether they have the right type is judged elsewhere.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::found::{Found, Origin};
use super::grants::Grants;
use super::table::Table;
use crate::def::{Definition, Edge, Kind, Manifest, Op, Plan, Scope, Step};
use crate::expr::{Operand, Reference, Root};
use crate::name::Name;
use crate::schema::Shape;
use crate::text::{At, Json, Node, Report, Rule};

/// The variable that a correlated plan compares events with.
const CORRELATION: &str = "correlation_id";

/// Checks the plans, whose expressions get read.
pub(super) fn check(table: &mut Table, manifest: &Manifest, grants: &Grants, found: &mut Found) {
    let correlated = manifest.triggers.iter().filter(|trigger| trigger.correlate_by.is_some());
    let correlated: BTreeSet<&Name> = correlated.map(|trigger| &trigger.plan).collect();
    let names: Vec<Name> = table.own(Kind::Plan).filter_map(|entry| entry.definition.name().cloned()).collect();
    for name in names {
        // The plan leaves the table for as long as its expressions are being read by schemas of the table.
        let Some(mut entry) = table.take(Kind::Plan, &name) else { continue };
        if let Definition::Plan(plan) = &mut entry.definition {
            let is_correlated = correlated.contains(&name);
            PlanRules { table, grants, is_correlated, origin: &entry.origin, found }.check(plan);
        }
        table.put(entry);
    }
}

struct PlanRules<'a> {
    table: &'a Table,
    grants: &'a Grants,
    /// Whether a trigger with `correlate_by` starts the plan.
    is_correlated: bool,
    origin: &'a Origin,
    found: &'a mut Found,
}

/// The names that expressions of a plan may use.
struct Names<'p> {
    steps: BTreeSet<&'p str>,
    variables: BTreeSet<&'p str>,
}

impl PlanRules<'_> {
    fn add(&mut self, at: &str, rule: Rule, message: String, help: Option<String>) {
        self.found.add(self.origin, at, rule, message, help);
    }

    fn check(&mut self, plan: &mut Plan) {
        self.table.expect_schema(&plan.input, self.origin, "/input", self.found);
        let mut shape = |schema: &Name, at: &str| {
            self.table.expect_schema(schema, self.origin, at, self.found).map(|schema| schema.shape.clone())
        };
        let output = plan.output.as_ref().map(|output| shape(output, "/output"));
        let locals =
            plan.locals.iter().map(|(local, schema)| (local.clone(), shape(schema, &format!("/locals/{local}"))));
        let shapes = Shapes { output, locals: locals.collect() };
        self.check_names(plan);
        self.check_graph(plan);
        self.check_steps(plan);
        self.check_declared(plan);
        let mentioned = self.read_expressions(plan, &shapes);
        self.check_references(plan, &mentioned);
        self.check_correlation(plan, &mentioned);
    }

    /// Step ids, handles and bound variables are each unique; only `assign` may bind what another `assign` binds, because
    /// branches that exclude each other may compute the same variable.
    fn check_names(&mut self, plan: &Plan) {
        if plan.steps.is_empty() {
            self.add("/steps", Rule::FieldForm, "a plan has at least one step".to_string(), None);
        }
        let (mut ids, mut bound) = (BTreeSet::new(), BTreeMap::new());
        for (index, step) in plan.steps.iter().enumerate() {
            if !ids.insert(step.id.as_str()) {
                self.add(
                    &format!("/steps/{index}/id"),
                    Rule::PlanTwice,
                    format!("another step is called `{}`", step.id),
                    None,
                );
            }
            let assigns = matches!(step.op, Op::Assign { .. });
            if let Some((name, key)) = bound_by(step)
                && bound.insert(name, assigns).is_some_and(|assigned| !(assigned && assigns))
            {
                let message = format!("another step binds `{name}`");
                self.add(&format!("/steps/{index}/bind/{key}"), Rule::PlanTwice, message, None);
            }
        }
    }

    /// Edges join steps that are there, and no step waits for itself.
    fn check_graph(&mut self, plan: &Plan) {
        let ids: BTreeSet<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
        let mut pairs = BTreeSet::new();
        for (index, Edge { from, to, .. }) in plan.edges.iter().enumerate() {
            for (id, key) in [(from, "from"), (to, "to")] {
                if !ids.contains(id.as_str()) {
                    let help = self.found.suggest(id, ids.iter().copied());
                    self.add(
                        &format!("/edges/{index}/{key}"),
                        Rule::PlanEdge,
                        format!("there is no step `{id}`"),
                        help,
                    );
                }
            }
            if !pairs.insert((from, to)) {
                self.add(
                    &format!("/edges/{index}"),
                    Rule::PlanTwice,
                    format!("another edge leads from `{from}` to `{to}`"),
                    None,
                );
            }
        }
        let left = behind_circles(plan);
        if let Some(first) = left.first() {
            let index = plan.steps.iter().position(|step| step.id == **first).unwrap_or_default();
            let steps: Vec<String> = left.iter().map(|id| format!("`{id}`")).collect();
            let message = format!("steps wait for each other in a circle: {}", steps.join(", "));
            self.add(&format!("/steps/{index}"), Rule::PlanCycle, message, Some("a plan ends; remove an edge".into()));
        }
    }

    fn check_steps(&mut self, plan: &Plan) {
        let handle =
            |step: &Step| if let Op::EmitEffect { handle, .. } = &step.op { Some(handle.clone()) } else { None };
        let handles: BTreeSet<String> = plan.steps.iter().filter_map(handle).collect();
        for (index, step) in plan.steps.iter().enumerate() {
            let at = |key: &str| format!("/steps/{index}/{key}");
            match &step.op {
                Op::EmitEffect { kind, cap, .. } => {
                    let effect =
                        self.table.expect_effect(kind, self.origin, &at("kind"), Rule::EffectMissing, self.found);
                    if effect.is_some_and(|effect| effect.origin_scope == Scope::Reducer) {
                        let message = format!("`{kind}` is for reducers; a plan cannot ask for it");
                        self.add(&at("kind"), Rule::EffectScope, message, None);
                    }
                    let wanted = effect.map(|effect| effect.cap_type.as_str());
                    self.grants.expect(cap, wanted, self.origin, &at("cap"), self.found);
                }
                Op::AwaitReceipt { handle, .. } if !handles.contains(handle) => {
                    let help = self.found.suggest(handle, handles.iter().map(String::as_str));
                    self.add(&at("for"), Rule::PlanUnbound, format!("no step binds the handle `{handle}`"), help);
                }
                Op::RaiseEvent { event, .. } | Op::AwaitEvent { event, .. } => {
                    self.table.expect_schema(event, self.origin, &at("event"), self.found);
                }
                Op::AwaitReceipt { .. } | Op::Assign { .. } | Op::End { .. } => {}
            }
        }
    }

    /// What a plan says that it uses is what its steps use.
    fn check_declared(&mut self, plan: &Plan) {
        let used = |pick: fn(&Op) -> Option<&String>| {
            plan.steps.iter().filter_map(|step| pick(&step.op)).collect::<BTreeSet<_>>()
        };
        let caps = used(|op| if let Op::EmitEffect { cap, .. } = op { Some(cap) } else { None });
        let kinds = used(|op| if let Op::EmitEffect { kind, .. } = op { Some(kind) } else { None });
        for (key, declared, used) in
            [("required_caps", &plan.required_caps, caps), ("allowed_effects", &plan.allowed_effects, kinds)]
        {
            let Some(declared) = declared else { continue };
            if !declared.iter().eq(used.iter().copied()) {
                let used: Vec<&str> = used.into_iter().map(String::as_str).collect();
                let message = format!(
                    "`{key}` is not what the steps use, which is: {}",
                    if used.is_empty() { "nothing".to_string() } else { used.join(", ") }
                );
                self.add(&format!("/{key}"), Rule::PlanDeclared, message, None);
            }
        }
    }

    /// Reads every expression; returns the references in them.
    fn read_expressions(&mut self, plan: &mut Plan, shapes: &Shapes) -> Vec<(String, Reference)> {
        let report = Report::default();
        let null = Json::from(Node::Null);
        let read = |operand: &mut Operand, shape: Option<&Shape>, pointer: String| {
            operand.settle(shape, &At { json: &null, pointer, report: &report });
        };
        for (index, step) in plan.steps.iter_mut().enumerate() {
            let at = |key: &str| format!("/steps/{index}/{key}");
            match &mut step.op {
                Op::EmitEffect { kind, params, idempotency_key, .. } => {
                    let shape = self.table.effect(kind).and_then(|effect| self.table.schema(&effect.params_schema));
                    // Without the effect's schema nothing can be said about the params.
                    if let Some(schema) = shape {
                        read(params, Some(&schema.shape), at("params"));
                    }
                    if let Some(key) = idempotency_key {
                        read(key, Some(&Shape::Text), at("idempotency_key"));
                    }
                }
                Op::RaiseEvent { event, value } => {
                    if let Some(schema) = self.table.schema(event) {
                        read(value, Some(&schema.shape), at("value"));
                    }
                }
                Op::AwaitEvent { filter: Some(filter), .. } => read(filter, Some(&Shape::Bool), at("where")),
                // Where a schema is named and missing, nothing can be said about the expression.
                Op::Assign { expr, bind } => match shapes.locals.get(bind) {
                    Some(None) => {}
                    shape => read(expr, shape.and_then(Option::as_deref), at("expr")),
                },
                Op::End { result: Some(result) } => match &shapes.output {
                    Some(None) => {}
                    shape => read(result, shape.as_ref().and_then(Option::as_deref), at("result")),
                },
                Op::AwaitReceipt { .. } | Op::AwaitEvent { filter: None, .. } | Op::End { result: None } => {}
            }
        }
        for (index, edge) in plan.edges.iter_mut().enumerate() {
            if let Some(when) = &mut edge.when {
                read(when, Some(&Shape::Bool), format!("/edges/{index}/when"));
            }
        }
        for (index, invariant) in plan.invariants.iter_mut().enumerate() {
            read(invariant, Some(&Shape::Bool), format!("/invariants/{index}"));
        }
        let mentioned = report.take_references();
        self.found.take(self.origin, report);
        mentioned
    }

    /// Each reference starts from something that the plan has.
    fn check_references(&mut self, plan: &Plan, mentioned: &[(String, Reference)]) {
        let mut variables: BTreeSet<&str> = plan.steps.iter().filter_map(bound_by).map(|(name, _)| name).collect();
        variables.extend(plan.locals.keys().map(String::as_str));
        if self.is_correlated {
            variables.insert(CORRELATION);
        }
        let names = Names { steps: plan.steps.iter().map(|step| step.id.as_str()).collect(), variables };
        for (at, reference) in mentioned {
            let (known, what) = match reference.root {
                Root::Step => (&names.steps, "step"),
                Root::Var => (&names.variables, "variable"),
                Root::Event if step_of_filter(at).is_none() => {
                    let message = "`@event` is there only in the `where` of an `await_event`".to_string();
                    self.add(at, Rule::PlanUnbound, message, None);
                    continue;
                }
                Root::Event | Root::Input => continue,
            };
            if reference.split(|name| known.contains(name)).is_none() {
                let first = reference.rest.split('.').next().unwrap_or_default();
                let help = self.found.suggest(first, known.iter().copied());
                self.add(at, Rule::PlanUnbound, format!("`{reference}` names no {what} of the plan"), help);
            }
        }
    }

    /// A correlated plan compares every event that it waits for.
    fn check_correlation(&mut self, plan: &Plan, mentioned: &[(String, Reference)]) {
        if !self.is_correlated {
            return;
        }
        let compares = |(at, reference): &(String, Reference)| {
            let compares = reference.root == Root::Var && reference.split(|name| name == CORRELATION).is_some();
            step_of_filter(at).filter(|_| compares).map(ToString::to_string)
        };
        let comparing: BTreeSet<String> = mentioned.iter().filter_map(compares).collect();
        for (index, step) in plan.steps.iter().enumerate() {
            let Op::AwaitEvent { .. } = step.op else { continue };
            if !comparing.contains(&index.to_string()) {
                let message = format!("a trigger correlates this plan, but the step `{}` takes any event", step.id);
                let help = format!("compare with `@var:{CORRELATION}` in its `where`");
                self.add(&format!("/steps/{index}/where"), Rule::PlanCorrelation, message, Some(help));
            }
        }
    }
}

/// The types at the places of a plan's expressions; none inside where a schema is named and missing.
struct Shapes {
    output: Option<Option<Arc<Shape>>>,
    locals: BTreeMap<String, Option<Arc<Shape>>>,
}

/// Returns the index of the step into whose `where` a pointer leads.
fn step_of_filter(pointer: &str) -> Option<&str> {
    let (index, rest) = pointer.strip_prefix("/steps/")?.split_once('/')?;
    (rest == "where" || rest.starts_with("where/")).then_some(index)
}

/// Returns the name that a step binds, and the key under which it says so.
fn bound_by(step: &Step) -> Option<(&str, &'static str)> {
    match &step.op {
        Op::EmitEffect { handle, .. } => Some((handle, "effect_id_as")),
        Op::AwaitReceipt { bind, .. } | Op::AwaitEvent { bind, .. } | Op::Assign { bind, .. } => Some((bind, "as")),
        Op::RaiseEvent { .. } | Op::End { .. } => None,
    }
}

/// Returns the steps that can never be ready because they wait for each other, or for such steps.
fn behind_circles(plan: &Plan) -> Vec<&String> {
    let mut waits: BTreeMap<&String, usize> = plan.steps.iter().map(|step| (&step.id, 0)).collect();
    for edge in &plan.edges {
        if waits.contains_key(&edge.from)
            && let Some(count) = waits.get_mut(&edge.to)
        {
            *count += 1;
        }
    }
    let mut after: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    for edge in &plan.edges {
        after.entry(&edge.from).or_default().push(&edge.to);
    }
    let mut ready: Vec<&String> = waits.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    while let Some(id) = ready.pop() {
        waits.remove(id);
        for next in after.get(id).into_iter().flatten() {
            if let Some(count) = waits.get_mut(next) {
                *count -= 1;
                if *count == 0 {
                    ready.push(next);
                }
            }
        }
    }
    waits.into_keys().collect()
}
