//! One request to one place: connect, exchange, hang up. What the HTTP and the LLM adapter share.
//!
//! Never here: redirects, grants, receipts. Next: `connect.rs` and `exchange.rs`, its two halves.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::connect::{Connector, Resolve, SystemResolver};
use super::error::HttpError;
use super::exchange::{self, Bounds, Request, Response};
use super::grant::Reach;
use super::watch::Watch;
use crate::adapter::Failed;

/// How a host speaks HTTP: its time and size limits, whom it trusts, how it looks names up.
#[derive(Clone)]
pub struct Settings {
    /// The longest time until a connection is there: name, socket and TLS. 10 seconds.
    pub connect: Duration,
    /// The longest time from the request's last byte to the end of the answer's header. A minute; five for models.
    pub first_byte: Duration,
    /// The longest time for all of it, redirects and body too. Ten minutes, and never more than the effect has left.
    pub whole: Duration,
    /// The most redirects that are followed. 5.
    pub redirects_max: u32,
    /// The most bytes of an answer's header. 64 KiB.
    pub header_bytes_max: usize,
    /// The most fields of an answer's header, at most 256. 128.
    pub header_count_max: usize,
    /// The most bytes of a body where the grant has no `body_bytes_max`, of a request's and of an answer's. 8 MiB.
    pub body_bytes_max: u64,
    /// Certificates, as DER, that are trusted beside those of the public web.
    pub roots: Vec<Vec<u8>>,
    /// Looks names up.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            whole: Duration::from_secs(600),
            redirects_max: 5,
            header_bytes_max: 64 * 1_024,
            header_count_max: 128,
            body_bytes_max: 8 * 1_024 * 1_024,
            roots: Vec::new(),
            resolver: Arc::new(SystemResolver),
        }
    }
}

/// The settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a root certificate of the settings is none: {reason}")]
pub struct RootRefused {
    /// What the TLS library says.
    pub reason: String,
}

impl RootRefused {
    /// Returns the stable code of this error.
    pub const fn code(&self) -> &'static str {
        "http.roots"
    }
}

/// Performs requests, one connection for each.
pub(crate) struct Client {
    connector: Connector,
    pub(crate) settings: Settings,
}

/// A request without an answer.
pub(crate) struct Lost {
    /// Why.
    pub(crate) error: HttpError,
    /// Whether a byte of the request may have left.
    pub(crate) sent: bool,
}

impl Lost {
    /// Says it to the dispatcher.
    pub(crate) fn into_failed(self) -> Failed {
        let (code, message) = (self.error.code(), self.error.to_string());
        let mut failed = match self.error {
            HttpError::Timeout { .. } => Failed::timeout(code, message),
            HttpError::Cancelled => Failed::cancelled(code, message),
            _ => Failed::new(code, message),
        };
        failed.retriable = self.error.is_retriable();
        failed.sent = self.sent;
        failed
    }
}

impl Client {
    pub(crate) fn new(settings: Settings) -> Result<Self, RootRefused> {
        let roots = settings.roots.iter().cloned().map(CertificateDer::from).collect();
        let connector = Connector::new(Arc::clone(&settings.resolver), roots, settings.connect);
        let connector = connector.map_err(|error| RootRefused { reason: error.to_string() })?;
        Ok(Self { connector, settings })
    }

    /// Sends one request and takes an answer of at most `body_bytes_max` bytes.
    pub(crate) fn exchange(
        &self,
        request: &Request<'_>,
        reach: Reach<'_>,
        body_bytes_max: u64,
        watch: &Watch<'_>,
    ) -> Result<Response, Lost> {
        let mut wire =
            self.connector.connect(request.target, reach, watch).map_err(|error| Lost { error, sent: false })?;
        let Settings { first_byte, header_bytes_max, header_count_max, .. } = self.settings;
        let bounds = Bounds { first_byte, header_bytes_max, header_count_max, body_bytes_max };
        let answer = exchange::exchange(&mut wire, request, &bounds, watch);
        answer.map_err(|error| Lost { error, sent: wire.has_sent() })
    }
}
