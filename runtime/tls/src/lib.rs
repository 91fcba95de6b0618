//! TLS 1.2 and 1.3, in and out: certificates with their keys, whom they are shown to, who has to show one.
//! Owns: certificates and keys as they were read, the bound of a handshake.
//! Takes: names of files, the time, streams that are connected.   Gives: streams that are secret, in words what is wrong.
//! Never: the configuration file, what is spoken inside, its own sockets.

mod acceptor;
mod connector;
mod files;
mod identity;

pub use acceptor::{Accepted, Acceptor, Clients, HANDSHAKE_SECONDS_MAX, Setup, peer_names};
pub use connector::{Connected, Connector};
pub use files::{Fault, Part, authorities};
pub use identity::{Identity, Source, names_of_peer};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// Certificates that are believed to sign others.
pub type Authorities = Arc<rustls::RootCertStore>;

/// The arithmetic, named where it is needed: nothing here is the process's own.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
