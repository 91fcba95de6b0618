//! Lists whose owner another shard has: copies of theirs here, and who has copies of ours. Derived from rules, so nothing of it is stored.
//!
//! ```text
//!   shard of the rules                 shard of the lists
//!        |------- Wants ------------------->|
//!        |<------ Lists, version 7 ---------|   at once
//!        |------- Has, version 7 ---------->|
//!        |<------ Lists, version 9 ---------|   after each change, the newest, one on its way at a time
//!        |------- Has, version 9 ---------->|
//!        |------- Leaves ------------------>|   nothing refers to them any more
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use xdm::usages::RESOURCE_LISTS;

use crate::documents::Shelf;

/// Every list of one owner as it was at one moment, by path; shared by all shards that have it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OwnersLists(BTreeMap<Arc<str>, Arc<str>>);

impl OwnersLists {
    /// What is in one of these documents.
    pub fn get(&self, path: &str) -> Option<&Arc<str>> {
        self.0.get(path)
    }

    fn of(shelf: Option<&Shelf>) -> Arc<Self> {
        let documents = shelf.into_iter();
        let documents = documents.flat_map(|shelf| shelf.under(RESOURCE_LISTS.auid));
        let texts = documents.map(|(path, document)| (path.clone(), document.text.clone()));
        Arc::new(Self(texts.collect()))
    }
}

/// Everybody's lists when a process starts, for all its shards: what their rules refer to is there before anybody is decided about.
#[derive(Debug, Default)]
pub struct Table(HashMap<Arc<str>, Arc<OwnersLists>>);

impl Table {
    /// Puts a document there, if it is one of lists.
    pub fn put(&mut self, name: &machine::DocumentName, content: &machine::StoredDocument) {
        if *name.auid != *RESOURCE_LISTS.auid {
            return;
        }
        let owner = name.owner.clone().unwrap_or_default();
        if let Some(lists) = Arc::get_mut(self.0.entry(owner).or_default()) {
            lists.0.insert(name.path.clone(), content.text.clone());
        }
    }
}

/// What one shard says to another about lists. Whatever comes twice or in another order than it was said ends the same; nothing may be
/// lost as long as the process lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Rules here refer to this owner's lists: how are they, and tell each change. The empty name: the global tree.
    Wants {
        /// Whose.
        owner: Arc<str>,
        /// Which time it is wanted: grows.
        number: u64,
    },
    /// They don't any more.
    Leaves {
        /// Whose.
        owner: Arc<str>,
        /// What was wanted under this number.
        number: u64,
    },
    /// All lists of this owner, as they are after so many changes.
    Lists {
        /// Whose.
        owner: Arc<str>,
        /// Who wanted them under this number.
        number: u64,
        /// Grows with each change.
        version: u64,
        /// They.
        lists: Arc<OwnersLists>,
    },
    /// They are here: the next may come.
    Has {
        /// Whose.
        owner: Arc<str>,
        /// As in `Lists`.
        number: u64,
        /// As in `Lists`.
        version: u64,
    },
}

/// A copy of another shard's owner's lists.
#[derive(Debug)]
struct Copy {
    number: u64,
    /// The newest that came.
    version: u64,
    /// What decisions read; none: nothing came yet.
    known: Option<Arc<OwnersLists>>,
    /// What came, and waits for what it refers to.
    next: Option<Arc<OwnersLists>>,
}

/// Copies that this shard has, or has asked for.
#[derive(Debug, Default)]
pub(super) struct Copies {
    of: BTreeMap<Arc<str>, Copy>,
    number: u64,
    /// While the shard is restored.
    pub(super) table: Option<Arc<Table>>,
}

/// What came of asking for a copy.
pub(super) enum Asked {
    /// By these words; whether it is here already.
    Now(Told, bool),
    Before,
    /// Too many are here.
    Refused,
}

/// What came of a copy.
pub(super) enum Took {
    /// The first, or one that says what the one before said.
    First,
    Same,
    /// Another, which waits in `next`.
    Next,
    /// It is no newer than what is here.
    Old,
    /// Nobody wants it here.
    Unwanted,
}

impl Copies {
    /// What is known of this owner's lists.
    pub(super) fn known(&self, owner: &str) -> Option<&Arc<OwnersLists>> {
        self.of.get(owner)?.known.as_ref()
    }

    pub(super) fn is_asked(&self, owner: &str) -> bool {
        self.of.contains_key(owner)
    }

    pub(super) fn ask(&mut self, owner: &Arc<str>, most: usize) -> Asked {
        if self.of.contains_key(owner) {
            return Asked::Before;
        }
        if self.of.len() >= most {
            return Asked::Refused;
        }
        self.number += 1;
        let on_table = self.table.as_ref();
        let known = on_table.map(|table| table.0.get(owner).cloned().unwrap_or_default());
        let is_here = known.is_some();
        let copy = Copy {
            number: self.number,
            version: 0,
            known,
            next: None,
        };
        self.of.insert(owner.clone(), copy);
        let wants = Told::Wants {
            owner: owner.clone(),
            number: self.number,
        };
        Asked::Now(wants, is_here)
    }

    /// Nothing refers to it any more: what is said to whoever keeps it.
    pub(super) fn leave(&mut self, owner: &Arc<str>) -> Option<Told> {
        let copy = self.of.remove(owner)?;
        Some(Told::Leaves {
            owner: owner.clone(),
            number: copy.number,
        })
    }

    pub(super) fn take(
        &mut self,
        owner: &str,
        number: u64,
        version: u64,
        lists: Arc<OwnersLists>,
    ) -> Took {
        let copy = self.of.get_mut(owner);
        let Some(copy) = copy.filter(|copy| copy.number == number) else {
            return Took::Unwanted;
        };
        if version <= copy.version {
            return Took::Old;
        }
        copy.version = version;
        match &copy.known {
            None => {
                copy.known = Some(lists);
                Took::First
            }
            Some(known) if *known == lists => {
                copy.next = None;
                Took::Same
            }
            Some(_) => {
                copy.next = Some(lists);
                Took::Next
            }
        }
    }

    /// What waits takes the place of what is known; again: back.
    pub(super) fn swap(&mut self, owner: &str) -> bool {
        let copy = self.of.get_mut(owner);
        let Some(copy) = copy.filter(|copy| copy.next.is_some()) else {
            return false;
        };
        std::mem::swap(&mut copy.known, &mut copy.next);
        true
    }

    /// What waited holds from now on.
    pub(super) fn settle(&mut self, owner: &str) {
        if let Some(copy) = self.of.get_mut(owner) {
            copy.next = None;
        }
    }
}

/// A shard that has a copy of lists of ours.
#[derive(Debug)]
struct Reader {
    number: u64,
    /// The version on its way there.
    sent: Option<u64>,
    /// It is not the newest.
    is_owed: bool,
}

/// Who has copies of whose lists.
#[derive(Debug, Default)]
pub(super) struct Readers {
    of: BTreeMap<Arc<str>, BTreeMap<u16, Reader>>,
    /// Changes of lists that somebody has.
    version: u64,
}

impl Readers {
    /// What `shard` is told, who wants these lists.
    pub(super) fn wanted(
        &mut self,
        shard: u16,
        owner: Arc<str>,
        number: u64,
        shelf: Option<&Shelf>,
    ) -> Option<Told> {
        let readers = self.of.entry(owner.clone()).or_default();
        let before = readers.get(&shard);
        if before.is_some_and(|before| before.number >= number) {
            return None;
        }
        // The first of all is version 1, so that it is newer than none.
        self.version += 1;
        let version = self.version;
        let reader = Reader {
            number,
            sent: Some(version),
            is_owed: false,
        };
        readers.insert(shard, reader);
        let lists = OwnersLists::of(shelf);
        Some(Told::Lists {
            owner,
            number,
            version,
            lists,
        })
    }

    pub(super) fn left(&mut self, shard: u16, owner: &str, number: u64) {
        let Some(readers) = self.of.get_mut(owner) else {
            return;
        };
        if readers.get(&shard).is_some_and(|it| it.number == number) {
            readers.remove(&shard);
        }
        if readers.is_empty() {
            self.of.remove(owner);
        }
    }

    /// What is owed to `shard`, now that it has what was on its way.
    pub(super) fn has(
        &mut self,
        shard: u16,
        owner: &Arc<str>,
        (number, version): (u64, u64),
        shelf: Option<&Shelf>,
    ) -> Option<Told> {
        let reader = self.of.get_mut(owner)?.get_mut(&shard)?;
        if reader.number != number || reader.sent != Some(version) {
            return None;
        }
        reader.sent = None;
        if !std::mem::take(&mut reader.is_owed) {
            return None;
        }
        reader.sent = Some(self.version);
        Some(Told::Lists {
            owner: owner.clone(),
            number,
            version: self.version,
            lists: OwnersLists::of(shelf),
        })
    }

    /// An owner's lists changed: what to tell whom. To whom something is on its way the newest goes after it.
    pub(super) fn changed(&mut self, owner: &Arc<str>, shelf: Option<&Shelf>) -> Vec<(u16, Told)> {
        let Some(readers) = self.of.get_mut(owner) else {
            return Vec::new();
        };
        self.version += 1;
        let (version, lists) = (self.version, OwnersLists::of(shelf));
        let mut tells = Vec::new();
        for (shard, reader) in readers {
            if reader.sent.is_some() {
                reader.is_owed = true;
                continue;
            }
            reader.sent = Some(version);
            let told = Told::Lists {
                owner: owner.clone(),
                number: reader.number,
                version,
                lists: lists.clone(),
            };
            tells.push((*shard, told));
        }
        tells
    }
}
