//! What can be wrong with a store; each message names the place and what would be right.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::Report;

/// Ours, never a peer's. Before a decision it means 503, after one the process ends.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// Another process has the folder open.
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// Its process id, where it left one.
        process: Option<u32>,
    },
    /// A newer version of the program wrote this folder.
    Newer {
        /// The data folder.
        folder: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// Acknowledged data is damaged. Nothing was changed on the disk.
    Damaged(Box<Report>),
    /// The system refused something.
    Io {
        /// What we wanted, as in "write".
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
        /// The same in words.
        message: String,
    },
    /// One batch is beyond what a frame may hold: a bound above us is missing.
    BatchTooLarge {
        /// Its bytes.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
}

impl StoreError {
    /// The system refused `doing` with `path`.
    pub(crate) fn io(doing: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io {
            doing,
            path: path.to_owned(),
            kind: error.kind(),
            message: error.to_string(),
        }
    }

    /// Whether a person has to look at the folder (exit code 5) and a restart alone would not help.
    pub const fn needs_a_person(&self) -> bool {
        matches!(
            self,
            Self::InUse { .. } | Self::Newer { .. } | Self::Damaged(_)
        )
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { folder, process } => {
                write!(f, "{}: in use by ", folder.display())?;
                match process {
                    Some(process) => write!(f, "process {process}")?,
                    None => write!(f, "another process")?,
                }
                write!(
                    f,
                    "; one process at a time may open a data folder: stop that one, or name another folder"
                )
            }
            Self::Newer {
                folder,
                found,
                known,
            } => write!(
                f,
                "{}: its store has format version {found}, this program knows up to {known}; start the newer program that wrote it",
                folder.display()
            ),
            Self::Damaged(report) => write!(
                f,
                "acknowledged data is damaged, nothing was changed\n{report}"
            ),
            Self::Io {
                doing,
                path,
                message,
                ..
            } => write!(f, "{}: cannot {doing}: {message}", path.display()),
            Self::BatchTooLarge { bytes, bytes_max } => {
                write!(
                    f,
                    "a batch of {bytes} bytes is beyond the {bytes_max} that a frame may hold"
                )
            }
        }
    }
}

impl std::error::Error for StoreError {}
