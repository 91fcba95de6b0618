//! A peer that follows a script: it subscribes and publishes by hand, repeats itself, and answers NOTIFYs as it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use sip::{Message, Name, response_to};

use crate::document::{document, user};
use crate::plan::Flaw;
use crate::settings::{BODY_BYTES_MAX, HEAD_BYTES_MAX, address};

/// When an unanswered request is sent again: Timer E of RFC 3261 §17.1.2.2, in milliseconds.
pub(crate) const AGAIN_MS: [u64; 11] = [
    0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_400,
];

/// More than the server takes.
static LONG_BODY: [u8; BODY_BYTES_MAX as usize + 1] = [b'x'; BODY_BYTES_MAX as usize + 1];

/// The dialog it has or tries to have.
#[derive(Clone, Debug)]
struct Dialog {
    whom: String,
    call_id: String,
    tag: String,
    remote_tag: Option<String>,
    cseq: u32,
    expires: u32,
    named: bool,
}

/// One scripted peer.
#[derive(Debug)]
pub(crate) struct Odd {
    number: usize,
    identity: String,
    dialog: Option<Dialog>,
    /// How it answers NOTIFYs; 0: not at all.
    answers: u16,
    entity_tag: Option<String>,
    serial: u32,
    answered: BTreeSet<String>,
    /// What it answered to each NOTIFY: the same again.
    said: BTreeMap<(String, u32), u16>,
    /// What its wrong requests deserve to be answered, by branch.
    deserved: BTreeMap<String, u16>,
    /// What one of them was answered instead.
    pub(crate) wronged: Option<String>,
}

impl Odd {
    /// The peer with this number, `first` being the number of the first of its kind.
    pub(crate) fn new(number: usize, first: usize) -> Self {
        Self {
            number,
            identity: user((number - first) as u8 + 1),
            dialog: None,
            answers: 200,
            entity_tag: None,
            serial: 0,
            answered: BTreeSet::new(),
            said: BTreeMap::new(),
            deserved: BTreeMap::new(),
            wronged: None,
        }
    }

    /// A SUBSCRIBE outside a dialog.
    pub(crate) fn watch(&mut self, whom: u8, expires: u32, answers: u16, named: bool) -> Vec<u8> {
        self.serial += 1;
        self.answers = answers;
        self.dialog = Some(Dialog {
            whom: user(whom),
            call_id: format!("odd{}-{}", self.number, self.serial),
            tag: format!("t{}", self.serial),
            remote_tag: None,
            cseq: 0,
            expires,
            named,
        });
        self.subscribe(expires).unwrap_or_default()
    }

    /// A SUBSCRIBE inside the dialog, if there is one.
    pub(crate) fn refresh(&mut self, moves: bool) -> Option<Vec<u8>> {
        let dialog = self
            .dialog
            .as_mut()
            .filter(|dialog| dialog.remote_tag.is_some())?;
        dialog.named ^= moves;
        let expires = dialog.expires.max(60);
        self.subscribe(expires)
    }

    /// The end of its subscription, if there is one.
    pub(crate) fn end(&mut self) -> Option<Vec<u8>> {
        self.dialog.as_ref()?.remote_tag.as_ref()?;
        self.subscribe(0)
    }

    fn subscribe(&mut self, expires: u32) -> Option<Vec<u8>> {
        self.serial += 1;
        let (serial, local, identity) = (self.serial, address(self.number), &self.identity);
        let number = self.number;
        let dialog = self.dialog.as_mut()?;
        dialog.cseq += 1;
        let to_tag = dialog
            .remote_tag
            .as_ref()
            .map(|tag| format!(";tag={tag}"))
            .unwrap_or_default();
        let contact = if dialog.named {
            format!("odd{number}.example.net")
        } else {
            local.to_string()
        };
        Some(
            format!(
                "SUBSCRIBE {whom} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKo{number}s{serial};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <{identity}>;tag={tag}\r\nTo: <{whom}>{to_tag}\r\nCall-ID: {call_id}\r\n\
                 CSeq: {cseq} SUBSCRIBE\r\nContact: <sip:odd@{contact}>\r\nEvent: presence\r\nExpires: {expires}\r\n\
                 Content-Length: 0\r\n\r\n",
                whom = dialog.whom,
                tag = dialog.tag,
                call_id = dialog.call_id,
                cseq = dialog.cseq,
            )
            .into_bytes(),
        )
    }

    /// A PUBLISH; `modify`: of what it published last.
    pub(crate) fn publish(&mut self, expires: u32, modify: bool) -> Vec<u8> {
        self.serial += 1;
        let (serial, number, local, identity) = (
            self.serial,
            self.number,
            address(self.number),
            &self.identity,
        );
        let tag = self.entity_tag.clone().filter(|_| modify || expires == 0);
        let body = if expires > 0 {
            document(identity, number, u64::from(serial) + 1_000_000, false)
        } else {
            bytes::Bytes::new()
        };
        let if_match = tag
            .map(|tag| format!("SIP-If-Match: {tag}\r\n"))
            .unwrap_or_default();
        let content_type = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/pidf+xml\r\n"
        };
        let mut bytes = format!(
            "PUBLISH {identity} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKo{number}p{serial};rport\r\n\
             Max-Forwards: 70\r\nFrom: <{identity}>;tag=p\r\nTo: <{identity}>\r\nCall-ID: oddp{number}-{serial}\r\n\
             CSeq: 1 PUBLISH\r\nEvent: presence\r\nExpires: {expires}\r\n{if_match}{content_type}\
             Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    }

    /// A request that deserves to be refused, in no dialog of its own.
    pub(crate) fn ask(&mut self, how: Flaw) -> Vec<u8> {
        self.serial += 1;
        let (serial, number, local) = (self.serial, self.number, address(self.number));
        let own = self.identity.as_str();
        let body = document(own, number, u64::from(serial) + 1_000_000, false);
        let (method, whom, fields, body) = flawed(how, own, &body);
        let contact = match how {
            Flaw::NoContact => String::new(),
            _ => format!("Contact: <sip:odd@{local}>\r\n"),
        };
        let to_tag = if how == Flaw::NoDialog {
            ";tag=000000000001.1"
        } else {
            ""
        };
        let mut bytes = format!(
            "{method} {whom} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKo{number}a{serial};rport\r\n\
             Max-Forwards: 70\r\nFrom: <{own}>;tag=a{serial}\r\nTo: <{whom}>{to_tag}\r\nCall-ID: odda{number}-{serial}\r\n\
             CSeq: 1 {method}\r\nExpires: 300\r\n{contact}{fields}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        self.deserved
            .insert(format!("z9hG4bKo{number}a{serial}"), how.status());
        bytes
    }

    /// What nobody can read, and what nobody can mean.
    pub(crate) fn garbage(&mut self) -> Vec<u8> {
        self.serial += 1;
        let (serial, number, local) = (self.serial, self.number, address(self.number));
        match serial % 3 {
            0 => vec![0, 159, 146, 150, 13, 10],
            1 => b"NOTIFY sip:nobody SIP/2.0\r\nVia: SIP/2.0/UDP\r\n\r\n".to_vec(),
            _ => format!(
                "INVITE sip:alice@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKo{number}i{serial}\r\n\
                 From: <sip:x@example.com>;tag=i{serial}\r\nTo: <sip:alice@example.com>\r\nCall-ID: i{number}-{serial}\r\n\
                 CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            )
            .into_bytes(),
        }
    }

    /// Whether a request with this Via was answered finally.
    pub(crate) fn is_answered(&self, request: &[u8]) -> bool {
        Message::parse(request)
            .ok()
            .and_then(|message| {
                message
                    .via()
                    .ok()?
                    .branch
                    .map(|branch| self.answered.contains(branch))
            })
            .unwrap_or(true)
    }

    /// Something arrived; what is answered to it.
    pub(crate) fn receive(&mut self, from: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let message = Message::parse(bytes).ok()?;
        if message.is_request() {
            if self.answers == 0 {
                return None;
            }
            let which = (
                message.call_id().ok()?.to_owned(),
                message.cseq().ok()?.number,
            );
            let status = *self.said.entry(which).or_insert(self.answers);
            // It refuses once; then it has mended itself.
            if matches!(self.answers, 500 | 503 | 486) {
                self.answers = 200;
            }
            let mut out = Vec::new();
            let mut writer = response_to(&mut out, &message, status, "", Some("odd"), Some(from));
            if status == 503 {
                writer.header(Name::RetryAfter, "20");
            }
            writer.end(0);
            return Some(out);
        }
        let status = message.status().filter(|status| *status >= 200)?;
        let branch = message.via().ok()?.branch?;
        // A server that is full or stopping says so to everybody.
        if let Some(deserved) = self
            .deserved
            .get(branch)
            .filter(|deserved| **deserved != status && status != 503)
        {
            self.wronged = Some(format!(
                "{branch} is answered {status} instead of {deserved}"
            ));
        }
        self.answered.insert(branch.to_owned());
        let success = status < 300;
        if let Some(tag) = message.sip_etag().filter(|_| success) {
            self.entity_tag = Some(tag.to_owned());
        }
        let call_id = message.call_id().ok()?;
        if let Some(dialog) = self
            .dialog
            .as_mut()
            .filter(|dialog| success && dialog.call_id == call_id)
        {
            dialog.remote_tag = message
                .to()
                .ok()
                .and_then(|to| to.tag())
                .map(ToOwned::to_owned);
        }
        None
    }
}

/// Method, Request-URI, fields and body of a request with this flaw.
fn flawed<'a>(
    how: Flaw,
    own: &'a str,
    body: &'a [u8],
) -> (&'static str, &'a str, String, &'a [u8]) {
    let presence = "Event: presence\r\n".to_owned();
    let pidf = "Event: presence\r\nContent-Type: application/pidf+xml\r\n".to_owned();
    match how {
        Flaw::NoEvent => ("SUBSCRIBE", own, String::new(), &[]),
        Flaw::Unacceptable => (
            "SUBSCRIBE",
            own,
            "Event: presence\r\nAccept: text/plain\r\n".into(),
            &[],
        ),
        Flaw::Extension => (
            "SUBSCRIBE",
            own,
            "Event: presence\r\nRequire: telepathy\r\n".into(),
            &[],
        ),
        Flaw::Elsewhere => ("SUBSCRIBE", "sip:alice@elsewhere.example", presence, &[]),
        Flaw::NoContact | Flaw::NoDialog => ("SUBSCRIBE", own, presence, &[]),
        Flaw::LongHead => {
            let padding = "x".repeat(HEAD_BYTES_MAX as usize);
            (
                "SUBSCRIBE",
                own,
                format!("Event: presence\r\nSubject: {padding}\r\n"),
                &[],
            )
        }
        Flaw::PlainText => (
            "PUBLISH",
            own,
            "Event: presence\r\nContent-Type: text/plain\r\n".into(),
            body,
        ),
        Flaw::Foreign => ("PUBLISH", "sip:mallory@example.com", pidf, body),
        Flaw::Empty => ("PUBLISH", own, presence, &[]),
        Flaw::LongBody => ("PUBLISH", own, pidf, &LONG_BODY),
        Flaw::NoTag => (
            "PUBLISH",
            own,
            "Event: presence\r\nSIP-If-Match: 000abc\r\n".into(),
            &[],
        ),
        Flaw::Register => ("REGISTER", own, String::new(), &[]),
        Flaw::Unknown => ("GOSSIP", own, String::new(), &[]),
    }
}
