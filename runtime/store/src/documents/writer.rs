//! The one thread that writes: all that waits goes in one transaction.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use machine::DocumentWrite;
use rusqlite::{Connection, TransactionBehavior};

use super::sqlite::failed;
use super::{Documents, Keeper, User, UserError, closed, statements};
use crate::StoreError;

/// Changes in one transaction. A thousand documents of 64 KiB are 64 MB of log, synced once.
const TOGETHER_MAX: usize = 1024;

enum Job {
    Document(DocumentWrite),
    PutUser(User, SyncSender<Result<(), UserError>>),
    RemoveUser(String, SyncSender<Result<bool, StoreError>>),
    Users(SyncSender<Result<Vec<User>, StoreError>>),
    Close,
}

/// The store at work.
pub(super) struct Writer {
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    path: PathBuf,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        path: PathBuf,
        lock: Option<File>,
        observer: Arc<dyn Keeper>,
    ) -> Result<Self, StoreError> {
        let (jobs, waiting) = channel();
        let mut work = Work {
            connection,
            path: path.clone(),
            observer,
        };
        let thread = std::thread::Builder::new()
            .name("documents".to_owned())
            .spawn(move || {
                work.run(&waiting);
                drop((work, lock));
            })
            .map_err(|error| StoreError::io("start a thread for", &path, &error))?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            path,
        })
    }

    /// False when the store is closed.
    fn give(&self, job: Job) -> bool {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }

    fn ask<T>(&self, job: impl FnOnce(SyncSender<T>) -> Job) -> Result<T, StoreError> {
        let (answer, answered) = sync_channel(1);
        let given = self.give(job(answer));
        let answer = given.then(|| answered.recv().ok()).flatten();
        answer.ok_or_else(|| closed(&self.path))
    }
}

impl Documents for Writer {
    fn submit(&self, write: DocumentWrite) {
        self.give(Job::Document(write));
    }

    fn users(&self) -> Result<Vec<User>, StoreError> {
        self.ask(Job::Users)?
    }

    fn put_user(&self, user: User) -> Result<(), UserError> {
        self.ask(|answer| Job::PutUser(user, answer))
            .map_err(UserError::Store)?
    }

    fn remove_user(&self, aor: &str) -> Result<bool, StoreError> {
        self.ask(|answer| Job::RemoveUser(aor.to_owned(), answer))?
    }

    fn close(&self) {
        let jobs = self
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(jobs) = jobs {
            let _ = jobs.send(Job::Close);
        }
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

struct Work {
    connection: Connection,
    path: PathBuf,
    observer: Arc<dyn Keeper>,
}

impl Work {
    fn run(&mut self, waiting: &Receiver<Job>) {
        let mut together = Vec::new();
        while let Ok(first) = waiting.recv() {
            let mut next = Some(first);
            while let Some(job) = next.take() {
                match job {
                    Job::Document(write) => together.push(write),
                    // In the order of the calls: what was submitted before is written before.
                    other => {
                        self.keep(&mut together);
                        if !self.answer(other) {
                            return;
                        }
                    }
                }
                if together.len() < TOGETHER_MAX {
                    next = waiting.try_recv().ok();
                }
            }
            self.keep(&mut together);
        }
    }

    /// False: that was all.
    fn answer(&mut self, job: Job) -> bool {
        // Whoever asked may have gone meanwhile.
        match job {
            Job::PutUser(user, answer) => {
                let _ = answer.send(put_user(&mut self.connection, &self.path, &user));
            }
            Job::RemoveUser(aor, answer) => {
                let _ = answer.send(remove_user(&mut self.connection, &self.path, &aor));
            }
            Job::Users(answer) => {
                let users = statements::users(&self.connection);
                let _ = answer.send(users.map_err(|error| failed("read", &self.path, &error)));
            }
            Job::Document(_) => {}
            Job::Close => return false,
        }
        true
    }

    /// All of them or none; each is told.
    fn keep(&mut self, together: &mut Vec<DocumentWrite>) {
        if together.is_empty() {
            return;
        }
        let kept = transact(&mut self.connection, |connection| {
            together
                .iter()
                .try_for_each(|write| statements::write(connection, write))
        });
        let kept = kept.map_err(|error| failed("write", &self.path, &error).to_string());
        if let Err(error) = &kept {
            tracing::error!(changes = together.len(), %error, "documents could not be kept");
        }
        for write in together.drain(..) {
            self.observer
                .kept(write.shard, write.sequence, kept.clone());
        }
    }
}

pub(super) fn put_user(
    connection: &mut Connection,
    path: &Path,
    user: &User,
) -> Result<(), UserError> {
    let taken = transact(connection, |connection| {
        let taken = statements::taken(connection, user)?;
        if taken.is_none() {
            statements::put_user(connection, user)?;
        }
        Ok(taken)
    });
    match taken {
        Ok(None) => Ok(()),
        Ok(Some(what)) => Err(UserError::Taken(what)),
        Err(error) => Err(UserError::Store(failed("write", path, &error))),
    }
}

pub(super) fn remove_user(
    connection: &mut Connection,
    path: &Path,
    aor: &str,
) -> Result<bool, StoreError> {
    let removed = transact(connection, |connection| {
        statements::remove_user(connection, aor)
    });
    removed.map_err(|error| failed("write", path, &error))
}

/// One transaction: dropped, and so undone, unless all went well.
fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}
