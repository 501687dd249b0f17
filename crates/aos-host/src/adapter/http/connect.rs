//! From a host to an open connection: look its addresses up, refuse those that may not be reached, connect, TLS.
//!
//! The address that was judged is the address that is connected to; a name is looked up once for each connection, so an
//! answer of DNS that changes afterwards changes nothing. No connection is kept: one that another grant may use would
//! carry its reach along. Next: `grant.rs`, which judges.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use aos_air::url::{Target, host_ip};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::error::HttpError;
use super::grant::Reach;
use super::watch::Watch;
use super::wire::Wire;

/// The most addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;
/// The longest wait for one address while others are left.
const ADDRESS_TIME: Duration = Duration::from_secs(3);

/// Looks up the addresses of a host.
pub trait Resolve: Send + Sync + 'static {
    /// Returns the addresses of `host`, the preferred ones first. It may block; nobody waits longer than the request may.
    ///
    /// # Errors
    /// What the system says.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// Makes connections.
pub(crate) struct Connector {
    resolver: Arc<dyn Resolve>,
    tls: Arc<ClientConfig>,
    time: Duration,
}

impl Connector {
    /// Makes a connector that gives up after `time`, and that trusts the roots of the public web and `roots`.
    ///
    /// # Errors
    /// Where one of `roots` is no certificate.
    pub(crate) fn new(
        resolver: Arc<dyn Resolve>,
        roots: Vec<CertificateDer<'static>>,
        time: Duration,
    ) -> Result<Self, rustls::Error> {
        let mut trusted = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in roots {
            trusted.add(root)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut tls = builder.with_root_certificates(trusted).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { resolver, tls: Arc::new(tls), time })
    }

    /// Connects with the host of `target`, at an address that `reach` allows.
    pub(super) fn connect(&self, target: &Target, reach: Reach<'_>, watch: &Watch<'_>) -> Result<Wire, HttpError> {
        let watch = watch.within(self.time, "a connection was there");
        let host = target.host.as_str();
        let addresses = self.addresses(host, &watch)?;
        let allowed: Vec<IpAddr> =
            addresses.iter().copied().filter(|address| reach.allows(*address)).take(ADDRESSES_MAX).collect();
        let socket = match (allowed.is_empty(), addresses.first()) {
            (false, _) => open(host, &allowed, target.port, &watch)?,
            (true, Some(address)) => return Err(HttpError::Address { host: host.to_owned(), address: *address }),
            (true, None) => return Err(no_address(host, "the name has none")),
        };
        if target.scheme != "https" {
            return Ok(Wire::plain(socket, host));
        }
        let tls = |reason: String| HttpError::Tls { host: host.to_owned(), reason };
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|error| tls(error.to_string()))?;
        let client = ClientConnection::new(Arc::clone(&self.tls), name).map_err(|error| tls(error.to_string()))?;
        Wire::tls(socket, client, host, &watch)
    }

    /// A look-up cannot be called off, so it runs on a thread of its own, which ends when the resolver gives up.
    fn addresses(&self, host: &str, watch: &Watch<'_>) -> Result<Vec<IpAddr>, HttpError> {
        if let Some(address) = host_ip(host) {
            return Ok(vec![address]);
        }
        let (answer, answers) = mpsc::sync_channel(1);
        let (resolver, name) = (Arc::clone(&self.resolver), host.to_owned());
        let look_up = move || {
            // Nobody may be waiting any more; then the answer is of no use.
            drop(answer.send(resolver.resolve(&name)));
        };
        let started = thread::Builder::new().name("aos-dns".to_owned()).spawn(look_up);
        started.map_err(|error| no_address(host, &error.to_string()))?;
        loop {
            match answers.recv_timeout(watch.turn()?) {
                Ok(answer) => return answer.map_err(|error| no_address(host, &error.to_string())),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(no_address(host, "the resolver stopped")),
            }
        }
    }
}

/// Connects with the first address that answers.
fn open(host: &str, addresses: &[IpAddr], port: u16, watch: &Watch<'_>) -> Result<TcpStream, HttpError> {
    let mut reason = String::new();
    for (index, address) in addresses.iter().enumerate() {
        let is_last = index + 1 == addresses.len();
        let part = if is_last { watch.left()? } else { watch.left()?.min(ADDRESS_TIME) };
        match open_one(SocketAddr::new(*address, port), part, watch) {
            Ok(socket) => return Ok(socket),
            Err(Unopened::Stop(stop)) => return Err(stop),
            Err(Unopened::Io(error)) => reason = error.to_string(),
        }
    }
    Err(HttpError::Connect { host: host.to_owned(), reason })
}

/// Why a socket is not open: somebody said stop, or the network did.
enum Unopened {
    Stop(HttpError),
    Io(io::Error),
}

/// Connects with one address. A connection attempt cannot be watched, so it is waited for in a thread of its own.
fn open_one(address: SocketAddr, part: Duration, watch: &Watch<'_>) -> Result<TcpStream, Unopened> {
    let (answer, answers) = mpsc::sync_channel(1);
    let connect = move || drop(answer.send(TcpStream::connect_timeout(&address, part)));
    thread::Builder::new().name("aos-connect".to_owned()).spawn(connect).map_err(Unopened::Io)?;
    let until = Instant::now() + part;
    loop {
        let turn = watch.turn().map_err(Unopened::Stop)?;
        match answers.recv_timeout(turn) {
            Ok(Ok(socket)) => {
                socket.set_nodelay(true).map_err(Unopened::Io)?;
                return Ok(socket);
            }
            Ok(Err(error)) => return Err(Unopened::Io(error)),
            Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
            Err(_) => return Err(Unopened::Io(io::ErrorKind::TimedOut.into())),
        }
    }
}

fn no_address(host: &str, reason: &str) -> HttpError {
    HttpError::Dns { host: host.to_owned(), reason: reason.to_owned() }
}
