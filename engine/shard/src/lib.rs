//! One slice of users: composes the engines below for the partitions it owns.
//! Owns: every state of its users, the queue of deadlines, what waits for durability.
//! Takes: messages, durability, names resolved, settings, the time.   Gives: `Output`s in order.
//! Never: sockets, clocks, files, tasks.

pub mod inputs;
pub mod outputs;
pub mod record;
pub use machine::settings;
