//! What is durable: a journal of what the shards decided (soft state), documents and users in SQLite, and a twin in memory of each.
//! Owns: the data folder, the segments and their index, the file of documents, the threads that write and sync.
//! Takes: batches and documents in the order of their decisions.   Gives: what is durable, whether there is room, every live object at start.
//! Never: the meaning of a record, sockets, tasks, the wall clock.

pub mod contract;
pub mod documents;
pub mod error;
pub mod journal;
pub mod memory;
pub mod report;

pub use contract::{Identity, Observer, Recovered, Status, Store};
pub use error::StoreError;
pub use journal::{Clock, Commit, Options, examine, open};
pub use memory::Memory;
pub use report::{Damage, Report};
