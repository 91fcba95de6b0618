//! A watcher's subscription as the watcher sees it (RFC 6665 §4.1).
//!
//! The machine decides when to SUBSCRIBE, for how long, in which dialog, and what a response or a NOTIFY means. Messages,
//! tags and routes are the owner's; a dialog number that was not seen before asks for a new Call-ID and From tag.

use std::collections::VecDeque;
use std::time::Duration;

use machine::{Instant, Random};
use sip::SubscriptionState;
use transaction::timers::T1_64;

use crate::back_off::BackOff;

/// How long the end may take once it is asked for: a person waits at a terminal.
pub const STOP_MAX: Duration = Duration::from_secs(4);
/// A dialog that lived shorter is not begun anew at once: a peer that ends each would be asked without end.
const LIVED_MIN: Duration = Duration::from_secs(30);
/// Each 423 must ask for more than the one before; a fourth in a row is a refusal.
const INTERVALS_MAX: u8 = 3;

/// Where a subscription is (RFC 6665 §4.1.2, figure 1), with the wait between two dialogs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not begun.
    Init,
    /// SUBSCRIBE sent, no NOTIFY yet.
    NotifyWait,
    /// Installed; nobody has decided yet whether we may see.
    Pending,
    /// Installed, and we see.
    Active,
    /// No dialog; a new one will be tried.
    Waiting,
    /// Over.
    Terminated,
}

/// The fields of a response to SUBSCRIBE that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Response<'a> {
    /// Status code.
    pub status: u16,
    /// Tag of To.
    pub remote_tag: Option<&'a str>,
    /// Expires, in seconds.
    pub expires: Option<u32>,
    /// Min-Expires, in seconds.
    pub min_expires: Option<u32>,
    /// Retry-After, in seconds.
    pub retry_after: Option<u32>,
}

/// The fields of a NOTIFY with our Call-ID, From tag and Event that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify<'a> {
    /// Tag of From.
    pub remote_tag: Option<&'a str>,
    /// Number of CSeq.
    pub cseq: u32,
    /// Subscription-State.
    pub state: Option<SubscriptionState<'a>>,
}

/// How a NOTIFY is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200, and its body is news.
    Accept,
    /// 200, but it has been seen before.
    Repeated,
    /// This status; nothing changed.
    Reject(u16),
}

/// Why the watcher has to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nobody answered, or nothing could be sent.
    NoAnswer,
    /// 2xx, but no NOTIFY within Timer N.
    NoNotify,
    /// A response said so.
    Status(u16),
    /// A NOTIFY ended the subscription for this reason; empty: none was given.
    Reason(String),
    /// It could not be refreshed in time.
    Lapsed,
}

/// Why it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// We wanted it to end.
    Stopped,
    /// A fetch has its answer.
    Fetched,
    /// The final answer to SUBSCRIBE.
    Refused(u16),
    /// A NOTIFY ended it for good, for this reason.
    Terminated(String),
    /// Nobody ever answered.
    NoAnswer,
    /// 2xx, but never a NOTIFY.
    NoNotify,
}

/// What the owner does or shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a SUBSCRIBE. In a dialog not yet seen: a new Call-ID and From tag, no To tag, CSeq from the start.
    Subscribe {
        /// Which dialog.
        dialog: u32,
        /// For how many seconds; 0 ends it, or fetches.
        expires: u32,
    },
    /// Installed or refreshed; pending or active, for so many seconds. Only told when pending became active, active
    /// pending, or a dialog began.
    State {
        /// `Pending` or `Active`.
        phase: Phase,
        /// Seconds left.
        expires: u32,
    },
    /// Something went wrong; it will be tried again.
    Again {
        /// What went wrong.
        cause: Cause,
        /// When.
        after: Duration,
        /// Whether the dialog is lost: documents will come by a new one.
        anew: bool,
    },
    /// Over. Nothing comes after it.
    End(End),
}

/// One subscription to one resource, through as many dialogs as it takes.
#[derive(Debug)]
pub struct Subscriber {
    /// Seconds to ask for; a 423 may raise it.
    wish: u32,
    fetch: bool,
    phase: Phase,
    dialog: u32,
    dialog_began: Instant,
    remote_tag: Option<String>,
    /// A NOTIFY has named the remote tag, not only a 2xx.
    tag_is_certain: bool,
    remote_cseq: Option<u32>,
    /// Seconds that the unanswered SUBSCRIBE asks for.
    asked: Option<u32>,
    /// When the NOTIFYs since the last SUBSCRIBE say that it ends.
    notified_end: Option<Instant>,
    /// A NOTIFY came since the last SUBSCRIBE.
    heard: bool,
    timer_n: Option<Instant>,
    expires_at: Option<Instant>,
    /// Next SUBSCRIBE in this dialog.
    refresh_at: Option<Instant>,
    /// First SUBSCRIBE of the next dialog.
    retry_at: Option<Instant>,
    stop_at: Option<Instant>,
    end_sent: bool,
    /// A NOTIFY was accepted at least once: from then on trouble is waited out.
    established: bool,
    intervals: u8,
    back_off: BackOff,
    outputs: VecDeque<Output>,
}

impl Subscriber {
    /// For `expires` seconds at a time; 0 fetches once.
    pub fn new(expires: u32, random: Random) -> Self {
        Self {
            wish: expires,
            fetch: expires == 0,
            phase: Phase::Init,
            dialog: 0,
            dialog_began: Instant::ZERO,
            remote_tag: None,
            tag_is_certain: false,
            remote_cseq: None,
            asked: None,
            notified_end: None,
            heard: false,
            timer_n: None,
            expires_at: None,
            refresh_at: None,
            retry_at: None,
            stop_at: None,
            end_sent: false,
            established: false,
            intervals: 0,
            back_off: BackOff::new(random),
            outputs: VecDeque::new(),
        }
    }

    /// Sends the first SUBSCRIBE.
    pub fn start(&mut self, now: Instant) {
        if self.phase == Phase::Init {
            self.begin_dialog(now);
        }
    }

    /// A final or provisional response to the SUBSCRIBE of `dialog`.
    pub fn handle_response(&mut self, now: Instant, dialog: u32, response: &Response<'_>) {
        let Some(asked) = self
            .asked
            .filter(|_| dialog == self.dialog && response.status >= 200)
        else {
            return;
        };
        self.asked = None;
        if self.fetch && self.heard {
            self.end(End::Fetched);
            return;
        }
        match verdict(response.status, self.remote_tag.is_some()) {
            Verdict::Granted => self.granted(now, asked, response),
            // Our own end: whatever refuses it has ended it.
            _ if self.end_sent => self.end(End::Stopped),
            Verdict::Interval => self.interval_too_brief(now, asked, response.min_expires),
            Verdict::Refused => self.end(End::Refused(response.status)),
            Verdict::Anew => self.begin_anew(now, Cause::Status(response.status), None, true),
            Verdict::Later => self.later(
                now,
                Cause::Status(response.status),
                response.retry_after,
                false,
            ),
            Verdict::LaterAnew => self.later(
                now,
                Cause::Status(response.status),
                response.retry_after,
                true,
            ),
        }
    }

    /// Timer F fired for the SUBSCRIBE of `dialog`, or it could not be sent.
    pub fn handle_no_answer(&mut self, now: Instant, dialog: u32) {
        let Some(asked) = self.asked.filter(|_| dialog == self.dialog) else {
            return;
        };
        self.asked = None;
        if self.end_sent {
            self.end(End::Stopped);
        } else if self.fetch && self.heard {
            self.end(End::Fetched);
        } else if self.heard {
            // RFC 6665 §4.1.2.4: a NOTIFY installs the subscription; its 2xx was lost.
            self.granted(
                now,
                asked,
                &Response {
                    status: 200,
                    ..Response::default()
                },
            );
        } else {
            self.later(now, Cause::NoAnswer, None, false);
        }
    }

    /// A NOTIFY that is ours by Call-ID, To tag and Event. It may come before the 2xx (RFC 6665 §4.4.1).
    pub fn handle_notify(&mut self, now: Instant, notify: &Notify<'_>) -> Answer {
        let listens = matches!(
            self.phase,
            Phase::NotifyWait | Phase::Pending | Phase::Active
        );
        if !listens || self.fetch && self.heard {
            return Answer::Reject(481);
        }
        // RFC 6665 §8.2.3: NOTIFY without Subscription-State, or from nowhere, can't be understood.
        let (Some(state), Some(tag)) = (notify.state, notify.remote_tag) else {
            return Answer::Reject(400);
        };
        if self.tag_is_certain && self.remote_tag.as_deref() != Some(tag) {
            // RFC 3856 §6.9: a fork's second dialog is not wanted.
            return Answer::Reject(481);
        }
        match self.remote_cseq {
            // RFC 3261 §12.2.2.
            Some(last) if self.tag_is_certain && notify.cseq < last => return Answer::Reject(500),
            Some(last) if self.tag_is_certain && notify.cseq == last => return Answer::Repeated,
            _ => {}
        }
        self.remote_tag = Some(tag.to_owned());
        self.tag_is_certain = true;
        self.remote_cseq = Some(notify.cseq);
        self.heard = true;
        self.timer_n = None;
        self.established = true;
        if self.fetch {
            // Terminated or not: a notifier that calls a fetch active has nevertheless said what there is. Should it
            // have overtaken the 2xx, that is waited for: 202 or 200 tells what the document is worth.
            if self.asked.is_none() {
                self.end(End::Fetched);
            }
        } else if state.state.eq_ignore_ascii_case("terminated") {
            self.terminated(now, state.reason.unwrap_or_default(), state.retry_after);
        } else {
            self.notified(now, &state);
        }
        Answer::Accept
    }

    /// The whole state is wanted again now. Where a SUBSCRIBE waits for its answer, or no dialog is there, it is about to come anyway.
    pub fn refresh(&mut self, now: Instant) {
        if self.is_installed() && self.asked.is_none() && self.stop_at.is_none() {
            self.refresh_at = None;
            self.send(now, self.wish);
        }
    }

    /// Ends the subscription: at once where there is none, else by a SUBSCRIBE with Expires 0 and its NOTIFY, within
    /// `STOP_MAX`.
    pub fn stop(&mut self, now: Instant) {
        if self.phase == Phase::Terminated || self.stop_at.is_some() {
            return;
        }
        if self.fetch || matches!(self.phase, Phase::Init | Phase::Waiting) {
            self.end(End::Stopped);
            return;
        }
        self.stop_at = Some(now + STOP_MAX);
        if self.asked.is_none() && self.remote_tag.is_some() {
            self.send_end(now);
        }
    }

    /// What is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.phase == Phase::Terminated {
        } else if due(self.stop_at) {
            self.end(End::Stopped);
        } else if due(self.timer_n) {
            self.timer_n = None;
            self.no_notify(now);
        } else if due(self.expires_at) {
            self.begin_anew(now, Cause::Lapsed, None, true);
        } else if due(self.retry_at) {
            self.retry_at = None;
            self.begin_dialog(now);
        } else if due(self.refresh_at) {
            self.refresh_at = None;
            self.send(now, self.wish);
        }
    }

    /// When `handle_timeout` should be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = [
            self.stop_at,
            self.timer_n,
            self.expires_at,
            self.retry_at,
            self.refresh_at,
        ];
        timers.into_iter().flatten().min()
    }

    /// What to do next. Call until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Where it is.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The dialog in use, or the one tried last.
    pub const fn dialog(&self) -> u32 {
        self.dialog
    }

    /// The peer's tag in that dialog.
    pub fn remote_tag(&self) -> Option<&str> {
        self.remote_tag.as_deref()
    }

    const fn is_installed(&self) -> bool {
        matches!(self.phase, Phase::Pending | Phase::Active)
    }

    fn begin_dialog(&mut self, now: Instant) {
        self.phase = Phase::NotifyWait;
        self.dialog = self.dialog.wrapping_add(1);
        self.dialog_began = now;
        self.send(now, self.wish);
    }

    fn send(&mut self, now: Instant, expires: u32) {
        self.asked = Some(expires);
        self.heard = false;
        self.notified_end = None;
        // RFC 6665 §4.1.2.4: Timer N is set by every SUBSCRIBE; it stands for the newest alone.
        self.timer_n = Some(now + T1_64);
        self.outputs.push_back(Output::Subscribe {
            dialog: self.dialog,
            expires,
        });
    }

    fn send_end(&mut self, now: Instant) {
        self.end_sent = true;
        self.refresh_at = None;
        self.expires_at = None;
        self.send(now, 0);
    }

    fn granted(&mut self, now: Instant, asked: u32, response: &Response<'_>) {
        self.intervals = 0;
        if let (Some(tag), None) = (response.remote_tag, &self.remote_tag) {
            self.remote_tag = Some(tag.to_owned());
        }
        if !self.heard && self.timer_n.is_none() {
            // The request was sent again by another transport: its 2xx came after Timer N, its NOTIFY may yet.
            self.timer_n = Some(now + T1_64);
        }
        if self.fetch || self.end_sent {
            return; // Its NOTIFY ends it.
        }
        if self.stop_at.is_some() {
            self.send_end(now);
            return;
        }
        if now.since(self.dialog_began) >= LIVED_MIN {
            self.back_off.succeeded();
        }
        // RFC 6665 §4.1.2.1: the notifier may shorten, never lengthen; of 2xx and NOTIFY the shorter wins.
        let lasts = Duration::from_secs(u64::from(
            response.expires.map_or(asked, |granted| granted.min(asked)),
        ));
        let end = (now + lasts).min(self.notified_end.unwrap_or(now + lasts));
        self.expires_at = Some(end);
        self.refresh_at = Some(now + self.back_off.refresh_after(end.since(now)));
    }

    fn interval_too_brief(&mut self, now: Instant, asked: u32, least: Option<u32>) {
        self.intervals += 1;
        match least {
            Some(least) if least > asked && !self.fetch && self.intervals <= INTERVALS_MAX => {
                self.wish = least;
                self.send(now, least);
            }
            _ => self.end(End::Refused(423)),
        }
    }

    fn notified(&mut self, now: Instant, state: &SubscriptionState<'_>) {
        let phase = if state.state.eq_ignore_ascii_case("pending") {
            Phase::Pending
        } else {
            Phase::Active
        };
        if let Some(seconds) = state.expires.filter(|_| !self.end_sent) {
            let end = now + Duration::from_secs(u64::from(seconds));
            if self.asked.is_some() {
                self.notified_end = Some(end);
            } else if self.expires_at.is_none_or(|before| end < before) {
                self.expires_at = Some(end);
                let refresh = now + self.back_off.refresh_after(end.since(now));
                self.refresh_at = Some(
                    self.refresh_at
                        .map_or(refresh, |before| before.min(refresh)),
                );
            }
        }
        if self.phase != phase {
            self.phase = phase;
            let expires = state.expires.unwrap_or_else(|| self.seconds_left(now));
            self.outputs.push_back(Output::State { phase, expires });
        }
        if self.stop_at.is_some() && !self.end_sent && self.asked.is_none() {
            self.send_end(now);
        }
    }

    fn seconds_left(&self, now: Instant) -> u32 {
        self.expires_at.map_or(self.wish, |end| {
            u32::try_from(end.since(now).as_secs()).unwrap_or(u32::MAX)
        })
    }

    /// RFC 6665 §4.1.3: what each reason asks of a watcher.
    fn terminated(&mut self, now: Instant, reason: &str, retry_after: Option<u32>) {
        if self.stop_at.is_some() {
            self.end(End::Stopped);
            return;
        }
        let cause = Cause::Reason(reason.to_owned());
        match after_termination(reason) {
            AfterTermination::Never => self.end(End::Terminated(reason.to_owned())),
            AfterTermination::AtOnce => self.begin_anew(now, cause, None, true),
            AfterTermination::AtOnceOrAfter => {
                self.begin_anew(now, cause, retry_after, retry_after.is_none())
            }
            AfterTermination::Later => self.begin_anew(now, cause, retry_after, false),
        }
    }

    fn no_notify(&mut self, now: Instant) {
        if self.asked.is_some() {
            // The SUBSCRIBE itself is unanswered: Timer F of its transaction says so, at this very moment or later.
            return;
        }
        if self.end_sent {
            self.end(End::Stopped);
        } else if self.fetch || !self.established {
            self.end(End::NoNotify);
        } else {
            self.begin_anew(now, Cause::NoNotify, None, true);
        }
    }

    /// A passing failure: again in the same dialog while it lives, else in a new one.
    fn later(
        &mut self,
        now: Instant,
        cause: Cause,
        retry_after: Option<u32>,
        dialog_is_gone: bool,
    ) {
        if self.stop_at.is_some() {
            self.end(End::Stopped);
        } else if !self.established && matches!(cause, Cause::NoAnswer | Cause::Status(408)) {
            self.end(End::NoAnswer);
        } else if let (true, Cause::Status(status)) = (self.fetch, &cause) {
            self.end(End::Refused(*status));
        } else if dialog_is_gone || !self.is_installed() {
            self.begin_anew(now, cause, retry_after, false);
        } else {
            self.timer_n = None;
            let after = self.back_off.failed(retry_after);
            self.refresh_at = Some(now + after);
            self.outputs.push_back(Output::Again {
                cause,
                after,
                anew: false,
            });
        }
    }

    fn begin_anew(&mut self, now: Instant, cause: Cause, retry_after: Option<u32>, at_once: bool) {
        self.leave_dialog();
        if self.stop_at.is_some() {
            self.end(End::Stopped);
            return;
        }
        if now.since(self.dialog_began) >= LIVED_MIN
            && matches!(
                cause,
                Cause::Reason(_) | Cause::NoNotify | Cause::Status(481)
            )
        {
            self.back_off.succeeded();
        }
        let after = match retry_after {
            None if at_once && self.back_off.is_fresh() => self.back_off.failed_at_once(),
            retry_after => self.back_off.failed(retry_after),
        };
        self.phase = Phase::Waiting;
        self.outputs.push_back(Output::Again {
            cause,
            after,
            anew: true,
        });
        if after.is_zero() {
            self.begin_dialog(now);
        } else {
            self.retry_at = Some(now + after);
        }
    }

    fn leave_dialog(&mut self) {
        self.remote_tag = None;
        self.tag_is_certain = false;
        self.remote_cseq = None;
        self.asked = None;
        self.notified_end = None;
        self.heard = false;
        self.intervals = 0;
        (
            self.timer_n,
            self.expires_at,
            self.refresh_at,
            self.retry_at,
        ) = (None, None, None, None);
    }

    fn end(&mut self, why: End) {
        self.leave_dialog();
        self.stop_at = None;
        self.phase = Phase::Terminated;
        self.outputs.push_back(Output::End(why));
    }
}

/// What a final response to SUBSCRIBE means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Granted,
    /// 423: ask for longer.
    Interval,
    /// The dialog is gone, the resource is not: subscribe anew at once.
    Anew,
    /// Passing; the dialog, if any, lives on.
    Later,
    /// Passing, but the dialog is gone.
    LaterAnew,
    /// For good.
    Refused,
}

/// RFC 6665 §4.1.2.1 and §4.1.2.2, RFC 5057 §5.1.
const fn verdict(status: u16, in_dialog: bool) -> Verdict {
    match status {
        200..=299 => Verdict::Granted,
        423 => Verdict::Interval,
        481 if in_dialog => Verdict::Anew,
        // A proxy's 408 says what Timer F says; 491: our requests crossed.
        408 | 491 => Verdict::Later,
        480 => Verdict::LaterAnew,
        501 | 505 | 513 => Verdict::Refused,
        // RFC 5057 §5.1: 502 takes the dialog with it.
        502 => Verdict::LaterAnew,
        500..=599 => Verdict::Later,
        // 401 and 407 too: whoever has a password has answered them before.
        _ => Verdict::Refused,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterTermination {
    Never,
    AtOnce,
    AtOnceOrAfter,
    Later,
}

/// RFC 6665 §4.1.3, the reasons; retry-after is honoured for probation, giveup and what we don't know.
fn after_termination(reason: &str) -> AfterTermination {
    const REASONS: [(&str, AfterTermination); 7] = [
        ("deactivated", AfterTermination::AtOnce),
        ("timeout", AfterTermination::AtOnce),
        ("giveup", AfterTermination::AtOnceOrAfter),
        ("probation", AfterTermination::Later),
        ("rejected", AfterTermination::Never),
        ("noresource", AfterTermination::Never),
        ("invariant", AfterTermination::Never),
    ];
    REASONS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(reason))
        .map_or(AfterTermination::Later, |(_, after)| *after)
}
