//! One user agent on real sockets, for the commands that a person types.
//! Owns: its sockets and connections, the clock, signals, the lines typed meanwhile.
//! Takes: where the server is, who we are, a `Handler`.   Gives: an `Outcome`.
//! Never: a decision of the protocol (that is `agent`), what is shown.

mod clock;
mod connections;
mod datagrams;
mod driver;
mod place;

pub use clock::Clock;
pub use driver::{Direction, Driver, Handler, Outcome};
pub use place::{Place, Unusable};
