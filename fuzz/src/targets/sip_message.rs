//! A message: the index stays inside, what is written reads back, an answer can be answered.

use std::ops::Range;

use sip::{Message, Name, Via, Writer, response_to};

/// As many lines as leave room for a Content-Length of ours.
const LINES_MAX: usize = 500;

/// Reads the bytes as one datagram.
pub fn run(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else {
        return;
    };
    stays_inside(bytes, &message);
    means_the_same_alone(&message);
    verdicts_agree(&message);
    reads_back(&message);
    if message.is_request() && message.essentials().is_ok() {
        is_answered(&message);
    }
}

/// Where a part stands in the whole.
fn place(whole: &[u8], part: &[u8]) -> Range<usize> {
    let offset = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    let end = offset.wrapping_add(part.len());
    assert!(
        offset <= whole.len() && end <= whole.len(),
        "a part lies outside of the message"
    );
    offset..end
}

/// Head and body are the message, and the fields stand in its head, one behind the other.
fn stays_inside(bytes: &[u8], message: &Message<'_>) {
    let whole = place(bytes, message.bytes());
    assert!(
        bytes[..whole.start]
            .iter()
            .all(|byte| matches!(byte, b'\r' | b'\n')),
        "only line ends are skipped"
    );
    assert_eq!(
        [message.head(), message.body()].concat(),
        message.bytes(),
        "head and body are the message"
    );
    let mut end = 0;
    for (name, value) in message.fields() {
        let (name_at, value_at) = (place(message.head(), name), place(message.head(), value));
        assert!(
            end <= name_at.start && name_at.end < value_at.start.max(name_at.end + 1),
            "fields overlap"
        );
        assert!(value_at.start >= name_at.end && value_at.end >= end);
        end = value_at.end;
        let found = std::str::from_utf8(name)
            .ok()
            .and_then(|name| message.header_named(name));
        assert!(found.is_some(), "a field is not found by its own name");
    }
}

/// The message without what stood around it is the same message; what follows it changes nothing where its length is said.
fn means_the_same_alone(message: &Message<'_>) {
    let alone = Message::parse(message.bytes());
    let Ok(alone) = alone else {
        unreachable!("a message without what stood around it is one")
    };
    assert_eq!(alone.bytes(), message.bytes());
    assert_eq!(
        alone.check(),
        message.check(),
        "the verdict depends on what stands around"
    );
    assert_eq!(fields(&alone), fields(message));
    let ended = is_ended(message.head());
    assert!(
        ended || message.check().is_err(),
        "a header section without an end was let in"
    );
    let said = message.content_length().ok().flatten().filter(|_| ended);
    if said.is_some_and(|length| length as usize == message.body().len()) {
        let more = [message.bytes(), b"\r\nINVITE sip:x@y SIP/2.0\r\n\r\n"].concat();
        let again = Message::parse(&more).map(|again| again.bytes() == message.bytes());
        assert_eq!(again, Ok(true), "a message swallows what follows it");
    }
}

/// Whether the empty line is there; LF alone ends lines only where it ended the first.
fn is_ended(head: &[u8]) -> bool {
    let first = head.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let bare = !head[..first].ends_with(b"\r");
    head.ends_with(b"\r\n\r\n") || bare && (head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n"))
}

fn fields(message: &Message<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    message
        .fields()
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect()
}

/// What `check` lets pass every reader reads.
fn verdicts_agree(message: &Message<'_>) {
    let verdict = message.check();
    let essentials = message.essentials();
    assert!(
        essentials.is_ok() || verdict.is_err(),
        "well-formed, and cannot be answered: {essentials:?}"
    );
    if verdict.is_err() {
        return;
    }
    assert!(message.via().is_ok() && message.vias().all(|via| via.is_ok()));
    assert!(message.from().is_ok() && message.to().is_ok());
    assert!(message.cseq().is_ok() && message.call_id().is_ok());
    assert!(message.content_length().is_ok());
    assert!(message.body().len() as u64 <= u64::from(u32::MAX));
    if let Ok(Some(length)) = message.content_length() {
        assert_eq!(
            length as usize,
            message.body().len(),
            "a body that is cut was let in"
        );
    }
    if !message.is_request() {
        return;
    }
    assert_eq!(message.cseq().map(|cseq| cseq.method), Ok(message.method()));
    assert!(sip::Uri::parse(message.request_uri()).is_ok());
    assert!(message.contacts().all(|contact| contact.is_ok()));
    assert!(
        message
            .routes()
            .chain(message.record_routes())
            .all(|route| route.is_ok())
    );
    assert!(message.expires().is_ok() && message.max_forwards().is_ok());
    assert!(message.event().is_ok() && message.subscription_state().is_ok());
    assert!(message.content_type().is_ok() && message.sip_if_match().is_ok());
}

/// The message composed again from its parts.
fn rewritten(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = match message.status() {
        Some(status) => Writer::response(&mut out, status, message.reason()),
        None => Writer::request(&mut out, message.method(), message.request_uri()),
    };
    for (name, value) in message.fields() {
        if Name::read(name) != Name::ContentLength {
            writer.named(&String::from_utf8_lossy(name), value);
        }
    }
    writer.end(message.body().len());
    out.extend_from_slice(message.body());
    out
}

/// Written and read, a message says what it said; written once more, it is the same bytes.
fn reads_back(message: &Message<'_>) {
    if message.fields().count() > LINES_MAX {
        return;
    }
    let well_formed = message.check().is_ok();
    let once = rewritten(message);
    let Ok(second) = Message::parse(&once) else {
        assert!(
            !well_formed,
            "what we write of a well-formed message does not read"
        );
        return;
    };
    if well_formed {
        assert_eq!(
            second.check(),
            Ok(()),
            "what we write of a well-formed message is not"
        );
    }
    assert_eq!(second.body(), message.body());
    assert_eq!(second.status(), message.status());
    assert_eq!(second.method(), message.method());
    let kept = |field: &(Vec<u8>, Vec<u8>)| Name::read(&field.0) != Name::ContentLength;
    let before: Vec<_> = fields(message).into_iter().filter(kept).collect();
    let after: Vec<_> = fields(&second).into_iter().filter(kept).collect();
    assert_eq!(
        before.len(),
        after.len(),
        "a field breaks out of its line, or is lost"
    );
    for ((name, value), (name_after, value_after)) in before.iter().zip(&after) {
        assert_eq!(name, name_after);
        if !value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            assert_eq!(value, value_after, "a value changes by being written");
        }
    }
    let twice = rewritten(&second);
    let Ok(third) = Message::parse(&twice) else {
        unreachable!("what was read once is read again")
    };
    assert_eq!(fields(&third), fields(&second));
    assert_eq!(
        rewritten(&third),
        twice,
        "writing what was read does not come to rest"
    );
}

/// The answer goes back where the request came from, and its sender knows it again.
fn is_answered(request: &Message<'_>) {
    let source = std::net::SocketAddr::from(([192, 0, 2, 77], 4711));
    let mut out = Vec::new();
    response_to(&mut out, request, 400, "", Some("ours"), Some(source)).end(0);
    let Ok(response) = Message::parse(&out) else {
        unreachable!("our answer does not read")
    };
    if request.check().is_ok() {
        assert_eq!(
            response.check(),
            Ok(()),
            "the answer to a well-formed request is not"
        );
    }
    assert_eq!(response.status(), Some(400));
    let (Ok(asked), Ok(answered)) = (request.essentials(), response.essentials()) else {
        unreachable!("the answer to a request that can be answered is none")
    };
    assert_eq!(asked.call_id, answered.call_id);
    assert_eq!(asked.cseq, answered.cseq);
    assert_eq!(
        asked.from.tag().map(unfolded),
        answered.from.tag().map(unfolded)
    );
    // What we add to a torn quoted string or address is part of it; such a request has no better answer.
    let whole = |text: &str| request.check().is_ok() || !text.contains(['"', '<', '>']);
    if whole(asked.to.text()) && (request.check().is_ok() || !asked.to.params.has("tag")) {
        assert!(answered.to.tag().is_some(), "an answer without a To tag");
    }
    if request.check().is_ok() {
        assert_eq!(response.vias().count(), request.vias().count());
    }
    if whole(asked.via.params.text()) {
        comes_home(&asked.via, &answered.via, source);
    }
}

/// Line ends and the whitespace around them as the one space that they mean (RFC 3261 §7.3.1).
fn unfolded(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        out.push_str(rest[..at].trim_end_matches([' ', '\t']));
        out.push(' ');
        rest = rest[at..].trim_start_matches([' ', '\t', '\r', '\n']);
    }
    out.push_str(rest);
    out
}

fn comes_home(asked: &Via<'_>, answered: &Via<'_>, source: std::net::SocketAddr) {
    assert_eq!(asked.branch.map(unfolded), answered.branch.map(unfolded));
    assert_eq!(unfolded(asked.host), unfolded(answered.host));
    assert_eq!(asked.port, answered.port);
    // RFC 3581 §4.
    if asked.params.has("rport") {
        assert_eq!(answered.rport(), Some(Some(source.port())));
        assert_eq!(answered.received(), Some(source.ip()));
    } else if asked.address() != Some(source.ip()) {
        // RFC 3261 §18.2.1.
        assert_eq!(answered.received(), Some(source.ip()));
    }
}
