//! What users keep: documents, users, keys. SQLite on disk, and a twin in memory.
//!
//! Both stand behind the same two traits, and one conformance suite (`tests/documents.rs`) holds each to them. What is written
//! rarely and must never be lost is here; what lapses by itself is in the journal.

mod memory;
mod sqlite;
mod statements;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use machine::{DocumentName, DocumentWrite, StoredDocument};

use crate::StoreError;

pub use memory::MemoryDocuments;
pub use sqlite::{Contents, FILE, Sqlite, backup, examine, open, open_alone, restore};

/// A store that is open, but takes no documents yet.
pub trait RecoveredDocuments: Send {
    /// Every document, in the order of their names.
    ///
    /// # Errors
    /// What was readable a moment ago no longer is, or can't be read as what it should be.
    fn documents(&self) -> Result<Vec<(DocumentName, StoredDocument)>, StoreError>;

    /// Every user, in the order of their addresses.
    ///
    /// # Errors
    /// As above.
    fn users(&self) -> Result<Vec<User>, StoreError>;

    /// Random at creation: what nonces are made with.
    fn nonce_key(&self) -> [u8; 32];

    /// Begins to take documents.
    ///
    /// # Errors
    /// When the thread can't be had.
    fn start(self: Box<Self>, observer: Arc<dyn Keeper>) -> Result<Arc<dyn Documents>, StoreError>;
}

/// A store at work. All of it may be called from any thread.
pub trait Documents: Send + Sync {
    /// Takes a change; never blocks. Changes are made in the order of the calls, and many of them in one transaction. Once the
    /// store is closed they are dropped, and nobody is told.
    fn submit(&self, write: DocumentWrite);

    /// Every user, in the order of their addresses. Waits for the store.
    ///
    /// # Errors
    /// As for documents.
    fn users(&self) -> Result<Vec<User>, StoreError>;

    /// Adds a user or takes the place of what she was; durable on return. Waits for the store.
    ///
    /// # Errors
    /// Another user has the same alias or the same user name in the same realm; or the store can't. Nothing is changed then.
    fn put_user(&self, user: User) -> Result<(), UserError>;

    /// Removes a user; false when there was none. Her documents stay. Waits for the store.
    ///
    /// # Errors
    /// The store can't.
    fn remove_user(&self, aor: &str) -> Result<bool, StoreError>;

    /// Makes what was submitted durable, reports it, and lets go of the file. A second call does nothing.
    fn close(&self);
}

/// Who wants to know what became of the changes. Called from the store's own thread (the store in memory: from within
/// `submit` or `step`); it must not block.
pub trait Keeper: Send + Sync {
    /// A change is durable, or with a reason it was not made, now or ever. For each shard in the order of its changes.
    fn kept(&self, shard: u16, sequence: u64, result: Result<(), String>);
}

/// Who may prove who she is, as the store keeps her.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    /// Canonical address of record.
    pub aor: String,
    /// Canonical addresses that mean her too.
    pub aliases: Vec<String>,
    /// By which names and secrets she is known.
    pub credentials: Vec<UserCredentials>,
}

/// One name and what proves it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserCredentials {
    /// Whose password it is.
    pub realm: String,
    /// By which name.
    pub username: String,
    /// H(A1) with SHA-256 in lower-case hexadecimal digits.
    pub ha1_sha256: Option<String>,
    /// H(A1) with MD5 likewise.
    pub ha1_md5: Option<String>,
}

/// Without the secrets.
impl fmt::Debug for UserCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserCredentials")
            .field("realm", &self.realm)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Why a user was not put.
#[derive(Clone, Debug)]
pub enum UserError {
    /// Somebody else has the alias or the user name.
    Taken(String),
    /// Ours.
    Store(StoreError),
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(what) => f.write_str(what),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UserError {}

/// The store is closed, so what was asked for can't be had.
fn closed(path: &Path) -> StoreError {
    let gone = std::io::Error::other("it is closed");
    StoreError::io("ask", path, &gone)
}
