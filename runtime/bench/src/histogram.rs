//! How long things took, in bounded memory: buckets that grow with what they count.

/// Buckets per doubling: a percentile is at most 1/32, some 3 %, above the truth.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// 2^37 µs are 38 hours; longer counts as that.
const BUCKETS: usize = ((37 - STEP_BITS as usize) + 1) * STEPS as usize;

/// Counts durations in microseconds: exact up to 31, then in steps of a 32nd.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            sum: 0,
            max: 0,
        }
    }
}

impl Histogram {
    /// One more.
    pub fn add(&mut self, micros: u64) {
        let place = place(micros).min(BUCKETS - 1);
        self.buckets[place] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(micros);
        self.max = self.max.max(micros);
    }

    /// How many were counted.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// The mean; 0 of nothing.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// What so many per cent are not above, never more than the longest; 0 of nothing.
    pub fn percentile(&self, per_cent: f64) -> u64 {
        let wanted = ((self.count as f64) * per_cent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (place, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return highest(place).min(self.max);
            }
        }
        self.max
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets.fill(0);
        (self.count, self.sum, self.max) = (0, 0, 0);
    }
}

/// The bucket of a value: its highest bit and the five bits behind it.
fn place(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let doubling = micros.ilog2() - STEP_BITS;
    let step = (micros >> doubling) - STEPS;
    ((u64::from(doubling) + 1) * STEPS + step) as usize
}

/// The highest value of a bucket.
fn highest(place: usize) -> u64 {
    let (doubling, step) = (place as u64 / STEPS, place as u64 % STEPS);
    match doubling {
        0 => step,
        doubling => ((STEPS + step + 1) << (doubling - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_ends_where_the_next_begins() {
        assert_eq!(place(0), 0);
        for bucket in 0..BUCKETS - 1 {
            let last = highest(bucket);
            assert_eq!(place(last), bucket, "{last}");
            assert_eq!(place(last + 1), bucket + 1, "{last}");
        }
    }

    #[test]
    fn percentiles_are_never_below_the_truth_nor_a_32nd_above() {
        let mut histogram = Histogram::default();
        for micros in 1..=100_000 {
            histogram.add(micros);
        }
        for (per_cent, truth) in [(50.0, 50_000), (99.0, 99_000), (99.9, 99_900)] {
            let found = histogram.percentile(per_cent);
            assert!(
                found >= truth && found <= truth + truth / 32,
                "{per_cent}: {found}"
            );
        }
        assert_eq!(histogram.percentile(100.0), 100_000);
        assert_eq!(histogram.max(), 100_000);
        assert_eq!(histogram.mean(), 50_000);
        assert_eq!(histogram.count(), 100_000);
    }

    #[test]
    fn nothing_and_for_ever_are_counted_too() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(99.0), 0);
        assert_eq!(histogram.mean(), 0);
        histogram.add(u64::MAX);
        assert_eq!(histogram.percentile(50.0), highest(BUCKETS - 1));
        histogram.clear();
        assert_eq!((histogram.count(), histogram.max()), (0, 0));
    }
}
