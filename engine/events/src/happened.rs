//! What can happen to publications, subscriptions and notifications.

use std::sync::Arc;

use machine::Cause;

use crate::publisher::Operation;
use crate::state::EventState;
use crate::subscription::InFlight;

machine::schema! {
    /// What can happen to the event state of a shard.
    pub enum Happened {
        /// A publication was created, changed or refreshed (RFC 3903 §6).
        PublicationStored = "publication.stored", counted "tidings_publications_stored_total" by operation {
            /// Canonical address of record of whom it is about.
            presentity: Arc<str>,
            /// "initial", "modify" or "refresh" (RFC 3903 §4, table 1).
            operation: Operation,
            /// The entity-tag that the 200 gives.
            entity_tag: String,
            /// Granted seconds.
            expires: u32,
        }
        /// A publication was removed, or lapsed.
        PublicationEnded = "publication.ended", counted "tidings_publications_ended_total" by why {
            /// Canonical address of record of whom it was about.
            presentity: Arc<str>,
            /// "removed" or "expired".
            why: &'static str,
        }
        /// What all publications of a presentity say together is no longer what it was, and somebody watches.
        StateChanged = "state.changed", counted "tidings_states_changed_total" {
            /// Canonical address of record.
            presentity: Arc<str>,
            /// How many watchers are owed a NOTIFY for it: those who may see it.
            watchers: u32,
        }
        /// A subscription began (RFC 6665 §4.2.1).
        SubscriptionBegan = "subscription.began", counted "tidings_subscriptions_begun_total" {
            /// Canonical address of record of whom it is to.
            presentity: Arc<str>,
            /// Canonical address of record of who watches.
            watcher: Arc<str>,
            /// Granted seconds.
            expires: u32,
        }
        /// A subscription was refreshed.
        SubscriptionRefreshed = "subscription.refreshed", counted "tidings_subscriptions_refreshed_total" {
            /// Canonical address of record of whom it is to.
            presentity: Arc<str>,
            /// Canonical address of record of who watches.
            watcher: Arc<str>,
            /// Granted seconds.
            expires: u32,
        }
        /// Somebody asked once, without subscribing (RFC 6665 §4.4.3).
        StateFetched = "state.fetched", counted "tidings_states_fetched_total" {
            /// Canonical address of record of whom it is about.
            presentity: Arc<str>,
            /// Canonical address of record of who asked.
            watcher: Arc<str>,
        }
        /// A subscription is over; its last NOTIFY, where one is due, is yet to come.
        SubscriptionEnded = "subscription.ended", counted "tidings_subscriptions_ended_total" by why {
            /// Canonical address of record of whom it was to.
            presentity: Arc<str>,
            /// Canonical address of record of who watched.
            watcher: Arc<str>,
            /// The reason in Subscription-State (RFC 6665 §4.1.3), or why it was given up.
            why: &'static str,
        }
        /// A pending subscription lapsed, or somebody fetched whom nobody has decided about: the presentity may learn so (RFC 3857 §4.7.1).
        WaitingBegan = "waiting.began", counted "tidings_waiting_begun_total" {
            /// Canonical address of record of who is to decide.
            presentity: Arc<str>,
            /// Canonical address of record of who asked.
            watcher: Arc<str>,
        }
        /// A watcher no longer waits for a decision.
        WaitingEnded = "waiting.ended", counted "tidings_waiting_ended_total" by why {
            /// Canonical address of record of who was to decide.
            presentity: Arc<str>,
            /// Canonical address of record of who asked.
            watcher: Arc<str>,
            /// "approved", "rejected", "noresource"; "giveup": she asked again, or it took too long, or too many wait.
            why: &'static str,
        }
        /// A NOTIFY is owed that the interval between two of them holds back (RFC 3856 §6.10).
        NotifyDeferred = "notify.deferred", counted "tidings_notifies_deferred_total" {
            /// Canonical address of record of whom it is about.
            presentity: Arc<str>,
            /// Canonical address of record of who watches.
            watcher: Arc<str>,
            /// For how long yet, in milliseconds.
            wait_ms: u64,
        }
        /// A NOTIFY left for the first time, or by another way.
        NotifySent = "notify.sent", counted "tidings_notifies_sent_total" {
            /// Canonical address of record of whom it is about.
            presentity: Arc<str>,
            /// Canonical address of record of who watches.
            watcher: Arc<str>,
            /// Number of CSeq.
            cseq: u32,
            /// "active", "pending" or "terminated".
            state: &'static str,
        }
        /// A NOTIFY left once more, since no answer came (RFC 3261 §17.1.2.2, Timer E).
        NotifyRepeated = "notify.repeated", counted "tidings_notifies_repeated_total" {
            /// Canonical address of record of whom it is about.
            presentity: Arc<str>,
            /// Canonical address of record of who watches.
            watcher: Arc<str>,
            /// Number of CSeq.
            cseq: u32,
        }
        /// A NOTIFY was answered 2xx.
        NotifyAccepted = "notify.accepted", counted "tidings_notifies_accepted_total" {
            /// Canonical address of record of whom it is about.
            presentity: Arc<str>,
            /// Canonical address of record of who watches.
            watcher: Arc<str>,
            /// Number of CSeq.
            cseq: u32,
        }
        /// A NOTIFY was answered with a failure.
        NotifyRefused = "notify.refused", counted "tidings_notifies_refused_total" by status {
            /// Canonical address of record of whom it is about.
            presentity: Arc<str>,
            /// Canonical address of record of who watches.
            watcher: Arc<str>,
            /// Number of CSeq.
            cseq: u32,
            /// Status code of the answer.
            status: u16,
        }
        /// A NOTIFY was taken back before it left, since the rules have taken away what it shows.
        NotifyWithdrawn = "notify.withdrawn", counted "tidings_notifies_withdrawn_total" {
            /// Canonical address of record of whom it is about.
            presentity: Arc<str>,
            /// Canonical address of record of who watches.
            watcher: Arc<str>,
            /// Number of CSeq, used for the next.
            cseq: u32,
        }
    }
}

impl EventState {
    /// Something happened, of the input that is being handled.
    pub(crate) fn happens(&mut self, happened: Happened) {
        self.happened.push_back((self.cause, happened));
    }

    /// Something happened to a subscription: of this input, or of a former one that led to it.
    pub(crate) fn happens_to(
        &mut self,
        slot: u32,
        cause: Cause,
        happened: impl FnOnce(Arc<str>, Arc<str>) -> Happened,
    ) {
        let subscription = &self.subscriptions[slot as usize];
        let presentity = self.resources[subscription.resource as usize].name.clone();
        let happened = happened(presentity, subscription.watcher.clone());
        self.happened.push_back((cause, happened));
    }

    pub(crate) fn say_begun(&mut self, slot: u32, expires: u32) {
        self.happens_to(slot, self.cause, |presentity, watcher| match expires {
            0 => Happened::StateFetched {
                presentity,
                watcher,
            },
            _ => Happened::SubscriptionBegan {
                presentity,
                watcher,
                expires,
            },
        });
    }

    pub(crate) fn say_refreshed(&mut self, slot: u32, expires: u32) {
        self.happens_to(slot, self.cause, |presentity, watcher| {
            Happened::SubscriptionRefreshed {
                presentity,
                watcher,
                expires,
            }
        });
    }

    /// `status` answers the NOTIFY that was in flight.
    pub(crate) fn say_answered(&mut self, slot: u32, flight: &InFlight, status: u16) {
        let cseq = flight.cseq;
        self.happens_to(slot, flight.cause, |presentity, watcher| match status {
            200..=299 => Happened::NotifyAccepted {
                presentity,
                watcher,
                cseq,
            },
            _ => Happened::NotifyRefused {
                presentity,
                watcher,
                cseq,
                status,
            },
        });
    }
}
