//! Client transactions. The owner keeps the request (or recomposes it) and sends it when `start` returns.

use std::time::Duration;

use machine::Instant;

use crate::timers::{T1, T1_64, T2, T4, TIMER_D, doubled};

/// What a deadline of a client transaction brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientDue {
    /// Nothing yet: asked too early.
    Nothing,
    /// Send the same request again.
    Retransmit,
    /// Timer F (or B): no final response came. The transaction is over; counts as 408.
    TimedOut,
    /// The transaction has absorbed what it had to, and is over.
    Ended,
}

/// What a response to a non-INVITE request means to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// 1xx: the server works on it.
    Provisional,
    /// The final response. No other will be told.
    Final,
    /// A retransmission, or too late: nobody is told.
    Absorbed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

/// RFC 3261 §17.1.2, figure 6: Timers E, F and K.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonInviteClient {
    /// Timer E; unused once completed and over reliable transports.
    retransmit: Instant,
    /// Timer F, then Timer K.
    end: Instant,
    interval_ms: u16,
    reliable: bool,
    state: State,
}

impl NonInviteClient {
    /// The request leaves now.
    pub fn start(now: Instant, reliable: bool) -> Self {
        Self {
            retransmit: now + T1,
            end: now + T1_64,
            interval_ms: millis(T1),
            reliable,
            state: State::Trying,
        }
    }

    /// A response with our branch and the method of our request arrived.
    pub fn handle_response(&mut self, now: Instant, status: u16) -> Told {
        match (self.state, status) {
            (State::Trying | State::Proceeding, 100..=199) => {
                // §17.1.2.2: Timer E goes on as it was set; from its next firing on it is T2.
                self.state = State::Proceeding;
                Told::Provisional
            }
            (State::Trying | State::Proceeding, _) => {
                self.state = if self.reliable {
                    State::Terminated
                } else {
                    State::Completed
                };
                // Timer K: retransmitted responses are absorbed for T4; a reliable transport has none.
                self.end = now + T4;
                Told::Final
            }
            (State::Completed | State::Terminated, _) => Told::Absorbed,
        }
    }

    /// The request could not be sent, or its connection is gone: over, counts as 503 (§8.1.3.1). `false`: a final
    /// response had come before, and nobody needs to know.
    pub fn handle_transport_failure(&mut self) -> bool {
        let open = matches!(self.state, State::Trying | State::Proceeding);
        if open {
            self.state = State::Terminated;
        }
        open
    }

    /// What is due now. Call again until `Nothing`, or until the transaction is over.
    pub fn handle_timeout(&mut self, now: Instant) -> ClientDue {
        match self.state {
            State::Terminated => ClientDue::Nothing,
            State::Completed if now >= self.end => {
                self.state = State::Terminated;
                ClientDue::Ended
            }
            State::Trying | State::Proceeding if now >= self.end => {
                self.state = State::Terminated;
                ClientDue::TimedOut
            }
            State::Trying | State::Proceeding if !self.reliable && now >= self.retransmit => {
                let interval = if self.state == State::Proceeding {
                    T2
                } else {
                    doubled(Duration::from_millis(u64::from(self.interval_ms)), T2)
                };
                self.interval_ms = millis(interval);
                self.retransmit = now + interval;
                ClientDue::Retransmit
            }
            _ => ClientDue::Nothing,
        }
    }

    /// When `handle_timeout` should be called; `None` when the transaction is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Trying | State::Proceeding if !self.reliable => {
                Some(self.retransmit.min(self.end))
            }
            State::Terminated => None,
            _ => Some(self.end),
        }
    }

    /// Whether the owner still waits for a final response.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Trying | State::Proceeding)
    }

    /// Whether nothing will happen any more.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

/// Intervals never exceed T2 = 4000 ms.
fn millis(interval: Duration) -> u16 {
    u16::try_from(interval.as_millis()).unwrap_or(u16::MAX)
}

/// What a response to an INVITE means to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteTold {
    /// 1xx: the request is not retransmitted any more.
    Provisional,
    /// 2xx, told each time one comes: the owner acknowledges each (RFC 6026 §7.2).
    Success,
    /// 300–699: tell once, and send the ACK of this transaction (§17.1.1.3).
    Failure,
    /// The failure again: send the ACK again, tell nobody.
    AcknowledgeAgain,
    /// Too late: nobody is told.
    Absorbed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InviteState {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

/// RFC 3261 §17.1.1 as RFC 6026 §8.4 corrects it: Timers A, B, D and M.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteClient {
    retransmit: Instant,
    end: Instant,
    interval_ms: u16,
    reliable: bool,
    state: InviteState,
}

impl InviteClient {
    /// The INVITE leaves now.
    pub fn start(now: Instant, reliable: bool) -> Self {
        Self {
            retransmit: now + T1,
            end: now + T1_64,
            interval_ms: millis(T1),
            reliable,
            state: InviteState::Calling,
        }
    }

    /// A response with our branch and CSeq method INVITE arrived.
    pub fn handle_response(&mut self, now: Instant, status: u16) -> InviteTold {
        use InviteState::{Accepted, Calling, Completed, Proceeding, Terminated};
        match (self.state, status) {
            (Calling | Proceeding, 100..=199) => {
                self.state = Proceeding;
                InviteTold::Provisional
            }
            (Calling | Proceeding, 200..=299) => {
                // RFC 6026 §8.4: Timer M, whatever the transport, since forks may answer too.
                self.state = Accepted;
                self.end = now + T1_64;
                InviteTold::Success
            }
            (Calling | Proceeding, _) => {
                self.state = if self.reliable { Terminated } else { Completed };
                self.end = now + TIMER_D;
                InviteTold::Failure
            }
            (Accepted, 200..=299) => InviteTold::Success,
            (Completed, 300..=699) => InviteTold::AcknowledgeAgain,
            (Accepted | Completed | Terminated, _) => InviteTold::Absorbed,
        }
    }

    /// The INVITE or its ACK could not be sent. `true`: the owner is told. In Accepted it means nothing (RFC 6026 §8.4).
    pub fn handle_transport_failure(&mut self) -> bool {
        let told = matches!(
            self.state,
            InviteState::Calling | InviteState::Proceeding | InviteState::Completed
        );
        if told {
            self.state = InviteState::Terminated;
        }
        told
    }

    /// What is due now. Call again until `Nothing`, or until the transaction is over.
    pub fn handle_timeout(&mut self, now: Instant) -> ClientDue {
        use InviteState::{Accepted, Calling, Completed, Proceeding, Terminated};
        match self.state {
            Calling if now >= self.end => {
                self.state = Terminated;
                ClientDue::TimedOut
            }
            Calling if !self.reliable && now >= self.retransmit => {
                // Timer A doubles without a cap; Timer B ends it.
                let interval = doubled(Duration::from_millis(u64::from(self.interval_ms)), T1_64);
                self.interval_ms = millis(interval);
                self.retransmit = now + interval;
                ClientDue::Retransmit
            }
            Completed | Accepted if now >= self.end => {
                self.state = Terminated;
                ClientDue::Ended
            }
            Calling | Proceeding | Completed | Accepted | Terminated => ClientDue::Nothing,
        }
    }

    /// When `handle_timeout` should be called; `None` when no timer runs (Proceeding waits for people) or all is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            InviteState::Calling if !self.reliable => Some(self.retransmit.min(self.end)),
            InviteState::Proceeding | InviteState::Terminated => None,
            _ => Some(self.end),
        }
    }

    /// Whether nothing will happen any more.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, InviteState::Terminated)
    }
}
