//! The manifest's lists: what is listed is there, what is there is listed, each once.

use alloc::collections::BTreeSet;
use alloc::format;

use super::found::{Found, Origin};
use super::modules::is_reserved;
use super::table::Table;
use crate::def::{Kind, Manifest};
use crate::name::Name;
use crate::text::Rule;

/// Checks the lists against the definitions.
pub(super) fn check(table: &Table, manifest: &Manifest, origin: &Origin, found: &mut Found) {
    let mut listed: BTreeSet<(Kind, &Name)> = BTreeSet::new();
    for (kind, items) in &manifest.lists {
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("/{}/{index}/name", kind.list());
            if !listed.insert((*kind, &item.name)) {
                let message = format!("the {} `{}` is listed twice", kind.word(), item.name);
                found.add(origin, &pointer, Rule::ManifestList, message, None);
            }
            let reserved = *kind == Kind::Module && is_reserved(&item.name);
            if table.entry(*kind, &item.name).is_none() && !table.is_broken(*kind, &item.name) && !reserved {
                let help = found.suggest(item.name.as_str(), table.names(*kind));
                let message = format!("no document defines the {} `{}`", kind.word(), item.name);
                found.add(origin, &pointer, Rule::ManifestDangling, message, help);
            }
        }
    }
    for entry in table.entries() {
        let (kind, Some(name)) = (entry.definition.kind(), entry.definition.name()) else { continue };
        if !listed.contains(&(kind, name)) {
            let message = format!("the manifest does not list the {} `{name}`", kind.word());
            let help = format!("add {{\"name\": \"{name}\"}} to its `{}`, or remove the definition", kind.list());
            found.add(&entry.origin, "/name", Rule::ManifestUnlisted, message, Some(help));
        }
    }
}
