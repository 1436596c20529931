//! The stories that the demo can tell: how the new version differs from the old one.

use std::time::Duration;

use canary_orchestrator::machine::Outcome;
use clap::ValueEnum;

/// What is wrong with the new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Story {
    /// Nothing: it is promoted
    Good,
    /// It answers 5 % of its requests with an error
    #[default]
    Errors,
    /// Its slowest requests take a second
    Slow,
    /// It turns bad only after a while, at 50 %
    Late,
    /// It crashes soon after it got traffic
    Crash,
    /// Nobody sends a request, so there is nothing to judge
    NoTraffic,
}

/// How a version behaves at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Behaviour {
    /// Share of requests that are answered with an error, 0-1.
    pub(crate) error_rate: f64,
    /// Median time of an answer.
    pub(crate) median: Duration,
    /// Share of requests that take `tail`.
    pub(crate) tail_share: f64,
    /// How long the slow ones take.
    pub(crate) tail: Duration,
    /// The process is gone: connections are refused.
    pub(crate) gone: bool,
}

/// How the old version behaves, always.
pub(crate) const STABLE: Behaviour = Behaviour {
    error_rate: 0.001,
    median: Duration::from_millis(12),
    tail_share: 0.02,
    tail: Duration::from_millis(60),
    gone: false,
};

impl Story {
    /// How the new version behaves after it has had traffic for `age`. `pace` is how many times faster than real the
    /// release goes.
    pub(crate) fn canary(self, age: Duration, pace: f64) -> Behaviour {
        let after = |seconds: f64| age.as_secs_f64() * pace >= seconds;
        match self {
            Self::Good | Self::NoTraffic => STABLE,
            Self::Errors => Behaviour {
                error_rate: 0.05,
                ..STABLE
            },
            Self::Slow => Behaviour {
                tail_share: 0.08,
                tail: Duration::from_millis(1000),
                ..STABLE
            },
            Self::Late if after(18.0) => Behaviour {
                error_rate: 0.08,
                ..STABLE
            },
            Self::Crash if after(4.0) => Behaviour {
                gone: true,
                ..STABLE
            },
            Self::Late | Self::Crash => STABLE,
        }
    }

    /// Requests per second that the load generator sends.
    pub(crate) fn requests_per_second(self) -> u32 {
        if self == Self::NoTraffic { 0 } else { 200 }
    }

    /// Whether the release ended as this story should.
    pub(crate) fn should_end(self, outcome: Outcome) -> bool {
        match self {
            Self::Good => outcome == Outcome::Promoted,
            Self::Errors | Self::Slow | Self::Late | Self::Crash => {
                outcome == Outcome::RolledBack { deadline: false }
            }
            Self::NoTraffic => outcome == Outcome::RolledBack { deadline: true },
        }
    }

    /// What to try after it.
    pub(crate) fn next(self) -> &'static str {
        match self {
            Self::Good => "canary init, for a release of your own",
            Self::Errors => {
                "canary demo --story good (a good version is promoted), or --story late (caught at 50 %)"
            }
            Self::Slow | Self::Late | Self::Crash | Self::NoTraffic => {
                "canary report (this release), or canary demo --story good"
            }
        }
    }

    /// One line for the start of the demo.
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Good => "the new version is fine",
            Self::Errors => "the new version answers 5 % of its requests with an error",
            Self::Slow => "the slowest 8 % of the new version's answers take a second",
            Self::Late => "the new version turns bad after a while",
            Self::Crash => "the new version crashes soon after it got traffic",
            Self::NoTraffic => "nobody sends a request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stories_that_turn_bad_depend_on_time() {
        let (early, late) = (Duration::from_secs(1), Duration::from_secs(30));
        assert_eq!(Story::Late.canary(early, 1.0), STABLE);
        assert!(Story::Late.canary(late, 1.0).error_rate > 0.05);
        assert!(
            Story::Late.canary(early, 30.0).error_rate > 0.05,
            "a faster release turns bad sooner"
        );
        assert!(!Story::Crash.canary(early, 1.0).gone && Story::Crash.canary(late, 1.0).gone);
        assert_eq!(Story::Good.canary(late, 1.0), STABLE);
    }
}
