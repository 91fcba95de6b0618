//! The two clocks, read here and nowhere else in this crate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use machine::{Instant, Wall};

/// Counts from when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: std::time::Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// Begins now.
    #[allow(
        clippy::disallowed_methods,
        reason = "a client has one clock, and this is where it is read"
    )]
    pub fn new() -> Self {
        Self {
            origin: std::time::Instant::now(),
        }
    }

    /// The monotonic clock.
    #[allow(
        clippy::disallowed_methods,
        reason = "a client has one clock, and this is where it is read"
    )]
    pub fn now(&self) -> Instant {
        let elapsed = std::time::Instant::now().saturating_duration_since(self.origin);
        Instant::ZERO + elapsed
    }

    /// The wall clock.
    #[allow(
        clippy::disallowed_methods,
        reason = "a client has one clock, and this is where it is read"
    )]
    pub fn wall(&self) -> Wall {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Wall::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// The same point for a runtime's timers.
    pub(crate) fn deadline(&self, at: Instant) -> tokio::time::Instant {
        // A microsecond late rather than early: a machine that is asked too early says nothing and is asked again.
        let since = Duration::from_micros(at.as_micros().saturating_add(1));
        tokio::time::Instant::from_std(self.origin.checked_add(since).unwrap_or(self.origin))
    }

    /// Something that two starts don't share, to seed tags and waits with.
    pub fn seed(&self) -> u64 {
        use std::hash::{BuildHasher, Hasher, RandomState};
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(self.wall().as_millis());
        hasher.write_u32(std::process::id());
        hasher.finish()
    }
}
