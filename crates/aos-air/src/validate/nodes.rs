//! From stored nodes back to a checked manifest: the same rules, and every byte must be the canonical one.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::draft::Draft;
use super::found::{Found, Origin};
use super::manifest::{Checked, Manifest};
use crate::def::{Definition, Kind, NodeError, decode_json};
use crate::diag::Findings;
use crate::hash::Digest;
use crate::name::Name;
use crate::text::{Document, Json, Rule};

/// Loads a manifest and its definitions from their nodes. `node` gives the bytes that have a hash.
///
/// # Errors
/// What is wrong, with the hash of the node in the place of a file.
pub fn from_nodes(manifest: &Digest, node: &dyn Fn(&Digest) -> Option<Vec<u8>>) -> Result<Checked<Manifest>, Findings> {
    let mut draft = Draft::default();
    draft.read_node(manifest, "the manifest", node);
    let listed: Vec<(Kind, Name, Digest)> = match draft.definitions.first() {
        Some((Definition::Manifest(manifest), _)) => {
            let of_kind = |(kind, listed): (&Kind, &Vec<crate::def::Listed>)| {
                let kind = *kind;
                let own = listed.iter().filter(|listed| !listed.name.is_built_in());
                own.filter_map(move |listed| Some((kind, listed.name.clone(), listed.hash?))).collect::<Vec<_>>()
            };
            manifest.lists.iter().flat_map(of_kind).collect()
        }
        Some(_) => {
            draft.damaged(manifest, "the node is no manifest".to_string());
            return Err(draft.found.into_findings());
        }
        None => return Err(draft.found.into_findings()),
    };
    for (kind, name, hash) in listed {
        let before = draft.definitions.len();
        draft.read_node(&hash, &format!("the {} `{name}`", kind.word()), node);
        match draft.definitions.get(before) {
            Some((definition, _)) if definition.kind() == kind && definition.name() == Some(&name) => {}
            Some(_) => draft.damaged(&hash, format!("the node is not the {} `{name}`", kind.word())),
            None => draft.broken.push((Some(kind), Some(name))),
        }
    }
    let checked = draft.check(&|_| None)?;
    if checked.hash() == *manifest {
        return Ok(checked);
    }
    let mut found = Found::default();
    found.add_nowhere(
        manifest.to_string(),
        Rule::NodeDamaged,
        "the manifest is not in its normal form".to_string(),
        None,
    );
    Err(found.into_findings())
}

impl Draft {
    fn damaged(&mut self, hash: &Digest, message: String) {
        self.found.add_nowhere(hash.to_string(), Rule::NodeDamaged, message, None);
    }

    /// Reads the node with this hash as a definition.
    fn read_node(&mut self, hash: &Digest, what: &str, node: &dyn Fn(&Digest) -> Option<Vec<u8>>) {
        let Some(bytes) = node(hash) else {
            let message = format!("the node of {what} is missing");
            return self.found.add_nowhere(hash.to_string(), Rule::NodeMissing, message, None);
        };
        if Digest::of(&bytes) != *hash {
            return self.damaged(hash, format!("the bytes of {what} do not have their hash"));
        }
        match decode_json(&bytes) {
            Ok(json) => self.read_json(hash, json),
            Err(NodeError::Size) => {
                self.found.add_nowhere(
                    hash.to_string(),
                    Rule::NodeSize,
                    format!("the node of {what} is too large"),
                    None,
                );
            }
            Err(error) => self.damaged(hash, error.to_string()),
        }
    }

    fn read_json(&mut self, hash: &Digest, json: Json) {
        let document = self.found.document(Document::of_node(hash.to_string(), json.clone()));
        self.read_definition(&json, Origin { document, base: String::new() });
    }
}
