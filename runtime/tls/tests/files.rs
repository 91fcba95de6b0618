//! What is wrong with a certificate or its key is said in words that name the file and what would be right.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

mod making;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use making::{Authority, write_key};
use rcgen::{SanType, date_time_ymd};
use tls::{Identity, Part, Source, authorities, names_of_peer};

/// 2030-01-01T00:00:00Z.
const NOW: u64 = 1_893_456_000;
const DAY: u64 = 86_400;

/// What is said, without the folder.
fn said(source: &Source) -> Vec<(Part, String)> {
    let faults = Identity::read(source, NOW).map(drop).unwrap_err();
    let folder = source.certificate.parent().unwrap();
    let folder = format!("{}/", folder.display());
    let told = faults.into_iter();
    told.map(|fault| (fault.part, fault.message.replace(&folder, "")))
        .collect()
}

fn one(source: &Source, part: Part, message: &str) {
    assert_eq!(said(source), [(part, message.to_owned())]);
}

#[test]
fn a_good_pair_says_for_whom_and_until_when_it_is() {
    let authority = Authority::new();
    let source = authority.sign_as("a", &["a.net", "*.a.net"], |params| {
        params.not_before = date_time_ymd(2029, 12, 1);
        params.not_after = date_time_ymd(2030, 1, 11);
    });
    let identity = Identity::read(&source, NOW).unwrap();
    assert_eq!(identity.names, ["a.net", "*.a.net"]);
    assert_eq!(identity.not_after_seconds, NOW + 10 * DAY);
    let is_for = |host| identity.is_for(host);
    assert!(is_for("a.net") && is_for("xcap.a.net") && is_for("XCAP.A.NET"));
    assert!(!is_for("b.net") && !is_for("a.b.a.net") && !is_for("not a name") && !is_for(""));
}

#[test]
fn what_is_not_there_or_not_what_it_should_be_is_named() {
    let authority = Authority::new();
    let good = authority.sign("a", &["a.net"]);
    let nowhere = Source {
        certificate: authority.folder.path().join("x.pem"),
        key: authority.folder.path().join("x.key"),
    };
    let missing = |part, name: &str| (part, format!("{name}: no such file"));
    assert_eq!(
        said(&nowhere),
        [
            missing(Part::Certificate, "x.pem"),
            missing(Part::Key, "x.key")
        ]
    );
    let swapped = Source {
        certificate: good.key.clone(),
        key: good.certificate.clone(),
    };
    let hint = "the two files are swapped?";
    assert_eq!(
        said(&swapped),
        [
            (
                Part::Certificate,
                format!("a.key: a key where a certificate belongs; {hint}")
            ),
            (
                Part::Key,
                format!("a.pem: a certificate where a key belongs; {hint}")
            ),
        ]
    );
    let other = Source {
        key: authority.sign("b", &["a.net"]).key,
        ..good.clone()
    };
    let message = "not the key of a.pem; write the one that the certificate was made with";
    one(&other, Part::Key, &format!("b.key: {message}"));
    fs::write(&good.certificate, "nothing of the kind").unwrap();
    let message = "a.pem: no certificate; PEM is meant: -----BEGIN CERTIFICATE-----";
    one(&good, Part::Certificate, message);
    let empty = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    fs::write(&good.certificate, empty).unwrap();
    let [(Part::Certificate, message)] = &said(&good)[..] else {
        panic!("the certificate is to blame")
    };
    assert!(
        message.starts_with("a.pem: a certificate that can't be read"),
        "{message}"
    );
}

#[test]
fn a_key_that_others_may_read_is_refused_and_its_group_may() {
    let authority = Authority::new();
    let source = authority.sign("a", &["a.net"]);
    let mode = |mode| fs::set_permissions(&source.key, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let [(Part::Key, message)] = &said(&source)[..] else {
        panic!("the key is to blame")
    };
    let start = "a.key: a key that everybody on this machine may read; run: chmod 600 ";
    assert!(message.starts_with(start), "{message}");
    mode(0o640);
    assert!(Identity::read(&source, NOW).is_ok());
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    write_key(&source.key, locked, 0o600);
    let message =
        "a key that wants a password; write it without one: openssl pkey -in KEY -out PLAIN";
    one(&source, Part::Key, &format!("a.key: {message}"));
}

#[test]
fn what_has_ended_or_not_begun_is_refused() {
    let authority = Authority::new();
    let ended = authority.sign_as("a", &["a.net"], |params| {
        params.not_after = date_time_ymd(2029, 12, 29);
    });
    let message = "a.pem: ended 3 days ago; write a new certificate there";
    one(&ended, Part::Certificate, message);
    let early = authority.sign_as("b", &["a.net"], |params| {
        params.not_before = date_time_ymd(2030, 1, 2);
    });
    let message = "b.pem: begins in 24 hours; is this machine's clock right?";
    one(&early, Part::Certificate, message);
}

#[test]
fn authorities_are_certificates() {
    let authority = Authority::new();
    assert_eq!(authorities(Some(&authority.ca())).unwrap().len(), 1);
    let key = authority.sign("a", &["a.net"]).key;
    let fault = authorities(Some(&key)).unwrap_err();
    assert_eq!(fault.part, Part::Authorities);
    assert!(
        fault.message.contains("a key where a certificate belongs"),
        "{}",
        fault.message
    );
}

#[test]
fn a_peer_is_who_its_sip_uris_name_and_else_who_its_hosts_do() {
    let authority = Authority::new();
    let names = |file: &str, uris: &[&str], hosts: &[&str]| {
        let source = authority.sign_as(file, hosts, |params| {
            let uris = uris
                .iter()
                .map(|uri| SanType::URI((*uri).try_into().unwrap()));
            params.subject_alt_names.extend(uris);
        });
        let pem = fs::read(&source.certificate).unwrap();
        let der = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
        names_of_peer(&der)
    };
    let both = ["sip:A.net", "sip:alice@a.net", "https://a.net"];
    assert_eq!(names("a", &both, &["host.a.net"]), ["a.net"]);
    assert_eq!(
        names("b", &["sip:alice@a.net"], &["Host.a.net", "*.a.net"]),
        ["host.a.net"]
    );
    assert_eq!(names("c", &[], &[]), [""; 0]);
}
