//! Nothing leaves before it is stored (decision 4): what was decided waits for its batch, first in, first out.

use std::collections::VecDeque;

use machine::Key;
use transaction::TransactionKey;

use crate::outputs::Send;

/// What waits.
#[derive(Debug)]
pub(crate) enum Held {
    /// An answer to a request.
    Reply(Reply),
    /// A NOTIFY.
    Notify {
        /// Whose.
        key: Key,
        /// Which: a subscription that went on without it does not send it.
        cseq: u32,
        /// Ready to leave.
        send: Send,
        /// Whether the transport itself retransmits.
        reliable: bool,
    },
}

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its transaction, which keeps the bytes for retransmissions.
    pub(crate) transaction: Option<TransactionKey>,
    /// Its status code.
    pub(crate) status: u16,
    /// Ready to leave.
    pub(crate) send: Send,
    /// What was granted counts from the moment it leaves.
    pub(crate) grants: Grants,
}

/// What an answer grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grants {
    /// Nothing that has a clock.
    Nothing,
    /// A publication of this presentity.
    Publication(String, Key),
    /// A subscription.
    Subscription(Key),
}

/// The queue of one shard.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    held: VecDeque<(u64, Held)>,
    /// The newest batch handed over.
    pub(crate) sequence: u64,
    /// The newest batch that somebody waits for.
    pub(crate) needed: u64,
    durable: u64,
}

impl Gate {
    /// Whether what was decided after batch `after` may leave at once.
    pub(crate) fn is_open(&self, after: u64) -> bool {
        self.held.is_empty() && after <= self.durable
    }

    /// How much waits.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Waits for batch `after`.
    pub(crate) fn hold(&mut self, after: u64, held: Held) {
        self.held.push_back((after, held));
    }

    /// Everything up to this batch is durable.
    pub(crate) fn durable(&mut self, sequence: u64) {
        self.durable = self.durable.max(sequence);
    }

    /// The next that may leave.
    pub(crate) fn release(&mut self) -> Option<Held> {
        if self.held.front()?.0 > self.durable {
            return None;
        }
        self.held.pop_front().map(|(_, held)| held)
    }

    /// Nothing waits and everything needed is durable.
    pub(crate) fn is_quiet(&self) -> bool {
        self.held.is_empty() && self.needed <= self.durable
    }
}
