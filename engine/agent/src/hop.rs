//! Where a message goes next (RFC 3261 §8.1.2, §18.1.1, §18.2.2; RFC 3581).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use machine::Instant;
use sip::{Uri, Via};

/// What carries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
}

impl Transport {
    /// As written in Via.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    /// Whether nothing is retransmitted over it.
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::Tcp)
    }
}

/// A place to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// By what.
    pub transport: Transport,
    /// To where.
    pub address: SocketAddr,
}

/// RFC 3261 §18.1.1: a request larger than this leaves by TCP where the path's MTU is unknown.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 1300;
/// A hop that takes no TCP is not tried by it again for this long.
const REFUSAL_LASTS: Duration = Duration::from_secs(600);
/// An agent talks to a handful of hops; more than this many refusals are forgotten.
const REFUSALS_MAX: usize = 64;

/// Which hops don't take TCP, and until when that is believed.
#[derive(Debug, Default)]
pub(crate) struct Refusals(BTreeMap<SocketAddr, Instant>);

impl Refusals {
    pub(crate) fn remember(&mut self, now: Instant, address: SocketAddr) {
        if self.0.len() >= REFUSALS_MAX {
            self.0.retain(|_, until| *until > now);
        }
        if self.0.len() < REFUSALS_MAX {
            self.0.insert(address, now + REFUSAL_LASTS);
        }
    }

    /// When the next one is over.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// Forgets what is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.0.retain(|_, until| *until > now);
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn holds(&self, now: Instant, address: SocketAddr) -> bool {
        self.0.get(&address).is_some_and(|until| *until > now)
    }
}

/// The hop that a URI names, if it needs no look-up. `server` says which transport its own address takes when the URI is
/// silent: a person chose it.
pub(crate) fn of_uri(uri: &Uri<'_>, server: Hop) -> Option<Hop> {
    let ip = match uri.param("maddr") {
        Some(maddr) => maddr.trim_matches(['[', ']']).parse().ok()?,
        None => uri.address()?,
    };
    let address = SocketAddr::new(ip, uri.port.unwrap_or(5060));
    let transport = match uri.param("transport") {
        Some(name) if name.eq_ignore_ascii_case("tcp") => Transport::Tcp,
        Some(name) if name.eq_ignore_ascii_case("udp") => Transport::Udp,
        Some(_) => return None,
        None if same_host(address, server.address) => server.transport,
        None => Transport::Udp,
    };
    Some(Hop { transport, address })
}

fn same_host(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip() == other.ip() && one.port() == other.port()
}

/// Where the response to a request that came from `peer` goes.
pub(crate) fn of_response(via: &Via<'_>, from: Hop) -> Hop {
    if from.transport.is_reliable() {
        return from; // RFC 3261 §18.2.2: the connection it came by.
    }
    let maddr = via
        .maddr()
        .and_then(|maddr| maddr.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    let address = match (maddr, via.rport()) {
        (Some(ip), _) => SocketAddr::new(ip, via.port.unwrap_or(5060)),
        // RFC 3581 §4: back to where it came from.
        (None, Some(_)) => from.address,
        (None, None) => SocketAddr::new(from.address.ip(), via.port.unwrap_or(5060)),
    };
    Hop {
        transport: Transport::Udp,
        address,
    }
}
