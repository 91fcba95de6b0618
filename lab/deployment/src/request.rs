//! A request as a test writes it: fields in order, each replaceable, nothing checked.

/// One request, not yet bytes.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Request-URI.
    pub uri: String,
    /// Version in the request line.
    pub version: String,
    /// Fields in order.
    pub headers: Vec<(String, String)>,
    /// The body; Content-Length is written from it unless set by hand.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without any field.
    pub fn new(method: &str, uri: &str) -> Self {
        Self {
            method: method.to_owned(),
            uri: uri.to_owned(),
            version: "SIP/2.0".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a field after those that are there.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a field before those that are there.
    #[must_use]
    pub fn first(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.insert(0, (name.to_owned(), value.to_string()));
        self
    }

    /// Replaces a field where it stands (adds it when it is new).
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        match self
            .headers
            .iter_mut()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
        {
            Some((_, old)) => *old = value.to_string(),
            None => self.headers.push((name.to_owned(), value.to_string())),
        }
        self
    }

    /// Drops every field of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self
    }

    /// Gives it a body.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut request = self.set("Content-Type", content_type);
        request.body = body.into();
        request
    }

    /// The field as it stands.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// On the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} {}\r\n", self.method, self.uri, self.version);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.header("Content-Length").is_none() && self.header("l").is_none() {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::wire::Path;

    #[test]
    fn fields_keep_their_place() {
        let request = Request::new("OPTIONS", "sip:a@b")
            .with("Via", "1")
            .with("To", "2")
            .set("via", "3")
            .first("Route", "0")
            .without("to");
        assert_eq!(
            String::from_utf8(request.to_bytes()).unwrap(),
            "OPTIONS sip:a@b SIP/2.0\r\nRoute: 0\r\nVia: 3\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_body_brings_its_length() {
        let bytes = Request::new("PUBLISH", "sip:a@b")
            .body("text/plain", "hello")
            .to_bytes();
        let message = Message::read(&bytes, Path::Sent).unwrap();
        assert_eq!(message.number("content-length"), 5);
        assert_eq!(message.text(), "hello");
    }
}
