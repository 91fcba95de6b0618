//! `Authorization` and its grammar (RFC 7616 §3.4).

use std::borrow::Cow;

use super::{Algorithm, Asked, response, same};
use crate::lexical::{self, TOKEN, Values};

/// What a client answers a challenge with. Values are as written, without their quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// Who she says she is, escapes undone.
    pub username: Cow<'a, str>,
    /// For which realm.
    pub realm: Cow<'a, str>,
    /// Of the challenge.
    pub nonce: &'a str,
    /// What was asked for.
    pub uri: &'a str,
    /// The proof.
    pub response: &'a str,
    /// `MD5` where none is named (RFC 7616 §3.4); nothing: one that we don't know.
    pub algorithm: Option<Algorithm>,
    /// The client's own nonce; empty without `qop`.
    pub cnonce: &'a str,
    /// How often she used the nonce, as written: eight hexadecimal digits. Empty without `qop`.
    pub nc: &'a str,
    /// `auth`, or what else it is.
    pub qop: Option<&'a str>,
}

impl<'a> Credentials<'a> {
    /// Of a header field's value: nothing when its scheme is another.
    ///
    /// # Errors
    /// What is wrong with it, short.
    pub fn read(value: &'a str) -> Option<Result<Self, &'static str>> {
        let parameters = after_digest(value)?;
        Some(Self::of(parameters))
    }

    fn of(text: &'a str) -> Result<Self, &'static str> {
        const TWICE: &str = "A parameter of Authorization stands twice";
        let mut found: [Option<&str>; NAMES.len()] = [None; NAMES.len()];
        for parameter in parameters(text) {
            let (name, value) = parameter.ok_or("Authorization is not well formed")?;
            let place = NAMES
                .iter()
                .position(|known| known.eq_ignore_ascii_case(name));
            if let Some(place) = place
                && found[place].replace(value).is_some()
            {
                return Err(TWICE);
            }
        }
        let get = |name: &str| {
            let place = NAMES.iter().position(|known| *known == name)?;
            found[place]
        };
        let text = |name: &str| Some(unescaped(get(name)?));
        let algorithm = get("algorithm").map_or(Some(Algorithm::Md5), Algorithm::read);
        let read = || {
            Some(Self {
                username: text("username")?,
                realm: text("realm")?,
                nonce: get("nonce")?,
                uri: get("uri")?,
                response: get("response")?,
                algorithm,
                cnonce: get("cnonce").unwrap_or_default(),
                nc: get("nc").unwrap_or_default(),
                qop: get("qop"),
            })
        };
        read().ok_or("Authorization lacks a parameter")
    }

    /// `nc` as a number (RFC 7616 §3.4: eight hexadecimal digits).
    pub fn count(&self) -> Option<u32> {
        let is_hexadecimal = self.nc.len() == 8 && self.nc.bytes().all(|b| b.is_ascii_hexdigit());
        is_hexadecimal.then(|| u32::from_str_radix(self.nc, 16).ok())?
    }

    /// Whether who wrote this for `method` knew what `ha1` was made of.
    pub fn prove(&self, algorithm: Algorithm, ha1: &str, method: &str) -> bool {
        let asked = Asked {
            method,
            uri: self.uri,
            nonce: self.nonce,
            nc: self.nc,
            cnonce: self.cnonce,
        };
        let expected = response(algorithm, ha1, &asked);
        same(
            self.response.to_ascii_lowercase().as_bytes(),
            expected.as_bytes(),
        )
    }
}

const NAMES: [&str; 9] = [
    "username",
    "realm",
    "nonce",
    "uri",
    "response",
    "algorithm",
    "cnonce",
    "nc",
    "qop",
];

/// What follows the scheme `Digest`; nothing when it is another.
pub(super) fn after_digest(value: &str) -> Option<&str> {
    let (scheme, rest) = lexical::word(lexical::trim_text(value));
    scheme.eq_ignore_ascii_case("Digest").then_some(rest)
}

/// Name and value without quotes; nothing where the grammar is broken.
pub(super) fn parameters(text: &str) -> impl Iterator<Item = Option<(&str, &str)>> {
    Values::new(text.as_bytes()).map(|parameter| {
        let parameter = std::str::from_utf8(parameter).ok()?;
        let (name, value) = lexical::split(parameter, b'=')?;
        let (name, value) = (lexical::trim_text(name), lexical::trim_text(value));
        if !lexical::is_token(name.as_bytes()) {
            return None;
        }
        if let Some(length) = lexical::quoted(value.as_bytes()) {
            return (length == value.len()).then(|| (name, &value[1..length - 1]));
        }
        let is_plain = |byte: &u8| lexical::is(*byte, TOKEN) || b"/:=@".contains(byte);
        let plain = !value.is_empty() && value.as_bytes().iter().all(is_plain);
        plain.then_some((name, value))
    })
}

/// The letters of a quoted string (RFC 3261 §25.1): what follows a backslash stands for itself.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut letters = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(letter) = letters.next() {
        plain.extend(if letter == '\\' {
            letters.next()
        } else {
            Some(letter)
        });
    }
    Cow::Owned(plain)
}

/// Letters as a quoted string.
pub(super) fn quote(text: &mut String, value: &str) {
    text.push('"');
    for letter in value.chars() {
        if matches!(letter, '"' | '\\') {
            text.push('\\');
        }
        // A line end or another control character can't be quoted.
        if !letter.is_control() {
            text.push(letter);
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"Digest username="bob", realm="a, b", nonce="n", uri="sip:b@x", response="00", algorithm=SHA-256, cnonce="c", nc=0000000a, qop=auth, opaque="""#;

    #[test]
    fn each_parameter_is_read() {
        let read = Credentials::read(GOOD).unwrap().unwrap();
        assert_eq!((&*read.username, &*read.realm), ("bob", "a, b"));
        assert_eq!(
            (read.nonce, read.uri, read.response),
            ("n", "sip:b@x", "00")
        );
        assert_eq!(read.algorithm, Some(Algorithm::Sha256));
        assert_eq!(
            (read.cnonce, read.count(), read.qop),
            ("c", Some(10), Some("auth"))
        );
    }

    #[test]
    fn others_spell_it_in_other_ways() {
        let other = GOOD
            .replace("Digest", "digest ")
            .replace(", ", " ,\t")
            .replace("nonce=\"n\"", "NONCE = \"n\"")
            .replace("qop=auth", "qop=\"auth\"");
        let read = Credentials::read(&other).unwrap().unwrap();
        assert_eq!((read.nonce, read.qop), ("n", Some("auth")));
        let old = GOOD.replace("algorithm=SHA-256, ", "");
        let read = Credentials::read(&old).unwrap().unwrap();
        assert_eq!(read.algorithm, Some(Algorithm::Md5));
        let unknown = GOOD.replace("SHA-256", "SHA-512-256");
        assert_eq!(
            Credentials::read(&unknown).unwrap().unwrap().algorithm,
            None
        );
        let escaped = GOOD.replace("bob", r#"b\"o\\b"#);
        assert_eq!(
            Credentials::read(&escaped).unwrap().unwrap().username,
            r#"b"o\b"#
        );
    }

    #[test]
    fn what_is_broken_is_refused() {
        for (from, to) in [
            ("username=\"bob\", ", ""),
            ("nonce=\"n\"", "nonce=\"n\", nonce=\"m\""),
            ("uri=\"sip:b@x\"", "uri=\"sip:b@x"),
            ("realm=", "realm"),
            ("nonce=\"n\"", "nonce=\"n\"x"),
            ("nonce=\"n\"", "nonce="),
        ] {
            let bad = GOOD.replace(from, to);
            assert_ne!(bad, GOOD);
            assert!(Credentials::read(&bad).unwrap().is_err(), "{bad}");
        }
        assert_eq!(Credentials::read("Basic Ym9iOnNlY3JldA=="), None);
        assert_eq!(Credentials::read(""), None);
        for nc in ["", "1", "0000000g", "000000001", "+0000001"] {
            let text = GOOD.replace("nc=0000000a", &format!("nc=\"{nc}\""));
            assert_eq!(
                Credentials::read(&text).unwrap().unwrap().count(),
                None,
                "{nc}"
            );
        }
    }
}
