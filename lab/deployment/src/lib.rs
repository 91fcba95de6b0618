//! A deployment on loopback: the real `tidings` binary, and peers that speak raw SIP to it.
//! Owns: the server process and its temporary folder, sockets of peers, what a peer must see on the wire.
//! Takes: a configuration, requests as a test writes them.   Gives: what came back, checked against the rules every message obeys.
//! Never: the server's own code to judge the server by (messages and documents are read here a second time), anything left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness fails the test that uses it by a panic that says what is wrong"
)]

pub mod binary;
pub mod configuration;
pub mod data;
pub mod deadline;
pub mod message;
pub mod notification;
pub mod peer;
pub mod presence;
pub mod request;
pub mod server;
pub mod source;
pub mod watcher;
pub mod wire;

pub use configuration::ServerOptions;
pub use deadline::{Deadline, PATIENCE};
pub use message::Message;
pub use notification::Notification;
pub use peer::Peer;
pub use presence::Presence;
pub use request::Request;
pub use server::{Over, Server};
pub use source::Source;
pub use watcher::Watcher;
