//! One shard on its thread: receive, decide, hand over, send – in turns that never wait for anybody.

use std::net::IpAddr;
use std::sync::Arc;

use machine::{Now, Partitioner};
use shard::inputs::{Flow, Undeliverable};
use shard::outputs::{Destination, Output, Send};
use shard::settings::{ListenerId, Transport};
use sip::Message;
use store::Store;
use store::documents::Documents;
use transport::Streams;
use transport::socket::{BATCH, Poller, Receiver};
use transport::udp::{Datagram, Port};

use crate::engine::Engine;
use crate::mailbox::{Content, Mailbox, Notice, Order, Parcel};
use crate::observer::Observer;
use crate::overload;
use crate::resolver::Resolver;
use crate::shared::{Routing, Shared, lock};
use crate::sources::{self, Sources, Verdict};
use crate::tally::Tally;

/// Failures of one socket in a row that are borne; more is a broken socket, not a bad datagram.
const RECEIVE_FAILURES_MAX: u32 = 1000;

/// Datagrams this short are keep-alives (a CRLF or two, zero bytes): nothing answers them.
const KEEP_ALIVE_BYTES_MAX: usize = 4;

/// What a thread works with once everything is restored.
pub(crate) struct Hands {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) streams: Streams,
    pub(crate) resolver: Resolver,
}

pub(crate) struct Thread<E> {
    engine: E,
    index: u16,
    shared: Arc<Shared>,
    hands: Hands,
    routing: Arc<Routing>,
    ports: Vec<Port>,
    /// The port of each listener.
    port_of: Vec<Option<usize>>,
    sources: Sources,
    room: Receiver,
    poller: Poller,
    /// For each shard: what arrived here and belongs there.
    parcels: Vec<Parcel>,
    /// Scratch, kept for its room.
    mail: Vec<Parcel>,
    notices: Vec<Notice>,
    streaming: Vec<Send>,
    reports: Vec<(u64, Undeliverable)>,
    durable: u64,
    /// More work is there: don't wait.
    busy: bool,
    observed: Observed,
    receive_failures: u32,
    /// The newest order carried out.
    order: u64,
    leaving: bool,
}

impl<E: Engine> Thread<E> {
    pub(crate) fn new(
        engine: E,
        index: u16,
        shared: Arc<Shared>,
        hands: Hands,
        ports: Vec<Port>,
    ) -> Self {
        let routing = shared.routing();
        let shards = shared.mailboxes.len();
        let mut port_of = vec![None; routing.settings.listeners.len()];
        for (place, port) in ports.iter().enumerate() {
            if let Some(entry) = port_of.get_mut(usize::from(port.listener().0)) {
                *entry = Some(place);
            }
        }
        let sources = Sources::new(
            Arc::clone(&routing.settings),
            u16::try_from(shards).unwrap_or(u16::MAX),
        );
        Self {
            engine,
            index,
            shared,
            hands,
            routing,
            ports,
            port_of,
            sources,
            room: Receiver::new(),
            poller: Poller::default(),
            parcels: (0..shards).map(|_| Parcel::default()).collect(),
            mail: Vec::new(),
            notices: Vec::new(),
            streaming: Vec::new(),
            reports: Vec::new(),
            durable: 0,
            busy: true,
            observed: Observed::default(),
            receive_failures: 0,
            order: 0,
            leaving: false,
        }
    }

    /// Works until told to leave. An error is a failure of the whole node.
    pub(crate) fn run(mut self) -> Result<(), String> {
        while !self.leaving {
            let ready = self.wait()?;
            self.turn(&ready)?;
        }
        Ok(())
    }

    /// Waits for the next thing to do; says which ports may have something.
    fn wait(&mut self) -> Result<Ready, String> {
        let mailbox = &self.shared.mailboxes[usize::from(self.index)];
        if self.busy || !mailbox.sleep() {
            return Ok(Ready::Any);
        }
        let timeout = self
            .engine
            .poll_timeout()
            .map(|at| at.since(self.shared.clock.monotonic()));
        self.poller.clear();
        let waker = self.poller.add(mailbox.waker(), false);
        let first = waker + 1;
        for port in &self.ports {
            self.poller.add(port.socket(), port.is_blocked());
        }
        let waited = self.poller.wait(timeout);
        mailbox.awake(self.poller.is_readable(waker));
        waited.map_err(|error| format!("waiting for sockets: {error}"))?;
        Ok(Ready::Polled { first })
    }

    /// Receives first, then decides, then sends one batch: a fan-out never keeps answers waiting in the kernel.
    fn turn(&mut self, ready: &Ready) -> Result<(), String> {
        self.busy = false;
        let now = self.shared.clock.now();
        let shared = Arc::clone(&self.shared);
        self.observed = Observed {
            events: shared.observer.wants_events(),
            messages: shared.observer.wants_messages(),
        };
        // Held for the turn; nobody else wants it but who asks for the status.
        let Some(tally) = shared.tallies.get(usize::from(self.index)) else {
            return Err("a shard without a tally".to_owned());
        };
        let mut tally = lock(tally);
        self.take_mail(now);
        for place in 0..self.ports.len() {
            let waits = match ready {
                Ready::Any => true,
                Ready::Polled { first } => self.poller.is_readable(first + place),
            };
            if waits {
                self.receive(now, place, &mut tally)?;
            }
        }
        for (parcel, mailbox) in self.parcels.iter_mut().zip(self.shared.mailboxes.iter()) {
            mailbox.deliver(parcel);
        }
        if self
            .engine
            .poll_timeout()
            .is_some_and(|at| at <= now.monotonic)
        {
            self.engine.handle_timeout(now);
        }
        self.do_outputs(now, &mut tally);
        self.send(&mut tally);
        self.busy |= self
            .engine
            .poll_timeout()
            .is_some_and(|at| at <= now.monotonic);
        tally.counts = self.engine.counts();
        tally.mailbox_dropped = self.mailbox().dropped();
        drop(tally);
        let (engine, ports, busy) = (&self.engine, &self.ports, self.busy);
        self.shared.report_progress(self.index, self.order, || {
            !busy && engine.is_quiet() && ports.iter().all(|port| port.unsent() == 0)
        });
        Ok(())
    }

    fn take_mail(&mut self, now: Now) {
        let mut notices = std::mem::take(&mut self.notices);
        let mut mail = std::mem::take(&mut self.mail);
        self.busy |= self.mailbox().take(BATCH, &mut notices, &mut mail);
        let durable = self.mailbox().newest_durable();
        if durable > self.durable {
            self.durable = durable;
            self.engine.handle_durable(now, durable);
        }
        for notice in notices.drain(..) {
            self.take_notice(now, notice);
        }
        for parcel in mail.drain(..) {
            for (flow, content, bytes) in parcel.letters() {
                match content {
                    Content::Message => {
                        self.engine.handle_datagram(now, flow, bytes);
                        if self.observed.messages {
                            let cause = self.engine.cause();
                            self.shared.observer.received(now, cause, flow, bytes);
                        }
                    }
                    Content::Refused(status) => {
                        self.engine.handle_oversized(now, flow, bytes, status)
                    }
                }
            }
        }
        (self.notices, self.mail) = (notices, mail);
    }

    fn take_notice(&mut self, now: Now, notice: Notice) {
        match notice {
            Notice::Undeliverable { token, why } => {
                self.engine.handle_undeliverable(now, token, why)
            }
            Notice::Resolved { name, addresses } => {
                self.engine.handle_resolved(now, &name, &addresses)
            }
            Notice::Settings(settings) => {
                self.routing = self.shared.routing();
                self.sources.set(Arc::clone(&settings));
                self.engine.handle_settings(now, settings);
            }
            Notice::Document(request) => self.engine.handle_document(now, *request),
            Notice::Kept { sequence, outcome } => self.engine.handle_kept(now, sequence, outcome),
            Notice::Told { from, told } => self.engine.handle_told(now, from, told),
            Notice::Explain(question) => self.engine.handle_explain(now, *question),
            Notice::Room(room) => self.engine.handle_room(room),
            Notice::Order { order, number } => {
                match order {
                    Order::Stop => self.engine.handle_stop(now),
                    Order::Drain => self.engine.handle_drain(now),
                    Order::End => self.engine.end(now),
                    Order::Exit => self.leaving = true,
                }
                self.order = number;
            }
        }
    }

    fn receive(&mut self, now: Now, place: usize, tally: &mut Tally) -> Result<(), String> {
        let Some(port) = self.ports.get_mut(place) else {
            return Ok(());
        };
        match port.receive(&mut self.room) {
            Ok(count) => {
                self.receive_failures = 0;
                tally.datagrams_received += count as u64;
            }
            Err(error) => {
                self.receive_failures += 1;
                if self.receive_failures > RECEIVE_FAILURES_MAX {
                    return Err(format!("receiving datagrams: {error}"));
                }
                return Ok(());
            }
        }
        self.busy |= self.room.is_full();
        let mut reading = Reading {
            index: self.index,
            listener: port.listener(),
            port,
            engine: &mut self.engine,
            routing: &self.routing,
            partitioner: &self.shared.partitioner,
            sources: &mut self.sources,
            parcels: &mut self.parcels,
            tally,
            observer: self.observed.messages.then_some(&*self.shared.observer),
        };
        for (peer, bytes) in self.room.datagrams() {
            let flow = Flow {
                transport: Transport::Udp,
                listener: reading.listener,
                peer,
                connection: None,
            };
            reading.datagram(now, &flow, bytes);
        }
        Ok(())
    }

    fn do_outputs(&mut self, now: Now, tally: &mut Tally) {
        while let Some(output) = self.engine.poll_output() {
            if let (Output::Send(send), true) = (&output, self.observed.messages) {
                self.shared.observer.sent(now, send);
            }
            match output {
                Output::Commit(batch) => {
                    tally.commits += 1;
                    self.hands.store.submit(batch);
                }
                Output::Send(send) => match send.to {
                    Destination::Datagram { listener, to } => {
                        let Send {
                            head, body, token, ..
                        } = send;
                        self.queue(
                            listener,
                            Datagram {
                                to,
                                head,
                                body,
                                token,
                            },
                            tally,
                        );
                    }
                    Destination::Connection { .. } | Destination::Stream { .. } => {
                        self.streaming.push(send)
                    }
                },
                Output::Tell(shard, told) => {
                    if let Some(mailbox) = self.shared.mailboxes.get(usize::from(shard)) {
                        let from = self.index;
                        mailbox.post(Notice::Told { from, told });
                    }
                }
                Output::Keep(write) => self.hands.documents.submit(write),
                Output::Answered(answer) => self.shared.tickets.answer(answer),
                Output::Explained(ticket, explained) => {
                    self.shared.questions.answer(ticket, explained);
                }
                Output::Resolve(name) => self.hands.resolver.resolve(self.index, &name),
                Output::Record(cause, event) => {
                    tally.happened.count(&event);
                    if self.observed.events {
                        self.shared.observer.happened(now, cause, &event);
                    }
                }
            }
        }
        if !self.streaming.is_empty() {
            self.hands
                .streams
                .send(self.index, self.streaming.drain(..));
        }
    }

    fn queue(&mut self, listener: ListenerId, datagram: Datagram, tally: &mut Tally) {
        let place = self.port_of.get(usize::from(listener.0)).copied().flatten();
        let Some(port) = place.and_then(|place| self.ports.get_mut(place)) else {
            // A listener that is no UDP port of ours: nothing can go out there.
            if datagram.token != 0 {
                self.reports.push((datagram.token, Undeliverable::Refused));
            }
            return;
        };
        if !port.push(datagram) {
            tally.datagrams_dropped_unsent += 1;
        }
    }

    fn send(&mut self, tally: &mut Tally) {
        let engine = &mut self.engine;
        for port in &mut self.ports {
            if port.unsent() > 0 {
                let flushed = port.flush(&mut self.reports, |head| engine.give_back(head));
                tally.datagrams_sent += flushed.sent as u64;
                tally.datagrams_refused += flushed.refused as u64;
                self.busy |= port.unsent() > 0 && !port.is_blocked();
            }
        }
        let now = self.shared.clock.now();
        for (token, why) in self.reports.drain(..) {
            self.engine.handle_undeliverable(now, token, why);
            self.busy = true;
        }
    }

    fn mailbox(&self) -> &Mailbox {
        &self.shared.mailboxes[usize::from(self.index)]
    }
}

/// What the observer wants to be told of in this turn.
#[derive(Clone, Copy, Debug, Default)]
struct Observed {
    events: bool,
    messages: bool,
}

/// Which ports may have something to read.
enum Ready {
    /// Nobody asked: try all.
    Any,
    /// The poller knows; the first port has this index there.
    Polled { first: usize },
}

/// One batch of datagrams being read: everything but the room they lie in.
struct Reading<'a, E> {
    index: u16,
    listener: ListenerId,
    port: &'a mut Port,
    engine: &'a mut E,
    routing: &'a Routing,
    partitioner: &'a Partitioner,
    sources: &'a mut Sources,
    parcels: &'a mut [Parcel],
    tally: &'a mut Tally,
    observer: Option<&'a dyn Observer>,
}

impl<E: Engine> Reading<'_, E> {
    fn datagram(&mut self, now: Now, flow: &Flow, bytes: &[u8]) {
        if bytes.len() <= KEEP_ALIVE_BYTES_MAX || !self.is_within_rate(now, flow, bytes) {
            return;
        }
        // What cannot be parsed stays here: any shard can count or answer it. Where there is one, it owns everything.
        let owner = if self.parcels.len() > 1 {
            Message::parse(bytes).map_or(self.index, |message| (self.routing.owner)(&message))
        } else {
            self.index
        };
        match self.parcels.get_mut(usize::from(owner)) {
            Some(parcel) if owner != self.index => {
                self.tally.datagrams_handed_over += 1;
                parcel.push(*flow, Content::Message, bytes);
            }
            _ => {
                self.engine.handle_datagram(now, flow, bytes);
                if let Some(observer) = self.observer {
                    observer.received(now, self.engine.cause(), flow, bytes);
                }
            }
        }
    }

    fn is_within_rate(&mut self, now: Now, flow: &Flow, bytes: &[u8]) -> bool {
        let source: IpAddr = flow.peer.ip();
        if sources::is_response(bytes) {
            return true;
        }
        match self.sources.request(now.monotonic, self.listener, source) {
            Verdict::Take => true,
            Verdict::Refuse => {
                self.tally.sources_refused += 1;
                if let Some((to, head)) = overload::refusal(self.partitioner, flow, bytes) {
                    // Where even this has no room, silence says the same.
                    self.port.push(Datagram {
                        to,
                        head,
                        body: bytes::Bytes::new(),
                        token: 0,
                    });
                }
                false
            }
            Verdict::Drop => {
                self.tally.sources_dropped += 1;
                false
            }
        }
    }
}
