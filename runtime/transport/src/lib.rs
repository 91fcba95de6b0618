//! Bytes on the wire: datagrams in batches, streams framed, nobody waits for a slow peer.
//! Owns: sockets, stream connections, the bounded queues in front of them.
//! Takes: `shard::outputs::Send`s.   Gives: datagrams, framed messages, reports of what could not be sent.
//! Never: what a message means (beyond its length), which shard it belongs to, users, storage.

mod connection;
mod queue;

pub mod inbox;
pub mod socket;
pub mod steering;
pub mod streams;
pub mod udp;

pub use inbox::{Gather, Inbox};
pub use streams::{Bounds, StreamCounts, Streams};
