//! `WWW-Authenticate` and `Proxy-Authenticate` (RFC 7616 §3.3): written by a server, answered by a client.

use std::borrow::Cow;

use super::credentials::{after_digest, parameters, quote, unescaped};
use super::{Algorithm, Asked, ha1, response};

/// One header field's value for each algorithm, in the order given, which is the order of preference (RFC 8760 §2.3).
/// `stale`: the credentials were right, but their nonce is over; nobody need be asked for a password.
pub fn challenges(realm: &str, nonce: &str, algorithms: &[Algorithm], stale: bool) -> Vec<String> {
    let write = |algorithm: &Algorithm| {
        let mut text = String::from("Digest realm=");
        quote(&mut text, realm);
        text.push_str(", nonce=");
        quote(&mut text, nonce);
        text.push_str(", qop=\"auth\", algorithm=");
        text.push_str(algorithm.name());
        if stale {
            text.push_str(", stale=true");
        }
        text
    };
    algorithms.iter().map(write).collect()
}

/// A server's challenge, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Which password is asked for, escapes undone.
    pub realm: Cow<'a, str>,
    /// To be used in the answer, as written.
    pub nonce: &'a str,
    /// To be given back as written.
    pub opaque: Option<&'a str>,
    /// `MD5` where none is named.
    pub algorithm: Algorithm,
    /// The password was right, the nonce is over.
    pub stale: bool,
}

/// What a client answers with.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Who she is.
    pub username: &'a str,
    /// What she knows.
    pub password: &'a str,
    /// The method of the request.
    pub method: &'a str,
    /// Its Request-URI.
    pub uri: &'a str,
    /// How often the nonce was used, this time included.
    pub count: u32,
    /// Random letters and digits.
    pub cnonce: &'a str,
}

impl<'a> Challenge<'a> {
    /// Of a header field's value. Nothing when it is no challenge that we can answer: of another scheme, with an algorithm
    /// or a quality of protection that we don't know, or broken.
    pub fn read(value: &'a str) -> Option<Self> {
        let (mut realm, mut nonce, mut opaque) = (None, None, None);
        let (mut algorithm, mut stale, mut offers_auth) = (Algorithm::Md5, false, false);
        for parameter in parameters(after_digest(value)?) {
            let (name, value) = parameter?;
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(unescaped(value)),
                "nonce" => nonce = Some(value),
                "opaque" => opaque = Some(value),
                "algorithm" => algorithm = Algorithm::read(value)?,
                "stale" => stale = value.eq_ignore_ascii_case("true"),
                "qop" => {
                    let mut offered = value.split(',').map(str::trim);
                    offers_auth = offered.any(|qop| qop.eq_ignore_ascii_case("auth"));
                }
                _ => {}
            }
        }
        offers_auth.then_some(Self {
            realm: realm?,
            nonce: nonce?,
            opaque,
            algorithm,
            stale,
        })
    }

    /// The value of `Authorization` or `Proxy-Authorization`.
    pub fn answer(&self, answer: &Answer<'_>) -> String {
        let nc = format!("{:08x}", answer.count);
        let ha1 = ha1(
            self.algorithm,
            answer.username,
            &self.realm,
            answer.password,
        );
        let asked = Asked {
            method: answer.method,
            uri: answer.uri,
            nonce: self.nonce,
            nc: &nc,
            cnonce: answer.cnonce,
        };
        let proof = response(self.algorithm, &ha1, &asked);
        let mut text = String::from("Digest username=");
        quote(&mut text, answer.username);
        text.push_str(", realm=");
        quote(&mut text, &self.realm);
        let raw = |text: &mut String, name: &str, value: &str| {
            text.push_str(", ");
            text.push_str(name);
            text.push_str("=\"");
            text.push_str(value);
            text.push('"');
        };
        raw(&mut text, "nonce", self.nonce);
        raw(&mut text, "uri", answer.uri);
        raw(&mut text, "response", &proof);
        text.push_str(", algorithm=");
        text.push_str(self.algorithm.name());
        text.push_str(", qop=auth, nc=");
        text.push_str(&nc);
        raw(&mut text, "cnonce", answer.cnonce);
        if let Some(opaque) = self.opaque {
            raw(&mut text, "opaque", opaque);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Credentials;

    #[test]
    fn what_we_write_we_read_and_answer() {
        let written = challenges(r#"a "realm" \"#, "n0nce", &Algorithm::ALL, true);
        assert_eq!(
            written,
            [
                r#"Digest realm="a \"realm\" \\", nonce="n0nce", qop="auth", algorithm=SHA-256, stale=true"#,
                r#"Digest realm="a \"realm\" \\", nonce="n0nce", qop="auth", algorithm=MD5, stale=true"#,
            ]
        );
        for value in &written {
            let challenge = Challenge::read(value).unwrap();
            assert_eq!(challenge.realm, r#"a "realm" \"#);
            assert!(challenge.stale);
            let answer = challenge.answer(&Answer {
                username: r#"b"ob"#,
                password: "secret",
                method: "PUBLISH",
                uri: "sip:bob@example.com",
                count: 2,
                cnonce: "c",
            });
            let read = Credentials::read(&answer).unwrap().unwrap();
            assert_eq!((&*read.username, read.count()), (r#"b"ob"#, Some(2)));
            let algorithm = read.algorithm.unwrap();
            let right = ha1(algorithm, &read.username, &read.realm, "secret");
            let wrong = ha1(algorithm, &read.username, &read.realm, "Secret");
            assert!(read.prove(algorithm, &right, "PUBLISH"));
            assert!(!read.prove(algorithm, &right, "SUBSCRIBE"));
            assert!(!read.prove(algorithm, &wrong, "PUBLISH"));
        }
    }

    /// RFC 7616 §3.9.1: its challenge, and the answer that it gives, by value.
    #[test]
    fn the_example_of_rfc_7616_is_answered_as_it_says() {
        let challenge = Challenge::read(
            r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
        )
        .unwrap();
        let answer = challenge.answer(&Answer {
            username: "Mufasa",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            count: 1,
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        });
        assert!(answer.contains(
            r#"response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1""#
        ));
        assert!(answer.contains(r#"opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#));
    }

    #[test]
    fn what_we_cannot_answer_is_no_challenge() {
        for value in [
            r#"Basic realm="x""#,
            r#"Digest realm="x", nonce="n""#,
            r#"Digest realm="x", nonce="n", qop="auth-int""#,
            r#"Digest realm="x", nonce="n", qop="auth", algorithm=SHA-512-256"#,
            r#"Digest realm="x", qop="auth""#,
            r#"Digest realm="x", nonce="n, qop="auth""#,
        ] {
            assert_eq!(Challenge::read(value), None, "{value}");
        }
    }
}
