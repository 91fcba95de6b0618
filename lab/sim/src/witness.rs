//! From the server's turns and messages to what checkers are told. It stands between the shards and whatever breaks them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use events::Happened;
use machine::settings::Handling;
use machine::{Instant, Now};
use shard::{Counts, Event, Output};
use sip::{Message, Name};

use crate::checkers::{self, Checker};
use crate::happening::{Happening, Notify, Request};
use crate::model::{Change, Dialog, DialogId, Lasts, Model, RequestId};

/// The longest that the server's settings grant.
const GRANTED_MAX: u32 = 600;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When.
    pub at: Instant,
    /// Which checker saw it.
    pub checker: &'static str,
    /// What it promises.
    pub promise: &'static str,
    /// What happened instead.
    pub what: String,
}

/// A NOTIFY that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    cseq: u32,
    since: Instant,
    answered: bool,
    /// By a process that is gone.
    old: bool,
}

/// Watches the server.
pub(crate) struct Witness {
    /// The reference.
    pub model: Model,
    checkers: Vec<Box<dyn Checker>>,
    /// The first of each checker.
    pub violations: Vec<Violation>,
    /// Every request that ever came.
    requests: BTreeMap<RequestId, Request>,
    /// Those of this life of the server.
    seen: BTreeSet<RequestId>,
    /// Presentity and watcher of every dialog.
    parties: BTreeMap<DialogId, (String, String)>,
    sent: BTreeMap<DialogId, Sent>,
}

/// One input of a shard and everything that came of it.
pub(crate) struct Turn<'a> {
    /// When.
    pub at: Instant,
    /// What the shard's clocks showed.
    pub now: Now,
    /// The message that was its input.
    pub message: Option<&'a Message<'a>>,
    /// What it wants done.
    pub outputs: &'a [Output],
}

impl Default for Witness {
    fn default() -> Self {
        Self {
            model: Model::default(),
            checkers: checkers::all(),
            violations: Vec::new(),
            requests: BTreeMap::new(),
            seen: BTreeSet::new(),
            parties: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }
}

impl Witness {
    /// Tells every checker.
    pub(crate) fn tell(&mut self, at: Instant, happening: &Happening<'_>) {
        for checker in &mut self.checkers {
            let Err(what) = checker.see(at, happening, &self.model) else {
                continue;
            };
            let name = checker.name();
            if self
                .violations
                .iter()
                .all(|violation| violation.checker != name)
            {
                let promise = checker.promise();
                self.violations.push(Violation {
                    at,
                    checker: name,
                    promise,
                    what,
                });
            }
        }
    }

    /// A shard had an input.
    pub(crate) fn turn(&mut self, turn: &Turn<'_>) {
        let request = turn
            .message
            .filter(|message| message.is_request())
            .and_then(read_request);
        let request = request.map(|request| self.remember(request, turn.message));
        let heard = turn
            .message
            .filter(|message| !message.is_request())
            .and_then(read_answer);
        if let Some((dialog, cseq, status)) = &heard {
            let leg = &format!("{dialog}|{}", notifier_tag(turn.message));
            if let Some(sent) = self.sent.get_mut(dialog).filter(|sent| sent.cseq == *cseq) {
                sent.answered |= *status >= 200;
            }
            self.tell(
                turn.at,
                &Happening::Heard {
                    leg,
                    cseq: *cseq,
                    status: *status,
                },
            );
        }
        let mut changes = Vec::new();
        self.refreshed(turn, request.as_ref(), &mut changes);
        for output in turn.outputs {
            if let Output::Record(_, Event::Events(happened)) = output {
                let heard = heard.as_ref().map(|(dialog, _, _)| dialog);
                self.recorded(turn, request.as_ref(), heard, happened, &mut changes);
            }
        }
        let mut presentities = BTreeSet::new();
        for change in &changes {
            match change {
                Change::Published(publication, _) => {
                    presentities.insert(publication.presentity.clone());
                }
                Change::Unpublished(tag) => {
                    let gone = self.model.live.publications.get(tag);
                    presentities.extend(gone.map(|publication| publication.presentity.clone()));
                }
                Change::Effect(id) => self.tell(turn.at, &Happening::Effect(id)),
                _ => {}
            }
        }
        self.decided(turn, changes);
        self.model.note_views(turn.at, &presentities);
        if let Some(request) = &request {
            self.tell(turn.at, &Happening::Asked(request));
        }
        if let Some(what) = self.model.overdue(turn.at) {
            self.tell(turn.at, &Happening::Overdue(&what));
        }
    }

    fn remember(&mut self, mut request: Request, message: Option<&Message<'_>>) -> Request {
        request.again = !self.seen.insert(request.id.clone());
        if request.method == "SUBSCRIBE"
            && !request.in_dialog
            && let Some(message) = message
        {
            let watcher = message
                .from()
                .map(|from| from.uri.to_owned())
                .unwrap_or_default();
            let parties = (message.request_uri().to_owned(), watcher);
            self.parties.insert(request.dialog.clone(), parties);
        }
        self.requests.insert(request.id.clone(), request.clone());
        request
    }

    /// What the turn decided is in its first batch that somebody waits for.
    fn decided(&mut self, turn: &Turn<'_>, changes: Vec<Change>) {
        let mut changes = Some(changes);
        for output in turn.outputs {
            let Output::Commit(batch) = output else {
                continue;
            };
            let these = if batch.lazy { None } else { changes.take() };
            let place = (batch.shard, batch.sequence);
            self.model.decide(Some(place), these.unwrap_or_default());
        }
        if let Some(changes) = changes.filter(|changes| !changes.is_empty()) {
            self.model.decide(None, changes);
        }
    }

    fn recorded(
        &mut self,
        turn: &Turn<'_>,
        request: Option<&Request>,
        heard: Option<&DialogId>,
        happened: &Happened,
        changes: &mut Vec<Change>,
    ) {
        match happened {
            Happened::PublicationStored {
                presentity,
                entity_tag,
                ..
            } => {
                if let Some(request) = request {
                    self.published(turn, request, (presentity, entity_tag), changes);
                }
            }
            Happened::PublicationEnded { presentity, why } => match (*why, request) {
                ("removed", Some(request)) => {
                    changes.push(Change::Effect(request.id.clone()));
                    changes.extend(request.if_match.clone().map(Change::Unpublished));
                }
                _ => match self.lapsing_publication(turn.at, presentity, changes) {
                    Some(tag) => changes.push(Change::Unpublished(tag)),
                    None => {
                        let what = format!("a publication of {presentity}");
                        self.tell(turn.at, &Happening::LapsedEarly(&what));
                    }
                },
            },
            Happened::SubscriptionBegan {
                presentity,
                watcher,
                ..
            } => {
                let Some(request) = request else { return };
                changes.push(Change::Effect(request.id.clone()));
                let dialog = Dialog {
                    presentity: presentity.to_string(),
                    watcher: watcher.to_string(),
                    lasts: self.lasts(turn, request),
                    ending: false,
                };
                changes.push(Change::Subscribed(request.dialog.clone(), dialog));
            }
            Happened::SubscriptionEnded {
                presentity,
                watcher,
                why,
            } => {
                self.subscription_ended(
                    turn,
                    (request, heard),
                    (presentity, watcher, why),
                    changes,
                );
            }
            _ => {}
        }
    }

    fn published(
        &mut self,
        turn: &Turn<'_>,
        request: &Request,
        (presentity, entity_tag): (&str, &str),
        changes: &mut Vec<Change>,
    ) {
        let body = turn
            .message
            .map(Message::body)
            .filter(|body| !body.is_empty());
        let granted = request.expires.unwrap_or(GRANTED_MAX).min(GRANTED_MAX);
        let replaced = request.if_match.as_deref();
        let mut publication = self.model.publication(
            (turn.at, turn.now),
            presentity,
            entity_tag,
            granted,
            body.map(Bytes::copy_from_slice),
            replaced,
        );
        changes.push(Change::Effect(request.id.clone()));
        publication.by.push(request.id.clone());
        changes.push(Change::Published(publication, request.if_match.clone()));
    }

    fn lapsing_publication(
        &self,
        at: Instant,
        presentity: &str,
        changes: &[Change],
    ) -> Option<String> {
        // Two may lapse in one turn; the second is then not the first once more.
        let mut model_state = self.model.live.publications.clone();
        for change in changes {
            if let Change::Unpublished(tag) = change {
                model_state.remove(tag);
            }
        }
        crate::model::lapsing_publication(&model_state, at, presentity)
    }

    fn lasts(&self, turn: &Turn<'_>, request: &Request) -> Lasts {
        let granted = request.expires.unwrap_or(GRANTED_MAX).min(GRANTED_MAX);
        Lasts::of(turn.at, turn.now.wall, granted)
    }

    fn subscription_ended(
        &mut self,
        turn: &Turn<'_>,
        because: (Option<&Request>, Option<&DialogId>),
        (presentity, watcher, why): (&str, &str, &str),
        changes: &mut Vec<Change>,
    ) {
        let is_theirs = |id: &DialogId| {
            self.parties
                .get(id)
                .is_some_and(|both| (both.0.as_str(), both.1.as_str()) == (presentity, watcher))
        };
        match (why, because) {
            ("timeout", (Some(request), _)) => {
                changes.push(Change::Effect(request.id.clone()));
                changes.push(Change::Ending(request.dialog.clone()));
            }
            ("timeout", _) => match self
                .model
                .lapsing_dialog(turn.at, presentity, watcher, changes)
            {
                Some(id) => changes.push(Change::Ending(id)),
                None => {
                    let what = format!("a subscription of {watcher} to {presentity}");
                    self.tell(turn.at, &Happening::LapsedEarly(&what));
                }
            },
            ("rejected" | "deactivated" | "noresource", _) => {
                let ended = |id: &DialogId| {
                    changes
                        .iter()
                        .any(|change| matches!(change, Change::Ending(other) if other == id))
                };
                let next = self
                    .model
                    .live
                    .dialogs
                    .iter()
                    .find(|(id, dialog)| !dialog.ending && is_theirs(id) && !ended(id))
                    .map(|(id, _)| id.clone());
                changes.extend(next.map(Change::Ending));
            }
            ("NOTIFY refused", (_, Some(dialog))) => changes.push(Change::Ended(dialog.clone())),
            _ => {
                // It was unanswered for long: the one that is unanswered for longest.
                let theirs = self.model.live.dialogs.keys().filter(|id| is_theirs(id));
                let unanswered = theirs
                    .filter(|id| {
                        self.sent
                            .get(*id)
                            .is_none_or(|sent| sent.old || !sent.answered)
                    })
                    .min_by_key(|id| match self.sent.get(*id) {
                        Some(sent) => (sent.answered, sent.old, sent.since),
                        None => (true, true, turn.at),
                    })
                    .cloned();
                changes.extend(unanswered.map(Change::Ended));
                self.tell(
                    turn.at,
                    &Happening::GaveUp {
                        presentity,
                        watcher,
                        why,
                    },
                );
            }
        }
    }

    /// A refresh is decided when it is written and not refused: no event tells of it.
    fn refreshed(&mut self, turn: &Turn<'_>, request: Option<&Request>, changes: &mut Vec<Change>) {
        let Some(request) = request.filter(|request| {
            request.method == "SUBSCRIBE"
                && request.in_dialog
                && !request.again
                && request.expires != Some(0)
        }) else {
            return;
        };
        let refused = |output: &Output| {
            matches!(
                output,
                Output::Record(_, Event::Shard(shard::Happened::RequestRefused { .. }))
            )
        };
        let written = |output: &Output| matches!(output, Output::Commit(batch) if !batch.lazy);
        if turn.outputs.iter().any(refused) || !turn.outputs.iter().any(written) {
            return;
        }
        if let Some(dialog) = self.model.live.dialogs.get(&request.dialog) {
            let dialog = Dialog {
                lasts: self.lasts(turn, request),
                ..dialog.clone()
            };
            changes.push(Change::Effect(request.id.clone()));
            changes.push(Change::Subscribed(request.dialog.clone(), dialog));
        }
    }

    /// A message leaves the server.
    pub(crate) fn sent(&mut self, at: Instant, message: &Message<'_>) {
        if message.is_request() {
            if let Some(notify) = self.read_notify(message) {
                let sent = Sent {
                    cseq: notify.cseq,
                    since: at,
                    answered: false,
                    old: false,
                };
                let known = self.sent.entry(notify.dialog.clone()).or_insert(sent);
                if known.cseq != notify.cseq || known.old {
                    *known = sent;
                }
                self.tell(at, &Happening::Notified(&notify));
            }
            return;
        }
        let Some(status) = message.status() else {
            return;
        };
        let Some(request) = read_id(message)
            .and_then(|id| self.requests.get(&id))
            .cloned()
        else {
            return;
        };
        let to_tag = message
            .to()
            .ok()
            .and_then(|to| to.tag())
            .unwrap_or_default()
            .to_owned();
        let tag = message.sip_etag().map_or(to_tag, ToOwned::to_owned);
        if (200..300).contains(&status) {
            self.model.promised(&request.id);
            match request.method.as_str() {
                "PUBLISH" => self.model.publication_acknowledged(at, &tag),
                "SUBSCRIBE" => self.model.subscription_acknowledged(at, &request.dialog),
                _ => {}
            }
        }
        self.tell(
            at,
            &Happening::Answered {
                request: &request,
                status,
                tag: &tag,
            },
        );
    }

    fn read_notify(&self, message: &Message<'_>) -> Option<Notify> {
        let (call_id, to) = (message.call_id().ok()?, message.to().ok()?);
        let dialog = format!("{call_id}|{}", to.tag()?);
        let state = message.subscription_state().ok()??;
        let parties = self.parties.get(&dialog);
        Some(Notify {
            presentity: parties.map(|both| both.0.clone()),
            watcher: parties.map(|both| both.1.clone()),
            leg: format!("{dialog}|{}", notifier_tag(Some(message))),
            dialog,
            cseq: message.cseq().ok()?.number,
            state: format!("{};{}", state.state, state.reason.unwrap_or_default()),
            body: message.body().to_vec(),
        })
    }

    /// A batch is durable.
    pub(crate) fn durable(&mut self, shard: u16, sequence: u64) {
        self.model.durable(shard, sequence);
    }

    /// The process died; the disk kept so many batches.
    pub(crate) fn crashed(&mut self, at: Instant, kept: u64) {
        let pending = self.model.pending();
        self.model.crashed(kept);
        self.seen.clear();
        self.sent.values_mut().for_each(|sent| sent.old = true);
        self.tell(at, &Happening::Crashed { pending });
    }

    /// The process was stopped in good order.
    pub(crate) fn stopped(&mut self, at: Instant, hasty: bool) {
        let pending = self.model.pending() as u64;
        self.model.crashed(pending);
        self.seen.clear();
        self.sent.values_mut().for_each(|sent| sent.old = true);
        self.tell(at, &Happening::Stopped { hasty });
    }

    /// A process is about to restore its state.
    pub(crate) fn starting(&mut self, now: (Instant, Now)) {
        self.model.started(now.0, now.1.wall);
    }

    /// It has.
    pub(crate) fn started(&mut self, at: Instant, counts: Counts) {
        // A crash may have taken back what a presentity was: from here on she is what was kept.
        let everybody = self.model.presentities();
        self.model.note_views(at, &everybody);
        self.tell(at, &Happening::Started { counts });
    }

    /// A reload.
    pub(crate) fn reloaded(&mut self, at: Instant, handling: Handling) {
        if self.model.handling != Some(handling) {
            (self.model.handling, self.model.handling_since) = (Some(handling), at);
        }
        self.tell(at, &Happening::Reloaded);
    }
}

fn read_id(message: &Message<'_>) -> Option<RequestId> {
    let essentials = message.essentials().ok()?;
    Some(format!(
        "{} {} {} {} {} {}",
        essentials.cseq.method.name(),
        essentials.cseq.number,
        essentials.call_id,
        essentials.from.tag().unwrap_or_default(),
        essentials.via.sent_by(),
        essentials.via.branch.unwrap_or_default(),
    ))
}

fn read_request(message: &Message<'_>) -> Option<Request> {
    let from_tag = message.from().ok()?.tag()?;
    Some(Request {
        id: read_id(message)?,
        method: message.method().name().to_owned(),
        if_match: message.header_text(Name::SipIfMatch).map(ToOwned::to_owned),
        dialog: format!("{}|{from_tag}", message.call_id().ok()?),
        in_dialog: message.to().ok()?.tag().is_some(),
        expires: message.expires().ok()?,
        cseq: message.cseq().ok()?.number,
        again: false,
    })
}

/// A response to a NOTIFY: dialog, CSeq, status.
fn read_answer(message: &Message<'_>) -> Option<(DialogId, u32, u16)> {
    let cseq = message.cseq().ok()?;
    if cseq.method.name() != "NOTIFY" {
        return None;
    }
    let dialog = format!("{}|{}", message.call_id().ok()?, message.to().ok()?.tag()?);
    Some((dialog, cseq.number, message.status()?))
}

/// The server's tag in a NOTIFY, or in the answer to one.
fn notifier_tag<'b>(message: Option<&Message<'b>>) -> &'b str {
    let from = message.and_then(|message| message.from().ok());
    from.and_then(|from| from.tag()).unwrap_or_default()
}
