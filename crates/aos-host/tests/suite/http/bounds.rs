//! Sizes, times and cancellation: each limit at its edge, and nobody waits longer than told.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use aos_host::adapter::Status;
use aos_host::adapter::http::Settings;

use super::{Ask, lost, quick};
use crate::http_server::{Server, drip};

const PIECE: [u8; 4_096] = [b'x'; 4_096];

#[test]
fn a_body_may_be_as_long_as_its_limit_and_no_longer() {
    let length = |bytes: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes));
    let close = |bytes: usize| format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(bytes));
    let chunks = |bytes: usize| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{}0\r\n\r\n", "1\r\nx\r\n".repeat(bytes))
    };
    let forms: [(&str, &dyn Fn(usize) -> String); 3] = [("length", &length), ("close", &close), ("chunks", &chunks)];
    for (name, form) in forms {
        let ask =
            |bytes| Ask::to(&Server::answering(form(bytes)), "/").with(|ask| ask.grant.body_bytes_max = Some(100));
        assert_eq!(ask(100).perform().unwrap().body.len(), 100, "{name}");
        assert_eq!(ask(101).failure(), lost("http.body_size", true), "{name}");
    }
    let server = Server::answering(length(0));
    let ask = |bytes| Ask::post(&server, "/", &vec![b'x'; bytes]).with(|ask| ask.grant.body_bytes_max = Some(100));
    assert_eq!(ask(100).perform().unwrap().cost.bytes, 100);
    assert_eq!(ask(101).failure(), lost("http.body_size", false));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn an_endless_answer_is_cut_at_the_limit_of_the_host() {
    let heads = [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    ];
    for head in heads {
        let server = Server::start(move |_, stream| {
            stream.write_all(head.as_bytes())?;
            drip(stream, &PIECE, Duration::ZERO)
        });
        let ask = Ask::to(&server, "/").with(|ask| ask.settings.body_bytes_max = 1_000_000);
        assert_eq!(ask.failure(), lost("http.body_size", true), "{head}");
    }
}

#[test]
fn a_header_has_a_size_and_a_count() {
    let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
    let bytes = |bytes: usize| {
        let rest = "HTTP/1.1 200 OK\r\na: \r\n\r\n".len();
        format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(bytes - rest))
    };
    let settings = || Settings { header_count_max: 9, header_bytes_max: 500, ..Settings::default() };
    let ask = |answer: String| Ask::to(&Server::answering(answer), "/").with(|ask| ask.settings = settings());
    assert_eq!(ask(fields(9)).perform().unwrap().status, 200);
    assert_eq!(ask(fields(10)).failure(), lost("http.header_size", true));
    assert_eq!(ask(bytes(500)).perform().unwrap().status, 200);
    assert_eq!(ask(bytes(501)).failure(), lost("http.header_size", true));
    for piece in ["a: b\r\n", "a"] {
        let server = Server::start(move |_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            drip(stream, piece.repeat(500).as_bytes(), Duration::ZERO)
        });
        assert_eq!(Ask::to(&server, "/").failure(), lost("http.header_size", true), "{piece:?}");
    }
    let trailers = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    let server = Server::start(move |_, stream| {
        stream.write_all(trailers.as_bytes())?;
        drip(stream, b"a: b\r\n", Duration::ZERO)
    });
    assert_eq!(Ask::to(&server, "/").with(|ask| ask.settings = settings()).failure(), lost("http.header_size", true));
}

#[test]
fn each_wait_has_an_end() {
    let pause = Duration::from_millis(20);
    let silent = Server::start(|_, _| {
        thread::sleep(Duration::from_secs(60));
        Ok(())
    });
    let slow_head = Server::start(move |_, stream| drip(stream, b"HTTP/1.1 200 OK\r\nA: b", pause));
    let slow_body = Server::start(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        drip(stream, b"x", pause)
    });
    let waiting =
        Server::start(move |_, stream| drip(stream, b"HTTP/1.1 102 Wait\r\n\r\n", Duration::from_millis(300)));
    for (name, server) in [("silent", silent), ("head", slow_head), ("body", slow_body), ("interim", waiting)] {
        let started = Instant::now();
        let failed = Ask::to(&server, "/").with(|ask| ask.settings = quick()).perform().unwrap_err();
        let took = started.elapsed();
        assert_eq!(
            (&*failed.code, failed.status(), failed.retriable, failed.sent),
            ("http.timeout", Status::Timeout, true, true),
            "{name}"
        );
        assert!(Duration::from_millis(300) < took && took < Duration::from_secs(5), "{name} took {took:?}");
    }
    // The effect's own deadline counts as well.
    let server = Server::start(move |_, stream| drip(stream, b"HTTP/1.1 200 OK\r\nA: b", pause));
    let ask = Ask::to(&server, "/").with(|ask| ask.time = Duration::from_millis(200));
    assert_eq!(ask.failure(), lost("http.timeout", true));
    assert_eq!(Ask::to(&server, "/").with(|ask| ask.time = Duration::ZERO).failure(), lost("http.timeout", false));
}

#[test]
fn a_server_that_takes_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let ask = Ask::get(&url).with(|ask| {
        ask.method = "POST".to_owned();
        ask.body = Some(vec![7; 8_000_000]);
        ask.settings = quick();
    });
    assert_eq!(ask.failure(), lost("http.timeout", true));
}

#[test]
fn a_request_can_be_called_off_while_it_waits() {
    let server = Server::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        drip(stream, b"x", Duration::from_millis(500))
    });
    let ask = Ask::to(&server, "/");
    let cancellation = ask.cancellation.clone();
    let started = Instant::now();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        cancellation.cancel();
    });
    let failed = ask.perform().unwrap_err();
    assert_eq!((&*failed.code, failed.status(), failed.sent), ("http.cancelled", Status::Cancelled, true));
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[test]
fn nothing_was_sent_where_no_connection_was_made() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let failed = Ask::get(&url).perform().unwrap_err();
    assert_eq!((&*failed.code, failed.retriable, failed.sent), ("http.connect", true, false));
    // A cut connection: the request had left.
    let server = Server::start(|_, _| Ok(()));
    let failed = Ask::to(&server, "/").perform().unwrap_err();
    assert_eq!((&*failed.code, failed.retriable, failed.sent), ("http.closed", true, true));
    assert_eq!(server.seen().len(), 1);
    // A missing blob: not even a connection.
    let server = Server::answering("HTTP/1.1 200 OK\r\n\r\n");
    let wrong_header = Ask::to(&server, "/").with(|ask| {
        ask.headers.insert("X".to_owned(), "a\r\nHost: b".to_owned());
    });
    assert_eq!(wrong_header.failure(), lost("http.header", false));
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_drip_of_single_bytes_is_a_whole_answer_in_the_end() {
    let server = Server::start(|_, stream| {
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" {
            stream.write_all(&[*byte])?;
            stream.flush()?;
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    });
    assert_eq!(Ask::to(&server, "/").perform().unwrap().body, b"abc");
}
