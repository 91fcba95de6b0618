//! Ways to break the server on purpose, between the shards and the disk or the network: each has to be caught by a checker.

use std::collections::BTreeMap;

use bytes::Bytes;
use documents::watcherinfo::WatcherInfo;
use machine::{Batch, Op};
use shard::Send;
use xml::Bounds;

/// What is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Breakage {
    /// Nothing.
    #[default]
    None,
    /// Publications are not written.
    ForgetsPublications,
    /// Subscriptions are not written.
    ForgetsSubscriptions,
    /// Answers leave before their batch is durable.
    SendsBeforeCommit,
    /// The same bytes again are another request.
    ActsTwice,
    /// A watcher is told again and again what she was told first.
    SkipsWatchers,
    /// What was answered is sent once more.
    RepeatsNotifies,
    /// CSeq numbers go back.
    CountsBackwards,
    /// A NOTIFY carries the body of the one before.
    TellsOldStates,
    /// Who watches is not all told.
    HidesAWatcher,
    /// Documents about watchers count by twos.
    CountsWatchersByTwos,
    /// Who may not see is told.
    TellsEverybody,
    /// Who is pending is told.
    TellsWhoWaits,
    /// Whoever is shown somebody who is not there is told so again when nothing happened.
    ReassuresPolitely,
    /// Deadlines are met five seconds late.
    ForgetsTheTime,
    /// The last NOTIFY comes twice.
    EndsTwice,
    /// Some requests are never answered.
    LeavesUnanswered,
    /// What is removed stays on disk.
    KeepsEverything,
    /// What deserves to be refused is refused for another reason.
    Misjudges,
    /// A client that was refused does nothing any more.
    GivesUp,
    /// Lists that change are not told to shards that have a copy.
    KeepsListsForItself,
}

/// What it takes to be broken.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    /// How.
    pub how: Breakage,
    bodies: BTreeMap<String, Bytes>,
    notifies: u64,
}

impl Broken {
    /// Broken this way.
    pub(crate) fn new(how: Breakage) -> Self {
        Self {
            how,
            ..Self::default()
        }
    }

    /// A batch on its way to the disk.
    pub(crate) fn spoil_batch(&self, batch: &mut Batch) {
        let drops = |op: &Op| match (self.how, op) {
            (Breakage::ForgetsPublications, Op::Put(bytes)) => bytes.first() == Some(&b'P'),
            (Breakage::ForgetsSubscriptions, Op::Put(bytes)) => bytes.first() == Some(&b'S'),
            (Breakage::KeepsEverything, Op::Remove) => true,
            _ => false,
        };
        batch.records.retain(|record| !drops(&record.op));
    }

    /// Bytes that came before, on their way to a shard.
    pub(crate) fn spoil_repeated(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.how != Breakage::ActsTwice {
            return None;
        }
        let text = std::str::from_utf8(bytes).ok()?;
        if !text.starts_with("PUBLISH") {
            return None;
        }
        let text = text.replacen(";branch=z9hG4bK", ";branch=z9hG4bK~2", 1);
        Some(text.replacen("Call-ID: ", "Call-ID: ~2", 1).into_bytes())
    }

    /// A message on its way to the network.
    pub(crate) fn spoil_send(&mut self, mut send: Send, view: Option<Bytes>) -> Send {
        let head = String::from_utf8_lossy(&send.head).into_owned();
        let is_notify = head.starts_with("NOTIFY");
        let is_winfo = head.contains("\r\nEvent: presence.winfo\r\n");
        match self.how {
            Breakage::Misjudges if head.starts_with("SIP/2.0 4") => {
                send.head = head.replacen("SIP/2.0 4", "SIP/2.0 6", 1).into_bytes();
            }
            Breakage::ActsTwice => send.head = head.replace("~2", "").into_bytes(),
            Breakage::SkipsWatchers if is_notify && !is_winfo => {
                let dialog = field(&head, "Call-ID: ").to_owned();
                let first = self.bodies.entry(dialog).or_insert(send.body.clone());
                let first = first.clone();
                send = with_body(&send, &head, first);
            }
            Breakage::CountsBackwards if is_notify => {
                self.notifies += 1;
                if let Some(cseq) = number(&head).filter(|cseq| cseq % 3 == 0) {
                    send.head = renumber(&head, cseq - 2).into_bytes();
                }
            }
            Breakage::TellsOldStates if is_notify => {
                let dialog = field(&head, "Call-ID: ").to_owned();
                let before = self.bodies.get(&dialog).cloned();
                if number(&head).is_some_and(|cseq| cseq % 3 == 2) {
                    self.bodies.insert(dialog, send.body.clone());
                } else if let Some(body) =
                    before.filter(|_| number(&head).is_some_and(|cseq| cseq > 3))
                {
                    send = with_body(&send, &head, body);
                }
            }
            Breakage::HidesAWatcher | Breakage::CountsWatchersByTwos
                if is_winfo && !send.body.is_empty() =>
            {
                let body = spoil_watchers(self.how, &send.body);
                send = with_body(&send, &head, body);
            }
            Breakage::TellsEverybody if is_notify && !is_winfo => {
                if let Some(view) = view.filter(|_| !send.body.is_empty()) {
                    send = with_body(&send, &head, view);
                }
            }
            Breakage::TellsWhoWaits
                if is_notify && head.contains("Subscription-State: pending") =>
            {
                if let Some(view) = view.filter(|_| !send.body.is_empty()) {
                    send = with_body(&send, &head, view);
                }
            }
            _ => {}
        }
        send
    }

    /// Whether the answer to this request never leaves.
    pub(crate) fn leaves_unanswered(&self, head: &[u8]) -> bool {
        self.how == Breakage::LeavesUnanswered
            && head.starts_with(b"SIP/2.0")
            && head.iter().map(|byte| u32::from(*byte)).sum::<u32>() % 4 == 0
    }

    /// A copy of a NOTIFY that was answered, as if it were the next.
    pub(crate) fn repeat(&self, send: &Send) -> Option<Send> {
        let head = String::from_utf8_lossy(&send.head).into_owned();
        let wanted = match self.how {
            Breakage::RepeatsNotifies => head.contains("Subscription-State: active"),
            Breakage::ReassuresPolitely => {
                head.contains("Subscription-State: active")
                    && String::from_utf8_lossy(&send.body).contains("id=\"t\"")
            }
            Breakage::EndsTwice => head.contains("Subscription-State: terminated"),
            _ => false,
        };
        let cseq = number(&head).filter(|_| wanted)?;
        Some(Send {
            head: renumber(&head, cseq + 1).into_bytes(),
            token: 0,
            ..send.clone()
        })
    }
}

fn field<'h>(head: &'h str, name: &str) -> &'h str {
    head.lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default()
}

fn number(head: &str) -> Option<u32> {
    field(head, "CSeq: ").split(' ').next()?.parse().ok()
}

fn renumber(head: &str, cseq: u32) -> String {
    let old = field(head, "CSeq: ").to_owned();
    head.replacen(&format!("CSeq: {old}"), &format!("CSeq: {cseq} NOTIFY"), 1)
}

/// Without its last watcher, or with twice its version.
fn spoil_watchers(how: Breakage, body: &[u8]) -> Bytes {
    let Ok(mut info) = WatcherInfo::read(body, &Bounds::TRUSTED) else {
        return Bytes::copy_from_slice(body);
    };
    if how == Breakage::CountsWatchersByTwos {
        info.version *= 2;
    } else if let Some(list) = info.lists.last_mut() {
        list.watchers.pop();
    }
    Bytes::from(info.write())
}

fn with_body(send: &Send, head: &str, body: Bytes) -> Send {
    let old = field(head, "Content-Length: ").to_owned();
    let length = format!("Content-Length: {}", body.len());
    let head = head
        .replacen(&format!("Content-Length: {old}"), &length, 1)
        .into_bytes();
    Send {
        head,
        body,
        ..send.clone()
    }
}
