//! Why a model gave no answer. What the network did keeps its code of `http.…`.
//!
//! Never here: retries; an error only says whether one can help, and whether anything was done.
//! Next: `mod.rs`, which reads the providers' statuses into these.

use crate::adapter::Failed;

/// Why there is no answer of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LlmError {
    #[error("no provider `{name}` is set up on this host")]
    ProviderUnknown { name: String },
    #[error("the provider has no model `{model}`, or no price for it is set up")]
    ModelUnknown { model: String },
    #[error("the provider has no such model, or is not at its base URL ({status}){said}")]
    NotThere { status: u16, said: String },
    #[error("the provider's base URL cannot be used ({code})")]
    BaseUrl { code: &'static str },
    #[error("the input cannot be used: {why}")]
    Input { why: String },
    #[error("the prompt may have {tokens} tokens, more than the {tokens_max} that the grant allows")]
    Prompt { tokens: u64, tokens_max: u64 },
    #[error("the answer may cost {cents} cents, more than the {cents_max} that the grant allows")]
    Cost { cents: u64, cents_max: u64 },
    #[error("the provider does not accept the key ({status}){said}")]
    Auth { status: u16, said: String },
    #[error("the provider's quota is used up ({status}){said}")]
    Quota { status: u16, said: String },
    #[error("the provider takes no more requests at this pace ({status}){said}")]
    Rate { status: u16, said: String },
    #[error("the provider is overloaded ({status}){said}")]
    Overloaded { status: u16, said: String },
    #[error("the provider refuses the request ({status}){said}")]
    Refused { status: u16, said: String },
    #[error("the provider failed ({status}){said}")]
    Failed { status: u16, said: String },
    #[error("the provider's answer is not in its form: {why}")]
    Malformed { why: &'static str },
}

impl LlmError {
    /// Returns the stable code of this error.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::ProviderUnknown { .. } => "llm.provider_unknown",
            Self::ModelUnknown { .. } | Self::NotThere { .. } => "llm.model_unknown",
            Self::BaseUrl { .. } => "llm.base_url",
            Self::Input { .. } => "llm.input",
            Self::Prompt { .. } => "llm.prompt",
            Self::Cost { .. } => "llm.cost",
            Self::Auth { .. } => "llm.auth",
            Self::Quota { .. } => "llm.quota",
            Self::Rate { .. } => "llm.rate",
            Self::Overloaded { .. } => "llm.overloaded",
            Self::Refused { .. } => "llm.refused",
            Self::Failed { .. } => "llm.failed",
            Self::Malformed { .. } => "llm.malformed",
        }
    }

    /// Says it to the dispatcher. A provider that says no has done nothing; one that fails may have.
    pub(super) fn into_failed(self) -> Failed {
        let mut failed = Failed::new(self.code(), self.to_string());
        failed.retriable = matches!(self, Self::Rate { .. } | Self::Overloaded { .. } | Self::Failed { .. });
        failed.sent = matches!(self, Self::Failed { .. } | Self::Malformed { .. });
        failed
    }

    /// Reads a status that is no success. `kind` is the provider's own word for the error.
    pub(super) fn of_status(status: u16, kind: &str, said: String) -> Self {
        match status {
            429 if kind == "insufficient_quota" => Self::Quota { status, said },
            401 | 403 => Self::Auth { status, said },
            402 => Self::Quota { status, said },
            404 => Self::NotThere { status, said },
            429 => Self::Rate { status, said },
            503 | 529 => Self::Overloaded { status, said },
            400..=499 => Self::Refused { status, said },
            _ => Self::Failed { status, said },
        }
    }
}
