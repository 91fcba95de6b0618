//! A stream: its frames do not depend on how its bytes are cut, and are what the parser sees.

use sip::Message;
use sip::framing::{DISCARD_BYTES_MAX, Frame, Framer};

/// A frame with bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Message(Vec<u8>),
    Ping,
    Pong,
    Refused(Vec<u8>, u16),
    Close(&'static str),
}

/// The first three bytes say how small the bounds and the pieces are; the rest is the stream.
pub fn run(bytes: &[u8]) {
    let [bounds, cut, seed, stream @ ..] = bytes else {
        return;
    };
    let head_max = 16 << (bounds & 7);
    let body_max = 4 << (bounds >> 4 & 7);
    let whole = frames(stream, head_max, body_max, |_| stream.len());
    let size = usize::from(*cut) + 1;
    let even = frames(stream, head_max, body_max, |_| size);
    assert_eq!(whole, even, "frames depend on pieces of {size}");
    let mut state = u32::from(*seed);
    let uneven = frames(stream, head_max, body_max, |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 24) as usize % 40
    });
    assert_eq!(whole, uneven, "frames depend on the pieces");
    let one = frames(stream, head_max, body_max, |_| 1);
    assert_eq!(whole, one, "frames depend on pieces of one byte");
    add_up(stream, &whole);
    for got in &whole {
        if let Got::Message(message) = got {
            is_a_message(message, head_max, body_max);
        }
    }
}

fn frames(
    stream: &[u8],
    head_max: usize,
    body_max: usize,
    mut size: impl FnMut(usize) -> usize,
) -> Vec<Got> {
    let mut framer = Framer::new(head_max, body_max);
    let (mut got, mut rest) = (Vec::new(), stream);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(size(rest.len()).clamp(1, rest.len()));
        rest = after;
        framer.push(piece);
        while let Some(frame) = framer.next() {
            let frame = match frame {
                Frame::Message(bytes) => Got::Message(bytes.to_vec()),
                Frame::Ping => Got::Ping,
                Frame::Pong => Got::Pong,
                Frame::Refused { head, status } => Got::Refused(head.to_vec(), status),
                Frame::Close(why) => Got::Close(why),
            };
            assert!(
                !matches!(got.last(), Some(Got::Close(_))),
                "something comes after the close"
            );
            got.push(frame);
        }
        assert!(
            framer.pending() <= head_max + body_max,
            "{} bytes wait where {head_max} and {body_max} may",
            framer.pending()
        );
    }
    got
}

/// Every frame stands in the stream, in order: nothing is invented, nothing counted twice.
fn add_up(stream: &[u8], got: &[Got]) {
    let mut at = 0;
    for frame in got {
        let bytes: &[u8] = match frame {
            Got::Message(bytes) | Got::Refused(bytes, _) => bytes,
            Got::Ping | Got::Pong => b"\r\n",
            Got::Close(_) => b"",
        };
        let found = stream[at..]
            .windows(bytes.len().max(1))
            .position(|window| window.starts_with(bytes));
        if !bytes.is_empty() {
            let Some(found) = found else {
                unreachable!("a frame that is not in the stream")
            };
            // Between frames only refused bodies are left out.
            at += found + bytes.len();
        }
        if let Got::Refused(_, status) = frame {
            assert!(matches!(status, 400 | 413 | 513));
        }
    }
}

/// A frame is one whole message to the parser too, and cut once more it is the same frame.
fn is_a_message(bytes: &[u8], head_max: usize, body_max: usize) {
    let again = frames(bytes, head_max, body_max, |length| length);
    assert_eq!(again, [Got::Message(bytes.to_vec())]);
    let Ok(message) = Message::parse(bytes) else {
        return;
    };
    assert_eq!(
        message.bytes(),
        bytes,
        "parser and framing disagree about where a message ends"
    );
    assert!(message.head().len() <= head_max && message.body().len() <= body_max);
    assert!((message.body().len() as u64) <= DISCARD_BYTES_MAX);
    let said = message.content_length().ok().flatten();
    assert_eq!(
        said.map(|length| length as usize),
        Some(message.body().len())
    );
}
