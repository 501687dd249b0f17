//! The normalized target of an HTTP request: what constraints and policies judge is, byte for byte, what is sent.
//!
//! Lives here: what a URL may be, on top of the WHATWG parser of the `url` crate, whose exact version is part of the
//! executor's semantics. What a server could read in another way than we do is refused rather than repaired.
//! Never here: which target is allowed (the kernel's `gate/`), a name look-up, a connection. Next: `spec/gate.md`.

mod path;
#[cfg(test)]
mod tests;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use core::net::IpAddr;

use url::{Host, Url};

use crate::limits::URL_BYTES_MAX;

/// Longest host in bytes, and longest label of one: what DNS carries.
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Where an HTTP request goes, in one normal form: parsing [`Target::url`] gives the same target again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `http` or `https`.
    pub scheme: String,
    /// Lower-case punycode without a trailing dot, a dotted quad, or an IPv6 address in brackets.
    pub host: String,
    /// The port, also where the URL leaves it out; never 0.
    pub port: u16,
    /// Begins with `/`; dot segments resolved, escapes in upper case and only where they are needed.
    pub path: String,
    /// What follows the question mark; not decoded, and not judged.
    pub query: Option<String>,
    /// The whole URL in normal form, without a fragment: what is sent.
    pub url: String,
}

/// Why a text is no target. The messages never repeat the text, which may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// It is longer than [`URL_BYTES_MAX`], as written or in normal form.
    #[error("the URL has more than {URL_BYTES_MAX} bytes")]
    Length,
    /// It holds a space, a control character or a backslash, which parsers drop or rewrite.
    #[error("the URL holds a space, a control character or a backslash")]
    Character,
    /// It is not `scheme://host` and what follows.
    #[error("the URL is not of the form `https://host/path`")]
    Form,
    /// Its scheme is neither http nor https.
    #[error("the URL's scheme is neither http nor https")]
    Scheme,
    /// It has an `@` in front of the host.
    #[error("the URL holds a user or an `@` before its host")]
    UserInfo,
    /// Its host is empty, escaped, or no name or address.
    #[error("the URL's host is no host name and no address")]
    Host,
    /// Its port is no number from 1 to 65535.
    #[error("the URL's port is no number from 1 to 65535")]
    Port,
    /// Its path hides a separator, a dot segment or an escape behind an escape.
    #[error("the URL's path hides a separator, a dot segment or an escape, or holds a broken escape")]
    Path,
}

impl UrlRefused {
    /// Returns the stable code: `http.scheme` for another scheme, else `http.url`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Scheme => "http.scheme",
            _ => "http.url",
        }
    }
}

impl Target {
    /// Reads an absolute URL. A fragment is dropped, because it is never sent.
    ///
    /// # Errors
    /// [`UrlRefused`], for anything that two readers might understand in two ways.
    pub fn parse(text: &str) -> Result<Self, UrlRefused> {
        check_text(text)?;
        check_authority(text)?;
        let parsed = Url::parse(text).map_err(|error| match error {
            url::ParseError::InvalidPort => UrlRefused::Port,
            _ => UrlRefused::Host,
        })?;
        let scheme = parsed.scheme().to_owned();
        let port = parsed.port_or_known_default().filter(|port| *port != 0).ok_or(UrlRefused::Port)?;
        let host = parsed.host().and_then(|host| normal_host(&host)).ok_or(UrlRefused::Host)?;
        let path = path::normalize(parsed.path()).ok_or(UrlRefused::Path)?;
        let query = parsed.query().map(ToOwned::to_owned);
        let mut url = format!("{scheme}://{host}");
        if parsed.port().is_some() {
            url.push_str(&format!(":{port}"));
        }
        url.push_str(&path);
        if let Some(query) = &query {
            url.push('?');
            url.push_str(query);
        }
        if url.len() > URL_BYTES_MAX {
            return Err(UrlRefused::Length);
        }
        Ok(Self { scheme, host, port, path, query, url })
    }

    /// Reads the target of a redirect: an absolute URL, or a reference that is resolved against this target.
    ///
    /// # Errors
    /// As [`Target::parse`].
    pub fn join(&self, location: &str) -> Result<Self, UrlRefused> {
        check_text(location)?;
        if location.starts_with("//") {
            return Self::parse(&format!("{}:{location}", self.scheme));
        }
        if has_scheme(location) {
            return Self::parse(location);
        }
        // The path as written, so that it is judged as strictly as that of an absolute URL.
        path::normalize(location.split(['?', '#']).next().unwrap_or_default()).ok_or(UrlRefused::Path)?;
        let base = Url::parse(&self.url).map_err(|_| UrlRefused::Form)?;
        let joined = base.join(location).map_err(|_| UrlRefused::Form)?;
        Self::parse(joined.as_str())
    }

    /// Returns the address where the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        host_ip(&self.host)
    }

    /// Tells whether both have one origin: scheme, host and port.
    pub fn is_same_origin(&self, other: &Self) -> bool {
        (&self.scheme, &self.host, self.port) == (&other.scheme, &other.host, other.port)
    }
}

/// Reads a host that stands alone, and returns its normal form; none where it is none.
pub fn host(text: &str) -> Option<String> {
    let target = Target::parse(&format!("http://{text}/")).ok()?;
    let is_alone = if text.starts_with('[') { text.ends_with(']') } else { !text.contains([':', '/', '?', '#']) };
    is_alone.then_some(target.host)
}

/// Returns the address that a host in normal form is; none for a name.
pub fn host_ip(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// Returns the normal form of a path; none where it is none, or holds a query or a fragment.
pub fn path(text: &str) -> Option<String> {
    if !text.starts_with('/') || text.contains(['?', '#']) {
        return None;
    }
    Target::parse(&format!("http://host{text}")).ok().map(|target| target.path)
}

/// Refuses what a parser would drop or rewrite before it reads.
fn check_text(text: &str) -> Result<(), UrlRefused> {
    if text.len() > URL_BYTES_MAX {
        return Err(UrlRefused::Length);
    }
    let is_dropped = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.contains(is_dropped) { Err(UrlRefused::Character) } else { Ok(()) }
}

/// Checks scheme and authority as they are written, where parsers differ most.
fn check_authority(text: &str) -> Result<(), UrlRefused> {
    let (scheme, rest) = text.split_once(':').ok_or(UrlRefused::Form)?;
    if !has_scheme(text) {
        return Err(UrlRefused::Form);
    }
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(UrlRefused::Scheme);
    }
    let rest = rest.strip_prefix("//").ok_or(UrlRefused::Form)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(UrlRefused::UserInfo);
    }
    if authority.is_empty() || authority.contains('%') {
        return Err(UrlRefused::Host);
    }
    // The path as written: the parser resolves dot segments, and with them what stood before them.
    let after = rest.get(authority.len()..).unwrap_or_default();
    let path = after.split(['?', '#']).next().unwrap_or_default();
    path::normalize(path).map(drop).ok_or(UrlRefused::Path)
}

fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

fn normal_host(host: &Host<&str>) -> Option<String> {
    let Host::Domain(name) = host else { return Some(host.to_string()) };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(is_letter);
    (name.len() <= HOST_BYTES_MAX && name.split('.').all(is_label)).then(|| name.to_owned())
}
