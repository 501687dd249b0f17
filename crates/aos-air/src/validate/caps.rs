//! Capabilities and effects: their schemas and enforcers are there, their kinds and types fit together.

use alloc::collections::BTreeMap;
use alloc::format;

use super::found::Found;
use super::table::{Entry, Table};
use super::{modules, types};
use crate::def::{self, Abi, Definition, Kind};
use crate::name::Name;
use crate::text::Rule;

/// Checks capabilities and effects.
pub(super) fn check(table: &mut Table, found: &mut Found) {
    let mut shapes = BTreeMap::new();
    for entry in table.own(Kind::Cap) {
        let Definition::Cap(cap) = &entry.definition else { continue };
        let shape = types::resolve_inline(table, &cap.schema, &entry.origin, "/schema", found);
        shapes.extend(shape.map(|shape| (cap.name.clone(), shape)));
        if let Some(enforcer) = &cap.enforcer {
            check_enforcer(table, enforcer, entry, found);
        }
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

fn check_enforcer(table: &Table, enforcer: &Name, entry: &Entry, found: &mut Found) {
    if modules::is_reserved(enforcer) {
        return;
    }
    let pointer = "/enforcer/module";
    if let Some(Definition::Module(module)) =
        table.expect(Kind::Module, enforcer, &entry.origin, pointer, found).map(|entry| &entry.definition)
        && !matches!(module.abi, Abi::Pure { .. })
    {
        let message = format!("`{enforcer}` is a reducer; an enforcer is a pure module");
        found.add(&entry.origin, pointer, Rule::ModuleKind, message, None);
    }
}
