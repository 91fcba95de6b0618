//! Which counts of which nonces were used (RFC 7616 §3.4.5, `nc`): what was sent once is not taken twice.

use std::collections::BTreeMap;

use machine::Wall;

use crate::nonce::{Made, NONCE_SECONDS_MAX};

/// 65 536 nonces × 60 B = 4 MB for one shard. Beyond it the oldest is over before its time: its next use gets a new one, with
/// `stale=true`. Only who knew a password gets a place.
pub const NONCES_MAX: usize = 65_536;

/// Counts may come out of order by so many: requests of one client overtake each other.
const WINDOW: u32 = u64::BITS;

/// What was used.
#[derive(Clone, Debug)]
pub struct Replay {
    used: BTreeMap<Made, Used>,
    /// Everything made up to here is over, whether it was used or not.
    over: Option<Made>,
    nonces_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    highest: u32,
    /// Bit n: `highest - n` was used.
    window: u64,
}

impl Default for Replay {
    fn default() -> Self {
        Self::new(NONCES_MAX)
    }
}

impl Replay {
    /// Remembers so many nonces.
    pub fn new(nonces_max: usize) -> Self {
        Self {
            used: BTreeMap::new(),
            over: None,
            nonces_max: nonces_max.max(1),
        }
    }

    /// How many nonces it remembers now.
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether it remembers none.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// Whether this count of this nonce is used for the first time; it is used then.
    pub(crate) fn take(&mut self, now: Wall, nonce: Made, count: u32) -> bool {
        self.forget(now);
        if self.over.is_some_and(|over| nonce <= over) || count == 0 {
            return false;
        }
        let Some(used) = self.used.get_mut(&nonce) else {
            let used = Used {
                highest: count,
                window: 1,
            };
            self.used.insert(nonce, used);
            if self.used.len() > self.nonces_max {
                self.over = self.used.pop_first().map(|(oldest, _)| oldest);
            }
            return self.over != Some(nonce);
        };
        if let Some(ahead) = count.checked_sub(used.highest).filter(|ahead| *ahead > 0) {
            used.window = used.window.checked_shl(ahead).unwrap_or(0) | 1;
            used.highest = count;
            return true;
        }
        let behind = used.highest - count;
        if behind >= WINDOW || used.window >> behind & 1 == 1 {
            return false;
        }
        used.window |= 1 << behind;
        true
    }

    /// What is over by its age can't be used anyway.
    fn forget(&mut self, now: Wall) {
        let oldest = (now.as_millis() / 1000).saturating_sub(NONCE_SECONDS_MAX);
        while let Some(first) = self
            .used
            .first_entry()
            .filter(|first| first.key().0 < oldest)
        {
            first.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: Wall = Wall::from_millis(1_700_000_000_000);
    const MADE: u64 = 1_700_000_000;

    proptest! {
        /// No count is ever taken twice, and a count that is ahead of all others always is.
        #[test]
        fn each_count_is_taken_once(counts in prop::collection::vec(1u32..200, 1..100)) {
            let mut replay = Replay::default();
            let mut taken = BTreeSet::new();
            for count in counts {
                let is_ahead = taken.last().is_none_or(|last| count > *last);
                let was_taken = replay.take(NOW, (MADE, 1), count);
                prop_assert!(!was_taken || taken.insert(count));
                prop_assert!(was_taken || !is_ahead);
            }
        }
    }

    #[test]
    fn counts_may_overtake_each_other_within_the_window() {
        let mut replay = Replay::default();
        assert!(replay.take(NOW, (MADE, 1), 100));
        assert!(replay.take(NOW, (MADE, 1), 37));
        assert!(!replay.take(NOW, (MADE, 1), 37));
        assert!(!replay.take(NOW, (MADE, 1), 36));
        assert!(replay.take(NOW, (MADE, 1), u32::MAX));
        assert!(!replay.take(NOW, (MADE, 1), 100));
        assert!(!replay.take(NOW, (MADE, 2), 0));
    }

    #[test]
    fn what_had_to_give_way_is_over_and_never_taken_again() {
        let mut replay = Replay::new(2);
        for unique in 1..=3 {
            assert!(replay.take(NOW, (MADE, unique), 1));
        }
        assert_eq!(replay.len(), 2);
        assert!(!replay.take(NOW, (MADE, 1), 1));
        assert!(!replay.take(NOW, (MADE, 1), 2));
        assert!(!replay.take(NOW, (MADE, 0), 1));
        assert!(replay.take(NOW, (MADE, 2), 2));
    }

    #[test]
    fn what_lapsed_takes_no_place() {
        let mut replay = Replay::default();
        assert!(replay.take(NOW, (MADE, 1), 1));
        let later = Wall::from_millis(NOW.as_millis() + (NONCE_SECONDS_MAX + 1) * 1000);
        assert!(replay.take(later, (MADE + NONCE_SECONDS_MAX, 1), 1));
        assert_eq!(replay.len(), 1);
    }
}
