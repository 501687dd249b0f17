//! `defmodule`: a WASM module, what it is for, and the schemas of what goes in and out.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::Kind;
use crate::hash::Digest;
use crate::name::Name;
use crate::text::{At, Json, Members, Object};

/// A WASM module with its interface.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// Its name.
    pub name: Name,
    /// The hash of the author's WASM; an author may leave it out, a checked module has it.
    pub wasm_hash: Option<Digest>,
    /// The schema of the key, where each key has a cell of its own.
    pub key_schema: Option<Name>,
    /// What it is for, and its schemas.
    pub abi: Abi,
}

/// What a module is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Abi {
    /// Turns state and event into state.
    Reducer(Reducer),
    /// Turns input into output.
    Pure {
        /// The schema of what goes in.
        input: Name,
        /// The schema of what comes out.
        output: Name,
        /// The schema of the context, where the module asks for it.
        context: Option<Name>,
    },
}

/// The interface of a reducer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reducer {
    /// The schema of a cell's state.
    pub state: Name,
    /// The schema of the events that it takes.
    pub event: Name,
    /// The schema of the context, where the module asks for it.
    pub context: Option<Name>,
    /// The schema of its annotations.
    pub annotations: Option<Name>,
    /// The kinds of the micro-effects that it may ask for, each once, sorted.
    pub effects_emitted: Vec<String>,
    /// The capability types of its slots.
    pub cap_slots: BTreeMap<String, String>,
}

#[derive(Clone, Copy)]
enum For {
    Reducer,
    Pure,
}

impl Module {
    pub(super) fn read(object: &mut Object<'_>) -> Option<Self> {
        let name = object.required("name").and_then(|at| at.name());
        let kind =
            object.required("module_kind").and_then(|at| at.word(&[("reducer", For::Reducer), ("pure", For::Pure)]));
        let wasm_hash = object.optional("wasm_hash").map(|at| at.digest());
        let key_schema = object.optional("key_schema").map(|at| at.name());
        let abi = object.required("abi").and_then(|at| read_abi(kind, &at));
        Some(Self {
            name: name?,
            wasm_hash: super::given(wasm_hash)?,
            key_schema: super::given(key_schema)?,
            abi: abi?,
        })
    }

    pub(super) fn to_json(&self) -> Json {
        let (kind, abi) = match &self.abi {
            Abi::Reducer(reducer) => ("reducer", reducer.to_json()),
            Abi::Pure { input, output, context } => {
                let members =
                    Members::default().with("input", input).with("output", output).maybe("context", context.as_ref());
                ("pure", members.into())
            }
        };
        Members::of_kind(Kind::Module.keyword())
            .with("name", &self.name)
            .with("module_kind", kind)
            .maybe("wasm_hash", self.wasm_hash)
            .maybe("key_schema", self.key_schema.as_ref())
            .with("abi", Json::one(kind, abi))
            .into()
    }

    /// Returns the interface if this is a reducer.
    pub const fn reducer(&self) -> Option<&Reducer> {
        match &self.abi {
            Abi::Reducer(reducer) => Some(reducer),
            Abi::Pure { .. } => None,
        }
    }
}

/// Reads `{"reducer": {…}}` or `{"pure": {…}}`, whichever the module's kind asks for.
fn read_abi(kind: Option<For>, at: &At<'_>) -> Option<Abi> {
    let mut outer = at.object()?;
    let read = match kind {
        Some(For::Reducer) => {
            let inner = outer.required("reducer");
            inner.and_then(|at| Reducer::read(&at)).map(Abi::Reducer)
        }
        Some(For::Pure) => {
            let inner = outer.required("pure");
            inner.and_then(|at| read_pure(&at))
        }
        // Which one it should be is not known; that was reported where the kind stands.
        None => return None,
    };
    outer.finish();
    read
}

fn read_pure(at: &At<'_>) -> Option<Abi> {
    let mut object = at.object()?;
    let input = object.required("input").and_then(|at| at.name());
    let output = object.required("output").and_then(|at| at.name());
    let context = object.optional("context").map(|at| at.name());
    object.finish();
    Some(Abi::Pure { input: input?, output: output?, context: super::given(context)? })
}

impl Reducer {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut object = at.object()?;
        let state = object.required("state").and_then(|at| at.name());
        let event = object.required("event").and_then(|at| at.name());
        let context = object.optional("context").map(|at| at.name());
        let annotations = object.optional("annotations").map(|at| at.name());
        let effects = object.optional("effects_emitted").map(|at| super::words_once(&at, At::dotted));
        let slots =
            object.optional("cap_slots").map(|at| at.entries(|slot, at| Some((at.as_identifier(slot)?, at.dotted()?))));
        object.finish();
        Some(Self {
            state: state?,
            event: event?,
            context: super::given(context)?,
            annotations: super::given(annotations)?,
            effects_emitted: super::given(effects)?.unwrap_or_default(),
            cap_slots: super::given(slots)?.unwrap_or_default().into_iter().collect(),
        })
    }

    fn to_json(&self) -> Json {
        Members::default()
            .with("state", &self.state)
            .with("event", &self.event)
            .maybe("context", self.context.as_ref())
            .maybe("annotations", self.annotations.as_ref())
            .list("effects_emitted", self.effects_emitted.iter().map(|kind| kind.as_str().into()))
            .object("cap_slots", self.cap_slots.iter().map(|(slot, kind)| (slot.clone(), kind.as_str().into())))
            .into()
    }
}
