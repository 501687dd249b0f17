//! Enforcers that a world brings itself: what such a module is asked, and what its answer means.
//!
//! The forms are `sys/CapCheck@1` and `sys/CapVerdict@1`. The caller runs the module, under its own fuel; whatever goes
//! wrong there denies, with [`failed`]. Never here: the call itself.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use aos_air::built_in;
use aos_air::name::Name;
use aos_air::schema::Value;

use super::read;
use super::{Denied, WorstCase};

/// Longest code that an enforcer may give, in bytes.
const CODE_BYTES_MAX: usize = 64;
/// Largest answer that is read, in bytes.
pub const VERDICT_BYTES_MAX: u64 = 4_096;

/// What an enforcer is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check<'a> {
    /// The grant's params in canonical CBOR.
    pub cap_params: &'a [u8],
    /// The effect's kind.
    pub effect_kind: &'a str,
    /// The effect's params in canonical CBOR.
    pub effect_params: &'a [u8],
    /// The grant's name.
    pub grant: &'a str,
    /// `plan` or `reducer`.
    pub origin_kind: &'a str,
    /// The plan's or reducer's name.
    pub origin_name: &'a str,
    /// The logical clock in nanoseconds.
    pub logical_now_ns: u64,
}

impl Check<'_> {
    /// Returns the module's input: a canonical value of `sys/CapCheck@1`.
    pub fn encode(&self) -> Vec<u8> {
        let text = |text: &str| Value::Text(text.into());
        let fields = [
            ("cap_params", Value::Bytes(self.cap_params.into())),
            ("effect_kind", text(self.effect_kind)),
            ("effect_params", Value::Bytes(self.effect_params.into())),
            ("grant", text(self.grant)),
            ("origin_kind", text(self.origin_kind)),
            ("origin_name", text(self.origin_name)),
            ("logical_now_ns", Value::Time(self.logical_now_ns)),
        ];
        let fields: BTreeMap<String, Value> = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Value::Record(fields).to_cbor()
    }
}

/// Reads an enforcer's answer: a `sys/CapVerdict@1` as a guest may write it.
///
/// The worst case is what the verdict bounds and what the kernel itself knows, `known`: the larger where both do.
///
/// # Errors
/// The enforcer's own code and sentence, or `cap.enforcer` where it gives none, or its answer is no verdict.
pub fn verdict(answer: &[u8], known: WorstCase) -> Result<WorstCase, Denied> {
    let verdict = decode(answer).ok_or_else(|| failed("gave no verdict"))?;
    if read::field(&verdict, "ok") == Some(&Value::Bool(true)) {
        let reserve = read::field(&verdict, "reserve");
        let bound = |dimension| reserve.and_then(|reserve| read::nat(reserve, dimension));
        let bounds = WorstCase { tokens: bound("tokens"), cents: bound("cents"), bytes: bound("bytes") };
        return Ok(bounds.join(known));
    }
    let code = read::text(&verdict, "code").filter(|code| is_code(code));
    let message = read::text(&verdict, "message").unwrap_or("the grant's enforcer does not allow it");
    let message: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let code = code.map_or(Cow::Borrowed("cap.enforcer"), |code| Cow::Owned(code.into()));
    Err(Denied::new(code, message))
}

/// Denies because an enforcer did not answer: it trapped, ran out of fuel, or answered in no form.
pub fn failed(how: &str) -> Denied {
    Denied::new("cap.enforcer", format!("the grant's enforcer {how}"))
}

fn decode(answer: &[u8]) -> Option<Value> {
    let schema = built_in::schema(&Name::parse(built_in::ENFORCER_SCHEMAS[1]).ok()?)?;
    let canonical = schema.shape.canonical(answer, VERDICT_BYTES_MAX).ok()?;
    schema.shape.decode(&canonical).ok()
}

/// Tells whether a text is a dotted code of lower-case words.
fn is_code(text: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    text.len() <= CODE_BYTES_MAX && text.contains('.') && text.split('.').all(is_word)
}
