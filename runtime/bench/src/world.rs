//! What we know: who published which state, who watches whom, which requests are under way.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use machine::Instant;

use crate::histogram::Histogram;
use crate::messages::{Messages, VIEWS};
use crate::template::{Text, Values};
use crate::wire::Outbox;
use crate::wrong::{Kind, Wrong};

/// No flight.
pub(crate) const NONE: u32 = u32::MAX;

/// RFC 3261 §17.1.2.2: T1, doubled up to T2. After the last it stays.
const RETRANSMIT: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// What is done to one presentity or subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Initial,
    /// The same, of a document that rules will show parts of.
    Views,
    /// PUT of rules.
    Rules,
    Refresh,
    Modify,
    Subscribe,
    Resubscribe,
    Fetch,
}

impl Act {
    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Initial | Self::Views | Self::Refresh | Self::Modify => "PUBLISH",
            Self::Subscribe | Self::Resubscribe | Self::Fetch => "SUBSCRIBE",
            Self::Rules => "PUT",
        }
    }

    /// Whether it changes what a presentity's watchers see.
    pub(crate) const fn is_publish(self) -> bool {
        matches!(
            self,
            Self::Initial | Self::Views | Self::Refresh | Self::Modify | Self::Rules
        )
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Presentity {
    /// Empty: nothing published.
    pub(crate) etag: Text<63>,
    pub(crate) cseq: u32,
    /// The newest state sent, and the newest acknowledged.
    pub(crate) sent: u32,
    pub(crate) acknowledged: u32,
    /// Live subscriptions.
    pub(crate) watchers: u32,
    pub(crate) flight: u32,
    /// Her rules show one tuple of her document.
    pub(crate) has_views: bool,
}

impl Presentity {
    /// The newest state that shows this: of one with rules only the rest of its number is seen.
    pub(crate) fn version(&self, shown: u32) -> u32 {
        match self.has_views {
            true => self.sent - (self.sent.wrapping_sub(shown) % VIEWS).min(self.sent),
            false => shown,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Never subscribed, or failed.
    Idle,
    /// A subscription, being set up or there.
    Watching,
    /// A fetch.
    Fetching,
    Ended,
}

#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) presentity: u32,
    pub(crate) watcher: u32,
    /// How often it began.
    pub(crate) serial: u32,
    pub(crate) cseq: u32,
    /// CSeq of the newest NOTIFY; 0: none came.
    pub(crate) seen_cseq: u32,
    /// The newest state seen.
    pub(crate) seen: u32,
    /// A SUBSCRIBE entitles to one NOTIFY, whatever it says.
    pub(crate) is_owed: bool,
    pub(crate) life: Life,
    pub(crate) flight: u32,
    pub(crate) tag: Text<63>,
    /// Place of the dialog's target in `World::targets`.
    pub(crate) target: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) act: Act,
    pub(crate) subject: u32,
    pub(crate) generation: u32,
    pub(crate) live: bool,
    /// What its latency counts from.
    pub(crate) began: Instant,
    pub(crate) cseq: u32,
    /// The state it publishes, or the least that its NOTIFY must show.
    pub(crate) version: u32,
    pub(crate) answered: bool,
    /// NOTIFYs still to come.
    pub(crate) awaited: u32,
}

/// What was counted since the last `clear`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) operations: u64,
    pub(crate) failed: u64,
    pub(crate) notifies: u64,
    /// Messages that we sent or received.
    pub(crate) messages: u64,
    pub(crate) latency: Histogram,
    /// From the request that changed what a watcher sees to her NOTIFY.
    pub(crate) notify_latency: Histogram,
    pub(crate) retransmitted: u64,
    pub(crate) repeated_notifies: u64,
    pub(crate) cseq_gaps: u64,
}

impl Counted {
    pub(crate) fn clear(&mut self) {
        let mut latency = std::mem::take(&mut self.latency);
        latency.clear();
        let mut notify_latency = std::mem::take(&mut self.notify_latency);
        notify_latency.clear();
        *self = Self {
            latency,
            notify_latency,
            ..Self::default()
        };
    }
}

/// All of it.
pub(crate) struct World {
    pub(crate) presentities: Vec<Presentity>,
    pub(crate) subscriptions: Vec<Subscription>,
    flights: Vec<Flight>,
    free: Vec<u32>,
    /// The PUTs that are not answered yet, in order.
    pub(crate) put: VecDeque<(u32, u32)>,
    /// When to look at a flight again; each queue is in order of time.
    due: [VecDeque<(Instant, u32, u32)>; RETRANSMIT.len()],
    pub(crate) targets: Vec<Vec<u8>>,
    messages: Messages,
    here: Vec<Vec<u8>>,
    pub(crate) server: SocketAddr,
    is_reliable: bool,
    patience: Duration,
    pub(crate) counted: Counted,
    pub(crate) wrong: Wrong,
}

impl World {
    pub(crate) fn new(
        messages: Messages,
        here: &[SocketAddr],
        server: SocketAddr,
        is_reliable: bool,
        patience: Duration,
    ) -> Self {
        Self {
            presentities: Vec::new(),
            subscriptions: Vec::new(),
            flights: Vec::new(),
            free: Vec::new(),
            put: VecDeque::new(),
            due: Default::default(),
            targets: Vec::new(),
            messages,
            here: here
                .iter()
                .map(|address| address.to_string().into_bytes())
                .collect(),
            server,
            is_reliable,
            patience,
            counted: Counted::default(),
            wrong: Wrong::default(),
        }
    }

    /// How many sockets are ours; documents are asked for by the one after them.
    pub(crate) fn sockets(&self) -> usize {
        self.here.len()
    }

    /// Requests under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.flights.len() - self.free.len()
    }

    /// A user who has published nothing yet.
    pub(crate) fn add_presentity(&mut self) -> u32 {
        self.presentities.push(Presentity {
            etag: Text::EMPTY,
            cseq: 0,
            sent: 0,
            acknowledged: 0,
            watchers: 0,
            flight: NONE,
            has_views: false,
        });
        self.presentities.len() as u32 - 1
    }

    /// A watcher who has not asked yet.
    pub(crate) fn add_subscription(&mut self, presentity: u32, watcher: u32) -> u32 {
        self.subscriptions.push(Subscription {
            presentity,
            watcher,
            serial: 0,
            cseq: 0,
            seen_cseq: 0,
            seen: 0,
            is_owed: false,
            life: Life::Idle,
            flight: NONE,
            tag: Text::EMPTY,
            target: 0,
        });
        self.subscriptions.len() as u32 - 1
    }

    /// Whether something can be done to this one now.
    pub(crate) fn is_free(&self, act: Act, subject: u32) -> bool {
        let subject = subject as usize;
        if act.is_publish() {
            let presentity = &self.presentities[subject];
            return presentity.flight == NONE
                && (matches!(act, Act::Initial | Act::Views) || !presentity.etag.is_empty());
        }
        let subscription = &self.subscriptions[subject];
        let fits = match act {
            Act::Resubscribe => subscription.life == Life::Watching && !subscription.tag.is_empty(),
            Act::Fetch => true,
            _ => subscription.life == Life::Idle,
        };
        fits && subscription.flight == NONE
    }

    /// Sends a request; its latency counts from `began`.
    pub(crate) fn start(
        &mut self,
        act: Act,
        subject: u32,
        began: Instant,
        now: Instant,
        outbox: &mut Outbox,
    ) {
        let slot = self.slot();
        let (cseq, version, awaited) = if act.is_publish() {
            let presentity = &mut self.presentities[subject as usize];
            presentity.flight = slot;
            presentity.cseq += 1;
            presentity.has_views |= act == Act::Views;
            if act == Act::Refresh {
                (presentity.cseq, presentity.sent, 0)
            } else {
                presentity.sent += 1;
                (presentity.cseq, presentity.sent, presentity.watchers)
            }
        } else {
            let subscription = &mut self.subscriptions[subject as usize];
            subscription.flight = slot;
            subscription.cseq += 1;
            subscription.is_owed = true;
            if act != Act::Resubscribe {
                subscription.serial += 1;
                subscription.seen_cseq = 0;
                subscription.seen = 0;
                subscription.tag = Text::EMPTY;
                subscription.life = if act == Act::Fetch {
                    Life::Fetching
                } else {
                    Life::Watching
                };
            }
            let presentity = &self.presentities[subscription.presentity as usize];
            (subscription.cseq, presentity.acknowledged, 1)
        };
        let flight = &mut self.flights[slot as usize];
        *flight = Flight {
            act,
            subject,
            generation: flight.generation.wrapping_add(1),
            live: true,
            began,
            cseq,
            version,
            answered: false,
            awaited,
        };
        let generation = flight.generation;
        self.due[0].push_back((now + RETRANSMIT[0], slot, generation));
        self.send(slot, outbox);
    }

    fn slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.flights.push(Flight {
                act: Act::Initial,
                subject: 0,
                generation: 0,
                live: false,
                began: Instant::ZERO,
                cseq: 0,
                version: 0,
                answered: false,
                awaited: 0,
            });
            self.flights.len() as u32 - 1
        })
    }

    fn send(&mut self, slot: u32, outbox: &mut Outbox) {
        let flight = &self.flights[slot as usize];
        let subject = flight.subject;
        if flight.act == Act::Rules {
            let values = Values {
                presentity: subject,
                version: flight.version % VIEWS,
                ..Values::NONE
            };
            let branch = (slot, flight.generation);
            let template = &self.messages.rules;
            outbox.push(self.here.len(), self.server, |out| {
                template.write(out, &values)
            });
            self.put.push_back(branch);
            self.counted.messages += 1;
            return;
        }
        let socket = subject as usize % self.here.len();
        let mut values = Values {
            here: &self.here[socket],
            branch: (slot, flight.generation),
            cseq: flight.cseq,
            version: flight.version,
            ..Values::NONE
        };
        let template = if flight.act.is_publish() {
            let presentity = &self.presentities[subject as usize];
            values.presentity = subject;
            values.etag = presentity.etag.get();
            values.call = (subject | 1 << 31, 0);
            match flight.act {
                Act::Refresh => &self.messages.publish_refresh,
                Act::Views => &self.messages.publish_views,
                // A publication that the server has forgotten begins anew.
                _ if presentity.etag.is_empty() => &self.messages.publish_initial,
                _ => &self.messages.publish_modify,
            }
        } else {
            let subscription = &self.subscriptions[subject as usize];
            values.presentity = subscription.presentity;
            values.watcher = subscription.watcher;
            values.subscription = (subject, subscription.serial);
            values.call = values.subscription;
            values.tag = subscription.tag.get();
            if let Some(target) = self.targets.get(subscription.target as usize) {
                values.target = target;
            }
            match flight.act {
                Act::Resubscribe => &self.messages.subscribe_refresh,
                Act::Fetch => &self.messages.fetch,
                _ => &self.messages.subscribe,
            }
        };
        outbox.push(socket, self.server, |out| template.write(out, &values));
        self.counted.messages += 1;
    }

    /// The flight of this branch, if it is still under way.
    pub(crate) fn flight(&mut self, (slot, generation): (u32, u32)) -> Option<&mut Flight> {
        self.flights
            .get_mut(slot as usize)
            .filter(|flight| flight.live && flight.generation == generation)
    }

    /// The flight in this slot, which is under way.
    pub(crate) fn flight_at(&mut self, slot: u32) -> Option<&mut Flight> {
        self.flights
            .get_mut(slot as usize)
            .filter(|flight| flight.live)
    }

    /// Ends a flight that has everything it waited for.
    pub(crate) fn settle(&mut self, slot: u32, now: Instant) {
        let Some(flight) = self.flight_at(slot) else {
            return;
        };
        if flight.answered && flight.awaited == 0 {
            let micros = now.since(flight.began).as_micros() as u64;
            self.counted.operations += 1;
            self.counted.latency.add(micros);
            self.release(slot);
        }
    }

    /// Ends a flight that failed.
    pub(crate) fn fail(&mut self, slot: u32) {
        self.counted.failed += 1;
        self.release(slot);
    }

    fn release(&mut self, slot: u32) {
        let flight = &mut self.flights[slot as usize];
        if !flight.answered {
            let branch = (slot, flight.generation);
            self.put.retain(|put| *put != branch);
        }
        flight.live = false;
        let subject = flight.subject as usize;
        if flight.act.is_publish() {
            self.presentities[subject].flight = NONE;
        } else {
            self.subscriptions[subject].flight = NONE;
        }
        self.free.push(slot);
    }

    /// When something is due next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
            .iter()
            .filter_map(|queue| queue.front().map(|entry| entry.0))
            .min()
    }

    /// Retransmits, and gives up what is missing.
    pub(crate) fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) {
        for level in 0..RETRANSMIT.len() {
            while let Some((at, slot, generation)) = self.due[level].front().copied()
                && at <= now
            {
                self.due[level].pop_front();
                let (patience, is_reliable) = (self.patience, self.is_reliable);
                let Some(flight) = self.flight((slot, generation)) else {
                    continue;
                };
                if now.since(flight.began) >= patience {
                    self.give_up(slot);
                    continue;
                }
                if !flight.answered && !is_reliable && flight.act != Act::Rules {
                    self.counted.retransmitted += 1;
                    self.send(slot, outbox);
                }
                let next = (level + 1).min(RETRANSMIT.len() - 1);
                self.due[next].push_back((now + RETRANSMIT[next], slot, generation));
            }
        }
    }

    fn give_up(&mut self, slot: u32) {
        let flight = self.flights[slot as usize].clone();
        let patience = self.patience.as_secs_f64();
        let subject = flight.subject;
        let method = flight.act.method();
        if flight.answered {
            self.wrong.add(Kind::MissingNotify, u64::from(flight.awaited), || {
                format!(
                    "{method} {:?} of {subject}, state {}: {} NOTIFYs did not come within {patience} s",
                    flight.act, flight.version, flight.awaited
                )
            });
        } else {
            self.wrong.add(Kind::NoAnswer, 1, || {
                format!(
                    "{method} {:?} of {subject}: nothing within {patience} s",
                    flight.act
                )
            });
        }
        self.fail(slot);
    }

    /// Which watchers do not know the last acknowledged state.
    pub(crate) fn compare_final(&mut self) {
        for (number, subscription) in self.subscriptions.iter_mut().enumerate() {
            let presentity = &self.presentities[subscription.presentity as usize];
            let is_wrong = subscription.life == Life::Watching
                && subscription.seen_cseq > 0
                && subscription.seen < presentity.acknowledged;
            if is_wrong {
                let (seen, last) = (subscription.seen, presentity.acknowledged);
                self.wrong.add(Kind::FinalState, 1, || {
                    format!("watcher {number} ended with state {seen}, acknowledged is {last}")
                });
                // Told once.
                subscription.seen = last;
            }
        }
    }
}
