//! Next hops: windows that keep a burst from drowning its own answers, names that wait to be resolved, fallbacks remembered.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hashbrown::HashMap;
use machine::settings::Transport;
use machine::{Instant, Key};
use slab::Slab;

/// After a refused or silent TCP connection a large request goes by UDP for so long (RFC 3261 §18.1.1).
pub(crate) const STREAM_REFUSED_LASTS: Duration = Duration::from_secs(600);

/// How long an address found for a name is used; one that was not found is asked for again after a tenth of it.
const RESOLVED_LASTS: Duration = Duration::from_secs(30);

/// How often names and fallbacks that are over are looked for: all of them take some milliseconds.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Names remembered in one shard, and names being asked for: 10 000 × 300 B = 3 MB each. Beyond it answers are forgotten, and
/// no further name is asked for until one of those has its answer: it counts as not found, and is tried again later.
const NAMES_MAX: usize = 10_000;

/// Hops remembered for their fallback only. Beyond it they are forgotten, and TCP is tried again.
const HOPS_MAX: usize = 100_000;

#[derive(Debug)]
struct Hop {
    at: (Transport, SocketAddr),
    unanswered: u32,
    waiting: VecDeque<Key>,
    /// It stands in `Hops::ready`.
    ready: bool,
    stream_refused_until: Option<Instant>,
}

#[derive(Debug)]
struct Name {
    addresses: Vec<IpAddr>,
    /// `None` while the answer is awaited.
    until: Option<Instant>,
    waiting: Vec<Key>,
}

/// What is known of a host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// Here.
    Address(IpAddr),
    /// Somebody must ask: `Output::Resolve`.
    Ask,
    /// Asked already; `handle_resolved` will wake who waits.
    Awaited,
    /// It has no address.
    NotFound,
}

/// The next hops of one shard.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    hops: Slab<Hop>,
    by_address: HashMap<(Transport, SocketAddr), usize>,
    names: HashMap<String, Name>,
    /// How many of `names` are being asked for.
    asked: usize,
    unanswered: u32,
    /// Slots of hops where somebody waits and a place became free.
    ready: VecDeque<usize>,
    /// When names and fallbacks that are over are looked for; `None`: there is none that will be.
    sweep_at: Option<Instant>,
}

impl Hops {
    /// Unanswered NOTIFYs in all windows.
    pub(crate) const fn unanswered(&self) -> u32 {
        self.unanswered
    }

    fn slot(&mut self, at: (Transport, SocketAddr)) -> usize {
        if let Some(slot) = self.by_address.get(&at) {
            return *slot;
        }
        if self.hops.len() >= HOPS_MAX {
            self.forget_idle();
        }
        let slot = self.hops.insert(Hop {
            at,
            unanswered: 0,
            waiting: VecDeque::new(),
            ready: false,
            stream_refused_until: None,
        });
        self.by_address.insert(at, slot);
        slot
    }

    fn forget_idle(&mut self) {
        let by_address = &mut self.by_address;
        self.hops.retain(|_, hop| {
            let needed = hop.unanswered > 0 || !hop.waiting.is_empty();
            if !needed {
                by_address.remove(&hop.at);
            }
            needed
        });
    }

    /// Takes a place in the window of a hop; `None`: it is full, and `key` waits for an answer.
    pub(crate) fn enter(
        &mut self,
        at: (Transport, SocketAddr),
        window: u32,
        key: Key,
    ) -> Option<u32> {
        let slot = self.slot(at);
        let hop = &mut self.hops[slot];
        if hop.unanswered >= window {
            hop.waiting.push_back(key);
            return None;
        }
        hop.unanswered += 1;
        self.unanswered += 1;
        Some(slot as u32 + 1)
    }

    /// Gives a place back.
    pub(crate) fn leave(&mut self, id: u32) {
        let Some(slot) = (id as usize).checked_sub(1) else {
            return;
        };
        let Some(hop) = self.hops.get_mut(slot) else {
            return;
        };
        hop.unanswered = hop.unanswered.saturating_sub(1);
        self.unanswered = self.unanswered.saturating_sub(1);
        if hop.waiting.is_empty() {
            self.forget_if_idle(slot);
        } else if !std::mem::replace(&mut hop.ready, true) {
            self.ready.push_back(slot);
        }
    }

    /// Who waited longest for a place that is free. She need not take it – she may be gone, or have nothing new to say, or
    /// have moved to another hop –, so ask until nobody is left: the next may have it then.
    pub(crate) fn next_waiting(&mut self, window: u32) -> Option<Key> {
        while let Some(slot) = self.ready.front().copied() {
            let Some(hop) = self.hops.get_mut(slot) else {
                self.ready.pop_front();
                continue;
            };
            if hop.unanswered < window
                && let Some(key) = hop.waiting.pop_front()
            {
                return Some(key);
            }
            hop.ready = false;
            self.ready.pop_front();
            self.forget_if_idle(slot);
        }
        None
    }

    /// Whether somebody may be waiting for a place that is free.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn forget_if_idle(&mut self, slot: usize) {
        let idle = |hop: &Hop| {
            hop.unanswered == 0 && hop.waiting.is_empty() && hop.stream_refused_until.is_none()
        };
        if let Some(at) = self
            .hops
            .get(slot)
            .filter(|hop| idle(hop))
            .map(|hop| hop.at)
        {
            self.hops.remove(slot);
            self.by_address.remove(&at);
        }
    }

    /// A connection for a large request was refused or did not come.
    pub(crate) fn stream_refused(&mut self, now: Instant, to: SocketAddr) {
        let slot = self.slot((Transport::Udp, to));
        self.hops[slot].stream_refused_until = Some(now + STREAM_REFUSED_LASTS);
        self.sweep_after(now);
    }

    fn sweep_after(&mut self, now: Instant) {
        self.sweep_at.get_or_insert(now + SWEEP_EVERY);
    }

    /// When `handle_timeout` should be called.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.sweep_at
    }

    /// Forgets names whose answer is over, and fallbacks that don't count any more.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.sweep_at.is_none_or(|at| now < at) {
            return;
        }
        self.sweep_at = None;
        let over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        self.names.retain(|_, name| !over(name.until));
        let refused: Vec<usize> = self
            .hops
            .iter()
            .filter(|(_, hop)| hop.stream_refused_until.is_some())
            .map(|(slot, _)| slot)
            .collect();
        let mut left = self.names.len() > self.asked;
        for slot in refused {
            if over(self.hops[slot].stream_refused_until) {
                self.hops[slot].stream_refused_until = None;
                self.forget_if_idle(slot);
            } else {
                left = true;
            }
        }
        if left {
            self.sweep_after(now);
        }
    }

    /// Whether large requests to this address go by UDP for the time being.
    pub(crate) fn is_stream_refused(&mut self, now: Instant, to: SocketAddr) -> bool {
        let Some(slot) = self.by_address.get(&(Transport::Udp, to)).copied() else {
            return false;
        };
        let refused = self.hops[slot]
            .stream_refused_until
            .is_some_and(|until| now < until);
        if !refused {
            self.hops[slot].stream_refused_until = None;
            self.forget_if_idle(slot);
        }
        refused
    }

    /// Where a name is. `key` waits when that isn't known.
    pub(crate) fn resolve(&mut self, now: Instant, name: &str, key: Key) -> Resolved {
        match self.names.get_mut(name) {
            Some(Name {
                until: None,
                waiting,
                ..
            }) => {
                waiting.push(key);
                Resolved::Awaited
            }
            Some(Name {
                until: Some(until),
                addresses,
                ..
            }) if now < *until => addresses
                .first()
                .map_or(Resolved::NotFound, |address| Resolved::Address(*address)),
            _ if self.asked >= NAMES_MAX => Resolved::NotFound,
            _ => {
                if self.names.len() - self.asked >= NAMES_MAX {
                    self.names.retain(|_, name| name.until.is_none());
                }
                self.asked += 1;
                let asked = Name {
                    addresses: Vec::new(),
                    until: None,
                    waiting: vec![key],
                };
                self.names.insert(name.to_owned(), asked);
                Resolved::Ask
            }
        }
    }

    /// A name was looked up; gives back who waited for it.
    pub(crate) fn resolved(&mut self, now: Instant, name: &str, addresses: &[IpAddr]) -> Vec<Key> {
        let Some(entry) = self.names.get_mut(name) else {
            return Vec::new();
        };
        if entry.until.is_none() {
            self.asked -= 1;
        }
        entry.addresses = addresses.to_vec();
        entry.until = Some(
            now + if addresses.is_empty() {
                RESOLVED_LASTS / 10
            } else {
                RESOLVED_LASTS
            },
        );
        let waiting = std::mem::take(&mut entry.waiting);
        self.sweep_after(now);
        waiting
    }

    /// How many hops and names are remembered.
    pub(crate) fn len(&self) -> usize {
        self.hops.len() + self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fallback_that_is_over_when_asked_for_is_forgotten() {
        let mut hops = Hops::default();
        let to = SocketAddr::from(([127, 0, 0, 1], 5060));
        let now = Instant::ZERO;
        hops.stream_refused(now, to);
        assert!(hops.is_stream_refused(now, to));
        assert_eq!(hops.len(), 1);
        assert!(!hops.is_stream_refused(now + STREAM_REFUSED_LASTS, to));
        assert_eq!(hops.len(), 0);
    }
}
