//! A patch as a person reads it: a line for each operation, and below it what is different in what it changes.
//!
//! Never here: whether a change is wise, or who may make it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Patch;
use super::changes::{changes, content};
use super::operation::{Operation, budget_json};
use super::plain::{self, safe};
use crate::def::{Block, BlockName, Definition, Kind};
use crate::text::Json;
use crate::validate::Manifest;

/// Prints a patch in its normal form against its base, a line for each difference; empty for a patch without operations.
///
/// Characters that a terminal would obey are escaped, so a patch cannot hide a part of itself.
pub fn render(base: &Manifest, patch: &Patch) -> String {
    patch.operations.iter().map(|operation| render_operation(base, operation)).collect()
}

/// Prints one operation of a patch against its base.
pub fn render_operation(base: &Manifest, operation: &Operation) -> String {
    let (title, lines) = match operation {
        Operation::AddDef { node } => (format!("+ {}", words(node)), content('+', &plain_of(node))),
        Operation::ReplaceDef { node, .. } => {
            let before = node.name().and_then(|name| base.find(node.kind(), name));
            let lines = match before {
                Some((_, before)) => changes(&plain_of(before), &plain_of(node)),
                None => content('+', &plain_of(node)),
            };
            (format!("~ {}", words(node)), lines)
        }
        Operation::RemoveDef { kind, name, .. } => {
            let before = base.find(*kind, name);
            let lines = before.map(|(_, before)| content('-', &plain_of(before))).unwrap_or_default();
            (format!("- {} {name}", kind.word()), lines)
        }
        Operation::SetManifestRefs { add, remove } => {
            let line = |sign: char| {
                move |reference: &super::Reference| format!("{sign} {} {}", reference.kind.word(), reference.name)
            };
            let lines = remove.iter().map(line('-')).chain(add.iter().map(line('+'))).collect();
            ("~ built-in definitions that the manifest lists".to_string(), lines)
        }
        Operation::SetBlock { block, .. } => {
            let before = Block::of(base.definition(), block.name()).to_json();
            (format!("~ {}", title(block.name())), compared(&before, &block.to_json()))
        }
        Operation::SetSecrets { secrets, .. } => {
            let all = |definitions: Vec<Definition>| Json::list(definitions.iter().map(Definition::to_json));
            let is_secret = |(_, definition): &(_, &Definition)| definition.kind() == Kind::Secret;
            let before = base.definitions().filter(is_secret).map(|(_, definition)| definition.clone()).collect();
            let after = secrets.iter().map(|secret| Definition::Secret(secret.clone())).collect();
            ("~ secrets".to_string(), compared(&all(before), &all(after)))
        }
        Operation::SetEffectMode { mode } => (format!("! effect mode {}", mode.word()), Vec::new()),
        Operation::SetBudget { grant, budget, .. } => {
            let before = base.definition().grant(grant).and_then(|grant| grant.budget);
            let lines = compared(&budget_json(before.as_ref()), &budget_json(budget.as_ref()));
            (format!("~ budget of the grant {}", safe(grant)), lines)
        }
        Operation::CancelInstances { instances } => {
            let numbers: Vec<String> = instances.iter().map(ToString::to_string).collect();
            (format!("! cancel the plan instances {}", numbers.join(", ")), Vec::new())
        }
    };
    let mut out = title + "\n";
    for line in lines {
        out += &format!("    {line}\n");
    }
    out
}

fn words(node: &Definition) -> String {
    let name = node.name().map(ToString::to_string).unwrap_or_default();
    format!("{} {name}", node.kind().word())
}

/// Returns what a definition says besides its kind and name, which stand in the title.
fn plain_of(node: &Definition) -> plain::Plain {
    match plain::of(&node.to_json()) {
        plain::Plain::Object(members) => {
            let is_content = |(key, _): &(String, plain::Plain)| key != "$kind" && key != "name";
            plain::Plain::Object(members.into_iter().filter(is_content).collect())
        }
        other => other,
    }
}

fn compared(before: &Json, after: &Json) -> Vec<String> {
    changes(&plain::of(before), &plain::of(after))
}

const fn title(name: BlockName) -> &'static str {
    match name {
        BlockName::Events => "routes of events",
        BlockName::Inboxes => "routes of inboxes",
        BlockName::Triggers => "triggers",
        BlockName::Defaults => "policy and grants",
        BlockName::ModuleBindings => "module bindings",
        BlockName::Trust => "trust",
        BlockName::Limits => "limits",
        BlockName::Governance => "governance",
    }
}
