//! What can happen to a user's agent, for people and programs: everything that `watch`, `publish` and `fetch` show.

use std::time::Duration;

use bytes::Bytes;
use events::publisher::Operation;
use machine::happening::{AsValue, Value};

use crate::UsageId;

/// What a NOTIFY says about its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// We see.
    Active,
    /// Nobody has decided yet whether we may see.
    Pending,
    /// This was the last.
    Terminated,
}

machine::schema! {
    /// Something to show.
    pub enum Event {
        /// A PUBLISH was taken.
        Published = "agent.published" {
            /// Which publication.
            usage: UsageId,
            /// What the PUBLISH did.
            operation: Operation,
            /// SIP-ETag, where the server gives one.
            entity_tag: Option<String>,
            /// Granted seconds.
            expires: u32,
            /// From the first sending to the answer, in milliseconds where it is written down.
            took: Duration,
        }
        /// A SUBSCRIBE got its 2xx. RFC 3265's 202 says that nobody has decided yet; RFC 6665 has 200 only.
        Accepted = "agent.accepted" {
            /// Which subscription.
            usage: UsageId,
            /// 200 or 202.
            status: u16,
            /// Granted seconds, where it says.
            expires: Option<u32>,
        }
        /// A NOTIFY was accepted.
        Notified = "agent.notified" {
            /// Which subscription.
            usage: UsageId,
            /// What Subscription-State says.
            phase: Phase,
            /// Seconds left, where it says.
            expires: Option<u32>,
            /// Why it ended, where it says.
            reason: Option<String>,
            /// Content-Type, where there is a body.
            content_type: Option<String>,
            /// The document; empty where there is none.
            body: Bytes,
        }
        /// Somebody who watches whom we ask about is not what she was (RFC 3857).
        Watcher = "agent.watcher" {
            /// Which subscription.
            usage: UsageId,
            /// Of all her subscriptions this one, by the server's name for it.
            id: String,
            /// Who.
            watcher: String,
            /// Her name, as she writes it.
            display_name: Option<String>,
            /// "pending", "waiting", "active", "terminated"; "gone": a whole list no longer has her.
            status: &'static str,
            /// What brought her there (RFC 3857 §4.7.1), where the server says.
            event: Option<String>,
        }
        /// Something went wrong and will be tried again.
        Again = "agent.again" {
            /// Which publication or subscription.
            usage: UsageId,
            /// What went wrong, for people.
            why: String,
            /// When it is tried again, in milliseconds where it is written down.
            after: Duration,
            /// A subscription: its dialog is lost, a new one is begun. A publication: it may have lapsed.
            anew: bool,
        }
        /// Over; nothing more comes about it.
        Ended = "agent.ended" {
            /// Which publication or subscription.
            usage: UsageId,
            /// Why.
            end: End,
        }
    }
}

impl AsValue for UsageId {
    fn as_value(&self) -> Value<'_> {
        Value::Number(u64::from(self.0))
    }
}

impl AsValue for Phase {
    fn as_value(&self) -> Value<'_> {
        Value::Word(match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Terminated => "terminated",
        })
    }
}

impl AsValue for End {
    fn as_value(&self) -> Value<'_> {
        Value::Word(match self {
            Self::Stopped => "stopped",
            Self::Fetched => "fetched",
            Self::Removed => "removed",
            Self::Abandoned => "abandoned",
            Self::Refused { reason, .. } | Self::Terminated { reason } => {
                return Value::Text(reason);
            }
            Self::NoAnswer => "no answer",
            Self::NoNotify => "no NOTIFY",
        })
    }
}

/// Why a publication or subscription is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A subscription ended because we wanted it.
    Stopped,
    /// A fetch has its answer.
    Fetched,
    /// A publication was removed because we wanted it.
    Removed,
    /// We wanted a publication removed and could not learn whether it is; it lapses by itself.
    Abandoned,
    /// The final answer of the peer.
    Refused {
        /// Its status.
        status: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// The notifier ended the subscription for good.
    Terminated {
        /// The reason it gives; may be empty.
        reason: String,
    },
    /// Nobody answered.
    NoAnswer,
    /// 2xx to SUBSCRIBE, but never a NOTIFY.
    NoNotify,
}
