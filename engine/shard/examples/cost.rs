//! What one operation costs a shard, without sockets, disk or threads: CPU time as it prints, instructions and allocations
//! under `valgrind --tool=callgrind`. Counts of instructions don't shake when others use the machine.
//!
//! `cost subscribe|refresh|fetch|modify|fan-out COUNT [BEFORE]`: so many, after so many subscriptions were there before.
//! `cost rules COUNT [WATCHERS]`: one presentity changes her rules so often, each time for all of so many watchers, whom they name.
//! `cost decide RULES [WATCHERS] [many]`: likewise a few times with so many rules, each of which names one watcher, or means everybody.
//! `cost insert COUNT [NAMES]`: so many elements that fit nowhere are put into a list of nearly 256 KiB, whose children have two names by
//! turns, or so many.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use machine::settings::{
    Domain, Expires, Handling, Identity, Listener, ListenerId, Presence, Settings, Transport,
};
use machine::{Instant, Limits, Now, Wall};
use shard::{DocumentRequest, Flow, Output, Shard, Start};

const PRESENTITIES: usize = 1000;
/// Datagrams that one turn of a busy node reads.
const BATCH: usize = 64;
/// Changes of many rules.
const DECIDED: usize = 10;
/// Of a list that is nearly as large as a document may be.
const ENTRIES: usize = 900;

struct World {
    shard: Shard,
    now: Now,
    flow: Flow,
    /// Not answered yet.
    notifies: Vec<Vec<u8>>,
    tags: Vec<String>,
    notified: usize,
    bytes: usize,
    /// Requests about documents.
    refused: usize,
}

impl World {
    fn new() -> Self {
        let now = Now {
            monotonic: Instant::from_micros(1_000_000),
            wall: Wall::from_millis(1_764_000_000_000),
        };
        let peer: SocketAddr = ([127, 0, 0, 1], 40_000).into();
        Self {
            shard: Shard::new(Start {
                index: 0,
                shards: 1,
                starts: 1,
                hash_key: *b"a key for costs.",
                seed: 1,
                settings: Arc::new(settings()),
                unanswered_max: 1 << 20,
                now,
            }),
            now,
            flow: Flow {
                transport: Transport::Udp,
                listener: ListenerId(0),
                peer,
                connection: None,
            },
            notifies: Vec::new(),
            tags: Vec::new(),
            notified: 0,
            bytes: 0,
            refused: 0,
        }
    }

    /// Messages in turns, and whatever follows from them until all is quiet.
    fn run(&mut self, messages: &[Vec<u8>]) {
        for batch in messages.chunks(BATCH) {
            self.turn(batch);
        }
        while !self.notifies.is_empty() {
            self.turn(&[]);
        }
    }

    fn turn(&mut self, batch: &[Vec<u8>]) {
        self.now.monotonic = self.now.monotonic + Duration::from_micros(300);
        for notify in std::mem::take(&mut self.notifies) {
            let answer = answer_to(&notify);
            self.shard.give_back(notify);
            self.shard.handle_datagram(self.now, &self.flow, &answer);
        }
        for message in batch {
            self.shard.handle_datagram(self.now, &self.flow, message);
        }
        if self
            .shard
            .poll_timeout()
            .is_some_and(|at| at <= self.now.monotonic)
        {
            self.shard.handle_timeout(self.now);
        }
        let (mut durable, mut kept) = (0, 0);
        loop {
            while let Some(output) = self.shard.poll_output() {
                match output {
                    Output::Commit(batch) => durable = batch.sequence,
                    Output::Keep(write) => kept = write.sequence,
                    Output::Send(send) => {
                        self.bytes += send.head.len() + send.body.len();
                        if send.head.starts_with(b"NOTIFY") {
                            self.notified += 1;
                            self.notifies.push(send.head);
                        } else {
                            self.tags.extend(tag_of(&send.head));
                            self.shard.give_back(send.head);
                        }
                    }
                    Output::Answered(answer) if answer.status >= 300 => self.refused += 1,
                    _ => {}
                }
            }
            if kept > 0 {
                let kept = std::mem::take(&mut kept);
                self.shard.handle_kept(self.now, kept, Ok(()));
                continue;
            }
            if durable == 0 {
                return;
            }
            self.shard
                .handle_durable(self.now, std::mem::take(&mut durable));
        }
    }
}

/// One rule that gives all of so many watchers the same.
fn one_rule(number: usize, watchers: usize) -> Option<DocumentRequest> {
    let shows = match number % 2 {
        0 => {
            "<p:provide-services><p:all-services/></p:provide-services><p:provide-all-attributes/>"
        }
        _ => "<p:provide-services><p:all-services/></p:provide-services>",
    };
    rules(&rule("r", &ones(0..watchers), shows))
}

/// So many rules, each of which names one watcher or means everybody.
fn many_rules(number: usize, count: usize, mean_everybody: bool) -> Option<DocumentRequest> {
    // A thousand of the longer ones would be too large a document.
    let shows = match number % 2 {
        0 => "<p:provide-services><p:all-services/></p:provide-services>",
        _ => "",
    };
    let all: String = (0..count)
        .map(|watcher| {
            let who = match mean_everybody {
                true => "<many/>".to_owned(),
                false => ones(watcher..watcher + 1),
            };
            rule(&format!("r{watcher}"), &who, shows)
        })
        .collect();
    rules(&all)
}

fn ones(watchers: Range<usize>) -> String {
    watchers
        .map(|watcher| format!("<one id=\"sip:wab12{watcher}@bench.example\"/>"))
        .collect()
}

fn rule(id: &str, who: &str, shows: &str) -> String {
    format!(
        "<rule id=\"{id}\"><conditions><identity>{who}</identity></conditions>\
         <actions><p:sub-handling>allow</p:sub-handling></actions><transformations>{shows}</transformations></rule>"
    )
}

fn rules(all: &str) -> Option<DocumentRequest> {
    let body = format!(
        "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:p=\"urn:ietf:params:xml:ns:pres-rules\">{all}</ruleset>"
    );
    put("pres-rules", "", "application/auth-policy+xml", body)
}

/// Puts a document, or an element below it.
fn put(auid: &str, node: &str, media_type: &str, body: String) -> Option<DocumentRequest> {
    let owner = "sip:pab120@bench.example";
    let path = format!("{auid}/users/{owner}/index{node}");
    Some(DocumentRequest {
        ticket: 0,
        by: owner.to_owned(),
        method: xdm::Method::Put,
        address: xcap::Address::parse(&path, None, xdm::usages::default_namespace).ok()?,
        owner: Some(owner.to_owned()),
        content_type: Some(media_type.to_owned()),
        if_match: None,
        if_none_match: None,
        body: body.into_bytes(),
    })
}

fn insert(world: &mut World, count: usize, names: usize) {
    let name = "Nothing but length. ".repeat(10);
    // Kinds that take turns: nowhere do many of one name stand together.
    let entries: String = (0..ENTRIES)
        .map(|at| match at % 2 {
            _ if names > 0 => format!("<x:n{} xmlns:x=\"urn:x\">{name}</x:n{0}>", at % names),
            0 => format!(
                "<entry uri=\"sip:{at}@bench.example\"><display-name>{name}</display-name></entry>"
            ),
            _ => format!("<list name=\"{at}\"><display-name>{name}</display-name></list>"),
        })
        .collect();
    let whole = format!(
        "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list name=\"all\">{entries}</list></resource-lists>"
    );
    let bytes = whole.len();
    let whole = put(
        "resource-lists",
        "",
        "application/resource-lists+xml",
        whole,
    );
    let nowhere = put(
        "resource-lists",
        "/~~/resource-lists/list/external",
        "application/xcap-el+xml",
        "<external>nothing may stand here</external>".to_owned(),
    );
    if let Some(request) = whole {
        world.shard.handle_document(world.now, request);
        world.turn(&[]);
    }
    let stored = world.refused == 0;
    let begun = cpu_time();
    for request in nowhere.iter().cycle().take(count) {
        world.shard.handle_document(world.now, request.clone());
        world.turn(&[]);
    }
    let millis = (cpu_time() - begun).as_secs_f64() * 1e3;
    println!(
        "insert: {count} elements into {bytes} bytes (stored: {stored}), {} refused, {:.2} ms each",
        world.refused,
        millis / count as f64
    );
}

fn change_rules(world: &mut World, requests: &[DocumentRequest], watchers: usize) {
    let there: Vec<Vec<u8>> = (0..watchers)
        .map(|watcher| subscribe(0, watcher * PRESENTITIES, 1, None, 3600))
        .collect();
    world.run(&there);
    world.notified = 0;
    let (mut checking, mut deciding) = (Duration::ZERO, Duration::ZERO);
    let begun = cpu_time();
    for request in requests {
        let asked = cpu_time();
        world.shard.handle_document(world.now, request.clone());
        let checked = cpu_time();
        checking += checked - asked;
        // Ends before the first NOTIFY is answered.
        world.turn(&[]);
        deciding += cpu_time() - checked;
        world.run(&[]);
    }
    let each = |spent: Duration| spent.as_secs_f64() * 1e3 / requests.len() as f64;
    println!(
        "rules: {} changes, {} refused, for {watchers} watchers, {} NOTIFYs, {:.2} ms each: {:.2} until it is checked, {:.2} until all are \
         decided and told, then what the watchers answer, their share included",
        requests.len(),
        world.refused,
        world.notified,
        each(cpu_time() - begun),
        each(checking),
        each(deciding),
    );
}

fn settings() -> Settings {
    let expires = Expires {
        min: 1,
        default: 3600,
        max: 86_400,
    };
    Settings {
        number: 1,
        domains: vec![Domain {
            name: "bench.example".to_owned(),
            aliases: Vec::new(),
            presence: Presence {
                default_handling: Handling::Allow,
                notify_interval_ms_min: 0,
                publish_expires_seconds: expires,
                subscribe_expires_seconds: expires,
                ..Presence::default()
            },
        }],
        listeners: vec![Listener {
            transport: Transport::Udp,
            bound: ([127, 0, 0, 1], 5060).into(),
            advertise_host: "127.0.0.1".to_owned(),
            advertise_port: 5060,
            aliases: Vec::new(),
            trusted_peers: None,
            nat: true,
        }],
        identity: Identity {
            from_is_identity: true,
            ..Identity::default()
        },
        limits: Limits {
            transactions_max: 50_000_000,
            subscriptions_per_watcher_max: 10_000_000,
            subscriptions_per_presentity_max: 10_000_000,
            ..Limits::default()
        },
        path_mtu: 0,
        xcap_roots: Vec::new(),
        hosts: Default::default(),
    }
}

fn head(method: &str, user: &str, from: &str, to_tag: &str, call: usize, cseq: usize) -> String {
    format!(
        "{method} sip:{user}@bench.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:40000;branch=z9hG4bK{call:08x}.{cseq:08x};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:{from}@bench.example>;tag=ab12-{call:024x}\r\n\
         To: <sip:{user}@bench.example>{to_tag}\r\n\
         Call-ID: ab12-{call:024x}\r\n\
         CSeq: {cseq} {method}\r\n"
    )
}

fn subscribe(
    presentity: usize,
    call: usize,
    cseq: usize,
    tag: Option<&str>,
    expires: u32,
) -> Vec<u8> {
    let (user, from) = (
        format!("pab12{presentity}"),
        format!("wab12{}", call / PRESENTITIES),
    );
    let to_tag = tag.map_or(String::new(), |tag| format!(";tag={tag}"));
    let head = head("SUBSCRIBE", &user, &from, &to_tag, call, cseq);
    format!(
        "{head}Contact: <sip:s{call}-1@127.0.0.1:40000>\r\nEvent: presence\r\n\
         Accept: application/pidf+xml\r\nExpires: {expires}\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn publish(presentity: usize, cseq: usize, etag: Option<&str>) -> Vec<u8> {
    let user = format!("pab12{presentity}");
    let head = head("PUBLISH", &user, &user, "", 1 << 40 | presentity, cseq);
    let aor = format!("sip:{user}@bench.example");
    let mut body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{aor}\">\n\
         <tuple id=\"bench\"><status><basic>open</basic></status>\n\
         <contact priority=\"0.8\">{aor}</contact>\n\
         <note>bench-state-{presentity:08}-{cseq:08}</note></tuple>\n<note>"
    );
    while body.len() < 590 {
        body.push_str("Nothing but length. ");
    }
    body.push_str("</note>\n</presence>\n");
    let if_match = etag.map_or(String::new(), |etag| format!("SIP-If-Match: {etag}\r\n"));
    format!(
        "{head}Event: presence\r\nExpires: 3600\r\n{if_match}\
         Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The line of a header field.
fn line<'h>(head: &'h str, name: &str) -> &'h str {
    head.lines()
        .find(|line| line.starts_with(name))
        .unwrap_or_default()
}

/// What a watcher answers.
fn answer_to(notify: &[u8]) -> Vec<u8> {
    let head = std::str::from_utf8(notify).unwrap_or_default();
    let mut answer = "SIP/2.0 200 OK\r\n".to_owned();
    for name in ["Via:", "From:", "To:", "Call-ID:", "CSeq:"] {
        answer.push_str(line(head, name));
        answer.push_str("\r\n");
    }
    answer.push_str("Content-Length: 0\r\n\r\n");
    answer.into_bytes()
}

/// The entity-tag, or our tag of the dialog.
fn tag_of(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let etag = line(head, "SIP-ETag:").split_once(": ");
    let tag = line(head, "To:").rsplit_once("tag=");
    Some(etag.or(tag)?.1.to_owned())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| {
        let text = arguments.get(at);
        text.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let operation = arguments.first().map_or("subscribe", String::as_str);
    let (count, before) = (number(1, 10_000), number(2, 0));
    let mut world = World::new();
    if operation == "insert" {
        return insert(&mut world, count, before);
    }
    if matches!(operation, "rules" | "decide") {
        world.run(&[publish(0, 1, None)]);
        let watchers = before.max(1);
        let mean_everybody = arguments.get(3).is_some_and(|who| who == "many");
        let requests: Vec<DocumentRequest> = match operation {
            "rules" => (0..count).filter_map(|at| one_rule(at, watchers)).collect(),
            _ => (0..DECIDED)
                .filter_map(|at| many_rules(at, count, mean_everybody))
                .collect(),
        };
        return change_rules(&mut world, &requests, watchers);
    }
    let initial: Vec<Vec<u8>> = (0..PRESENTITIES).map(|p| publish(p, 1, None)).collect();
    world.run(&initial);
    let etags = std::mem::take(&mut world.tags);
    let watched = match operation {
        "fan-out" => before.max(PRESENTITIES * 10),
        "refresh" => before.max(count),
        _ => before,
    };
    let there: Vec<Vec<u8>> = (0..watched)
        .map(|call| subscribe(call % PRESENTITIES, call, 1, None, 3600))
        .collect();
    world.run(&there);
    drop(there);
    let tags = std::mem::take(&mut world.tags);
    let messages: Vec<Vec<u8>> = (0..count)
        .map(|at| match operation {
            "refresh" => subscribe(
                at % PRESENTITIES,
                at,
                2,
                tags.get(at).map(String::as_str),
                3600,
            ),
            "fetch" => subscribe(at % PRESENTITIES, watched + at, 1, None, 0),
            "modify" | "fan-out" => {
                let presentity = at % PRESENTITIES;
                // Without knowing the next entity-tag only the first round is a change.
                let etag = etags.get(at).map(String::as_str);
                publish(presentity, 2 + at / PRESENTITIES, etag)
            }
            _ => subscribe(at % PRESENTITIES, watched + at, 1, None, 3600),
        })
        .collect();
    (world.notified, world.bytes) = (0, 0);
    let begun = cpu_time();
    world.run(&messages);
    let micros = (cpu_time() - begun).as_secs_f64() * 1e6;
    println!(
        "{operation}: {count} operations, {} NOTIFYs, {} bytes sent, {:.2} us each, the watcher's share included",
        world.notified,
        world.bytes,
        micros / count as f64
    );
}

/// User time of this process.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
