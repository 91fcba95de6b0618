//! Takes the sockets: all of them, or a reason with the address it is about.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};

use shard::settings::{Listener, ListenerId, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use transport::socket::{BUFFER_BYTES_WANTED, Buffers, DatagramSocket};

/// How often a free port is tried that UDP and TCP are to share.
const SHARED_PORT_ATTEMPTS: usize = 16;

/// Connections that the kernel keeps until we accept them.
const BACKLOG: i32 = 1024;

/// Why an address could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindReason {
    /// Somebody has it.
    InUse,
    /// This process may not have it (ports below 1024 need a privilege).
    NotPermitted,
    /// This machine hasn't the address.
    NotAvailable,
    /// Anything else, as the system says it.
    Other(io::ErrorKind),
}

/// An address that could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindError {
    /// What was to be spoken there.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    pub reason: BindReason,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = self.transport.name().to_ascii_lowercase();
        write!(f, "{transport} {}: ", self.address)?;
        match self.reason {
            BindReason::InUse => f.write_str("in use; stop who has it, or choose another port"),
            BindReason::NotPermitted => f.write_str(
                "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE, or choose another port",
            ),
            BindReason::NotAvailable => f.write_str("this machine has no such address"),
            BindReason::Other(kind) => write!(f, "{kind}"),
        }
    }
}

impl std::error::Error for BindError {}

/// Every socket, bound and not yet read.
#[derive(Debug)]
pub(crate) struct Bound {
    /// With the ports that were given.
    pub(crate) listeners: Vec<Listener>,
    /// One socket for each shard.
    pub(crate) udp: Vec<(ListenerId, Vec<DatagramSocket>)>,
    pub(crate) tcp: Vec<(ListenerId, TcpListener)>,
    /// What the kernel granted for the first socket of each UDP listener.
    pub(crate) buffers: Vec<(ListenerId, Buffers)>,
}

/// Binds `wanted`, UDP for `shards` threads each.
pub(crate) fn bind(wanted: &[Listener], shards: u16) -> Result<Bound, BindError> {
    let mut bound = Bound {
        listeners: wanted.to_vec(),
        udp: Vec::new(),
        tcp: Vec::new(),
        buffers: Vec::new(),
    };
    let mut done = vec![false; wanted.len()];
    for index in 0..wanted.len() {
        if done[index] {
            continue;
        }
        let partner = partner(wanted, index).filter(|partner| !done[*partner]);
        if let Some(partner) = partner {
            bound.take_pair(index, partner, shards)?;
            done[partner] = true;
        } else {
            bound.take(index, wanted[index].bound, shards)?;
        }
        done[index] = true;
    }
    bound.udp.sort_by_key(|(id, _)| *id);
    bound.tcp.sort_by_key(|(id, _)| *id);
    Ok(bound)
}

/// The listener that is to get the same free port: the same address, the other transport.
fn partner(wanted: &[Listener], index: usize) -> Option<usize> {
    let this = &wanted[index];
    let place = |listener: &Listener| (listener.transport, listener.bound);
    let other = match this.transport {
        Transport::Udp => Transport::Tcp,
        Transport::Tcp => Transport::Udp,
    };
    // The n-th of one kind goes with the n-th of the other.
    let rank = wanted[..index]
        .iter()
        .filter(|listener| place(listener) == place(this))
        .count();
    let mut others = wanted
        .iter()
        .enumerate()
        .filter(|(_, listener)| place(listener) == (other, this.bound));
    others
        .nth(rank)
        .map(|(index, _)| index)
        .filter(|_| this.bound.port() == 0)
}

impl Bound {
    fn take(
        &mut self,
        index: usize,
        address: SocketAddr,
        shards: u16,
    ) -> Result<SocketAddr, BindError> {
        let transport = self.listeners[index].transport;
        let name = |error: io::Error| BindError {
            transport,
            address,
            reason: reason(&error),
        };
        let id = ListenerId(u16::try_from(index).unwrap_or(u16::MAX));
        let given = match transport {
            Transport::Udp => {
                let group = DatagramSocket::bind_group(address, shards).map_err(name)?;
                let given = group[0].local_address().map_err(name)?;
                for (number, socket) in group.iter().enumerate() {
                    let granted = socket.enlarge_buffers(BUFFER_BYTES_WANTED).map_err(name)?;
                    if number == 0 {
                        self.buffers.push((id, granted));
                    }
                }
                self.udp.push((id, group));
                given
            }
            Transport::Tcp => {
                let socket = listen(address).map_err(name)?;
                let given = socket.local_addr().map_err(name)?;
                self.tcp.push((id, socket));
                given
            }
        };
        let listener = &mut self.listeners[index];
        listener.bound = given;
        if listener.advertise_port == 0 {
            listener.advertise_port = given.port();
        }
        Ok(given)
    }

    /// Two listeners that ask for any free port of one address: the same one if it can be had, else one each.
    fn take_pair(&mut self, first: usize, second: usize, shards: u16) -> Result<(), BindError> {
        let address = self.listeners[first].bound;
        for attempt in 1.. {
            let before = (
                self.listeners[first].clone(),
                self.udp.len(),
                self.tcp.len(),
                self.buffers.len(),
            );
            let given = self.take(first, address, shards)?;
            match self.take(second, given, shards) {
                Ok(_) => return Ok(()),
                Err(error) if error.reason != BindReason::InUse => return Err(error),
                Err(_) if attempt >= SHARED_PORT_ATTEMPTS => break,
                Err(_) => {
                    let (listener, udp, tcp, buffers) = before;
                    self.listeners[first] = listener;
                    self.udp.truncate(udp);
                    self.tcp.truncate(tcp);
                    self.buffers.truncate(buffers);
                }
            }
        }
        self.take(second, address, shards).map(|_| ())
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    // Connections of an earlier life that still wait for late segments don't keep us from the port; a listener does.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn reason(error: &io::Error) -> BindReason {
    match error.kind() {
        io::ErrorKind::AddrInUse => BindReason::InUse,
        io::ErrorKind::PermissionDenied => BindReason::NotPermitted,
        io::ErrorKind::AddrNotAvailable => BindReason::NotAvailable,
        // An address family that the system has switched off.
        _ if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => BindReason::NotAvailable,
        kind => BindReason::Other(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(transport: Transport, bound: &str) -> Listener {
        Listener {
            transport,
            bound: bound.parse().unwrap(),
            advertise_host: "127.0.0.1".to_owned(),
            advertise_port: 0,
            aliases: Vec::new(),
            trusted_peers: None,
            nat: false,
        }
    }

    #[test]
    fn udp_and_tcp_of_one_address_get_the_same_free_port() {
        let wanted = [
            listener(Transport::Tcp, "127.0.0.1:0"),
            listener(Transport::Udp, "[::1]:0"),
            listener(Transport::Udp, "127.0.0.1:0"),
            listener(Transport::Udp, "127.0.0.1:0"),
        ];
        let bound = bind(&wanted, 2).unwrap();
        let ports: Vec<u16> = bound
            .listeners
            .iter()
            .map(|listener| listener.bound.port())
            .collect();
        assert!(!ports.contains(&0));
        assert_eq!(ports[0], ports[2]);
        assert_ne!(ports[2], ports[3]);
        assert!(
            bound
                .listeners
                .iter()
                .all(|listener| listener.advertise_port == listener.bound.port())
        );
        let ids: Vec<u16> = bound.udp.iter().map(|(id, _)| id.0).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert!(bound.udp.iter().all(|(_, group)| group.len() == 2));
        assert_eq!(bound.tcp[0].1.local_addr().unwrap().port(), ports[0]);
        assert_eq!(bound.buffers.len(), 3);
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        let taken = bind(
            &[
                listener(Transport::Udp, "127.0.0.1:0"),
                listener(Transport::Tcp, "127.0.0.1:0"),
            ],
            1,
        )
        .unwrap();
        for held in &taken.listeners {
            let error = bind(std::slice::from_ref(held), 2).unwrap_err();
            assert_eq!(
                (error.address, error.reason),
                (held.bound, BindReason::InUse)
            );
            let name = held.transport.name().to_ascii_lowercase();
            assert_eq!(
                error.to_string(),
                format!(
                    "{name} {}: in use; stop who has it, or choose another port",
                    held.bound
                )
            );
        }
        // TEST-NET-1 is nobody's.
        let error = bind(&[listener(Transport::Tcp, "192.0.2.1:0")], 1).unwrap_err();
        assert_eq!(error.reason, BindReason::NotAvailable);
        assert_eq!(
            error.to_string(),
            "tcp 192.0.2.1:0: this machine has no such address"
        );
    }

    #[test]
    fn an_advertised_port_stays_what_it_is() {
        let mut wanted = listener(Transport::Udp, "127.0.0.1:0");
        wanted.advertise_port = 5060;
        assert_eq!(
            bind(&[wanted], 1).unwrap().listeners[0].advertise_port,
            5060
        );
    }
}
