//! The lines of a header section. The parser and the stream framing share this reader, so that they never
//! disagree about where a header field begins or which one is Content-Length.

use crate::lexical::{self, TOKEN};
use crate::name::Name;

/// One header field: where its name and value stand in the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) start: u32,
    pub(crate) value: u32,
    pub(crate) end: u32,
    pub(crate) name_length: u16,
    pub(crate) name: Name,
    /// False when there is no token before a colon.
    pub(crate) whole: bool,
}

impl Line {
    pub(crate) const NONE: Line = Line {
        start: 0,
        value: 0,
        end: 0,
        name_length: 0,
        name: Name::Other,
        whole: false,
    };
}

/// Reads lines, folds joined. RFC 3261 §7: a line ends with CRLF. A message whose first line ends with LF
/// alone may do so everywhere (saved messages, RFC 5118's among them, lose their CRs); otherwise a CR or LF of its own ends
/// nothing and is a flaw, so that no peer sees other lines than we do.
pub(crate) struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
    bare: bool,
    first: bool,
    /// A CR or LF stood alone inside a line.
    pub(crate) stray: bool,
    /// The empty line came.
    pub(crate) ended: bool,
}

impl<'b> Lines<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Lines<'b> {
        Lines {
            bytes,
            at: 0,
            bare: false,
            first: true,
            stray: false,
            ended: false,
        }
    }

    /// Where the next line starts: after the empty line, where the body does.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The next line without its end, as a range; none at the empty line or the end of the bytes.
    pub(crate) fn next_range(&mut self) -> Option<(usize, usize)> {
        let start = self.at;
        if start >= self.bytes.len() {
            return None;
        }
        let mut from = start;
        loop {
            let Some(found) = lexical::find_either(b'\r', b'\n', &self.bytes[from..]) else {
                self.at = self.bytes.len();
                return Some((start, self.at));
            };
            let end = from + found;
            let Some(next) = self.line_end(end) else {
                self.stray = true;
                from = end + 1;
                continue;
            };
            self.at = next;
            if end == start {
                self.ended = true;
                return None;
            }
            // RFC 3261 §7.3.1: a line that starts with whitespace continues the one before.
            if !self.first && matches!(self.bytes.get(next), Some(b' ' | b'\t')) {
                from = next;
                continue;
            }
            self.first = false;
            return Some((start, end));
        }
    }

    /// Where the next line starts if a line end stands at `end`.
    fn line_end(&mut self, end: usize) -> Option<usize> {
        if self.bytes[end] == b'\n' {
            self.bare |= self.first;
            return self.bare.then_some(end + 1);
        }
        (self.bytes.get(end + 1) == Some(&b'\n')).then_some(end + 2)
    }

    /// The next header field.
    pub(crate) fn next_line(&mut self) -> Option<Line> {
        if let Some((line, next)) = self.plain_line() {
            self.at = next;
            return Some(line);
        }
        let (start, end) = self.next_range()?;
        Some(read(self.bytes, start, end))
    }

    /// What nearly every line is, in one pass, and where the next begins: `Name: value`, CRLF, no fold. None: it takes the
    /// long way.
    fn plain_line(&self) -> Option<(Line, usize)> {
        let (start, bytes) = (self.at, self.bytes);
        let mut at = start;
        while lexical::is(*bytes.get(at)?, TOKEN) {
            at += 1;
        }
        let name = &bytes[start..at];
        let name_length = u16::try_from(name.len())
            .ok()
            .filter(|length| *length > 0)?;
        if bytes[at] != b':' {
            return None;
        }
        let mut value = at + 1;
        while bytes.get(value) == Some(&b' ') {
            value += 1;
        }
        let end = value + lexical::find_either(b'\r', b'\n', &bytes[value..])?;
        let next = end + 2;
        let ends = bytes.get(end..next) == Some(b"\r\n");
        let folds = matches!(bytes.get(next), Some(b' ' | b'\t'));
        if self.first || folds || !ends {
            return None;
        }
        let mut last = end;
        while last > value && lexical::is_space(bytes[last - 1]) {
            last -= 1;
        }
        while value < last && lexical::is_space(bytes[value]) {
            value += 1;
        }
        let line = Line {
            start: start as u32,
            value: value as u32,
            end: last as u32,
            name_length,
            name: Name::read(name),
            whole: true,
        };
        Some((line, next))
    }
}

/// A header field anywhere within these bounds.
fn read(bytes: &[u8], start: usize, end: usize) -> Line {
    let mut at = start;
    while at < end && lexical::is(bytes[at], TOKEN) {
        at += 1;
    }
    let name = &bytes[start..at];
    while at < end && matches!(bytes[at], b' ' | b'\t') {
        at += 1;
    }
    let short = u16::try_from(name.len()).unwrap_or_default();
    if at == end || bytes[at] != b':' || short == 0 {
        return Line {
            start: start as u32,
            value: end as u32,
            end: end as u32,
            ..Line::NONE
        };
    }
    let (mut value, mut last) = (at + 1, end);
    while value < last && lexical::is_space(bytes[value]) {
        value += 1;
    }
    while last > value && lexical::is_space(bytes[last - 1]) {
        last -= 1;
    }
    Line {
        start: start as u32,
        value: value as u32,
        end: last as u32,
        name_length: short,
        name: Name::read(name),
        whole: true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The short way never says anything else than the long one.
        #[test]
        fn plain_lines_read_as_any(text in "X\r\n([a-cT:;,]{0,3}[: \t]{0,3}[a-c: \t]{0,12}[\r\n ]{0,4}){1,4}") {
            let mut short = Lines::new(text.as_bytes());
            let mut long = Lines::new(text.as_bytes());
            prop_assert_eq!(short.next_range(), long.next_range());
            loop {
                let line = short.next_line();
                let any = long.next_range().map(|(start, end)| read(text.as_bytes(), start, end));
                prop_assert_eq!(format!("{line:?}"), format!("{any:?}"));
                prop_assert_eq!((short.at, short.stray, short.bare), (long.at, long.stray, long.bare));
                if line.is_none() {
                    break;
                }
            }
        }
    }
}
