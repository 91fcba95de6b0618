//! One publication as its source sees it (RFC 3903 §4).
//!
//! The machine decides when to PUBLISH, with which entity-tag, with or without a body. One PUBLISH is on its way at a time;
//! what changed meanwhile goes with the next, the newest only.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use machine::happening::{AsValue, Value};
use machine::{Instant, Random};

use crate::back_off::BackOff;

/// How long the removal may take once it is asked for: a person waits at a terminal.
pub const STOP_MAX: Duration = Duration::from_secs(4);
/// Each 423 must ask for more than the one before; a fourth in a row is a refusal.
const INTERVALS_MAX: u8 = 3;

/// Where a publication is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not begun.
    Init,
    /// A PUBLISH is unanswered.
    Publishing,
    /// The newest state is published.
    Published,
    /// Something went wrong; it will be tried again.
    Waiting,
    /// The removal is unanswered.
    Removing,
    /// Over.
    Terminated,
}

/// The fields of a response to PUBLISH that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Response<'a> {
    /// Status code.
    pub status: u16,
    /// SIP-ETag.
    pub entity_tag: Option<&'a str>,
    /// Expires, in seconds.
    pub expires: Option<u32>,
    /// Min-Expires, in seconds.
    pub min_expires: Option<u32>,
    /// Retry-After, in seconds.
    pub retry_after: Option<u32>,
}

/// Why the source has to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nobody answered, or nothing could be sent.
    NoAnswer,
    /// A response said so.
    Status(u16),
    /// It could not be refreshed in time.
    Lapsed,
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Removed, as we wanted.
    Removed,
    /// We wanted it removed and could not learn whether it is; it lapses by itself.
    Abandoned,
    /// The final answer to PUBLISH.
    Refused(u16),
    /// Nobody ever answered.
    NoAnswer,
}

/// What a PUBLISH is for (RFC 3903 §4, table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A body, no SIP-If-Match.
    Initial,
    /// SIP-If-Match, no body.
    Refresh,
    /// SIP-If-Match and a body.
    Modify,
    /// SIP-If-Match, Expires 0.
    Remove,
}

impl AsValue for Operation {
    fn as_value(&self) -> Value<'_> {
        Value::Word(match self {
            Self::Initial => "initial",
            Self::Refresh => "refresh",
            Self::Modify => "modify",
            Self::Remove => "remove",
        })
    }
}

/// What the owner does or shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a PUBLISH.
    Publish {
        /// For what.
        operation: Operation,
        /// SIP-If-Match.
        if_match: Option<String>,
        /// For how many seconds.
        expires: u32,
        /// The body, where the operation has one.
        body: Option<Bytes>,
    },
    /// The PUBLISH was taken.
    Published {
        /// What it did.
        operation: Operation,
        /// SIP-ETag; a server that gives none can't be refreshed, only published to again.
        entity_tag: Option<String>,
        /// For so many seconds.
        expires: u32,
    },
    /// Something went wrong; it will be tried again.
    Again {
        /// What went wrong.
        cause: Cause,
        /// When.
        after: Duration,
    },
    /// Over. Nothing comes after it.
    End(End),
}

/// One source's publication of one resource's state.
#[derive(Debug)]
pub struct Publisher {
    wish: u32,
    phase: Phase,
    body: Bytes,
    /// The body is newer than what was sent last.
    changed: bool,
    /// What the unanswered PUBLISH does, and for how many seconds.
    sent: Option<(Operation, u32)>,
    entity_tag: Option<String>,
    /// The tag came from a person: 412 is her answer, not a reason to publish anew.
    tag_is_given: bool,
    published: bool,
    expires_at: Option<Instant>,
    refresh_at: Option<Instant>,
    retry_at: Option<Instant>,
    stop_at: Option<Instant>,
    intervals: u8,
    back_off: BackOff,
    outputs: VecDeque<Output>,
}

impl Publisher {
    /// Publishes `body` for `expires` seconds at a time.
    pub fn new(expires: u32, body: Bytes, random: Random) -> Self {
        Self {
            wish: expires,
            phase: Phase::Init,
            body,
            changed: true,
            sent: None,
            entity_tag: None,
            tag_is_given: false,
            published: false,
            expires_at: None,
            refresh_at: None,
            retry_at: None,
            stop_at: None,
            intervals: 0,
            back_off: BackOff::new(random),
            outputs: VecDeque::new(),
        }
    }

    /// Goes on with a publication that somebody else made: a wrong tag is refused, not replaced. Without a body: only to
    /// refresh or remove it.
    pub fn with_entity_tag(
        expires: u32,
        entity_tag: &str,
        body: Option<Bytes>,
        random: Random,
    ) -> Self {
        let changed = body.is_some();
        Self {
            entity_tag: Some(entity_tag.to_owned()),
            tag_is_given: true,
            changed,
            ..Self::new(expires, body.unwrap_or_default(), random)
        }
    }

    /// Sends the first PUBLISH.
    pub fn start(&mut self, now: Instant) {
        if self.phase == Phase::Init {
            self.send_next(now);
        }
    }

    /// The state is another now. What is on its way is not called back; the newest follows it.
    pub fn change(&mut self, now: Instant, body: Bytes) {
        if matches!(self.phase, Phase::Removing | Phase::Terminated) || self.stop_at.is_some() {
            return;
        }
        self.body = body;
        self.changed = true;
        if self.phase == Phase::Published {
            self.send_next(now);
        }
    }

    /// A response to the PUBLISH that is on its way.
    pub fn handle_response(&mut self, now: Instant, response: &Response<'_>) {
        if response.status < 200 {
            return;
        }
        let Some((operation, asked)) = self.sent.take() else {
            return;
        };
        if operation == Operation::Remove {
            self.removed(response.status);
            return;
        }
        match response.status {
            200..=299 => self.taken(now, operation, asked, response),
            // RFC 3903 §4: the tag is unknown; what we have is published anew, without one.
            412 if operation != Operation::Initial
                && !self.tag_is_given
                && !self.body.is_empty() =>
            {
                self.forget();
                self.stop_or_send(now);
            }
            423 => self.interval_too_brief(now, operation, asked, response.min_expires),
            // A proxy's 408 says what Timer F says.
            408 if !self.published => self.end(End::NoAnswer),
            408 | 480 | 491 | 500 | 502 | 503 | 504 => {
                self.changed |= has_body(operation);
                self.later(now, Cause::Status(response.status), response.retry_after);
            }
            // 401 and 407 too: whoever has a password has answered them before.
            status => self.end(End::Refused(status)),
        }
    }

    /// Timer F fired, or it could not be sent.
    pub fn handle_no_answer(&mut self, now: Instant) {
        let Some((operation, _)) = self.sent.take() else {
            return;
        };
        if operation == Operation::Remove {
            self.end(if self.stop_at.is_some() {
                End::Abandoned
            } else {
                End::NoAnswer
            });
        } else if !self.published {
            self.end(End::NoAnswer);
        } else {
            // It may have been taken: then the tag is stale, and 412 says so.
            self.changed |= has_body(operation);
            self.later(now, Cause::NoAnswer, None);
        }
    }

    /// Removes the publication, within `STOP_MAX`.
    pub fn stop(&mut self, now: Instant) {
        if self.phase == Phase::Terminated || self.stop_at.is_some() {
            return;
        }
        self.stop_at = Some(now + STOP_MAX);
        if self.sent.is_none() {
            self.stop_or_send(now);
        }
    }

    /// Removes the publication whose tag was given, and nothing else. Instead of `start`.
    pub fn remove(&mut self, now: Instant) {
        if self.phase == Phase::Init && self.entity_tag.is_some() {
            self.send(now, Operation::Remove);
        }
    }

    /// What is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.phase == Phase::Terminated {
        } else if due(self.stop_at) {
            self.end(End::Abandoned);
        } else if due(self.expires_at) {
            // RFC 3903 §4.1: a lapsed tag is of no use.
            self.expires_at = None;
            self.entity_tag = None;
            self.changed = true;
            if self.sent.is_none() && self.retry_at.is_none() {
                self.outputs.push_back(Output::Again {
                    cause: Cause::Lapsed,
                    after: Duration::ZERO,
                });
                self.send_next(now);
            }
        } else if due(self.retry_at) || due(self.refresh_at) {
            self.send_next(now);
        }
    }

    /// When `handle_timeout` should be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.stop_at,
            self.expires_at,
            self.retry_at,
            self.refresh_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What to do next. Call until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Where it is.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    fn send_next(&mut self, now: Instant) {
        let operation = match (&self.entity_tag, self.changed) {
            (None, _) => Operation::Initial,
            (Some(_), true) => Operation::Modify,
            (Some(_), false) => Operation::Refresh,
        };
        self.send(now, operation);
    }

    fn send(&mut self, _now: Instant, operation: Operation) {
        let expires = if operation == Operation::Remove {
            0
        } else {
            self.wish
        };
        let has_body = has_body(operation);
        self.phase = if operation == Operation::Remove {
            Phase::Removing
        } else {
            Phase::Publishing
        };
        self.sent = Some((operation, expires));
        self.changed &= !has_body;
        (self.retry_at, self.refresh_at) = (None, None);
        self.outputs.push_back(Output::Publish {
            operation,
            if_match: self.entity_tag.clone(),
            expires,
            body: has_body.then(|| self.body.clone()),
        });
    }

    fn taken(&mut self, now: Instant, operation: Operation, asked: u32, response: &Response<'_>) {
        // RFC 3903 §4.1: the server may shorten, never lengthen.
        let expires = response.expires.map_or(asked, |granted| granted.min(asked));
        let lasts = Duration::from_secs(u64::from(expires));
        self.phase = Phase::Published;
        self.published = true;
        self.tag_is_given = false;
        self.intervals = 0;
        self.back_off.succeeded();
        self.entity_tag = response.entity_tag.map(ToOwned::to_owned);
        self.expires_at = Some(now + lasts);
        // A server that grants nothing is not asked in a circle.
        let refresh = self
            .back_off
            .refresh_after(lasts)
            .max(Duration::from_millis(500));
        self.refresh_at = Some(now + refresh);
        if lasts < refresh {
            self.expires_at = Some(now + refresh);
        }
        let entity_tag = self.entity_tag.clone();
        self.outputs.push_back(Output::Published {
            operation,
            entity_tag,
            expires,
        });
        if self.stop_at.is_some() || self.changed {
            self.stop_or_send(now);
        }
    }

    fn stop_or_send(&mut self, now: Instant) {
        if self.stop_at.is_none() {
            self.send_next(now);
        } else if self.entity_tag.is_some() {
            self.send(now, Operation::Remove);
        } else {
            // Never published, or no tag to remove it by: what may be there lapses.
            let gone = !self.published || self.expires_at.is_none();
            self.end(if gone { End::Removed } else { End::Abandoned });
        }
    }

    fn removed(&mut self, status: u16) {
        self.end(match status {
            200..=299 => End::Removed,
            // Gone before, by itself or by another: as we wanted, unless a person named the tag.
            412 if !self.tag_is_given => End::Removed,
            400..=499 if self.tag_is_given => End::Refused(status),
            _ => End::Abandoned,
        });
    }

    fn interval_too_brief(
        &mut self,
        now: Instant,
        operation: Operation,
        asked: u32,
        least: Option<u32>,
    ) {
        self.intervals += 1;
        match least {
            Some(least) if least > asked && self.intervals <= INTERVALS_MAX => {
                self.wish = least;
                self.changed |= has_body(operation);
                self.stop_or_send(now);
            }
            _ => self.end(End::Refused(423)),
        }
    }

    fn later(&mut self, now: Instant, cause: Cause, retry_after: Option<u32>) {
        if self.stop_at.is_some() {
            self.stop_or_send(now);
            return;
        }
        let after = self.back_off.failed(retry_after);
        self.phase = Phase::Waiting;
        self.retry_at = Some(now + after);
        self.outputs.push_back(Output::Again { cause, after });
    }

    /// The server doesn't know the tag.
    fn forget(&mut self) {
        self.entity_tag = None;
        self.expires_at = None;
        self.changed = true;
    }

    fn end(&mut self, why: End) {
        (
            self.stop_at,
            self.expires_at,
            self.retry_at,
            self.refresh_at,
        ) = (None, None, None, None);
        self.sent = None;
        self.phase = Phase::Terminated;
        self.outputs.push_back(Output::End(why));
    }
}

const fn has_body(operation: Operation) -> bool {
    matches!(operation, Operation::Initial | Operation::Modify)
}
