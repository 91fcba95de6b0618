//! Stream connections over real loopback sockets: what a peer sees, and what the inbox is told.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says so by failing"
)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use machine::Instant;
use shard::Cause;
use shard::inputs::{ConnectionId, Flow, Undeliverable};
use shard::outputs::{Destination, Send};
use shard::settings::{ListenerId, Transport};
use tokio::runtime::Runtime;
use transport::{Bounds, Gather, Inbox, Streams};

/// Longer than anything takes unless it is broken.
const PATIENCE: Duration = Duration::from_secs(10);
const LISTENER: ListenerId = ListenerId(3);

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Message(Flow, String),
    Flushed,
    Undeliverable(u16, u64, Undeliverable),
}

struct Ear {
    origin: tokio::time::Instant,
    told: Sender<Told>,
    unlimited: bool,
    ready: Arc<Ready>,
}

impl Inbox for Ear {
    fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    fn gather(&self) -> Box<dyn Gather> {
        Box::new(Gathered {
            told: self.told.clone(),
            ready: Arc::clone(&self.ready),
        })
    }

    fn undeliverable(&self, shard: u16, token: u64, why: Undeliverable) {
        let _ = self.told.send(Told::Undeliverable(shard, token, why));
    }

    fn is_unlimited(&self, _: ListenerId, _: IpAddr) -> bool {
        self.unlimited
    }
}

struct Gathered {
    told: Sender<Told>,
    ready: Arc<Ready>,
}

/// Shut: what was handed on has not been taken.
#[derive(Default)]
struct Ready {
    is_shut: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Ready {
    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.waiting.lock().unwrap().push(context.waker().clone());
        if self.is_shut.load(Ordering::SeqCst) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    fn set(&self, is_shut: bool) {
        self.is_shut.store(is_shut, Ordering::SeqCst);
        self.waiting.lock().unwrap().drain(..).for_each(Waker::wake);
    }
}

impl Gather for Gathered {
    fn message(&mut self, flow: &Flow, bytes: &[u8], answer: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if text.starts_with("BUSY") {
            answer.extend_from_slice(b"SIP/2.0 503 Service Unavailable\r\n\r\n");
        }
        let _ = self.told.send(Told::Message(*flow, text));
    }

    fn refused(&mut self, flow: &Flow, _: &[u8], status: u16) {
        let _ = self.told.send(Told::Message(*flow, status.to_string()));
    }

    fn flush(&mut self) {
        let _ = self.told.send(Told::Flushed);
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.ready.poll(context)
    }
}

struct World {
    runtime: Runtime,
    streams: Streams,
    address: SocketAddr,
    told: Receiver<Told>,
    ready: Arc<Ready>,
}

fn world(bounds: Bounds, unlimited: bool) -> World {
    world_at(IpAddr::V4(Ipv4Addr::LOCALHOST), bounds, unlimited)
}

fn world_at(ip: IpAddr, bounds: Bounds, unlimited: bool) -> World {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let socket = TcpListener::bind((ip, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let (sender, told) = channel();
    let ready = Arc::new(Ready::default());
    let inbox = Arc::new(Ear {
        origin: tokio::time::Instant::now(),
        told: sender,
        unlimited,
        ready: Arc::clone(&ready),
    });
    let streams = Streams::new(
        runtime.handle().clone(),
        inbox,
        bounds,
        [(LISTENER, address)],
    );
    streams.open(LISTENER, socket).unwrap();
    World {
        runtime,
        streams,
        address,
        told,
        ready,
    }
}

impl World {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn told(&self) -> Told {
        self.told.recv_timeout(PATIENCE).unwrap()
    }

    /// The next message, with its connection.
    fn message(&self) -> (ConnectionId, String) {
        loop {
            match self.told() {
                Told::Message(flow, text) => return (flow.connection.unwrap(), text),
                Told::Flushed => {}
                other @ Told::Undeliverable(..) => panic!("{other:?}"),
            }
        }
    }

    fn undeliverable(&self) -> (u16, u64, Undeliverable) {
        loop {
            match self.told() {
                Told::Undeliverable(shard, token, why) => return (shard, token, why),
                Told::Flushed | Told::Message(..) => {}
            }
        }
    }
}

fn text(name: &str) -> Vec<u8> {
    format!("{name} sip:a@example.com SIP/2.0\r\nContent-Length: 4\r\n\r\nbody").into_bytes()
}

fn on(
    connection: ConnectionId,
    otherwise: Option<SocketAddr>,
    body: &'static [u8],
    token: u64,
) -> Send {
    Send {
        to: Destination::Connection {
            connection,
            otherwise,
            listener: LISTENER,
        },
        head: b"head\r\n\r\n".to_vec(),
        body: Bytes::from_static(body),
        token,
        cause: Cause::NONE,
    }
}

fn to(peer: SocketAddr, body: &[u8], token: u64) -> Send {
    Send {
        to: Destination::Stream {
            transport: Transport::Tcp,
            listener: LISTENER,
            to: peer,
            connect_ms_max: 5_000,
        },
        head: b"head\r\n\r\n".to_vec(),
        body: Bytes::copy_from_slice(body),
        token,
        cause: Cause::NONE,
    }
}

fn read_exactly(stream: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Whether the connection ends now; a reset is an end too, patience running out is none.
fn ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 16]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn messages_of_one_read_come_together_and_answers_go_back() {
    for ip in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        let world = world_at(ip, Bounds::default(), true);
        let mut peer = world.connect();
        peer.write_all(&[text("FIRST"), text("SECOND"), b"THIRD sip".to_vec()].concat())
            .unwrap();
        let Told::Message(flow, first) = world.told() else {
            panic!()
        };
        assert_eq!(first.as_bytes(), text("FIRST"));
        assert_eq!(
            (flow.transport, flow.listener, flow.peer),
            (Transport::Tcp, LISTENER, peer.local_addr().unwrap())
        );
        assert_eq!(
            world.told(),
            Told::Message(flow, String::from_utf8(text("SECOND")).unwrap())
        );
        assert_eq!(world.told(), Told::Flushed);
        peer.write_all(&text("THIRD")[9..]).unwrap();
        assert_eq!(
            world.message(),
            (
                flow.connection.unwrap(),
                String::from_utf8(text("THIRD")).unwrap()
            )
        );
        world.streams.send(
            0,
            [
                on(flow.connection.unwrap(), None, b"1", 1),
                on(flow.connection.unwrap(), None, b"2", 2),
            ],
        );
        assert_eq!(read_exactly(&mut peer, 18), "head\r\n\r\n1head\r\n\r\n2");
        until("both count", || world.streams.counts().sent == 2);
        assert_eq!(world.streams.counts().received, 3);
    }
}

#[test]
fn keep_alives_are_answered_and_so_is_what_no_shard_sees() {
    let world = world(Bounds::default(), true);
    let mut peer = world.connect();
    peer.write_all(b"\r\n\r\n").unwrap();
    assert_eq!(read_exactly(&mut peer, 2), "\r\n");
    peer.write_all(&text("BUSY")).unwrap();
    assert_eq!(
        read_exactly(&mut peer, 35),
        "SIP/2.0 503 Service Unavailable\r\n\r\n"
    );
}

#[test]
fn requests_open_one_connection_and_reuse_it_in_both_directions() {
    let world = world(Bounds::default(), true);
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = server.local_addr().unwrap();
    world
        .streams
        .send(1, [to(address, b"1", 1), to(address, b"2", 2)]);
    let (mut peer, from) = server.accept().unwrap();
    assert_eq!(from.ip(), world.address.ip());
    assert_eq!(read_exactly(&mut peer, 18), "head\r\n\r\n1head\r\n\r\n2");
    peer.write_all(&text("PUBLISH")).unwrap();
    let (connection, _) = world.message();
    world
        .streams
        .send(1, [on(connection, None, b"3", 3), to(address, b"4", 4)]);
    assert_eq!(read_exactly(&mut peer, 18), "head\r\n\r\n3head\r\n\r\n4");
    // And one that the peer opened serves requests to the address it came from.
    let mut caller = world.connect();
    caller.write_all(&text("SUBSCRIBE")).unwrap();
    world.message();
    world
        .streams
        .send(0, [to(caller.local_addr().unwrap(), b"5", 5)]);
    assert_eq!(read_exactly(&mut caller, 9), "head\r\n\r\n5");
    assert_eq!(
        (
            world.streams.counts().connected,
            world.streams.counts().accepted
        ),
        (1, 1)
    );
}

#[test]
fn failures_are_reported_under_their_token() {
    let world = world(Bounds::default(), true);
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    world.streams.send(
        2,
        [to(nobody, b"", 7), to(nobody, b"", 0), to(nobody, b"", 8)],
    );
    assert_eq!(world.undeliverable(), (2, 7, Undeliverable::NotConnected));
    assert_eq!(world.undeliverable(), (2, 8, Undeliverable::NotConnected));
    world.streams.send(0, [on(ConnectionId(99), None, b"", 9)]);
    assert_eq!(world.undeliverable(), (0, 9, Undeliverable::Closed));
    assert_eq!(world.streams.counts().open, 0);
}

#[test]
fn an_answer_whose_connection_is_gone_goes_by_another() {
    let world = world(Bounds::default(), true);
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    world
        .streams
        .send(0, [on(ConnectionId(99), server.local_addr().ok(), b"!", 9)]);
    let (mut peer, _) = server.accept().unwrap();
    assert_eq!(read_exactly(&mut peer, 9), "head\r\n\r\n!");
}

#[test]
fn a_peer_that_does_not_read_loses_its_connection_and_delays_nobody() {
    let world = world(
        Bounds {
            queue_bytes_max: 1 << 20,
            ..Bounds::default()
        },
        true,
    );
    let mut stalled = world.connect();
    stalled.write_all(&text("STALLED")).unwrap();
    let (stalled_id, _) = world.message();
    let mut quick = world.connect();
    quick.write_all(&text("QUICK")).unwrap();
    let (quick_id, _) = world.message();
    let body = Bytes::from(vec![b'x'; 60_000]);
    let mut sent = 0;
    // The kernel's buffers take some MiB before anything waits here.
    while world.streams.counts().stalled == 0 {
        sent += 1;
        assert!(sent < 10_000);
        world.streams.send(
            0,
            [Send {
                body: body.clone(),
                ..on(stalled_id, None, b"", 1000 + sent)
            }],
        );
        world.streams.send(0, [on(quick_id, None, b"q", 1)]);
        assert_eq!(read_exactly(&mut quick, 9), "head\r\n\r\nq");
    }
    assert_eq!(world.undeliverable().2, Undeliverable::Closed);
    until("the stalled one is gone", || {
        world.streams.counts().open == 1
    });
}

#[test]
fn a_peer_that_stops_reading_with_little_waiting_is_dropped_after_a_while() {
    let bounds = Bounds {
        stall_max: Duration::from_millis(50),
        queue_bytes_max: 1 << 30,
        ..Bounds::default()
    };
    let world = world(bounds, true);
    let mut stalled = world.connect();
    stalled.write_all(&text("STALLED")).unwrap();
    let (id, _) = world.message();
    let body = Bytes::from(vec![b'x'; 16 << 20]);
    world.streams.send(
        5,
        [Send {
            body,
            ..on(id, None, b"", 77)
        }],
    );
    assert_eq!(world.undeliverable(), (5, 77, Undeliverable::Closed));
    until("dropped", || world.streams.counts().stalled == 1);
}

#[test]
fn one_source_has_its_bound_unless_it_is_free_of_it() {
    let bounds = Bounds {
        per_source_max: 2,
        connections_max: 4,
        ..Bounds::default()
    };
    let limited = world(bounds, false);
    let held = [limited.connect(), limited.connect()];
    until("two are in", || limited.streams.counts().accepted == 2);
    assert!(ended(&mut limited.connect()));
    drop(held);
    until("both are out", || limited.streams.counts().open == 0);
    let _again = limited.connect();
    until("in again", || limited.streams.counts().accepted == 3);

    let free = world(bounds, true);
    let _held: Vec<TcpStream> = (0..4).map(|_| free.connect()).collect();
    until("four are in", || free.streams.counts().accepted == 4);
    assert!(ended(&mut free.connect()));
    assert_eq!(free.streams.counts().refused, 1);
}

#[test]
fn silence_and_messages_that_never_end_close_the_connection() {
    let idle = world(
        Bounds {
            idle_max: Duration::from_millis(30),
            ..Bounds::default()
        },
        true,
    );
    assert!(ended(&mut idle.connect()));
    assert_eq!(idle.streams.counts().offended, 0);

    let slow = world(
        Bounds {
            message_max: Duration::from_millis(50),
            ..Bounds::default()
        },
        true,
    );
    let mut quiet = slow.connect();
    quiet.write_all(&text("WHOLE")).unwrap();
    slow.message();
    let mut peer = slow.connect();
    peer.write_all(b"PUBLISH sip:").unwrap();
    // A byte now and then doesn't help.
    until("closed", || {
        peer.write_all(b"a").is_err() || slow.streams.counts().offended == 1
    });
    until("only the quiet one is left", || {
        slow.streams.counts().open == 1
    });
}

#[test]
fn a_peer_that_has_said_all_still_gets_its_answer() {
    let world = world(Bounds::default(), true);
    let mut peer = world.connect();
    peer.write_all(&text("OPTIONS")).unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    let (id, _) = world.message();
    world.streams.send(0, [on(id, None, b"answer", 0)]);
    assert_eq!(read_exactly(&mut peer, 14), "head\r\n\r\nanswer");
    assert!(ended(&mut peer));
    until("gone", || world.streams.counts().open == 0);
}

#[test]
fn stopping_writes_what_waits_and_ends_everything() {
    let world = world(Bounds::default(), true);
    let mut peer = world.connect();
    peer.write_all(&text("OPTIONS")).unwrap();
    let (id, _) = world.message();
    let body = Bytes::from(vec![b'x'; 3 << 20]);
    world.streams.send(
        0,
        [Send {
            body: body.clone(),
            ..on(id, None, b"", 1)
        }],
    );
    let stopping = world.runtime.spawn({
        let streams = world.streams.clone();
        async move { streams.stop().await }
    });
    assert_eq!(
        read_exactly(&mut peer, 8 + body.len()).len(),
        8 + body.len()
    );
    assert!(ended(&mut peer));
    world.runtime.block_on(async {
        tokio::time::timeout(PATIENCE, stopping)
            .await
            .unwrap()
            .unwrap()
    });
    assert_eq!(world.streams.counts().open, 0);
    world.streams.send(0, [to(world.address, b"", 5)]);
    assert_eq!(world.undeliverable(), (0, 5, Undeliverable::NotConnected));
    until("nobody listens", || {
        TcpStream::connect(world.address).is_err()
    });
}

#[test]
fn a_connection_ahead_of_the_shards_is_not_read_and_holds_nobody_up() {
    let world = world(Bounds::default(), false);
    world.ready.set(true);
    let mut flood = world.connect();
    flood.write_all(&text("FIRST")).unwrap();
    assert!(world.message().1.starts_with("FIRST"));
    flood.write_all(&text("SECOND")).unwrap();
    let mut other = world.connect();
    other.write_all(&text("OTHER")).unwrap();
    assert!(world.message().1.starts_with("OTHER"));
    // What was held back was not lost.
    world.ready.set(false);
    assert!(world.message().1.starts_with("SECOND"));
}
