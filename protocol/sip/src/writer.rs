//! Composing messages straight into a buffer.

use std::io::Write as _;
use std::net::IpAddr;

use crate::{Message, Name, lexical, reason_phrase};

/// Appends one message to a buffer: start line at once, header fields as they are given, the end last.
/// What is written never breaks a line: line ends inside a value, folds among them, become a space.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Starts a request.
    pub fn request(out: &'a mut Vec<u8>, method: impl AsRef<str>, uri: &str) -> Writer<'a> {
        let mut writer = Writer { out };
        writer.text(method.as_ref().as_bytes());
        writer.out.push(b' ');
        writer.text(uri.as_bytes());
        writer.out.extend_from_slice(b" SIP/2.0\r\n");
        writer
    }

    /// Starts a response; an empty reason is the usual one.
    pub fn response(out: &'a mut Vec<u8>, status: u16, reason: &str) -> Writer<'a> {
        let reason = match reason {
            "" => reason_phrase(status),
            other => other,
        };
        let mut writer = Writer { out };
        writer.out.extend_from_slice(b"SIP/2.0 ");
        writer.digits(u64::from(status));
        writer.out.push(b' ');
        writer.text(reason.as_bytes());
        writer.out.extend_from_slice(b"\r\n");
        writer
    }

    /// One header field. `Name::Other` writes nothing.
    pub fn header(&mut self, name: Name, value: impl AsRef<[u8]>) -> &mut Self {
        self.pieces(name, &[value.as_ref()])
    }

    /// One header field by any name.
    pub fn named(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        if lexical::is_token(name.as_bytes()) {
            self.parts(name, &[value.as_ref()])
        }
        self
    }

    /// One header field whose value is made of several pieces.
    pub fn pieces(&mut self, name: Name, pieces: &[&[u8]]) -> &mut Self {
        if name != Name::Other {
            self.parts(name.text(), pieces);
        }
        self
    }

    fn parts(&mut self, name: &str, pieces: &[&[u8]]) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        for piece in pieces {
            self.text(piece);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// One header field that is a number.
    pub fn number(&mut self, name: Name, value: u64) -> &mut Self {
        if name != Name::Other {
            self.out.extend_from_slice(name.text().as_bytes());
            self.out.extend_from_slice(b": ");
            self.digits(value);
            self.out.extend_from_slice(b"\r\n");
        }
        self
    }

    /// Every line of a name as it stands in another message.
    pub fn copy(&mut self, from: &Message<'_>, name: Name) -> &mut Self {
        for value in from.headers(name) {
            self.header(name, value);
        }
        self
    }

    /// Content-Length and the empty line; the caller appends the body, if any, to the buffer.
    pub fn end(&mut self, content_length: usize) {
        self.number(Name::ContentLength, content_length as u64);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Content-Type, Content-Length, the empty line and the body.
    pub fn body(&mut self, content_type: &str, body: &[u8]) {
        self.header(Name::ContentType, content_type);
        self.end(body.len());
        self.out.extend_from_slice(body);
    }

    /// The buffer, for what no method here writes.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// An address, IPv6 without brackets.
    pub(crate) fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                for (at, byte) in address.octets().into_iter().enumerate() {
                    if at > 0 {
                        self.out.push(b'.');
                    }
                    self.digits(u64::from(byte));
                }
            }
            IpAddr::V6(address) => {
                // Writing to a buffer in memory does not fail.
                let _ = write!(self.out, "{address}");
            }
        }
    }

    /// Copies text, each run of line ends and the whitespace around it as one space. NUL stays: a display name may
    /// hold one (RFC 3261 §25.1, `quoted-pair`), and an answer's From equals its request's (§8.2.6.2).
    pub(crate) fn text(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some(at) = lexical::find_line_end(rest) {
            self.out.extend_from_slice(&rest[..at]);
            while matches!(self.out.last(), Some(b' ' | b'\t')) {
                self.out.pop();
            }
            self.out.push(b' ');
            let skip = |byte: &&u8| lexical::is_space(**byte);
            rest = &rest[at + rest[at..].iter().take_while(skip).count()..];
        }
        self.out.extend_from_slice(rest);
    }

    pub(crate) fn digits(&mut self, mut value: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
    }
}

impl AsRef<str> for crate::Method<'_> {
    fn as_ref(&self) -> &str {
        self.name()
    }
}
