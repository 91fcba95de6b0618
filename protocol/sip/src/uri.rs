//! URIs: sip, sips (RFC 3261 §19.1), tel (RFC 3966), and any other scheme as an opaque text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::lexical::{self, HEADERS, HOST, URI, USER};
use crate::{Flaw, Params};

/// The schemes that mean something to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other; the URI's content is in `opaque`.
    Other,
}

/// A URI taken apart. Its pieces stand as written: escapes are not undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'b> {
    /// Which scheme.
    pub scheme: Scheme,
    /// What stands before the `@` and a password; none in tel and others.
    pub user: Option<&'b str>,
    /// What stands between user and `@` after a colon (deprecated by RFC 3261 §19.1.1).
    pub password: Option<&'b str>,
    /// Host name or address, IPv6 with its brackets; empty in tel and others.
    pub host: &'b str,
    /// The port, if written.
    pub port: Option<u16>,
    /// URI parameters.
    pub params: Params<'b>,
    /// What follows the `?`.
    pub headers: Option<&'b str>,
    /// The number of a tel URI without its parameters; everything after the colon of other schemes; else empty.
    pub opaque: &'b str,
    text: &'b str,
}

impl<'b> Uri<'b> {
    /// Takes a URI apart, strictly by its grammar. The flaw's status is 400: whether a scheme is served is asked elsewhere.
    pub fn parse(text: &'b str) -> Result<Uri<'b>, Flaw> {
        match plain(text) {
            Some(uri) => Ok(uri),
            None => Uri::parse_any(text),
        }
    }

    fn parse_any(text: &'b str) -> Result<Uri<'b>, Flaw> {
        let (scheme, rest) = lexical::split(text, b':').ok_or(BAD_SCHEME)?;
        let mut letters = scheme.bytes();
        let well_formed = letters
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic())
            && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !well_formed {
            return Err(BAD_SCHEME);
        }
        if scheme.eq_ignore_ascii_case("sip") {
            sip(Scheme::Sip, text, rest)
        } else if scheme.eq_ignore_ascii_case("sips") {
            sip(Scheme::Sips, text, rest)
        } else if scheme.eq_ignore_ascii_case("tel") {
            tel(text, rest)
        } else if !rest.is_empty() && lexical::all_escaped(rest.as_bytes(), URI) {
            Ok(Uri {
                opaque: rest,
                ..Uri::of(Scheme::Other, text)
            })
        } else {
            Err(BAD_URI)
        }
    }

    fn of(scheme: Scheme, text: &'b str) -> Uri<'b> {
        Uri {
            scheme,
            user: None,
            password: None,
            host: "",
            port: None,
            params: Params::default(),
            headers: None,
            opaque: "",
            text,
        }
    }

    /// As written.
    pub fn text(&self) -> &'b str {
        self.text
    }

    /// The value of a URI parameter.
    pub fn param(&self, name: &str) -> Option<&'b str> {
        self.params.value(name)
    }

    /// True if a URI parameter is there, with or without a value.
    pub fn has_param(&self, name: &str) -> bool {
        self.params.has(name)
    }

    /// The host as an address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        address(self.host)
    }
}

const BAD_SCHEME: Flaw = Flaw::whole(400, "Bad URI: no scheme");
const BAD_URI: Flaw = Flaw::whole(400, "Bad URI");
const BAD_HOST: Flaw = Flaw::whole(400, "Bad URI: no usable host");
const BAD_PORT: Flaw = Flaw::whole(400, "Bad URI: no usable port");
const BAD_USER: Flaw = Flaw::whole(400, "Bad URI: user part");

/// What nearly every URI is, in one pass: `sip:user@host` or `sip:user@host:port`. None: it takes the long way.
fn plain(text: &str) -> Option<Uri<'_>> {
    let bytes = text.as_bytes();
    if !bytes.get(..4)?.eq_ignore_ascii_case(b"sip:") {
        return None;
    }
    let user = lexical::escaped_end(bytes, 4, USER);
    if user == 4 || bytes.get(user) != Some(&b'@') {
        return None;
    }
    let (mut at, mut after_dot) = (user + 1, true);
    while let Some(byte) = bytes.get(at).filter(|byte| **byte != b':') {
        let is_dot = *byte == b'.';
        if is_dot && after_dot || !is_dot && !lexical::is(*byte, HOST) {
            return None;
        }
        (at, after_dot) = (at + 1, is_dot);
    }
    let port = match text.get(at + 1..) {
        Some(port) => Some(read_port(port)?),
        None => None,
    };
    let host = text.get(user + 1..at).filter(|host| !host.is_empty())?;
    Some(Uri {
        user: text.get(4..user),
        host,
        port,
        params: Params::in_uri(""),
        ..Uri::of(Scheme::Sip, text)
    })
}

fn sip<'b>(scheme: Scheme, text: &'b str, rest: &'b str) -> Result<Uri<'b>, Flaw> {
    let mut uri = Uri::of(scheme, text);
    // Nothing behind the user part may hold a raw `@`, so the first one ends it.
    let rest = match lexical::split(rest, b'@') {
        None => rest,
        Some((user, rest)) => {
            let (user, password) = match lexical::split(user, b':') {
                Some((user, password)) => (user, Some(password)),
                None => (user, None),
            };
            if user.is_empty() || !is_user(user) || !password.is_none_or(is_user) {
                return Err(BAD_USER);
            }
            uri.user = Some(user);
            uri.password = password;
            rest
        }
    };
    let end = lexical::find_either(b';', b'?', rest.as_bytes()).unwrap_or(rest.len());
    (uri.host, uri.port) = host_and_port(&rest[..end])?;
    let rest = &rest[end..];
    let (params, headers) = match lexical::split(rest, b'?') {
        Some((params, headers)) => (params, Some(headers)),
        None => (rest, None),
    };
    uri.params = Params::in_uri(params);
    uri.headers = headers;
    if !uri.params.are_well_formed_in_uri() || !headers.is_none_or(are_headers) {
        return Err(BAD_URI);
    }
    Ok(uri)
}

/// RFC 3261 §25.1, `headers`: at least one, each with its name; what it is called matters to whoever uses it.
fn are_headers(text: &str) -> bool {
    let named = |header: &str| !header.is_empty() && !header.starts_with('=');
    lexical::all_escaped(text.as_bytes(), HEADERS) && text.split('&').all(named)
}

fn is_user(text: &str) -> bool {
    lexical::all_escaped(text.as_bytes(), USER)
}

fn tel<'b>(text: &'b str, rest: &'b str) -> Result<Uri<'b>, Flaw> {
    let (number, params) = lexical::before(rest, b';');
    let params = Params::in_uri(params);
    let digits = number.strip_prefix('+').unwrap_or(number);
    // RFC 3966 §3: digits, for local numbers also hexadecimal ones, * and #, with visual separators.
    let good = digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || b"-.()*#".contains(&byte));
    if digits.is_empty() || !good || !params.are_well_formed_in_uri() {
        return Err(Flaw::whole(400, "Bad tel URI"));
    }
    Ok(Uri {
        params,
        opaque: number,
        ..Uri::of(Scheme::Tel, text)
    })
}

/// Splits `host`, `host:port`, `[address]:port`.
fn host_and_port(text: &str) -> Result<(&str, Option<u16>), Flaw> {
    let (host, port) = split_port(text);
    if !is_host(host) {
        return Err(BAD_HOST);
    }
    match port {
        None => Ok((host, None)),
        Some(port) => Ok((host, Some(read_port(port).ok_or(BAD_PORT)?))),
    }
}

/// Parts a host, brackets kept, from what stands after its colon.
pub(crate) fn split_port(text: &str) -> (&str, Option<&str>) {
    let after = match text.starts_with('[') {
        true => text.find(']').map_or(0, |end| end + 1),
        false => 0,
    };
    match lexical::find(b':', &text.as_bytes()[after..]) {
        Some(colon) => (&text[..after + colon], Some(&text[after + colon + 1..])),
        None => (text, None),
    }
}

pub(crate) fn read_port(text: &str) -> Option<u16> {
    lexical::number(text.as_bytes()).and_then(|port| u16::try_from(port).ok())
}

/// A name – labels with dots between them, a dot at the end is the root's – or an address.
pub(crate) fn is_host(host: &str) -> bool {
    if host.starts_with('[') {
        return address(host).is_some();
    }
    let mut after_dot = true;
    for byte in host.bytes() {
        let is_dot = byte == b'.';
        if is_dot && after_dot || !is_dot && !lexical::is(byte, HOST) {
            return false;
        }
        after_dot = is_dot;
    }
    !host.is_empty()
}

/// An address as hosts are written; IPv6 in brackets.
pub(crate) fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => ipv6(rest.strip_suffix(']')?).map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

fn ipv6(text: &str) -> Option<Ipv6Addr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    // RFC 5118 §4.10: the grammar of RFC 3261 made peers write a third colon before an embedded IPv4 address; it
    // is borne (RFC 5954 corrects the grammar).
    let (front, back) = text.split_once(":::")?;
    back.parse::<Ipv4Addr>().ok()?;
    format!("{front}::{back}").parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The short way never says anything else than the long one.
        #[test]
        fn plain_uris_read_as_any(text in "[sS]ip:[a-z%4;?:/@.]{0,6}@?[a-zA-Z0-9._\\[:-]{0,8}(:[0-9]{0,6})?[;?a-z=]{0,3}") {
            if let Some(uri) = plain(&text) {
                prop_assert_eq!(Uri::parse_any(&text), Ok(uri));
            }
        }
    }

    #[test]
    fn the_usual_uris_are_plain() {
        for text in [
            "sip:alice@example.com",
            "SIP:a.b%20c@192.0.2.1:5060",
            "sip:+1555;x=y@host.:1",
        ] {
            assert_eq!(plain(text), Uri::parse_any(text).ok(), "{text}");
            assert!(plain(text).is_some(), "{text}");
        }
    }
}
