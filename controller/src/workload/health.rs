//! Whether the canary's pods can serve, in their own words.

/// What is known of one pod of a canary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// The run that it is for.
    pub run: String,
    /// It serves.
    pub ready: bool,
    /// It is on its way out.
    pub going: bool,
    /// Why a container of it does not run, or why it is not scheduled: reason and message.
    pub trouble: Option<(String, String)>,
}

/// What is known of a Deployment's pods from its status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Wanted.
    pub wanted: u32,
    /// Of the present template.
    pub updated: u32,
    /// Available.
    pub available: u32,
    /// All.
    pub all: u32,
    /// The status speaks of the present spec.
    pub current: bool,
    /// Why pods cannot be made, in the words of the controller: a quota, an admission.
    pub refused: Option<String>,
}

impl Counts {
    /// All pods are of the present template and available.
    pub fn settled(&self) -> bool {
        self.current
            && self.updated == self.wanted
            && self.available == self.wanted
            && self.all == self.wanted
    }
}

/// What is wrong with a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// For people: which pod, what it says.
    pub why: String,
    /// Waiting does not help.
    pub fatal: bool,
}

/// Reasons of containers that do not pass by themselves.
const FATAL: [&str; 8] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "OOMKilled",
];

/// What is wrong with the canary's pods, the worst first; `None`: nothing is.
pub fn trouble(run: &str, pods: &[PodView], counts: &Counts) -> Option<Trouble> {
    if let Some(refused) = &counts.refused {
        return Some(Trouble {
            why: format!("pods of the canary cannot be made: {refused}"),
            fatal: true,
        });
    }
    let mut found: Option<Trouble> = None;
    for pod in pods.iter().filter(|pod| pod.run == run && !pod.going) {
        let Some((reason, message)) = &pod.trouble else {
            continue;
        };
        let fatal = FATAL.contains(&reason.as_str());
        if found.as_ref().is_none_or(|known| fatal && !known.fatal) {
            let words = if message.is_empty() {
                format!("pod {}: {reason}", pod.name)
            } else {
                format!("pod {}: {reason}: {message}", pod.name)
            };
            found = Some(Trouble { why: words, fatal });
        }
    }
    found
}

/// Pods of the run that serve.
pub fn ready(run: &str, pods: &[PodView]) -> usize {
    pods.iter()
        .filter(|pod| pod.run == run && pod.ready && !pod.going)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, reason: Option<&str>) -> PodView {
        PodView {
            name: name.to_owned(),
            run: "r".to_owned(),
            ready: reason.is_none(),
            going: false,
            trouble: reason.map(|reason| (reason.to_owned(), "back-off 10s".to_owned())),
        }
    }

    #[test]
    fn the_worst_is_said_in_its_own_words() {
        let pods = [
            pod("a", None),
            pod("b", Some("ContainerCreating")),
            pod("c", Some("CrashLoopBackOff")),
        ];
        let trouble = trouble("r", &pods, &Counts::default()).unwrap();
        assert!(trouble.fatal);
        assert_eq!(trouble.why, "pod c: CrashLoopBackOff: back-off 10s");
        assert_eq!(ready("r", &pods), 1);
    }

    #[test]
    fn pods_of_another_run_and_pods_that_go_say_nothing() {
        let mut going = pod("a", Some("CrashLoopBackOff"));
        going.going = true;
        let mut other = pod("b", Some("CrashLoopBackOff"));
        other.run = "earlier".to_owned();
        assert_eq!(trouble("r", &[going, other], &Counts::default()), None);
    }

    #[test]
    fn a_quota_is_fatal() {
        let counts = Counts {
            refused: Some("exceeded quota: pods".to_owned()),
            ..Counts::default()
        };
        let trouble = trouble("r", &[], &counts).unwrap();
        assert!(trouble.fatal && trouble.why.contains("exceeded quota"));
    }
}
