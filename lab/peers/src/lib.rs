//! Other people's programs against a real server: SIPp with scenarios of our own, baresip without a sound card.
//! Owns: their processes, folders and ports.   Takes: a server's address, a scenario, an account and its buddies.
//! Gives: whether a scenario passed and what went over the wire, what baresip shows of a buddy.
//! Never: SIP of its own (that is `deployment`), a process or a file left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness fails the test that uses it by a panic that says what is wrong"
)]

pub mod baresip;
pub mod port;
pub mod program;
pub mod sipp;
mod skipped;

pub use baresip::Baresip;
pub use program::Program;
pub use sipp::Sipp;
