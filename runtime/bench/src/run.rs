//! From a plan to a report: the echo, the server, each operation in turn.

use std::io;
use std::net::SocketAddr;

use node::Clock;

use crate::load::{Load, Pace, Phase, Timing, Work};
use crate::messages::{Messages, Style};
use crate::own_server::{Home, OwnServer};
use crate::plan::{Documents, FanOut, Loops, Operation, Plan, Target};
use crate::process::{self, resident_bytes};
use crate::report::{Measured, Memory, Report, Restored};
use crate::wire::{Carrier, Wire};
use crate::world::{Act, World};
use crate::{echo, report};

/// Hears what happens while it happens.
pub trait Progress {
    /// How far something is (0 to 1), and operations a second.
    fn tell(&mut self, what: &str, done: f64, per_second: f64);
    /// A line of the table.
    fn line(&mut self, line: &str);
}

/// Why there is no report.
#[derive(Debug)]
pub struct Failure {
    /// What we were about to do.
    pub doing: String,
    /// What the system says.
    pub error: io::Error,
    /// The server could not be reached or went away.
    pub is_unreachable: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.doing, self.error)
    }
}

impl std::error::Error for Failure {}

fn doing(what: &str) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| Failure {
        doing: what.to_owned(),
        error,
        is_unreachable: false,
    }
}

/// Measures.
pub fn run(plan: &Plan, clock: Clock, progress: &mut dyn Progress) -> Result<Report, Failure> {
    let mut report = Report {
        carrier: plan.carrier.name(),
        ..Report::default()
    };
    if plan.echo_bytes > 0 {
        progress.tell("echo", 0.0, 0.0);
        let echo = echo::run(
            clock,
            plan.echo_bytes,
            plan.sockets,
            plan.window,
            plan.warm_up,
            plan.duration,
        );
        report.echo = Some(echo.map_err(doing("echo"))?);
    }
    progress.line(report::HEADINGS.trim_end());
    let mut operations = plan.operations.iter();
    let loads = operations.any(|operation| *operation != Operation::Restore);
    match &plan.target {
        Target::Running {
            address,
            processes,
            documents,
        } => {
            report.server = format!("server at {address}");
            run_operations(
                plan,
                clock,
                *address,
                documents.as_ref(),
                processes.clone(),
                &mut report,
                progress,
            )?;
        }
        Target::Own {
            commit, threads, ..
        } => {
            let commit = commit.name();
            report.server = format!("own server, commit \"{commit}\", threads {threads}");
            if loads {
                let (mut home, starting) = (home(plan)?, doing("starting our own server"));
                let server = home.start().map_err(starting)?;
                let processes = vec![server.process()];
                run_operations(
                    plan,
                    clock,
                    server.address,
                    server.documents.as_ref(),
                    processes,
                    &mut report,
                    progress,
                )
                .map_err(|mut failure| {
                    failure.doing = format!("{} {}", failure.doing, server.last_words());
                    failure
                })?;
                server
                    .stop(clock)
                    .map_err(doing("stopping our own server"))?;
            }
            if plan.operations.contains(&Operation::Restore) && plan.restored > 0 {
                report.restored = Some(restore(plan, clock, progress)?);
            }
        }
    }
    Ok(report)
}

fn home(plan: &Plan) -> Result<Home, Failure> {
    let Target::Own {
        program,
        folder,
        commit,
        threads,
    } = &plan.target
    else {
        return Err(doing("our own server")(io::ErrorKind::Unsupported.into()));
    };
    Home::new(program, folder, &plan.domain, *commit, *threads)
        .map_err(doing("a folder for our own server"))
}

fn open_load(
    plan: &Plan,
    clock: Clock,
    address: SocketAddr,
    documents: Option<&Documents>,
    processes: &[u32],
) -> Result<Load, Failure> {
    let opened = Wire::open(plan.carrier, plan.sockets, address);
    let mut wire = opened.map_err(|error| Failure {
        doing: format!("connecting to {address}"),
        error,
        is_unreachable: true,
    })?;
    let (mut host, mut root) = (String::new(), "");
    if let Some(documents) = documents.filter(|_| plan.operations.contains(&Operation::Rules)) {
        wire.ask_documents_at(documents.address);
        (host, root) = (documents.address.to_string(), &documents.root);
    }
    // Runs against one server within the same 65 seconds would need the same last digits to meet.
    let run = format!("{:08x}", clock.now().wall.as_millis() & 0xffff_ffff);
    let messages = Messages::new(Style {
        carrier: plan.carrier,
        domain: &plan.domain,
        run: &run,
        body_bytes: plan.body_bytes,
        documents: (&host, root),
    });
    let is_reliable = plan.carrier == Carrier::Tcp;
    let world = World::new(
        messages,
        wire.addresses(),
        address,
        is_reliable,
        plan.patience,
    );
    Ok(Load::new(world, wire, clock, process::children(processes)))
}

/// Users and subscriptions that operations share.
struct Bench<'a> {
    plan: &'a Plan,
    clock: Clock,
    load: Load,
    /// First of the users of operations without a shape.
    base: Option<u32>,
    /// The subscriptions made by `subscribe`.
    watching: Option<(u32, u32)>,
    /// What a pair of the echo cost last.
    echo_micros: Option<f64>,
    report: &'a mut Report,
    progress: &'a mut dyn Progress,
}

fn run_operations(
    plan: &Plan,
    clock: Clock,
    address: SocketAddr,
    documents: Option<&Documents>,
    processes: Vec<u32>,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<(), Failure> {
    let mut bench = Bench {
        plan,
        clock,
        load: open_load(plan, clock, address, documents, &processes)?,
        base: None,
        watching: None,
        echo_micros: None,
        report,
        progress,
    };
    for operation in Operation::ALL {
        if !plan.operations.contains(&operation) {
            continue;
        }
        match operation {
            Operation::FanOut => {
                for shape in &plan.fan_outs {
                    bench.fan_out(*shape)?;
                }
            }
            Operation::Rules if documents.is_some() => {
                for shape in &plan.rules {
                    bench.rules(*shape)?;
                }
            }
            Operation::Rules | Operation::Restore => {}
            _ => bench.operation(operation)?,
        }
    }
    Ok(())
}

impl Bench<'_> {
    fn operation(&mut self, operation: Operation) -> Result<(), Failure> {
        let plan = self.plan;
        let act = match operation {
            Operation::PublishInitial => {
                let work = Work::Grow {
                    act: Act::Initial,
                    left: plan.objects_max,
                };
                return self.grow(operation, work);
            }
            Operation::PublishRefresh => Act::Refresh,
            Operation::PublishModify => Act::Modify,
            Operation::Subscribe => {
                let first = self.base()?;
                self.watching = Some((self.load.world.subscriptions.len() as u32, 0));
                let work = Work::Watch {
                    first,
                    presentities: plan.presentities,
                    made: 0,
                    left: plan.objects_max,
                };
                self.grow(operation, work)?;
                let first = self.watching.map_or(0, |(first, _)| first);
                let made = self.load.world.subscriptions.len() as u32 - first;
                self.watching = Some((first, made));
                return Ok(());
            }
            Operation::SubscribeRefresh => Act::Resubscribe,
            _ => Act::Fetch,
        };
        let (first, count) = match act {
            Act::Resubscribe => self.watching()?,
            Act::Fetch => self.fetchers()?,
            _ => (self.base()?, plan.presentities),
        };
        let work = Work::Cycle {
            act,
            first,
            count,
            next: 0,
        };
        self.measure(operation, None, work, plan.window as usize)?;
        Ok(())
    }

    /// An operation that leaves something behind each time: memory is measured, too.
    fn grow(&mut self, operation: Operation, work: Work) -> Result<(), Failure> {
        let before = resident_bytes(&self.load.processes);
        let count = |load: &Load| load.world.presentities.len() + load.world.subscriptions.len();
        let had = count(&self.load);
        self.measure(operation, None, work, self.plan.window as usize)?;
        if !self.load.processes.is_empty() {
            self.report.memory.push(Memory {
                operation,
                objects: (count(&self.load) - had) as u64,
                bytes: resident_bytes(&self.load.processes).saturating_sub(before),
            });
        }
        Ok(())
    }

    fn fan_out(&mut self, shape: FanOut) -> Result<(), Failure> {
        let what = format!("fan-out {shape}: set-up");
        let first = self.publish(Act::Initial, shape.presentities, &what)?;
        self.change(Operation::FanOut, Act::Modify, shape, first, &what)
    }

    /// Each PUT changes what all watchers of that presentity see.
    fn rules(&mut self, shape: FanOut) -> Result<(), Failure> {
        let what = format!("rules {shape}: set-up");
        let first = self.publish(Act::Views, shape.presentities, &what)?;
        let each = Work::Once {
            act: Act::Rules,
            next: first,
            end: first + shape.presentities,
        };
        self.set_up(each, &what)?;
        self.change(Operation::Rules, Act::Rules, shape, first, &what)
    }

    /// Watchers of these presentities, then one of them changed after another.
    fn change(
        &mut self,
        operation: Operation,
        act: Act,
        shape: FanOut,
        first: u32,
        what: &str,
    ) -> Result<(), Failure> {
        let work = Work::Watch {
            first,
            presentities: shape.presentities,
            made: 0,
            left: shape.presentities * shape.watchers,
        };
        self.set_up(work, what)?;
        let work = Work::Cycle {
            act,
            first,
            count: shape.presentities,
            next: 0,
        };
        // As many NOTIFYs under way as other operations have transactions.
        let window = self.plan.window.div_ceil(shape.watchers).max(1);
        self.measure(operation, Some(shape), work, window as usize)
    }

    /// Users with a state.
    fn publish(&mut self, act: Act, count: u32, what: &str) -> Result<u32, Failure> {
        let first = self.load.world.presentities.len() as u32;
        self.set_up(Work::Grow { act, left: count }, what)?;
        Ok(first)
    }

    fn base(&mut self) -> Result<u32, Failure> {
        if let Some(first) = self.base {
            return Ok(first);
        }
        let first = self.publish(Act::Initial, self.plan.presentities, "users")?;
        self.base = Some(first);
        Ok(first)
    }

    fn watching(&mut self) -> Result<(u32, u32), Failure> {
        if let Some((first, count @ 1..)) = self.watching {
            return Ok((first, count));
        }
        let base = self.base()?;
        let (first, count) = (
            self.load.world.subscriptions.len() as u32,
            self.plan.objects_max.min(4 * self.plan.window),
        );
        let work = Work::Watch {
            first: base,
            presentities: self.plan.presentities,
            made: 0,
            left: count,
        };
        self.set_up(work, "watchers")?;
        self.watching = Some((first, count));
        Ok((first, count))
    }

    /// Watchers who have asked for nothing yet.
    fn fetchers(&mut self) -> Result<(u32, u32), Failure> {
        let base = self.base()?;
        let first = self.load.world.subscriptions.len() as u32;
        let count = 4 * self.plan.window;
        for number in 0..count {
            let presentity = base + number % self.plan.presentities;
            self.load.world.add_subscription(presentity, number);
        }
        Ok((first, count))
    }

    fn set_up(&mut self, mut work: Work, what: &str) -> Result<(), Failure> {
        let window = self.plan.window as usize;
        let gathers = self.plan.gathers();
        let progress = &mut self.progress;
        self.load
            .run(
                &mut work,
                Pace::Closed { window, gathers },
                None,
                &mut |done, rate| {
                    progress.tell(what, done, rate);
                },
            )
            .map_err(doing(what))?;
        Ok(())
    }

    /// In each loop that the plan asks for.
    fn measure(
        &mut self,
        operation: Operation,
        shape: Option<FanOut>,
        work: Work,
        window: usize,
    ) -> Result<(), Failure> {
        let plan = self.plan;
        let timing = Timing {
            warm_up: plan.warm_up,
            duration: plan.duration,
        };
        let half = Timing {
            warm_up: plan.warm_up / 2,
            duration: plan.duration / 2,
        };
        let mut left = work;
        let closed = Pace::Closed {
            window,
            gathers: plan.gathers(),
        };
        match plan.loops {
            Loops::Closed => {
                self.phase(operation, shape, &mut left, closed, timing)?;
            }
            Loops::Open { per_second } => {
                self.phase(
                    operation,
                    shape,
                    &mut left,
                    Pace::Open { per_second },
                    timing,
                )?;
            }
            Loops::Both { part } => {
                let rate = self.phase(operation, shape, &mut left, closed, timing)?;
                let per_second = (rate * part).max(1.0);
                self.phase(operation, shape, &mut left, Pace::Open { per_second }, half)?;
            }
        }
        Ok(())
    }

    /// What a pair costs now: a processor changes its speed, within a run too.
    /// The echo's CPU time for a pair now; none: it is not wanted.
    fn echo(&mut self) -> Result<Option<f64>, Failure> {
        let plan = self.plan;
        if plan.echo_bytes == 0 {
            return Ok(None);
        }
        self.progress.tell("echo", 0.0, 0.0);
        let echo = echo::run(
            self.clock,
            plan.echo_bytes,
            plan.sockets,
            plan.window,
            plan.warm_up / 4,
            plan.duration / 4,
        );
        Ok(Some(echo.map_err(doing("echo"))?.micros()))
    }

    fn phase(
        &mut self,
        operation: Operation,
        shape: Option<FanOut>,
        work: &mut Work,
        pace: Pace,
        timing: Timing,
    ) -> Result<f64, Failure> {
        let name = match shape {
            Some(shape) => format!("{} {shape}", operation.name()),
            None => operation.name().to_owned(),
        };
        let is_closed = matches!(pace, Pace::Closed { .. });
        let before = if is_closed { self.echo()? } else { None };
        let progress = &mut self.progress;
        let phase: Phase = self
            .load
            .run(work, pace, Some(timing), &mut |done, rate| {
                progress.tell(&name, done, rate);
            })
            .map_err(doing(&name))?;
        self.load.world.compare_final();
        let wrong = std::mem::take(&mut self.load.world.wrong);
        let offered = match pace {
            Pace::Closed { .. } => None,
            Pace::Open { per_second } => Some(per_second),
        };
        let knows = !self.load.processes.is_empty();
        let mut measured = Measured::new(operation, shape, offered, &phase, knows, wrong);
        // Before and after: a processor's speed changes within a run.
        if is_closed {
            let both = before.zip(self.echo()?);
            self.echo_micros = both.map(|(before, after)| f64::midpoint(before, after));
        }
        measured.echo_micros = self.echo_micros;
        self.progress.line(&measured.line());
        let rate = measured.rate();
        self.report.measured.push(measured);
        Ok(rate)
    }
}

/// Subscriptions made, the server stopped and started again, and each presentity's next state seen by all her watchers.
fn restore(plan: &Plan, clock: Clock, progress: &mut dyn Progress) -> Result<Restored, Failure> {
    const WHAT: &str = "restore";
    let mut home = home(plan)?;
    let start = |home: &mut Home| -> Result<(OwnServer, u64), Failure> {
        let from = clock.monotonic();
        let server = home.start().map_err(doing(WHAT))?;
        Ok((server, clock.monotonic().since(from).as_millis() as u64))
    };
    let (server, empty_start_ms) = start(&mut home)?;
    let mut load = open_load(plan, clock, server.address, None, &[server.process()])?;
    let gathers = plan.gathers();
    let pace = Pace::Closed {
        window: plan.window as usize,
        gathers,
    };
    let mut tell = |done, rate| progress.tell(WHAT, done, rate);
    let mut work = Work::Grow {
        act: Act::Initial,
        left: plan.presentities,
    };
    load.run(&mut work, pace, None, &mut tell)
        .map_err(doing(WHAT))?;
    let before = resident_bytes(&[server.process()]);
    let mut work = Work::Watch {
        first: 0,
        presentities: plan.presentities,
        made: 0,
        left: plan.restored,
    };
    load.run(&mut work, pace, None, &mut tell)
        .map_err(doing(WHAT))?;
    server.stop(clock).map_err(doing(WHAT))?;
    let (server, start_ms) = start(&mut home)?;
    let bytes = resident_bytes(&[server.process()]).saturating_sub(before);
    // Connections ended with the server; where NOTIFYs then go is no matter of speed.
    if plan.carrier == Carrier::Udp {
        let window = plan.window as usize * plan.presentities as usize / plan.restored as usize;
        let mut work = Work::Once {
            act: Act::Modify,
            next: 0,
            end: plan.presentities,
        };
        let window = window.max(1);
        let pace = Pace::Closed { window, gathers };
        load.run(&mut work, pace, None, &mut tell)
            .map_err(doing(WHAT))?;
        load.world.compare_final();
    }
    server.stop(clock).map_err(doing(WHAT))?;
    Ok(Restored {
        subscriptions: u64::from(plan.restored),
        start_ms,
        empty_start_ms,
        bytes,
        wrong: std::mem::take(&mut load.world.wrong),
    })
}
