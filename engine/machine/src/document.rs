//! Documents that users keep, as shards, the store and HTTP name them.

use std::sync::Arc;

use crate::Wall;

/// Which document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentName {
    /// Canonical address of record of whose it is; `None`: of the global tree (RFC 4825 §6.2).
    pub owner: Option<Arc<str>>,
    /// The application usage.
    pub auid: Arc<str>,
    /// Its path below that, `/` between its segments.
    pub path: Arc<str>,
}

/// What a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDocument {
    /// Every byte of it, as put and changed.
    pub text: Arc<str>,
    /// Its entity-tag, without quotes; never used for another content of the same document.
    pub tag: Arc<str>,
    /// When it became that.
    pub modified: Wall,
}

/// One change of one document, to be durable before anybody learns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentWrite {
    /// Which shard waits for it.
    pub shard: u16,
    /// Its number there: grows by one with each.
    pub sequence: u64,
    /// Which document.
    pub name: DocumentName,
    /// What it is from now on; `None`: it is gone.
    pub content: Option<StoredDocument>,
}
