//! Durable soft state: a journal of what the shards decided, and its twin in memory.
//! Owns: the data folder, the segments and their index, the thread that writes and syncs.
//! Takes: batches in the order of their decisions.   Gives: what is durable, whether there is room, every live object at start.
//! Never: the meaning of a record, sockets, tasks, the wall clock.

pub mod contract;
pub mod error;
pub mod journal;
pub mod memory;
pub mod report;

pub use contract::{Identity, Observer, Recovered, Status, Store};
pub use error::StoreError;
pub use journal::{Clock, Commit, Options, examine, open};
pub use memory::Memory;
pub use report::{Damage, Report};
