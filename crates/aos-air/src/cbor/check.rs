//! The strict checker: one item, canonical to the last byte, or the offset where it is not.
//!
//! It keeps its own stack, so nesting costs no call depth, and it never allocates more than [`DEPTH_MAX`] levels.

use alloc::vec::Vec;

use super::error::{CborError, Problem};
use super::reader::{Head, Reader};

/// Deepest nesting of arrays and maps; below `serde_cbor`'s own limit of 128, so that its decoder never meets it.
pub const DEPTH_MAX: usize = 120;

/// An array or map whose items are not all read yet.
struct Open<'a> {
    /// Items still to come; a map counts keys and values.
    left: usize,
    /// For a map: the encoded key before, and whether the next item is a key.
    keys: Option<Keys<'a>>,
}

struct Keys<'a> {
    last: Option<&'a [u8]>,
    next_is_key: bool,
}

/// Checks that `bytes` are exactly one canonical item.
///
/// # Errors
/// The first deviation, with its offset.
pub fn check(bytes: &[u8]) -> Result<(), CborError> {
    let mut reader = Reader::strict(bytes);
    let mut open: Vec<Open<'_>> = Vec::new();
    loop {
        let start = reader.offset();
        let is_key = open.last().and_then(|top| top.keys.as_ref()).is_some_and(|keys| keys.next_is_key);
        let (left, is_map) = match item(&mut reader, start)? {
            Some(_) if is_key => return Err(Reader::error(start, Problem::Type)),
            Some(container) => container,
            None => (0, false),
        };
        if left > 0 {
            if open.len() == DEPTH_MAX {
                return Err(Reader::error(start, Problem::Depth));
            }
            open.push(Open { left, keys: is_map.then_some(Keys { last: None, next_is_key: true }) });
            continue;
        }
        close(&mut open, reader.since(start), start)?;
        if open.is_empty() {
            return reader.end();
        }
    }
}

/// Reads one item; a container is returned as the count of items in it and whether it is a map.
fn item(reader: &mut Reader<'_>, start: usize) -> Result<Option<(usize, bool)>, CborError> {
    if let Head::Tag(tag) = reader.peek()? {
        if tag != 4 {
            return Err(Reader::error(start, Problem::Tag));
        }
        reader.decimal()?;
        return Ok(None);
    }
    Ok(match reader.head()? {
        Head::Array(len) => Some((len, false)),
        Head::Map(len) => Some((len.checked_mul(2).ok_or(Reader::error(start, Problem::Truncated))?, true)),
        // Signed integers have 64 bits.
        Head::Nint(argument) if i64::try_from(argument).is_err() => return Err(Reader::error(start, Problem::Range)),
        _ => None,
    })
}

/// Counts one finished item off the innermost container, and every container that is thereby finished.
fn close<'a>(open: &mut Vec<Open<'a>>, finished: &'a [u8], start: usize) -> Result<(), CborError> {
    let mut finished = Some(finished);
    while let Some(top) = open.last_mut() {
        if let Some(keys) = &mut top.keys {
            if let (true, Some(key)) = (keys.next_is_key, finished) {
                match keys.last.map(|last| last.cmp(key)) {
                    Some(core::cmp::Ordering::Equal) => return Err(Reader::error(start, Problem::KeyTwice)),
                    Some(core::cmp::Ordering::Greater) => return Err(Reader::error(start, Problem::KeyOrder)),
                    Some(core::cmp::Ordering::Less) | None => keys.last = Some(key),
                }
            }
            keys.next_is_key = !keys.next_is_key;
        }
        top.left -= 1;
        if top.left > 0 {
            break;
        }
        open.pop();
        finished = None;
    }
    Ok(())
}
