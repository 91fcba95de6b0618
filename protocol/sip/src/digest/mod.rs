//! Digest of RFC 7616, as SIP has it by RFC 3261 §22.4 and RFC 8760: the grammar of its header fields and its arithmetic.
//! HTTP speaks the same, so its listener reads and writes these too.
//!
//! `qop` is always `auth`: what RFC 2069 wrote without it protects nothing from being replayed, and `auth-int` would
//! cover a body that proxies may not change anyway.

mod challenge;
mod credentials;

use md5::{Digest as _, Md5};
use sha2::Sha256;

pub use challenge::{Answer, Challenge, challenges};
pub use credentials::Credentials;

/// A hash function by its name in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `SHA-256` (RFC 7616 §6.1).
    Sha256,
    /// `MD5`, for old clients.
    Md5,
}

impl Algorithm {
    /// All there are, the better one first (RFC 8760 §2.3).
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Md5];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    /// The one of this name; the `-sess` variants are none that we offer or take.
    pub fn read(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(text))
    }

    /// How many hexadecimal digits its hashes have.
    pub const fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Md5 => 32,
        }
    }

    /// H of RFC 7616 §3.3 over the parts with colons between them, in lower-case hexadecimal digits.
    fn hash(self, parts: &[&str]) -> String {
        let mut text = String::with_capacity(self.digits());
        match self {
            Self::Sha256 => hexadecimal(&mut text, &hash::<Sha256>(parts)),
            Self::Md5 => hexadecimal(&mut text, &hash::<Md5>(parts)),
        }
        text
    }
}

fn hash<H: md5::Digest>(parts: &[&str]) -> md5::digest::Output<H> {
    let mut hasher = H::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            hasher.update(b":");
        }
        hasher.update(part.as_bytes());
    }
    hasher.finalize()
}

fn hexadecimal(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// H(A1) of RFC 7616 §3.4.2: all that a server need know of a password.
pub fn ha1(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> String {
    algorithm.hash(&[username, realm, password])
}

/// What the response is made of besides H(A1).
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method, as in the start line.
    pub method: &'a str,
    /// `uri`.
    pub uri: &'a str,
    /// `nonce`.
    pub nonce: &'a str,
    /// `nc`, eight hexadecimal digits.
    pub nc: &'a str,
    /// `cnonce`.
    pub cnonce: &'a str,
}

/// The response with `qop=auth` (RFC 7616 §3.4.1, §3.4.3).
pub fn response(algorithm: Algorithm, ha1: &str, asked: &Asked<'_>) -> String {
    let ha2 = algorithm.hash(&[asked.method, asked.uri]);
    let parts = [ha1, asked.nonce, asked.nc, asked.cnonce, "auth", &ha2];
    algorithm.hash(&parts)
}

/// HMAC-SHA-256 (RFC 2104) over parts that nobody can shift against each other: the length of each goes first.
pub fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let pad = |mask: u8| {
        let mut block = [mask; 64];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        Sha256::new().chain_update(block)
    };
    let mut inner = pad(0x36);
    for part in parts {
        inner.update((part.len() as u64).to_be_bytes());
        inner.update(part);
    }
    pad(0x5c).chain_update(inner.finalize()).finalize().into()
}

/// Whether both are the same, in a time that tells nothing of where they differ.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |seen, (a, b)| seen | (a ^ b));
    std::hint::black_box(differences) == 0 && one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1, both of its algorithms.
    #[test]
    fn the_example_of_rfc_7616() {
        let asked = Asked {
            method: "GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            nc: "00000001",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        };
        for (algorithm, expected) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                Algorithm::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let ha1 = ha1(
                algorithm,
                "Mufasa",
                "http-auth@example.org",
                "Circle of Life",
            );
            assert_eq!(response(algorithm, &ha1, &asked), expected);
        }
    }

    /// RFC 2617 §3.5, which RFC 3261 refers to.
    #[test]
    fn the_example_of_rfc_2617() {
        let ha1 = ha1(
            Algorithm::Md5,
            "Mufasa",
            "testrealm@host.com",
            "Circle Of Life",
        );
        assert_eq!(ha1, "939e7578ed9e3c518a452acee763bce9");
        let asked = Asked {
            method: "GET",
            uri: "/dir/index.html",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            nc: "00000001",
            cnonce: "0a4f113b",
        };
        assert_eq!(
            response(Algorithm::Md5, &ha1, &asked),
            "6629fae49393a05397450978507c4ef1"
        );
    }

    /// Against HMAC made by another program over the same bytes.
    #[test]
    fn keyed_is_hmac_over_framed_parts() {
        let mut text = String::new();
        hexadecimal(&mut text, &keyed(&[7; 32], &[b"ab", b""]));
        assert_eq!(
            text,
            "73d4134ef3804d927f5473fdb303e6ef299a3fe13dd5d8fa43cc65a2e2163555"
        );
        assert_ne!(keyed(&[7; 32], &[b"ab"]), keyed(&[7; 32], &[b"a", b"b"]));
    }

    #[test]
    fn sameness_is_of_all_bytes() {
        assert!(same(b"abc", b"abc"));
        assert!(same(b"", b""));
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!same(b"abc", other));
        }
    }
}
