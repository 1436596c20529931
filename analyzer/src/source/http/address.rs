//! The address of a server as a user writes it.

use std::net::IpAddr;

use reqwest::Url;
use secrecy::SecretString;

use super::Auth;
use crate::evidence::SourceError;

/// An address to ask: http or https, a host, no query. User info is taken out and handed back as credentials.
pub(in crate::source) fn address(
    setting: &str,
    text: &str,
) -> Result<(Url, Option<Auth>), SourceError> {
    let wrong = |message: String| SourceError::Setting {
        setting: setting.to_owned(),
        message,
    };
    // What is wrong with the text is said without the text: it may hold a password.
    let mut url = Url::parse(text.trim()).map_err(|error| {
        wrong(format!(
            "not an address ({error}); expected http://host:port or https://host"
        ))
    })?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong(format!(
            "scheme {:?}; expected http://host:port or https://host",
            url.scheme()
        )));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(
            "leave out what follows ? or #; write the address alone".to_owned(),
        ));
    }
    let user = percent_decoded(url.username());
    let password = url.password().map(percent_decoded);
    let auth = (!user.is_empty() || password.is_some()).then(|| Auth::Basic {
        user,
        password: SecretString::from(password.unwrap_or_default()),
    });
    // Both succeed for an address with a host, which it has.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok((url, auth))
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let hex = text
            .get(index + 1..index + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex {
            Some(decoded) if *byte == b'%' => {
                out.push(decoded);
                index += 3;
            }
            _ => {
                out.push(*byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether the address is on this machine.
pub(super) fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn addresses_give_up_their_credentials() {
        let (url, auth) =
            address("url", "https://ann:p%40ss@prometheus.example:9090/prefix/").unwrap();
        assert_eq!(url.as_str(), "https://prometheus.example:9090/prefix/");
        let Some(Auth::Basic { user, password }) = auth else {
            panic!("no credentials")
        };
        assert_eq!((user.as_str(), password.expose_secret()), ("ann", "p@ss"));
        assert!(
            address("url", "http://prometheus:9090")
                .unwrap()
                .1
                .is_none()
        );
        for text in [
            "prometheus:9090",
            "ftp://x",
            "http://",
            "",
            "http://a:b@/x",
            "http://x/?a=b",
        ] {
            let message = address("url", text).unwrap_err().to_string();
            assert!(message.starts_with("url: "), "{text}: {message}");
        }
    }
}
