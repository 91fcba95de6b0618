//! A driver over the system's sockets: one for each actor, a server wherever it is.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ladder::{Arrival, Trace};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sip::framing::{Frame, Framer};

use crate::driver::{Driver, Place, Received, Transport};
use crate::flow::{Flow, SERVER};
use crate::http::{Asked, Told};

/// How long anything that has to come may take: far longer than it takes, so that a busy machine is no failure.
const PATIENCE: u64 = 20_000_000;
/// What one message may be, head and body.
const BYTES_MAX: usize = 1 << 20;

enum Wire {
    Datagrams(UdpSocket),
    Stream(TcpStream, Box<Framer>),
}

/// Real sockets and the real time.
pub struct Sockets {
    begun: Instant,
    server: SocketAddr,
    /// Where its documents are: address and path of the root.
    documents: Option<(SocketAddr, String)>,
    identities: Box<dyn Fn(&str) -> String + Send>,
    wires: Vec<(Wire, Place)>,
    ready: VecDeque<Received>,
    trace: Trace,
    actors: Vec<ladder::Actor>,
    server_actor: ladder::Actor,
    tokens: u64,
}

impl Sockets {
    /// Sockets for every actor of a flow, towards this server; `identities` gives the address of record of each user of the flow.
    pub fn open(
        flow: &Flow,
        server: SocketAddr,
        transport: Transport,
        identities: impl Fn(&str) -> String + Send + 'static,
    ) -> Result<Self, String> {
        let mut trace = flow.trace();
        let actors = flow
            .actors
            .iter()
            .map(|actor| trace.actor(&actor.name))
            .collect();
        let wires = flow.actors.iter().map(|_| open(server, transport));
        let wires = wires
            .collect::<std::io::Result<_>>()
            .map_err(|error| format!("{server}: {error}"))?;
        Ok(Self {
            begun: now(),
            server,
            documents: None,
            identities: Box::new(identities),
            wires,
            ready: VecDeque::new(),
            server_actor: trace.actor(SERVER),
            trace,
            actors,
            tokens: 0,
        })
    }

    /// The same, and the root below which the server has documents.
    #[must_use]
    pub fn with_documents(mut self, address: SocketAddr, root: &str) -> Self {
        self.documents = Some((address, root.to_owned()));
        self
    }

    fn read(&mut self, actor: usize) -> Result<(), String> {
        let at = self.now();
        let Some((wire, _)) = self.wires.get_mut(actor) else {
            return Ok(());
        };
        let mut buffer = vec![0; 65_536];
        let mut messages: Vec<Vec<u8>> = Vec::new();
        match wire {
            Wire::Datagrams(socket) => {
                // An error is the report that a datagram of ours met a closed port: what is missing will be missed.
                if let Ok(length) = socket.recv(&mut buffer) {
                    messages.extend(buffer.get(..length).map(<[u8]>::to_vec));
                }
            }
            Wire::Stream(stream, framer) => {
                match stream.read(&mut buffer) {
                    Ok(0) => return Err("the server closed the connection".to_owned()),
                    Ok(length) => framer.push(buffer.get(..length).unwrap_or_default()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(format!("the connection broke: {error}")),
                }
                while let Some(frame) = framer.next() {
                    match frame {
                        Frame::Message(bytes) => messages.push(bytes.to_vec()),
                        Frame::Ping | Frame::Pong => {}
                        Frame::Refused { .. } | Frame::Close(_) => {
                            return Err("what came by the connection is no SIP message".to_owned());
                        }
                    }
                }
            }
        }
        for bytes in messages
            .into_iter()
            .filter(|bytes| !bytes.trim_ascii().is_empty())
        {
            let way = (self.server_actor, self.actors[actor]);
            let over = self.wires[actor].1.transport.name().to_ascii_lowercase();
            self.trace.message(at, way, &over, &bytes, Arrival::Unknown);
            self.ready.push_back(Received { actor, at, bytes });
        }
        Ok(())
    }
}

fn open(server: SocketAddr, transport: Transport) -> std::io::Result<(Wire, Place)> {
    let (wire, address) = match transport {
        Transport::Udp => {
            let any = if server.is_ipv4() {
                "0.0.0.0:0"
            } else {
                "[::]:0"
            };
            let socket = UdpSocket::bind(any)?;
            // Connected, so that it knows the address by which the server sees it.
            socket.connect(server)?;
            let address = socket.local_addr()?;
            (Wire::Datagrams(socket), address)
        }
        Transport::Tcp => {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            let address = stream.local_addr()?;
            (
                Wire::Stream(stream, Box::new(Framer::new(BYTES_MAX, BYTES_MAX))),
                address,
            )
        }
    };
    Ok((wire, Place { transport, address }))
}

impl Driver for Sockets {
    fn now(&mut self) -> u64 {
        u64::try_from(now().saturating_duration_since(self.begun).as_micros()).unwrap_or(u64::MAX)
    }

    fn identity(&self, user: &str) -> String {
        (self.identities)(user)
    }

    fn place(&self, actor: usize) -> Place {
        self.wires.get(actor).map_or(
            Place {
                transport: Transport::Udp,
                address: self.server,
            },
            |(_, place)| *place,
        )
    }

    fn token(&mut self) -> String {
        self.tokens += 1;
        // The port makes it another than any other running program's.
        let port = self
            .wires
            .first()
            .map_or(0, |(_, place)| place.address.port());
        format!("{:x}p{port:x}n{:x}", std::process::id(), self.tokens)
    }

    fn send(&mut self, actor: usize, bytes: &[u8]) -> Result<(), String> {
        let at = self.now();
        let Some((wire, place)) = self.wires.get_mut(actor) else {
            return Err("nobody is there to send it".to_owned());
        };
        let sent = match wire {
            Wire::Datagrams(socket) => {
                // A closed port reports itself at the next send: one more try, and what is lost will be missed.
                if socket.send(bytes).is_err() {
                    let _ = socket.send(bytes);
                }
                Ok(())
            }
            Wire::Stream(stream, _) => stream.write_all(bytes),
        };
        let over = place.transport.name().to_ascii_lowercase();
        let way = (self.actors[actor], self.server_actor);
        self.trace.message(at, way, &over, bytes, Arrival::Unknown);
        sent.map_err(|error| format!("sending to {}: {error}", self.server))
    }

    fn receive(&mut self, until: u64) -> Result<Option<Received>, String> {
        loop {
            if let Some(received) = self.ready.pop_front() {
                return Ok(Some(received));
            }
            let left = until.saturating_sub(self.now());
            if left == 0 {
                return Ok(None);
            }
            let wait = Timespec {
                tv_sec: i64::try_from(left / 1_000_000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(left % 1_000_000 * 1000).unwrap_or_default(),
            };
            let mut fds: Vec<PollFd<'_>> = (self.wires.iter())
                .map(|(wire, _)| match wire {
                    Wire::Datagrams(socket) => PollFd::new(socket, PollFlags::IN),
                    Wire::Stream(stream, _) => PollFd::new(stream, PollFlags::IN),
                })
                .collect();
            match poll(&mut fds, Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(format!("poll: {error}")),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            for actor in (0..ready.len()).filter(|actor| ready[*actor]) {
                self.read(actor)?;
            }
        }
    }

    fn ask(&mut self, actor: usize, asked: &Asked) -> Result<(u64, Told), String> {
        let (address, root) =
            (self.documents.clone()).ok_or("it is not known where the server has documents")?;
        let bytes = asked.write(&address.to_string(), &root);
        let (there, here) = (self.actors[actor], self.server_actor);
        let at = self.now();
        self.trace
            .message(at, (there, here), "http", &bytes, Arrival::Unknown);
        let came = exchange(address, &bytes)
            .map_err(|error| format!("{} {}: {error}", asked.method, asked.target))?;
        let at = self.now();
        self.trace
            .message(at, (here, there), "http", &came, Arrival::Unknown);
        Ok((at, Told::read(&came)?))
    }

    fn patience(&self) -> u64 {
        PATIENCE
    }

    fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }
}

/// One request on a connection of its own, and all that comes until it ends.
fn exchange(server: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let patience = Duration::from_micros(PATIENCE);
    let mut stream = TcpStream::connect_timeout(&server, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(request)?;
    let mut came = Vec::new();
    stream.take(BYTES_MAX as u64).read_to_end(&mut came)?;
    Ok(came)
}

#[allow(
    clippy::disallowed_methods,
    reason = "a real server is met in real time"
)]
fn now() -> Instant {
    Instant::now()
}
