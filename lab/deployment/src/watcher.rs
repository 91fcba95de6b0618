//! A watcher: one dialog with the notifier, every NOTIFY checked against the rules common to all flows (standards.md C1–C6).

use std::time::Duration;

use crate::deadline::{Deadline, now};
use crate::message::{Message, uri};
use crate::notification::Notification;
use crate::peer::{Answering, Peer, unique};
use crate::request::Request;

/// One subscription of one watcher.
pub struct Watcher {
    /// The sockets.
    pub peer: Peer,
    /// Who watches.
    pub watcher: String,
    /// Who is watched.
    pub presentity: String,
    /// Fields that every SUBSCRIBE carries besides (Accept, Record-Route …); one of the same name replaces the usual one.
    pub fields: Vec<(String, String)>,
    /// The event with its id, as in Event.
    pub event: String,
    /// After a crash a gap in CSeq is allowed (never a step back); set by the test, cleared by the next NOTIFY.
    pub gap_allowed: bool,
    /// Answers to NOTIFYs are the test's business.
    pub manual: bool,
    dialog: Dialog,
}

#[derive(Clone, Debug)]
struct Dialog {
    call_id: String,
    local_tag: String,
    remote_tag: Option<String>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    remote_target: Option<String>,
    granted: u32,
    expires_last: Option<u32>,
    /// A SUBSCRIBE was granted since: what is left may grow once.
    renewed: bool,
}

impl Dialog {
    fn new() -> Self {
        Self {
            call_id: unique(),
            local_tag: unique(),
            remote_tag: None,
            local_cseq: 0,
            remote_cseq: None,
            remote_target: None,
            granted: 0,
            expires_last: None,
            renewed: false,
        }
    }
}

impl Watcher {
    /// `watcher` will watch `presentity` by `peer`; nothing is sent yet. Names may lack `sip:` and domain.
    pub fn new(mut peer: Peer, watcher: &str, presentity: &str) -> Self {
        peer.answering = Answering::Manual;
        Self {
            peer,
            watcher: address_of_record(watcher),
            presentity: address_of_record(presentity),
            fields: Vec::new(),
            event: "presence".to_owned(),
            gap_allowed: false,
            manual: false,
            dialog: Dialog::new(),
        }
    }

    /// Adds a field to every SUBSCRIBE.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Forgets the dialog: the next SUBSCRIBE begins a new one.
    pub fn forget(&mut self) {
        self.dialog = Dialog::new();
    }

    /// The dialog as the notifier named its side.
    pub fn remote_tag(&self) -> Option<&str> {
        self.dialog.remote_tag.as_deref()
    }

    /// The next SUBSCRIBE of the dialog (or the one that begins it).
    pub fn subscribe_request(&mut self, expires: u32) -> Request {
        self.dialog.local_cseq += 1;
        let user = uri(&self.watcher)
            .trim_start_matches("sip:")
            .split('@')
            .next()
            .unwrap_or("watcher")
            .to_owned();
        let target = self
            .dialog
            .remote_target
            .as_ref()
            .unwrap_or(&self.presentity);
        let tag = self
            .dialog
            .remote_tag
            .as_ref()
            .map(|tag| format!(";tag={tag}"))
            .unwrap_or_default();
        let mut request = Request::new("SUBSCRIBE", target)
            .with("Via", self.peer.via())
            .with("Max-Forwards", 70)
            .with(
                "From",
                format!("<{}>;tag={}", self.watcher, self.dialog.local_tag),
            )
            .with("To", format!("<{}>{tag}", self.presentity))
            .with("Call-ID", &self.dialog.call_id)
            .with("CSeq", format!("{} SUBSCRIBE", self.dialog.local_cseq))
            .with("Contact", self.peer.contact(&user))
            .with("Event", &self.event)
            .with("Accept", "application/pidf+xml")
            .with("Expires", expires);
        for (name, value) in &self.fields {
            request = if name.eq_ignore_ascii_case("record-route") {
                request.with(name, value)
            } else {
                request.set(name, value)
            };
        }
        request
    }

    /// SUBSCRIBE; the final response, whatever it is. A 2xx is checked and taken into the dialog.
    #[track_caller]
    pub fn try_subscribe(&mut self, expires: u32) -> Message {
        let request = self.subscribe_request(expires);
        let response = self.peer.exchange(&request);
        self.accept(&request, &response);
        response
    }

    /// Takes a response to `request` into the dialog, if it is a 2xx.
    #[track_caller]
    pub fn accept(&mut self, request: &Request, response: &Message) {
        if !matches!(response.status(), Some(200 | 202)) {
            return;
        }
        let wished: u32 = request
            .header("Expires")
            .and_then(|value| value.parse().ok())
            .unwrap_or(3600);
        let granted = response.number("expires");
        // standards.md C3: shortened, never lengthened.
        assert!(
            granted <= wished,
            "granted {granted} s of {wished} s:\n{response}"
        );
        // RFC 6665 §4.2.1.1 with RFC 3261 §12.1.1: a 2xx carries Contact; Record-Route comes back as it was.
        let contact = uri(response.expect("contact")).to_owned();
        let routes: Vec<&str> = request
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("record-route"))
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(
            response.headers("record-route").collect::<Vec<_>>(),
            routes,
            "Record-Route of\n{response}"
        );
        let tag = response.tag("to").map(str::to_owned);
        if self.dialog.remote_tag.is_some() {
            assert_eq!(
                self.dialog.remote_tag, tag,
                "the dialog's tag changed:\n{response}"
            );
        }
        self.dialog.remote_tag = tag;
        self.dialog.remote_target = Some(contact);
        self.dialog.granted = granted;
        self.dialog.renewed = true;
    }

    /// SUBSCRIBE that must be granted (`status`), and the NOTIFY that follows at once.
    #[track_caller]
    pub fn subscribe_as(&mut self, expires: u32, status: u16) -> Notification {
        let response = self.try_subscribe(expires);
        assert_eq!(
            response.status(),
            Some(status),
            "answer to SUBSCRIBE:\n{response}"
        );
        // standards.md C1: whatever the decision, a NOTIFY follows every 2xx.
        self.notify()
    }

    /// SUBSCRIBE answered by 200, and the NOTIFY that follows at once. Also the refresh, when the dialog lives.
    #[track_caller]
    pub fn subscribe(&mut self, expires: u32) -> Notification {
        let notification = self.subscribe_as(expires, 200);
        assert_eq!(
            notification.state(),
            if expires == 0 { "terminated" } else { "active" },
            "\n{}",
            notification.message
        );
        if expires == 0 {
            assert_eq!(
                notification.reason(),
                Some("timeout"),
                "\n{}",
                notification.message
            );
        }
        notification
    }

    /// SUBSCRIBE that must be refused with this status.
    #[track_caller]
    pub fn refused(&mut self, expires: u32, status: u16) -> Message {
        let response = self.try_subscribe(expires);
        assert_eq!(
            response.status(),
            Some(status),
            "answer to SUBSCRIBE:\n{response}"
        );
        response
    }

    /// The next NOTIFY of this dialog, checked and (unless `manual`) answered with 200.
    #[track_caller]
    pub fn notify(&mut self) -> Notification {
        self.notify_before(Deadline::default())
            .unwrap_or_else(|| panic!("no NOTIFY came, but {}", self.peer.pending()))
    }

    /// The same, if it comes before the deadline.
    #[track_caller]
    pub fn notify_before(&mut self, deadline: Deadline) -> Option<Notification> {
        let call_id = self.dialog.call_id.clone();
        let (at, message) = self.peer.find_timed(deadline, |message| {
            message.status().is_none()
                && message.method() == "NOTIFY"
                && message.call_id() == call_id
        })?;
        let notification = Notification { message, at };
        self.check(&notification);
        if !self.manual {
            self.peer.answer(&notification.message, 200, &[]);
        }
        Some(notification)
    }

    /// The next NOTIFY; its document must say `note`.
    #[track_caller]
    pub fn sees(&mut self, note: &str) -> Notification {
        let notification = self.notify();
        assert!(
            notification.presence().says(note),
            "no note {note:?} in\n{}",
            notification.message
        );
        notification
    }

    /// No NOTIFY was sent since the last: a refresh is answered by one with the very next number. Its document comes back.
    #[track_caller]
    pub fn assert_unnotified(&mut self) -> Notification {
        self.subscribe(3600)
    }

    /// Nothing comes for a while.
    #[track_caller]
    pub fn assert_silent(&mut self, wait: Duration) {
        self.peer
            .assert_silent(wait, |message| message.status().is_none());
    }

    #[track_caller]
    fn check(&mut self, notification: &Notification) {
        let message = &notification.message;
        // standards.md C6, RFC 3261 §12.2.1.1: the dialog's URIs and tags, mirrored.
        assert_eq!(
            message.uri("from"),
            Some(self.presentity.as_str()),
            "From of\n{message}"
        );
        assert_eq!(
            message.uri("to"),
            Some(self.watcher.as_str()),
            "To of\n{message}"
        );
        assert_eq!(
            message.tag("to"),
            Some(self.dialog.local_tag.as_str()),
            "tag of To of\n{message}"
        );
        // standards.md C5: a NOTIFY may come before the 2xx and then makes the dialog.
        let tag = message.tag("from").map(str::to_owned);
        match &self.dialog.remote_tag {
            Some(_) => assert_eq!(self.dialog.remote_tag, tag, "tag of From of\n{message}"),
            None => self.dialog.remote_tag = tag,
        }
        if let Some(last) = self.dialog.remote_cseq {
            let number = message.cseq().0;
            assert!(
                number > last,
                "CSeq went from {last} to {number}:\n{message}"
            );
            assert!(
                number == last + 1 || self.gap_allowed,
                "CSeq went from {last} to {number} without a crash:\n{message}"
            );
        }
        self.gap_allowed = false;
        self.dialog.remote_cseq = Some(message.cseq().0);
        // standards.md C2: the same package and id; Contact is there (and is where refreshes go).
        assert_eq!(
            message.header("event"),
            Some(self.event.as_str()),
            "Event of\n{message}"
        );
        let contact = message
            .uri("contact")
            .unwrap_or_else(|| panic!("no Contact in\n{message}"));
        if let Some(target) = &self.dialog.remote_target {
            assert_eq!(
                contact, target,
                "Contact differs from the 2xx's in\n{message}"
            );
        }
        // standards.md C3: what is left never grows, except by a SUBSCRIBE, whose 2xx may have overtaken older NOTIFYs.
        let granted = if self.dialog.granted == 0 {
            u32::MAX
        } else {
            self.dialog.granted
        };
        notification.check_state(granted);
        if let (Some(last), Some(left)) = (self.dialog.expires_last, notification.expires()) {
            assert!(
                left <= last || self.dialog.renewed,
                "{left} s left after {last} s:\n{message}"
            );
            self.dialog.renewed &= left <= last;
        }
        self.dialog.expires_last = notification.expires().or(self.dialog.expires_last);
    }

    /// Watches from now on without measuring: how long until the next NOTIFY.
    #[track_caller]
    pub fn time_to_notify(&mut self) -> (Duration, Notification) {
        let begin = now();
        let notification = self.notify();
        (
            notification.at.saturating_duration_since(begin),
            notification,
        )
    }
}

/// `alice` → `sip:alice@example.com`; what has a scheme stays.
pub fn address_of_record(name: &str) -> String {
    match (name.contains(':'), name.contains('@')) {
        (true, _) => name.to_owned(),
        (false, true) => format!("sip:{name}"),
        (false, false) => format!("sip:{name}@example.com"),
    }
}
