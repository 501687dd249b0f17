//! Types: references resolve, none in a circle; what they resolve to stays within the limits.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::found::{Found, Origin};
use super::manifest::Schema;
use super::table::Table;
use crate::cbor::write;
use crate::def::{Definition, Kind};
use crate::hash::Digest;
use crate::name::Name;
use crate::schema::{Shape, ShapeError, ShapeProblem, Type};
use crate::text::{Rule, pointer};

/// The references in one schema's type: each name with the pointers to it.
type References = Vec<(String, Name)>;

/// Resolves the type of every schema in the table.
pub(super) fn resolve(table: &mut Table, found: &mut Found) {
    let mut waiting: BTreeMap<Name, BTreeSet<Name>> = BTreeMap::new();
    let mut needed_by: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
    let mut written = BTreeMap::new();
    for entry in table.own(Kind::Schema) {
        let Definition::Schema(schema) = &entry.definition else { continue };
        let mut references = Vec::new();
        collect(&schema.written, "/type", &mut references);
        for (pointer, name) in &references {
            table.expect(Kind::Schema, name, &entry.origin, pointer, found);
        }
        let needs: BTreeSet<Name> = references.into_iter().map(|(_, name)| name).collect();
        let own: BTreeSet<Name> = needs.iter().filter(|name| is_own(table, name)).cloned().collect();
        for name in &own {
            needed_by.entry(name.clone()).or_default().push(schema.name.clone());
        }
        waiting.insert(schema.name.clone(), own);
        written.insert(schema.name.clone(), (schema.written.clone(), needs, entry.origin.clone(), entry.hash));
    }
    let mut ready: Vec<Name> =
        waiting.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| name.clone()).collect();
    while let Some(name) = ready.pop() {
        waiting.remove(&name);
        if let Some((written, needs, origin, Some(hash))) = written.get(&name) {
            let resolved = Shape::resolve(written, &|name| table.schema(name).map(|schema| schema.shape.clone()));
            match resolved {
                Ok(shape) => {
                    let closure = closure(*hash, needs.iter().filter_map(|name| Some(table.schema(name)?.closure)));
                    let schema = Schema { name: name.clone(), hash: *hash, closure, written: written.clone(), shape };
                    table.schemas.insert(name.clone(), Arc::new(schema));
                }
                Err(error) => report(&error, origin, "/type", found),
            }
        }
        for user in needed_by.get(&name).into_iter().flatten() {
            if let Some(needs) = waiting.get_mut(user) {
                needs.remove(&name);
                if needs.is_empty() {
                    ready.push(user.clone());
                }
            }
        }
    }
    circles(table, &waiting, found);
}

fn is_own(table: &Table, name: &Name) -> bool {
    table.own_entry(Kind::Schema, name).is_some()
}

/// Resolves a type that stands in a definition of another kind, at `pointer`.
pub(super) fn resolve_inline(
    table: &Table,
    written: &Type,
    origin: &Origin,
    at: &str,
    found: &mut Found,
) -> Option<Arc<Shape>> {
    let mut references = Vec::new();
    collect(written, at, &mut references);
    for (pointer, name) in &references {
        table.expect(Kind::Schema, name, origin, pointer, found);
    }
    match Shape::resolve(written, &|name| table.schema(name).map(|schema| schema.shape.clone())) {
        Ok(shape) => Some(shape),
        Err(error) => {
            report(&error, origin, at, found);
            None
        }
    }
}

/// Reports why a type cannot be resolved; a missing schema was reported where it is named.
fn report(error: &ShapeError, origin: &Origin, at: &str, found: &mut Found) {
    let at = [at, &error.pointer].concat();
    match &error.problem {
        ShapeProblem::Missing(_) => {}
        ShapeProblem::Option => {
            let help = "null would mean two things; use a variant".to_string();
            let message = "an option lies directly over an option or the unit".to_string();
            found.add(origin, &at, Rule::TypeOption, message, Some(help));
        }
        ShapeProblem::Depth => {
            found.add(origin, &at, Rule::TypeSize, format!("with its references the type is {}", error.problem), None);
        }
    }
}

/// Collects the references in a type with their pointers.
fn collect(written: &Type, at: &str, references: &mut References) {
    let here = pointer(at, written.keyword());
    match written {
        Type::Record(fields) | Type::Variant(fields) => {
            fields.iter().for_each(|(name, inner)| collect(inner, &pointer(&here, name), references));
        }
        Type::List(inner) | Type::Set(inner) | Type::Option(inner) => collect(inner, &here, references),
        Type::Map(_, inner) => collect(inner, &pointer(&here, "value"), references),
        Type::Ref(name) => references.push((here, name.clone())),
        _ => {}
    }
}

/// Binds a schema's hash to the closures of what it refers to, which come in the order of their names.
fn closure(hash: Digest, closures: impl Iterator<Item = Digest>) -> Digest {
    let closures: Vec<Digest> = closures.collect();
    if closures.is_empty() {
        return hash;
    }
    let mut bytes = Vec::new();
    write::array(&mut bytes, closures.len() + 1);
    for digest in core::iter::once(hash).chain(closures) {
        write::bytes(&mut bytes, digest.as_bytes());
    }
    Digest::of(&bytes)
}

/// Reports each circle among the schemas that never became ready; what only leads into one is not reported.
fn circles(table: &Table, waiting: &BTreeMap<Name, BTreeSet<Name>>, found: &mut Found) {
    let mut seen: BTreeSet<&Name> = BTreeSet::new();
    for start in waiting.keys() {
        let mut path: Vec<&Name> = Vec::new();
        let mut here = start;
        while seen.insert(here) {
            path.push(here);
            let Some(next) = waiting.get(here).and_then(|needs| needs.iter().find(|name| waiting.contains_key(*name)))
            else {
                break;
            };
            here = next;
        }
        let Some(circle) = path.iter().position(|name| *name == here).and_then(|first| path.get(first..)) else {
            continue;
        };
        let (Some(first), true) = (circle.first(), !circle.is_empty()) else { continue };
        if let Some(entry) = table.entry(Kind::Schema, first) {
            let way: Vec<String> = circle.iter().chain([first]).map(|name| format!("`{name}`")).collect();
            let message = format!("the schemas refer to each other in a circle: {}", way.join(" → "));
            let help =
                "types are finite; keep the nested values in cells of their own and refer to them by key".to_string();
            found.add(&entry.origin, "/type", Rule::TypeRecursive, message, Some(help));
        }
    }
}
