//! `defpolicy`: who may have which effect, as an ordered pack of rules or as Cedar's text.

use alloc::string::String;
use alloc::vec::Vec;

use super::Kind;
use crate::name::Name;
use crate::text::{At, Json, Members, Object, Rule as Broken};

/// A policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: Name,
    /// What it says.
    pub body: Body,
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Rules in order: the first that matches decides; if none does, the answer is deny.
    Rules(Vec<Rule>),
    /// The text of Cedar policies.
    Cedar(String),
}

/// One rule of a pack.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What it matches.
    pub when: When,
    /// What it decides.
    pub decision: Decision,
}

/// What a rule matches: every field that is given must be equal; none given matches all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct When {
    /// The effect's kind.
    pub effect_kind: Option<String>,
    /// The grant's name.
    pub cap_name: Option<String>,
    /// The capability's type.
    pub cap_type: Option<String>,
    /// Whether a plan or a reducer asks.
    pub origin_kind: Option<Origin>,
    /// The name of the plan or of the reducer's module.
    pub origin_name: Option<Name>,
}

/// Who asks for an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A plan.
    Plan,
    /// A reducer.
    Reducer,
}

/// What a rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The effect may go ahead.
    Allow,
    /// It may not.
    Deny,
    /// It waits until somebody approves it.
    RequireApproval,
}

const ORIGINS: [(&str, Origin); 2] = [("plan", Origin::Plan), ("reducer", Origin::Reducer)];
const DECISIONS: [(&str, Decision); 3] =
    [("allow", Decision::Allow), ("deny", Decision::Deny), ("require_approval", Decision::RequireApproval)];

impl Origin {
    /// Returns the word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Reducer => "reducer",
        }
    }
}

impl Decision {
    /// Returns the word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::RequireApproval => "require_approval",
        }
    }
}

impl Policy {
    pub(super) fn read(object: &mut Object<'_>) -> Option<Self> {
        let name = object.required("name").and_then(|at| at.name());
        let body = match (object.optional("rules"), object.optional("cedar")) {
            (Some(rules), None) => rules.list(Rule::read).map(Body::Rules),
            (None, Some(cedar)) => cedar.words().map(Body::Cedar),
            (Some(_), Some(cedar)) => {
                cedar.refuse(Broken::FieldUnknown, "a policy has either `rules` or `cedar`, not both".into())
            }
            (None, None) => object.at.refuse(Broken::FieldMissing, "`rules` or `cedar` is missing".into()),
        };
        Some(Self { name: name?, body: body? })
    }

    pub(super) fn to_json(&self) -> Json {
        let members = Members::of_kind(Kind::Policy.keyword()).with("name", &self.name);
        match &self.body {
            // An empty pack denies all; it stays, because the field is what makes it a pack.
            Body::Rules(rules) => members.with("rules", Json::list(rules.iter().map(Rule::to_json))).into(),
            Body::Cedar(text) => members.with("cedar", text.as_str()).into(),
        }
    }
}

impl Rule {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let when = object.required("when").and_then(|at| When::read(&at));
        let decision = object.required("decision").and_then(|at| at.word(&DECISIONS));
        object.finish();
        Some(Self { when: when?, decision: decision? })
    }

    fn to_json(&self) -> Json {
        Members::default().with("when", self.when.to_json()).with("decision", self.decision.word()).into()
    }
}

impl When {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let effect_kind = object.optional("effect_kind").map(|at| at.dotted());
        let cap_name = object.optional("cap_name").map(|at| at.identifier());
        let cap_type = object.optional("cap_type").map(|at| at.dotted());
        let origin_kind = object.optional("origin_kind").map(|at| at.word(&ORIGINS));
        let origin_name = object.optional("origin_name").map(|at| at.name());
        object.finish();
        Some(Self {
            effect_kind: super::given(effect_kind)?,
            cap_name: super::given(cap_name)?,
            cap_type: super::given(cap_type)?,
            origin_kind: super::given(origin_kind)?,
            origin_name: super::given(origin_name)?,
        })
    }

    fn to_json(&self) -> Json {
        Members::default()
            .maybe("effect_kind", self.effect_kind.as_deref())
            .maybe("cap_name", self.cap_name.as_deref())
            .maybe("cap_type", self.cap_type.as_deref())
            .maybe("origin_kind", self.origin_kind.map(Origin::word))
            .maybe("origin_name", self.origin_name.as_ref())
            .into()
    }
}
