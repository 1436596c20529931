//! What a value of the short form must look like, on the command line and as an answer.

use canary_analyzer::duration;
use canary_analyzer::metric::PRESETS;
use canary_traffic::Weight;

use super::proxy::weight;

/// A limit; nothing for `off`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<String>);

/// The name of a service: it becomes a part of the name of each run.
pub(crate) fn service(text: &str) -> Result<String, String> {
    let valid = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if !text.is_empty() && text.len() <= 100 && text.chars().all(valid) {
        Ok(text.to_owned())
    } else {
        Err("1 to 100 letters, digits, `-`, `_` or `.`, as in checkout".to_owned())
    }
}

/// Weights as in `10,50,100`.
pub(crate) fn steps(text: &str) -> Result<Vec<Weight>, String> {
    let steps = text
        .split(',')
        .map(|step| weight(step.trim()))
        .collect::<Result<Vec<_>, _>>()?;
    rising(&steps).map(|()| steps)
}

/// Each step is higher than the one before it, and there is one below 100 %.
pub(crate) fn rising(steps: &[Weight]) -> Result<(), String> {
    for pair in steps.windows(2) {
        if pair[0] >= pair[1] {
            return Err(format!(
                "{} does not come after {}: steps rise, as in 10,50,100",
                pair[1], pair[0]
            ));
        }
    }
    match steps.first() {
        Some(first) if !first.is_zero() && *first < Weight::FULL => Ok(()),
        Some(first) if first.is_zero() => Err(
            "the first step is 0 %, and nothing can be judged there: begin with 5 or 10".to_owned(),
        ),
        _ => Err(
            "there is no step below 100 %, so nothing would be judged: begin with 5 or 10"
                .to_owned(),
        ),
    }
}

/// A share of requests: `1%`, `0.01`, or `off`.
pub(crate) fn share(text: &str) -> Result<Limit, String> {
    if text == "off" {
        return Ok(Limit(None));
    }
    let percent = text.strip_suffix('%');
    let number: f64 = percent.unwrap_or(text).trim().parse().map_err(|_| {
        format!("`{text}` is no share of requests: write it as in 1%, or `off` for no such gate")
    })?;
    let share = if percent.is_some() {
        number / 100.0
    } else {
        number
    };
    if (0.0..1.0).contains(&share) {
        Ok(Limit(Some(text.to_owned())))
    } else if share >= 1.0 {
        Err(format!(
            "{text} is {} % of all requests: nothing would ever fail it; write it as in 1%, or `off` for no such gate",
            share * 100.0
        ))
    } else {
        Err(format!(
            "`{text}` is no share of requests: write it as in 1%"
        ))
    }
}

/// A time: `500ms`, `1s`, or `off`.
pub(crate) fn latency(text: &str) -> Result<Limit, String> {
    if text == "off" {
        return Ok(Limit(None));
    }
    match duration::parse(text) {
        Ok(time) if !time.is_zero() => Ok(Limit(Some(text.to_owned()))),
        _ => Err(format!(
            "`{text}` is no time: write it with its unit, as in 500ms or 1s, or `off` for no such gate"
        )),
    }
}

/// `http://...` or `https://...`.
pub(crate) fn url(text: &str) -> Result<String, String> {
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            Ok(text.to_owned())
        }
        _ => Err(format!(
            "`{text}` is no address of a server: write it as in http://127.0.0.1:8080"
        )),
    }
}

/// The name of a preset.
pub(crate) fn preset(text: &str) -> Result<String, String> {
    if PRESETS.iter().any(|preset| preset.name == text) {
        return Ok(text.to_owned());
    }
    let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
    Err(format!(
        "there is no preset `{text}`; there are {}",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_be_meant_are_refused() {
        for text in ["10,50,100", "10%, 50%,100 %", "5"] {
            assert!(steps(text).is_ok(), "{text}");
        }
        for text in ["10,5,100", "10,10", "abc", "0,50", "100", "", "101"] {
            assert!(steps(text).is_err(), "{text}");
        }
        for text in ["1%", "0.5%", "0.01", "off"] {
            assert!(share(text).is_ok(), "{text}");
        }
        for text in ["1", "100%", "-1%", "much", "NaN", "1ms"] {
            assert!(share(text).is_err(), "{text}");
        }
        for text in ["500ms", "1s", "off"] {
            assert!(latency(text).is_ok(), "{text}");
        }
        for text in ["500", "0s", "1%", ""] {
            assert!(latency(text).is_err(), "{text}");
        }
        for text in ["", "my shop", "a/b", "a\n"] {
            assert!(service(text).is_err(), "{text:?}");
        }
        for text in ["127.0.0.1:80", "ftp://a", "http://", "prometheus"] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
