//! Which version answers a request: override, then ticket, then the sequence.

use hyper::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};

use super::options::{self, SplitterError, SplitterOptions, Sticky};
use super::sequence::{Dealt, Sequence, mix};
use crate::Weight;

/// A version: the one that users trust, or the one on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// The version that users trust.
    Stable,
    /// The version on trial.
    Canary,
}

impl Arm {
    pub(crate) const ALL: [Self; 2] = [Self::Stable, Self::Canary];

    /// Its name in metrics and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Stable => 0,
            Self::Canary => 1,
        }
    }

    fn canary_if(canary: bool) -> Self {
        if canary { Self::Canary } else { Self::Stable }
    }
}

/// How many tickets there are; a hundredth of a percent each, so that any whole percent is a whole number of them.
const TICKETS: u16 = 10_000;

/// The tickets below this belong to the canary.
fn canary_tickets(weight: Weight) -> u16 {
    u16::from(weight.percent()) * (TICKETS / 100)
}

/// What was decided about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) arm: Arm,
    /// Whether the weight decided (by sequence or ticket), and not the client's override.
    pub(crate) by_weight: bool,
    /// The `Set-Cookie` value for the answer, for a client without a ticket.
    pub(crate) set_cookie: Option<HeaderValue>,
}

#[derive(Debug)]
enum Tickets {
    None,
    Cookie {
        name: String,
        head: String,
        tail: String,
    },
    Header {
        name: HeaderName,
        salt: u64,
    },
}

/// The rules of one splitter, checked and prepared.
#[derive(Debug)]
pub(crate) struct Rules {
    override_header: Option<HeaderName>,
    override_at_zero: bool,
    tickets: Tickets,
}

impl Rules {
    pub(crate) fn new(options: &SplitterOptions) -> Result<Self, SplitterError> {
        let override_header = match &options.override_header {
            Some(name) => Some(options::header_name("override header", name)?),
            None => None,
        };
        let tickets = match &options.sticky {
            Sticky::None => Tickets::None,
            Sticky::Cookie {
                name,
                max_age,
                attributes,
            } => {
                let (head, tail) = options::cookie_halves(name, *max_age, attributes)?;
                Tickets::Cookie {
                    name: name.clone(),
                    head,
                    tail,
                }
            }
            Sticky::Header { name, salt } => Tickets::Header {
                name: options::header_name("sticky header", name)?,
                salt: hash(salt.as_bytes(), 0),
            },
        };
        Ok(Self {
            override_header,
            override_at_zero: options.override_at_zero,
            tickets,
        })
    }

    /// Decides about one request.
    pub(crate) fn choose(&self, sequence: &Sequence, headers: &HeaderMap) -> Choice {
        if let Some(arm) = self.overridden(sequence, headers) {
            return Choice {
                arm,
                by_weight: false,
                set_cookie: None,
            };
        }
        let plain = |arm| Choice {
            arm,
            by_weight: true,
            set_cookie: None,
        };
        let by_ticket = |ticket| plain(Arm::canary_if(ticket < canary_tickets(sequence.weight())));
        match &self.tickets {
            Tickets::None => plain(Arm::canary_if(sequence.deal().canary)),
            Tickets::Header { name, salt } => match headers.get(name) {
                Some(value) => by_ticket(ticket_of(hash(value.as_bytes(), *salt))),
                None => plain(Arm::canary_if(sequence.deal().canary)),
            },
            Tickets::Cookie { name, head, tail } => {
                if let Some(ticket) = cookie_ticket(headers, name) {
                    return by_ticket(ticket);
                }
                let dealt = sequence.deal();
                let value = format!("{head}{}{tail}", new_ticket(dealt));
                Choice {
                    set_cookie: HeaderValue::try_from(value).ok(),
                    ..plain(Arm::canary_if(dealt.canary))
                }
            }
        }
    }

    fn overridden(&self, sequence: &Sequence, headers: &HeaderMap) -> Option<Arm> {
        let value = headers.get(self.override_header.as_ref()?)?.as_bytes();
        if value.eq_ignore_ascii_case(b"never") {
            return Some(Arm::Stable);
        }
        // At weight 0 the canary has been taken away, perhaps because it is harmful; a header that some other service
        // passes on must not bring it back.
        let allowed = self.override_at_zero || !sequence.weight().is_zero();
        (allowed && value.eq_ignore_ascii_case(b"always")).then_some(Arm::Canary)
    }
}

/// A ticket for a client that was just dealt an arm: any of that arm's tickets, equally likely. As the arm itself came
/// by weight, all tickets are equally likely over many clients.
fn new_ticket(dealt: Dealt) -> u16 {
    let border = canary_tickets(dealt.weight);
    let (from, count) = if dealt.canary {
        (0, border)
    } else {
        (border, TICKETS - border)
    };
    from + scale(dealt.draw, count)
}

/// Maps 64 random bits onto 0..count.
fn scale(draw: u64, count: u16) -> u16 {
    let high = (u128::from(draw) * u128::from(count)) >> 64;
    u16::try_from(high).unwrap_or_default() // always fits: below count
}

fn ticket_of(hash: u64) -> u16 {
    scale(hash, TICKETS)
}

/// FNV-1a of 64 bits, finished by a mixer because the high bits decide. It is the same in every process and every
/// version of this program, which the standard library's hasher does not promise.
fn hash(bytes: &[u8], salt: u64) -> u64 {
    let fnv = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64 ^ salt, |h, byte| {
            (h ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    mix(fnv, 0)
}

/// The ticket in the cookie of that name. Whatever is not a ticket that we hand out is as good as none.
fn cookie_ticket(headers: &HeaderMap, name: &str) -> Option<u16> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b';'))
        .filter_map(|pair| {
            let pair = pair.trim_ascii();
            let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            if value.is_empty() || value.len() > 4 || !value.iter().all(u8::is_ascii_digit) {
                return None;
            }
            Some(
                value
                    .iter()
                    .fold(0u16, |n, digit| n * 10 + u16::from(digit - b'0')),
            )
        })
        .find(|ticket| *ticket < TICKETS)
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
