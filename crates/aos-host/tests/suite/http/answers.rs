//! Requests as the server sees them, and answers as a plan sees them.

use aos_host::adapter::{Class, Cost};

use super::{Ask, lost};
use crate::http_server::Server;

#[test]
fn a_request_arrives_as_it_was_asked_for() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello");
    let told = Ask::to(&server, "/dir/../a%20b?q=1&r")
        .with(|ask| {
            ask.headers.insert("X-Mine".to_owned(), "a b".to_owned());
        })
        .perform()
        .unwrap();
    assert_eq!(told.status, 200);
    assert_eq!(told.headers["x-a"], "1, 2");
    assert_eq!(told.body, b"hello");
    assert_eq!(told.cost, Cost { bytes: 5, ..Cost::default() });
    let head = server.seen()[0].head.join("\n").replace(&server.address.port().to_string(), "PORT");
    insta::assert_snapshot!(head, @r"
    GET /a%20b?q=1&r HTTP/1.1
    Host: 127.0.0.1:PORT
    Connection: close
    X-Mine: a b
    accept: */*
    user-agent: aos/0.1.0
    accept-encoding: identity
    ");
}

#[test]
fn a_body_goes_out_and_the_key_only_under_a_grant_that_honours_it() {
    for (class, key) in [(Class::Once, false), (Class::Keyed, true), (Class::Safe, false)] {
        let server = Server::answering("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        let ask = Ask::post(&server, "/", b"\0body\xff").with(|ask| ask.class = class);
        let told = ask.perform().unwrap();
        assert_eq!((told.status, told.body.len(), told.cost.bytes), (201, 0, 6));
        let seen = &server.seen()[0];
        assert_eq!((seen.line(), seen.body.as_slice()), ("POST / HTTP/1.1", &b"\0body\xff"[..]));
        assert_eq!(seen.header("idempotency-key").map(str::len), key.then_some(64), "{class:?}");
    }
}

#[test]
fn every_status_is_an_answer() {
    for status in [200, 204, 304, 400, 401, 404, 418, 429, 500, 503, 599, 999] {
        let server = Server::answering(format!("HTTP/1.1 {status} Why\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"));
        let told = Ask::to(&server, "/").perform().unwrap();
        assert_eq!((told.status, told.headers["retry-after"].as_str()), (status, "3"));
        assert_eq!(server.connections(), 1, "the adapter tries nothing again");
    }
}

#[test]
fn a_body_ends_by_length_by_chunks_or_with_the_connection() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", "abc"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\nTrailer: x\r\n\r\nrest",
            "abc",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nabc", "abc"),
        ("HTTP/1.0 200 OK\r\n\r\nabc", "abc"),
        ("HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc", "abc"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabc", "abc"),
        ("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc", ""),
    ];
    for (answer, body) in cases {
        let told = Ask::to(&Server::answering(answer), "/").perform().unwrap();
        assert_eq!(told.body, body.as_bytes(), "{answer:?}");
    }
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
    let told = Ask::to(&server, "/").with(|ask| ask.method = "HEAD".to_owned()).perform().unwrap();
    assert_eq!((told.headers["content-length"].as_str(), told.body.len()), ("3", 0));
}

#[test]
fn what_is_not_http_is_no_answer() {
    let chunked = |rest: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}");
    let cases = [
        ("", "http.closed"),
        ("H", "http.closed"),
        ("HTTP/1.1 200 OK\r\n", "http.closed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "http.closed"),
        (&chunked("3\r\nab"), "http.closed"),
        (&chunked("3\r\nabc\r\n"), "http.closed"),
        (&chunked("3\r\nabc\r\n0\r\n"), "http.closed"),
        ("SSH-2.0-OpenSSH_9.2p1\r\n", "http.malformed"),
        ("HTTP/2 200 OK\r\n\r\n", "http.malformed"),
        ("HTTP/1.2 200 OK\r\n\r\n", "http.malformed"),
        ("HTTP/1.1 20 OK\r\n\r\n", "http.malformed"),
        ("HTTP/1.1 2000 OK\r\n\r\n", "http.malformed"),
        ("HTTP/1.1 abc OK\r\n\r\n", "http.malformed"),
        ("HTTP/1.1 099 OK\r\n\r\n", "http.malformed"),
        ("HTTP/1.1 101 Switching\r\n\r\n", "http.malformed"),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "http.malformed"),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "http.malformed"),
        ("HTTP/1.1 200 OK\r\n: b\r\n\r\n", "http.malformed"),
        ("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", "http.malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "http.malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", "http.malformed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", "http.malformed"),
        (&chunked("3\nabc\r\n0\r\n\r\n"), "http.malformed"),
        (&chunked("3\r\nabcd\r\n0\r\n\r\n"), "http.malformed"),
        (&chunked("zz\r\nabc\r\n0\r\n\r\n"), "http.malformed"),
        (&chunked("-3\r\nabc\r\n0\r\n\r\n"), "http.malformed"),
        (&chunked(&format!("3;{}\r\nabc\r\n", "x".repeat(5_000))), "http.malformed"),
        (&"HTTP/1.1 102 Wait\r\n\r\n".repeat(20), "http.malformed"),
    ];
    for (answer, code) in cases {
        let failure = Ask::to(&Server::answering(answer), "/").failure();
        assert_eq!(failure, lost(code, true), "{answer:?}");
    }
}

#[test]
fn a_server_may_answer_before_it_has_read_the_body() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut socket, _) = listener.accept().unwrap();
        let mut some = [0; 1_000];
        socket.read_exact(&mut some).unwrap();
        socket.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        // Takes the rest, so that the end of this connection is no reset that would overtake the answer.
        std::io::copy(&mut socket, &mut std::io::sink()).unwrap();
    });
    let ask = Ask::get(&url).with(|ask| {
        ask.method = "POST".to_owned();
        ask.body = Some(vec![7; 4_000_000]);
    });
    assert_eq!(ask.perform().unwrap().status, 413);
    serving.join().unwrap();
}
