//! What a request was, in 64 bits: the same request again after a crash is answered again and changes nothing.

use machine::{Instant, Partitioner, Wall};
use sip::Message;

use crate::state::RETRANSMISSIONS_LAST;

/// A keyed hash of topmost Via branch and sent-by, Call-ID, From tag, CSeq and method. 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The fingerprint of a request whose essentials were found usable.
    pub fn of(request: &Message<'_>, partitioner: &Partitioner) -> Self {
        let Ok(essentials) = request.essentials() else {
            return Self(0);
        };
        let number = essentials.cseq.number.to_be_bytes();
        let pieces: [&[u8]; 11] = [
            essentials.via.branch.unwrap_or_default().as_bytes(),
            b"\0",
            essentials.via.sent_by().as_bytes(),
            b"\0",
            essentials.call_id.as_bytes(),
            b"\0",
            essentials.from.tag().unwrap_or_default().as_bytes(),
            b"\0",
            essentials.cseq.method.name().as_bytes(),
            b"\0",
            &number,
        ];
        Self(partitioner.hash_of(pieces).max(1))
    }
}

/// The request that made something new and carried no tag of it: a late copy of it would make it twice. Whatever came after
/// names what it changes, and finds nothing by that name any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Maker {
    /// By what.
    pub fingerprint: Fingerprint,
    /// A copy may come until then.
    pub until: Instant,
}

impl Maker {
    /// Something that is made, or read from the store, now.
    pub fn of(fingerprint: Fingerprint, now: Instant) -> Self {
        Self {
            fingerprint,
            until: now + RETRANSMISSIONS_LAST,
        }
    }
}

/// Which request last changed something that is stored, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LastChange {
    /// By what.
    pub fingerprint: Fingerprint,
    /// When it was decided.
    pub at: Wall,
}
