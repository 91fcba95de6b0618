//! What other threads want a shard to know: messages that arrived at the wrong place, reports, orders.
//!
//! Posting never waits. Messages are bounded and dropped at the bound; UDP peers send again. Everything else answers
//! what the shard itself asked for, or comes from the node one at a time.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shard::settings::Settings;
use shard::{DocumentRequest, Flow, Question, Room, Told, Undeliverable};
use transport::socket::Waker;

use crate::credit::{Credit, Receipt};

/// Messages that wait for one shard: half a second's work at 30 000 a second. Beyond it: dropped and counted.
pub(crate) const LETTERS_MAX: usize = 16_384;

/// Their bytes: 16 MiB, so that long messages cannot make the first bound a large one.
pub(crate) const LETTER_BYTES_MAX: usize = 16 << 20;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A datagram, or one message of a stream.
    Message,
    /// The header section of a message that the framing refused with this status.
    Refused(u16),
}

#[derive(Debug)]
struct Letter {
    flow: Flow,
    content: Content,
    /// Where it ends in the parcel's bytes; it begins where the one before ends.
    end: usize,
}

/// Messages for one shard, copied into one buffer: one allocation and one wake for all that a read brought.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    bytes: Vec<u8>,
    letters: Vec<Letter>,
    /// Who may send more once these were read.
    receipt: Option<Receipt>,
}

impl Parcel {
    pub(crate) fn push(&mut self, flow: Flow, content: Content, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.letters.push(Letter {
            flow,
            content,
            end: self.bytes.len(),
        });
    }

    /// Its messages count for `credit` until the parcel is gone.
    pub(crate) fn charge(&mut self, credit: &Arc<Credit>) {
        if !self.is_empty() {
            self.receipt = Some(credit.charge(self.len()));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(crate) fn letters(&self) -> impl Iterator<Item = (&Flow, Content, &[u8])> {
        let mut begin = 0;
        self.letters.iter().filter_map(move |letter| {
            let bytes = self.bytes.get(begin..letter.end)?;
            begin = letter.end;
            Some((&letter.flow, letter.content, bytes))
        })
    }
}

/// Something besides messages.
#[derive(Debug)]
pub(crate) enum Notice {
    Undeliverable {
        token: u64,
        why: Undeliverable,
    },
    Resolved {
        name: Arc<str>,
        addresses: Arc<[IpAddr]>,
    },
    Settings(Arc<Settings>),
    Document(Box<DocumentRequest>),
    Kept {
        sequence: u64,
        outcome: Result<(), String>,
    },
    /// Another shard says something. No more than one change of each list is on its way, so what waits here is bounded by what rules refer to.
    Told {
        from: u16,
        told: Told,
    },
    Explain(Box<Question>),
    Room(Room),
    /// The node wants something done, and to hear (`number`) when the shard is quiet after it.
    Order {
        order: Order,
        number: u64,
    },
}

/// What the node wants of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Refuse what is new, send what is owed.
    Stop,
    /// Hand watchers away.
    Drain,
    /// Put the last commit out.
    End,
    /// Leave the thread.
    Exit,
}

#[derive(Debug, Default)]
struct State {
    parcels: VecDeque<Parcel>,
    letters: usize,
    bytes: usize,
    notices: VecDeque<Notice>,
}

/// The mailbox of one shard.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    /// Something was posted since the last `take`; also tells of durability.
    filled: AtomicBool,
    durable: AtomicU64,
    asleep: AtomicBool,
    dropped: AtomicU64,
    waker: Waker,
}

impl Mailbox {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            state: Mutex::default(),
            filled: AtomicBool::new(false),
            durable: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            waker: Waker::new()?,
        })
    }

    /// Hands messages over, and leaves `parcel` empty. At the bound they are dropped and counted.
    pub(crate) fn deliver(&self, parcel: &mut Parcel) {
        if parcel.is_empty() {
            return;
        }
        let parcel = std::mem::take(parcel);
        {
            let mut state = self.lock();
            if state.letters + parcel.len() > LETTERS_MAX
                || state.bytes + parcel.bytes.len() > LETTER_BYTES_MAX
            {
                self.dropped
                    .fetch_add(parcel.len() as u64, Ordering::Relaxed);
                return;
            }
            state.letters += parcel.len();
            state.bytes += parcel.bytes.len();
            state.parcels.push_back(parcel);
        }
        self.rouse();
    }

    /// Hands something else over.
    pub(crate) fn post(&self, notice: Notice) {
        self.lock().notices.push_back(notice);
        self.rouse();
    }

    /// Every batch up to `sequence` is durable: only the newest counts, so nothing queues up.
    pub(crate) fn durable(&self, sequence: u64) {
        self.durable.fetch_max(sequence, Ordering::AcqRel);
        self.rouse();
    }

    /// The newest durable batch.
    pub(crate) fn newest_durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Takes every notice, and parcels until they hold `letters_max` messages; true when parcels are left.
    pub(crate) fn take(
        &self,
        letters_max: usize,
        notices: &mut Vec<Notice>,
        parcels: &mut Vec<Parcel>,
    ) -> bool {
        if !self.filled.swap(false, Ordering::AcqRel) {
            return false;
        }
        let mut state = self.lock();
        notices.extend(state.notices.drain(..));
        let mut taken = 0;
        while taken < letters_max
            && let Some(parcel) = state.parcels.pop_front()
        {
            taken += parcel.len();
            state.letters -= parcel.len();
            state.bytes -= parcel.bytes.len();
            parcels.push(parcel);
        }
        let left = !state.parcels.is_empty();
        if left {
            self.filled.store(true, Ordering::Release);
        }
        left
    }

    /// The shard is about to wait: from now on posts wake it. False: it must not wait, something is there.
    pub(crate) fn sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        if self.filled.load(Ordering::SeqCst) {
            self.asleep.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// The shard is awake again.
    pub(crate) fn awake(&self, by_waker: bool) {
        self.asleep.store(false, Ordering::SeqCst);
        if by_waker {
            self.waker.clear();
        }
    }

    /// What becomes readable when something is posted to a sleeping shard.
    pub(crate) const fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Messages dropped at the bound so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn rouse(&self) {
        // Either this store is seen by `sleep`, or `sleep`'s is seen here: both are sequentially consistent.
        self.filled.store(true, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shard::settings::{ListenerId, Transport};
    use transport::socket::Poller;

    use super::*;

    fn flow(port: u16) -> Flow {
        let peer = ([127, 0, 0, 1], port).into();
        Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            peer,
            connection: None,
        }
    }

    fn parcel(letters: usize, bytes: usize) -> Parcel {
        let mut parcel = Parcel::default();
        for number in 0..letters {
            parcel.push(
                flow(number as u16),
                Content::Message,
                &vec![number as u8; bytes],
            );
        }
        parcel
    }

    #[test]
    fn parcels_keep_messages_apart_and_in_order() {
        let mailbox = Mailbox::new().unwrap();
        let mut first = Parcel::default();
        first.push(flow(1), Content::Message, b"one");
        first.push(flow(2), Content::Refused(413), b"");
        first.push(flow(3), Content::Message, b"three");
        mailbox.deliver(&mut first);
        assert!(first.is_empty());
        mailbox.deliver(&mut first);
        let (mut notices, mut parcels) = (Vec::new(), Vec::new());
        assert!(!mailbox.take(64, &mut notices, &mut parcels));
        let letters: Vec<_> = parcels.iter().flat_map(Parcel::letters).collect();
        assert_eq!(
            letters,
            [
                (&flow(1), Content::Message, &b"one"[..]),
                (&flow(2), Content::Refused(413), &b""[..]),
                (&flow(3), Content::Message, &b"three"[..]),
            ]
        );
        assert!(notices.is_empty());
    }

    #[test]
    fn messages_beyond_either_bound_are_dropped_and_counted() {
        let mailbox = Mailbox::new().unwrap();
        for _ in 0..LETTERS_MAX / 64 {
            mailbox.deliver(&mut parcel(64, 1));
        }
        assert_eq!(mailbox.dropped(), 0);
        mailbox.deliver(&mut parcel(1, 1));
        assert_eq!(mailbox.dropped(), 1);
        // Notices still get through, and taking makes room again.
        mailbox.post(Notice::Room(Room::Plenty));
        let (mut notices, mut parcels) = (Vec::new(), Vec::new());
        assert!(mailbox.take(64, &mut notices, &mut parcels));
        assert_eq!((notices.len(), parcels.len()), (1, 1));
        mailbox.deliver(&mut parcel(64, 1));
        assert_eq!(mailbox.dropped(), 1);
        while mailbox.take(1 << 20, &mut notices, &mut parcels) {}
        mailbox.deliver(&mut parcel(256, 65_536));
        assert_eq!(mailbox.dropped(), 1);
        mailbox.deliver(&mut parcel(1, 1));
        assert_eq!(mailbox.dropped(), 2);
    }

    #[test]
    fn only_a_sleeper_is_woken() {
        let mailbox = Mailbox::new().unwrap();
        let woken = || {
            let mut poller = Poller::default();
            let index = poller.add(mailbox.waker(), false);
            poller.wait(Some(Duration::ZERO)).unwrap();
            poller.is_readable(index)
        };
        let (mut notices, mut parcels) = (Vec::new(), Vec::new());
        mailbox.durable(3);
        mailbox.durable(2);
        assert!(!woken());
        assert!(!mailbox.sleep());
        mailbox.take(64, &mut notices, &mut parcels);
        assert_eq!(mailbox.newest_durable(), 3);
        assert!(mailbox.sleep());
        mailbox.post(Notice::Room(Room::Plenty));
        assert!(woken());
        mailbox.awake(true);
        assert!(!woken());
        mailbox.deliver(&mut parcel(1, 1));
        assert!(!woken());
    }
}
