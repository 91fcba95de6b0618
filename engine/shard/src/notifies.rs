//! The way of a NOTIFY: next hop, transport, window, and what happens when it can't be taken (standards C6).

use std::net::{IpAddr, SocketAddr};

use events::sending::{Notify, Way};
use events::subscription::{Origin, Subscription};
use machine::Key;
use machine::settings::{ListenerId, Transport};
use sip::Uri;

use crate::face::{Face, NO_FACE};
use crate::gate::Held;
use crate::hops::Resolved;
use crate::inputs::ConnectionId;
use crate::outputs::{Destination, Output, Send};
use crate::record::Happened;
use crate::shard::Shard;

/// RFC 3261 §18.1.1: larger requests leave by a congestion-controlled transport where the path MTU is unknown.
const REQUEST_BYTES_MAX: usize = 1300;

/// A large request falls back to UDP after so long without a connection.
const CONNECT_FOR_SIZE_MS_MAX: u32 = 500;

/// A connection that the next hop's URI asks for is given so long.
const CONNECT_MS_MAX: u32 = 4_000;

/// By what way a NOTIFY would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hop {
    transport: Transport,
    to: SocketAddr,
    /// The flow that the SUBSCRIBE came by is this hop.
    connection: Option<ConnectionId>,
}

/// By what way a NOTIFY goes.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    hop: Hop,
    listener: ListenerId,
    /// A stream is taken for the size only (RFC 3261 §18.1.1).
    for_size: bool,
    /// Whose Contact is the dialog's, whatever way this one NOTIFY takes.
    home: (ListenerId, Transport),
}

impl Chosen {
    fn way(self, faces: &[Face], window: u32) -> Way<'_> {
        let face = |listener: ListenerId| faces.get(usize::from(listener.0)).unwrap_or(&NO_FACE);
        Way {
            via_transport: self.hop.transport.name(),
            sent_by: &face(self.listener).sent_by,
            contact: face(self.home.0).contact(self.home.1),
            for_size: self.for_size,
            hop: window,
        }
    }
}

/// Whether the way is known.
enum Found {
    Hop(Hop),
    /// A name is being looked up; the subscription waits for it.
    Later,
    Nowhere,
}

impl Shard {
    /// Composes and sends the NOTIFY that a subscription is owed, or leaves it waiting for its hop.
    pub(crate) fn notify(&mut self, key: Key) {
        let Some(chosen) = self.choose(key) else {
            return;
        };
        let hop = chosen.hop;
        let window = self.settings.limits.unanswered_per_hop_max;
        let Some(id) = self.hops.enter((hop.transport, hop.to), window, key) else {
            return self.events.park(key);
        };
        let head = self.new_head();
        let way = chosen.way(&self.faces, id);
        let Some(notify) = self.events.compose_notify(self.now, key, way, head) else {
            self.hops.leave(id);
            return;
        };
        self.hold_notify(notify, chosen);
    }

    /// Sends what is in flight once more.
    pub(crate) fn resend(&mut self, key: Key) {
        self.send_again(key, false);
    }

    /// A large NOTIFY got no connection: by UDP, as another transaction, and so for the next ten minutes.
    pub(crate) fn fall_back_to_datagram(&mut self, key: Key) {
        if let Found::Hop(hop) = self.find_hop(key) {
            self.hops.stream_refused(self.now.monotonic, hop.to);
            self.happens(Happened::NotifyFellBack {});
        }
        self.send_again(key, true);
    }

    fn send_again(&mut self, key: Key, another_transport: bool) {
        let Some(chosen) = self.choose(key) else {
            return;
        };
        let head = self.new_head();
        let way = chosen.way(&self.faces, 0);
        let notify = self
            .events
            .recompose_notify(key, way, head, another_transport);
        let Some(notify) = notify else {
            return;
        };
        let running = self
            .events
            .subscription(key)
            .and_then(|subscription| subscription.in_flight.as_ref())
            .is_some_and(|flight| flight.client.is_some());
        if running && !another_transport {
            self.send_now(notify_send(notify, chosen));
        } else {
            self.hold_notify(notify, chosen);
        }
    }

    fn hold_notify(&mut self, notify: Notify, chosen: Chosen) {
        let key = notify.key;
        let flight = self
            .events
            .subscription(key)
            .and_then(|subscription| subscription.in_flight.as_ref());
        let Some(cseq) = flight.map(|flight| flight.cseq) else {
            return;
        };
        let send = notify_send(notify, chosen);
        self.hold(Held::Notify {
            key,
            cseq,
            send,
            reliable: chosen.hop.transport.is_reliable(),
        });
    }

    /// Next hop and listener for what a subscription is owed; `None`: not now.
    fn choose(&mut self, key: Key) -> Option<Chosen> {
        let mut hop = match self.find_hop(key) {
            Found::Hop(hop) => hop,
            Found::Later => {
                self.events.park(key);
                return None;
            }
            Found::Nowhere => {
                self.events.notify_unresolvable(self.now, key);
                return None;
            }
        };
        let mut for_size = false;
        if hop.transport == Transport::Udp {
            let limit = match self.settings.path_mtu {
                0 => REQUEST_BYTES_MAX,
                mtu => (mtu as usize).saturating_sub(200),
            };
            if self.events.notify_bytes(key) > limit
                && !self.hops.is_stream_refused(self.now.monotonic, hop.to)
            {
                hop.transport = Transport::Tcp;
                for_size = true;
            }
        }
        let origin = self.events.subscription(key)?.origin();
        let Some(listener) = self.listener_for(origin, hop) else {
            // Nothing of ours speaks that family or transport.
            self.events.notify_unresolvable(self.now, key);
            return None;
        };
        Some(Chosen {
            hop,
            listener,
            for_size,
            home: self.home_of(origin, listener),
        })
    }

    /// The listener that a dialog came by. After a start with others that is the first of its transport, else the one that sends.
    fn home_of(&self, origin: Origin, sender: ListenerId) -> (ListenerId, Transport) {
        let listeners = &self.settings.listeners;
        let speaks = |id: &ListenerId| {
            listeners
                .get(usize::from(id.0))
                .is_some_and(|listener| listener.transport == origin.transport)
        };
        let mut all = (0..listeners.len() as u16).map(ListenerId);
        let same = Some(origin.listener)
            .filter(speaks)
            .or_else(|| all.find(speaks));
        match (same, listeners.get(usize::from(sender.0))) {
            (Some(same), _) => (same, origin.transport),
            (None, Some(listener)) => (sender, listener.transport),
            (None, None) => (sender, origin.transport),
        }
    }

    /// What we send leaves by the listener its dialog came by, else by the first with that transport and family.
    fn listener_for(&self, origin: Origin, hop: Hop) -> Option<ListenerId> {
        let listeners = &self.settings.listeners;
        let fits = |id: ListenerId| {
            listeners.get(usize::from(id.0)).is_some_and(|listener| {
                listener.transport == hop.transport && listener.bound.is_ipv4() == hop.to.is_ipv4()
            })
        };
        if fits(origin.listener) {
            return Some(origin.listener);
        }
        (0..listeners.len() as u16)
            .map(ListenerId)
            .find(|id| fits(*id))
            .or_else(|| {
                // A stream may be opened without a listener of its kind; answers come back on it.
                let any = (0..listeners.len() as u16).map(ListenerId);
                any.into_iter().find(|_| hop.transport.is_reliable())
            })
    }

    fn find_hop(&mut self, key: Key) -> Found {
        let Some(subscription) = self.events.subscription(key) else {
            return Found::Nowhere;
        };
        let Origin {
            transport,
            peer,
            connection,
            is_next_hop,
            ..
        } = subscription.origin();
        if is_next_hop {
            // A connection that is gone (after a start all are) is opened anew to where the next hop listens, not to the
            // port that the peer happened to connect from.
            let to = match transport.is_reliable().then(|| next_hop(subscription)) {
                Some(Some(Next::Address(_, to))) => to,
                _ => peer,
            };
            return Found::Hop(Hop {
                transport,
                to,
                connection: connection.map(ConnectionId),
            });
        }
        let (host, port, transport) = match next_hop(subscription) {
            Some(Next::Address(transport, to)) => {
                return Found::Hop(Hop {
                    transport,
                    to,
                    connection: None,
                });
            }
            Some(Next::Name(host, port, transport)) => (host, port, transport),
            None => return Found::Nowhere,
        };
        if let Some(places) = self.settings.hosts.get(&host) {
            // `[routing] hosts`: in order of preference, by the transport that was asked for where one was.
            let fitting = places
                .iter()
                .find(|(kind, _)| transport.is_none_or(|asked| asked == *kind));
            return fitting.map_or(Found::Nowhere, |(transport, to)| {
                Found::Hop(Hop {
                    transport: *transport,
                    to: *to,
                    connection: None,
                })
            });
        }
        match self.hops.resolve(self.now.monotonic, &host, key) {
            Resolved::Address(address) => Found::Hop(Hop {
                transport: transport.unwrap_or(Transport::Udp),
                to: SocketAddr::new(address, port),
                connection: None,
            }),
            Resolved::Ask => {
                self.happens(Happened::NameAsked { name: host.clone() });
                self.outputs.push_back(Output::Resolve(host));
                Found::Later
            }
            Resolved::Awaited => Found::Later,
            Resolved::NotFound => Found::Nowhere,
        }
    }
}

fn notify_send(notify: Notify, chosen: Chosen) -> Send {
    let Chosen {
        hop,
        listener,
        for_size,
        ..
    } = chosen;
    let connect_ms_max = if for_size {
        CONNECT_FOR_SIZE_MS_MAX
    } else {
        CONNECT_MS_MAX
    };
    let to = match (hop.connection, hop.transport) {
        (Some(connection), _) => Destination::Connection {
            connection,
            otherwise: Some(hop.to),
            listener,
        },
        (None, Transport::Udp) => Destination::Datagram {
            listener,
            to: hop.to,
        },
        (None, transport) => Destination::Stream {
            transport,
            listener,
            to: hop.to,
            connect_ms_max,
        },
    };
    Send {
        to,
        head: notify.head,
        body: notify.body,
        token: notify.key.to_bits(),
        cause: notify.cause,
    }
}

enum Next {
    Address(Transport, SocketAddr),
    Name(String, u16, Option<Transport>),
}

/// The topmost Route, else the remote target (RFC 3261 §8.1.2), as far as its URI tells.
fn next_hop(subscription: &Subscription) -> Option<Next> {
    if let Some(address) = subscription.dialog.plain_next_hop() {
        // RFC 3263 §4.1: UDP for a sip URI with an address and no transport.
        return Some(Next::Address(Transport::Udp, address.into()));
    }
    let uri = Uri::parse(subscription.dialog.next_hop()).ok()?;
    if uri.scheme == sip::Scheme::Sips {
        // A route that needs TLS: nothing goes there in the clear.
        return None;
    }
    let transport = match uri.param("transport") {
        Some(name) if name.eq_ignore_ascii_case("tcp") => Some(Transport::Tcp),
        Some(name) if name.eq_ignore_ascii_case("udp") => Some(Transport::Udp),
        Some(_) => return None,
        None => None,
    };
    let maddr = uri.param("maddr").unwrap_or(uri.host);
    if maddr.is_empty() {
        return None;
    }
    let port = uri.port.unwrap_or(5060);
    let address: Option<IpAddr> = maddr
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok();
    Some(match address {
        // RFC 3263 §4.1: UDP for a sip URI with an address and no transport.
        Some(address) => Next::Address(
            transport.unwrap_or(Transport::Udp),
            SocketAddr::new(address, port),
        ),
        None => Next::Name(maddr.to_ascii_lowercase(), port, transport),
    })
}
