//! Transactions: RFC 3261 §17 with RFC 6026 and RFC 4320.
//! Owns: the state and the timers of each transaction; of a server's, the last response.   Takes: what arrived, the time.
//! Gives: what to retransmit, what to tell the owner, what to replay, deadlines.
//! Never: a message of its own (owners keep or recompose the bytes), a socket, a clock.

pub mod client;
mod happened;
mod key;
pub mod server;
mod table;
pub mod timers;

pub use client::{ClientDue, InviteClient, InviteTold, NonInviteClient, Told};
pub use happened::Happened;
pub use key::TransactionKey;
pub use server::{InviteArrival, InviteServer, NonInviteServer, ServerDue};
pub use table::{RESPONSE_BYTES, Received, ServerTransactions};
