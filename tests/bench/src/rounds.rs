//! Rounds that take turns, so that what disturbs the machine disturbs both sides alike.

use std::time::{Duration, Instant};

use crate::machine;

/// What several rounds measured. Nothing is dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        self.share(0.5)
    }

    /// The value that this share of all does not exceed.
    pub(crate) fn share(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            // Of an even number of rounds, the mean of the two in the middle.
            len if share == 0.5 && len % 2 == 0 => (sorted[len / 2 - 1] + sorted[len / 2]) / 2.0,
            len => sorted[((share * len as f64) as usize).min(len - 1)],
        }
    }

    pub(crate) fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn most(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The median of the ratios of one round to the round beside it.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        self.0.iter().zip(&other.0).map(|(ours, theirs)| ours / theirs).collect::<Self>().median()
    }

    /// The differences of the rounds to those beside them.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.0.iter().zip(&other.0).map(|(ours, theirs)| ours - theirs).collect()
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// What a piece of work took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// How often it was done.
    pub(crate) times: u64,
    /// On the clock.
    pub(crate) wall: Duration,
    /// Processor time of the whole process.
    pub(crate) cpu: Duration,
}

impl Spent {
    /// Does a piece of work and measures it; the work answers how often it did its part.
    pub(crate) async fn on<E>(work: impl AsyncFnOnce() -> Result<u64, E>) -> Result<Self, E> {
        let (began, cpu) = (Instant::now(), machine::cpu_time());
        let times = work().await?;
        Ok(Self { times, wall: began.elapsed(), cpu: machine::cpu_time().saturating_sub(cpu) })
    }

    /// Microseconds of processor time each.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.times.max(1) as f64
    }

    /// How many a second.
    pub(crate) fn rate(&self) -> f64 {
        self.times as f64 / self.wall.as_secs_f64()
    }
}

/// Microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_and_a_ratio_that_of_neighbours() {
        let ours = Samples::from_iter([30.0, 10.0, 40.0]);
        let theirs = Samples::from_iter([10.0, 10.0, 10.0]);
        assert_eq!(ours.median(), 30.0);
        assert_eq!(Samples::from_iter([4.0, 1.0]).median(), 2.5);
        assert_eq!(ours.ratio_to(&theirs), 3.0);
        assert_eq!((ours.least(), ours.most()), (10.0, 40.0));
    }

    #[test]
    fn the_99th_percentile_of_a_hundred_is_the_largest() {
        assert_eq!((1..=100).map(f64::from).collect::<Samples>().share(0.99), 100.0);
    }
}
