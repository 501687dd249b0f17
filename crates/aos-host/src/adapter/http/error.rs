//! Why an exchange over HTTP brought no whole answer, and what of it a caller may conclude.
//!
//! A status such as 404 or 503 is an answer and no error. Never here: what a policy or a grant says; those codes come
//! from the gate and are passed on. No message holds a URL's query, a header's value or a body.
//! Next: `exchange.rs`, where most of these are found.

use std::borrow::Cow;
use std::net::IpAddr;

/// Why there is no whole answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The grant does not allow this request; code and sentence are the gate's.
    #[error("{message}")]
    Grant {
        /// The gate's code.
        code: Cow<'static, str>,
        /// The gate's sentence.
        message: String,
    },
    /// A header of the request cannot be sent.
    #[error("the header `{name}` {why}")]
    Header {
        /// Its name, as the request has it.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The host's name has no address.
    #[error("`{host}` has no address: {reason}")]
    Dns {
        /// The host.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// Every address of the host lies in a range that the grant would have to name.
    #[error("`{host}` is at {address}, which is not a public address and which the grant does not name")]
    Address {
        /// The host.
        host: String,
        /// The first of its addresses.
        address: IpAddr,
    },
    /// No address of the host took the connection.
    #[error("`{host}` takes no connection: {reason}")]
    Connect {
        /// The host.
        host: String,
        /// What the system says of the last address.
        reason: String,
    },
    /// The server is not who it should be, or does not speak TLS.
    #[error("no trusted TLS connection with `{host}`: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// What the TLS library says.
        reason: String,
    },
    /// Time was up.
    #[error("time was up before {before}")]
    Timeout {
        /// What had not happened yet.
        before: &'static str,
    },
    /// The work was called off.
    #[error("the request was cancelled")]
    Cancelled,
    /// The connection ended before the answer did.
    #[error("the connection ended before {before}")]
    Closed {
        /// What had not come yet.
        before: &'static str,
    },
    /// What came is not HTTP.
    #[error("the server's answer is not HTTP/1.1: {why}")]
    Malformed {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The answer's head is larger than its limit.
    #[error("the answer's header is larger than {bytes_max} bytes or {count_max} fields")]
    HeaderSize {
        /// Most bytes of a head.
        bytes_max: usize,
        /// Most fields of a head.
        count_max: usize,
    },
    /// A body is larger than its limit.
    #[error("the {whose} body is larger than {bytes_max} bytes")]
    BodySize {
        /// `request's` or `answer's`.
        whose: &'static str,
        /// Most bytes of a body.
        bytes_max: u64,
    },
    /// More redirects than the limit.
    #[error("more than {count_max} redirects")]
    Redirect {
        /// Most redirects that are followed.
        count_max: u32,
    },
    /// The server redirects to where the grant does not allow a request.
    #[error("the server redirects to where no request may go ({code})")]
    RedirectRefused {
        /// The gate's code.
        code: Cow<'static, str>,
    },
    /// The answer is compressed although it was asked not to be, so that it cannot be searched for the secret.
    #[error("the server compressed an answer that has to be searched for the secret")]
    Encoding,
}

impl HttpError {
    /// Says what the gate would have said.
    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::Grant { code: Cow::Borrowed(code), message: message.into() }
    }

    /// Returns the stable code of this error; of a request that a grant refuses, the gate's.
    pub fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Grant { code, .. } => return code.clone(),
            Self::Header { .. } => "http.header",
            Self::Dns { .. } => "http.dns",
            Self::Address { .. } => "http.address",
            Self::Connect { .. } => "http.connect",
            Self::Tls { .. } => "http.tls",
            Self::Timeout { .. } => "http.timeout",
            Self::Cancelled => "http.cancelled",
            Self::Closed { .. } => "http.closed",
            Self::Malformed { .. } => "http.malformed",
            Self::HeaderSize { .. } => "http.header_size",
            Self::BodySize { .. } => "http.body_size",
            Self::Redirect { .. } => "http.redirect",
            Self::RedirectRefused { .. } => "http.redirect_refused",
            Self::Encoding => "http.encoding",
        })
    }

    /// Says whether the same request may succeed a little later.
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Dns { .. } | Self::Connect { .. } | Self::Timeout { .. } | Self::Closed { .. } => true,
            Self::Grant { .. }
            | Self::Header { .. }
            | Self::Address { .. }
            | Self::Tls { .. }
            | Self::Cancelled
            | Self::Malformed { .. }
            | Self::HeaderSize { .. }
            | Self::BodySize { .. }
            | Self::Redirect { .. }
            | Self::RedirectRefused { .. }
            | Self::Encoding => false,
        }
    }
}
