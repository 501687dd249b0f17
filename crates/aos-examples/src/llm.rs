//! Which language model a demo asks: the demo's own server, or a real provider that the environment names.
//!
//! Never here: the request; see `aos_host::adapter::llm`.

use std::env;

use aos_host::adapter::llm::Protocol;

use crate::error::RunError;

/// Names the key of a real provider, and so that one is to be asked.
const KEY: &str = "AOS_LLM_API_KEY";
/// Names where it is; `https://api.openai.com/v1`, or Anthropic's place, if it is not set.
const BASE_URL: &str = "AOS_LLM_BASE_URL";
/// Names the model; a small one of the provider if it is not set.
const MODEL: &str = "AOS_LLM_MODEL";
/// Names the protocol, `openai` or `anthropic`; `openai` if it is not set.
const PROTOCOL: &str = "AOS_LLM_PROTOCOL";

/// Where OpenAI is.
pub const OPENAI: &str = "https://api.openai.com/v1";

/// A language model and where it is.
pub struct Model {
    /// The provider's name in the world.
    pub provider: String,
    /// The model.
    pub model: String,
    /// Where a real provider is; none for the demo's server.
    pub base_url: Option<String>,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// The key of a real provider.
    pub key: Option<String>,
}

impl Model {
    /// Returns the model that the environment names, else the demo's own.
    pub fn chosen() -> Result<Self, RunError> {
        Self::of(&|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn of(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, RunError> {
        let Some(key) = variable(KEY) else {
            let (provider, model) = ("demo".into(), "demo-model".into());
            return Ok(Self { provider, model, base_url: None, protocol: Protocol::OpenAi, key: None });
        };
        let word = variable(PROTOCOL).unwrap_or_else(|| "openai".into());
        let (protocol, base_url, model) = match word.as_str() {
            "openai" => (Protocol::OpenAi, OPENAI, "gpt-4o-mini"),
            "anthropic" => (Protocol::Anthropic, "https://api.anthropic.com", "claude-haiku-4-5"),
            _ => return Err(RunError::LlmProtocol { word }),
        };
        Ok(Self {
            provider: word,
            model: variable(MODEL).unwrap_or_else(|| model.into()),
            base_url: Some(variable(BASE_URL).unwrap_or_else(|| base_url.into())),
            protocol,
            key: Some(key),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)]) -> Result<(String, String, Option<String>), &'static str> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let model = Model::of(&variable).map_err(|error| error.code())?;
        Ok((model.provider, model.model, model.base_url))
    }

    #[test]
    fn a_key_makes_it_real() {
        let words = |provider: &str, model: &str, url: Option<&str>| {
            Ok((provider.to_owned(), model.to_owned(), url.map(str::to_owned)))
        };
        assert_eq!(chosen(&[(MODEL, "m"), (BASE_URL, "u")]), words("demo", "demo-model", None));
        let openai = Some("https://api.openai.com/v1");
        assert_eq!(chosen(&[(KEY, "k")]), words("openai", "gpt-4o-mini", openai));
        assert_eq!(chosen(&[(KEY, "k"), (MODEL, "m"), (BASE_URL, "u")]), words("openai", "m", Some("u")));
        let (provider, _, url) = chosen(&[(KEY, "k"), (PROTOCOL, "anthropic")]).unwrap();
        assert_eq!((provider.as_str(), url.as_deref()), ("anthropic", Some("https://api.anthropic.com")));
        assert_eq!(chosen(&[(KEY, "k"), (PROTOCOL, "telnet")]), Err("demo.llm_protocol"));
    }
}
