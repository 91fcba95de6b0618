//! Answers are values: a refusal carries its status, a reason for people and the header fields that the code demands.

use std::borrow::Cow;

use sip::{Flaw, Name};

/// A request is refused: what the peer is told. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Status code, 400 and above.
    pub status: u16,
    /// Reason phrase; the standard one where empty.
    pub reason: Cow<'static, str>,
    /// Header fields that the code demands: 423 has Min-Expires, 489 Allow-Events, 415 Accept, 420 Unsupported.
    pub fields: Vec<(Name, String)>,
}

impl Rejection {
    /// A refusal with a reason phrase of its own.
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            reason: reason.into(),
            fields: Vec::new(),
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn with(mut self, name: Name, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// 423 (RFC 3903 §6 step 4, RFC 6665 §4.2.1.1).
    pub fn interval_too_brief(min_expires: u32) -> Self {
        Self::new(423, "").with(Name::MinExpires, min_expires.to_string())
    }

    /// 489 (RFC 6665 §4.2.1.1, §8.3.2).
    pub fn bad_event(allow_events: &str) -> Self {
        Self::new(489, "").with(Name::AllowEvents, allow_events)
    }

    /// 503: only when the whole node is overloaded, full or stopping (RFC 3261 §21.5.4).
    pub fn unavailable(why: &'static str, retry_after_seconds: u32) -> Self {
        Self::new(503, why).with(Name::RetryAfter, retry_after_seconds.to_string())
    }
}

impl From<Flaw> for Rejection {
    fn from(flaw: Flaw) -> Self {
        match flaw.header {
            Some(header) => Self::new(flaw.status, format!("{} ({header})", flaw.reason)),
            None => Self::new(flaw.status, flaw.reason),
        }
    }
}
