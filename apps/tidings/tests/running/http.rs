//! HTTP as it goes over the wire: a request of any kind, and all that comes back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a field; empty: it is not there.
    pub(crate) fn field(&self, name: &str) -> &str {
        let is_it = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        let found = self.fields.iter().find(is_it);
        found.map_or("", |(_, value)| value.as_str())
    }

    pub(crate) fn tag(&self) -> &str {
        self.field("ETag")
    }

    /// The element of the report of a conflict (RFC 4825 §11.2), where it is one.
    pub(crate) fn conflict(&self) -> String {
        let is_report =
            self.status == 409 && self.field("Content-Type") == "application/xcap-error+xml";
        let root = xml::read(self.body.as_bytes(), &xml::Bounds::TRUSTED);
        let root = root
            .ok()
            .filter(|root| is_report && root.is("urn:ietf:params:xml:ns:xcap-error", "xcap-error"));
        let inside = root.and_then(|root| Some(root.elements().next()?.name.local.to_string()));
        inside.unwrap_or_else(|| panic!("no report of a conflict: {self:?}"))
    }
}

/// One request on a connection of its own.
#[track_caller]
pub(crate) fn ask(
    server: &str,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n");
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if method == "PUT" || !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Who is refused early may not have been read to the end.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    let mut came = Vec::new();
    if let Err(error) = stream.read_to_end(&mut came) {
        assert!(!came.is_empty(), "{method} {target}: {error}");
    }
    let text = String::from_utf8(came).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{method} {target}: {text:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let fields = lines.filter_map(|line| line.split_once(": "));
    let answer = Answer {
        status: status.and_then(|line| line.get(..3)?.parse().ok()).unwrap(),
        fields: fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    };
    if let Ok(length) = answer.field("Content-Length").parse::<usize>()
        && method != "HEAD"
        && answer.status != 304
    {
        assert_eq!(length, answer.body.len(), "{method} {target}");
    }
    answer
}
