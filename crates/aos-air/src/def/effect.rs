//! `defeffect`: a kind of effect, the schemas of what is asked and answered, and who may ask.

use alloc::string::String;

use super::Kind;
use crate::name::Name;
use crate::text::{At, Json, Members, Object};

/// A kind of effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// Its name as a definition.
    pub name: Name,
    /// Its kind, `http.request`, which steps and reducers name.
    pub kind: String,
    /// The schema of its parameters.
    pub params_schema: Name,
    /// The schema of the answer's payload.
    pub receipt_schema: Name,
    /// The type of the capability that it needs.
    pub cap_type: String,
    /// Who may ask for it.
    pub origin_scope: Scope,
    /// What it does, for people.
    pub description: Option<String>,
}

/// Who may ask for an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Reducers only.
    Reducer,
    /// Plans only.
    Plan,
    /// Both.
    Both,
}

const SCOPES: [(&str, Scope); 3] = [("reducer", Scope::Reducer), ("plan", Scope::Plan), ("both", Scope::Both)];

impl Scope {
    /// Returns the word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reducer => "reducer",
            Self::Plan => "plan",
            Self::Both => "both",
        }
    }
}

impl Effect {
    pub(super) fn read(object: &mut Object<'_>) -> Option<Self> {
        let name = object.required("name").and_then(|at| at.name());
        let kind = object.required("kind").and_then(|at| at.dotted());
        let params = object.required("params_schema").and_then(|at| at.name());
        let receipt = object.required("receipt_schema").and_then(|at| at.name());
        let cap_type = object.required("cap_type").and_then(|at| at.dotted());
        let scope = object.required("origin_scope").and_then(|at| at.word(&SCOPES));
        let description = object.optional("description").map(|at| At::words(&at));
        Some(Self {
            name: name?,
            kind: kind?,
            params_schema: params?,
            receipt_schema: receipt?,
            cap_type: cap_type?,
            origin_scope: scope?,
            description: super::given(description)?,
        })
    }

    pub(super) fn to_json(&self) -> Json {
        Members::of_kind(Kind::Effect.keyword())
            .with("name", &self.name)
            .with("kind", self.kind.as_str())
            .with("params_schema", &self.params_schema)
            .with("receipt_schema", &self.receipt_schema)
            .with("cap_type", self.cap_type.as_str())
            .with("origin_scope", self.origin_scope.word())
            .maybe("description", self.description.as_deref())
            .into()
    }
}
