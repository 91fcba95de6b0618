//! A SIP message as a peer reads it: written apart from `protocol/sip`, so that a fault there is not repeated here.

use std::fmt;

use crate::wire::Path;

/// One received message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Request line or status line.
    pub start: String,
    /// Header fields in order, long names in lower case, folds undone.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Every byte as received.
    pub raw: Vec<u8>,
    /// By which of the peer's sockets it came.
    pub path: Path,
}

/// RFC 3261 §7.3.3 and the event RFCs: one letter and what it stands for.
const COMPACT: [(&str, &str); 16] = [
    ("a", "accept-contact"),
    ("b", "referred-by"),
    ("c", "content-type"),
    ("d", "request-disposition"),
    ("e", "content-encoding"),
    ("f", "from"),
    ("i", "call-id"),
    ("k", "supported"),
    ("l", "content-length"),
    ("m", "contact"),
    ("o", "event"),
    ("r", "refer-to"),
    ("s", "subject"),
    ("t", "to"),
    ("u", "allow-events"),
    ("v", "via"),
];

/// Where the header section ends, the empty line included.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

impl Message {
    /// Reads one whole datagram, or one whole frame of a stream. What is wrong with it, if anything.
    pub fn read(bytes: &[u8], path: Path) -> Result<Self, String> {
        let end = head_length(bytes).ok_or("no empty line after the header section")?;
        let head = std::str::from_utf8(&bytes[..end - 4])
            .map_err(|error| format!("header section is not UTF-8: {error}"))?;
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.contains(['\r', '\n']) {
                return Err(format!("a bare CR or LF in {line:?}"));
            }
            if line.starts_with([' ', '\t']) {
                let (_, value) = headers.last_mut().ok_or("a fold without a header field")?;
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| format!("no colon in {line:?}"))?;
            let name = name.trim_end().to_ascii_lowercase();
            let name = COMPACT
                .iter()
                .find(|(short, _)| *short == name)
                .map_or(name, |(_, long)| (*long).to_owned());
            headers.push((name, value.trim().to_owned()));
        }
        let message = Self {
            start,
            headers,
            body: bytes[end..].to_vec(),
            raw: bytes.to_vec(),
            path,
        };
        if path != Path::Sent && message.status().is_none() && !message.start.ends_with(" SIP/2.0")
        {
            return Err(format!("neither request nor response: {:?}", message.start));
        }
        Ok(message)
    }

    /// Status code of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Method of a request, or of the request that a response answers.
    pub fn method(&self) -> &str {
        match self.status() {
            Some(_) => self.cseq().1,
            None => self.start.split(' ').next().unwrap_or_default(),
        }
    }

    /// Request-URI of a request.
    pub fn request_uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The first field with this long, lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every field with this name.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every comma-separated value of every field with this name; commas in quotes and angle brackets don't count.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.headers.iter().filter(|(field, _)| field == name);
        fields.flat_map(|(_, value)| split_values(value)).collect()
    }

    /// The field, or the end of the test.
    #[track_caller]
    pub fn expect(&self, name: &str) -> &str {
        self.header(name)
            .unwrap_or_else(|| panic!("no {name} in\n{self}"))
    }

    /// Number and method of CSeq.
    #[track_caller]
    pub fn cseq(&self) -> (u32, &str) {
        let value = self.expect("cseq");
        let (number, method) = value
            .split_once(' ')
            .unwrap_or_else(|| panic!("CSeq {value:?} in\n{self}"));
        (
            number
                .parse()
                .unwrap_or_else(|_| panic!("CSeq {value:?} in\n{self}")),
            method.trim(),
        )
    }

    /// Call-ID.
    #[track_caller]
    pub fn call_id(&self) -> &str {
        self.expect("call-id")
    }

    /// Branch of the topmost Via.
    pub fn branch(&self) -> Option<&str> {
        parameter(self.values("via").first().copied()?, "branch")
    }

    /// The tag of From or To (`name`).
    pub fn tag(&self, name: &str) -> Option<&str> {
        let value = self.header(name)?;
        parameter(
            value.rsplit_once('>').map_or(value, |(_, after)| after),
            "tag",
        )
    }

    /// The URI of From, To or Contact (`name`), without brackets.
    pub fn uri(&self, name: &str) -> Option<&str> {
        self.header(name).map(uri)
    }

    /// A field's number.
    #[track_caller]
    pub fn number(&self, name: &str) -> u32 {
        self.expect(name)
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number in\n{self}"))
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body)
            .unwrap_or_else(|_| panic!("the body is not UTF-8 in\n{self}"))
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.raw))
    }
}

/// A parameter's value (empty where it has none) in `value`, quotes removed.
pub fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        key.trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().trim_matches('"'))
    })
}

/// The URI of a name-addr or addr-spec.
pub fn uri(value: &str) -> &str {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or_default(),
        None => value.split(';').next().unwrap_or_default().trim(),
    }
}

fn split_values(line: &str) -> Vec<&str> {
    let (mut quoted, mut bracketed, mut begin, mut values) = (false, false, 0, Vec::new());
    for (at, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            ',' if !quoted && !bracketed => {
                values.push(line[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    values.push(line[begin..].trim());
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTIFY: &str = "NOTIFY sip:bob@127.0.0.1:5070 SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1 , SIP/2.0/TCP b;branch=2\r\n\
        f: \"A, B\" <sip:alice@example.com;x=1>;tag=a1\r\nTo: <sip:bob@example.com>;tag=b1\r\nCSeq: 7\r\n NOTIFY\r\nl: 2\r\n\r\nhi";

    #[test]
    fn a_request_is_read_with_compact_names_folds_and_lists() {
        let message = Message::read(NOTIFY.as_bytes(), Path::Sent).unwrap();
        assert_eq!(message.method(), "NOTIFY");
        assert_eq!(message.request_uri(), "sip:bob@127.0.0.1:5070");
        assert_eq!(message.values("via").len(), 2);
        assert_eq!(message.branch(), Some("z9hG4bK1"));
        assert_eq!(message.tag("from"), Some("a1"));
        assert_eq!(message.uri("from"), Some("sip:alice@example.com;x=1"));
        assert_eq!(message.values("from").len(), 1);
        assert_eq!(message.cseq(), (7, "NOTIFY"));
        assert_eq!(message.body, b"hi");
    }

    #[test]
    fn what_is_no_message_says_why() {
        assert!(
            Message::read(b"hello\r\n\r\n", Path::Stream(0))
                .unwrap_err()
                .contains("neither")
        );
        assert!(
            Message::read(b"SIP/2.0 200 OK\r\nVia\r\n\r\n", Path::Stream(0))
                .unwrap_err()
                .contains("no colon")
        );
        assert!(
            Message::read(b"SIP/2.0 200 OK\r\nVia: x\r\n", Path::Stream(0))
                .unwrap_err()
                .contains("empty line")
        );
    }
}
