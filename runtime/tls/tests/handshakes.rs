//! Handshakes over a pipe: who is shown which certificate, who is believed, who gets in.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

mod making;

use std::path::Path;
use std::sync::Arc;

use making::Authority;
use rcgen::{BasicConstraints, IsCa};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tls::{Acceptor, Clients, Connector, HANDSHAKE_SECONDS_MAX, Identity, Setup, Source};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// 2030-01-01: a certificate of the tests is good from 1975 to 4096.
const NOW: u64 = 1_893_456_000;

fn identity(source: &Source) -> Identity {
    Identity::read(source, NOW).unwrap()
}

fn setup(default: Identity) -> Setup {
    Setup {
        default,
        domains: Vec::new(),
        clients: Clients::Unasked,
        protocols: Vec::new(),
    }
}

/// What a server that shows this makes of one client, and the client's side of the pipe.
fn server(
    acceptor: &Acceptor,
) -> (
    DuplexStream,
    tokio::task::JoinHandle<Result<Vec<String>, String>>,
) {
    let (near, far) = tokio::io::duplex(16_384);
    let acceptor = acceptor.clone();
    let served = tokio::spawn(async move {
        let mut stream = acceptor
            .accept(far)
            .await
            .map_err(|error| error.to_string())?;
        let names = tls::peer_names(&stream);
        stream
            .write_all(b"hello")
            .await
            .map_err(|error| error.to_string())?;
        stream.shutdown().await.map_err(|error| error.to_string())?;
        Ok(names)
    });
    (near, served)
}

/// The first name of the certificate that is shown to who asks for `host` and believes `ca`; else why she goes away.
async fn shown(acceptor: &Acceptor, ca: &Path, host: &str) -> Result<String, String> {
    let (near, _) = server(acceptor);
    let connector = Connector::new(Some(ca)).unwrap();
    let stream = connector.connect(host, near).await?;
    let (_, connection) = stream.get_ref();
    let certificate = connection.peer_certificates().unwrap().first().unwrap();
    Ok(tls::names_of_peer(certificate).remove(0))
}

#[tokio::test]
async fn each_name_is_shown_the_certificate_that_is_for_it() {
    let authority = Authority::new();
    let own = |file: &str, names: &[&str]| identity(&authority.sign(file, names));
    let mut all = setup(own("default", &["main.net", "127.0.0.1"]));
    // b.net's own is for a host of it too; of c.net's only a host.
    all.domains.push((
        "b.net".to_owned(),
        own("b", &["b.net", "*.b.net", "main.net"]),
    ));
    all.domains
        .push(("c.net".to_owned(), own("c", &["xcap.c.net"])));
    let acceptor = Acceptor::new(all).unwrap();
    let ca = authority.ca();
    for (host, first) in [
        ("main.net", "main.net"),
        ("127.0.0.1", "main.net"),
        ("b.net", "b.net"),
        ("xcap.b.net", "b.net"),
        ("xcap.c.net", "xcap.c.net"),
    ] {
        assert_eq!(
            shown(&acceptor, &ca, host).await.as_deref(),
            Ok(first),
            "{host}"
        );
    }
    let wrong = shown(&acceptor, &ca, "c.net").await.unwrap_err();
    let words = "its certificate was not believed: it is not for c.net but for xcap.c.net";
    assert_eq!(
        wrong, words,
        "a domain's own goes before one that is for it"
    );
    let wrong = shown(&acceptor, &ca, "d.net").await.unwrap_err();
    assert!(
        wrong.contains("it is not for d.net but for main.net"),
        "{wrong}"
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_from_the_next_handshake_on() {
    let authority = Authority::new();
    let acceptor =
        Acceptor::new(setup(identity(&authority.sign("a", &["old.net", "a.net"])))).unwrap();
    let ca = authority.ca();
    assert_eq!(shown(&acceptor, &ca, "a.net").await.unwrap(), "old.net");
    let copy = acceptor.clone();
    let renewed = identity(&authority.sign("a", &["new.net", "a.net"]));
    copy.replace(setup(renewed)).unwrap();
    assert_eq!(shown(&acceptor, &ca, "a.net").await.unwrap(), "new.net");
}

#[tokio::test]
async fn who_is_not_believed_is_told_of_in_words() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let of = |source: Source| Acceptor::new(setup(identity(&source))).unwrap();
    let acceptor = of(stranger.sign("a", &["a.net"]));
    let wrong = shown(&acceptor, &authority.ca(), "a.net")
        .await
        .unwrap_err();
    let words = "its certificate was not believed: nobody who is known here signed it; name the file of who did: --ca FILE";
    assert_eq!(wrong, words);
    let acceptor = of(authority.sign_as("b", &["a.net"], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }));
    let wrong = shown(&acceptor, &authority.ca(), "a.net")
        .await
        .unwrap_err();
    assert!(wrong.contains("that of an authority (CA:TRUE)"), "{wrong}");
    let (near, mut far) = tokio::io::duplex(16_384);
    let plain =
        tokio::spawn(async move { far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await });
    let connector = Connector::new(Some(&authority.ca())).unwrap();
    let wrong = connector.connect("a.net", near).await.unwrap_err();
    plain.await.unwrap().unwrap();
    assert!(
        wrong.contains("http:// instead of https:// is meant?"),
        "{wrong}"
    );
}

/// A client of these versions, with a certificate or without.
async fn client(
    acceptor: &Acceptor,
    authority: &Authority,
    versions: &[&'static rustls::SupportedProtocolVersion],
    own: Option<&Source>,
) -> Result<Vec<String>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(tls::authorities(Some(&authority.ca())).unwrap());
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(source) => {
            let chain = CertificateDer::pem_file_iter(&source.certificate).unwrap();
            let chain = chain.map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_file(&source.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let (near, served) = server(acceptor);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("a.net").unwrap();
    let mut said = Vec::new();
    if let Ok(mut stream) = connector.connect(name, near).await {
        let _ = stream.read_to_end(&mut said).await;
    }
    let names = served.await.unwrap()?;
    assert_eq!(said, b"hello");
    Ok(names)
}

#[tokio::test]
async fn both_versions_are_spoken() {
    let authority = Authority::new();
    let acceptor = Acceptor::new(setup(identity(&authority.sign("a", &["a.net"])))).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let names = client(&acceptor, &authority, &[version], None).await;
        assert_eq!(names, Ok(Vec::new()), "{version:?}");
    }
}

#[tokio::test]
async fn where_a_certificate_is_wanted_nobody_gets_in_without_or_with_a_strangers() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let believed = tls::authorities(Some(&authority.ca())).unwrap();
    let own = authority.sign("peer", &["peer.net"]);
    let strange = stranger.sign("peer", &["peer.net"]);
    let default = identity(&authority.sign("a", &["a.net"]));
    let versions = [&rustls::version::TLS12, &rustls::version::TLS13];
    let peer = Ok(vec!["peer.net".to_owned()]);
    for version in versions {
        for (clients, is_required) in [
            (Clients::Optional(believed.clone()), false),
            (Clients::Required(believed.clone()), true),
        ] {
            let all = Setup {
                clients,
                ..setup(default.clone())
            };
            let acceptor = Acceptor::new(all).unwrap();
            let with = async |own| client(&acceptor, &authority, &[version], own).await;
            assert_eq!(with(Some(&own)).await, peer);
            assert!(with(Some(&strange)).await.is_err());
            assert_eq!(with(None).await.is_err(), is_required);
        }
    }
    let nobody = Arc::new(rustls::RootCertStore::empty());
    let all = Setup {
        clients: Clients::Required(nobody),
        ..setup(default)
    };
    assert!(Acceptor::new(all).is_err(), "nobody could ever get in");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_goes_on_ends() {
    let authority = Authority::new();
    let acceptor = Acceptor::new(setup(identity(&authority.sign("a", &["a.net"])))).unwrap();
    let begun = tokio::time::Instant::now();
    let (near, served) = server(&acceptor);
    assert!(served.await.unwrap().is_err());
    assert_eq!(begun.elapsed(), HANDSHAKE_SECONDS_MAX);
    drop(near);
}
