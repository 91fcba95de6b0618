//! The same in memory: a crash at will, and time by hand.
//!
//! `MemoryDocuments` is the disk: it outlives its stores, as `Memory` does for the journal.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use machine::{DocumentName, DocumentWrite, Random, StoredDocument};

use super::{Documents, Keeper, RecoveredDocuments, User, UserError, closed};
use crate::StoreError;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDocuments(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    nonce_key: [u8; 32],
    documents: BTreeMap<DocumentName, StoredDocument>,
    users: BTreeMap<String, User>,
    /// Submitted, not yet durable, in order.
    pending: VecDeque<DocumentWrite>,
    by_hand: bool,
    full: bool,
    /// Counts openings; a life that is over changes nothing any more.
    life: u64,
    observer: Option<Arc<dyn Keeper>>,
}

impl MemoryDocuments {
    /// An empty disk where every change is durable as soon as it is submitted.
    pub fn new(nonce_key: [u8; 32]) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            nonce_key,
            ..Disk::default()
        })))
    }

    /// An empty disk where changes become durable by `step`.
    pub fn by_hand(nonce_key: [u8; 32]) -> Self {
        let disk = Self::new(nonce_key);
        disk.disk().by_hand = true;
        disk
    }

    /// Opens the disk; whoever had it open before has it no longer.
    pub fn open(&self) -> Box<dyn RecoveredDocuments> {
        let mut disk = self.disk();
        disk.life += 1;
        disk.observer = None;
        disk.pending.clear();
        Box::new(Life {
            disk: self.clone(),
            number: disk.life,
        })
    }

    /// All that is pending becomes durable in one transaction, or fails on a full disk; each change is reported. False when
    /// none was pending.
    pub fn step(&self) -> bool {
        let mut disk = self.disk();
        let Some(observer) = disk.observer.clone() else {
            return false;
        };
        let together: Vec<DocumentWrite> = disk.pending.drain(..).collect();
        let kept = if disk.full {
            Err("the disk is full".to_owned())
        } else {
            together.iter().for_each(|write| disk.apply(write));
            Ok(())
        };
        drop(disk);
        for write in &together {
            observer.kept(write.shard, write.sequence, kept.clone());
        }
        !together.is_empty()
    }

    /// How many changes are pending.
    pub fn pending(&self) -> usize {
        self.disk().pending.len()
    }

    /// The process ends here. What is pending is one transaction: it reached the disk although nobody heard of it, or it did not.
    pub fn crash(&self, random: &mut Random) {
        let mut disk = self.disk();
        let reached = !disk.full && random.below(2) == 1;
        for write in disk.pending.drain(..).collect::<Vec<_>>() {
            if reached {
                disk.apply(&write);
            }
        }
        disk.life += 1;
        disk.observer = None;
    }

    /// Whether the disk is full: every transaction fails.
    pub fn set_full(&self, full: bool) {
        self.disk().full = full;
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn apply(&mut self, write: &DocumentWrite) {
        match &write.content {
            Some(document) => {
                self.documents.insert(write.name.clone(), document.clone());
            }
            None => {
                self.documents.remove(&write.name);
            }
        }
    }

    fn taken(&self, user: &User) -> Option<String> {
        let others = || self.users.values().filter(|other| other.aor != user.aor);
        for address in user.aliases.iter().chain([&user.aor]) {
            let has = |other: &&User| other.aor == *address || other.aliases.contains(address);
            if let Some(other) = others().find(has) {
                return Some(format!("{address} is {} already", other.aor));
            }
        }
        for name in &user.credentials {
            let is_same = |other: &super::UserCredentials| {
                other.realm == name.realm && other.username == name.username
            };
            if let Some(other) = others().find(|other| other.credentials.iter().any(is_same)) {
                let (username, realm) = (&name.username, &name.realm);
                let aor = &other.aor;
                return Some(format!(
                    "the user name {username} in {realm} is {aor}'s already"
                ));
            }
        }
        None
    }
}

/// One opening of a disk.
struct Life {
    disk: MemoryDocuments,
    number: u64,
}

impl Life {
    /// The disk, while it is still ours and has room.
    fn mine(&self) -> Result<MutexGuard<'_, Disk>, StoreError> {
        let disk = self.disk.disk();
        if disk.life != self.number {
            return Err(closed("memory".as_ref()));
        }
        if disk.full {
            let full = std::io::ErrorKind::StorageFull.into();
            return Err(StoreError::io("write", "memory".as_ref(), &full));
        }
        Ok(disk)
    }

    fn all_users(&self) -> Vec<User> {
        self.disk.disk().users.values().cloned().collect()
    }
}

impl RecoveredDocuments for Life {
    fn documents(&self) -> Result<Vec<(DocumentName, StoredDocument)>, StoreError> {
        let disk = self.disk.disk();
        let all = disk.documents.iter();
        Ok(all
            .map(|(name, document)| (name.clone(), document.clone()))
            .collect())
    }

    fn users(&self) -> Result<Vec<User>, StoreError> {
        Ok(self.all_users())
    }

    fn nonce_key(&self) -> [u8; 32] {
        self.disk.disk().nonce_key
    }

    fn start(self: Box<Self>, observer: Arc<dyn Keeper>) -> Result<Arc<dyn Documents>, StoreError> {
        self.disk.disk().observer = Some(observer);
        Ok(Arc::from(self as Box<dyn Documents>))
    }
}

impl Documents for Life {
    fn submit(&self, write: DocumentWrite) {
        let mut disk = self.disk.disk();
        if disk.life != self.number || disk.observer.is_none() {
            return;
        }
        disk.pending.push_back(write);
        let by_hand = disk.by_hand;
        drop(disk);
        if !by_hand {
            self.disk.step();
        }
    }

    fn users(&self) -> Result<Vec<User>, StoreError> {
        Ok(self.all_users())
    }

    fn put_user(&self, user: User) -> Result<(), UserError> {
        let mut disk = self.mine().map_err(UserError::Store)?;
        if let Some(what) = disk.taken(&user) {
            return Err(UserError::Taken(what));
        }
        disk.users.insert(user.aor.clone(), user);
        Ok(())
    }

    fn remove_user(&self, aor: &str) -> Result<bool, StoreError> {
        Ok(self.mine()?.users.remove(aor).is_some())
    }

    fn close(&self) {
        self.disk.step();
        let mut disk = self.disk.disk();
        if disk.life == self.number {
            disk.observer = None;
        }
    }
}
