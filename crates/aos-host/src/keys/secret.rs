//! The value of a secret while it is used: zeroed when dropped, never shown, and findable in what comes back.
//!
//! Never here: where it is kept; see `vault/`.

use core::fmt;
use core::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;
use zeroize::Zeroizing;

/// The shortest value that is searched for. Shorter ones occur by chance, and are no secrets for long.
pub const SEARCHED_BYTES_MIN: usize = 6;

/// What stands in the place of a secret that was found.
pub const REDACTED: &[u8] = b"[secret]";

/// A secret's value. There is no way to print or compare it; [`Secret::expose`] is the one way to it.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Takes a value. Copies that the caller made of it are the caller's to erase.
    pub fn new(value: Vec<u8>) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Returns the value. It belongs into the request that needs it and nowhere else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether `bytes` hold the value: as it is, in hex, base64, percent encoding or JSON's escapes.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms().iter().any(|form| find(bytes, form).is_some())
    }

    /// Replaces the value in `bytes`, in every form that [`Secret::is_in`] knows, or returns `None` if it is not there.
    pub fn redact(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut redacted: Option<Vec<u8>> = None;
        for form in self.forms() {
            let found = redacted.as_deref().unwrap_or(bytes);
            if find(found, &form).is_some() {
                redacted = Some(replace(found, &form));
            }
        }
        redacted
    }

    /// Returns the forms that are searched for, longest first, so that no form leaves the rest of a longer one.
    fn forms(&self) -> Vec<Zeroizing<Vec<u8>>> {
        let value = self.expose();
        if value.len() < SEARCHED_BYTES_MIN {
            return Vec::new();
        }
        let mut forms = vec![self.0.clone()];
        for upper in [false, true] {
            forms.push(hex(value, upper));
            forms.push(percent(value, upper, false));
            forms.push(percent(value, upper, true));
        }
        // Inside a longer text, base64 groups the value in one of three ways.
        for shift in 0..3 {
            forms.push(base64_inside(&STANDARD_NO_PAD, value, shift));
            forms.push(base64_inside(&URL_SAFE_NO_PAD, value, shift));
        }
        if let Ok(text) = core::str::from_utf8(value)
            && let Ok(json) = serde_json::to_string(text).map(Zeroizing::new)
        {
            let inner = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default();
            forms.push(Zeroizing::new(inner.as_bytes().to_vec()));
            forms.push(Zeroizing::new(inner.replace('/', "\\/").into_bytes()));
            forms.extend([false, true].map(|upper| json_for_pages(text, upper)));
        }
        forms.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        forms
    }
}

fn hex(value: &[u8], upper: bool) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(String::with_capacity(value.len() * 2));
    for byte in value {
        push_hex(&mut text, *byte, upper);
    }
    Zeroizing::new(core::mem::take(&mut *text).into_bytes())
}

fn percent(value: &[u8], upper: bool, plus: bool) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(String::with_capacity(value.len() * 3));
    for byte in value {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(*byte)),
            b' ' if plus => text.push('+'),
            _ => {
                text.push('%');
                push_hex(&mut text, *byte, upper);
            }
        }
    }
    Zeroizing::new(core::mem::take(&mut *text).into_bytes())
}

/// Escapes as writers of JSON do that want it to be safe inside a page: quotes, signs of markup, `+`, all that is not
/// ASCII.
fn json_for_pages(value: &str, upper: bool) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(String::with_capacity(value.len() * 6));
    for unit in value.encode_utf16() {
        match u8::try_from(unit).map(char::from) {
            Ok('\\') => text.push_str("\\\\"),
            Ok(plain @ ' '..='~') if !matches!(plain, '"' | '&' | '\'' | '+' | '<' | '>' | '`') => text.push(plain),
            _ => {
                text.push_str("\\u");
                unit.to_be_bytes().into_iter().for_each(|byte| push_hex(&mut text, byte, upper));
            }
        }
    }
    Zeroizing::new(core::mem::take(&mut *text).into_bytes())
}

fn push_hex(text: &mut String, byte: u8, upper: bool) {
    let written = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
    debug_assert!(written.is_ok(), "a string takes everything");
}

/// Encodes `value` as it stands in the base64 of a text that has it `shift` bytes after a group's start: the digits
/// that only the value decides.
fn base64_inside(engine: &impl Engine, value: &[u8], shift: usize) -> Zeroizing<Vec<u8>> {
    let mut shifted = Zeroizing::new(vec![0; shift]);
    shifted.extend_from_slice(value);
    let encoded = Zeroizing::new(engine.encode(&*shifted).into_bytes());
    // The first digits mix with what stands before the value, the last one with what follows.
    let first = [0, 2, 3].get(shift).copied().unwrap_or_default();
    let last = encoded.len() - usize::from(!shifted.len().is_multiple_of(3));
    Zeroizing::new(encoded.get(first..last).unwrap_or_default().to_vec())
}

fn find(bytes: &[u8], form: &[u8]) -> Option<usize> {
    if form.is_empty() { None } else { memmem::find(bytes, form) }
}

fn replace(bytes: &[u8], form: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((before, after)) = find(rest, form).and_then(|at| {
        let (before, found) = rest.split_at_checked(at)?;
        Some((before, found.get(form.len()..)?))
    }) {
        out.extend_from_slice(before);
        out.extend_from_slice(REDACTED);
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_in_every_form_and_replaced() {
        let secret = Secret::new(b"s/e\"c +r\xc3\xa9t".to_vec());
        let json = serde_json::to_string("s/e\"c +r\u{e9}t").unwrap();
        for (name, text) in [
            ("raw", "key s/e\"c +r\u{e9}t.".to_owned()),
            ("hex", "732f652263202b72c3a974".to_owned()),
            ("HEX", "732F652263202B72C3A974".to_owned()),
            ("percent", "?k=s%2Fe%22c%20%2Br%C3%A9t&".to_owned()),
            ("lower-case percent", "s%2fe%22c%20%2br%c3%a9t".to_owned()),
            ("form", "k=s%2Fe%22c+%2Br%C3%A9t".to_owned()),
            ("json", json.clone()),
            ("json with escaped slashes", json.replace('/', "\\/")),
            ("json for pages", r"s/e\u0022c \u002Br\u00E9t".to_owned()),
            ("json for pages, in small letters", r"s/e\u0022c \u002br\u00e9t".to_owned()),
        ] {
            assert!(secret.is_in(text.as_bytes()), "{name}: {text}");
            let redacted = secret.redact(text.as_bytes()).unwrap();
            assert!(!secret.is_in(&redacted) && find(&redacted, REDACTED).is_some(), "{name}");
        }
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "!", "!!"] {
                let mut text = before.as_bytes().to_vec();
                text.extend_from_slice(secret.expose());
                text.extend_from_slice(after.as_bytes());
                assert!(secret.is_in(STANDARD_NO_PAD.encode(&text).as_bytes()), "{before}…{after}");
                assert!(secret.is_in(URL_SAFE_NO_PAD.encode(&text).as_bytes()), "{before}…{after}");
            }
        }
        assert!(!secret.is_in(b"nothing of the kind"));
        assert_eq!(secret.redact(b"nothing of the kind"), None);
    }

    #[test]
    fn values_that_occur_by_chance_are_not_searched_for() {
        assert!(!Secret::new(b"12345".to_vec()).is_in(b"0123456789"));
        assert!(Secret::new(b"123456".to_vec()).is_in(b"0123456789"));
        assert!(!Secret::new(Vec::new()).is_in(b""));
    }

    #[test]
    fn a_value_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new(b"hidden".to_vec())), "Secret");
    }
}
