//! One watcher's subscription to one presentity (RFC 6665 §4.2).

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use machine::settings::{Handling, ListenerId, Transport};
use machine::{Cause, Instant, Key, TimerId, Wall};
use transaction::NonInviteClient;

use crate::dialog::{Dialog, State, Tag};
use crate::fingerprint::{LastChange, Maker};
use crate::watcher::Believed;

/// Why a subscription ends (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was not refreshed, it was ended by its watcher, or it was a fetch.
    Timeout,
    /// The presentity does not want it.
    Rejected,
    /// It should be made anew at once, elsewhere.
    Deactivated,
    /// The presentity is no longer served here.
    NoResource,
}

impl Reason {
    /// As written in Subscription-State.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Rejected => "rejected",
            Self::Deactivated => "deactivated",
            Self::NoResource => "noresource",
        }
    }

    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Timeout => 0,
            Self::Rejected => 1,
            Self::Deactivated => 2,
            Self::NoResource => 3,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Timeout,
            1 => Self::Rejected,
            2 => Self::Deactivated,
            3 => Self::NoResource,
            _ => return None,
        })
    }
}

/// Where a subscription is in its life. Active or pending is said by its handling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It lives until it expires.
    Live,
    /// The last NOTIFY is owed or on its way.
    Ending(Reason),
}

/// Whether a NOTIFY is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owed {
    /// Nothing new.
    Nothing,
    /// What she may see changed: when the interval allows (RFC 3856 §6.10).
    Change,
    /// The rules gave or took something: at once, if she is to be told anything but what she answered last.
    Decision,
    /// At once, whatever it says: the answer to a SUBSCRIBE, the last, what was not accepted before.
    AtOnce,
}

/// How the SUBSCRIBE came, which decides how NOTIFYs go (standards C6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The listener it came by.
    pub listener: ListenerId,
    /// What carried it.
    pub transport: Transport,
    /// Source address.
    pub peer: SocketAddr,
    /// The connection, on a stream; not stored.
    pub connection: Option<u64>,
    /// The flow itself is the next hop.
    pub is_next_hop: bool,
    /// How it was established who sent it.
    pub believed: Believed,
}

/// An origin as subscriptions keep it, in 32 bytes instead of 56: most addresses are IPv4.
#[derive(Clone, Debug)]
pub struct KeptOrigin {
    peer: KeptPeer,
    /// One more than the number of the connection.
    connection: Option<NonZeroU64>,
    listener: ListenerId,
    transport: Transport,
    is_next_hop: bool,
    believed: Believed,
}

#[derive(Clone, Debug)]
enum KeptPeer {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl From<Origin> for KeptOrigin {
    fn from(origin: Origin) -> Self {
        let connection = origin.connection;
        Self {
            peer: match origin.peer {
                SocketAddr::V4(peer) => KeptPeer::V4(peer),
                SocketAddr::V6(peer) => KeptPeer::V6(Box::new(peer)),
            },
            connection: connection.map(|number| NonZeroU64::MIN.saturating_add(number)),
            listener: origin.listener,
            transport: origin.transport,
            is_next_hop: origin.is_next_hop,
            believed: origin.believed,
        }
    }
}

impl From<&KeptOrigin> for Origin {
    fn from(kept: &KeptOrigin) -> Self {
        Self {
            listener: kept.listener,
            transport: kept.transport,
            peer: match &kept.peer {
                KeptPeer::V4(peer) => SocketAddr::V4(*peer),
                KeptPeer::V6(peer) => SocketAddr::V6(**peer),
            },
            connection: kept.connection.map(|number| number.get() - 1),
            is_next_hop: kept.is_next_hop,
            believed: kept.believed,
        }
    }
}

/// A NOTIFY that was composed and not answered yet.
#[derive(Clone, Debug)]
pub struct InFlight {
    /// Its number.
    pub cseq: u32,
    /// 0, then one more for each other transport tried.
    pub attempt: u8,
    /// What it carries.
    pub body: Bytes,
    /// What the body says.
    pub digest: u64,
    /// What it said of the subscription: a retransmission says the same.
    pub state: State,
    /// What it came of: the newest thing that it says.
    pub cause: Cause,
    /// Runs from the moment it really left (RFC 3261 §17.1.2).
    pub client: Option<NonInviteClient>,
    /// Counts in this hop's window (0: no longer).
    pub hop: u32,
    /// When it left first; Timer F counts from here also when a connection failed.
    pub since: Option<Instant>,
    /// How often it could not be sent at all.
    pub failures: u8,
    /// As what it was owed: what goes instead of it is owed as much.
    pub owed: Owed,
    /// The rules took something away before it left: it never leaves.
    pub withdrawn: bool,
    /// It goes by a stream for its size only (RFC 3261 §18.1.1), and may fall back.
    pub for_size: bool,
}

/// One watcher's subscription.
#[derive(Debug)]
pub struct Subscription {
    /// Where it is stored; its number is in our tag.
    pub key: Key,
    /// Unguessable part of our tag.
    pub salt: u32,
    /// Slot of the resource.
    pub resource: u32,
    /// Its place in `Resource::subscriptions`.
    pub place: u32,
    /// The watcher, as `watcher` writes her.
    pub watcher: Arc<str>,
    /// The dialog's texts.
    pub dialog: Dialog,
    /// How the latest SUBSCRIBE came.
    pub origin: KeptOrigin,
    /// Which of the package's `notify_types`.
    pub notify_type: u8,
    /// What the presentity's rules give the watcher.
    pub handling: Handling,
    /// What she sees where that is to allow: which of the resource's sights.
    pub(crate) sight: u32,
    /// It was pending before the presentity let it be active.
    pub approved: bool,
    /// Where it is in its life.
    pub phase: Phase,
    /// A fetch is never stored.
    pub stored: bool,
    /// CSeq of the latest SUBSCRIBE.
    pub remote_cseq: u32,
    /// CSeq base, the count of starts it was written in, and how many NOTIFYs this life added.
    pub cseq_base: u32,
    /// See `cseq_base`.
    pub cseq_starts: u32,
    /// See `cseq_base`.
    pub sent: u32,
    /// Seconds granted by the last 2xx.
    pub granted: u32,
    /// When it lapses.
    pub expires_at: Instant,
    /// The same on the wall, as stored.
    pub deadline: Wall,
    /// When a SUBSCRIBE last asked: an `AnsweredByAll` with a later stamp covers it.
    pub asked: u64,
    /// Which request made it what it is.
    pub change: LastChange,
    /// Which request began it.
    pub maker: Maker,
    /// Appends since the last whole record.
    pub appends: u8,
    /// Whether a NOTIFY is owed.
    pub owed: Owed,
    /// The newest thing for which one is owed.
    pub cause: Cause,
    /// It stands in `Resource::owed` or waits for its hop.
    pub queued: bool,
    /// What the watcher answered last.
    pub answered: u64,
    /// Whether that said that nobody has decided yet.
    pub answered_pending: bool,
    /// Whether it counts in `Resource::open`.
    pub open: bool,
    /// Whether it counts in `Resource::unsettled`.
    pub unsettled: bool,
    /// When the last NOTIFY left.
    pub notified_at: Option<Instant>,
    /// NOTIFYs that failed in a row without ending the subscription.
    pub failures: u8,
    /// The watcher asked to be left alone until then (Retry-After), or our own back-off.
    pub hold_until: Option<Instant>,
    /// At most one NOTIFY at a time (RFC 6665 §4.2.2 leaves it open; RFC 5263 §5 demands it).
    pub in_flight: Option<Box<InFlight>>,
    /// Retransmission, or the end of the interval.
    pub wake: Option<TimerId>,
    /// For `expires_at`.
    pub expiry: Option<TimerId>,
}

/// How far apart two lives of a dialog are: that many NOTIFYs fit in one life without a record (decision 4).
pub const CSEQ_LIFE: u32 = 65_536;

/// Whole seconds until then, never more than granted.
pub(crate) fn seconds_left(now: Instant, end: Instant, granted: u32) -> u32 {
    let left = end.since(now);
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX).min(granted)
}

impl Subscription {
    /// How the latest SUBSCRIBE came.
    pub fn origin(&self) -> Origin {
        Origin::from(&self.origin)
    }

    /// Our tag of its dialog.
    pub const fn tag(&self) -> Tag {
        Tag {
            partition: self.key.partition(),
            number: self.key.number(),
            salt: self.salt,
        }
    }

    /// CSeq of the newest NOTIFY, in the life that `starts` counts.
    pub const fn cseq(&self, starts: u32) -> u32 {
        let lives = starts.wrapping_sub(self.cseq_starts);
        self.cseq_base
            .wrapping_add(lives.wrapping_mul(CSEQ_LIFE))
            .wrapping_add(self.sent)
            & 0x7fff_ffff
    }

    /// Whole seconds until it lapses, never more than granted.
    pub fn remaining(&self, now: Instant) -> u32 {
        seconds_left(now, self.expires_at, self.granted)
    }

    /// What a NOTIFY says of it now.
    pub fn state(&self, now: Instant) -> State {
        match self.phase {
            Phase::Ending(reason) => State::Terminated(reason.name()),
            Phase::Live if self.handling == Handling::Confirm => {
                State::Pending(self.remaining(now))
            }
            Phase::Live => State::Active(self.remaining(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be millions.
    #[test]
    fn a_subscription_has_its_size() {
        assert_eq!(size_of::<Subscription>(), 240);
    }
}
