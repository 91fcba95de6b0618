//! What all threads of a node see: who owns a message, the mailboxes, whether something failed, who is quiet.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use machine::Instant;
use shard::inputs::{Flow, Undeliverable};
use shard::settings::{ListenerId, Settings};
use sip::Message;
use tokio::sync::watch;
use transport::{Gather, Inbox};

use crate::clock::Clock;
use crate::credit::Credit;
use crate::documents::{Questions, Tickets};
use crate::engine::Owner;
use crate::mailbox::{Content, Mailbox, Notice, Order, Parcel};
use crate::observer::Observer;
use crate::overload;
use crate::readiness::Readiness;
use crate::sources::{self, Sources, Verdict};
use crate::tally::Tally;

/// The settings in force and the map that follows from them.
pub(crate) struct Routing {
    pub(crate) settings: Arc<Settings>,
    pub(crate) owner: Owner,
}

/// How far one shard's thread is with an order.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The newest order it has carried out.
    number: u64,
    /// Whether it had nothing left to do when it last looked.
    quiet: bool,
    /// It has left its loop, or panicked.
    gone: bool,
}

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) mailboxes: Arc<[Mailbox]>,
    pub(crate) tallies: Vec<Mutex<Tally>>,
    pub(crate) partitioner: machine::Partitioner,
    routing: RwLock<Arc<Routing>>,
    /// Requests on streams, over all connections.
    sources: Mutex<Sources>,
    stream_tally: Mutex<Tally>,
    readiness: Readiness,
    pub(crate) observer: Arc<dyn Observer>,
    failure: watch::Sender<Option<String>>,
    pub(crate) tickets: Tickets,
    pub(crate) questions: Questions,
    progress: Mutex<Vec<Progress>>,
    progressed: Condvar,
    /// Somebody waits for progress; otherwise nobody reports any.
    watched: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        mailboxes: Arc<[Mailbox]>,
        hash_key: [u8; 16],
        routing: Routing,
        (readiness, observer): (Readiness, Arc<dyn Observer>),
        failure: watch::Sender<Option<String>>,
    ) -> Self {
        let shards = mailboxes.len();
        let sources = Sources::new(Arc::clone(&routing.settings), 1);
        Self {
            clock,
            mailboxes,
            tallies: (0..shards).map(|_| Mutex::default()).collect(),
            partitioner: machine::Partitioner::new(hash_key),
            routing: RwLock::new(Arc::new(routing)),
            sources: Mutex::new(sources),
            stream_tally: Mutex::default(),
            readiness,
            observer,
            failure,
            tickets: Tickets::default(),
            questions: Questions::default(),
            progress: Mutex::new(vec![Progress::default(); shards]),
            progressed: Condvar::new(),
            watched: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.readiness.get() == Err("stopping")
    }

    pub(crate) fn routing(&self) -> Arc<Routing> {
        Arc::clone(&self.routing.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_routing(&self, routing: Routing) {
        lock(&self.sources).set(Arc::clone(&routing.settings));
        *self.routing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routing);
    }

    /// Something broke that only a new start mends. The first report counts.
    pub(crate) fn fail(&self, why: String) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                tracing::error!(why, "the node has failed");
                *failure = Some(why);
            }
            first
        });
        self.readiness.set(Err("failed"));
        // Whoever waits for progress sees that none will come.
        drop(lock(&self.progress));
        self.progressed.notify_all();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// Gives an order to every shard.
    pub(crate) fn order(&self, order: Order, number: u64) {
        self.watched.store(true, Ordering::SeqCst);
        for mailbox in self.mailboxes.iter() {
            mailbox.post(Notice::Order { order, number });
        }
    }

    /// A shard's thread says how far it is; costs nothing while nobody waits.
    pub(crate) fn report_progress(&self, shard: u16, number: u64, quiet: impl FnOnce() -> bool) {
        if !self.watched.load(Ordering::SeqCst) {
            return;
        }
        if let Some(progress) = lock(&self.progress).get_mut(usize::from(shard)) {
            progress.number = number;
            progress.quiet = quiet();
        }
        self.progressed.notify_all();
    }

    /// A shard's thread has ended.
    pub(crate) fn report_gone(&self, shard: u16) {
        if let Some(progress) = lock(&self.progress).get_mut(usize::from(shard)) {
            progress.gone = true;
        }
        self.progressed.notify_all();
    }

    /// Waits until every shard has carried out order `number`, and is quiet where `quiet` asks for it; false when
    /// `until` came first, or something failed and nobody will be quiet.
    pub(crate) fn await_progress(&self, number: u64, quiet: bool, until: Instant) -> bool {
        let mut all = lock(&self.progress);
        loop {
            // Nobody is quiet who has failed; the last orders are still carried out by those who can.
            if quiet && self.has_failed() {
                return false;
            }
            if all
                .iter()
                .all(|one| one.gone || one.number >= number && (one.quiet || !quiet))
            {
                return true;
            }
            let left = until.since(self.clock.monotonic());
            if left == Duration::ZERO {
                return false;
            }
            all = self
                .progressed
                .wait_timeout(all, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(crate) fn stream_tally(&self) -> Tally {
        lock(&self.stream_tally).clone()
    }
}

/// No code of this crate panics while it holds a lock, and what they hold is whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl store::Observer for Shared {
    fn durable(&self, shard: u16, sequence: u64) {
        if let Some(mailbox) = self.mailboxes.get(usize::from(shard)) {
            mailbox.durable(sequence);
        }
    }

    fn failed(&self, failure: &store::StoreError) {
        self.fail(format!("store: {failure}"));
    }
}

/// The side that streams see.
pub(crate) struct StreamInbox(pub(crate) Arc<Shared>);

impl Inbox for StreamInbox {
    fn now(&self) -> Instant {
        self.0.clock.monotonic()
    }

    fn gather(&self) -> Box<dyn Gather> {
        let parcels = self.0.mailboxes.iter().map(|_| Parcel::default()).collect();
        Box::new(StreamGather {
            shared: Arc::clone(&self.0),
            routing: None,
            parcels,
            credit: Arc::default(),
        })
    }

    fn undeliverable(&self, shard: u16, token: u64, why: Undeliverable) {
        if let Some(mailbox) = self.0.mailboxes.get(usize::from(shard)) {
            mailbox.post(Notice::Undeliverable { token, why });
        }
    }

    fn is_unlimited(&self, listener: ListenerId, source: IpAddr) -> bool {
        sources::is_unlimited(&self.0.routing().settings, listener, source)
    }
}

struct StreamGather {
    shared: Arc<Shared>,
    /// As it was when this read began.
    routing: Option<Arc<Routing>>,
    /// For each shard.
    parcels: Vec<Parcel>,
    credit: Arc<Credit>,
}

impl StreamGather {
    fn push(&mut self, flow: &Flow, content: Content, bytes: &[u8]) {
        let routing = self.routing.get_or_insert_with(|| self.shared.routing());
        // What cannot be parsed is nobody's: the first shard counts or answers it.
        let shard = Message::parse(bytes).map_or(0, |message| (routing.owner)(&message));
        if let Some(parcel) = self.parcels.get_mut(usize::from(shard)) {
            parcel.push(*flow, content, bytes);
        }
    }
}

impl Gather for StreamGather {
    fn message(&mut self, flow: &Flow, bytes: &[u8], answer: &mut Vec<u8>) {
        if !sources::is_response(bytes) {
            let now = self.shared.clock.monotonic();
            let verdict = lock(&self.shared.sources).request(now, flow.listener, flow.peer.ip());
            match verdict {
                Verdict::Take => {}
                Verdict::Refuse => {
                    lock(&self.shared.stream_tally).sources_refused += 1;
                    if let Some((_, refusal)) =
                        overload::refusal(&self.shared.partitioner, flow, bytes)
                    {
                        answer.extend_from_slice(&refusal);
                    }
                    return;
                }
                Verdict::Drop => {
                    lock(&self.shared.stream_tally).sources_dropped += 1;
                    return;
                }
            }
        }
        self.push(flow, Content::Message, bytes);
    }

    fn refused(&mut self, flow: &Flow, head: &[u8], status: u16) {
        self.push(flow, Content::Refused(status), head);
    }

    fn flush(&mut self) {
        self.routing = None;
        for (parcel, mailbox) in self.parcels.iter_mut().zip(self.shared.mailboxes.iter()) {
            parcel.charge(&self.credit);
            mailbox.deliver(parcel);
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.credit.poll_ready(context)
    }
}
