//! Documents that users keep (RFC 4825): what a request does to one, by the rules of its application usage.
//! Owns: the application usages, the rules of insertion and deletion.   Takes: a request, the document as it is, bounds.
//! Gives: an answer, and the document as it is to be stored.
//! Never: where documents are stored, who asks and whether she may, HTTP.

mod answer;
mod directory;
mod operations;
pub mod usages;

pub use answer::{Answer, Change};
pub use directory::{Entry, directory};
pub use operations::{Bounds, Method, Request, Stored, handle};
