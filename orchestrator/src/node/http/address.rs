//! Addresses: values that are filled in stay where they were put, and what people see of an address holds no secret.

use reqwest::Url;

use crate::plan::template::{Lookup, Part, Template};

/// Fills an address. A value that begins the text is taken as it is (it is a base URL); any other is escaped for the place
/// where it stands, so that a `?`, a `#`, an `@` or (before the path) a `/` in it cannot turn the address into another one.
pub(super) fn render(template: &Template, values: &dyn Lookup) -> Result<Url, String> {
    let mut text = String::new();
    for part in template.parts() {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Reference(reference) => {
                let value = Template::reference(reference.clone())
                    .render(values)
                    .map_err(|error| error.to_string())?;
                if text.is_empty() {
                    text.push_str(value.trim());
                } else {
                    escape(&mut text, &value);
                }
            }
        }
    }
    let shown = template.source();
    let url = Url::parse(text.trim()).map_err(|error| {
        format!("`{shown}` is not an address: {error}; expected something like https://host/path")
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!(
            "`{shown}` is not an address of a web server; expected http:// or https://"
        ));
    }
    Ok(url)
}

fn escape(text: &mut String, value: &str) {
    use std::fmt::Write as _;
    let after_scheme = text.find("://").map_or("", |at| &text[at + 3..]);
    let in_query = text.contains('?');
    let in_path = after_scheme.contains('/');
    for segment in value.split_inclusive('/') {
        // `..` would climb out of the path that was written.
        if in_path && !in_query && matches!(segment.trim_end_matches('/'), "." | "..") {
            text.push_str(&segment.replace('.', "%2E").replace('/', "%2F"));
            continue;
        }
        for byte in segment.bytes() {
            let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            let here = match byte {
                b'/' => in_path && !in_query,
                b':' | b'[' | b']' => !in_path && !in_query,
                _ => false,
            };
            if plain || here {
                text.push(char::from(byte));
            } else {
                let _never_fails = write!(text, "%{byte:02X}");
            }
        }
    }
}

/// An address as people see it: without user, password, query and fragment.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only for addresses that cannot have such parts.
    let _none = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::template::{Reference, dig};

    struct Fixed(Value);

    impl Lookup for Fixed {
        fn get(&self, reference: &Reference) -> Option<Value> {
            dig(&self.0, &reference.path).cloned()
        }
    }

    #[test]
    fn a_value_cannot_turn_the_address_into_another() {
        let values = Fixed(json!({
            "base": "http://h:1/x", "host": "h:8080", "evil": "evil.com/", "at": "u@evil.com", "q": "a?b&c=d#e",
            "repo": "org/app", "up": "../../admin", "pct": "50%", "sp": "a b",
        }));
        for (text, expected) in [
            ("{{base}}/y", "http://h:1/x/y"),
            ("http://{{host}}/y", "http://h:8080/y"),
            (
                "http://h/{{repo}}/x?r={{repo}}",
                "http://h/org/app/x?r=org%2Fapp",
            ),
            ("http://h/{{q}}", "http://h/a%3Fb%26c%3Dd%23e"),
            ("http://h/x?y={{q}}", "http://h/x?y=a%3Fb%26c%3Dd%23e"),
            ("http://h/{{pct}}/{{sp}}", "http://h/50%25/a%20b"),
        ] {
            assert_eq!(
                render(&Template::parse(text).unwrap(), &values)
                    .unwrap()
                    .as_str(),
                expected,
                "{text}"
            );
        }
        for text in [
            "http://api-{{evil}}.example.com/",
            "http://{{at}}/x",
            "{{repo}}",
            "ftp://h/x",
        ] {
            let result = render(&Template::parse(text).unwrap(), &values);
            assert!(result.as_ref().is_err(), "{text}: {result:?}");
        }
        let climbed = render(&Template::parse("http://h/v1/{{up}}/x").unwrap(), &values).unwrap();
        assert_eq!(climbed.path(), "/v1/%2E%2E%2F%2E%2E%2Fadmin/x");
    }

    #[test]
    fn what_people_see_holds_no_secret() {
        let url = Url::parse("https://user:pass@h:8443/path?token=secret#x").unwrap();
        assert_eq!(shown(&url), "https://h:8443/path");
    }
}
