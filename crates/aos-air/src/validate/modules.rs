//! Modules: their WASM and schemas are there, their keys are keys, and a reducer can take what it asks for.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;

use super::found::Found;
use super::manifest::{Answer, Module, PureModule, ReducerModule, Role, Schema};
use super::table::{Entry, Table};
use crate::built_in;
use crate::def::{self, Abi, Definition, Kind, Scope};
use crate::hash::Digest;
use crate::name::Name;
use crate::schema::Type;
use crate::text::{Rule, pointer};

/// Tells whether this is the name of a built-in module, which has no WASM of its own.
pub(super) fn is_reserved(name: &Name) -> bool {
    built_in::MODULES.contains(&name.as_str())
}

/// Fills in the hashes of modules that were built.
pub(super) fn fill(table: &mut Table, wasm: &dyn Fn(&Name) -> Option<Digest>, found: &mut Found) {
    for entry in table.entries_mut() {
        let Definition::Module(module) = &mut entry.definition else { continue };
        if module.wasm_hash.is_none() {
            module.wasm_hash = wasm(&module.name);
        }
        if module.wasm_hash.is_none() {
            let help = "build the module, or give the hash of one that is there".to_string();
            let message = format!("the module `{}` has no `wasm_hash` and was not built", module.name);
            found.add(&entry.origin, "", Rule::ModuleWasm, message, Some(help));
        }
    }
}

/// Checks the interfaces.
pub(super) fn check(table: &Table, found: &mut Found) {
    for entry in table.own(Kind::Module) {
        let Definition::Module(module) = &entry.definition else { continue };
        match &module.abi {
            Abi::Reducer(reducer) => check_reducer(table, module, reducer, entry, found),
            Abi::Pure { input, output, context } => {
                for (schema, pointer) in [(input, "/abi/pure/input"), (output, "/abi/pure/output")] {
                    table.expect_schema(schema, &entry.origin, pointer, found);
                }
                check_context(context.as_ref(), built_in::PURE_CONTEXT, "/abi/pure/context", entry, found);
                if module.key_schema.is_some() {
                    let message = "a pure module has no cells, so no key".to_string();
                    found.add(&entry.origin, "/key_schema", Rule::ModuleKey, message, None);
                }
            }
        }
    }
}

fn check_context(context: Option<&Name>, expected: &str, pointer: &str, entry: &Entry, found: &mut Found) {
    if context.is_some_and(|context| context.as_str() != expected) {
        let message = format!("the context of such a module is `{expected}`");
        found.add(&entry.origin, pointer, Rule::ModuleSchema, message, None);
    }
}

fn check_reducer(table: &Table, module: &def::Module, reducer: &def::Reducer, entry: &Entry, found: &mut Found) {
    let abi = "/abi/reducer";
    table.expect_schema(&reducer.state, &entry.origin, "/abi/reducer/state", found);
    let event = table.expect_schema(&reducer.event, &entry.origin, "/abi/reducer/event", found);
    if let Some(annotations) = &reducer.annotations {
        table.expect_schema(annotations, &entry.origin, "/abi/reducer/annotations", found);
    }
    check_context(reducer.context.as_ref(), built_in::REDUCER_CONTEXT, "/abi/reducer/context", entry, found);
    if let Some(key) = &module.key_schema {
        let schema = table.expect_schema(key, &entry.origin, "/key_schema", found);
        if schema.is_some_and(|schema| schema.shape.key_type().is_none()) {
            let message = format!("`{key}` cannot key a cell");
            let help = "a key is an int, nat, text, uuid or hash".to_string();
            found.add(&entry.origin, "/key_schema", Rule::ModuleKey, message, Some(help));
        }
    }
    for (slot, cap_type) in &reducer.cap_slots {
        let pointer = pointer(&[abi, "/cap_slots"].concat(), slot);
        table.expect_cap_type(cap_type, &entry.origin, &pointer, Rule::CapTypeMissing, found);
    }
    check_effects(table, reducer, event.as_deref(), entry, found);
}

/// Checks that each effect may come from a reducer, and that its answers find an arm.
fn check_effects(table: &Table, reducer: &def::Reducer, event: Option<&Schema>, entry: &Entry, found: &mut Found) {
    for (index, kind) in reducer.effects_emitted.iter().enumerate() {
        let pointer = format!("/abi/reducer/effects_emitted/{index}");
        let Some(effect) = table.expect_effect(kind, &entry.origin, &pointer, Rule::EffectMissing, found) else {
            continue;
        };
        if effect.origin_scope == Scope::Plan {
            let message = format!("`{kind}` is for plans; a reducer cannot ask for it");
            found.add(&entry.origin, &pointer, Rule::EffectScope, message, None);
            continue;
        }
        let Some(event) = event else { continue };
        for answer in [answer_to(effect), built_in::EFFECT_FAILED] {
            if one_arm(table, event, answer).is_some() {
                continue;
            }
            let message = format!("the answer to `{kind}` comes as `{answer}`, which no arm of `{}` takes", event.name);
            let help = format!("add an arm whose payload is {{\"ref\": \"{answer}\"}}, and only one");
            found.add(&entry.origin, &pointer, Rule::ModuleArm, message, Some(help));
        }
    }
}

/// Returns the schema in which the answer to a reducer's effect comes back to it.
fn answer_to(effect: &def::Effect) -> &str {
    built_in::answer(&effect.kind).unwrap_or(effect.receipt_schema.as_str())
}

/// Returns the tag of the one arm of an event that takes `payload`.
fn one_arm<'t>(table: &'t Table, event: &'t Schema, payload: &str) -> Option<&'t str> {
    match arms(table, &event.written, payload)?.as_slice() {
        [tag] => Some(tag),
        _ => None,
    }
}

/// Links a reducer's effects to the arms that take their answers.
fn answers(table: &Table, reducer: &def::Reducer) -> Option<BTreeMap<String, Answer>> {
    let event = table.schema(&reducer.event)?;
    let link = |kind: &String| {
        let payload = answer_to(table.effect(kind)?);
        let answer = Answer {
            payload: Name::parse(payload).ok()?,
            ok: one_arm(table, event, payload)?.into(),
            failed: one_arm(table, event, built_in::EFFECT_FAILED)?.into(),
        };
        Some((kind.clone(), answer))
    };
    reducer.effects_emitted.iter().map(link).collect()
}

/// Returns the tags of a variant whose payload is a reference to `payload`; none if the type is no variant.
pub(super) fn arms<'t>(table: &'t Table, written: &'t Type, payload: &str) -> Option<alloc::vec::Vec<&'t str>> {
    let mut written = written;
    while let Type::Ref(name) = written {
        // A chain of references ends: it was resolved before.
        written = &table.schema(name)?.written;
    }
    let Type::Variant(arms) = written else { return None };
    let refers = |inner: &Type| matches!(inner, Type::Ref(name) if name.as_str() == payload);
    Some(arms.iter().filter(|(_, inner)| refers(inner)).map(|(tag, _)| tag.as_str()).collect())
}

/// Links the modules to their schemas; called once nothing is wrong with them.
pub(super) fn linked(table: &Table) -> BTreeMap<Name, Module> {
    let link = |entry: &Entry| {
        let Definition::Module(module) = &entry.definition else { return None };
        let schema = |name: &Name| table.schema(name).map(Arc::clone);
        let role = match &module.abi {
            Abi::Reducer(reducer) => Role::Reducer(ReducerModule {
                key: module.key_schema.as_ref().and_then(|key| table.schema(key)?.shape.key_type()),
                state: schema(&reducer.state)?,
                event: schema(&reducer.event)?,
                context: reducer.context.is_some(),
                annotations: reducer.annotations.as_ref().and_then(schema),
                answers: answers(table, reducer)?,
                cap_slots: reducer.cap_slots.clone(),
            }),
            Abi::Pure { input, output, context } => {
                Role::Pure(PureModule { input: schema(input)?, output: schema(output)?, context: context.is_some() })
            }
        };
        let linked = Module { name: module.name.clone(), hash: entry.hash?, wasm_hash: module.wasm_hash?, role };
        Some((module.name.clone(), linked))
    };
    table.own(Kind::Module).filter_map(link).collect()
}
