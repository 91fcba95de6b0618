//! Our sockets: datagrams in batches, or streams framed; what is to leave waits here for the next flush.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use machine::Instant;
use sip::framing::{Frame, Framer};
use transport::socket::{BATCH, BUFFER_BYTES_WANTED, DatagramSocket, Poller, Receiver};

/// By what messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
}

impl Carrier {
    /// As Via has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(4);
/// The longest message that we read from a stream.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
const READ_BYTES: usize = 1 << 18;

enum Sockets {
    Datagrams(Vec<DatagramSocket>, Box<Receiver>),
    Streams(Vec<(TcpStream, Framer)>, Vec<u8>),
}

/// What came: bytes of one message, by which socket, from where.
pub(crate) struct Arrived<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) socket: usize,
    pub(crate) from: SocketAddr,
}

/// The receiving side, and the sockets of both.
pub(crate) struct Wire {
    sockets: Sockets,
    addresses: Vec<SocketAddr>,
    /// To where documents are; its queue comes after those of the sockets.
    documents: Option<(SocketAddr, Option<(TcpStream, Framer)>)>,
    poller: Poller,
}

/// The sending side: what waits for each socket.
#[derive(Debug)]
pub(crate) struct Outbox {
    queues: Vec<Queue>,
    blocked: bool,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Ends of the messages in `bytes`, and where each goes.
    messages: Vec<(usize, SocketAddr)>,
    /// Messages (datagrams) or bytes (streams) that have left.
    left: usize,
}

impl Outbox {
    pub(crate) fn new(sockets: usize) -> Self {
        Self {
            queues: (0..sockets).map(|_| Queue::default()).collect(),
            blocked: false,
        }
    }

    /// Appends one message, as `write` writes it.
    pub(crate) fn push(&mut self, socket: usize, to: SocketAddr, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(queue) = self.queues.get_mut(socket) {
            write(&mut queue.bytes);
            queue.messages.push((queue.bytes.len(), to));
        }
    }
}

impl Wire {
    /// Opens so many sockets towards a server.
    pub(crate) fn open(carrier: Carrier, count: u16, target: SocketAddr) -> io::Result<Self> {
        let mut addresses = Vec::new();
        let sockets = match carrier {
            Carrier::Udp => {
                let any = local_towards(target)?;
                let mut sockets = Vec::new();
                for _ in 0..count {
                    for socket in DatagramSocket::bind_group(SocketAddr::new(any, 0), 1)? {
                        socket.enlarge_buffers(BUFFER_BYTES_WANTED)?;
                        addresses.push(socket.local_address()?);
                        sockets.push(socket);
                    }
                }
                Sockets::Datagrams(sockets, Box::new(Receiver::new()))
            }
            Carrier::Tcp => {
                let mut streams = Vec::new();
                for _ in 0..count {
                    let (stream, framer) = connected(target)?;
                    addresses.push(stream.local_addr()?);
                    streams.push((stream, framer));
                }
                Sockets::Streams(streams, vec![0; READ_BYTES])
            }
        };
        Ok(Self {
            sockets,
            addresses,
            documents: None,
            poller: Poller::default(),
        })
    }

    /// Where documents are. A connection is made when there is something to ask; a server closes those that idle.
    pub(crate) fn ask_documents_at(&mut self, address: SocketAddr) {
        self.documents = Some((address, None));
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until something can be read, or written where that was not possible.
    pub(crate) fn wait(&mut self, timeout: Duration, outbox: &Outbox) -> io::Result<()> {
        self.poller.clear();
        match &self.sockets {
            Sockets::Datagrams(sockets, _) => {
                for (socket, queue) in sockets.iter().zip(&outbox.queues) {
                    let waits = outbox.blocked && !queue.messages.is_empty();
                    self.poller.add(socket, waits);
                }
            }
            Sockets::Streams(streams, _) => {
                for ((stream, _), queue) in streams.iter().zip(&outbox.queues) {
                    let waits = outbox.blocked && !queue.messages.is_empty();
                    self.poller.add(stream, waits);
                }
            }
        }
        if let Some((_, Some((stream, _)))) = &self.documents {
            self.poller.add(stream, outbox.blocked);
        }
        self.poller.wait(Some(timeout))
    }

    /// Takes what the last `wait` found, one batch of each socket; says how many messages came.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(Arrived<'_>)) -> io::Result<usize> {
        let mut count = 0;
        match &mut self.sockets {
            Sockets::Datagrams(sockets, receiver) => {
                for (socket, datagrams) in sockets.iter().enumerate() {
                    if !self.poller.is_readable(socket) {
                        continue;
                    }
                    // An ICMP error of an earlier datagram is reported here once; the next call goes on.
                    count += receiver.receive(datagrams).unwrap_or(0);
                    for (from, bytes) in receiver.datagrams() {
                        take(Arrived {
                            bytes,
                            socket,
                            from,
                        });
                    }
                }
            }
            Sockets::Streams(streams, room) => {
                for (socket, (stream, framer)) in streams.iter_mut().enumerate() {
                    if self.poller.is_readable(socket) {
                        count += read_stream(socket, stream, framer, room, &mut take)?;
                    }
                }
            }
        }
        let last = self.addresses.len();
        if let Some((_, connection)) = &mut self.documents
            && let Some((stream, framer)) = connection
            && self.poller.is_readable(last)
        {
            let mut room = [0; 4096];
            match read_stream(last, stream, framer, &mut room, &mut take) {
                Ok(read) => count += read,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => *connection = None,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Sends what waits, as far as the kernel takes it.
    pub(crate) fn flush(&mut self, outbox: &mut Outbox) -> io::Result<()> {
        outbox.blocked = false;
        for (socket, queue) in outbox.queues.iter_mut().enumerate() {
            if queue.messages.is_empty() {
                continue;
            }
            let done = match &mut self.sockets {
                _ if socket >= self.addresses.len() => match &mut self.documents {
                    Some((address, connection)) => {
                        let (stream, _) = match connection {
                            Some(connection) => connection,
                            None => connection.insert(connected(*address)?),
                        };
                        write_stream(stream, queue)?
                    }
                    None => true,
                },
                Sockets::Datagrams(sockets, _) => send_datagrams(&sockets[socket], queue),
                Sockets::Streams(streams, _) => write_stream(&mut streams[socket].0, queue)?,
            };
            if done {
                queue.bytes.clear();
                queue.messages.clear();
                queue.left = 0;
            } else {
                outbox.blocked = true;
            }
        }
        Ok(())
    }
}

fn connected(target: SocketAddr) -> io::Result<(TcpStream, Framer)> {
    let stream = TcpStream::connect_timeout(&target, CONNECT_MAX)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok((stream, Framer::new(MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX)))
}

/// Whether all have left. What the kernel refuses is lost, as in the network.
fn send_datagrams(socket: &DatagramSocket, queue: &mut Queue) -> bool {
    while queue.left < queue.messages.len() {
        let mut from = match queue.left {
            0 => 0,
            left => queue.messages[left - 1].0,
        };
        let bytes = &queue.bytes;
        let batch = queue.messages[queue.left..].iter().take(BATCH);
        let batch = batch.map(|(end, to)| {
            let message = &bytes[from..*end];
            from = *end;
            (*to, message, &[][..])
        });
        match socket.send_batch(batch, false) {
            Ok(sent) => queue.left += sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => queue.left += 1,
        }
    }
    true
}

fn write_stream(stream: &mut TcpStream, queue: &mut Queue) -> io::Result<bool> {
    while let Some(rest) = queue
        .bytes
        .get(queue.left..)
        .filter(|rest| !rest.is_empty())
    {
        match stream.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => queue.left += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn read_stream(
    socket: usize,
    stream: &mut TcpStream,
    framer: &mut Framer,
    room: &mut [u8],
    take: &mut impl FnMut(Arrived<'_>),
) -> io::Result<usize> {
    let from = stream.peer_addr()?;
    let length = match stream.read(room) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
        Err(error) => return Err(error),
    };
    framer.push(&room[..length]);
    let mut count = 0;
    while let Some(frame) = framer.next() {
        match frame {
            Frame::Message(bytes) => {
                count += 1;
                take(Arrived {
                    bytes,
                    socket,
                    from,
                });
            }
            Frame::Ping | Frame::Pong => {}
            Frame::Refused { .. } => return Err(io::ErrorKind::InvalidData.into()),
            Frame::Close(why) => return Err(io::Error::new(io::ErrorKind::InvalidData, why)),
        }
    }
    Ok(count)
}

/// We look at our sockets no more often than this: each message would wake us up, at more than the server spends on it, and
/// the server would pay for waking us.
const GATHER: Duration = Duration::from_micros(100);

/// A window of so many keeps a server busy meanwhile: some batches always wait for it.
pub(crate) const GATHERING_WINDOW_MIN: u32 = 4 * BATCH as u32;

/// Lets messages gather between two looks at our sockets.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    nothing: Poller,
    looked: Instant,
}

impl Gather {
    /// Waits until the last look is long enough ago.
    pub(crate) fn pause(&mut self, now: Instant) -> io::Result<()> {
        let left = (self.looked + GATHER).since(now);
        if left.is_zero() {
            Ok(())
        } else {
            self.nothing.wait(Some(left))
        }
    }

    /// Our sockets were looked at.
    pub(crate) const fn looked(&mut self, now: Instant) {
        self.looked = now;
    }
}

/// Our address towards a target: messages name it, so it can't be the unspecified one.
fn local_towards(target: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let probe = std::net::UdpSocket::bind((any, 0))?;
    probe.connect(target)?;
    Ok(probe.local_addr()?.ip())
}
