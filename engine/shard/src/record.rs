//! What can happen in a shard: its own list, and those of the engines that it is made of. Logs, counters and traces read it.

use machine::happening::{Happening, Kind, Value};

machine::schema! {
    /// What can happen to messages before an engine sees them, and to their ways.
    pub enum Happened {
        /// A datagram or frame that nobody can answer was counted and dropped.
        MessageDropped = "message.dropped", counted "tidings_messages_dropped_total" by why {
            /// Why.
            why: &'static str,
        }
        /// A request was taken and answered 2xx.
        RequestAccepted = "request.accepted", counted "tidings_requests_accepted_total" by method status {
            /// Method.
            method: &'static str,
            /// Status code.
            status: u16,
        }
        /// A request was answered with a failure.
        RequestRefused = "request.refused", counted "tidings_requests_refused_total" by method status {
            /// Method, "other" for one that no standard we know defines.
            method: &'static str,
            /// Status code.
            status: u16,
            /// The reason phrase that was sent.
            reason: String,
        }
        /// A next hop's name is looked up (RFC 3263).
        NameAsked = "name.asked", counted "tidings_names_asked_total" {
            /// The host name.
            name: String,
        }
        /// A next hop's name was looked up.
        NameAnswered = "name.answered", counted "tidings_names_answered_total" {
            /// The host name.
            name: String,
            /// How many addresses it has; 0: none was found.
            addresses: u32,
        }
        /// A NOTIFY too large for a datagram got no connection and goes as one (RFC 3261 §18.1.1).
        NotifyFellBack = "notify.fell_back", counted "tidings_notifies_fell_back_total" {}
        /// Credentials proved nobody (RFC 3261 §22). A request without any is no failure.
        AuthenticationFailed = "authentication.failed", counted "tidings_authentications_failed_total" by why {
            /// "wrong", "stale", "malformed", or "too often": not looked at.
            why: &'static str,
        }
        /// The rules were read anew: a reload.
        SettingsTaken = "settings.taken", counted "tidings_settings_taken_total" {}
        /// Lists that rules here refer to came from another shard.
        ListsCame = "lists.came", counted "tidings_lists_came_total" {
            /// Whose; empty: the global tree's.
            owner: String,
        }
        /// A document took effect without the lists that it refers to: another shard did not send them in time.
        ListsLate = "lists.late", counted "tidings_lists_late_total" {}
        /// What was on record is in memory again, after a start.
        StateRestored = "state.restored", counted "tidings_states_restored_total" {
            /// Live publications.
            publications: u64,
            /// Live subscriptions.
            subscriptions: u64,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// To messages and their ways.
    Shard(Happened),
    /// To a transaction.
    Transaction(transaction::Happened),
    /// To publications, subscriptions and notifications.
    Events(events::Happened),
}

const SHARD: usize = <Happened as Happening>::KINDS.len();
const TRANSACTION: usize = <transaction::Happened as Happening>::KINDS.len();
const EVENTS: usize = <events::Happened as Happening>::KINDS.len();

/// Everything that can happen in a shard, one list after the other.
const ALL: [&Kind; SHARD + TRANSACTION + EVENTS] = {
    let mut all = [&<Happened as Happening>::KINDS[0]; SHARD + TRANSACTION + EVENTS];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < SHARD {
            &<Happened as Happening>::KINDS[at]
        } else if at < SHARD + TRANSACTION {
            &<transaction::Happened as Happening>::KINDS[at - SHARD]
        } else {
            &<events::Happened as Happening>::KINDS[at - SHARD - TRANSACTION]
        };
        at += 1;
    }
    all
};

impl Event {
    /// Everything that can happen in a shard.
    pub const fn kinds() -> &'static [&'static Kind] {
        &ALL
    }

    /// Which of `kinds` this is.
    pub fn index(&self) -> usize {
        match self {
            Self::Shard(happened) => happened.index(),
            Self::Transaction(happened) => SHARD + happened.index(),
            Self::Events(happened) => SHARD + TRANSACTION + happened.index(),
        }
    }

    /// What its list says of it.
    pub fn kind(&self) -> &'static Kind {
        match self {
            Self::Shard(happened) => happened.kind(),
            Self::Transaction(happened) => happened.kind(),
            Self::Events(happened) => happened.kind(),
        }
    }

    /// Shows each field.
    pub fn fields(&self, show: &mut dyn FnMut(&'static str, Value<'_>)) {
        match self {
            Self::Shard(happened) => happened.fields(show),
            Self::Transaction(happened) => happened.fields(show),
            Self::Events(happened) => happened.fields(show),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_happened_finds_its_place_among_everything() {
        let events = [
            Event::Shard(Happened::StateRestored {
                publications: 1,
                subscriptions: 2,
            }),
            Event::Transaction(transaction::Happened::TransactionsFull {}),
            Event::Events(events::Happened::StateChanged {
                presentity: "a".into(),
                watchers: 1,
            }),
        ];
        for event in events {
            assert_eq!(Event::kinds()[event.index()], event.kind());
        }
    }

    #[test]
    fn names_and_metrics_are_unique_and_labels_are_fields() {
        let kinds = Event::kinds();
        let names: BTreeSet<_> = kinds.iter().map(|kind| kind.name).collect();
        let metrics: BTreeSet<_> = kinds.iter().filter_map(|kind| kind.metric).collect();
        assert_eq!(names.len(), kinds.len());
        assert_eq!(metrics.len(), kinds.len());
        for kind in kinds {
            assert!(kind.labels.len() <= 2, "{}", kind.name);
            let is_field = |label: &&str| kind.fields.iter().any(|field| field.name == *label);
            assert!(kind.labels.iter().all(is_field), "{}", kind.name);
        }
    }
}
