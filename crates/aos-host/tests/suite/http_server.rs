//! A server on loopback that reads whole requests, remembers them, and answers what a test tells it, byte for byte.
//!
//! Never here: what the adapters should make of it. Next: `http/`, `llm.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aos_host::adapter::http::Resolve;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The lines of the head.
    pub head: Vec<String>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn line(&self) -> &str {
        &self.head[0]
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &'_ String| line.split_once(": ").is_some_and(|(field, _)| field.eq_ignore_ascii_case(name));
        self.head.iter().skip(1).find(|line| of(line)).map(|line| line.split_once(": ").unwrap().1)
    }
}

/// Both directions of a connection, plain or TLS.
pub trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

type Handler = dyn Fn(&Seen, &mut dyn Duplex) -> io::Result<()> + Send + Sync;

/// The server; its threads end with the test's process.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    /// Answers every request with the same bytes, and closes.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_, stream| stream.write_all(&bytes))
    }

    pub fn start(handler: impl Fn(&Seen, &mut dyn Duplex) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", None, handler)
    }

    pub fn start_at(
        address: &str,
        tls: Option<Arc<ServerConfig>>,
        handler: impl Fn(&Seen, &mut dyn Duplex) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let handler: Arc<Handler> = Arc::new(handler);
        let (all, count) = (Arc::clone(&seen), Arc::clone(&connections));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (handler, all, tls) = (Arc::clone(&handler), Arc::clone(&all), tls.clone());
                *count.lock().unwrap() += 1;
                // What goes wrong on this side is what the test is about, or shows on the other side.
                thread::spawn(move || serve(socket?, tls, &handler, &all));
            }
        });
        Self { address, seen, connections }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

fn serve(
    socket: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    handler: &Arc<Handler>,
    all: &Mutex<Vec<Seen>>,
) -> io::Result<()> {
    let Some(tls) = tls else {
        let mut stream = socket;
        return converse(&mut stream, handler, all);
    };
    let connection = ServerConnection::new(tls).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    converse(&mut stream, handler, all)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn converse(stream: &mut dyn Duplex, handler: &Arc<Handler>, all: &Mutex<Vec<Seen>>) -> io::Result<()> {
    let seen = read_request(stream)?;
    all.lock().unwrap().push(seen.clone());
    handler(&seen, stream)
}

fn read_request(stream: &mut dyn Duplex) -> io::Result<Seen> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    let text = String::from_utf8(bytes).unwrap();
    let head: Vec<String> = text.trim_end().split("\r\n").map(str::to_owned).collect();
    let mut seen = Seen { head, body: Vec::new() };
    let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    seen.body.resize(length, 0);
    stream.read_exact(&mut seen.body)?;
    Ok(seen)
}

/// Writes slowly for as long as the other side takes it.
pub fn drip(stream: &mut dyn Duplex, piece: &[u8], pause: Duration) -> io::Result<()> {
    loop {
        stream.write_all(piece)?;
        stream.flush()?;
        thread::sleep(pause);
    }
}

/// A server's identity for `names`, and the root that it is signed by, as DER.
pub fn identity(names: &[&str]) -> (Arc<ServerConfig>, Vec<u8>) {
    let mut root = rcgen::CertificateParams::default();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root_key = rcgen::KeyPair::generate().unwrap();
    let certificate = root.self_signed(&root_key).unwrap();
    let issuer = rcgen::Issuer::new(root, root_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(leaf.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (Arc::new(config), certificate.der().to_vec())
}

/// Names with the answers that are given one after the other; the last one stays.
#[derive(Default)]
pub struct Names {
    answers: Mutex<BTreeMap<String, VecDeque<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    pub fn of(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let parse = |addresses: &&[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        let answers =
            names.iter().map(|(name, answers)| ((*name).to_owned(), answers.iter().map(parse).collect())).collect();
        Arc::new(Self { answers: Mutex::new(answers), asked: Mutex::default() })
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let queue = answers.get_mut(host).ok_or_else(|| io::Error::other("no such name"))?;
        Ok(if queue.len() > 1 { queue.pop_front().unwrap() } else { queue[0].clone() })
    }
}
