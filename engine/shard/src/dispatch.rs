//! Which shard a message belongs to, without a table: by our branch, by our tag, else by the canonical address of record.

use events::dialog::{Branch, COOKIE, Tag};
use machine::settings::Settings;
use machine::{Partition, Partitioner};
use sip::{Message, Method, Uri};

use crate::directory::Directory;

/// Pure and shared by all threads; made anew by a reload.
#[derive(Clone, Debug)]
pub struct Dispatch {
    partitioner: Partitioner,
    shards: u16,
    directory: Directory,
}

impl Dispatch {
    /// Dispatch among `shards` shards; `hash_key` comes from the store.
    pub fn new(hash_key: [u8; 16], shards: u16, settings: &Settings) -> Self {
        Self {
            partitioner: Partitioner::new(hash_key),
            shards,
            directory: Directory::new(settings),
        }
    }

    /// The shard that owns what this message is about. The same message always finds the same shard.
    pub fn shard(&self, message: &Message<'_>) -> u16 {
        self.partition(message)
            .map_or(0, |partition| partition.shard(self.shards))
    }

    fn partition(&self, message: &Message<'_>) -> Option<Partition> {
        if !message.is_request() {
            let via = message.via().ok()?;
            let branch = via.branch?;
            return Branch::read(branch)
                .map(|branch| branch.tag.partition)
                .or_else(|| {
                    Partition::from_digits(branch.strip_prefix(COOKIE)?.as_bytes().get(..3)?)
                });
        }
        // RFC 3903 §4: what a PUBLISH is about is its Request-URI, also when it comes in a dialog; so it is for OPTIONS.
        let in_dialog = !matches!(message.method(), Method::Publish | Method::Options);
        if in_dialog
            && let Some(tag) = message
                .to()
                .ok()
                .and_then(|to| to.tag())
                .and_then(Tag::read)
        {
            return Some(tag.partition);
        }
        let uri = Uri::parse(message.request_uri()).ok()?;
        Some(self.partitioner.partition(&self.directory.canonical(&uri)?))
    }
}
