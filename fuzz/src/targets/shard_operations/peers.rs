//! Sources and watchers: what they say, and what they remember of what they were told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use machine::settings::{ListenerId, Transport};
use machine::{Instant, Now};
use shard::{ConnectionId, Flow};
use sip::Message;

use super::Script;
use super::world::World;

/// What a request may wish, in seconds: refused, ended, short, long, too long.
pub(crate) const EXPIRES: &[u32] = &[60, 1, 0, 5, 30, 600, 100_000, 33];

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const KEPT_MAX: usize = 24;
/// How exactly an expiry is known here.
const GRACE: Duration = Duration::from_secs(2);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Publish,
    Refresh,
    Modify,
    Remove,
    Subscribe,
    Resubscribe,
    Unsubscribe,
    Fetch,
    Stranger,
}

/// A request under way, by its branch.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) if_match: Option<String>,
    /// What the peer may rely on: the tag or the dialog that is named is alive, or it is not.
    pub(crate) alive: Option<bool>,
    pub(crate) presentity: &'static str,
    pub(crate) watcher: &'static str,
    /// The dialog that it is in.
    pub(crate) dialog: Option<usize>,
    /// Its number in that dialog.
    pub(crate) cseq: u32,
    /// Its Event has an id.
    pub(crate) with_id: bool,
    pub(crate) call_id: String,
    pub(crate) at: Instant,
}

/// An entity-tag that was given.
#[derive(Clone, Debug)]
struct Tag {
    text: String,
    presentity: &'static str,
    until: Instant,
    /// Requests about it that nobody has answered, or what it is worth is not known here.
    touched: bool,
}

/// A dialog that a SUBSCRIBE made.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    pub(crate) to_tag: String,
    pub(crate) presentity: &'static str,
    pub(crate) watcher: &'static str,
    cseq: u32,
    with_id: bool,
    /// Until when it lasts; before now: it was ended.
    until: Instant,
    /// Somebody asked within it and has no answer yet, or what it is worth is not known here.
    touched: bool,
}

/// A NOTIFY as its watcher has it.
#[derive(Clone, Debug)]
pub(crate) struct Notified {
    /// The fields that its answer repeats.
    pub(crate) fields: String,
    pub(crate) token: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    asked: BTreeMap<String, Asked>,
    pub(crate) notified: VecDeque<Notified>,
    pub(crate) dialogs: Vec<Dialog>,
    tags: Vec<Tag>,
    spent: BTreeSet<String>,
    said: VecDeque<(Flow, Vec<u8>)>,
    serial: u32,
    doubtful: bool,
}

/// By what way a peer speaks.
pub(crate) fn flow(number: u8, stream: bool) -> Flow {
    Flow {
        transport: if stream {
            Transport::Tcp
        } else {
            Transport::Udp
        },
        listener: ListenerId(u16::from(stream)),
        peer: SocketAddr::from(([192, 0, 2, 10 + number], 5060)),
        connection: stream.then_some(ConnectionId(u64::from(number))),
    }
}

fn document(choice: u8, serial: u32) -> (&'static str, String) {
    let body = |inner: &str| {
        format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:x@example.com\"><tuple id=\"t{}\"><status>\
             <basic>open</basic></status>{inner}<note>secret {serial}</note></tuple></presence>",
            choice >> 4
        )
    };
    let pidf = "application/pidf+xml";
    match choice & 15 {
        0..=9 => (pidf, body("")),
        10 => (
            pidf,
            body("<contact priority=\"0.5\">sip:a@192.0.2.9</contact>"),
        ),
        11 => (
            pidf,
            body("<x xmlns=\"urn:x\"><y/><y/><y/><y/><y/><y/></x>"),
        ),
        12 => (pidf, body(&format!("<note>{}</note>", "long ".repeat(300)))),
        13 => (pidf, "<presence".to_owned()),
        14 => ("text/plain", "secret".to_owned()),
        _ => (pidf, String::new()),
    }
}

impl Peers {
    fn next_serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    /// The wall clock stepped: after a start nobody here knows what has lapsed.
    pub(crate) fn doubt(&mut self) {
        self.doubtful = true;
        self.tags.iter_mut().for_each(|tag| tag.touched = true);
        self.doubt_dialogs();
    }

    /// Every subscription may have been ended from our side.
    pub(crate) fn doubt_dialogs(&mut self) {
        self.dialogs
            .iter_mut()
            .for_each(|dialog| dialog.touched = true);
        self.asked
            .values_mut()
            .filter(|asked| asked.dialog.is_some())
            .for_each(|asked| asked.alive = None);
    }

    pub(crate) fn in_doubt(&self) -> bool {
        self.doubtful
    }

    /// What was asked may have been done or not: by a process that is gone, or by somebody else.
    pub(crate) fn unsure(&mut self) {
        for asked in self.asked.values_mut() {
            if let Some(dialog) = asked.dialog.filter(|_| asked.alive.is_some()) {
                self.dialogs[dialog].touched = true;
            }
            asked.alive = None;
            if let Some(tag) = self
                .tags
                .iter_mut()
                .find(|tag| Some(&tag.text) == asked.if_match.as_ref())
            {
                tag.touched = true;
            }
        }
    }

    /// After 64·T1 without an answer a client has given up, and the same bytes are another request (RFC 4320 §4.2).
    fn forget_who_gave_up(&mut self, now: Now) {
        for asked in self.asked.values_mut() {
            if now.monotonic.since(asked.at) > Duration::from_secs(30) {
                asked.alive = None;
            }
        }
    }

    /// The same bytes again: what was refused the first time, for want of room, is perhaps done now.
    fn may_be_done_now(&mut self, bytes: &[u8]) {
        let request = Message::parse(bytes).ok();
        let branch = request.and_then(|request| request.via().ok()?.branch);
        let Some(asked) = branch.and_then(|branch| self.asked.get(branch)) else {
            return;
        };
        let named = |tag: &&mut Tag| asked.if_match.as_deref() == Some(tag.text.as_str());
        self.tags
            .iter_mut()
            .filter(named)
            .for_each(|tag| tag.touched = true);
        if let Some(dialog) = asked.dialog.and_then(|at| self.dialogs.get_mut(at)) {
            dialog.touched = true;
        }
    }

    /// What was asked by this branch; once it is answered for good nobody relies on the same bytes any more.
    pub(crate) fn asked(&mut self, branch: &str, status: u16) -> Option<Asked> {
        let asked = self.asked.get_mut(branch)?;
        let before = asked.clone();
        if status >= 200 {
            asked.alive = None;
        }
        Some(before)
    }

    /// An answer to a PUBLISH: what it says of the tag that was named, and the tag that is given.
    pub(crate) fn published(
        &mut self,
        now: Now,
        asked: &Asked,
        status: u16,
        given: Option<(&str, u32)>,
    ) {
        if let Some(if_match) = &asked.if_match {
            assert!(
                asked.alive != Some(true) || status != 412,
                "an acknowledged entity-tag is forgotten"
            );
            assert!(
                asked.alive != Some(false) || status != 200,
                "an entity-tag that was spent is taken"
            );
            if status == 200 {
                self.tags.retain(|tag| tag.text != *if_match);
                self.spent.insert(if_match.clone());
            } else if asked.alive.is_some()
                && let Some(tag) = self.tags.iter_mut().find(|tag| tag.text == *if_match)
            {
                tag.touched = self.doubtful;
            }
        }
        let Some((text, seconds)) = given else { return };
        if seconds == 0 {
            self.spent.insert(text.to_owned());
            return;
        }
        // The same answer may come again.
        let again = self.tags.iter().any(|tag| tag.text == text) || self.spent.contains(text);
        if again {
            return;
        }
        if self.tags.len() >= KEPT_MAX {
            self.tags.remove(0);
        }
        self.tags.push(Tag {
            text: text.to_owned(),
            presentity: asked.presentity,
            until: now.monotonic + Duration::from_secs(u64::from(seconds)),
            // Acknowledged late: over a start it counts from when it was stored, which is not known here.
            touched: self.doubtful || now.monotonic.since(asked.at) > GRACE / 2,
        });
    }

    /// A tag to name, whose it is, and what is known of it.
    fn tag(&mut self, now: Now, script: &mut Script<'_>) -> (String, &'static str, Option<bool>) {
        let choice = script.byte();
        let alice = USERS[0];
        if choice >= 250 || self.tags.is_empty() {
            let spent = self.spent.iter().nth(usize::from(choice & 7)).cloned();
            return match spent {
                Some(tag) => (tag, alice, Some(false)),
                None => (format!("nobody{choice}"), alice, Some(false)),
            };
        }
        let at = usize::from(choice) % self.tags.len();
        let tag = &mut self.tags[at];
        let alive = if tag.touched {
            None
        } else if now.monotonic + GRACE < tag.until {
            Some(true)
        } else if tag.until + GRACE < now.monotonic {
            Some(false)
        } else {
            None
        };
        tag.touched = true;
        (tag.text.clone(), tag.presentity, alive)
    }

    /// The answer of a watcher who takes everything, to the oldest NOTIFY.
    pub(crate) fn any_answer(&mut self) -> Option<Vec<u8>> {
        let notified = self.notified.pop_front()?;
        Some(response(&notified, 200, ""))
    }

    pub(crate) fn token(&self, script: &mut Script<'_>) -> Option<u64> {
        if self.notified.is_empty() {
            return None;
        }
        let at = script.one_of(self.notified.len());
        Some(self.notified[at].token)
    }

    pub(crate) fn keep_notify(&mut self, notified: Notified) {
        if self.notified.len() >= KEPT_MAX {
            self.notified.pop_front();
        }
        self.notified.push_back(notified);
    }

    /// A SUBSCRIBE was answered with 2xx outside a dialog, so there is one.
    pub(crate) fn subscribed(&mut self, now: Now, asked: &Asked, to_tag: &str, seconds: u32) {
        let known = self.dialogs.iter().any(|dialog| dialog.to_tag == to_tag);
        if known || self.dialogs.len() >= KEPT_MAX {
            return;
        }
        self.dialogs.push(Dialog {
            call_id: asked.call_id.clone(),
            to_tag: to_tag.to_owned(),
            presentity: asked.presentity,
            watcher: asked.watcher,
            cseq: 1,
            with_id: asked.with_id,
            until: now.monotonic + Duration::from_secs(u64::from(seconds)),
            touched: self.doubtful || now.monotonic.since(asked.at) > GRACE / 2,
        });
    }

    /// A SUBSCRIBE within a dialog was answered.
    pub(crate) fn resubscribed(
        &mut self,
        now: Now,
        asked: &Asked,
        status: u16,
        expires: Option<u32>,
    ) {
        assert!(
            asked.alive != Some(true) || status != 481,
            "an acknowledged subscription is forgotten"
        );
        assert!(
            asked.alive != Some(false) || status / 100 != 2,
            "a subscription that was ended goes on"
        );
        let Some(dialog) = asked.dialog.and_then(|at| self.dialogs.get_mut(at)) else {
            return;
        };
        if asked.alive.is_none() {
            return;
        }
        let late = now.monotonic.since(asked.at) > GRACE / 2;
        // Who asked again before this answer came learns from that one what her dialog is worth.
        dialog.touched = self.doubtful || late || asked.cseq != dialog.cseq;
        if let Some(seconds) = expires.filter(|_| status / 100 == 2) {
            let lasts = Duration::from_secs(u64::from(seconds));
            dialog.until = if seconds == 0 {
                Instant::ZERO
            } else {
                now.monotonic + lasts
            };
        }
    }

    /// What a watcher may rely on who asks within a dialog whose NOTIFYs she has answered, or not.
    fn rely_on(&mut self, now: Now, at: usize, with_id: bool, answers: bool) -> Option<bool> {
        let dialog = self.dialogs.get_mut(at)?;
        if dialog.touched || dialog.with_id != with_id {
            return None;
        }
        let alive = if dialog.until == Instant::ZERO {
            Some(false)
        } else {
            (answers && now.monotonic + GRACE < dialog.until).then_some(true)
        };
        dialog.touched = true;
        alive
    }

    fn publish(&mut self, kind: Kind, now: Now, script: &mut Script<'_>) -> (Flow, Vec<u8>) {
        let serial = self.next_serial();
        let (if_match, mut presentity, alive) = match kind {
            Kind::Publish => (None, USERS[script.one_of(USERS.len())], None),
            _ => {
                let (tag, presentity, alive) = self.tag(now, script);
                (Some(tag), presentity, alive)
            }
        };
        let expires = match kind {
            Kind::Remove => 0,
            _ => EXPIRES[script.one_of(EXPIRES.len())],
        };
        let mut fields = format!("Expires: {expires}\r\n");
        if let Some(tag) = &if_match {
            fields.push_str(&format!("SIP-If-Match: {tag}\r\n"));
        }
        let mut body = String::new();
        if matches!(kind, Kind::Publish | Kind::Modify) {
            let (content_type, text) = document(script.byte(), serial);
            if !text.is_empty() {
                fields.push_str(&format!("Content-Type: {content_type}\r\n"));
            }
            body = text;
        }
        let stranger = script.byte() == 255;
        if stranger {
            presentity = USERS[2];
        }
        let branch = format!("z9hG4bKp{serial}");
        let call_id = format!("p{serial}");
        let bytes = format!(
            "PUBLISH sip:{presentity}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch={branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{presentity}@example.com>;tag=s{serial}\r\n\
             To: <sip:{presentity}@example.com>\r\nCall-ID: {call_id}\r\nCSeq: 1 PUBLISH\r\nEvent: presence\r\n\
             {fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let asked = Asked {
            if_match,
            // In another's name it is nobody's tag.
            alive: alive.filter(|_| !stranger),
            presentity,
            watcher: presentity,
            dialog: None,
            cseq: 1,
            with_id: false,
            call_id,
            at: now.monotonic,
        };
        self.asked.insert(branch, asked);
        (flow(0, false), bytes.into_bytes())
    }

    fn subscribe(
        &mut self,
        kind: Kind,
        now: Now,
        script: &mut Script<'_>,
        answers: impl Fn(&Dialog) -> bool,
    ) -> (Flow, Vec<u8>) {
        let serial = self.next_serial();
        let within =
            matches!(kind, Kind::Resubscribe | Kind::Unsubscribe) && !self.dialogs.is_empty();
        let at = if within {
            script.one_of(self.dialogs.len())
        } else {
            0
        };
        let choice = script.byte();
        let (presentity, watcher, to_tag, call_id, cseq) =
            match self.dialogs.get_mut(at).filter(|_| within) {
                Some(dialog) => {
                    dialog.cseq += 1;
                    let tag = format!(";tag={}", dialog.to_tag);
                    (
                        dialog.presentity,
                        dialog.watcher,
                        tag,
                        dialog.call_id.clone(),
                        dialog.cseq,
                    )
                }
                None => {
                    let presentity = USERS[usize::from(choice & 3) % USERS.len()];
                    let watcher = USERS[usize::from(choice >> 2 & 3) % USERS.len()];
                    (presentity, watcher, String::new(), format!("w{serial}"), 1)
                }
            };
        let expires = match kind {
            Kind::Unsubscribe | Kind::Fetch => 0,
            _ => EXPIRES[script.one_of(EXPIRES.len())],
        };
        let way = script.byte();
        let stream = way & 1 != 0;
        let number = way >> 1 & 3;
        let transport = if stream { "TCP" } else { "UDP" };
        let contact = contact(way >> 3 & 7, watcher, number);
        let (fields, with_id) = wishes(expires, script.byte());
        let answers = self.dialogs.get(at).is_some_and(answers);
        let relies = within.then(|| self.rely_on(now, at, with_id, answers));
        let branch = format!("z9hG4bKs{serial}");
        let bytes = format!(
            "SUBSCRIBE sip:{presentity}@example.com SIP/2.0\r\n\
             Via: SIP/2.0/{transport} 192.0.2.{};branch={branch};rport\r\nMax-Forwards: 70\r\n\
             From: \"\" <sip:{watcher}@example.com>;tag=f{call_id}\r\nTo: <sip:{presentity}@example.com>{to_tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} SUBSCRIBE\r\nContact: <{contact}>\r\n{fields}Content-Length: 0\r\n\r\n",
            10 + number
        );
        let asked = Asked {
            if_match: None,
            alive: relies.flatten(),
            presentity,
            watcher,
            dialog: within.then_some(at),
            cseq,
            with_id,
            call_id,
            at: now.monotonic,
        };
        self.asked.insert(branch, asked);
        (flow(number, stream), bytes.into_bytes())
    }

    /// Methods that are not ours, and ours about nobody.
    fn stranger(&mut self, now: Now, script: &mut Script<'_>) -> (Flow, Vec<u8>) {
        let serial = self.next_serial();
        let (method, choice) = (script.byte(), script.byte());
        let method = [
            "OPTIONS", "INVITE", "MESSAGE", "CANCEL", "REGISTER", "NOTIFY", "BREW", "BYE",
        ][usize::from(method) % 8];
        let uri = [
            "sip:ps.example.com",
            "sip:alice@example.com",
            "sip:alice@elsewhere.example",
            "tel:+15550100",
        ][usize::from(choice & 3)];
        let branch = format!("z9hG4bKx{serial}");
        let bytes = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.12;branch={branch}\r\nFrom: <sip:x@y.example>;tag=x\r\n\
             To: <{uri}>\r\nCall-ID: x{serial}\r\nCSeq: 9 {method}\r\nMax-Forwards: {}\r\nContent-Length: 0\r\n\r\n",
            choice >> 4
        );
        let asked = Asked {
            if_match: None,
            alive: None,
            presentity: USERS[0],
            watcher: USERS[0],
            dialog: None,
            cseq: 1,
            with_id: false,
            call_id: format!("x{serial}"),
            at: now.monotonic,
        };
        self.asked.insert(branch, asked);
        (flow(2, false), bytes.into_bytes())
    }
}

/// Where a watcher wants her NOTIFYs.
fn contact(choice: u8, watcher: &str, number: u8) -> String {
    match choice {
        0..=3 => format!("sip:{watcher}@192.0.2.{}", 10 + number),
        4 => format!("sip:{watcher}@host{number}.example.net"),
        5 => format!("sip:{watcher}@192.0.2.{};transport=tcp", 10 + number),
        6 => format!("sip:{watcher}@10.0.0.1;ob"),
        _ => format!("sip:{watcher}@gone.invalid"),
    }
}

/// What a SUBSCRIBE says besides who and whom.
fn wishes(expires: u32, choice: u8) -> (String, bool) {
    let more = match choice & 15 {
        0 => "Event: presence\r\nRecord-Route: <sip:proxy.example.net;lr>, <sip:192.0.2.99;lr>\r\n",
        1 => "Event: presence\r\nAccept: application/pidf+xml;q=0.1, */*\r\n",
        2 => "Event: presence\r\nAccept: text/plain\r\n",
        3 => "Event: presence\r\nRequire: nothing\r\n",
        4 => "Event: presence;id=5\r\n",
        _ => "Event: presence\r\n",
    };
    (
        format!("Expires: {expires}\r\n{more}"),
        more.contains("id="),
    )
}

fn response(notified: &Notified, status: u16, more: &str) -> Vec<u8> {
    format!(
        "SIP/2.0 {status} So\r\n{}{more}Content-Length: 0\r\n\r\n",
        notified.fields
    )
    .into_bytes()
}

impl World {
    pub(crate) fn ask(&mut self, kind: Kind, script: &mut Script<'_>) {
        let (flow, bytes) = match kind {
            Kind::Publish | Kind::Refresh | Kind::Modify | Kind::Remove => {
                self.peers.publish(kind, self.now, script)
            }
            Kind::Stranger => self.peers.stranger(self.now, script),
            _ => {
                let (now, promises) = (self.now, &self.promises);
                let answers =
                    |dialog: &Dialog| promises.is_answered(now, &dialog.call_id, &dialog.to_tag);
                self.peers.subscribe(kind, now, script, answers)
            }
        };
        self.promises.asked(&bytes);
        if self.peers.said.len() >= KEPT_MAX {
            self.peers.said.pop_front();
        }
        self.peers.said.push_back((flow, bytes.clone()));
        self.shard.handle_datagram(self.now, &flow, &bytes);
        self.run();
    }

    /// The same bytes again, by the same way.
    pub(crate) fn repeat(&mut self, script: &mut Script<'_>) {
        let at = script.one_of(self.peers.said.len());
        if let Some((flow, bytes)) = self.peers.said.get(at).cloned() {
            self.peers.forget_who_gave_up(self.now);
            self.peers.may_be_done_now(&bytes);
            self.shard.handle_datagram(self.now, &flow, &bytes);
            self.run();
        }
    }

    /// A watcher answers one of the NOTIFYs it has.
    pub(crate) fn answer(&mut self, script: &mut Script<'_>) {
        if self.peers.notified.is_empty() {
            return;
        }
        let at = script.one_of(self.peers.notified.len());
        let choice = script.byte();
        let status =
            [200, 200, 200, 481, 500, 503, 408, 401, 302, 489, 100, 202][usize::from(choice) % 12];
        let more = if choice >= 200 {
            "Retry-After: 7\r\n"
        } else {
            ""
        };
        let answer = response(&self.peers.notified[at], status, more);
        if choice & 128 == 0 {
            self.peers.notified.remove(at);
        }
        self.hear(&answer);
    }

    pub(crate) fn answer_all(&mut self) {
        for _ in 0..KEPT_MAX {
            let Some(answer) = self.peers.any_answer() else {
                return;
            };
            self.hear(&answer);
        }
    }

    fn hear(&mut self, answer: &[u8]) {
        self.promises.heard(self.now, answer);
        self.shard
            .handle_datagram(self.now, &flow(7, false), answer);
        self.run();
    }

    /// Bytes of anybody: something that was said before, with a piece of it changed; or a head that was cut off.
    pub(crate) fn raw(&mut self, script: &mut Script<'_>) {
        let at = script.one_of(self.peers.said.len());
        let Some((flow, mut bytes)) = self.peers.said.get(at).cloned() else {
            return;
        };
        let place = (usize::from(script.byte()) << 2 | script.one_of(4)) % bytes.len().max(1);
        // Nobody waits for an answer to this one.
        let serial = self.peers.next_serial();
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some(branch) = text.find("branch=z9hG4bK") {
            text.insert_str(branch + 14, &format!("raw{serial}"));
            bytes = text.into_bytes();
        }
        // What a changed request does to a tag is not known here.
        self.peers
            .tags
            .iter_mut()
            .for_each(|tag| tag.touched = true);
        self.peers.doubt_dialogs();
        self.peers.unsure();
        self.promises.anything_may_be_asked();
        let byte = script.byte();
        match script.byte() & 7 {
            0 => bytes.truncate(place),
            1 => drop(bytes.remove(place)),
            2 => bytes.insert(place, byte),
            3 => {
                self.shard
                    .handle_oversized(self.now, &flow, &bytes[..place], 513);
                return self.run();
            }
            _ => bytes[place] = byte,
        }
        self.shard.handle_datagram(self.now, &flow, &bytes);
        self.run();
    }
}
