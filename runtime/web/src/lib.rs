//! HTTP: for operators (is it alive, is it ready, what does it do, reload, drain), and for users their documents (XCAP).
//! Owns: the HTTP listeners, `admin.sock`, the bounds of their connections.
//! Takes: an `Administration` and `Documents` to ask.   Gives: answers, problems as problem+json; a client for the commands.
//! Never: SIP, the store, the configuration file, what a document means.

mod administration;
mod client;
mod documents;
mod routes;
mod server;
mod socket;

pub use administration::{Administration, Page, Refusal};
pub use client::{Answer, Believed, Call, CallError, Target, call, carry_out};
pub use documents::{
    Asked, Claim, Documents, Told, Unidentified, with_documents, with_documents_as,
};
pub use routes::{admin_routes, api_routes, health_routes, metrics_routes, no_routes};
pub use server::{CONNECTIONS_MAX, Listening, listen, serve};
pub use socket::{AdminSocket, SOCKET_NAME};
