//! Messages out of a stream of bytes (RFC 3261 §18.3, RFC 5626 §3.5.1).
//!
//! A stream is trusted only as long as nobody can disagree with us about where a message ends: each needs exactly
//! one Content-Length, made of digits, in a header section of clean lines. Anything else is answered and closed.

use memchr::memchr;

use crate::Name;
use crate::lexical;
use crate::lines::Lines;

/// A body over its bound is read and thrown away up to this length, so that the peer may go on; a longer one closes.
pub const DISCARD_BYTES_MAX: u64 = 1 << 20;

/// An emptied buffer larger than this goes back to the allocator.
const KEEP_BYTES_MAX: usize = 64 << 10;

/// What a stream brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// One whole message.
    Message(&'a [u8]),
    /// The second CRLF of a keep-alive: answer with one CRLF. Its first half came before as a `Pong`, since
    /// the two cannot be told apart until the second has come.
    Ping,
    /// A lone CRLF: the answer to a keep-alive of ours, or space between messages.
    Pong,
    /// A message that is not taken: answer with this status from its header section, if that can be parsed. Then
    /// either a `Close` follows or the stream goes on behind that message's body.
    Refused {
        /// Start line and header fields, as far as they are there.
        head: &'a [u8],
        /// 400, 413 or 513.
        status: u16,
    },
    /// Where the next message begins cannot be known or isn't worth waiting for: close. Nothing comes after it.
    Close(&'static str),
}

/// Finds messages in a stream. Holds at most the two bounds together and what one `push` brought; each byte is
/// looked at once, however small the pieces in which it comes.
#[derive(Debug)]
pub struct Framer {
    head_bytes_max: usize,
    body_bytes_max: u64,
    buffer: Vec<u8>,
    /// What lies before this has been handed out.
    start: usize,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Between messages; true after one CRLF.
    Between(bool),
    /// In a header section: where its current line begins, and how far it was searched for line ends.
    Head {
        line: usize,
        searched: usize,
    },
    /// The header section is whole; the message has this length.
    Body {
        length: usize,
    },
    /// Throwing away the rest of a refused body.
    Discard {
        left: u64,
    },
    /// `Close` comes next.
    Closing(&'static str),
    Closed,
}

/// One step of `next`.
enum Step {
    Wait,
    Again,
    Message(usize),
    Keepalive(bool),
    Refused(usize, u16),
    Close(&'static str),
}

impl Framer {
    /// Header sections and bodies longer than this are refused.
    pub fn new(head_bytes_max: usize, body_bytes_max: usize) -> Framer {
        Framer {
            head_bytes_max,
            body_bytes_max: body_bytes_max as u64,
            buffer: Vec::new(),
            start: 0,
            state: State::Between(false),
        }
    }

    /// Takes what was read. Call `next` until it has nothing before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Closing(_) | State::Closed) {
            return;
        }
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > KEEP_BYTES_MAX {
                self.buffer = Vec::new();
            }
        } else if self.start > self.buffer.len() / 2 {
            // Fewer bytes move than were handed out since the last time, so moving stays linear.
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that belong to no frame yet.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The next frame; none until more bytes come.
    #[expect(
        clippy::should_implement_trait,
        reason = "a frame borrows from the framer"
    )]
    pub fn next(&mut self) -> Option<Frame<'_>> {
        loop {
            match self.step() {
                Step::Wait => return None,
                Step::Again => {}
                Step::Message(length) => return Some(Frame::Message(self.take(length))),
                Step::Keepalive(whole) => {
                    self.start += 2;
                    return Some(if whole { Frame::Ping } else { Frame::Pong });
                }
                Step::Refused(length, status) => {
                    let head = self.take(length);
                    return Some(Frame::Refused { head, status });
                }
                Step::Close(why) => {
                    self.buffer = Vec::new();
                    self.start = 0;
                    return Some(Frame::Close(why));
                }
            }
        }
    }

    fn take(&mut self, length: usize) -> &[u8] {
        let from = self.start;
        self.start += length;
        &self.buffer[from..self.start]
    }

    fn step(&mut self) -> Step {
        let pending = &self.buffer[self.start..];
        match self.state {
            State::Between(half) => match pending {
                [] | [b'\r'] => Step::Wait,
                [b'\r', b'\n', ..] => {
                    self.state = State::Between(!half);
                    Step::Keepalive(half)
                }
                [b'\r' | b'\n', ..] => self.close("CR or LF alone"),
                _ => {
                    self.state = State::Head {
                        line: 0,
                        searched: 0,
                    };
                    Step::Again
                }
            },
            State::Head { line, searched } => self.search(line, searched),
            State::Body { length } if pending.len() < length => Step::Wait,
            State::Body { length } => {
                self.state = State::Between(false);
                Step::Message(length)
            }
            State::Discard { left } => {
                let here = left.min(pending.len() as u64);
                self.start += here as usize;
                if here == left {
                    self.state = State::Between(false);
                    return Step::Again;
                }
                self.state = State::Discard { left: left - here };
                Step::Wait
            }
            State::Closing(why) => {
                self.state = State::Closed;
                Step::Close(why)
            }
            State::Closed => Step::Wait,
        }
    }

    fn close(&mut self, why: &'static str) -> Step {
        self.state = State::Closing(why);
        Step::Again
    }

    /// Looks for the empty line that ends the header section.
    fn search(&mut self, mut line: usize, mut searched: usize) -> Step {
        let pending = &self.buffer[self.start..];
        let window = &pending[..pending.len().min(self.head_bytes_max)];
        while let Some(found) = memchr(b'\n', &window[searched..]) {
            let end = searched + found;
            if end == 0 || window[end - 1] != b'\r' {
                return self.close("LF alone");
            }
            searched = end + 1;
            if end == line + 1 {
                return self.measure(searched);
            }
            line = searched;
        }
        if window.len() == self.head_bytes_max {
            // RFC 3261 §21.5.11; answered from the lines that came whole.
            self.state = State::Closing("header section too long");
            return Step::Refused(line, 513);
        }
        self.state = State::Head {
            line,
            searched: window.len(),
        };
        Step::Wait
    }

    /// Decides by Content-Length what follows a header section of this length.
    fn measure(&mut self, head: usize) -> Step {
        let pending = &self.buffer[self.start..];
        let Some(body) = content_length(&pending[..head]) else {
            // RFC 3261 §18.3: on a stream a message without usable Content-Length is an error.
            self.state = State::Closing("no usable Content-Length");
            return Step::Refused(head, 400);
        };
        if body > DISCARD_BYTES_MAX.max(self.body_bytes_max) {
            self.state = State::Closing("body too long");
            return Step::Refused(head, 413);
        }
        if body > self.body_bytes_max {
            self.state = State::Discard { left: body };
            return Step::Refused(head, 413);
        }
        self.state = State::Body {
            length: head + body as usize,
        };
        Step::Again
    }
}

/// The one Content-Length of a header section; none if it is missing, repeated or no number, or if a line is
/// broken so that others may read the section differently.
fn content_length(head: &[u8]) -> Option<u64> {
    let mut lines = Lines::new(head);
    lines.next_range()?;
    let mut length = None;
    while let Some(line) = lines.next_line() {
        if !line.whole {
            return None;
        }
        if line.name != Name::ContentLength {
            continue;
        }
        if length.is_some() {
            return None;
        }
        length = Some(lexical::number(
            &head[line.value as usize..line.end as usize],
        )?);
    }
    if lines.stray { None } else { length }
}
