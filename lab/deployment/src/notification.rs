//! A NOTIFY, taken apart the way a watcher must be able to.

use std::time::Instant;

use crate::message::{Message, parameter};
use crate::presence::Presence;

/// One NOTIFY as received.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The request.
    pub message: Message,
    /// When it was read.
    pub at: Instant,
}

impl Notification {
    /// `active`, `pending` or `terminated`.
    #[track_caller]
    pub fn state(&self) -> &str {
        self.message
            .expect("subscription-state")
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
    }

    /// Why it ended.
    pub fn reason(&self) -> Option<&str> {
        parameter(self.message.header("subscription-state")?, "reason")
    }

    /// Seconds left.
    #[track_caller]
    pub fn expires(&self) -> Option<u32> {
        let value = parameter(self.message.header("subscription-state")?, "expires")?;
        Some(
            value
                .parse()
                .unwrap_or_else(|_| panic!("expires is no number in\n{}", self.message)),
        )
    }

    /// Its number in the dialog.
    pub fn cseq(&self) -> u32 {
        self.message.cseq().0
    }

    /// The document it carries.
    #[track_caller]
    pub fn presence(&self) -> Presence {
        let kind = self.message.expect("content-type");
        assert!(
            kind.starts_with("application/pidf+xml"),
            "Content-Type {kind} in\n{}",
            self.message
        );
        Presence::read(self.message.text())
    }

    /// standards.md C2, C3: what Subscription-State must and must not say; a fresh one bounded by what was `granted`.
    #[track_caller]
    pub fn check_state(&self, granted: u32) {
        match self.state() {
            "active" | "pending" => {
                let expires = self
                    .expires()
                    .unwrap_or_else(|| panic!("no expires in\n{}", self.message));
                assert!(
                    expires <= granted,
                    "{expires} s left of {granted} s:\n{}",
                    self.message
                );
                assert_eq!(
                    self.reason(),
                    None,
                    "a reason without an end:\n{}",
                    self.message
                );
            }
            "terminated" => {
                assert!(
                    self.reason().is_some(),
                    "ended without a reason:\n{}",
                    self.message
                );
                assert_eq!(
                    self.expires(),
                    None,
                    "ended, yet it expires:\n{}",
                    self.message
                );
            }
            other => panic!("Subscription-State {other} in\n{}", self.message),
        }
    }
}
