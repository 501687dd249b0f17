//! From base and patch to a candidate: the same judge as for documents and nodes, with findings that point into the patch.
//!
//! All or nothing: a candidate is a checked manifest, or there is none. What a patch asks for beyond the manifest is
//! handed on as actions. Never here: who may apply it; that is the kernel's.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Patch;
use super::edit::{Edit, block_hash};
use super::operation::{EffectMode, Operation};
use crate::def::{Block, BlockName, Definition, Kind, NodeError, decode_json};
use crate::diag::{Finding, Findings, Place};
use crate::hash::Digest;
use crate::name::Name;
use crate::text::{Document, Json, Node, Problem, Rule};
use crate::validate::{Checked, Draft, Manifest, Origin};

/// What findings call the manifest as it would be, where its part does not come from the patch.
const MANIFEST: &str = "candidate: manifest";

/// What a patch makes of its base.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The manifest, judged like any other.
    pub manifest: Checked<Manifest>,
    /// The patch in its normal form.
    pub patch: Patch,
    /// The patch's node.
    pub node: Vec<u8>,
    /// The hash of the patch's node, which names the patch.
    pub hash: Digest,
    /// What the world does besides taking the manifest on; those about budgets stand last.
    pub actions: Vec<Action>,
}

/// What a patch asks of a world beyond its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Effects are answered like this from now on.
    SetEffectMode(EffectMode),
    /// The grant's budget is the one in the manifest now; if an overrun has blocked the grant, it is open again.
    SetBudget {
        /// The grant's name.
        grant: String,
    },
    /// These plan instances end, by their numbers; whether they run is for the world to see.
    CancelInstances(Vec<u64>),
}

/// Applies a patch.
///
/// # Errors
/// Everything that is wrong; places are pointers into the patch's JSON.
pub fn apply(base: &Manifest, patch: &Patch) -> Result<Candidate, Findings> {
    apply_document(base, &patch.document(String::new()))
}

/// Applies the patch in a document.
///
/// # Errors
/// Everything that is wrong, in the patch's own form or with it against its base, with places in the document.
pub fn apply_document(base: &Manifest, document: &Document) -> Result<Candidate, Findings> {
    let patch = Patch::read(document)?;
    let edit = Edit::of(base, &patch).map_err(|problems| {
        Findings::in_order(problems.into_iter().map(|problem| document.finding(problem)).collect())
    })?;
    let (draft, files) = draft(&edit, document);
    let manifest = draft.check(&|_| None).map_err(|findings| {
        let trace = Trace::of(base, &edit, document, &files, &findings);
        Findings::in_order(findings.0.into_iter().map(|finding| trace.finding(finding)).collect())
    })?;
    expect_unnamed_unchanged(base, &edit, &manifest)?;
    let patch = settle(patch, &manifest);
    let node = patch.node().map_err(|error| {
        let rule = if error == NodeError::Size { Rule::NodeSize } else { Rule::NodeDamaged };
        let problem = Problem { pointer: String::new(), rule, message: error.to_string(), help: None };
        Findings(Vec::from([document.finding(problem)]))
    })?;
    let hash = Digest::of(&node);
    Ok(Candidate { manifest, patch, node, hash, actions: edit.actions })
}

/// Applies the patch in a node.
///
/// # Errors
/// Everything that is wrong; `node.damaged` for a node that is not the normal form of its patch. The node's hash stands
/// in the place of a file.
pub fn apply_node(base: &Manifest, node: &[u8]) -> Result<Candidate, Findings> {
    let hash = Digest::of(node);
    let damaged = |rule: Rule, message: String| {
        let place = Place { file: hash.to_string(), ..Place::default() };
        Findings(Vec::from([Finding { place, code: rule.code(), message, help: None }]))
    };
    let json = decode_json(node).map_err(|error| match error {
        NodeError::Size => damaged(Rule::NodeSize, "the node of the patch is too large".to_string()),
        error => damaged(Rule::NodeDamaged, error.to_string()),
    })?;
    let candidate = apply_document(base, &Document::of_node(hash.to_string(), json))?;
    if candidate.hash == hash {
        return Ok(candidate);
    }
    Err(damaged(Rule::NodeDamaged, "the patch is not in its normal form".to_string()))
}

/// The definitions of the base by what findings call the documents made of them.
type Files = BTreeMap<String, (Kind, Name)>;

/// Puts what stays, what is brought and the manifest before the judge of all manifests.
fn draft(edit: &Edit<'_>, document: &Document) -> (Draft, Files) {
    let mut draft = Draft::default();
    let mut files = Files::new();
    let read = |draft: &mut Draft, file: String, json: Json| {
        let document = draft.document(Document::of_node(file, json.clone()));
        draft.read_definition(&json, Origin { document, base: String::new() });
    };
    read(&mut draft, MANIFEST.to_string(), Definition::Manifest(edit.manifest.clone()).to_json());
    // Literals are read anew: their schemas may be others now.
    for ((kind, name), (_, definition)) in &edit.kept {
        let file = format!("base: {kind} {name}");
        read(&mut draft, file.clone(), definition.to_json());
        files.insert(file, (*kind, name.clone()));
    }
    let document = draft.document(document.clone());
    for (definition, base) in &edit.brought {
        draft.insert(definition.clone(), Origin { document, base: base.clone() });
    }
    (draft, files)
}

/// Leads findings back to the operations that they come from.
struct Trace<'a> {
    edit: &'a Edit<'a>,
    document: &'a Document,
    files: &'a Files,
    /// What the findings point into that the patch does not bring.
    around: BTreeMap<&'a str, Json>,
}

impl<'a> Trace<'a> {
    fn of(base: &Manifest, edit: &'a Edit<'a>, document: &'a Document, files: &'a Files, findings: &Findings) -> Self {
        let mut around = BTreeMap::new();
        for finding in &findings.0 {
            let found = files.get_key_value(&finding.place.file);
            if let Some((file, (kind, name))) = found
                && let Some((_, definition)) = base.find(*kind, name)
            {
                around.entry(file.as_str()).or_insert_with(|| definition.to_json());
            }
        }
        around.insert(MANIFEST, Definition::Manifest(edit.manifest.clone()).to_json());
        Self { edit, document, files, around }
    }

    fn finding(&self, finding: Finding) -> Finding {
        if finding.place.file == MANIFEST
            && let Some(pointer) = self.in_block(&finding.place.pointer)
        {
            return Finding { place: self.document.place(pointer), ..finding };
        }
        self.still_used(&finding).unwrap_or(finding)
    }

    /// Turns a pointer into the manifest into one into the patch, if the patch brings the block that it leads into.
    fn in_block(&self, pointer: &str) -> Option<String> {
        let blocks = self.edit.blocks.iter();
        let mut places = blocks.filter_map(|(name, place)| Some((pointer.strip_prefix(name.pointer())?, place)));
        places.find(|(rest, _)| rest.is_empty() || rest.starts_with('/')).map(|(rest, place)| [place, rest].concat())
    }

    /// Something that the patch does not bring misses what the patch takes away.
    fn still_used(&self, finding: &Finding) -> Option<Finding> {
        let Finding { place, code, .. } = finding;
        let json = self.around.get(place.file.as_str())?;
        let Node::Text(word) = &json.nearest_to(&place.pointer).node else { return None };
        let rule = USES.into_iter().find(|rule| rule.code() == *code)?;
        let removed = self.edit.removed.get(&(rule, word.clone()))?;
        let by = match self.files.get(&place.file) {
            Some((kind, name)) => format!("the {} `{name}`", kind.word()),
            None => "the manifest".to_string(),
        };
        Some(self.document.finding(Problem {
            pointer: removed.pointer.clone(),
            rule: Rule::PatchStillUsed,
            message: format!("{} is still used by {by}, at {}", removed.what, place.pointer),
            help: Some("change that in the same patch, or leave this where it is".to_string()),
        }))
    }
}

/// The rules that are broken by whatever uses a thing that is not there.
const USES: [Rule; 9] = [
    Rule::SchemaMissing,
    Rule::ModuleMissing,
    Rule::PlanMissing,
    Rule::EffectMissing,
    Rule::CapMissing,
    Rule::CapTypeMissing,
    Rule::PolicyMissing,
    Rule::PolicyNever,
    Rule::GrantMissing,
];

/// Checks that a patch says all that it changes: literals in what it does not name may read differently under its schemas.
fn expect_unnamed_unchanged(base: &Manifest, edit: &Edit<'_>, candidate: &Manifest) -> Result<(), Findings> {
    let incomplete = |file: String, what: String, how: &str| {
        let place = Place { file, ..Place::default() };
        let message = format!("{what} would read differently, and the patch does not name it");
        let help = Some(format!("{how} too, as a diff of the changed documents does"));
        Finding { place, code: Rule::PatchIncomplete.code(), message, help }
    };
    let definitions = edit.kept.iter().filter_map(|((kind, name), (before, _))| {
        let (after, _) = candidate.find(*kind, name)?;
        let what = format!("the {} `{name}`", kind.word());
        (after != *before).then(|| incomplete(format!("base: {kind} {name}"), what, "replace it"))
    });
    let unnamed = BlockName::ALL.into_iter().filter(|name| !edit.blocks.contains_key(name));
    let differs = |name: &BlockName| match name {
        BlockName::Defaults => !params_are_equal(base, candidate),
        _ => block_hash(base.definition(), *name) != block_hash(candidate.definition(), *name),
    };
    let blocks = unnamed
        .filter(differs)
        .map(|name| incomplete(MANIFEST.to_string(), format!("the block `{}`", name.key()), "replace it"));
    let findings: Vec<Finding> = definitions.chain(blocks).collect();
    if findings.is_empty() { Ok(()) } else { Err(Findings::in_order(findings)) }
}

/// Compares the params of grants, which alone of the block can change by themselves; budgets have their own operation.
fn params_are_equal(base: &Manifest, candidate: &Manifest) -> bool {
    let params = |manifest: &Manifest| manifest.definition().grants.iter().map(|grant| grant.params.clone()).collect();
    let (before, after): (Vec<_>, Vec<_>) = (params(base), params(candidate));
    before == after
}

/// Puts a patch into its normal form: what it brings as the candidate has it.
fn settle(patch: Patch, candidate: &Manifest) -> Patch {
    let settled = |node: &Definition| {
        let found = node.name().and_then(|name| candidate.find(node.kind(), name));
        found.map_or_else(|| node.clone(), |(_, definition)| definition.clone())
    };
    let operation = |operation: Operation| match operation {
        Operation::AddDef { node } => Operation::AddDef { node: settled(&node).into() },
        Operation::ReplaceDef { node, pre_hash } => Operation::ReplaceDef { node: settled(&node).into(), pre_hash },
        Operation::SetManifestRefs { mut add, mut remove } => {
            for reference in add.iter_mut().chain(&mut remove) {
                reference.hash = crate::built_in::find(reference.kind, &reference.name).map(|(hash, _)| hash);
            }
            add.sort_unstable();
            remove.sort_unstable();
            Operation::SetManifestRefs { add, remove }
        }
        Operation::SetBlock { mut block, pre_hash } => {
            if let Block::Defaults { grants, .. } = &mut *block {
                for grant in grants {
                    if let Some(found) = candidate.definition().grant(&grant.name) {
                        grant.params = found.params.clone();
                    }
                }
            }
            Operation::SetBlock { block, pre_hash }
        }
        Operation::SetSecrets { mut secrets, pre_hash } => {
            secrets.sort_by(|a, b| a.name.cmp(&b.name));
            Operation::SetSecrets { secrets, pre_hash }
        }
        other @ (Operation::RemoveDef { .. }
        | Operation::SetEffectMode { .. }
        | Operation::SetBudget { .. }
        | Operation::CancelInstances { .. }) => other,
    };
    Patch { base: patch.base, operations: patch.operations.into_iter().map(operation).collect() }
}
