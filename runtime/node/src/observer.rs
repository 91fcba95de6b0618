//! Who is told of everything that happens in a node: logs, recorders, tests.

use machine::{Cause, Now};
use shard::{Event, Flow, Send};

/// Told on the thread where it happens, so it must be quick and never wait for anybody.
pub trait Observer: std::marker::Send + Sync {
    /// Whether `happened` is to be called; asked once a turn.
    fn wants_events(&self) -> bool {
        false
    }

    /// Whether `received` and `sent` are to be called; asked once a turn.
    fn wants_messages(&self) -> bool {
        false
    }

    /// Something happened, of this input.
    fn happened(&self, now: Now, cause: Cause, event: &Event) {
        let _ = (now, cause, event);
    }

    /// A message came, which is the input `cause`.
    fn received(&self, now: Now, cause: Cause, flow: &Flow, bytes: &[u8]) {
        let _ = (now, cause, flow, bytes);
    }

    /// A message leaves; it says what it came of.
    fn sent(&self, now: Now, send: &Send) {
        let _ = (now, send);
    }
}

/// Nobody.
impl Observer for () {}
