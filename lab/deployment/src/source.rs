//! A presence source: publishes, keeps the newest entity-tag, checks every answer by RFC 3903.

use std::collections::BTreeSet;

use crate::message::Message;
use crate::peer::Peer;
use crate::presence::pidf;
use crate::request::Request;
use crate::watcher::address_of_record;

/// One source of one presentity's state.
pub struct Source {
    /// The sockets.
    pub peer: Peer,
    /// Whose state it publishes (and as whom).
    pub presentity: String,
    /// The service it speaks of: tuple id and contact come from it.
    pub service: String,
    /// The entity-tag of the last 200.
    pub entity_tag: Option<String>,
    call_id: String,
    tag: String,
    cseq: u32,
    tags_seen: BTreeSet<String>,
}

impl Source {
    /// A source that has published nothing.
    pub fn new(peer: Peer, presentity: &str, service: &str) -> Self {
        let (call_id, tag) = (crate::peer::unique(), crate::peer::unique());
        Self {
            peer,
            presentity: address_of_record(presentity),
            service: service.to_owned(),
            entity_tag: None,
            call_id,
            tag,
            cseq: 0,
            tags_seen: BTreeSet::new(),
        }
    }

    /// A PUBLISH; conditional where a tag is known, with a body where given.
    pub fn publish_request(&mut self, expires: u32, body: Option<&str>) -> Request {
        self.cseq += 1;
        let mut request = Request::new("PUBLISH", &self.presentity)
            .with("Via", self.peer.via())
            .with("Max-Forwards", 70)
            .with("From", format!("<{}>;tag={}", self.presentity, self.tag))
            .with("To", format!("<{}>", self.presentity))
            .with("Call-ID", &self.call_id)
            .with("CSeq", format!("{} PUBLISH", self.cseq))
            .with("Event", "presence")
            .with("Expires", expires);
        if let Some(tag) = &self.entity_tag {
            request = request.with("SIP-If-Match", tag);
        }
        match body {
            Some(body) => request.body("application/pidf+xml", body),
            None => request,
        }
    }

    /// Takes a 200 into account: RFC 3903 §6, every 200 has Expires and a tag that was never used before; Contact and Record-Route never come back.
    #[track_caller]
    pub fn accept(&mut self, request: &Request, response: &Message) {
        assert_eq!(
            response.status(),
            Some(200),
            "answer to PUBLISH:\n{response}"
        );
        let wished: u32 = request
            .header("Expires")
            .and_then(|value| value.parse().ok())
            .unwrap_or(u32::MAX);
        assert!(
            response.number("expires") <= wished,
            "longer than asked for:\n{response}"
        );
        assert_eq!(
            response.header("contact"),
            None,
            "PUBLISH makes no dialog:\n{response}"
        );
        assert_eq!(
            response.header("record-route"),
            None,
            "PUBLISH makes no dialog:\n{response}"
        );
        let tag = response.expect("sip-etag").to_owned();
        assert!(
            self.tags_seen.insert(tag.clone()),
            "entity-tag {tag} was used before:\n{response}"
        );
        self.entity_tag = if wished == 0 { None } else { Some(tag) };
    }

    #[track_caller]
    fn exchange(&mut self, expires: u32, body: Option<&str>) -> Message {
        let request = self.publish_request(expires, body);
        let response = self.peer.exchange(&request);
        self.accept(&request, &response);
        response
    }

    /// Publishes (at first) or modifies: open, with this note.
    #[track_caller]
    pub fn publish(&mut self, expires: u32, note: &str) -> Message {
        let body = self.document("open", note);
        self.exchange(expires, Some(&body))
    }

    /// Publishes or modifies with any document.
    #[track_caller]
    pub fn publish_document(&mut self, expires: u32, body: &str) -> Message {
        self.exchange(expires, Some(body))
    }

    /// Refreshes what is there.
    #[track_caller]
    pub fn refresh(&mut self, expires: u32) -> Message {
        assert!(self.entity_tag.is_some(), "nothing to refresh");
        self.exchange(expires, None)
    }

    /// Removes what is there.
    #[track_caller]
    pub fn remove(&mut self) -> Message {
        assert!(self.entity_tag.is_some(), "nothing to remove");
        let response = self.exchange(0, None);
        assert_eq!(response.number("expires"), 0, "removed:\n{response}");
        response
    }

    /// A PUBLISH that must be refused with this status; nothing is taken over.
    #[track_caller]
    pub fn refused(&mut self, expires: u32, body: Option<&str>, status: u16) -> Message {
        let request = self.publish_request(expires, body);
        let response = self.peer.exchange(&request);
        assert_eq!(
            response.status(),
            Some(status),
            "answer to PUBLISH:\n{response}"
        );
        assert_eq!(
            response.header("sip-etag"),
            None,
            "a refusal with a tag:\n{response}"
        );
        response
    }

    /// A document of this source.
    pub fn document(&self, basic: &str, note: &str) -> String {
        pidf(&self.presentity, &self.service, basic, note)
    }
}
