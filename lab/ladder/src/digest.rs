//! What matters of a message to somebody who looks at many.

use sip::{Message, Name};

use crate::body;
use crate::http;
use crate::plain::plain;

/// Of which kind a message is: how it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Publish,
    Subscribe,
    Notify,
    Request,
    Success,
    Failure,
    Provisional,
    Unreadable,
}

/// A message in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    /// Method, or status code and reason.
    pub(crate) label: String,
    /// Event, Expires, entity-tags, Subscription-State, CSeq: what it carries of these, each in words.
    pub(crate) details: Vec<String>,
    /// What its body says, in a few words; empty without one.
    pub(crate) body: String,
    pub(crate) kind: Kind,
    /// Equal for a message and its retransmissions (RFC 3261 §17.1.3, §17.2.3); `None`: it cannot be told.
    pub(crate) identity: Option<String>,
}

/// A longer reason phrase does not fit on an arrow, and stands beside it.
const REASON_MAX: usize = 27;

/// Reads a message for the picture.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let Ok(message) = Message::parse(bytes) else {
        return http::digest(bytes).unwrap_or_else(|| unreadable(bytes));
    };
    let mut details = details(&message);
    let (label, kind) = match message.status() {
        Some(status) => {
            let reason = plain(message.reason());
            let label = if reason.chars().count() > REASON_MAX {
                details.insert(0, reason);
                status.to_string()
            } else {
                format!("{status} {reason}").trim_end().to_owned()
            };
            (label, kind_of(status))
        }
        None => {
            let method = message.method();
            let kind = match method.name() {
                "PUBLISH" => Kind::Publish,
                "SUBSCRIBE" => Kind::Subscribe,
                "NOTIFY" => Kind::Notify,
                _ => Kind::Request,
            };
            (plain(method.name()), kind)
        }
    };
    Digest {
        label,
        details,
        body: body_of(&message),
        kind,
        identity: identity(&message),
    }
}

const fn kind_of(status: u16) -> Kind {
    match status {
        0..=199 => Kind::Provisional,
        200..=299 => Kind::Success,
        _ => Kind::Failure,
    }
}

fn unreadable(bytes: &[u8]) -> Digest {
    let start = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let start = plain(String::from_utf8_lossy(start).trim_end());
    let said = if start.is_empty() {
        Vec::new()
    } else {
        vec![format!("begins \"{start}\"")]
    };
    Digest {
        label: format!("{} bytes", bytes.len()),
        details: said,
        body: String::new(),
        kind: Kind::Unreadable,
        identity: None,
    }
}

/// Fields that explain a step, with how they are called here; in this order.
const FIELDS: [(Name, &str); 12] = [
    (Name::SubscriptionState, ""),
    (Name::Event, ""),
    (Name::Expires, "Expires "),
    (Name::MinExpires, "Min-Expires "),
    (Name::RetryAfter, "Retry-After "),
    (Name::SipIfMatch, "If-Match "),
    (Name::SuppressIfMatch, "Suppress-If-Match "),
    (Name::SipEtag, "ETag "),
    (Name::AllowEvents, "Allow-Events "),
    (Name::Accept, "Accept "),
    (Name::Unsupported, "Unsupported "),
    (Name::WwwAuthenticate, "challenge "),
];

fn details(message: &Message<'_>) -> Vec<String> {
    let is_request = message.is_request();
    let mut details = Vec::new();
    for (name, called) in FIELDS {
        // What everybody writes into every request explains nothing.
        if is_request && matches!(name, Name::AllowEvents | Name::Accept) {
            continue;
        }
        let Some(value) = message.header(name) else {
            continue;
        };
        let value = String::from_utf8_lossy(value);
        details.push(match name {
            Name::WwwAuthenticate => called.trim_end().to_owned(),
            _ => format!("{called}{}", plain(value.trim())),
        });
    }
    if let Ok(cseq) = message.cseq() {
        let method = if is_request {
            String::new()
        } else {
            format!(" {}", plain(cseq.method.name()))
        };
        details.push(format!("CSeq {}{method}", cseq.number));
    }
    details
}

fn body_of(message: &Message<'_>) -> String {
    if message.body().is_empty() {
        return String::new();
    }
    let kind = message
        .header(Name::ContentType)
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    body::words(&kind, message.body())
}

fn identity(message: &Message<'_>) -> Option<String> {
    let essentials = message.essentials().ok()?;
    Some(format!(
        "{} {} {} {} {}",
        message.status().unwrap_or_default(),
        essentials.cseq.number,
        essentials.cseq.method.name(),
        essentials.call_id,
        essentials.via.branch.unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTIFY: &str = "NOTIFY sip:bob@10.0.1.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:alice@example.com>;tag=a\r\n\
        To: <sip:bob@example.com>;tag=b\r\nCall-ID: c\r\nCSeq: 3 NOTIFY\r\no: presence\r\nSubscription-State: active;expires=60\r\n\
        Content-Type: application/pidf+xml\r\nContent-Length: 2\r\n\r\nhi";

    #[test]
    fn a_request_says_what_it_carries() {
        let read = digest(NOTIFY.as_bytes());
        assert_eq!(read.label, "NOTIFY");
        assert_eq!(read.details, ["active;expires=60", "presence", "CSeq 3"]);
        assert_eq!(read.body, "2 bytes that are no presence document");
        assert_eq!(read.kind, Kind::Notify);
    }

    #[test]
    fn the_same_request_again_is_known() {
        let other = NOTIFY.replace("CSeq: 3", "CSeq: 4");
        assert_eq!(
            digest(NOTIFY.as_bytes()).identity,
            digest(NOTIFY.as_bytes()).identity
        );
        assert_ne!(
            digest(NOTIFY.as_bytes()).identity,
            digest(other.as_bytes()).identity
        );
    }

    #[test]
    fn what_nobody_can_read_is_counted() {
        let read = digest(b"\xff\x00\x1b[2J\r\n\r\n");
        assert_eq!(read.label, "10 bytes");
        assert!(!read.details[0].contains('\u{1b}'), "{read:?}");
        assert_eq!(digest(b"").label, "0 bytes");
    }
}
