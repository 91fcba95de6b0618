//! UDP on one port: what anyone sends us, and ICMP errors from the server.
//!
//! An unconnected socket hears everybody but never learns that nobody listens at the other end; a connected one does. So
//! there are two on one port: the kernel hands what comes from the server to the connected one, the rest to the other.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// How often another port is tried when the one that UDP got is not free for TCP.
pub(crate) const PORTS_TRIED_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct Datagrams {
    everybody: UdpSocket,
    server: UdpSocket,
    server_address: SocketAddr,
}

/// What came by UDP.
pub(crate) enum Arrival {
    /// A datagram of this length.
    Datagram(usize, SocketAddr),
    /// The server's host says that nobody listens there.
    Refused,
}

impl Datagrams {
    /// Sockets on a free port of the address from which the server is reached.
    pub(crate) fn open(server: SocketAddr) -> io::Result<Self> {
        let ip = local_address_towards(server)?;
        let everybody = shared_socket(SocketAddr::new(ip, 0))?;
        let local = everybody.local_addr()?;
        let towards = shared_socket(local)?;
        towards.connect(server)?;
        Ok(Self {
            everybody: UdpSocket::from_std(everybody)?,
            server: UdpSocket::from_std(towards)?,
            server_address: server,
        })
    }

    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        // Without scope and flow label: it is written into messages.
        self.everybody
            .local_addr()
            .map(|local| SocketAddr::new(local.ip(), local.port()))
    }

    /// `Err`: this datagram certainly did not leave.
    pub(crate) async fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        if to == self.server_address {
            match self.server.send(bytes).await {
                // The kernel reports an earlier ICMP error by this send, and sends nothing: once more, then.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.server.send(bytes).await
                }
                result => result,
            }
        } else {
            self.everybody.send_to(bytes, to).await
        }
        .map(drop)
    }

    pub(crate) async fn receive(
        &self,
        everybody: &mut [u8],
        server: &mut [u8],
    ) -> io::Result<(bool, Arrival)> {
        tokio::select! {
            result = self.everybody.recv_from(everybody) => {
                result.map(|(length, from)| (true, Arrival::Datagram(length, from)))
            }
            result = self.server.recv(server) => match result {
                Ok(length) => Ok((false, Arrival::Datagram(length, self.server_address))),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok((false, Arrival::Refused)),
                Err(error) => Err(error),
            }
        }
    }
}

fn shared_socket(local: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    Ok(socket.into())
}

/// The source address that the kernel would choose; nothing is sent.
fn local_address_towards(server: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let probe = std::net::UdpSocket::bind((any, 0))?;
    probe.connect(server)?;
    Ok(probe.local_addr()?.ip())
}
