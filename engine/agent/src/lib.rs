//! One user's agent: publishes, watches, fetches, answers what it is asked (RFC 3261, RFC 3903, RFC 6665).
//! Owns: its subscriptions and publications, their dialogs, its transactions.
//! Takes: messages, failures to send, commands, the time.   Gives: messages to send, events to show, deadlines.
//! Never: sockets, clocks, names to look up, what a document says, but of those about watchers.

mod agent;
mod dialog;
mod event;
mod hop;
mod incoming;
mod login;
mod request;
mod watchers;

pub use agent::{Agent, Output, Start, UsageId};
pub use event::{End, Event, Phase};
pub use events::publisher::Operation;
pub use hop::{Hop, Transport};
pub use login::Login;
pub use request::Publication;
