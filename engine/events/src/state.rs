//! The event state of one shard: its resources, publications, subscriptions, and the deadlines of them all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use machine::settings::Presence;
use machine::{
    Cause, Instant, Key, Limits, Now, Partition, Partitioner, Random, Record, TimerId, Wheel,
};
use slab::Slab;

use crate::answer::Rejection;
use crate::fingerprint::{Fingerprint, LastChange};
use crate::happened::Happened;
use crate::package::{Checked, Package};
use crate::resource::{AnsweredByAll, NOTHING, Resource, View};
use crate::sight::{Sights, WHOLE};
use crate::stored::Encoder;
use crate::subscription::Subscription;
use crate::watcher::{self, Believed};
use crate::winfo::Winfo;
use crate::written::{Kind, Written};

/// How long the same request may still arrive again: 64·T1 (RFC 3261 §17.1.2.2).
pub const RETRANSMISSIONS_LAST: Duration = Duration::from_secs(32);

/// After so many appends an object is written whole again, so that its chain in the journal stays short.
pub const APPENDS_MAX: u8 = 16;

/// What an engine needs to know about one request besides the request.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time.
    pub now: Now,
    /// Canonical address of record of the Request-URI.
    pub presentity: &'a str,
    /// Who asks, as `watcher` writes her.
    pub identity: &'a str,
    /// `[presence]` of the presentity's domain.
    pub presence: &'a Presence,
    /// Every bound.
    pub limits: &'a Limits,
    /// Memory or disk is full: why new state is refused.
    pub full: Option<&'static str>,
}

/// Everything that can wake the event state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Set when a 2xx to PUBLISH goes out; on expiry that one publication lapses (RFC 3903 §6).
    PublicationExpires {
        /// Slot of its resource.
        resource: u32,
        /// Which.
        key: Key,
    },
    /// Set when a 2xx to SUBSCRIBE goes out; on expiry the subscription ends (RFC 6665 §4.2.2).
    SubscriptionExpires(Key),
    /// Set when a NOTIFY leaves or is owed sooner than the interval allows.
    SubscriptionWakes(Key),
    /// An ended object is remembered so long, for the same request again after a crash.
    Forget(Key),
    /// Set for the watcher who has waited longest for a decision; on expiry she is given up (RFC 3857 §4.7.1).
    WaitingEnds,
    /// After a start: requests of the life before can no longer be retransmissions.
    ForgetChanges,
}

/// What a request of the life before has done, by its fingerprint.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    Published {
        entity_tag: u64,
        partition: Partition,
    },
    Subscribed {
        tag: crate::dialog::Tag,
    },
    Unsubscribed {
        tag: crate::dialog::Tag,
    },
}

/// Publications, subscriptions and notifications of one shard.
pub struct EventState {
    pub(crate) packages: &'static [&'static Package],
    pub(crate) partitioner: Partitioner,
    pub(crate) starts: u32,
    /// Which shard of how many.
    share: (u16, u16),
    /// Upper 20 bits of the numbers given out now: the count of starts, or beyond it where a life used its 2³² up.
    epoch: u32,
    counter: u32,
    pub(crate) random: Random,
    pub(crate) resources: Slab<Resource>,
    pub(crate) by_name: Vec<HashMap<Arc<str>, u32>>,
    pub(crate) subscriptions: Slab<Subscription>,
    pub(crate) by_key: HashMap<Key, u32>,
    pub(crate) watchers: HashMap<Arc<str>, u32>,
    pub(crate) timers: Wheel<Timer>,
    pub(crate) done: HashMap<Fingerprint, Done>,
    pub(crate) ring: VecDeque<u32>,
    pub(crate) resend: VecDeque<Key>,
    pub(crate) freed_hops: Vec<u32>,
    /// Records of this turn, in order.
    pub(crate) records: Written,
    pub(crate) happened: VecDeque<(Cause, Happened)>,
    /// The input that is being handled.
    pub(crate) cause: Cause,
    pub(crate) publications: usize,
    /// Whose publications changed, while somebody watches.
    pub(crate) touched: Vec<Arc<str>>,
    pub(crate) winfo: Winfo,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Presentities that are watched, published for, or keep something of themselves for good.
    pub presentities: usize,
    /// Live publications.
    pub publications: usize,
    /// Subscriptions, ending ones included.
    pub subscriptions: usize,
}

impl EventState {
    /// Nothing yet. `starts` counts the starts of the store, this one included; `share`: which shard of how many.
    pub fn new(
        packages: &'static [&'static Package],
        partitioner: Partitioner,
        starts: u32,
        share: (u16, u16),
        seed: u64,
    ) -> Self {
        Self {
            packages,
            partitioner,
            starts,
            share,
            epoch: starts,
            counter: 0,
            random: Random::new(seed),
            resources: Slab::new(),
            by_name: packages.iter().map(|_| HashMap::new()).collect(),
            subscriptions: Slab::new(),
            by_key: HashMap::new(),
            watchers: HashMap::new(),
            timers: Wheel::new(),
            done: HashMap::new(),
            ring: VecDeque::new(),
            resend: VecDeque::new(),
            freed_hops: Vec::new(),
            records: Written::default(),
            happened: VecDeque::new(),
            cause: Cause::NONE,
            publications: 0,
            touched: Vec::new(),
            winfo: Winfo::new(packages),
        }
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        Counts {
            presentities: self.resources.len(),
            publications: self.publications,
            subscriptions: self.subscriptions.len(),
        }
    }

    /// How many entries there are of everything that is kept: nothing is left when nothing happens any more, but what users keep for good.
    pub fn remembered(&self) -> usize {
        let lasting = self.resources.iter();
        let lasting = lasting
            .filter(|(_, resource)| resource.permanent.is_some() && resource.is_forgettable())
            .count();
        let maps = self.by_name.iter().map(HashMap::len).sum::<usize>()
            + self.by_key.len()
            + self.watchers.len()
            + self.done.len()
            + self.winfo.remembered();
        let queues = self.ring.len() + self.resend.len() + self.freed_hops.len();
        let records = self.records.len() + self.happened.len();
        let sights = self.resources.iter();
        let sights = sights.map(|(_, resource)| resource.sights.len());
        self.resources.len()
            + self.subscriptions.len()
            + self.timers.len()
            + maps
            + queues
            + records
            + sights.sum::<usize>()
            // Each of those and its name.
            - 2 * lasting
    }

    /// The names of the packages, for Allow-Events (RFC 6665 §8.2.2: packages, not templates).
    pub fn allow_events(&self) -> String {
        self.packages
            .iter()
            .map(|package| package.name)
            .filter(|name| !name.contains('.'))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The package that a request's Event names (RFC 6665 §4.2.1.1, RFC 3903 §6 step 2: none or unknown is 489).
    pub fn package(&self, request: &sip::Message<'_>) -> Result<u8, Rejection> {
        let bad = || Rejection::bad_event(&self.allow_events());
        let event = request.event()?.ok_or_else(bad)?;
        let index = self
            .packages
            .iter()
            .position(|package| package.name == event.package)
            .ok_or_else(bad)?;
        Ok(index as u8)
    }

    /// A number that was never used before in any life of this store, and larger than all of them.
    pub fn next_number(&mut self) -> u64 {
        if self.counter == u32::MAX {
            self.begin_epoch(self.epoch.wrapping_add(1));
        }
        self.counter += 1;
        (u64::from(self.epoch) << 32 | u64::from(self.counter)) & Key::NUMBER_MAX
    }

    /// A life that uses its 2³² numbers up goes on with those of the next, which has to know: on record for each partition,
    /// since another number of shards may share them by then.
    pub(crate) fn begin_epoch(&mut self, epoch: u32) {
        (self.epoch, self.counter) = (epoch, 0);
        let (index, shards) = self.share;
        let own = (0..machine::PARTITIONS)
            .filter_map(Partition::new)
            .filter(|partition| partition.shard(shards) == index);
        for partition in own {
            // Number 0 is never given out.
            let record = Encoder::new(b'N').u32(epoch).end();
            self.records
                .push(Key::new(partition, 0), Kind::Put, &record);
        }
    }

    /// A life before this one gave out numbers of this epoch.
    pub(crate) fn used_epoch(&mut self, epoch: u32) {
        self.epoch = self.epoch.max(epoch.saturating_add(1));
    }

    /// Where this life's numbers do not begin at its count of starts, the next has to know as well.
    pub(crate) fn record_epoch(&mut self) {
        if self.epoch != self.starts {
            self.begin_epoch(self.epoch);
        }
    }

    /// Gives the numbers up to this one up: for tests of what comes after the last.
    #[doc(hidden)]
    pub fn skip_numbers(&mut self, counter: u32) {
        self.counter = self.counter.max(counter);
    }

    /// Records to commit, in order, and whether nobody waits for any of them.
    pub fn take_records(&mut self) -> (Vec<Record>, bool) {
        let lazy = !self.records.is_awaited();
        (self.records.take(), lazy)
    }

    /// What is decided from here on comes of this input.
    pub fn handle_cause(&mut self, cause: Cause) {
        self.cause = cause;
    }

    /// The next thing that happened, and the input that it came of.
    pub fn poll_happened(&mut self) -> Option<(Cause, Happened)> {
        self.happened.pop_front()
    }

    /// Whose publications changed while somebody watches, since this was asked last.
    pub fn take_touched(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.touched)
    }

    /// What is published for somebody under a package, oldest acceptance first.
    pub fn publications_of(&self, package: &str, presentity: &str) -> impl Iterator<Item = &[u8]> {
        let slot = self.slot_of(package, presentity);
        let publications = slot.map(|slot| &self.resources[slot as usize].publications);
        let publications = publications.into_iter().flatten();
        publications.map(|publication| &*publication.body)
    }

    /// Who the latest subscription of a watcher is from, and how that was established; `None`: she has none.
    pub fn subscriber(
        &self,
        package: &str,
        presentity: &str,
        watcher: &str,
    ) -> Option<(Arc<str>, Believed)> {
        let slot = self.slot_of(package, presentity)?;
        let all = self.resources[slot as usize].subscriptions.iter();
        let hers = all
            .map(|slot| &self.subscriptions[*slot as usize])
            .filter(|subscription| watcher::is(&subscription.watcher, watcher));
        let latest = hers.max_by_key(|subscription| subscription.asked)?;
        Some((latest.watcher.clone(), latest.origin().believed))
    }

    /// The whole view of somebody under a package; `None`: nobody publishes for her, and nobody watches.
    pub fn composed(&mut self, package: &str, presentity: &str) -> Option<bytes::Bytes> {
        let slot = self.slot_of(package, presentity)?;
        let resource = &self.resources[slot as usize];
        if resource.subscriptions.is_empty() {
            let package = self.packages[usize::from(resource.package)];
            return Some(resource.compose(package, None, |_| 0).body);
        }
        Some(self.view(slot).body.clone())
    }

    pub(crate) fn slot_of(&self, package: &str, presentity: &str) -> Option<u32> {
        let mut packages = self.packages.iter();
        let index = packages.position(|known| known.name == package)?;
        self.by_name.get(index)?.get(presentity).copied()
    }

    /// Hops (as given to `compose_notify`) one of whose unanswered NOTIFYs no longer counts in their window.
    pub fn take_freed_hops(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.freed_hops)
    }

    pub(crate) fn put(&mut self, key: Key, bytes: &[u8]) {
        self.records.push(key, Kind::Put, bytes);
    }

    pub(crate) fn append(&mut self, key: Key, bytes: &[u8]) {
        self.records.push(key, Kind::Append, bytes);
    }

    pub(crate) fn remove_lazily(&mut self, key: Key) {
        self.records.push_lazily(key, Kind::Remove, &[]);
    }

    pub(crate) fn digest(&self, body: &[u8]) -> u64 {
        self.partitioner.hash(body).max(1)
    }

    /// The resource of `name`, made when it isn't there.
    pub(crate) fn resource(&mut self, package: u8, name: &str, presence: &Presence) -> u32 {
        if let Some(slot) = self.by_name[usize::from(package)].get(name) {
            return *slot;
        }
        let number = self.next_number();
        let name: Arc<str> = name.into();
        let slot = self.resources.insert(Resource {
            name: name.clone(),
            package,
            key: Key::new(self.partitioner.partition(&name), number),
            stored: false,
            published: false,
            permanent: None,
            publications: Vec::new(),
            view: None,
            sights: Sights::default(),
            neutral: None,
            subscriptions: Vec::new(),
            owed: VecDeque::new(),
            open: 0,
            unsettled: 0,
            answered: AnsweredByAll::default(),
            asked: 0,
            interval: Duration::from_millis(u64::from(presence.notify_interval_ms_min)),
            pending_body_is_empty: presence.pending_body_is_empty,
        }) as u32;
        self.by_name[usize::from(package)].insert(name, slot);
        slot
    }

    /// Drops a resource that nothing needs any more.
    pub(crate) fn release_resource(&mut self, slot: u32) {
        let Some(resource) = self.resources.get(slot as usize) else {
            return;
        };
        if !resource.is_forgettable() {
            return;
        }
        if resource.permanent.is_some() {
            return self.forget_watchers(slot);
        }
        let resource = self.resources.remove(slot as usize);
        self.by_name[usize::from(resource.package)].remove(&resource.name);
        if resource.stored {
            self.remove_lazily(resource.key);
        }
    }

    /// Nobody watches any more what somebody keeps for good: only that is left, and no record.
    fn forget_watchers(&mut self, slot: u32) {
        let number = self.next_number();
        let resource = &mut self.resources[slot as usize];
        (resource.view, resource.neutral) = (None, None);
        if std::mem::take(&mut resource.stored) {
            let key = Key::new(resource.key.partition(), number);
            let stored = std::mem::replace(&mut resource.key, key);
            (resource.answered, resource.asked) = (AnsweredByAll::default(), 0);
            self.remove_lazily(stored);
        }
    }

    /// Composes the view anew where somebody watches; says whether it differs from what it was.
    /// `checked`: what was read of its newest publication.
    pub(crate) fn recompose(&mut self, slot: u32, checked: Option<Checked>) -> bool {
        let resource = &self.resources[slot as usize];
        if resource.subscriptions.is_empty() {
            self.resources[slot as usize].view = None;
            return false;
        }
        let package = self.packages[usize::from(resource.package)];
        let view = resource.compose(package, checked, |body| self.digest(body));
        // Not composed yet: after a start, when only the record tells what watchers know.
        let known = resource
            .view
            .as_ref()
            .map_or(resource.answered.digest, |old| old.digest);
        let changed = known != view.digest;
        self.resources[slot as usize].sights.recompose();
        self.resources[slot as usize].view = Some(view);
        changed
    }

    /// The composed view, composed now if it wasn't.
    pub(crate) fn view(&mut self, slot: u32) -> &View {
        if self.resources[slot as usize].view.is_none() {
            self.recompose(slot, None);
        }
        let view = self.resources[slot as usize].view.as_ref();
        view.unwrap_or(&NOTHING)
    }

    /// What is seen of the view by this sight, rendered now if it wasn't.
    pub(crate) fn seen(&mut self, slot: u32, sight: u32) -> &View {
        if sight == WHOLE {
            return self.view(slot);
        }
        if let Some(unrendered) = self.resources[slot as usize].sights.unrendered(sight) {
            let whole = self.view(slot).body.clone();
            let name = self.resources[slot as usize].name.clone();
            let body = bytes::Bytes::from(unrendered.show(&name, &whole));
            let digest = self.digest(&body);
            let view = View { body, digest };
            self.resources[slot as usize].sights.rendered(sight, view);
        }
        let view = self.resources[slot as usize].sights.view(sight);
        view.unwrap_or(&NOTHING)
    }

    /// The digest of what a subscription's watcher sees of the view; 0: all of it, or nothing.
    pub(crate) fn sight_digest(&self, slot: u32) -> u64 {
        let subscription = &self.subscriptions[slot as usize];
        let sights = &self.resources[subscription.resource as usize].sights;
        sights.digest(subscription.sight)
    }

    /// The neutral document of that presentity.
    pub(crate) fn neutral(&mut self, slot: u32) -> &View {
        let resource = &self.resources[slot as usize];
        if resource.neutral.is_none() {
            let neutral = self.packages[usize::from(resource.package)].neutral;
            let body = bytes::Bytes::from(neutral(&resource.name));
            let digest = self.digest(&body);
            self.resources[slot as usize].neutral = Some(View { body, digest });
        }
        let neutral = self.resources[slot as usize].neutral.as_ref();
        neutral.unwrap_or(&NOTHING)
    }

    pub(crate) fn set_timer(
        &mut self,
        old: Option<TimerId>,
        at: Instant,
        timer: Timer,
    ) -> Option<TimerId> {
        if let Some(id) = old {
            self.timers.cancel(id);
        }
        Some(self.timers.set(at, timer))
    }

    pub(crate) fn cancel_timer(&mut self, id: Option<TimerId>) {
        if let Some(id) = id {
            self.timers.cancel(id);
        }
    }

    /// When `handle_timeout` should be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due, at most `TIMERS_PER_TURN` deadlines: an expiry storm is drained in slices.
    pub fn handle_timeout(&mut self, now: Now) {
        for _ in 0..TIMERS_PER_TURN {
            let Some(timer) = self.timers.pop(now.monotonic) else {
                return;
            };
            match timer {
                Timer::PublicationExpires { resource, key } => {
                    self.publication_expires(now, resource, key)
                }
                Timer::SubscriptionExpires(key) => self.subscription_expires(now, key),
                Timer::SubscriptionWakes(key) => self.subscription_wakes(now, key),
                Timer::Forget(key) => self.remove_lazily(key),
                Timer::WaitingEnds => self.waiting_ends(now),
                Timer::ForgetChanges => self.done.clear(),
            }
        }
    }

    /// What a request that arrives again after a crash has already done.
    pub(crate) fn already_done(&self, change: LastChange) -> Option<&Done> {
        self.done.get(&change.fingerprint)
    }

    /// Whether the request that last changed something, granted then, may still come again: by either clock, and after a start
    /// whatever they show, since the wall may have stepped while nobody ran.
    pub(crate) fn may_come_again(&self, now: Now, change: LastChange, granted_at: Instant) -> bool {
        !self.done.is_empty()
            || now.wall.since(change.at) < RETRANSMISSIONS_LAST
            || now.monotonic.since(granted_at) < RETRANSMISSIONS_LAST
    }

    /// A reload: intervals and pending bodies as the new settings say.
    pub fn handle_presence(&mut self, mut presence_of: impl FnMut(&str) -> Presence) {
        for (_, resource) in &mut self.resources {
            let presence = presence_of(&resource.name);
            resource.interval = Duration::from_millis(u64::from(presence.notify_interval_ms_min));
            resource.pending_body_is_empty = presence.pending_body_is_empty;
        }
    }
}

/// Deadlines handled before the shard looks at its sockets again: 256 × some 4 µs is 1 ms.
const TIMERS_PER_TURN: usize = 256;
