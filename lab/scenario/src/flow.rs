//! A flow, read: what `reading` makes of a file and `run` follows.

use std::collections::BTreeMap;

use ladder::Trace;

use crate::matching::{Document, Fields};
use crate::watchers;

/// The actor that is not ours to play.
pub(crate) const SERVER: &str = "server";

/// A call flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The file that it came from, as failures name it.
    pub file: String,
    /// How the standards call it, and a suffix where there are several.
    pub id: String,
    /// In a few words.
    pub title: String,
    /// In a few sentences.
    pub about: String,
    /// The clauses that it checks.
    pub clauses: Vec<String>,
    /// How the server has to be set up.
    pub needs: Needs,
    /// Everybody but the server, in order.
    pub actors: Vec<Actor>,
    /// The server's place among the columns.
    pub(crate) server_column: usize,
    pub(crate) steps: Vec<Step>,
}

/// Who takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// As the flow calls it.
    pub name: String,
    /// The user whose program it is.
    pub user: String,
}

/// What a flow needs of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The shortest Expires that it accepts in a PUBLISH, in seconds.
    pub publish_seconds_min: u32,
    /// The longest that it grants to a PUBLISH, where the flow depends on it.
    pub publish_seconds_max: Option<u32>,
    /// The shortest Expires that it accepts in a SUBSCRIBE, in seconds.
    pub subscribe_seconds_min: u32,
    /// What becomes of watchers about whom nobody decided.
    pub watchers: Handling,
    /// What a pending watcher is answered, and told.
    pub profile: Profile,
    /// How long it is remembered who asked while nobody had decided, in seconds, where the flow depends on it.
    pub waiting_seconds: Option<u32>,
}

/// Of which day the answers to a pending watcher are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// 202, and a document that says nothing (RFC 3265, OMA 1.0).
    Oma10,
    /// 200, and no document (RFC 6665 §4.1.2.1, RFC 5025 §3.2.1).
    Rfc6665,
}

/// How a watcher is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// May see everything.
    Allow,
    /// Waits for a decision.
    Confirm,
    /// Sees a state that says nothing.
    PoliteBlock,
    /// Is refused.
    Block,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its line in the file.
    pub(crate) line: usize,
    /// How others refer to it.
    pub(crate) name: Option<String>,
    /// A remark for the picture.
    pub(crate) note: Option<String>,
    pub(crate) deed: Deed,
}

/// What happens in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Sends(Sends),
    Asks(Asks),
    Gets(Gets),
    /// Nothing comes to this actor (`None`: to nobody) until then.
    Quiet {
        who: Option<usize>,
        until: Moment,
    },
    /// Time passes.
    Waits(Moment),
}

/// An actor sends a request and gets an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sends {
    pub(crate) who: usize,
    pub(crate) what: Request,
    pub(crate) answer: Fields,
    /// Name → header field, or `body`, whose value is kept.
    pub(crate) keep: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The bytes of the actor's last request once more; the same answer has to come.
    Again,
    New {
        method: String,
        /// The user to whom it goes.
        to: String,
        /// The dialog in which it is sent, or that it begins.
        dialog: String,
        /// Fields besides the usual ones; `None` takes one away.
        with: Vec<(String, Option<String>)>,
        body: Body,
    },
}

/// What a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Nothing,
    /// A presence document with one service.
    Service {
        id: String,
        basic: String,
        note: String,
        contact: Option<String>,
    },
    /// Presence rules: for each user what she is let see, one rule for each.
    Rules(Vec<(String, String)>),
    /// Anything.
    Raw {
        content_type: String,
        text: String,
    },
}

/// An actor asks for a document over HTTP and gets an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asks {
    pub(crate) who: usize,
    pub(crate) method: String,
    /// Below the XCAP root, as it goes over the wire.
    pub(crate) target: String,
    /// Fields besides the usual ones; `None` takes one away.
    pub(crate) with: Vec<(String, Option<String>)>,
    pub(crate) body: Body,
    pub(crate) answer: Fields,
    pub(crate) keep: BTreeMap<String, String>,
}

/// An actor gets a request; it answers 200 by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gets {
    pub(crate) who: usize,
    pub(crate) method: String,
    pub(crate) fields: Fields,
    pub(crate) document: Option<Document>,
    /// What a document about watchers says.
    pub(crate) watchers: Option<watchers::Expected>,
    pub(crate) when: Option<Window>,
    pub(crate) keep: BTreeMap<String, String>,
}

/// A point in time: so many microseconds after a step (`None`: after the step before).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) after: Option<String>,
    pub(crate) micros: u64,
}

/// From when to when something may come, in microseconds after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) after: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Flow {
    /// An empty trace with this flow's title and columns.
    pub fn trace(&self) -> Trace {
        let mut trace = Trace::new(format!("{}: {}", self.id, self.title));
        for (index, actor) in self.actors.iter().enumerate() {
            if index == self.server_column {
                trace.actor(SERVER);
            }
            trace.actor(&actor.name);
        }
        trace.actor(SERVER);
        trace
    }
}
