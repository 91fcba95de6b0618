//! HTTP for operators: is it alive, is it ready, what does it do, reload, drain.
//! Owns: the HTTP listeners, `admin.sock`, the bounds of their connections.
//! Takes: an `Administration` to ask.   Gives: answers in JSON, problems as problem+json; a client for the commands.
//! Never: SIP, the store, the configuration file.

mod administration;
mod client;
mod routes;
mod server;
mod socket;

pub use administration::{Administration, Refusal};
pub use client::{Answer, CallError, Target, call};
pub use routes::{admin_routes, health_routes};
pub use server::{CONNECTIONS_MAX, Listening, listen, serve};
pub use socket::{AdminSocket, SOCKET_NAME};
