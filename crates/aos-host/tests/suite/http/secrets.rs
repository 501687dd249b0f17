//! A secret goes where it was meant to go, and what comes back with it is stored without it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::{Ask, lost};
use crate::http_server::Server;

const SECRET: &str = "hunter22-and-more";

#[test]
fn a_secret_is_sent_in_its_field_and_nowhere_else() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let told = Ask::to(&server, "/").auth().perform().unwrap();
    assert_eq!(server.seen()[0].header("authorization"), Some("Bearer hunter22-and-more"));
    assert!(!told.redacted);
    let custom = |ask: &mut Ask| ask.auth = Some(("X-Api-Key".to_owned(), None));
    Ask::to(&server, "/").with(custom).perform().unwrap();
    assert_eq!(server.seen()[1].header("x-api-key"), Some(SECRET));
}

#[test]
fn a_secret_that_comes_back_is_taken_out() {
    let echoes = [
        ("raw", format!("your key is {SECRET}!")),
        ("twice", format!("{SECRET}{SECRET}")),
        ("base64", STANDARD.encode(SECRET)),
        ("base64 inside", STANDARD.encode(format!("user:{SECRET}"))),
        ("base64 inside, shifted", STANDARD.encode(format!("a:{SECRET}:b"))),
        ("base64url", URL_SAFE_NO_PAD.encode(format!("??{SECRET}>>"))),
        ("escaped", "?key=hunter22%2Dand%2Dmore".replace("%2D", "-")),
    ];
    for (name, echo) in echoes {
        let in_body = Server::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{echo}", echo.len()));
        let in_header = Server::answering(format!("HTTP/1.1 200 OK\r\nX-Echo: {echo}\r\nContent-Length: 0\r\n\r\n"));
        for server in [in_body, in_header] {
            let told = Ask::to(&server, "/").auth().perform().unwrap();
            assert!(told.redacted, "{name}");
            let all = format!("{:?} {}", told.headers, String::from_utf8(told.body).unwrap());
            assert!(!all.contains(SECRET) && !all.contains(&echo) && all.contains("[secret]"), "{name}: {all}");
        }
    }
    // A request without a secret is stored as it came.
    let server = Server::answering(format!("HTTP/1.1 200 OK\r\n\r\n{SECRET}"));
    let told = Ask::to(&server, "/").perform().unwrap();
    assert_eq!((told.body, told.redacted), (SECRET.as_bytes().to_vec(), false));
}

#[test]
fn a_secret_with_signs_in_it_is_found_in_every_escape() {
    let secret = "p/w d+\"é\"";
    for echo in ["p/w d+\"é\"", "p%2Fw%20d%2B%22%C3%A9%22", "p%2fw+d%2b%22%c3%a9%22", "{\"k\":\"p\\/w d+\\\"é\\\"\"}"]
    {
        let server = Server::answering(format!("HTTP/1.1 200 OK\r\n\r\n{echo}"));
        let ask = Ask::to(&server, "/").auth().with(|ask| ask.secret = secret.as_bytes().to_vec());
        let told = ask.perform().unwrap();
        assert!(told.redacted, "{echo}: {}", String::from_utf8_lossy(&told.body));
    }
}

#[test]
fn a_compressed_answer_cannot_be_searched() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\u{8}");
    assert_eq!(Ask::to(&server, "/").auth().failure(), lost("http.encoding", true));
    assert_eq!(Ask::to(&server, "/").perform().unwrap().body, b"\x1f\x08");
}

#[test]
fn a_secret_stays_with_its_origin() {
    let other = Server::answering("HTTP/1.1 200 OK\r\n\r\n");
    let there = other.url("/");
    let first = Server::start(move |_, stream| {
        stream.write_all(format!("HTTP/1.1 302 Go\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n").as_bytes())
    });
    Ask::to(&first, "/").auth().perform().unwrap();
    assert_eq!(first.seen()[0].header("authorization"), Some("Bearer hunter22-and-more"));
    assert_eq!(other.seen()[0].header("authorization"), None);

    // On the same origin it goes along.
    let server = Server::start(|seen, stream| {
        stream.write_all(match seen.line() {
            "GET /a HTTP/1.1" => b"HTTP/1.1 302 Go\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\n\r\n",
        })
    });
    Ask::to(&server, "/a").auth().perform().unwrap();
    assert!(server.seen().iter().all(|seen| seen.header("authorization").is_some()));

    // Away and back again: it does not come back.
    let ports = std::sync::Arc::new(std::sync::OnceLock::<(String, String)>::new());
    let (to_b, to_a) = (std::sync::Arc::clone(&ports), std::sync::Arc::clone(&ports));
    let a = Server::start(move |seen, stream| {
        let b = &to_b.get().unwrap().1;
        let redirect = format!("HTTP/1.1 302 Go\r\nLocation: {b}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(if seen.line().contains("back") { b"HTTP/1.1 200 OK\r\n\r\n" } else { redirect.as_bytes() })
    });
    let b = Server::start(move |_, stream| {
        let a = &to_a.get().unwrap().0;
        stream.write_all(format!("HTTP/1.1 302 Go\r\nLocation: {a}\r\nContent-Length: 0\r\n\r\n").as_bytes())
    });
    ports.set((a.url("/back"), b.url("/"))).unwrap();
    Ask::to(&a, "/").auth().perform().unwrap();
    let with: Vec<bool> = a.seen().iter().chain(&b.seen()).map(|seen| seen.header("authorization").is_some()).collect();
    assert_eq!(with, [true, false, false]);
}

#[test]
fn a_redirect_that_carries_the_secret_away_is_refused() {
    let other = Server::answering("HTTP/1.1 200 OK\r\n\r\n");
    let there = other.url(&format!("/?key={SECRET}"));
    let first = Server::answering(format!("HTTP/1.1 302 Go\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n"));
    let failed = Ask::to(&first, "/").auth().perform().unwrap_err();
    assert_eq!(&*failed.code, "http.redirect_refused");
    assert!(!failed.message.contains(SECRET), "{}", failed.message);
    assert_eq!(other.connections(), 0);
}

#[test]
fn a_secret_in_params_is_refused() {
    let server = Server::answering("HTTP/1.1 200 OK\r\n\r\n");
    let ask = Ask::to(&server, "/").with(|ask| {
        ask.headers.insert("Authorization".to_owned(), "Bearer x".to_owned());
    });
    assert_eq!(ask.failure(), lost("secret.literal", false));
    // A value that would begin a new line is not sent, and not shown.
    let ask = Ask::to(&server, "/").auth().with(|ask| ask.secret = b"hunter22\r\nHost: evil".to_vec());
    let failed = ask.perform().unwrap_err();
    assert_eq!((&*failed.code, failed.sent), ("http.header", false));
    assert!(!failed.message.contains("hunter"), "{}", failed.message);
    assert_eq!(server.connections(), 0);
}
