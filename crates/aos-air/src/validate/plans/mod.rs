//! Plans: the graph is one, what steps name is there, and every expression has the type of its place.
//!
//! Lives here: the rules about names, edges and steps, and the reading of expressions by the schemas of their places.
//! Read next: `compile.rs`, which types them and makes the plan that a world runs; `graph.rs` for the order of steps.

mod compile;
mod graph;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::found::{Found, Origin};
use super::grants::Grants;
use super::manifest::Schema;
use super::table::Table;
use crate::def::{Definition, Edge, Kind, Manifest, Op, Plan, Scope, Step};
use crate::expr::Operand;
use crate::limits::PLAN_STEPS_MAX;
use crate::name::Name;
use crate::plan;
use crate::schema::Shape;
use crate::text::{At, Json, Node, Report, Rule};

/// The variable that a correlated plan compares events with.
const CORRELATION: &str = "correlation_id";

/// Checks the plans, whose expressions get read; returns those that could be compiled.
pub(super) fn check(
    table: &mut Table,
    manifest: &Manifest,
    grants: &Grants,
    found: &mut Found,
) -> BTreeMap<Name, plan::Plan> {
    let names: Vec<Name> = table.own(Kind::Plan).filter_map(|entry| entry.definition.name().cloned()).collect();
    let mut compiled = BTreeMap::new();
    for name in names {
        // The plan leaves the table for as long as its expressions are being read by schemas of the table.
        let Some(mut entry) = table.take(Kind::Plan, &name) else { continue };
        if let Definition::Plan(plan) = &mut entry.definition {
            let rules = PlanRules { table, manifest, grants, origin: &entry.origin, found };
            compiled.extend(rules.check(plan).map(|compiled| (name, compiled)));
        }
        table.put(entry);
    }
    compiled
}

struct PlanRules<'a> {
    table: &'a Table,
    manifest: &'a Manifest,
    grants: &'a Grants,
    origin: &'a Origin,
    found: &'a mut Found,
}

impl PlanRules<'_> {
    fn add(&mut self, at: &str, rule: Rule, message: String, help: Option<String>) {
        self.found.add(self.origin, at, rule, message, help);
    }

    fn check(mut self, plan: &mut Plan) -> Option<plan::Plan> {
        self.table.expect_schema(&plan.input, self.origin, "/input", self.found);
        let mut shape = |schema: &Name, at: &str| {
            self.table.expect_schema(schema, self.origin, at, self.found).map(|schema| schema.shape.clone())
        };
        let output = plan.output.as_ref().map(|output| shape(output, "/output"));
        let locals =
            plan.locals.iter().map(|(local, schema)| (local.clone(), shape(schema, &format!("/locals/{local}"))));
        let shapes = Shapes { output, locals: locals.collect() };
        let ids_are_sound = self.check_names(plan);
        let graph_is_sound = self.check_graph(plan);
        self.check_steps(plan);
        self.check_ends(plan);
        self.check_declared(plan);
        self.read_expressions(plan, &shapes);
        if !(ids_are_sound && graph_is_sound) {
            return None;
        }
        let trigger = self.manifest.triggers.iter().find(|trigger| trigger.plan == plan.name);
        let correlate_by = trigger.and_then(|trigger| trigger.correlate_by.as_ref());
        compile::compile(self.table, plan, correlate_by, self.origin, self.found)
    }

    /// Step ids, handles and bound variables are each unique; only `assign` may bind what another `assign` binds, because
    /// branches that exclude each other may compute the same variable. Returns whether each step has an id of its own.
    fn check_names(&mut self, plan: &Plan) -> bool {
        let mut sound = !plan.steps.is_empty();
        if plan.steps.is_empty() {
            self.add("/steps", Rule::FieldForm, "a plan has at least one step".to_string(), None);
        }
        if plan.steps.len() > PLAN_STEPS_MAX {
            sound = false;
            let message = format!("`{}` has {} steps, more than {PLAN_STEPS_MAX}", plan.name, plan.steps.len());
            let help = "split it: an event that one plan raises can start another".to_string();
            self.add("/steps", Rule::PlanSize, message, Some(help));
        }
        let (mut ids, mut bound) = (BTreeSet::new(), BTreeMap::new());
        for (index, step) in plan.steps.iter().enumerate() {
            if !ids.insert(step.id.as_str()) {
                sound = false;
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
        sound
    }

    /// Edges join steps that are there, and no step waits for itself. Returns whether all is so.
    fn check_graph(&mut self, plan: &Plan) -> bool {
        let mut sound = true;
        let ids: BTreeSet<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
        let mut pairs = BTreeSet::new();
        for (index, Edge { from, to, .. }) in plan.edges.iter().enumerate() {
            for (id, key) in [(from, "from"), (to, "to")] {
                if !ids.contains(id.as_str()) {
                    sound = false;
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
                sound = false;
                self.add(
                    &format!("/edges/{index}"),
                    Rule::PlanTwice,
                    format!("another edge leads from `{from}` to `{to}`"),
                    None,
                );
            }
        }
        let left = graph::behind_circles(plan);
        if let Some(first) = left.first() {
            let index = plan.steps.iter().position(|step| step.id == *first).unwrap_or_default();
            let steps: Vec<String> = left.iter().map(|id| format!("`{id}`")).collect();
            let message = format!("steps wait for each other in a circle: {}", steps.join(", "));
            self.add(&format!("/steps/{index}"), Rule::PlanCycle, message, Some("a plan ends; remove an edge".into()));
        }
        sound && left.is_empty()
    }

    /// A plan that gives something has a step that says what, and nothing comes after an end.
    fn check_ends(&mut self, plan: &Plan) {
        let is_end = |step: &Step| matches!(step.op, Op::End { .. });
        if let Some(output) = plan.output.as_ref().filter(|_| !plan.steps.is_empty() && !plan.steps.iter().any(is_end))
        {
            let message = format!("`{}` gives a `{output}`, but no step ends it", plan.name);
            self.add("/output", Rule::PlanResult, message, Some("add an `end` with a `result`".into()));
        }
        let ends: BTreeSet<&str> = plan.steps.iter().filter(|step| is_end(step)).map(|step| step.id.as_str()).collect();
        for (index, edge) in plan.edges.iter().enumerate().filter(|(_, edge)| ends.contains(edge.from.as_str())) {
            let message = format!("nothing comes after `{}`, which ends the plan", edge.from);
            self.add(&format!("/edges/{index}/from"), Rule::PlanEdge, message, None);
        }
    }

    fn check_steps(&mut self, plan: &Plan) {
        let handle =
            |step: &Step| if let Op::EmitEffect { handle, .. } = &step.op { Some(handle.clone()) } else { None };
        let handles: BTreeSet<String> = plan.steps.iter().filter_map(handle).collect();
        let mut awaited = BTreeSet::new();
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
                Op::AwaitReceipt { handle, .. } if !awaited.insert(handle) => {
                    let message = format!("another step waits for `{handle}` already");
                    let help = "an effect is awaited once; the variable that takes the receipt can be read again";
                    self.add(&at("for"), Rule::PlanTwice, message, Some(help.into()));
                }
                Op::RaiseEvent { event, .. } => {
                    self.table.expect_schema(event, self.origin, &at("event"), self.found);
                    self.check_keys(event, &at("event"));
                }
                Op::AwaitEvent { event, .. } => {
                    self.table.expect_schema(event, self.origin, &at("event"), self.found);
                }
                Op::AwaitReceipt { .. } | Op::Assign { .. } | Op::End { .. } => {}
            }
        }
    }

    /// A plan gives no key with an event, so every route to keyed cells finds it in the event.
    fn check_keys(&mut self, event: &Name, at: &str) {
        // What is no key was reported with the module.
        let is_key = |schema: &Arc<Schema>| schema.shape.key_type().is_some();
        for route in self.manifest.events.iter().filter(|route| route.event == *event && route.key_field.is_none()) {
            let module = self.table.entry(Kind::Module, &route.reducer).map(|entry| &entry.definition);
            if let Some(Definition::Module(module)) = module
                && module.key_schema.as_ref().is_some_and(|key| self.table.schema(key).is_some_and(is_key))
            {
                let message = format!("`{event}` goes to cells of `{}`, and nothing says to which", route.reducer);
                let help = "give the route a `key_field`".to_string();
                self.add(at, Rule::PlanEventKey, message, Some(help));
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

    /// Reads every expression by the schema of its place.
    fn read_expressions(&mut self, plan: &mut Plan, shapes: &Shapes) {
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
        self.found.take(self.origin, report);
    }
}

/// The types at the places of a plan's expressions; none inside where a schema is named and missing.
struct Shapes {
    output: Option<Option<Arc<Shape>>>,
    locals: BTreeMap<String, Option<Arc<Shape>>>,
}

/// Returns the name that a step binds, and the key under which it says so.
fn bound_by(step: &Step) -> Option<(&str, &'static str)> {
    match &step.op {
        Op::EmitEffect { handle, .. } => Some((handle, "effect_id_as")),
        Op::AwaitReceipt { bind, .. } | Op::AwaitEvent { bind, .. } | Op::Assign { bind, .. } => Some((bind, "as")),
        Op::RaiseEvent { .. } | Op::End { .. } => None,
    }
}
