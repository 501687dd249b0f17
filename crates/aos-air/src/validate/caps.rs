//! Capabilities and effects: their schemas and enforcers are there, their kinds and types fit together.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;

use super::found::Found;
use super::table::{Entry, Table};
use super::{modules, types};
use crate::built_in;
use crate::def::{self, Abi, Definition, Kind};
use crate::name::Name;
use crate::schema::Shape;
use crate::text::Rule;

/// Checks capabilities and effects.
pub(super) fn check(table: &mut Table, found: &mut Found) {
    let mut shapes = BTreeMap::new();
    for entry in table.own(Kind::Cap) {
        let Definition::Cap(cap) = &entry.definition else { continue };
        let shape = types::resolve_inline(table, &cap.schema, &entry.origin, "/schema", found);
        if let Some(enforcer) = &cap.enforcer {
            check_enforcer(table, enforcer, shape.as_ref(), entry, found);
        }
        shapes.extend(shape.map(|shape| (cap.name.clone(), shape)));
    }
    table.cap_shapes.extend(shapes);
    let mut kinds: BTreeMap<&str, &Name> = BTreeMap::new();
    for entry in table.of_kind(Kind::Effect) {
        let Definition::Effect(effect) = &entry.definition else { continue };
        if let Some(first) = kinds.insert(&effect.kind, &effect.name) {
            let message = format!("`{first}` has the kind `{}` already", effect.kind);
            found.add(&entry.origin, "/kind", Rule::EffectTwice, message, None);
        }
    }
    for entry in table.own(Kind::Effect) {
        if let Definition::Effect(effect) = &entry.definition {
            check_effect(table, effect, entry, found);
        }
    }
}

fn check_effect(table: &Table, effect: &def::Effect, entry: &Entry, found: &mut Found) {
    for (schema, pointer) in [(&effect.params_schema, "/params_schema"), (&effect.receipt_schema, "/receipt_schema")] {
        table.expect_schema(schema, &entry.origin, pointer, found);
    }
    table.expect_cap_type(&effect.cap_type, &entry.origin, "/cap_type", Rule::CapTypeMissing, found);
}

/// Checks that an enforcer can judge what it is given: ours read params of one type, a world's own speak one form.
fn check_enforcer(table: &Table, enforcer: &Name, shape: Option<&Arc<Shape>>, entry: &Entry, found: &mut Found) {
    let pointer = "/enforcer/module";
    if entry.definition.name().is_some_and(Name::is_built_in) || enforcer.as_str() == built_in::ALLOW_ALL {
        return;
    }
    if modules::is_reserved(enforcer) {
        let wanted = match enforcer.as_str() {
            built_in::HTTP_ENFORCER => "sys/http.out@1",
            built_in::LLM_ENFORCER => "sys/llm.basic@1",
            _ => {
                let message = format!("`{enforcer}` is no enforcer");
                return found.add(&entry.origin, pointer, Rule::ModuleKind, message, None);
            }
        };
        let params = Name::parse(wanted).ok().and_then(|name| table.cap_shape(&name));
        if shape.is_some() && shape != params {
            let message = format!("`{enforcer}` reads params of the schema of `{wanted}`");
            let help = format!("give this capability the schema of `{wanted}`, or another enforcer");
            found.add(&entry.origin, pointer, Rule::ModuleSchema, message, Some(help));
        }
        return;
    }
    let module = table.expect(Kind::Module, enforcer, &entry.origin, pointer, found).map(|entry| &entry.definition);
    let Some(Definition::Module(module)) = module else { return };
    let Abi::Pure { input, output, .. } = &module.abi else {
        let message = format!("`{enforcer}` is a reducer; an enforcer is a pure module");
        return found.add(&entry.origin, pointer, Rule::ModuleKind, message, None);
    };
    let [check, verdict] = built_in::ENFORCER_SCHEMAS;
    if input.as_str() != check || output.as_str() != verdict {
        let message = format!("`{enforcer}` turns `{input}` into `{output}`");
        let help = format!("an enforcer turns `{check}` into `{verdict}`");
        found.add(&entry.origin, pointer, Rule::ModuleSchema, message, Some(help));
    }
}
