//! Who tries passwords: how often one source was wrong within a minute.

use std::collections::BTreeMap;
use std::net::IpAddr;

use machine::Instant;

/// 8192 sources × 40 B = 330 kB for one shard. A minute with more of them is no longer one source's; those beyond aren't counted.
const SOURCES_MAX: usize = 8192;

const MINUTE_MICROS: u64 = 60_000_000;

/// Counts by source, of one minute at a time.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    minute: u64,
    counts: BTreeMap<u128, u32>,
}

impl Failures {
    /// One more wrong proof came from `source`.
    pub fn failed(&mut self, now: Instant, source: IpAddr) {
        self.turn(now);
        let place = place(source);
        if self.counts.len() < SOURCES_MAX || self.counts.contains_key(&place) {
            let count = self.counts.entry(place).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// The seconds that `source` has to wait, if it was wrong `failures_max` times in this minute; 0: no bound.
    pub fn wait(&mut self, now: Instant, source: IpAddr, failures_max: u32) -> Option<u32> {
        self.turn(now);
        let count = self.counts.get(&place(source)).copied().unwrap_or(0);
        let left = MINUTE_MICROS - now.as_micros() % MINUTE_MICROS;
        (failures_max > 0 && count >= failures_max).then(|| left.div_ceil(1_000_000) as u32)
    }

    fn turn(&mut self, now: Instant) {
        let minute = now.as_micros() / MINUTE_MICROS;
        if minute != self.minute {
            self.minute = minute;
            self.counts.clear();
        }
    }
}

/// One customer has a /64 of IPv6, and so all addresses in it.
fn place(source: IpAddr) -> u128 {
    match source.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn who_was_wrong_too_often_waits_for_the_next_minute() {
        let mut failures = Failures::default();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..3 {
            assert_eq!(failures.wait(at(70), one, 3), None);
            failures.failed(at(70), one);
        }
        assert_eq!(failures.wait(at(70), one, 3), Some(50));
        assert_eq!(failures.wait(at(70), other, 3), None);
        assert_eq!(failures.wait(at(70), one, 0), None);
        assert_eq!(failures.wait(at(120), one, 3), None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_the_table_is_bounded() {
        let mut failures = Failures::default();
        failures.failed(at(1), "2001:db8::1".parse().unwrap());
        assert!(
            failures
                .wait(at(1), "2001:db8::2".parse().unwrap(), 1)
                .is_some()
        );
        assert!(
            failures
                .wait(at(1), "2001:db8:0:1::1".parse().unwrap(), 1)
                .is_none()
        );
        for last in 0..SOURCES_MAX as u32 + 10 {
            failures.failed(at(1), IpAddr::V4(last.into()));
        }
        assert_eq!(failures.counts.len(), SOURCES_MAX);
    }
}
