//! Who may see what: a presentity's rules against one watcher, and what is left of a document by them (RFC 4745, RFC 5025, OMA).
//!
//! One engine decides and explains: a [`Decision`] keeps why, rule by rule, and [`filter`] names what it withholds and for want of what.

mod filter;
mod index;
mod permissions;
mod rules;
mod seen;
mod sphere;

pub use filter::{Withheld, filter};
pub use index::Index;
pub use permissions::Permissions;
pub use rules::{
    Asking, Decision, Document, Fulfilled, Listed, Lists, RuleSaid, decide, decide_by,
};
pub use seen::{Seen, shown};
pub use sphere::sphere;
