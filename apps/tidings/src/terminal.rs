//! What a person reads: columns, colours, times; nothing that a peer sent reaches a terminal as it came.

mod local_time;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use agent::{Hop, Transport};
use client::{Clock, Direction};
use sip::{Message, Name};

pub(crate) use local_time::Zone;

/// A word's colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Green,
    Red,
    Yellow,
    Dim,
    Plain,
}

/// Standard output and error of one command.
#[derive(Debug)]
pub(crate) struct Terminal {
    colours: bool,
    zone: Zone,
    clock: Clock,
    /// Whoever read our output has gone.
    closed: bool,
}

impl Terminal {
    pub(crate) fn new(clock: Clock) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colours = wanted && std::io::stdout().is_terminal();
        Self {
            colours,
            zone: Zone::of_process(),
            clock,
            closed: false,
        }
    }

    /// Data: one line on standard output.
    pub(crate) fn data(&mut self, line: &str) {
        self.bytes(line.as_bytes());
        self.bytes(b"\n");
    }

    /// Data: a document as it is, or, on a terminal, without what steers it.
    pub(crate) fn document(&mut self, bytes: &[u8]) {
        if std::io::stdout().is_terminal() {
            for line in String::from_utf8_lossy(bytes).lines() {
                self.data(&clean(line));
            }
        } else {
            self.bytes(bytes);
            if !bytes.ends_with(b"\n") {
                self.bytes(b"\n");
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let mut stdout = std::io::stdout().lock();
        self.closed |= stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .is_err();
    }

    /// Whether nobody reads our data any more.
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Talk: one line on standard error.
    pub(crate) fn talk(&self, line: &str) {
        let _ = writeln!(std::io::stderr(), "{}", clean(line));
    }

    pub(crate) fn clock_time(&self) -> String {
        self.zone.clock_time(self.clock.wall().as_millis())
    }

    pub(crate) fn wall_millis(&self) -> i64 {
        i64::try_from(self.clock.wall().as_millis()).unwrap_or(i64::MAX)
    }

    /// `12:00:01` of milliseconds since 1970.
    pub(crate) fn clock_time_of(&self, millis: i64) -> String {
        self.zone.clock_time(u64::try_from(millis).unwrap_or(0))
    }

    /// A word in a colour, filled up with spaces to a width.
    pub(crate) fn word(&self, text: &str, colour: Colour, width: usize) -> String {
        let text = clean(text);
        let fill = " ".repeat(width.saturating_sub(text.chars().count()));
        let code = match colour {
            Colour::Green => "32",
            Colour::Red => "31",
            Colour::Yellow => "33",
            Colour::Dim => "2",
            Colour::Plain => "",
        };
        if self.colours && !code.is_empty() && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m{fill}")
        } else {
            format!("{text}{fill}")
        }
    }

    /// `--trace`: one message to standard error, credentials hidden.
    pub(crate) fn trace(&self, direction: Direction, hop: Hop, bytes: &[u8]) {
        let arrow = match direction {
            Direction::Sent => "->",
            Direction::Received => "<-",
        };
        let transport = match hop.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        let millis = self.clock.wall().as_millis();
        let time = self.zone.clock_time(millis);
        let text = traced(bytes);
        let _ = writeln!(
            std::io::stderr(),
            "{time}.{:03} {arrow} {transport} {}, {} bytes\n{text}",
            millis % 1000,
            hop.address,
            bytes.len()
        );
    }
}

/// Header fields whose value is a secret, or as good as one.
pub(crate) const CREDENTIALS: [Name; 2] = [Name::Authorization, Name::ProxyAuthorization];

fn traced(bytes: &[u8]) -> String {
    let Ok(message) = Message::parse(bytes) else {
        return format!("  ({} bytes that are no SIP message)\n", bytes.len());
    };
    let mut text = String::new();
    let mut line = |content: &str| {
        if !content.is_empty() {
            text.push_str("  ");
            text.push_str(content.trim_end());
        }
        text.push('\n');
    };
    let start = message
        .head()
        .split(|byte| *byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty());
    line(&clean(&String::from_utf8_lossy(
        start.unwrap_or_default().trim_ascii(),
    )));
    for (name, value) in message.fields() {
        let name = clean(&String::from_utf8_lossy(name));
        let hidden = CREDENTIALS
            .iter()
            .any(|secret| secret.to_string().eq_ignore_ascii_case(name.trim()));
        let value = if hidden {
            "(hidden)".to_owned()
        } else {
            clean(&String::from_utf8_lossy(value))
        };
        line(&format!("{name}: {value}"));
    }
    if !message.body().is_empty() {
        line("");
        for content in String::from_utf8_lossy(message.body()).lines() {
            line(&clean(content));
        }
    }
    text
}

/// Without what steers a terminal or turns text around; line ends and tabs become spaces.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\r' | '\n' | '\t' => ' ',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                '\u{fffd}'
            }
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// `3 ms`, `4.5 s`, `90 s`, `60 min`, `24 h`.
pub(crate) fn span(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..10 if !time.as_millis().is_multiple_of(1000) => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_well() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1 s"),
            (4500, "4.5 s"),
            (60_000, "60 s"),
            (119_999, "119 s"),
            (3_600_000, "60 min"),
            (86_400_000, "24 h"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(
            clean("a\x1b[2Jb\r\nc\u{202e}d\u{9b}e\0"),
            "a\u{fffd}[2Jb  c\u{fffd}d\u{fffd}e\u{fffd}"
        );
    }

    #[test]
    fn a_trace_hides_credentials_and_escapes() {
        let message = b"PUBLISH sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nauthorization: Digest username=\"a\",\r\n response=\"abc\"\r\n\
            Proxy-Authorization: Basic c2VjcmV0\r\nSubject: \x1b[31m\r\nContent-Length: 6\r\n\r\n<a/>\x07\n";
        let text = traced(message);
        assert!(
            !text.contains("abc")
                && !text.contains("c2Vj")
                && !text.contains('\x1b')
                && !text.contains('\x07'),
            "{text}"
        );
        assert_eq!(text.matches("(hidden)").count(), 2);
        assert!(
            text.starts_with("  PUBLISH sip:a@b SIP/2.0\n  Via: SIP/2.0/UDP h\n"),
            "{text}"
        );
        assert!(text.contains("\n\n  <a/>"), "{text}");
        assert_eq!(traced(b"\0\x01"), "  (2 bytes that are no SIP message)\n");
    }
}
