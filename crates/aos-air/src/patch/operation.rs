//! What a patch can do: one enum of operations, how each is read from JSON and printed.
//!
//! An operation is an object with one key, its word. What replaces something says by `pre_hash` what it replaces.
//! Never here: whether an operation fits a base; see `edit.rs`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::def::{Block, BlockName, Budget, Definition, Kind, Secret};
use crate::hash::Digest;
use crate::name::Name;
use crate::text::{At, Json, Members, Node, Rule, single, suggest};

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Brings a definition that is not there, and lists it.
    AddDef {
        /// The definition.
        node: Box<Definition>,
    },
    /// Puts a definition in the place of the one of its kind and name.
    ReplaceDef {
        /// The definition.
        node: Box<Definition>,
        /// The hash of the node that it replaces.
        pre_hash: Digest,
    },
    /// Takes a definition away, also from its list.
    RemoveDef {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
        /// The hash of its node.
        pre_hash: Digest,
    },
    /// Lists built-in definitions or lists them no more. Definitions of the world's own are listed by being there.
    SetManifestRefs {
        /// What is listed from now on, by kind and name.
        add: Vec<Reference>,
        /// What is listed no more, by kind and name.
        remove: Vec<Reference>,
    },
    /// Replaces a block of the manifest. A grant that stays keeps its budget, which only [`Self::SetBudget`] changes.
    SetBlock {
        /// What stands there from now on.
        block: Box<Block>,
        /// The hash of the block that it replaces.
        pre_hash: Digest,
    },
    /// Replaces all secrets.
    SetSecrets {
        /// The secrets that are there from now on.
        secrets: Vec<Secret>,
        /// The hash of the manifest's list of secrets.
        pre_hash: Digest,
    },
    /// Says how effects are answered from now on.
    SetEffectMode {
        /// How.
        mode: EffectMode,
    },
    /// Says what may be spent under a grant, and opens one that is blocked after an overrun.
    SetBudget {
        /// The grant's name.
        grant: String,
        /// The budget; none lets everything be spent.
        budget: Option<Budget>,
        /// The hash of the budget that it replaces.
        pre_hash: Digest,
    },
    /// Ends running plan instances.
    CancelInstances {
        /// Their numbers, each once, sorted.
        instances: Vec<u64>,
    },
}

/// A built-in definition in a list of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// The hash of its node; an author may leave it out, and modules have none.
    pub hash: Option<Digest>,
}

/// How effects are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectMode {
    /// They are performed.
    Live,
    /// They are answered from a recorded history.
    Recorded,
    /// They are answered from a recorded history where it knows, else by stubs.
    Simulated,
    /// They are refused.
    Deny,
}

impl EffectMode {
    /// Every mode with its word.
    pub const WORDS: [(&str, Self); 4] =
        [("live", Self::Live), ("recorded", Self::Recorded), ("simulated", Self::Simulated), ("deny", Self::Deny)];

    /// Returns the word for the mode.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Recorded => "recorded",
            Self::Simulated => "simulated",
            Self::Deny => "deny",
        }
    }

    /// Returns the mode's number in the journal.
    pub const fn number(self) -> u64 {
        match self {
            Self::Live => 0,
            Self::Recorded => 1,
            Self::Simulated => 2,
            Self::Deny => 3,
        }
    }

    /// Finds a mode by its number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::WORDS.into_iter().map(|(_, mode)| mode).find(|mode| mode.number() == number)
    }
}

/// The words of the operations.
const WORDS: [&str; 16] = [
    "add_def",
    "replace_def",
    "remove_def",
    "set_manifest_refs",
    "set_defaults",
    "set_routing_events",
    "set_routing_inboxes",
    "set_triggers",
    "set_module_bindings",
    "set_secrets",
    "set_trust",
    "set_limits",
    "set_governance",
    "set_effect_mode",
    "set_budget",
    "cancel_instances",
];

/// Returns the word of the operation that replaces a block.
const fn block_word(name: BlockName) -> &'static str {
    match name {
        BlockName::Events => "set_routing_events",
        BlockName::Inboxes => "set_routing_inboxes",
        BlockName::Triggers => "set_triggers",
        BlockName::Defaults => "set_defaults",
        BlockName::ModuleBindings => "set_module_bindings",
        BlockName::Trust => "set_trust",
        BlockName::Limits => "set_limits",
        BlockName::Governance => "set_governance",
    }
}

impl Operation {
    /// Returns the word that names the operation.
    pub fn word(&self) -> &'static str {
        match self {
            Self::AddDef { .. } => "add_def",
            Self::ReplaceDef { .. } => "replace_def",
            Self::RemoveDef { .. } => "remove_def",
            Self::SetManifestRefs { .. } => "set_manifest_refs",
            Self::SetBlock { block, .. } => block_word(block.name()),
            Self::SetSecrets { .. } => "set_secrets",
            Self::SetEffectMode { .. } => "set_effect_mode",
            Self::SetBudget { .. } => "set_budget",
            Self::CancelInstances { .. } => "cancel_instances",
        }
    }

    /// Reads an operation; what is wrong goes to the report.
    pub(super) fn read(at: &At<'_>) -> Option<Self> {
        let Node::Object(_) = &at.json.node else { return at.unexpected("an operation") };
        let Some((word, inner)) = single(at.json) else {
            let help = "as in {\"remove_def\": {…}}".into();
            return at.refuse_with(
                Rule::PatchOperation,
                "an operation is an object with exactly one key".into(),
                Some(help),
            );
        };
        let at = at.inside(word, inner);
        if let Some(name) = BlockName::ALL.into_iter().find(|name| block_word(*name) == word) {
            return read_block(name, &at);
        }
        match word {
            "add_def" => read_add(&at),
            "replace_def" => read_replace(&at),
            "remove_def" => read_remove(&at),
            "set_manifest_refs" => read_refs(&at),
            "set_secrets" => read_secrets(&at),
            "set_effect_mode" => {
                let mut object = at.object()?;
                let mode = object.required("mode").and_then(|at| at.word(&EffectMode::WORDS));
                object.finish();
                Some(Self::SetEffectMode { mode: mode? })
            }
            "set_budget" => read_budget(&at),
            "cancel_instances" => read_instances(&at),
            _ => {
                let help = suggest(word, WORDS).unwrap_or_else(|| format!("one of {}", WORDS.join(", ")));
                at.refuse_with(Rule::PatchOperation, format!("there is no operation `{word}`"), Some(help))
            }
        }
    }

    /// Prints the operation.
    pub(super) fn to_json(&self) -> Json {
        let members = Members::default();
        let members = match self {
            Self::AddDef { node } => members.with("kind", node.kind().keyword()).with("node", node.to_json()),
            Self::ReplaceDef { node, pre_hash } => members
                .with("kind", node.kind().keyword())
                .maybe("name", node.name())
                .with("new_node", node.to_json())
                .with("pre_hash", *pre_hash),
            Self::RemoveDef { kind, name, pre_hash } => {
                members.with("kind", kind.keyword()).with("name", name).with("pre_hash", *pre_hash)
            }
            Self::SetManifestRefs { add, remove } => members
                .list("add", add.iter().map(Reference::to_json))
                .list("remove", remove.iter().map(Reference::to_json)),
            Self::SetBlock { block, pre_hash } => {
                members.with("pre_hash", *pre_hash).with(block.name().key(), block.to_json())
            }
            Self::SetSecrets { secrets, pre_hash } => {
                let secrets = secrets.iter().map(|secret| Definition::Secret(secret.clone()).to_json());
                members.with("pre_hash", *pre_hash).with("secrets", Json::list(secrets))
            }
            Self::SetEffectMode { mode } => members.with("mode", mode.word()),
            Self::SetBudget { grant, budget, pre_hash } => members
                .with("grant", grant.as_str())
                .with("budget", budget_json(budget.as_ref()))
                .with("pre_hash", *pre_hash),
            Self::CancelInstances { instances } => {
                members.with("instances", Json::list(instances.iter().map(|number| (*number).into())))
            }
        };
        Json::one(self.word(), members.into())
    }
}

/// Prints a budget, or null where there is none.
pub(super) fn budget_json(budget: Option<&Budget>) -> Json {
    budget.map_or_else(|| Node::Null.into(), |budget| budget.to_json())
}

/// Reads the kind of a definition; the manifest is none that a patch could bring or take away.
fn read_kind(at: &At<'_>) -> Option<Kind> {
    let words = Kind::ALL.map(|kind| (kind.keyword(), kind));
    let (_, definitions) = words.split_last()?;
    at.word(definitions)
}

fn read_add(at: &At<'_>) -> Option<Operation> {
    let mut object = at.object()?;
    let kind = object.required("kind").and_then(|at| read_kind(&at));
    let node = object.required("node").and_then(|at| read_node(&at, kind, None));
    object.finish();
    kind?;
    Some(Operation::AddDef { node: Box::new(node?) })
}

fn read_replace(at: &At<'_>) -> Option<Operation> {
    let mut object = at.object()?;
    let kind = object.required("kind").and_then(|at| read_kind(&at));
    let name = object.required("name").and_then(|at| at.name());
    let node = object.required("new_node").and_then(|at| read_node(&at, kind, name.as_ref()));
    let pre_hash = object.required("pre_hash").and_then(|at| at.digest());
    object.finish();
    kind.and(name)?;
    Some(Operation::ReplaceDef { node: Box::new(node?), pre_hash: pre_hash? })
}

/// Reads the definition that an operation brings, which has the kind and name that the operation says.
fn read_node(at: &At<'_>, kind: Option<Kind>, name: Option<&Name>) -> Option<Definition> {
    let node = Definition::read(at)?;
    if let Some(kind) = kind.filter(|kind| *kind != node.kind()) {
        return at.refuse(
            Rule::PatchNode,
            format!("the operation is about a {}, and its node is a {}", kind.word(), node.kind().word()),
        );
    }
    match (name, node.name()) {
        (Some(wanted), Some(found)) if wanted != found => {
            let message = format!("the operation is about `{wanted}`, and its node is `{found}`");
            let help = "to rename a definition, remove one and add the other".into();
            at.refuse_with(Rule::PatchNode, message, Some(help))
        }
        _ => Some(node),
    }
}

fn read_remove(at: &At<'_>) -> Option<Operation> {
    let mut object = at.object()?;
    let kind = object.required("kind").and_then(|at| read_kind(&at));
    let name = object.required("name").and_then(|at| at.name());
    let pre_hash = object.required("pre_hash").and_then(|at| at.digest());
    object.finish();
    Some(Operation::RemoveDef { kind: kind?, name: name?, pre_hash: pre_hash? })
}

fn read_refs(at: &At<'_>) -> Option<Operation> {
    let mut object = at.object()?;
    let add = object.optional("add").map(|at| at.list(Reference::read));
    let remove = object.optional("remove").map(|at| at.list(Reference::read));
    object.finish();
    let (add, remove) = (add.unwrap_or_else(|| Some(Vec::new()))?, remove.unwrap_or_else(|| Some(Vec::new()))?);
    if add.is_empty() && remove.is_empty() {
        return at.refuse(Rule::PatchOperation, "the operation neither adds nor removes anything".into());
    }
    Some(Operation::SetManifestRefs { add, remove })
}

impl Reference {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let kind = object.required("kind").and_then(|at| read_kind(&at));
        let name = object.required("name").and_then(|at| at.name());
        let hash = match object.optional("hash") {
            Some(at) => Some(at.digest()?),
            None => None,
        };
        object.finish();
        Some(Self { kind: kind?, name: name?, hash })
    }

    fn to_json(&self) -> Json {
        Members::default().with("kind", self.kind.keyword()).with("name", &self.name).maybe("hash", self.hash).into()
    }
}

fn read_block(name: BlockName, at: &At<'_>) -> Option<Operation> {
    let mut object = at.object()?;
    let pre_hash = object.required("pre_hash").and_then(|at| at.digest());
    let block = object.required(name.key()).and_then(|at| Block::read(name, &at));
    object.finish();
    Some(Operation::SetBlock { block: Box::new(block?), pre_hash: pre_hash? })
}

fn read_secrets(at: &At<'_>) -> Option<Operation> {
    let mut object = at.object()?;
    let pre_hash = object.required("pre_hash").and_then(|at| at.digest());
    let secret = |at: &At<'_>| match read_node(at, Some(Kind::Secret), None)? {
        Definition::Secret(secret) => Some(secret),
        _ => None,
    };
    let secrets = object.required("secrets").and_then(|at| at.list(secret));
    object.finish();
    Some(Operation::SetSecrets { secrets: secrets?, pre_hash: pre_hash? })
}

fn read_budget(at: &At<'_>) -> Option<Operation> {
    let mut object = at.object()?;
    let grant = object.required("grant").and_then(|at| at.identifier());
    let budget = object.required("budget").and_then(|at| match at.json.node {
        Node::Null => Some(None),
        _ => Budget::read(&at).map(Some),
    });
    let pre_hash = object.required("pre_hash").and_then(|at| at.digest());
    object.finish();
    Some(Operation::SetBudget { grant: grant?, budget: budget?, pre_hash: pre_hash? })
}

fn read_instances(at: &At<'_>) -> Option<Operation> {
    let mut object = at.object()?;
    let instances = object.required("instances").and_then(|at| {
        let mut instances = at.list(|at| at.nat())?;
        instances.sort_unstable();
        if let Some([twice, _]) = instances.array_windows().find(|[a, b]| a == b) {
            return at.refuse(Rule::ValueTwice, format!("the instance {twice} stands here twice"));
        }
        if instances.is_empty() {
            return at.refuse(Rule::PatchOperation, "the operation names no instance".into());
        }
        Some(instances)
    });
    object.finish();
    Some(Operation::CancelInstances { instances: instances? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Report;

    #[test]
    fn every_word_is_that_of_an_operation() {
        for word in WORDS {
            let (json, report) = (Json::one(word, Json::empty()), Report::default());
            assert_eq!(Operation::read(&At::root(&json, &report)), None, "{word}");
            let problems = report.into_problems();
            assert!(problems.iter().all(|problem| !problem.message.contains("there is no operation")), "{problems:?}");
        }
        assert!(EffectMode::WORDS.iter().all(|(word, mode)| mode.word() == *word));
    }
}
