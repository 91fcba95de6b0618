//! What waits to be written on one connection: bounded in bytes, filled by any thread, emptied by the connection's task.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// One message on its way, and who wants to hear if it doesn't arrive.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Bytes,
    /// Who sent it.
    pub(crate) shard: u16,
    /// Non-zero: failure is reported under it.
    pub(crate) token: u64,
}

impl Piece {
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// Why a queue takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The connection had ended before: another one may do.
    Ended,
    /// The peer reads too slowly: its connection ends by this very refusal.
    Overflow,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Piece>,
    /// Of `pieces`, and of what the task has taken but not yet written.
    bytes: usize,
    ended: bool,
    overflowed: bool,
}

/// The queue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Notify,
}

impl Queue {
    /// Adds a message; never waits. A refused one comes back.
    pub(crate) fn push(&self, piece: Piece, bytes_max: usize) -> Result<(), (Refusal, Piece)> {
        let mut state = self.lock();
        if state.ended {
            return Err((Refusal::Ended, piece));
        }
        // A single message longer than the bound still goes when nothing else waits.
        if state.bytes > 0 && state.bytes + piece.len() > bytes_max {
            state.ended = true;
            state.overflowed = true;
            drop(state);
            self.filled.notify_one();
            return Err((Refusal::Overflow, piece));
        }
        state.bytes += piece.len();
        state.pieces.push_back(piece);
        let first = state.pieces.len() == 1;
        drop(state);
        if first {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Moves everything behind `writing`; false when the queue has overflowed.
    pub(crate) fn take(&self, writing: &mut VecDeque<Piece>) -> bool {
        let mut state = self.lock();
        writing.append(&mut state.pieces);
        !state.overflowed
    }

    /// `bytes` of what was taken have been written.
    pub(crate) fn wrote(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Takes no more from now on; gives what was never taken.
    pub(crate) fn end(&self) -> VecDeque<Piece> {
        let mut state = self.lock();
        state.ended = true;
        std::mem::take(&mut state.pieces)
    }

    /// Waits for `push`.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and the state is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(bytes: usize) -> Piece {
        Piece {
            head: vec![b'h'; bytes],
            body: Bytes::new(),
            shard: 0,
            token: 1,
        }
    }

    #[test]
    fn bytes_count_until_they_are_written() {
        let queue = Queue::default();
        let mut writing = VecDeque::new();
        queue.push(piece(60), 100).unwrap();
        queue.push(piece(40), 100).unwrap();
        assert!(queue.take(&mut writing));
        assert_eq!(writing.len(), 2);
        queue.wrote(60);
        queue.push(piece(60), 100).unwrap();
        assert_eq!(queue.push(piece(1), 100).unwrap_err().0, Refusal::Overflow);
        assert!(!queue.take(&mut writing));
        assert_eq!(queue.push(piece(1), 100).unwrap_err().0, Refusal::Ended);
    }

    #[test]
    fn an_empty_queue_takes_one_message_of_any_length() {
        let queue = Queue::default();
        queue.push(piece(1000), 100).unwrap();
        assert_eq!(queue.end().len(), 1);
        assert_eq!(queue.push(piece(1), 100).unwrap_err().0, Refusal::Ended);
    }
}
