//! What a shard wants done: one closed enum. `runtime/node` (or the simulator) does it.

use std::net::SocketAddr;

use bytes::Bytes;
use machine::{Batch, Cause, DocumentWrite};

use crate::documents::DocumentAnswer;
use crate::inputs::ConnectionId;
use crate::policy::{Explained, Told};
use crate::record::Event;
use crate::settings::{ListenerId, Transport};

/// A deed. Outputs of one shard are done in order.
#[derive(Debug)]
pub enum Output {
    /// Hand to the store; once durable, `Shard::handle_durable(batch.sequence)`.
    Commit(Batch),
    /// Send a message. Only what may leave now is ever put out: the shard itself waits for durability.
    Send(Send),
    /// Hand to the store of documents; once it is durable, or cannot be, `Shard::handle_kept(write.sequence, …)`, in this order.
    Keep(DocumentWrite),
    /// Tell another shard, which then has `Shard::handle_told(…)`.
    Tell(u16, Told),
    /// Answer a request of XCAP.
    Answered(DocumentAnswer),
    /// Answer a question of `Shard::handle_explain`; none: the presentity is not served here.
    Explained(u64, Option<Box<Explained>>),
    /// Look a host name up; answer with `Shard::handle_resolved(name, …)`.
    Resolve(String),
    /// Something happened, of this input: for logs, counters, traces.
    Record(Cause, Event),
}

/// One message and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// Where.
    pub to: Destination,
    /// Start line, header section and the empty line.
    pub head: Vec<u8>,
    /// The body, shared by every message that carries the same view.
    pub body: Bytes,
    /// Non-zero: failure is reported by `Shard::handle_undeliverable(token, …)`.
    pub token: u64,
    /// The input that it came of.
    pub cause: Cause,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A datagram from this listener's socket.
    Datagram {
        /// From which socket.
        listener: ListenerId,
        /// To where.
        to: SocketAddr,
    },
    /// This connection; when it is closed: `otherwise` by a new one, or undeliverable.
    Connection {
        /// Which.
        connection: ConnectionId,
        /// Where to connect when it is gone (RFC 3261 §18.2.2).
        otherwise: Option<SocketAddr>,
        /// For whom a new connection would be.
        listener: ListenerId,
    },
    /// A connection to this address: one that exists with this peer, else a new one.
    Stream {
        /// What to speak on it.
        transport: Transport,
        /// For whom it is opened; requests that come on it belong to this listener.
        listener: ListenerId,
        /// To where.
        to: SocketAddr,
        /// How long connecting may take, in milliseconds.
        connect_ms_max: u32,
    },
}
