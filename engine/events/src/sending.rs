//! Owed → composed → answered: one NOTIFY in flight per subscription, the newest state following (RFC 6665 §4.2.2).

use std::time::Duration;

use bytes::Bytes;
use machine::settings::Handling;
use machine::{Cause, Instant, Key, Now};
use transaction::{ClientDue, NonInviteClient, Told};

use crate::dialog::{Branch, NotifyHead};
use crate::happened::Happened;
use crate::notifier::key_of;
use crate::package::Checked;
use crate::resource::{AnsweredByAll, NOTHING, View};
use crate::state::{EventState, RETRANSMISSIONS_LAST, Timer};
use crate::stored::Encoder;
use crate::subscription::{CSEQ_LIFE, InFlight, Owed, Phase, Reason, Subscription};
use crate::written::Kind;

/// By what way a NOTIFY leaves.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// UDP or TCP, as in Via.
    pub via_transport: &'a str,
    /// Public host and port of the listener that sends.
    pub sent_by: &'a str,
    /// URI of our Contact.
    pub contact: &'a str,
    /// A stream is taken for the size only (RFC 3261 §18.1.1).
    pub for_size: bool,
    /// In whose window it counts (see `take_freed_hops`); 0: in none.
    pub hop: u32,
}

/// A NOTIFY ready to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Whose.
    pub key: Key,
    /// Start line, header section, empty line.
    pub head: Vec<u8>,
    /// The shared body.
    pub body: Bytes,
    /// What it came of.
    pub cause: Cause,
}

/// No failing watcher is tried more often than this; doubled each time up to five minutes.
const BACK_OFF: Duration = Duration::from_secs(5);

impl EventState {
    /// A NOTIFY is owed.
    pub(crate) fn owe(&mut self, slot: u32, owed: Owed) {
        let subscription = &mut self.subscriptions[slot as usize];
        subscription.owed = subscription.owed.max(owed);
        subscription.cause = self.cause;
        let resource = &mut self.resources[subscription.resource as usize];
        if !std::mem::replace(&mut subscription.open, true) {
            resource.open += 1;
        }
        let is_winfo = self.winfo.tells_of(resource.package).is_some();
        // Watchers of watchers are told everything after every start.
        let is_covered = subscription.stored && subscription.phase == Phase::Live && !is_winfo;
        if is_covered && !std::mem::replace(&mut subscription.unsettled, true) {
            resource.unsettled += 1;
        }
        if subscription.in_flight.is_none() {
            self.enqueue(slot);
        }
    }

    fn enqueue(&mut self, slot: u32) {
        let subscription = &mut self.subscriptions[slot as usize];
        if subscription.queued {
            return;
        }
        subscription.queued = true;
        let resource = subscription.resource;
        let owed = &mut self.resources[resource as usize].owed;
        if owed.is_empty() {
            self.ring.push_back(resource);
        }
        owed.push_back(slot);
    }

    /// The publications of a resource changed (`checked`: what was read of the newest): everybody whose view changed is owed a NOTIFY.
    pub(crate) fn changed(&mut self, slot: u32, checked: Option<Checked>) {
        let resource = &self.resources[slot as usize];
        if !resource.subscriptions.is_empty() {
            self.touched.push(resource.name.clone());
        }
        if !self.recompose(slot, checked) {
            return;
        }
        if self.resources[slot as usize].answered.digest != 0 {
            // What all had answered is no longer what they see. Without this record a state that changes and changes back
            // around a crash would be taken for one that everybody knows.
            // Its stamp stays: whoever sees another view than the composed one has answered that, and hears nothing.
            self.resources[slot as usize].answered.digest = 0;
            self.put_resource(slot, false);
        }
        let mut watchers = 0;
        for index in 0..self.resources[slot as usize].subscriptions.len() {
            let subscription = self.resources[slot as usize].subscriptions[index];
            let Subscription {
                handling, phase, ..
            } = self.subscriptions[subscription as usize];
            if handling == Handling::Allow && phase == Phase::Live {
                self.owe(subscription, Owed::Change);
                watchers += 1;
            }
        }
        let presentity = self.resources[slot as usize].name.clone();
        self.happens(Happened::StateChanged {
            presentity,
            watchers,
        });
    }

    /// Whether anything is owed that could leave now.
    pub fn is_owed(&self) -> bool {
        !self.ring.is_empty() || !self.resend.is_empty()
    }

    /// Whether any NOTIFY is owed, waits or is unanswered.
    pub fn is_quiet(&self) -> bool {
        self.ring.is_empty()
            && self
                .resources
                .iter()
                .all(|(_, resource)| resource.open == 0)
    }

    /// The next subscription whose NOTIFY may leave now. Presentities take turns, so that none holds up the others.
    pub fn next_owed(&mut self, now: Now) -> Option<Key> {
        while let Some(resource) = self.ring.pop_front() {
            let Some(state) = self.resources.get_mut(resource as usize) else {
                continue;
            };
            let Some(slot) = state.owed.pop_front() else {
                continue;
            };
            if !state.owed.is_empty() {
                self.ring.push_back(resource);
            }
            if let Some(key) = self.may_leave(now, slot) {
                return Some(key);
            }
        }
        None
    }

    fn may_leave(&mut self, now: Now, slot: u32) -> Option<Key> {
        let subscription = self.subscriptions.get_mut(slot as usize)?;
        if !std::mem::take(&mut subscription.queued) || subscription.in_flight.is_some() {
            return None;
        }
        let key = subscription.key;
        let owed = subscription.owed;
        let interval = self.resources[subscription.resource as usize].interval;
        let mut earliest = subscription
            .hold_until
            .filter(|_| subscription.phase == Phase::Live);
        if owed <= Owed::Decision && self.knows(slot) {
            // It changed and changed back, or the rules took what was not there: nothing new to say.
            self.subscriptions[slot as usize].owed = Owed::Nothing;
            self.settle_slot(slot);
            return None;
        }
        if owed == Owed::Change {
            // RFC 3856 §6.10: the newest state leaves when the interval ends.
            earliest = earliest.max(
                self.subscriptions[slot as usize]
                    .notified_at
                    .map(|at| at + interval),
            );
        }
        if let Some(at) = earliest.filter(|at| *at > now.monotonic) {
            self.wake_at(slot, at);
            let wait_ms = at.since(now.monotonic).as_millis() as u64;
            let cause = self.subscriptions[slot as usize].cause;
            self.happens_to(slot, cause, |presentity, watcher| {
                Happened::NotifyDeferred {
                    presentity,
                    watcher,
                    wait_ms,
                }
            });
            return None;
        }
        Some(key)
    }

    fn wake_at(&mut self, slot: u32, at: Instant) {
        let (key, old) = (
            self.subscriptions[slot as usize].key,
            self.subscriptions[slot as usize].wake,
        );
        self.subscriptions[slot as usize].wake =
            self.set_timer(old, at, Timer::SubscriptionWakes(key));
    }

    /// Whether a NOTIFY would say what she answered last.
    pub(crate) fn knows(&mut self, slot: u32) -> bool {
        if self.is_winfo(slot) {
            return self.knows_watchers(slot);
        }
        let digest = self.body(slot).digest;
        let subscription = &self.subscriptions[slot as usize];
        let pending = subscription.handling == Handling::Confirm;
        (subscription.answered, subscription.answered_pending) == (digest, pending)
            && subscription.phase == Phase::Live
    }

    /// What this watcher may see now: one rendered body for all who see the same (decision 5).
    pub(crate) fn body(&mut self, slot: u32) -> &View {
        let subscription = &self.subscriptions[slot as usize];
        let resource = subscription.resource;
        match (subscription.phase, subscription.handling) {
            (Phase::Ending(Reason::Rejected | Reason::Deactivated | Reason::NoResource), _)
            | (_, Handling::Block) => &NOTHING,
            (_, Handling::Confirm) if self.resources[resource as usize].pending_body_is_empty => {
                &NOTHING
            }
            (_, Handling::Confirm | Handling::PoliteBlock) => self.neutral(resource),
            (_, Handling::Allow) => {
                let sight = subscription.sight;
                self.seen(resource, sight)
            }
        }
    }

    /// The subscription, for choosing the way of its NOTIFY.
    pub fn subscription(&self, key: Key) -> Option<&Subscription> {
        self.by_key
            .get(&key)
            .map(|slot| &self.subscriptions[*slot as usize])
    }

    /// Canonical address of record of the presentity that a subscription is to.
    pub fn presentity(&self, key: Key) -> Option<&str> {
        Some(&self.resources[self.subscription(key)?.resource as usize].name)
    }

    /// The hop has no room: it will be asked for again by `requeue`.
    pub fn park(&mut self, key: Key) {
        if let Some(slot) = self.by_key.get(&key) {
            self.subscriptions[*slot as usize].queued = true;
        }
    }

    /// What was parked for its hop may enter it, if it still has something to say that may leave now.
    pub fn unpark(&mut self, now: Now, key: Key) -> Option<Key> {
        let slot = self.by_key.get(&key).copied()?;
        self.may_leave(now, slot)
    }

    /// What was parked may be asked for again.
    pub fn requeue(&mut self, key: Key) {
        let Some(slot) = self.by_key.get(&key).copied() else {
            return;
        };
        let subscription = &mut self.subscriptions[slot as usize];
        if !std::mem::take(&mut subscription.queued) {
            return;
        }
        match &subscription.in_flight {
            None => self.enqueue(slot),
            Some(flight) if flight.client.is_none() => self.resend.push_back(key),
            Some(_) => {}
        }
    }

    /// Bytes of the NOTIFY that would leave now, roughly: for the choice of the transport (RFC 3261 §18.1.1).
    pub fn notify_bytes(&mut self, key: Key) -> usize {
        let Some(slot) = self.by_key.get(&key).copied() else {
            return 0;
        };
        let body = match &self.subscriptions[slot as usize].in_flight {
            Some(flight) => flight.body.len(),
            None if self.is_winfo(slot) => self.winfo_bytes(slot),
            None => self.body(slot).body.len(),
        };
        let subscription = &self.subscriptions[slot as usize];
        subscription.dialog.to_bytes().len() + subscription.dialog.contact().len() + body + 420
    }

    /// Composes the NOTIFY that is owed into `head`, an empty buffer. From here on it is in flight, though it may still wait for durability.
    pub fn compose_notify(
        &mut self,
        now: Now,
        key: Key,
        way: Way<'_>,
        head: Vec<u8>,
    ) -> Option<Notify> {
        let slot = *self.by_key.get(&key)?;
        if self.subscriptions[slot as usize].in_flight.is_some() {
            return None;
        }
        let view = match self.is_winfo(slot) {
            true => self.compose_winfo(now, slot),
            false => self.body(slot).clone(),
        };
        self.renew_cseq_base(slot);
        let subscription = &mut self.subscriptions[slot as usize];
        subscription.sent += 1;
        let owed = std::mem::replace(&mut subscription.owed, Owed::Nothing);
        subscription.hold_until = None;
        let flight = InFlight {
            cseq: subscription.cseq(self.starts),
            attempt: 0,
            body: view.body,
            digest: view.digest,
            state: subscription.state(now.monotonic),
            cause: subscription.cause,
            client: None,
            hop: way.hop,
            since: None,
            failures: 0,
            owed,
            withdrawn: false,
            for_size: way.for_size,
        };
        subscription.in_flight = Some(Box::new(flight));
        self.write_notify(slot, way, head)
    }

    /// CSeq numbers of a life must stay below those of the next (decision 4).
    fn renew_cseq_base(&mut self, slot: u32) {
        let starts = self.starts;
        let subscription = &mut self.subscriptions[slot as usize];
        if subscription.sent + 1 < CSEQ_LIFE {
            return;
        }
        subscription.cseq_base = subscription.cseq(starts);
        subscription.cseq_starts = starts;
        subscription.sent = 0;
        if subscription.stored {
            self.append_cseq_base(slot);
        }
    }

    /// Composes again what is in flight: neither head nor datagram was kept.
    pub fn recompose_notify(
        &mut self,
        key: Key,
        way: Way<'_>,
        head: Vec<u8>,
        another_transport: bool,
    ) -> Option<Notify> {
        let slot = *self.by_key.get(&key)?;
        let flight = self.subscriptions[slot as usize].in_flight.as_mut()?;
        if another_transport {
            flight.attempt = flight.attempt.wrapping_add(1) & 15;
            flight.for_size = way.for_size;
        } else if flight.client.is_some() {
            let (cseq, cause) = (flight.cseq, flight.cause);
            self.happens_to(slot, cause, |presentity, watcher| {
                Happened::NotifyRepeated {
                    presentity,
                    watcher,
                    cseq,
                }
            });
        }
        self.write_notify(slot, way, head)
    }

    fn write_notify(&self, slot: u32, way: Way<'_>, mut head: Vec<u8>) -> Option<Notify> {
        let subscription = &self.subscriptions[slot as usize];
        let flight = subscription.in_flight.as_ref()?;
        let package =
            self.packages[usize::from(self.resources[subscription.resource as usize].package)];
        let tag = subscription.tag();
        subscription.dialog.write_notify(
            &mut head,
            &NotifyHead {
                via_transport: way.via_transport,
                sent_by: way.sent_by,
                branch: Branch {
                    tag,
                    cseq: flight.cseq,
                    attempt: flight.attempt,
                },
                tag,
                cseq: flight.cseq,
                contact: way.contact,
                state: flight.state,
                content_type: package
                    .notify_types
                    .get(usize::from(subscription.notify_type))
                    .copied()
                    .filter(|_| !flight.body.is_empty()),
                content_length: flight.body.len(),
            },
        );
        Some(Notify {
            key: subscription.key,
            head,
            body: flight.body.clone(),
            cause: flight.cause,
        })
    }

    /// The NOTIFY really leaves: its timers run from here.
    pub fn notify_left(&mut self, now: Now, key: Key, reliable: bool) {
        let Some(slot) = self.by_key.get(&key).copied() else {
            return;
        };
        let subscription = &mut self.subscriptions[slot as usize];
        let Some(flight) = &mut subscription.in_flight else {
            return;
        };
        let client = NonInviteClient::start(now.monotonic, reliable);
        flight.since.get_or_insert(now.monotonic);
        let wake = client.poll_timeout();
        flight.client = Some(client);
        let (cseq, state, cause) = (flight.cseq, flight.state.name(), flight.cause);
        subscription.notified_at = Some(now.monotonic);
        if let Some(at) = wake {
            self.wake_at(slot, at);
        }
        self.happens_to(slot, cause, |presentity, watcher| Happened::NotifySent {
            presentity,
            watcher,
            cseq,
            state,
        });
    }

    /// What was withdrawn has come to its turn: its number was never seen and is used for what may be said instead.
    pub fn drop_withdrawn(&mut self, key: Key) {
        let Some(slot) = self.by_key.get(&key).copied() else {
            return;
        };
        let subscription = &mut self.subscriptions[slot as usize];
        if let Some(flight) = subscription.in_flight.take_if(|flight| flight.withdrawn) {
            subscription.sent -= 1;
            if flight.hop != 0 {
                self.freed_hops.push(flight.hop);
            }
            self.happens_to(slot, flight.cause, |presentity, watcher| {
                Happened::NotifyWithdrawn {
                    presentity,
                    watcher,
                    cseq: flight.cseq,
                }
            });
            self.after_answer(slot);
        }
    }

    /// The next NOTIFY that must be sent again.
    pub fn next_resend(&mut self) -> Option<Key> {
        while let Some(key) = self.resend.pop_front() {
            if self
                .subscription(key)
                .is_some_and(|subscription| subscription.in_flight.is_some())
            {
                return Some(key);
            }
        }
        None
    }

    pub(crate) fn subscription_wakes(&mut self, now: Now, key: Key) {
        let Some(slot) = self.by_key.get(&key).copied() else {
            return;
        };
        let subscription = &mut self.subscriptions[slot as usize];
        subscription.wake = None;
        let Some(flight) = &mut subscription.in_flight else {
            if subscription.owed > Owed::Nothing {
                self.enqueue(slot);
            }
            return;
        };
        let since = flight.since.unwrap_or(now.monotonic);
        let Some(client) = &mut flight.client else {
            // It could not be sent: once more.
            self.resend.push_back(key);
            return;
        };
        let due = client.handle_timeout(now.monotonic);
        let next = client.poll_timeout();
        match due {
            // RFC 6665 §4.2.2: a NOTIFY that times out ends the subscription.
            ClientDue::TimedOut => return self.remove(now, slot, Some("NOTIFY timed out")),
            ClientDue::Retransmit if now.monotonic.since(since) >= RETRANSMISSIONS_LAST => {
                return self.remove(now, slot, Some("NOTIFY timed out"));
            }
            ClientDue::Retransmit => {
                // Its answer is no longer about to come: it does not hold up others of that hop.
                let hop = std::mem::take(&mut flight.hop);
                if hop != 0 {
                    self.freed_hops.push(hop);
                }
                self.resend.push_back(key);
            }
            ClientDue::Nothing | ClientDue::Ended => {}
        }
        if let Some(at) = next {
            self.wake_at(slot, at);
        }
    }

    /// The NOTIFY could not be sent. Tried again until it would have timed out.
    pub fn notify_undeliverable(&mut self, now: Now, key: Key) {
        let Some(slot) = self.by_key.get(&key).copied() else {
            return;
        };
        let subscription = &mut self.subscriptions[slot as usize];
        let Some(flight) = &mut subscription.in_flight else {
            return;
        };
        let since = *flight.since.get_or_insert(now.monotonic);
        let hop = std::mem::take(&mut flight.hop);
        flight.client = None;
        let wait = Duration::from_millis(500 << flight.failures.min(3));
        flight.failures = flight.failures.saturating_add(1);
        if hop != 0 {
            self.freed_hops.push(hop);
        }
        if now.monotonic.since(since) + wait >= RETRANSMISSIONS_LAST {
            self.remove(now, slot, Some("NOTIFY undeliverable"));
        } else {
            self.wake_at(slot, now.monotonic + wait);
        }
    }

    /// A response with a branch of ours. `false`: nobody waits for it.
    pub fn handle_notify_response(
        &mut self,
        now: Now,
        branch: Branch,
        status: u16,
        retry_after: Option<u32>,
    ) -> bool {
        let Some(slot) = self.by_key.get(&key_of(branch.tag)).copied() else {
            return false;
        };
        let subscription = &mut self.subscriptions[slot as usize];
        let salt = subscription.salt;
        let Some(flight) = &mut subscription.in_flight else {
            return false;
        };
        if salt != branch.tag.salt || flight.cseq != branch.cseq || branch.attempt > flight.attempt
        {
            return false;
        }
        let Some(client) = &mut flight.client else {
            return false;
        };
        match client.handle_response(now.monotonic, status) {
            Told::Provisional => {
                if let Some(at) = client.poll_timeout() {
                    self.wake_at(slot, at);
                }
                return true;
            }
            Told::Absorbed => return true,
            Told::Final => {}
        }
        self.notify_answered(now, slot, status, retry_after);
        true
    }

    fn notify_answered(&mut self, now: Now, slot: u32, status: u16, retry_after: Option<u32>) {
        let subscription = &mut self.subscriptions[slot as usize];
        let Some(flight) = subscription.in_flight.take() else {
            return;
        };
        let wake = subscription.wake.take();
        if flight.hop != 0 {
            self.freed_hops.push(flight.hop);
        }
        let last = matches!(flight.state, crate::dialog::State::Terminated(_));
        self.say_answered(slot, &flight, status);
        let subscription = &mut self.subscriptions[slot as usize];
        match status {
            _ if last => self.remove(now, slot, None),
            200..=299 => {
                subscription.answered = flight.digest;
                subscription.answered_pending =
                    matches!(flight.state, crate::dialog::State::Pending(_));
                subscription.failures = 0;
                self.after_answer(slot);
            }
            // RFC 6665 §4.2.2, RFC 5057 §5.1: these end the subscription, and no further NOTIFY is sent.
            404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 604 => {
                self.remove(now, slot, Some("NOTIFY refused"));
            }
            _ => {
                // The others do not; what was not delivered is tried again later.
                let wait = BACK_OFF * (1 << subscription.failures.min(6));
                let wait = retry_after.map_or(wait, |seconds| {
                    Duration::from_secs(u64::from(seconds.clamp(1, 3600)))
                });
                subscription.failures = subscription.failures.saturating_add(1);
                subscription.hold_until = Some(now.monotonic + wait);
                subscription.owed = subscription.owed.max(Owed::AtOnce);
                self.after_answer(slot);
            }
        }
        self.cancel_timer(wake);
    }

    fn after_answer(&mut self, slot: u32) {
        if self.subscriptions[slot as usize].owed > Owed::Nothing {
            self.enqueue(slot);
        } else {
            self.settle_slot(slot);
        }
    }

    /// This watcher has answered the newest that she may see.
    fn settle_slot(&mut self, slot: u32) {
        let subscription = &mut self.subscriptions[slot as usize];
        if std::mem::take(&mut subscription.open) {
            self.resources[subscription.resource as usize].open -= 1;
        }
        self.uncover(slot);
    }

    /// What is on record of all need no longer wait for this watcher: she has answered, or is told her end after every start.
    pub(crate) fn uncover(&mut self, slot: u32) {
        let subscription = &mut self.subscriptions[slot as usize];
        if std::mem::take(&mut subscription.unsettled) {
            let resource = subscription.resource;
            self.resources[resource as usize].unsettled -= 1;
            self.answered_by_all(resource);
        }
    }

    /// A subscription that was removed no longer keeps its resource unsettled.
    pub(crate) fn settle(&mut self, removed: &Subscription) {
        if removed.open {
            self.resources[removed.resource as usize].open -= 1;
        }
        if removed.unsettled {
            self.resources[removed.resource as usize].unsettled -= 1;
            self.answered_by_all(removed.resource);
        }
    }

    /// One lazy record for a whole fan-out: after a start only presentities without it are notified again (decision 4).
    fn answered_by_all(&mut self, slot: u32) {
        let resource = &self.resources[slot as usize];
        let is_covered = |slot: &u32| {
            let subscription = &self.subscriptions[*slot as usize];
            subscription.stored && subscription.phase == Phase::Live
        };
        if resource.unsettled > 0 || !resource.subscriptions.iter().any(is_covered) {
            return;
        }
        // Composed here where nobody sees it (all are pending or politely blocked): what they were told is on record too.
        let digest = self.view(slot).digest;
        let resource = &self.resources[slot as usize];
        if resource.answered.digest == digest && resource.answered.stamp > resource.asked {
            return;
        }
        let stamp = self.next_number();
        self.resources[slot as usize].answered = AnsweredByAll { digest, stamp };
        self.put_resource(slot, true);
    }

    pub(crate) fn put_resource(&mut self, slot: u32, lazily: bool) {
        let resource = &mut self.resources[slot as usize];
        resource.stored = true;
        let record = Encoder::with_texts(b'R', resource.name.len())
            .bytes(self.packages[usize::from(resource.package)].name.as_bytes())
            .bytes(resource.name.as_bytes())
            .u64(resource.answered.digest)
            .u64(resource.answered.stamp)
            .u8(u8::from(resource.published))
            .end();
        if lazily {
            self.records.push_lazily(resource.key, Kind::Put, &record);
        } else {
            self.records.push(resource.key, Kind::Put, &record);
        }
    }

    /// Its next hop is not to be found now: asked again later, given up after a few times.
    pub fn notify_unresolvable(&mut self, now: Now, key: Key) {
        let Some(slot) = self.by_key.get(&key).copied() else {
            return;
        };
        let subscription = &mut self.subscriptions[slot as usize];
        if subscription.failures >= 3 {
            return self.remove(now, slot, Some("next hop not found"));
        }
        let wait = BACK_OFF * (1 << subscription.failures);
        subscription.failures += 1;
        subscription.queued = false;
        // Changes meanwhile don't count as tries.
        subscription.hold_until = Some(now.monotonic + wait);
        self.wake_at(slot, now.monotonic + wait);
    }

    /// Whether records wait to be taken that an acknowledgement must wait for.
    pub fn has_records(&self) -> bool {
        self.records.is_awaited()
    }
}
