//! How far a stream may be ahead of the shards: its messages count from when they are posted until they have been read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Messages of one connection that wait for shards before no more is read from it: two turns of a shard. 128 busy
/// connections fill a mailbox, one can't.
pub(crate) const AHEAD_MAX: usize = 128;

/// One connection's messages in mailboxes.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    ahead: AtomicUsize,
    waiting: Mutex<Option<Waker>>,
}

/// Messages that are counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Receipt {
    credit: Arc<Credit>,
    messages: usize,
}

impl Credit {
    pub(crate) fn charge(self: &Arc<Self>, messages: usize) -> Receipt {
        self.ahead.fetch_add(messages, Ordering::AcqRel);
        Receipt {
            credit: Arc::clone(self),
            messages,
        }
    }

    /// Ready when less than `AHEAD_MAX` are counted, else wakes when that is so.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_ready() {
            return Poll::Ready(());
        }
        *self.waiting() = Some(context.waker().clone());
        // A receipt that was dropped before the waker was there is seen here, one dropped later sees the waker.
        if self.is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn is_ready(&self) -> bool {
        self.ahead.load(Ordering::Acquire) < AHEAD_MAX
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        // No code panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let before = self.credit.ahead.fetch_sub(self.messages, Ordering::AcqRel);
        if before < AHEAD_MAX || before - self.messages >= AHEAD_MAX {
            return;
        }
        let waiting = self.credit.waiting().take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn who_is_far_ahead_waits_and_is_woken_once() {
        let (credit, woken) = (Arc::new(Credit::default()), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        let ready = || {
            credit
                .poll_ready(&mut Context::from_waker(&waker))
                .is_ready()
        };
        let first = credit.charge(AHEAD_MAX - 1);
        assert!(ready());
        let (second, third) = (credit.charge(1), credit.charge(1));
        assert!(!ready());
        drop(third);
        assert!(!ready());
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        drop(second);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(ready());
        drop(first);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    }
}
