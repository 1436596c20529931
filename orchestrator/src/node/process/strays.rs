//! Processes of an attempt that left its group (`setsid`, a daemon): found again by what they inherited, and ended.
//!
//! A process belongs to an attempt if its environment has the attempt's tag, or if it descends from one that does. The
//! tag outlives the parents; descent finds what cleaned its environment. Nothing else is ever touched: not this process,
//! not what it descends from, and not another attempt's processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::group::{AFTER_KILL, GRACE, LOOK, Stat, stat};

/// The variable that carries the tag.
pub(super) const TAG: &str = "CANARY_PROCESS";

/// Looks for more of them after each signal: who is being ended may still have started another.
const ROUNDS: u32 = 5;

/// One process, and the time it started: a number that was given to another process is not the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stray {
    pid: u32,
    start_ticks: u64,
}

impl Stray {
    fn lives(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && !stat.zombie)
    }

    fn signal(self, signal: Signal) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        if !self.lives() {
            return;
        }
        if let Err(error) = kill_process(pid, signal)
            && error != Errno::SRCH
        {
            tracing::warn!(pid = self.pid, ?signal, %error, "cannot signal a process of a node");
        }
    }
}

/// Ends what carries the tag or descends from what does, but for members of the group `except`: SIGTERM, [`GRACE`],
/// SIGKILL. Gives how many there were, and those that live on.
pub(super) async fn end(tag: &str, except: Option<u32>) -> (usize, Vec<u32>) {
    let mut seen = BTreeSet::new();
    for _ in 0..ROUNDS {
        let found = find(tag, except);
        if found.is_empty() {
            return (seen.len(), Vec::new());
        }
        seen.extend(found.iter().copied());
        for stray in &found {
            stray.signal(Signal::TERM);
            // A stopped process takes SIGTERM only when it goes on.
            stray.signal(Signal::CONT);
        }
        if gone_within(&found, GRACE).await {
            continue;
        }
        // By now there may be others: none of them is asked politely any more.
        let mut left = found;
        left.extend(find(tag, except));
        seen.extend(left.iter().copied());
        for stray in &left {
            stray.signal(Signal::KILL);
        }
        gone_within(&left, AFTER_KILL).await;
    }
    let left = find(tag, except);
    (
        seen.len(),
        left.into_iter().map(|stray| stray.pid).collect(),
    )
}

/// SIGKILL to all of them, without waiting for anything.
pub(super) fn kill(tag: &str) {
    for stray in find(tag, None) {
        stray.signal(Signal::KILL);
    }
}

async fn gone_within(strays: &BTreeSet<Stray>, limit: Duration) -> bool {
    let until = Instant::now() + limit;
    while strays.iter().any(|stray| stray.lives()) {
        if Instant::now() >= until {
            return false;
        }
        sleep(LOOK).await;
    }
    true
}

fn find(tag: &str, except: Option<u32>) -> BTreeSet<Stray> {
    let processes = processes();
    let tagged = |pid: u32| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| has(&environment, tag))
    };
    let ours = belonging(&processes, std::process::id(), tagged);
    ours.into_iter()
        .filter_map(|pid| Some((pid, processes.get(&pid)?)))
        .filter(|(_, stat)| !stat.zombie && Some(stat.group) != except)
        .map(|(pid, stat)| Stray {
            pid,
            start_ticks: stat.start_ticks,
        })
        .collect()
}

fn has(environment: &[u8], tag: &str) -> bool {
    environment.split(|byte| *byte == 0).any(|entry| {
        entry
            .strip_prefix(TAG.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
            == Some(tag.as_bytes())
    })
}

fn processes() -> BTreeMap<u32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect()
}

/// Those that are tagged and what descends from them; never `this` process and what it descends from, although a person
/// may run canary in a shell that a node once started.
fn belonging(
    processes: &BTreeMap<u32, Stat>,
    this: u32,
    tagged: impl Fn(u32) -> bool,
) -> BTreeSet<u32> {
    let line = |from: u32| {
        let parent = move |pid: &u32| processes.get(pid).map(|stat| stat.parent);
        // Parents of a moment: numbers that were given anew could make a ring.
        std::iter::successors(Some(from), parent).take(processes.len().saturating_add(1))
    };
    let spared: BTreeSet<u32> = line(this).chain([0, 1]).collect();
    let tagged: BTreeSet<u32> = processes
        .keys()
        .copied()
        .filter(|pid| !spared.contains(pid) && tagged(*pid))
        .collect();
    processes
        .keys()
        .copied()
        .filter(|pid| {
            !spared.contains(pid)
                && line(*pid)
                    .take_while(|ancestor| !spared.contains(ancestor))
                    .any(|ancestor| tagged.contains(&ancestor))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_a_whole_entry() {
        let environment = b"PATH=/bin\0CANARY_PROCESS=shop-1/build/1\0X=CANARY_PROCESS=other\0";
        assert!(has(environment, "shop-1/build/1"));
        assert!(!has(environment, "shop-1/build/11"));
        assert!(!has(environment, "shop-1/build"));
        assert!(!has(environment, "other"));
        assert!(!has(b"", ""));
    }

    #[test]
    fn descent_counts_and_who_asks_is_spared() {
        let process = |parent| Stat {
            zombie: false,
            group: 1,
            start_ticks: 1,
            parent,
        };
        // 1 init, 10 canary, 20 the node, 21 its child, 22 a child of that with a clean environment, 30 a daemon of the
        // node, 40 a shell that the node started, 41 canary again, run by a person in that shell, 50 somebody else.
        let parents = [
            (1, 0),
            (10, 1),
            (20, 10),
            (21, 20),
            (22, 21),
            (30, 1),
            (40, 1),
            (41, 40),
            (50, 1),
        ];
        let processes = parents
            .iter()
            .map(|(pid, parent)| (*pid, process(*parent)))
            .collect();
        let tagged = |pid| matches!(pid, 20 | 21 | 30 | 40 | 41);
        let found = |this| Vec::from_iter(belonging(&processes, this, tagged));
        assert_eq!(found(10), [20, 21, 22, 30, 40, 41]);
        assert_eq!(found(41), [20, 21, 22, 30]);
        // A ring ends, too.
        let ring = [(60, 61), (61, 60)].map(|(pid, parent)| (pid, process(parent)));
        assert!(belonging(&BTreeMap::from(ring), 10, |_| false).is_empty());
    }
}
