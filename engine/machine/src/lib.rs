//! What every machine is made of: time as an argument, partitions, batches, timers, bounds, what can happen.
//! Owns: nothing but the types.   Takes: time and randomness as values.
//! Gives: `Now`, `Partition`, `Batch`, `Wheel`, `Limits`, the form of the lists of what can happen.
//! Never: a clock, a socket, a file, a thread.

pub mod batch;
mod document;
pub mod happening;
pub mod limits;
pub mod partition;
pub mod random;
pub mod settings;
pub mod time;
pub mod wheel;

pub use batch::{Batch, Key, Op, Record};
pub use document::{DocumentName, DocumentWrite, StoredDocument};
pub use happening::Cause;
pub use limits::Limits;
pub use partition::{PARTITIONS, Partition, Partitioner};
pub use random::Random;
pub use time::{Instant, Now, Wall};
pub use wheel::{TimerId, Wheel};
