//! Something that is so again and again is said once, then after a minute, then after five; and when it changes.

use std::time::Duration;

use jiff::Timestamp;

use super::time;

/// When what stays so is said again; never after the last one.
const REMINDERS: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(5)];

/// What is to be said of it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Now {
    /// It is new, or another than before.
    New,
    /// It is still so, for this long.
    Still(Duration),
    /// It was said.
    Nothing,
}

/// One thing that is so, and since when.
#[derive(Debug, Clone)]
pub(crate) struct Repeated {
    shape: String,
    since: Timestamp,
    reminders: usize,
}

impl Repeated {
    /// Since when it is so.
    pub(crate) fn since(&self) -> Timestamp {
        self.since
    }
}

/// Notes that `text` is so at a time. Texts that differ only in their numbers are the same: `3 requests`, `4 requests`.
pub(crate) fn note(slot: &mut Option<Repeated>, text: &str, at: Timestamp) -> Now {
    let shape: String = text
        .chars()
        .filter(|letter| !letter.is_ascii_digit())
        .collect();
    match slot {
        Some(known) if known.shape == shape => {
            let lasted = time::between(known.since, at);
            let due = REMINDERS.iter().filter(|after| lasted >= **after).count();
            if due > known.reminders {
                known.reminders = due;
                Now::Still(lasted)
            } else {
                Now::Nothing
            }
        }
        _ => {
            *slot = Some(Repeated {
                shape,
                since: at,
                reminders: 0,
            });
            Now::New
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_then_after_a_minute_then_after_five() {
        let start = Timestamp::UNIX_EPOCH;
        let mut slot = None;
        let mut said = Vec::new();
        for second in 0..1_000 {
            let now = note(
                &mut slot,
                &format!("no answer within {second} s"),
                start + Duration::from_secs(second),
            );
            if now != Now::Nothing {
                said.push((second, now));
            }
        }
        let still = |seconds| Now::Still(Duration::from_secs(seconds));
        assert_eq!(said, [(0, Now::New), (60, still(60)), (300, still(300))]);
        let later = start + Duration::from_secs(1_000);
        assert_eq!(note(&mut slot, "another answer", later), Now::New);
    }
}
