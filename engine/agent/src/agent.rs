//! The agent: commands and messages in, messages and events out.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use events::publisher::{self, Operation, Publisher};
use events::subscriber::{self, Subscriber};
use machine::{Instant, Random};
use sip::{Message, Name, Uri, reason_phrase};
use transaction::{ClientDue, NonInviteClient, ServerTransactions, Told, TransactionKey};

use crate::dialog::Dialog;
use crate::event::{End, Event};
use crate::hop::{self, DATAGRAM_BYTES_MAX, Hop, Refusals, Transport};
use crate::login::{Challenges, Login};
use crate::request::{Draft, Pending, Publication};
use crate::watchers::Watchers;

/// The package that is published.
pub(crate) const PACKAGE: &str = "presence";
/// Its template (RFC 3857).
pub(crate) const WINFO: &str = "presence.winfo";
/// Both.
pub(crate) const ALLOW_EVENTS: &str = "presence, presence.winfo";
/// What a NOTIFY of presence may carry; the second is the name of an old draft.
pub(crate) const NOTIFY_TYPES: [&str; 2] = ["application/pidf+xml", "application/cpim-pidf+xml"];
/// What a NOTIFY of its template may carry.
pub(crate) const WINFO_TYPES: [&str; 1] = [documents::watcherinfo::MEDIA_TYPE];
/// Requests of others that are remembered for 32 s: 4096 × 600 B = 2.5 MB. Beyond it: 503.
const TRANSACTIONS_MAX: usize = 4096;

/// Who we are and where the server is.
#[derive(Clone, Debug)]
pub struct Start {
    /// Our address of record, a sip, sips or tel URI: From of all that we send.
    pub identity: String,
    /// Where requests go that are in no dialog.
    pub server: Hop,
    /// The address and port at which peers reach us, by UDP and by TCP.
    pub local: SocketAddr,
    /// The value of User-Agent.
    pub user_agent: String,
    /// For tags, branches and the spread of waits.
    pub seed: u64,
    /// What proves who we are, to whoever asks.
    pub login: Option<Login>,
}

/// Names one publication or subscription of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsageId(pub u32);

/// What the agent wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes. A failure comes back by `handle_unreachable`.
    Send {
        /// By what and to where. Over a stream: by the connection with that peer, else a new one.
        hop: Hop,
        /// One message.
        bytes: Vec<u8>,
    },
    /// Show this.
    Show(Event),
}

/// One user's agent.
#[derive(Debug)]
pub struct Agent {
    pub(crate) start: Start,
    pub(crate) random: Random,
    contact_user: String,
    pub(crate) usages: BTreeMap<UsageId, Usage>,
    next_usage: u32,
    /// One per publication or subscription at most.
    pending: Vec<Pending>,
    pub(crate) answered: ServerTransactions,
    /// Where the answers to INVITEs go, for Timer G.
    pub(crate) inviters: BTreeMap<TransactionKey, Hop>,
    refusals: Refusals,
    pub(crate) challenges: Challenges,
    pub(crate) outputs: VecDeque<Output>,
}

#[derive(Debug)]
pub(crate) enum Usage {
    Watch(Watch),
    Source(Source),
}

/// A subscription or a fetch.
#[derive(Debug)]
pub(crate) struct Watch {
    resource: String,
    pub(crate) subscriber: Subscriber,
    pub(crate) dialog: Dialog,
    /// Who watches is watched, instead of presence.
    pub(crate) watchers: Option<Watchers>,
    /// The last response that was not a success.
    refusal: (u16, String),
}

impl Watch {
    pub(crate) const fn package(&self) -> &'static str {
        match self.watchers {
            Some(_) => WINFO,
            None => PACKAGE,
        }
    }

    pub(crate) const fn types(&self) -> &'static [&'static str] {
        match self.watchers {
            Some(_) => &WINFO_TYPES,
            None => &NOTIFY_TYPES,
        }
    }
}

/// A publication.
#[derive(Debug)]
pub(crate) struct Source {
    resource: String,
    publisher: Publisher,
    content_type: String,
    call_id: String,
    tag: String,
    cseq: u32,
    refusal: (u16, String),
}

impl Source {
    pub(crate) const fn next_cseq(&mut self) -> u32 {
        self.cseq = self.cseq.wrapping_add(1);
        self.cseq
    }
}

impl Agent {
    /// An agent that does nothing yet.
    pub fn new(start: Start) -> Self {
        let mut random = Random::new(start.seed);
        let mut hash_key = [0; 16];
        for half in hash_key.chunks_mut(8) {
            half.copy_from_slice(&random.next_u64().to_be_bytes());
        }
        let contact_user = Uri::parse(&start.identity)
            .ok()
            .and_then(|uri| uri.user)
            .unwrap_or("agent")
            .to_owned();
        Self {
            random,
            contact_user,
            start,
            usages: BTreeMap::new(),
            next_usage: 0,
            pending: Vec::new(),
            answered: ServerTransactions::new(hash_key, TRANSACTIONS_MAX),
            inviters: BTreeMap::new(),
            refusals: Refusals::default(),
            challenges: Challenges::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Subscribes to the presence of `resource` for `expires` seconds at a time; 0 fetches once.
    pub fn watch(&mut self, now: Instant, resource: &str, expires: u32) -> UsageId {
        self.add_watch(now, resource, expires, None)
    }

    /// Subscribes to who watches `resource` (RFC 3857).
    pub fn watch_watchers(&mut self, now: Instant, resource: &str, expires: u32) -> UsageId {
        self.add_watch(now, resource, expires, Some(Watchers::default()))
    }

    fn add_watch(
        &mut self,
        now: Instant,
        resource: &str,
        expires: u32,
        watchers: Option<Watchers>,
    ) -> UsageId {
        let mut subscriber = Subscriber::new(expires, self.fork_random());
        subscriber.start(now);
        let dialog = self.new_dialog(subscriber.dialog());
        let refusal = (0, String::new());
        self.add(
            now,
            Usage::Watch(Watch {
                resource: resource.to_owned(),
                subscriber,
                dialog,
                watchers,
                refusal,
            }),
        )
    }

    /// Publishes, and keeps it published.
    pub fn publish(&mut self, now: Instant, publication: Publication) -> UsageId {
        let random = self.fork_random();
        let mut publisher = match &publication.if_match {
            Some(tag) => Publisher::with_entity_tag(
                publication.expires,
                tag,
                publication.body.clone(),
                random,
            ),
            None => Publisher::new(
                publication.expires,
                publication.body.clone().unwrap_or_default(),
                random,
            ),
        };
        publisher.start(now);
        self.add_source(
            now,
            publication.resource,
            publisher,
            publication.content_type,
        )
    }

    /// Removes a publication that was made before.
    pub fn remove(&mut self, now: Instant, resource: &str, entity_tag: &str) -> UsageId {
        let mut publisher = Publisher::with_entity_tag(0, entity_tag, None, self.fork_random());
        publisher.remove(now);
        self.add_source(now, resource.to_owned(), publisher, String::new())
    }

    /// What a publication says is another now.
    pub fn change(&mut self, now: Instant, usage: UsageId, body: Bytes) {
        if let Some(Usage::Source(source)) = self.usages.get_mut(&usage) {
            source.publisher.change(now, body);
        }
        self.drive(now, usage);
    }

    /// Ends a subscription, or removes a publication. It ends within 4 s, whoever answers.
    pub fn stop(&mut self, now: Instant, usage: UsageId) {
        match self.usages.get_mut(&usage) {
            Some(Usage::Watch(watch)) => watch.subscriber.stop(now),
            Some(Usage::Source(source)) => source.publisher.stop(now),
            None => {}
        }
        self.drive(now, usage);
    }

    /// Ends everything.
    pub fn stop_all(&mut self, now: Instant) {
        for usage in self.usages.keys().copied().collect::<Vec<_>>() {
            self.stop(now, usage);
        }
    }

    /// Leaves a publication to expire, a subscription to lapse: nothing more is sent or told about it.
    pub fn leave(&mut self, usage: UsageId) {
        self.usages.remove(&usage);
        self.pending.retain(|pending| pending.usage != usage);
    }

    /// Whether nothing is published or watched any more.
    pub fn is_idle(&self) -> bool {
        self.usages.is_empty()
    }

    /// How many entries there are of everything that is remembered: none is left when nothing is wanted any more.
    pub fn remembered(&self) -> usize {
        let requests = self.pending.len() + self.answered.len() + self.inviters.len();
        self.usages.len() + requests + self.refusals.len() + self.outputs.len()
    }

    /// A datagram or one framed message. `from`: its source, or the peer of its connection.
    pub fn handle_message(&mut self, now: Instant, from: Hop, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else {
            return;
        };
        if message.is_request() {
            self.handle_request(now, from, &message);
        } else {
            self.handle_response(now, from, &message);
        }
    }

    /// What was sent there did not arrive: no connection, a connection that broke, an ICMP error.
    pub fn handle_unreachable(&mut self, now: Instant, hop: Hop) {
        for index in (0..self.pending.len()).rev() {
            let Some(pending) = self.pending.get_mut(index) else {
                continue;
            };
            if pending.hop != hop || !pending.machine.handle_transport_failure() {
                continue;
            }
            let pending = self.pending.swap_remove(index);
            if pending.for_its_size {
                // RFC 3261 §18.1.1: the peer may know no TCP; better large than not at all.
                self.refusals.remember(now, hop.address);
                let hop = Hop {
                    transport: Transport::Udp,
                    ..hop
                };
                self.send(now, pending.usage, pending.dialog, pending.draft, hop);
            } else {
                self.no_answer(now, &pending);
            }
        }
    }

    /// What is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.answered.handle_timeout(now);
        self.refusals.handle_timeout(now);
        while let Some((key, bytes)) = self.answered.poll_retransmission() {
            if let Some(hop) = self.inviters.get(&key) {
                self.outputs.push_back(Output::Send {
                    hop: *hop,
                    bytes: bytes.to_vec(),
                });
            }
        }
        self.inviters.retain(|key, _| self.answered.contains(*key));
        // From the end: what is sent meanwhile is added there, and not due yet.
        for index in (0..self.pending.len()).rev() {
            let Some(pending) = self.pending.get_mut(index) else {
                continue;
            };
            match pending.machine.handle_timeout(now) {
                ClientDue::Retransmit => {
                    self.outputs.push_back(Output::Send {
                        hop: pending.hop,
                        bytes: pending.bytes.clone(),
                    });
                }
                ClientDue::TimedOut => {
                    let pending = self.pending.swap_remove(index);
                    self.no_answer(now, &pending);
                }
                ClientDue::Ended | ClientDue::Nothing => {}
            }
        }
        for usage in self.usages.keys().copied().collect::<Vec<_>>() {
            match self.usages.get_mut(&usage) {
                Some(Usage::Watch(watch)) => watch.subscriber.handle_timeout(now),
                Some(Usage::Source(source)) => source.publisher.handle_timeout(now),
                None => {}
            }
            self.drive(now, usage);
        }
    }

    /// When `handle_timeout` should be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let transactions = self
            .pending
            .iter()
            .filter_map(|pending| pending.machine.poll_timeout());
        let usages = self.usages.values().filter_map(|usage| match usage {
            Usage::Watch(watch) => watch.subscriber.poll_timeout(),
            Usage::Source(source) => source.publisher.poll_timeout(),
        });
        transactions
            .chain(usages)
            .chain(self.answered.poll_timeout())
            .chain(self.refusals.poll_timeout())
            .min()
    }

    /// What to do next. Call until `None` after each input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn add_source(
        &mut self,
        now: Instant,
        resource: String,
        publisher: Publisher,
        content_type: String,
    ) -> UsageId {
        let (call_id, tag) = (self.new_call_id(), self.new_token());
        let refusal = (0, String::new());
        let source = Source {
            resource,
            publisher,
            content_type,
            call_id,
            tag,
            cseq: 0,
            refusal,
        };
        self.add(now, Usage::Source(source))
    }

    fn add(&mut self, now: Instant, usage: Usage) -> UsageId {
        self.next_usage += 1;
        let id = UsageId(self.next_usage);
        self.usages.insert(id, usage);
        self.drive(now, id);
        id
    }

    fn handle_response(&mut self, now: Instant, from: Hop, response: &Message<'_>) {
        let (Ok(essentials), Some(status)) = (response.essentials(), response.status()) else {
            return;
        };
        // RFC 3261 §18.1.2: a response with a second Via is meant for a proxy.
        if response.vias().nth(1).is_some() {
            return;
        }
        let method = essentials.cseq.method.name();
        let matches = |pending: &Pending| {
            essentials.via.branch == Some(pending.branch.as_str()) && pending.draft.method == method
        };
        let Some(index) = self.pending.iter().position(matches) else {
            return;
        };
        let told = self
            .pending
            .get_mut(index)
            .map(|pending| pending.machine.handle_response(now, status));
        if told != Some(Told::Final) {
            return;
        }
        let pending = self.pending.swap_remove(index);
        let Some(pending) = self.prove_again(now, pending, response) else {
            return;
        };
        let refusal = (status, response.reason().to_owned());
        let expires = response.expires().ok().flatten();
        let min_expires = response.min_expires().ok().flatten();
        let retry_after = response.retry_after().ok().flatten();
        match self.usages.get_mut(&pending.usage) {
            Some(Usage::Watch(watch)) => {
                watch.refusal = refusal;
                if (200..300).contains(&status) && pending.dialog == watch.dialog.number {
                    watch.dialog.heard_success(response, from);
                    let event = Event::Accepted {
                        usage: pending.usage,
                        status,
                        expires,
                    };
                    self.outputs.push_back(Output::Show(event));
                }
                let remote_tag = essentials.to.tag();
                let fields = subscriber::Response {
                    status,
                    remote_tag,
                    expires,
                    min_expires,
                    retry_after,
                };
                watch
                    .subscriber
                    .handle_response(now, pending.dialog, &fields);
            }
            Some(Usage::Source(source)) => {
                source.refusal = refusal;
                let entity_tag = response.sip_etag();
                let fields = publisher::Response {
                    status,
                    entity_tag,
                    expires,
                    min_expires,
                    retry_after,
                };
                source.publisher.handle_response(now, &fields);
            }
            None => {}
        }
        self.drive_answered(now, pending.usage, pending.sent_at);
    }

    fn no_answer(&mut self, now: Instant, pending: &Pending) {
        match self.usages.get_mut(&pending.usage) {
            Some(Usage::Watch(watch)) => watch.subscriber.handle_no_answer(now, pending.dialog),
            Some(Usage::Source(source)) => source.publisher.handle_no_answer(now),
            None => {}
        }
        self.drive(now, pending.usage);
    }

    /// Does what a usage's machine wants.
    pub(crate) fn drive(&mut self, now: Instant, usage: UsageId) {
        self.drive_answered(now, usage, now);
    }

    fn drive_answered(&mut self, now: Instant, usage: UsageId, asked_at: Instant) {
        loop {
            match self.usages.get_mut(&usage) {
                Some(Usage::Watch(watch)) => match watch.subscriber.poll_output() {
                    Some(output) => self.do_subscriber(now, usage, output),
                    None => return,
                },
                Some(Usage::Source(source)) => match source.publisher.poll_output() {
                    Some(output) => self.do_publisher(now, usage, output, asked_at),
                    None => return,
                },
                None => return,
            }
        }
    }

    fn do_subscriber(&mut self, now: Instant, usage: UsageId, output: subscriber::Output) {
        use subscriber::{Cause, End as Why, Output as Wanted};
        match output {
            Wanted::Subscribe { dialog, expires } => {
                self.send_subscribe(now, usage, dialog, expires)
            }
            // Its NOTIFY was shown.
            Wanted::State { .. } => {}
            Wanted::Again { cause, after, anew } => {
                let why = match cause {
                    Cause::NoAnswer => "no answer".to_owned(),
                    Cause::NoNotify => "no NOTIFY came".to_owned(),
                    Cause::Lapsed => "it could not be refreshed in time".to_owned(),
                    Cause::Reason(reason) if reason.is_empty() => "the server ended it".to_owned(),
                    Cause::Reason(reason) => format!("the server ended it: {reason}"),
                    Cause::Status(status) => self.phrase(usage, status),
                };
                self.show(Event::Again {
                    usage,
                    why,
                    after,
                    anew,
                });
            }
            Wanted::End(why) => {
                let end = match why {
                    Why::Stopped => End::Stopped,
                    Why::Fetched => End::Fetched,
                    Why::Terminated(reason) => End::Terminated { reason },
                    Why::NoAnswer => End::NoAnswer,
                    Why::NoNotify => End::NoNotify,
                    Why::Refused(status) => self.refused(usage, status),
                };
                self.ended(usage, end);
            }
        }
    }

    fn do_publisher(
        &mut self,
        now: Instant,
        usage: UsageId,
        output: publisher::Output,
        asked_at: Instant,
    ) {
        use publisher::{Cause, End as Why, Output as Wanted};
        match output {
            Wanted::Publish {
                if_match,
                expires,
                body,
                operation,
            } => {
                self.send_publish(
                    now,
                    usage,
                    if_match,
                    expires,
                    body.filter(|_| operation != Operation::Remove),
                );
            }
            Wanted::Published {
                operation,
                entity_tag,
                expires,
            } => {
                self.show(Event::Published {
                    usage,
                    operation,
                    entity_tag,
                    expires,
                    took: now.since(asked_at),
                });
            }
            Wanted::Again { cause, after } => {
                let why = match cause {
                    Cause::NoAnswer => "no answer".to_owned(),
                    Cause::Lapsed => "it could not be refreshed in time".to_owned(),
                    Cause::Status(status) => self.phrase(usage, status),
                };
                self.show(Event::Again {
                    usage,
                    why,
                    after,
                    anew: cause == Cause::Lapsed,
                });
            }
            Wanted::End(why) => {
                let end = match why {
                    Why::Removed => End::Removed,
                    Why::Abandoned => End::Abandoned,
                    Why::NoAnswer => End::NoAnswer,
                    Why::Refused(status) => self.refused(usage, status),
                };
                self.ended(usage, end);
            }
        }
    }

    fn ended(&mut self, usage: UsageId, end: End) {
        self.leave(usage);
        self.show(Event::Ended { usage, end });
    }

    pub(crate) fn show(&mut self, event: Event) {
        self.outputs.push_back(Output::Show(event));
    }

    fn refused(&self, usage: UsageId, status: u16) -> End {
        let last = match self.usages.get(&usage) {
            Some(Usage::Watch(watch)) => Some(&watch.refusal),
            Some(Usage::Source(source)) => Some(&source.refusal),
            None => None,
        };
        let reason = last.filter(|(last, reason)| *last == status && !reason.is_empty());
        End::Refused {
            status,
            reason: reason
                .map_or(reason_phrase(status), |(_, reason)| reason)
                .to_owned(),
        }
    }

    fn phrase(&self, usage: UsageId, status: u16) -> String {
        match self.refused(usage, status) {
            End::Refused { status, reason } => format!("{status} {reason}"),
            _ => status.to_string(),
        }
    }

    fn send_subscribe(&mut self, now: Instant, usage: UsageId, dialog: u32, expires: u32) {
        let fresh = self.new_dialog(dialog);
        let server = self.start.server;
        let Some(Usage::Watch(watch)) = self.usages.get_mut(&usage) else {
            return;
        };
        if watch.dialog.number != dialog {
            watch.dialog = fresh;
        }
        let cseq = watch.dialog.next_cseq();
        let route = watch.dialog.route(&watch.resource, server);
        let to = match watch.subscriber.remote_tag() {
            Some(tag) => format!("<{}>;tag={tag}", watch.resource),
            None => format!("<{}>", watch.resource),
        };
        let draft = Draft {
            method: "SUBSCRIBE",
            uri: route.uri,
            routes: route.routes,
            from: format!("<{}>;tag={}", self.start.identity, watch.dialog.local_tag),
            to,
            call_id: watch.dialog.call_id.clone(),
            cseq,
            fields: vec![
                (
                    Name::Contact,
                    contact(&self.contact_user, self.start.local, route.hop.transport),
                ),
                (Name::Event, watch.package().to_owned()),
                (Name::Expires, expires.to_string()),
                (Name::Accept, watch.types()[0].to_owned()),
                (Name::AllowEvents, ALLOW_EVENTS.to_owned()),
            ],
            body: None,
            proofs: 0,
        };
        self.send(now, usage, dialog, draft, route.hop);
    }

    fn send_publish(
        &mut self,
        now: Instant,
        usage: UsageId,
        if_match: Option<String>,
        expires: u32,
        body: Option<Bytes>,
    ) {
        let server = self.start.server;
        let Some(Usage::Source(source)) = self.usages.get_mut(&usage) else {
            return;
        };
        let cseq = source.next_cseq();
        let mut fields = vec![
            (Name::Event, PACKAGE.to_owned()),
            (Name::Expires, expires.to_string()),
        ];
        fields.extend(if_match.map(|tag| (Name::SipIfMatch, tag)));
        let draft = Draft {
            method: "PUBLISH",
            uri: source.resource.clone(),
            routes: Vec::new(),
            from: format!("<{}>;tag={}", self.start.identity, source.tag),
            to: format!("<{}>", source.resource),
            call_id: source.call_id.clone(),
            cseq,
            fields,
            body: body.map(|body| (source.content_type.clone(), body)),
            proofs: 0,
        };
        self.send(now, usage, 0, draft, server);
    }

    pub(crate) fn send(
        &mut self,
        now: Instant,
        usage: UsageId,
        dialog: u32,
        mut draft: Draft,
        hop: Hop,
    ) {
        self.prove(&mut draft);
        let branch = format!("z9hG4bK{}", self.new_token());
        let mut hop = hop;
        let mut bytes = self.compose(&draft, &branch, hop.transport);
        // RFC 3261 §18.1.1: too large to be sure that it arrives whole as a datagram.
        let for_its_size = hop.transport == Transport::Udp
            && bytes.len() > DATAGRAM_BYTES_MAX
            && !self.refusals.holds(now, hop.address);
        if for_its_size {
            hop.transport = Transport::Tcp;
            bytes = self.compose(&draft, &branch, hop.transport);
        }
        let machine = NonInviteClient::start(now, hop.transport.is_reliable());
        self.outputs.push_back(Output::Send {
            hop,
            bytes: bytes.clone(),
        });
        // What was asked before for the same usage is not waited for any more.
        self.pending.retain(|pending| pending.usage != usage);
        self.pending.push(Pending {
            usage,
            dialog,
            branch,
            machine,
            hop,
            draft,
            bytes,
            for_its_size,
            sent_at: now,
        });
    }

    fn compose(&self, draft: &Draft, branch: &str, transport: Transport) -> Vec<u8> {
        let via = format!(
            "SIP/2.0/{} {};branch={branch};rport",
            transport.name(),
            self.start.local
        );
        draft.compose(&via, &self.start.user_agent)
    }

    pub(crate) fn answer(&mut self, via: &sip::Via<'_>, from: Hop, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Send {
            hop: hop::of_response(via, from),
            bytes,
        });
    }

    fn new_dialog(&mut self, number: u32) -> Dialog {
        Dialog::new(number, self.new_call_id(), self.new_token())
    }

    fn new_call_id(&mut self) -> String {
        format!(
            "{:016x}{:016x}",
            self.random.next_u64(),
            self.random.next_u64()
        )
    }

    pub(crate) fn new_token(&mut self) -> String {
        format!("{:016x}", self.random.next_u64())
    }

    fn fork_random(&mut self) -> Random {
        Random::new(self.random.next_u64())
    }
}

/// Where peers send requests to us.
fn contact(user: &str, local: SocketAddr, transport: Transport) -> String {
    match transport {
        Transport::Udp => format!("<sip:{user}@{local}>"),
        Transport::Tcp => format!("<sip:{user}@{local};transport=tcp>"),
    }
}
