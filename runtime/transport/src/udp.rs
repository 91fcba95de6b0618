//! Datagrams of one listener on one thread: received and sent in batches, never waiting.

use std::cmp::Reverse;
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

impl Datagram {
    fn place(&self) -> (u8, Option<(SocketAddr, Reverse<usize>)>) {
        // A train's last may be shorter than the others.
        let alike = Some((self.to, Reverse(self.head.len() + self.body.len())));
        if self.head.starts_with(b"SIP/") {
            (0, alike)
        } else if self.head.starts_with(b"NOTIFY ") {
            (1, alike)
        } else {
            (2, None)
        }
    }
}

/// One shard's socket of one listener, with what waits to leave by it.
#[derive(Debug)]
pub struct Port {
    listener: ListenerId,
    socket: DatagramSocket,
    unsent: VecDeque<Datagram>,
    /// The batch that leaves next, in the order of leaving.
    leaving: Vec<Datagram>,
    blocked: bool,
    trains: Trains,
}

/// Whether datagrams of one length to one address travel as one through the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trains {
    /// So many were refused in a row for what may be want of support.
    Tried { refused: u8 },
    /// The way out has no support for them.
    Off,
}

/// Refusals after which no train is tried again.
const REFUSED_TRAINS_MAX: u8 = 3;

/// What a `Port::flush` did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Datagrams that the kernel took.
    pub sent: usize,
    /// Datagrams that it refused.
    pub refused: usize,
}

impl Trains {
    /// Where a way out can't part trains the kernel says EIO or EINVAL; other refusals are about the address.
    fn refused(&mut self, error: &io::Error) {
        let is_about_trains = error.kind() == io::ErrorKind::InvalidInput
            || error.kind() == io::ErrorKind::Unsupported
            || error.raw_os_error() == Some(INPUT_OUTPUT_ERROR);
        if let Self::Tried { refused } = self
            && is_about_trains
        {
            *refused += 1;
            if *refused == REFUSED_TRAINS_MAX {
                *self = Self::Off;
            }
        }
    }
}

/// EIO, which std has no name for.
const INPUT_OUTPUT_ERROR: i32 = 5;

impl Port {
    /// `socket` serves `listener`.
    pub const fn new(listener: ListenerId, socket: DatagramSocket) -> Self {
        Self {
            listener,
            socket,
            unsent: VecDeque::new(),
            leaving: Vec::new(),
            blocked: false,
            trains: Trains::Tried { refused: 0 },
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
        self.line_up();
        let mut trains = self.trains != Trains::Off;
        while !self.leaving.is_empty() {
            let batch = self.leaving.iter();
            let batch = batch.map(|d| (d.to, &d.head[..], &d.body[..]));
            match self.socket.send_batch(batch, trains) {
                Ok(sent) => {
                    if trains {
                        self.trains = Trains::Tried { refused: 0 };
                    }
                    let heads = self.leaving.drain(..sent).map(|datagram| datagram.head);
                    heads.for_each(&mut left_behind);
                    flushed.sent += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if trains => {
                    // Perhaps only the train was refused: the rest of this batch goes without.
                    trains = false;
                    self.trains.refused(&error);
                }
                Err(_) => {
                    // The error is about the first one alone: the others behind it may go elsewhere.
                    flushed.refused += 1;
                    let refused = self.leaving.remove(0);
                    if refused.token != 0 {
                        reports.push((refused.token, Undeliverable::Refused));
                    }
                }
            }
        }
        flushed
    }

    /// Makes what waits a batch, so that trains can form: answers, then NOTIFYs, of one length to one address together, then what
    /// else there is in its order.
    ///
    /// A dialog has one NOTIFY under way, and UDP promises no order, so none is lost for anybody; an answer still comes before the
    /// NOTIFY that follows it.
    fn line_up(&mut self) {
        if !self.leaving.is_empty() {
            return;
        }
        let count = self.unsent.len().min(BATCH);
        self.leaving.extend(self.unsent.drain(..count));
        if count > 2 && self.trains != Trains::Off {
            self.leaving.sort_by_key(Datagram::place);
        }
    }

    /// How many datagrams wait.
    pub fn unsent(&self) -> usize {
        self.unsent.len() + self.leaving.len()
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
    fn what_can_share_a_train_leaves_together_and_nothing_else_changes_places() {
        let mut here = port();
        let (a, b): (SocketAddr, SocketAddr) =
            (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
        let texts = [
            (a, "OPTIONS 0"),
            (b, "NOTIFY 1"),
            (a, "SIP/2.0 2"),
            (a, "NOTIFY 3"),
            (b, "ACK 4"),
            (b, "NOTIFY 5"),
            (a, "NOTIFY longer 6"),
            (a, "NOTIFY 7"),
            (b, "SIP/2.0 8"),
            (a, "SIP/2.0 9"),
            (a, "OPTIONS 10"),
        ];
        for (to, text) in texts {
            here.push(Datagram {
                to,
                head: text.as_bytes().to_vec(),
                body: Bytes::new(),
                token: 0,
            });
        }
        here.line_up();
        let order = here.leaving.iter().map(|datagram| {
            let text = String::from_utf8_lossy(&datagram.head);
            text.rsplit(' ').next().map(str::to_owned)
        });
        let order: Vec<String> = order.flatten().collect();
        assert_eq!(
            order,
            ["2", "9", "8", "6", "3", "7", "1", "5", "0", "4", "10"]
        );
        assert_eq!(here.unsent(), texts.len());
    }

    #[test]
    fn trains_are_given_up_only_for_want_of_support() {
        let mut trains = Trains::Tried { refused: 0 };
        for _ in 0..10 {
            trains.refused(&io::ErrorKind::HostUnreachable.into());
        }
        assert_eq!(trains, Trains::Tried { refused: 0 });
        for _ in 0..REFUSED_TRAINS_MAX {
            trains.refused(&io::Error::from_raw_os_error(INPUT_OUTPUT_ERROR));
        }
        assert_eq!(trains, Trains::Off);
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
