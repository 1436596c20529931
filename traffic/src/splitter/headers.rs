//! What a gateway changes in a message's header (RFC 9110 section 7.6, RFC 9112 section 3.2, RFC 9113 section 8).

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, Entry, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use hyper::{Uri, Version};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Removes what is meant for one connection only: the fields of RFC 9110 section 7.6.1 and those that `Connection`
/// names. Returns the protocol of an upgrade that was asked for or granted.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let mut upgrade = None;
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|token| HeaderName::from_bytes(token.trim().as_bytes()).ok())
            .collect();
        headers.remove(CONNECTION);
        for name in named {
            if name == UPGRADE {
                upgrade = headers.remove(UPGRADE);
            } else if name != HOST && name != CONTENT_LENGTH && name != TE {
                // Host and Content-Length are for every recipient; a client that names them wants to confuse.
                headers.remove(name);
            }
        }
    }
    headers.remove(&KEEP_ALIVE);
    headers.remove(&PROXY_CONNECTION);
    headers.remove(TRANSFER_ENCODING); // the connection to the other side frames the body anew
    headers.remove(UPGRADE);
    headers.remove(&HTTP2_SETTINGS);
    if headers.contains_key(TE) {
        // We do pass trailers on, and gRPC servers insist on being told so.
        let trailers = headers
            .get_all(TE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| {
                value
                    .split(',')
                    .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
            });
        headers.remove(TE);
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
    // An upgrade to h2c would open a second HTTP connection inside this one, past this proxy's eyes.
    upgrade.filter(|protocol| !protocol.as_bytes().to_ascii_lowercase().starts_with(b"h2c"))
}

/// Why a request cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHost {
    Missing,
    Several,
}

/// The host that the client asked for. An absolute target or `:authority` wins over `Host` (RFC 9112 section 3.2.2).
/// None for HTTP/1.0 without one.
pub(crate) fn take_host(
    headers: &mut HeaderMap,
    uri: &Uri,
    version: Version,
) -> Result<Option<HeaderValue>, BadHost> {
    let mut hosts = headers.get_all(HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(BadHost::Several);
    }
    if let Some(authority) = uri.authority() {
        // Without a user:password@ part, which is the client's secret and no part of a host.
        let host = authority.as_str();
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let value = HeaderValue::from_str(host).map_err(|_| BadHost::Missing)?;
        headers.remove(HOST);
        return Ok(Some(value));
    }
    if first.is_none() && version == Version::HTTP_11 {
        return Err(BadHost::Missing);
    }
    Ok(headers.remove(HOST))
}

/// Adds where the request came from: `X-Forwarded-For` grows by the peer; `-Proto` and `-Host` are kept where a proxy
/// before us set them, because only that one saw the client's TLS; `Via` grows by us (RFC 9110 section 7.6.3).
pub(crate) fn add_forwarded(
    headers: &mut HeaderMap,
    peer: &HeaderValue,
    host: Option<&HeaderValue>,
    version: Version,
    via: &Via,
) {
    append(headers, &FORWARDED_FOR, peer);
    if let Entry::Vacant(entry) = headers.entry(&FORWARDED_PROTO) {
        entry.insert(HeaderValue::from_static("http"));
    }
    if let Some(host) = host
        && let Entry::Vacant(entry) = headers.entry(&FORWARDED_HOST)
    {
        entry.insert(host.clone());
    }
    append(headers, &VIA, via.of(version));
}

/// Appends to a comma-separated list.
fn append(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert(value.clone());
        }
        Entry::Occupied(mut entry) => {
            // Several lines of a list mean the same as one line; the next reader often looks at one only.
            let mut joined = join(entry.iter(), b", ");
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(value.as_bytes());
            entry.insert(HeaderValue::from_bytes(&joined).unwrap_or_else(|_| value.clone()));
        }
    }
}

/// HTTP/2 may split a cookie header into crumbs, which HTTP/1.1 servers do not expect (RFC 9113 section 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if let Entry::Occupied(mut entry) = headers.entry(COOKIE) {
        if entry.iter().nth(1).is_none() {
            return;
        }
        if let Ok(value) = HeaderValue::from_bytes(&join(entry.iter(), b"; ")) {
            entry.insert(value);
        }
    }
}

fn join<'a>(values: impl Iterator<Item = &'a HeaderValue>, between: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = values.map(HeaderValue::as_bytes).collect();
    parts.join(between)
}

/// Our name in `Via`. It is different in every process, so that a request that comes back is noticed while one splitter
/// behind another one is fine.
#[derive(Debug)]
pub(crate) struct Via {
    name: String,
    values: [HeaderValue; 3],
}

impl Via {
    pub(crate) fn new(id: u32) -> Self {
        let name = format!("canary-{id:08x}");
        let value = |version| {
            HeaderValue::try_from(format!("{version} {name}"))
                .unwrap_or_else(|_| HeaderValue::from_static("1.1 canary"))
        };
        Self {
            values: [value("1.0"), value("1.1"), value("2.0")],
            name,
        }
    }

    fn of(&self, version: Version) -> &HeaderValue {
        match version {
            Version::HTTP_2 => &self.values[2],
            Version::HTTP_11 => &self.values[1],
            _ => &self.values[0],
        }
    }

    /// Whether the request has been here before.
    pub(crate) fn is_loop(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(VIA)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect()
    }

    #[test]
    fn hop_by_hop_fields_go_and_the_rest_stays() {
        let mut map = headers(&[
            ("connection", "close, X-Secret"),
            ("connection", "keep-alive, host, content-length"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip, Trailers"),
            ("upgrade", "websocket"),
            ("x-secret", "1"),
            ("x-kept", "2"),
            ("host", "a"),
            ("content-length", "5"),
            ("trailer", "x-sum"),
        ]);
        assert_eq!(
            strip_hop_by_hop(&mut map),
            None,
            "upgrade was not named by Connection"
        );
        let want = headers(&[
            ("te", "trailers"),
            ("x-kept", "2"),
            ("host", "a"),
            ("content-length", "5"),
            ("trailer", "x-sum"),
        ]);
        assert_eq!(map, want);
    }

    #[test]
    fn an_upgrade_is_handed_out_but_not_h2c() {
        let mut map = headers(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(
            strip_hop_by_hop(&mut map),
            Some(HeaderValue::from_static("websocket"))
        );
        assert!(map.is_empty());
        let mut map = headers(&[
            ("connection", "Upgrade, HTTP2-Settings"),
            ("upgrade", "H2C"),
            ("http2-settings", "AA"),
        ]);
        assert_eq!(strip_hop_by_hop(&mut map), None);
        assert!(map.is_empty());
    }

    #[test]
    fn lists_grow_by_us_and_what_a_proxy_before_us_said_stays() {
        let via = Via::new(7);
        let mut map = headers(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-proto", "https"),
            ("via", "1.1 edge"),
        ]);
        let peer = HeaderValue::from_static("127.0.0.1");
        let host = HeaderValue::from_static("shop.example");
        assert!(!via.is_loop(&map));
        add_forwarded(&mut map, &peer, Some(&host), Version::HTTP_2, &via);
        assert_eq!(map["x-forwarded-for"], "10.0.0.1, 10.0.0.2, 127.0.0.1");
        assert_eq!(map["x-forwarded-proto"], "https");
        assert_eq!(map["x-forwarded-host"], "shop.example");
        assert_eq!(map["via"], "1.1 edge, 2.0 canary-00000007");
        assert_eq!(map.len(), 4);
        assert!(via.is_loop(&map) && !Via::new(8).is_loop(&map));
    }

    #[test]
    fn which_host() {
        let absolute = Uri::from_static("http://user:pw@shop.example:8080/x");
        let origin = Uri::from_static("/x");
        let take = |pairs: &[(&'static str, &'static str)], uri: &Uri, version| {
            take_host(&mut headers(pairs), uri, version)
                .map(|h| h.map(|h| h.to_str().unwrap().to_owned()))
        };
        let one = [("host", "other")];
        let two = [("host", "a"), ("host", "a")];
        assert_eq!(
            take(&one, &absolute, Version::HTTP_11),
            Ok(Some("shop.example:8080".into()))
        );
        assert_eq!(
            take(&one, &origin, Version::HTTP_11),
            Ok(Some("other".into()))
        );
        assert_eq!(take(&two, &origin, Version::HTTP_11), Err(BadHost::Several));
        assert_eq!(take(&[], &origin, Version::HTTP_11), Err(BadHost::Missing));
        assert_eq!(take(&[], &origin, Version::HTTP_10), Ok(None));
    }

    #[test]
    fn crumbs_become_one_cookie() {
        let mut map = headers(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
        join_cookies(&mut map);
        assert_eq!(
            map.get_all("cookie").iter().collect::<Vec<_>>(),
            ["a=1; b=2; c=3"]
        );
    }
}
