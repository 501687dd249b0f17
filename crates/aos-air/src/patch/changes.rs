//! Two parts of a definition compared: a line for each difference, with the path of fields that leads to it.
//!
//! Items that have a name of their own (steps, grants, principals …) are compared with their namesakes; other items by
//! the longest run that both lists have. Never here: what a change means.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::plain::{Plain, label, safe};

/// Longest value that stands on the line of its path, in bytes.
const VALUE_MAX: usize = 100;
/// Most pairs of items that are compared to find what two lists have in common; above it they stand there whole.
const PAIRS_MAX: usize = 1 << 20;

/// Lists what differs between two values, each line with `+`, `-` or `~` before it.
pub(super) fn changes(before: &Plain, after: &Plain) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", before, after, &mut lines);
    lines
}

/// Lists what is in a value, with a sign before each line.
pub(super) fn content(sign: char, value: &Plain) -> Vec<String> {
    let mut lines = Vec::new();
    match value {
        Plain::Object(members) => {
            members.iter().for_each(|(key, value)| whole(sign, &join("", key), value, &mut lines));
        }
        other => whole(sign, "", other, &mut lines),
    }
    lines
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { label(key) } else { format!("{path}.{}", label(key)) }
}

/// Prints a value that is on one side only: on one line if it is short, else part by part.
fn whole(sign: char, path: &str, value: &Plain, lines: &mut Vec<String>) {
    let colon = if path.is_empty() { "" } else { ": " };
    if let Plain::Text(text) = value
        && text.contains('\n')
    {
        return lines.extend(text.lines().map(|line| format!("{sign} {path} | {}", safe(line))));
    }
    let line = value.line();
    match value {
        Plain::Object(members) if line.len() > VALUE_MAX => {
            members.iter().for_each(|(key, value)| whole(sign, &join(path, key), value, lines));
        }
        Plain::List(items) if line.len() > VALUE_MAX => {
            for (index, item) in items.iter().enumerate() {
                let label = identity(item).unwrap_or_else(|| index.to_string());
                whole(sign, &format!("{path}[{label}]"), item, lines);
            }
        }
        _ => lines.push(format!("{sign} {path}{colon}{line}")),
    }
}

fn compare(path: &str, before: &Plain, after: &Plain, lines: &mut Vec<String>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Plain::Object(old), Plain::Object(new)) => {
            for (key, value) in old {
                match after.member(key) {
                    Some(other) => compare(&join(path, key), value, other, lines),
                    None => whole('-', &join(path, key), value, lines),
                }
            }
            for (key, value) in new.iter().filter(|(key, _)| before.member(key).is_none()) {
                whole('+', &join(path, key), value, lines);
            }
        }
        (Plain::List(old), Plain::List(new)) => match (named(old), named(new)) {
            (Some(old), Some(new)) => compare_named(path, &old, &new, lines),
            _ => compare_runs(path, old, new, lines),
        },
        (Plain::Text(old), Plain::Text(new)) if old.contains('\n') || new.contains('\n') => {
            compare_texts(path, old, new, lines);
        }
        _ => {
            let (from, to) = (before.line(), after.line());
            if from.len() + to.len() <= 2 * VALUE_MAX {
                let colon = if path.is_empty() { "" } else { ": " };
                return lines.push(format!("~ {path}{colon}{from} → {to}"));
            }
            whole('-', path, before, lines);
            whole('+', path, after, lines);
        }
    }
}

/// Returns what an item is known by among the others of its list.
fn identity(item: &Plain) -> Option<String> {
    const NAMES: [&[&str]; 8] = [
        &["id"],
        &["adapter", "key_id"],
        &["kind", "name"],
        &["name"],
        &["event", "reducer"],
        &["event", "plan"],
        &["source"],
        &["from", "to"],
    ];
    let text = |key: &&str| match item.member(key)? {
        Plain::Text(text) => Some(label(text)),
        Plain::Word(word) => Some(word.clone()),
        Plain::List(_) | Plain::Object(_) => None,
    };
    let parts = |names: &&[&str]| names.iter().map(text).collect::<Option<Vec<String>>>();
    NAMES.iter().find_map(parts).map(|parts| parts.join(" "))
}

/// Returns items by what they are known by, if each is known by something else.
fn named(items: &[Plain]) -> Option<Vec<(String, &Plain)>> {
    let named: Vec<(String, &Plain)> = items.iter().map(|item| Some((identity(item)?, item))).collect::<Option<_>>()?;
    let names: BTreeSet<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    (names.len() == named.len()).then_some(named)
}

fn compare_named(path: &str, old: &[(String, &Plain)], new: &[(String, &Plain)], lines: &mut Vec<String>) {
    let place = |items: &[(String, &Plain)]| -> BTreeMap<String, usize> {
        items.iter().enumerate().map(|(index, (name, _))| (name.clone(), index)).collect()
    };
    let (in_old, in_new) = (place(old), place(new));
    for (name, value) in old {
        let at = format!("{path}[{name}]");
        match in_new.get(name).and_then(|index| new.get(*index)) {
            Some((_, other)) => compare(&at, value, other, lines),
            None => whole('-', &at, value, lines),
        }
    }
    for (name, value) in new.iter().filter(|(name, _)| !in_old.contains_key(name)) {
        whole('+', &format!("{path}[{name}]"), value, lines);
    }
    let kept = |items: &[(String, &Plain)], other: &BTreeMap<String, usize>| -> Vec<String> {
        items.iter().map(|(name, _)| name.clone()).filter(|name| other.contains_key(name)).collect()
    };
    let (before, after) = (kept(old, &in_new), kept(new, &in_old));
    if before != after {
        let at = if path.is_empty() { String::new() } else { format!("{path}: ") };
        lines.push(format!("- {at}in the order {}", before.join(", ")));
        lines.push(format!("+ {at}in the order {}", after.join(", ")));
    }
}

/// A stretch of two lists: the same items in both, or those that only one has.
struct Gap<'a, T> {
    old: &'a [T],
    new: &'a [T],
    /// Where the two begin in their lists.
    at: (usize, usize),
}

/// Returns where two lists differ: between the items of the longest run that both have.
fn gaps<'a, T: PartialEq>(old: &'a [T], new: &'a [T]) -> Vec<Gap<'a, T>> {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = |items: &'a [T]| items.get(start..).unwrap_or_default();
    let end = rest(old).iter().rev().zip(rest(new).iter().rev()).take_while(|(a, b)| a == b).count();
    let middle = |items: &'a [T]| items.get(start..items.len() - end).unwrap_or_default();
    let (old, new) = (middle(old), middle(new));
    if old.len().saturating_mul(new.len()) > PAIRS_MAX {
        return Vec::from([Gap { old, new, at: (start, start) }]);
    }
    let width = new.len() + 1;
    let mut longest = alloc::vec![0_u32; (old.len() + 1) * width];
    let at = |longest: &[u32], i: usize, j: usize| longest.get(i * width + j).copied().unwrap_or_default();
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            let here = if a == b {
                at(&longest, i + 1, j + 1) + 1
            } else {
                at(&longest, i + 1, j).max(at(&longest, i, j + 1))
            };
            if let Some(place) = longest.get_mut(i * width + j) {
                *place = here;
            }
        }
    }
    let mut gaps = Vec::new();
    let (mut i, mut j, mut from) = (0, 0, (0, 0));
    let mut close = |from: (usize, usize), i: usize, j: usize| {
        let gap = Gap {
            old: old.get(from.0..i).unwrap_or_default(),
            new: new.get(from.1..j).unwrap_or_default(),
            at: (start + from.0, start + from.1),
        };
        if !gap.old.is_empty() || !gap.new.is_empty() {
            gaps.push(gap);
        }
    };
    while let (Some(a), Some(b)) = (old.get(i), new.get(j)) {
        if a == b {
            close(from, i, j);
            (i, j) = (i + 1, j + 1);
            from = (i, j);
        } else if at(&longest, i + 1, j) >= at(&longest, i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    close(from, old.len(), new.len());
    gaps
}

fn compare_runs(path: &str, old: &[Plain], new: &[Plain], lines: &mut Vec<String>) {
    for Gap { old, new, at } in gaps(old, new) {
        // As many as there were stand for each other.
        if old.len() == new.len() {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(&format!("{path}[{}]", at.0 + index), old, new, lines);
            }
            continue;
        }
        for (index, item) in old.iter().enumerate() {
            whole('-', &format!("{path}[{}]", at.0 + index), item, lines);
        }
        for (index, item) in new.iter().enumerate() {
            whole('+', &format!("{path}[{}]", at.1 + index), item, lines);
        }
    }
}

fn compare_texts(path: &str, old: &str, new: &str, lines: &mut Vec<String>) {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    for Gap { old, new, at } in gaps(&old, &new) {
        let line = |sign: char, line: usize, text: &str| format!("{sign} {path} line {} | {}", line + 1, safe(text));
        lines.extend(old.iter().enumerate().map(|(index, text)| line('-', at.0 + index, text)));
        lines.extend(new.iter().enumerate().map(|(index, text)| line('+', at.1 + index, text)));
    }
}
