//! What holds for every input.

mod support;

use proptest::prelude::*;
use sip::framing::{Frame, Framer};
use sip::{Message, Method, Name, Params, Uri, Writer, canonical, response_to};
use support::request;

/// Calls every reader there is.
fn read_everything(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else {
        return;
    };
    let answerable = message.essentials();
    let flaw = message.check();
    assert!(answerable.is_ok() || flaw.is_err());
    if flaw.is_ok() {
        assert!(message.via().is_ok() && message.from().is_ok() && message.to().is_ok());
        assert!(message.cseq().is_ok() && message.call_id().is_ok());
    }
    let _ = (
        message.method(),
        message.request_uri(),
        message.status(),
        message.reason(),
    );
    read_addresses(&message);
    read_fields(&message);
    assert_eq!([message.head(), message.body()].concat(), message.bytes());
    let mut out = Vec::new();
    response_to(
        &mut out,
        &message,
        400,
        "",
        Some("t"),
        "10.0.0.1:5".parse().ok(),
    )
    .end(0);
    if answerable.is_ok() && flaw.is_ok() {
        let Ok(response) = Message::parse(&out) else {
            unreachable!("our response parses: {}", String::from_utf8_lossy(&out));
        };
        assert_eq!(
            response.check(),
            Ok(()),
            "{}",
            String::from_utf8_lossy(&out)
        );
    }
}

fn read_addresses(message: &Message<'_>) {
    for via in message.vias().flatten() {
        let _ = (
            via.received(),
            via.rport(),
            via.maddr(),
            via.ttl(),
            via.sent_by(),
            via.address(),
        );
    }
    let names = [
        Name::Contact,
        Name::From,
        Name::To,
        Name::Route,
        Name::RecordRoute,
        Name::PAssertedIdentity,
    ];
    for address in names
        .iter()
        .flat_map(|name| message.addresses(*name))
        .flatten()
    {
        let _ = (address.tag(), address.display_name(), address.text());
        read_params(address.params);
        if let Ok(uri) = address.parsed() {
            read_uri(&uri);
        }
    }
}

fn read_fields(message: &Message<'_>) {
    let _ = (
        message.expires(),
        message.min_expires(),
        message.max_forwards(),
        message.retry_after(),
    );
    let _ = (
        message.content_length(),
        message.content_type(),
        message.event(),
        message.subscription_state(),
    );
    let _ = (
        message.sip_if_match(),
        message.sip_etag(),
        message.contact(),
    );
    let _ = message.accept().quality("application/pidf+xml");
    let _ = message
        .require()
        .chain(message.supported())
        .chain(message.allow())
        .chain(message.privacy())
        .count();
    for (name, value) in message.fields() {
        if let Ok(name) = std::str::from_utf8(name) {
            assert!(message.header_named(name).is_some());
        }
        assert_eq!(value.trim_ascii(), value.trim_ascii_start());
    }
}

fn read_params(params: Params<'_>) {
    for (name, _) in params.iter() {
        assert!(params.has(name));
    }
}

fn read_uri(uri: &Uri<'_>) {
    read_params(uri.params);
    for served in [true, false] {
        if let Some(text) = canonical(uri, |_| served) {
            let again = Uri::parse(&text).map(|uri| canonical(&uri, |_| served));
            assert_eq!(again, Ok(Some(text)));
        }
    }
}

/// Text that looks like SIP often enough to get somewhere.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "\r\n",
            "\r\n ",
            "\n",
            "\r",
            ":",
            ";",
            ",",
            "<",
            ">",
            "\"",
            "\\",
            "=",
            "@",
            "/",
            "?",
            "%",
            "*",
            "[",
            "]",
            "%00",
            "%41",
            "sip:",
            "tel:+",
            "SIP/2.0/UDP ",
            "SIP/2.0",
            "Via: ",
            "From: ",
            "To: ",
            "Contact: ",
            "Content-Length: ",
            "l:",
            "CSeq: ",
            "Call-ID: ",
            "Event: ",
            "Expires: ",
            "branch=",
            "tag=",
            "rport",
            "received=",
            "[::1]",
            "10.0.0.1",
            "0",
            "42",
            "99999999999999",
            "OPTIONS ",
            "PUBLISH",
            "presence",
            "application/pidf+xml",
            "Accept: ",
            "q=0.5",
            "user=phone",
            "\u{e9}",
            "a",
            "example.com",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ]
}

fn soup() -> impl Strategy<Value = String> {
    prop::collection::vec(fragment(), 0..24).prop_map(|parts| parts.concat())
}

fn header_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Route",
        "Record-Route",
        "Max-Forwards",
        "Expires",
        "Event",
        "Accept",
        "Content-Type",
        "Content-Length",
        "SIP-If-Match",
        "Subscription-State",
        "P-Asserted-Identity",
        "Date",
        "Require",
        "X-Any",
    ])
}

fn pieces(bytes: &[u8], cuts: &[usize]) -> Vec<(u8, Vec<u8>)> {
    let mut framer = Framer::new(400, 40);
    let mut got = Vec::new();
    let mut rest = bytes;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let cut = cuts.next().copied().unwrap_or(1).clamp(1, rest.len());
        let (piece, after) = rest.split_at(cut);
        rest = after;
        framer.push(piece);
        while let Some(frame) = framer.next() {
            got.push(match frame {
                Frame::Message(bytes) => (0, bytes.to_vec()),
                Frame::Ping => (1, Vec::new()),
                Frame::Pong => (2, Vec::new()),
                Frame::Refused { head, status } => (3, [head, &status.to_be_bytes()].concat()),
                Frame::Close(why) => (4, why.into()),
            });
        }
    }
    got
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_everything(&bytes);
        pieces(&bytes, &[7]);
    }

    #[test]
    fn soup_never_panics(text in soup()) {
        read_everything(text.as_bytes());
        pieces(text.as_bytes(), &[3]);
        if let Ok(uri) = Uri::parse(&text) {
            read_uri(&uri);
        }
    }

    #[test]
    fn any_value_in_any_field_never_panics(name in header_name(), value in soup(), start in soup()) {
        let line = format!("{name}: {value}");
        read_everything(&request("OPTIONS sip:sam@south.example SIP/2.0", &[&line], "body"));
        read_everything(&request(&format!("OPTIONS {start} SIP/2.0"), &[&line], ""));
    }

    #[test]
    fn uris_never_panic(scheme in prop::sample::select(vec!["sip:", "sips:", "tel:", "tel:+", "x:"]), rest in "[ -~]{0,30}") {
        if let Ok(uri) = Uri::parse(&format!("{scheme}{rest}")) {
            read_uri(&uri);
        }
    }

    #[test]
    fn canonical_is_idempotent(user in "([a-zA-Z0-9+;?/&=$,.-]|%[0-9a-fA-F]{2}){1,12}", host in "[a-zA-Z0-9-]{1,6}([.][a-zA-Z0-9-]{1,3}){0,2}[.]?", phone in any::<bool>()) {
        let text = format!("sip:{user}@{host}{}", if phone { ";user=phone" } else { "" });
        let uri = Uri::parse(&text).expect("a URI");
        read_uri(&uri);
        prop_assert!(canonical(&uri, |_| true).is_some());
    }

    #[test]
    fn frames_do_not_depend_on_the_pieces(
        parts in prop::collection::vec(
            prop_oneof![
                Just(request("OPTIONS sip:a@b.example SIP/2.0", &[], "")),
                Just(request("OPTIONS sip:a@b.example SIP/2.0", &[], "some body")),
                Just(request("OPTIONS sip:a@b.example SIP/2.0", &[], &"long".repeat(20))),
                Just(request("OPTIONS sip:a@b.example SIP/2.0", &["X: folded\r\n line", "l: 2"], "ab")),
                Just(b"\r\n".to_vec()),
                Just(b"\r\n\r\n".to_vec()),
                soup().prop_map(String::into_bytes),
            ],
            0..8,
        ),
        cuts in prop::collection::vec(1usize..40, 1..8),
    ) {
        let bytes = parts.concat();
        prop_assert_eq!(pieces(&bytes, &cuts), pieces(&bytes, &[bytes.len().max(1)]));
    }

    #[test]
    fn framed_messages_are_what_the_parser_sees(lines in prop::collection::vec(soup(), 0..3), body in "[ -~]{0,30}") {
        let lines: Vec<_> = lines.iter().map(|line| format!("X: {line}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let bytes = request("OPTIONS sip:a@b.example SIP/2.0", &lines, &body);
        for (kind, framed) in pieces(&bytes, &[bytes.len()]) {
            if kind == 0 && let Ok(message) = Message::parse(&framed) {
                prop_assert_eq!(message.bytes(), &framed[..]);
            }
        }
    }

    #[test]
    fn what_is_written_is_read_again(
        fields in prop::collection::vec((header_name(), "[!-~]([ -~]{0,20}[!-~])?"), 0..40),
        body in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut out = Vec::new();
        let mut writer = Writer::request(&mut out, Method::Publish, "sip:a@b.example");
        let fields: Vec<_> = fields.into_iter().filter(|(name, _)| *name != "Content-Length").collect();
        for (name, value) in &fields {
            writer.named(name, value);
        }
        writer.end(body.len());
        out.extend_from_slice(&body);
        let message = Message::parse(&out).expect("parses");
        prop_assert_eq!(message.method(), Method::Publish);
        prop_assert_eq!(message.body(), &body[..]);
        let read: Vec<_> = message.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let mut expected: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        expected.push((b"Content-Length".to_vec(), body.len().to_string().into_bytes()));
        prop_assert_eq!(read, expected);
        for (name, _) in &fields {
            let first = fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_bytes());
            prop_assert_eq!(message.header_named(name), first);
        }
    }

    #[test]
    fn nothing_breaks_out_of_a_line(value in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut out = Vec::new();
        Writer::request(&mut out, Method::Publish, "sip:a@b.example").header(Name::Subject, &value).end(0);
        let message = Message::parse(&out).expect("parses");
        prop_assert_eq!(message.fields().count(), 2);
        prop_assert_eq!(message.content_length(), Ok(Some(0)));
    }
}
