//! The client's side: whom we believe to be who she is.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error, OtherError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::files::authorities;

/// A stream that is secret, to who she said she is.
pub type Connected<S> = tokio_rustls::client::TlsStream<S>;

/// Our side of handshakes with servers.
#[derive(Clone, Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
}

impl Connector {
    /// Believes who is signed by one of `ca`, else by whom this system believes.
    ///
    /// # Errors
    /// The file is of no use.
    pub fn new(ca: Option<&Path>) -> Result<Self, String> {
        let authorities = authorities(ca).map_err(|fault| fault.message)?;
        let builder = ClientConfig::builder_with_provider(crate::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| error.to_string())?;
        let config = builder
            .with_root_certificates(authorities)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// A handshake with who answers at `host`: a name, or an address (IPv6 with or without brackets).
    ///
    /// # Errors
    /// In words that say what would be right.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> Result<Connected<S>, String> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| format!("{host} is no name that a certificate could be for"))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let handshake = connector.connect(name, stream).await;
        handshake.map_err(|error| in_words(&error, bare))
    }
}

fn in_words(error: &io::Error, host: &str) -> String {
    let Some(error) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                "it ended the connection in the handshake; does it speak TLS there?".to_owned()
            }
            _ => error.to_string(),
        };
    };
    match error {
        Error::InvalidCertificate(wrong) => {
            format!(
                "its certificate was not believed: {}",
                certificate(wrong, host)
            )
        }
        Error::InvalidMessage(_) => {
            "what it speaks there is no TLS; http:// instead of https:// is meant?".to_owned()
        }
        Error::AlertReceived(alert) => format!("it refused the handshake: {alert:?}"),
        other => format!("no handshake: {other}"),
    }
}

fn certificate(wrong: &CertificateError, host: &str) -> String {
    match wrong {
        // An authority of the same name, made anew with another key, is another one.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "nobody who is known here signed it; name the file of who did: --ca FILE".to_owned()
        }
        CertificateError::NotValidForName => format!("it is not for {host}"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let mut text = format!("it is not for {host}");
            let names: Vec<&str> = presented.iter().map(|name| shown(name)).collect();
            if !names.is_empty() {
                let _ = write!(text, " but for {}", names.join(", "));
            }
            text
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has ended; its owner has to write a new one".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it has not begun; is this machine's clock right?".to_owned()
        }
        CertificateError::Other(other) if is_authority(other) => {
            "it is itself that of an authority (CA:TRUE); its owner has to make one with CA:FALSE"
                .to_owned()
        }
        other => other.to_string(),
    }
}

fn is_authority(error: &OtherError) -> bool {
    matches!(
        error.0.downcast_ref::<webpki::Error>(),
        Some(webpki::Error::CaUsedAsEndEntity)
    )
}

/// `DnsName("a.example.com")` as people write it.
fn shown(presented: &str) -> &str {
    let inner = presented
        .split_once('(')
        .map_or(presented, |(_, rest)| rest);
    inner.trim_end_matches(')').trim_matches('"')
}
