//! Sockets of one peer: a datagram socket, connections it opened, and, where asked, a listener beside them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::deadline::Deadline;
use crate::message::head_length;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// A datagram from there.
    Datagram(SocketAddr),
    /// The connection with this number.
    Stream(usize),
    /// Not received: what the peer itself sent.
    Sent,
}

/// Something that came.
#[derive(Debug)]
pub enum Arrival {
    /// A datagram, or one frame of a stream.
    Message(Path, Vec<u8>),
    /// A lone CRLF on a stream: the answer to a keep-alive (RFC 5626 §4.4.1).
    Pong(usize),
    /// The other side closed this connection.
    Closed(usize),
}

struct Stream {
    socket: TcpStream,
    buffer: Vec<u8>,
    open: bool,
}

/// The sockets of one peer.
pub struct Wire {
    datagrams: Option<UdpSocket>,
    listener: Option<TcpListener>,
    streams: Vec<Stream>,
}

impl Wire {
    /// A datagram socket on the host of `server`, at any port.
    pub fn datagrams(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((server.ip(), 0)).expect("a UDP port");
        Self {
            datagrams: Some(socket),
            listener: None,
            streams: Vec::new(),
        }
    }

    /// A datagram socket and a stream listener on the same port.
    pub fn datagrams_and_listener(server: SocketAddr) -> Self {
        for _ in 0..50 {
            let mut wire = Self::datagrams(server);
            if let Ok(listener) = TcpListener::bind(wire.address()) {
                wire.listener = Some(listener);
                return wire;
            }
        }
        panic!("no port that is free for both UDP and TCP");
    }

    /// A connection to `server`.
    pub fn stream(server: SocketAddr) -> Self {
        let mut wire = Self {
            datagrams: None,
            listener: None,
            streams: Vec::new(),
        };
        wire.connect(server);
        wire
    }

    /// Opens one more connection; its number.
    pub fn connect(&mut self, server: SocketAddr) -> usize {
        let socket = TcpStream::connect(server)
            .unwrap_or_else(|error| panic!("connecting to {server}: {error}"));
        self.add(socket)
    }

    fn add(&mut self, socket: TcpStream) -> usize {
        socket.set_nodelay(true).expect("TCP_NODELAY");
        self.streams.push(Stream {
            socket,
            buffer: Vec::new(),
            open: true,
        });
        self.streams.len() - 1
    }

    /// The peer's own address: of its datagram socket, else of its first connection.
    pub fn address(&self) -> SocketAddr {
        match &self.datagrams {
            Some(socket) => socket.local_addr().expect("a bound socket"),
            None => self.streams[0]
                .socket
                .local_addr()
                .expect("a connected socket"),
        }
    }

    /// Whether the peer's own requests leave by stream.
    pub fn is_stream(&self) -> bool {
        self.datagrams.is_none()
    }

    /// The newest connection that is still open.
    pub fn newest_stream(&self) -> Option<usize> {
        self.streams.iter().rposition(|stream| stream.open)
    }

    /// Sends along a path. A connection that is gone is no fault here: what was expected will be missed later.
    pub fn send(&mut self, path: Path, bytes: &[u8]) {
        match path {
            Path::Datagram(to) => {
                let socket = self
                    .datagrams
                    .as_ref()
                    .expect("a peer with a datagram socket");
                // A port that nobody listens on any more reports itself at the next send: the server may be down on purpose.
                if socket.send_to(bytes, to).is_err() {
                    let _ = socket.send_to(bytes, to);
                }
            }
            Path::Stream(number) => {
                let stream = &mut self.streams[number];
                stream.open &= stream.socket.write_all(bytes).is_ok();
            }
            Path::Sent => panic!("a message that this peer sent has no way back"),
        }
    }

    /// Closes the sending side of a connection.
    pub fn shut(&mut self, number: usize) {
        let _ = self.streams[number]
            .socket
            .shutdown(std::net::Shutdown::Write);
    }

    /// Stops listening for streams: further connections are refused.
    pub fn refuse_streams(&mut self) {
        self.listener = None;
    }

    /// Waits for something to come; empty when the deadline passed first.
    pub fn receive(&mut self, deadline: Deadline) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        while arrivals.is_empty() {
            let Some(left) = deadline.left() else { break };
            let wait = Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let ready = self.wait(&wait);
            if ready.datagrams {
                self.read_datagram(&mut arrivals);
            }
            if ready.listener {
                let accepted = self
                    .listener
                    .as_ref()
                    .and_then(|listener| listener.accept().ok());
                if let Some((socket, _)) = accepted {
                    self.add(socket);
                }
            }
            for number in ready.streams {
                self.read_stream(number, &mut arrivals);
            }
        }
        arrivals
    }

    fn wait(&self, wait: &Timespec) -> Ready {
        let mut fds = Vec::new();
        fds.extend(
            self.datagrams
                .as_ref()
                .map(|socket| PollFd::new(socket, PollFlags::IN)),
        );
        fds.extend(
            self.listener
                .as_ref()
                .map(|socket| PollFd::new(socket, PollFlags::IN)),
        );
        let open: Vec<usize> = (0..self.streams.len())
            .filter(|number| self.streams[*number].open)
            .collect();
        fds.extend(
            open.iter()
                .map(|number| PollFd::new(&self.streams[*number].socket, PollFlags::IN)),
        );
        match poll(&mut fds, Some(wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        Ready {
            datagrams: self.datagrams.is_some() && ready.next() == Some(true),
            listener: self.listener.is_some() && ready.next() == Some(true),
            streams: open
                .into_iter()
                .zip(ready)
                .filter(|(_, ready)| *ready)
                .map(|(number, _)| number)
                .collect(),
        }
    }

    fn read_datagram(&self, arrivals: &mut Vec<Arrival>) {
        let Some(socket) = &self.datagrams else {
            return;
        };
        let mut buffer = vec![0; 65_536];
        // An error is the report that an earlier datagram of ours met a closed port.
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            buffer.truncate(length);
            arrivals.push(Arrival::Message(Path::Datagram(from), buffer));
        }
    }

    fn read_stream(&mut self, number: usize, arrivals: &mut Vec<Arrival>) {
        let stream = &mut self.streams[number];
        let mut buffer = [0; 65_536];
        match stream.socket.read(&mut buffer) {
            Ok(0) => stream.open = false,
            Ok(length) => stream.buffer.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => stream.open = false,
        }
        loop {
            if stream.buffer.starts_with(b"\r\n") {
                stream.buffer.drain(..2);
                arrivals.push(Arrival::Pong(number));
            } else if let Some(length) = frame_length(&stream.buffer) {
                let rest = stream.buffer.split_off(length);
                arrivals.push(Arrival::Message(
                    Path::Stream(number),
                    std::mem::replace(&mut stream.buffer, rest),
                ));
            } else {
                break;
            }
        }
        if !stream.open {
            arrivals.push(Arrival::Closed(number));
        }
    }
}

struct Ready {
    datagrams: bool,
    listener: bool,
    streams: Vec<usize>,
}

/// The length of the first whole message in `bytes`. On a stream every message must carry Content-Length (RFC 3261 §20.14).
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let head = head_length(bytes)?;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| matches!(name.trim(), "content-length" | "l"))
        .unwrap_or_else(|| panic!("a message without Content-Length on a stream:\n{text}"));
    let length: usize = length
        .1
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("Content-Length is no number:\n{text}"));
    (bytes.len() >= head + length).then_some(head + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn frames_are_cut_by_content_length() {
        assert_eq!(
            frame_length(b"SIP/2.0 200 OK\r\nl: 2\r\n\r\nhi there"),
            Some(26)
        );
        assert_eq!(
            frame_length(b"SIP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nh"),
            None
        );
        assert_eq!(frame_length(b"SIP/2.0 200 OK\r\n"), None);
    }

    #[test]
    fn datagrams_and_accepted_streams_arrive_at_one_place() {
        let any = "127.0.0.1:9".parse().unwrap();
        let (mut left, mut right) = (Wire::datagrams_and_listener(any), Wire::datagrams(any));
        right.send(Path::Datagram(left.address()), b"one");
        let mut caller = Wire::stream(left.address());
        caller.send(
            Path::Stream(0),
            b"\r\nSIP/2.0 200 OK\r\nl: 0\r\n\r\nSIP/2.0 2",
        );
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let arrivals = left.receive(Deadline::default());
            assert!(!arrivals.is_empty());
            seen.extend(arrivals.into_iter().map(|arrival| match arrival {
                Arrival::Message(Path::Datagram(from), bytes) => {
                    (from == right.address(), bytes.len())
                }
                Arrival::Message(_, bytes) => (true, bytes.len()),
                Arrival::Pong(_) => (true, 2),
                Arrival::Closed(_) => (false, 0),
            }));
        }
        seen.sort();
        assert_eq!(seen, [(true, 2), (true, 3), (true, 24)]);
        drop(caller);
        assert!(matches!(
            left.receive(Deadline::default())[..],
            [Arrival::Closed(0)]
        ));
        assert!(
            left.receive(Deadline::after(Duration::from_millis(1)))
                .is_empty()
        );
    }
}
