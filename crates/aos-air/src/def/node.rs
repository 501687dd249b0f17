//! Normal JSON as canonical CBOR and back: objects are maps, lists arrays, texts texts, integers integers.
//!
//! Nothing is said twice: there is no CBOR form of a definition beside that of its JSON.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::cbor::{self, CborError, Head, Problem as CborProblem, Reader, write};
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::text::{Json, Node, Problem, Rule};

/// Why a definition has no node, or bytes are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The definition is larger or deeper than a node may be.
    #[error("the definition is larger than {DOCUMENT_BYTES_MAX} bytes or deeper than {} levels", cbor::DEPTH_MAX)]
    Size,
    /// The bytes are not canonical CBOR.
    #[error("the node is not canonical CBOR: {0}")]
    Cbor(CborError),
    /// The node says what it says in another than the one normal form.
    #[error("the node is not in its normal form")]
    Form,
    /// What the node says is no definition.
    #[error("the node is no definition: {}", .0.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; "))]
    Definition(Vec<Problem>),
}

impl NodeError {
    /// Returns the stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Size => Rule::NodeSize.code(),
            Self::Cbor(_) | Self::Form => Rule::NodeDamaged.code(),
            Self::Definition(problems) => problems.first().map_or(Rule::NodeDamaged, |problem| problem.rule).code(),
        }
    }
}

/// Encodes normal JSON of any size; none if it holds a number that is no integer.
pub(crate) fn canonical(json: &Json) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    write_json(json, &mut out)?;
    Some(out)
}

/// Encodes normal JSON as a node.
pub(crate) fn encode(json: &Json) -> Result<Vec<u8>, NodeError> {
    let out = canonical(json).ok_or(NodeError::Form)?;
    let fits = out.len() <= DOCUMENT_BYTES_MAX;
    if !fits || cbor::check(&out).is_err() { Err(NodeError::Size) } else { Ok(out) }
}

fn write_json(json: &Json, out: &mut Vec<u8>) -> Option<()> {
    match &json.node {
        Node::Null => write::null(out),
        Node::Bool(value) => write::bool(out, *value),
        Node::Number(number) => write::int(out, number.parse().ok()?),
        Node::Text(text) => write::text(out, text),
        Node::List(items) => {
            write::array(out, items.len());
            items.iter().try_for_each(|item| write_json(item, out))?;
        }
        Node::Object(members) => {
            let mut members: Vec<&(String, Json)> = members.iter().collect();
            members.sort_by_key(|(key, _)| (key.len(), key.as_str()));
            write::map(out, members.len());
            for (key, value) in members {
                write::text(out, key);
                write_json(value, out)?;
            }
        }
    }
    Some(())
}

/// Decodes a node into JSON.
pub(crate) fn decode(bytes: &[u8]) -> Result<Json, NodeError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(NodeError::Size);
    }
    cbor::check(bytes).map_err(NodeError::Cbor)?;
    read_json(&mut Reader::strict(bytes)).map_err(NodeError::Cbor)
}

/// Reads one item; the check before has limited the depth.
fn read_json(reader: &mut Reader<'_>) -> Result<Json, CborError> {
    let start = reader.offset();
    Ok(match reader.head()? {
        Head::Null => Node::Null,
        Head::Bool(value) => Node::Bool(value),
        Head::Uint(value) => Node::Number(value.to_string()),
        Head::Nint(value) => Node::Number((-1 - i128::from(value)).to_string()),
        Head::Text(text) => Node::Text(text.into()),
        Head::Array(len) => Node::List((0..len).map(|_| read_json(reader)).collect::<Result<_, _>>()?),
        Head::Map(len) => {
            let mut members = Vec::with_capacity(len);
            for _ in 0..len {
                members.push((reader.text()?.into(), read_json(reader)?));
            }
            Node::Object(members)
        }
        Head::Bytes(_) | Head::Tag(_) => return Err(Reader::error(start, CborProblem::Type)),
    }
    .into())
}
