//! Stream connections: accepted, opened, found again, bounded. Their bytes move in `connection`.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use shard::inputs::{ConnectionId, Flow, Undeliverable};
use shard::outputs::{Destination, Send};
use shard::settings::{ListenerId, Transport};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::connection;
use crate::inbox::Inbox;
use crate::queue::{Piece, Queue, Refusal};

/// How long connecting may take when an answer's own connection is gone (RFC 3261 §18.2.2), in milliseconds.
const CONNECT_OTHERWISE_MS_MAX: u32 = 4_000;

/// How long accepting rests after the system refused a connection (no descriptors left): it would refuse the next too.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What holds for every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Header section of a message; beyond it: 513, or the connection ends.
    pub head_bytes_max: usize,
    /// Body of a message; beyond it: 413.
    pub body_bytes_max: usize,
    /// Bytes waiting towards one peer; beyond it its connection ends.
    pub queue_bytes_max: usize,
    /// Accepted connections from one address, unless free of it; beyond it: closed at once.
    pub per_source_max: u32,
    /// Connections in all, for the sake of descriptors; beyond it: closed at once, or `NotConnected`.
    pub connections_max: usize,
    /// Without any byte in either direction for so long: closed.
    pub idle_max: Duration,
    /// From the first byte of a message to its last: closed beyond (slowloris).
    pub message_max: Duration,
    /// Bytes waiting, and the peer takes none for so long: closed.
    pub stall_max: Duration,
    /// How long answers may still leave after the peer ended its direction right behind a message.
    pub linger_max: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            head_bytes_max: 65_536,
            body_bytes_max: 65_536,
            queue_bytes_max: 4_194_304,
            per_source_max: 100,
            connections_max: 10_000,
            idle_max: Duration::from_secs(600),
            message_max: Duration::from_secs(30),
            stall_max: Duration::from_secs(30),
            linger_max: Duration::from_secs(1),
        }
    }
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Connections open now.
    pub open: u64,
    /// Accepted ever.
    pub accepted: u64,
    /// Opened by us ever.
    pub connected: u64,
    /// Refused for the bound per source or in all, or by the system.
    pub refused: u64,
    /// Ended because the peer did not read.
    pub stalled: u64,
    /// Ended because of what the peer sent, or how slowly.
    pub offended: u64,
    /// Messages received.
    pub received: u64,
    /// Messages written.
    pub sent: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) connected: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) stalled: AtomicU64,
    pub(crate) offended: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// One connection as the others see it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) flow: Flow,
    pub(crate) id: ConnectionId,
    pub(crate) queue: Queue,
    /// Counts against the bound per source.
    limited: bool,
}

type Peer = (Transport, ListenerId, SocketAddr);

impl Connection {
    fn peer(&self) -> Peer {
        (self.flow.transport, self.flow.listener, self.flow.peer)
    }
}

struct Table {
    connections: HashMap<ConnectionId, Arc<Connection>>,
    by_peer: HashMap<Peer, ConnectionId>,
    per_source: HashMap<IpAddr, u32>,
    bounds: Bounds,
    next: u64,
}

/// Every stream connection of the process. Cheap to clone; its calls never wait.
#[derive(Clone)]
pub struct Streams {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    table: Mutex<Table>,
    runtime: Handle,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) counters: Counters,
    stopping: watch::Sender<bool>,
    emptied: Notify,
    /// From where connections of a listener are opened.
    local: HashMap<ListenerId, SocketAddr>,
}

impl Streams {
    /// Serves `listeners` with tasks on `runtime`, once `open` says so. Connections can be opened at once.
    pub fn new(
        runtime: Handle,
        inbox: Arc<dyn Inbox>,
        bounds: Bounds,
        local: impl IntoIterator<Item = (ListenerId, SocketAddr)>,
    ) -> Self {
        let table = Table {
            connections: HashMap::new(),
            by_peer: HashMap::new(),
            per_source: HashMap::new(),
            bounds,
            next: 1,
        };
        let shared = Shared {
            table: Mutex::new(table),
            runtime,
            inbox,
            counters: Counters::default(),
            stopping: watch::Sender::new(false),
            emptied: Notify::new(),
            local: local.into_iter().collect(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Begins to accept on a socket that listens and doesn't block.
    pub fn open(&self, listener: ListenerId, socket: std::net::TcpListener) -> std::io::Result<()> {
        let _entered = self.shared.runtime.enter();
        let socket = TcpListener::from_std(socket)?;
        self.shared
            .runtime
            .spawn(accept(Arc::clone(&self.shared), listener, socket));
        Ok(())
    }

    /// Sends what a shard put out for streams, in its order; never waits. What cannot go is reported to the inbox.
    pub fn send(&self, shard: u16, sends: impl IntoIterator<Item = Send>) {
        let mut failed = Vec::new();
        {
            let mut table = self.shared.lock();
            for send in sends {
                let Send {
                    to,
                    head,
                    body,
                    token,
                    ..
                } = send;
                let piece = Piece {
                    head,
                    body,
                    shard,
                    token,
                };
                if let Err(failure) = Shared::send(&self.shared, &mut table, to, piece) {
                    failed.push(failure);
                }
            }
        }
        for (why, piece) in failed {
            self.shared.report(&piece, why);
        }
    }

    /// Other bounds from now on; open connections keep their framing.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.shared.lock().bounds = bounds;
    }

    /// Stops accepting, and ends each connection once what waits for it is written. Complete when all have ended.
    pub async fn stop(&self) {
        self.shared.stopping.send_replace(true);
        loop {
            let emptied = self.shared.emptied.notified();
            if self.shared.lock().connections.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// What happened so far.
    pub fn counts(&self) -> StreamCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.shared.counters;
        StreamCounts {
            open: self.shared.lock().connections.len() as u64,
            accepted: get(&counters.accepted),
            connected: get(&counters.connected),
            refused: get(&counters.refused),
            stalled: get(&counters.stalled),
            offended: get(&counters.offended),
            received: get(&counters.received),
            sent: get(&counters.sent),
        }
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

type Failure = (Undeliverable, Piece);

impl Shared {
    fn send(
        self: &Arc<Self>,
        table: &mut Table,
        to: Destination,
        piece: Piece,
    ) -> Result<(), Failure> {
        match to {
            Destination::Connection {
                connection,
                otherwise,
                listener,
            } => {
                let bytes_max = table.bounds.queue_bytes_max;
                let piece = match table.connections.get(&connection) {
                    None => piece,
                    Some(open) => match open.queue.push(piece, bytes_max) {
                        Ok(()) => return Ok(()),
                        Err((Refusal::Overflow, piece)) => {
                            return Err((Undeliverable::Closed, piece));
                        }
                        Err((Refusal::Ended, piece)) => piece,
                    },
                };
                // RFC 3261 §18.2.2: the connection is gone, so the answer goes by a new one to where the caller says.
                let Some(to) = otherwise else {
                    return Err((Undeliverable::Closed, piece));
                };
                self.send_to_peer(
                    table,
                    (Transport::Tcp, listener, to),
                    CONNECT_OTHERWISE_MS_MAX,
                    piece,
                )
            }
            Destination::Stream {
                transport,
                listener,
                to,
                connect_ms_max,
            } => self.send_to_peer(table, (transport, listener, to), connect_ms_max, piece),
            Destination::Datagram { .. } => Err((Undeliverable::Refused, piece)),
        }
    }

    fn send_to_peer(
        self: &Arc<Self>,
        table: &mut Table,
        peer: Peer,
        connect_ms_max: u32,
        piece: Piece,
    ) -> Result<(), Failure> {
        let bytes_max = table.bounds.queue_bytes_max;
        let found = table
            .by_peer
            .get(&peer)
            .and_then(|id| table.connections.get(id));
        let piece = match found {
            None => piece,
            Some(open) => match open.queue.push(piece, bytes_max) {
                Ok(()) => return Ok(()),
                Err((Refusal::Overflow, piece)) => return Err((Undeliverable::Closed, piece)),
                Err((Refusal::Ended, piece)) => piece,
            },
        };
        if peer.0 != Transport::Tcp || *self.stopping.borrow() || !table.has_room() {
            return Err((Undeliverable::NotConnected, piece));
        }
        let opened = table.insert(peer, false);
        let outcome = opened
            .queue
            .push(piece, bytes_max)
            .map_err(|(_, piece)| (Undeliverable::Closed, piece));
        let bounds = table.bounds;
        self.runtime.spawn(connect(
            Arc::clone(self),
            opened,
            bounds,
            Duration::from_millis(connect_ms_max.into()),
        ));
        outcome
    }

    /// The connection has ended: nobody finds it any more, and what it had not written is reported.
    pub(crate) fn ended(
        &self,
        connection: &Arc<Connection>,
        why: Undeliverable,
        unwritten: impl IntoIterator<Item = Piece>,
    ) {
        let never_taken = connection.queue.end();
        {
            let mut table = self.lock();
            table.forget_peer(connection);
            table.connections.remove(&connection.id);
            if connection.limited
                && let Some(count) = table.per_source.get_mut(&connection.flow.peer.ip())
            {
                *count -= 1;
                if *count == 0 {
                    table.per_source.remove(&connection.flow.peer.ip());
                }
            }
            if table.connections.is_empty() {
                self.emptied.notify_waiters();
            }
        }
        for piece in unwritten.into_iter().chain(never_taken) {
            self.report(&piece, why);
        }
    }

    /// The peer has ended its direction: requests go by another connection, answers may still go by this one.
    pub(crate) fn half_ended(&self, connection: &Arc<Connection>) {
        self.lock().forget_peer(connection);
    }

    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    fn report(&self, piece: &Piece, why: Undeliverable) {
        if piece.token != 0 {
            self.inbox.undeliverable(piece.shard, piece.token, why);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No code panics while it holds the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn has_room(&self) -> bool {
        self.connections.len() < self.bounds.connections_max
    }

    fn insert(&mut self, peer: Peer, limited: bool) -> Arc<Connection> {
        let id = ConnectionId(self.next);
        self.next += 1;
        let (transport, listener, address) = peer;
        let flow = Flow {
            transport,
            listener,
            peer: address,
            connection: Some(id),
        };
        let connection = Arc::new(Connection {
            flow,
            id,
            queue: Queue::default(),
            limited,
        });
        self.connections.insert(id, Arc::clone(&connection));
        self.by_peer.insert(peer, id);
        connection
    }

    fn forget_peer(&mut self, connection: &Connection) {
        let peer = connection.peer();
        if self.by_peer.get(&peer) == Some(&connection.id) {
            self.by_peer.remove(&peer);
        }
    }

    /// A place for a connection that a peer opened, unless a bound is reached.
    fn admit(&mut self, peer: Peer, limited: bool) -> Option<Arc<Connection>> {
        if !self.has_room() {
            return None;
        }
        if limited {
            let max = self.bounds.per_source_max;
            let count = self.per_source.entry(peer.2.ip()).or_insert(0);
            if *count >= max {
                return None;
            }
            *count += 1;
        }
        Some(self.insert(peer, limited))
    }
}

async fn accept(shared: Arc<Shared>, listener: ListenerId, socket: TcpListener) {
    let mut stopping = shared.stopping();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let limited = !shared.inbox.is_unlimited(listener, address.ip());
                let (admitted, bounds) = {
                    let mut table = shared.lock();
                    (
                        table.admit((Transport::Tcp, listener, address), limited),
                        table.bounds,
                    )
                };
                if let Some(connection) = admitted {
                    count(&shared.counters.accepted);
                    tokio::spawn(connection::run(
                        Arc::clone(&shared),
                        connection,
                        stream,
                        bounds,
                    ));
                } else {
                    count(&shared.counters.refused);
                }
            }
            Err(error) => {
                count(&shared.counters.refused);
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn connect(shared: Arc<Shared>, connection: Arc<Connection>, bounds: Bounds, max: Duration) {
    let Flow { listener, peer, .. } = connection.flow;
    let local = shared.local.get(&listener).copied();
    match tokio::time::timeout(max, connect_from(local, peer)).await {
        Ok(Ok(stream)) => {
            count(&shared.counters.connected);
            connection::run(shared, connection, stream, bounds).await;
        }
        refused_or_late => {
            if let Ok(Err(error)) = refused_or_late {
                tracing::debug!(%peer, %error, "no connection");
            }
            shared.ended(&connection, Undeliverable::NotConnected, []);
        }
    }
}

/// Connects from the listener's own address where that can reach the peer, so that the peer sees who it is.
async fn connect_from(local: Option<SocketAddr>, peer: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = if peer.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(local) = local.map(|local| local.ip())
        && !local.is_unspecified()
        && local.is_ipv4() == peer.is_ipv4()
        && (!local.is_loopback() || peer.ip().is_loopback())
    {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    socket.connect(peer).await
}
