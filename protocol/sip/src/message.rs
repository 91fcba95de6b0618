//! A message: one buffer and an index of its header fields.

use crate::lexical::{self, Texts, Values};
use crate::lines::{Line, Lines};
use crate::start_line::{self, StartLine};
use crate::{Essentials, Flaw, Method, Name, ParseError};

/// Header fields indexed in place; more go to the heap, at once for all.
const INLINE: usize = 28;

/// A header section with more lines is not worth an index: 513. At 16 bytes a line, 8 KiB of index at most.
pub(crate) const LINES_MAX: usize = 512;

/// A request or response: a view of the caller's bytes. Reading a header costs a look into the index and that header's own text.
#[derive(Clone, Debug)]
pub struct Message<'b> {
    /// From the start line to the end of the body.
    bytes: &'b [u8],
    /// The header section as text, when it is UTF-8 throughout.
    text: Option<&'b str>,
    start: StartLine<'b>,
    head: u32,
    count: u16,
    pub(crate) outline: Outline,
    seen: u128,
    repeated: u128,
    lines: [Line; INLINE],
    more: Vec<Line>,
    /// See `keep_essentials`.
    pub(crate) essential: Option<Result<Essentials<'b>, Flaw>>,
}

/// What the parser saw that `check` refuses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outline {
    pub(crate) version: bool,
    pub(crate) spacing: bool,
    pub(crate) stray: bool,
    pub(crate) broken_line: bool,
    pub(crate) too_many: bool,
    /// No empty line ends the header section.
    pub(crate) unended: bool,
    /// Content-Length says more than there is.
    pub(crate) cut: bool,
}

impl<'b> Message<'b> {
    /// Finds the start line, the header fields and the body. Lenient: what is wrong but can be understood is
    /// left to `check`. Line ends before the message are skipped (RFC 3261 §7.5), bytes after its body are not part of it.
    pub fn parse(buffer: &'b [u8]) -> Result<Message<'b>, ParseError> {
        let skip = buffer
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        let buffer = &buffer[skip..];
        if buffer.is_empty() {
            return Err(ParseError::Empty);
        }
        if buffer.len() > u32::MAX as usize {
            return Err(ParseError::TooLong);
        }
        let mut lines = Lines::new(buffer);
        let (from, to) = lines.next_range().ok_or(ParseError::StartLine)?;
        let first = start_line::read(&buffer[from..to])?;
        let mut message = Message {
            bytes: buffer,
            text: None,
            start: first.line,
            head: 0,
            count: 0,
            outline: Outline {
                version: first.version,
                spacing: first.spacing,
                ..Outline::default()
            },
            seen: 0,
            repeated: 0,
            lines: [Line::NONE; INLINE],
            more: Vec::new(),
            essential: None,
        };
        while let Some(line) = lines.next_line() {
            message.add(line);
        }
        message.outline.stray = lines.stray;
        message.outline.unended = !lines.ended;
        message.finish(lines.at());
        Ok(message)
    }

    fn add(&mut self, line: Line) {
        self.outline.broken_line |= !line.whole;
        let index = self.count as usize;
        if let Some(place) = self.lines.get_mut(index) {
            *place = line;
        } else if index < LINES_MAX {
            self.more.push(line);
        } else {
            self.outline.too_many = true;
            return;
        }
        self.count += 1;
        let bit = line.name.bit();
        self.repeated |= self.seen & bit;
        self.seen |= bit;
    }

    /// Sets the bounds of header section and body.
    fn finish(&mut self, head: usize) {
        self.head = head as u32;
        let (header_section, rest) = self.bytes.split_at(head);
        self.text = std::str::from_utf8(header_section).ok();
        // RFC 3261 §18.3: on a datagram, without Content-Length the body goes to the end; what is beyond it is thrown away.
        let claimed = self
            .header(Name::ContentLength)
            .and_then(lexical::number)
            .unwrap_or(rest.len() as u64);
        self.outline.cut = claimed > rest.len() as u64;
        let body = claimed.min(rest.len() as u64) as usize;
        self.bytes = &self.bytes[..head + body];
    }

    /// True for a request, false for a response.
    pub fn is_request(&self) -> bool {
        matches!(self.start, StartLine::Request { .. })
    }

    /// The method of a request; of a response the one its CSeq names, or an empty unknown one.
    pub fn method(&self) -> Method<'b> {
        match self.start {
            StartLine::Request { method, .. } => method,
            StartLine::Response { .. } => self
                .cseq()
                .map_or(Method::Other(""), |sequence| sequence.method),
        }
    }

    /// The Request-URI as written; empty for a response.
    pub fn request_uri(&self) -> &'b str {
        match self.start {
            StartLine::Request { uri, .. } => uri,
            StartLine::Response { .. } => "",
        }
    }

    /// The status of a response, 100 to 699.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            StartLine::Request { .. } => None,
            StartLine::Response { status, .. } => Some(status),
        }
    }

    /// The reason phrase of a response; empty for a request.
    pub fn reason(&self) -> &'b str {
        match self.start {
            StartLine::Request { .. } => "",
            StartLine::Response { reason, .. } => reason,
        }
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &Line> {
        let inline = (self.count as usize).min(INLINE);
        self.lines[..inline].iter().chain(&self.more)
    }

    pub(crate) fn value(&self, line: &Line) -> &'b [u8] {
        &self.bytes[line.value as usize..line.end as usize]
    }

    /// A line's value as text; none if it isn't UTF-8.
    pub(crate) fn value_text(&self, line: &Line) -> Option<&'b str> {
        let (from, to) = (line.value as usize, line.end as usize);
        match self.text {
            Some(text) => text.get(from..to),
            None => std::str::from_utf8(&self.bytes[from..to]).ok(),
        }
    }

    /// The first line with this name; `Other` has none.
    fn line(&self, name: Name) -> Option<&Line> {
        if self.seen & name.bit() == 0 || name == Name::Other {
            return None;
        }
        self.lines().find(|line| line.name == name)
    }

    /// True if a header field with this name is there.
    pub fn has(&self, name: Name) -> bool {
        name != Name::Other && self.seen & name.bit() != 0
    }

    /// Names that stand on more than one line.
    pub(crate) fn repeated(&self) -> u128 {
        self.repeated
    }

    /// The value of the first line with this name, trimmed; it may contain folds.
    pub fn header(&self, name: Name) -> Option<&'b [u8]> {
        self.line(name).map(|line| self.value(line))
    }

    /// The same as text; none when absent or not UTF-8.
    pub fn header_text(&self, name: Name) -> Option<&'b str> {
        self.line(name).and_then(|line| self.value_text(line))
    }

    /// The value of each line with this name, in order.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &'b [u8]> + '_ {
        let wanted = self.has(name);
        self.lines()
            .filter(move |line| wanted && line.name == name)
            .map(|line| self.value(line))
    }

    /// Each comma-separated value of each line with this name; quotes and angle brackets hide commas.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'b [u8]> + '_ {
        self.headers(name).flat_map(Values::new)
    }

    /// The same as text; lines that aren't UTF-8 don't show.
    pub fn texts(&self, name: Name) -> impl Iterator<Item = &'b str> + '_ {
        self.text_values(name).flatten()
    }

    /// The same as text; a line that isn't UTF-8 is one value that is none.
    pub(crate) fn text_values(&self, name: Name) -> impl Iterator<Item = Option<&'b str>> + '_ {
        let wanted = self.has(name);
        self.lines()
            .filter(move |line| wanted && line.name == name)
            .flat_map(|line| Texts::new(self.value_text(line)))
    }

    /// The value of the first line with any name, known to us or not, whatever its case.
    pub fn header_named(&self, name: &str) -> Option<&'b [u8]> {
        match Name::read(name.as_bytes()) {
            Name::Other => self
                .lines()
                .find(|line| self.name_text(line).eq_ignore_ascii_case(name.as_bytes()))
                .map(|line| self.value(line)),
            known => self.header(known),
        }
    }

    fn name_text(&self, line: &Line) -> &'b [u8] {
        let start = line.start as usize;
        &self.bytes[start..start + line.name_length as usize]
    }

    /// Every header field in order: its name as written and its value. Lines that are no header fields don't show.
    pub fn fields(&self) -> impl Iterator<Item = (&'b [u8], &'b [u8])> + '_ {
        self.lines()
            .filter(|line| line.whole)
            .map(|line| (self.name_text(line), self.value(line)))
    }

    /// The body: as many bytes as Content-Length says, or as there are.
    pub fn body(&self) -> &'b [u8] {
        &self.bytes[self.head as usize..]
    }

    /// Start line and header fields with the empty line after them.
    pub fn head(&self) -> &'b [u8] {
        &self.bytes[..self.head as usize]
    }

    /// The whole message, without what stood before or after it.
    pub fn bytes(&self) -> &'b [u8] {
        self.bytes
    }
}
