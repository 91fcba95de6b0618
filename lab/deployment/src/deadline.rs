//! Waits are bounded by a deadline, never by a sleep.

use std::time::{Duration, Instant};

/// How long anything that must happen may take. Far beyond what it takes; it ends a test that would hang.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A point in time after which a wait has failed.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// `wait` from now.
    pub fn after(wait: Duration) -> Self {
        Self(now() + wait)
    }

    /// What is left; `None` once it has passed.
    pub fn left(self) -> Option<Duration> {
        self.0
            .checked_duration_since(now())
            .filter(|left| !left.is_zero())
    }

    /// The sooner of the two.
    pub fn or(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self::after(PATIENCE)
    }
}

/// The clock of the outside world: tests of a real process measure real time.
#[allow(
    clippy::disallowed_methods,
    reason = "a real process is watched in real time"
)]
pub fn now() -> Instant {
    Instant::now()
}
