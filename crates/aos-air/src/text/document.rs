//! A document: a text with its tree, and the way from a JSON pointer to a line and a column.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::at::{At, Problem, Report};
use super::json::{Json, Node};
use super::parse::parse;
use super::rule::Rule;
use crate::diag::{Finding, Findings, Place};
use crate::limits::DOCUMENT_BYTES_MAX;

/// A text that came from somewhere: the file as the user names it, and what is in it.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file.
    pub file: String,
    /// The text.
    pub text: String,
}

/// A document that findings point into.
#[derive(Debug, Clone)]
pub struct Document {
    file: String,
    /// None where the tree came from a node.
    text: Option<Text>,
    json: Json,
}

/// A text with the offsets at which its lines begin.
#[derive(Debug, Clone)]
struct Text {
    text: String,
    lines: Vec<usize>,
}

impl Text {
    fn new(text: &str) -> Self {
        let behind = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset + 1);
        Self { text: text.to_owned(), lines: core::iter::once(0).chain(behind).collect() }
    }

    /// Returns the line and the column in characters, both from 1.
    fn line_and_column(&self, offset: usize) -> (Option<u32>, Option<u32>) {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        (u32::try_from(line).ok(), u32::try_from(before.chars().count() + 1).ok())
    }
}

impl Document {
    /// Parses a text as JSON.
    ///
    /// # Errors
    /// [`Rule::JsonSize`] above the limit, or why it is not JSON.
    pub fn parse(source: &Source) -> Result<Self, Findings> {
        let Source { file, text } = source;
        if text.len() > DOCUMENT_BYTES_MAX {
            return Err(Findings(Vec::from([too_large(file)])));
        }
        let parsed = parse(text);
        let json = parsed.as_ref().ok().cloned().unwrap_or_else(|| Node::Null.into());
        let document = Self { file: file.clone(), text: Some(Text::new(text)), json };
        let Err(errors) = parsed else { return Ok(document) };
        let finding = |error: super::JsonError| {
            let place = document.place_at(error.offset, error.pointer);
            Finding { place, code: error.rule.code(), message: error.message, help: None }
        };
        Err(Findings(errors.into_iter().map(finding).collect()))
    }

    /// Takes a tree that came from a node.
    pub(crate) const fn of_node(file: String, json: Json) -> Self {
        Self { file, text: None, json }
    }

    /// Returns the tree.
    pub const fn json(&self) -> &Json {
        &self.json
    }

    /// Returns the file as the user named it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Reads the whole tree.
    ///
    /// # Errors
    /// Everything that `read` reported.
    pub fn read<'a, T>(&'a self, read: impl FnOnce(&At<'_>) -> Option<T> + 'a) -> Result<T, Findings> {
        let report = Report::default();
        let read = read(&At::root(&self.json, &report));
        match read {
            Some(read) if report.is_empty() => Ok(read),
            _ => Err(Findings(report.into_problems().into_iter().map(|problem| self.finding(problem)).collect())),
        }
    }

    /// Turns a problem, whose pointer starts at the document's root, into a finding.
    pub fn finding(&self, Problem { pointer, rule, message, help }: Problem) -> Finding {
        Finding { place: self.place(pointer), code: rule.code(), message, help }
    }

    /// Returns the place of a pointer; what is missing is shown at the nearest value around it.
    pub fn place(&self, pointer: String) -> Place {
        let offset = self.json.nearest_to(&pointer).offset;
        self.place_at(offset, pointer)
    }

    fn place_at(&self, offset: usize, pointer: String) -> Place {
        let counted = self.text.as_ref().map(|text| text.line_and_column(offset));
        let (line, column) = counted.unwrap_or_default();
        Place { file: self.file.clone(), pointer, line, column }
    }
}

/// Makes the finding for a text above the limit.
fn too_large(file: &str) -> Finding {
    Finding {
        place: Place { file: file.to_owned(), ..Place::default() },
        code: Rule::JsonSize.code(),
        message: format!("the file has more than {DOCUMENT_BYTES_MAX} bytes"),
        help: Some("split it".to_owned()),
    }
}
