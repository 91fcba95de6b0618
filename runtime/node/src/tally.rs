//! What happened on one shard's thread, counted there and read by whoever asks.

use std::collections::BTreeMap;

use shard::{Counts, Event};

/// Kinds of refusal and of dropped messages that are told apart; what is more goes under "other".
const KINDS_MAX: usize = 256;

/// Counts since the start, and what the shard holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What the shard holds.
    pub counts: Counts,
    /// Datagrams received by this thread.
    pub datagrams_received: u64,
    /// Of these, for another shard.
    pub datagrams_handed_over: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams that the kernel refused.
    pub datagrams_refused: u64,
    /// Datagrams dropped because too many waited for room in the kernel.
    pub datagrams_dropped_unsent: u64,
    /// Messages dropped because too many waited for this shard.
    pub mailbox_dropped: u64,
    /// Requests over their source's rate that were answered 503.
    pub sources_refused: u64,
    /// Requests over their source's rate that were dropped.
    pub sources_dropped: u64,
    /// Batches handed to the store.
    pub commits: u64,
    /// Publications created or changed.
    pub publications_stored: u64,
    /// Publications that ended, by why.
    pub publications_ended: BTreeMap<&'static str, u64>,
    /// Subscriptions that began.
    pub subscriptions_begun: u64,
    /// Subscriptions that ended, by why.
    pub subscriptions_ended: BTreeMap<&'static str, u64>,
    /// Messages that nobody can answer, by why.
    pub messages_dropped: BTreeMap<&'static str, u64>,
    /// Requests answered with a failure, by method and status.
    pub requests_refused: BTreeMap<(&'static str, u16), u64>,
}

impl Tally {
    /// Counts an event, and says it to whoever listens to `debug`.
    pub(crate) fn record(&mut self, event: Event) {
        match event {
            Event::MessageDropped { reason } => {
                tracing::debug!(reason, "message dropped");
                count(&mut self.messages_dropped, reason, "other");
            }
            Event::RequestRefused {
                method,
                status,
                reason,
            } => {
                tracing::debug!(method, status, reason, "request refused");
                count(
                    &mut self.requests_refused,
                    (known(&method), status),
                    ("other", 0),
                );
            }
            Event::PublicationStored {
                presentity,
                entity_tag,
            } => {
                tracing::debug!(presentity, entity_tag, "publication stored");
                self.publications_stored += 1;
            }
            Event::PublicationEnded { presentity, why } => {
                tracing::debug!(presentity, why, "publication ended");
                count(&mut self.publications_ended, why, "other");
            }
            Event::SubscriptionBegan {
                presentity,
                watcher,
            } => {
                tracing::debug!(presentity, watcher, "subscription began");
                self.subscriptions_begun += 1;
            }
            Event::SubscriptionEnded {
                presentity,
                watcher,
                why,
            } => {
                tracing::debug!(presentity, watcher, why, "subscription ended");
                count(&mut self.subscriptions_ended, why, "other");
            }
        }
    }
}

fn count<K: Ord>(counts: &mut BTreeMap<K, u64>, kind: K, other: K) {
    let kind = if counts.len() < KINDS_MAX || counts.contains_key(&kind) {
        kind
    } else {
        other
    };
    *counts.entry(kind).or_default() += 1;
}

/// A method under a name of our own: a peer's inventions must not become labels.
fn known(method: &str) -> &'static str {
    const KNOWN: [&str; 14] = [
        "REGISTER",
        "INVITE",
        "ACK",
        "CANCEL",
        "BYE",
        "OPTIONS",
        "SUBSCRIBE",
        "NOTIFY",
        "PUBLISH",
        "MESSAGE",
        "INFO",
        "PRACK",
        "UPDATE",
        "REFER",
    ];
    KNOWN
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_cannot_make_labels() {
        let mut tally = Tally::default();
        for number in 0..2000_u16 {
            let method = format!("M{number}");
            tally.record(Event::RequestRefused {
                method,
                status: number + 1,
                reason: String::new(),
            });
        }
        tally.record(Event::RequestRefused {
            method: "PUBLISH".to_owned(),
            status: 1,
            reason: String::new(),
        });
        assert_eq!(tally.requests_refused.len(), KINDS_MAX + 1);
        assert_eq!(tally.requests_refused.values().sum::<u64>(), 2001);
        assert_eq!(tally.requests_refused[&("other", 7)], 1);
    }
}
