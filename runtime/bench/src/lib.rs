//! Load on a server from outside, and what it cost: the generator behind `tidings bench`.
//! Owns: the load thread and its sockets, the echo it compares with, the server it starts where none is named.
//! Takes: a `Plan`.   Gives: a `Report` with rates, latencies, CPU time, memory, and everything that was wrong.
//! Never: trust in what the server says; what was sent is remembered here and compared.

mod echo;
mod histogram;
mod incoming;
mod load;
mod messages;
mod own_server;
mod plan;
mod process;
mod report;
mod run;
mod template;
mod wire;
mod world;
mod wrong;

pub use histogram::Histogram;
pub use plan::{Commit, Documents, FanOut, Loops, Operation, Plan, Target};
pub use process::{Drops, children};
pub use report::{Echo, Latency, Measured, Memory, Report, Restored};
pub use run::{Failure, Progress, run};
pub use wire::Carrier;
pub use wrong::{Kind, Wrong};
