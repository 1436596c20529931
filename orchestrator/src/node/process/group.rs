//! Process groups: how one is recognised again after a crash, and how all of it is ended.

use std::fs;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::time::{Instant, sleep};

use super::strays;
use crate::machine::ProcessMark;

/// How long a group has between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(5);

/// How long the kernel may take to end a group after SIGKILL, before it is reported as not ended.
pub(super) const AFTER_KILL: Duration = Duration::from_secs(5);

/// Pause between two looks at a group: there is no event for "the last of a group has gone".
pub(super) const LOOK: Duration = Duration::from_millis(10);

/// What the kernel says of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) zombie: bool,
    pub(super) parent: u32,
    pub(super) group: u32,
    pub(super) start_ticks: u64,
}

/// Marks a process that is alive or not yet reaped. `None` where the system has no `/proc`.
pub(super) fn mark(pid: u32, tag: Option<&str>) -> Option<ProcessMark> {
    Some(ProcessMark {
        tag: tag.map(str::to_owned),
        pid,
        start_ticks: stat(pid)?.start_ticks,
        boot: boot()?,
    })
}

/// What became of a group that a killed run left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing of it was left.
    Gone,
    /// Something was left, and it was ended.
    Killed,
    /// Something is left that could not be ended, or it is not known whether it is the same.
    Unknown,
}

/// Ends what is left of the group, if and only if it is the same one: after a reboot, or if the process id now
/// belongs to somebody else, nothing is touched. Where the leader has gone, the others are known by the run id in
/// their environment. What left the group is known by the tag of the attempt.
pub async fn end_process(mark: &ProcessMark, run: &str) -> Ended {
    if boot().is_some_and(|boot| boot != mark.boot) {
        return Ended::Gone;
    }
    let strays = async {
        match &mark.tag {
            Some(tag) => strays::end(tag, Some(mark.pid)).await,
            None => (0, Vec::new()),
        }
    };
    let (group, (strays, left)) = tokio::join!(end_group(mark, run), strays);
    match group {
        Ended::Unknown => Ended::Unknown,
        _ if !left.is_empty() => Ended::Unknown,
        Ended::Gone if strays > 0 => Ended::Killed,
        ended @ (Ended::Gone | Ended::Killed) => ended,
    }
}

async fn end_group(mark: &ProcessMark, run: &str) -> Ended {
    let Some(group) = Pid::from_raw(i32::try_from(mark.pid).unwrap_or_default()) else {
        return Ended::Unknown;
    };
    let Some(boot) = boot() else {
        return Ended::Unknown;
    };
    if boot != mark.boot {
        return Ended::Gone;
    }
    let living = members(mark.pid);
    if living.is_empty() {
        return Ended::Gone;
    }
    // As long as a group has members its number is not given to a new process: if a process of that id exists, it is
    // the leader of this very group, or the group is a new one.
    let same = match stat(mark.pid) {
        Some(leader) => leader.start_ticks == mark.start_ticks,
        None => living.iter().all(|pid| belongs(*pid, run)),
    };
    if !same {
        return Ended::Gone;
    }
    if end(group, Duration::ZERO).await {
        Ended::Killed
    } else {
        Ended::Unknown
    }
}

/// Ends a group: leaves it `first` to end by itself, then SIGTERM, [`GRACE`], SIGKILL. True when nothing of it lives.
/// The leader may be a zombie that its parent has yet to reap: that keeps the group's number from being reused.
pub(super) async fn end(group: Pid, first: Duration) -> bool {
    if gone_within(group, first).await {
        return true;
    }
    signal(group, Signal::TERM);
    // A stopped process takes SIGTERM only when it goes on.
    signal(group, Signal::CONT);
    if gone_within(group, GRACE).await {
        return true;
    }
    signal(group, Signal::KILL);
    gone_within(group, AFTER_KILL).await
}

/// Sends a signal to a whole group. That there is nobody left to take it is no error.
pub(super) fn signal(group: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(group, signal)
        && error != Errno::SRCH
    {
        tracing::warn!(group = group.as_raw_nonzero().get(), ?signal, %error, "cannot signal a process group");
    }
}

async fn gone_within(group: Pid, limit: Duration) -> bool {
    let until = Instant::now() + limit;
    loop {
        if !lives(group) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        sleep(LOOK).await;
    }
}

/// Whether a group has a member that is not a zombie.
fn lives(group: Pid) -> bool {
    if test_kill_process_group(group) == Err(Errno::SRCH) {
        return false;
    }
    // The common case first: only the leader is left, and it has ended.
    let id = group.as_raw_nonzero().get().unsigned_abs();
    match stat(std::process::id()) {
        Some(_) => !members(id).is_empty(),
        None => true,
    }
}

/// Members of a group that are not zombies.
fn members(group: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| stat(*pid).is_some_and(|stat| stat.group == group && !stat.zombie))
        .collect()
}

fn belongs(pid: u32, run: &str) -> bool {
    let wanted = format!("CANARY_RUN_ID={run}");
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted.as_bytes())
    })
}

fn boot() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

pub(super) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc_pid_stat(5): the second field is the name in parentheses, which may itself hold blanks and parentheses.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) b (c)) Z 1 42 42 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 987654 0 0 18446744073709551615";
        assert_eq!(
            parse_stat(text),
            Some(Stat {
                zombie: true,
                parent: 1,
                group: 42,
                start_ticks: 987_654
            })
        );
        assert_eq!(parse_stat("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_can_be_marked() {
        let mark = mark(std::process::id(), None).unwrap();
        assert!(mark.start_ticks > 0 && mark.boot.len() == 36);
    }
}
