//! What every store promises. The conformance suite (`tests/conformance.rs`) holds each to it.

use std::sync::Arc;

use machine::{Batch, Key};

use crate::StoreError;

/// What a store keeps for ever about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Random at creation; users map to partitions by it.
    pub hash_key: [u8; 16],
    /// How often the store was opened, this time included. Durable before anybody learns it: no number is given twice.
    pub starts: u32,
}

/// A store that is open and recovered, but takes nothing yet.
pub trait Recovered: Send {
    /// Who this store is, and which life this is.
    fn identity(&self) -> Identity;

    /// Every live object once, in order of key: the bytes of its latest `Put`, then of the `Append`s since, in order.
    ///
    /// # Errors
    /// When what was readable a moment ago no longer is.
    fn replay(&mut self, each: &mut dyn FnMut(Key, Vec<Vec<u8>>)) -> Result<(), StoreError>;

    /// Begins to take batches.
    ///
    /// # Errors
    /// When the thread or the first segment can't be had.
    fn start(self: Box<Self>, observer: Arc<dyn Observer>) -> Result<Arc<dyn Store>, StoreError>;
}

/// A store at work. All of it may be called from any thread.
pub trait Store: Send + Sync {
    /// Takes a batch; never blocks on the disk. The order of calls is the order of the journal, across all shards: what is
    /// durable is always a prefix of it. Whoever lets another shard see something of a batch submits the batch first.
    /// Once the store has failed or is closed, batches are dropped and never reported durable.
    fn submit(&self, batch: Batch);

    /// False: refuse new state now (the disk is nearly full, or far behind, or has failed). Removals and refreshes go on from a reserve.
    fn room(&self) -> bool;

    /// What there is, for status and metrics.
    fn status(&self) -> Status;

    /// Makes durable what was submitted, reports it, and lets go of everything. A second call does nothing.
    ///
    /// # Errors
    /// The failure that was reported to the observer, if there was one.
    fn close(&self) -> Result<(), StoreError>;
}

/// Who wants to know what became of the batches. Called from the store's own thread (the store in memory: from within
/// `submit` or `step`); it must not block.
pub trait Observer: Send + Sync {
    /// Every batch of `shard` up to `sequence` is durable. Sequences only grow.
    fn durable(&self, shard: u16, sequence: u64);

    /// The store can't go on: called once, nothing is reported durable afterwards. Nothing was retried and nothing can be
    /// taken back, so the process says so and ends; the next start replays what was durable.
    fn failed(&self, failure: &StoreError);
}

/// Sizes of a store at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Live objects.
    pub objects: u64,
    /// Bytes that a fresh copy of the live objects would take.
    pub live_bytes: u64,
    /// Bytes of all segments, preallocated ones included.
    pub disk_bytes: u64,
    /// How many segments there are, the preallocated one included.
    pub segments: u64,
    /// How often the disk was asked to sync.
    pub syncs: u64,
    /// Bytes submitted and not yet written.
    pub queued_bytes: u64,
    /// Live bytes that the cleaner wrote again.
    pub copied_bytes: u64,
}
