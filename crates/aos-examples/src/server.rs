//! A small HTTP server on loopback that plays the services of a demo, as its `server.json` says: delays, failures, counts.
//!
//! The first answer that fits a request and is not used up is given. A request with an idempotency key that was seen
//! before gets the same answer again and is not performed a second time, as a service that honours keys does. Never here:
//! TLS, connections that stay open, anything but whole small requests. Read next: `node.rs`, which starts it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Deserialize;

/// Most bytes of a request.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Most fields of a request's header.
const FIELDS_MAX: usize = 64;
/// The longest wait for a request's next bytes.
const PATIENCE: Duration = Duration::from_secs(5);
/// The header under which the adapters send an idempotency key.
const KEY: &str = "idempotency-key";

/// What `server.json` says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Play {
    /// The answers, the first that fits first.
    pub answers: Vec<Answer>,
    /// Secrets that the vault is given, by binding. They are as public as the file; a real key comes from the environment.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
}

/// An answer, and to which requests it is given.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    method: String,
    /// The whole path, or the start of it with a `*` behind.
    path: String,
    /// Header fields that the request has.
    #[serde(default)]
    when: BTreeMap<String, String>,
    /// How often it is given; always where nothing is said.
    times: Option<u64>,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

const fn ok() -> u16 {
    200
}

/// The server. It ends with its handle.
pub struct Server {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    answers: Vec<Answer>,
    is_closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How often each answer was given, by its place.
    given: BTreeMap<usize, u64>,
    /// Which answer was given under which key.
    keys: BTreeMap<(String, String), Option<usize>>,
    performed: BTreeMap<String, u64>,
}

struct Request {
    method: String,
    path: String,
    fields: BTreeMap<String, String>,
}

impl Server {
    /// Starts the server on a port of loopback, or on any free one.
    pub fn start(play: Play, port: Option<u16>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or_default()))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            answers: play.answers,
            is_closed: AtomicBool::new(false),
            state: Mutex::new(State::default()),
        });
        let accepted = Arc::clone(&shared);
        let accepting =
            thread::Builder::new().name("demo-server".into()).spawn(move || accept(&listener, &accepted))?;
        Ok(Self { port, shared, accepting: Some(accepting) })
    }

    /// Returns the port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns how often each request was performed: `GET /path`, repetitions under one key not counted.
    pub fn performed(&self) -> BTreeMap<String, u64> {
        self.shared.state().performed.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        // A connection wakes the thread that waits for one; where none comes about, it ends with the process.
        if TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).is_ok()
            && let Some(accepting) = self.accepting.take()
            && accepting.join().is_err()
        {
            tracing::error!("the demo's server has panicked");
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.is_closed.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        let serve = move || stream.and_then(|stream| shared.serve(stream));
        let spawned = thread::Builder::new().name("demo-request".into()).spawn(move || {
            if let Err(error) = serve() {
                // A client that hangs up is part of some demos.
                tracing::debug!(%error, "a request was not answered");
            }
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "no thread for a request");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let Some(request) = read(&mut stream)? else { return stream.write_all(&form(400, &BTreeMap::new(), "")) };
        let found = self.choose(&request).and_then(|index| self.answers.get(index));
        tracing::debug!(request.method, request.path, status = found.map(|answer| answer.status), "asked");
        let Some(Answer { delay_ms, status, headers, body, .. }) = found else {
            return stream.write_all(&form(404, &BTreeMap::new(), "no such thing\n"));
        };
        thread::sleep(Duration::from_millis(*delay_ms));
        stream.write_all(&form(*status, headers, body))
    }

    /// Finds the answer to a request and counts it.
    fn choose(&self, request: &Request) -> Option<usize> {
        let mut state = self.state();
        let what = format!("{} {}", request.method, request.path);
        let key = request.fields.get(KEY).map(|key| (what.clone(), key.clone()));
        if let Some(given) = key.as_ref().and_then(|key| state.keys.get(key)) {
            return *given;
        }
        let is_left = |index: usize, answer: &Answer| {
            answer.times.is_none_or(|times| state.given.get(&index).copied().unwrap_or_default() < times)
        };
        let fits = |(index, answer): &(usize, &Answer)| answer.fits(request) && is_left(*index, answer);
        let chosen = self.answers.iter().enumerate().find(fits).map(|(index, _)| index);
        if let Some(index) = chosen {
            *state.given.entry(index).or_default() += 1;
        }
        if let Some(key) = key {
            state.keys.insert(key, chosen);
        }
        *state.performed.entry(what).or_default() += 1;
        chosen
    }
}

impl Answer {
    fn fits(&self, request: &Request) -> bool {
        let path = match self.path.strip_suffix('*') {
            Some(start) => request.path.starts_with(start),
            None => request.path == self.path,
        };
        path && request.method == self.method
            && self.when.iter().all(|(name, value)| request.fields.get(name) == Some(value))
    }
}

/// Reads a whole request; none where it is none or too large.
fn read(stream: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4_096];
    loop {
        let count = stream.read(&mut chunk)?;
        bytes.extend(chunk.iter().take(count));
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut head = httparse::Request::new(&mut fields);
        match head.parse(&bytes) {
            Ok(httparse::Status::Complete(length)) => {
                let request = Request::of(&head);
                let body = request.fields.get("content-length").map_or(Ok(0), |length| length.parse::<usize>());
                let Ok(body) = body else { return Ok(None) };
                if bytes.len() >= length.saturating_add(body) {
                    return Ok(Some(request));
                }
            }
            Ok(httparse::Status::Partial) => {}
            Err(_) => return Ok(None),
        }
        if count == 0 || bytes.len() > REQUEST_BYTES_MAX {
            return Ok(None);
        }
    }
}

impl Request {
    fn of(head: &httparse::Request<'_, '_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = head.headers.iter().map(|field| (field.name.to_ascii_lowercase(), text(field.value)));
        let target = head.path.unwrap_or_default();
        Self {
            method: head.method.unwrap_or_default().into(),
            path: target.split('?').next().unwrap_or_default().into(),
            fields: fields.collect(),
        }
    }
}

/// Writes an answer. One connection carries one request.
fn form(status: u16, headers: &BTreeMap<String, String>, body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    // An answer of these kinds has no body, and says nothing of its length.
    if status != 204 && status != 304 {
        text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    } else {
        text += "\r\n";
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(server: &Server, line: &str, fields: &str, body: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        let length = body.len();
        let request = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{fields}\r\n{body}");
        // In one piece: the server hangs up on nonsense, and then there is nobody to write the rest to.
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_whitespace().nth(1).unwrap().to_owned() + " " + answer.split("\r\n\r\n").nth(1).unwrap()
    }

    #[test]
    fn answers_are_given_in_order_counted_and_once_for_a_key() {
        let play = r#"{"answers": [
            {"method": "GET", "path": "/a", "times": 1, "status": 503, "body": "later"},
            {"method": "GET", "path": "/a", "when": {"x-me": "ann"}, "delay_ms": 1, "body": "hello ann"},
            {"method": "POST", "path": "/b/*", "status": 201},
            {"method": "DELETE", "path": "/*", "status": 204}
        ]}"#;
        let server = Server::start(serde_json::from_str(play).unwrap(), None).unwrap();
        for (line, fields, expected) in [
            ("GET /a?q=1", "", "503 later"),
            ("GET /a", "", "404 no such thing\n"),
            ("GET /a", "X-Me: ann\r\n", "200 hello ann"),
            ("POST /b/1", "Idempotency-Key: k\r\n", "201 "),
            ("POST /b/1", "Idempotency-Key: k\r\n", "201 "),
            ("POST /b/1", "Idempotency-Key: l\r\n", "201 "),
            ("DELETE /b/1", "", "204 "),
            ("nonsense", "", "400 "),
        ] {
            assert_eq!(ask(&server, line, fields, "body"), expected, "{line}");
        }
        let performed = [("DELETE /b/1", 1), ("GET /a", 3), ("POST /b/1", 2)];
        assert!(server.performed().iter().map(|(what, count)| (what.as_str(), *count)).eq(performed));
    }

    #[test]
    fn a_server_that_ended_gives_its_port_back() {
        let server = Server::start(Play::default(), None).unwrap();
        let port = server.port();
        assert!(Server::start(Play::default(), Some(port)).is_err());
        drop(server);
        assert_eq!(Server::start(Play::default(), Some(port)).unwrap().port(), port);
    }
}
