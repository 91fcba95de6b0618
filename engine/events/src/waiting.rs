//! Who was pending when she lapsed (RFC 3857 §4.7.1, "waiting"): the presentity is to learn that she asked, though she is gone.
//! For a bounded time, and a bounded number; not on record, so a start forgets them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use documents::watcherinfo::{Event, Status, Watcher};
use hashbrown::HashMap;
use machine::settings::Handling;
use machine::{Instant, Key, Limits, Now, TimerId};

use crate::happened::Happened;
use crate::sight::Given;
use crate::state::{EventState, Timer};
use crate::watcher;
use crate::winfo;

/// One watcher who waits.
struct Waiter {
    package: u8,
    presentity: Arc<str>,
    watcher: Arc<str>,
    display_name: Option<Box<str>>,
    until: Instant,
}

impl Waiter {
    fn as_watcher(&self, key: Key, status: Status, event: Event) -> Watcher {
        let display_name = self.display_name.as_deref().map(ToOwned::to_owned);
        winfo::watcher(key, &self.watcher, display_name, status, event)
    }
}

/// All who wait.
pub(crate) struct Waiting {
    waiters: HashMap<Key, Waiter>,
    /// By package and presentity, who came first is first.
    by_name: Vec<HashMap<Arc<str>, Vec<Key>>>,
    /// By when they are given up.
    order: BTreeSet<(Instant, u64)>,
    timer: Option<(Instant, TimerId)>,
    seconds_max: u32,
    per_presentity_max: usize,
    all_max: usize,
}

impl Waiting {
    pub(crate) fn new(packages: usize) -> Self {
        let mut this = Self {
            waiters: HashMap::new(),
            by_name: (0..packages).map(|_| HashMap::new()).collect(),
            order: BTreeSet::new(),
            timer: None,
            seconds_max: 0,
            per_presentity_max: 0,
            all_max: 0,
        };
        this.set_limits(&Limits::default());
        this
    }

    pub(crate) fn set_limits(&mut self, limits: &Limits) {
        self.seconds_max = limits.waiting_seconds_max;
        self.per_presentity_max = limits.waiting_per_presentity_max as usize;
        self.all_max = limits.waiting_max as usize;
    }

    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Who waits for this presentity, and as what she is told.
    pub(crate) fn of(&self, package: u8, name: &str) -> impl Iterator<Item = (&Arc<str>, Watcher)> {
        let keys = self.by_name[usize::from(package)].get(name);
        keys.into_iter().flatten().filter_map(|key| {
            let waiter = self.waiters.get(key)?;
            let told = waiter.as_watcher(*key, Status::Waiting, Event::Timeout);
            Some((&waiter.watcher, told))
        })
    }

    fn remove(&mut self, key: Key) -> Option<Waiter> {
        let waiter = self.waiters.remove(&key)?;
        self.order.remove(&(waiter.until, key.to_bits()));
        let by_name = &mut self.by_name[usize::from(waiter.package)];
        if let Some(keys) = by_name.get_mut(&waiter.presentity) {
            keys.retain(|each| *each != key);
            if keys.is_empty() {
                by_name.remove(&waiter.presentity);
            }
        }
        Some(waiter)
    }
}

impl EventState {
    /// A pending subscription is over, and its watcher waits.
    pub(crate) fn wait(&mut self, now: Now, slot: u32) {
        let subscription = &self.subscriptions[slot as usize];
        let resource = &self.resources[subscription.resource as usize];
        let (package, presentity) = (resource.package, resource.name.clone());
        let (key, watcher) = (subscription.key, subscription.watcher.clone());
        let display_name = subscription.display_name().map(String::into_boxed_str);
        // One for each watcher, however often she comes.
        self.give_up_waiting(package, &presentity, &watcher);
        let waiting = &mut self.winfo.waiting;
        let until = now.monotonic + Duration::from_secs(u64::from(waiting.seconds_max));
        let waiter = Waiter {
            package,
            presentity: presentity.clone(),
            watcher: watcher.clone(),
            display_name,
            until,
        };
        waiting.waiters.insert(key, waiter);
        waiting.order.insert((until, key.to_bits()));
        waiting.by_name[usize::from(package)]
            .entry(presentity.clone())
            .or_default()
            .push(key);
        self.tell_watchers(package, &presentity, &watcher, key, |this| {
            let waiter = this.winfo.waiting.waiters.get(&key)?;
            Some(waiter.as_watcher(key, Status::Waiting, Event::Timeout))
        });
        self.happens(Happened::WaitingBegan {
            presentity: presentity.clone(),
            watcher,
        });
        self.bound_waiting(package, &presentity);
        self.watch_waiting();
    }

    /// Beyond the bounds who has waited longest is given up.
    fn bound_waiting(&mut self, package: u8, presentity: &Arc<str>) {
        let waiting = &self.winfo.waiting;
        let of_hers = waiting.by_name[usize::from(package)].get(presentity);
        if let Some(keys) = of_hers.filter(|keys| keys.len() > waiting.per_presentity_max) {
            let longest = keys.first().copied();
            self.end_waiting(longest, Event::Giveup);
        }
        let waiting = &self.winfo.waiting;
        if waiting.len() > waiting.all_max {
            let longest = waiting.order.first().map(|(_, key)| Key::from_bits(*key));
            self.end_waiting(longest, Event::Giveup);
        }
    }

    /// This watcher asks again, or is gone again.
    pub(crate) fn give_up_waiting(&mut self, package: u8, presentity: &str, watcher: &str) {
        let waiting = &self.winfo.waiting;
        let keys = waiting.by_name[usize::from(package)].get(presentity);
        let hers = keys.into_iter().flatten().copied().find(|key| {
            let waiter = waiting.waiters.get(key);
            waiter.is_some_and(|waiter| watcher::name(&waiter.watcher) == watcher::name(watcher))
        });
        self.end_waiting(hers, Event::Giveup);
    }

    fn end_waiting(&mut self, key: Option<Key>, event: Event) {
        let Some((key, waiter)) = key.and_then(|key| Some((key, self.winfo.waiting.remove(key)?)))
        else {
            return;
        };
        self.happens(Happened::WaitingEnded {
            presentity: waiter.presentity.clone(),
            watcher: waiter.watcher.clone(),
            why: event.name(),
        });
        let Waiter {
            package,
            presentity,
            watcher,
            ..
        } = &waiter;
        self.tell_watchers(*package, presentity, watcher, key, |_| {
            Some(waiter.as_watcher(key, Status::Terminated, event))
        });
    }

    /// Wakes for whoever is given up next.
    fn watch_waiting(&mut self) {
        let first = self.winfo.waiting.order.first().map(|(until, _)| *until);
        let set = self.winfo.waiting.timer;
        if first == set.map(|(at, _)| at) {
            return;
        }
        self.cancel_timer(set.map(|(_, id)| id));
        self.winfo.waiting.timer = first.map(|at| (at, self.timers.set(at, Timer::WaitingEnds)));
    }

    /// Nobody has decided, for long enough (RFC 3857 §4.7.1, "giveup").
    pub(crate) fn waiting_ends(&mut self, now: Now) {
        self.winfo.waiting.timer = None;
        while let Some((until, key)) = self.winfo.waiting.order.first().copied() {
            if until > now.monotonic {
                break;
            }
            self.end_waiting(Some(Key::from_bits(key)), Event::Giveup);
        }
        self.watch_waiting();
    }

    /// The rules changed, of one presentity or of anybody: who waits is decided too, though she is not there to hear it.
    pub(crate) fn redecide_waiting(
        &mut self,
        presentity: Option<&str>,
        decide: &mut dyn FnMut(&str, &str) -> Option<Given>,
    ) {
        let waiting = &self.winfo.waiting;
        let keys: Vec<Key> = match presentity {
            None => {
                let all = waiting.order.iter();
                all.map(|(_, key)| Key::from_bits(*key)).collect()
            }
            Some(presentity) => {
                let hers = waiting.by_name.iter().filter_map(|of| of.get(presentity));
                hers.flatten().copied().collect()
            }
        };
        let decided: Vec<(Key, Event)> = keys
            .into_iter()
            .filter_map(|key| {
                let waiter = waiting.waiters.get(&key)?;
                let given = decide(&waiter.presentity, &waiter.watcher);
                let event = match given.map(|given| given.handling) {
                    Some(Handling::Confirm) => return None,
                    Some(Handling::Allow | Handling::PoliteBlock) => Event::Approved,
                    Some(Handling::Block) => Event::Rejected,
                    None => Event::Noresource,
                };
                Some((key, event))
            })
            .collect();
        for (key, event) in decided {
            self.end_waiting(Some(key), event);
        }
        self.watch_waiting();
    }
}
