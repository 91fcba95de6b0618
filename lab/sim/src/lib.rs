//! A deployment in one process: production shards, disk, network and clients in a world that a seed determines.
//! Owns: time, chance, the network, the disk, what was promised.   Takes: a seed, or a plan.
//! Gives: broken promises, and the story that led to them.
//! Never: a clock, a socket, a file, a sleep.

mod breakage;
mod checkers;
mod document;
mod documents;
mod happening;
mod model;
mod network;
mod odd;
mod pages;
mod person;
mod picture;
mod plan;
mod rules;
mod server;
mod settings;
mod shrink;
mod stage;
mod tally;
mod turns;
mod witness;
mod world;

pub use breakage::Breakage;
pub use checkers::{Checker, all as checkers};
pub use pages::pages;
pub use plan::{Connecting, Flaw, Operation, Plan, STATUSES};
pub use rules::{Gives, Rules};
pub use shrink::shrink;
pub use stage::Stage;
pub use tally::Tally;
pub use witness::Violation;
pub use world::{Outcome, World};

/// Tells the story of a plan.
pub fn run(plan: Plan, breakage: Breakage, traced: bool) -> Outcome {
    World::new(plan, breakage, traced).run()
}
