//! Datagrams of one listener on one thread: received and sent in batches, never waiting.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use shard::inputs::Undeliverable;
use shard::settings::ListenerId;

use crate::socket::{BATCH, DatagramSocket, Receiver};

/// Datagrams that wait for room in the kernel: 65 536 × 1.4 kB = 90 MB at worst for one port of one shard. Beyond it:
/// dropped and counted, as the network would; requests are retransmitted.
pub const UNSENT_MAX: usize = 65_536;

/// A datagram to send.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// To where.
    pub to: SocketAddr,
    /// Its first part.
    pub head: Vec<u8>,
    /// Its second part, often shared with other datagrams.
    pub body: Bytes,
    /// Non-zero: a refusal by the kernel is reported under it.
    pub token: u64,
}

/// One shard's socket of one listener, with what waits to leave by it.
#[derive(Debug)]
pub struct Port {
    listener: ListenerId,
    socket: DatagramSocket,
    unsent: VecDeque<Datagram>,
    blocked: bool,
}

/// What a `Port::flush` did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Datagrams that the kernel took.
    pub sent: usize,
    /// Datagrams that it refused.
    pub refused: usize,
}

impl Port {
    /// `socket` serves `listener`.
    pub const fn new(listener: ListenerId, socket: DatagramSocket) -> Self {
        Self {
            listener,
            socket,
            unsent: VecDeque::new(),
            blocked: false,
        }
    }

    /// Whose it is.
    pub const fn listener(&self) -> ListenerId {
        self.listener
    }

    /// For readiness and options.
    pub const fn socket(&self) -> &DatagramSocket {
        &self.socket
    }

    /// Receives one batch into `room`; 0 when nothing waits.
    pub fn receive(&self, room: &mut Receiver) -> io::Result<usize> {
        room.receive(&self.socket)
    }

    /// Queues a datagram for the next `flush`; false when the queue is full and it was dropped.
    pub fn push(&mut self, datagram: Datagram) -> bool {
        let has_room = self.unsent.len() < UNSENT_MAX;
        if has_room {
            self.unsent.push_back(datagram);
        }
        has_room
    }

    /// Sends at most one batch. Refused datagrams that have a token are reported in `reports`; `left_behind` gets the head of
    /// each that was sent, whose buffer nobody needs any more.
    pub fn flush(
        &mut self,
        reports: &mut Vec<(u64, Undeliverable)>,
        mut left_behind: impl FnMut(Vec<u8>),
    ) -> Flushed {
        let mut flushed = Flushed::default();
        self.blocked = false;
        let mut left = self.unsent.len().min(BATCH);
        while left > 0 {
            let batch = self
                .unsent
                .iter()
                .take(left)
                .map(|d| (d.to, &d.head[..], &d.body[..]));
            match self.socket.send_batch(batch) {
                Ok(sent) => {
                    let heads = self.unsent.drain(..sent).map(|datagram| datagram.head);
                    heads.for_each(&mut left_behind);
                    flushed.sent += sent;
                    left -= sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // The error is about the first one alone: the others behind it may go elsewhere.
                    flushed.refused += 1;
                    left -= 1;
                    if let Some(refused) = self.unsent.pop_front()
                        && refused.token != 0
                    {
                        reports.push((refused.token, Undeliverable::Refused));
                    }
                }
            }
        }
        flushed
    }

    /// How many datagrams wait.
    pub fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Whether the last `flush` stopped because the kernel had no room: go on when the socket is writable.
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::socket::Poller;

    fn port() -> Port {
        let socket = DatagramSocket::bind_group((Ipv4Addr::LOCALHOST, 0).into(), 1)
            .unwrap()
            .remove(0);
        Port::new(ListenerId(0), socket)
    }

    fn datagram(to: SocketAddr, token: u64) -> Datagram {
        Datagram {
            to,
            head: token.to_string().into_bytes(),
            body: Bytes::from_static(b" body"),
            token,
        }
    }

    #[test]
    fn refused_datagrams_are_reported_and_hold_nobody_up() {
        let (mut here, there) = (port(), port());
        let to = there.socket().local_address().unwrap();
        let wrong: SocketAddr = "[::1]:9".parse().unwrap();
        for token in 1..=5 {
            assert!(here.push(datagram(if token % 2 == 0 { wrong } else { to }, token)));
        }
        assert!(here.push(datagram(wrong, 0)));
        let mut reports = Vec::new();
        assert_eq!(
            here.flush(&mut reports, drop),
            Flushed {
                sent: 3,
                refused: 3
            }
        );
        assert_eq!(
            reports,
            [(2, Undeliverable::Refused), (4, Undeliverable::Refused)]
        );
        assert_eq!((here.unsent(), here.is_blocked()), (0, false));
        let (mut room, mut received) = (Receiver::new(), Vec::new());
        while received.len() < 3 {
            let mut poller = Poller::default();
            poller.add(there.socket(), false);
            poller.wait(Some(Duration::from_secs(5))).unwrap();
            assert!(there.receive(&mut room).unwrap() > 0);
            received.extend(
                room.datagrams()
                    .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()),
            );
        }
        assert_eq!(received, ["1 body", "3 body", "5 body"]);
    }

    #[test]
    fn one_flush_sends_one_batch_and_the_queue_is_bounded() {
        let (mut here, there) = (port(), port());
        let to = there.socket().local_address().unwrap();
        for token in 0..UNSENT_MAX as u64 {
            assert!(here.push(datagram(to, token)));
        }
        assert!(!here.push(datagram(to, 1)));
        assert_eq!(here.flush(&mut Vec::new(), drop).sent, BATCH);
        assert_eq!(here.unsent(), UNSENT_MAX - BATCH);
        assert!(here.push(datagram(to, 1)));
    }
}
