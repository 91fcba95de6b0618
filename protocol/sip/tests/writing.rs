//! Requests, responses and copies: exact bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

mod support;

use std::net::SocketAddr;

use sip::{Message, Method, Name, Writer, response_to};
use support::{crlf, request};

#[test]
fn a_request() {
    let mut out = b"before".to_vec();
    let mut writer = Writer::request(&mut out, Method::Notify, "sip:nora@10.1.2.3");
    writer
        .header(Name::Via, "SIP/2.0/UDP s.example;branch=z9hG4bK1")
        .number(Name::MaxForwards, 70)
        .pieces(Name::To, &[b"<sip:n@n.example>", b";tag=", b"n1"])
        .named("X-Own", b"\xff")
        .header(Name::Other, "nothing")
        .body("application/pidf+xml", b"<presence/>");
    let expected = crlf(
        "NOTIFY sip:nora@10.1.2.3 SIP/2.0\nVia: SIP/2.0/UDP s.example;branch=z9hG4bK1\nMax-Forwards: 70\nTo: <sip:n@n.example>;tag=n1\nX-Own: ?\nContent-Type: application/pidf+xml\nContent-Length: 11\n\n<presence/>",
    );
    let written: Vec<u8> = out[6..]
        .iter()
        .map(|byte| if *byte == 0xff { b'?' } else { *byte })
        .collect();
    assert_eq!(
        String::from_utf8_lossy(&written),
        String::from_utf8_lossy(&expected)
    );
}

/// Whatever a value holds, it stays in its line.
#[test]
fn no_line_is_broken() {
    let mut out = Vec::new();
    let mut writer = Writer::response(&mut out, 400, "Bad\r\nVia: x");
    writer
        .header(Name::Subject, "a\r\n \t b\nTo: evil\r\n\r\nbody\0end \r\n")
        .named("Evil: x\r\nTo", "y")
        .end(0);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "SIP/2.0 400 Bad Via: x\r\nSubject: a b To: evil body\0end \r\nContent-Length: 0\r\n\r\n"
    );
}

fn response(lines: &[&str], tag: Option<&str>, source: Option<&str>) -> String {
    let bytes = request("SUBSCRIBE sip:sam@south.example SIP/2.0", lines, "");
    let message = Message::parse(&bytes).unwrap();
    let source: Option<SocketAddr> = source.map(|source| source.parse().unwrap());
    let mut out = Vec::new();
    response_to(&mut out, &message, 200, "", tag, source)
        .copy(&message, Name::RecordRoute)
        .end(0);
    String::from_utf8(out).unwrap().replace("\r\n", "\n")
}

#[test]
fn a_response_repeats_its_request() {
    let text = response(
        &[
            "v: SIP/2.0/UDP\r\n desk.north.example;branch=z9hG4bK1 , SIP/2.0/TCP a.example",
            "Via: SIP/2.0/TCP b.example",
            "Timestamp: 54",
            "Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>",
        ],
        Some("s1"),
        Some("10.9.8.7:5061"),
    );
    assert_eq!(
        text,
        "SIP/2.0 200 OK
Via: SIP/2.0/UDP desk.north.example;branch=z9hG4bK1;received=10.9.8.7
Via: SIP/2.0/TCP a.example
Via: SIP/2.0/TCP b.example
From: Nora <sip:nora@north.example>;tag=n1
To: <sip:sam@south.example>;tag=s1
Call-ID: torture-1@desk.north.example
CSeq: 17 SUBSCRIBE
Timestamp: 54
Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>
Content-Length: 0

"
    );
}

/// RFC 3261 §18.2.1 and RFC 3581 §4: what the topmost Via says about where the request came from.
#[test]
fn received_and_rport() {
    for (via, source, expected) in [
        (
            "10.1.2.3;branch=b",
            Some("10.1.2.3:5060"),
            "10.1.2.3;branch=b",
        ),
        (
            "10.1.2.3;branch=b",
            Some("10.1.2.4:5060"),
            "10.1.2.3;branch=b;received=10.1.2.4",
        ),
        (
            "10.1.2.3;rport;branch=b",
            Some("10.1.2.3:7"),
            "10.1.2.3;branch=b;received=10.1.2.3;rport=7",
        ),
        (
            "h.example;received=6.6.6.6;rport=6;branch=b;x=\"a;b\"",
            Some("10.1.2.3:7"),
            "h.example;branch=b;x=\"a;b\";received=10.1.2.3;rport=7",
        ),
        (
            "[2001:db8::1]:5060;branch=b",
            Some("[2001:db8::1]:5060"),
            "[2001:db8::1]:5060;branch=b",
        ),
        (
            "[2001:db8::1];branch=b",
            Some("[2001:db8::2]:5060"),
            "[2001:db8::1];branch=b;received=2001:db8::2",
        ),
        (
            "10.1.2.3;branch=b",
            Some("[::ffff:10.1.2.3]:5060"),
            "10.1.2.3;branch=b",
        ),
        ("h.example;rport;branch=b", None, "h.example;rport;branch=b"),
        (
            "10.1.2.3;;,;,,",
            Some("10.1.2.4:5060"),
            "10.1.2.3;received=10.1.2.4",
        ),
    ] {
        let text = response(&[&format!("Via: SIP/2.0/UDP {via}")], None, source);
        let line = text.lines().nth(1).unwrap();
        assert_eq!(line, format!("Via: SIP/2.0/UDP {expected}"));
    }
}

/// A tag that is there stays; torn addresses are repeated and get one too.
#[test]
fn to_tags() {
    for (to, tag, expected) in [
        ("<sip:s@s.example>", None, "<sip:s@s.example>"),
        (
            "<sip:s@s.example>;tag=old",
            Some("new"),
            "<sip:s@s.example>;tag=old",
        ),
        (
            "sip:s@s.example ; tag = old",
            Some("new"),
            "sip:s@s.example ; tag = old",
        ),
        (
            "\"S <sip:s@s.example>",
            Some("new"),
            "\"S <sip:s@s.example>;tag=new",
        ),
        (
            "<sip:s@s.example;tag=inside>",
            Some("new"),
            "<sip:s@s.example;tag=inside>;tag=new",
        ),
    ] {
        let text = response(&[&format!("To: {to}")], tag, None);
        let line = text.lines().find(|line| line.starts_with("To: ")).unwrap();
        assert_eq!(line, format!("To: {expected}"));
    }
}

/// RFC 3261 §8.2.6.2: From equals the request's, and a display name may hold a NUL (§25.1, `quoted-pair`).
#[test]
fn a_nul_in_a_display_name_comes_back() {
    let from = "From: \"a\\\0b\" <sip:nora@north.example>;tag=1";
    let written = response(&[from], None, None);
    assert!(written.contains(from), "{written:?}");
}

/// The request is malformed, its answer finds the way nevertheless (RFC 3581 §4).
#[test]
fn an_empty_via_line_does_not_hide_where_the_answer_goes() {
    let lines = ["Via:", "v: SIP/2.0/UDP 10.1.2.3;rport;branch=z9hG4bK1"];
    let written = response(&lines, None, Some("10.9.9.9:4711"));
    let top = written.lines().find(|line| line.starts_with("Via"));
    let expected = "Via: SIP/2.0/UDP 10.1.2.3;branch=z9hG4bK1;received=10.9.9.9;rport=4711";
    assert_eq!(top, Some(expected));
}
