//! How a value comes to a reducer: as its own event or an arm of it, to the cell of a key.
//!
//! Never here: which events go to which reducers, which the program has compiled (`program.rs`).

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use aos_air::cbor::write;
use aos_air::limits::Limits;
use aos_air::schema::Shape;

use super::Reducer;
use crate::error::KeyProblem;

/// Where an event of some schema goes.
pub struct Route {
    /// The reducer, by its position in the program.
    pub reducer: usize,
    /// What stands in front of the value to make it an arm of the reducer's event: all of it, for an arm of the unit.
    pub(super) wrap: Wrap,
    /// The path in the value that gives the key.
    pub(super) key_field: Option<String>,
}

/// What stands in front of a payload to make it an event of a reducer.
#[derive(PartialEq, Eq)]
pub(super) enum Wrap {
    /// The event is the reducer's own.
    None,
    /// The head of a one-entry map and the tag.
    Arm(Vec<u8>),
    /// The tag alone: the arm's payload is the unit.
    Tag(Vec<u8>),
}

/// How the answer to a micro-effect comes back to its reducer.
pub struct Answer {
    /// The type of the payload on success.
    pub payload: Arc<Shape>,
    /// Whether that is the receipt's payload as it is.
    pub is_receipt: bool,
    /// The arm that takes it.
    pub(super) ok: Wrap,
    /// The arm that takes `sys/EffectFailed@1`.
    pub(super) failed: Wrap,
}

impl Wrap {
    /// Makes what wraps a payload into an arm; of the unit, the tag is all.
    pub(super) fn of_arm(tag: &str, unit: bool) -> Self {
        let mut head = Vec::new();
        if unit {
            write::text(&mut head, tag);
            return Self::Tag(head);
        }
        write::map(&mut head, 1);
        write::text(&mut head, tag);
        Self::Arm(head)
    }

    fn put(&self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::None => out.extend_from_slice(value),
            Self::Arm(head) => {
                out.extend_from_slice(head);
                out.extend_from_slice(value);
            }
            Self::Tag(tag) => out.extend_from_slice(tag),
        }
    }
}

impl Answer {
    /// Makes the reducer's event of a payload: of the answer's, or of a value of `sys/EffectFailed@1`.
    pub fn wrap(&self, payload: &[u8], is_ok: bool) -> Vec<u8> {
        let mut event = Vec::with_capacity(payload.len() + 32);
        if is_ok { &self.ok } else { &self.failed }.put(payload, &mut event);
        event
    }

    /// Tells whether what a route delivers would be in one of the arms in which the answer comes back.
    pub(crate) fn has_arm_of(&self, route: &Route, value: &[u8]) -> bool {
        [&self.ok, &self.failed].into_iter().any(|arm| match (&route.wrap, arm) {
            // The event is canonical, so an arm is known by its head.
            (Wrap::None, Wrap::Arm(head)) => value.starts_with(head),
            (Wrap::None, Wrap::Tag(tag)) => value == tag.as_slice(),
            (wrap, arm) => wrap == arm,
        })
    }
}

impl Route {
    /// Puts the event into `out` as the reducer takes it: its own event, or the arm that holds it.
    pub fn wrap(&self, value: &[u8], out: &mut Vec<u8>) {
        self.wrap.put(value, out);
    }

    /// Finds the key of the cell that an event goes to: from the value by the route's `key_field`, or the event's own.
    ///
    /// None for a reducer without keys, whatever key the event has: that is meant for others.
    ///
    /// # Errors
    /// [`KeyProblem`] where the reducer has keys and the event gives none, two different ones, or one that does not fit.
    pub fn key<'a>(
        &self,
        reducer: &Reducer,
        shape: &Shape,
        value: &'a [u8],
        given: Option<&'a [u8]>,
        limits: &Limits,
    ) -> Result<Option<&'a [u8]>, KeyProblem> {
        let Some(key_shape) = &reducer.key else { return Ok(None) };
        let held = match &self.key_field {
            Some(path) => Some(shape.select(value, path).ok_or(KeyProblem::Missing)?.1),
            None => None,
        };
        let key = match (held, given) {
            (Some(held), Some(given)) if held != given => return Err(KeyProblem::Conflict),
            (Some(key), _) | (None, Some(key)) => key,
            (None, None) => return Err(KeyProblem::Missing),
        };
        if key.len() as u64 > limits.key_bytes_max {
            return Err(KeyProblem::Bytes);
        }
        key_shape.check(key).map_err(|_| KeyProblem::Type)?;
        Ok(Some(key))
    }
}

/// Checks the key that an event itself carries: canonical CBOR of an allowed length, whoever it is for.
///
/// # Errors
/// [`KeyProblem::Bytes`] or [`KeyProblem::Type`].
pub(crate) fn check_given_key(given: Option<&[u8]>, limits: &Limits) -> Result<(), KeyProblem> {
    let Some(key) = given else { return Ok(()) };
    if key.len() as u64 > limits.key_bytes_max {
        return Err(KeyProblem::Bytes);
    }
    aos_air::cbor::check(key).map_err(|_| KeyProblem::Type)
}
