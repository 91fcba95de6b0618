//! A running presence node: shards on threads, sockets, store and clock around them; outputs become deeds here.
//! Owns: the threads, the sockets, the mailboxes between them, the bounds per source, the clock.
//! Takes: settings, an opened store, signals as method calls.   Gives: listeners, readiness, status, failure.
//! Never: what a message means (beyond who it belongs to), what a record holds, files of its own.

mod bind;
mod clock;
mod credit;
mod crew;
mod documents;
mod engine;
mod kernel;
mod mailbox;
mod node;
mod observer;
mod overload;
mod readiness;
mod resolver;
mod room;
mod shared;
mod sources;
mod start;
mod tally;
mod thread;

#[cfg(test)]
mod tests;

pub use bind::{BindError, BindReason};
pub use clock::Clock;
pub use documents::Documents;
pub use kernel::UdpStatus;
pub use node::{Node, Status, Stopped};
pub use observer::Observer;
pub use readiness::Readiness;
pub use shard::{Counts, Event as Happening, Room};
pub use start::{Start, StartError};
pub use tally::{Happenings, Tally};
