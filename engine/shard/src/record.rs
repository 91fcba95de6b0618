//! What can happen in a shard, as one list: logs, counters and traces read it.

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A datagram or frame that nobody can answer was counted and dropped.
    MessageDropped {
        /// Why.
        reason: &'static str,
    },
    /// A request was answered with a failure.
    RequestRefused {
        /// Method as received.
        method: String,
        /// Status code.
        status: u16,
        /// The reason phrase or diagnosis sent.
        reason: String,
    },
    /// A publication was created or changed.
    PublicationStored {
        /// Canonical AOR.
        presentity: String,
        /// Its entity-tag.
        entity_tag: String,
    },
    /// A publication was removed or lapsed.
    PublicationEnded {
        /// Canonical AOR.
        presentity: String,
        /// Why: "removed" or "expired".
        why: &'static str,
    },
    /// A subscription began.
    SubscriptionBegan {
        /// Canonical AOR of the presentity.
        presentity: String,
        /// Canonical AOR of the watcher.
        watcher: String,
    },
    /// A subscription ended.
    SubscriptionEnded {
        /// Canonical AOR of the presentity.
        presentity: String,
        /// Canonical AOR of the watcher.
        watcher: String,
        /// Subscription-State reason, or why it was given up.
        why: &'static str,
    },
}
