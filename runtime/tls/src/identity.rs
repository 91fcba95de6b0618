//! A certificate with its key, as one of our own names has it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use webpki::{EndEntityCert, KeyUsage};

use crate::files::{self, Fault, Part, fault};

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// PEM: the certificate first, then who signed it, up to what peers know.
    pub certificate: PathBuf,
    /// PEM, without a password.
    pub key: PathBuf,
}

/// A certificate with its key, both good.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    /// Seconds since 1970 up to which it is good.
    pub not_after_seconds: u64,
    /// The host names that it is for.
    pub names: Vec<String>,
}

impl PartialEq for Identity {
    /// A certificate names its key.
    fn eq(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }
}

impl Identity {
    /// Reads both files. `now`: seconds since 1970.
    ///
    /// # Errors
    /// A file is missing or no PEM, others may read the key, the two don't belong together, it is not yet or no longer good.
    pub fn read(source: &Source, now: u64) -> Result<Self, Vec<Fault>> {
        let (chain, key) = match (
            files::certificates(Part::Certificate, &source.certificate),
            files::key(&source.key),
        ) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err([chain.err(), key.err()].into_iter().flatten().collect()),
        };
        let of_key = |what: String| vec![fault(Part::Key, &source.key, what)];
        let of_certificate =
            |what: String| vec![fault(Part::Certificate, &source.certificate, what)];
        let (names, not_after_seconds) = match chain.first() {
            Some(first) => in_force(first, now).map_err(of_certificate)?,
            None => return Err(of_certificate("no certificate".to_owned())),
        };
        let signs = crate::provider().key_provider.load_private_key(key);
        let signs = signs.map_err(|error| of_key(format!("a key that can't be used: {error}")))?;
        let certified = CertifiedKey::new(chain, signs);
        certified.keys_match().map_err(|_| {
            let certificate = source.certificate.display();
            of_key(format!(
                "not the key of {certificate}; write the one that the certificate was made with"
            ))
        })?;
        Ok(Self {
            certified: Arc::new(certified),
            not_after_seconds,
            names,
        })
    }

    /// Whether it may be shown to who asks for this host (RFC 6125 §6.4: wildcards for one label).
    pub fn is_for(&self, host: &str) -> bool {
        let certificate = self.certified.cert.first();
        let read = certificate.and_then(|der| EndEntityCert::try_from(der).ok());
        match (read, ServerName::try_from(host)) {
            (Some(read), Ok(name)) => read.verify_is_valid_for_subject_name(&name).is_ok(),
            _ => false,
        }
    }
}

/// The names of a certificate and the second in which it ends, if it is good now.
fn in_force(certificate: &CertificateDer<'_>, now: u64) -> Result<(Vec<String>, u64), String> {
    let unreadable =
        |error| format!("a certificate that can't be read: {error}; version 3 is meant");
    let read = EndEntityCert::try_from(certificate).map_err(unreadable)?;
    let not_after = match validity_at(&read, u64::MAX) {
        Some(webpki::Error::CertExpired { not_after, .. }) => not_after.as_secs(),
        _ => return Err("a certificate without an end that can be read".to_owned()),
    };
    match validity_at(&read, now) {
        Some(webpki::Error::CertExpired { .. }) => Err(format!(
            "ended {} ago; write a new certificate there",
            span(now.saturating_sub(not_after))
        )),
        Some(webpki::Error::CertNotValidYet { not_before, .. }) => Err(format!(
            "begins in {}; is this machine's clock right?",
            span(not_before.as_secs().saturating_sub(now))
        )),
        _ => Ok((
            read.valid_dns_names().map(str::to_owned).collect(),
            not_after,
        )),
    }
}

/// What is said of a certificate at a time by who believes nobody: that it is not in force, before anything else.
fn validity_at(certificate: &EndEntityCert<'_>, seconds: u64) -> Option<webpki::Error> {
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let algorithms = crate::provider().signature_verification_algorithms.all;
    let usage = KeyUsage::server_auth();
    certificate
        .verify_for_usage(algorithms, &[], &[], time, usage, None, None)
        .err()
}

/// In the unit that people would count it in.
fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..=7199 => (seconds / 60, "minute"),
        7200..=172_799 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// Whom a verified certificate speaks for in SIP: its URIs `sip:DOMAIN` where it has any, else its host names (RFC 5922 §7.1).
/// Lower case; wildcards mean nobody (§7.2).
pub fn names_of_peer(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(read) = EndEntityCert::try_from(certificate) else {
        return Vec::new();
    };
    // A URI with a user part is that user's, not the domain's.
    let domain = |uri: &str| {
        let (scheme, host) = uri.split_once(':')?;
        let is_domain = scheme.eq_ignore_ascii_case("sip")
            && !host.is_empty()
            && !host.contains(['@', ';', '?', ':']);
        is_domain.then(|| host.to_ascii_lowercase())
    };
    let domains: Vec<String> = read.valid_uri_names().filter_map(domain).collect();
    if !domains.is_empty() {
        return domains;
    }
    let hosts = read.valid_dns_names().map(str::to_ascii_lowercase);
    hosts.filter(|host| !host.contains('*')).collect()
}
