//! What holds for every message of every flow: no step has to say it.

use sip::{Message, Name, response_to};

use crate::agent::Dialog;
use crate::driver::{Place, Transport};
use crate::matching::{parameter_of, value};

fn fails(rule: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if rule { Ok(()) } else { Err(why()) }
}

/// RFC 3261 §8.2.6.2: Via, From, Call-ID, CSeq are the request's; To too, and has a tag. RFC 3581 §4: rport and received.
pub(crate) fn response(sent: &Message<'_>, came: &Message<'_>, place: Place) -> Result<(), String> {
    for name in ["From", "Call-ID", "CSeq"] {
        fails(value(sent, name) == value(came, name), || {
            format!("{name} is not the request's (RFC 3261 §8.2.6.2)")
        })?;
    }
    let (to, back) = (
        value(sent, "To").unwrap_or_default(),
        value(came, "To").unwrap_or_default(),
    );
    let tag = parameter_of(&back, "tag");
    match parameter_of(&to, "tag") {
        Some(known) => fails(tag == Some(known), || {
            "the tag of To is not the request's (RFC 3261 §8.2.6.2)".to_owned()
        })?,
        None => fails(tag.is_some_and(|tag| !tag.is_empty()), || {
            "To has no tag (RFC 3261 §8.2.6.2)".to_owned()
        })?,
    }
    fails(sent.vias().count() == came.vias().count(), || {
        "the Vias are not the request's (RFC 3261 §8.2.6.2)".to_owned()
    })?;
    let via = came.via().map_err(|flaw| flaw.to_string())?;
    let asked = sent.via().map_err(|flaw| flaw.to_string())?;
    fails(
        via.branch == asked.branch && via.sent_by() == asked.sent_by(),
        || "the topmost Via is not the request's (RFC 3261 §8.2.6.2)".to_owned(),
    )?;
    if asked.rport().is_some() {
        fails(via.received() == Some(place.address.ip()), || {
            "received is not where the request came from (RFC 3581 §4)".to_owned()
        })?;
        // A connection's own port is not the one that its user listens on.
        let port = via.rport().flatten();
        let is_it = place.transport == Transport::Tcp && port.is_some()
            || port == Some(place.address.port());
        fails(is_it, || {
            "rport is not where the request came from (RFC 3581 §4)".to_owned()
        })?;
    }
    Ok(())
}

/// A refusal carries what its status demands, and nothing that only success has.
pub(crate) fn refusal(came: &Message<'_>) -> Result<(), String> {
    let demands = match came.status() {
        Some(405) => Some((Name::Allow, "405 without Allow (RFC 3261 §21.4.6)")),
        Some(415) => Some((Name::Accept, "415 without Accept (RFC 3261 §21.4.13)")),
        Some(420) => Some((
            Name::Unsupported,
            "420 without Unsupported (RFC 3261 §21.4.15)",
        )),
        Some(423) => Some((
            Name::MinExpires,
            "423 without Min-Expires (RFC 3261 §21.4.17)",
        )),
        Some(489) => Some((
            Name::AllowEvents,
            "489 without Allow-Events (RFC 6665 §8.2.2)",
        )),
        _ => None,
    };
    if let Some((name, why)) = demands {
        fails(came.has(name), || why.to_owned())?;
    }
    fails(!came.has(Name::SipEtag), || {
        "a refusal with SIP-ETag (RFC 3903 §6)".to_owned()
    })
}

/// RFC 3903 §6, RFC 6665 §4.2.1.1: every 2xx to PUBLISH and SUBSCRIBE has Expires, shorter than asked for, never longer.
pub(crate) fn granted(sent: &Message<'_>, came: &Message<'_>) -> Result<u32, String> {
    if !matches!(sent.method().name(), "PUBLISH" | "SUBSCRIBE") {
        return Ok(0);
    }
    let granted: u32 = value(came, "Expires")
        .and_then(|value| value.parse().ok())
        .ok_or("a 2xx without Expires (RFC 3903 §6, RFC 6665 §4.2.1.1)")?;
    let asked: Option<u32> = value(sent, "Expires").and_then(|value| value.parse().ok());
    fails(asked.is_none_or(|asked| granted <= asked), || {
        format!(
            "{granted} s are granted, {} s were asked for (RFC 3903 §6, RFC 6665 §4.2.1.1)",
            asked.unwrap_or_default()
        )
    })?;
    Ok(granted)
}

/// RFC 3903 §6, §11.3: the 200 has an entity-tag; PUBLISH makes no dialog, so neither Contact nor Record-Route come back.
pub(crate) fn publication(came: &Message<'_>) -> Result<String, String> {
    for name in [Name::Contact, Name::RecordRoute] {
        fails(!came.has(name), || {
            format!("the answer to a PUBLISH has {} (RFC 3903 §6)", name.text())
        })?;
    }
    value(came, "SIP-ETag")
        .ok_or_else(|| "a 200 to a PUBLISH without SIP-ETag (RFC 3903 §6)".to_owned())
}

/// RFC 3261 §12.1.1: the 2xx has a Contact, and Record-Route as it was in the request.
pub(crate) fn subscription(sent: &Message<'_>, came: &Message<'_>) -> Result<(), String> {
    fails(
        came.contact().is_ok_and(|contact| contact.is_some()),
        || "a 2xx to a SUBSCRIBE without Contact (RFC 3261 §12.1.1)".to_owned(),
    )?;
    fails(
        value(sent, "Record-Route") == value(came, "Record-Route"),
        || "Record-Route is not the request's (RFC 3261 §12.1.1)".to_owned(),
    )
}

/// RFC 3261 §8.1.1: what every request carries. Gives its branch.
pub(crate) fn request(request: &Message<'_>) -> Result<String, String> {
    let via = request.via().map_err(|flaw| flaw.to_string())?;
    let branch = via.branch.unwrap_or_default();
    fails(branch.starts_with("z9hG4bK") && branch.len() > 7, || {
        format!("branch {branch:?} (RFC 3261 §8.1.1.7)")
    })?;
    fails(
        request.from().is_ok_and(|from| from.tag().is_some()),
        || "From has no tag (RFC 3261 §8.1.1.3)".to_owned(),
    )?;
    let hops: Option<u32> = value(request, "Max-Forwards").and_then(|value| value.parse().ok());
    fails(hops.is_some_and(|hops| (1..=255).contains(&hops)), || {
        "no Max-Forwards from 1 to 255 (RFC 3261 §8.1.1.6)".to_owned()
    })?;
    let method = request.method();
    fails(
        request
            .cseq()
            .is_ok_and(|cseq| cseq.method.name() == method.name()),
        || "CSeq names another method (RFC 3261 §8.1.1.5)".to_owned(),
    )?;
    Ok(branch.to_owned())
}

/// RFC 6665 §4.1.3, §4.2.2: what a NOTIFY has to say, and how it goes with the one before it in its dialog.
pub(crate) fn notify(notify: &Message<'_>, dialog: &Dialog, contact: &str) -> Result<(), String> {
    fails(!dialog.is_over, || {
        "a NOTIFY after the last (RFC 6665 §4.4.3)".to_owned()
    })?;
    fails(notify.request_uri() == contact, || {
        format!(
            "the Request-URI is {}, not the Contact {contact} (RFC 3261 §12.2.1.1)",
            notify.request_uri()
        )
    })?;
    fails(
        notify.contact().is_ok_and(|contact| contact.is_some()),
        || "no Contact (RFC 6665 §4.2.2)".to_owned(),
    )?;
    let number = notify.cseq().map_err(|flaw| flaw.to_string())?.number;
    if let Some(before) = dialog.remote_cseq {
        fails(number == before.wrapping_add(1), || {
            format!("CSeq {number} after {before} (RFC 3261 §12.2.1.1)")
        })?;
    }
    let left = value(notify, "Subscription-State;expires").map(|left| left.parse::<u32>());
    let reason = value(notify, "Subscription-State;reason");
    match value(notify, "Subscription-State").as_deref() {
        Some("active" | "pending") => {
            fails(reason.is_none(), || {
                "a reason, though it goes on (RFC 6665 §4.1.3)".to_owned()
            })?;
            let left = left
                .and_then(Result::ok)
                .ok_or("Subscription-State without expires (RFC 6665 §4.2.2)")?;
            let most = dialog.left.unwrap_or(u32::MAX).min(dialog.granted);
            fails(left <= most, || {
                format!("{left} s are left, but there were {most} s (RFC 6665 §4.1.3)")
            })?;
        }
        Some("terminated") => {
            fails(left.is_none(), || {
                "it ended, yet it expires (RFC 6665 §4.1.3)".to_owned()
            })?;
            fails(reason.is_some(), || {
                "it ended without a reason (RFC 6665 §4.1.3)".to_owned()
            })?;
        }
        other => return Err(format!("Subscription-State {other:?} (RFC 6665 §4.1.3)")),
    }
    if notify.body().is_empty() {
        return Ok(());
    }
    let kind = value(notify, "Content-Type").unwrap_or_default();
    fails(
        dialog
            .accept
            .split(',')
            .filter_map(|accepted| accepted.split(';').next())
            .any(|accepted| accepted.trim().eq_ignore_ascii_case(&kind)),
        || {
            format!(
                "Content-Type {kind:?}, accepted is {} (RFC 6665 §4.2.2)",
                dialog.accept
            )
        },
    )
}

/// An answer with the fields that RFC 3261 §8.2.6.2 has copied.
pub(crate) fn answer(request: &Message<'_>, status: u16, reason: &str) -> Vec<u8> {
    let mut out = Vec::new();
    response_to(&mut out, request, status, reason, None, None).end(0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTIFY: &str = "NOTIFY sip:bob@10.0.1.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n\
        From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>;tag=b\r\nCall-ID: c\r\nCSeq: 3 NOTIFY\r\nContact: <sip:10.0.0.1:5060>\r\n\
        Event: presence\r\nSubscription-State: active;expires=60\r\nContent-Type: application/pidf+xml\r\nContent-Length: 2\r\n\r\nhi";

    fn dialog() -> Dialog {
        Dialog {
            remote_cseq: Some(2),
            accept: "application/pidf+xml, text/plain".to_owned(),
            granted: 100,
            left: Some(61),
            ..Dialog::new("c".to_owned(), "b".to_owned())
        }
    }

    /// What is said of the NOTIFY with one thing replaced, in a dialog.
    fn said(of: &str, by: &str, dialog: &Dialog) -> Result<(), String> {
        assert!(NOTIFY.contains(of), "{of}");
        let text = NOTIFY.replacen(of, by, 1);
        let message = Message::parse(text.as_bytes()).unwrap();
        request(&message)?;
        notify(&message, dialog, "sip:bob@10.0.1.1:5060")
    }

    #[test]
    fn a_notify_that_breaks_a_rule_is_named_with_its_clause() {
        let fresh = dialog();
        assert_eq!(said("NOTIFY", "NOTIFY", &fresh), Ok(()));
        for (of, by, why) in [
            ("z9hG4bK1", "1", "branch \"1\" (RFC 3261 §8.1.1.7)"),
            (";tag=a", "", "From has no tag"),
            ("Max-Forwards: 70", "Max-Forwards: 0", "no Max-Forwards"),
            ("3 NOTIFY", "3 OPTIONS", "CSeq names another method"),
            (
                "sip:bob@",
                "sip:carol@",
                "the Request-URI is sip:carol@10.0.1.1:5060, not the Contact",
            ),
            (
                "Contact: <sip:10.0.0.1:5060>\r\n",
                "",
                "no Contact (RFC 6665 §4.2.2)",
            ),
            ("CSeq: 3", "CSeq: 2", "CSeq 2 after 2 (RFC 3261 §12.2.1.1)"),
            ("CSeq: 3", "CSeq: 4", "CSeq 4 after 2 (RFC 3261 §12.2.1.1)"),
            (
                "expires=60",
                "expires=62",
                "62 s are left, but there were 61 s (RFC 6665 §4.1.3)",
            ),
            (";expires=60", "", "Subscription-State without expires"),
            (
                ";expires=60",
                ";expires=60;reason=timeout",
                "a reason, though it goes on",
            ),
            (
                "active;expires=60",
                "terminated",
                "it ended without a reason",
            ),
            (
                "active;",
                "terminated;reason=timeout;",
                "it ended, yet it expires",
            ),
            ("active", "asleep", "Subscription-State Some(\"asleep\")"),
            (
                "application/pidf+xml",
                "application/rlmi+xml",
                "Content-Type \"application/rlmi+xml\", accepted is",
            ),
        ] {
            let said = said(of, by, &fresh).unwrap_err();
            assert!(said.starts_with(why), "{by:?}: {said}");
        }
    }

    #[test]
    fn a_notify_is_judged_by_what_was_before_it() {
        let over = Dialog {
            is_over: true,
            ..dialog()
        };
        assert!(
            said("NOTIFY", "NOTIFY", &over)
                .unwrap_err()
                .starts_with("a NOTIFY after the last")
        );
        // Longer than granted, though no other NOTIFY was before it.
        let short = Dialog {
            left: None,
            granted: 59,
            ..dialog()
        };
        assert!(
            said("NOTIFY", "NOTIFY", &short)
                .unwrap_err()
                .starts_with("60 s are left, but there were 59 s")
        );
    }

    const PUBLISH: &str = "PUBLISH sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.1.1:5060;branch=z9hG4bK1;rport\r\n\
        From: <sip:alice@example.com>;tag=a\r\nTo: <sip:alice@example.com>\r\nCall-ID: c\r\nCSeq: 3 PUBLISH\r\nExpires: 60\r\n\r\n";
    const OK: &str = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.1.1:5060;branch=z9hG4bK1;received=10.0.1.1;rport=5060\r\n\
        From: <sip:alice@example.com>;tag=a\r\nTo: <sip:alice@example.com>;tag=b\r\nCall-ID: c\r\nCSeq: 3 PUBLISH\r\nExpires: 60\r\n\
        SIP-ETag: t\r\n\r\n";

    #[test]
    fn a_response_that_breaks_a_rule_is_named_with_its_clause() {
        let judge = |of: &str, by: &str| -> Result<(), String> {
            assert!(OK.contains(of), "{of}");
            let text = OK.replacen(of, by, 1);
            let (sent, came) = (
                Message::parse(PUBLISH.as_bytes()).unwrap(),
                Message::parse(text.as_bytes()).unwrap(),
            );
            let place = Place {
                transport: Transport::Udp,
                address: "10.0.1.1:5060".parse().unwrap(),
            };
            response(&sent, &came, place)?;
            if came.status() != Some(200) {
                return refusal(&came);
            }
            granted(&sent, &came)?;
            publication(&came).map(|_| ())
        };
        assert_eq!(judge("OK", "OK"), Ok(()));
        for (of, by, why) in [
            (";tag=a", ";tag=x", "From is not the request's"),
            ("CSeq: 3", "CSeq: 4", "CSeq is not the request's"),
            (";tag=b", "", "To has no tag"),
            (
                "z9hG4bK1",
                "z9hG4bK2",
                "the topmost Via is not the request's",
            ),
            (
                "rport=5060",
                "rport=5061",
                "rport is not where the request came from (RFC 3581 §4)",
            ),
            (
                "received=10.0.1.1",
                "received=10.0.1.2",
                "received is not where the request came from",
            ),
            ("Expires: 60\r\n", "", "a 2xx without Expires"),
            (
                "Expires: 60",
                "Expires: 61",
                "61 s are granted, 60 s were asked for",
            ),
            ("SIP-ETag: t\r\n", "", "a 200 to a PUBLISH without SIP-ETag"),
            (
                "SIP-ETag",
                "Contact: <sip:a@b>\r\nSIP-ETag",
                "the answer to a PUBLISH has Contact",
            ),
            ("200 OK", "412 No", "a refusal with SIP-ETag"),
            ("200 OK", "423 Too Brief", "423 without Min-Expires"),
            ("200 OK", "489 Bad Event", "489 without Allow-Events"),
            ("200 OK", "415 No", "415 without Accept"),
        ] {
            let said = judge(of, by).unwrap_err();
            assert!(said.starts_with(why), "{by:?}: {said}");
        }
    }
}
