//! Documents and users by HTTPS, as an operator and her users meet it: real processes and sockets, certificates of the test's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

mod running;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use running::{Server, run, tidings};

const CONFIGURATION: &str = "domains = [\"a.net\"]\ndata = \"data\"\n\
    [listen]\nsip = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]\nhttp = [\"http://127.0.0.1:0\", \"https://127.0.0.1:0\"]\n\
    [tls]\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n\
    [identity]\nfrom_is_identity = true\n[presence]\ndefault_handling = \"confirm\"\n";

const INDEX: &str = "pres-rules/users/sip:alice@a.net/index";

/// Writes `chain.pem` and `key.pem` for 127.0.0.1, signed by an authority of its own, which goes to `ca`.
fn certify(folder: &Path, ca: &str, change: impl FnOnce(&mut CertificateParams)) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, ca);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    fs::write(folder.join(ca), authority.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, &issuer).unwrap();
    fs::write(folder.join("chain.pem"), signed.pem()).unwrap();
    let file = folder.join("key.pem");
    fs::write(&file, key.serialize_pem()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.toml"), CONFIGURATION).unwrap();
    certify(folder.path(), "ca.pem", |_| {});
    folder
}

/// A client's command for alice's documents.
fn ask(folder: &Path, server: &Server, ca: &[&str], command: &[&str]) -> (i32, String, String) {
    let root = format!("https://{}/xcap-root", server.https.as_deref().unwrap());
    let who = ["--as", "alice@a.net", "--xcap-root", &root];
    run(folder, &[command, &who, ca].concat())
}

const CA: [&str; 2] = ["--ca", "ca.pem"];

#[test]
fn rules_and_documents_go_by_https_to_who_is_believed() {
    let folder = folder();
    let path = folder.path();
    let server = Server::start(path);
    let (code, out, said) = ask(path, &server, &CA, &["rules", "allow", "bob@a.net"]);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    let (code, out, said) = ask(path, &server, &CA, &["xcap", "get", INDEX]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("bob@a.net"), "{out}");
    let (code, out, said) = ask(path, &server, &[], &["xcap", "get", INDEX]);
    assert_eq!((code, out.as_str()), (1, ""));
    let words = ": its certificate was not believed: nobody who is known here signed it; name the file of who did: --ca FILE\n";
    assert!(said.ends_with(words), "{said}");
    let (code, _, said) = ask(
        path,
        &server,
        &["--ca", "none.pem"],
        &["xcap", "get", INDEX],
    );
    assert_eq!(
        (code, said.as_str()),
        (2, "tidings: --ca: none.pem: no such file\n")
    );
    // A plain listener is asked by TLS.
    let root = format!("https://{}/xcap-root", server.http);
    let plain = [
        "xcap",
        "get",
        INDEX,
        "--as",
        "alice@a.net",
        "--xcap-root",
        &root,
    ];
    let (code, _, said) = run(path, &[&plain[..], &CA].concat());
    assert_eq!(code, 1);
    assert!(
        said.contains("http:// instead of https:// is meant?"),
        "{said}"
    );
}

#[test]
fn operators_ask_by_https_too() {
    let folder = folder();
    let path = folder.path();
    let server = Server::start(path);
    let url = format!("https://{}", server.https.as_deref().unwrap());
    fs::write(path.join("secret"), "s3cret\n").unwrap();
    let ask = |arguments: &[&str]| {
        let mut command = tidings(path, &[arguments, &CA].concat());
        let output = command.env("TIDINGS_ADMIN", &url).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), text)
    };
    let add = ["user", "add", "carol@a.net", "--password-file", "secret"];
    assert_eq!(ask(&add).0, 0);
    let (code, out) = ask(&["user", "list"]);
    assert_eq!((code, out.lines().count()), (0, 1), "{out}");
    assert!(out.starts_with("sip:carol@a.net\t"), "{out}");
    let (code, out) = ask(&["status"]);
    assert_eq!(code, 0);
    assert!(out.contains(&format!("  http     {url}\n")), "{out}");
}

#[test]
fn renewed_certificates_are_taken_over_by_a_reload_and_bad_ones_are_not() {
    let folder = folder();
    let path = folder.path();
    let server = Server::start(path);
    let reload = || run(path, &["reload", "--data", "data"]);
    let get = |ca: &str| ask(path, &server, &["--ca", ca], &["rules", "list"]).0;
    assert_eq!(get("ca.pem"), 0);
    certify(path, "new.pem", |_| {});
    assert_eq!(
        (get("ca.pem"), get("new.pem")),
        (0, 1),
        "nobody has looked yet"
    );
    assert_eq!(reload().0, 0);
    assert_eq!((get("ca.pem"), get("new.pem")), (1, 0));
    fs::write(path.join("key.pem"), "half a fi").unwrap();
    let (code, _, said) = reload();
    assert_eq!(code, 2);
    let words = "t.toml:8:7: tls.key: key.pem: no key; PEM is meant: -----BEGIN PRIVATE KEY-----\n";
    assert_eq!(said, words);
    assert_eq!(get("new.pem"), 0, "what was in force still is");
}

#[test]
fn check_and_serve_say_what_is_wrong_with_a_certificate_and_exit_with_2() {
    let folder = folder();
    let path = folder.path();
    let both = |said: &str| {
        for command in ["check", "serve"] {
            let (code, _, error) = run(path, &[command, "--config", "t.toml"]);
            assert_eq!(code, 2, "{command}: {error}");
            assert_eq!(error, said, "{command}");
        }
        assert!(!path.join("data").exists(), "nothing was begun");
    };
    let (code, out, error) = run(path, &["check", "--config", "t.toml", "--strict"]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    let key = fs::read(path.join("key.pem")).unwrap();
    certify(path, "ca.pem", |_| {});
    fs::write(path.join("key.pem"), key).unwrap();
    both(
        "t.toml:8:7: tls.key: key.pem: not the key of chain.pem; write the one that the certificate was made with\n",
    );
    certify(path, "ca.pem", |params| {
        params.not_after = date_time_ymd(2001, 1, 1)
    });
    let (code, _, error) = run(path, &["check", "--config", "t.toml"]);
    assert_eq!(code, 2);
    assert!(
        error.starts_with("t.toml:7:15: tls.certificate: chain.pem: ended "),
        "{error}"
    );
    assert!(
        error.ends_with(" days ago; write a new certificate there\n"),
        "{error}"
    );
    certify(path, "ca.pem", |_| {});
    fs::remove_file(path.join("key.pem")).unwrap();
    both("t.toml:8:7: tls.key: key.pem: no such file\n");
    fs::write(
        path.join("t.toml"),
        CONFIGURATION.replace("key = \"key.pem\"\n", ""),
    )
    .unwrap();
    both(concat!(
        "t.toml:5:31: listen.http[1]: https without a certificate; write: [tls], and below it: certificate = \"chain.pem\" and key = \"key.pem\"\n",
        "t.toml:7:15: tls.certificate: a certificate without its key; write: key = \"key.pem\"\n",
    ));
}
