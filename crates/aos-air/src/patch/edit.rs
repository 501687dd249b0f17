//! One patch against one base, before anything is validated: does each operation meet what it says it changes?
//!
//! What comes out is the manifest as it would be, the definitions that stay and those that are brought, and for each part
//! where in the patch it came from. Never here: whether the whole makes sense; that is `validate/`, as for any manifest.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Patch;
use super::apply::Action;
use super::operation::{Operation, Reference, budget_json};
use crate::built_in;
use crate::def::{self, Block, BlockName, Budget, Definition, Grant, Kind, Listed, Secret, canonical_json};
use crate::hash::Digest;
use crate::name::Name;
use crate::text::{Json, Problem, Report, Rule, pointer};
use crate::validate::{Manifest, missing};

/// What an operation changes. A patch changes each thing once, so it does not matter which operation comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Definition(Kind, Name),
    Secrets,
    Block(BlockName),
    Budget(String),
    EffectMode,
    Instances,
}

/// Something that the base has and the candidate has not.
pub(super) struct Removed {
    /// What it is called in a message.
    pub what: String,
    /// The place in the patch that takes it away.
    pub pointer: String,
}

/// A patch against its base.
pub(super) struct Edit<'a> {
    base: &'a Manifest,
    /// The definitions of the base that the patch does not name, with the hashes of their nodes.
    pub kept: BTreeMap<(Kind, Name), (Digest, &'a Definition)>,
    /// The definitions that the patch brings, with their places in it.
    pub brought: Vec<(Definition, String)>,
    /// The manifest as it would be, without hashes.
    pub manifest: def::Manifest,
    /// The blocks that the patch replaces, each with the place of what it brings.
    pub blocks: BTreeMap<BlockName, String>,
    /// What is taken away, by the rule that whatever still uses it breaks and the word that it uses it by.
    pub removed: BTreeMap<(Rule, String), Removed>,
    /// What is left to the world.
    pub actions: Vec<Action>,
    /// What is changed, with the operation that does it.
    claimed: BTreeMap<Target, String>,
    report: Report,
}

/// Hashes normal JSON that is a part of a manifest.
pub(super) fn hash_of(json: &Json) -> Digest {
    let encoded = canonical_json(json);
    assert!(encoded.is_some(), "a part of a checked manifest has no canonical form");
    Digest::of(&encoded.unwrap_or_default())
}

/// Hashes a block as it stands in a checked manifest.
pub(super) fn block_hash(manifest: &def::Manifest, name: BlockName) -> Digest {
    hash_of(&Block::of(manifest, name).to_json())
}

/// Hashes the list of secrets of a checked manifest.
pub(super) fn secrets_hash(manifest: &def::Manifest) -> Digest {
    let mut listed: Vec<&Listed> = manifest.lists.get(&Kind::Secret).into_iter().flatten().collect();
    listed.sort_unstable();
    hash_of(&Json::list(listed.into_iter().map(Listed::to_json)))
}

/// Hashes a budget, or null where there is none.
pub(super) fn budget_hash(budget: Option<&Budget>) -> Digest {
    hash_of(&budget_json(budget))
}

impl<'a> Edit<'a> {
    /// Goes through the operations of a patch.
    ///
    /// Errors: every operation that does not meet what it says it changes.
    pub fn of(base: &'a Manifest, patch: &Patch) -> Result<Self, Vec<Problem>> {
        let definitions = base.definitions();
        let kept = definitions.filter_map(|(hash, definition)| {
            Some(((definition.kind(), definition.name()?.clone()), (hash, definition)))
        });
        let mut manifest = base.definition().clone();
        manifest.lists.values_mut().for_each(|listed| listed.retain(|listed| listed.name.is_built_in()));
        let mut edit = Self {
            base,
            kept: kept.collect(),
            brought: Vec::new(),
            manifest,
            blocks: BTreeMap::new(),
            removed: BTreeMap::new(),
            actions: Vec::new(),
            claimed: BTreeMap::new(),
            report: Report::default(),
        };
        if patch.base != base.hash() {
            let message = format!("the patch changes {}, and this manifest is {}", patch.base, base.hash());
            let help = "make the patch again from the manifest that is in force".to_string();
            edit.refuse("/base_manifest_hash", Rule::PatchBase, message, Some(help));
            return Err(edit.report.into_problems());
        }
        // Budgets go into the grants as they are in the end.
        let is_budget = |operation: &Operation| matches!(operation, Operation::SetBudget { .. });
        let (last, first): (Vec<_>, Vec<_>) =
            patch.operations.iter().enumerate().partition(|(_, operation)| is_budget(operation));
        for (index, operation) in first.into_iter().chain(last) {
            edit.operation(operation, &format!("/patches/{index}/{}", operation.word()));
        }
        edit.list();
        if edit.report.is_empty() { Ok(edit) } else { Err(edit.report.into_problems()) }
    }

    fn refuse(&self, pointer: &str, rule: Rule, message: String, help: Option<String>) {
        self.report.add(Problem { pointer: pointer.to_string(), rule, message, help });
    }

    fn operation(&mut self, operation: &Operation, at: &str) {
        match operation {
            Operation::AddDef { node } => self.add(node, at),
            Operation::ReplaceDef { node, pre_hash } => {
                let Some(name) = node.name() else { return };
                if self.take(node.kind(), name, *pre_hash, at).is_some() {
                    self.brought.push(((**node).clone(), pointer(at, "new_node")));
                }
            }
            Operation::RemoveDef { kind, name, pre_hash } => {
                if let Some(definition) = self.take(*kind, name, *pre_hash, at) {
                    self.remove(definition, at);
                }
            }
            Operation::SetManifestRefs { add, remove } => self.references(add, remove, at),
            Operation::SetBlock { block, pre_hash } => self.block(block, *pre_hash, at),
            Operation::SetSecrets { secrets, pre_hash } => self.secrets(secrets, *pre_hash, at),
            Operation::SetEffectMode { mode } => {
                self.claim(Target::EffectMode, "the effect mode", at);
                self.actions.push(Action::SetEffectMode(*mode));
            }
            Operation::SetBudget { grant, budget, pre_hash } => self.budget(grant, *budget, *pre_hash, at),
            Operation::CancelInstances { instances } => {
                self.claim(Target::Instances, "which instances are cancelled", at);
                self.actions.push(Action::CancelInstances(instances.clone()));
            }
        }
    }

    /// Notes that an operation changes something; a second one that does is refused. Tells whether it was the first.
    fn claim(&mut self, target: Target, what: &str, at: &str) -> bool {
        let with = match &target {
            Target::Definition(Kind::Secret, _) => self.claimed.get(&Target::Secrets),
            Target::Secrets => {
                let is_secret = |target: &&Target| matches!(target, Target::Definition(Kind::Secret, _));
                self.claimed.keys().find(is_secret).and_then(|target| self.claimed.get(target))
            }
            _ => None,
        };
        let Some(first) = self.claimed.get(&target).or(with) else {
            self.claimed.insert(target, at.to_string());
            return true;
        };
        let help = format!("the first operation that changes it is {first}; make one of them");
        self.refuse(at, Rule::PatchTwice, format!("the patch changes {what} twice"), Some(help));
        false
    }

    fn claim_definition(&mut self, kind: Kind, name: &Name, at: &str) -> bool {
        self.claim(Target::Definition(kind, name.clone()), &format!("the {} `{name}`", kind.word()), at)
    }

    fn add(&mut self, node: &Definition, at: &str) {
        let (kind, Some(name)) = (node.kind(), node.name()) else { return };
        let at_node = pointer(at, "node");
        if !self.claim_definition(kind, name, at) {
            return;
        }
        if self.kept.contains_key(&(kind, name.clone())) {
            let help = "to change it, use `replace_def`".to_string();
            let message = format!("the {} `{name}` is there already", kind.word());
            return self.refuse(&pointer(&at_node, "name"), Rule::PatchExists, message, Some(help));
        }
        self.brought.push((node.clone(), at_node));
    }

    /// Takes a definition out of those that stay, if it is the one that the operation means.
    fn take(&mut self, kind: Kind, name: &Name, pre_hash: Digest, at: &str) -> Option<&'a Definition> {
        if !self.claim_definition(kind, name, at) {
            return None;
        }
        let Some((hash, definition)) = self.kept.remove(&(kind, name.clone())) else {
            self.unknown(kind, name, &pointer(at, "name"));
            return None;
        };
        let what = format!("the {} `{name}`", kind.word());
        self.expect_hash(pre_hash, hash, &what, at).then_some(definition)
    }

    fn unknown(&self, kind: Kind, name: &Name, at: &str) {
        let names = self.kept.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.as_str());
        let help = if name.is_built_in() {
            Some("built-in definitions cannot be changed".to_string())
        } else {
            self.report.suggest(name.as_str(), names)
        };
        self.refuse(at, Rule::PatchUnknown, format!("the base has no {} `{name}`", kind.word()), help);
    }

    fn expect_hash(&self, given: Digest, found: Digest, what: &str, at: &str) -> bool {
        if given != found {
            let message = format!("{what} is not what the operation says it is");
            let help = format!("in the base its hash is {found}; look at it before you take that over");
            self.refuse(&pointer(at, "pre_hash"), Rule::PatchPreHash, message, Some(help));
        }
        given == found
    }

    /// Notes that a definition is taken away, and by what its users know it.
    fn remove(&mut self, definition: &Definition, at: &str) {
        let (kind, Some(name)) = (definition.kind(), definition.name()) else { return };
        let what = format!("the {} `{name}`", kind.word());
        match definition {
            Definition::Effect(effect) => self.note_removed(Rule::EffectMissing, &effect.kind, &what, at),
            Definition::Cap(cap) => {
                self.note_removed(Rule::CapTypeMissing, &cap.cap_type, &what, at);
                self.note_removed(missing(kind), name.as_str(), &what, at);
            }
            _ => self.note_removed(missing(kind), name.as_str(), &what, at),
        }
    }

    fn note_removed(&mut self, rule: Rule, word: &str, what: &str, at: &str) {
        // A rule of a policy that names it can never match any more.
        for rule in [rule, Rule::PolicyNever] {
            let removed = Removed { what: what.to_string(), pointer: at.to_string() };
            self.removed.insert((rule, word.to_string()), removed);
        }
    }

    fn references(&mut self, add: &[Reference], remove: &[Reference], at: &str) {
        for (list, references) in [("add", add), ("remove", remove)] {
            for (index, reference) in references.iter().enumerate() {
                let at = format!("{at}/{list}/{index}");
                if self.claim_definition(reference.kind, &reference.name, &at) {
                    self.reference(reference, list == "add", &at);
                }
            }
        }
    }

    fn reference(&mut self, reference: &Reference, is_added: bool, at: &str) {
        let Reference { kind, name, hash } = reference;
        let what = format!("the {} `{name}`", kind.word());
        let at_name = pointer(at, "name");
        let is_module = *kind == Kind::Module && built_in::MODULES.contains(&name.as_str());
        let found = built_in::find(*kind, name).map(|(hash, _)| hash);
        if found.is_none() && !is_module {
            let help =
                "a definition of the world's own is listed by `add_def`, and no more by `remove_def`".to_string();
            let message = format!("{what} is not built in");
            return self.refuse(&at_name, Rule::PatchUnknown, message, Some(help));
        }
        if hash.is_some() && *hash != found {
            let help = Some("leave the hash out to have it filled in".to_string());
            let message = format!("the hash is not that of {what}");
            return self.refuse(&pointer(at, "hash"), Rule::ManifestHash, message, help);
        }
        let list = self.manifest.lists.entry(*kind).or_default();
        let place = list.iter().position(|listed| listed.name == *name);
        match (place, is_added) {
            (None, true) => list.push(Listed { name: name.clone(), hash: None }),
            (Some(place), false) => drop(list.remove(place)),
            (Some(_), true) => {
                self.refuse(&at_name, Rule::PatchExists, format!("the manifest lists {what} already"), None);
            }
            (None, false) => {
                self.refuse(&at_name, Rule::PatchUnknown, format!("the manifest does not list {what}"), None);
            }
        }
    }

    fn block(&mut self, block: &Block, pre_hash: Digest, at: &str) {
        let name = block.name();
        let what = format!("the block `{}`", name.key());
        if !self.claim(Target::Block(name), &what, at) {
            return;
        }
        self.expect_hash(pre_hash, block_hash(self.base.definition(), name), &what, at);
        let at = pointer(at, name.key());
        if let Block::Defaults { grants, .. } = block {
            self.defaults(grants, &at);
        }
        self.blocks.insert(name, at);
        block.clone().put(&mut self.manifest);
    }

    /// Checks that grants that stay keep their budgets, and notes those that go.
    fn defaults(&mut self, grants: &[Grant], at: &str) {
        for (index, grant) in grants.iter().enumerate() {
            let Some(before) = self.base.definition().grant(&grant.name) else { continue };
            if before.budget != grant.budget {
                let message = format!("the budget of the grant `{}` changes", grant.name);
                let help = "leave it here as it is in the base, and change it with `set_budget`".to_string();
                let at = format!("{at}/cap_grants/{index}/budget");
                self.refuse(&at, Rule::PatchBudget, message, Some(help));
            }
        }
        let names: BTreeSet<&str> = grants.iter().map(|grant| grant.name.as_str()).collect();
        for grant in self.base.definition().grants.iter().filter(|grant| !names.contains(grant.name.as_str())) {
            let what = format!("the grant `{}`", grant.name);
            self.note_removed(Rule::GrantMissing, &grant.name, &what, at);
        }
    }

    fn budget(&mut self, grant: &str, budget: Option<Budget>, pre_hash: Digest, at: &str) {
        let what = format!("the budget of the grant `{grant}`");
        if !self.claim(Target::Budget(grant.to_string()), &what, at) {
            return;
        }
        let Some(before) = self.base.definition().grant(grant) else {
            let names = self.base.definition().grants.iter().map(|grant| grant.name.as_str());
            let help = self.report.suggest(grant, names);
            return self.refuse(
                &pointer(at, "grant"),
                Rule::PatchUnknown,
                format!("the base has no grant `{grant}`"),
                help,
            );
        };
        self.expect_hash(pre_hash, budget_hash(before.budget.as_ref()), &what, at);
        match self.manifest.grants.iter_mut().find(|candidate| candidate.name == grant) {
            Some(candidate) => candidate.budget = budget,
            None => {
                let message = format!("the patch takes the grant `{grant}` away");
                self.refuse(&pointer(at, "grant"), Rule::PatchUnknown, message, None);
            }
        }
        self.actions.push(Action::SetBudget { grant: grant.to_string() });
    }

    fn secrets(&mut self, secrets: &[Secret], pre_hash: Digest, at: &str) {
        if !self.claim(Target::Secrets, "the secrets", at) {
            return;
        }
        self.expect_hash(pre_hash, secrets_hash(self.base.definition()), "the list of secrets", at);
        let names: BTreeSet<&Name> = secrets.iter().map(|secret| &secret.name).collect();
        let of_kind = |((kind, name), (_, definition)): (&(Kind, Name), &(Digest, &'a Definition))| {
            (*kind == Kind::Secret).then(|| (name.clone(), *definition))
        };
        let before: Vec<(Name, &Definition)> = self.kept.iter().filter_map(of_kind).collect();
        for (name, definition) in before {
            if !names.contains(&name) {
                self.remove(definition, at);
            }
            self.kept.remove(&(Kind::Secret, name));
        }
        for (index, secret) in secrets.iter().enumerate() {
            self.brought.push((Definition::Secret(secret.clone()), format!("{at}/secrets/{index}")));
        }
    }

    /// Lists the definitions that stay and those that are brought, each once.
    fn list(&mut self) {
        let kept = self.kept.keys().map(|(kind, name)| (*kind, name));
        let brought = self.brought.iter().filter_map(|(node, _)| Some((node.kind(), node.name()?)));
        let all: BTreeSet<(Kind, &Name)> = kept.chain(brought).collect();
        for (kind, name) in all.into_iter().filter(|(_, name)| !name.is_built_in()) {
            self.manifest.lists.entry(kind).or_default().push(Listed { name: name.clone(), hash: None });
        }
    }
}
