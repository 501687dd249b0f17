//! The adapter `llm`: `llm.generate` against OpenAI-compatible servers and Anthropic's API.
//!
//! One request, one whole answer, over the connection code of `http`; the worst case is computed before a byte leaves.
//! Never here: what a provider charges or where it is, which the operator says (`provider.rs`), and retries.
//! Next: `Llm::perform`; the rules stand in `spec/adapters/llm.md`.

mod anthropic;
mod error;
mod input;
mod openai;
mod provider;
mod reply;
mod temperature;

use std::collections::BTreeMap;
use std::time::Duration;

use aos_air::hash::Digest;
use aos_air::url::Target;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use provider::{Price, Protocol, Provider};

use self::error::LlmError;
use self::input::Input;
use self::provider::Usage;
use self::reply::{Output, Reply};
use self::temperature::Temperature;
use super::http::client::{Client, Lost};
use super::http::exchange::{Request, Response};
use super::http::grant::Reach;
use super::http::watch::Watch;
use super::http::{RootRefused, Settings, header};
use super::{Adapter, Answer, Call, Class, Cost, Effect, Failed};
use crate::keys::Secret;

/// How long a model may think before its answer begins.
const FIRST_BYTE: Duration = Duration::from_secs(300);
/// How many tokens a provider may put into a prompt of its own to explain tools to the model.
const TOOLS_TOKENS: u64 = 1_000;
/// The most characters of a provider's own words in a message.
const SAID_MAX: usize = 300;

/// Performs `llm.generate`.
pub struct Llm {
    client: Client,
    providers: BTreeMap<String, Provider>,
}

/// `sys/LlmGenerateParams@1`.
#[derive(Deserialize)]
struct Params {
    provider: String,
    model: String,
    temperature: Temperature,
    max_tokens: u64,
    input_ref: Digest,
    tools: Option<Vec<String>>,
    api_key: Option<String>,
}

/// What of a grant's constraints is left to the adapter: the bounds that need the input itself.
#[derive(Deserialize)]
struct Bounds {
    #[serde(default)]
    prompt_tokens_max: Option<u64>,
    #[serde(default)]
    cents_max: Option<u64>,
}

/// `sys/LlmGenerateReceipt@1`.
#[derive(Serialize)]
struct Receipt {
    output_ref: Digest,
    token_usage: TokenUsage,
    cost_cents: u64,
    provider_id: String,
}

#[derive(Serialize)]
struct TokenUsage {
    prompt: u64,
    completion: u64,
}

/// A request that is ready to leave.
struct Ready {
    target: Target,
    body: Vec<u8>,
    fields: header::Fields,
    price: Price,
    worst: Usage,
}

impl Llm {
    /// Makes the adapter of the providers that are set up, by name. A wait that `settings` leaves at a minute becomes
    /// five, because models think.
    ///
    /// # Errors
    /// [`RootRefused`] where a root of the settings is no certificate.
    pub fn new(mut settings: Settings, providers: BTreeMap<String, Provider>) -> Result<Self, RootRefused> {
        if settings.first_byte == Settings::default().first_byte {
            settings.first_byte = FIRST_BYTE;
        }
        Ok(Self { client: Client::new(settings)?, providers })
    }

    /// Makes the request, and refuses one whose worst case the grant does not allow.
    fn ready(&self, params: &Params, bounds: &Bounds, input: &[u8], key: Option<&str>) -> Result<Ready, LlmError> {
        let unknown = || LlmError::ProviderUnknown { name: params.provider.clone() };
        let provider = self.providers.get(&params.provider).ok_or_else(unknown)?;
        let price = match &provider.prices {
            None => Price::default(),
            Some(prices) => {
                *prices.get(&params.model).ok_or_else(|| LlmError::ModelUnknown { model: params.model.clone() })?
            }
        };
        let input = Input::read(input, params.tools.as_deref().unwrap_or_default())?;
        let (place, request) = match provider.protocol {
            Protocol::OpenAi => {
                let newer = provider.max_completion_tokens;
                ("/chat/completions", openai::request(&input, &params.model, params.max_tokens, newer))
            }
            Protocol::Anthropic => ("/v1/messages", anthropic::request(&input, &params.model, params.max_tokens)?),
        };
        let body = params.temperature.put_into(&request);
        // A token is at least one byte of what the model is shown, and the request holds more bytes than that.
        let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let prompt = bytes.saturating_add(if input.tools.is_empty() { 0 } else { TOOLS_TOKENS });
        let worst = Usage { prompt, completion: params.max_tokens };
        if let Some(tokens_max) = bounds.prompt_tokens_max.filter(|max| worst.prompt > *max) {
            return Err(LlmError::Prompt { tokens: worst.prompt, tokens_max });
        }
        let cents = price.cents(worst);
        if let Some(cents_max) = bounds.cents_max.filter(|max| cents > *max) {
            return Err(LlmError::Cost { cents, cents_max });
        }
        let url = format!("{}{place}", provider.base_url.trim_end_matches('/'));
        let target = Target::parse(&url).map_err(|error| LlmError::BaseUrl { code: error.code() })?;
        let mut fields = BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]);
        if provider.protocol == Protocol::Anthropic {
            fields.insert("anthropic-version".to_owned(), anthropic::VERSION.to_owned());
        }
        let fields = header::fields(&fields, key)
            .map_err(|_| LlmError::Input { why: "the request has a header that cannot be sent".to_owned() })?;
        Ok(Ready { target, body, fields, price, worst })
    }

    fn protocol(&self, provider: &str) -> Protocol {
        self.providers.get(provider).map_or(Protocol::OpenAi, |provider| provider.protocol)
    }

    /// The world's own key, else the operator's, else none: a model on one's own machine needs none.
    fn key(&self, params: &Params, call: &mut Call<'_>) -> Result<Option<Secret>, Failed> {
        match &params.api_key {
            Some(name) => call.secret(name).map(Some),
            None => {
                let key = self.providers.get(&params.provider).and_then(|provider| provider.key.clone());
                key.iter().for_each(|key| call.keep_out(key));
                Ok(key)
            }
        }
    }

    /// Sends the request. A redirect is not followed: it would carry the prompt to where the operator did not say.
    fn send(&self, ready: &Ready, call: &Call<'_>) -> Result<Response, Failed> {
        let is_cancelled = || call.is_cancelled();
        let watch = Watch::new(call.time_left().min(self.client.settings.whole), &is_cancelled);
        let request =
            Request { method: "POST", target: &ready.target, headers: ready.fields.clone(), body: Some(&ready.body) };
        let bytes_max = self.client.settings.body_bytes_max;
        self.client.exchange(&request, Reach::Operator, bytes_max, &watch).map_err(Lost::into_failed)
    }
}

impl Adapter for Llm {
    fn name(&self) -> &str {
        "llm"
    }

    fn perform(&self, effect: &Effect, call: &mut Call<'_>) -> Result<Answer, Failed> {
        if effect.kind != "llm.generate" {
            return Err(effect.unknown_kind());
        }
        let params: Params = effect.params()?;
        let bounds: Bounds = effect.constraints()?;
        let input = call.blob(&params.input_ref)?;
        let key = (effect.class == Class::Keyed).then_some(effect.key.as_str());
        let mut ready = self.ready(&params, &bounds, &input, key).map_err(LlmError::into_failed)?;
        let secret = self.key(&params, call)?;
        let protocol = self.protocol(&params.provider);
        if let Some(secret) = &secret {
            let (name, prefix) = match protocol {
                Protocol::OpenAi => ("authorization", "Bearer "),
                Protocol::Anthropic => ("x-api-key", ""),
            };
            let field = header::auth(name, prefix, secret);
            ready.fields.push(field.map_err(|error| Lost { error, sent: false }.into_failed())?);
        }
        let response = self.send(&ready, call)?;
        let (reply, redacted) = read(protocol, response, secret.as_ref()).map_err(LlmError::into_failed)?;
        let usage = reply.usage.unwrap_or(ready.worst);
        let output = Output {
            text: &reply.text,
            tool_calls: &reply.tool_calls,
            finish_reason: &reply.finish_reason,
            usage: if reply.usage.is_some() { "reported" } else { "assumed" },
            redacted,
        };
        let output = serde_json::to_vec(&output)
            .map_err(|_| LlmError::Malformed { why: "it cannot be written down" }.into_failed())?;
        let cents = ready.price.cents(usage);
        let cost = Cost { tokens: usage.tokens(), cents, bytes: 0 };
        let receipt = Receipt {
            output_ref: call.store(output).map_err(Failed::sent)?,
            token_usage: TokenUsage { prompt: usage.prompt, completion: usage.completion },
            cost_cents: cents,
            provider_id: reply.id,
        };
        Ok(Answer::of(&receipt)?.costing(cost))
    }
}

/// Reads an answer after the key was taken out of it, and says whether it was there.
fn read(protocol: Protocol, mut response: Response, secret: Option<&Secret>) -> Result<(Reply, bool), LlmError> {
    let redacted = secret.and_then(|secret| secret.redact(&response.body));
    let was_there = redacted.is_some();
    response.body = redacted.unwrap_or(response.body);
    if response.status != 200 {
        let (kind, said) = said(&response.body);
        return Err(LlmError::of_status(response.status, &kind, said));
    }
    let reply = match protocol {
        Protocol::OpenAi => openai::reply(&response.body)?,
        Protocol::Anthropic => anthropic::reply(&response.body)?,
    };
    Ok((reply, was_there))
}

/// Returns a provider's word for an error, and its sentence, in the forms that both protocols have.
fn said(body: &[u8]) -> (String, String) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = body.get("error").unwrap_or(&body);
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = if text("code").is_empty() { text("type") } else { text("code") };
    let sentence = error.as_str().unwrap_or(text("message"));
    let sentence: String = sentence.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_MAX).collect();
    (kind.to_owned(), if sentence.is_empty() { sentence } else { format!(": {sentence}") })
}
