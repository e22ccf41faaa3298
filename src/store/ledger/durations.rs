//! Durations of calls as counts between fixed bounds, which add up over hours and days like other sums.
//!
//! A percentile is interpolated within one gap between bounds, so its error is at most the gap: a factor of
//! [`WIDEST`], and less the more calls there are. Below the first bound the error is at most that bound, 20 ms;
//! times beyond the last, 10 minutes, are reported as 10 minutes.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::usage::LedgerEvent;

/// Milliseconds; each is at most [`WIDEST`] times the previous one.
pub(super) const BOUNDS: [u64; 20] = [
    20, 35, 60, 100, 170, 300, 500, 850, 1_500, 2_500, 4_300, 7_500, 13_000, 22_000, 38_000, 65_000, 110_000,
    190_000, 340_000, 600_000,
];

/// Maximum error of a percentile, as a factor.
pub const WIDEST: f64 = 1.8;

const GAPS: usize = BOUNDS.len() + 1;

/// Counts of calls by duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DurationHistogram {
    counts: [u64; GAPS],
}

/// Percentiles in milliseconds. They are estimates with an error below a factor of 1.8.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Percentiles)]
pub struct Percentiles {
    /// Number of measured calls.
    pub count: u64,
    /// `null` if nothing was measured.
    pub p50: Option<u64>,
    pub p90: Option<u64>,
    pub p99: Option<u64>,
}

impl DurationHistogram {
    fn add(&mut self, ms: u64) {
        let gap = BOUNDS.partition_point(|bound| *bound < ms);
        if let Some(count) = self.counts.get_mut(gap) {
            *count = count.saturating_add(1);
        }
    }

    pub fn percentiles(&self) -> Percentiles {
        Percentiles {
            count: self.counts.iter().sum(),
            p50: self.percentile(500),
            p90: self.percentile(900),
            p99: self.percentile(990),
        }
    }

    /// The time that this many of a thousand calls did not exceed.
    fn percentile(&self, permille: u64) -> Option<u64> {
        let count: u64 = self.counts.iter().sum();
        let rank = count.saturating_mul(permille).div_ceil(1000).max(1);
        let mut before = 0_u64;
        for (gap, here) in self.counts.iter().copied().enumerate() {
            if before + here >= rank {
                let from = gap
                    .checked_sub(1)
                    .and_then(|gap| BOUNDS.get(gap))
                    .map_or(0, |ms| *ms);
                let to = BOUNDS.get(gap).map_or(from, |ms| *ms);
                let share = (rank - before) as f64 / here as f64;
                return Some(from + ((to - from) as f64 * share).round() as u64);
            }
            before += here;
        }
        None
    }
}

impl std::ops::AddAssign for DurationHistogram {
    fn add_assign(&mut self, other: Self) {
        for (sum, part) in self.counts.iter_mut().zip(other.counts) {
            *sum = sum.saturating_add(part);
        }
    }
}

/// The two recorded durations of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From arrival to the first byte, for calls that got one.
    pub first_byte: DurationHistogram,
    /// From arrival to the end.
    pub duration: DurationHistogram,
}

impl Times {
    pub(super) fn of(event: &LedgerEvent) -> Self {
        let mut times = Self::default();
        if let Some(ms) = event.first_byte_ms {
            times.first_byte.add(ms);
        }
        times.duration.add(event.duration_ms);
        times
    }

    /// By their names in the store, see [`metrics`].
    pub(super) fn figures(&self) -> impl Iterator<Item = (String, u64)> {
        let counts = self.first_byte.counts.into_iter().chain(self.duration.counts);
        metrics().zip(counts)
    }

    /// The inverse of [`figures`](Self::figures); missing ones are 0.
    pub(super) fn read(figures: impl IntoIterator<Item = u64>) -> Self {
        let mut times = Self::default();
        let counts = times
            .first_byte
            .counts
            .iter_mut()
            .chain(&mut times.duration.counts);
        for (count, figure) in counts.zip(figures) {
            *count = figure;
        }
        times
    }
}

impl std::ops::AddAssign for Times {
    fn add_assign(&mut self, other: Self) {
        self.first_byte += other.first_byte;
        self.duration += other.duration;
    }
}

/// `firstByte<20`, ..., `firstByte<inf`, and the same for `duration`.
pub(super) fn metrics() -> impl Iterator<Item = String> {
    ["firstByte", "duration"].into_iter().flat_map(|of| {
        let bounds = BOUNDS.iter().map(move |bound| format!("{of}<{bound}"));
        bounds.chain(std::iter::once(format!("{of}<inf")))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spread(times: &[u64]) -> DurationHistogram {
        let mut spread = DurationHistogram::default();
        for ms in times {
            spread.add(*ms);
        }
        spread
    }

    #[test]
    fn nothing_measured_has_no_percentile() {
        let none = DurationHistogram::default().percentiles();
        assert_eq!((none.count, none.p50, none.p99), (0, None, None));
        assert_eq!(spread(&[u64::MAX]).percentiles().p50, Some(600_000));
        assert_eq!(spread(&[0]).percentiles().p50, Some(20));
    }

    proptest! {
        #[test]
        fn a_percentile_is_within_the_factor_that_is_promised(
            mut times in prop::collection::vec(20_u64..600_000, 1..200),
            split in 0..200_usize,
        ) {
            let (a, b) = times.split_at(split.min(times.len()));
            let mut sum = spread(a);
            sum += spread(b);
            prop_assert_eq!(sum, spread(&times));
            times.sort_unstable();
            let told = sum.percentiles();
            prop_assert_eq!(told.count, times.len() as u64);
            for (permille, told) in [(500, told.p50), (900, told.p90), (990, told.p99)] {
                let rank = (times.len() * permille).div_ceil(1000).max(1);
                let (truth, told) = (times[rank - 1] as f64, told.unwrap() as f64);
                prop_assert!(told / truth < WIDEST + 0.01 && truth / told < WIDEST + 0.01, "{told} for {truth}");
            }
        }
    }

    #[test]
    fn no_gap_is_wider_than_is_promised() {
        assert!(
            BOUNDS
                .windows(2)
                .all(|pair| pair[1] as f64 / pair[0] as f64 <= WIDEST)
        );
    }
}
