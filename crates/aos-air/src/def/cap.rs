//! `defcap`: a kind of capability, the type of its constraints, and the module that enforces them.

use alloc::string::String;

use super::Kind;
use super::schema::{read_type, type_json};
use crate::name::Name;
use crate::schema::Type;
use crate::text::{At, Json, Members, Node, Object};

/// A kind of capability.
#[derive(Debug, Clone, PartialEq)]
pub struct Cap {
    /// Its name.
    pub name: Name,
    /// Its type, `http.out`, which effects and slots name.
    pub cap_type: String,
    /// The type of a grant's params; written as a type, or as the name of a schema, which means a reference to it.
    pub schema: Type,
    /// The pure module that enforces a grant's params; none allows all.
    pub enforcer: Option<Name>,
}

impl Cap {
    pub(super) fn read(object: &mut Object<'_>) -> Option<Self> {
        let name = object.required("name").and_then(|at| at.name());
        let cap_type = object.required("cap_type").and_then(|at| at.dotted());
        let schema = object.required("schema").and_then(|at| match at.json.node {
            Node::Text(_) => at.name().map(Type::Ref),
            _ => read_type(&at),
        });
        let enforcer = object.optional("enforcer").map(|at| read_enforcer(&at));
        Some(Self { name: name?, cap_type: cap_type?, schema: schema?, enforcer: super::given(enforcer)? })
    }

    pub(super) fn to_json(&self) -> Json {
        Members::of_kind(Kind::Cap.keyword())
            .with("name", &self.name)
            .with("cap_type", self.cap_type.as_str())
            .with("schema", type_json(&self.schema))
            .maybe("enforcer", self.enforcer.as_ref().map(|module| Json::one("module", module.into())))
            .into()
    }
}

fn read_enforcer(at: &At<'_>) -> Option<Name> {
    let mut object = at.object()?;
    let module = object.required("module").and_then(|at| at.name());
    object.finish();
    module
}
