//! An event package is a record, filled in along the headings of RFC 6665 §5.4. Adding one does not touch this crate.

use std::any::Any;
use std::cell::RefCell;

use machine::{Limits, Wall};

/// One event package.
pub struct Package {
    /// §5.4.1: the name in Event, without templates. Compared as bytes (RFC 6665 §8.2.1).
    pub name: &'static str,
    /// §5.4.5: types of NOTIFY bodies we can make, best first; the first is meant when Accept is absent.
    pub notify_types: &'static [&'static str],
    /// RFC 3903 §12: types of PUBLISH bodies, aliases of old drafts included.
    pub publish_types: &'static [&'static str],
    /// Reads what a source publishes, before anything is decided.
    pub check: fn(content_type: &str, body: &[u8], limits: &Limits) -> Result<Checked, BodyRefusal>,
    /// §5.4.11, RFC 3856 §6.11: one document from all live sources; with none, what `neutral` gives.
    pub compose: fn(entity: &str, sources: &[Source<'_>]) -> Vec<u8>,
    /// What a watcher sees of somebody of whom nothing is known, or who politely blocks her: never tells which.
    pub neutral: fn(entity: &str) -> Vec<u8>,
}

/// A document as its package read it: what `check` gives, `compose` need not read again.
pub type Checked = Box<dyn Any>;

/// One source of a composition. Sources come in the order of their rank, what is permanent first, then of their acceptance, oldest
/// first.
#[derive(Debug)]
pub struct Source<'a> {
    /// The document, as `check` let it pass.
    pub body: &'a [u8],
    /// What `check` read of this very document, where that was a moment ago; whoever composes may take it.
    pub checked: RefCell<Option<Checked>>,
    /// When this document was accepted; a timestamp in it that is later counts as this.
    pub accepted: Wall,
    /// It never lapses, and gives way to whatever is published (RFC 4827).
    pub is_permanent: bool,
}

impl<'a> Source<'a> {
    /// One whose document has to be read.
    pub const fn new(body: &'a [u8], accepted: Wall) -> Self {
        Self {
            body,
            checked: RefCell::new(None),
            accepted,
            is_permanent: false,
        }
    }

    /// One that was put, not published.
    pub const fn permanent(body: &'a [u8], modified: Wall) -> Self {
        let mut source = Self::new(body, modified);
        source.is_permanent = true;
        source
    }
}

/// Why a published body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRefusal {
    /// 400, 413 or 415.
    pub status: u16,
    /// A diagnosis for people, with line and column where there is one; no CR or LF.
    pub reason: String,
}
