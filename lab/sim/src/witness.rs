//! From the server's turns and messages to what checkers are told. It stands between the shards and whatever breaks them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use events::Happened;
use machine::settings::Handling;
use machine::{Instant, Key, Now, Op, Partitioner, Record, StoredDocument};
use shard::{Counts, Event, Output};
use sip::{Message, Name};

use crate::checkers::{self, Checker};
use crate::happening::{Happening, Notify, Request};
use crate::model::{Change, Dialog, DialogId, Lasts, Model, RequestId};
use crate::rules::Rules;

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
    /// Requests whose 2xx has left: what they are granted counts from the first time.
    acknowledged: BTreeSet<RequestId>,
    /// How the server finds whose batch it is.
    pub partitioner: Option<Partitioner>,
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
            acknowledged: BTreeSet::new(),
            partitioner: None,
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
        let request = request.map(|request| self.remember(request));
        let heard = turn
            .message
            .filter(|message| !message.is_request())
            .and_then(read_answer);
        if let Some((dialog, cseq, status)) = &heard {
            let leg = &format!("{dialog}|{}", notifier_tag(turn.message));
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
                self.recorded(turn, request.as_ref(), happened, &mut changes);
            }
        }
        self.written(turn, &mut changes);
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

    fn remember(&mut self, mut request: Request) -> Request {
        request.again = !self.seen.insert(request.id.clone());
        if request.method == "SUBSCRIBE" && !request.in_dialog {
            let parties = (request.presentity.clone(), request.from.clone());
            self.parties.insert(request.dialog.clone(), parties);
        }
        self.requests.insert(request.id.clone(), request.clone());
        request
    }

    /// What the turn decided is in its first batch that somebody waits for, else in one that nobody does: it may be lost then.
    fn decided(&mut self, turn: &Turn<'_>, changes: Vec<Change>) {
        let mut changes = Some(changes);
        let awaited = |output: &Output| matches!(output, Output::Commit(batch) if !batch.lazy);
        let some_awaited = turn.outputs.iter().any(awaited);
        for output in turn.outputs {
            let Output::Commit(batch) = output else {
                continue;
            };
            let these = if batch.lazy && some_awaited {
                None
            } else {
                changes.take()
            };
            self.model.decide(Some(batch), these.unwrap_or_default());
        }
        if let Some(changes) = changes.filter(|changes| !changes.is_empty()) {
            self.model.decide(None, changes);
        }
    }

    fn recorded(
        &mut self,
        turn: &Turn<'_>,
        request: Option<&Request>,
        happened: &Happened,
        changes: &mut Vec<Change>,
    ) {
        match (happened, request) {
            (
                Happened::PublicationStored {
                    presentity,
                    entity_tag,
                    ..
                },
                Some(request),
            ) => self.published(turn, request, (presentity, entity_tag), changes),
            (Happened::PublicationEnded { why: "removed", .. }, Some(request)) => {
                changes.push(Change::Effect(request.id.clone()));
                changes.extend(request.if_match.clone().map(Change::Unpublished));
            }
            (
                Happened::SubscriptionBegan {
                    presentity,
                    watcher,
                    ..
                },
                Some(request),
            ) => {
                changes.push(Change::Effect(request.id.clone()));
                let dialog = Dialog {
                    key: put(turn, b'S'),
                    presentity: presentity.to_string(),
                    watcher: watcher.to_string(),
                    lasts: self.lasts(turn, request),
                    winfo: request.winfo,
                    ending: false,
                };
                changes.push(Change::Subscribed(request.dialog.clone(), dialog));
            }
            (Happened::SubscriptionEnded { why: "timeout", .. }, Some(request)) => {
                changes.push(Change::Effect(request.id.clone()));
            }
            (
                Happened::SubscriptionEnded {
                    presentity,
                    watcher,
                    why,
                },
                None,
            ) if why.starts_with("NOTIFY") || *why == "next hop not found" => {
                let gave_up = Happening::GaveUp {
                    presentity,
                    watcher,
                    why,
                };
                self.tell(turn.at, &gave_up);
            }
            _ => {}
        }
    }

    /// What ends is known by its key in the store: an event tells whose it was, but not which.
    fn written(&mut self, turn: &Turn<'_>, changes: &mut Vec<Change>) {
        let gone_already = |changes: &[Change], tag: &String| {
            changes.iter().any(|change| match change {
                Change::Published(_, replaced) => replaced.as_ref() == Some(tag),
                Change::Unpublished(other) => other == tag,
                _ => false,
            })
        };
        for record in records(turn) {
            let kind = match &record.op {
                Op::Put(_) => continue,
                Op::Append(bytes) => bytes.first().copied().unwrap_or_default(),
                Op::Remove => 0,
            };
            let live = &self.model.live;
            let publication = live
                .publications
                .values()
                .find(|each| each.key == Some(record.key) && !gone_already(changes, &each.tag));
            let dialog = (live.dialogs.iter()).find(|(_, each)| each.key == Some(record.key));
            match (kind, publication, dialog) {
                (b'g' | 0, Some(publication), _) => {
                    let early = turn.at < publication.lasts.earliest;
                    let what = format!(
                        "publication {} of {}",
                        publication.tag, publication.presentity
                    );
                    changes.push(Change::Unpublished(publication.tag.clone()));
                    if early {
                        self.tell(turn.at, &Happening::LapsedEarly(&what));
                    }
                }
                (b'e', _, Some((id, dialog))) => {
                    let timer = turn.message.is_none() && ends_by_timeout(&record.op);
                    let early = timer && !dialog.ending && turn.at < dialog.lasts.earliest;
                    let what = format!("subscription {id} to {}", dialog.presentity);
                    changes.push(Change::Ending(id.clone()));
                    if early {
                        self.tell(turn.at, &Happening::LapsedEarly(&what));
                    }
                }
                (b'f' | 0, _, Some((id, _))) => changes.push(Change::Ended(id.clone())),
                _ => {}
            }
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
        publication.key = publication.key.or_else(|| put(turn, b'P'));
        changes.push(Change::Effect(request.id.clone()));
        changes.push(Change::Published(publication, request.if_match.clone()));
    }

    fn lasts(&self, turn: &Turn<'_>, request: &Request) -> Lasts {
        let granted = request.expires.unwrap_or(GRANTED_MAX).min(GRANTED_MAX);
        Lasts::of(turn.at, turn.now.wall, granted)
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
                _ if !self.acknowledged.insert(request.id.clone()) => {}
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
                expires: message.expires().ok().flatten(),
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
            winfo: is_winfo(message),
            cseq: message.cseq().ok()?.number,
            state: format!("{};{}", state.state, state.reason.unwrap_or_default()),
            body: message.body().to_vec(),
        })
    }

    /// A batch is durable.
    pub(crate) fn durable(&mut self, shard: u16, sequence: u64) {
        self.model.durable(shard, sequence);
    }

    /// The process died; the disk kept so many batches, and rules of these of which no decision is on record.
    pub(crate) fn crashed(&mut self, at: Instant, kept: u64, ruled: BTreeSet<String>) {
        let pending = self.model.pending();
        let partitions = self.model.crashed(kept);
        self.forget_life();
        let is_among = |presentity: &str| {
            let partition = self.partitioner.map(|hash| hash.partition(presentity));
            partition.is_none_or(|partition| partitions.contains(&partition))
        };
        let undone: BTreeSet<String> = (self.parties.values())
            .filter(|(presentity, _)| is_among(presentity))
            .map(|(presentity, _)| presentity.clone())
            .chain(ruled)
            .collect();
        let crashed = Happening::Crashed {
            pending,
            undone: &undone,
        };
        self.tell(at, &crashed);
    }

    /// The process was stopped in good order.
    pub(crate) fn stopped(&mut self, at: Instant, hasty: bool) {
        let pending = self.model.pending() as u64;
        self.model.crashed(pending);
        self.forget_life();
        self.tell(at, &Happening::Stopped { hasty });
    }

    fn forget_life(&mut self) {
        self.seen.clear();
        // From here on the wall clock tells when it lapses, whenever the answer leaves.
        self.acknowledged
            .extend(self.model.live.effects.iter().cloned());
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

    /// These rules of a presentity are on the disk; whether they are others than before.
    pub(crate) fn ruled(&mut self, at: Instant, presentity: &str, rules: Rules) -> bool {
        let others = self.model.ruled(at, presentity, rules);
        if others {
            self.tell(at, &Happening::Reloaded);
        }
        others
    }

    /// This is what a presentity keeps of herself for good, on the disk; whether it is another than before.
    pub(crate) fn keeps(
        &mut self,
        at: Instant,
        presentity: &str,
        permanent: Option<StoredDocument>,
    ) -> bool {
        let others = self.model.keeps(presentity, permanent);
        if others {
            self.model
                .note_views(at, &BTreeSet::from([presentity.to_owned()]));
        }
        others
    }

    /// A reload.
    pub(crate) fn reloaded(&mut self, at: Instant, handling: Handling) {
        if self.model.handling != Some(handling) {
            (self.model.handling, self.model.handling_since) = (Some(handling), at);
        }
        self.tell(at, &Happening::Reloaded);
    }
}

/// What a turn has the store do, in order.
fn records<'t>(turn: &Turn<'t>) -> impl Iterator<Item = &'t Record> {
    turn.outputs.iter().flat_map(|output| match output {
        Output::Commit(batch) => batch.records.as_slice(),
        _ => &[],
    })
}

/// The key of the object of this kind that the turn began.
fn put(turn: &Turn<'_>, kind: u8) -> Option<Key> {
    let is_it =
        |record: &&Record| matches!(&record.op, Op::Put(bytes) if bytes.first() == Some(&kind));
    records(turn).find(is_it).map(|record| record.key)
}

/// Of a subscription's last record: the second byte says why.
fn ends_by_timeout(op: &Op) -> bool {
    matches!(op, Op::Append(bytes) if bytes.get(1) == Some(&0))
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
        presentity: message.to().ok()?.uri.to_owned(),
        from: message.from().ok()?.uri.to_owned(),
        contact: message
            .contact()
            .ok()
            .flatten()
            .and_then(|contact| Some(contact.parsed().ok()?.host.to_owned())),
        dialog: format!("{}|{from_tag}", message.call_id().ok()?),
        winfo: is_winfo(message),
        in_dialog: message.to().ok()?.tag().is_some(),
        expires: message.expires().ok()?,
        cseq: message.cseq().ok()?.number,
        again: false,
    })
}

fn is_winfo(message: &Message<'_>) -> bool {
    message.header_text(Name::Event) == Some("presence.winfo")
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
