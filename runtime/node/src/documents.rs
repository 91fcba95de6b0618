//! Users' documents between those who ask for them, the shards that own them, and who keeps them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use documents::common_policy::Ruleset;
use shard::{DocumentAnswer, DocumentRequest, Explained, Question};
use store::documents::Keeper;
use tokio::sync::oneshot;

use crate::mailbox::{Mailbox, Notice};
use crate::shared::{Shared, lock};

impl Keeper for Shared {
    fn kept(&self, shard: u16, sequence: u64, outcome: Result<(), String>) {
        if let Some(mailbox) = self.mailboxes.get(usize::from(shard)) {
            mailbox.post(Notice::Kept { sequence, outcome });
        }
    }
}

/// Requests under way, all shards together, whether or not who asked is still there: 1024 × 256 KiB of body = 256 MiB. Beyond it: 503.
const WAITING_MAX: usize = 1024;

/// Who waits for which answer.
#[derive(Default)]
pub(crate) struct Tickets {
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<DocumentAnswer>>>,
}

impl Tickets {
    fn draw(&self) -> Option<(u64, oneshot::Receiver<DocumentAnswer>)> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        waiting.insert(ticket, sender);
        Some((ticket, receiver))
    }

    pub(crate) fn answer(&self, answer: DocumentAnswer) {
        let waiting = lock(&self.waiting).remove(&answer.ticket);
        if let Some(sender) = waiting {
            // Who asked may have gone away.
            let _ = sender.send(answer);
        }
    }
}

type Explaining = Option<Box<Explained>>;

/// Who waits for which explanation, each on a thread of its own.
#[derive(Default)]
pub(crate) struct Questions {
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, SyncSender<Explaining>>>,
}

impl Questions {
    fn draw(&self) -> (u64, Receiver<Explaining>) {
        let (sender, receiver) = sync_channel(1);
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.waiting).insert(ticket, sender);
        (ticket, receiver)
    }

    fn forget(&self, ticket: u64) {
        lock(&self.waiting).remove(&ticket);
    }

    pub(crate) fn answer(&self, ticket: u64, explained: Explaining) {
        let waiting = lock(&self.waiting).remove(&ticket);
        if let Some(sender) = waiting {
            // Who asked may have given up.
            let _ = sender.try_send(explained);
        }
    }
}

/// Where to ask for documents; may outlive the node, and then there is no answer.
#[derive(Clone)]
pub struct Documents(pub(crate) Arc<Shared>);

/// How long a shard may take to explain.
const EXPLAIN_SECONDS_MAX: Duration = Duration::from_secs(10);

impl Documents {
    /// Why a watcher (`None`: an anonymous one) sees what she sees of a presentity; with `rules`: by those, under that name, in place of
    /// what is kept. Waits for the shard. `None`: the presentity is not served here, or the node is gone.
    pub fn explain(
        &self,
        presentity: String,
        watcher: Option<String>,
        rules: Option<(String, Ruleset)>,
    ) -> Option<Explained> {
        let mailbox = self.mailbox(Some(&presentity))?;
        let (ticket, explained) = self.0.questions.draw();
        mailbox.post(Notice::Explain(Box::new(Question {
            ticket,
            presentity,
            watcher,
            rules,
        })));
        let explained = explained.recv_timeout(EXPLAIN_SECONDS_MAX);
        self.0.questions.forget(ticket);
        explained.ok().flatten().map(|explained| *explained)
    }

    fn mailbox(&self, owner: Option<&str>) -> Option<&Mailbox> {
        let shared = &self.0;
        let shards = u16::try_from(shared.mailboxes.len()).unwrap_or(u16::MAX);
        let partition = shared.partitioner.partition(owner.unwrap_or("global"));
        shared.mailboxes.get(usize::from(partition.shard(shards)))
    }

    /// Asks the shard whose documents these are. `None`: too many wait already. A dropped channel: the node is gone.
    pub fn ask(&self, mut request: DocumentRequest) -> Option<oneshot::Receiver<DocumentAnswer>> {
        let mailbox = self.mailbox(request.owner.as_deref())?;
        let (ticket, answer) = self.0.tickets.draw()?;
        request.ticket = ticket;
        mailbox.post(Notice::Document(Box::new(request)));
        Some(answer)
    }
}
