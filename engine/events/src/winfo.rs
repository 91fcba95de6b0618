//! The template `winfo` (RFC 3857): for any package another one, whose state is who watches.
//!
//! Of a subscription to it nothing is kept but what changed since its last NOTIFY. The version of a document is the number of NOTIFYs
//! before it in its dialog, which CSeq counts already: it begins with 0, grows by one with each, and goes on after a clean stop. After
//! a crash it leaves a gap, as CSeq does (decision 4), and never goes back; what comes after a gap names all watchers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use documents::watcherinfo::{self, Event, Status, Watcher, WatcherInfo, WatcherList};
use hashbrown::HashMap;
use machine::settings::Handling;
use machine::{Key, Limits, Now};

use crate::answer::Rejection;
use crate::package::{BodyRefusal, Checked, Package, Source};
use crate::resource::{NOTHING, View};
use crate::sight::Given;
use crate::state::EventState;
use crate::subscription::{Owed, Phase, Reason, Subscription};
use crate::waiting::Waiting;
use crate::watcher;

/// What the name of a package gets behind it.
const TEMPLATE: &str = ".winfo";

/// Watchers that changed since a NOTIFY: 256 × 200 B = 51 KB for one subscription. Beyond it all are told, which costs a document, and no memory.
const CHANGES_MAX: usize = 256;

/// Who an anonymous watcher is (RFC 3323 §4.1.1.3).
const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";

/// The template applied: the package of this name, which ends in `.winfo`, tells who watches the one before it.
pub const fn package(name: &'static str) -> Package {
    Package {
        name,
        notify_types: &[watcherinfo::MEDIA_TYPE],
        publish_types: &[],
        check: refuse,
        compose: nothing,
        neutral: nothing_of,
    }
}

fn refuse(_: &str, _: &[u8], _: &Limits) -> Result<Checked, BodyRefusal> {
    Err(BodyRefusal {
        status: 415,
        reason: "nobody publishes who watches".to_owned(),
    })
}

fn nothing(_: &str, _: &[Source<'_>]) -> Vec<u8> {
    Vec::new()
}

fn nothing_of(_: &str) -> Vec<u8> {
    Vec::new()
}

/// What the template keeps.
pub(crate) struct Winfo {
    /// By package: the one that tells who watches it.
    told_by: Vec<Option<u8>>,
    /// By package: the one whose watchers it tells.
    tells_of: Vec<Option<u8>>,
    /// By subscription: what changed since its last NOTIFY.
    changes: HashMap<Key, Changes>,
    pub(crate) waiting: Waiting,
    /// Watchers in one document.
    pub(crate) watchers_max: usize,
}

/// By the watcher's key: how she ended, or nothing where she is to be looked up.
enum Changes {
    Of(BTreeMap<u64, Option<Watcher>>),
    TooMany,
}

impl Winfo {
    /// For these packages.
    pub(crate) fn new(packages: &[&Package]) -> Self {
        let find = |name: &str| {
            let mut all = packages.iter();
            all.position(|package| package.name == name)
                .map(|at| at as u8)
        };
        let told_by = packages
            .iter()
            .map(|package| find(&format!("{}{TEMPLATE}", package.name)))
            .collect();
        let tells_of = packages
            .iter()
            .map(|package| find(package.name.strip_suffix(TEMPLATE)?))
            .collect();
        Self {
            told_by,
            tells_of,
            changes: HashMap::new(),
            waiting: Waiting::new(packages.len()),
            watchers_max: Limits::default().watchers_per_document_max as usize,
        }
    }

    /// How many entries there are.
    pub(crate) fn remembered(&self) -> usize {
        self.changes.len() + self.waiting.len()
    }

    /// Whose watchers this package tells; `None`: it is no watcher information.
    pub(crate) fn tells_of(&self, package: u8) -> Option<u8> {
        self.tells_of.get(usize::from(package)).copied().flatten()
    }

    fn change(&mut self, subscription: Key, watcher: Key, ended: Option<Watcher>) {
        let changes = self
            .changes
            .entry(subscription)
            .or_insert_with(|| Changes::Of(BTreeMap::new()));
        if let Changes::Of(watchers) = changes {
            watchers.insert(watcher.to_bits(), ended);
            if watchers.len() > CHANGES_MAX {
                *changes = Changes::TooMany;
            }
        }
    }

    /// A subscription is gone.
    pub(crate) fn forget(&mut self, subscription: Key) {
        self.changes.remove(&subscription);
    }
}

impl Reason {
    pub(crate) const fn event(self) -> Event {
        match self {
            Self::Timeout => Event::Timeout,
            Self::Rejected => Event::Rejected,
            Self::Deactivated => Event::Deactivated,
            Self::NoResource => Event::Noresource,
        }
    }
}

/// An id, which is never given to another watcher: numbers are not used again.
pub(crate) fn id_of(key: Key) -> String {
    format!("{:x}", key.number())
}

/// How a watcher is named: who is anonymous stays so.
fn named(watcher: &str) -> &str {
    let watcher = crate::watcher::name(watcher);
    match watcher.rsplit_once('@') {
        Some((_, host)) if host == "invalid" || host.ends_with(".invalid") => ANONYMOUS,
        _ => watcher,
    }
}

impl Subscription {
    fn status(&self) -> Status {
        match self.handling {
            Handling::Confirm => Status::Pending,
            // RFC 5025 §3.2.1: politely blocked is, for winfo too, accepted.
            _ => Status::Active,
        }
    }

    fn event_of_life(&self) -> Event {
        match self.approved {
            true => Event::Approved,
            false => Event::Subscribe,
        }
    }

    pub(crate) fn display_name(&self) -> Option<String> {
        if named(&self.watcher) == ANONYMOUS {
            return None;
        }
        let remote = sip::NameAddr::parse(self.dialog.remote(), sip::Name::From).ok()?;
        let name = remote.display_name()?;
        (!name.is_empty()).then(|| name.into_owned())
    }

    /// As the document has her while she lives.
    fn as_watcher(&self, now: Now) -> Watcher {
        Watcher {
            expiration: Some(u64::from(self.remaining(now.monotonic))),
            ..self.as_ended(self.status(), self.event_of_life())
        }
    }

    fn as_ended(&self, status: Status, event: Event) -> Watcher {
        watcher(self.key, &self.watcher, self.display_name(), status, event)
    }
}

/// One watcher, without times.
pub(crate) fn watcher(
    key: Key,
    name: &str,
    display_name: Option<String>,
    status: Status,
    event: Event,
) -> Watcher {
    Watcher {
        id: id_of(key),
        status,
        event,
        display_name,
        expiration: None,
        duration_subscribed: None,
        uri: named(name).to_owned(),
    }
}

impl EventState {
    /// The bounds in force.
    pub fn handle_limits(&mut self, limits: &Limits) {
        self.winfo.watchers_max = limits.watchers_per_document_max as usize;
        self.winfo.waiting.set_limits(limits);
    }

    /// What the rules for a package give a watcher of its template: the presentity sees everybody, who may see her sees herself among
    /// them, and nobody else anything (RFC 3857 §4.6, §4.7.2).
    pub(crate) fn given_of(
        &self,
        package: u8,
        presentity: &str,
        watcher: &str,
        given: Given,
    ) -> Given {
        if self.winfo.tells_of(package).is_none() {
            return given;
        }
        Given::whole(match given.handling {
            _ if watcher::is(watcher, presentity) => Handling::Allow,
            // Whoever hides is nobody in particular, so no record is hers.
            _ if named(watcher) == ANONYMOUS => Handling::Block,
            // She must not learn here that she is politely blocked.
            Handling::Allow | Handling::PoliteBlock => Handling::Allow,
            Handling::Confirm | Handling::Block => Handling::Block,
        })
    }

    /// The package of a PUBLISH: one that has something to publish (RFC 3903 §6 step 2).
    pub fn published_package(&self, request: &sip::Message<'_>) -> Result<u8, Rejection> {
        let package = self.package(request)?;
        if self.packages[usize::from(package)].publish_types.is_empty() {
            return Err(Rejection::bad_event(&self.allow_events()));
        }
        Ok(package)
    }

    /// Whether a subscription is to watcher information.
    pub(crate) fn is_winfo(&self, slot: u32) -> bool {
        let resource = self.subscriptions[slot as usize].resource;
        let package = self.resources[resource as usize].package;
        self.winfo.tells_of(package).is_some()
    }

    /// Somebody subscribes or fetches.
    pub(crate) fn watcher_came(&mut self, now: Now, slot: u32) {
        let subscription = &self.subscriptions[slot as usize];
        let resource = &self.resources[subscription.resource as usize];
        let (package, name) = (resource.package, resource.name.clone());
        let (key, watcher) = (subscription.key, subscription.watcher.clone());
        // She is here again: what waited of her need not.
        self.give_up_waiting(package, &name, &watcher);
        if subscription_lives(&self.subscriptions[slot as usize]) {
            self.tell_watchers(package, &name, &watcher, key, |_| None);
        } else if self.subscriptions[slot as usize].handling == Handling::Confirm {
            // RFC 3857 §4.7.2: a fetch of whom nobody knows is pending and over at once. Others' fetches are nobody's news.
            self.wait(now, slot);
        }
    }

    /// The rules say something else of a live subscription.
    pub(crate) fn watcher_decided(&mut self, slot: u32, before: Handling) {
        let subscription = &mut self.subscriptions[slot as usize];
        let pending = |handling| handling == Handling::Confirm;
        let (was, is) = (pending(before), pending(subscription.handling));
        if was == is {
            return;
        }
        subscription.approved = was;
        self.watcher_changed(slot, |_| None);
    }

    /// A subscription that lived is over (RFC 3857 §4.7.1, figure 1).
    pub(crate) fn watcher_left(&mut self, now: Now, slot: u32, event: Event) {
        match (self.subscriptions[slot as usize].status(), event) {
            (Status::Pending, Event::Timeout) => self.wait(now, slot),
            _ => self.watcher_changed(slot, |subscription| {
                Some(subscription.as_ended(Status::Terminated, event))
            }),
        }
    }

    pub(crate) fn watcher_changed(
        &mut self,
        slot: u32,
        ended: impl Fn(&Subscription) -> Option<Watcher>,
    ) {
        let subscription = &self.subscriptions[slot as usize];
        let resource = &self.resources[subscription.resource as usize];
        let (package, name) = (resource.package, resource.name.clone());
        let (key, watcher) = (subscription.key, subscription.watcher.clone());
        self.tell_watchers(package, &name, &watcher, key, |this| {
            ended(&this.subscriptions[slot as usize])
        });
    }

    /// Everybody who watches the watchers of `name`, and may see this one, is owed a NOTIFY about her.
    pub(crate) fn tell_watchers(
        &mut self,
        package: u8,
        name: &Arc<str>,
        watcher: &Arc<str>,
        key: Key,
        ended: impl Fn(&Self) -> Option<Watcher>,
    ) {
        let told_by = self.winfo.told_by.get(usize::from(package));
        let resource = told_by
            .copied()
            .flatten()
            .and_then(|told_by| self.by_name[usize::from(told_by)].get(name));
        // What all but a few presentities are asked: does anybody care?
        let Some(resource) = resource.copied() else {
            return;
        };
        let ended = ended(self);
        for index in 0..self.resources[resource as usize].subscriptions.len() {
            let slot = self.resources[resource as usize].subscriptions[index];
            let subscription = &self.subscriptions[slot as usize];
            if subscription.phase == Phase::Live && sees(subscription, name, watcher) {
                let told = subscription.key;
                self.winfo.change(told, key, ended.clone());
                self.owe(slot, Owed::Change);
            }
        }
    }

    /// Whether this watcher of watchers has been told everything.
    pub(crate) fn knows_watchers(&self, slot: u32) -> bool {
        let subscription = &self.subscriptions[slot as usize];
        let is_told = !self.winfo.changes.contains_key(&subscription.key);
        is_told && subscription.phase == Phase::Live
    }

    /// How long the document would be, roughly.
    pub(crate) fn winfo_bytes(&self, slot: u32) -> usize {
        let subscription = &self.subscriptions[slot as usize];
        let watchers = match self.winfo.changes.get(&subscription.key) {
            Some(Changes::Of(changes)) if !self.tells_all(subscription) => changes.len(),
            _ => {
                let resource = &self.resources[subscription.resource as usize];
                let watched = self.watched(resource.package, &resource.name);
                let live =
                    watched.map_or(0, |slot| self.resources[slot as usize].subscriptions.len());
                match watcher::is(&subscription.watcher, &resource.name) {
                    true => live + self.waiting_of(resource.package, &resource.name).count(),
                    false => live.min(4),
                }
            }
        };
        240 + 180 * watchers
    }

    /// Whether it gets all watchers. A SUBSCRIBE is answered so (RFC 3857 §4.7), and so is what follows a failure or a start.
    fn tells_all(&self, subscription: &Subscription) -> bool {
        let changes = self.winfo.changes.get(&subscription.key);
        subscription.owed == Owed::AtOnce
            || subscription.phase != Phase::Live
            || !matches!(changes, Some(Changes::Of(_)))
    }

    fn watched(&self, package: u8, name: &str) -> Option<u32> {
        let tells_of = self.winfo.tells_of(package)?;
        self.by_name[usize::from(tells_of)].get(name).copied()
    }

    fn waiting_of(&self, package: u8, name: &str) -> impl Iterator<Item = (&Arc<str>, Watcher)> {
        let tells_of = self.winfo.tells_of(package);
        tells_of
            .into_iter()
            .flat_map(move |package| self.winfo.waiting.of(package, name))
    }

    /// The document that is owed, composed for this one NOTIFY.
    pub(crate) fn compose_winfo(&mut self, now: Now, slot: u32) -> View {
        let subscription = &self.subscriptions[slot as usize];
        if let Phase::Ending(Reason::Rejected | Reason::Deactivated | Reason::NoResource) =
            subscription.phase
        {
            self.winfo.changes.remove(&subscription.key);
            return NOTHING.clone();
        }
        let is_full = self.tells_all(subscription);
        let key = subscription.key;
        let watchers = match self.winfo.changes.remove(&key) {
            Some(Changes::Of(changes)) if !is_full => self.changed_watchers(now, changes),
            _ => self.all_watchers(now, slot),
        };
        let subscription = &self.subscriptions[slot as usize];
        let resource = &self.resources[subscription.resource as usize];
        let package = self.packages[usize::from(resource.package)].name;
        let list = WatcherList {
            resource: resource.name.to_string(),
            package: package.strip_suffix(TEMPLATE).unwrap_or(package).to_owned(),
            watchers,
        };
        let document = WatcherInfo {
            version: u64::from(subscription.cseq(self.starts)),
            is_full,
            lists: vec![list],
        };
        View {
            body: Bytes::from(document.write()),
            // No two of them are the same.
            digest: 1,
        }
    }

    /// Everybody she may see: who waits for a decision first.
    fn all_watchers(&self, now: Now, slot: u32) -> Vec<Watcher> {
        let subscription = &self.subscriptions[slot as usize];
        let resource = &self.resources[subscription.resource as usize];
        let watched = self.watched(resource.package, &resource.name);
        let slots = watched.map(|slot| &self.resources[slot as usize].subscriptions);
        let live = slots
            .into_iter()
            .flatten()
            .map(|slot| &self.subscriptions[*slot as usize])
            .filter(|each| {
                subscription_lives(each) && sees(subscription, &resource.name, &each.watcher)
            })
            .map(|each| (each.status(), each.key.number(), each.as_watcher(now)));
        let waiting = self
            .waiting_of(resource.package, &resource.name)
            .filter(|(watcher, _)| sees(subscription, &resource.name, watcher))
            .map(|(_, watcher)| (Status::Waiting, 0, watcher));
        let mut all: Vec<_> = live.chain(waiting).collect();
        all.sort_unstable_by(|a, b| (a.0, a.1, &a.2.id).cmp(&(b.0, b.1, &b.2.id)));
        all.truncate(self.winfo.watchers_max);
        all.into_iter().map(|(_, _, watcher)| watcher).collect()
    }

    fn changed_watchers(&self, now: Now, changes: BTreeMap<u64, Option<Watcher>>) -> Vec<Watcher> {
        let changed = changes.into_iter().filter_map(|(key, ended)| {
            ended.or_else(|| {
                let slot = self.by_key.get(&Key::from_bits(key))?;
                Some(self.subscriptions[*slot as usize].as_watcher(now))
            })
        });
        changed.collect()
    }
}

/// Live, and no fetch.
fn subscription_lives(subscription: &Subscription) -> bool {
    subscription.phase == Phase::Live
}

/// Whether a watcher of watchers sees this one: the presentity sees everybody, everybody herself.
fn sees(subscription: &Subscription, presentity: &str, watcher: &str) -> bool {
    watcher::is(&subscription.watcher, presentity)
        || watcher::name(&subscription.watcher) == watcher::name(watcher)
}
