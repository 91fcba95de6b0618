//! The one place that reads the clocks.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where time comes from; everybody else gets it as an argument"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use machine::{Instant, Now, Wall};

/// Both clocks of this process. Copies agree with one another.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// The monotonic clock begins now.
    pub fn new() -> Self {
        Self {
            origin: std::time::Instant::now(),
        }
    }

    /// What both clocks say.
    pub fn now(&self) -> Now {
        // A wall clock before 1970 is as good as none.
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            monotonic: self.monotonic(),
            wall: Wall::from_millis(millis(wall)),
        }
    }

    /// What the monotonic clock says.
    pub fn monotonic(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_agree_and_nothing_goes_back() {
        let clock = Clock::new();
        let copy = clock;
        let first = clock.now();
        let second = copy.now();
        assert!(second.monotonic >= first.monotonic);
        assert!(second.monotonic.since(first.monotonic) < Duration::from_secs(60));
        // 2020-01-01: a machine that runs this knows the year.
        assert!(first.wall > Wall::from_millis(1_577_836_800_000));
    }
}
