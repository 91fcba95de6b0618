//! Who proves to be whom by Digest (RFC 7616, RFC 8760), over SIP and HTTP alike.
//! Owns: which nonces were used how often, who failed how often.   Takes: header fields, the users' credentials, the time.
//! Gives: the canonical address of record that was proved, or why not; challenges.
//! Never: passwords, what somebody may do, sockets, clocks.

mod failures;
mod nonce;
mod replay;
mod verify;

pub use failures::Failures;
pub use nonce::{NONCE_SECONDS_MAX, nonce};
pub use replay::{NONCES_MAX, Replay};
pub use verify::{Refused, Request, challenges, verify};
