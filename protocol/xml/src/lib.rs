//! XML as a peer sends it and as we send it: a strict, bounded, namespace-aware reader into an owned tree, its writer, and edits of its source
//! that leave every other byte alone.
//! Owns: well-formedness, namespaces, bounds, prefixes.   Takes: bytes, bounds, a style.
//! Gives: a tree of elements, bytes, or the line and column of what is wrong.
//! Never: a DTD, an entity, a character set other than UTF-8, the meaning of an element (that is `documents`).

mod canonical;
mod lexical;
mod malformed;
mod name;
mod prefixes;
mod reader;
mod scope;
mod selector;
mod splice;
mod tree;
mod writer;

pub use canonical::canonical;
pub use lexical::{is_ncname, unescape};
pub use malformed::{Flaw, Malformed};
pub use name::{Name, Namespace, XML};
pub use reader::{Bounds, read};
pub use selector::{Selector, Step, Terminal};
pub use splice::{Found, Insertion, Refused, Source};
pub use tree::{Attribute, Element, Mention, Node};
pub use writer::{Style, write};
