//! How long to wait before asking again: doubling, spread by chance, never sooner than the peer said.

use std::time::Duration;

use machine::Random;

/// The first wait is 1 s, the longest 32 s: a server that was restarted is found again within that.
const DOUBLINGS_MAX: u32 = 5;
/// A Retry-After beyond a day is taken as a day: the user would rather be told than wait for ever.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

/// Counts failures in a row.
#[derive(Clone, Debug)]
pub(crate) struct BackOff {
    failures: u32,
    random: Random,
}

impl BackOff {
    pub(crate) const fn new(random: Random) -> Self {
        Self {
            failures: 0,
            random,
        }
    }

    pub(crate) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Whether the last try succeeded.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    /// One more failure: how long to wait now.
    pub(crate) fn failed(&mut self, retry_after: Option<u32>) -> Duration {
        let most = Duration::from_secs(1 << self.failures.min(DOUBLINGS_MAX));
        self.failures = self.failures.saturating_add(1);
        match retry_after {
            // Everybody else was told the same number: spread beyond it, never before it.
            Some(seconds) => {
                Duration::from_secs(u64::from(seconds)).min(RETRY_AFTER_MAX) + self.part(most)
            }
            None => most / 2 + self.part(most / 2),
        }
    }

    /// One more failure that need not wait.
    pub(crate) const fn failed_at_once(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        Duration::ZERO
    }

    /// When to refresh what lasts this long: after 80 to 90 % of it, so that what began together spreads.
    pub(crate) fn refresh_after(&mut self, lasts: Duration) -> Duration {
        let thousandths = 800 + u32::try_from(self.random.below(100)).unwrap_or(0);
        lasts.saturating_mul(thousandths) / 1000
    }

    fn part(&mut self, of: Duration) -> Duration {
        Duration::from_millis(
            self.random
                .below(u64::try_from(of.as_millis()).unwrap_or(0) + 1),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_their_bounds_and_never_undercut_the_peer() {
        for seed in 0..50 {
            let mut back_off = BackOff::new(Random::new(seed));
            for most in [1000, 2000, 4000, 8000, 16_000, 32_000, 32_000] {
                let wait = back_off.failed(None).as_millis();
                assert!((most / 2..=most).contains(&wait), "{wait} of {most}");
            }
            back_off.succeeded();
            let wait = back_off.failed(Some(10)).as_millis();
            assert!((10_000..=11_000).contains(&wait), "{wait}");
            assert!(back_off.failed(Some(u32::MAX)) <= RETRY_AFTER_MAX + Duration::from_secs(2));
            let refresh = back_off.refresh_after(Duration::from_secs(3600)).as_secs();
            assert!((2880..3240).contains(&refresh), "{refresh}");
        }
    }
}
