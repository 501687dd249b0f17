//! Migrations: each fits its reducer and its module, and every chain ends at the state that the reducer has.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::found::Found;
use super::table::{Entry, Table};
use crate::def::{Abi, Definition, Kind, Migration};
use crate::name::Name;
use crate::text::Rule;

/// Checks every migration alone, then the chains of each reducer.
pub(super) fn check(table: &Table, found: &mut Found) {
    let mut chains: BTreeMap<&Name, Vec<(&Migration, &Entry)>> = BTreeMap::new();
    for entry in table.own(Kind::Migration) {
        let Definition::Migration(migration) = &entry.definition else { continue };
        if is_whole(table, migration, entry, found) {
            chains.entry(&migration.reducer).or_default().push((migration, entry));
        }
    }
    for (reducer, links) in chains {
        // A state whose schema is missing is reported at the reducer.
        if let Some(state) = state_of(table, reducer).filter(|state| table.schema(state).is_some()) {
            check_chains(state, &links, found);
        }
    }
}

fn state_of<'t>(table: &'t Table, reducer: &Name) -> Option<&'t Name> {
    match &table.entry(Kind::Module, reducer)?.definition {
        Definition::Module(module) => module.reducer().map(|reducer| &reducer.state),
        _ => None,
    }
}

/// Checks what a migration names; tells whether all of it is there and fits.
fn is_whole(table: &Table, migration: &Migration, entry: &Entry, found: &mut Found) -> bool {
    let before = found.count();
    for (schema, pointer) in [(&migration.from, "/from"), (&migration.to, "/to")] {
        table.expect_schema(schema, &entry.origin, pointer, found);
    }
    let reducer = table.expect(Kind::Module, &migration.reducer, &entry.origin, "/reducer", found);
    if reducer.is_some() && state_of(table, &migration.reducer).is_none() {
        let message = format!("`{}` is a pure module; only reducers have cells to migrate", migration.reducer);
        found.add(&entry.origin, "/reducer", Rule::ModuleKind, message, None);
    }
    let module = table.expect(Kind::Module, &migration.module, &entry.origin, "/module", found);
    if let Some(Definition::Module(module)) = module.map(|module| &module.definition) {
        match &module.abi {
            Abi::Pure { input, output, .. } if *input == migration.from && *output == migration.to => {}
            Abi::Pure { .. } => {
                let message = format!("`{}` does not go from `{}` to `{}`", module.name, migration.from, migration.to);
                found.add(&entry.origin, "/module", Rule::ModuleSchema, message, None);
            }
            Abi::Reducer(_) => {
                let message = format!("`{}` is a reducer; a migration needs a pure module", module.name);
                found.add(&entry.origin, "/module", Rule::ModuleKind, message, None);
            }
        }
    }
    found.count() == before
}

/// Checks that each old schema has one way, and that the way ends at `state`.
fn check_chains(state: &Name, links: &[(&Migration, &Entry)], found: &mut Found) {
    let mut seen = BTreeSet::new();
    let mut before: BTreeMap<&Name, Vec<&Name>> = BTreeMap::new();
    for (migration, entry) in links {
        if seen.insert(&migration.from) {
            before.entry(&migration.to).or_default().push(&migration.from);
        } else {
            let message = format!("another migration leads away from `{}` already", migration.from);
            found.add(&entry.origin, "/from", Rule::Migration, message, None);
        }
    }
    // Backwards from the state; what leads away from the state itself leads nowhere.
    let mut arriving: BTreeSet<&Name> = BTreeSet::new();
    let mut open = Vec::from([state]);
    while let Some(here) = open.pop() {
        let further = before.get(here).into_iter().flatten();
        open.extend(further.filter(|from| **from != state && arriving.insert(*from)));
    }
    for (migration, entry) in links {
        if !arriving.contains(&migration.from) {
            let message = format!("the chain from `{}` does not end at `{state}`, the reducer's state", migration.from);
            let help = "add the migrations between, or remove this one".to_string();
            found.add(&entry.origin, "/to", Rule::Migration, message, Some(help));
        }
    }
}
