//! A message of HTTP/1.1, so far as a picture needs it: what is asked for of which document, what became of it.

use crate::body;
use crate::digest::{Digest, Kind};
use crate::plain::plain;

/// Fields that explain a step, with how they are called here; in this order.
const FIELDS: [(&str, &str); 6] = [
    ("if-match", "If-Match "),
    ("if-none-match", "If-None-Match "),
    ("etag", "ETag "),
    ("allow", "Allow "),
    ("www-authenticate", "challenge"),
    ("retry-after", "Retry-After "),
];

/// Reads a message; `None`: it is none of HTTP.
pub(crate) fn digest(bytes: &[u8]) -> Option<Digest> {
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or(bytes.len());
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let body = bytes.get(end + 4..).unwrap_or_default();
    let mut lines = head.split("\r\n");
    let start = lines.next()?;
    let fields: Vec<(&str, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect();
    let field = |wanted: &str| {
        let is_it = |(name, _): &&(&str, &str)| name.eq_ignore_ascii_case(wanted);
        fields.iter().find(is_it).map(|(_, value)| *value)
    };
    let (label, kind, first) = match start.strip_prefix("HTTP/1.1 ") {
        Some(status) => {
            let kind = match status.get(..1)? {
                "1" => Kind::Provisional,
                "2" | "3" => Kind::Success,
                _ => Kind::Failure,
            };
            (plain(status.trim()), kind, None)
        }
        None => {
            let (method, target) = start.strip_suffix(" HTTP/1.1")?.split_once(' ')?;
            (plain(method), Kind::Request, Some(plain(target)))
        }
    };
    let said = FIELDS.iter().filter_map(|(name, called)| {
        let value = field(name)?;
        Some(match *name {
            "www-authenticate" => (*called).to_owned(),
            _ => format!("{called}{}", plain(value)),
        })
    });
    Some(Digest {
        label,
        details: first.into_iter().chain(said).collect(),
        body: match body.is_empty() {
            true => String::new(),
            false => body::words(field("content-type").unwrap_or_default(), body),
        },
        kind,
        identity: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_of_what_and_an_answer_what_became_of_it() {
        let asked = digest(b"PUT /xcap-root/a/users/b/index HTTP/1.1\r\nHost: x\r\nif-match: \"1\"\r\nContent-Type: text/plain\r\n\r\nhi").unwrap();
        assert_eq!((asked.label.as_str(), asked.kind), ("PUT", Kind::Request));
        assert_eq!(
            asked.details,
            ["/xcap-root/a/users/b/index", "If-Match \"1\""]
        );
        assert_eq!(asked.body, "2 bytes of text/plain");
        let told = digest(b"HTTP/1.1 412 Precondition Failed\r\nETag: \"2\"\r\n\r\n").unwrap();
        assert_eq!(
            (told.label.as_str(), told.kind),
            ("412 Precondition Failed", Kind::Failure)
        );
        assert_eq!(
            (told.details.as_slice(), told.body.as_str()),
            (["ETag \"2\"".to_owned()].as_slice(), "")
        );
        for none in [
            "",
            "HTTP/1.1 ",
            "PUT HTTP/1.1",
            "OPTIONS sip:a SIP/2.0\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert_eq!(digest(none.as_bytes()), None, "{none}");
        }
    }
}
