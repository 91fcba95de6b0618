//! The same request by two paths (RFC 3261 §8.2.2.2): another branch, but the same From tag, Call-ID and CSeq.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;
use machine::{Instant, Partitioner};
use sip::{Essentials, Message};

/// As long as a request may still arrive again: 64·T1.
const LASTS: Duration = Duration::from_secs(32);

/// What came lately, by hash. As many as there are server transactions, 40 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    seen: HashMap<u64, u64>,
    order: VecDeque<(Instant, u64)>,
}

impl Merged {
    /// Whether this request came before by another path; `max` are remembered. Requests within a dialog never do.
    pub(crate) fn is_merged(
        &mut self,
        now: Instant,
        request: &Message<'_>,
        partitioner: &Partitioner,
        max: usize,
    ) -> bool {
        self.handle_timeout(now);
        let Ok(essentials) = request.essentials() else {
            return false;
        };
        if essentials.to.tag().is_some() {
            return false;
        }
        let branch = partitioner.hash(essentials.via.branch.unwrap_or_default().as_bytes());
        let key = identity_of(&essentials, partitioner);
        match self.seen.get(&key) {
            Some(known) => *known != branch,
            None => {
                if self.order.len() >= max
                    && let Some((_, oldest)) = self.order.pop_front()
                {
                    self.seen.remove(&oldest);
                }
                self.seen.insert(key, branch);
                self.order.push_back((now + LASTS, key));
                false
            }
        }
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }

    /// When `handle_timeout` should be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.order.front().map(|(end, _)| *end)
    }

    /// Forgets what is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, key)) = self.order.front().copied().filter(|(end, _)| *end <= now) {
            self.order.pop_front();
            self.seen.remove(&key);
        }
    }
}

fn identity_of(essentials: &Essentials<'_>, partitioner: &Partitioner) -> u64 {
    let number = essentials.cseq.number.to_be_bytes();
    let pieces: [&[u8]; 7] = [
        essentials.call_id.as_bytes(),
        b"\0",
        essentials.from.tag().unwrap_or_default().as_bytes(),
        b"\0",
        essentials.cseq.method.name().as_bytes(),
        b"\0",
        &number,
    ];
    partitioner.hash_of(pieces)
}
