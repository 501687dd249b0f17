//! What follows on an answer that sends the caller elsewhere.
//!
//! A request that changes something is sent again only where its class allows that: under its key, to the same origin.
//! Elsewhere the redirect itself is the answer, on which a plan can branch. Never here: whether the grant allows the new
//! place; the loop in `mod.rs` asks that for every hop.

use aos_air::url::Target;

use super::error::HttpError;
use super::exchange::Response;
use crate::adapter::Class;

/// The next request of a chain of redirects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    /// Where to.
    pub(super) target: Target,
    /// With which method.
    pub(super) method: String,
    /// Whether the body and the fields that describe it go along.
    pub(super) has_body: bool,
}

/// Returns the request that follows on `response`, or none if `response` is the answer.
pub(super) fn next(from: &Target, method: &str, class: Class, response: &Response) -> Result<Option<Hop>, HttpError> {
    if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let mut places = response.values("location");
    let (place, another) = (places.next(), places.next());
    let Some(place) = place else { return Ok(None) };
    let refused = |code: &'static str| HttpError::RedirectRefused { code: code.into() };
    let place = std::str::from_utf8(place).ok().filter(|_| another.is_none()).ok_or(refused("http.url"))?;
    let target = from.join(place).map_err(|error| refused(error.code()))?;
    let becomes_get = match response.status {
        303 => method != "GET" && method != "HEAD",
        301 | 302 => method == "POST",
        _ => false,
    };
    let is_reading = matches!(method, "GET" | "HEAD");
    let may_repeat = class != Class::Once && from.is_same_origin(&target);
    if becomes_get {
        return Ok(Some(Hop { target, method: "GET".to_owned(), has_body: false }));
    }
    Ok((is_reading || may_repeat).then(|| Hop { target, method: method.to_owned(), has_body: true }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(method: &str, class: Class, status: u16, locations: &[&str]) -> String {
        let from = Target::parse("https://a.example/dir/page?q=1").unwrap();
        let headers = locations.iter().map(|place| ("Location".to_owned(), place.as_bytes().to_vec())).collect();
        match next(&from, method, class, &Response { status, headers, body: Vec::new() }) {
            Ok(None) => "the answer".to_owned(),
            Ok(Some(Hop { target, method, has_body })) => {
                format!("{method} {}{}", target.url, if has_body { " with body" } else { "" })
            }
            Err(HttpError::RedirectRefused { code }) => code.into_owned(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn methods_and_bodies_follow_the_status_and_the_class() {
        use Class::{Keyed, Once, Safe};
        let (same, other) = ("https://a.example/x", "https://b.example/x");
        let (same_get, other_get) = ("GET https://a.example/x", "GET https://b.example/x");
        let cases = [
            ("GET", Safe, 301, other, "GET https://b.example/x with body"),
            ("HEAD", Safe, 303, other, "HEAD https://b.example/x with body"),
            ("POST", Once, 301, same, same_get),
            ("POST", Once, 302, other, other_get),
            ("POST", Once, 303, other, other_get),
            ("PUT", Once, 303, same, same_get),
            ("POST", Once, 307, same, "the answer"),
            ("POST", Once, 308, same, "the answer"),
            ("PUT", Once, 301, same, "the answer"),
            ("POST", Keyed, 307, same, "POST https://a.example/x with body"),
            ("POST", Keyed, 307, other, "the answer"),
            ("DELETE", Keyed, 302, same, "DELETE https://a.example/x with body"),
            ("POST", Keyed, 307, "http://a.example/x", "the answer"),
            ("GET", Safe, 300, same, "the answer"),
            ("GET", Safe, 304, same, "the answer"),
            ("GET", Safe, 305, same, "the answer"),
            ("GET", Safe, 201, same, "the answer"),
        ];
        for (method, class, status, place, expected) in cases {
            assert_eq!(hop(method, class, status, &[place]), expected, "{method} {class:?} {status} {place}");
        }
    }

    #[test]
    fn a_place_is_resolved_and_judged_as_strictly_as_any_url() {
        let cases = [
            ("/x", "GET https://a.example/x with body"),
            ("x", "GET https://a.example/dir/x with body"),
            ("//b.example/x", "GET https://b.example/x with body"),
            ("?q=2", "GET https://a.example/dir/page?q=2 with body"),
            ("HTTP://A.example:80/x#f", "GET http://a.example/x with body"),
            ("ftp://a.example/x", "http.scheme"),
            ("file:///etc/passwd", "http.scheme"),
            ("https://user@a.example/x", "http.url"),
            ("https://a.example\\@b.example/", "http.url"),
            ("/a\r\nHost: b", "http.url"),
            ("", "GET https://a.example/dir/page?q=1 with body"),
        ];
        for (place, expected) in cases {
            assert_eq!(hop("GET", Class::Safe, 302, &[place]), expected, "{place:?}");
        }
        assert_eq!(hop("GET", Class::Safe, 302, &[]), "the answer");
        assert_eq!(hop("GET", Class::Safe, 302, &["/x", "/y"]), "http.url");
    }
}
