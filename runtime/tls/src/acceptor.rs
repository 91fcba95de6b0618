//! The server's side: which certificate is shown to whom, and who has to show one.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::{Authorities, Identity, names_of_peer};

/// From the connection to the end of the handshake. Beyond it: closed.
pub const HANDSHAKE_SECONDS_MAX: Duration = Duration::from_secs(10);

/// Who has to show a certificate.
#[derive(Clone, Debug, Default)]
pub enum Clients {
    /// Nobody is asked.
    #[default]
    Unasked,
    /// Who has one shows it, and it must be signed by one of these.
    Optional(Authorities),
    /// Nobody gets in without.
    Required(Authorities),
}

/// What a listener shows and wants.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Shown to who asks for no name that another one is for.
    pub default: Identity,
    /// A served domain and its own certificate.
    pub domains: Vec<(String, Identity)>,
    /// Who has to show one.
    pub clients: Clients,
    /// What is spoken inside (RFC 7301), by preference; empty: nothing is said of it.
    pub protocols: Vec<Vec<u8>>,
}

/// A stream that is secret.
pub type Accepted<S> = tokio_rustls::server::TlsStream<S>;

/// A listener's side of handshakes. Copies share what is shown, which may be replaced while connections come.
#[derive(Clone, Debug)]
pub struct Acceptor {
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Acceptor {
    /// # Errors
    /// Nobody could ever be verified: certificates are wanted, and no authority is known.
    pub fn new(setup: Setup) -> Result<Self, String> {
        Ok(Self {
            current: Arc::new(RwLock::new(built(setup)?)),
        })
    }

    /// Shows and wants this from the next handshake on.
    ///
    /// # Errors
    /// As [`Acceptor::new`]; then nothing is changed.
    pub fn replace(&self, setup: Setup) -> Result<(), String> {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = built(setup)?;
        Ok(())
    }

    fn current(&self) -> Arc<ServerConfig> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// A handshake with who has just connected.
    ///
    /// # Errors
    /// It took too long, or the peer wants none of what we have.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<Accepted<S>> {
        let acceptor = TlsAcceptor::from(self.current());
        let handshake = tokio::time::timeout(HANDSHAKE_SECONDS_MAX, acceptor.accept(stream));
        handshake
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
    }
}

/// Whom the peer of an accepted stream proved to be (RFC 5922 §7.1); nobody where it showed no certificate.
pub fn peer_names<S>(stream: &Accepted<S>) -> Vec<String> {
    let (_, connection) = stream.get_ref();
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    shown.map(names_of_peer).unwrap_or_default()
}

fn built(setup: Setup) -> Result<Arc<ServerConfig>, String> {
    let provider = crate::provider();
    let verifier = verifier(&setup.clients)?;
    // RFC 9325 §3.1.1: nothing before 1.2.
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Shown {
            default: setup.default,
            domains: setup.domains,
        }));
    config.alpn_protocols = setup.protocols;
    Ok(Arc::new(config))
}

fn verifier(clients: &Clients) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let (authorities, optional) = match clients {
        Clients::Unasked => return Ok(Arc::new(NoClientAuth)),
        Clients::Optional(authorities) => (authorities, true),
        Clients::Required(authorities) => (authorities, false),
    };
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities), crate::provider());
    let builder = match optional {
        true => builder.allow_unauthenticated(),
        false => builder,
    };
    builder
        .build()
        .map_err(|error| format!("nobody is known who signs clients: {error}"))
}

/// By the name that the client asks for (RFC 6066 §3).
#[derive(Debug)]
struct Shown {
    default: Identity,
    domains: Vec<(String, Identity)>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().unwrap_or_default();
        let named = self
            .domains
            .iter()
            .find(|(domain, _)| domain.eq_ignore_ascii_case(asked));
        // A host of a domain is asked for by its own name: xcap.home2.net.
        let fits = || self.domains.iter().find(|(_, own)| own.is_for(asked));
        let shown = match named {
            Some((_, own)) => own,
            None if self.default.is_for(asked) => &self.default,
            None => fits().map_or(&self.default, |(_, own)| own),
        };
        Some(Arc::clone(&shown.certified))
    }
}
