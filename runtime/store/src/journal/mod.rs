//! The journal on disk: one file format, one thread, no background work besides.
//!
//! A frame holds the batches that one write gathered; it is durable as a whole or not at all. Frames follow each other
//! through numbered segments. What the writer knows of the disk is an index of where each live object's records are.

mod cleaner;
mod content;
mod folder;
mod frame;
mod index;
mod log;
mod opening;
mod recovery;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use machine::Instant;

use crate::{Recovered, Report, StoreError};

pub(crate) use folder::{Folder, own_file};
pub(crate) use opening::random;

/// Reads the monotonic clock. The node's; the journal itself has none.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// When a batch counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Once synced to the disk: survives power loss.
    Fsync,
    /// Once written to the system: survives a crash of the process. After a loss of power the journal is cut where the
    /// system had not yet written on.
    Os,
}

/// How a journal works.
#[derive(Clone)]
pub struct Options {
    /// When a batch counts as durable.
    pub commit: Commit,
    /// Least time between the starts of two syncs when busy.
    pub commit_gather: Duration,
    /// Bytes of a segment, preallocated. 64 MiB: some seconds of a busy node, and what the cleaner frees at a time.
    /// Bounds 1 KiB–1 GiB.
    pub segment_bytes: u32,
    /// The segments together may not take more than this; nothing: as much as the disk gives.
    pub disk_bytes_max: Option<u64>,
    /// The monotonic clock.
    pub clock: Clock,
}

impl Options {
    /// The documented defaults.
    pub fn new(clock: Clock) -> Self {
        Self {
            commit: Commit::Fsync,
            commit_gather: Duration::from_micros(500),
            segment_bytes: 64 << 20,
            disk_bytes_max: None,
            clock,
        }
    }
}

/// Opens the journal in `folder`, which is created when it isn't there. An end that nobody was promised is cut off; what
/// was found is synced and counts as promised from here on.
///
/// # Errors
/// In use, newer than this program, damaged, or refused by the system.
pub fn open(folder: &Path, options: Options) -> Result<Box<dyn Recovered>, StoreError> {
    Ok(Box::new(opening::open(folder, options)?))
}

/// Looks at the journal in `folder` and changes nothing; meant for a folder that no process has open (in one that is in
/// use, the newest frames may look torn).
///
/// # Errors
/// Newer than this program, or refused by the system. Damage is no error here, it is in the report.
pub fn examine(folder: &Path) -> Result<Report, StoreError> {
    opening::examine(folder)
}
