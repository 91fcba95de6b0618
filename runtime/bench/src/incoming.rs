//! What comes from the server: answers to what we asked, and NOTIFYs, which are answered at once and judged.

use machine::Instant;
use memchr::memmem;
use sip::{Message, Method, Name};

use crate::messages::MARK;
use crate::template::{Text, read_hex, read_pair};
use crate::wire::{Arrived, Outbox};
use crate::world::{Act, Life, NONE, World};
use crate::wrong::Kind;

impl World {
    /// One message.
    pub(crate) fn handle(&mut self, arrived: &Arrived<'_>, now: Instant, outbox: &mut Outbox) {
        self.counted.messages += 1;
        if arrived.socket == self.sockets() {
            return self.handle_put_answer(arrived.bytes, now);
        }
        let Ok(message) = Message::parse(arrived.bytes) else {
            return self.malformed(arrived.bytes);
        };
        if let Some(status) = message.status() {
            return self.handle_answer(&message, status, now);
        }
        let status = if message.method() == Method::Notify {
            self.handle_notify(&message, now)
        } else {
            405
        };
        outbox.push(arrived.socket, arrived.from, |out| {
            sip::response_to(out, &message, status, "", None, None).end(0);
        });
        self.counted.messages += 1;
    }

    fn malformed(&mut self, bytes: &[u8]) {
        self.wrong.add(Kind::Malformed, 1, || {
            let line = bytes
                .split(|byte| *byte == b'\r')
                .next()
                .unwrap_or_default();
            String::from_utf8_lossy(line).chars().take(80).collect()
        });
    }

    /// Answers come in the order of the requests (RFC 9112 §9.3.2).
    fn handle_put_answer(&mut self, bytes: &[u8], now: Instant) {
        let Some(branch) = self.put.pop_front() else {
            return self.malformed(bytes);
        };
        let Some(flight) = self.flight(branch) else {
            return;
        };
        let (subject, version) = (flight.subject, flight.version);
        flight.answered = true;
        let line = bytes
            .split(|byte| *byte == b'\r')
            .next()
            .unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        match status {
            Some(200 | 201) => {
                let presentity = &mut self.presentities[subject as usize];
                presentity.acknowledged = presentity.acknowledged.max(version);
                self.settle(branch.0, now);
            }
            Some(status) => {
                self.wrong.status("PUT", status, &line);
                self.fail(branch.0);
            }
            None => {
                self.malformed(bytes);
                self.fail(branch.0);
            }
        }
    }

    fn handle_answer(&mut self, message: &Message<'_>, status: u16, now: Instant) {
        if status < 200 {
            return;
        }
        let branch = message.header(Name::Via).and_then(|via| {
            let at = memmem::find(via, b"branch=z9hG4bK")?;
            read_pair(via.get(at + 14..)?)
        });
        let Some(branch) = branch else {
            return self.malformed(message.bytes());
        };
        // The answer to a retransmission comes after the first one, for a flight that has ended.
        let Some(flight) = self.flight(branch) else {
            return;
        };
        if flight.answered {
            return;
        }
        let (act, subject, version) = (flight.act, flight.subject, flight.version);
        flight.answered = true;
        if !(status == 200 || status == 202 && !act.is_publish()) {
            self.wrong.status(act.method(), status, message.reason());
            self.refused(act, subject, status);
            return self.fail(branch.0);
        }
        let is_whole = if act.is_publish() {
            self.published(message, subject, version)
        } else {
            self.subscribed(message, act, subject)
        };
        if !is_whole {
            self.malformed(message.bytes());
        }
        self.settle(branch.0, now);
    }

    fn refused(&mut self, act: Act, subject: u32, status: u16) {
        if act.is_publish() {
            if status == 412 {
                self.presentities[subject as usize].etag = Text::EMPTY;
            }
        } else if act != Act::Resubscribe {
            self.subscriptions[subject as usize].life = Life::Ended;
        } else if status == 481 {
            self.ended(subject);
        }
    }

    fn ended(&mut self, subject: u32) {
        let subscription = &mut self.subscriptions[subject as usize];
        if subscription.life == Life::Watching && !subscription.tag.is_empty() {
            let presentity = &mut self.presentities[subscription.presentity as usize];
            presentity.watchers = presentity.watchers.saturating_sub(1);
        }
        subscription.life = Life::Ended;
    }

    fn published(&mut self, message: &Message<'_>, subject: u32, version: u32) -> bool {
        let presentity = &mut self.presentities[subject as usize];
        presentity.acknowledged = presentity.acknowledged.max(version);
        let etag = message
            .header(Name::SipEtag)
            .and_then(|etag| Text::new(etag.trim_ascii()));
        presentity.etag = etag.unwrap_or(Text::EMPTY);
        etag.is_some()
    }

    fn subscribed(&mut self, message: &Message<'_>, act: Act, subject: u32) -> bool {
        if act != Act::Subscribe {
            return true;
        }
        let tag = message
            .to()
            .ok()
            .and_then(|to| Text::new(to.tag()?.as_bytes()));
        let contact = message.contact().ok().flatten();
        let (Some(tag), Some(contact)) = (tag, contact) else {
            return false;
        };
        let known = self
            .targets
            .iter()
            .position(|target| target == contact.uri.as_bytes());
        let target = known.unwrap_or_else(|| {
            self.targets.push(contact.uri.as_bytes().to_vec());
            self.targets.len() - 1
        });
        let subscription = &mut self.subscriptions[subject as usize];
        if subscription.life == Life::Watching {
            subscription.tag = tag;
            subscription.target = target as u32;
            self.presentities[subscription.presentity as usize].watchers += 1;
        }
        true
    }

    /// The status to answer.
    fn handle_notify(&mut self, message: &Message<'_>, now: Instant) -> u16 {
        self.counted.notifies += 1;
        let ids = message
            .request_uri()
            .strip_prefix("sip:s")
            .and_then(|rest| read_pair(rest.as_bytes()));
        let known = ids.and_then(|(subject, serial)| {
            let subscription = self.subscriptions.get(subject as usize)?;
            (subscription.life != Life::Idle).then_some((subject, serial, subscription.serial))
        });
        let Some((subject, serial, current)) = known else {
            self.wrong
                .add(Kind::Stray, 1, || message.request_uri().to_owned());
            return 481;
        };
        if serial != current {
            // A fetch that is over: its NOTIFY once more.
            self.counted.repeated_notifies += 1;
            return 200;
        }
        let Ok(cseq) = message.cseq() else {
            self.malformed(message.bytes());
            return 400;
        };
        if self.is_new(subject, cseq.number) {
            self.judge(message, subject, now);
            let slot = self.subscriptions[subject as usize].flight;
            if slot != NONE {
                self.settle(slot, now);
            }
            let presentity = self.subscriptions[subject as usize].presentity;
            let slot = self.presentities[presentity as usize].flight;
            if slot != NONE {
                self.settle(slot, now);
            }
        }
        200
    }

    /// Whether this CSeq goes forward.
    fn is_new(&mut self, subject: u32, cseq: u32) -> bool {
        let subscription = &mut self.subscriptions[subject as usize];
        let seen = subscription.seen_cseq;
        if seen != 0 && cseq == seen {
            self.counted.repeated_notifies += 1;
            return false;
        }
        if cseq < seen {
            self.wrong.add(Kind::CseqBack, 1, || {
                format!("watcher {subject}: CSeq {cseq} after {seen}")
            });
            return false;
        }
        if seen != 0 && cseq > seen + 1 {
            self.counted.cseq_gaps += 1;
        }
        subscription.seen_cseq = cseq;
        true
    }

    fn judge(&mut self, message: &Message<'_>, subject: u32, now: Instant) {
        let subscription = &mut self.subscriptions[subject as usize];
        let is_terminated = message
            .header(Name::SubscriptionState)
            .is_some_and(|state| state.starts_with(b"terminated"));
        let (seen, is_owed) = (subscription.seen, subscription.is_owed);
        let (presentity, slot) = (subscription.presentity, subscription.flight);
        let shown = shown(message.body());
        let version = match shown {
            Some((other, _)) if other != presentity => {
                self.wrong.add(Kind::OtherState, 1, || {
                    format!("watcher {subject} of {presentity} was shown {other}")
                });
                return;
            }
            Some((_, shown)) => {
                let presentity = &self.presentities[presentity as usize];
                if presentity.has_views && memmem::find_iter(message.body(), MARK).count() > 1 {
                    self.wrong.add(Kind::WrongView, 1, || {
                        format!("watcher {subject}: tuples that the rules don't show")
                    });
                }
                presentity.version(shown)
            }
            None => 0,
        };
        subscription.is_owed = false;
        subscription.seen = seen.max(version);
        if is_terminated && subscription.life == Life::Watching {
            self.wrong.add(Kind::Terminated, 1, || {
                format!("watcher {subject} of {presentity}")
            });
            self.ended(subject);
        }
        let mut least = seen;
        if is_owed && let Some(flight) = self.flight_at(slot) {
            flight.awaited = 0;
            least = least.max(flight.version);
        }
        if version < least {
            self.wrong.add(Kind::StaleNotify, 1, || {
                format!("watcher {subject} of {presentity}: state {version} after {least}")
            });
        } else if version == seen && !is_owed {
            self.wrong.add(Kind::DoubledNotify, 1, || {
                format!("watcher {subject} of {presentity}: state {version} once more")
            });
        } else if version > seen
            && let slot = self.presentities[presentity as usize].flight
            && let Some(flight) = self.flight_at(slot)
            && flight.act != Act::Refresh
            && flight.version == version
        {
            flight.awaited = flight.awaited.saturating_sub(1);
            let micros = now.since(flight.began).as_micros() as u64;
            self.counted.notify_latency.add(micros);
        }
    }
}

/// Which presentity and which of its states a document shows.
fn shown(body: &[u8]) -> Option<(u32, u32)> {
    let at = memmem::find(body, MARK)? + MARK.len();
    let text = body.get(at..at + 17)?;
    Some((read_hex(text)?, read_hex(&text[9..])?))
}
