//! What a presence document means: the `presence` event package (RFC 3856) and how several sources become one document.
//! Owns: the rules of composition, the neutral document, which ids a composition has.   Takes: published documents, when they came.
//! Gives: one document valid by the schemas, or why a document is refused.
//! Never: publications, subscriptions, who may see what, the time of day (it comes as an argument).

pub mod authorization;
pub mod composition;
pub mod package;

mod component;
mod ids;
mod services;

pub use package::PRESENCE;
