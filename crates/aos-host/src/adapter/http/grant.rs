//! The grant of a request, as the kernel's gate reads it, and which addresses may be reached under it.
//!
//! Never here: the rules themselves; they are the gate's. Next: `mod.rs`, which asks them for every hop, and
//! `connect.rs`, which asks them for every address.

use std::net::IpAddr;

use aos_kernel::gate::http::Constraints;
use serde::Deserialize;

/// The params of a grant of `http.out`.
#[derive(Deserialize)]
pub(super) struct HttpOut {
    hosts: Vec<String>,
    schemes: Option<Vec<String>>,
    methods: Option<Vec<String>>,
    ports: Option<Vec<u64>>,
    path_prefixes: Option<Vec<String>>,
    body_bytes_max: Option<u64>,
}

impl From<HttpOut> for Constraints {
    fn from(grant: HttpOut) -> Self {
        let HttpOut { hosts, schemes, methods, ports, path_prefixes, body_bytes_max } = grant;
        Self { hosts, schemes, methods, ports, path_prefixes, body_bytes_max }
    }
}

/// The addresses that a request may reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach<'a> {
    /// The operator wrote the host into the settings: any address that it has.
    Operator,
    /// Those of the public internet, and those that the grant names.
    Grant(&'a Constraints),
}

impl Reach<'_> {
    /// Says whether a connection with `address` may be made.
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Operator => true,
            Self::Grant(constraints) => constraints.may_reach(address),
        }
    }
}
