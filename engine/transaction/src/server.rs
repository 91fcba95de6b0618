//! Server transactions. Where the response itself is kept is the owner's business; `ServerTransactions` keeps it as bytes.

use std::time::Duration;

use machine::Instant;

use crate::timers::{T1, T1_64, T2, T4, TRYING_AFTER, doubled};

/// What a deadline of a server transaction brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerDue {
    /// Nothing yet: asked too early.
    Nothing,
    /// RFC 4320 §4.1: no answer for as long as a client's Timer E takes to reach T2; a 100 goes now.
    Trying,
    /// Timer G: send the same response to the INVITE again.
    Retransmit,
    /// Timer H: the failure response to the INVITE was never acknowledged. The transaction is over; tell the owner.
    TimedOut,
    /// The transaction has absorbed what it had to (or was never answered while anyone listened), and is over.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

/// RFC 3261 §17.2.2, figure 8: Timer J, and RFC 4320's 100. It never makes a 408 (RFC 4320 §4.2): an answer that is not
/// given within 64·T1 finds nobody, so the transaction just ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonInviteServer {
    /// When it began; once completed, when it was answered.
    since: Instant,
    reliable: bool,
    state: State,
}

impl NonInviteServer {
    /// A request came that matches no transaction.
    pub const fn start(now: Instant, reliable: bool) -> Self {
        Self {
            since: now,
            reliable,
            state: State::Trying,
        }
    }

    /// The owner sends a response. `false`: it must not leave (over, or a final response has left before).
    pub fn respond(&mut self, now: Instant, status: u16) -> bool {
        match (self.state, status) {
            // RFC 4320 §4.1: no provisional response but 100, and over an unreliable transport not before its time.
            (State::Trying, 100..=199)
                if status == 100 && (self.reliable || now >= self.since + TRYING_AFTER) =>
            {
                self.state = State::Proceeding;
                true
            }
            (State::Trying | State::Proceeding, 200..) => {
                // Timer J is 0 over reliable transports: nothing is retransmitted there.
                self.state = if self.reliable {
                    State::Terminated
                } else {
                    State::Completed
                };
                self.since = now;
                true
            }
            _ => false,
        }
    }

    /// The request came again: whether the last response is sent again.
    pub const fn handle_retransmission(&self) -> bool {
        matches!(self.state, State::Proceeding | State::Completed)
    }

    /// What is due now. Call again until `Nothing`, or until the transaction is over.
    pub fn handle_timeout(&mut self, now: Instant) -> ServerDue {
        match self.state {
            State::Trying | State::Proceeding | State::Completed if now >= self.since + T1_64 => {
                self.state = State::Terminated;
                ServerDue::Ended
            }
            State::Trying if now >= self.since + TRYING_AFTER => {
                // The owner sends it at once; should it be unable to, the next deadline is the end.
                self.state = State::Proceeding;
                ServerDue::Trying
            }
            _ => ServerDue::Nothing,
        }
    }

    /// When `handle_timeout` should be called; `None` when the transaction is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Trying => Some(self.since + TRYING_AFTER),
            State::Proceeding | State::Completed => Some(self.since + T1_64),
            State::Terminated => None,
        }
    }

    /// When it ends if nothing more happens; `None` when it is over.
    pub(crate) fn end(&self) -> Option<Instant> {
        self.poll_timeout().map(|_| self.since + T1_64)
    }

    /// Whether a final response has left.
    pub const fn is_answered(&self) -> bool {
        matches!(self.state, State::Completed | State::Terminated)
    }

    /// Whether nothing will happen any more.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

/// What an INVITE or an ACK that matches the transaction brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteArrival {
    /// Send the last response again.
    Replay,
    /// Nothing goes out, nobody is told.
    Absorbed,
    /// An ACK to a 2xx: the owner's, not the transaction's (RFC 6026 §7.1).
    ForOwner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InviteState {
    Proceeding,
    Accepted,
    Completed,
    Confirmed,
    Terminated,
}

/// RFC 3261 §17.2.1 as RFC 6026 §8.5 corrects it: Timers G, H, I and L.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteServer {
    retransmit: Instant,
    end: Instant,
    interval_ms: u16,
    reliable: bool,
    provisional: bool,
    state: InviteState,
}

impl InviteServer {
    /// An INVITE came that matches no transaction. No timer runs until it is answered: the owner sets a bound of its own.
    pub const fn start(now: Instant, reliable: bool) -> Self {
        Self {
            retransmit: now,
            end: now,
            interval_ms: 0,
            reliable,
            provisional: false,
            state: InviteState::Proceeding,
        }
    }

    /// The owner sends a response. `false`: it must not leave.
    pub fn respond(&mut self, now: Instant, status: u16) -> bool {
        match (self.state, status) {
            (InviteState::Proceeding, 100..=199) => {
                self.provisional = true;
                true
            }
            (InviteState::Proceeding, 200..=299) => {
                self.state = InviteState::Accepted;
                self.end = now + T1_64; // Timer L
                true
            }
            // RFC 6026 §7.1: the owner retransmits its 2xx itself.
            (InviteState::Accepted, 200..=299) => true,
            (InviteState::Proceeding, 300..) => {
                self.state = InviteState::Completed;
                self.end = now + T1_64; // Timer H
                self.interval_ms = 500;
                self.retransmit = now + T1; // Timer G
                true
            }
            _ => false,
        }
    }

    /// The INVITE came again.
    pub const fn handle_retransmission(&self) -> InviteArrival {
        match self.state {
            InviteState::Proceeding if self.provisional => InviteArrival::Replay,
            InviteState::Completed => InviteArrival::Replay,
            _ => InviteArrival::Absorbed,
        }
    }

    /// An ACK came that matches.
    pub fn handle_ack(&mut self, now: Instant) -> InviteArrival {
        match self.state {
            InviteState::Completed => {
                self.state = if self.reliable {
                    InviteState::Terminated
                } else {
                    InviteState::Confirmed
                };
                self.end = now + T4; // Timer I
                InviteArrival::Absorbed
            }
            InviteState::Accepted => InviteArrival::ForOwner,
            _ => InviteArrival::Absorbed,
        }
    }

    /// What is due now. Call again until `Nothing`, or until the transaction is over.
    pub fn handle_timeout(&mut self, now: Instant) -> ServerDue {
        match self.state {
            InviteState::Completed if now >= self.end => {
                self.state = InviteState::Terminated;
                ServerDue::TimedOut
            }
            InviteState::Completed if !self.reliable && now >= self.retransmit => {
                let interval = doubled(Duration::from_millis(u64::from(self.interval_ms)), T2);
                self.interval_ms = u16::try_from(interval.as_millis()).unwrap_or(u16::MAX);
                self.retransmit = now + interval;
                ServerDue::Retransmit
            }
            InviteState::Accepted | InviteState::Confirmed if now >= self.end => {
                self.state = InviteState::Terminated;
                ServerDue::Ended
            }
            _ => ServerDue::Nothing,
        }
    }

    /// When `handle_timeout` should be called; `None` when no timer runs or all is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            InviteState::Completed if !self.reliable => Some(self.retransmit.min(self.end)),
            InviteState::Completed | InviteState::Accepted | InviteState::Confirmed => {
                Some(self.end)
            }
            InviteState::Proceeding | InviteState::Terminated => None,
        }
    }

    /// Whether nothing will happen any more.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, InviteState::Terminated)
    }
}
