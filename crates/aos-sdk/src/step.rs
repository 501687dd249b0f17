//! What one step sees besides state and event, and what it asks for.
//!
//! Never here: whether the kernel grants it; events are routed and effects are decided outside. In native tests make a
//! [`Step`] with `Step::default()`, run the reducer, and look at [`Step::reply`].

use alloc::string::String;
use alloc::vec::Vec;

use aos_air::abi::{DomainEvent, Effect, Reply};
use aos_air::cbor::{from_slice, to_vec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Failed;

/// The call around one step: the cell's key and context on the way in, events and effects on the way out.
#[derive(Debug, Default)]
pub struct Step<'a> {
    key: Option<&'a [u8]>,
    context: Option<&'a [u8]>,
    reply: Reply,
}

impl<'a> Step<'a> {
    /// Makes a step with the cell's key and the context, both in canonical CBOR.
    pub fn new(key: Option<&'a [u8]>, context: Option<&'a [u8]>) -> Self {
        Self { key, context, reply: Reply::default() }
    }

    /// Reads the key of the cell; none for a reducer without a key schema.
    ///
    /// # Errors
    /// [`Failed`] where the key is not a `K`.
    pub fn key<K: DeserializeOwned>(&self) -> Result<Option<K>, Failed> {
        self.key.map(|bytes| from_slice(bytes).map_err(|_| Failed("the key is of another type"))).transpose()
    }

    /// Reads the context; none unless the module's definition asks for `sys/ReducerContext@1`.
    ///
    /// # Errors
    /// [`Failed`] where the context is not of that schema.
    pub fn context(&self) -> Result<Option<Context>, Failed> {
        self.context.map(|bytes| from_slice(bytes).map_err(|_| Failed("the context is of another type"))).transpose()
    }

    /// Raises a domain event of the named schema; it is routed within the same transaction, after this step.
    ///
    /// # Errors
    /// [`Failed`] where `value` has no canonical form (a float, a map with equal keys).
    pub fn raise<T: Serialize + ?Sized>(&mut self, schema: &str, value: &T) -> Result<(), Failed> {
        let value = encode(value)?;
        self.reply.domain_events.push(DomainEvent { schema: schema.into(), value, key: None });
        Ok(())
    }

    /// Raises a domain event for the cell with `key`, where the route does not take the key from the value.
    ///
    /// # Errors
    /// [`Failed`] where `value` or `key` has no canonical form.
    pub fn raise_at<T, K>(&mut self, schema: &str, value: &T, key: &K) -> Result<(), Failed>
    where
        T: Serialize + ?Sized,
        K: Serialize + ?Sized,
    {
        let (value, key) = (encode(value)?, Some(encode(key)?));
        self.reply.domain_events.push(DomainEvent { schema: schema.into(), value, key });
        Ok(())
    }

    /// Asks for a micro-effect, such as `timer.set`, and returns it so that a slot or an idempotency key can be added.
    ///
    /// # Errors
    /// [`Failed`] where `params` have no canonical form.
    pub fn effect<T: Serialize + ?Sized>(&mut self, kind: &str, params: &T) -> Result<&mut Effect, Failed> {
        let params = encode(params)?;
        let effect = Effect { kind: kind.into(), params, cap_slot: None, idempotency_key: None };
        self.reply.effects.push(effect);
        self.reply.effects.last_mut().ok_or(Failed("an effect was not kept"))
    }

    /// Sets the annotation of the module's annotations schema; a second one replaces the first.
    ///
    /// # Errors
    /// [`Failed`] where `value` has no canonical form.
    pub fn annotate<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        self.reply.annotation = Some(encode(value)?);
        Ok(())
    }

    /// Returns what was asked for so far; its state is empty until the step has returned.
    pub fn reply(&self) -> &Reply {
        &self.reply
    }

    /// Decodes the domain events of the named schema that were raised so far, in order, for native tests.
    pub fn raised<T: DeserializeOwned>(&self, schema: &str) -> impl Iterator<Item = Result<T, Failed>> {
        let events = self.reply.domain_events.iter().filter(move |event| event.schema == schema);
        events.map(|event| from_slice(&event.value).map_err(|_| Failed("the event is of another type")))
    }

    /// Ends the step with the cell's next state.
    pub(crate) fn into_reply(mut self, state: Option<Vec<u8>>) -> Reply {
        self.reply.state = state;
        self.reply
    }
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Failed> {
    to_vec(value).map_err(|_| Failed("a value has no canonical form"))
}

/// What a module is told about the transaction, if it asks: `sys/ReducerContext@1`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Context {
    /// The host's clock when it stamped the input, in nanoseconds since the epoch.
    pub now_ns: u64,
    /// The world's clock, which never goes back, in nanoseconds since the epoch.
    pub logical_now_ns: u64,
    /// The height of the frame that this call belongs to.
    pub journal_height: u64,
    /// 32 bytes that differ for every call and that nobody could know before it.
    #[serde(with = "serde_bytes")]
    pub entropy: Vec<u8>,
    /// The hash of the event, bound to its schema.
    #[serde(with = "serde_bytes")]
    pub event_hash: Vec<u8>,
    /// The hash of the manifest in force.
    #[serde(with = "serde_bytes")]
    pub manifest_hash: Vec<u8>,
    /// The name of this reducer's module.
    pub reducer: String,
    /// The cell's key in canonical CBOR, for a keyed reducer.
    #[serde(default)]
    pub key: Option<serde_bytes::ByteBuf>,
    /// Whether the reducer is keyed.
    pub cell_mode: bool,
}
