//! Messages out of a stream of bytes (RFC 3261 §18.3, RFC 5626 §3.5.1).

/// What a stream brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// One whole message.
    Message(&'a [u8]),
    /// A keep-alive: answer with CRLF. Its first half came as a `Pong` before, since it cannot be told from one.
    Ping,
    /// A lone CRLF: the answer to a keep-alive of ours, or space between messages.
    Pong,
    /// A message that is not taken: answer with this status from its header section, if that can be parsed.
    Refused {
        /// Start line and header fields, as far as they are there.
        head: &'a [u8],
        /// 400, 413 or 513.
        status: u16,
    },
    /// Where the next message begins cannot be known, or isn't worth waiting for: close. Nothing comes after it.
    Close(&'static str),
}

/// Finds messages in a stream.
#[derive(Debug)]
pub struct Framer {
    head_bytes_max: usize,
    body_bytes_max: usize,
}

impl Framer {
    /// Header sections and bodies longer than this are refused.
    pub fn new(head_bytes_max: usize, body_bytes_max: usize) -> Framer {
        Framer {
            head_bytes_max,
            body_bytes_max,
        }
    }

    /// Takes what was read.
    pub fn push(&mut self, _bytes: &[u8]) {}

    /// The next frame; none until more bytes come.
    #[expect(
        clippy::should_implement_trait,
        reason = "a frame borrows from the framer"
    )]
    pub fn next(&mut self) -> Option<Frame<'_>> {
        let _ = (self.head_bytes_max, self.body_bytes_max);
        None
    }
}
