//! A call flow as data: who takes part, what they send, what has to come, and when.
//! Owns: the format of flows, the flows of this project, user agents that follow them, the judgement of what came.
//! Takes: a flow, and a driver that carries its messages to a server: in a simulator, over sockets, whoever wrote the server.
//! Gives: the trace of a run, or where it went wrong: file, line, step, what was expected, what came, the ladder up to there.
//! Never: what only our own server does, a way to look into it.

mod agent;
mod catalogue;
mod document;
mod driver;
mod flow;
mod http;
mod matching;
mod reading;
mod rules;
mod run;
mod sockets;
mod steps;
mod watchers;

pub use catalogue::{FLOWS, builtin};
pub use driver::{Driver, Place, Received, Transport};
pub use flow::{Flow, Handling, Needs, Profile};
pub use http::{Asked, Told};
pub use reading::{Problem, read};
pub use run::{Failure, run};
pub use sockets::Sockets;
