//! Traces as pictures: golden text, well-formed SVG whatever a peer wrote, and the trace file and back.

use ladder::{Actor, Arrival, Point, PointKind, Room, Trace, What, read, write};
use proptest::prelude::*;

fn message(start: &str, fields: &str, body: &str) -> Vec<u8> {
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/pidf+xml\r\n"
    };
    format!(
        "{start}\r\nVia: SIP/2.0/UDP 10.0.1.1;branch=z9hG4bK{}\r\nFrom: <sip:alice@example.com>;tag=a\r\nTo: <sip:alice@example.com>;tag=b\r\n\
         Call-ID: c1\r\n{fields}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        fields.len(),
        body.len()
    )
    .into_bytes()
}

const OPEN: &str = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:alice@example.com'><tuple id='t'><status><basic>open</basic></status>\
    <note>at lunch</note></tuple></presence>";

/// One publication that is lost once, notified late, and lapses after the server was gone for a while.
fn story() -> Trace {
    let mut trace = Trace::new("a publication expires");
    let (source, server, watcher) = (
        trace.actor("source"),
        trace.actor("server"),
        trace.actor("watcher"),
    );
    let publish = message(
        "PUBLISH sip:alice@example.com SIP/2.0",
        "CSeq: 1 PUBLISH\r\nEvent: presence\r\nExpires: 2",
        OPEN,
    );
    let ok = message(
        "SIP/2.0 200 OK",
        "CSeq: 1 PUBLISH\r\nExpires: 2\r\nSIP-ETag: a1",
        "",
    );
    let fields = "CSeq: 7 NOTIFY\r\nEvent: presence\r\nSubscription-State: active;expires=60";
    let notify = message("NOTIFY sip:bob@10.0.1.2 SIP/2.0", fields, OPEN);
    let mut sends = |at, from, to, bytes: Vec<u8>, arrival, cause| {
        trace.push(
            at,
            What::Message {
                from,
                to,
                over: "udp".to_owned(),
                bytes,
                arrival,
                cause,
            },
        );
    };
    sends(
        1_000_000,
        source,
        server,
        publish.clone(),
        Arrival::Lost,
        None,
    );
    sends(
        1_500_000,
        source,
        server,
        publish,
        Arrival::At(1_501_000),
        Some("0-7".to_owned()),
    );
    sends(1_501_000, server, source, ok, Arrival::At(1_502_000), None);
    sends(
        1_501_000,
        server,
        watcher,
        notify,
        Arrival::At(1_702_000),
        Some("0-7".to_owned()),
    );
    let mut stored = Point::new(PointKind::Event, Some(server), "publication.stored");
    stored
        .fields
        .push(("entity_tag".to_owned(), "a1".to_owned()));
    stored.cause = Some("0-7".to_owned());
    // Told late: pictures are in order of time.
    trace.push(1_500_500, What::Point(stored));
    the_server_is_gone_for_a_while(&mut trace, server);
    trace
}

fn the_server_is_gone_for_a_while(trace: &mut Trace, server: Actor) {
    let mut point =
        |at, kind, words| trace.push(at, What::Point(Point::new(kind, Some(server), words)));
    point(2_000_000, PointKind::Down, "the process dies");
    point(2_100_000, PointKind::Up, "it starts");
    point(3_500_000, PointKind::Timer, "publication expires");
    trace.note(3_500_000, None, "the end");
}

#[test]
fn a_story_reads_like_this() {
    let expected = "\
a publication expires

      time   source              server             watcher
     0.000   |--- PUBLISH ----X  |                  |         open \"at lunch\", lost, presence, Expires 2, CSeq 1
     0.500   |- - PUBLISH - - -->|                  |   [c1]  open \"at lunch\", again, presence, Expires 2, CSeq 1
     0.501   |                   *                  |   [c1]  publication.stored, entity_tag a1
     0.501   |<-- 200 OK --------|                  |         Expires 2, ETag a1, CSeq 1 PUBLISH
     0.501   |                   |--- NOTIFY ------>|   [c1]  open \"at lunch\", arrives at 0.702, active;expires=60, presence, CSeq 7
     1.000   |                   X                  |         the process dies
     1.100   |                   |                  |         it starts
             :                   :                  :            (1.4 s later)
     2.500   |                   o                  |         publication expires
     2.500   |== the end ===========================|
";
    assert_eq!(story().text(), expected);
}

#[test]
fn a_trace_file_is_read_back() {
    let mut trace = story();
    let (source, server) = (trace.actor("source"), trace.actor("server"));
    trace.message(
        4_000_000,
        (source, server),
        "tcp",
        b"\xff\x00 no text",
        Arrival::Unknown,
    );
    assert_eq!(read(&write(&trace), Room::default()).unwrap(), trace);
}

#[test]
fn a_trace_file_that_is_none_says_where_and_why() {
    let says = |text: &str| read(text, Room::default()).unwrap_err().to_string();
    assert!(says("").contains("empty"));
    assert!(says("{}").starts_with("line 1: the first line is no ladder's"));
    let head = "{\"ladder\":1,\"title\":\"t\",\"actors\":[\"a\",\"b\"]}\n";
    assert!(says(&format!("{head}\n[1]")).starts_with("line 3: no JSON object"));
    assert!(says(&format!("{head}{{\"note\":\"x\"}}")).starts_with("line 2: no at_us"));
    assert!(
        says(&format!("{head}{{\"at_us\":1,\"message\":\"x\"}}")).contains("without from and to")
    );
    assert!(
        says(&format!(
            "{head}{{\"at_us\":1,\"from\":\"a\",\"to\":\"b\",\"message_hex\":\"0g\"}}"
        ))
        .contains("hexadecimal")
    );
}

/// 100 000 entries of 150 actors: the beginning, the end, and how much is not shown; columns that still fit.
#[test]
fn a_long_trace_is_cut_with_a_note() {
    let mut trace = Trace::new("long").with_room(Room {
        entries_max: 100_000,
        ..Room::default()
    });
    for number in 0..100_000_u64 {
        let (one, other) = (
            trace.actor(&format!("peer{}", number % 149)),
            trace.actor("server"),
        );
        trace.message(number * 10, (one, other), "udp", b"hello", Arrival::Unknown);
    }
    let (text, svg) = (trace.text(), trace.svg());
    assert!(
        text.contains("(98000 more are not shown here)"),
        "{}",
        &text[..2000]
    );
    assert!(text.contains("142 others") && text.lines().count() < 2100);
    assert!(text.lines().all(|line| line.chars().count() < 500));
    assert!(
        svg.contains("98000 more are not shown here") && svg.len() < 2_000_000,
        "{}",
        svg.len()
    );
    let mut bounded = Trace::new("bounded").with_room(Room {
        entries_max: 10,
        bytes_max: 1 << 20,
        actors_max: 2,
    });
    for number in 0..25 {
        let actor = bounded.actor(&format!("peer{number}"));
        bounded.note(number, Some(actor), "x");
    }
    assert_eq!(
        (
            bounded.entries().count(),
            bounded.forgotten(),
            bounded.actors().len()
        ),
        (10, 15, 3)
    );
    assert!(
        bounded
            .text()
            .contains("(15 earlier ones are not remembered)")
    );
}

/// Bytes that a peer might send to break the picture, or whoever looks at it.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let evil = prop::sample::select(vec![
        "</text><script>alert(1)</script>",
        "]]>",
        "&#0;",
        "\u{1b}[2J\u{7}",
        "\r\n\r\n",
        "\u{202e}",
        "\u{0}",
        "\u{ffff}",
        "PUBLISH \" onload=\"x SIP/2.0\r\n",
        "SIP/2.0 200 <OK>\r\nVia: x;branch=1\r\nCSeq: 1 A\r\n\r\n",
        "Event: <b>\r\n",
        "\u{85}\u{2028}",
    ]);
    prop::collection::vec(
        prop_oneof![
            evil.prop_map(|text| text.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..40)
        ],
        0..8,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn hostile_bytes_never_break_the_picture(one in hostile(), other in hostile(), times in any::<[u64; 3]>(), name in "\\PC{0,60}|<.*>|\u{1b}.*") {
        let mut trace = Trace::new(String::from_utf8_lossy(&one).into_owned());
        let (a, b) = (trace.actor(&name), trace.actor("server"));
        trace.message(times[0], (a, b), &name, &one, Arrival::At(times[1]));
        trace.message(0, (b, a), "udp", &other, Arrival::Lost);
        let mut point = Point::new(PointKind::Event, Some(b), String::from_utf8_lossy(&other).into_owned());
        point.fields.push((name.clone(), String::from_utf8_lossy(&one).into_owned()));
        trace.push(times[2], What::Point(point));
        let (text, svg) = (trace.text(), trace.svg());
        // A title, the names, three rows, two pauses at most.
        prop_assert!(text.lines().count() <= 8, "{text}");
        prop_assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
        let root = xml::read(svg.as_bytes(), &xml::Bounds { depth_max: 10, nodes_max: 10_000 });
        let root = root.map_err(|why| TestCaseError::fail(format!("{why:?} in {svg}")))?;
        prop_assert!(root.elements().all(|element| !element.name.local.eq_ignore_ascii_case("script")));
        prop_assert_eq!(read(&write(&trace), Room::default()).unwrap(), trace);
    }
}
