//! Which transaction a request belongs to (RFC 3261 §17.2.3), as 128 bits.
//!
//! The parts that have to be equal are not kept: a SipHash-1-3 with 128 bits and a key that no peer knows stands for
//! them. Among 500 000 transactions two different ones meet with probability 2⁻⁸³ (120 bits, the rest is the method), and
//! nobody can look for such a pair without the key. Looking up hashes the parts where they lie and allocates nothing.

use std::hash::{Hash, Hasher};

use sip::{Message, Method};
use siphasher::sip128::{Hasher128, SipHasher13};

/// RFC 3261 §8.1.1.7: a branch that begins so, and goes on, is unique to its transaction.
const MAGIC_COOKIE: &str = "z9hG4bK";

/// Methods that a CANCEL may mean, besides INVITE (§9.2 leaves it open); by their code in a key.
const METHODS: u8 = 13;

/// Names one server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionKey([u64; 2]);

impl TransactionKey {
    /// Of a request. ACK has the key of its INVITE, any other method its own.
    pub(crate) fn of(hash_key: &[u8; 16], request: &Message<'_>) -> Self {
        let method = request.method();
        let mut hasher = SipHasher13::new_with_key(hash_key);
        if let Method::Other(name) = method {
            part(&mut hasher, name.as_bytes());
        }
        match request.via() {
            Ok(via) if via.branch.is_some_and(is_unique) => {
                part(&mut hasher, via.branch.unwrap_or_default().as_bytes());
                // Hosts compare without case (§17.2.3 with §19.1.4); an ACK or CANCEL repeats the sent-by of its INVITE.
                lower_case_part(&mut hasher, via.host.as_bytes());
                hasher.write_u32(via.port.map_or(u32::MAX, u32::from));
            }
            _ => without_cookie(&mut hasher, request),
        }
        let hash = hasher.finish128();
        Self([hash.h1, hash.h2]).with_code(code(method))
    }

    /// The same branch and sent-by with every other method: what a CANCEL may mean.
    pub(crate) fn cancelled(self) -> impl Iterator<Item = Self> {
        (0..METHODS)
            .filter(|method| *method != CANCEL)
            .map(move |method| self.with_code(method))
    }

    /// Whether the transaction is an INVITE's.
    pub(crate) const fn is_invite(self) -> bool {
        self.0[1] & 0xff == INVITE as u64
    }

    const fn with_code(self, code: u8) -> Self {
        Self([self.0[0], self.0[1] & !0xff | code as u64])
    }
}

impl Hash for TransactionKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// RFC 2543 matching: Request-URI, From tag, Call-ID, CSeq number and the top Via, whole, are equal.
///
/// The To tag is left out although §17.2.3 names it: an ACK carries that of the response, which the INVITE had not, and
/// a retransmission that differs in nothing else does not occur.
fn without_cookie(hasher: &mut SipHasher13, request: &Message<'_>) {
    part(hasher, request.request_uri().as_bytes());
    part(
        hasher,
        request
            .from()
            .ok()
            .and_then(|from| from.tag())
            .unwrap_or_default()
            .as_bytes(),
    );
    part(hasher, request.call_id().unwrap_or_default().as_bytes());
    hasher.write_u32(request.cseq().map_or(0, |cseq| cseq.number));
    part(
        hasher,
        request.values(sip::Name::Via).next().unwrap_or_default(),
    );
}

fn is_unique(branch: &str) -> bool {
    branch.starts_with(MAGIC_COOKIE) && branch.len() > MAGIC_COOKIE.len()
}

/// The length goes first, so that parts can't run into one another.
fn part(hasher: &mut SipHasher13, bytes: &[u8]) {
    hasher.write_usize(bytes.len());
    hasher.write(bytes);
}

fn lower_case_part(hasher: &mut SipHasher13, bytes: &[u8]) {
    hasher.write_usize(bytes.len());
    for byte in bytes {
        hasher.write_u8(byte.to_ascii_lowercase());
    }
}

const INVITE: u8 = 1;
const CANCEL: u8 = 2;

const fn code(method: Method<'_>) -> u8 {
    match method {
        Method::Other(_) => METHODS,
        Method::Register => 0,
        Method::Invite | Method::Ack => INVITE,
        Method::Cancel => CANCEL,
        Method::Bye => 3,
        Method::Options => 4,
        Method::Subscribe => 5,
        Method::Notify => 6,
        Method::Publish => 7,
        Method::Message => 8,
        Method::Info => 9,
        Method::Prack => 10,
        Method::Update => 11,
        Method::Refer => 12,
    }
}
