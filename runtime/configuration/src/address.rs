//! How addresses, networks and host names are written. Each reader says what would be right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use machine::settings::{Network, Transport};

use crate::nearest::nearest;

/// What a listener or a next hop speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Sip(Transport),
    Http,
    Https,
}

impl Scheme {
    /// Whether two of them on one port are in each other's way.
    pub(crate) fn is_datagram(self) -> bool {
        self == Self::Sip(Transport::Udp)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sip(Transport::Udp) => "udp",
            Self::Sip(Transport::Tcp) => "tcp",
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Every scheme: name, port by default, and what it is once built.
const SCHEMES: [(&str, u16, Option<Scheme>); 7] = [
    ("udp", 5060, Some(Scheme::Sip(Transport::Udp))),
    ("tcp", 5060, Some(Scheme::Sip(Transport::Tcp))),
    ("tls", 5061, None),
    ("ws", 80, None),
    ("wss", 443, None),
    ("http", 80, Some(Scheme::Http)),
    ("https", 443, Some(Scheme::Https)),
];

/// `udp://10.0.0.5:5060`. `allowed` are the schemes that make sense here.
pub(crate) fn bind(text: &str, allowed: &[&str]) -> Result<(Scheme, SocketAddr), String> {
    let example = format!(
        "{}://127.0.0.1:{}",
        allowed[0],
        if allowed[0] == "http" { 8080 } else { 5060 }
    );
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(match self::socket_address(text, 0) {
            Ok(_) => format!("no scheme; {}://{text} is meant?", allowed[0]),
            Err(_) => format!("not SCHEME://ADDRESS:PORT; write it like {example}"),
        });
    };
    let known = SCHEMES
        .iter()
        .find(|(name, ..)| *name == scheme)
        .filter(|(name, ..)| allowed.contains(name));
    let Some((name, port, built)) = known else {
        return Err(match nearest(scheme, allowed.iter().copied()) {
            Some((meant, _)) if meant != scheme => {
                format!("no scheme {scheme}:// here; {meant}:// is meant?")
            }
            _ => format!("no scheme {scheme}:// here; one of {}", allowed.join(", ")),
        });
    };
    let Some(built) = built else {
        return Err(format!("{name}:// is {}", crate::walk::NOT_BUILT));
    };
    if let Some((before, _)) = rest.split_once('/') {
        return Err(format!(
            "a listener has no path; {scheme}://{before} is meant?"
        ));
    }
    let address =
        socket_address(rest, *port).map_err(|wrong| format!("{wrong}; write it like {example}"))?;
    Ok((*built, address))
}

/// `10.0.0.5:5060`, `[::1]:5060`, `localhost`. Names are not looked up: nothing here opens a socket.
pub(crate) fn socket_address(text: &str, port: u16) -> Result<SocketAddr, String> {
    let (host, port) = split_port(text, port)?;
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    match ip(host) {
        Some(address) => Ok(SocketAddr::new(address, port)),
        None if host.parse::<Ipv6Addr>().is_ok() => {
            Err(format!("an IPv6 address stands in brackets: [{host}]"))
        }
        None => Err(format!("\"{host}\" is not an address of this machine")),
    }
}

/// An address; IPv6 in brackets.
pub(crate) fn ip(host: &str) -> Option<IpAddr> {
    match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

fn split_port(text: &str, default: u16) -> Result<(&str, u16), String> {
    let after_host = text.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = text[after_host..].find(':').map(|at| at + after_host) else {
        return Ok((text, default));
    };
    if text[colon + 1..].contains(':') {
        return Ok((text, default));
    }
    let (host, port) = (&text[..colon], &text[colon + 1..]);
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if digits => Ok((host, port)),
        _ => Err(format!("\"{port}\" is not a port; 0 to 65535")),
    }
}

/// HOST[:PORT]: a public name or address.
pub(crate) fn advertised(text: &str) -> Result<(String, Option<u16>), String> {
    if text.starts_with("sip:") || text.contains("://") {
        return Err("HOST or HOST:PORT, without a scheme".to_owned());
    }
    let (host, port) = split_port(text, 0)?;
    let port = (host.len() != text.len()).then_some(port);
    if port == Some(0) {
        return Err("port 0 can't be advertised; leave the port out".to_owned());
    }
    let host = self::host(host)?;
    if ip(&host).is_some_and(|address| address.is_unspecified()) {
        return Err(format!(
            "nobody can reach {host}; write the address or name that others see"
        ));
    }
    Ok((host, port))
}

/// A host name or an address, lower case.
pub(crate) fn host(text: &str) -> Result<String, String> {
    if let Some(address) = ip(text) {
        return Ok(match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        });
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address stands in brackets: \"[{text}]\""));
    }
    if let Some(bare) = text.strip_suffix('.').filter(|bare| is_name(bare)) {
        return Err(format!("without the dot at its end: \"{bare}\""));
    }
    if let Some((_, rest)) = text
        .split_once("://")
        .or_else(|| text.split_once("sip:"))
        .filter(|(_, rest)| is_name(rest))
    {
        return Err(format!("a host name has no scheme: \"{rest}\""));
    }
    if !text.is_ascii() {
        return Err("a host name is ASCII; write its xn-- form".to_owned());
    }
    if !is_name(text) {
        return Err("not a host name; write it like \"example.com\"".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

/// RFC 3261 §25.1 hostname, RFC 1123 §2.1 lengths; the last label begins with a letter, so that no address is mistaken for one.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253
        && text.split('.').all(label)
        && text
            .rsplit('.')
            .next()
            .is_some_and(|last| last.starts_with(|first: char| first.is_ascii_alphabetic()))
}

/// An address or a network of trusted peers.
pub(crate) fn network(text: &str) -> Result<Network, String> {
    if text.starts_with("tls:") {
        return Err(format!(
            "names in certificates (tls:…) are {}",
            crate::walk::NOT_BUILT
        ));
    }
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(address);
    let Ok(address) = bare.parse::<IpAddr>() else {
        return Err(
            "neither an address nor a network; write it like \"10.0.0.5\" or \"10.0.0.0/24\""
                .to_owned(),
        );
    };
    let width: u8 = if address.is_ipv4() { 32 } else { 128 };
    let Some(prefix) = prefix.map_or(Some(width), |prefix| {
        prefix.parse().ok().filter(|prefix| *prefix <= width)
    }) else {
        return Err(format!("the prefix of a network is 1 to {width} bits"));
    };
    if prefix == 0 {
        return Err(
            "trusts everybody, and anybody could then be anyone; name the peers' own networks"
                .to_owned(),
        );
    }
    let first = first_of(address, prefix);
    if first != address {
        return Err(format!(
            "has bits set beyond its prefix; \"{first}/{prefix}\" is meant?"
        ));
    }
    Ok(Network { address, prefix })
}

fn first_of(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX
                .checked_shl(32 - u32::from(prefix.min(32)))
                .unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(prefix.min(128)))
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

/// The canonical form of a user's address: `sip:alice@example.com`, `tel:+15551234`.
pub(crate) fn address_of_record(text: &str, domains: &[String]) -> Result<String, String> {
    let wrong = |text: &str| {
        let guess = format!("sip:{text}");
        let meant = text.contains('@') && !text.contains(':') && sip::Uri::parse(&guess).is_ok();
        if meant {
            format!("\"{guess}\" is meant?")
        } else {
            "write it like \"sip:alice@example.com\" or \"tel:+15551234\"".to_owned()
        }
    };
    let uri =
        sip::Uri::parse(text).map_err(|_| format!("not an address of a user; {}", wrong(text)))?;
    let canonical = sip::canonical(&uri, |host| domains.iter().any(|domain| domain == host));
    match canonical {
        Some(aor) if aor.contains('@') || aor.starts_with("tel:") => Ok(aor),
        _ => Err(format!("not an address of a user; {}", wrong(text))),
    }
}

/// The host of a canonical address of record; none for a number.
pub(crate) fn host_of(aor: &str) -> Option<&str> {
    aor.rsplit_once('@').map(|(_, host)| host)
}
