//! Every definition by kind and name: the world's own and the built-in ones, with what was worked out about them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::found::{Found, Origin};
use super::manifest::Schema;
use crate::def::{self, Definition, Kind};
use crate::hash::Digest;
use crate::limits::DEFINITIONS_MAX;
use crate::name::{BUILT_IN, Name};
use crate::schema::Shape;
use crate::text::Rule;

/// A definition with where it came from.
#[derive(Debug)]
pub(crate) struct Entry {
    pub definition: Definition,
    pub origin: Origin,
    /// The canonical node, once every literal in it was read.
    pub node: Vec<u8>,
    /// The hash of the node.
    pub hash: Option<Digest>,
}

/// Definitions by kind and name.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: BTreeMap<Kind, BTreeMap<Name, Entry>>,
    count: usize,
    /// The effects by the kind that steps and reducers name.
    effects: BTreeMap<String, Name>,
    /// The capability types that capabilities have.
    cap_types: BTreeSet<String>,
    /// Definitions that are there but could not be read, so that nothing more is said about their absence.
    broken: BTreeSet<(Kind, Name)>,
    /// Something could not be read of which not even the name is known: nothing is said about any absence.
    is_incomplete: bool,
    /// The schemas whose types could be resolved.
    pub schemas: BTreeMap<Name, Arc<Schema>>,
    /// The types of the capabilities' params that could be resolved.
    pub cap_shapes: BTreeMap<Name, Arc<Shape>>,
    /// The built-in definitions; none while these themselves are being read.
    library: Option<&'static Self>,
}

impl Table {
    /// Starts a table over the built-in definitions.
    pub fn over(library: &'static Self) -> Self {
        Self { library: Some(library), ..Self::default() }
    }

    /// Takes a definition; one with a name that is taken or reserved is reported and left out.
    pub fn insert(&mut self, definition: Definition, origin: Origin, found: &mut Found) {
        let Some(name) = definition.name().cloned() else { return };
        let kind = definition.kind();
        if name.is_built_in() && self.library.is_some() {
            let help = format!("choose a namespace other than `{BUILT_IN}`, which is for built-in definitions");
            found.add(
                &origin,
                "/name",
                Rule::NameReserved,
                format!("`{name}` lies in the reserved namespace"),
                Some(help),
            );
            return;
        }
        if let Some(first) = self.own_entry(kind, &name) {
            let place = found.place(&first.origin, "/name");
            let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
            let help = format!("the first one is in {}{line}", place.file);
            found.add(
                &origin,
                "/name",
                Rule::NameTwice,
                format!("the {} `{name}` is defined twice", kind.word()),
                Some(help),
            );
            return;
        }
        if self.count >= DEFINITIONS_MAX {
            let message = format!("there are more than {DEFINITIONS_MAX} definitions");
            return found.add(&origin, "", Rule::ManifestList, message, None);
        }
        match &definition {
            Definition::Effect(effect) => drop(self.effects.entry(effect.kind.clone()).or_insert_with(|| name.clone())),
            Definition::Cap(cap) => drop(self.cap_types.insert(cap.cap_type.clone())),
            _ => {}
        }
        self.count += 1;
        self.put(Entry { definition, origin, node: Vec::new(), hash: None });
    }

    /// Takes an entry out, to change it with the help of the rest; [`Table::put`] takes it back.
    pub fn take(&mut self, kind: Kind, name: &Name) -> Option<Entry> {
        self.entries.get_mut(&kind)?.remove(name)
    }

    /// Takes an entry that was there before, or that `insert` has judged.
    pub fn put(&mut self, entry: Entry) {
        if let Some(name) = entry.definition.name().cloned() {
            self.entries.entry(entry.definition.kind()).or_default().insert(name, entry);
        }
    }

    /// Notes that a definition is there but could not be read; its kind and name are given where they are known.
    pub fn insert_broken(&mut self, kind_and_name: Option<(Kind, Name)>) {
        match kind_and_name {
            Some(key) => drop(self.broken.insert(key)),
            None => self.is_incomplete = true,
        }
    }

    /// Finds a definition, the world's own or a built-in one.
    pub fn entry(&self, kind: Kind, name: &Name) -> Option<&Entry> {
        self.own_entry(kind, name).or_else(|| self.library?.own_entry(kind, name))
    }

    /// Finds a definition of the world's own.
    pub fn own_entry(&self, kind: Kind, name: &Name) -> Option<&Entry> {
        self.entries.get(&kind)?.get(name)
    }

    /// Goes through the world's own definitions by kind and name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().flat_map(BTreeMap::values)
    }

    /// Goes through the world's own definitions by kind and name, to change them.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.values_mut().flat_map(BTreeMap::values_mut)
    }

    /// Ends with the world's own definitions by kind and name.
    pub fn into_entries(self) -> impl Iterator<Item = Entry> {
        self.entries.into_values().flat_map(BTreeMap::into_values)
    }

    /// Tells whether a definition is there but could not be read.
    pub fn is_broken(&self, kind: Kind, name: &Name) -> bool {
        self.is_incomplete || self.broken.contains(&(kind, name.clone()))
    }

    /// Tells whether every definition of a kind could be read, so that what none of them has is not there.
    pub fn knows_all(&self, kind: Kind) -> bool {
        !self.is_incomplete && self.broken.iter().all(|(of, _)| *of != kind)
    }

    /// Goes through the definitions of one kind, the built-in ones first.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.library.into_iter().flat_map(move |library| library.own(kind)).chain(self.own(kind))
    }

    /// Goes through the world's own definitions of one kind.
    pub fn own(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.entries.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    /// Goes through the names of one kind.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.of_kind(kind).filter_map(|entry| entry.definition.name().map(Name::as_str))
    }

    /// Finds a definition that something refers to, and reports a reference that dangles.
    pub fn expect(&self, kind: Kind, name: &Name, from: &Origin, pointer: &str, found: &mut Found) -> Option<&Entry> {
        let entry = self.entry(kind, name);
        if entry.is_none() && !self.is_broken(kind, name) {
            let help = found.suggest(name.as_str(), self.names(kind));
            let message = format!("there is no {} `{name}`", kind.word());
            found.add(from, pointer, missing(kind), message, help);
        }
        entry
    }

    /// Finds a resolved schema.
    pub fn schema(&self, name: &Name) -> Option<&Arc<Schema>> {
        self.schemas.get(name).or_else(|| self.library?.schemas.get(name))
    }

    /// Finds the schema that something refers to. None without a report if the schema itself is wrong.
    pub fn expect_schema(&self, name: &Name, from: &Origin, pointer: &str, found: &mut Found) -> Option<Arc<Schema>> {
        self.expect(Kind::Schema, name, from, pointer, found)?;
        self.schema(name).cloned()
    }

    /// Goes through the kinds of effects.
    fn effect_kinds(&self) -> impl Iterator<Item = &str> {
        let library = self.library.into_iter().flat_map(|library| library.effects.keys());
        library.chain(self.effects.keys()).map(String::as_str)
    }

    /// Finds an effect by its kind.
    pub fn effect(&self, kind: &str) -> Option<&def::Effect> {
        let built_in = self.library.and_then(|library| library.effects.get(kind));
        let name = built_in.or_else(|| self.effects.get(kind))?;
        match &self.entry(Kind::Effect, name)?.definition {
            Definition::Effect(effect) => Some(effect),
            _ => None,
        }
    }

    /// Finds an effect that something asks for by its kind, and reports one that does not exist.
    pub fn expect_effect(
        &self,
        kind: &str,
        from: &Origin,
        pointer: &str,
        rule: Rule,
        found: &mut Found,
    ) -> Option<&def::Effect> {
        let effect = self.effect(kind);
        if effect.is_none() && self.knows_all(Kind::Effect) {
            let help = found.suggest(kind, self.effect_kinds());
            found.add(from, pointer, rule, format!("there is no effect `{kind}`"), help);
        }
        effect
    }

    /// Finds a capability.
    pub fn cap(&self, name: &Name) -> Option<&def::Cap> {
        match &self.entry(Kind::Cap, name)?.definition {
            Definition::Cap(cap) => Some(cap),
            _ => None,
        }
    }

    /// Goes through the capability types that capabilities have.
    fn cap_types(&self) -> impl Iterator<Item = &str> {
        let library = self.library.into_iter().flat_map(|library| library.cap_types.iter());
        library.chain(&self.cap_types).map(String::as_str)
    }

    /// Checks that a capability type is some capability's.
    pub fn expect_cap_type(&self, cap_type: &str, from: &Origin, pointer: &str, rule: Rule, found: &mut Found) {
        let is_known = |table: &Self| table.cap_types.contains(cap_type);
        if self.knows_all(Kind::Cap) && !is_known(self) && !self.library.is_some_and(is_known) {
            let message = format!("no capability has the type `{cap_type}`");
            let help = found.suggest(cap_type, self.cap_types());
            found.add(from, pointer, rule, message, help);
        }
    }

    /// Finds the resolved type of a capability's params.
    pub fn cap_shape(&self, name: &Name) -> Option<&Arc<Shape>> {
        self.cap_shapes.get(name).or_else(|| self.library?.cap_shapes.get(name))
    }
}

/// Returns the rule that a dangling reference to this kind breaks.
pub(crate) const fn missing(kind: Kind) -> Rule {
    match kind {
        Kind::Schema => Rule::SchemaMissing,
        Kind::Module => Rule::ModuleMissing,
        Kind::Plan => Rule::PlanMissing,
        Kind::Effect => Rule::EffectMissing,
        Kind::Cap => Rule::CapMissing,
        Kind::Policy => Rule::PolicyMissing,
        Kind::Secret | Kind::Migration | Kind::Manifest => Rule::ManifestDangling,
    }
}
