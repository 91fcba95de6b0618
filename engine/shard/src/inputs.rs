//! What arrives at a shard besides messages: see the `handle_*` methods of `Shard`.

use std::net::SocketAddr;

use crate::settings::{ListenerId, Transport};

/// Names one stream connection; never used twice in one life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// How a message came, and how an answer may go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// What carried it.
    pub transport: Transport,
    /// By which of our listeners (for a connection that we opened: the one it was opened for).
    pub listener: ListenerId,
    /// Source address of the datagram or the connection.
    pub peer: SocketAddr,
    /// The connection, on a stream.
    pub connection: Option<ConnectionId>,
}

/// Why something could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undeliverable {
    /// No connection within `connect_ms_max`, or refused.
    NotConnected,
    /// The connection is gone, or its peer reads too slowly and its queue is full.
    Closed,
    /// The datagram was refused by the kernel (no route, too large, port unreachable).
    Refused,
}
