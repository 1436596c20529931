//! One value of a file as a text, a list of texts or a word, with what is said when it is something else.

use super::model::Text;
use super::tree::{Data, Map, Value};
use super::word::Word;
use crate::diagnostic::{Diagnostic, Diagnostics, Spanned, codes, did_you_mean, misspelt, quote};

/// Whether a text that is written under this key may be a secret, and not only the name of one.
pub(crate) fn looks_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    if ["_env", "_file", "_ref", "_source", "_provider", "secrets"]
        .iter()
        .any(|end| key.ends_with(end))
    {
        return false;
    }
    [
        "token",
        "secret",
        "password",
        "passwd",
        "api_key",
        "apikey",
        "routing_key",
        "webhook",
        "authorization",
    ]
    .iter()
    .any(|word| key.contains(word))
}

pub(crate) fn wrong_type<'d>(
    what: &str,
    expected: &str,
    value: &Value,
    diagnostics: &'d mut Diagnostics,
) -> &'d mut Diagnostic {
    let found = match (value.as_scalar_text(), value.kind()) {
        (Some(text), kind) if text.len() <= 40 && !looks_secret(what) => {
            format!("{kind}: {}", quote(text))
        }
        (_, kind) => kind.to_owned(),
    };
    // A mapping of many lines is not one place; its first line is.
    let diagnostic = diagnostics.error(
        codes::WRONG_TYPE,
        value.span,
        format!("{what} must be {expected}, found {found}"),
    );
    diagnostic.label(format!("expected {expected}"))
}

/// A text. A number is taken as it is written, with a warning: `1.10` would be another text once it was read as a number.
pub(crate) fn as_text(what: &str, value: &Value, diagnostics: &mut Diagnostics) -> Option<Text> {
    match &value.data {
        Data::Text(text) => Some(Spanned::new(text.clone(), value.span)),
        Data::Number(number) => {
            diagnostics
                .warning(
                    codes::UNQUOTED_TEXT,
                    value.span,
                    format!("{what} is a text, but is written as a number"),
                )
                .help(format!(
                    "write \"{}\"; other tools may read it as a number",
                    number.raw
                ));
            Some(Spanned::new(number.raw.clone(), value.span))
        }
        Data::Map(map) if looks_like_template(map) => {
            wrong_type(what, "a text", value, diagnostics)
                .help("quote it: `{{...}}` without quotes is a mapping in YAML");
            None
        }
        _ => {
            wrong_type(what, "a text", value, diagnostics);
            None
        }
    }
}

/// `{{name}}` without quotes.
fn looks_like_template(map: &Map) -> bool {
    map.is_empty()
}

pub(crate) fn as_texts(what: &str, value: &Value, diagnostics: &mut Diagnostics) -> Vec<Text> {
    let Some(items) = value.as_list() else {
        let diagnostic = wrong_type(what, "a list of texts", value, diagnostics);
        if let Some(text) = value.as_text().filter(|text| text.len() < 40) {
            diagnostic.help(format!("write [{text}]"));
        }
        return Vec::new();
    };
    let what = format!("an entry of {what}");
    items
        .iter()
        .filter_map(|item| as_text(&what, item, diagnostics))
        .collect()
}

pub(crate) fn as_word<W: Word>(
    what: &str,
    value: &Value,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<W>> {
    let Some(word) = value.as_scalar_text() else {
        wrong_type(what, "a text", value, diagnostics);
        return None;
    };
    if let Some(found) = W::from_word(word) {
        return Some(Spanned::new(found, value.span));
    }
    let known: Vec<&str> = W::ALL.iter().map(|value| value.as_str()).collect();
    let diagnostic = diagnostics.error(
        codes::UNKNOWN_VALUE,
        value.span,
        format!(
            "{what} cannot be {}; it is one of {}",
            quote(word),
            known.join(", ")
        ),
    );
    diagnostic.help_opt(did_you_mean(word, known.iter().copied()));
    // The file is refused; what follows from the word is not reported again if it is clear which one was meant.
    let meant = W::from_word(misspelt(word, known)?)?;
    Some(Spanned::new(meant, value.span))
}
