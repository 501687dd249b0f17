//! The gate: whether an effect that was asked for may leave, and what it may cost at most. Decides, never performs.
//!
//! Lives here: the constraints of capabilities, budgets, the rules for secrets. Never here: policy (Cedar stands beside
//! the gate), a socket, a clock, the value of a secret. Start at [`constrain`]; `spec/gate.md` has every rule.

pub mod address;
mod blob;
pub mod budget;
pub mod custom;
mod header;
pub mod http;
pub mod llm;
mod read;
pub mod secret;
mod spend;

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use aos_air::built_in;
use aos_air::def;
use aos_air::schema::Value;

pub use budget::{Budget, Settled};
pub use spend::{Spend, WorstCase};

/// Most bytes of the sentence that explains a denial; longer ones are cut at a character.
pub const MESSAGE_BYTES_MAX: usize = 256;

/// Most bytes of a part of the params that a sentence repeats.
const QUOTE_BYTES_MAX: usize = 80;

/// Why an effect may not leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// Stable dotted code, which a plan can branch on.
    pub code: Cow<'static, str>,
    /// One sentence for a person, the same wherever the world runs; never holds a secret's value.
    pub message: String,
}

impl Denied {
    /// Makes a denial; the sentence is cut at [`MESSAGE_BYTES_MAX`].
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        Self { code: code.into(), message }
    }

    /// The params are not what an effect of their kind takes.
    fn params(message: impl Into<String>) -> Self {
        Self::new("effect.params", message)
    }
}

/// Who enforces the constraints of a capability's grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcer {
    /// Nobody: every effect of the type is within its grants.
    AllowAll,
    /// The kernel, by the rules of `http.out`.
    HttpOut,
    /// The kernel, by the rules of `llm.basic`.
    LlmBasic,
    /// A pure module of the world's own; see [`custom`].
    Custom,
}

impl Enforcer {
    /// Returns the enforcer of a capability.
    pub fn of(cap: &def::Cap) -> Self {
        match cap.enforcer.as_ref().map(|name| name.as_str()) {
            None | Some(built_in::ALLOW_ALL) => Self::AllowAll,
            Some(built_in::HTTP_ENFORCER) => Self::HttpOut,
            Some(built_in::LLM_ENFORCER) => Self::LlmBasic,
            Some(_) => Self::Custom,
        }
    }
}

/// Judges the params of an effect by what every effect of its kind must keep to, then by the grant's constraints.
///
/// Both values fit their schemas. For [`Enforcer::Custom`] only the first half is done here: the caller then asks the
/// module, and takes what [`custom::verdict`] makes of its answer.
///
/// # Errors
/// [`Denied`] with the code of the first rule that is broken, in the order of `spec/gate.md`.
pub fn constrain(enforcer: Enforcer, kind: &str, grant: &Value, params: &Value) -> Result<WorstCase, Denied> {
    let alien = |what: &str| Denied::new("cap.enforcer", format!("{what} does not judge effects of the kind `{kind}`"));
    let unreadable = || Denied::new("cap.enforcer", "the grant's params are not those of its enforcer");
    match (enforcer, kind) {
        (Enforcer::HttpOut, "http.request") => {
            let constraints = http::Constraints::of(grant).ok_or_else(unreadable)?;
            http::constrain(Some(&constraints), params)
        }
        (Enforcer::LlmBasic, "llm.generate") => {
            let constraints = llm::Constraints::of(grant).ok_or_else(unreadable)?;
            llm::constrain(Some(&constraints), params)
        }
        (Enforcer::HttpOut, _) => Err(alien(built_in::HTTP_ENFORCER)),
        (Enforcer::LlmBasic, _) => Err(alien(built_in::LLM_ENFORCER)),
        (Enforcer::AllowAll | Enforcer::Custom, _) => unconstrained(kind, params),
    }
}

/// Judges an effect by its kind alone.
fn unconstrained(kind: &str, params: &Value) -> Result<WorstCase, Denied> {
    match kind {
        "http.request" => http::constrain(None, params),
        "llm.generate" => llm::constrain(None, params),
        "blob.put" => blob::put(params),
        "blob.get" => blob::get(params),
        _ if is_free(kind) => Ok(WorstCase::FREE),
        // Nobody here knows what an adapter that a world brings itself may cost.
        _ => Ok(WorstCase::UNKNOWN),
    }
}

/// Tells whether a kind is one of ours that spends neither tokens nor cents nor bytes.
fn is_free(kind: &str) -> bool {
    let adapter = kind.split('.').next().unwrap_or_default();
    built_in::is_effect(kind) && matches!(adapter, "timer" | "vault" | "introspect" | "governance")
}

/// Denies what a grant allows no more: from its expiry on, by the logical clock.
///
/// # Errors
/// `cap.expired`.
pub fn check_expiry(grant: &def::Grant, logical_now_ns: u64) -> Result<(), Denied> {
    match grant.expiry_ns {
        Some(end) if logical_now_ns >= end => {
            Err(Denied::new("cap.expired", format!("the grant `{}` ended at {end} ns", grant.name)))
        }
        _ => Ok(()),
    }
}

/// Repeats a part of the params in a sentence, short and without characters that a terminal acts on.
///
/// Everything but printable ASCII is escaped, so that no table of Unicode, which grows, decides what a frame holds.
fn quote(text: &str) -> String {
    let mut quoted = format!("`{}`", text.escape_default());
    if quoted.len() > QUOTE_BYTES_MAX {
        quoted.truncate(quoted.floor_char_boundary(QUOTE_BYTES_MAX));
        quoted.push_str("…`");
    }
    quoted
}
