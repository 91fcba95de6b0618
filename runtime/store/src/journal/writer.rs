//! The one thread that writes: it gathers what the shards submit, writes and syncs it, reports it, and cleans in between.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use machine::{Batch, Instant, Op};

use super::cleaner::Cleaned;
use super::log::Log;
use super::{Clock, Commit, Options};
use crate::{Observer, Status, Store, StoreError};

/// 64 MiB wait for the disk: some seconds of a busy node. Beyond it `room` is false, and new state is refused.
const QUEUED_BYTES_MAX: u64 = 64 << 20;
/// Batches that nobody waits for are written after this at the latest.
const LAZY_MAX: Duration = Duration::from_secs(1);
/// After this much quiet it is noted what was promised.
const NOTE_AFTER: Duration = Duration::from_millis(100);
/// How often a full disk is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The cleaner works in slices of this: less than a millisecond each.
const SLICE_BYTES: u64 = 256 << 10;
/// Copies are synced in steps of this.
const SYNC_STEP_BYTES: u64 = 1 << 20;
/// Where a commit isn't synced, everything is, in steps of this: a few milliseconds each.
const OS_SYNC_STEP_BYTES: u64 = 8 << 20;
/// The cleaner works through this many times what was written, so that it stays ahead of any mix of dead and alive.
const CLEAN_FACTOR: u64 = 4;

/// A journal at work.
pub(crate) struct Journal {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    room: AtomicBool,
    queued_bytes: AtomicU64,
    clock: Clock,
}

#[derive(Default)]
struct Queue {
    batches: Vec<Batch>,
    /// Somebody waits for one of them.
    urgent: bool,
    /// When the first of them came.
    since: Instant,
    /// What the writer sleeps for.
    sleep: Sleep,
    closing: bool,
    ended: bool,
    failure: Option<StoreError>,
    status: Status,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sleep {
    /// It doesn't, or only until a time.
    #[default]
    Awake,
    /// Until any batch comes.
    ForAny,
    /// Until a batch comes for which somebody waits.
    ForUrgent,
}

/// What to do next.
enum Turn {
    Write(Vec<Batch>),
    Note,
    Clean,
    Retry,
    Close(Vec<Batch>),
}

struct Writer {
    log: Log,
    options: Options,
    shared: Arc<Shared>,
    observer: Arc<dyn Observer>,
    /// When the last sync began.
    synced_at: Option<Instant>,
    /// When to note what was promised.
    note_at: Option<Instant>,
    /// When to ask a full disk again.
    retry_at: Option<Instant>,
    /// The cleaner has no room for its copies.
    stuck: bool,
}

/// Starts the thread.
pub(crate) fn start(
    log: Log,
    options: Options,
    observer: Arc<dyn Observer>,
) -> Result<Journal, StoreError> {
    let path = log.folder.path.clone();
    let shared = Arc::new(Shared {
        queue: Mutex::new(Queue {
            status: status(&log),
            ..Queue::default()
        }),
        wake: Condvar::new(),
        room: AtomicBool::new(!log.tight),
        queued_bytes: AtomicU64::new(0),
        clock: options.clock.clone(),
    });
    let mut writer = Writer {
        log,
        options,
        shared: shared.clone(),
        observer,
        synced_at: None,
        note_at: None,
        retry_at: None,
        stuck: false,
    };
    writer.look_at_room();
    let thread = std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || writer.run())
        .map_err(|error| StoreError::io("start the writer of", &path, &error))?;
    Ok(Journal {
        shared,
        thread: Mutex::new(Some(thread)),
    })
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Journal {
    fn submit(&self, batch: Batch) {
        let bytes = batch_bytes(&batch);
        let urgent = !batch.lazy;
        let mut queue = self.shared.queue();
        if queue.ended || queue.closing {
            return;
        }
        if queue.batches.is_empty() {
            queue.since = (self.shared.clock)();
        }
        self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        queue.batches.push(batch);
        queue.urgent |= urgent;
        let wakes = match queue.sleep {
            Sleep::Awake => false,
            Sleep::ForAny => true,
            Sleep::ForUrgent => urgent,
        };
        if wakes {
            queue.sleep = Sleep::Awake;
            drop(queue);
            self.shared.wake.notify_one();
        }
    }

    fn room(&self) -> bool {
        self.shared.room.load(Ordering::Relaxed)
            && self.shared.queued_bytes.load(Ordering::Relaxed) < QUEUED_BYTES_MAX
    }

    fn status(&self) -> Status {
        Status {
            queued_bytes: self.shared.queued_bytes.load(Ordering::Relaxed),
            ..self.shared.queue().status
        }
    }

    fn close(&self) -> Result<(), StoreError> {
        self.shared.queue().closing = true;
        self.shared.wake.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // The observer may be the one who closes; the thread then ends after its call.
        if let Some(thread) =
            thread.filter(|thread| thread.thread().id() != std::thread::current().id())
        {
            let _ = thread.join();
        }
        self.shared.queue().failure.clone().map_or(Ok(()), Err)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The observer heard of a failure; there is nobody else to tell.
        let _ = self.close();
    }
}

impl Writer {
    fn run(mut self) {
        let failure = self.work().err();
        self.shared.room.store(false, Ordering::Relaxed);
        let mut queue = self.shared.queue();
        queue.ended = true;
        queue.batches = Vec::new();
        queue.failure = failure.clone();
        drop(queue);
        if let Some(failure) = failure {
            self.observer.failed(&failure);
        }
    }

    fn work(&mut self) -> Result<(), StoreError> {
        loop {
            let before = self.log.written_bytes;
            match self.next_turn() {
                Turn::Write(batches) => self.commit(&batches)?,
                Turn::Note => {
                    self.note_at = None;
                    self.log.note()?;
                }
                Turn::Retry => {
                    self.stuck = false;
                    self.retry_at = None;
                    self.log.prepare();
                }
                Turn::Clean => {}
                Turn::Close(batches) => {
                    self.commit(&batches)?;
                    return self.log.note();
                }
            }
            self.look_at_room();
            self.clean(self.log.written_bytes - before)?;
            self.sync_by_the_way()?;
            self.shared.queue().status = status(&self.log);
        }
    }

    /// Sleeps until there is something to do.
    fn next_turn(&mut self) -> Turn {
        let shared = self.shared.clone();
        let mut queue = shared.queue();
        loop {
            queue.sleep = Sleep::Awake;
            if queue.closing {
                return Turn::Close(self.take(&mut queue));
            }
            let now = (shared.clock)();
            let deadline = if queue.urgent {
                match self.paced_until() {
                    Some(at) if at > now => Some(at),
                    _ => return Turn::Write(self.take(&mut queue)),
                }
            } else if self.log.wants_cleaning() && !self.stuck {
                return Turn::Clean;
            } else {
                let lazy_at = (!queue.batches.is_empty()).then(|| queue.since + LAZY_MAX);
                if lazy_at.is_some_and(|at| at <= now) {
                    return Turn::Write(self.take(&mut queue));
                }
                if self.note_at.is_some_and(|at| at <= now) {
                    return Turn::Note;
                }
                if self.retry_at.is_some_and(|at| at <= now) {
                    return Turn::Retry;
                }
                queue.sleep = if lazy_at.is_some() {
                    Sleep::ForUrgent
                } else {
                    Sleep::ForAny
                };
                [lazy_at, self.note_at, self.retry_at]
                    .into_iter()
                    .flatten()
                    .min()
            };
            queue = match deadline {
                None => shared
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let waited = shared.wake.wait_timeout(queue, at.since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// When busy, the next sync waits until then.
    fn paced_until(&self) -> Option<Instant> {
        self.synced_at
            .filter(|_| self.options.commit == Commit::Fsync)
            .map(|at| at + self.options.commit_gather)
    }

    fn take(&self, queue: &mut Queue) -> Vec<Batch> {
        queue.urgent = false;
        self.shared.queued_bytes.store(0, Ordering::Relaxed);
        std::mem::take(&mut queue.batches)
    }

    /// Makes batches durable and reports them.
    fn commit(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        let mut newest: Vec<(u16, u64)> = Vec::new();
        for batch in batches {
            self.log.append(batch)?;
            match newest.iter_mut().find(|(shard, _)| *shard == batch.shard) {
                Some((_, sequence)) => *sequence = batch.sequence,
                None => newest.push((batch.shard, batch.sequence)),
            }
        }
        let now = (self.shared.clock)();
        self.synced_at = Some(now);
        self.log.settle()?;
        self.shared.queue().status = status(&self.log);
        for (shard, sequence) in newest {
            self.observer.durable(shard, sequence);
        }
        if self.log.noted != self.log.durable {
            self.note_at = Some(now + NOTE_AFTER);
        }
        Ok(())
    }

    /// Cleans a slice; more after much was written.
    fn clean(&mut self, written: u64) -> Result<(), StoreError> {
        if self.stuck || !self.log.wants_cleaning() {
            return Ok(());
        }
        self.stuck = self.log.clean(SLICE_BYTES.max(CLEAN_FACTOR * written))? == Cleaned::Stuck;
        if self.log.noted != self.log.durable && self.note_at.is_none() {
            self.note_at = Some((self.shared.clock)() + NOTE_AFTER);
        }
        self.look_at_room();
        Ok(())
    }

    /// Syncs what no commit did, in steps, so that nobody has to wait for all of it: copies of the cleaner, and where a
    /// commit isn't synced everything, which also bounds what a loss of power takes.
    fn sync_by_the_way(&mut self) -> Result<(), StoreError> {
        let step = match self.options.commit {
            Commit::Fsync => SYNC_STEP_BYTES,
            Commit::Os => OS_SYNC_STEP_BYTES,
        };
        if self.log.unsynced_bytes >= step {
            self.log.sync()
        } else {
            Ok(())
        }
    }

    /// Allocates the next segment where there is none, and tells whether there is room.
    fn look_at_room(&mut self) {
        if self.log.spare.is_none() && !self.log.asked {
            self.log.prepare();
        }
        let room = !self.log.tight;
        if room {
            self.retry_at = None;
            self.stuck = false;
        } else if self.retry_at.is_none() {
            self.retry_at = Some((self.shared.clock)() + RETRY_AFTER);
        }
        if self.shared.room.swap(room, Ordering::Relaxed) != room {
            if room {
                tracing::info!("there is room on the disk again: new state is taken");
            } else {
                tracing::warn!(
                    folder = %self.log.folder.path.display(),
                    needed_bytes = self.log.options.segment_bytes,
                    "the disk has no room for two more segments: new state is refused, removals and refreshes live from the reserve"
                );
            }
        }
    }
}

fn status(log: &Log) -> Status {
    Status {
        objects: log.index.len() as u64,
        live_bytes: log.index.live_bytes(),
        disk_bytes: log.disk_bytes(),
        segments: log.sealed.len() as u64 + 1 + u64::from(log.spare.is_some()),
        syncs: log.syncs,
        queued_bytes: 0,
        copied_bytes: log.copied_bytes,
    }
}

/// What a batch weighs while it waits.
fn batch_bytes(batch: &Batch) -> u64 {
    let records = batch.records.iter().map(|record| match &record.op {
        Op::Put(bytes) | Op::Append(bytes) => 64 + bytes.len() as u64,
        Op::Remove => 64,
    });
    64 + records.sum::<u64>()
}
