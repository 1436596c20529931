use std::collections::BTreeMap;

use super::*;

fn weight(percent: u8) -> Weight {
    Weight::try_from(percent).unwrap()
}

fn rules(change: impl FnOnce(&mut SplitterOptions)) -> Rules {
    let uri = hyper::Uri::from_static("http://127.0.0.1:1");
    let mut options = SplitterOptions::new(([127, 0, 0, 1], 0).into(), uri.clone(), uri);
    change(&mut options);
    Rules::new(&options).unwrap()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}

fn by_cookie() -> Rules {
    rules(|o| {
        o.sticky = Sticky::Cookie {
            name: "canary".into(),
            max_age: None,
            attributes: String::new(),
        };
    })
}

fn by_header(salt: &str) -> Rules {
    rules(|o| {
        o.sticky = Sticky::Header {
            name: "X-User".into(),
            salt: salt.into(),
        }
    })
}

#[test]
fn the_override_table() {
    use Arm::{Canary, Stable};
    for (percent, value, at_zero, want) in [
        (0, "always", false, Stable),
        (0, "always", true, Canary),
        (1, "always", false, Canary),
        (1, "ALWAYS", false, Canary),
        (100, "never", false, Stable),
        (100, "Never", true, Stable),
        (100, "", false, Canary),
        (100, "please", false, Canary),
        (0, "please", true, Stable),
    ] {
        let rules = rules(|o| o.override_at_zero = at_zero);
        let sequence = Sequence::new(1, weight(percent));
        let choice = rules.choose(&sequence, &headers(&[("x-canary", value)]));
        assert_eq!(choice.arm, want, "{percent} {value} {at_zero}");
    }
    let off = rules(|o| o.override_header = None);
    let full = Sequence::new(1, weight(100));
    assert_eq!(
        off.choose(&full, &headers(&[("x-canary", "never")])).arm,
        Canary
    );
}

#[test]
fn a_cookie_is_set_once_and_keeps_its_client() {
    let rules = by_cookie();
    let sequence = Sequence::new(9, weight(30));
    for _ in 0..500 {
        let first = rules.choose(&sequence, &HeaderMap::new());
        let cookie = first.set_cookie.unwrap();
        let cookie = cookie.to_str().unwrap();
        assert!(
            cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
            "{cookie}"
        );
        let sent = headers(&[(
            "cookie",
            &format!("a=b; {}; z=1", cookie.split(';').next().unwrap()),
        )]);
        for _ in 0..5 {
            let again = rules.choose(&sequence, &sent);
            assert_eq!((again.arm, again.set_cookie), (first.arm, None));
        }
    }
}

#[test]
fn raising_the_weight_only_adds_clients_and_zero_takes_all_away() {
    for (rules, key) in [(by_cookie(), "cookie"), (by_header(""), "x-user")] {
        let mut before = BTreeMap::new();
        for percent in [0, 1, 10, 50, 99, 100] {
            let sequence = Sequence::new(9, weight(percent));
            let mut canary = 0u32;
            for client in 0..10_000 {
                let value = if key == "cookie" {
                    format!("canary={client}")
                } else {
                    format!("u{client}")
                };
                let arm = rules.choose(&sequence, &headers(&[(key, &value)])).arm;
                let old = before.insert(client, arm);
                assert!(
                    old != Some(Arm::Canary) || arm == Arm::Canary,
                    "{key} {client} left"
                );
                canary += u32::from(arm == Arm::Canary);
            }
            // Exact for tickets; for a hash within five standard deviations of 10,000 coins.
            let slack = if key == "cookie" { 0 } else { 250 };
            assert!(
                canary.abs_diff(u32::from(percent) * 100) <= slack,
                "{key} {percent}: {canary}"
            );
        }
        let sequence = Sequence::new(9, weight(0));
        for client in 0..10_000 {
            let value = if key == "cookie" {
                format!("canary={client}")
            } else {
                format!("u{client}")
            };
            assert_eq!(
                rules.choose(&sequence, &headers(&[(key, &value)])).arm,
                Arm::Stable
            );
        }
    }
}

#[test]
fn new_tickets_are_spread_evenly() {
    let rules = by_cookie();
    let sequence = Sequence::new(5, weight(20));
    let mut tenths = [0u32; 10];
    for _ in 0..20_000 {
        let choice = rules.choose(&sequence, &HeaderMap::new());
        let cookie = choice.set_cookie.unwrap();
        let ticket = cookie.to_str().unwrap().split(['=', ';']).nth(1).unwrap();
        tenths[usize::from(ticket.parse::<u16>().unwrap() / 1000)] += 1;
    }
    for count in tenths {
        assert!(count.abs_diff(2000) < 220, "{tenths:?}"); // five standard deviations of 42
    }
}

#[test]
fn a_cookie_that_is_not_a_ticket_is_replaced() {
    let rules = by_cookie();
    let sequence = Sequence::new(9, weight(50));
    for value in [
        "canary=",
        "canary=10000",
        "canary=-1",
        "canary=always",
        "xcanary=5",
        "canary =5",
        "canary=00001",
    ] {
        let choice = rules.choose(&sequence, &headers(&[("cookie", value)]));
        assert!(choice.set_cookie.is_some(), "{value}");
    }
}

#[test]
fn the_hash_never_changes_between_versions_and_follows_its_salt() {
    // A client would change version in the middle of a release if this did.
    assert_eq!(ticket_of(hash(b"alice", 0)), 1016);
    assert_eq!(ticket_of(hash(b"bob", 0)), 1231);
    let arms = |salt| {
        let rules = by_header(salt);
        let sequence = Sequence::new(1, weight(50));
        (0..200)
            .map(|n| {
                rules
                    .choose(&sequence, &headers(&[("x-user", &n.to_string())]))
                    .arm
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(arms("checkout-1"), arms("checkout-1"));
    assert_ne!(arms("checkout-1"), arms("checkout-2"));
}

#[test]
fn without_the_sticky_header_the_sequence_decides() {
    let rules = by_header("");
    let sequence = Sequence::new(1, weight(25));
    let canary =
        (0..1000).filter(|_| rules.choose(&sequence, &HeaderMap::new()).arm == Arm::Canary);
    assert_eq!(canary.count(), 250);
}
