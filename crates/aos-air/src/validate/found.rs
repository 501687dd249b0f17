//! Findings being collected, with the documents that they point into.

use alloc::string::String;
use alloc::vec::Vec;

use crate::diag::{Finding, Findings, Place};
use crate::limits::{FINDINGS_MAX, SUGGESTIONS_MAX};
use crate::text::{Document, Problem, Report, Rule, suggest};

/// Where a definition begins.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Index of the document.
    pub document: usize,
    /// JSON pointer of the definition in it.
    pub base: String,
}

/// Documents and what was found wrong in them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    documents: Vec<Document>,
    findings: Vec<Finding>,
}

impl Found {
    /// Takes a document and returns its index.
    pub fn document(&mut self, document: Document) -> usize {
        self.documents.push(document);
        self.documents.len() - 1
    }

    /// Adds a finding at a pointer from the definition's own root.
    pub fn add(&mut self, origin: &Origin, pointer: &str, rule: Rule, message: String, help: Option<String>) {
        if self.findings.len() < FINDINGS_MAX {
            let place = self.place(origin, pointer);
            self.findings.push(Finding { place, code: rule.code(), message, help });
        }
    }

    /// Makes the help line for a word that is near one of `candidates`, while there are few findings.
    pub fn suggest<'a>(&self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
        if self.findings.len() < SUGGESTIONS_MAX { suggest(word, candidates) } else { None }
    }

    /// Adds everything that reading a part of a definition reported.
    pub fn take(&mut self, origin: &Origin, report: Report) {
        for Problem { pointer, rule, message, help } in report.into_problems() {
            self.add(origin, &pointer, rule, message, help);
        }
    }

    /// Adds findings that are whole already.
    pub fn extend(&mut self, findings: Findings) {
        let left = FINDINGS_MAX.saturating_sub(self.findings.len());
        self.findings.extend(findings.0.into_iter().take(left));
    }

    /// Adds a finding that belongs to no place in a document.
    pub fn add_nowhere(&mut self, file: String, rule: Rule, message: String, help: Option<String>) {
        let place = Place { file, ..Place::default() };
        self.extend(Findings(Vec::from([Finding { place, code: rule.code(), message, help }])));
    }

    /// Tells how much was found so far.
    pub const fn count(&self) -> usize {
        self.findings.len()
    }

    /// Returns the place of a pointer from the definition's own root.
    pub fn place(&self, origin: &Origin, pointer: &str) -> Place {
        let pointer = [&origin.base, pointer].concat();
        match self.documents.get(origin.document) {
            Some(document) => document.place(pointer),
            None => Place { pointer, ..Place::default() },
        }
    }

    /// Ends collecting: everything in the order in which a reader meets it.
    pub fn into_findings(self) -> Findings {
        Findings::in_order(self.findings)
    }
}
