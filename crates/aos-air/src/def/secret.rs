//! `defsecret`: a secret that the vault holds under a binding, and who may have it used.

use alloc::string::String;
use alloc::vec::Vec;

use super::Kind;
use crate::hash::Digest;
use crate::name::Name;
use crate::text::{At, Json, Members, Object};

/// A secret. Its value is never here.
#[derive(Debug, Clone, PartialEq)]
pub struct Secret {
    /// Its name, which is the alias under which effects refer to it.
    pub name: Name,
    /// Which of the vault's bindings it is.
    pub binding_id: String,
    /// The keyed digest that the binding must have.
    pub expected_digest: Option<Digest>,
    /// The grants whose effects may use it; none given allows every grant.
    pub allowed_caps: Option<Vec<String>>,
    /// The plans whose effects may use it; none given allows every plan.
    pub allowed_plans: Option<Vec<Name>>,
}

impl Secret {
    pub(super) fn read(object: &mut Object<'_>) -> Option<Self> {
        let name = object.required("name").and_then(|at| at.name());
        let binding_id = object.required("binding_id").and_then(|at| at.words());
        let expected_digest = object.optional("expected_digest").map(|at| at.digest());
        let allowed_caps = object.optional("allowed_caps").map(|at| super::words_once(&at, At::identifier));
        let allowed_plans = object.optional("allowed_plans").map(|at| super::words_once(&at, At::name));
        Some(Self {
            name: name?,
            binding_id: binding_id?,
            expected_digest: super::given(expected_digest)?,
            allowed_caps: super::given(allowed_caps)?,
            allowed_plans: super::given(allowed_plans)?,
        })
    }

    pub(super) fn to_json(&self) -> Json {
        let caps = self.allowed_caps.as_ref().map(|caps| Json::list(caps.iter().map(|cap| cap.as_str().into())));
        let plans = self.allowed_plans.as_ref().map(|plans| Json::list(plans.iter().map(Json::from)));
        Members::of_kind(Kind::Secret.keyword())
            .with("name", &self.name)
            .with("binding_id", self.binding_id.as_str())
            .maybe("expected_digest", self.expected_digest)
            .maybe("allowed_caps", caps)
            .maybe("allowed_plans", plans)
            .into()
    }
}
