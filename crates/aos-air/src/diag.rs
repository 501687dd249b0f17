//! Findings: what is wrong in a document, where, and what to do. Everything that checks collects them; nothing here decides.
//!
//! A finding is for a person and for a program alike: the code is stable and has a page in `docs/errors`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;

/// A place in a document: the file, a JSON pointer (RFC 6901) into it, and the line and column, from 1, where known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Place {
    /// The file as the user named it; empty where the bytes came from no file.
    pub file: String,
    /// JSON pointer to the value that is meant; empty for the whole document.
    pub pointer: String,
    /// Line of that value, from 1.
    pub line: Option<u32>,
    /// Column of that value in characters, from 1.
    pub column: Option<u32>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Where it is.
    pub place: Place,
    /// Stable dotted code, `schema.missing`.
    pub code: &'static str,
    /// One lower-case sentence in the user's words.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error[{}]: {}", self.code, self.message)?;
        let Place { file, pointer, line, column } = &self.place;
        write!(f, "  {}", if file.is_empty() { "(no file)" } else { file })?;
        if let (Some(line), Some(column)) = (line, column) {
            write!(f, ":{line}:{column}")?;
        }
        if !pointer.is_empty() {
            write!(f, "  {pointer}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// Everything that was found wrong, sorted by place; never empty when it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// Sorts findings into the order in which a reader meets them, each once.
    pub(crate) fn in_order(mut findings: Vec<Finding>) -> Self {
        let order = |finding: &Finding| {
            let Place { file, pointer, line, column } = finding.place.clone();
            (file, line, column, pointer, finding.code, finding.message.clone())
        };
        findings.sort_by_cached_key(order);
        findings.dedup();
        Self(findings)
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Findings {}

/// Picks the candidate that a user most likely meant by `word`: the nearest by edit distance, if it is near enough.
///
/// Near enough is a third of the word's length, at least one and at most three edits.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let allowed = (length / 3).clamp(1, 3);
    candidates
        .into_iter()
        // As many edits as the lengths differ are needed at least.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= allowed)
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Cuts off what both begin and end with, which costs no edit.
fn without_common_ends<'a>(left: &'a str, right: &'a str) -> (&'a str, &'a str) {
    let length = |pairs: &mut dyn Iterator<Item = (char, char)>| -> usize {
        pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
    };
    let start = length(&mut left.chars().zip(right.chars()));
    let (left, right) = (left.get(start..).unwrap_or_default(), right.get(start..).unwrap_or_default());
    let end = length(&mut left.chars().rev().zip(right.chars().rev()));
    (left.get(..left.len() - end).unwrap_or_default(), right.get(..right.len() - end).unwrap_or_default())
}

/// Counts insertions, deletions, replacements and swaps of neighbours, with two rows of memory.
fn edit_distance(left: &str, right: &str) -> usize {
    let (left, right) = without_common_ends(left, right);
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    let mut above: Vec<usize> = Vec::new();
    let mut last = None;
    for (i, a) in left.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut before = i + 1;
        next.push(before);
        for (j, b) in right.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&row, j) + usize::from(a != *b);
            let mut least = replaced.min(at(&row, j + 1) + 1).min(before + 1);
            if j > 0 && last == Some(*b) && right.get(j - 1) == Some(&a) {
                least = least.min(at(&above, j - 1) + 1);
            }
            before = least;
            next.push(before);
        }
        above = row;
        row = next;
        last = Some(a);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_takes_what_is_near_and_nothing_else() {
        let kinds = ["defschema", "defmodule", "manifest"];
        assert_eq!(nearest("defshema", kinds), Some("defschema"));
        assert_eq!(nearest("defmodul", kinds), Some("defmodule"));
        assert_eq!(nearest("policy", kinds), None);
        assert_eq!(nearest("nmae", ["name", "kind"]), Some("name"));
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("abcd", "badc"), 2);
        assert_eq!(edit_distance("", "abc"), 3);
    }
}
