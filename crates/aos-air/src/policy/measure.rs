//! The text of policies, before Cedar sees it: how deep it nests, and where in it a position lies.
//!
//! Cedar reads and checks expressions by recursion, so their depth is bounded here, on the bare words, by a pass that
//! does not recurse. The bound is above the depth of the tree that Cedar makes, and easy to state: see [`depth`].

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::CharIndices;

/// Longest piece of a line that a message quotes, in characters.
const EXCERPT_CHARS_MAX: usize = 60;

/// How much deeper brackets are than what stands in them: what reading them takes, in operators.
const BRACKETS: usize = 8;

/// One pair of brackets being read, or the text outside of all.
#[derive(Debug, Default)]
struct Level {
    /// Operators of the present item.
    operators: usize,
    /// The deepest brackets in the present item.
    inner: usize,
    /// The deepest item that ended.
    deepest: usize,
}

impl Level {
    /// Ends an item, and returns the deepest so far.
    fn end_item(&mut self) -> usize {
        self.deepest = self.deepest.max(self.operators.saturating_add(self.inner));
        self.operators = 0;
        self.inner = 0;
        self.deepest
    }
}

/// Returns the depth of a text: that of its deepest item.
///
/// Commas and semicolons part a text, and the inside of each pair of brackets, into items. An item is as deep as it has
/// operators, and then as the deepest pair of brackets in it; a pair is 8 deeper than its deepest item. Operators are
/// `&& || == != <= >= < > + - * ! .` and the words `if then else has in is like when unless`. Strings and comments count
/// for nothing.
pub(super) fn depth(text: &str) -> usize {
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    let mut rest = text.char_indices().peekable();
    while let Some((start, char)) = rest.next() {
        match char {
            '"' => skip_string(&mut rest),
            '/' if rest.next_if(|(_, next)| *next == '/').is_some() => {
                while rest.next_if(|(_, next)| *next != '\n').is_some() {}
            }
            '(' | '[' | '{' => outer.push(core::mem::take(&mut level)),
            ')' | ']' | '}' => {
                let depth = level.end_item().saturating_add(BRACKETS);
                // A bracket too many is Cedar's to report.
                level = outer.pop().unwrap_or_default();
                level.inner = level.inner.max(depth);
            }
            ',' | ';' => drop(level.end_item()),
            '&' | '|' | '=' | '!' | '<' | '>' => {
                let doubled = |next: char| next == '=' || (next == char && matches!(char, '&' | '|'));
                let _doubled = rest.next_if(|(_, next)| doubled(*next));
                level.operators += 1;
            }
            '+' | '-' | '*' | '.' => level.operators += 1,
            _ if is_word(char) => {
                let mut end = start + char.len_utf8();
                while let Some((at, next)) = rest.next_if(|(_, next)| is_word(*next)) {
                    end = at + next.len_utf8();
                }
                level.operators += usize::from(is_operator(text.get(start..end).unwrap_or_default()));
            }
            _ => {}
        }
    }
    // Brackets that nobody closes are as deep as if they were closed here.
    outer.into_iter().rev().fold(level.end_item(), |inner, mut around| {
        around.inner = around.inner.max(inner.saturating_add(BRACKETS));
        around.end_item()
    })
}

fn skip_string(rest: &mut Peekable<CharIndices<'_>>) {
    while let Some((_, char)) = rest.next() {
        match char {
            '\\' => drop(rest.next()),
            '"' => return,
            _ => {}
        }
    }
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

fn is_operator(word: &str) -> bool {
    matches!(word, "if" | "then" | "else" | "has" | "in" | "is" | "like" | "when" | "unless")
}

/// Says where in a text a byte lies, with what stands there: `line 2, column 5 of the policy: …`.
pub(super) fn place(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let number = before.matches('\n').count() + 1;
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    let line = text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
    // A long line is quoted from the place itself.
    let from = if line.chars().count() > EXCERPT_CHARS_MAX { offset } else { start };
    let quoted = text.get(from..).unwrap_or_default().lines().next().unwrap_or_default().trim();
    let excerpt: String = quoted.chars().take(EXCERPT_CHARS_MAX).collect();
    format!("line {number}, column {column} of the policy: `{excerpt}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_of_texts() {
        let cases = [
            ("", 0),
            ("permit(principal, action, resource);", 8),
            ("permit(principal, action == A::\"x\", resource);", 9),
            ("permit(principal, action, resource) when { true };", 9),
            ("permit(principal, action, resource) when { a && b && c };", 11),
            ("permit(principal, action, resource) when { a && (b && (c)) };", 27),
            ("permit(principal, action, resource) when { [a.b, c.d.e] };", 19),
            ("permit(principal, action, resource) when { !!!x };", 12),
            ("permit(principal, action, resource) when { a != b || c <= d };", 12),
            ("permit(principal, action, resource) when { if a then b else c };", 12),
            ("// ((((((\n\"((((\\\"((\"", 0),
            ("((((", 32),
            ("))))", 32),
        ];
        for (text, expected) in cases {
            assert_eq!(depth(text), expected, "{text}");
        }
    }

    #[test]
    fn places_in_texts() {
        let text = "permit(\n  é principal);\n";
        assert_eq!(place(text, 0), "line 1, column 1 of the policy: `permit(`");
        assert_eq!(place(text, text.find("principal").unwrap()), "line 2, column 5 of the policy: `é principal);`");
        assert_eq!(place(text, text.len()), "line 3, column 1 of the policy: ``");
        let long = format!("{}x{}", " ".repeat(70), "y".repeat(70));
        assert_eq!(place(&long, 70), format!("line 1, column 71 of the policy: `x{}`", "y".repeat(59)));
    }
}
