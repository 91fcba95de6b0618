//! The network: datagrams that get lost, doubled and late, streams that arrive in pieces, break between any two of them, refuse
//! and stall.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agent::{Hop, Output, Transport};
use machine::settings::ListenerId;
use machine::settings::Transport as Carrier;
use machine::{Instant, Partitioner, Random};
use shard::{Flow, Undeliverable};
use sip::framing::{Frame, Framer};
use sip::{Message, Name, response_to};

use crate::happening::Happening;
use crate::picture::Way;
use crate::plan::Connecting;
use crate::settings::{SERVER, address};
use crate::world::{Event, World};

/// What is older than this is not carried any more: no transaction remembers it (64·T1).
const CARRIED_MAX: Duration = Duration::from_millis(31_500);

/// The longest message that either end takes from a stream.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Between one peer and the server.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    chance: Random,
    /// Nothing passes until then.
    pub(crate) cut_until: Instant,
    /// What becomes of new connections.
    pub(crate) connecting: Connecting,
}

/// One way of a connection.
#[derive(Debug)]
struct Direction {
    /// When its newest bytes arrive: they keep their order.
    newest: Instant,
    /// What finds messages in it, at the end that it leads to.
    framer: Framer,
}

impl Direction {
    fn new(at: Instant) -> Self {
        Self {
            newest: at,
            framer: Framer::new(MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// With which peer.
    pub(crate) peer: usize,
    /// The peer's end, as the server sees it.
    pub(crate) peer_end: SocketAddr,
    /// The server's end, as the peer sees it.
    pub(crate) server_end: SocketAddr,
    open: bool,
    /// It breaks in the middle of what is sent by it next.
    doomed: bool,
    up: Direction,
    down: Direction,
}

impl Link {
    pub(crate) const fn new(seed: u64, peer: usize) -> Self {
        let seed = seed ^ (peer as u64 + 1).wrapping_mul(0x9e37_79b9_97f4_a7c1);
        Self {
            chance: Random::new(seed),
            cut_until: Instant::ZERO,
            connecting: Connecting::Works,
        }
    }

    pub(crate) const fn calm_down(&mut self) {
        self.cut_until = Instant::ZERO;
        self.connecting = Connecting::Works;
    }
}

impl World {
    /// When a datagram sent now arrives: never, once, or several times.
    fn fates(&mut self, peer: usize) -> Vec<Duration> {
        let (plan, calm, at) = (&self.plan, self.calm, self.at);
        let link = &mut self.links[peer];
        self.tally.datagrams += 1;
        if at < link.cut_until || !calm && link.chance.below(1000) < plan.lost {
            self.tally.lost += 1;
            return Vec::new();
        }
        let copies = if !calm && link.chance.below(1000) < plan.doubled {
            2
        } else {
            1
        };
        self.tally.doubled += copies - 1;
        (0..copies)
            .map(|_| {
                let late = !calm && link.chance.below(1000) < plan.late;
                self.tally.late += u64::from(late);
                let most = if late {
                    8_000_000
                } else {
                    plan.delay_ms_max * 1000
                };
                Duration::from_micros(100 + link.chance.below(most))
            })
            .collect()
    }

    /// A peer sends bytes to the server.
    pub(crate) fn send_to_server(&mut self, peer: usize, tcp: bool, bytes: &[u8]) {
        self.note(|| format!("{peer} -> {}", summary(bytes)));
        if tcp {
            return self.stream_to_server(peer, None, bytes);
        }
        let first = *self.first_sent.entry(digest(bytes)).or_insert(self.at);
        let mut fates = self.fates(peer);
        fates.retain(|after| (self.at + *after).since(first) < CARRIED_MAX);
        let arrivals: Vec<Instant> = fates.iter().map(|after| self.at + *after).collect();
        self.draw_message(Way::Up(peer), "udp", bytes, &arrivals);
        let bytes: Arc<[u8]> = bytes.into();
        for after in fates {
            let event = Event::ToServer {
                peer,
                connection: None,
                bytes: Arc::clone(&bytes),
            };
            self.schedule(after, event);
        }
        if self.server.life.is_none() && self.chance.below(3) == 0 {
            // Port unreachable.
            self.schedule(
                Duration::from_millis(1),
                Event::Unreachable {
                    peer,
                    tcp: false,
                    to: SERVER,
                },
            );
        }
    }

    /// By the connection with that end, else by a new one.
    fn stream_to_server(&mut self, peer: usize, end: Option<SocketAddr>, bytes: &[u8]) {
        let end = end.unwrap_or(SERVER);
        let open = |connection: &&Connection| {
            connection.peer == peer && connection.open && connection.server_end == end
        };
        let known = self
            .connections
            .iter()
            .rev()
            .find(|(_, each)| open(each))
            .map(|(id, _)| *id);
        let id = match known {
            Some(id) => id,
            None if end != SERVER || self.server.life.is_none() => {
                let event = Event::Unreachable {
                    peer,
                    tcp: true,
                    to: end,
                };
                return self.schedule(Duration::from_millis(2), event);
            }
            None => match self.connecting(peer) {
                Ok(()) => {
                    let id = self.next_connection();
                    let port = 30_000 + (id % 30_000) as u16;
                    self.open(id, peer, SocketAddr::new(address(peer).ip(), port), SERVER)
                }
                Err(after) => {
                    return self.schedule(
                        after,
                        Event::Unreachable {
                            peer,
                            tcp: true,
                            to: end,
                        },
                    );
                }
            },
        };
        let pieces = self.pieces(id, peer, true, bytes);
        self.draw_pieces(Way::Up(peer), bytes, &pieces);
        for (at, bytes) in pieces {
            let event = Event::ToServer {
                peer,
                connection: Some(id),
                bytes,
            };
            self.schedule_at(at, event);
        }
    }

    fn connecting(&self, peer: usize) -> Result<(), Duration> {
        let link = &self.links[peer];
        match link.connecting {
            _ if self.at < link.cut_until => Err(Duration::from_millis(500)),
            Connecting::Works => Ok(()),
            Connecting::Refused => Err(Duration::from_millis(3)),
            Connecting::Stalls => Err(Duration::from_millis(500)),
        }
    }

    /// Never the number of one before: what is still on its way belongs to that.
    const fn next_connection(&mut self) -> u64 {
        self.opened += 1;
        self.opened
    }

    fn open(&mut self, id: u64, peer: usize, peer_end: SocketAddr, server_end: SocketAddr) -> u64 {
        let connection = Connection {
            peer,
            peer_end,
            server_end,
            open: true,
            doomed: false,
            up: Direction::new(self.at),
            down: Direction::new(self.at),
        };
        self.connections.insert(id, connection);
        id
    }

    fn stream_arrival(&mut self, id: u64, peer: usize, up: bool) -> Instant {
        let link = &mut self.links[peer];
        let after = Duration::from_micros(100 + link.chance.below(self.plan.delay_ms_max * 1000));
        // What is lost is sent again by TCP itself: a cut only holds it up.
        let arrives = self.at.max(link.cut_until) + after;
        let Some(connection) = self.connections.get_mut(&id) else {
            return arrives;
        };
        let newest = match up {
            true => &mut connection.up.newest,
            false => &mut connection.down.newest,
        };
        *newest = arrives.max(*newest + Duration::from_micros(1));
        *newest
    }

    /// A stream knows no messages: what is sent at once arrives in pieces, in order.
    fn pieces(
        &mut self,
        id: u64,
        peer: usize,
        up: bool,
        bytes: &[u8],
    ) -> Vec<(Instant, Arc<[u8]>)> {
        let mut pieces = Vec::new();
        let mut rest = bytes;
        let calm = self.calm;
        let doomed = self.connections.get_mut(&id);
        if doomed.is_some_and(|each| std::mem::take(&mut each.doomed) && !calm && bytes.len() > 1) {
            let length = 1 + self.links[peer].chance.below(bytes.len() as u64 - 1) as usize;
            let at = self.stream_arrival(id, peer, up);
            pieces.push((at, bytes[..length].into()));
            let tear = Event::Tear { connection: id };
            self.schedule_at(at + Duration::from_micros(1), tear);
            return pieces;
        }
        while !rest.is_empty() {
            let chance = &mut self.links[peer].chance;
            let length = match chance.below(3) {
                0 => 1 + chance.below(rest.len() as u64) as usize,
                _ => rest.len(),
            };
            let (piece, left) = rest.split_at(length);
            let at = self.stream_arrival(id, peer, up);
            pieces.push((at, piece.into()));
            rest = left;
        }
        pieces
    }

    /// The messages that these bytes complete.
    fn framed(&mut self, id: u64, up: bool, bytes: &[u8]) -> Vec<Vec<u8>> {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Vec::new();
        };
        let framer = match up {
            true => &mut connection.up.framer,
            false => &mut connection.down.framer,
        };
        framer.push(bytes);
        let mut messages = Vec::new();
        while let Some(frame) = framer.next() {
            if let Frame::Message(message) = frame {
                messages.push(message.to_vec());
            }
        }
        messages
    }

    fn is_open(&self, connection: Option<u64>) -> bool {
        connection.is_none_or(|id| self.connections.get(&id).is_some_and(|each| each.open))
    }

    /// Bytes arrive at the server's machine.
    pub(crate) fn reach_server(&mut self, peer: usize, connection: Option<u64>, bytes: &[u8]) {
        if self.server.life.is_none() || !self.is_open(connection) {
            return;
        }
        match connection {
            None => self.message_to_server(peer, None, bytes),
            Some(id) => {
                for message in self.framed(id, true, bytes) {
                    self.message_to_server(peer, connection, &message);
                }
            }
        }
    }

    fn message_to_server(&mut self, peer: usize, connection: Option<u64>, bytes: &[u8]) {
        if self.refuse_on_the_way(peer, connection, bytes) {
            return;
        }
        let flow = Flow {
            transport: if connection.is_some() {
                Carrier::Tcp
            } else {
                Carrier::Udp
            },
            listener: ListenerId(u16::from(connection.is_some())),
            peer: connection
                .and_then(|id| self.connections.get(&id))
                .map_or(address(peer), |connection| connection.peer_end),
            connection: connection.map(Self::connection_id),
        };
        self.dispatch(flow, bytes);
    }

    /// A proxy answers instead of the server.
    fn refuse_on_the_way(&mut self, peer: usize, connection: Option<u64>, bytes: &[u8]) -> bool {
        let Some(refusals) = self.refusals.get_mut(peer) else {
            return false;
        };
        let Ok(message) = Message::parse(bytes) else {
            return false;
        };
        if !message.is_request() {
            return false;
        }
        let Some(branch) = message.via().ok().and_then(|via| via.branch) else {
            return false;
        };
        let known = self.refused.get(branch).copied();
        let Some((status, retry_after)) = known.or_else(|| refusals.pop_front()) else {
            return false;
        };
        self.refused
            .insert(branch.to_owned(), (status, retry_after));
        let mut out = Vec::new();
        let mut writer = response_to(
            &mut out,
            &message,
            status,
            "",
            Some("proxy"),
            Some(address(peer)),
        );
        if status == 423 {
            writer.header(Name::MinExpires, "700");
        }
        if retry_after > 0 {
            writer.header(Name::RetryAfter, retry_after.to_string());
        }
        writer.end(0);
        if self.broken.how == crate::breakage::Breakage::GivesUp {
            self.numbed.insert(peer);
        }
        self.note(|| format!("{peer} <- {} (a proxy)", summary(&out)));
        self.draw_at(peer, || format!("a proxy answers {}", summary(&out)));
        *self
            .tally
            .answers
            .entry((message.method().name().to_owned(), status))
            .or_default() += 1;
        match connection {
            Some(id) => {
                self.stream_to_peer(id, &out);
            }
            None => {
                let event = Event::ToPeer {
                    peer,
                    connection,
                    bytes: out.into(),
                };
                self.schedule(Duration::from_millis(1), event);
            }
        }
        true
    }

    /// The server sends a datagram to a peer.
    pub(crate) fn datagram_to_peer(&mut self, peer: usize, bytes: &[u8]) {
        let fates = self.fates(peer);
        let arrivals: Vec<Instant> = fates.iter().map(|after| self.at + *after).collect();
        self.draw_message(Way::Down(peer), "udp", bytes, &arrivals);
        let bytes: Arc<[u8]> = bytes.into();
        for after in fates {
            let event = Event::ToPeer {
                peer,
                connection: None,
                bytes: Arc::clone(&bytes),
            };
            self.schedule(after, event);
        }
    }

    /// The server sends by a connection that it names; false when that is gone.
    pub(crate) fn stream_to_peer(&mut self, id: u64, bytes: &[u8]) -> bool {
        let Some(peer) = self
            .connections
            .get(&id)
            .filter(|each| each.open)
            .map(|each| each.peer)
        else {
            return false;
        };
        let pieces = self.pieces(id, peer, false, bytes);
        self.draw_pieces(Way::Down(peer), bytes, &pieces);
        for (at, bytes) in pieces {
            let event = Event::ToPeer {
                peer,
                connection: Some(id),
                bytes,
            };
            self.schedule_at(at, event);
        }
        true
    }

    /// The server sends by a connection to this address, a new one where there is none. An error says what it learns and when.
    pub(crate) fn stream_to_address(
        &mut self,
        to: SocketAddr,
        peer: Option<usize>,
        bytes: &[u8],
    ) -> Result<(), (Undeliverable, Duration)> {
        let open = |connection: &&Connection| connection.open && connection.peer_end == to;
        let known = self
            .connections
            .iter()
            .rev()
            .find(|(_, each)| open(each))
            .map(|(id, _)| *id);
        let refused = (Undeliverable::NotConnected, Duration::from_millis(3));
        let id = match (known, peer.filter(|peer| *peer < self.links.len())) {
            (Some(id), _) => id,
            // Scripted peers know no TCP, and nobody listens but at his own port.
            (None, Some(peer)) if to == address(peer) && peer < self.people.len() => {
                self.connecting(peer)
                    .map_err(|after| (Undeliverable::NotConnected, after))?;
                let id = self.next_connection();
                let server_end = SocketAddr::new(SERVER.ip(), 20_000 + (id % 10_000) as u16);
                self.open(id, peer, to, server_end)
            }
            _ => return Err(refused),
        };
        self.stream_to_peer(id, bytes);
        Ok(())
    }

    /// Bytes arrive at a peer.
    pub(crate) fn reach_peer(&mut self, peer: usize, connection: Option<u64>, bytes: &[u8]) {
        if !self.is_open(connection) {
            return;
        }
        match connection {
            None => self.message_to_peer(peer, None, bytes),
            Some(id) => {
                for message in self.framed(id, false, bytes) {
                    self.message_to_peer(peer, connection, &message);
                }
            }
        }
    }

    fn message_to_peer(&mut self, peer: usize, connection: Option<u64>, bytes: &[u8]) {
        self.note(|| format!("{peer} <- {}", summary(bytes)));
        let from = connection
            .and_then(|id| self.connections.get(&id))
            .map_or(SERVER, |connection| connection.server_end);
        if peer < self.people.len() {
            let transport = if connection.is_some() {
                Transport::Tcp
            } else {
                Transport::Udp
            };
            let now = self.at;
            self.people[peer].agent.handle_message(
                now,
                Hop {
                    transport,
                    address: from,
                },
                bytes,
            );
            return self.drive_person(peer);
        }
        let odd = peer - self.people.len();
        if let Some(guest) = odd
            .checked_sub(self.odds.len())
            .and_then(|guest| self.guests.get_mut(guest))
        {
            return guest.inbox.push((self.at, bytes.into()));
        }
        if let Some(answer) = self.odds[odd].receive(from, bytes) {
            self.send_to_server(peer, false, &answer);
        }
        if let Some(what) = self.odds[odd].wronged.take() {
            self.witness.tell(self.at, &Happening::Misjudged(&what));
        }
    }

    pub(crate) fn person_unreachable(&mut self, peer: usize, tcp: bool, to: SocketAddr) {
        if peer < self.people.len() {
            let transport = if tcp { Transport::Tcp } else { Transport::Udp };
            let now = self.at;
            self.people[peer].agent.handle_unreachable(
                now,
                Hop {
                    transport,
                    address: to,
                },
            );
            self.drive_person(peer);
        }
    }

    /// Does what a person's agent wants.
    pub(crate) fn drive_person(&mut self, number: usize) {
        while let Some(output) = self.people[number].agent.poll_output() {
            match output {
                Output::Send { hop, bytes } if hop.transport == Transport::Tcp => {
                    self.note(|| format!("{number} => {}", summary(&bytes)));
                    self.stream_to_server(number, Some(hop.address), &bytes);
                }
                Output::Send { bytes, .. } => self.send_to_server(number, false, &bytes),
                Output::Show(event) => {
                    self.note(|| format!("{number} sees {}", shown(&event)));
                    let wanted = self.people[number].see(&event);
                    if self.is_traced() {
                        self.shown.push((self.at, number, event.clone()));
                    }
                    if wanted {
                        self.schedule(Duration::from_secs(10), Event::TryAgain(number));
                    }
                    self.witness.tell(
                        self.at,
                        &Happening::Shown {
                            who: number,
                            event: &event,
                            wanted,
                        },
                    );
                }
            }
        }
    }

    /// The connections of a peer break, at once or in the middle of what is sent next.
    pub(crate) fn break_connections(&mut self, peer: usize, at_once: bool) {
        let theirs = |each: &Connection| each.peer == peer && each.open;
        if !at_once {
            let doomed = self.connections.values_mut().filter(|each| theirs(each));
            return doomed.for_each(|connection| connection.doomed = true);
        }
        let broken: Vec<u64> = (self.connections.iter())
            .filter(|(_, each)| theirs(each))
            .map(|(id, _)| *id)
            .collect();
        for id in broken {
            self.break_connection(id);
        }
    }

    /// What is on its way is lost. Now and then the peer does not notice.
    pub(crate) fn break_connection(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id).filter(|each| each.open) else {
            return;
        };
        connection.open = false;
        let (peer, to) = (connection.peer, connection.server_end);
        let pending = connection.up.framer.pending() + connection.down.framer.pending();
        if pending > 0 {
            self.tally.torn_connections += 1;
            self.note(|| {
                format!("a connection of {peer} breaks after {pending} bytes of a message")
            });
        }
        if self.calm || self.chance.below(4) > 0 {
            let event = Event::Unreachable {
                peer,
                tcp: true,
                to,
            };
            self.schedule(Duration::from_millis(1), event);
        }
    }

    /// A peer's program is gone, and its connections with it.
    pub(crate) fn close_connections(&mut self, peer: usize) {
        for connection in self
            .connections
            .values_mut()
            .filter(|each| each.peer == peer)
        {
            connection.open = false;
        }
    }

    /// The server's process is gone, and every connection with it.
    pub(crate) fn close_all_connections(&mut self) {
        for peer in 0..self.links.len() {
            self.break_connections(peer, true);
        }
        self.connections.retain(|_, connection| connection.open);
    }
}

pub(crate) fn digest(bytes: &[u8]) -> u64 {
    Partitioner::new([7; 16]).hash(bytes)
}

/// A message in a line.
pub(crate) fn summary(bytes: &[u8]) -> String {
    let Ok(message) = Message::parse(bytes) else {
        return format!("{} bytes", bytes.len());
    };
    let text = |name| message.header_text(name).unwrap_or_default();
    let first = message.status().map_or_else(
        || format!("{} {}", message.method().name(), message.request_uri()),
        |status| format!("{status} {}", message.reason()),
    );
    let mut line = format!("{first} [{} {}", text(Name::CSeq), text(Name::CallId));
    for (label, name) in [
        ("state", Name::SubscriptionState),
        ("expires", Name::Expires),
        ("if", Name::SipIfMatch),
        ("tag", Name::SipEtag),
    ] {
        if let Some(value) = message.header_text(name) {
            line.push_str(&format!(" {label}={value}"));
        }
    }
    line.push(']');
    if !message.body().is_empty() {
        line.push_str(&notes(message.body()));
    }
    line
}

/// What a document says, in short: the notes of its tuples.
fn notes(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let notes: Vec<&str> = text
        .split("<note>")
        .skip(1)
        .map(|rest| rest.split(['<', 'x']).next().unwrap_or_default())
        .collect();
    format!(" {{{}}}", notes.join(" "))
}

fn shown(event: &agent::Event) -> String {
    match event {
        agent::Event::Notified {
            phase,
            reason,
            body,
            ..
        } => {
            format!(
                "{phase:?} {}{}",
                reason.as_deref().unwrap_or_default(),
                notes(body)
            )
        }
        other => format!("{other:?}"),
    }
}
