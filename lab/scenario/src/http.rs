//! Requests for documents over HTTP (RFC 4825 §7, §8) and their answers: as a flow says them, as they go over the wire, and what holds for
//! each of them.

use xml::{Bounds, read};

/// The namespace of the report of a conflict (RFC 4825 §11.2).
const ERROR: &str = "urn:ietf:params:xml:ns:xcap-error";
const ERROR_TYPE: &str = "application/xcap-error+xml";
const BOUNDS: Bounds = Bounds {
    depth_max: 32,
    nodes_max: 100_000,
};

/// What an actor asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// GET, HEAD, PUT, DELETE, or what should be refused.
    pub method: String,
    /// Below the XCAP root, with the query: `pres-rules/users/sip:alice@example.com/index`.
    pub target: String,
    /// Besides Host and Content-Length.
    pub fields: Vec<(String, String)>,
    /// Empty: there is none.
    pub body: Vec<u8>,
}

/// What it is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Of the status line.
    pub status: u16,
    /// In order.
    pub fields: Vec<(String, String)>,
    /// As long as Content-Length says.
    pub body: Vec<u8>,
}

impl Asked {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    /// As it goes over the wire, to the root at this path of this host; one request for each connection.
    pub fn write(&self, host: &str, root: &str) -> Vec<u8> {
        let mut head = format!(
            "{} {root}/{} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n",
            self.method, self.target
        );
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

impl Told {
    /// Reads all that came until the connection ended.
    ///
    /// # Errors
    /// Why it is no answer.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}:\n{}", String::from_utf8_lossy(bytes));
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .ok_or_else(|| wrong("the answer has no end of its head"))?;
        let (head, rest) = bytes.split_at(end);
        let head = std::str::from_utf8(head).map_err(|_| wrong("a head that is no text"))?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| {
            let rest = line.strip_prefix("HTTP/1.1 ")?;
            rest.split(' ').next()?.parse().ok()
        });
        let fields: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Ok(Self {
            status: status.ok_or_else(|| wrong("no answer of HTTP/1.1"))?,
            fields,
            body: rest.get(4..).unwrap_or_default().to_vec(),
        })
    }

    /// As it goes over the wire.
    pub fn write(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        [head.as_bytes(), &self.body].concat()
    }

    /// The value of a field; `status`; `body`; `error`: the element that reports a conflict; `Name;parameter` is not known here.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        match name {
            "status" => Some(self.status.to_string()),
            "body" => String::from_utf8(self.body.clone()).ok(),
            "error" => self.conflict(),
            _ => field(&self.fields, name).map(str::to_owned),
        }
    }

    fn conflict(&self) -> Option<String> {
        let root = read(&self.body, &BOUNDS).ok()?;
        let inside = root
            .is(ERROR, "xcap-error")
            .then(|| root.elements().next())??;
        Some(inside.name.local.to_string())
    }

    /// What holds for every answer; no step has to say it.
    pub(crate) fn rules(&self, asked: &Asked) -> Result<(), String> {
        let fails = |holds: bool, why: &str| match holds {
            true => Ok(()),
            false => Err(why.to_owned()),
        };
        let length = self
            .value("Content-Length")
            .and_then(|value| value.parse().ok());
        if asked.method == "HEAD" {
            fails(
                self.body.is_empty(),
                "an answer to HEAD has a body (RFC 9110 §9.3.2)",
            )?;
        } else {
            fails(
                length.is_none_or(|length: usize| length == self.body.len()),
                "Content-Length is not the body's (RFC 9112 §6.2)",
            )?;
        }
        let removes_all = asked.method == "DELETE" && !asked.target.contains("/~~/");
        let tag = self.value("ETag");
        match self.status {
            // RFC 4825 §7.11: one entity-tag for the document and all its nodes, on every answer that has to do with one.
            200 | 201 | 304 if !removes_all => {
                let tag = tag.ok_or("no ETag (RFC 4825 §7.11)")?;
                fails(
                    tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'),
                    "the ETag is not in quotes, or weak (RFC 9110 §8.8.3)",
                )
            }
            405 => fails(
                self.value("Allow").is_some(),
                "405 without Allow (RFC 9110 §15.5.6)",
            ),
            409 => {
                fails(
                    self.value("Content-Type").as_deref() == Some(ERROR_TYPE),
                    "a conflict that is no xcap-error (RFC 4825 §11)",
                )?;
                fails(
                    self.conflict().is_some(),
                    "a report that names no conflict (RFC 4825 §11.2)",
                )
            }
            _ => Ok(()),
        }
    }
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    let is_it = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
    fields.iter().find(is_it).map(|(_, value)| value.as_str())
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        503 => "Service Unavailable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, target: &str) -> Asked {
        Asked {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: vec![("If-Match".to_owned(), "\"1\"".to_owned())],
            body: b"<a/>".to_vec(),
        }
    }

    #[test]
    fn what_is_written_is_as_http_wants_it_and_read_back() {
        let text = asked("PUT", "u/users/a/index").write("h:1", "/xcap-root");
        assert_eq!(
            String::from_utf8_lossy(&text),
            "PUT /xcap-root/u/users/a/index HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\nIf-Match: \"1\"\r\nContent-Length: 4\r\n\r\n<a/>"
        );
        let told = Told {
            status: 200,
            fields: vec![("ETag".to_owned(), "\"x\"".to_owned())],
            body: b"hi".to_vec(),
        };
        let read = Told::read(&told.write()).unwrap();
        assert_eq!((read.status, read.body.as_slice()), (200, b"hi".as_slice()));
        assert_eq!(read.value("etag").as_deref(), Some("\"x\""));
        assert!(Told::read(b"hello\r\n\r\n").is_err() && Told::read(b"HTTP/1.1 200").is_err());
    }

    #[test]
    fn an_answer_that_breaks_a_rule_is_named_with_its_clause() {
        let judge = |text: &str, method: &str, target: &str| {
            Told::read(text.as_bytes())
                .unwrap()
                .rules(&asked(method, target))
        };
        let node = "u/users/a/index/~~/b";
        let conflict = "Content-Type: application/xcap-error+xml\r\n\r\n\
            <xcap-error xmlns='urn:ietf:params:xml:ns:xcap-error'><no-parent/></xcap-error>";
        for right in [
            ("HTTP/1.1 200 OK\r\nETag: \"1\"\r\n\r\n", "DELETE", node),
            ("HTTP/1.1 200 OK\r\n\r\n", "DELETE", "u/users/a/index"),
            ("HTTP/1.1 404 Not Found\r\n\r\n", "GET", node),
            (&format!("HTTP/1.1 409 Conflict\r\n{conflict}"), "PUT", node),
        ] {
            assert_eq!(judge(right.0, right.1, right.2), Ok(()));
        }
        for (text, method, why) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "DELETE", "no ETag"),
            (
                "HTTP/1.1 200 OK\r\nETag: W/\"1\"\r\n\r\n",
                "GET",
                "the ETag is not in quotes",
            ),
            (
                "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 3\r\n\r\nhi",
                "GET",
                "Content-Length is not",
            ),
            (
                "HTTP/1.1 200 OK\r\nETag: \"1\"\r\n\r\nhi",
                "HEAD",
                "an answer to HEAD",
            ),
            ("HTTP/1.1 405 No\r\n\r\n", "PUT", "405 without Allow"),
            (
                "HTTP/1.1 409 Conflict\r\n\r\n<a/>",
                "PUT",
                "a conflict that is no xcap-error",
            ),
            (
                "HTTP/1.1 409 Conflict\r\nContent-Type: application/xcap-error+xml\r\n\r\n<a/>",
                "PUT",
                "a report that names no conflict",
            ),
        ] {
            let said = judge(text, method, node).unwrap_err();
            assert!(said.starts_with(why), "{text}: {said}");
        }
    }
}
