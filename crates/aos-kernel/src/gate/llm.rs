//! The constraints of `llm.basic`: which model may be asked, how much it may say, with which tools.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use aos_air::schema::Value;

use super::read;
use super::{Denied, WorstCase, quote};

/// The params of a grant of `llm.basic`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraints {
    /// The providers that may be asked; none for all.
    pub providers: Option<Vec<String>>,
    /// The models that may be asked; none for all.
    pub models: Option<Vec<String>>,
    /// The greatest `max_tokens`; none for any.
    pub max_tokens: Option<u64>,
    /// The tools that may be offered; none for none.
    pub tools_allow: Option<Vec<String>>,
    /// Most tokens of a prompt.
    pub prompt_tokens_max: Option<u64>,
    /// Most hundredths that one call may cost.
    pub cents_max: Option<u64>,
}

impl Constraints {
    /// Reads a grant's params; none for a value of another schema.
    pub fn of(grant: &Value) -> Option<Self> {
        let Value::Record(_) = grant else { return None };
        Some(Self {
            providers: read::texts(grant, "providers"),
            models: read::texts(grant, "models"),
            max_tokens: read::nat(grant, "max_tokens"),
            tools_allow: read::texts(grant, "tools_allow"),
            prompt_tokens_max: read::nat(grant, "prompt_tokens_max"),
            cents_max: read::nat(grant, "cents_max"),
        })
    }
}

/// Judges an `llm.generate`; without constraints its worst case has no bound.
///
/// # Errors
/// `llm.provider`, `llm.model`, `llm.max_tokens`, `llm.tools`, in this order.
pub(super) fn constrain(constraints: Option<&Constraints>, params: &Value) -> Result<WorstCase, Denied> {
    let (provider, model) = (read::text(params, "provider"), read::text(params, "model"));
    let (Some(provider), Some(model), Some(max_tokens)) = (provider, model, read::nat(params, "max_tokens")) else {
        return Err(Denied::params("`llm.generate` takes a provider, a model and `max_tokens`"));
    };
    let bytes = None;
    let Some(constraints) = constraints else { return Ok(WorstCase { tokens: None, cents: None, bytes }) };
    let is_in =
        |list: &Option<Vec<String>>, word: &str| list.as_ref().is_none_or(|list| list.iter().any(|it| it == word));
    if !is_in(&constraints.providers, provider) {
        return Err(Denied::new("llm.provider", format!("the grant does not name the provider {}", quote(provider))));
    }
    if !is_in(&constraints.models, model) {
        return Err(Denied::new("llm.model", format!("the grant does not name the model {}", quote(model))));
    }
    if let Some(most) = constraints.max_tokens.filter(|most| max_tokens > *most) {
        let message = format!("{max_tokens} tokens are asked for, and the grant allows {most}");
        return Err(Denied::new("llm.max_tokens", message));
    }
    let allowed = constraints.tools_allow.as_deref().unwrap_or_default();
    if let Some(tool) = read::texts(params, "tools").unwrap_or_default().iter().find(|tool| !allowed.contains(tool)) {
        return Err(Denied::new("llm.tools", format!("the grant does not name the tool {}", quote(tool))));
    }
    let tokens = constraints.prompt_tokens_max.map(|prompt| prompt.saturating_add(max_tokens));
    Ok(WorstCase { tokens, cents: constraints.cents_max, bytes })
}
