//! A fact is said once on a screen: what was said already is left out of what follows.

/// What was said so far.
#[derive(Debug, Default)]
pub(crate) struct Said(Vec<String>);

impl Said {
    /// Remembers a text that was shown.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    /// The text was said already, by itself or as a part of another. Nothing is always said.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let text = text.trim();
        text.is_empty() || self.0.iter().any(|said| contains(said, text))
    }

    /// The same, but for its numbers: `the canary had 4 requests` a moment ago, and 5 now.
    pub(crate) fn holds_but_for_numbers(&self, text: &str) -> bool {
        let plain = |text: &str| -> String {
            text.chars()
                .filter(|letter| !letter.is_ascii_digit())
                .collect()
        };
        let text = plain(text.trim());
        self.0.iter().any(|said| contains(&plain(said), &text))
    }

    /// The clauses of a text that were not said yet.
    pub(crate) fn rest(&self, text: &str) -> String {
        if self.holds(text) {
            return String::new();
        }
        // A guard says the same of a gate as a check of it.
        let known = |clause: &str| {
            self.holds(clause)
                || clause
                    .strip_prefix("guard ")
                    .is_some_and(|clause| self.holds(clause))
        };
        let rest: Vec<_> = text.split("; ").filter(|clause| !known(clause)).collect();
        rest.join("; ")
    }
}

/// Contains it as whole words: `weight 1` is not said by `weight 10`.
fn contains(said: &str, text: &str) -> bool {
    said.match_indices(text).any(|(at, found)| {
        let before = said[..at].chars().next_back();
        let after = said[at + found.len()..].chars().next();
        let inside = |edge: Option<char>, next: Option<char>| {
            edge.is_some_and(char::is_alphanumeric) && next.is_some_and(char::is_alphanumeric)
        };
        !inside(before, found.chars().next()) && !inside(found.chars().next_back(), after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_left() {
        let mut said = Said::default();
        said.note("blocked: the router does not follow since 1 min: nobody listens");
        assert!(said.holds("nobody listens"));
        assert!(!said.holds("body listens"));
        assert!(!said.holds("somebody listens"));
        assert_eq!(
            said.rest("the router does not follow since 1 min: nobody listens; it is asked again"),
            "it is asked again"
        );
        assert_eq!(said.rest("nobody listens"), "");
        assert_eq!(said.rest(""), "");
        said.note("errors: no data (at 10 %)");
        assert_eq!(
            said.rest("guard errors: no data (at 10 %); it is measured"),
            "it is measured"
        );
    }

    #[test]
    fn a_shorter_number_is_another_number() {
        let mut said = Said::default();
        said.note("error-rate is 12 %");
        assert!(!said.holds("error-rate is 1"));
        assert!(said.holds("error-rate is 12 %"));
        assert!(said.holds_but_for_numbers("error-rate is 13 %"));
        assert!(!said.holds_but_for_numbers("p99 is 13 %"));
    }
}
