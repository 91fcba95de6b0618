//! Requests of ours: what they say, and the transaction each one is in.

use bytes::Bytes;
use machine::Instant;
use sip::{Name, Writer};
use transaction::NonInviteClient;

use crate::UsageId;
use crate::hop::Hop;

/// What to publish.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The address of record whose state it is.
    pub resource: String,
    /// Seconds to ask for.
    pub expires: u32,
    /// Content-Type of `body`.
    pub content_type: String,
    /// The document; none refreshes the publication that `if_match` names.
    pub body: Option<Bytes>,
    /// The entity-tag of a publication made before: it is changed instead of a new one made; if it is gone, that is the end.
    pub if_match: Option<String>,
}

/// A request without its Via: what stays when it is sent another way.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) method: &'static str,
    pub(crate) uri: String,
    pub(crate) routes: Vec<String>,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    pub(crate) fields: Vec<(Name, String)>,
    pub(crate) body: Option<(String, Bytes)>,
    /// How often it was sent again because somebody asked who we are.
    pub(crate) proofs: u8,
}

impl Draft {
    /// RFC 3261 §8.1.1: the whole request, its topmost Via as given.
    pub(crate) fn compose(&self, via: &str, user_agent: &str) -> Vec<u8> {
        let mut bytes =
            Vec::with_capacity(768 + self.body.as_ref().map_or(0, |(_, body)| body.len()));
        let mut writer = Writer::request(&mut bytes, self.method, &self.uri);
        writer.header(Name::Via, via);
        for route in &self.routes {
            writer.header(Name::Route, route);
        }
        writer.header(Name::MaxForwards, "70");
        writer
            .header(Name::From, &self.from)
            .header(Name::To, &self.to);
        writer
            .header(Name::CallId, &self.call_id)
            .header(Name::CSeq, format!("{} {}", self.cseq, self.method));
        for (name, value) in &self.fields {
            writer.header(*name, value);
        }
        writer.header(Name::UserAgent, user_agent);
        match &self.body {
            Some((content_type, body)) => writer.body(content_type, body),
            None => writer.end(0),
        }
        bytes
    }
}

/// One request on its way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) usage: UsageId,
    /// A subscription's dialog number.
    pub(crate) dialog: u32,
    pub(crate) branch: String,
    pub(crate) machine: NonInviteClient,
    pub(crate) hop: Hop,
    pub(crate) draft: Draft,
    pub(crate) bytes: Vec<u8>,
    /// It left by TCP only because it is large (RFC 3261 §18.1.1): UDP is tried when TCP fails.
    pub(crate) for_its_size: bool,
    pub(crate) sent_at: Instant,
}
