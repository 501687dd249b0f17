//! One request and its answer over one connection, as HTTP/1.1 has it (RFC 9112).
//!
//! Strict where two readers might differ: an answer with two lengths, a bare line end in a chunk or a cut body is no
//! answer. Every read is bounded, in bytes and in time. Never here: redirects, grants, secrets.
//! Next: `body.rs`, which knows where a body ends.

use std::time::Duration;

use aos_air::url::Target;

use super::body::{self, Incoming};
use super::error::HttpError;
use super::watch::Watch;
use super::wire::Wire;

/// The most interim answers (100 to 199) in front of the answer.
const INTERIM_MAX: usize = 8;
/// The most fields of an answer's header that can be asked for.
const FIELDS_MAX: usize = 256;

/// What is sent.
pub(crate) struct Request<'a> {
    /// The method, a token.
    pub(crate) method: &'a str,
    /// Where to.
    pub(crate) target: &'a Target,
    /// Header fields that `header.rs` has checked, or the caller's own.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// The body, if there is one.
    pub(crate) body: Option<&'a [u8]>,
}

/// What came back, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// From 200 to 999.
    pub(crate) status: u16,
    /// Names as they came, values of any bytes.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// The body; empty also where there is none.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Returns the values of a field, in their order.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }
}

/// How much of an answer is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) first_byte: Duration,
    pub(crate) header_bytes_max: usize,
    pub(crate) header_count_max: usize,
    pub(crate) body_bytes_max: u64,
}

/// Sends the request and reads the whole answer.
pub(crate) fn exchange(
    wire: &mut Wire,
    request: &Request<'_>,
    bounds: &Bounds,
    watch: &Watch<'_>,
) -> Result<Response, HttpError> {
    let head = head(request)?;
    let sent = wire.send(&head, watch).and_then(|()| wire.send(request.body.unwrap_or_default(), watch));
    match sent {
        Ok(()) => receive(wire, request.method, bounds, watch),
        // A server may answer and hang up before it has read the whole body; what it said is worth more.
        Err(closed @ HttpError::Closed { .. }) => receive(wire, request.method, bounds, watch).map_err(|_| closed),
        Err(error) => Err(error),
    }
}

/// Writes the head. What could end a line early was refused before; here it would be a mistake of ours.
fn head(request: &Request<'_>) -> Result<Vec<u8>, HttpError> {
    let Request { method, target, headers, body } = request;
    let query = target.query.as_deref();
    let place = format!("{}{}{}", target.path, if query.is_some() { "?" } else { "" }, query.unwrap_or_default());
    let standard = if target.scheme == "https" { 443 } else { 80 };
    let port = if target.port == standard { String::new() } else { format!(":{}", target.port) };
    let is_visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if ![method, place.as_str(), target.host.as_str()].into_iter().all(is_visible) {
        return Err(HttpError::refused("http.url", "the URL or the method cannot be sent"));
    }
    let mut head = format!("{method} {place} HTTP/1.1\r\nHost: {}{port}\r\nConnection: close\r\n", target.host);
    if let Some(bytes) = body.map(<[u8]>::len).or_else(|| wants_length(method).then_some(0)) {
        head.push_str(&format!("Content-Length: {bytes}\r\n"));
    }
    let mut head = head.into_bytes();
    for (name, value) in headers {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

/// A method whose request has a body by its nature says so even where the body is empty.
fn wants_length(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

fn receive(wire: &mut Wire, method: &str, bounds: &Bounds, watch: &Watch<'_>) -> Result<Response, HttpError> {
    let mut incoming = Incoming::new(wire);
    let first = watch.within(bounds.first_byte, "the answer's header came");
    for _ in 0..=INTERIM_MAX {
        let head = read_head(&mut incoming, bounds, &first)?;
        match head.status {
            101 => return Err(HttpError::Malformed { why: "it changes the protocol" }),
            100..=199 => {}
            _ => {
                let body = body::read(&mut incoming, method, &head, bounds, watch)?;
                return Ok(Response { status: head.status, headers: head.headers, body });
            }
        }
    }
    Err(HttpError::Malformed { why: "it has too many interim answers" })
}

/// The first part of an answer.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) is_http_10: bool,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

fn read_head(incoming: &mut Incoming<'_>, bounds: &Bounds, watch: &Watch<'_>) -> Result<Head, HttpError> {
    let too_large = HttpError::HeaderSize { bytes_max: bounds.header_bytes_max, count_max: bounds.header_count_max };
    // A head that comes byte by byte is not read from its start for each of them.
    let mut next_look = 0;
    loop {
        let bytes = incoming.buffered();
        if bytes.len() >= next_look && !bytes.is_empty() {
            if let Some((head, length)) = parse_head(bytes, bounds.header_count_max, &too_large)? {
                if length > bounds.header_bytes_max {
                    return Err(too_large);
                }
                incoming.consume(length);
                return Ok(head);
            }
            next_look = bytes.len() + bytes.len() / 8;
        }
        if bytes.len() > bounds.header_bytes_max {
            return Err(too_large);
        }
        // Once a line is empty the head is whole, whatever the schedule says.
        if incoming.fill(watch, "the answer's header came")? == 0 {
            return Err(HttpError::Closed { before: "the answer's header came" });
        }
        if incoming.ends_a_head() {
            next_look = 0;
        }
    }
}

fn parse_head(bytes: &[u8], count_max: usize, too_large: &HttpError) -> Result<Option<(Head, usize)>, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let fields = fields.get_mut(..count_max.min(FIELDS_MAX)).unwrap_or_default();
    let mut response = httparse::Response::new(fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(length)) => {
            let (Some(status @ 100..), Some(version)) = (response.code, response.version) else {
                return Err(HttpError::Malformed { why: "its status is no status" });
            };
            let field = |header: &httparse::Header<'_>| (header.name.to_owned(), header.value.to_vec());
            let headers = response.headers.iter().map(field).collect();
            Ok(Some((Head { status, is_http_10: version == 0, headers }, length)))
        }
        Err(httparse::Error::TooManyHeaders) => Err(too_large.clone()),
        Err(httparse::Error::Version | httparse::Error::Status) => {
            Err(HttpError::Malformed { why: "its first line is no status line" })
        }
        Err(_) => Err(HttpError::Malformed { why: "its header is broken" }),
    }
}
