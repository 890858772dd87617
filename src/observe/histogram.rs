//! Latencies in fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets in microseconds, 50 us to 60 s in steps of about two. The same for
/// every node, so that histograms of nodes and of workers can be added up.
pub(super) const BOUNDS_US: [u64; 19] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 60_000_000,
];

/// Counts per bucket, the last for all that is slower than every bound.
#[derive(Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

/// What a histogram held at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct HistogramReading {
    /// Observations at or below each bound (cumulative), then all of them.
    pub(super) cumulative: Vec<u64>,
    pub(super) sum_seconds: f64,
}

impl HistogramReading {
    pub(super) fn count(&self) -> u64 {
        self.cumulative.last().copied().unwrap_or(0)
    }
}

impl Histogram {
    pub(super) fn observe(&self, took: Duration) {
        // Rounded up: a bucket's bound is inclusive, and 50.9 us is above 50 us.
        let micros = took.as_nanos().div_ceil(1_000);
        let slot = BOUNDS_US.partition_point(|bound| u128::from(*bound) < micros);
        self.buckets[slot].fetch_add(1, Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(nanos, Relaxed);
    }

    pub(super) fn read(&self) -> HistogramReading {
        let mut total = 0;
        let cumulative = self
            .buckets
            .iter()
            .map(|bucket| {
                total += bucket.load(Relaxed);
                total
            })
            .collect();
        let sum_seconds = Duration::from_nanos(self.sum_ns.load(Relaxed)).as_secs_f64();
        HistogramReading {
            cumulative,
            sum_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_a_nanosecond_more_does_not() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_micros(50));
        histogram.observe(Duration::from_nanos(50_001));
        histogram.observe(Duration::ZERO);
        let read = histogram.read();
        assert_eq!(read.cumulative[0], 2);
        assert_eq!(read.cumulative[1], 3);
        assert_eq!(read.count(), 3);
    }

    #[test]
    fn what_is_slower_than_every_bound_is_still_counted() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_secs(60));
        histogram.observe(Duration::from_secs(61));
        histogram.observe(Duration::from_secs(3_600));
        let read = histogram.read();
        assert_eq!(read.cumulative[BOUNDS_US.len() - 1], 1);
        assert_eq!(read.count(), 3);
        assert!((read.sum_seconds - 3_721.0).abs() < 1e-6);
    }

    #[test]
    fn bounds_rise() {
        assert!(BOUNDS_US.is_sorted_by(|a, b| a < b));
    }
}
