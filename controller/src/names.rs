//! Names that we give, and marks that we put on objects.

/// Label of everything that belongs to a release: its name. Also on the canary's pods.
pub const LABEL_RELEASE: &str = "canary.internal/release";

/// Label of the canary's pods: the run that they are for.
pub const LABEL_RUN: &str = "canary.internal/run";

/// Label of a target: the admission policy pauses it in the request that changes its template.
pub const LABEL_MANAGED: &str = "canary.internal/managed";

/// Annotation of a canary: hash of the template that it was made from.
pub const ANNOTATION_TEMPLATE: &str = "canary.internal/template";

/// Finalizer of a Release: what is ours is put back before it goes.
pub const FINALIZER: &str = "canary.internal/put-back";

/// Longest name of a run: it is the value of a label.
const LONGEST: usize = 63;

/// Name of a run: the release, and the first letters of the template's hash with the number of the try.
pub fn run(release: &str, template: &str, epoch: i64) -> String {
    let short: String = template.chars().take(6).collect();
    let end = format!("-{short}-{epoch}");
    let room = LONGEST.saturating_sub(end.len());
    let start: String = release.chars().take(room).collect();
    format!("{}{end}", start.trim_end_matches(['-', '.']))
}

/// Name of the canary of a workload, and of its Service.
pub fn canary(stable: &str) -> String {
    format!("{stable}-canary")
}

/// The value that tells the canary's pods from stable's.
pub fn canary_value(stable: &str) -> String {
    let room = LONGEST - "-canary".len();
    let start: String = stable.chars().take(room).collect();
    format!("{start}-canary")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_labels() {
        let name = run(&"a".repeat(52), "0123456789abcdef", 1_000_000);
        assert!(
            name.len() <= 63 && name.ends_with("-012345-1000000"),
            "{name}"
        );
        assert_eq!(run("checkout", "0123456789", 3), "checkout-012345-3");
        assert_eq!(canary_value(&"b".repeat(63)).len(), 63);
        assert_eq!(canary("checkout"), "checkout-canary");
    }
}
