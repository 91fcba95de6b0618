//! Values of header fields: every typed reader against its own text, and against a plain reading of the grammar.

use sip::digest::{Algorithm, Answer, Challenge, Credentials, ha1};
use sip::{
    CSeq, Event, MediaType, Message, Name, NameAddr, Params, SubscriptionState, Uri, Via, canonical,
};

/// What the first byte chooses from: every field that has a reader, and one that has none.
pub const NAMES: &[Name] = &[
    Name::Via,
    Name::From,
    Name::To,
    Name::Contact,
    Name::Route,
    Name::RecordRoute,
    Name::PAssertedIdentity,
    Name::CallId,
    Name::CSeq,
    Name::MaxForwards,
    Name::Expires,
    Name::MinExpires,
    Name::RetryAfter,
    Name::ContentLength,
    Name::ContentType,
    Name::Accept,
    Name::Event,
    Name::SubscriptionState,
    Name::SipIfMatch,
    Name::SipEtag,
    Name::Date,
    Name::Require,
    Name::Supported,
    Name::Allow,
    Name::AllowEvents,
    Name::Privacy,
    Name::Timestamp,
    Name::Subject,
    Name::Authorization,
    Name::WwwAuthenticate,
];

/// The first byte names the field, the rest is its value.
pub fn run(bytes: &[u8]) {
    let [choice, value @ ..] = bytes else { return };
    let name = NAMES[usize::from(*choice) % NAMES.len()];
    let message_bytes = around(name, value);
    if let Ok(message) = Message::parse(&message_bytes) {
        in_a_message(&message, name, value);
    }
    if let Ok(text) = std::str::from_utf8(value) {
        alone(text, name);
    }
}

/// A request that is right but for this field.
fn around(name: Name, value: &[u8]) -> Vec<u8> {
    let mut out = b"SUBSCRIBE sip:sam@south.example SIP/2.0\r\n".to_vec();
    let others: [(Name, &str); 5] = [
        (Name::Via, "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKq"),
        (Name::From, "<sip:nora@north.example>;tag=n"),
        (Name::To, "<sip:sam@south.example>"),
        (Name::CallId, "1@n"),
        (Name::CSeq, "1 SUBSCRIBE"),
    ];
    for (other, text) in others.iter().filter(|(other, _)| *other != name) {
        out.extend_from_slice(format!("{other}: {text}\r\n").as_bytes());
    }
    out.extend_from_slice(format!("{name}: ").as_bytes());
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n\r\n");
    out
}

fn in_a_message(message: &Message<'_>, name: Name, value: &[u8]) {
    let verdict = message.check();
    if !value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        assert_eq!(message.headers(name).count(), 1);
        assert_eq!(
            message.header(name),
            Some(trimmed(value)),
            "a value is not what stands in its line"
        );
        let wanted = if name == Name::Via || name == Name::From {
            5
        } else {
            6
        };
        assert!(message.fields().count() >= wanted - 1);
    }
    numbers(message, name, value);
    if verdict.is_ok() {
        let fine = message.vias().all(|via| via.is_ok())
            && message.from().is_ok()
            && message.to().is_ok()
            && message.contacts().all(|contact| contact.is_ok())
            && message.routes().all(|route| route.is_ok())
            && message.record_routes().all(|route| route.is_ok())
            && message.cseq().is_ok()
            && message.call_id().is_ok()
            && message.max_forwards().is_ok()
            && message.expires().is_ok()
            && message.min_expires().is_ok()
            && message.content_length().is_ok()
            && message.content_type().is_ok()
            && message.event().is_ok()
            && message.subscription_state().is_ok()
            && message.sip_if_match().is_ok();
        assert!(fine, "`check` lets pass what a reader refuses: {name}");
    }
    assert!(message.accept().quality("application/pidf+xml") <= 1000);
    lists(message, name);
}

fn trimmed(mut value: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    while let [first, rest @ ..] = value
        && space(first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && space(last)
    {
        value = rest;
    }
    value
}

/// Digits and nothing else, the largest for what is too large.
fn numbers(message: &Message<'_>, name: Name, value: &[u8]) {
    let read = match name {
        Name::Expires => message.expires(),
        Name::MinExpires => message.min_expires(),
        Name::ContentLength => message.content_length(),
        _ => return,
    };
    if value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return;
    }
    let text = trimmed(value);
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let plain = std::str::from_utf8(text).ok().filter(|_| digits);
    let plain = plain.map(|text| text.parse::<u32>().unwrap_or(u32::MAX));
    assert_eq!(read.ok().flatten(), plain, "{name} is read otherwise");
}

/// RFC 3261 §7.3.1: a list in one line and the same list in several are the same.
fn lists(message: &Message<'_>, name: Name) {
    let values: Vec<Vec<u8>> = message.values(name).map(<[u8]>::to_vec).collect();
    if values.len() < 2 || values.len() > 40 {
        return;
    }
    let mut parted = b"SUBSCRIBE sip:a@b SIP/2.0\r\n".to_vec();
    for value in &values {
        parted.extend_from_slice(format!("{name}: ").as_bytes());
        parted.extend_from_slice(value);
        parted.extend_from_slice(b"\r\n");
    }
    parted.extend_from_slice(b"\r\n");
    let Ok(again) = Message::parse(&parted) else {
        unreachable!("a message of parted lines")
    };
    let parted: Vec<Vec<u8>> = again.values(name).map(<[u8]>::to_vec).collect();
    assert_eq!(values, parted, "a list over several lines is another list");
}

fn alone(text: &str, name: Name) {
    if let Ok(uri) = Uri::parse(text) {
        read_uri(&uri, text);
    }
    match name {
        Name::Via => {
            if let Ok(via) = Via::parse(text) {
                read_via(&via, text);
            }
        }
        Name::Event => {
            if let Ok(event) = Event::parse(text) {
                assert!(text.contains(event.package));
                assert_eq!(event.id, event.param("ID"));
                read_params(event.params);
            }
        }
        Name::SubscriptionState => {
            if let Ok(state) = SubscriptionState::parse(text) {
                assert!(text.contains(state.state) && !state.state.is_empty());
            }
        }
        Name::ContentType | Name::Accept => {
            if let Ok(media) = MediaType::parse(text, name) {
                assert!(media.matches(&format!("{}/{}", media.kind, media.subtype)));
                read_params(media.params);
            }
        }
        Name::CSeq => {
            let bytes = around(name, text.as_bytes());
            let read = Message::parse(&bytes).ok();
            if let Some(Ok(CSeq { number, method })) = read.as_ref().map(Message::cseq) {
                let again = around(name, format!("{number} {method}").as_bytes());
                let again =
                    Message::parse(&again).map(|message| message.cseq().map(|cseq| cseq.number));
                assert_eq!(again, Ok(Ok(number)));
            }
        }
        Name::Authorization => read_credentials(text),
        Name::WwwAuthenticate => read_challenge(text),
        _ => {
            if let Ok(address) = NameAddr::parse(text, name) {
                read_address(&address, name);
            }
        }
    }
}

fn read_credentials(text: &str) {
    let Some(Ok(credentials)) = Credentials::read(text) else {
        return;
    };
    for part in [credentials.nonce, credentials.uri, credentials.response] {
        assert!(text.contains(part), "what is read does not stand there");
    }
    assert!(credentials.count().is_none() || credentials.nc.len() == 8);
    for algorithm in Algorithm::ALL {
        let proved = credentials.prove(algorithm, "0", "SUBSCRIBE");
        assert!(!proved || credentials.response.len() == algorithm.digits());
    }
}

/// Whatever a server writes, our answer to it is one that it can read.
fn read_challenge(text: &str) {
    let Some(challenge) = Challenge::read(text) else {
        return;
    };
    let answer = challenge.answer(&Answer {
        username: "al\"ice\\",
        password: "secret",
        method: "SUBSCRIBE",
        uri: "sip:sam@south.example",
        count: 3,
        cnonce: "c",
    });
    let Some(Ok(read)) = Credentials::read(&answer) else {
        unreachable!("our answer can't be read: {answer}")
    };
    assert_eq!((read.nonce, read.count()), (challenge.nonce, Some(3)));
    assert_eq!(
        (read.username.as_ref(), read.algorithm),
        ("al\"ice\\", Some(challenge.algorithm))
    );
    let has_controls = challenge.realm.chars().any(char::is_control);
    if !has_controls {
        assert_eq!(read.realm, challenge.realm);
        let hash = ha1(challenge.algorithm, "al\"ice\\", &challenge.realm, "secret");
        assert!(read.prove(challenge.algorithm, &hash, "SUBSCRIBE"));
    }
}

fn read_address(address: &NameAddr<'_>, name: Name) {
    assert!(!address.uri.is_empty() && address.text().contains(address.uri));
    assert_eq!(
        NameAddr::parse(address.text(), name).as_ref(),
        Ok(address),
        "an address in its own words is another"
    );
    if let Some(display) = address.display {
        assert!(
            address
                .display_name()
                .is_some_and(|name| name.len() <= display.len())
        );
    }
    if let Some(tag) = address.tag() {
        assert!(!tag.is_empty() && address.params.text().contains(tag));
    }
    read_params(address.params);
    if let Ok(uri) = address.parsed() {
        read_uri(&uri, address.uri);
    }
}

fn read_via(via: &Via<'_>, text: &str) {
    assert!(!via.host.is_empty() && text.contains(via.sent_by()));
    assert!(via.sent_by().starts_with(via.host));
    assert_eq!(Via::parse(text).as_ref(), Ok(via));
    if let Some(branch) = via.transaction_branch() {
        assert!(branch.starts_with("z9hG4bK") && branch.len() > 7);
        assert_eq!(via.branch, Some(branch));
    }
    let _ = (
        via.received(),
        via.rport(),
        via.maddr(),
        via.ttl(),
        via.address(),
    );
    read_params(via.params);
}

fn read_params(params: Params<'_>) {
    for (name, value) in params.iter() {
        assert!(params.has(name) && params.text().contains(name));
        assert!(value.is_none_or(|value| params.text().contains(value)));
        let first = params
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        assert!(first.is_some());
    }
    assert_eq!(params.is_empty(), params.iter().count() == 0);
}

/// Taken apart and put together it is the same text; the canonical form is canonical, and is of the same user.
fn read_uri(uri: &Uri<'_>, text: &str) {
    assert_eq!(uri.text(), text);
    if !uri.host.is_empty() {
        let mut built = String::new();
        built.push_str(text.split(':').next().unwrap_or_default());
        built.push(':');
        if let Some(user) = uri.user {
            built.push_str(user);
            if let Some(password) = uri.password {
                built.push(':');
                built.push_str(password);
            }
            built.push('@');
        }
        built.push_str(uri.host);
        assert!(
            text.starts_with(&built),
            "{built} is not the beginning of {text}"
        );
        if let Some(headers) = uri.headers {
            assert!(text.ends_with(headers));
        }
    }
    read_params(uri.params);
    for served in [true, false] {
        let Some(canonical_text) = canonical(uri, |_| served) else {
            continue;
        };
        let again = Uri::parse(&canonical_text);
        assert!(again.is_ok(), "{canonical_text} is no URI");
        let again = again.ok().and_then(|again| canonical(&again, |_| served));
        assert_eq!(
            again.as_ref(),
            Some(&canonical_text),
            "canonical is not canonical"
        );
    }
}
