//! The store in memory: the same semantics, a crash at will, and time by hand.
//!
//! `Memory` is the disk: it outlives its stores, so a test or the simulator opens it, crashes, and opens it again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use machine::{Batch, Key, Op, Random};

use crate::{Identity, Observer, Recovered, Status, Store, StoreError};

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    hash_key: [u8; 16],
    starts: u32,
    objects: BTreeMap<Key, Vec<Vec<u8>>>,
    /// Submitted, not yet durable, in order.
    pending: VecDeque<Batch>,
    /// Whether batches wait for `step`.
    by_hand: bool,
    full: bool,
    /// The life that has the disk open, by its number; 0: none.
    held_by: u32,
    /// Who works on this disk; a life that is over changes nothing any more.
    observer: Option<Arc<dyn Observer>>,
    failure: Option<StoreError>,
}

impl Memory {
    /// An empty disk where every batch is durable as soon as it is submitted.
    pub fn new(hash_key: [u8; 16]) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            hash_key,
            ..Disk::default()
        })))
    }

    /// An empty disk where batches become durable one by one, by `step`.
    pub fn by_hand(hash_key: [u8; 16]) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            hash_key,
            by_hand: true,
            ..Disk::default()
        })))
    }

    /// Opens the disk.
    ///
    /// # Errors
    /// While a store that is neither closed nor crashed works on it.
    pub fn open(&self) -> Result<Box<dyn Recovered>, StoreError> {
        let mut disk = self.disk();
        if disk.held_by != 0 {
            return Err(StoreError::InUse {
                folder: "memory".into(),
                process: None,
            });
        }
        disk.failure = None;
        disk.starts = disk.starts.saturating_add(1);
        disk.held_by = disk.starts;
        let identity = Identity {
            hash_key: disk.hash_key,
            starts: disk.starts,
        };
        Ok(Box::new(Life {
            disk: self.clone(),
            identity,
        }))
    }

    /// Makes the oldest pending batch durable and reports it; false when none was pending.
    pub fn step(&self) -> bool {
        let mut disk = self.disk();
        let (Some(observer), Some(batch)) = (disk.observer.clone(), disk.pending.pop_front())
        else {
            return false;
        };
        let (shard, sequence) = (batch.shard, batch.sequence);
        disk.apply(batch);
        drop(disk);
        observer.durable(shard, sequence);
        true
    }

    /// How many batches are pending.
    pub fn pending(&self) -> usize {
        self.disk().pending.len()
    }

    /// The process ends here. Of what was not yet durable `random` keeps a prefix, perhaps none, perhaps all: it may have
    /// reached the disk although nobody heard of it. The store of this life takes and reports nothing any more.
    pub fn crash(&self, random: &mut Random) {
        let mut disk = self.disk();
        let kept = random.below(disk.pending.len() as u64 + 1) as usize;
        for batch in disk.pending.drain(..kept).collect::<Vec<_>>() {
            disk.apply(batch);
        }
        disk.pending.clear();
        disk.observer = None;
        disk.held_by = 0;
    }

    /// Whether the disk is full: `room` is the opposite.
    pub fn set_full(&self, full: bool) {
        self.disk().full = full;
    }

    /// The disk fails: reported once, then nothing is durable any more. What was pending is lost.
    pub fn fail(&self) {
        let mut disk = self.disk();
        let failure = StoreError::io(
            "write",
            "memory".as_ref(),
            &std::io::ErrorKind::Other.into(),
        );
        disk.failure = Some(failure.clone());
        disk.pending.clear();
        let observer = disk.observer.take();
        drop(disk);
        if let Some(observer) = observer {
            observer.failed(&failure);
        }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn apply(&mut self, batch: Batch) {
        for record in batch.records {
            match record.op {
                Op::Put(bytes) => {
                    self.objects.insert(record.key, vec![bytes.into()]);
                }
                Op::Append(bytes) => {
                    if let Some(chain) = self.objects.get_mut(&record.key) {
                        chain.push(bytes.into());
                    }
                }
                Op::Remove => {
                    self.objects.remove(&record.key);
                }
            }
        }
    }
}

/// One life of a process on the disk.
struct Life {
    disk: Memory,
    identity: Identity,
}

impl Recovered for Life {
    fn identity(&self) -> Identity {
        self.identity
    }

    fn replay(&mut self, each: &mut dyn FnMut(Key, Vec<Vec<u8>>)) -> Result<(), StoreError> {
        let objects = self.disk.disk().objects.clone();
        for (key, chain) in objects {
            each(key, chain);
        }
        Ok(())
    }

    fn start(self: Box<Self>, observer: Arc<dyn Observer>) -> Result<Arc<dyn Store>, StoreError> {
        let mut disk = self.disk.disk();
        if disk.held_by == self.identity.starts {
            disk.observer = Some(observer);
        }
        drop(disk);
        Ok(Arc::new(*self))
    }
}

impl Life {
    /// The disk, if this life still is the one that works on it.
    fn alive(&self) -> Option<MutexGuard<'_, Disk>> {
        let disk = self.disk.disk();
        (disk.held_by == self.identity.starts && disk.observer.is_some()).then_some(disk)
    }
}

impl Store for Life {
    fn submit(&self, batch: Batch) {
        let Some(mut disk) = self.alive() else { return };
        disk.pending.push_back(batch);
        if !disk.by_hand {
            drop(disk);
            while self.disk.step() {}
        }
    }

    fn room(&self) -> bool {
        self.alive().is_some_and(|disk| !disk.full)
    }

    fn status(&self) -> Status {
        let disk = self.disk.disk();
        let live_bytes = disk
            .objects
            .values()
            .flatten()
            .map(|bytes| bytes.len() as u64)
            .sum();
        Status {
            objects: disk.objects.len() as u64,
            live_bytes,
            disk_bytes: live_bytes,
            ..Status::default()
        }
    }

    fn close(&self) -> Result<(), StoreError> {
        while self.alive().is_some() && self.disk.step() {}
        let mut disk = self.disk.disk();
        if disk.held_by != self.identity.starts {
            return Ok(());
        }
        disk.held_by = 0;
        disk.observer = None;
        disk.failure.clone().map_or(Ok(()), Err)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // A failure was reported to the observer; there is nobody else to tell.
        let _ = self.close();
    }
}
