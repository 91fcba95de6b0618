//! Frames out of streams: (pieces) → exact frames.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end so")]

mod support;

use sip::framing::{Frame, Framer};
use support::request;

/// A frame that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
enum Got {
    Message(String),
    Ping,
    Pong,
    Refused(String, u16),
    Close,
}

fn whole(bytes: &[u8]) -> Got {
    Got::Message(String::from_utf8_lossy(bytes).into_owned())
}

fn refused(head: &[u8], status: u16) -> Got {
    Got::Refused(String::from_utf8_lossy(head).into_owned(), status)
}

fn drain(framer: &mut Framer, into: &mut Vec<Got>) {
    while let Some(frame) = framer.next() {
        into.push(match frame {
            Frame::Message(bytes) => whole(bytes),
            Frame::Ping => Got::Ping,
            Frame::Pong => Got::Pong,
            Frame::Refused { head, status } => refused(head, status),
            Frame::Close(_) => Got::Close,
        });
    }
}

/// Frames of a stream that comes in pieces of one size; whatever the size, they are the same.
fn frames(stream: &[u8]) -> Vec<Got> {
    let whole = in_pieces(stream, stream.len().max(1));
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(in_pieces(stream, size), whole, "pieces of {size}");
    }
    whole
}

fn in_pieces(stream: &[u8], size: usize) -> Vec<Got> {
    let mut framer = Framer::new(1024, 64);
    let mut got = Vec::new();
    for piece in stream.chunks(size) {
        framer.push(piece);
        drain(&mut framer, &mut got);
        assert!(framer.pending() <= 1024 + 64 + piece.len());
    }
    got
}

const START: &str = "PUBLISH sip:sam@south.example SIP/2.0";

/// A message and its header section.
fn message(lines: &[&str], body: &str) -> (Vec<u8>, Vec<u8>) {
    let bytes = request(START, lines, body);
    let head = bytes[..bytes.len() - body.len()].to_vec();
    (bytes, head)
}

/// Bodies end where Content-Length says, not where their text looks like an end.
#[test]
fn messages_one_after_the_other() {
    let (first, _) = message(&[], "");
    let (second, _) = message(&["-Content-Length:", "l : 0006"], "a\r\n\r\nb");
    let (third, _) = message(&["Content-Length:\r\n 2"], "zz");
    let stream = [&first[..], &second, b"\r\n", &third].concat();
    assert_eq!(
        frames(&stream),
        [whole(&first), whole(&second), Got::Pong, whole(&third)]
    );
}

#[test]
fn keepalives() {
    let (bytes, _) = message(&[], "x");
    let stream = [b"\r\n\r\n", &bytes[..], b"\r\n", &bytes, b"\r\n\r\n\r\n"].concat();
    assert_eq!(
        frames(&stream),
        [
            Got::Pong,
            Got::Ping,
            whole(&bytes),
            Got::Pong,
            whole(&bytes),
            Got::Pong,
            Got::Ping,
            Got::Pong
        ]
    );
}

/// Nobody may think that the message ends elsewhere than we do.
#[test]
fn lengths_that_can_be_doubted_are_answered_and_closed() {
    for lines in [
        &["-Content-Length:"][..],
        &["Content-Length: -1"],
        &["Content-Length: +1"],
        &["Content-Length: 0x1"],
        &["Content-Length: 1 1"],
        &["Content-Length: 1,1"],
        &["Content-Length:"],
        &["Content-Length: 1", "Content-Length: 1"],
        &["Content-Length: 1", "l: 2"],
        &["Content-Length: 1", "Content-Length"],
        &["Content-Length: 1", "Content-Length\r\n : 2"],
        &["Content-Length: 1", "Subject: a\rl: 2"],
    ] {
        let (mut bytes, head) = message(lines, "x");
        bytes.extend_from_slice(b"INVITE sip:smuggled@south.example SIP/2.0\r\n\r\n");
        assert_eq!(
            frames(&bytes),
            [refused(&head, 400), Got::Close],
            "{lines:?}"
        );
    }
}

#[test]
fn line_feeds_alone_close() {
    let (bytes, _) = message(&[], "");
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(frames(text.replace("\r\n", "\n").as_bytes()), [Got::Close]);
    assert_eq!(
        frames(text.replace("70\r\n", "70\n").as_bytes()),
        [Got::Close]
    );
    assert_eq!(frames(b"\n"), [Got::Close]);
    assert_eq!(frames(b"\rX"), [Got::Close]);
}

/// A body over its bound is thrown away and the stream goes on, up to 1 MiB; more closes.
#[test]
fn long_bodies() {
    let (next, _) = message(&[], "fine");
    let fits = "b".repeat(64);
    let (bytes, _) = message(&[], &fits);
    assert_eq!(frames(&bytes), [whole(&bytes)]);
    let long = "b".repeat(65);
    let (bytes, head) = message(&[], &long);
    let stream = [&bytes[..], &next].concat();
    assert_eq!(frames(&stream), [refused(&head, 413), whole(&next)]);
    let longest = "b".repeat(1 << 20);
    let (bytes, head) = message(&[], &longest);
    let stream = [&bytes[..], &next].concat();
    assert_eq!(
        in_pieces(&stream, 4096),
        [refused(&head, 413), whole(&next)]
    );
    for length in [
        "1048577",
        "4294967297",
        "18446744073709551617",
        "99999999999999999999999",
    ] {
        let line = format!("Content-Length: {length}");
        let (bytes, head) = message(&[&line], "");
        assert_eq!(
            frames(&[&bytes[..], &next].concat()),
            [refused(&head, 413), Got::Close]
        );
    }
}

/// A header section over its bound is answered from the lines that came whole.
#[test]
fn long_header_sections() {
    let filler = format!("X-Filler: {}", "x".repeat(2000));
    let (bytes, _) = message(&["From: <sip:n@north.example>;tag=1", &filler], "");
    let from = bytes
        .windows(8)
        .position(|part| part == b"X-Filler")
        .unwrap();
    assert_eq!(frames(&bytes), [refused(&bytes[..from], 513), Got::Close]);
    let message = sip::Message::parse(&bytes[..from]).unwrap();
    message.essentials().unwrap();

    let (bytes, head) = message_of_head_length(1024);
    assert_eq!(head.len(), 1024);
    assert_eq!(frames(&bytes), [whole(&bytes)]);
    let (bytes, _) = message_of_head_length(1025);
    assert!(matches!(
        frames(&bytes)[..],
        [Got::Refused(_, 513), Got::Close]
    ));
    assert_eq!(frames(&[b'x'; 5000]), [refused(b"", 513), Got::Close]);
}

fn message_of_head_length(length: usize) -> (Vec<u8>, Vec<u8>) {
    let (_, head) = message(&["X: "], "");
    message(&[&format!("X: {}", "y".repeat(length - head.len()))], "")
}

/// After `Close` nothing comes, whatever is pushed.
#[test]
fn closed_is_closed() {
    let mut framer = Framer::new(1024, 64);
    framer.push(b"\n");
    let mut got = Vec::new();
    drain(&mut framer, &mut got);
    let (bytes, _) = message(&[], "");
    framer.push(&bytes);
    drain(&mut framer, &mut got);
    assert_eq!(got, [Got::Close]);
    assert_eq!(framer.pending(), 0);
}
