//! The kinds of definition and their keywords.

use core::fmt;

/// What kind of thing a definition defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A type with a name.
    Schema,
    /// A WASM module with its interface.
    Module,
    /// A plan.
    Plan,
    /// A kind of effect.
    Effect,
    /// A kind of capability.
    Cap,
    /// A policy.
    Policy,
    /// A secret that a vault holds.
    Secret,
    /// A step from one schema of a reducer's state to the next.
    Migration,
    /// The manifest, which names all the others.
    Manifest,
}

impl Kind {
    /// Every kind, in the order in which validation goes through them.
    pub const ALL: [Self; 9] = [
        Self::Schema,
        Self::Module,
        Self::Plan,
        Self::Effect,
        Self::Cap,
        Self::Policy,
        Self::Secret,
        Self::Migration,
        Self::Manifest,
    ];

    /// Returns the value of `$kind`.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Schema => "defschema",
            Self::Module => "defmodule",
            Self::Plan => "defplan",
            Self::Effect => "defeffect",
            Self::Cap => "defcap",
            Self::Policy => "defpolicy",
            Self::Secret => "defsecret",
            Self::Migration => "defmigration",
            Self::Manifest => "manifest",
        }
    }

    /// Returns the key of the manifest's list of this kind; the manifest itself has none.
    pub const fn list(self) -> &'static str {
        match self {
            Self::Schema => "schemas",
            Self::Module => "modules",
            Self::Plan => "plans",
            Self::Effect => "effects",
            Self::Cap => "caps",
            Self::Policy => "policies",
            Self::Secret => "secrets",
            Self::Migration => "migrations",
            Self::Manifest => "",
        }
    }

    /// Returns the word for one of them in a message.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Module => "module",
            Self::Plan => "plan",
            Self::Effect => "effect",
            Self::Cap => "capability",
            Self::Policy => "policy",
            Self::Secret => "secret",
            Self::Migration => "migration",
            Self::Manifest => "manifest",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.keyword())
    }
}
