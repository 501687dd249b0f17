//! The adapter `http`: `http.request` over real sockets, with rustls.
//!
//! The grant is asked at every hop, each address before it is connected to, each answer for the secret that went out. An
//! answer with any status is an answer. Never here: retries and deadlines, which are the dispatcher's, and the decision
//! whether the effect may happen at all. Next: `Http::perform`, then `client.rs`; the rules stand in `spec/adapters/http.md`.

mod body;
pub(crate) mod client;
mod connect;
mod error;
pub(crate) mod exchange;
pub(crate) mod grant;
pub(crate) mod header;
mod redirect;
pub(crate) mod watch;
mod wire;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use aos_air::hash::Digest;
use aos_air::url::Target;
use aos_kernel::gate::http::{Constraints, permits};
use serde::{Deserialize, Serialize};

pub use client::{RootRefused, Settings};
pub use connect::{Resolve, SystemResolver};
pub use error::HttpError;

use self::client::{Client, Lost};
use self::exchange::{Request, Response};
use self::grant::{HttpOut, Reach};
use self::header::Fields;
use self::watch::Watch;
use super::{Adapter, Answer, Call, Class, Cost, Effect, Failed};
use crate::keys::Secret;

/// Performs `http.request`.
pub struct Http {
    client: Client,
}

/// `sys/HttpRequestParams@1`.
#[derive(Deserialize)]
struct Params {
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body_ref: Option<Digest>,
    auth: Option<Auth>,
}

#[derive(Deserialize)]
struct Auth {
    secret: String,
    header: String,
    prefix: Option<String>,
}

/// `sys/HttpRequestReceipt@1`.
#[derive(Serialize)]
struct Receipt {
    status: i64,
    headers: BTreeMap<String, String>,
    body_ref: Option<Digest>,
    final_url: String,
    redacted: bool,
    timings: Timings,
}

#[derive(Serialize)]
struct Timings {
    start_ns: u64,
    end_ns: u64,
}

impl Http {
    /// Makes the adapter.
    ///
    /// # Errors
    /// [`RootRefused`] where a root of the settings is no certificate.
    pub fn new(settings: Settings) -> Result<Self, RootRefused> {
        Ok(Self { client: Client::new(settings)? })
    }
}

impl Adapter for Http {
    fn name(&self) -> &str {
        "http"
    }

    fn perform(&self, effect: &Effect, call: &mut Call<'_>) -> Result<Answer, Failed> {
        if effect.kind != "http.request" {
            return Err(effect.unknown_kind());
        }
        let params: Params = effect.params()?;
        let grant: Constraints = effect.constraints::<HttpOut>()?.into();
        let body = params.body_ref.map(|hash| call.blob(&hash)).transpose()?;
        let secret = params.auth.as_ref().map(|auth| call.secret(&auth.secret)).transpose()?;
        let start_ns = now_ns();
        let ((response, final_url), bytes) = {
            let is_cancelled = || call.is_cancelled();
            let may_go_to = |url: &str, method: &str| call.may_go_to(url, method);
            let watch = Watch::new(call.time_left().min(self.client.settings.whole), &is_cancelled);
            let mut trip = Trip::new(&self.client, effect, &grant, &may_go_to, body.as_deref());
            let response = trip.run(&params, secret.as_ref(), &watch);
            let bytes = trip.bytes();
            let sent = trip.sent;
            let cost = Cost { bytes, ..Cost::default() };
            (response.map_err(|error| Lost { error, sent }.into_failed().costing(cost))?, bytes)
        };
        let end_ns = now_ns();
        let (response, final_url, redacted) = redact(response, final_url, secret.as_ref());
        let headers = header::recorded(&response.headers);
        let body_ref = if response.body.is_empty() { None } else { Some(call.store(response.body)?) };
        let timings = Timings { start_ns, end_ns };
        let status = response.status.into();
        let receipt = Receipt { status, headers, body_ref, final_url, redacted, timings };
        Ok(Answer::of(&receipt)?.costing(Cost { bytes, ..Cost::default() }))
    }
}

/// A request and the redirects that follow on it, with what they use up together: all request bodies and all answers'
/// bodies each stay below the limit, so that the worst case that was reserved holds however often a server redirects.
struct Trip<'a> {
    client: &'a Client,
    grant: &'a Constraints,
    may_go_to: &'a dyn Fn(&str, &str) -> bool,
    class: Class,
    key: Option<&'a str>,
    body: Option<&'a [u8]>,
    bytes_max: u64,
    bytes_out: u64,
    bytes_in: u64,
    sent: bool,
}

impl<'a> Trip<'a> {
    fn new(
        client: &'a Client,
        effect: &'a Effect,
        grant: &'a Constraints,
        may_go_to: &'a dyn Fn(&str, &str) -> bool,
        body: Option<&'a [u8]>,
    ) -> Self {
        let bytes_max = grant.body_bytes_max.unwrap_or(client.settings.body_bytes_max);
        let key = (effect.class == Class::Keyed).then_some(effect.key.as_str());
        let class = effect.class;
        Self { client, grant, may_go_to, class, key, body, bytes_max, bytes_out: 0, bytes_in: 0, sent: false }
    }

    const fn bytes(&self) -> u64 {
        self.bytes_out.saturating_add(self.bytes_in)
    }

    fn run(
        &mut self,
        params: &Params,
        secret: Option<&Secret>,
        watch: &Watch<'_>,
    ) -> Result<(Response, String), HttpError> {
        let mut method = checked_method(&params.method)?;
        let mut target =
            Target::parse(&params.url).map_err(|error| HttpError::refused(error.code(), error.to_string()))?;
        permits(self.grant, &target, &method)
            .map_err(|denied| HttpError::Grant { code: denied.code, message: denied.message })?;
        let mut fields = header::fields(&params.headers, self.key)?;
        let mut auth = match (&params.auth, secret) {
            (Some(auth), Some(secret)) => {
                Some(header::auth(&auth.header, auth.prefix.as_deref().unwrap_or_default(), secret)?)
            }
            _ => None,
        };
        for _ in 0..=self.client.settings.redirects_max {
            let response = self.hop(&method, &target, &fields, auth.as_ref(), watch)?;
            let Some(hop) = redirect::next(&target, &method, self.class, &response)? else {
                return if is_searchable(&response, secret) {
                    Ok((response, target.url))
                } else {
                    Err(HttpError::Encoding)
                };
            };
            let refused = match permits(self.grant, &hop.target, &hop.method) {
                Err(denied) => Some(denied.code),
                Ok(()) if (self.may_go_to)(&hop.target.url, &hop.method) => None,
                Ok(()) => Some("policy.denied".into()),
            };
            if let Some(code) = refused {
                // What was to be changed is changed: only looking at it elsewhere is refused.
                return if hop.method != method && is_searchable(&response, secret) {
                    Ok((response, target.url))
                } else {
                    Err(HttpError::RedirectRefused { code })
                };
            }
            if !target.is_same_origin(&hop.target) {
                auth = None;
                if secret.is_some_and(|secret| secret.is_in(hop.target.url.as_bytes())) {
                    return Err(HttpError::RedirectRefused { code: "secret.literal".into() });
                }
            }
            if !hop.has_body {
                self.body = None;
                fields.retain(|(name, _)| !goes_with_the_body(name));
            }
            (method, target) = (hop.method, hop.target);
        }
        Err(HttpError::Redirect { count_max: self.client.settings.redirects_max })
    }

    fn hop(
        &mut self,
        method: &str,
        target: &Target,
        fields: &Fields,
        auth: Option<&(String, Vec<u8>)>,
        watch: &Watch<'_>,
    ) -> Result<Response, HttpError> {
        let length = u64::try_from(self.body.map_or(0, <[u8]>::len)).unwrap_or(u64::MAX);
        let bytes_out = self.bytes_out.saturating_add(length);
        if bytes_out > self.bytes_max {
            return Err(HttpError::BodySize { whose: "request's", bytes_max: self.bytes_max });
        }
        let headers = fields.iter().chain(auth).cloned().collect();
        let request = Request { method, target, headers, body: self.body };
        let left = self.bytes_max.saturating_sub(self.bytes_in);
        let answer = self.client.exchange(&request, Reach::Grant(self.grant), left, watch);
        let sent = answer.as_ref().map_or_else(|lost| lost.sent, |_| true);
        self.sent = self.sent || sent;
        self.bytes_out = if sent { bytes_out } else { self.bytes_out };
        let response = answer.map_err(|lost| match lost.error {
            HttpError::BodySize { whose, .. } => HttpError::BodySize { whose, bytes_max: self.bytes_max },
            error => error,
        })?;
        self.bytes_in = self.bytes_in.saturating_add(u64::try_from(response.body.len()).unwrap_or(u64::MAX));
        Ok(response)
    }
}

/// A method is written in capitals; which of them a grant allows is the gate's.
fn checked_method(method: &str) -> Result<String, HttpError> {
    let is_method = !method.is_empty() && method.len() <= 32 && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_method { Ok(method.to_owned()) } else { Err(HttpError::refused("http.method", "the method is no method")) }
}

/// Fields that describe a body, or the one request that had it.
fn goes_with_the_body(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("content-") || name == header::KEY
}

/// Where a secret went out, what comes back has to be readable.
fn is_searchable(response: &Response, secret: Option<&Secret>) -> bool {
    let mut encodings = response.values("content-encoding");
    secret.is_none() || response.body.is_empty() || encodings.all(|value| value.eq_ignore_ascii_case(b"identity"))
}

/// Takes the secret out of an answer and of the URL that gave it, and says whether it was there.
fn redact(mut response: Response, url: String, secret: Option<&Secret>) -> (Response, String, bool) {
    let Some(secret) = secret else { return (response, url, false) };
    let mut found = false;
    let mut clean = |bytes: &mut Vec<u8>| {
        if let Some(redacted) = secret.redact(bytes) {
            *bytes = redacted;
            found = true;
        }
    };
    clean(&mut response.body);
    let mut url = url.into_bytes();
    clean(&mut url);
    for (name, value) in &mut response.headers {
        clean(value);
        let mut bytes = name.as_bytes().to_vec();
        clean(&mut bytes);
        *name = String::from_utf8_lossy(&bytes).into_owned();
    }
    (response, String::from_utf8_lossy(&url).into_owned(), found)
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
