//! The file: opened, looked at, copied.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use machine::{DocumentName, StoredDocument};
use rusqlite::backup::Backup;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::statements::{self, APPLICATION_ID, FORMAT};
use super::writer::Writer;
use super::{Documents, Keeper, RecoveredDocuments, User, UserError};
use crate::journal::{Folder, own_file, random};
use crate::{Commit, Damage, Report, StoreError};

/// Its name in the data folder.
pub const FILE: &str = "documents.sqlite3";

/// Somebody with `sqlite3` may hold the file for so long before what we do fails.
const BUSY_MS_MAX: u64 = 5000;

/// The store on disk.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    nonce_key: [u8; 32],
    /// Held where nobody else holds the folder.
    lock: Option<File>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Documents.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Users.
    pub users: u64,
}

/// Opens the file in `folder`, which whoever calls holds already (by the journal), and makes it where it isn't.
///
/// # Errors
/// Newer than this program, damaged, or refused by the system.
pub fn open(folder: &Path, commit: Commit) -> Result<Sqlite, StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| StoreError::io("create the folder", folder, &error))?;
    let path = folder.join(FILE);
    // SQLite gives its other files the mode of this one.
    own_file()
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| StoreError::io("open", &path, &error))?;
    let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let failed = |error| failed("open", &path, &error);
    if statements::is_blank(&connection).map_err(failed)? {
        let key = random(folder)?;
        statements::create(&mut connection, &key).map_err(failed)?;
    }
    check_header(&connection, folder, &path)?;
    // Power may fail: each commit syncs the log. A process may: what the system has is enough.
    let synchronous = match commit {
        Commit::Fsync => "FULL",
        Commit::Os => "NORMAL",
    };
    let pragma = |name, value| connection.pragma_update(None, name, value).map_err(failed);
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .map_err(failed)?;
    pragma("synchronous", synchronous)?;
    let nonce_key = statements::nonce_key(&connection).map_err(failed)?;
    let nonce_key = nonce_key.ok_or_else(|| damaged(&path, "the key of nonces is missing"))?;
    Ok(Sqlite {
        connection,
        path,
        nonce_key,
        lock: None,
    })
}

/// The same for who has no server running in this folder, which is held until the store is dropped.
///
/// # Errors
/// In use, and as for `open`.
pub fn open_alone(folder: &Path) -> Result<Sqlite, StoreError> {
    let own = Folder::new(folder);
    own.create()?;
    let lock = own.lock()?;
    let mut store = open(folder, Commit::Fsync)?;
    store.lock = Some(lock);
    Ok(store)
}

/// Looks at every page of the file in `folder` and changes nothing; a server may be at work on it. Nothing where there is no file.
///
/// # Errors
/// Newer than this program, damaged, or refused by the system.
pub fn examine(folder: &Path) -> Result<Option<Contents>, StoreError> {
    let path = folder.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check_header(&connection, folder, &path)?;
    let failed = |error| failed("read", &path, &error);
    let words: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(failed)?;
    if words != "ok" {
        tracing::error!(file = %path.display(), found = words, "the integrity check of SQLite failed");
        return Err(damaged(&path, "the integrity check of SQLite failed"));
    }
    let number = |sql: &str| {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        connection
            .query_row(sql, [], read)
            .map(i64::unsigned_abs)
            .map_err(failed)
    };
    Ok(Some(Contents {
        documents: number("SELECT count(*) FROM documents")?,
        bytes: number("SELECT coalesce(sum(octet_length(text)), 0) FROM documents")?,
        users: number("SELECT count(*) FROM users")?,
    }))
}

/// Copies the file in `folder` into `into`, which is made where it isn't; a server may be at work on it. What is copied is the
/// state of one moment.
///
/// # Errors
/// There is a backup already, or no store; newer, damaged, or refused by the system.
pub fn backup(folder: &Path, into: &Path) -> Result<Contents, StoreError> {
    let (path, copy) = (folder.join(FILE), into.join(FILE));
    if !path.exists() {
        return Err(missing(&path));
    }
    if copy.exists() {
        let there = std::io::Error::other("a backup is there already; name another folder");
        return Err(StoreError::io("write", &copy, &there));
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(into)
        .map_err(|error| StoreError::io("create the folder", into, &error))?;
    let source = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check_header(&source, folder, &path)?;
    let next = into.join(format!("{FILE}.next"));
    copy_to(&source, &path, &next)?;
    rename(into, &next, &copy)?;
    examine(into)?.ok_or_else(|| missing(&copy))
}

/// Puts the backup in `from` into `folder`, in which no server is at work. What stood there is replaced if `replace` says so.
///
/// # Errors
/// In use; something is there already, or there is no backup; newer, damaged, or refused by the system.
pub fn restore(folder: &Path, from: &Path, replace: bool) -> Result<Contents, StoreError> {
    let backup = from.join(FILE);
    // Nothing is taken from what is not whole.
    let contents = examine(from)?.ok_or_else(|| missing(&backup))?;
    let own = Folder::new(folder);
    own.create()?;
    let _lock = own.lock()?;
    let path = folder.join(FILE);
    if path.exists() && !replace {
        let there = std::io::Error::other(
            "documents are there already; --replace puts the backup in their place",
        );
        return Err(StoreError::io("restore", &path, &there));
    }
    let source = connect(&backup, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let next = folder.join(format!("{FILE}.next"));
    copy_to(&source, &backup, &next)?;
    // A log of the old file would be taken for the new one's.
    for ending in ["-wal", "-shm"] {
        let old = folder.join(format!("{FILE}{ending}"));
        match std::fs::remove_file(&old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", &old, &error));
            }
            _ => {}
        }
    }
    rename(folder, &next, &path)?;
    Ok(contents)
}

/// A copy by SQLite itself, with what is still in its log; durable on return.
fn copy_to(source: &Connection, path: &Path, next: &Path) -> Result<(), StoreError> {
    let _ = std::fs::remove_file(next);
    let file = own_file()
        .create_new(true)
        .open(next)
        .map_err(|error| StoreError::io("write", next, &error))?;
    let mut target = connect(next, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    Backup::new(source, &mut target)
        // All pages in one step: no change comes between them.
        .and_then(|backup| backup.run_to_completion(i32::MAX, Duration::from_millis(10), None))
        .map_err(|error| failed("copy", path, &error))?;
    // A file of one piece, which needs no log beside it.
    target
        .pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        .map_err(|error| failed("write", next, &error))?;
    drop(target);
    file.sync_all()
        .map_err(|error| StoreError::io("sync", next, &error))
}

fn rename(folder: &Path, from: &Path, to: &Path) -> Result<(), StoreError> {
    std::fs::rename(from, to).map_err(|error| StoreError::io("replace", to, &error))?;
    Folder::new(folder).sync_folder(folder)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_millis(BUSY_MS_MAX))?;
        Ok(connection)
    };
    open().map_err(|error| failed("open", path, &error))
}

fn check_header(connection: &Connection, folder: &Path, path: &Path) -> Result<(), StoreError> {
    let header = statements::header(connection);
    let (application, format) = header.map_err(|error| failed("read", path, &error))?;
    if application != APPLICATION_ID {
        return Err(damaged(
            path,
            "it is a file of SQLite, but not of this program",
        ));
    }
    if format > FORMAT {
        return Err(StoreError::Newer {
            folder: folder.to_owned(),
            found: format,
            known: FORMAT,
        });
    }
    Ok(())
}

fn missing(path: &Path) -> StoreError {
    StoreError::io("read", path, &std::io::ErrorKind::NotFound.into())
}

fn damaged(path: &Path, what: &'static str) -> StoreError {
    let mut report = Report {
        folder: path.parent().unwrap_or(path).to_owned(),
        ..Report::default()
    };
    report.add_damage(Damage {
        file: path.to_owned(),
        offset: 0,
        bytes: 0,
        sequences: None,
        what,
    });
    StoreError::Damaged(Box::new(report))
}

/// What SQLite says, in our words.
pub(super) fn failed(doing: &'static str, path: &Path, error: &rusqlite::Error) -> StoreError {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => return damaged(path, "it is no file of SQLite"),
        Some(ErrorCode::DatabaseCorrupt) => {
            tracing::error!(file = %path.display(), %error, "SQLite found damage");
            return damaged(path, "SQLite finds its pages damaged");
        }
        Some(ErrorCode::DiskFull) => std::io::ErrorKind::StorageFull,
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            std::io::ErrorKind::PermissionDenied
        }
        _ => std::io::ErrorKind::Other,
    };
    StoreError::Io {
        doing,
        path: path.to_owned(),
        kind,
        message: error.to_string(),
    }
}

impl Sqlite {
    /// Adds a user or takes the place of what she was; durable on return.
    ///
    /// # Errors
    /// As of `Documents::put_user`.
    pub fn put_user(&mut self, user: &User) -> Result<(), UserError> {
        super::writer::put_user(&mut self.connection, &self.path, user)
    }

    /// Removes a user; false when there was none.
    ///
    /// # Errors
    /// The store can't.
    pub fn remove_user(&mut self, aor: &str) -> Result<bool, StoreError> {
        super::writer::remove_user(&mut self.connection, &self.path, aor)
    }
}

impl RecoveredDocuments for Sqlite {
    fn documents(&self) -> Result<Vec<(DocumentName, StoredDocument)>, StoreError> {
        statements::documents(&self.connection).map_err(|error| failed("read", &self.path, &error))
    }

    fn users(&self) -> Result<Vec<User>, StoreError> {
        statements::users(&self.connection).map_err(|error| failed("read", &self.path, &error))
    }

    fn nonce_key(&self) -> [u8; 32] {
        self.nonce_key
    }

    fn start(self: Box<Self>, observer: Arc<dyn Keeper>) -> Result<Arc<dyn Documents>, StoreError> {
        let Self {
            connection,
            path,
            lock,
            ..
        } = *self;
        Ok(Arc::new(Writer::start(connection, path, lock, observer)?))
    }
}
