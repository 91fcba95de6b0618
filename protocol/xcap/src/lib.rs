//! XCAP as it stands in HTTP (RFC 4825): addresses of documents and nodes, conditions of requests, reports of conflicts.
//! Owns: the grammar of addresses, the form of reports.   Takes: what follows the root of a request's path, its query, header fields.
//! Gives: whose document, which node of it, whether a request may go on, the body of a 409.
//! Never: a document (that is `xdm`), whether a user is known, HTTP itself.

mod address;
mod condition;
mod conflict;
mod selector;

pub use address::{Address, Bad, Tree};
pub use condition::{Condition, Verdict};
pub use conflict::Conflict;

/// The media type of an element (RFC 4825 §15.2.3).
pub const ELEMENT: &str = "application/xcap-el+xml";
/// The media type of an attribute's value (RFC 4825 §15.2.2).
pub const ATTRIBUTE: &str = "application/xcap-att+xml";
/// The media type of namespace bindings (RFC 4825 §15.2.1).
pub const NAMESPACES: &str = "application/xcap-ns+xml";
/// The media type of a report of a conflict (RFC 4825 §15.2.4).
pub const ERROR: &str = "application/xcap-error+xml";
