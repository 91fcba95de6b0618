//! Ports for programs that cannot be asked which one they got.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what Linux hands out by itself (32 768 and up), so that nobody gets one between our look and their bind.
const FIRST: u16 = 20_000;
const LAST: u16 = 30_000;

/// A port of loopback, free for UDP and TCP, with a free one right after it: baresip takes that for TLS.
pub fn free_pair() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs run one after the other, but two checkouts may test at once: each begins elsewhere.
    let offset = u16::try_from(std::process::id() % 5_000).unwrap_or(0) * 2;
    for _ in 0..(LAST - FIRST) / 2 {
        let step = NEXT.fetch_add(2, Ordering::Relaxed);
        let port = FIRST + (offset.wrapping_add(step)) % (LAST - FIRST);
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {LAST}");
}

/// Nobody has it, by IPv4 or by IPv6. Where IPv6 is not there, nobody has it there.
fn is_free(port: u16) -> bool {
    let addresses = [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ];
    addresses.into_iter().all(|address| {
        let tried = UdpSocket::bind(address).and_then(|_| TcpListener::bind(address));
        tried
            .err()
            .is_none_or(|error| error.kind() != ErrorKind::AddrInUse)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_given_once_and_not_while_taken() {
        let (one, two) = (free_pair(), free_pair());
        assert_ne!(one, two);
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, one)).unwrap();
        assert!(!is_free(one));
        drop(taken);
        assert!(is_free(one));
    }
}
