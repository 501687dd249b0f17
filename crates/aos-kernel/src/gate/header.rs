//! The headers of an HTTP request that a plan may write itself: those that say neither who asks nor where to.

use alloc::collections::BTreeSet;
use alloc::format;

use aos_air::schema::Value;

use super::read::{self, as_text};
use super::{Denied, quote};

/// Headers whose value is a secret: a plan names one by `auth`, never writes one.
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// Headers that frame a message, or that make a server act on another host, path or method than the gate has judged.
const RESERVED: [&str; 19] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Checks the headers that a plan wrote, and the one that its `auth` names.
///
/// # Errors
/// `http.header` or `secret.literal`.
pub(super) fn check(params: &Value) -> Result<(), Denied> {
    let mut seen = BTreeSet::new();
    if let Some(Value::Map(entries)) = read::field(params, "headers") {
        for (name, value) in entries.values() {
            let (Some(name), Some(value)) = (as_text(name), as_text(value)) else {
                return Err(Denied::params("headers are texts"));
            };
            check_name(name)?;
            check_value(name, value)?;
            let name = name.to_ascii_lowercase();
            if SECRET.contains(&name.as_str()) {
                let message = format!("the header `{name}` takes a secret: name one in `auth`");
                return Err(Denied::new("secret.literal", message));
            }
            if !seen.insert(name) {
                return Err(Denied::new("http.header", "a header stands twice, in different spellings"));
            }
        }
    }
    let Some(auth) = read::field(params, "auth") else { return Ok(()) };
    let name = read::text(auth, "header").unwrap_or_default();
    check_name(name)?;
    check_value(name, read::text(auth, "prefix").unwrap_or_default())?;
    if seen.contains(&name.to_ascii_lowercase()) {
        return Err(Denied::new("http.header", "the header of `auth` stands among the headers too"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Denied> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Denied::new("http.header", format!("{} is no name of a header", quote(name))));
    }
    if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        return Err(Denied::new("http.header", format!("the header {} is not for a plan to set", quote(name))));
    }
    Ok(())
}

/// A value ends no line: what follows would be a header, or a request, that nobody has judged.
fn check_value(name: &str, value: &str) -> Result<(), Denied> {
    let is_visible = |byte: u8| matches!(byte, b'\t' | b' '..=b'~');
    if value.bytes().all(is_visible) {
        return Ok(());
    }
    Err(Denied::new("http.header", format!("the value of the header {} is not printable ASCII", quote(name))))
}
