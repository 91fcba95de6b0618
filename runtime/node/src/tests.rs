//! The whole node with another shard in the engine's place, over real loopback sockets.
//!
//! The fake says by the method of a request what it is to do; its owner is the number before the `@` of the request's URI.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use machine::settings::{Listener, Settings, Transport};
use machine::{
    Batch, Cause, DocumentName, Instant, Key, Now, Op, Partition, Random, Record, StoredDocument,
};
use shard::{
    Counts, Destination, DocumentRequest, Flow, Output, Question, Room, Send, Table, Told,
    Undeliverable,
};
use store::Memory;
use store::documents::MemoryDocuments;

use crate::engine::{Engine, Owner};
use crate::{BindReason, Clock, Node, Readiness, Start, StartError};

/// Longer than anything takes unless it is broken.
const PATIENCE: Duration = Duration::from_secs(10);

struct Fake {
    index: u16,
    shards: u16,
    now: Now,
    outputs: VecDeque<Output>,
    objects: BTreeMap<Key, Vec<Vec<u8>>>,
    sequence: u64,
    durable: u64,
    held: VecDeque<(u64, Send)>,
    resolving: Vec<(String, Flow)>,
    room: Room,
    settings: u64,
    undeliverable: Vec<(u64, Undeliverable)>,
    alarm: Option<(Instant, Flow)>,
    /// Never quiet once asked to be busy.
    busy: bool,
    starts: u32,
}

fn number_of(message: &sip::Message<'_>) -> Option<u16> {
    message
        .request_uri()
        .strip_prefix("sip:")?
        .split('@')
        .next()?
        .parse()
        .ok()
}

fn answer(flow: &Flow, text: String) -> Send {
    let Flow {
        listener,
        peer,
        connection,
        ..
    } = *flow;
    let to = match connection {
        None => Destination::Datagram { listener, to: peer },
        Some(connection) => Destination::Connection {
            connection,
            otherwise: None,
            listener,
        },
    };
    Send {
        to,
        head: text.into_bytes(),
        body: Bytes::from_static(b"\n"),
        token: 0,
        cause: Cause::NONE,
    }
}

impl Fake {
    fn say(&mut self, flow: &Flow, text: String) {
        self.outputs.push_back(Output::Send(answer(flow, text)));
    }

    fn commit(&mut self, key: Key, op: Op) {
        self.sequence += 1;
        let records = vec![Record { key, op }];
        self.outputs.push_back(Output::Commit(Batch {
            shard: self.index,
            sequence: self.sequence,
            records,
            lazy: false,
        }));
    }

    fn own_key(&self, number: u64) -> Key {
        let partition = (0..4096)
            .filter_map(Partition::new)
            .find(|p| p.shard(self.shards) == self.index)
            .unwrap();
        Key::new(partition, number)
    }

    fn request(&mut self, flow: &Flow, message: &sip::Message<'_>) {
        let body = String::from_utf8_lossy(message.body()).into_owned();
        match message.method().name() {
            "OPTIONS" => {
                let thread = std::thread::current().name().unwrap_or_default().to_owned();
                self.say(
                    flow,
                    format!("{thread} {} {:?} {}", self.settings, self.room, body.len()),
                );
            }
            "PUBLISH" => {
                self.commit(
                    self.own_key(self.sequence + 1),
                    Op::Put(body.into_bytes().into()),
                );
                self.held
                    .push_back((self.sequence, answer(flow, "stored".to_owned())));
            }
            "INFO" => {
                let objects: Vec<String> = self
                    .objects
                    .values()
                    .map(|ops| String::from_utf8_lossy(&ops.concat()).into_owned())
                    .collect();
                self.say(flow, format!("{} {}", self.starts, objects.join(",")));
            }
            "REFER" => {
                self.outputs.push_back(Output::Resolve(body.clone()));
                self.resolving.push((body, *flow));
            }
            "NOTIFY" => {
                for number in 0..body.parse().unwrap() {
                    self.say(flow, format!("{number:05}"));
                }
            }
            "UPDATE" => self.alarm = Some((self.now.monotonic + Duration::from_millis(20), *flow)),
            "MESSAGE" => {
                let to = body.parse().unwrap();
                let to = Destination::Stream {
                    transport: Transport::Tcp,
                    listener: flow.listener,
                    to,
                    connect_ms_max: 5000,
                };
                self.outputs.push_back(Output::Send(Send {
                    to,
                    token: 42,
                    ..answer(flow, "x".to_owned())
                }));
            }
            "PRACK" => self.say(flow, format!("{:?}", self.undeliverable)),
            "BYE" => panic!("asked to"),
            "INVITE" => {
                self.busy = true;
                self.say(flow, "busy".to_owned());
            }
            method => panic!("{method}"),
        }
    }
}

impl Engine for Fake {
    fn owner(_: [u8; 16], shards: u16, _: &Settings) -> Owner {
        Box::new(move |message| number_of(message).unwrap_or(0) % shards)
    }

    fn new(start: shard::Start) -> Self {
        Self {
            index: start.index,
            shards: start.shards,
            now: start.now,
            outputs: VecDeque::new(),
            objects: BTreeMap::new(),
            sequence: 0,
            durable: 0,
            held: VecDeque::new(),
            resolving: Vec::new(),
            room: Room::Plenty,
            settings: start.settings.number,
            undeliverable: Vec::new(),
            alarm: None,
            busy: false,
            starts: start.starts,
        }
    }

    fn restore(&mut self, key: Key, ops: Vec<Vec<u8>>) -> Result<(), String> {
        assert_eq!(key.partition().shard(self.shards), self.index);
        if ops.concat() == b"nonsense" {
            return Err("not understood".to_owned());
        }
        self.objects.insert(key, ops);
        Ok(())
    }

    fn restore_document(&mut self, _: DocumentName, _: StoredDocument) {}

    fn restored(&mut self, _: Now) {}

    fn handle_document(&mut self, _: Now, _: DocumentRequest) {}

    fn handle_kept(&mut self, _: Now, _: u64, _: Result<(), String>) {}

    fn restore_lists(&mut self, _: Arc<Table>) {}

    fn handle_told(&mut self, _: Now, _: u16, _: Told) {}

    fn handle_explain(&mut self, _: Now, _: Question) {}

    fn handle_datagram(&mut self, now: Now, flow: &Flow, bytes: &[u8]) {
        self.now = now;
        match sip::Message::parse(bytes) {
            Ok(message) => {
                assert_eq!(number_of(&message).unwrap_or(0) % self.shards, self.index);
                self.request(flow, &message);
            }
            Err(_) => self.say(flow, "what?".to_owned()),
        }
    }

    fn handle_oversized(&mut self, _: Now, flow: &Flow, _: &[u8], status: u16) {
        self.say(flow, format!("SIP/2.0 {status}"));
    }

    fn handle_durable(&mut self, _: Now, sequence: u64) {
        assert!(sequence > self.durable);
        self.durable = sequence;
        while let Some((needs, _)) = self.held.front()
            && *needs <= sequence
        {
            let (_, send) = self.held.pop_front().unwrap();
            self.outputs.push_back(Output::Send(send));
        }
    }

    fn handle_undeliverable(&mut self, _: Now, token: u64, why: Undeliverable) {
        self.undeliverable.push((token, why));
    }

    fn handle_resolved(&mut self, _: Now, name: &str, addresses: &[IpAddr]) {
        for (asked, flow) in std::mem::take(&mut self.resolving) {
            if asked == name {
                self.say(
                    &flow,
                    format!("{name} {}", addresses.iter().any(IpAddr::is_loopback)),
                );
            } else {
                self.resolving.push((asked, flow));
            }
        }
    }

    fn handle_settings(&mut self, _: Now, settings: Arc<Settings>) {
        self.settings = settings.number;
    }

    fn handle_room(&mut self, room: Room) {
        self.room = room;
    }

    fn handle_stop(&mut self, _: Now) {}

    fn cause(&self) -> Cause {
        Cause::NONE
    }

    fn handle_drain(&mut self, _: Now) {
        self.busy = false;
    }

    fn is_quiet(&self) -> bool {
        self.outputs.is_empty() && self.held.is_empty() && !self.busy
    }

    fn end(&mut self, _: Now) {
        self.commit(self.own_key(99), Op::Put(b"end".to_vec().into()));
    }

    fn handle_timeout(&mut self, now: Now) {
        if let Some((at, flow)) = self.alarm
            && at <= now.monotonic
        {
            self.alarm = None;
            self.say(&flow, "late".to_owned());
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.alarm.map(|(at, _)| at)
    }

    fn give_back(&mut self, _: Vec<u8>) {}

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn counts(&self) -> Counts {
        Counts {
            publications: self.objects.len(),
            ..Counts::default()
        }
    }
}

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

fn settings() -> Settings {
    Settings {
        number: 1,
        domains: Vec::new(),
        listeners: vec![
            listener(Transport::Udp, "127.0.0.1:0"),
            listener(Transport::Tcp, "127.0.0.1:0"),
            listener(Transport::Udp, "[::1]:0"),
        ],
        identity: machine::settings::Identity::default(),
        limits: machine::Limits::default(),
        path_mtu: 0,
        xcap_roots: Vec::new(),
        hosts: BTreeMap::new(),
    }
}

fn start_with(memory: &Memory, shards: u16, settings: Settings) -> Result<Node, StartError> {
    let store = memory.open().unwrap();
    let clock = Clock::new();
    Node::start_with::<Fake>(Start {
        settings,
        shards,
        io_threads: 1,
        store,
        clock,
        readiness: Readiness::new(),
        documents: MemoryDocuments::new([7; 32]).open(),
        observer: Arc::new(()),
    })
}

fn start(memory: &Memory, shards: u16) -> Node {
    start_with(memory, shards, settings()).unwrap()
}

fn request(method: &str, shard: u16, body: &str) -> Vec<u8> {
    format!(
        "{method} sip:{shard}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1\r\n\
         From: <sip:a@example.com>;tag=1\r\nTo: <sip:{shard}@example.com>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One peer over UDP.
struct Peer {
    socket: UdpSocket,
    node: SocketAddr,
}

impl Peer {
    fn new(node: &Node, listener: usize) -> Self {
        let node = node.listeners()[listener].bound;
        let socket = UdpSocket::bind(SocketAddr::new(node.ip(), 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, node }
    }

    fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.node).unwrap();
    }

    fn hear(&self) -> String {
        let mut bytes = [0; 2048];
        let (length, from) = self.socket.recv_from(&mut bytes).unwrap();
        assert_eq!(from, self.node);
        String::from_utf8_lossy(&bytes[..length])
            .trim_end()
            .to_owned()
    }

    fn ask(&self, method: &str, shard: u16, body: &str) -> String {
        self.send(&request(method, shard, body));
        self.hear()
    }
}

fn connect(node: &Node) -> TcpStream {
    let stream = TcpStream::connect(node.listeners()[1].bound).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn hear_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let clock = Clock::new();
    let deadline = clock.monotonic() + PATIENCE;
    while !condition() {
        assert!(clock.monotonic() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn every_message_reaches_its_shard_from_any_socket() {
    let node = start(&Memory::new([1; 16]), 3);
    assert_eq!(
        node.listeners()[0].bound.port(),
        node.listeners()[1].bound.port()
    );
    assert_eq!(node.readiness().get(), Ok(()));
    let mut stream = connect(&node);
    for listener in [0, 2] {
        for round in 0..20 {
            // A new source each time: the kernel spreads sources over the sockets.
            let peer = Peer::new(&node, listener);
            let shard = round % 3;
            assert_eq!(
                peer.ask("OPTIONS", shard, "1234"),
                format!("shard-{shard} 1 Plenty 4")
            );
        }
    }
    let all: Vec<u8> = (0..3)
        .flat_map(|shard| request("OPTIONS", shard, ""))
        .collect();
    stream.write_all(&all).unwrap();
    let mut heard: Vec<String> = (0..3).map(|_| hear_line(&mut stream)).collect();
    heard.sort();
    assert_eq!(
        heard,
        [
            "shard-0 1 Plenty 0",
            "shard-1 1 Plenty 0",
            "shard-2 1 Plenty 0"
        ]
    );
    let peer = Peer::new(&node, 0);
    peer.send(b"\r\n\r\n");
    peer.send(b"nonsense that is no message");
    assert_eq!(peer.hear(), "what?");
    let sum = |of: fn(&crate::Tally) -> u64| node.status().shards.iter().map(of).sum::<u64>();
    until("all are counted", || {
        sum(|tally| tally.datagrams_received) == 42
    });
    assert!((1..42).contains(&sum(|tally| tally.datagrams_handed_over)));
    let status = node.status();
    assert_eq!((status.streams.open, status.streams.received), (1, 3));
    assert_eq!(status.udp.len(), 2);
    assert!(status.udp.iter().all(|udp| udp.kernel_dropped == 0));
    assert!(node.stop(PATIENCE).quiet);
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let memory = Memory::by_hand([1; 16]);
    let node = start(&memory, 2);
    let peer = Peer::new(&node, 0);
    peer.send(&request("PUBLISH", 1, "a"));
    peer.send(&request("PUBLISH", 1, "b"));
    until("both are submitted", || {
        memory.pending() > 0 && node.status().shards[1].commits == 2
    });
    // A request behind them that stores nothing is answered first.
    assert!(peer.ask("OPTIONS", 1, "").starts_with("shard-1"));
    assert!(memory.step());
    assert_eq!(peer.hear(), "stored");
    assert!(memory.step());
    assert_eq!(peer.hear(), "stored");
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| node.stop(PATIENCE));
        until("stopped", || {
            memory.step();
            stopping.is_finished()
        });
        assert!(stopping.join().unwrap().quiet);
    });
}

#[test]
fn the_next_life_gives_each_object_to_its_shard_whatever_their_number() {
    let memory = Memory::new([1; 16]);
    let node = start(&memory, 3);
    let peer = Peer::new(&node, 0);
    for shard in 0..3 {
        assert_eq!(
            peer.ask("PUBLISH", shard, &format!("from {shard}")),
            "stored"
        );
    }
    let stopped = node.stop(PATIENCE);
    assert!(stopped.quiet && stopped.store.is_ok());
    for (shards, lives) in [(1, 2), (3, 3)] {
        let node = start(&memory, shards);
        let peer = Peer::new(&node, 2);
        let mut objects: Vec<String> = (0..shards)
            .flat_map(|shard| {
                let heard = peer.ask("INFO", shard, "");
                let (starts, objects) = heard.split_once(' ').unwrap();
                assert_eq!(starts, lives.to_string());
                objects.split(',').map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        objects.sort();
        // The last commit of each shard of the first life; the second life's only shard wrote over one of them.
        assert_eq!(objects, ["end", "end", "end", "from 0", "from 1", "from 2"]);
        assert_eq!(
            node.status()
                .shards
                .iter()
                .map(|tally| tally.counts.publications)
                .sum::<usize>(),
            6
        );
        node.stop(PATIENCE);
    }
}

#[test]
fn an_object_that_is_not_understood_refuses_the_start_and_leaves_nothing() {
    let memory = Memory::new([1; 16]);
    let node = start(&memory, 2);
    assert_eq!(Peer::new(&node, 0).ask("PUBLISH", 1, "nonsense"), "stored");
    let bound = node.listeners().to_vec();
    node.stop(PATIENCE);
    let again = Settings {
        listeners: bound,
        ..settings()
    };
    let error = start_with(&memory, 2, again.clone()).unwrap_err();
    assert!(
        matches!(error, StartError::Restore { shard: 1, .. }),
        "{error}"
    );
    assert!(error.to_string().ends_with("not understood"), "{error}");
    // Its sockets and threads are gone: the same addresses can be had at once.
    let memory = Memory::new([1; 16]);
    start_with(&memory, 2, again).unwrap().stop(PATIENCE);
}

#[test]
fn an_address_that_somebody_has_is_named() {
    let node = start(&Memory::new([1; 16]), 2);
    let again = Settings {
        listeners: node.listeners().to_vec(),
        ..settings()
    };
    match start_with(&Memory::new([1; 16]), 2, again).unwrap_err() {
        StartError::Bind(error) => {
            assert_eq!(
                (error.address, error.reason),
                (node.listeners()[0].bound, BindReason::InUse)
            );
        }
        other => panic!("{other}"),
    }
    // And the node that has it is none the worse for it.
    assert!(
        Peer::new(&node, 0)
            .ask("OPTIONS", 0, "")
            .starts_with("shard-0")
    );
}

#[test]
fn a_peer_that_reads_nothing_delays_nobody() {
    let settings = Settings {
        limits: machine::Limits {
            connection_queue_bytes_max: 100_000,
            ..machine::Limits::default()
        },
        ..settings()
    };
    let node = start_with(&Memory::new([1; 16]), 1, settings).unwrap();
    let peer = Peer::new(&node, 0);
    let mut stalled = connect(&node);
    // Each asks for 140 kB of answers, and none is ever read.
    let mut asked = 0;
    while node.status().streams.stalled == 0 {
        asked += 1;
        assert!(asked < 10_000);
        if stalled.write_all(&request("NOTIFY", 0, "20000")).is_err() {
            break;
        }
        assert!(peer.ask("OPTIONS", 0, "").starts_with("shard-0"));
    }
    until("dropped", || node.status().streams.open == 0);
    assert_eq!(node.status().streams.stalled, 1);
}

#[test]
fn a_fan_out_leaves_whole_and_in_order_and_the_clock_keeps_running() {
    let node = start(&Memory::new([1; 16]), 2);
    let peer = Peer::new(&node, 0);
    // More than two batches; few enough for the smallest receive buffer of a client.
    peer.send(&request("NOTIFY", 1, "150"));
    for number in 0..150 {
        assert_eq!(peer.hear(), format!("{number:05}"));
    }
    assert_eq!(peer.ask("UPDATE", 0, ""), "late");
}

#[test]
fn names_are_looked_up_and_what_cannot_be_sent_is_reported() {
    let node = start(&Memory::new([1; 16]), 2);
    let peer = Peer::new(&node, 0);
    assert_eq!(peer.ask("REFER", 1, "localhost"), "localhost true");
    assert_eq!(peer.ask("REFER", 0, "localhost"), "localhost true");
    assert_eq!(peer.ask("REFER", 1, "[::1]"), "[::1] true");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    peer.send(&request("MESSAGE", 1, &nobody.to_string()));
    until("reported", || {
        peer.ask("PRACK", 1, "") == "[(42, NotConnected)]"
    });
}

#[test]
fn a_panic_fails_the_node_and_stopping_still_ends_it() {
    let node = start(&Memory::new([1; 16]), 2);
    let peer = Peer::new(&node, 0);
    assert_eq!(node.failure(), None);
    peer.send(&request("BYE", 1, ""));
    let why = node
        .runtime()
        .block_on(async { tokio::time::timeout(PATIENCE, node.failed()).await.unwrap() });
    assert_eq!(why, "the thread of shard 1 panicked");
    assert_eq!(node.failure(), Some(why));
    assert!(!node.stop(PATIENCE).quiet);
}

#[test]
fn a_store_that_fails_fails_the_node_and_nothing_is_promised() {
    let memory = Memory::by_hand([1; 16]);
    let node = start(&memory, 1);
    let peer = Peer::new(&node, 0);
    peer.send(&request("PUBLISH", 0, "a"));
    until("submitted", || memory.pending() > 0);
    memory.fail();
    until("failed", || node.failure().is_some());
    assert!(node.failure().unwrap().starts_with("store: "));
    peer.socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    assert!(peer.socket.recv_from(&mut [0; 16]).is_err());
    assert!(node.stop(PATIENCE).store.is_err());
}

#[test]
fn a_reload_reaches_every_shard_and_keeps_the_listeners() {
    let node = start(&Memory::new([1; 16]), 2);
    let peer = Peer::new(&node, 0);
    assert_eq!(
        node.reload(Settings {
            listeners: Vec::new(),
            ..settings()
        }),
        2
    );
    assert_eq!(node.reload(settings()), 3);
    assert_eq!(node.status().settings, 3);
    for shard in 0..2 {
        until("reloaded", || {
            peer.ask("OPTIONS", shard, "")
                .starts_with(&format!("shard-{shard} 3 "))
        });
    }
    assert_eq!(node.shared_settings().listeners, node.listeners());
}

#[test]
fn a_full_disk_is_told_to_every_shard() {
    let memory = Memory::new([1; 16]);
    let node = start(&memory, 2);
    let peer = Peer::new(&node, 0);
    memory.set_full(true);
    for shard in 0..2 {
        until("full", || {
            peer.ask("OPTIONS", shard, "").contains("Full(\"disk\")")
        });
    }
    assert_eq!(node.status().room, Room::Full("disk"));
    memory.set_full(false);
    until("plenty", || peer.ask("OPTIONS", 0, "").contains("Plenty"));
}

#[test]
fn a_stop_waits_for_what_is_owed_but_not_for_ever() {
    let node = start(&Memory::new([1; 16]), 2);
    let readiness = node.readiness().clone();
    let peer = Peer::new(&node, 0);
    assert_eq!(peer.ask("INVITE", 1, ""), "busy");
    assert!(node.drain(PATIENCE));
    assert_eq!(readiness.get(), Err("draining"));
    assert_eq!(peer.ask("INVITE", 1, ""), "busy");
    let stopped = node.stop(Duration::from_millis(30));
    assert!(!stopped.quiet && stopped.store.is_ok());
    assert_eq!(readiness.get(), Err("stopping"));
}

#[test]
fn a_crash_and_a_drop_without_stop_end_the_threads() {
    let memory = Memory::new([1; 16]);
    let node = start(&memory, 2);
    let bound = node.listeners().to_vec();
    memory.crash(&mut Random::new(1));
    drop(node);
    start_with(
        &memory,
        2,
        Settings {
            listeners: bound,
            ..settings()
        },
    )
    .unwrap()
    .stop(PATIENCE);
}

#[test]
fn stopping_from_a_task_of_another_runtime_is_allowed() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let node = start(&Memory::new([1; 16]), 1);
        assert!(node.stop(PATIENCE).quiet);
        drop(start(&Memory::new([1; 16]), 1));
    });
}
