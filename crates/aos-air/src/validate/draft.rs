//! Documents that were read and not judged yet; what a host asks before it builds the modules they name.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::found::{Found, Origin};
use super::grants::Grants;
use super::manifest::{Checked, Manifest};
use super::table::Table;
use super::{caps, governance, grants, hashes, lists, migrations, modules, plans, policies, routing, types};
use crate::built_in;
use crate::def::{self, Definition, Kind};
use crate::diag::{Findings, Place};
use crate::hash::Digest;
use crate::name::Name;
use crate::text::{At, Document, Json, Node, Report, Rule, Source};

/// A module whose WASM hash the author left out: to be built before the documents are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbuilt {
    /// Its name.
    pub name: Name,
    /// Where it is defined.
    pub place: Place,
}

/// Documents that were read; [`Draft::check`] judges them.
#[derive(Debug, Default)]
pub struct Draft {
    pub(super) definitions: Vec<(Definition, Origin)>,
    /// What could not be read: its kind and name as far as they are known.
    pub(super) broken: Vec<(Option<Kind>, Option<Name>)>,
    pub(super) found: Found,
}

impl Draft {
    /// Reads documents, each with one definition or a list of them. What is wrong is said by [`Draft::check`].
    pub fn read(sources: &[Source]) -> Self {
        let mut draft = Self::default();
        for source in sources {
            draft.read_source(source);
        }
        draft
    }

    fn read_source(&mut self, source: &Source) {
        let document = match Document::parse(source) {
            Ok(document) => document,
            Err(findings) => {
                self.broken.push((None, None));
                return self.found.extend(findings);
            }
        };
        let json = document.json().clone();
        let document = self.found.document(document);
        match &json.node {
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.read_definition(item, Origin { document, base: format!("/{index}") });
                }
            }
            _ => self.read_definition(&json, Origin { document, base: String::new() }),
        }
    }

    /// Takes a document that findings will point into, and returns its index.
    pub(crate) fn document(&mut self, document: Document) -> usize {
        self.found.document(document)
    }

    /// Takes a definition that was read from a document already.
    pub(crate) fn insert(&mut self, definition: Definition, origin: Origin) {
        self.definitions.push((definition, origin));
    }

    /// Reads one definition; one with faults is kept in mind by its name only.
    pub(crate) fn read_definition(&mut self, json: &Json, origin: Origin) {
        let report = Report::default();
        let read = Definition::read(&At::root(json, &report));
        match read {
            Some(definition) if report.is_empty() => self.definitions.push((definition, origin)),
            _ => {
                let text = |key| match json.member(key).map(|json| &json.node) {
                    Some(Node::Text(text)) => Some(text.as_str()),
                    _ => None,
                };
                let kind =
                    text("$kind").and_then(|keyword| Kind::ALL.into_iter().find(|kind| kind.keyword() == keyword));
                let name = text("name").and_then(|name| Name::parse(name).ok());
                self.broken.push((kind, name));
                self.found.take(&origin, report);
            }
        }
    }

    /// Returns the modules whose `wasm_hash` was left out, in the order of the documents.
    pub fn unbuilt(&self) -> Vec<Unbuilt> {
        let unbuilt = |(definition, origin): &(Definition, Origin)| match definition {
            Definition::Module(module) if module.wasm_hash.is_none() => {
                let place = self.found.place(origin, "/name");
                Some(Unbuilt { name: module.name.clone(), place })
            }
            _ => None,
        };
        self.definitions.iter().filter_map(unbuilt).collect()
    }

    /// Returns the adapters that plans and reducers ask for, and for which the manifest trusts no key, sorted.
    ///
    /// Keys belong to the host that will perform the effects, so an author leaves them out; see [`Draft::trust`].
    pub fn untrusted(&self) -> Vec<String> {
        let mut wanted = BTreeSet::new();
        let mut trusted = BTreeSet::new();
        let adapter = |kind: &str| kind.split('.').next().unwrap_or_default().to_string();
        for (definition, _) in &self.definitions {
            match definition {
                Definition::Plan(plan) => wanted.extend(plan.steps.iter().filter_map(|step| match &step.op {
                    def::Op::EmitEffect { kind, .. } => Some(adapter(kind)),
                    _ => None,
                })),
                Definition::Module(module) => {
                    let kinds = module.reducer().into_iter().flat_map(|reducer| &reducer.effects_emitted);
                    wanted.extend(kinds.map(|kind| adapter(kind)));
                }
                Definition::Manifest(manifest) => {
                    trusted.extend(manifest.trust.adapters.iter().map(|key| key.adapter.clone()));
                }
                _ => {}
            }
        }
        wanted.difference(&trusted).cloned().collect()
    }

    /// Adds a key to those that the manifest trusts, as if the author had written it.
    pub fn trust(&mut self, key: &def::AdapterKey) {
        for (definition, _) in &mut self.definitions {
            if let Definition::Manifest(manifest) = definition {
                manifest.trust.adapters.push(key.clone());
            }
        }
    }

    /// Tells whether reading alone found something, so that building modules would be in vain.
    pub const fn is_faulty(&self) -> bool {
        self.found.count() > 0
    }

    /// Judges the documents. `wasm` gives the hash of the built module where a `defmodule` leaves it out.
    ///
    /// # Errors
    /// Everything that is wrong, sorted by place.
    pub fn check(self, wasm: &dyn Fn(&Name) -> Option<Digest>) -> Result<Checked<Manifest>, Findings> {
        let Self { definitions, broken, mut found } = self;
        let library = built_in::library().map_err(Clone::clone)?;
        let mut table = Table::over(library);
        let mut manifests = Vec::new();
        let mut manifest_is_broken = false;
        for (kind, name) in broken {
            manifest_is_broken |= kind.is_none_or(|kind| kind == Kind::Manifest);
            if kind != Some(Kind::Manifest) {
                table.insert_broken(kind.zip(name));
            }
        }
        for (definition, origin) in definitions {
            match definition {
                Definition::Manifest(manifest) => manifests.push((manifest, origin)),
                other => table.insert(other, origin, &mut found),
            }
        }
        let first = manifests.first().map(|(_, origin)| found.place(origin, ""));
        for (_, origin) in manifests.iter().skip(1) {
            let help = first.as_ref().map(|place| format!("the first one is in {}", place.file));
            found.add(origin, "", Rule::ManifestTwice, "there is more than one manifest".to_string(), help);
        }
        check_definitions(&mut table, wasm, &mut found);
        let Some((manifest, origin)) = manifests.into_iter().next() else {
            if !manifest_is_broken {
                let help = "add a document with `\"$kind\": \"manifest\"`".to_string();
                found.add_nowhere(String::new(), Rule::ManifestMissing, "no document is a manifest".into(), Some(help));
            }
            return Err(found.into_findings());
        };
        check_manifest(table, manifest, &origin, found)
    }
}

impl Table {
    /// Reads the built-in definitions, which stand without a manifest.
    pub(crate) fn library(sources: &[Source]) -> Result<Self, Findings> {
        let Draft { definitions, mut found, .. } = Draft::read(sources);
        let mut table = Self::default();
        for (definition, origin) in definitions {
            table.insert(definition, origin, &mut found);
        }
        check_definitions(&mut table, &|_| None, &mut found);
        if found.count() == 0 { Ok(table) } else { Err(found.into_findings()) }
    }
}

/// Checks everything about definitions that needs no manifest.
fn check_definitions(table: &mut Table, wasm: &dyn Fn(&Name) -> Option<Digest>, found: &mut Found) {
    modules::fill(table, wasm, found);
    hashes::encode(table, found);
    types::resolve(table, found);
    caps::check(table, found);
    modules::check(table, found);
    migrations::check(table, found);
}

/// Checks the manifest and what depends on it, and makes the result.
fn check_manifest(
    mut table: Table,
    mut manifest: def::Manifest,
    origin: &Origin,
    mut found: Found,
) -> Result<Checked<Manifest>, Findings> {
    lists::check(&table, &manifest, origin, &mut found);
    let routes = routing::check(&table, &manifest, origin, &mut found);
    let grants = Grants::read(&table, &mut manifest, origin, &mut found);
    grants::check(&table, &manifest, &grants, origin, &mut found);
    policies::check(&table, &manifest, &grants, origin, &mut found);
    governance::check(&manifest, origin, &mut found);
    let plans = plans::check(&mut table, &manifest, &grants, &mut found);
    hashes::encode(&mut table, &mut found);
    hashes::fill(&table, &mut manifest, origin, &mut found);
    hashes::finish(table, manifest, origin, routes, plans, found)
}
