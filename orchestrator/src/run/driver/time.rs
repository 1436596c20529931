//! The time of a run: it goes on with the clock, and never back.

use std::time::Duration;

use jiff::Timestamp;

use crate::run::clock::after;

/// Makes times that only go forward of a clock's, whatever that does: where it goes back, the time stands for as long as
/// it takes to read it once, and goes on from there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forward {
    /// What the clock said last.
    reading: Timestamp,
    now: Timestamp,
}

impl Forward {
    /// Starts with what the clock says, or with the time of the last record where that is later.
    pub(super) fn start(reading: Timestamp, not_before: Option<Timestamp>) -> Self {
        Self {
            reading,
            now: not_before.map_or(reading, |bound| bound.max(reading)),
        }
    }

    /// The time now.
    pub(super) fn at(&mut self, reading: Timestamp) -> Timestamp {
        let passed = Duration::try_from(reading.duration_since(self.reading)).unwrap_or_default();
        self.reading = reading;
        self.now = after(self.now, passed);
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_makes_a_time_that_goes_on() {
        let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        let mut time = Forward::start(at(0), None);
        let seen: Vec<_> = [1, 2, -7200, -7199, -7190, 3600, 3601, 0, 5]
            .into_iter()
            .map(|reading| time.at(at(reading)).duration_since(at(0)).as_secs())
            .collect();
        assert_eq!(seen, [1, 2, 2, 3, 12, 10_802, 10_803, 10_803, 10_808]);
        let mut later = Forward::start(at(0), Some(at(100)));
        assert_eq!((later.at(at(0)), later.at(at(1))), (at(100), at(101)));
    }
}
