//! Which header fields a request may have, and in which form an answer's fields are recorded.
//!
//! What decides where a message ends, where it goes or how it is packed is ours to say, never the caller's; nothing that
//! a caller writes can begin a new line. Never here: secrets' values beyond the one field that carries them.
//! Next: `exchange.rs`, which writes the fields down.

use std::collections::BTreeMap;

use super::error::HttpError;
use crate::keys::Secret;

/// The most header fields of a request.
const COUNT_MAX: usize = 100;
/// The most bytes of a request's header fields, names and values together.
const BYTES_MAX: usize = 32 * 1_024;

/// Names that the adapter alone writes, or that would change what the connection is.
const OURS: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
/// Names whose values are secrets; they come from `auth` alone.
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];
/// The field that carries the outward key.
pub(crate) const KEY: &str = "idempotency-key";

/// Checks the fields that a request's params ask for, and adds what goes with every request.
pub(crate) fn fields(asked: &BTreeMap<String, String>, key: Option<&str>) -> Result<Fields, HttpError> {
    let mut fields: Fields = Vec::with_capacity(asked.len() + 4);
    let mut bytes = 0_usize;
    for (name, value) in asked {
        let lower = name.to_ascii_lowercase();
        let why = match () {
            () if OURS.contains(&lower.as_str()) => "is written by the adapter alone",
            () if SECRET.contains(&lower.as_str()) => return Err(literal()),
            () if key.is_some() && lower == KEY => "is the adapter's under a grant with `honours_key`",
            () if has(&fields, &lower) => "is there twice",
            () => "",
        };
        if !why.is_empty() {
            return Err(HttpError::Header { name: shown(name), why });
        }
        check(name, value.as_bytes())?;
        bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
        fields.push((name.clone(), value.as_bytes().to_vec()));
    }
    if fields.len() > COUNT_MAX || bytes > BYTES_MAX {
        return Err(HttpError::Header { name: "…".to_owned(), why: "is one of too many, or too long" });
    }
    for (name, value) in
        [("accept", "*/*"), ("user-agent", concat!("aos/", env!("CARGO_PKG_VERSION"))), ("accept-encoding", "identity")]
    {
        if !has(&fields, name) {
            fields.push((name.to_owned(), value.as_bytes().to_vec()));
        }
    }
    if let Some(key) = key {
        fields.push((KEY.to_owned(), key.as_bytes().to_vec()));
    }
    Ok(fields)
}

/// Header fields in the order in which they are sent.
pub(crate) type Fields = Vec<(String, Vec<u8>)>;

/// Makes the field that carries a secret.
pub(crate) fn auth(name: &str, prefix: &str, secret: &Secret) -> Result<(String, Vec<u8>), HttpError> {
    let lower = name.to_ascii_lowercase();
    if OURS.contains(&lower.as_str()) || lower == KEY {
        return Err(HttpError::Header { name: shown(name), why: "cannot carry a secret" });
    }
    let mut value = prefix.as_bytes().to_vec();
    value.extend_from_slice(secret.expose());
    check(name, &value)?;
    Ok((name.to_owned(), value))
}

fn literal() -> HttpError {
    HttpError::refused("secret.literal", "a header that takes a secret names one in `auth`")
}

fn has(fields: &[(String, Vec<u8>)], name: &str) -> bool {
    fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name))
}

/// A name is a token, a value is visible text with spaces and tabs in it.
fn check(name: &str, value: &[u8]) -> Result<(), HttpError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_text = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    let why = match () {
        () if name.is_empty() || !name.bytes().all(is_token) => "has a name that is no token",
        () if !value.iter().copied().all(is_text) => "has a value with a control character",
        () if value.trim_ascii() != value => "has a value that begins or ends with a space",
        () => return Ok(()),
    };
    Err(HttpError::Header { name: shown(name), why })
}

/// A name as a message may show it.
fn shown(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_graphic()).take(64).collect()
}

/// Puts an answer's fields into one map: names in lower case, values of one name joined by `, `, those of `set-cookie`
/// by a line end, because they hold commas. A value that is no UTF-8 is read as Latin-1.
pub(crate) fn recorded(fields: &[(String, Vec<u8>)]) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in fields {
        let name = name.to_ascii_lowercase();
        let value = match std::str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            Err(_) => value.iter().copied().map(char::from).collect(),
        };
        let between = if name == "set-cookie" { "\n" } else { ", " };
        let joined = map.get(&name).map(|first| format!("{first}{between}{value}"));
        map.insert(name, joined.unwrap_or(value));
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str, value: &str, key: Option<&str>) -> Option<String> {
        let asked = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        fields(&asked, key).err().map(|error| error.code().into_owned())
    }

    #[test]
    fn what_frames_a_message_and_what_ends_a_line_is_refused() {
        for name in [
            "Host",
            "host",
            "CONTENT-LENGTH",
            "Transfer-Encoding",
            "Connection",
            "Expect",
            "TE",
            "Trailer",
            "Upgrade",
            "Keep-Alive",
            "Proxy-Connection",
            "Accept-Encoding",
            "",
            "a b",
            "a:b",
            "a\r\nb",
            "ä",
            "a\0",
        ] {
            assert_eq!(refusal(name, "x", None).as_deref(), Some("http.header"), "{name:?}");
        }
        for value in ["a\r\nHost: b", "a\nb", "a\rb", "a\0b", "\u{7f}", " a", "a ", "\ta"] {
            assert_eq!(refusal("x-a", value, None).as_deref(), Some("http.header"), "{value:?}");
        }
        for value in ["", "a", "a b", "a\tb", "grün", "a,b;c=\"d\""] {
            assert_eq!(refusal("x-a", value, None), None, "{value:?}");
        }
        for name in ["Authorization", "cookie", "PROXY-AUTHORIZATION", "x-api-key"] {
            assert_eq!(refusal(name, "x", None).as_deref(), Some("secret.literal"), "{name:?}");
        }
        assert_eq!(refusal("Idempotency-Key", "x", Some("k")).as_deref(), Some("http.header"));
        assert_eq!(refusal("Idempotency-Key", "x", None), None);
    }

    #[test]
    fn the_count_and_the_bytes_have_a_limit() {
        let many = |count: usize| (0..count).map(|index| (format!("x-{index}"), String::new())).collect();
        assert!(fields(&many(COUNT_MAX), None).is_ok());
        assert_eq!(fields(&many(COUNT_MAX + 1), None).unwrap_err().code(), "http.header");
        let long = |bytes: usize| BTreeMap::from([("x".to_owned(), "v".repeat(bytes - 1))]);
        assert!(fields(&long(BYTES_MAX), None).is_ok());
        assert_eq!(fields(&long(BYTES_MAX + 1), None).unwrap_err().code(), "http.header");
        let twice = BTreeMap::from([("X-A".to_owned(), String::new()), ("x-a".to_owned(), String::new())]);
        assert_eq!(fields(&twice, None).unwrap_err().code(), "http.header");
    }

    #[test]
    fn a_secret_goes_into_one_field_and_into_no_message() {
        let secret = Secret::new(b"hunter22".to_vec());
        assert_eq!(
            auth("Authorization", "Bearer ", &secret),
            Ok(("Authorization".to_owned(), b"Bearer hunter22".to_vec()))
        );
        for (name, value) in [("Host", "hunter22"), ("a b", "hunter22"), ("x-a", "hunter22\r\nx: y"), (KEY, "hunter22")]
        {
            let error = auth(name, "", &Secret::new(value.as_bytes().to_vec())).unwrap_err();
            assert_eq!(error.code(), "http.header");
            assert!(!error.to_string().contains("hunter"), "{error}");
        }
    }

    #[test]
    fn an_answers_fields_become_one_map() {
        let field = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let map = recorded(&[
            field("Vary", b"a"),
            field("Set-Cookie", b"a=1, x"),
            field("VARY", b"b"),
            field("set-cookie", b"b=2"),
            field("X", b"\xfc"),
        ]);
        insta::assert_compact_debug_snapshot!(map, @r#"{"set-cookie": "a=1, x\nb=2", "vary": "a, b", "x": "ü"}"#);
    }
}
