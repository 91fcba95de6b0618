//! The shard: every input goes through here to the engines, every output leaves from here.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use events::{Counts, EventState};
use hashbrown::HashMap;
use machine::settings::Settings;
use machine::{Batch, Cause, Instant, Key, Now, Partitioner, Random};
use sip::{Message, Name};
use transaction::{ServerTransactions, TransactionKey};

use crate::directory::Directory;
use crate::documents::Documents;
use crate::face::Face;
use crate::gate::{Gate, Grants, Held, Reply};
use crate::hops::Hops;
use crate::identity::Proofs;
use crate::inputs::{Flow, Undeliverable};
use crate::merged::Merged;
use crate::outputs::{Destination, Output, Send};
use crate::policy::Policy;
use crate::record::{Event, Happened};

/// What a shard begins with.
#[derive(Clone, Debug)]
pub struct Start {
    /// Which shard.
    pub index: u16,
    /// Of how many.
    pub shards: u16,
    /// Count of starts of the store, this one included.
    pub starts: u32,
    /// Key of the hash from users to partitions, from the store.
    pub hash_key: [u8; 16],
    /// For tags and jitter.
    pub seed: u64,
    /// The configuration in force.
    pub settings: Arc<Settings>,
    /// Unanswered NOTIFYs in all windows together: what the granted receive buffer can take.
    pub unanswered_max: u32,
    /// The time.
    pub now: Now,
}

/// Whether there is room for new state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Yes.
    Plenty,
    /// No: why (memory, disk). New state is refused with 503, removals and refreshes are taken.
    Full(&'static str),
}

/// Whether the shard takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Serving,
    /// SIGTERM or drain: new requests get 503 with Retry-After.
    Stopping,
}

/// NOTIFYs composed in one turn before the sockets are looked at again: 256 × 4 µs is 1 ms.
const NOTIFIES_PER_TURN: u32 = 256;

/// One slice of users.
pub struct Shard {
    pub(crate) index: u16,
    pub(crate) shards: u16,
    pub(crate) settings: Arc<Settings>,
    pub(crate) directory: Directory,
    pub(crate) partitioner: Partitioner,
    pub(crate) events: EventState,
    pub(crate) transactions: ServerTransactions,
    /// Where the answer to each INVITE goes, as long as no ACK came.
    pub(crate) invites: HashMap<TransactionKey, Destination>,
    pub(crate) documents: Documents,
    pub(crate) policy: Policy,
    pub(crate) proofs: Proofs,
    pub(crate) merged: Merged,
    pub(crate) hops: Hops,
    pub(crate) gate: Gate,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) now: Now,
    pub(crate) cause: Cause,
    pub(crate) room: Room,
    pub(crate) duty: Duty,
    pub(crate) faces: Vec<Face>,
    gruu: String,
    unanswered_max: u32,
    notifies_left: u32,
    /// Buffers of heads that were sent: warm memory for the next.
    heads: Vec<Vec<u8>>,
}

/// Buffers of heads kept, those of some turns: 256 × 2 KiB = 512 KiB at most.
const HEADS_MAX: usize = 256;

/// A larger buffer is not kept.
const HEAD_BYTES_MAX: usize = 2048;

/// Most heads are smaller.
const HEAD_BYTES: usize = 640;

impl Shard {
    /// An empty shard. Then `restore` for each of its objects, `restored`, and inputs.
    pub fn new(start: Start) -> Self {
        let partitioner = Partitioner::new(start.hash_key);
        let mut random = Random::new(start.seed);
        let seed = random.next_u64();
        let gruu = format!("{:016x}", partitioner.hash(b"Contact"));
        let mut events = EventState::new(
            PACKAGES,
            partitioner,
            start.starts,
            (start.index, start.shards),
            seed,
        );
        events.handle_limits(&start.settings.limits);
        Self {
            index: start.index,
            shards: start.shards,
            directory: Directory::new(&start.settings),
            transactions: ServerTransactions::new(
                start.hash_key,
                start.settings.limits.transactions_max as usize,
            ),
            events,
            invites: HashMap::new(),
            documents: Documents::default(),
            policy: Policy::default(),
            proofs: Proofs::new(random.next_u64()),
            merged: Merged::default(),
            hops: Hops::default(),
            gate: Gate::default(),
            outputs: VecDeque::new(),
            now: start.now,
            cause: Cause::before(start.index),
            room: Room::Plenty,
            duty: Duty::Serving,
            faces: Face::of(&start.settings, &gruu),
            gruu,
            settings: start.settings,
            partitioner,
            unanswered_max: start.unanswered_max.max(1),
            notifies_left: NOTIFIES_PER_TURN,
            heads: Vec::new(),
        }
    }

    /// An empty buffer for a head.
    pub(crate) fn new_head(&mut self) -> Vec<u8> {
        self.heads
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(HEAD_BYTES))
    }

    /// A head that was sent: its buffer may be written again.
    pub fn give_back(&mut self, mut head: Vec<u8>) {
        if self.heads.len() < HEADS_MAX && (HEAD_BYTES..=HEAD_BYTES_MAX).contains(&head.capacity())
        {
            head.clear();
            self.heads.push(head);
        }
    }

    pub(crate) fn begin(&mut self, now: Now) {
        self.now = now;
        self.cause = self.cause.next();
        self.events.handle_cause(self.cause);
        self.notifies_left = NOTIFIES_PER_TURN;
    }

    /// The newest input: what came of it bears this.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    pub(crate) fn happens(&mut self, happened: Happened) {
        self.outputs
            .push_back(Output::Record(self.cause, Event::Shard(happened)));
    }

    pub(crate) fn happens_to_transaction(&mut self, happened: transaction::Happened) {
        self.outputs
            .push_back(Output::Record(self.cause, Event::Transaction(happened)));
    }

    /// One live object of the store: its first bytes, then what was appended.
    pub fn restore(&mut self, key: Key, ops: Vec<Vec<u8>>) -> Result<(), String> {
        let directory = &self.directory;
        self.events
            .restore(self.now, key, &ops, &|name| directory.presence(name))
            .map_err(|unreadable| unreadable.0.to_owned())
    }

    /// After the last `restore`: decides anew, sets timers, owes what the life before could not say.
    pub fn restored(&mut self, now: Now) {
        self.begin(now);
        self.restore_permanent();
        self.learn_from_documents();
        let (mut judge, events) = self.judge_and_events();
        events.restored(now, |presentity, watcher| judge.given(presentity, watcher));
        // What lapsed meanwhile may have put somebody into another sphere.
        self.follow_spheres();
        let Counts {
            publications,
            subscriptions,
            ..
        } = self.counts();
        self.happens(Happened::StateRestored {
            publications: publications as u64,
            subscriptions: subscriptions as u64,
        });
    }

    /// A datagram, or one message cut from a stream.
    pub fn handle_datagram(&mut self, now: Now, flow: &Flow, bytes: &[u8]) {
        self.begin(now);
        match Message::parse(bytes) {
            Ok(mut message) if message.is_request() => {
                message.keep_essentials();
                self.handle_request(flow, &message)
            }
            Ok(message) => self.handle_response(&message),
            Err(_) => self.dropped("neither a request nor a response"),
        }
    }

    /// A stream met a message over its bound: answered from its header section.
    pub fn handle_oversized(&mut self, now: Now, flow: &Flow, head: &[u8], status: u16) {
        self.begin(now);
        match Message::parse(head) {
            Ok(message) if message.is_request() && message.method() == sip::Method::Ack => {}
            Ok(message) if message.is_request() && message.essentials().is_ok() => {
                self.refuse(flow, &message, None, &events::Rejection::new(status, ""));
            }
            _ => self.dropped("over its bound, and not answerable"),
        }
    }

    fn handle_response(&mut self, response: &Message<'_>) {
        // RFC 3261 §8.1.3.3, §17.1.3: one Via, ours, and the method that we asked for.
        let mut vias = response.vias();
        let (via, other) = (vias.next(), vias.next());
        let ours = other.is_none() && response.method() == sip::Method::Notify;
        let branch = via
            .and_then(Result::ok)
            .and_then(|via| via.branch)
            .filter(|_| ours)
            .and_then(events::dialog::Branch::read);
        let (Some(branch), Some(status)) = (branch, response.status()) else {
            return self.dropped("a response to no request of ours");
        };
        let retry_after = response.retry_after().ok().flatten();
        if !self
            .events
            .handle_notify_response(self.now, branch, status, retry_after)
        {
            self.dropped("a response to no request of ours");
        }
        self.leave_hops();
    }

    pub(crate) fn dropped(&mut self, why: &'static str) {
        self.happens(Happened::MessageDropped { why });
    }

    pub(crate) fn leave_hops(&mut self) {
        for hop in self.events.take_freed_hops() {
            self.hops.leave(hop);
        }
    }

    /// Everything up to this batch is durable: what waited for it leaves, and its clocks start.
    pub fn handle_durable(&mut self, now: Now, sequence: u64) {
        self.begin(now);
        self.gate.durable(sequence);
        while let Some(held) = self.gate.release() {
            self.leave(held);
        }
    }

    pub(crate) fn leave(&mut self, held: Held) {
        match held {
            Held::Reply(Reply {
                transaction,
                status,
                send,
                grants,
            }) => {
                match grants {
                    Grants::Nothing => {}
                    Grants::Publication(presentity, key) => {
                        self.events
                            .publication_acknowledged(self.now, &presentity, key);
                    }
                    Grants::Subscription(key) => {
                        self.events.subscription_acknowledged(self.now, key)
                    }
                }
                if let Some(transaction) = transaction {
                    self.transactions.respond(
                        self.now.monotonic,
                        transaction,
                        send.head.as_slice(),
                        status,
                    );
                }
                self.outputs.push_back(Output::Send(send));
            }
            Held::Notify {
                key,
                cseq,
                send,
                reliable,
            } => {
                let flight = self
                    .events
                    .subscription(key)
                    .and_then(|subscription| subscription.in_flight.as_ref());
                if flight.is_some_and(|flight| flight.withdrawn) {
                    self.events.drop_withdrawn(key);
                    self.leave_hops();
                } else if flight.is_some_and(|flight| flight.cseq == cseq) {
                    self.events.notify_left(self.now, key, reliable);
                    self.outputs.push_back(Output::Send(send));
                }
            }
        }
    }

    /// What may leave once everything decided so far is durable.
    pub(crate) fn hold(&mut self, held: Held) {
        let after = if self.events.has_records() {
            self.gate.sequence + 1
        } else {
            self.gate.needed
        };
        if self.gate.is_open(after) {
            self.leave(held)
        } else {
            self.gate.hold(after, held)
        }
    }

    /// Leaves at once: it reads no state that could be lost.
    pub(crate) fn send_now(&mut self, send: Send) {
        self.outputs.push_back(Output::Send(send));
    }

    /// A name was looked up; empty: it has no address.
    pub fn handle_resolved(&mut self, now: Now, name: &str, addresses: &[IpAddr]) {
        self.begin(now);
        self.happens(Happened::NameAnswered {
            name: name.to_owned(),
            addresses: addresses.len() as u32,
        });
        for key in self.hops.resolved(now.monotonic, name, addresses) {
            if addresses.is_empty() {
                self.events.notify_unresolvable(now, key);
            } else {
                self.events.requeue(key);
            }
        }
        self.leave_hops();
    }

    /// A message with this token could not be sent.
    pub fn handle_undeliverable(&mut self, now: Now, token: u64, why: Undeliverable) {
        self.begin(now);
        let key = Key::from_bits(token);
        let for_size = self
            .events
            .subscription(key)
            .and_then(|subscription| subscription.in_flight.as_ref())
            .is_some_and(|flight| flight.for_size);
        if for_size && why == Undeliverable::NotConnected {
            self.fall_back_to_datagram(key);
        } else {
            self.events.notify_undeliverable(now, key);
        }
        self.leave_hops();
    }

    /// A reload.
    pub fn handle_settings(&mut self, now: Now, settings: Arc<Settings>) {
        self.begin(now);
        self.directory = Directory::new(&settings);
        self.faces = Face::of(&settings, &self.gruu);
        self.transactions
            .set_max(settings.limits.transactions_max as usize);
        self.settings = settings;
        let directory = &self.directory;
        self.events.handle_limits(&self.settings.limits);
        self.events.handle_presence(|name| directory.presence(name));
        self.redecide_all();
        self.happens(Happened::SettingsTaken {});
    }

    /// Memory or disk is full, or no longer.
    pub fn handle_room(&mut self, room: Room) {
        self.room = room;
    }

    /// SIGTERM: what is owed is still sent, new requests get 503. No subscription ends.
    pub fn handle_stop(&mut self, now: Now) {
        self.begin(now);
        self.duty = Duty::Stopping;
    }

    /// For good: each watcher is told to subscribe again elsewhere.
    pub fn handle_drain(&mut self, now: Now) {
        self.begin(now);
        self.duty = Duty::Stopping;
        self.events.deactivate_all(now);
    }

    /// Nothing is owed, unanswered, or waits for durability.
    pub fn is_quiet(&self) -> bool {
        self.gate.is_quiet()
            && self.outputs.is_empty()
            && !self.events.has_records()
            && self.documents.is_quiet()
            && self.policy.is_quiet()
            && self.events.is_quiet()
    }

    /// The last call of a clean stop: the next CSeqs are written, so that they go on without a gap.
    pub fn end(&mut self, now: Now) {
        self.begin(now);
        self.events.close();
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.begin(now);
        self.events.handle_timeout(now);
        self.follow_spheres();
        self.follow_validities();
        self.follow_lists();
        self.transactions.handle_timeout(now.monotonic);
        self.merged.handle_timeout(now.monotonic);
        self.hops.handle_timeout(now.monotonic);
        self.repeat_answers_to_invites();
        self.leave_hops();
    }

    /// RFC 3261 §17.2.1, Timer G: the refusal of an INVITE is sent again until its ACK comes.
    fn repeat_answers_to_invites(&mut self) {
        while let Some((transaction, response)) = self.transactions.poll_retransmission() {
            if let Some(to) = self.invites.get(&transaction) {
                let (to, head) = (*to, response.to_vec());
                let (cause, repeated) = (self.cause, transaction::Happened::AnswerRepeated {});
                self.outputs.push_back(Output::Send(Send {
                    to,
                    head,
                    body: bytes::Bytes::new(),
                    token: 0,
                    cause,
                }));
                self.outputs
                    .push_back(Output::Record(cause, Event::Transaction(repeated)));
            }
        }
        // They are `INVITES_MAX` at most.
        let transactions = &self.transactions;
        self.invites
            .retain(|transaction, _| transactions.contains(*transaction));
    }

    /// When `handle_timeout` should be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let owed = self.events.is_owed() || self.hops.is_ready();
        if owed && self.hops.unanswered() < self.unanswered_max {
            return Some(self.now.monotonic);
        }
        let deadlines = [
            self.events.poll_timeout(),
            self.transactions.poll_timeout(),
            self.merged.poll_timeout(),
            self.hops.poll_timeout(),
            self.next_validity(),
            self.next_list(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The next deed. Call until `None` after each batch of inputs.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            // What was decided is said before what is done about it.
            self.say_what_happened();
            self.notify_who_is_owed();
            self.say_what_happened();
            if let Some(batch) = self.commit() {
                self.outputs.push_back(Output::Commit(batch));
            }
            if self.outputs.is_empty() {
                return None;
            }
        }
    }

    pub(crate) fn say_what_happened(&mut self) {
        while let Some((cause, happened)) = self.events.poll_happened() {
            self.outputs
                .push_back(Output::Record(cause, Event::Events(happened)));
        }
    }

    fn notify_who_is_owed(&mut self) {
        while let Some(key) = self.events.next_resend() {
            self.resend(key);
        }
        while self.notifies_left > 0 && self.hops.unanswered() < self.unanswered_max {
            // Who waited for her hop comes before who is owed since a moment ago.
            let window = self.settings.limits.unanswered_per_hop_max;
            let key = match self.hops.next_waiting(window) {
                Some(waiting) => self.events.unpark(self.now, waiting),
                None => match self.events.next_owed(self.now) {
                    Some(owed) => Some(owed),
                    None => break,
                },
            };
            if let Some(key) = key {
                self.notifies_left -= 1;
                self.notify(key);
            }
            self.leave_hops();
        }
        self.leave_hops();
    }

    /// All records of this turn as one batch.
    fn commit(&mut self) -> Option<Batch> {
        let (records, lazy) = self.events.take_records();
        if records.is_empty() {
            return None;
        }
        self.gate.sequence += 1;
        if !lazy {
            self.gate.needed = self.gate.sequence;
        }
        Some(Batch {
            shard: self.index,
            sequence: self.gate.sequence,
            records,
            lazy,
        })
    }

    /// Gives numbers of keys and tags up: for tests of what comes after the last.
    #[doc(hidden)]
    pub fn skip_numbers(&mut self, counter: u32) {
        self.events.skip_numbers(counter);
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        self.events.counts()
    }

    /// How many entries there are of everything that is remembered: all end when nothing happens any more.
    pub fn remembered(&self) -> usize {
        let waiting = self.gate.len() + self.outputs.len() + self.documents.waiting();
        let waiting = waiting + self.policy.remembered();
        let requests = self.transactions.len() + self.invites.len() + self.merged.len();
        self.events.remembered() + requests + self.hops.len() + waiting
    }

    /// The header fields of an answer that says what we can do.
    pub(crate) fn abilities(&self) -> [(Name, String); 5] {
        [
            (Name::Allow, ALLOW.to_owned()),
            (Name::Accept, presence::PRESENCE.publish_types.join(", ")),
            (Name::AcceptEncoding, "identity".to_owned()),
            (Name::AcceptLanguage, "en".to_owned()),
            (Name::AllowEvents, self.events.allow_events()),
        ]
    }
}

/// The methods we handle.
pub(crate) const ALLOW: &str = "SUBSCRIBE, PUBLISH, OPTIONS, CANCEL, ACK";

/// Adding an event package: one line here.
static PACKAGES: &[&events::package::Package] =
    &[&presence::PRESENCE, &PRESENCE_WINFO, &PRESENCE_WINFO_WINFO];

/// RFC 3857: who watches.
static PRESENCE_WINFO: events::package::Package = events::winfo::package("presence.winfo");

/// And who watches that. Deeper it does not go (RFC 3857 §3 lets it).
static PRESENCE_WINFO_WINFO: events::package::Package =
    events::winfo::package("presence.winfo.winfo");
