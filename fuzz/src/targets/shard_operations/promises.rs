//! What must hold of everything that leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use documents::pidf::Presence;
use machine::settings::Handling;
use machine::{Instant, Now};
use shard::Send;
use sip::{Message, Method, Name, Uri};
use xml::Bounds;

use super::peers::{Notified, Peers};

/// RFC 3261 §17.1.2.2: Timer F.
const GIVEN_UP: Duration = Duration::from_secs(32);

/// One leg of a dialog, as its watcher hears of it.
#[derive(Debug, Default)]
struct Leg {
    cseq: u32,
    /// Its newest NOTIFY has no answer yet; since when.
    in_flight: Option<Instant>,
    token: u64,
    /// The last NOTIFY said that this is the end, in this life of the server.
    is_over: bool,
    /// A NOTIFY was refused, did not arrive, or was not answered in time.
    hurt: bool,
}

/// What was promised so far.
#[derive(Debug)]
pub(crate) struct Promises {
    /// What the rules give everybody but the presentity herself.
    pub(crate) handling: Handling,
    legs: BTreeMap<(String, String), Leg>,
    /// Branches of requests that deserve an answer.
    waiting: BTreeSet<String>,
    /// Somebody may have said anything, in anybody's name.
    foreign: bool,
}

impl Promises {
    pub(crate) fn new(handling: Handling) -> Self {
        Self {
            handling,
            legs: BTreeMap::new(),
            waiting: BTreeSet::new(),
            foreign: false,
        }
    }

    /// A request came for the first time.
    pub(crate) fn asked(&mut self, bytes: &[u8]) {
        let Ok(request) = Message::parse(bytes) else {
            unreachable!("our own request")
        };
        assert_eq!(request.check(), Ok(()), "our own request");
        let branch = request.via().ok().and_then(|via| via.branch);
        self.waiting.extend(branch.map(str::to_owned));
    }

    pub(crate) fn anything_may_be_asked(&mut self) {
        self.foreign = true;
    }

    pub(crate) fn everybody_is_answered(&self) {
        assert!(
            self.waiting.is_empty(),
            "a request without an answer: {:?}",
            self.waiting
        );
    }

    /// Another process: what the one before had not answered it need not know.
    pub(crate) fn restarted(&mut self, now: Now) {
        self.waiting.clear();
        for leg in self.legs.values_mut() {
            let since = leg.in_flight.take();
            leg.hurt |= since.is_some_and(|since| now.monotonic.since(since) > GIVEN_UP / 2);
            leg.is_over = false;
        }
    }

    /// An answer to a NOTIFY goes in.
    pub(crate) fn heard(&mut self, now: Now, bytes: &[u8]) {
        let Ok(answer) = Message::parse(bytes) else {
            return;
        };
        let final_answer = answer.status().is_some_and(|status| status >= 200);
        let Some(cseq) = answer.cseq().ok().filter(|_| final_answer) else {
            return;
        };
        if let Some(leg) = self.legs.get_mut(&name_of(&answer))
            && leg.cseq == cseq.number
        {
            let since = leg.in_flight.take();
            leg.hurt |= since.is_some_and(|since| now.monotonic.since(since) > GIVEN_UP / 2);
            leg.hurt |= answer.status().is_some_and(|status| status >= 300);
        }
    }

    pub(crate) fn undeliverable(&mut self, token: u64) {
        for leg in self.legs.values_mut().filter(|leg| leg.token == token) {
            leg.in_flight = None;
            leg.hurt = true;
        }
    }

    /// Something leaves.
    pub(crate) fn sent(&mut self, now: Now, send: &Send, peers: &mut Peers) {
        let whole = [send.head.as_slice(), &send.body].concat();
        crate::tell(|| {
            let at = now.monotonic.as_micros();
            format!(
                "{at} µs, to {:?}:\n{}",
                send.to,
                String::from_utf8_lossy(&whole)
            )
        });
        let Ok(message) = Message::parse(&whole) else {
            unreachable!(
                "what leaves does not read: {}",
                String::from_utf8_lossy(&whole)
            )
        };
        let shown = || String::from_utf8_lossy(&whole).into_owned();
        assert_eq!(message.bytes(), whole, "more leaves than a message");
        assert_eq!(message.head(), send.head, "the head ends elsewhere");
        assert_eq!(
            message.content_length(),
            Ok(u32::try_from(send.body.len()).ok()),
            "Content-Length is not the body's: {}",
            shown()
        );
        if message.is_request() {
            assert_eq!(message.check(), Ok(()), "{}", shown());
            self.notify(now, &message, send.token, peers);
        } else {
            self.response(now, &message, peers);
        }
    }

    fn response(&mut self, now: Now, message: &Message<'_>, peers: &mut Peers) {
        let (Some(status), Ok(via)) = (message.status(), message.via()) else {
            unreachable!("a response without status or Via")
        };
        says_what_its_status_demands(message, status);
        let branch = via.branch.unwrap_or_default();
        if status >= 200 {
            self.waiting.remove(branch);
        }
        let Some(asked) = peers.asked(branch, status) else {
            assert!(self.foreign, "an answer to nobody's request");
            return;
        };
        assert_eq!(
            message.check(),
            Ok(()),
            "the answer to a well-formed request is not"
        );
        let method = message.method();
        let expires = message.expires().ok().flatten();
        if method == Method::Publish {
            let given = message.sip_etag().zip(expires);
            assert_eq!(
                given.is_some(),
                status == 200,
                "SIP-ETag and Expires belong to 200"
            );
            peers.published(now, &asked, status, given);
        }
        if method != Method::Subscribe {
            return;
        }
        if status / 100 == 2 {
            assert!(expires.is_some() && message.contact().is_ok_and(|contact| contact.is_some()));
        }
        let tag = message.to().ok().and_then(|to| to.tag());
        match (asked.dialog, tag, expires) {
            (Some(_), ..) => peers.resubscribed(now, &asked, status, expires),
            (None, Some(tag), Some(seconds @ 1..)) => peers.subscribed(now, &asked, tag, seconds),
            _ => {}
        }
    }

    /// Whether a watcher has done what she must, so that her subscription lives: she answers, and it was not ended.
    pub(crate) fn is_answered(&self, now: Now, call_id: &str, tag: &str) -> bool {
        let leg = self.legs.get(&(call_id.to_owned(), tag.to_owned()));
        leg.is_some_and(|leg| {
            let waits = |since| now.monotonic.since(since) < GIVEN_UP / 2;
            !leg.is_over && !leg.hurt && leg.in_flight.is_none_or(waits)
        })
    }

    fn notify(&mut self, now: Now, message: &Message<'_>, token: u64, peers: &mut Peers) {
        assert_eq!(
            message.method(),
            Method::Notify,
            "a request of ours is a NOTIFY"
        );
        assert!(token != 0, "nobody would hear that it does not arrive");
        let (Ok(Some(state)), Ok(cseq)) = (message.subscription_state(), message.cseq()) else {
            unreachable!("a NOTIFY without Subscription-State or CSeq")
        };
        assert!(
            message
                .event()
                .is_ok_and(|event| event.is_some_and(|event| event.package == "presence"))
        );
        assert!(message.contact().is_ok_and(|contact| contact.is_some()));
        assert!(message.max_forwards().is_ok_and(|hops| hops.is_some()));
        assert!(Uri::parse(message.request_uri()).is_ok());
        let terminated = state.state == "terminated";
        assert!(terminated || state.state == "active" || state.state == "pending");
        // RFC 6665 §4.1.3, §8.2.3.
        assert_eq!(
            state.expires.is_none(),
            terminated,
            "expires says how long it goes on"
        );
        let is_new = self.in_order(now, message, token, (cseq.number, terminated));
        // What was sent before the rules changed is sent again as it was.
        if is_new {
            self.shows_what_may_be_seen(message);
        }
        let notified = Notified {
            fields: fields_to_repeat(message),
            token,
        };
        peers.keep_notify(notified);
    }

    /// CSeq never goes back, nothing follows the end, one NOTIFY is in flight.
    fn in_order(
        &mut self,
        now: Now,
        message: &Message<'_>,
        token: u64,
        (cseq, terminated): (u32, bool),
    ) -> bool {
        let leg = self.legs.entry(name_of(message)).or_default();
        assert!(
            leg.cseq <= cseq,
            "CSeq goes back from {} to {cseq}",
            leg.cseq
        );
        if leg.cseq == cseq {
            return false;
        }
        assert!(!leg.is_over, "a NOTIFY after the end");
        let waits = leg
            .in_flight
            .is_some_and(|since| now.monotonic.since(since) < GIVEN_UP);
        assert!(!waits, "a second NOTIFY while the first is in flight");
        *leg = Leg {
            cseq,
            in_flight: Some(now.monotonic),
            token,
            is_over: terminated,
            hurt: leg.hurt || leg.in_flight.is_some(),
        };
        true
    }

    fn shows_what_may_be_seen(&self, message: &Message<'_>) {
        let body = message.body();
        if body.is_empty() {
            assert!(!message.has(Name::ContentType));
            return;
        }
        assert!(
            message
                .content_type()
                .is_ok_and(|kind| kind.is_some_and(|kind| kind.matches("application/pidf+xml")))
        );
        let Ok(presence) = Presence::read(body, &Bounds::TRUSTED) else {
            unreachable!("a body that does not read")
        };
        assert!(
            !presence.entity.is_empty() && !presence.is_empty(),
            "a document that says nothing"
        );
        if self.foreign || self.handling == Handling::Allow {
            return;
        }
        let user = |address: Result<sip::NameAddr<'_>, _>| {
            address.ok().map(|address| address.uri.to_owned())
        };
        let herself = user(message.from()) == user(message.to());
        let secret = body.windows(6).any(|window| window == b"secret");
        assert!(
            herself || !secret,
            "shown to whom the rules do not allow it"
        );
    }
}

/// What a status is worth nothing without.
fn says_what_its_status_demands(message: &Message<'_>, status: u16) {
    let demanded = match status {
        405 => Name::Allow,
        415 => Name::Accept,
        420 => Name::Unsupported,
        423 => Name::MinExpires,
        489 => Name::AllowEvents,
        503 => Name::RetryAfter,
        _ => return,
    };
    assert!(message.has(demanded), "{status} without {demanded}");
}

/// Call-ID and our tag.
fn name_of(message: &Message<'_>) -> (String, String) {
    let tag = message
        .from()
        .ok()
        .and_then(|from| from.tag())
        .unwrap_or_default();
    (
        message.call_id().unwrap_or_default().to_owned(),
        tag.to_owned(),
    )
}

fn fields_to_repeat(message: &Message<'_>) -> String {
    let mut fields = String::new();
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
        let text = message.header_text(name).unwrap_or_default();
        fields.push_str(&format!("{name}: {text}\r\n"));
    }
    fields
}
