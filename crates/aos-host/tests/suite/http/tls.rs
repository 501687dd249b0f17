//! TLS: who the server is, told by a root that the host trusts, for the name that was asked for.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use aos_host::adapter::http::{Http, Settings};

use super::{Ask, lost, resolving};
use crate::http_server::{Names, Server, identity};

fn ask(url: &str, root: &[u8]) -> Ask {
    let names = Names::of(&[("a.example", &[&["127.0.0.1"]]), ("b.example", &[&["127.0.0.1"]])]);
    let settings = Settings { roots: vec![root.to_vec()], ..resolving(&names) };
    Ask::get(url).hosts(&["a.example", "b.example", "127.0.0.1"]).with(|ask| ask.settings = settings)
}

#[test]
fn a_server_is_the_one_that_was_asked_for() {
    let (config, root) = identity(&["a.example", "127.0.0.1"]);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure";
    let server = Server::start_at("127.0.0.1:0", Some(config), move |_, stream| stream.write_all(answer));
    let port = server.address.port();
    for host in ["a.example", "127.0.0.1"] {
        let told = ask(&format!("https://{host}:{port}/"), &root).perform().unwrap();
        assert_eq!(told.body, b"secure", "{host}");
    }
    // The name is another one, although the address is the same.
    assert_eq!(ask(&format!("https://b.example:{port}/"), &root).failure(), lost("http.tls", false));
    // The root is not trusted.
    let (_, another) = identity(&["a.example"]);
    assert_eq!(ask(&format!("https://a.example:{port}/"), &another).failure(), lost("http.tls", false));
    assert_eq!(server.seen().len(), 2, "no request reached a server that is not the right one");
}

#[test]
fn a_server_without_tls_gets_no_request() {
    let server = Server::answering("HTTP/1.1 200 OK\r\n\r\n");
    let url = format!("https://127.0.0.1:{}/", server.address.port());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let garbage = format!("https://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for socket in listener.incoming() {
            std::io::Write::write_all(&mut socket.unwrap(), b"220 mail ready\r\n").unwrap();
        }
    });
    let (_, root) = identity(&["127.0.0.1"]);
    assert_eq!(ask(&garbage, &root).failure(), lost("http.tls", false));
    let ask = ask(&url, &root).with(|ask| ask.settings.connect = std::time::Duration::from_millis(300));
    assert_eq!(ask.failure(), lost("http.timeout", false));
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn a_server_that_drips_its_handshake_holds_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            // A record of 16 KiB, a byte at a time: each one comes before a turn is over.
            let record = [0x16, 0x03, 0x03, 0x40, 0x00].into_iter().chain(std::iter::repeat(0));
            for byte in record {
                if std::io::Write::write_all(&mut socket, &[byte]).is_err() {
                    break;
                }
                thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    });
    let (_, root) = identity(&["127.0.0.1"]);
    let begun = std::time::Instant::now();
    let ask = ask(&url, &root).with(|ask| ask.settings.connect = std::time::Duration::from_millis(300));
    assert_eq!(ask.failure(), lost("http.timeout", false));
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "the record alone would take 160 s");
}

#[test]
fn a_body_that_anyone_could_have_cut_is_not_whole() {
    let (config, root) = identity(&["127.0.0.1"]);
    let head = b"HTTP/1.1 200 OK\r\n\r\nhalf of";
    let cut = Server::start_at("127.0.0.1:0", Some(Arc::clone(&config)), move |_, stream| {
        stream.write_all(head)?;
        Err(std::io::Error::other("ends without notice"))
    });
    assert_eq!(ask(&format!("https://{}/", cut.address), &root).failure(), lost("http.closed", true));
    let whole = Server::start_at("127.0.0.1:0", Some(config), move |_, stream| stream.write_all(head));
    assert_eq!(ask(&format!("https://{}/", whole.address), &root).perform().unwrap().body, b"half of");
}

#[test]
fn a_large_body_goes_both_ways() {
    let (config, root) = identity(&["127.0.0.1"]);
    let server = Server::start_at("127.0.0.1:0", Some(config), |seen, stream| {
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", seen.body.len()).as_bytes())?;
        stream.write_all(&seen.body)
    });
    let body: Vec<u8> = (0..3_000_000_u32).map(|index| index.to_le_bytes()[index as usize % 4]).collect();
    let ask = ask(&format!("https://{}/", server.address), &root).with(|ask| {
        ask.method = "POST".to_owned();
        ask.body = Some(body.clone());
    });
    assert!(ask.perform().unwrap().body == body);
}

#[test]
fn a_root_is_a_certificate() {
    let settings = Settings { roots: vec![b"no certificate".to_vec()], ..Settings::default() };
    let refused = Http::new(settings).map(drop).unwrap_err();
    assert_eq!(refused.code(), "http.roots");
}
