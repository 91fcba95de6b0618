//! What others ask of us: NOTIFY and OPTIONS are served, the rest is refused in the right words (RFC 3261 §8.2).

use bytes::Bytes;
use documents::watcherinfo::{Status, Watcher};
use events::subscriber::{Answer, Notify};
use machine::Instant;
use sip::{Message, Method, Name, Writer, response_to};
use transaction::Received;

use crate::UsageId;
use crate::agent::{ALLOW_EVENTS, Agent, NOTIFY_TYPES, PACKAGE, Usage, WINFO, WINFO_TYPES, Watch};
use crate::event::{Event, Phase};
use crate::hop::{self, Hop};

const ALLOW: &str = "NOTIFY, OPTIONS";

/// An answer: its status, and the field that its status demands.
struct Response {
    status: u16,
    field: Option<(Name, String)>,
}

impl Response {
    const fn plain(status: u16) -> Self {
        Self {
            status,
            field: None,
        }
    }

    fn with(status: u16, name: Name, value: impl Into<String>) -> Self {
        Self {
            status,
            field: Some((name, value.into())),
        }
    }
}

impl Agent {
    pub(crate) fn handle_request(&mut self, now: Instant, from: Hop, request: &Message<'_>) {
        let Ok(essentials) = request.essentials() else {
            return;
        }; // Nobody could be answered.
        let key = match self
            .answered
            .receive(now, request, from.transport.is_reliable())
        {
            Received::New(key) => Some(key),
            Received::Retransmission(replay) => {
                if let Some(bytes) = replay.map(<[u8]>::to_vec) {
                    self.answer(&essentials.via, from, bytes);
                }
                return;
            }
            Received::Ack => return,
            Received::Full => None,
        };
        let mut shown = None;
        let response = match key {
            None => Response::with(503, Name::RetryAfter, "32"),
            Some(_) => self.decide(now, from, request, &mut shown),
        };
        let tag = self.new_token();
        let mut bytes = Vec::new();
        let mut writer = response_to(
            &mut bytes,
            request,
            response.status,
            "",
            Some(&tag),
            Some(from.address),
        );
        if let Some((name, value)) = &response.field {
            writer.header(*name, value);
        }
        if request.method() == Method::Options && response.status == 200 {
            capabilities(&mut writer);
        }
        writer.header(Name::Server, &self.start.user_agent);
        writer.end(0);
        if let Some(key) = key {
            self.answered
                .respond(now, key, bytes.clone(), response.status);
            if request.method() == Method::Invite {
                self.inviters
                    .insert(key, hop::of_response(&essentials.via, from));
            }
        }
        self.answer(&essentials.via, from, bytes);
        if let Some((usage, events)) = shown {
            events.into_iter().for_each(|event| self.show(event));
            self.drive(now, usage);
        }
    }

    fn decide(
        &mut self,
        now: Instant,
        from: Hop,
        request: &Message<'_>,
        shown: &mut Option<(UsageId, Vec<Event>)>,
    ) -> Response {
        if request.method() == Method::Cancel {
            // RFC 3261 §9.2: what it means has been answered already.
            return Response::plain(if self.answered.cancelled(request).is_some() {
                200
            } else {
                481
            });
        }
        if let Err(flaw) = request.check() {
            return Response::plain(flaw.status);
        }
        match request.method() {
            Method::Notify | Method::Options => {}
            Method::Other(_) => return Response::plain(501),
            _ => return Response::with(405, Name::Allow, ALLOW),
        }
        // RFC 3261 §8.2.2.3: no extension is understood that has to be.
        let unknown: Vec<&str> = request.require().collect();
        if !unknown.is_empty() {
            return Response::with(420, Name::Unsupported, unknown.join(", "));
        }
        if request.method() == Method::Options {
            return Response::plain(200);
        }
        self.decide_notify(now, from, request, shown)
    }

    fn decide_notify(
        &mut self,
        now: Instant,
        from: Hop,
        request: &Message<'_>,
        shown: &mut Option<(UsageId, Vec<Event>)>,
    ) -> Response {
        let event = match request.event() {
            Ok(Some(event)) if matches!(event.package, PACKAGE | WINFO) => event,
            Ok(_) => return Response::with(489, Name::AllowEvents, ALLOW_EVENTS),
            Err(flaw) => return Response::plain(flaw.status),
        };
        let (Ok(call_id), Ok(to), Ok(notifier), Ok(cseq), Ok(state)) = (
            request.call_id(),
            request.to(),
            request.from(),
            request.cseq(),
            request.subscription_state(),
        ) else {
            return Response::plain(400);
        };
        // RFC 6665 §4.4.1: Call-ID, our tag, and the Event of the SUBSCRIBE, which had no id.
        let found = self.usages.iter_mut().find_map(|(usage, kind)| match kind {
            Usage::Watch(watch)
                if watch.dialog.call_id == call_id && to.tag() == Some(&watch.dialog.local_tag) =>
            {
                Some((*usage, watch))
            }
            _ => None,
        });
        let Some((usage, watch)) =
            found.filter(|(_, watch)| event.id.is_none() && event.package == watch.package())
        else {
            return Response::plain(481);
        };
        let body = request.body();
        let content_type = request.header_text(Name::ContentType);
        if !body.is_empty() && !is_readable(request, watch.types()) {
            return Response::with(415, Name::Accept, watch.types()[0]);
        }
        let notify = Notify {
            remote_tag: notifier.tag(),
            cseq: cseq.number,
            state,
        };
        match watch.subscriber.handle_notify(now, &notify) {
            Answer::Reject(status) => Response::plain(status),
            Answer::Repeated => Response::plain(200),
            Answer::Accept => {
                watch.dialog.heard_notify(request, from);
                let phase = phase(state.map_or("", |state| state.state));
                let event = Event::Notified {
                    usage,
                    phase,
                    expires: state.and_then(|state| state.expires),
                    reason: state.and_then(|state| state.reason).map(ToOwned::to_owned),
                    content_type: content_type
                        .filter(|_| !body.is_empty())
                        .map(ToOwned::to_owned),
                    body: Bytes::copy_from_slice(body),
                };
                let mut events = vec![event];
                events.extend(watchers_said(now, usage, watch, body));
                *shown = Some((usage, events));
                Response::plain(200)
            }
        }
    }
}

/// RFC 6665 §4.1.3: a state that we don't know leaves the subscription alive.
fn phase(state: &str) -> Phase {
    if state.eq_ignore_ascii_case("terminated") {
        Phase::Terminated
    } else if state.eq_ignore_ascii_case("pending") {
        Phase::Pending
    } else {
        Phase::Active
    }
}

/// What the body says of watchers, where those are watched.
fn watchers_said(now: Instant, usage: UsageId, watch: &mut Watch, body: &[u8]) -> Vec<Event> {
    let dialog = watch.dialog.number;
    let heard = watch.watchers.as_mut();
    let Some(news) = heard.and_then(|heard| heard.hear(dialog, body)) else {
        return Vec::new();
    };
    if news.gap {
        // RFC 3858 §5: a refresh brings everybody.
        watch.subscriber.refresh(now);
    }
    let changed = news.changed.into_iter();
    changed.map(|changed| said(usage, changed)).collect()
}

fn said(usage: UsageId, (watcher, status): (Watcher, Option<Status>)) -> Event {
    Event::Watcher {
        usage,
        id: watcher.id,
        watcher: watcher.uri,
        display_name: watcher.display_name,
        status: status.map_or("gone", Status::name),
        event: status.map(|_| watcher.event.name().to_owned()),
    }
}

fn is_readable(request: &Message<'_>, types: &[&str]) -> bool {
    let known = match request.content_type() {
        Ok(Some(kind)) => types.iter().any(|name| kind.matches(name)),
        _ => false,
    };
    let encoding = request
        .header_text(Name::ContentEncoding)
        .unwrap_or("identity");
    known && encoding.eq_ignore_ascii_case("identity")
}

/// RFC 3261 §11.2.
fn capabilities(writer: &mut Writer<'_>) {
    writer
        .header(Name::Allow, ALLOW)
        .header(
            Name::Accept,
            format!("{}, {}", NOTIFY_TYPES[0], WINFO_TYPES[0]),
        )
        .header(Name::AllowEvents, ALLOW_EVENTS);
}
