//! The constraints of `http.out`: which hosts, by which scheme, method and port, and where on them.
//!
//! The host asks [`permits`] again at every redirect, and [`Constraints::may_reach`] for every address that a name
//! leads to. Never here: what a URL means, which is `aos_air::url`; a look-up; a connection.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use aos_air::schema::Value;
use aos_air::url::{Target, host_ip};

use super::address::{is_private, plain};
use super::read;
use super::{Denied, WorstCase, header, quote};

/// Methods that open a tunnel or repeat a request with its secrets; no grant allows them.
const NEVER: [&str; 2] = ["CONNECT", "TRACE"];
/// What a grant that names no methods allows.
const READING: [&str; 2] = ["GET", "HEAD"];

/// The params of a grant of `http.out`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraints {
    /// Hosts in normal form, or `*.` and a suffix.
    pub hosts: Vec<String>,
    /// `http` and `https`; none for https alone.
    pub schemes: Option<Vec<String>>,
    /// Methods; none for GET and HEAD.
    pub methods: Option<Vec<String>>,
    /// Ports; none for the scheme's own.
    pub ports: Option<Vec<u64>>,
    /// Paths in normal form, under which a target must lie; none for all.
    pub path_prefixes: Option<Vec<String>>,
    /// Most bytes of a request's body, and of an answer's.
    pub body_bytes_max: Option<u64>,
}

impl Constraints {
    /// Reads a grant's params; none for a value of another schema.
    pub fn of(grant: &Value) -> Option<Self> {
        Some(Self {
            hosts: read::texts(grant, "hosts")?,
            schemes: read::texts(grant, "schemes"),
            methods: read::texts(grant, "methods"),
            ports: read::nats(grant, "ports"),
            path_prefixes: read::texts(grant, "path_prefixes"),
            body_bytes_max: read::nat(grant, "body_bytes_max"),
        })
    }

    /// Tells whether a request under this grant may connect to an address: one of the public internet, or one it names.
    pub fn may_reach(&self, address: IpAddr) -> bool {
        !is_private(address) || self.names(address)
    }

    /// Tells whether a host of the grant is this address itself, or `localhost` where it is a loopback address.
    pub fn names(&self, address: IpAddr) -> bool {
        let address = plain(address);
        let is_loopback = address.is_loopback();
        self.hosts.iter().any(|host| {
            host_ip(host).is_some_and(|named| plain(named) == address) || (is_loopback && host == "localhost")
        })
    }

    fn allows_host(&self, host: &str) -> bool {
        let is_name = host_ip(host).is_none();
        self.hosts.iter().any(|pattern| match pattern.strip_prefix("*.") {
            // Something and a dot must stand before the suffix; an address has no suffix.
            Some(suffix) => {
                is_name && host.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            None => pattern == host,
        })
    }

    fn allows_path(&self, path: &str) -> bool {
        let lies_under = |prefix: &String| {
            let rest = path.strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
        };
        self.path_prefixes.as_ref().is_none_or(|prefixes| prefixes.iter().any(lies_under))
    }
}

/// Judges a target and a method by a grant's constraints: a request's own, and that of each redirect.
///
/// # Errors
/// `http.scheme`, `http.host`, `http.port`, `http.method`, `http.path`, in this order.
pub fn permits(constraints: &Constraints, target: &Target, method: &str) -> Result<(), Denied> {
    let schemes = constraints.schemes.as_ref();
    let scheme_is_allowed = schemes.map_or(target.scheme == "https", |schemes| schemes.contains(&target.scheme));
    if !scheme_is_allowed {
        return Err(Denied::new("http.scheme", format!("the grant does not allow {}", target.scheme)));
    }
    if !constraints.allows_host(&target.host) {
        return Err(Denied::new("http.host", format!("the grant does not name the host {}", quote(&target.host))));
    }
    let own = if target.scheme == "https" { 443 } else { 80 };
    let port = u64::from(target.port);
    if !constraints.ports.as_ref().map_or(port == own, |ports| ports.contains(&port)) {
        return Err(Denied::new("http.port", format!("the grant does not allow the port {port}")));
    }
    let is_named = |methods: &Vec<String>| methods.iter().any(|named| named == method);
    let method_is_allowed = constraints.methods.as_ref().map_or(READING.contains(&method), is_named);
    if NEVER.contains(&method) || !method_is_allowed {
        return Err(Denied::new("http.method", format!("the grant does not allow the method {}", quote(method))));
    }
    if !constraints.allows_path(&target.path) {
        return Err(Denied::new("http.path", format!("no path prefix of the grant holds {}", quote(&target.path))));
    }
    Ok(())
}

/// Judges an `http.request`: its URL, the grant's constraints, its headers.
pub(super) fn constrain(constraints: Option<&Constraints>, params: &Value) -> Result<WorstCase, Denied> {
    let (Some(method), Some(url)) = (read::text(params, "method"), read::text(params, "url")) else {
        return Err(Denied::params("`http.request` takes a method and a URL"));
    };
    let target = Target::parse(url).map_err(|refused| Denied::new(refused.code(), format!("{refused}")))?;
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        let message = format!("{} is no method: one is written in capitals", quote(method));
        return Err(Denied::new("http.method", message));
    }
    match constraints {
        Some(constraints) => permits(constraints, &target, method)?,
        None if NEVER.contains(&method) => {
            return Err(Denied::new("http.method", format!("no grant allows the method {}", quote(method))));
        }
        None => {}
    }
    header::check(params)?;
    let bytes = constraints.and_then(|constraints| constraints.body_bytes_max);
    // One body goes out, one comes back.
    Ok(WorstCase { bytes: bytes.map(|most| most.saturating_mul(2)), ..WorstCase::FREE })
}
