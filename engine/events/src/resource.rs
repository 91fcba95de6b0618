//! One presentity under one event package: her live publications, the view composed from them, who watches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use machine::{Instant, Key, TimerId, Wall};

use crate::fingerprint::{LastChange, Maker};
use crate::package::{Checked, Package, Source};
use crate::sight::Sights;

/// A body that watchers share, and what it says in 64 bits.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct View {
    /// The rendered document; empty: no body at all.
    pub body: Bytes,
    /// Keyed hash of the body.
    pub digest: u64,
}

/// No body at all.
pub static NOTHING: View = View {
    body: Bytes::new(),
    digest: 0,
};

/// One live publication (RFC 3903 §4): what a source said, until when.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Where it is stored.
    pub key: Key,
    /// Its entity-tag, a number never used before.
    pub entity_tag: u64,
    /// Media type as published.
    pub content_type: Box<str>,
    /// The document.
    pub body: Box<[u8]>,
    /// When this document was accepted (a refresh does not count).
    pub accepted: Wall,
    /// Grows with each acceptance: of two documents accepted in the same millisecond the later one wins.
    pub order: u64,
    /// Seconds granted by the last 200.
    pub granted: u32,
    /// When it lapses.
    pub expires_at: Instant,
    /// The same on the wall, as stored.
    pub deadline: Wall,
    /// Set for `expires_at`.
    pub timer: Option<TimerId>,
    /// Which request made it what it is.
    pub change: LastChange,
    /// Which request made it.
    pub maker: Maker,
    /// The entity-tag that it was answered.
    pub maker_tag: u64,
    /// Appends since the last whole record.
    pub appends: u8,
}

/// What somebody keeps of herself for good (RFC 4827): a source below every publication, which never lapses and has no entity-tag here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permanent {
    /// The document, shared with whoever keeps it.
    pub body: Arc<str>,
    /// When it became that.
    pub modified: Wall,
}

/// "Everybody who watches has answered a NOTIFY with what she may see of this."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AnsweredByAll {
    /// Of the composed view.
    pub digest: u64,
    /// Subscriptions asked for before this stamp are covered.
    pub stamp: u64,
}

/// One presentity under one event package.
pub struct Resource {
    /// Canonical address of record.
    pub name: Arc<str>,
    /// Which package, by index.
    pub package: u8,
    /// Where `answered` is stored, once it was.
    pub key: Key,
    /// Whether the store holds a record under `key`.
    pub stored: bool,
    /// Whether a source ever published (kept for `unknown_presentity = "404"` only).
    pub published: bool,
    /// Boxed, since few have any.
    pub permanent: Option<Box<Permanent>>,
    /// Oldest acceptance first.
    pub publications: Vec<Publication>,
    /// Composed when somebody watches; `None`: not composed yet.
    pub view: Option<View>,
    /// What is seen of the view besides the whole.
    pub sights: Sights,
    /// The neutral document, composed when first needed.
    pub neutral: Option<View>,
    /// Slots of the subscriptions to it.
    pub subscriptions: Vec<u32>,
    /// Slots that are owed a NOTIFY, in order.
    pub owed: VecDeque<u32>,
    /// How many subscriptions are owed a NOTIFY, or have not answered it.
    pub open: u32,
    /// How many live and stored ones have not answered the newest that they may see. Fetches and what is ending don't count:
    /// no record covers them after a start, so none waits for them.
    pub unsettled: u32,
    /// What the store knows of the answers.
    pub answered: AnsweredByAll,
    /// The newest `Subscription::asked` among those stored.
    pub asked: u64,
    /// Least time between two NOTIFYs of one subscription.
    pub interval: Duration,
    /// Whether a pending watcher's NOTIFY carries nothing.
    pub pending_body_is_empty: bool,
}

impl Resource {
    /// Composes the view from what is permanent and the live publications. `checked`: what was read of the newest of these.
    pub fn compose(
        &self,
        package: &Package,
        checked: Option<Checked>,
        digest: impl Fn(&[u8]) -> u64,
    ) -> View {
        let permanent = self.permanent.as_deref();
        let permanent = permanent
            .map(|permanent| Source::permanent(permanent.body.as_bytes(), permanent.modified));
        let published = self
            .publications
            .iter()
            .map(|publication| Source::new(&publication.body, publication.accepted));
        let sources: Vec<Source<'_>> = permanent.into_iter().chain(published).collect();
        if let Some(newest) = sources.last() {
            newest.checked.replace(checked);
        }
        let body = Bytes::from((package.compose)(&self.name, &sources));
        View {
            digest: digest(&body),
            body,
        }
    }

    /// Nothing needs it any more, but what its user keeps for good.
    pub(crate) fn is_forgettable(&self) -> bool {
        self.publications.is_empty() && self.subscriptions.is_empty() && !self.published
    }
}
