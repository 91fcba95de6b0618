//! Illegal messages of the kinds that RFC 4475 §3.1.2 and RFC 5118 warn of, each with the status it deserves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

mod support;

use sip::{Message, Name, ParseError};
use support::{crlf, request};

/// The message can be answered, and this is the answer.
fn refused(bytes: &[u8], status: u16) -> Option<Name> {
    let message = Message::parse(bytes).expect("parses");
    message.essentials().expect("can be answered");
    let flaw = message.check().expect_err(&String::from_utf8_lossy(bytes));
    assert_eq!(
        flaw.status,
        status,
        "{flaw}: {}",
        String::from_utf8_lossy(bytes)
    );
    flaw.header
}

const OPTIONS: &str = "OPTIONS sip:sam@south.example SIP/2.0";

/// RFC 4475 §3.1.2.6–12, §3.1.2.16 and RFC 5118 §4.2.
#[test]
fn request_lines() {
    for (start, status) in [
        ("OPTIONS <sip:sam@south.example> SIP/2.0", 400),
        ("OPTIONS sip:sam@south.example; lr SIP/2.0", 400),
        ("OPTIONS  sip:sam@south.example SIP/2.0", 400),
        ("OPTIONS sip:sam@south.example  SIP/2.0", 400),
        ("OPTIONS sip:sam@south.example SIP/2.0 ", 400),
        ("OPTIONS sip:sam@south.example\tSIP/2.0", 400),
        (
            "OPTIONS sip:sam@south.example?Route=%3Csip:a.example%3E SIP/2.0",
            400,
        ),
        ("OPTIONS sip:2001:db8::10 SIP/2.0", 400),
        ("OPTIONS sip:[2001:db8::10 SIP/2.0", 400),
        ("OPTIONS sip:[2001:db8:::10] SIP/2.0", 400),
        ("OPTIONS sip:sam@ SIP/2.0", 400),
        ("OPTIONS sip:@south.example SIP/2.0", 400),
        ("OPTIONS sip:sam@south.example:70000 SIP/2.0", 400),
        ("OPTIONS sip:sam@south.example: SIP/2.0", 400),
        ("OPTIONS sip:s%6@south.example SIP/2.0", 400),
        ("OPTIONS sip:s@m@south.example SIP/2.0", 400),
        // RFC 3261 §19.1.1: a parameter stands once, however it is written.
        ("OPTIONS sip:sam@south.example;lr;%6CR SIP/2.0", 400),
        ("OPTIONS tel:+15550100;ext=1;ext=2 SIP/2.0", 400),
        (
            "OPTIONS sip:s@m.example;a;b;c;d;e;f;g;h;i;j;k;A SIP/2.0",
            400,
        ),
        ("OPTIONS south.example SIP/2.0", 400),
        ("OPTIONS tel:not-a-number SIP/2.0", 400),
        ("OPTIONS nobodyhasthis:opaque SIP/2.0", 416),
        ("OPTIONS soap.beep://192.0.2.9:3002 SIP/2.0", 416),
        ("OPTIONS http://www.south.example/ SIP/2.0", 416),
        ("OPTIONS sip:sam@south.example SIP/7.0", 505),
        ("OPTIONS sip:sam@south.example SIP/3.0", 505),
    ] {
        refused(&request(start, &[], ""), status);
    }
}

/// RFC 4475 §3.1.2.15: with another version nothing else is looked at.
#[test]
fn another_version_throughout() {
    let bytes = request(
        "OPTIONS sip:sam@south.example SIP/7.0",
        &[
            "Via: SIP/7.0/UDP c.example;branch=z9hG4bK1",
            "Content-Length: -1",
        ],
        "",
    );
    refused(&bytes, 505);
}

const HEADER_FIELDS: &[(&[&str], Name)] = &[
    (&["Via: SIP/2.0/UDP 10.1.2.3;;,;,,"], Name::Via),
    (
        &[
            "Via: SIP/2.0/UDP 10.1.2.3;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP",
        ],
        Name::Via,
    ),
    (&["Via: SIP/2.0/UDP 10.1.2.3;branch=a;branch=b"], Name::Via),
    (
        &["Via: SIP/2.0/UDP h\u{e4}st.example;branch=z9hG4bK1"],
        Name::Via,
    ),
    (
        &["Via: HTTP/2.0/UDP host.example;branch=z9hG4bK1"],
        Name::Via,
    ),
    (
        &["Via: SIP/2.0/UDP a.example;branch=z9hG4bK1", "v:"],
        Name::Via,
    ),
    (&["Contact: \"N\" <sip:nora@10.1.2.3>;;;;"], Name::Contact),
    (
        &["Contact: sip:nora@10.1.2.3?Route=%3Csip:a.example%3E"],
        Name::Contact,
    ),
    (&["Contact: <sip:nora@10.1.2.3"], Name::Contact),
    (&["Contact: <*>"], Name::Contact),
    // RFC 3261 §25.1, `headers`: behind the question mark something has a name.
    (&["Contact: <sip:nora@10.1.2.3?>"], Name::Contact),
    (&["Contact: <sip:nora@10.1.2.3?a=b&=c>"], Name::Contact),
    (&["To: \"Mr. S <sip:sam@south.example>"], Name::To),
    (
        &["To: \"Watson, Thomas\" < sip:sam@south.example >"],
        Name::To,
    ),
    (
        &["From: Bell, Alexander <sip:nora@north.example>;tag=1"],
        Name::From,
    ),
    (&["From: \u{c4} <sip:nora@north.example>;tag=1"], Name::From),
    (&["From: <sip:nora@north.example>;tag=1;tag=2"], Name::From),
    (
        &["From: <sip:nora@north.example>, <sip:other@north.example>;tag=1"],
        Name::From,
    ),
    // A tag has a value (RFC 3261 §25.1, `tag-param`).
    (&["To: <sip:sam@south.example>;tag"], Name::To),
    (&["From: <sip:nora@north.example>;tag=\"\""], Name::From),
    (&["From: <sip:nora@north.example>;tag=\"a b\""], Name::From),
    // An escape has two digits whatever the scheme (RFC 3261 §25.1, `uric`).
    (&["To: <isbn:29837%>"], Name::To),
    (&["Content-Length: -999"], Name::ContentLength),
    (&["Content-Length: +0"], Name::ContentLength),
    (&["Content-Length: 0, 0"], Name::ContentLength),
    (&["Content-Length:"], Name::ContentLength),
    (&["Content-Length: 1"], Name::ContentLength),
    (
        &["Content-Length: 99999999999999999999999"],
        Name::ContentLength,
    ),
    (&["Content-Length: 0", "l: 0"], Name::ContentLength),
    // RFC 3261 §8.1.1.5: less than 2**31.
    (&["CSeq: 2147483648 OPTIONS"], Name::CSeq),
    (&["CSeq: 4294967296 OPTIONS"], Name::CSeq),
    (&["CSeq: 36893488147419103232 OPTIONS"], Name::CSeq),
    (&["CSeq: 8 INVITE"], Name::CSeq),
    (&["CSeq: 8 options"], Name::CSeq),
    (&["CSeq: 5 OPTIONS", "CSeq: 59 OPTIONS"], Name::CSeq),
    (&["Call-ID: one@a", "i: two@a"], Name::CallId),
    (&["Call-ID: one\u{e4}@a"], Name::CallId),
    (
        &["To: <sip:a@south.example>", "To: <sip:b@south.example>"],
        Name::To,
    ),
    (
        &[
            "From: <sip:a@a.example>;tag=1",
            "f: <sip:b@a.example>;tag=2",
        ],
        Name::From,
    ),
    (&["Max-Forwards: 70", "Max-Forwards: 5"], Name::MaxForwards),
    (&["Max-Forwards: 300"], Name::MaxForwards),
    (&["Max-Forwards: -1"], Name::MaxForwards),
    (&["Expires: soon"], Name::Expires),
    (&["Expires: 60", "Expires: 60"], Name::Expires),
    (&["Date: Fri, 01 Jan 2010 16:00:00 EST"], Name::Date),
    (&["Contact:"], Name::Contact),
    (
        &["Contact: <sip:a@a.example, <sip:b@b.example>"],
        Name::Contact,
    ),
    (&["Route: sip:a.example;lr"], Name::Route),
    (&["Record-Route: <sip:a b>"], Name::RecordRoute),
    (&["Event: "], Name::Event),
    (&["Event: presence;;"], Name::Event),
    (&["Event: presence", "o: dialog"], Name::Event),
    (&["Content-Type: application"], Name::ContentType),
    (&["SIP-If-Match: *"], Name::SipIfMatch),
    (&["SIP-If-Match: a, b"], Name::SipIfMatch),
    (&["SIP-If-Match: a", "SIP-If-Match: b"], Name::SipIfMatch),
];

/// RFC 4475 §3.1.2.1–5, §3.1.2.13–14, §3.1.2.17, §3.1.2.19, §3.3.8–9, field by field.
#[test]
fn header_fields() {
    for (lines, header) in HEADER_FIELDS {
        assert_eq!(
            refused(&request(OPTIONS, lines, ""), 400),
            Some(*header),
            "{lines:?}"
        );
    }
}

/// RFC 4475 §3.1.2.18: an unknown method that CSeq contradicts is 501 before it is 400.
#[test]
fn unknown_method_and_another_cseq() {
    let bytes = request(
        "NEWMETHOD sip:sam@south.example SIP/2.0",
        &["CSeq: 8 INVITE"],
        "",
    );
    assert_eq!(refused(&bytes, 501), Some(Name::CSeq));
}

/// Line ends of one kind only, and every line a header field.
#[test]
fn lines() {
    for line in [
        "Subject: a\rVia: SIP/2.0/UDP evil.example",
        "Subject: a\nVia: SIP/2.0/UDP evil.example",
        "no header at all",
        ": no name",
        "Spaced Name: x",
        " fold after nothing: x",
    ] {
        let mut bytes = format!("{OPTIONS}\r\n{line}\r\n").into_bytes();
        let rest = request(OPTIONS, &[], "");
        bytes.extend_from_slice(&rest[OPTIONS.len() + 2..]);
        refused(&bytes, 400);
    }
    let lines = vec!["X: y"; 600];
    refused(&request(OPTIONS, &lines, ""), 513);
}

/// RFC 4475 §3.1.2.19 and §3.3.1: what cannot be answered at all.
#[test]
fn unanswerable() {
    for missing in ["-Via:", "-From:", "-To:", "-Call-ID:", "-CSeq:"] {
        let bytes = request(OPTIONS, &[missing], "");
        let message = Message::parse(&bytes).unwrap();
        assert!(message.essentials().is_err(), "{missing}");
        assert_eq!(message.check().unwrap_err().status, 400);
    }
    for start in [
        "",
        "GARBAGE",
        "INVITE sip:alan@south.example",
        "GET / HTTP/1.1",
        "SIP/2.0 4294967301 better not",
        "SIP/2.0 99 low",
        "SIP/2.0 700 high",
        "SIP/2.0 20",
        "SIP/2.0",
        "(){} sip:sam@south.example SIP/2.0",
        " OPTIONS sip:sam@south.example SIP/2.0",
    ] {
        let bytes = crlf(&format!("{start}\nVia: SIP/2.0/UDP a.example\n\n"));
        assert_eq!(
            Message::parse(&bytes).err(),
            Some(ParseError::StartLine),
            "{start}"
        );
    }
    assert_eq!(Message::parse(b"").err(), Some(ParseError::Empty));
    assert_eq!(Message::parse(b"\r\n\r\n").err(), Some(ParseError::Empty));
}

/// RFC 4475 §3.1.2.5: a response whose numbers don't fit is dropped, one with an odd Retry-After is not.
#[test]
fn responses() {
    let response = |sequence: &str, extra: &str| {
        crlf(&format!(
            "SIP/2.0 503 Service Unavailable\nVia: SIP/2.0/TCP a.example;branch=z9hG4bK1\nFrom: <sip:a@a.example>;tag=1\nTo: <sip:b@b.example>\nCall-ID: 1\nCSeq: {sequence} NOTIFY\n{extra}\n\n"
        ))
    };
    let bytes = response("1", "Retry-After: 949302838503028349304023988");
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.check(), Ok(()));
    assert_eq!(message.retry_after(), Ok(Some(u32::MAX)));
    let bytes = response("9292394834772304023312", "Retry-After: 1");
    assert!(Message::parse(&bytes).unwrap().check().is_err());
    let bytes = response("1", "Retry-After: 18 (at the \"pub\");duration=5");
    assert_eq!(Message::parse(&bytes).unwrap().retry_after(), Ok(Some(18)));
}

/// RFC 3261 §7: the empty line is there even without a body. What is cut off before it may have lost more than that.
#[test]
fn a_datagram_that_was_cut_in_its_header_section_is_refused() {
    let whole = request(OPTIONS, &["-Content-Length:", "Expires: 3600"], "");
    assert_eq!(Message::parse(&whole).unwrap().check(), Ok(()));
    for cut in [2, 4, 6] {
        refused(&whole[..whole.len() - cut], 400);
    }
}
