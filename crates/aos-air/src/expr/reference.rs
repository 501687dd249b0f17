//! References of expressions: `@plan.input.a`, `@var:name.a`, `@step:id.status`, `@event.a`.
//!
//! Names may hold dots, so what belongs to the name and what to the path is known only beside the plan's own names.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Longest name of a variable or step; what is longer holds a path.
const IDENTIFIER_BYTES_MAX: usize = 64;

/// A reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What it starts from.
    pub root: Root,
    /// For a variable or step its name and the path in it, with dots between; else the path, empty for all of it.
    pub rest: String,
}

/// What a reference starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The plan's input.
    Input,
    /// A variable.
    Var,
    /// How a step ended.
    Step,
    /// The event that is being looked at.
    Event,
}

/// Why a text is no reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reference is `@plan.input…`, `@var:name…`, `@step:id…` or `@event…`, with `.field` behind it")]
pub struct NotAReference;

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    /// [`NotAReference`] for an unknown root, an empty name or an empty segment.
    pub fn parse(text: &str) -> Result<Self, NotAReference> {
        let roots =
            [("@plan.input", Root::Input), ("@var:", Root::Var), ("@step:", Root::Step), ("@event", Root::Event)];
        for (prefix, root) in roots {
            let Some(rest) = text.strip_prefix(prefix) else { continue };
            let rest = match root {
                Root::Input | Root::Event if rest.is_empty() => rest,
                Root::Input | Root::Event => {
                    rest.strip_prefix('.').filter(|rest| !rest.is_empty()).ok_or(NotAReference)?
                }
                Root::Var | Root::Step => rest,
            };
            let named = matches!(root, Root::Var | Root::Step) || !rest.is_empty();
            if named && rest.split('.').any(str::is_empty) {
                return Err(NotAReference);
            }
            return Ok(Self { root, rest: rest.into() });
        }
        Err(NotAReference)
    }

    /// Splits the rest into the longest name that it starts with, and the path behind it.
    pub fn split(&self, is_name: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
        let dots = self.rest.match_indices('.').map(|(at, _)| at).take_while(|at| *at <= IDENTIFIER_BYTES_MAX);
        let mut ends: Vec<usize> = dots.collect();
        ends.push(self.rest.len());
        let split = |end: &usize| Some((self.rest.get(..*end)?, self.rest.get(end + 1..).unwrap_or_default()));
        ends.iter().rev().filter_map(split).find(|(name, _)| is_name(name))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.rest.is_empty() { "" } else { "." };
        match self.root {
            Root::Input => write!(f, "@plan.input{dot}{}", self.rest),
            Root::Var => write!(f, "@var:{}", self.rest),
            Root::Step => write!(f, "@step:{}", self.rest),
            Root::Event => write!(f, "@event{dot}{}", self.rest),
        }
    }
}
