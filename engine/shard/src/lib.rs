//! One slice of users: composes the engines below for the partitions it owns.
//! Owns: every state of its users, the queue of deadlines, what waits for durability.
//! Takes: messages, durability, names resolved, settings, the time.   Gives: `Output`s in order.
//! Never: sockets, clocks, files, tasks.

mod directory;
mod dispatch;
mod documents;
mod face;
mod gate;
mod hops;
mod identity;
pub mod inputs;
mod merged;
mod notifies;
pub mod outputs;
mod policy;
pub mod record;
mod requests;
mod shard;

pub use crate::documents::{DocumentAnswer, DocumentRequest, OPERATOR};
pub use directory::Directory;
pub use dispatch::Dispatch;
pub use events::Counts;
pub use events::watcher::Believed;
pub use inputs::{ConnectionId, Flow, Undeliverable};
pub use machine::Cause;
pub use machine::settings;
pub use outputs::{Destination, Output, Send};
pub use policy::{Explained, OwnersLists, Question, Table, Told};
pub use record::{Event, Happened};
pub use shard::{Room, Shard, Start};
