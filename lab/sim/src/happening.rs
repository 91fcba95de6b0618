//! What checkers are told: everything that a user could see of the server, and the few things about its life that explain it.

use std::collections::BTreeSet;

use agent::Event;
use shard::Counts;

use crate::model::{DialogId, RequestId};

/// What a NOTIFY says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// In which dialog, as the watcher began it.
    pub dialog: DialogId,
    /// The same with the server's tag: the same SUBSCRIBE may make another one when it made none that had to be kept.
    pub leg: DialogId,
    /// The presentity, as far as the model knows the dialog.
    pub presentity: Option<String>,
    /// The watcher, as far as the model knows the dialog.
    pub watcher: Option<String>,
    /// Its number.
    pub cseq: u32,
    /// It is about watchers.
    pub winfo: bool,
    /// State and reason of Subscription-State, without its expires.
    pub state: String,
    /// The document.
    pub body: Vec<u8>,
}

impl Notify {
    /// Whether it is the last.
    pub fn is_terminal(&self) -> bool {
        self.state.starts_with("terminated")
    }
}

/// A request that the server handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which.
    pub id: RequestId,
    /// PUBLISH, SUBSCRIBE, …
    pub method: String,
    /// SIP-If-Match.
    pub if_match: Option<String>,
    /// Whom it is about.
    pub presentity: String,
    /// Whom it is from.
    pub from: String,
    /// The host in its Contact.
    pub contact: Option<String>,
    /// For a SUBSCRIBE.
    pub dialog: DialogId,
    /// It is about watchers.
    pub winfo: bool,
    /// It is inside a dialog.
    pub in_dialog: bool,
    /// The seconds it asks for.
    pub expires: Option<u32>,
    /// Number of CSeq.
    pub cseq: u32,
    /// It came before, in this life of the server.
    pub again: bool,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Happening<'a> {
    /// The server takes a request; what it decided at once is in the model already.
    Asked(&'a Request),
    /// A request had its effect.
    Effect(&'a RequestId),
    /// A response leaves the server.
    Answered {
        /// To which request.
        request: &'a Request,
        /// Status.
        status: u16,
        /// SIP-ETag of a PUBLISH, To tag of a SUBSCRIBE.
        tag: &'a str,
        /// Seconds that it grants.
        expires: Option<u32>,
    },
    /// A NOTIFY leaves the server, for the first time or again.
    Notified(&'a Notify),
    /// A response to a NOTIFY reaches the server.
    Heard {
        /// In which dialog, with the server's tag.
        leg: &'a DialogId,
        /// To which.
        cseq: u32,
        /// With what.
        status: u16,
    },
    /// The server gave a subscription up, for this reason.
    GaveUp {
        /// The presentity.
        presentity: &'a str,
        /// The watcher.
        watcher: &'a str,
        /// Why.
        why: &'a str,
    },
    /// A name has no address, as far as can be learned.
    NotFound(&'a str),
    /// Something lapsed at a time when nothing was due.
    LapsedEarly(&'a str),
    /// Something that should be gone is not.
    Overdue(&'a str),
    /// A request that deserves to be refused got another answer.
    Misjudged(&'a str),
    /// A reload, or rules of somebody took effect.
    Reloaded,
    /// The server's process died; so many batches were not durable.
    Crashed {
        /// Batches that were not known to be durable.
        pending: usize,
        /// The presentities whose batches they were.
        undone: &'a BTreeSet<String>,
    },
    /// The server was stopped in good order; not everything had been sent and answered.
    Stopped {
        /// It ran into its deadline.
        hasty: bool,
    },
    /// A process has started and restored its state.
    Started {
        /// What it holds.
        counts: Counts,
    },
    /// A person's agent showed something.
    Shown {
        /// Which person.
        who: usize,
        /// What.
        event: &'a Event,
        /// It ended what she wants to last.
        wanted: bool,
    },
    /// It has been calm for long: everybody has had time to recover.
    Calm(&'a [Standing]),
    /// Everybody has left and everything has expired.
    Over(&'a Remains),
}

/// What a person wants and has when it has been calm for long.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Which person.
    pub who: usize,
    /// Her address of record.
    pub identity: String,
    /// Whom she watches, and the document that she saw last.
    pub watches: Option<(String, Option<Vec<u8>>)>,
    /// She asks who watches her: whom she was told last, and whether they are active.
    pub asks: Option<Option<Vec<(String, &'static str)>>>,
    /// The note that she publishes, and whether the server took it.
    pub publishes: Option<(u64, bool)>,
}

/// What is left in the end.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// In each shard: what it holds and what it remembers.
    pub shards: Vec<(Counts, usize)>,
    /// Of each person's agent: what it remembers.
    pub agents: Vec<(usize, usize)>,
    /// Deadlines set in shards.
    pub deadlines: usize,
    /// Objects in the store.
    pub objects: u64,
    /// People whose agents are not done.
    pub busy: Vec<usize>,
}
