//! `HOST:PORT[;transport=udp|tcp]`: where a server is.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use agent::Transport;

/// Where a server is, before its name is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How to talk to it.
    pub transport: Transport,
}

/// Why a text names no server that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// No such form.
    Form(String),
    /// A transport that is not built yet.
    Transport(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(what) => write!(f, "{what}; HOST:PORT[;transport=udp|tcp] is meant"),
            Self::Transport(name) => write!(f, "transport={name}: not built yet; udp or tcp"),
        }
    }
}

impl std::error::Error for Unusable {}

impl Place {
    /// Reads the text that a person gave.
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        let (address, params) = text.split_once(';').unwrap_or((text, ""));
        let mut transport = Transport::Udp;
        for param in params.split(';').filter(|param| !param.is_empty()) {
            transport = match param.split_once('=') {
                Some(("transport", "udp")) => Transport::Udp,
                Some(("transport", "tcp")) => Transport::Tcp,
                Some(("transport", name @ ("tls" | "ws" | "wss"))) => {
                    return Err(Unusable::Transport(name.to_owned()));
                }
                _ => {
                    return Err(Unusable::Form(format!(
                        "'{param}' is no parameter of a server"
                    )));
                }
            };
        }
        let (host, port) = split_port(address)?;
        if host.is_empty()
            || host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@' | '[' | ']'))
        {
            return Err(Unusable::Form(format!("'{address}' is no host")));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            transport,
        })
    }

    /// Every address of the host, in the system's order (A and AAAA; SRV and NAPTR are not built yet). Blocks.
    pub fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }
}

fn split_port(address: &str) -> Result<(&str, u16), Unusable> {
    let bad_port = |port: &str| Unusable::Form(format!("'{port}' is no port"));
    let read = |port: &str| {
        port.parse::<u16>()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| bad_port(port))
    };
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| Unusable::Form(format!("'{address}' lacks its closing bracket")))?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, read(port)?)),
            None if rest.is_empty() => Ok((host, 5060)),
            None => Err(bad_port(rest)),
        };
    }
    match address.split_once(':') {
        // Several colons and no brackets: an IPv6 address without a port.
        Some((_, port)) if port.contains(':') => Ok((address, 5060)),
        Some((host, port)) => Ok((host, read(port)?)),
        None => Ok((address, 5060)),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brackets = if self.host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(f, "{}{}{}:{}", brackets.0, self.host, brackets.1, self.port)?;
        match self.transport {
            Transport::Udp => Ok(()),
            Transport::Tcp => f.write_str(";transport=tcp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_and_written() {
        for (text, host, port, transport, written) in [
            (
                "127.0.0.1:5060",
                "127.0.0.1",
                5060,
                Transport::Udp,
                "127.0.0.1:5060",
            ),
            (
                "ps.example.com",
                "ps.example.com",
                5060,
                Transport::Udp,
                "ps.example.com:5060",
            ),
            (
                "ps.example.com:5070;transport=tcp",
                "ps.example.com",
                5070,
                Transport::Tcp,
                "ps.example.com:5070;transport=tcp",
            ),
            ("[::1]:5070", "::1", 5070, Transport::Udp, "[::1]:5070"),
            (
                "[2001:db8::1];transport=udp",
                "2001:db8::1",
                5060,
                Transport::Udp,
                "[2001:db8::1]:5060",
            ),
            (
                "2001:db8::1",
                "2001:db8::1",
                5060,
                Transport::Udp,
                "[2001:db8::1]:5060",
            ),
        ] {
            let place = Place::parse(text).unwrap();
            assert_eq!(
                (place.host.as_str(), place.port, place.transport),
                (host, port, transport),
                "{text}"
            );
            assert_eq!(place.to_string(), written);
            assert_eq!(Place::parse(&place.to_string()), Ok(place));
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_what_is_meant() {
        for text in [
            "",
            ":5060",
            "host:",
            "host:0",
            "host:70000",
            "sip:host",
            "[::1",
            "[::1]x",
            "a b",
            "h;transport=x",
            "h;y",
        ] {
            let refusal = Place::parse(text).unwrap_err().to_string();
            assert!(refusal.contains("HOST:PORT"), "{text}: {refusal}");
        }
        for name in ["tls", "ws", "wss"] {
            let refusal = Place::parse(&format!("h;transport={name}"))
                .unwrap_err()
                .to_string();
            assert!(refusal.contains("not built yet"), "{refusal}");
        }
    }

    #[test]
    fn addresses_need_no_look_up_when_they_are_addresses() {
        let place = Place::parse("[::1]:5070").unwrap();
        assert_eq!(place.addresses().unwrap(), ["[::1]:5070".parse().unwrap()]);
        assert!(
            !Place::parse("localhost:1")
                .unwrap()
                .addresses()
                .unwrap()
                .is_empty()
        );
    }
}
