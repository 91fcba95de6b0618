//! What a command's end says to whoever called it.

use std::process::ExitCode;

/// Done.
pub(crate) const DONE: u8 = 0;
/// Failed while running.
pub(crate) const FAILED: u8 = 1;
/// Bad usage or configuration.
pub(crate) const USAGE: u8 = 2;
/// The peer refused.
#[allow(dead_code, reason = "the clients' commands use it")]
pub(crate) const REFUSED: u8 = 3;
/// Timeout, unreachable, no such host.
pub(crate) const NO_ANSWER: u8 = 4;
/// The store is damaged, newer or in use.
pub(crate) const STORE: u8 = 5;

/// The end of a command.
pub(crate) fn code(code: u8) -> ExitCode {
    ExitCode::from(code)
}
