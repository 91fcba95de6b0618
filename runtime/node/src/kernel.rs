//! What the kernel says about our UDP sockets: buffers granted, datagrams dropped before we saw them.

use std::fs;
use std::net::SocketAddr;

use shard::settings::ListenerId;
use transport::socket::Buffers;

/// One UDP listener as the kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpStatus {
    /// Which.
    pub listener: ListenerId,
    /// What it granted for each shard's socket.
    pub buffers: Buffers,
    /// Datagrams that found the buffers full, over all shards' sockets: bursts that we were too slow for.
    pub kernel_dropped: u64,
}

/// Datagrams dropped for want of room at the sockets bound to `address`.
pub(crate) fn dropped(address: SocketAddr) -> u64 {
    let file = if address.is_ipv4() {
        "/proc/self/net/udp"
    } else {
        "/proc/self/net/udp6"
    };
    fs::read_to_string(file).map_or(0, |table| dropped_in(&table, address))
}

/// The sum of the last column over the lines whose local address is this one.
fn dropped_in(table: &str, address: SocketAddr) -> u64 {
    let local = as_printed(address);
    let of_line = |line: &str| {
        let mut columns = line.split_whitespace();
        let is_ours = columns.nth(1).is_some_and(|column| column == local);
        columns.last().filter(|_| is_ours)?.parse::<u64>().ok()
    };
    table.lines().skip(1).filter_map(of_line).sum()
}

/// An address as the kernel prints it: each 32 bits of it as a number of this machine's byte order.
fn as_printed(address: SocketAddr) -> String {
    let octets = match address {
        SocketAddr::V4(v4) => v4.ip().octets().to_vec(),
        SocketAddr::V6(v6) => v6.ip().octets().to_vec(),
    };
    let words = octets
        .chunks_exact(4)
        .filter_map(|word| word.try_into().ok())
        .map(u32::from_ne_bytes);
    let ip: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{ip}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn finds_its_own_lines() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            \x20 1: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 7\n\
            \x20 2: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 5\n\
            \x20 3: 0100007F:13C5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 100\n";
        let expected = if cfg!(target_endian = "little") {
            12
        } else {
            0
        };
        assert_eq!(
            dropped_in(table, "127.0.0.1:5060".parse().unwrap()),
            expected
        );
        assert_eq!(dropped_in("", "127.0.0.1:5060".parse().unwrap()), 0);
    }

    #[test]
    fn the_kernel_prints_addresses_so() {
        for (bind, file) in [
            ("127.0.0.1:0", "/proc/self/net/udp"),
            ("[::1]:0", "/proc/self/net/udp6"),
        ] {
            let socket = UdpSocket::bind(bind).unwrap();
            let printed = as_printed(socket.local_addr().unwrap());
            assert!(
                fs::read_to_string(file).unwrap().contains(&printed),
                "{printed}"
            );
        }
    }
}
