//! One section of the settings: a reader that takes ranges from the reference, and knows secrets and addresses.

use std::time::Duration;

use super::reference::{self, Kind};
use super::source::SecretRef;
use crate::diagnostic::{Diagnostics, Span, Spanned, codes, quote};
use crate::osop::cast::{as_text, as_texts, looks_secret, wrong_type};
use crate::osop::model::Text;
use crate::osop::reader::Reader;
use crate::osop::tree::{Entry, Map};
use crate::osop::word::Word;
use crate::osop::workflow::is_env_name;

/// In place of an address that must not be shown.
const NO_URL: &str = "http://refused.invalid";

pub(super) struct Section<'a> {
    pub(super) reader: Reader<'a>,
    /// Its name in the reference.
    path: &'static str,
}

impl<'a> Section<'a> {
    pub(super) fn new(
        path: &'static str,
        what: impl Into<String>,
        map: &'a Map,
        span: Span,
    ) -> Self {
        Self::of(Reader::new(what, map, span), path)
    }

    fn of(mut reader: Reader<'a>, path: &'static str) -> Self {
        reader.holds_secrets = path.starts_with("notify.") || path == "sources.prometheus";
        Self { reader, path }
    }

    /// The section under a key.
    pub(super) fn section(
        &mut self,
        key: &'static str,
        path: &'static str,
        d: &mut Diagnostics,
    ) -> Option<Section<'a>> {
        let mut section = Self::of(self.reader.section(key, d)?, path);
        section.correct(d);
        Some(section)
    }

    /// Reads misspelt keys as what was meant, once they are reported.
    pub(super) fn correct(&mut self, d: &mut Diagnostics) {
        let of_this = reference::KEYS
            .iter()
            .filter(|doc| doc.section == self.path);
        let known: Vec<&'static str> = of_this.map(|doc| doc.key).collect();
        self.reader.correct(&known, d);
    }

    pub(super) fn span(&self) -> Span {
        self.reader.span
    }

    pub(super) fn text(&mut self, key: &'static str, d: &mut Diagnostics) -> Option<Text> {
        self.reader.filled(key, d)
    }

    pub(super) fn required(&mut self, key: &'static str, d: &mut Diagnostics) -> Option<Text> {
        self.reader.required(key, d)
    }

    pub(super) fn word<W: Word>(
        &mut self,
        key: &'static str,
        d: &mut Diagnostics,
    ) -> Option<Spanned<W>> {
        self.reader.word(key, d)
    }

    pub(super) fn count(&mut self, key: &'static str, d: &mut Diagnostics) -> Option<Spanned<i64>> {
        let (least, most) = match reference::find(self.path, key).map(|doc| doc.kind) {
            Some(Kind::Count(least, most)) => (least, most),
            _ => (0, i64::MAX),
        };
        self.reader.whole(key, least, most, d)
    }

    pub(super) fn count_u32(
        &mut self,
        key: &'static str,
        d: &mut Diagnostics,
    ) -> Option<Spanned<u32>> {
        Some(
            self.count(key, d)?
                .map(|number| u32::try_from(number).unwrap_or(u32::MAX)),
        )
    }

    /// A duration with unit, in the range of the reference.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        d: &mut Diagnostics,
    ) -> Option<Spanned<Duration>> {
        let value = self.reader.value(key)?;
        let what = self.reader.path(key);
        let Some(text) = value.as_scalar_text() else {
            wrong_type(&what, "a duration like `30s` or `5m`", value, d);
            return None;
        };
        let duration = match canary_analyzer::duration::parse(text) {
            Ok(duration) => duration,
            Err(error) => {
                d.error(
                    codes::INVALID_DURATION,
                    value.span,
                    format!("{what}: {error}"),
                );
                return None;
            }
        };
        if let Some(Kind::Duration(least, most)) =
            reference::find(self.path, key).map(|doc| doc.kind)
        {
            let bound = |text: &str| canary_analyzer::duration::parse(text).ok();
            if bound(least).is_some_and(|least| duration < least)
                || bound(most).is_some_and(|most| duration > most)
            {
                let message = format!(
                    "{what} must be between {least} and {most}, found {}",
                    quote(text)
                );
                d.error(codes::OUT_OF_RANGE, value.span, message);
                return None;
            }
        }
        Some(Spanned::new(duration, value.span))
    }

    pub(super) fn texts(&mut self, key: &'static str, d: &mut Diagnostics) -> Option<Vec<Text>> {
        let value = self.reader.value(key)?;
        Some(as_texts(&self.reader.path(key), value, d))
    }

    /// An address without credentials in it.
    pub(super) fn url(&mut self, key: &'static str, d: &mut Diagnostics) -> Option<Text> {
        let entry = self.reader.entry(key);
        if let Some(entry) = entry
            && has_userinfo(entry.value.as_text().unwrap_or_default())
        {
            report_inline(entry, &format!("{} holds a user or password", self.reader.path(key)), d)
                .help("name the credentials by their own keys, which point to an environment variable or a file");
            // Something to go on with that holds no secret.
            return Some(Spanned::new(NO_URL.to_owned(), entry.value.span));
        }
        let url = self.reader.filled(key, d)?;
        check_url(&self.reader.path(key), &url, d);
        Some(url)
    }

    /// A secret under `<name>_env` or `<name>_file`. A secret in the file itself is refused, and not shown.
    pub(super) fn secret(
        &mut self,
        inline: Option<&'static str>,
        env: &'static str,
        file: &'static str,
        d: &mut Diagnostics,
    ) -> Option<SecretRef> {
        if let Some(inline) = inline
            && let Some(entry) = self.reader.refuse(inline)
        {
            let message = format!(
                "{} is a secret and must not be written into a file",
                self.reader.path(inline)
            );
            report_inline(entry, &message, d).help(format!(
                "write `{env}: NAME` for an environment variable, or `{file}: PATH` for a file"
            ));
        }
        let from_env = self.env_name(env, d);
        let from_file = self.text(file, d);
        if let (Some(from_env), Some(from_file)) = (&from_env, &from_file) {
            conflict(
                &self.reader,
                (env, from_env.span),
                (file, from_file.span),
                d,
            );
        }
        from_env
            .map(SecretRef::Env)
            .or(from_file.map(SecretRef::File))
    }

    fn env_name(&mut self, key: &'static str, d: &mut Diagnostics) -> Option<Text> {
        let entry = self.reader.entry(key)?;
        let what = self.reader.path(key);
        checked_env_name(&what, entry, d)
    }

    /// Header names and values; a header that most likely is a secret is refused.
    pub(super) fn headers(&mut self, d: &mut Diagnostics) -> Vec<(Text, Text)> {
        let Some(map) = self.reader.map("headers", d) else {
            return Vec::new();
        };
        let mut headers = Vec::new();
        for entry in &map.value.entries {
            let what = format!("{} of `headers`", quote(&entry.key.value));
            if !check_header(&entry.key, d) {
                continue;
            }
            if secret_header(&entry.key.value) {
                let name = quote(&entry.key.value);
                report_inline(
                    entry,
                    &format!("the header {name} is a secret and must not be written into a file"),
                    d,
                )
                .help(format!(
                    "write it under `headers_env`, as `{}: NAME` of an environment variable",
                    entry.key.value
                ));
            } else {
                headers.extend(
                    as_text(&what, &entry.value, d).map(|value| (entry.key.clone(), value)),
                );
            }
        }
        headers
    }

    pub(super) fn headers_env(&mut self, d: &mut Diagnostics) -> Vec<(Text, Text)> {
        let Some(map) = self.reader.map("headers_env", d) else {
            return Vec::new();
        };
        let mut headers = Vec::new();
        for entry in &map.value.entries {
            let what = format!("{} of `headers_env`", quote(&entry.key.value));
            let fits = check_header(&entry.key, d);
            if let Some(variable) = checked_env_name(&what, entry, d)
                && fits
            {
                headers.push((entry.key.clone(), variable));
            }
        }
        headers
    }

    pub(super) fn missing(&mut self, key: &'static str, d: &mut Diagnostics) {
        self.reader.missing(key, d);
    }

    pub(super) fn close(self, d: &mut Diagnostics) {
        self.reader.close(d);
    }
}

/// Two keys of one mapping exclude each other.
pub(super) fn conflict(
    reader: &Reader<'_>,
    one: (&str, Span),
    other: (&str, Span),
    d: &mut Diagnostics,
) {
    d.error(
        codes::CONFLICTING_KEYS,
        other.1,
        format!(
            "{} has {} and {}, which exclude each other",
            reader.what(),
            quote(one.0),
            quote(other.0)
        ),
    )
    .related(one.1, "the other one");
}

fn report_inline<'d>(
    entry: &Entry,
    message: &str,
    d: &'d mut Diagnostics,
) -> &'d mut crate::diagnostic::Diagnostic {
    d.redact(entry.value.span);
    d.error(codes::INLINE_SECRET, entry.key.span, message)
}

/// The value is not shown: somebody may have put the secret where its name belongs.
fn checked_env_name(what: &str, entry: &Entry, d: &mut Diagnostics) -> Option<Text> {
    let name = entry
        .value
        .as_text()
        .map(|name| name.strip_prefix('$').unwrap_or(name));
    match name {
        Some(name) if is_env_name(name) => Some(Spanned::new(name.to_owned(), entry.value.span)),
        _ => {
            d.redact(entry.value.span);
            d.error(
                codes::INVALID_NAME,
                entry.key.span,
                format!(
                    "{what} must be the name of an environment variable: letters, digits and `_`"
                ),
            )
            .help("write the variable's name, not the secret itself");
            None
        }
    }
}

fn check_header(name: &Text, d: &mut Diagnostics) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let fits = !name.value.is_empty() && name.value.bytes().all(token);
    if !fits {
        d.error(
            codes::INVALID_NAME,
            name.span,
            format!("{} cannot name a header", quote(&name.value)),
        );
    }
    fits
}

fn secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    looks_secret(&name) || name.contains("cookie") || name.contains("api-key")
}

/// `https://user:password@host`.
fn has_userinfo(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.contains('@')
}

/// An http or https URL with a host. Placeholders may stand for any part of it: they are filled in, and checked, with the plan.
pub(super) fn check_url(what: &str, url: &Text, d: &mut Diagnostics) -> bool {
    let text = url.value.as_str();
    if text.contains("{{") || text.contains("${") {
        return true;
    }
    let Some(fault) = url_fault(text) else {
        return true;
    };
    let mut diagnostic = d.error(
        codes::INVALID_URL,
        url.span,
        format!("{what} must be an http or https URL, found {}", quote(text)),
    );
    diagnostic = diagnostic.label(fault);
    diagnostic.help(match text.split_once("://") {
        None if !text.is_empty() && !text.contains(char::is_whitespace) => {
            format!("write `http://{}`", text.trim_start_matches('/'))
        }
        _ => "write it as `http://host:9090`".to_owned(),
    });
    false
}

/// What keeps a text from being an http or https URL with a host.
fn url_fault(text: &str) -> Option<&'static str> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest else {
        return Some("it does not start with `http://` or `https://`");
    };
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some("it holds a space");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return Some("it names no host");
    }
    let fits = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    if port.is_some_and(|port| !fits(port)) {
        return Some("its port is no number from 1 to 65535");
    }
    None
}

/// The same for an address whose variables were filled in. One with a user or password in it is not shown.
pub(crate) fn check_filled_url(what: &str, url: &Text, d: &mut Diagnostics) {
    if has_userinfo(&url.value) {
        d.error(
            codes::INLINE_SECRET,
            url.span,
            format!("{what} holds a user or password, once its variables are filled in"),
        )
        .help("name the credentials by their own keys, which point to an environment variable or a file");
        return;
    }
    if let Some(fault) = url_fault(&url.value) {
        d.error(
            codes::INVALID_URL,
            url.span,
            format!("{what} becomes {}, and {fault}", quote(&url.value)),
        )
        .help("write it as `http://host:9090`");
    }
}
