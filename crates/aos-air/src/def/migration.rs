//! `defmigration`: how a reducer's cells come from one schema of their state to the next.

use super::Kind;
use crate::name::Name;
use crate::text::{Json, Members, Object};

/// One link of a reducer's chain of migrations.
#[derive(Debug, Clone, PartialEq)]
pub struct Migration {
    /// Its name.
    pub name: Name,
    /// The reducer whose cells it migrates.
    pub reducer: Name,
    /// The schema of the state before.
    pub from: Name,
    /// The schema of the state after.
    pub to: Name,
    /// The pure module from the one to the other.
    pub module: Name,
}

impl Migration {
    pub(super) fn read(object: &mut Object<'_>) -> Option<Self> {
        let name = object.required("name").and_then(|at| at.name());
        let reducer = object.required("reducer").and_then(|at| at.name());
        let from = object.required("from").and_then(|at| at.name());
        let to = object.required("to").and_then(|at| at.name());
        let module = object.required("module").and_then(|at| at.name());
        Some(Self { name: name?, reducer: reducer?, from: from?, to: to?, module: module? })
    }

    pub(super) fn to_json(&self) -> Json {
        Members::of_kind(Kind::Migration.keyword())
            .with("name", &self.name)
            .with("reducer", &self.reducer)
            .with("from", &self.from)
            .with("to", &self.to)
            .with("module", &self.module)
            .into()
    }
}
