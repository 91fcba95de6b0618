//! One shard in a world of its own: time, disk and network are plain values, and a crash is a method.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its part"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says so when its world is wrong"
)]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use machine::settings::{
    Domain, Handling, Identity, Listener, ListenerId, Presence, Settings, Transport,
};
use machine::{
    Batch, DocumentName, DocumentWrite, Instant, Key, Limits, Now, Op, StoredDocument, Wall,
};
use shard::{
    Cause, ConnectionId, Destination, DocumentAnswer, DocumentRequest, Event, Explained, Flow,
    Output, Shard, Start, Table, Told,
};
use xdm::Method;

/// A document that says open or closed, with a note.
pub fn pidf(basic: &str, note: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         entity=\"sip:alice@example.com\"><tuple id=\"phone\"><status><basic>{basic}</basic></status>\
         <note>{note}</note></tuple></presence>"
    )
}

pub const HASH_KEY: [u8; 16] = *b"a key for tests.";

/// A message that left.
#[derive(Clone, Debug)]
pub struct Sent {
    pub to: Destination,
    pub head: String,
    pub body: String,
    pub token: u64,
    pub cause: Cause,
}

impl Sent {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn need(&self, name: &str) -> &str {
        self.header(name)
            .unwrap_or_else(|| panic!("no {name} in\n{}", self.head))
    }

    pub fn status(&self) -> u16 {
        self.head
            .strip_prefix("SIP/2.0 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .unwrap_or(0)
    }

    pub fn is_notify(&self) -> bool {
        self.head.starts_with("NOTIFY ")
    }

    pub fn to_tag(&self) -> &str {
        self.need("To").rsplit_once("tag=").unwrap().1
    }

    pub fn cseq(&self) -> u32 {
        self.need("CSeq")
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }
}

pub struct World {
    pub shard: Shard,
    pub now: Now,
    pub settings: Settings,
    pub starts: u32,
    /// What the disk holds for certain.
    pub disk: BTreeMap<Key, Vec<Vec<u8>>>,
    /// Handed over, not durable yet.
    pub pending: Vec<Batch>,
    /// The documents that their store holds for certain.
    pub kept: BTreeMap<DocumentName, StoredDocument>,
    /// Handed to that store, not durable yet.
    pub keeping: VecDeque<DocumentWrite>,
    /// What requests for documents were answered.
    pub answered: Vec<DocumentAnswer>,
    /// Bodies as they left, where somebody compares them.
    pub bodies: Vec<bytes::Bytes>,
    pub keep_bodies: bool,
    /// Whether documents become durable at once.
    pub keeps: bool,
    /// Whether batches become durable at once.
    pub prompt: bool,
    pub sent: Vec<Sent>,
    pub resolves: Vec<String>,
    pub happened: Vec<(Cause, Event)>,
    /// What questions were answered.
    pub explained: Vec<(u64, Option<Box<Explained>>)>,
    /// Which shard of how many it is.
    pub place: (u16, u16),
    /// What it says to other shards, in order.
    pub told: VecDeque<(u16, Told)>,
    /// What every shard finds when it starts.
    pub table: Option<Arc<Table>>,
    /// By how much somebody set the wall clock.
    pub clock_error: i64,
    serial: u32,
}

pub fn settings() -> Settings {
    let presence = Presence {
        default_handling: Handling::Allow,
        notify_interval_ms_min: 0,
        publish_expires_seconds: machine::settings::Expires {
            min: 1,
            default: 3600,
            max: 86_400,
        },
        subscribe_expires_seconds: machine::settings::Expires {
            min: 1,
            default: 3600,
            max: 86_400,
        },
        ..Presence::default()
    };
    let listener = |transport| Listener {
        transport,
        bound: "127.0.0.1:5060".parse().unwrap(),
        advertise_host: "ps.example.com".to_owned(),
        advertise_port: 5060,
        aliases: Vec::new(),
        trusted_peers: None,
        nat: true,
    };
    Settings {
        number: 1,
        domains: vec![Domain {
            name: "example.com".to_owned(),
            aliases: Vec::new(),
            presence,
        }],
        listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
        identity: Identity {
            from_is_identity: true,
            ..Identity::default()
        },
        limits: Limits::default(),
        path_mtu: 0,
        xcap_roots: Vec::new(),
        hosts: BTreeMap::new(),
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(settings())
    }

    pub fn with(settings: Settings) -> Self {
        Self::at(settings, (0, 1))
    }

    /// One shard of several.
    pub fn at(settings: Settings, place: (u16, u16)) -> Self {
        let now = Now {
            monotonic: Instant::from_micros(1_000_000),
            wall: Wall::from_millis(1_790_000_000_000),
        };
        let shard = Self::start(&settings, place, 1, now);
        let mut world = Self {
            shard,
            now,
            settings,
            starts: 1,
            disk: BTreeMap::new(),
            pending: Vec::new(),
            kept: BTreeMap::new(),
            keeping: VecDeque::new(),
            answered: Vec::new(),
            bodies: Vec::new(),
            keep_bodies: false,
            keeps: true,
            prompt: true,
            sent: Vec::new(),
            resolves: Vec::new(),
            happened: Vec::new(),
            explained: Vec::new(),
            place,
            told: VecDeque::new(),
            table: None,
            clock_error: 0,
            serial: 0,
        };
        world.shard.restored(now);
        world.run();
        world
    }

    fn start(settings: &Settings, place: (u16, u16), starts: u32, now: Now) -> Shard {
        Shard::new(Start {
            index: place.0,
            shards: place.1,
            starts,
            hash_key: HASH_KEY,
            seed: u64::from(starts),
            settings: Arc::new(settings.clone()),
            unanswered_max: 4096,
            now,
        })
    }

    /// The process dies; what was not durable is lost. A new one starts on the same disk.
    pub fn crash(&mut self) {
        self.pending.clear();
        self.keeping.clear();
        self.told.clear();
        self.restart();
    }

    /// A clean stop, then a start.
    pub fn stop_and_start(&mut self) {
        self.shard.handle_stop(self.now);
        self.run();
        self.shard.end(self.now);
        self.run();
        self.restart();
    }

    fn restart(&mut self) {
        self.starts += 1;
        self.sent.clear();
        self.now.monotonic = self.now.monotonic + Duration::from_millis(100);
        self.shard = Self::start(&self.settings, self.place, self.starts, self.now);
        for (key, chain) in self.disk.clone() {
            self.shard.restore(key, chain).unwrap();
        }
        for (name, content) in self.kept.clone() {
            self.shard.restore_document(name, content);
        }
        if let Some(table) = self.table.take() {
            self.shard.restore_lists(table);
        }
        self.shard.restored(self.now);
        self.run();
    }

    /// Takes every output until there is none.
    pub fn run(&mut self) {
        loop {
            let mut busy = false;
            while let Some(output) = self.shard.poll_output() {
                busy = true;
                match output {
                    Output::Commit(batch) => self.pending.push(batch),
                    Output::Send(send) => {
                        self.sent.push(Sent {
                            to: send.to,
                            head: String::from_utf8(send.head).unwrap(),
                            body: String::from_utf8(send.body.to_vec()).unwrap(),
                            token: send.token,
                            cause: send.cause,
                        });
                        if self.keep_bodies {
                            self.bodies.push(send.body);
                        }
                    }
                    Output::Keep(write) => self.keeping.push_back(write),
                    Output::Explained(ticket, explained) => {
                        self.explained.push((ticket, explained));
                    }
                    Output::Tell(shard, told) => self.told.push_back((shard, told)),
                    Output::Answered(answer) => self.answered.push(answer),
                    Output::Resolve(name) => self.resolves.push(name),
                    Output::Record(cause, event) => self.happened.push((cause, event)),
                }
            }
            if self.prompt && !self.pending.is_empty() {
                self.make_durable();
                busy = true;
            }
            if self.keeps && !self.keeping.is_empty() {
                self.keep_next(Ok(()));
                busy = true;
            }
            if !busy {
                return;
            }
        }
    }

    /// The store of documents has done with the oldest change.
    pub fn keep_next(&mut self, outcome: Result<(), String>) {
        let write = self.keeping.pop_front().expect("a change to keep");
        if outcome.is_ok() {
            match write.content {
                Some(content) => drop(self.kept.insert(write.name, content)),
                None => drop(self.kept.remove(&write.name)),
            }
        }
        self.shard.handle_kept(self.now, write.sequence, outcome);
        if !self.keeps {
            self.run();
        }
    }

    /// A request for a document by its owner alice, whose answer is in `answered` once it is there.
    pub fn request_document(&mut self, method: Method, path: &str, body: &str) -> DocumentRequest {
        self.serial += 1;
        let address = xcap::Address::parse(path, None, xdm::usages::default_namespace).unwrap();
        let kind = match (&address.node, address.auid.as_str()) {
            (Some(node), _) if node.terminal == xml::Terminal::Element => xcap::ELEMENT,
            (Some(_), _) => xcap::ATTRIBUTE,
            (None, auid) => xdm::usages::find(auid).map_or("", |usage| usage.media_type),
        };
        let owner = match &address.tree {
            xcap::Tree::Global => None,
            xcap::Tree::User(xui) => Some(xui.clone()),
        };
        DocumentRequest {
            ticket: u64::from(self.serial),
            by: owner.clone().unwrap_or_default(),
            method,
            address,
            owner,
            content_type: Some(kind.to_owned()),
            if_match: None,
            if_none_match: None,
            body: body.as_bytes().to_vec(),
        }
    }

    /// Asks, and gives the answer if it is there already.
    pub fn ask(&mut self, request: DocumentRequest) -> Option<DocumentAnswer> {
        let ticket = request.ticket;
        self.shard.handle_document(self.now, request);
        self.run();
        self.answer_of(ticket)
    }

    /// The answer to a request.
    pub fn answer_of(&self, ticket: u64) -> Option<DocumentAnswer> {
        let mut answers = self.answered.iter();
        answers.find(|answer| answer.ticket == ticket).cloned()
    }

    pub fn get(&mut self, path: &str) -> DocumentAnswer {
        let request = self.request_document(Method::Get, path, "");
        self.ask(request).expect("an answer")
    }

    pub fn put(&mut self, path: &str, body: &str) -> DocumentAnswer {
        let request = self.request_document(Method::Put, path, body);
        self.ask(request).expect("an answer")
    }

    pub fn delete(&mut self, path: &str) -> DocumentAnswer {
        let request = self.request_document(Method::Delete, path, "");
        self.ask(request).expect("an answer")
    }

    /// The disk has everything that was handed over.
    pub fn make_durable(&mut self) {
        let mut newest = 0;
        for batch in std::mem::take(&mut self.pending) {
            newest = batch.sequence;
            for record in batch.records {
                match record.op {
                    Op::Put(bytes) => {
                        self.disk.insert(record.key, vec![bytes.to_vec()]);
                    }
                    Op::Append(bytes) => {
                        if let Some(chain) = self.disk.get_mut(&record.key) {
                            chain.push(bytes.to_vec());
                        }
                    }
                    Op::Remove => {
                        self.disk.remove(&record.key);
                    }
                }
            }
        }
        self.shard.handle_durable(self.now, newest);
        if !self.prompt {
            self.run();
        }
    }

    /// Time passes; every deadline on the way is met.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now.monotonic + by;
        while let Some(next) = self.shard.poll_timeout().filter(|next| *next <= end) {
            let step = next.since(self.now.monotonic);
            self.step(step.max(Duration::from_micros(1)));
            self.shard.handle_timeout(self.now);
            self.run();
        }
        self.step(end.since(self.now.monotonic));
    }

    fn step(&mut self, by: Duration) {
        self.now.monotonic = self.now.monotonic + by;
        let right = 1_790_000_000_000 + self.now.monotonic.as_micros() / 1000;
        self.now.wall = Wall::from_millis(right.saturating_add_signed(self.clock_error));
    }

    /// Somebody sets the wall clock.
    pub fn set_clock(&mut self, by_millis: i64) {
        self.clock_error += by_millis;
        self.step(Duration::ZERO);
    }

    /// The settings are changed and loaded again.
    pub fn reload(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.settings.number += 1;
        let settings = Arc::new(self.settings.clone());
        self.shard.handle_settings(self.now, settings);
        self.run();
    }

    pub fn udp(port: u16) -> Flow {
        Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            peer: SocketAddr::from(([127, 0, 0, 1], port)),
            connection: None,
        }
    }

    pub fn tcp(port: u16) -> Flow {
        Flow {
            transport: Transport::Tcp,
            listener: ListenerId(1),
            peer: SocketAddr::from(([127, 0, 0, 1], port)),
            connection: Some(ConnectionId(u64::from(port))),
        }
    }

    /// Sends raw text by a flow and returns what left because of it.
    pub fn say(&mut self, flow: &Flow, text: &str) -> Vec<Sent> {
        let before = self.sent.len();
        self.shard.handle_datagram(self.now, flow, text.as_bytes());
        self.run();
        self.sent[before..].to_vec()
    }

    pub fn serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    /// A PUBLISH for alice by herself; returns its text for repetition.
    pub fn publish_text(&mut self, fields: &str, body: &str) -> String {
        let serial = self.serial();
        let length = body.len();
        format!(
            "PUBLISH sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:6000;branch=z9hG4bKp{serial};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=src\r\nTo: <sip:alice@example.com>\r\n\
             Call-ID: pub{serial}\r\nCSeq: {serial} PUBLISH\r\nEvent: presence\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        )
    }

    pub fn publish(&mut self, fields: &str, body: &str) -> Sent {
        let text = self.publish_text(fields, body);
        self.say(&Self::udp(6000), &text)
            .into_iter()
            .find(|sent| sent.status() != 0)
            .expect("an answer")
    }

    /// Publishes a whole document and gives its entity-tag.
    pub fn publish_open(&mut self, note: &str) -> String {
        let answer = self.publish(
            "Content-Type: application/pidf+xml\r\nExpires: 600\r\n",
            &pidf("open", note),
        );
        assert_eq!(answer.status(), 200, "{}", answer.head);
        answer.need("SIP-ETag").to_owned()
    }

    pub fn subscribe_text(&mut self, watcher: &str, port: u16, fields: &str) -> String {
        let serial = self.serial();
        format!(
            "SUBSCRIBE sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKs{serial};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{watcher}@example.com>;tag=w{watcher}\r\nTo: <sip:alice@example.com>\r\n\
             Call-ID: sub-{watcher}\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:{watcher}@127.0.0.1:{port}>\r\n\
             Event: presence\r\n{fields}Content-Length: 0\r\n\r\n"
        )
    }

    /// Subscribes, expects the answer and the first NOTIFY, and leaves the NOTIFY unanswered.
    pub fn subscribe(&mut self, watcher: &str, port: u16, fields: &str) -> (Sent, Sent) {
        let text = self.subscribe_text(watcher, port, fields);
        let sent = self.say(&Self::udp(port), &text);
        assert_eq!(sent.len(), 2, "an answer and a NOTIFY, not {sent:#?}");
        assert!(
            sent[0].status() / 100 == 2 && sent[1].is_notify(),
            "{sent:#?}"
        );
        (sent[0].clone(), sent[1].clone())
    }

    /// A SUBSCRIBE within the dialog that `answer` made.
    pub fn resubscribe_text(
        &mut self,
        watcher: &str,
        port: u16,
        answer: &Sent,
        cseq: u32,
        fields: &str,
    ) -> String {
        let serial = self.serial();
        let tag = answer.to_tag();
        format!(
            "SUBSCRIBE sip:ps.example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKr{serial};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{watcher}@example.com>;tag=w{watcher}\r\nTo: <sip:alice@example.com>;tag={tag}\r\n\
             Call-ID: sub-{watcher}\r\nCSeq: {cseq} SUBSCRIBE\r\nContact: <sip:{watcher}@127.0.0.1:{port}>\r\n\
             Event: presence\r\n{fields}Content-Length: 0\r\n\r\n"
        )
    }

    /// Answers a NOTIFY and returns what left because of it.
    pub fn respond(&mut self, notify: &Sent, status: u16, fields: &str) -> Vec<Sent> {
        let text = self.answer_text(notify, status, fields);
        self.say(&Self::udp(9), &text)
    }

    /// An answer to a NOTIFY.
    pub fn answer_text(&self, notify: &Sent, status: u16, fields: &str) -> String {
        let (via, from, to) = (notify.need("Via"), notify.need("From"), notify.need("To"));
        let (call_id, cseq) = (notify.need("Call-ID"), notify.need("CSeq"));
        format!(
            "SIP/2.0 {status} Whatever\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq}\r\n{fields}Content-Length: 0\r\n\r\n"
        )
    }

    pub fn ok(&mut self, notify: &Sent) -> Vec<Sent> {
        self.respond(notify, 200, "")
    }

    /// Subscribes and answers the first NOTIFY.
    pub fn watch(&mut self, watcher: &str, port: u16, fields: &str) -> (Sent, Sent) {
        let (answer, notify) = self.subscribe(watcher, port, fields);
        assert!(self.ok(&notify).is_empty());
        (answer, notify)
    }

    /// NOTIFYs that left since `from`.
    pub fn notifies(&self, from: usize) -> Vec<Sent> {
        self.sent[from..]
            .iter()
            .filter(|sent| sent.is_notify())
            .cloned()
            .collect()
    }
}
