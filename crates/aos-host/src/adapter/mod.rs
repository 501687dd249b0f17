//! The border between a world and the outside: an [`Effect`] goes in, an [`Answer`] or a [`Failed`] comes out.
//!
//! Lives here: the trait [`Adapter`] with what it takes and gives; an adapter per file. Never here: whether an effect may
//! happen (the kernel's gate has said so), when it is tried again, and who signs; see `dispatch/`.
//! Read next: [`Adapter`], whose example is a whole adapter, then `call.rs`.

pub mod blob;
mod call;
pub mod http;
pub mod llm;
pub mod timer;
pub mod vault;

use std::borrow::Cow;

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_kernel::id::WorldId;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use aos_kernel::id::IntentId;
pub use aos_kernel::intent::Class;
pub use aos_kernel::receipt::Status;
pub(crate) use call::no_secret;
pub use call::{Call, Cancellation, STORED_BYTES_MAX, Secrets};

/// How many tries of one adapter run at the same time if it says nothing else.
pub const CONCURRENCY: usize = 4;

/// Performs the effects of one family: `http` those whose kind begins with `http.`.
///
/// ```
/// use std::io::Write;
///
/// use aos_host::adapter::{Adapter, Answer, Call, Effect, Failed};
///
/// /// Appends messages to a file: the effect `memo.write`, with `{text}` as params and `{bytes}` as receipt.
/// struct Memo(std::path::PathBuf);
///
/// #[derive(serde::Deserialize)]
/// struct Params {
///     text: String,
/// }
///
/// #[derive(serde::Serialize)]
/// struct Receipt {
///     bytes: u64,
/// }
///
/// impl Adapter for Memo {
///     fn name(&self) -> &str {
///         "memo"
///     }
///
///     fn perform(&self, effect: &Effect, _: &mut Call<'_>) -> Result<Answer, Failed> {
///         let Params { text } = effect.params()?;
///         let failed = |error: std::io::Error| Failed::new("memo.io", error.to_string());
///         let mut file = std::fs::File::options().create(true).append(true).open(&self.0).map_err(failed)?;
///         // From here on something may have been written: without `sent` a failure would claim that nothing was.
///         file.write_all(text.as_bytes()).map_err(|error| failed(error).sent())?;
///         Answer::of(&Receipt { bytes: text.len() as u64 })
///     }
/// }
/// # let folder = tempfile::tempdir().unwrap();
/// # let memo = Memo(folder.path().join("memo"));
/// # let params = aos_air::cbor::to_vec(&std::collections::BTreeMap::from([("text", "hello")])).unwrap();
/// # let answer = Call::alone(|call| memo.perform(&Effect::of("memo.write", params), call)).unwrap();
/// # assert_eq!(answer.payload, aos_air::cbor::to_vec(&Receipt { bytes: 5 }).unwrap());
/// ```
pub trait Adapter: Send + Sync {
    /// Returns the first segment of the kinds that it performs; its keys are trusted under this name.
    fn name(&self) -> &str;

    /// Performs one try of `effect`, in its own time: it runs on a thread of the dispatcher and may block until
    /// [`Call::time_left`] is over or [`Call::is_cancelled`].
    ///
    /// # Errors
    /// [`Failed`], which says whether something may have happened outside, and whether a further try can help. A panic
    /// ends the effect as `adapter.panic`, taken as if something had happened.
    fn perform(&self, effect: &Effect, call: &mut Call<'_>) -> Result<Answer, Failed>;

    /// Returns how many tries may run at the same time; at least 1 is taken.
    fn concurrency(&self) -> usize {
        CONCURRENCY
    }
}

/// An effect that the gate has let out, as an adapter sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The world that asks.
    pub world: WorldId,
    /// The intent that a receipt answers.
    pub intent: IntentId,
    /// The effect's kind, such as `http.request`.
    pub kind: String,
    /// The params: canonical, and fitting the effect's params schema.
    pub params: Vec<u8>,
    /// The name of the grant that it runs under.
    pub grant: String,
    /// The grant's constraints: canonical, and fitting the capability's schema.
    pub grant_params: Vec<u8>,
    /// How it may be repeated.
    pub class: Class,
    /// The outward idempotency key: 64 hexadecimal digits, the same for each try.
    pub key: String,
}

impl Effect {
    /// Makes an effect of no world, for an adapter's own tests: a safe one, under a grant without constraints.
    pub fn of(kind: &str, params: Vec<u8>) -> Self {
        let intent = Digest::of(&params);
        Self {
            world: WorldId(Digest::of(b"")),
            intent: IntentId(intent),
            kind: kind.to_owned(),
            params,
            grant: "grant".to_owned(),
            grant_params: vec![0xa0],
            class: Class::Safe,
            key: intent.to_hex(),
        }
    }

    /// Returns the adapter's name: the kind's first segment.
    pub fn adapter(&self) -> &str {
        self.kind.split('.').next().unwrap_or_default()
    }

    /// Returns what an adapter says of a kind that it does not perform.
    pub fn unknown_kind(&self) -> Failed {
        Failed::new("adapter.kind", format!("adapter `{}` does not perform `{}`", self.adapter(), self.kind))
    }

    /// Decodes the params into a plain serde type.
    ///
    /// # Errors
    /// `adapter.params` where they do not fit `T`, which then differs from the effect's schema.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, Failed> {
        decode(&self.params, "params")
    }

    /// Decodes the grant's constraints into a plain serde type.
    ///
    /// # Errors
    /// `adapter.params` where they do not fit `T`, which then differs from the capability's schema.
    pub fn constraints<T: DeserializeOwned>(&self) -> Result<T, Failed> {
        decode(&self.grant_params, "constraints")
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Failed> {
    cbor::from_slice(bytes)
        .map_err(|error| Failed::new("adapter.params", format!("the adapter cannot read the {what}: {error}")))
}

/// What an effect used up. The call itself is counted by whoever signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Tokens of a language model.
    pub tokens: u64,
    /// Cents, rounded up.
    pub cents: u64,
    /// Bytes in both directions.
    pub bytes: u64,
}

impl Cost {
    /// Adds what another try used up.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            cents: self.cents.saturating_add(other.cents),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What came back from an effect that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// A canonical value of the effect's receipt schema.
    pub payload: Vec<u8>,
    /// What it used up.
    pub cost: Cost,
}

impl Answer {
    /// Encodes a plain serde type as the payload. Bytes in it need `serde_bytes`.
    ///
    /// # Errors
    /// `adapter.payload` where it has no canonical form, such as a float. Something may have been done by then, so it
    /// counts as sent.
    pub fn of(payload: &(impl Serialize + ?Sized)) -> Result<Self, Failed> {
        let payload = cbor::to_vec(payload).map_err(|error| {
            Failed::new("adapter.payload", format!("the adapter's answer cannot be written: {error}")).sent()
        })?;
        Ok(Self { payload, cost: Cost::default() })
    }

    /// Says what it used up.
    #[must_use]
    pub const fn costing(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }
}

/// Why a try of an effect has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failed {
    // INVARIANT: never `Ok` and never `Denied`.
    status: Status,
    /// A stable dotted code that a plan can branch on.
    pub code: Cow<'static, str>,
    /// One lower-case sentence for a person. It never holds a secret.
    pub message: String,
    /// Whether a further try can help.
    pub retriable: bool,
    /// Whether something may have happened outside: the first byte of a request may have left.
    pub sent: bool,
    /// What the try used up all the same.
    pub cost: Cost,
}

impl Failed {
    fn ending(status: Status, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            retriable: false,
            sent: false,
            cost: Cost::default(),
        }
    }

    /// Says that it was not done.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::ending(Status::Failed, code, message)
    }

    /// Says that it was not done in time.
    pub fn timeout(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::ending(Status::Timeout, code, message)
    }

    /// Says that it was called off.
    pub fn cancelled(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::ending(Status::Cancelled, code, message)
    }

    /// Says that nobody knows whether it was done.
    pub fn in_doubt(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::ending(Status::InDoubt, code, message).sent()
    }

    /// Says that a further try can help. Only effects that may be repeated get one.
    #[must_use]
    pub const fn retriable(mut self) -> Self {
        self.retriable = true;
        self
    }

    /// Says that something may have happened outside. An effect that may not be repeated freely then ends in doubt.
    #[must_use]
    pub const fn sent(mut self) -> Self {
        self.sent = true;
        self
    }

    /// Says what the try used up.
    #[must_use]
    pub const fn costing(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }

    /// Returns how the try ended: failed, timeout, in doubt or cancelled.
    pub const fn status(&self) -> Status {
        self.status
    }
}
