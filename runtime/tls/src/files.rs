//! PEM files: read with their bounds, and what is wrong with them in words.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Authorities;

/// 1 MiB: a system's own list of authorities has a quarter of it. A longer file is refused, not read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Which file is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificate, with those of who signed it.
    Certificate,
    /// Its key.
    Key,
    /// Who signs others.
    Authorities,
}

/// What is wrong with a file, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which one.
    pub part: Part,
    /// Names the file.
    pub message: String,
}

pub(crate) fn fault(part: Part, file: &Path, what: impl std::fmt::Display) -> Fault {
    Fault {
        part,
        message: format!("{}: {what}", file.display()),
    }
}

/// The bytes, and whether everybody on the machine may read them.
fn read(part: Part, file: &Path) -> Result<(Vec<u8>, bool), Fault> {
    let wrong = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        _ => format!("can't be read: {error}"),
    };
    let attempt = || -> io::Result<(Vec<u8>, u32)> {
        let opened = File::open(file)?;
        let mode = opened.metadata()?.permissions().mode();
        let mut bytes = Vec::new();
        opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok((bytes, mode))
    };
    let (bytes, mode) = attempt().map_err(|error| fault(part, file, wrong(&error)))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(fault(part, file, "longer than 1 MiB; no certificate is"));
    }
    Ok((bytes, mode & 0o004 != 0))
}

/// Every certificate of a file, in its order; at least one.
pub(crate) fn certificates(part: Part, file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let (bytes, _) = read(part, file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) if PrivateKeyDer::from_pem_slice(&bytes).is_ok() => {
            let wrong = "a key where a certificate belongs; the two files are swapped?";
            Err(fault(part, file, wrong))
        }
        Ok(_) => Err(fault(
            part,
            file,
            "no certificate; PEM is meant: -----BEGIN CERTIFICATE-----",
        )),
        Err(error) => Err(fault(part, file, format!("not PEM: {error}"))),
    }
}

pub(crate) fn key(file: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let (bytes, readable_by_others) = read(Part::Key, file)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        let text = String::from_utf8_lossy(&bytes);
        let wrong = match () {
            () if text.contains("ENCRYPTED") => {
                "a key that wants a password; write it without one: openssl pkey -in KEY -out PLAIN"
            }
            () if text.contains("BEGIN CERTIFICATE") => {
                "a certificate where a key belongs; the two files are swapped?"
            }
            () => "no key; PEM is meant: -----BEGIN PRIVATE KEY-----",
        };
        fault(Part::Key, file, wrong)
    })?;
    if readable_by_others {
        let advice = format!(
            "a key that everybody on this machine may read; run: chmod 600 {}",
            file.display()
        );
        return Err(fault(Part::Key, file, advice));
    }
    Ok(key)
}

/// Who signs peers: those of `file`, else those that this system believes.
///
/// # Errors
/// The file can't be read, or holds no certificate that could sign another.
pub fn authorities(file: Option<&Path>) -> Result<Authorities, Fault> {
    let mut believed = RootCertStore::empty();
    let Some(file) = file else {
        // What a system's own folder has that is no certificate is none of ours to mend.
        let found = rustls_native_certs::load_native_certs();
        believed.add_parsable_certificates(found.certs);
        return Ok(Arc::new(believed));
    };
    for certificate in certificates(Part::Authorities, file)? {
        believed.add(certificate).map_err(|error| {
            let wrong = format!("a certificate that can't be read: {error}");
            fault(Part::Authorities, file, wrong)
        })?;
    }
    Ok(Arc::new(believed))
}
