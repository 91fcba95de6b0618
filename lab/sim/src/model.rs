//! What the server has promised, as told by what it decided, made durable and said: the reference that checkers compare with.
//!
//! It knows which batch each decision is in. After a crash it holds what the disk kept and what was promised on the wire.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use events::package::Source;
use machine::settings::Handling;
use machine::{Batch, Instant, Key, Now, Partition, StoredDocument, Wall};

use crate::document::user;
use crate::plan::USERS;
use crate::rules::{Gives, Rules, services_of};

/// Whoever waits for something to lapse is given so long.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Names a request, however often its bytes arrive.
pub(crate) type RequestId = String;

/// Names a dialog: Call-ID and the watcher's tag.
pub(crate) type DialogId = String;

/// When something lapses, as exactly as can be known from outside.
#[derive(Clone, Copy, Debug)]
pub struct Lasts {
    /// Seconds granted.
    pub granted: u32,
    /// On the wall, as stored.
    pub deadline: Wall,
    /// It must not be gone before.
    pub earliest: Instant,
    /// It must be gone then, the grace not counted.
    pub latest: Instant,
}

impl Lasts {
    /// Granted now.
    pub fn of(at: Instant, wall: Wall, granted: u32) -> Self {
        let lasts = Duration::from_secs(u64::from(granted));
        Self {
            granted,
            deadline: wall + lasts,
            earliest: at + lasts,
            latest: at + lasts,
        }
    }

    /// The grant left: the peer counts from here.
    fn acknowledged(&mut self, at: Instant) {
        let end = at + Duration::from_secs(u64::from(self.granted));
        (self.earliest, self.latest) = (end, end);
    }

    /// After a start only the wall clock tells: never longer than granted.
    fn restored(&mut self, at: Instant, wall: Wall) {
        let left = self
            .deadline
            .since(wall)
            .min(Duration::from_secs(u64::from(self.granted)));
        (self.earliest, self.latest) = (at + left, at + left);
    }
}

/// A publication that lives.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Where the server keeps it.
    pub key: Option<Key>,
    /// Whose state it is.
    pub presentity: String,
    /// Its entity-tag.
    pub tag: String,
    /// What it says.
    pub body: Bytes,
    /// When the server took it.
    pub accepted: Wall,
    /// Grows with each acceptance.
    pub order: u64,
    /// Until when.
    pub lasts: Lasts,
}

/// A subscription that lives.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Where the server keeps it.
    pub key: Option<Key>,
    /// Who is watched.
    pub presentity: String,
    /// By whom.
    pub watcher: String,
    /// Until when.
    pub lasts: Lasts,
    /// It is to watchers.
    pub winfo: bool,
    /// Its end was decided: only the last NOTIFY is missing.
    pub ending: bool,
}

/// Everything that lives.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// By entity-tag.
    pub publications: BTreeMap<String, Publication>,
    /// By dialog.
    pub dialogs: BTreeMap<DialogId, Dialog>,
    /// Requests that had an effect.
    pub effects: BTreeSet<RequestId>,
}

/// One decision of the server.
#[derive(Clone, Debug)]
pub enum Change {
    /// A publication is made, or takes the place of the one with this tag.
    Published(Publication, Option<String>),
    /// The publication with this tag is gone.
    Unpublished(String),
    /// A subscription begins or is made longer.
    Subscribed(DialogId, Dialog),
    /// Its end is decided.
    Ending(DialogId),
    /// It is over.
    Ended(DialogId),
    /// A request had its effect.
    Effect(RequestId),
}

impl State {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Published(publication, replaced) => {
                if let Some(tag) = replaced {
                    self.publications.remove(tag);
                }
                self.publications
                    .insert(publication.tag.clone(), publication.clone());
            }
            Change::Unpublished(tag) => {
                self.publications.remove(tag);
            }
            Change::Subscribed(id, dialog) => {
                self.dialogs.insert(id.clone(), dialog.clone());
            }
            Change::Ending(id) => {
                if let Some(dialog) = self.dialogs.get_mut(id) {
                    dialog.ending = true;
                }
            }
            Change::Ended(id) => {
                self.dialogs.remove(id);
            }
            Change::Effect(id) => {
                self.effects.insert(id.clone());
            }
        }
    }
}

/// Changes that wait for their batch.
#[derive(Clone, Debug)]
struct Pending {
    shard: u16,
    sequence: u64,
    /// Whose users it is about.
    partitions: BTreeSet<Partition>,
    changes: Vec<Change>,
}

/// The reference.
#[derive(Debug, Default)]
pub struct Model {
    /// What the server knows.
    pub live: State,
    /// What it would know after a crash.
    kept: State,
    pending: VecDeque<Pending>,
    /// Each view that a presentity had, whole and its services, in order.
    views: BTreeMap<String, Vec<(Bytes, Bytes)>>,
    /// What presentities keep of themselves for good.
    permanent: BTreeMap<String, StoredDocument>,
    /// The rules that presentities keep, and since when.
    rules: BTreeMap<String, (Rules, Instant)>,
    /// `default_handling`; `None` before the first start.
    pub handling: Option<Handling>,
    /// When it changed last.
    pub handling_since: Instant,
    /// When any view changed last.
    pub changed_at: Instant,
    order: u64,
}

impl Model {
    /// The server decided this, in a batch; `None`: nothing is written for it.
    pub fn decide(&mut self, batch: Option<&Batch>, changes: Vec<Change>) {
        for change in &changes {
            self.live.apply(change);
        }
        match batch {
            Some(batch) => {
                let partitions = batch.records.iter().map(|record| record.key.partition());
                self.pending.push_back(Pending {
                    shard: batch.shard,
                    sequence: batch.sequence,
                    partitions: partitions.collect(),
                    changes,
                });
            }
            None => {
                for change in &changes {
                    self.kept.apply(change);
                }
            }
        }
    }

    /// The oldest batch is durable.
    pub fn durable(&mut self, shard: u16, sequence: u64) {
        while self
            .pending
            .front()
            .is_some_and(|first| first.shard != shard || first.sequence <= sequence)
        {
            let Some(first) = self.pending.pop_front() else {
                return;
            };
            let is_it = (first.shard, first.sequence) == (shard, sequence);
            for change in &first.changes {
                self.kept.apply(change);
            }
            if is_it {
                return;
            }
        }
    }

    /// How many batches are not durable.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What this request did was promised on the wire: it has to outlive any crash, and all that was written before.
    pub fn promised(&mut self, id: &RequestId) {
        let is_its = |change: &Change| matches!(change, Change::Effect(other) if other == id);
        let Some(place) = self
            .pending
            .iter()
            .position(|pending| pending.changes.iter().any(is_its))
        else {
            return;
        };
        for pending in self.pending.iter_mut().take(place + 1) {
            for change in pending.changes.drain(..) {
                self.kept.apply(&change);
            }
        }
    }

    /// The process died; the disk kept so many batches. Gives whose users those were about that were not known to be durable.
    pub fn crashed(&mut self, kept: u64) -> BTreeSet<Partition> {
        let pending = self.pending.iter();
        let partitions = pending.flat_map(|pending| pending.partitions.clone());
        let partitions = partitions.collect();
        for pending in self.pending.drain(..).take(kept as usize) {
            for change in &pending.changes {
                self.kept.apply(change);
            }
        }
        self.pending.clear();
        self.live = self.kept.clone();
        partitions
    }

    /// A process starts: what lapsed meanwhile is gone.
    pub fn started(&mut self, at: Instant, wall: Wall) {
        for publication in self.live.publications.values_mut() {
            publication.lasts.restored(at, wall);
        }
        for dialog in self.live.dialogs.values_mut() {
            dialog.lasts.restored(at, wall);
        }
        self.kept = self.live.clone();
    }

    /// The 200 to a PUBLISH left, for the first time.
    pub fn publication_acknowledged(&mut self, at: Instant, tag: &str) {
        for state in [&mut self.live, &mut self.kept] {
            if let Some(publication) = state.publications.get_mut(tag) {
                publication.lasts.acknowledged(at);
            }
        }
    }

    /// The 2xx to a SUBSCRIBE left, for the first time.
    pub fn subscription_acknowledged(&mut self, at: Instant, id: &DialogId) {
        for state in [&mut self.live, &mut self.kept] {
            if let Some(dialog) = state.dialogs.get_mut(id) {
                dialog.lasts.acknowledged(at);
            }
        }
    }

    /// A publication as the server makes it now.
    pub fn publication(
        &mut self,
        now: (Instant, Now),
        presentity: &str,
        tag: &str,
        granted: u32,
        body: Option<Bytes>,
        replaced: Option<&str>,
    ) -> Publication {
        let before = replaced.and_then(|tag| self.live.publications.get(tag));
        let lasts = Lasts::of(now.0, now.1.wall, granted);
        match (before, body) {
            (Some(before), None) => Publication {
                tag: tag.to_owned(),
                lasts,
                ..before.clone()
            },
            (_, body) => {
                self.order += 1;
                Publication {
                    key: before.and_then(|before| before.key),
                    presentity: presentity.to_owned(),
                    tag: tag.to_owned(),
                    body: body.unwrap_or_default(),
                    accepted: now.1.wall,
                    order: self.order,
                    lasts,
                }
            }
        }
    }

    /// What outlived its expiry.
    pub fn overdue(&self, at: Instant) -> Option<String> {
        let late = |lasts: &Lasts| at > lasts.latest + GRACE;
        let publication = self
            .live
            .publications
            .values()
            .find(|each| late(&each.lasts));
        let dialog = self
            .live
            .dialogs
            .iter()
            .find(|(_, each)| !each.ending && late(&each.lasts));
        publication
            .map(|each| format!("publication {} of {}", each.tag, each.presentity))
            .or_else(|| {
                dialog.map(|(id, each)| format!("subscription {id} to {}", each.presentity))
            })
    }

    /// What a watcher who may see everything sees of this presentity.
    pub fn view(&self, presentity: &str) -> Bytes {
        let mut live: Vec<&Publication> = self
            .live
            .publications
            .values()
            .filter(|publication| publication.presentity == presentity)
            .collect();
        live.sort_by_key(|publication| publication.order);
        let permanent = self.permanent.get(presentity).into_iter();
        let permanent =
            permanent.map(|stored| Source::permanent(stored.text.as_bytes(), stored.modified));
        let published = live
            .iter()
            .map(|publication| Source::new(&publication.body, publication.accepted));
        let sources: Vec<Source<'_>> = permanent.chain(published).collect();
        Bytes::from((presence::PRESENCE.compose)(presentity, &sources))
    }

    /// What a watcher sees who may not see.
    pub fn neutral(&self, presentity: &str) -> Bytes {
        Bytes::from((presence::PRESENCE.neutral)(presentity))
    }

    /// What the rules give a watcher.
    pub fn decision(&self, presentity: &str, watcher: &str) -> Handling {
        if presentity == watcher {
            return Handling::Allow;
        }
        let ruled = self.gives(presentity, watcher).handling();
        ruled.or(self.handling).unwrap_or(Handling::Allow)
    }

    /// What a presentity's rules say of a watcher.
    pub fn gives(&self, presentity: &str, watcher: &str) -> Gives {
        let number = (0..USERS).find(|number| user(*number) == watcher);
        let rules = self.rules.get(presentity).filter(|_| presentity != watcher);
        let gives = number.and_then(|number| rules?.0.get(usize::from(number)).copied());
        gives.unwrap_or(Gives::Nothing)
    }

    /// The rules of a presentity take effect; whether they are others than before.
    pub fn ruled(&mut self, at: Instant, presentity: &str, rules: Rules) -> bool {
        if self
            .rules
            .get(presentity)
            .is_some_and(|(known, _)| *known == rules)
        {
            return false;
        }
        self.rules.insert(presentity.to_owned(), (rules, at));
        true
    }

    /// What a presentity keeps of herself for good takes effect; whether it is another than before.
    pub fn keeps(&mut self, presentity: &str, permanent: Option<StoredDocument>) -> bool {
        let before = match permanent.clone() {
            Some(stored) => self.permanent.insert(presentity.to_owned(), stored),
            None => self.permanent.remove(presentity),
        };
        before != permanent
    }

    /// Since when what this presentity's watchers are given is what it is.
    pub fn decided_since(&self, presentity: &str) -> Instant {
        let ruled = self.rules.get(presentity).map(|(_, at)| *at);
        ruled.unwrap_or_default().max(self.handling_since)
    }

    /// Who blocks somebody.
    pub fn who_blocks(&self) -> Vec<(String, Rules)> {
        let blocks = |(_, (rules, _)): &(&String, &(Rules, Instant))| rules.contains(&Gives::Block);
        let all = self.rules.iter().filter(blocks);
        all.map(|(presentity, (rules, _))| (presentity.clone(), *rules))
            .collect()
    }

    /// What this watcher ends with.
    pub fn seen_by(&self, presentity: &str, watcher: &str) -> Bytes {
        match self.decision(presentity, watcher) {
            Handling::Allow if self.gives(presentity, watcher) == Gives::Services => {
                services_of(presentity, &self.view(presentity))
            }
            Handling::Allow => self.view(presentity),
            _ => self.neutral(presentity),
        }
    }

    /// Notes the views that changed.
    pub fn note_views(&mut self, at: Instant, presentities: &BTreeSet<String>) {
        for presentity in presentities {
            let view = self.view(presentity);
            let neutral = self.neutral(presentity);
            let views = self
                .views
                .entry(presentity.clone())
                .or_insert_with(|| vec![(neutral.clone(), neutral)]);
            if views.last().is_none_or(|(last, _)| *last != view) {
                let services = services_of(presentity, &view);
                views.push((view, services));
                self.changed_at = at;
            }
        }
    }

    /// The first view from `index` on that says this; views before it are older.
    pub fn find_view(&self, presentity: &str, index: usize, body: &[u8]) -> Option<usize> {
        let Some(views) = self.views.get(presentity) else {
            return (index == 0 && self.neutral(presentity) == body).then_some(0);
        };
        let says = |(whole, services): &(Bytes, Bytes)| whole == body || services == body;
        (index..views.len()).find(|index| views.get(*index).is_some_and(says))
    }

    /// Everybody of whom anything is known.
    pub fn presentities(&self) -> BTreeSet<String> {
        let published = self
            .live
            .publications
            .values()
            .map(|each| each.presentity.clone());
        published.chain(self.views.keys().cloned()).collect()
    }
}
