//! The commands that are neither server nor client.

pub(crate) mod admin;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod init;
pub(crate) mod ladder;
pub(crate) mod store;

use crate::exit;

/// What a command that is not built yet answers.
pub(crate) fn not_built(what: &str) -> u8 {
    eprintln!("tidings: {what}: not built yet");
    exit::USAGE
}

/// A variable of the environment; an empty one counts as absent.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
