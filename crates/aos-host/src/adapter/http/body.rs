//! Where an answer's body ends, and its bytes up to there: by length, by chunks, or by the end of the connection.
//!
//! Never here: the head's syntax, what the body means. Next: RFC 9112, sections 6 and 7.

use super::error::HttpError;
use super::exchange::{Bounds, Head};
use super::watch::Watch;
use super::wire::Wire;

/// The longest line of a chunked body: a size with its extensions, or a trailer field.
const LINE_BYTES_MAX: usize = 4_096;
/// How much is read at a time.
const PIECE_BYTES: usize = 16 * 1_024;

const WHOLE: &str = "the whole answer came";

/// What has come over a connection and was not used yet.
pub(super) struct Incoming<'a> {
    wire: &'a mut Wire,
    bytes: Vec<u8>,
    used: usize,
}

impl<'a> Incoming<'a> {
    pub(super) const fn new(wire: &'a mut Wire) -> Self {
        Self { wire, bytes: Vec::new(), used: 0 }
    }

    /// Returns what is there.
    pub(super) fn buffered(&self) -> &[u8] {
        self.bytes.get(self.used..).unwrap_or_default()
    }

    /// Uses up the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.used = self.used.saturating_add(count).min(self.bytes.len());
    }

    /// Says whether an empty line is among the last bytes that came.
    pub(super) fn ends_a_head(&self) -> bool {
        let tail = self.bytes.get(self.bytes.len().saturating_sub(PIECE_BYTES + 3)..).unwrap_or_default();
        tail.windows(2).any(|two| two == b"\n\n") || tail.windows(3).any(|three| three == b"\n\r\n")
    }

    /// Reads more, and returns how much came; 0 is the end.
    pub(super) fn fill(&mut self, watch: &Watch<'_>, before: &'static str) -> Result<usize, HttpError> {
        // What is used goes, also where the rest of a line is left over: else chunks of one byte would pile up.
        self.bytes.drain(..self.used);
        self.used = 0;
        let mut piece = [0; PIECE_BYTES];
        let count = self.wire.read(&mut piece, watch, before)?;
        self.bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn more(&mut self, watch: &Watch<'_>) -> Result<(), HttpError> {
        match self.fill(watch, WHOLE)? {
            0 => Err(HttpError::Closed { before: WHOLE }),
            _ => Ok(()),
        }
    }

    /// Moves exactly `count` bytes to the end of `body`.
    fn take(&mut self, mut count: u64, body: &mut Vec<u8>, watch: &Watch<'_>) -> Result<(), HttpError> {
        while count > 0 {
            if self.buffered().is_empty() {
                self.more(watch)?;
            }
            let there = self.buffered();
            let part = usize::try_from(count).unwrap_or(usize::MAX).min(there.len());
            body.extend_from_slice(there.get(..part).unwrap_or_default());
            self.consume(part);
            count = count.saturating_sub(u64::try_from(part).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    /// Takes one line that ends in CR LF, without its end.
    fn line(&mut self, watch: &Watch<'_>) -> Result<Vec<u8>, HttpError> {
        loop {
            let there = self.buffered();
            if let Some(end) = there.iter().position(|byte| *byte == b'\n') {
                let line = there.get(..end).unwrap_or_default();
                let line = line.strip_suffix(b"\r").filter(|line| !line.contains(&b'\r'));
                let line = line.ok_or(HttpError::Malformed { why: "a line of a chunk has no proper end" })?.to_vec();
                self.consume(end + 1);
                return if line.len() > LINE_BYTES_MAX { Err(long_line()) } else { Ok(line) };
            }
            if there.len() > LINE_BYTES_MAX {
                return Err(long_line());
            }
            self.more(watch)?;
        }
    }
}

const fn long_line() -> HttpError {
    HttpError::Malformed { why: "a line of a chunk is too long" }
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    None,
    Length(u64),
    Chunked,
    Close,
}

/// Reads the body that follows `head`.
pub(super) fn read(
    incoming: &mut Incoming<'_>,
    method: &str,
    head: &Head,
    bounds: &Bounds,
    watch: &Watch<'_>,
) -> Result<Vec<u8>, HttpError> {
    let bytes_max = bounds.body_bytes_max;
    let too_large = || HttpError::BodySize { whose: "answer's", bytes_max };
    let mut body = Vec::new();
    match framing(method, head)? {
        Framing::None => {}
        Framing::Length(length) if length > bytes_max => return Err(too_large()),
        Framing::Length(length) => incoming.take(length, &mut body, watch)?,
        Framing::Chunked => read_chunks(incoming, &mut body, bounds, watch)?,
        Framing::Close => loop {
            let there = incoming.buffered();
            body.extend_from_slice(there);
            let count = there.len();
            incoming.consume(count);
            if u64::try_from(body.len()).unwrap_or(u64::MAX) > bytes_max {
                return Err(too_large());
            }
            if incoming.fill(watch, WHOLE)? == 0 {
                break;
            }
        },
    }
    Ok(body)
}

fn framing(method: &str, head: &Head) -> Result<Framing, HttpError> {
    let malformed = |why| Err(HttpError::Malformed { why });
    let values = |name: &'static str| {
        let of = head.headers.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name));
        of.flat_map(|(_, value)| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    };
    let codings: Vec<&[u8]> = values("transfer-encoding").collect();
    let lengths: Vec<&[u8]> = values("content-length").collect();
    if method == "HEAD" || matches!(head.status, 204 | 304) {
        return Ok(Framing::None);
    }
    match (codings.as_slice(), lengths.as_slice()) {
        ([], []) => Ok(Framing::Close),
        ([], [first, rest @ ..]) => {
            let digits = std::str::from_utf8(first).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            match digits.and_then(|text| text.parse().ok()) {
                Some(length) if rest.iter().all(|other| other == first) => Ok(Framing::Length(length)),
                _ => malformed("its length is no length"),
            }
        }
        (_, [_, ..]) => malformed("it has a length and a transfer coding"),
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") && !head.is_http_10 => Ok(Framing::Chunked),
        _ => malformed("its transfer coding is not `chunked`"),
    }
}

fn read_chunks(
    incoming: &mut Incoming<'_>,
    body: &mut Vec<u8>,
    bounds: &Bounds,
    watch: &Watch<'_>,
) -> Result<(), HttpError> {
    let mut left = bounds.body_bytes_max;
    loop {
        let size = chunk_size(&incoming.line(watch)?)?;
        left = left
            .checked_sub(size)
            .ok_or(HttpError::BodySize { whose: "answer's", bytes_max: bounds.body_bytes_max })?;
        if size == 0 {
            break;
        }
        incoming.take(size, body, watch)?;
        if !incoming.line(watch)?.is_empty() {
            return Err(HttpError::Malformed { why: "a chunk is longer than its size" });
        }
    }
    // Trailer fields are read and dropped: nobody asked for them.
    let mut trailer_bytes = 0_usize;
    loop {
        let line = incoming.line(watch)?;
        if line.is_empty() {
            return Ok(());
        }
        trailer_bytes = trailer_bytes.saturating_add(line.len());
        if trailer_bytes > bounds.header_bytes_max {
            let (bytes_max, count_max) = (bounds.header_bytes_max, bounds.header_count_max);
            return Err(HttpError::HeaderSize { bytes_max, count_max });
        }
    }
}

/// Reads a chunk's size: at most 16 hexadecimal digits, and extensions, which mean nothing to us.
fn chunk_size(line: &[u8]) -> Result<u64, HttpError> {
    let end = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
    let digits = line.get(..end).unwrap_or_default().trim_ascii_end();
    let text = std::str::from_utf8(digits).ok();
    let text = text.filter(|text| (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let size = text.and_then(|text| u64::from_str_radix(text, 16).ok());
    size.ok_or(HttpError::Malformed { why: "the size of a chunk is no number" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(status: u16, is_http_10: bool, headers: &[(&str, &str)]) -> Option<Framing> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        framing("GET", &Head { status, is_http_10, headers }).ok()
    }

    #[test]
    fn a_body_ends_in_one_way_or_the_answer_is_refused() {
        let malformed = None;
        let cases = [
            (200, false, &[][..], Some(Framing::Close)),
            (204, false, &[("content-length", "7")], Some(Framing::None)),
            (304, false, &[("transfer-encoding", "chunked")], Some(Framing::None)),
            (200, false, &[("Content-Length", "7")], Some(Framing::Length(7))),
            (200, false, &[("Content-Length", "7"), ("content-length", "7")], Some(Framing::Length(7))),
            (200, false, &[("Content-Length", "7, 7")], Some(Framing::Length(7))),
            (200, false, &[("Content-Length", "7"), ("content-length", "8")], malformed),
            (200, false, &[("Content-Length", "+7")], malformed),
            (200, false, &[("Content-Length", "-7")], malformed),
            (200, false, &[("Content-Length", "0x7")], malformed),
            (200, false, &[("Content-Length", "")], malformed),
            (200, false, &[("Content-Length", "18446744073709551616")], malformed),
            (200, false, &[("Transfer-Encoding", "Chunked")], Some(Framing::Chunked)),
            (200, true, &[("Transfer-Encoding", "chunked")], malformed),
            (200, false, &[("Transfer-Encoding", "chunked"), ("Content-Length", "7")], malformed),
            (200, false, &[("Transfer-Encoding", "gzip, chunked")], malformed),
            (200, false, &[("Transfer-Encoding", "chunked, identity")], malformed),
            (200, false, &[("Transfer-Encoding", "xchunked")], malformed),
        ];
        for (status, is_http_10, headers, expected) in cases {
            assert_eq!(framed(status, is_http_10, headers), expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn the_size_of_a_chunk_is_hexadecimal_and_nothing_else() {
        let cases = [
            ("0", Some(0)),
            ("1A", Some(26)),
            ("1a;name=value", Some(26)),
            ("1a ;name", Some(26)),
            ("ffffffffffffffff", Some(u64::MAX)),
            ("00000000000000001", None),
            ("", None),
            (";x", None),
            ("-1", None),
            ("+1", None),
            ("0x1", None),
            (" 1", None),
            ("1 2", None),
            ("g", None),
        ];
        for (line, expected) in cases {
            assert_eq!(chunk_size(line.as_bytes()).ok(), expected, "{line}");
        }
    }
}
