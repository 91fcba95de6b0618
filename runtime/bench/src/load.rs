//! One thread that keeps a server busy: as much as its window allows, or as often as the clock says.

use std::io;
use std::time::Duration;

use machine::Instant;
use node::Clock;

use crate::process::{self, Cpu, Drops, Usage};
use crate::wire::{Gather, Outbox, Wire};
use crate::world::{Act, Counted, World};

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// A NOTIFY too many comes within this time after the last that was owed.
const SETTLE: Duration = Duration::from_millis(150);
/// Most requests under way in an open loop: a server so far behind will not catch up.
const OPEN_MAX: usize = 20_000;
/// What is later than this waited for the server, not for our own next look at the clock.
const LATE: Duration = Duration::from_millis(2);

/// Whom it is done to.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// New users, so many.
    Grow { act: Act, left: u32 },
    /// New subscriptions, so many, to the users from `first` on, in turn.
    Watch {
        first: u32,
        presentities: u32,
        made: u32,
        left: u32,
    },
    /// The same ones again and again.
    Cycle {
        act: Act,
        first: u32,
        count: u32,
        next: u32,
    },
    /// Each once.
    Once { act: Act, next: u32, end: u32 },
}

/// When the next begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As soon as fewer than so many are under way.
    Closed {
        window: usize,
        /// What is under way keeps the server busy while we gather.
        gathers: bool,
    },
    /// So many a second.
    Open { per_second: f64 },
}

impl Pace {
    const fn gathers(self) -> bool {
        match self {
            Self::Closed { gathers, .. } => gathers,
            Self::Open { .. } => true,
        }
    }
}

/// When it is measured; without, until the work is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phase {
    pub(crate) seconds: f64,
    pub(crate) counted: Counted,
    pub(crate) server: Cpu,
    pub(crate) own_nanos: u64,
    pub(crate) drops: Drops,
}

/// Begins of a measurement.
struct Begin {
    at: Instant,
    usage: Usage,
    own_nanos: u64,
    drops: Drops,
}

pub(crate) struct Load {
    pub(crate) world: World,
    wire: Wire,
    outbox: Outbox,
    clock: Clock,
    pub(crate) processes: Vec<u32>,
    ports: Vec<u16>,
    gather: Gather,
}

impl Load {
    pub(crate) fn new(world: World, wire: Wire, clock: Clock, processes: Vec<u32>) -> Self {
        let ports = wire
            .addresses()
            .iter()
            .map(|address| address.port())
            .collect();
        Self {
            gather: Gather::default(),
            // One more for documents.
            outbox: Outbox::new(wire.addresses().len() + 1),
            world,
            wire,
            clock,
            processes,
            ports,
        }
    }

    /// Does the work; `tell` hears of progress: how far (0 to 1) and operations a second.
    pub(crate) fn run(
        &mut self,
        work: &mut Work,
        pace: Pace,
        timing: Option<Timing>,
        tell: &mut dyn FnMut(f64, f64),
    ) -> io::Result<Phase> {
        self.world.counted.clear();
        let first = self.clock.monotonic();
        let start = first + timing.map_or(Duration::ZERO, |timing| timing.warm_up);
        let end = timing.map(|timing| start + timing.duration);
        let mut begin = None;
        let mut told = first;
        let mut issued = 0_u64;
        let mut phase = None;
        loop {
            let now = self.clock.monotonic();
            if begin.is_none() && now >= start {
                begin = Some(self.begin(now));
            }
            if end.is_some_and(|end| now >= end) {
                break;
            }
            let more = self.issue(work, pace, first, now, &mut issued);
            if !more {
                // What there was to do has been begun: what is measured ends here, as there is no load any more.
                if phase.is_none() && timing.is_some() {
                    phase = begin.as_ref().map(|begin| self.phase(begin, now));
                }
                if self.world.in_flight() == 0 {
                    break;
                }
            }
            if now.since(told) >= PROGRESS_EVERY {
                told = now;
                let (done, rate) = self.progress(work, begin.as_ref(), end, first, now);
                tell(done, rate);
            }
            if pace.gathers() {
                self.wire.flush(&mut self.outbox)?;
                self.gather.pause(self.clock.monotonic())?;
            }
            self.turn(now, next_due(pace, first, issued, more))?;
        }
        let now = self.clock.monotonic();
        let phase = match (phase, &begin) {
            (Some(phase), _) => phase,
            (None, Some(begin)) => self.phase(begin, now),
            (None, None) => Phase::default(),
        };
        self.drain()?;
        Ok(phase)
    }

    /// Begins what may begin now; false when there is nothing left to begin.
    fn issue(
        &mut self,
        work: &mut Work,
        pace: Pace,
        first: Instant,
        now: Instant,
        issued: &mut u64,
    ) -> bool {
        loop {
            let (may, began) = match pace {
                Pace::Closed { window, .. } => (self.world.in_flight() < window, now),
                Pace::Open { per_second } => {
                    let due = due(first, *issued, per_second);
                    let began = if now.since(due) > LATE { due } else { now };
                    (due <= now && self.world.in_flight() < OPEN_MAX, began)
                }
            };
            if !may {
                return true;
            }
            match next(work, &mut self.world) {
                Next::Start(act, subject) => {
                    *issued += 1;
                    self.world.start(act, subject, began, now, &mut self.outbox);
                }
                Next::AllBusy => return true,
                Next::Done => return false,
            }
        }
    }

    /// Sends, waits, receives, looks at timers.
    fn turn(&mut self, now: Instant, due: Option<Instant>) -> io::Result<()> {
        self.wire.flush(&mut self.outbox)?;
        let wake = [due, self.world.poll_timeout(), Some(now + PROGRESS_EVERY)];
        let wake = wake.into_iter().flatten().min().unwrap_or(now);
        let now = self.clock.monotonic();
        self.wire.wait(wake.since(now), &self.outbox)?;
        let now = self.clock.monotonic();
        self.gather.looked(now);
        let (world, outbox) = (&mut self.world, &mut self.outbox);
        self.wire
            .receive(|arrived| world.handle(&arrived, now, outbox))?;
        if self.world.poll_timeout().is_some_and(|at| at <= now) {
            self.world.handle_timeout(now, &mut self.outbox);
        }
        Ok(())
    }

    /// Until everything under way has ended, and a moment more for what nobody asked for.
    fn drain(&mut self) -> io::Result<()> {
        while self.world.in_flight() > 0 {
            self.turn(self.clock.monotonic(), None)?;
        }
        let end = self.clock.monotonic() + SETTLE;
        loop {
            let now = self.clock.monotonic();
            if now >= end {
                break;
            }
            self.turn(now, Some(end))?;
        }
        self.wire.flush(&mut self.outbox)
    }

    fn begin(&mut self, now: Instant) -> Begin {
        self.world.counted.clear();
        Begin {
            at: now,
            usage: Usage::of(&self.processes),
            own_nanos: process::own_nanos(),
            drops: Drops::read(self.world.server.port(), &self.ports),
        }
    }

    fn phase(&self, begin: &Begin, now: Instant) -> Phase {
        Phase {
            seconds: now.since(begin.at).as_secs_f64(),
            counted: self.world.counted.clone(),
            server: Usage::of(&self.processes).since(&begin.usage),
            own_nanos: process::own_nanos().saturating_sub(begin.own_nanos),
            drops: Drops::read(self.world.server.port(), &self.ports).since(&begin.drops),
        }
    }

    fn progress(
        &self,
        work: &Work,
        begin: Option<&Begin>,
        end: Option<Instant>,
        first: Instant,
        now: Instant,
    ) -> (f64, f64) {
        let since = begin.map_or(first, |begin| begin.at);
        let seconds = now.since(since).as_secs_f64().max(0.001);
        let rate = self.world.counted.operations as f64 / seconds;
        let done = match (end, work) {
            (Some(end), _) => {
                now.since(first).as_secs_f64() / end.since(first).as_secs_f64().max(0.001)
            }
            (None, Work::Watch { made, left, .. }) => {
                f64::from(*made) / f64::from((made + left).max(1))
            }
            _ => 0.5,
        };
        (done, rate)
    }
}

/// When operation `number` of an open loop is due.
fn due(first: Instant, number: u64, per_second: f64) -> Instant {
    first + Duration::from_secs_f64(number as f64 / per_second)
}

fn next_due(pace: Pace, first: Instant, issued: u64, more: bool) -> Option<Instant> {
    match pace {
        Pace::Open { per_second } if more => Some(due(first, issued, per_second)),
        _ => None,
    }
}

enum Next {
    Start(Act, u32),
    /// All that could be next are under way.
    AllBusy,
    Done,
}

fn next(work: &mut Work, world: &mut World) -> Next {
    match work {
        Work::Grow { left: 0, .. } | Work::Watch { left: 0, .. } => Next::Done,
        Work::Grow { act, left } => {
            *left -= 1;
            Next::Start(*act, world.add_presentity())
        }
        Work::Watch {
            first,
            presentities,
            made,
            left,
        } => {
            let (presentity, watcher) = (*first + *made % *presentities, *made / *presentities);
            *made += 1;
            *left -= 1;
            Next::Start(Act::Subscribe, world.add_subscription(presentity, watcher))
        }
        Work::Cycle {
            act,
            first,
            count,
            next,
        } => {
            for _ in 0..*count {
                let subject = *first + *next % *count;
                *next = (*next + 1) % *count;
                if world.is_free(*act, subject) {
                    return Next::Start(*act, subject);
                }
            }
            // Nobody will be free again when nothing is under way: they all failed.
            if world.in_flight() == 0 {
                Next::Done
            } else {
                Next::AllBusy
            }
        }
        Work::Once { act, next, end } => {
            while *next < *end {
                *next += 1;
                if world.is_free(*act, *next - 1) {
                    return Next::Start(*act, *next - 1);
                }
            }
            Next::Done
        }
    }
}
