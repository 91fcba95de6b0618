//! The configuration file: read, checked, explained.
//! Owns: the table of every key there is, what each means, its default and its bounds.
//! Takes: a TOML file (or none: the demo) and what flags and environment say instead.
//! Gives: a `Configuration` in force, or every problem with its line and what would be right.
//! Never: sockets, the network, the clock, a change to any file.

mod address;
mod configuration;
mod demo;
mod document;
mod entries;
mod initial;
mod keys;
mod limits;
mod nearest;
mod problems;
mod reader;
mod walk;

pub use configuration::{
    Commit, Configuration, Durability, HttpBind, Identities, Log, LogFormat, LogLevel, Named, Pair,
    Role, Secure, Serves, SipBind, Tls, VerifyClient,
};
pub use demo::Overrides;
pub use entries::{Changes, Entry, Origin};
pub use initial::initial;
pub use problems::{Problem, Problems, Severity};
pub use reader::{Reading, data_folder, names_of, read, read_text};
