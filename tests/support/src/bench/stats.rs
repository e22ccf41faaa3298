//! Figures out of many samples.

use std::time::Duration;

/// Samples in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    pub(super) fn add(&mut self, sample: Duration) {
        self.0.push(sample.as_secs_f64() * 1e6);
    }

    pub(super) fn add_micros(&mut self, micros: f64) {
        self.0.push(micros);
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// The value that `percent` of the samples do not exceed; 0 without samples.
    pub(super) fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted
            .get(rank.clamp(1, sorted.len().max(1)) - 1)
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn median(&self) -> f64 {
        self.percentile(50.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples = Samples((1..=100).rev().map(f64::from).collect());
        assert_eq!(
            [
                samples.median(),
                samples.percentile(99.0),
                samples.percentile(100.0),
                samples.percentile(0.0)
            ]
            .map(|value| value as u32),
            [50, 99, 100, 1]
        );
        assert_eq!(Samples::default().median() as u32, 0);
    }
}
