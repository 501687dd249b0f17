//! The normal form of a path: one spelling, so that a prefix says what it seems to say.
//!
//! Lives here: escapes and what may not hide behind them. Dot segments are the parser's. Next: `mod.rs`.

use alloc::string::String;
use alloc::vec::Vec;

/// Bytes that may not stand escaped: separators, which a server may decode before it splits, and the end of a C string.
const NEVER_ESCAPED: [u8; 3] = [b'/', b'\\', 0];

/// Decodes what needs no escape, writes the other escapes in upper case; none where something hides.
///
/// An escaped separator, an escape of an escape (`%252e`), a dot segment with parameters (`..;x`) and a `%` that
/// escapes nothing are refused.
pub(super) fn normalize(path: &str) -> Option<String> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let (high, low) = escape(rest)?;
        rest = rest.get(2..)?;
        let decoded = high << 4 | low;
        let hides = decoded == b'%' && escape(rest).is_some();
        if hides || NEVER_ESCAPED.contains(&decoded) {
            return None;
        }
        if decoded.is_ascii_alphanumeric() || b"-._~".contains(&decoded) {
            out.push(decoded);
        } else {
            out.extend_from_slice(&[b'%', hex(high), hex(low)]);
        }
    }
    let path = String::from_utf8(out).ok()?;
    (!path.split('/').any(is_dotted_with_parameters)).then_some(path)
}

/// Returns the two digits that `bytes` begins with.
fn escape(bytes: &[u8]) -> Option<(u8, u8)> {
    let digit = |index: usize| char::from(*bytes.get(index)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(0)?, digit(1)?))
}

const fn hex(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'A' + digit - 10 }
}

fn is_dotted_with_parameters(segment: &str) -> bool {
    let cut = segment.find(';').into_iter().chain(segment.find("%3B")).min();
    cut.and_then(|cut| segment.get(..cut)).is_some_and(|name| matches!(name, "." | ".."))
}
