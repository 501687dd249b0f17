//! The HTTP adapter against servers on loopback: what goes out, what comes back, and everything that can go wrong.

mod answers;
mod bounds;
mod escapes;
mod secrets;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aos_air::cbor;
use aos_air::hash::Digest;
use aos_host::adapter::http::{Http, Settings};
use aos_host::adapter::{Adapter, Call, Cancellation, Class, Cost, Effect, Failed};
use serde::{Deserialize, Serialize};

use crate::http_server::Server;

/// An effect in the making, and how the host is set up.
pub struct Ask {
    pub method: String,
    pub url: String,
    pub headers: BTreeMap<String, String>,
    pub body: Option<Vec<u8>>,
    pub auth: Option<(String, Option<String>)>,
    pub secret: Vec<u8>,
    pub class: Class,
    pub grant: Grant,
    pub settings: Settings,
    pub time: Duration,
    pub cancellation: Cancellation,
}

#[derive(Serialize, Clone)]
pub struct Grant {
    pub hosts: Vec<String>,
    pub schemes: Option<Vec<String>>,
    pub methods: Option<Vec<String>>,
    pub ports: Option<Vec<u64>>,
    pub path_prefixes: Option<Vec<String>>,
    pub body_bytes_max: Option<u64>,
}

#[derive(Serialize)]
struct Params {
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body_ref: Option<Digest>,
    auth: Option<Auth>,
}

#[derive(Serialize)]
struct Auth {
    secret: String,
    header: String,
    prefix: Option<String>,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub status: i64,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub redacted: bool,
    pub url: String,
    pub cost: Cost,
}

#[derive(Deserialize)]
struct Receipt {
    status: i64,
    headers: BTreeMap<String, String>,
    body_ref: Option<Digest>,
    final_url: String,
    redacted: bool,
    timings: Timings,
}

#[derive(Deserialize)]
struct Timings {
    start_ns: u64,
    end_ns: u64,
}

impl Ask {
    pub fn get(url: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            url: url.to_owned(),
            headers: BTreeMap::new(),
            body: None,
            auth: None,
            secret: b"hunter22-and-more".to_vec(),
            class: Class::Safe,
            grant: Grant {
                hosts: vec!["127.0.0.1".to_owned()],
                schemes: Some(["http", "https"].map(str::to_owned).to_vec()),
                methods: Some(["GET", "HEAD", "POST", "PUT"].map(str::to_owned).to_vec()),
                ports: Some((1_024..=65_535).collect()),
                path_prefixes: None,
                body_bytes_max: None,
            },
            settings: Settings::default(),
            time: Duration::from_secs(20),
            cancellation: Cancellation::default(),
        }
    }

    pub fn to(server: &Server, path: &str) -> Self {
        Self::get(&server.url(path))
    }

    pub fn post(server: &Server, path: &str, body: &[u8]) -> Self {
        let body = Some(body.to_vec());
        Self { method: "POST".to_owned(), body, class: Class::Once, ..Self::to(server, path) }
    }

    pub fn hosts(mut self, hosts: &[&str]) -> Self {
        self.grant.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        self
    }

    pub fn auth(mut self) -> Self {
        self.auth = Some(("Authorization".to_owned(), Some("Bearer ".to_owned())));
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub fn perform(&self) -> Result<Told, Failed> {
        let http = Http::new(self.settings.clone()).unwrap();
        let blobs: BTreeMap<Digest, Vec<u8>> = self.body.iter().map(|body| (Digest::of(body), body.clone())).collect();
        let secrets = BTreeMap::from([("demo/Key@1".to_owned(), self.secret.clone())]);
        let auth = self.auth.clone();
        let params = Params {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            body_ref: self.body.as_deref().map(Digest::of),
            auth: auth.map(|(header, prefix)| Auth { secret: "demo/Key@1".to_owned(), header, prefix }),
        };
        let mut effect = Effect::of("http.request", cbor::to_vec(&params).unwrap());
        effect.grant_params = cbor::to_vec(&self.grant).unwrap();
        effect.class = self.class;
        let mut call = Call::new(Instant::now() + self.time, &self.cancellation, &blobs, &secrets);
        let answer = http.perform(&effect, &mut call)?;
        let (stored, _) = call.into_parts();
        let receipt: Receipt = cbor::from_slice(&answer.payload).unwrap();
        assert!(0 < receipt.timings.start_ns && receipt.timings.start_ns <= receipt.timings.end_ns);
        let body = match receipt.body_ref {
            Some(hash) => stored.iter().find(|(stored, _)| *stored == hash).unwrap().1.clone(),
            None => Vec::new(),
        };
        let Receipt { status, headers, final_url, redacted, .. } = receipt;
        Ok(Told { status, headers, body, redacted, url: final_url, cost: answer.cost })
    }

    /// The failure's code, and whether something may have left.
    pub fn failure(&self) -> (String, bool) {
        let failed = self.perform().expect_err("the request succeeded");
        (failed.code.into_owned(), failed.sent)
    }
}

/// A failure as tables compare it.
pub fn lost(code: &str, sent: bool) -> (String, bool) {
    (code.to_owned(), sent)
}

pub fn quick() -> Settings {
    let soon = Duration::from_millis(400);
    Settings { connect: soon, first_byte: soon, whole: soon * 2, ..Settings::default() }
}

pub fn resolving(names: &Arc<crate::http_server::Names>) -> Settings {
    Settings { resolver: Arc::clone(names) as _, ..Settings::default() }
}
