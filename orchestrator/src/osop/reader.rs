//! Reads a mapping key by key and reports everything that does not fit. What was asked for is what is known: the rest is unknown keys.

use std::time::Duration;

use super::cast::{as_text, as_texts, as_word, wrong_type};
use super::model::Text;
use super::tree::{Data, Entry, Map, Value};
use super::word::Word;
use crate::diagnostic::{Diagnostics, Span, Spanned, codes, did_you_mean, misspelt, quote};

/// Longest duration that is accepted: a hundred years. Keeps sums of durations and times in range.
pub(crate) const MAX_SECONDS: f64 = 3_155_760_000.0;

/// What YAML 1.1 took these words for; in YAML 1.2 they are texts.
pub(crate) fn yes_or_no(word: &str) -> Option<bool> {
    match word {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" => Some(true),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" => Some(false),
        _ => None,
    }
}

/// One mapping of a file.
pub(crate) struct Reader<'a> {
    /// What the mapping belongs to, for messages: ``node `build` ``. Empty: the whole file, which goes without saying.
    owner: String,
    /// Keys from the owner to the mapping, with dots.
    prefix: String,
    pub map: &'a Map,
    pub span: Span,
    asked: Vec<&'static str>,
    /// Keys that were reported already: neither known nor unknown.
    refused: Vec<&'a str>,
    /// Entries whose keys are misspelt, by the key that was meant: reported, and read as if they were right.
    meant: Vec<(&'static str, &'a Entry)>,
    /// For an unknown key, where it is known.
    pub elsewhere: fn(&str) -> Option<String>,
    /// Unknown keys of this mapping may be misspelt names of secrets.
    pub holds_secrets: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(owner: impl Into<String>, map: &'a Map, span: Span) -> Self {
        Self {
            owner: owner.into(),
            prefix: String::new(),
            map,
            span,
            asked: Vec::new(),
            refused: Vec::new(),
            meant: Vec::new(),
            elsewhere: |_| None,
            holds_secrets: false,
        }
    }

    /// A reader of `value`, if it is a mapping.
    pub(crate) fn of(
        owner: impl Into<String>,
        value: &'a Value,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let owner = owner.into();
        if let Data::Map(map) = &value.data {
            return Some(Self::new(owner, map, value.span));
        }
        let owner = if owner.is_empty() {
            "the file".to_owned()
        } else {
            owner
        };
        wrong_type(&owner, "a mapping", value, diagnostics);
        None
    }

    /// The same mapping under a key of its owner.
    pub(crate) fn under(mut self, key: &str) -> Self {
        key.clone_into(&mut self.prefix);
        self
    }

    /// Once more is known about what the mapping is.
    pub(crate) fn rename(&mut self, owner: impl Into<String>) {
        self.owner = owner.into();
    }

    /// What the mapping is, for messages.
    pub(crate) fn what(&self) -> String {
        match (self.owner.as_str(), self.prefix.as_str()) {
            ("", "") => "the file".to_owned(),
            (owner, "") => owner.to_owned(),
            ("", prefix) => quote(prefix),
            (owner, prefix) => format!("{} of {owner}", quote(prefix)),
        }
    }

    /// The entry of a key. A key without a value counts as absent.
    pub(crate) fn entry(&mut self, key: &'static str) -> Option<&'a Entry> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.found(key).filter(|entry| !entry.value.is_null())
    }

    /// The entry of a key as it is written, even if it says nothing; it does not count as asked for.
    pub(crate) fn found(&self, key: &str) -> Option<&'a Entry> {
        self.map.entry(key).or_else(|| {
            let found = self.meant.iter().find(|(known, _)| *known == key);
            found.map(|(_, entry)| *entry)
        })
    }

    /// Reports keys that are most likely misspelt ones of `known`, and reads them as what was meant: the file is refused, and
    /// what depends on the key is not reported a second time.
    pub(crate) fn correct(&mut self, known: &[&'static str], diagnostics: &mut Diagnostics) {
        // A mapping of thousands of keys is no slip, and would take seconds.
        if self.map.len() > 2 * known.len() + 20 {
            return;
        }
        for entry in &self.map.entries {
            let word = entry.key.value.as_str();
            if known.contains(&word) || diagnostics.len() >= 100 {
                continue;
            }
            // An extension of somebody else is no slip of a plain key.
            let extension = word.starts_with("x-");
            let candidates = known
                .iter()
                .copied()
                .filter(|key| !extension || key.starts_with("x-"));
            let Some(near) = misspelt(word, candidates) else {
                continue;
            };
            let Some(near) = known.iter().find(|key| **key == near) else {
                continue;
            };
            // Where the right key is there as well, the other one is more than a slip.
            if self.map.get(near).is_none() {
                self.means(near, entry, diagnostics);
            }
        }
    }

    fn means(&mut self, key: &'static str, entry: &'a Entry, diagnostics: &mut Diagnostics) {
        if self.meant.iter().any(|(known, _)| *known == key) {
            return;
        }
        if self.holds_secrets {
            diagnostics.redact(entry.value.span);
        }
        let written = entry.key.value.as_str();
        diagnostics
            .error(
                codes::UNKNOWN_KEY,
                entry.key.span,
                format!("{} has no key {}", self.what(), quote(written)),
            )
            .help(format!("did you mean {}?", quote(key)));
        self.refused.push(written);
        self.meant.push((key, entry));
    }

    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key that must not be there; the caller reports it.
    pub(crate) fn refuse(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.refused.push(key);
        self.map.entry(key)
    }

    /// What the keys asked for so far are.
    pub(crate) fn asked(&self) -> &[&'static str] {
        &self.asked
    }

    /// Reports a key that must be there. One that is most likely a misspelling of it is reported instead, and read.
    pub(crate) fn missing(&mut self, key: &'static str, diagnostics: &mut Diagnostics) {
        let unasked = self.map.keys().filter(|word| !self.asked.contains(word));
        if let Some(word) = misspelt(key, unasked)
            && let Some(entry) = self.map.entry(word)
        {
            self.means(key, entry, diagnostics);
            return;
        }
        diagnostics.error(
            codes::MISSING_KEY,
            self.head(),
            format!("{} has no {}", self.what(), quote(key)),
        );
    }

    /// The place that stands for the mapping: its first key, not its whole text.
    pub(crate) fn head(&self) -> Span {
        self.map
            .entries
            .first()
            .map_or(self.span, |entry| entry.key.span)
    }

    pub(crate) fn text(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Text> {
        let value = self.value(key)?;
        as_text(&self.path(key), value, diagnostics)
    }

    /// A text that says something.
    pub(crate) fn filled(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Text> {
        let text = self.text(key, diagnostics)?;
        if text.value.trim().is_empty() {
            diagnostics.error(
                codes::EMPTY_TEXT,
                text.span,
                format!("{} is empty", self.path(key)),
            );
            return None;
        }
        Some(text)
    }

    /// A text that must be there and say something.
    pub(crate) fn required(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Text> {
        if self.value(key).is_none() {
            self.missing(key, diagnostics);
        }
        self.filled(key, diagnostics)
    }

    pub(crate) fn texts(&mut self, key: &'static str, diagnostics: &mut Diagnostics) -> Vec<Text> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        as_texts(&self.path(key), value, diagnostics)
    }

    pub(crate) fn bool(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<bool>> {
        let value = self.value(key)?;
        if let Some(on) = value.as_bool() {
            return Some(Spanned::new(on, value.span));
        }
        let diagnostic = wrong_type(&self.path(key), "true or false", value, diagnostics);
        if let Some(word) = value.as_text().and_then(yes_or_no) {
            diagnostic.help(format!("write `{word}`"));
        }
        None
    }

    /// A whole number from `least` to `most`. `3.0` is whole.
    pub(crate) fn whole(
        &mut self,
        key: &'static str,
        least: i64,
        most: i64,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<i64>> {
        let value = self.value(key)?;
        let Data::Number(number) = &value.data else {
            wrong_type(&self.path(key), "a whole number", value, diagnostics);
            return None;
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the value is whole and within 2^53"
        )]
        let integer = number.integer.or_else(|| {
            (number.value.fract() == 0.0 && number.value.abs() < 9e15)
                .then_some(number.value as i64)
        });
        match integer {
            Some(integer) if (least..=most).contains(&integer) => {
                Some(Spanned::new(integer, value.span))
            }
            _ => {
                let what = self.path(key);
                let message = if integer.is_none() {
                    format!(
                        "{what} must be a whole number, found {}",
                        quote(&number.raw)
                    )
                } else {
                    format!(
                        "{what} must be between {least} and {most}, found {}",
                        number.raw
                    )
                };
                diagnostics.error(codes::OUT_OF_RANGE, value.span, message);
                None
            }
        }
    }

    /// As [`Self::whole`], for counts.
    pub(crate) fn count(
        &mut self,
        key: &'static str,
        least: u32,
        most: u32,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<u32>> {
        let found = self.whole(key, i64::from(least), i64::from(most), diagnostics)?;
        Some(found.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
    }

    /// A duration as a number of this many seconds per unit.
    pub(crate) fn duration(
        &mut self,
        key: &'static str,
        seconds_per_unit: f64,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<Duration>> {
        let value = self.value(key)?;
        let Some(number) = value.as_f64() else {
            wrong_type(&self.path(key), "a number", value, diagnostics);
            return None;
        };
        let seconds = number * seconds_per_unit;
        if (0.0..=MAX_SECONDS).contains(&seconds) {
            return Some(Spanned::new(Duration::from_secs_f64(seconds), value.span));
        }
        let message = format!(
            "{} must not be negative, and not longer than a hundred years",
            self.path(key)
        );
        diagnostics.error(codes::OUT_OF_RANGE, value.span, message);
        None
    }

    pub(crate) fn word<W: Word>(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<W>> {
        let value = self.value(key)?;
        as_word(&self.path(key), value, diagnostics)
    }

    pub(crate) fn words<W: Word>(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Spanned<W>> {
        let Some(items) = self.list(key, diagnostics) else {
            return Vec::new();
        };
        let what = format!("an entry of {}", self.path(key));
        items
            .iter()
            .filter_map(|item| as_word(&what, item, diagnostics))
            .collect()
    }

    pub(crate) fn list(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<&'a [Value]> {
        let value = self.value(key)?;
        if let Some(items) = value.as_list() {
            return Some(items);
        }
        wrong_type(&self.path(key), "a list", value, diagnostics);
        None
    }

    pub(crate) fn map(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Spanned<&'a Map>> {
        let value = self.value(key)?;
        if let Some(map) = value.as_map() {
            return Some(Spanned::new(map, value.span));
        }
        wrong_type(&self.path(key), "a mapping", value, diagnostics);
        None
    }

    /// A reader of the mapping under a key.
    pub(crate) fn section(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Reader<'a>> {
        let map = self.map(key, diagnostics)?;
        let mut reader = Reader::new(self.owner.clone(), map.value, map.span);
        reader.prefix = self.dotted(key);
        Some(reader)
    }

    /// A mapping of texts.
    pub(crate) fn text_map(
        &mut self,
        key: &'static str,
        diagnostics: &mut Diagnostics,
    ) -> Vec<(Text, Text)> {
        let Some(map) = self.map(key, diagnostics) else {
            return Vec::new();
        };
        let what = self.path(key);
        map.value
            .iter()
            .filter_map(|(name, value)| {
                let what = format!("{} of {what}", quote(&name.value));
                Some((name.clone(), as_text(&what, value, diagnostics)?))
            })
            .collect()
    }

    /// How a key is called in messages.
    pub(crate) fn path(&self, key: &str) -> String {
        let path = self.dotted(key);
        if self.owner.is_empty() {
            quote(&path)
        } else {
            format!("{} of {}", quote(&path), self.owner)
        }
    }

    fn dotted(&self, key: &str) -> String {
        if self.prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.prefix)
        }
    }

    /// Everything that was not asked for.
    pub(crate) fn rest(&self) -> Map {
        Map {
            entries: self.unasked().cloned().collect(),
        }
    }

    fn unasked(&self) -> impl Iterator<Item = &'a Entry> {
        self.map.entries.iter().filter(|entry| {
            let key = entry.key.value.as_str();
            !self.asked.contains(&key) && !self.refused.contains(&key)
        })
    }

    /// Reports what was not asked for, but for `x-*`, which is returned.
    pub(crate) fn close(self, diagnostics: &mut Diagnostics) -> Map {
        let mut extensions = Map::default();
        for entry in self.unasked() {
            if entry.key.value.starts_with("x-") {
                extensions.entries.push(entry.clone());
            } else {
                self.unknown(&entry.key, diagnostics);
            }
        }
        extensions
    }

    /// Reports what was not asked for.
    pub(crate) fn close_all(self, diagnostics: &mut Diagnostics) {
        for entry in self.unasked() {
            self.unknown(&entry.key, diagnostics);
        }
    }

    fn unknown(&self, key: &Text, diagnostics: &mut Diagnostics) {
        if self.holds_secrets
            && let Some(value) = self.map.get(&key.value)
        {
            diagnostics.redact(value.span);
        }
        let known = self.what();
        // Hints cost time, and nobody reads the hundredth.
        let crowded = diagnostics.len() >= 100;
        let diagnostic = diagnostics.error(
            codes::UNKNOWN_KEY,
            key.span,
            format!("{known} has no key {}", quote(&key.value)),
        );
        if crowded {
            return;
        }
        let near = did_you_mean(&key.value, self.asked.iter().copied());
        match (self.elsewhere)(&key.value).or(near) {
            Some(help) => diagnostic.help(help),
            None => diagnostic.help(format!("known keys: {}", self.asked.join(", "))),
        };
    }
}
