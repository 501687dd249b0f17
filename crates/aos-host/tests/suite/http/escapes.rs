//! Ways around the grant: redirects, private addresses, names that change. Every one of them ends in a code.

use std::collections::BTreeMap;

use aos_host::adapter::http::{Http, Settings};
use aos_host::adapter::llm::Llm;
use aos_host::adapter::{Adapter, Call, Class, Effect};

use super::{Ask, lost, resolving};
use crate::http_server::{Names, Server};

fn redirect(status: u16, to: &str) -> Server {
    Server::answering(format!("HTTP/1.1 {status} Go\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"))
}

#[test]
fn addresses_that_are_not_public_have_to_be_named() {
    let server = Server::answering("HTTP/1.1 200 OK\r\n\r\n");
    let port = server.address.port();
    let names = Names::of(&[
        ("api.example", &[&["127.0.0.1"]]),
        ("localhost", &[&["::1", "127.0.0.1"]]),
        ("inside.example", &[&["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fd00::1"]]),
        ("nowhere.example", &[&[]]),
    ]);
    let cases = [
        (&["api.example"][..], "api.example", Err("http.address")),
        (&["*.example"], "api.example", Err("http.address")),
        (&["api.example", "10.0.0.1"], "api.example", Err("http.address")),
        (&["api.example", "127.0.0.1"], "api.example", Ok(200)),
        (&["localhost"], "localhost", Ok(200)),
        (&["inside.example"], "inside.example", Err("http.address")),
        (&["inside.example", "127.0.0.1"], "inside.example", Ok(200)),
        (&["nowhere.example"], "nowhere.example", Err("http.dns")),
        (&["unknown.example"], "unknown.example", Err("http.dns")),
        (&["127.0.0.1"], "127.0.0.1", Ok(200)),
        (&["127.0.0.1"], "2130706433", Ok(200)),
        (&["127.0.0.1"], "0x7f.1", Ok(200)),
        (&["127.0.0.2"], "2130706433", Err("http.host")),
        (&["api.example"], "127.0.0.1", Err("http.host")),
    ];
    for (hosts, host, expected) in cases {
        let ask = Ask::get(&format!("http://{host}:{port}/")).hosts(hosts);
        let ask = ask.with(|ask| ask.settings = resolving(&names));
        let before = server.seen().len();
        let told = ask.perform();
        let found = told.as_ref().map(|told| told.status).map_err(|failed| &*failed.code);
        assert_eq!(found, expected, "{hosts:?} {host}");
        assert_eq!(server.seen().len() - before, usize::from(expected.is_ok()), "{hosts:?} {host}");
    }
}

#[test]
fn another_kind_of_the_same_adapter_is_not_performed() {
    // The gate judges built-in kinds; one that a world brings itself would come past its rules for secrets and policies.
    let http = Http::new(Settings::default()).unwrap();
    let llm = Llm::new(Settings::default(), BTreeMap::new()).unwrap();
    let cases: [(&dyn Adapter, &str); 2] = [(&http, "http.fetch"), (&llm, "llm.chat")];
    for (adapter, kind) in cases {
        let effect = Effect::of(kind, vec![0xa0]);
        let failed = Call::alone(|call| adapter.perform(&effect, call)).unwrap_err();
        assert_eq!(failed.code, "adapter.kind", "{kind}");
    }
}

#[test]
fn ipv6_loopback_has_to_be_named_as_well() {
    let server = Server::start_at("[::1]:0", None, |_, stream| stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nsix"));
    let told = Ask::to(&server, "/").hosts(&["[::1]"]).perform().unwrap();
    assert_eq!(told.body, b"six");
    assert_eq!(server.seen()[0].header("host"), Some(server.address.to_string().as_str()));
    assert_eq!(Ask::to(&server, "/").hosts(&["127.0.0.1"]).failure(), lost("http.host", false));
}

#[test]
fn a_name_is_looked_up_once_for_a_connection_and_judged_each_time() {
    // The second look-up gives another machine: too late for this request.
    let server = Server::answering("HTTP/1.1 200 OK\r\n\r\n");
    let names = Names::of(&[("a.example", &[&["127.0.0.1"], &["10.0.0.1"]])]);
    let ask = |path: &str, port: u16| {
        let ask = Ask::get(&format!("http://a.example:{port}{path}")).hosts(&["a.example", "127.0.0.1"]);
        ask.with(|ask| ask.settings = resolving(&names))
    };
    let port = server.address.port();
    assert_eq!(ask("/", port).perform().unwrap().status, 200);
    assert_eq!(names.asked(), ["a.example"]);
    assert_eq!(ask("/", port).failure(), lost("http.address", false));

    // Within one request: the redirect leads to the same name, which now has another address.
    let server = redirect(302, "/again");
    let names = Names::of(&[("a.example", &[&["127.0.0.1"], &["10.0.0.1"]])]);
    let ask = Ask::get(&format!("http://a.example:{}/", server.address.port())).hosts(&["a.example", "127.0.0.1"]);
    let ask = ask.with(|ask| ask.settings = resolving(&names));
    assert_eq!(ask.failure(), lost("http.address", true));
    assert_eq!((names.asked().len(), server.seen().len()), (2, 1));
}

#[test]
fn a_redirect_leaves_the_grant_at_no_hop() {
    let inside = Server::answering("HTTP/1.1 200 OK\r\n\r\nprivate");
    let port = inside.address.port();
    let names = Names::of(&[("a.example", &[&["127.0.0.1"]]), ("b.example", &[&["127.0.0.1"], &["10.0.0.1"]])]);
    let cases = [
        (format!("http://localhost:{port}/"), "http.redirect_refused"),
        (format!("http://127.0.0.2:{port}/"), "http.redirect_refused"),
        (format!("http://[::1]:{port}/"), "http.redirect_refused"),
        (format!("http://0:{port}/"), "http.redirect_refused"),
        (format!("http://a.example.evil:{port}/"), "http.redirect_refused"),
        (format!("http://a.example@127.0.0.3:{port}/"), "http.redirect_refused"),
        (format!("https://a.example:{port}/"), "http.redirect_refused"),
        ("file:///etc/passwd".to_owned(), "http.redirect_refused"),
        ("/outside".to_owned(), "http.redirect_refused"),
        ("/in/%2e%2e/outside".to_owned(), "http.redirect_refused"),
        ("gopher://a.example/".to_owned(), "http.redirect_refused"),
    ];
    for (to, code) in cases {
        let first = redirect(302, &to);
        let url = format!("http://a.example:{}/in", first.address.port());
        let ask = Ask::get(&url).hosts(&["a.example", "127.0.0.1"]).with(|ask| {
            ask.settings = resolving(&names);
            ask.grant.schemes = Some(vec!["http".to_owned()]);
            ask.grant.path_prefixes = Some(vec!["/in".to_owned()]);
        });
        assert_eq!(ask.failure(), lost(code, true), "{to}");
    }
    assert_eq!(inside.connections(), 0);
}

#[test]
fn a_change_that_was_made_is_not_in_doubt_because_its_page_is_not_granted() {
    let server = Server::answering("HTTP/1.1 303 See\r\nLocation: /orders/1\r\nContent-Length: 0\r\n\r\n");
    let ask = Ask::to(&server, "/orders").with(|ask| {
        ask.method = "POST".to_owned();
        ask.grant.methods = Some(vec!["POST".to_owned()]);
    });
    let told = ask.perform().unwrap();
    assert_eq!((told.status, told.url), (303, server.url("/orders")));
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn redirects_are_followed_up_to_a_limit() {
    let server = Server::start(|seen, stream| {
        let hops: u32 = seen.line().split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let answer = match hops {
            0 => "HTTP/1.1 200 OK\r\n\r\ndone".to_owned(),
            _ => format!("HTTP/1.1 302 Go\r\nLocation: /{}\r\nContent-Length: 2\r\n\r\nxx", hops - 1),
        };
        stream.write_all(answer.as_bytes())
    });
    let told = Ask::to(&server, "/5").perform().unwrap();
    assert_eq!((told.body.as_slice(), told.cost.bytes), (&b"done"[..], 14));
    assert_eq!(told.url, server.url("/0"));
    assert_eq!(Ask::to(&server, "/6").failure(), lost("http.redirect", true));
    // The bodies of all hops together stay below the limit.
    let ask = |bytes| Ask::to(&server, "/5").with(|ask| ask.grant.body_bytes_max = Some(bytes));
    assert_eq!(ask(14).perform().unwrap().status, 200);
    assert_eq!(ask(13).failure(), lost("http.body_size", true));
}

#[test]
fn a_request_that_changes_something_is_sent_once() {
    let last = Server::answering("HTTP/1.1 200 OK\r\n\r\n");
    for (status, class, lines) in [
        (303, Class::Once, &["GET /done HTTP/1.1"][..]),
        (302, Class::Once, &["GET /done HTTP/1.1"]),
        (307, Class::Once, &[]),
        (308, Class::Once, &[]),
        (307, Class::Keyed, &[]),
    ] {
        let first = redirect(status, &last.url("/done"));
        let before = last.seen().len();
        let told = Ask::post(&first, "/", b"pay").with(|ask| ask.class = class).perform().unwrap();
        let seen = last.seen();
        let after: Vec<&str> = seen[before..].iter().map(super::super::http_server::Seen::line).collect();
        assert_eq!(after, lines, "{status} {class:?}");
        assert_eq!(told.status, if lines.is_empty() { i64::from(status) } else { 200 });
        for seen in &seen[before..] {
            assert_eq!(
                (seen.body.len(), seen.header("content-length"), seen.header("idempotency-key")),
                (0, None, None)
            );
        }
        assert_eq!(first.seen().len(), 1);
    }
    // Under its key, to the same origin, it may go again.
    let server = Server::start(|seen, stream| {
        stream.write_all(match seen.line() {
            "POST /a HTTP/1.1" => b"HTTP/1.1 307 Go\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\n\r\n",
        })
    });
    let ask = Ask::post(&server, "/a", b"pay").with(|ask| ask.class = Class::Keyed);
    assert_eq!(ask.perform().unwrap().cost.bytes, 6);
    let seen = server.seen();
    assert_eq!((seen[1].line(), seen[1].body.as_slice()), ("POST /b HTTP/1.1", &b"pay"[..]));
    assert_eq!(seen[0].header("idempotency-key"), seen[1].header("idempotency-key"));
}

#[test]
fn a_grant_is_asked_again_by_the_adapter() {
    let server = Server::answering("HTTP/1.1 200 OK\r\n\r\n");
    let port = u64::from(server.address.port());
    type Change = fn(&mut Ask);
    let cases: [(&str, Change); 8] = [
        ("http.host", |ask| ask.grant.hosts = vec!["a.example".to_owned()]),
        ("http.scheme", |ask| ask.grant.schemes = Some(vec!["https".to_owned()])),
        ("http.method", |ask| ask.grant.methods = Some(vec!["POST".to_owned()])),
        ("http.port", |ask| ask.grant.ports = Some(vec![443])),
        ("http.path", |ask| ask.grant.path_prefixes = Some(vec!["/in/".to_owned()])),
        ("http.method", |ask| ask.method = "CONNECT".to_owned()),
        ("http.method", |ask| ask.method = "GET / HTTP/1.1\r\nA: b\r\n\r\nGET".to_owned()),
        ("http.url", |ask| ask.url.push_str(" HTTP/1.1\r\nA: b")),
    ];
    for (code, change) in cases {
        let ask = Ask::to(&server, "/").with(|ask| ask.grant.ports = Some(vec![port])).with(change);
        assert_eq!(ask.failure(), lost(code, false));
    }
    assert_eq!(server.connections(), 0);
}
