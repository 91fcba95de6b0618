//! The server transactions of one shard: what came before is recognised, its answer replayed.
//!
//! An entry costs about 100 bytes and the response: 48 in the map (at 7/8 load), 24 in the queue of deadlines. The
//! queues hold deadlines in the order they come due, since all in one queue are equally far off when they enter.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use machine::Instant;
use sip::{Message, Method};

use crate::key::TransactionKey;
use crate::server::{InviteArrival, InviteServer, NonInviteServer, ServerDue};
use crate::timers::T1_64;

/// What one remembered response costs in the arithmetic of `transactions_max`. The table counts as full when its
/// responses together are larger than that many of these.
pub const RESPONSE_BYTES: usize = 600;

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'t> {
    /// Not seen before: decide, then `respond` with this key.
    New(TransactionKey),
    /// Seen before: send these bytes again; nothing where the answer hasn't left yet.
    Retransmission(Option<&'t [u8]>),
    /// An ACK: nothing is ever answered to it.
    Ack,
    /// New, but the table is full, by number or by the size of its responses: answer 503 with Retry-After and keep nothing (RFC 3261 §21.5.4), the node is overloaded.
    Full,
}

#[derive(Debug)]
enum Kind {
    Other(NonInviteServer),
    Invite,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    /// Empty until something was sent.
    response: Box<[u8]>,
}

impl Entry {
    fn keep(&mut self, response: Box<[u8]>, kept: &mut usize) {
        *kept = *kept - self.response.len() + response.len();
        self.response = response;
    }
}

#[derive(Debug)]
struct Invite {
    machine: InviteServer,
    /// While unanswered: when we stop waiting for the owner.
    give_up: Instant,
}

impl Invite {
    fn deadline(&self) -> Instant {
        self.machine.poll_timeout().unwrap_or(self.give_up)
    }
}

/// Every server transaction of one shard, at most `max` of them.
#[derive(Debug)]
pub struct ServerTransactions {
    hash_key: [u8; 16],
    max: usize,
    entries: HashMap<TransactionKey, Entry, BuildHasherDefault<KeyHasher>>,
    /// Bytes of all responses that are kept.
    kept: usize,
    /// Not answered yet, by the end of 64·T1 since they came. Some are gone or answered meanwhile.
    unanswered: VecDeque<(Instant, TransactionKey)>,
    /// How many in `unanswered` are stale.
    stale: usize,
    /// Answered over an unreliable transport, by Timer J.
    answered: VecDeque<(Instant, TransactionKey)>,
    /// INVITEs are few and have several timers each.
    invites: HashMap<TransactionKey, Invite, BuildHasherDefault<KeyHasher>>,
    invite_deadlines: BTreeSet<(Instant, TransactionKey)>,
    /// Timer G fired for these.
    owed: VecDeque<TransactionKey>,
}

impl ServerTransactions {
    /// An empty table. `hash_key` is unknown to peers; `max` bounds what is remembered.
    pub fn new(hash_key: [u8; 16], max: usize) -> Self {
        Self {
            hash_key,
            max,
            entries: HashMap::default(),
            kept: 0,
            unanswered: VecDeque::new(),
            stale: 0,
            answered: VecDeque::new(),
            invites: HashMap::default(),
            invite_deadlines: BTreeSet::new(),
            owed: VecDeque::new(),
        }
    }

    /// A request whose essentials are usable arrived (`now`: the monotonic clock).
    pub fn receive(&mut self, now: Instant, request: &Message<'_>, reliable: bool) -> Received<'_> {
        let key = TransactionKey::of(&self.hash_key, request);
        if request.method() == Method::Ack {
            self.acknowledge(now, key);
            return Received::Ack;
        }
        if self.entries.contains_key(&key) {
            return Received::Retransmission(self.replay(key));
        }
        if self.entries.len() >= self.max || self.kept >= self.max.saturating_mul(RESPONSE_BYTES) {
            return Received::Full;
        }
        let kind = if key.is_invite() {
            let invite = Invite {
                machine: InviteServer::start(now, reliable),
                give_up: now + T1_64,
            };
            self.invite_deadlines.insert((invite.deadline(), key));
            self.invites.insert(key, invite);
            Kind::Invite
        } else {
            self.unanswered.push_back((now + T1_64, key));
            Kind::Other(NonInviteServer::start(now, reliable))
        };
        self.entries.insert(
            key,
            Entry {
                kind,
                response: Box::default(),
            },
        );
        Received::New(key)
    }

    /// The response leaves now. It is kept for replay as long as the transaction lives; a key that is gone is ignored.
    pub fn respond(
        &mut self,
        now: Instant,
        key: TransactionKey,
        response: impl Into<Box<[u8]>>,
        status: u16,
    ) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        match &mut entry.kind {
            Kind::Other(machine) => {
                if !machine.respond(now, status) {
                    return;
                }
                if machine.is_over() {
                    self.remove(key);
                    self.stale += 1;
                } else {
                    if machine.is_answered() {
                        self.answered.push_back((now + T1_64, key));
                        self.stale += 1;
                    }
                    entry.keep(response.into(), &mut self.kept);
                }
                self.drop_stale();
            }
            Kind::Invite => {
                let Some(invite) = self.invites.get_mut(&key) else {
                    return;
                };
                let before = invite.deadline();
                if invite.machine.respond(now, status) {
                    entry.keep(response.into(), &mut self.kept);
                    self.reschedule_invite(key, before);
                }
            }
        }
    }

    /// Forgets an unanswered transaction: its owner answers as a stateless server does (RFC 3261 §8.2.7). Should the request
    /// come again, it is new, and gets the same answer because nothing was changed.
    pub fn forget(&mut self, key: TransactionKey) {
        if let Some(invite) = self.invites.get(&key) {
            let deadline = invite.deadline();
            self.forget_invite(key, deadline);
        } else if self.entries.contains_key(&key) {
            self.remove(key);
            self.stale += 1;
            self.drop_stale();
        }
    }

    /// Another bound, from a reload.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// What a CANCEL means: the transaction with its branch and sent-by and another method (§9.2). 481 where `None`,
    /// else 200; a presence server has answered what it means already, so the CANCEL has no other effect.
    pub fn cancelled(&self, cancel: &Message<'_>) -> Option<TransactionKey> {
        let key = TransactionKey::of(&self.hash_key, cancel);
        key.cancelled().find(|key| self.entries.contains_key(key))
    }

    /// Forgets what nobody will ask for any more, and marks the INVITE responses that Timer G wants again.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, key)) = self.answered.front().copied().filter(|(at, _)| *at <= now) {
            self.answered.pop_front();
            if self.end_of(key) == Some(at) {
                self.remove(key);
            }
        }
        while let Some((at, key)) = self
            .unanswered
            .front()
            .copied()
            .filter(|(at, _)| *at <= now)
        {
            self.unanswered.pop_front();
            if self.is_waiting(at, key) {
                self.remove(key);
            } else {
                self.stale = self.stale.saturating_sub(1);
            }
        }
        while let Some((_, key)) = self
            .invite_deadlines
            .first()
            .copied()
            .filter(|(at, _)| *at <= now)
        {
            self.invite_timeout(now, key);
        }
    }

    /// When `handle_timeout` should be called. A time that proves to be too early costs one look.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let front = |queue: &VecDeque<(Instant, TransactionKey)>| queue.front().map(|(at, _)| *at);
        let invite = self.invite_deadlines.first().map(|(at, _)| *at);
        [front(&self.answered), front(&self.unanswered), invite]
            .into_iter()
            .flatten()
            .min()
    }

    /// Timer G: the next response to an INVITE that should be sent again. Its owner remembers where to. Call until `None`.
    pub fn poll_retransmission(&mut self) -> Option<(TransactionKey, &[u8])> {
        while let Some(key) = self.owed.pop_front() {
            if self.entries.contains_key(&key) {
                return self.entries.get(&key).map(|entry| (key, &*entry.response));
            }
        }
        None
    }

    /// Whether this transaction still lives.
    pub fn contains(&self, key: TransactionKey) -> bool {
        self.entries.contains_key(&key)
    }

    /// How many transactions are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many deadlines are queued, stale ones included: for tests of the bound.
    #[doc(hidden)]
    pub fn queued(&self) -> usize {
        self.unanswered.len() + self.answered.len() + self.invite_deadlines.len()
    }

    fn replay(&self, key: TransactionKey) -> Option<&[u8]> {
        let entry = self.entries.get(&key)?;
        let replays = match &entry.kind {
            Kind::Other(machine) => machine.handle_retransmission(),
            Kind::Invite => self.invites.get(&key).is_some_and(|invite| {
                invite.machine.handle_retransmission() == InviteArrival::Replay
            }),
        };
        Some(&*entry.response).filter(|response| replays && !response.is_empty())
    }

    fn acknowledge(&mut self, now: Instant, key: TransactionKey) {
        let Some(invite) = self.invites.get_mut(&key) else {
            return;
        };
        let before = invite.deadline();
        invite.machine.handle_ack(now);
        self.reschedule_invite(key, before);
    }

    fn invite_timeout(&mut self, now: Instant, key: TransactionKey) {
        let Some(invite) = self.invites.get_mut(&key) else {
            self.invite_deadlines.retain(|(_, other)| *other != key);
            return;
        };
        let before = invite.deadline();
        if invite.machine.poll_timeout().is_none() {
            // Never answered while the peer still asked: forgotten, like an unanswered request of another method.
            self.forget_invite(key, before);
            return;
        }
        if invite.machine.handle_timeout(now) == ServerDue::Retransmit {
            self.owed.push_back(key);
        }
        self.reschedule_invite(key, before);
    }

    fn reschedule_invite(&mut self, key: TransactionKey, before: Instant) {
        let Some(invite) = self.invites.get(&key) else {
            return;
        };
        if invite.machine.is_over() {
            self.forget_invite(key, before);
            return;
        }
        let after = invite.deadline();
        self.invite_deadlines.remove(&(before, key));
        self.invite_deadlines.insert((after, key));
    }

    fn forget_invite(&mut self, key: TransactionKey, deadline: Instant) {
        self.invite_deadlines.remove(&(deadline, key));
        self.invites.remove(&key);
        self.remove(key);
    }

    fn remove(&mut self, key: TransactionKey) {
        if let Some(entry) = self.entries.remove(&key) {
            self.kept -= entry.response.len();
        }
    }

    /// When an answered transaction ends; a newer one of the same key ends later.
    fn end_of(&self, key: TransactionKey) -> Option<Instant> {
        match &self.entries.get(&key)?.kind {
            Kind::Other(machine) if machine.is_answered() => machine.end(),
            _ => None,
        }
    }

    /// Whether this place in `unanswered` stands for a transaction that still waits for its owner.
    fn is_waiting(&self, at: Instant, key: TransactionKey) -> bool {
        match self.entries.get(&key).map(|entry| &entry.kind) {
            Some(Kind::Other(machine)) => !machine.is_answered() && machine.end() == Some(at),
            _ => false,
        }
    }

    /// Answers come within milliseconds, so nearly all of `unanswered` is stale soon: its front is dropped as it goes, and
    /// the rest swept when more than half is stale, so that one forgotten request holds back nothing.
    fn drop_stale(&mut self) {
        while let Some((at, key)) = self.unanswered.front().copied() {
            if self.is_waiting(at, key) {
                break;
            }
            self.unanswered.pop_front();
            self.stale = self.stale.saturating_sub(1);
        }
        if self.stale > 64 && self.stale * 2 > self.unanswered.len() {
            let mut unanswered = std::mem::take(&mut self.unanswered);
            unanswered.retain(|(at, key)| self.is_waiting(*at, *key));
            self.unanswered = unanswered;
            self.stale = 0;
        }
    }
}

/// A key is a keyed hash already: its first word is taken as it is.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}
