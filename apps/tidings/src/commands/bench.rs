//! `tidings bench`: load on a server, what it costs, and whether everything was right.

use std::io::{IsTerminal as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use bench::{Carrier, Commit, Documents, FanOut, Loops, Operation, Plan, Target};
use clap::{Args, ValueEnum};
use node::Clock;

use crate::exit;

/// Without TARGET it starts a server of its own on loopback, in a temporary folder, and stops it at the end.
///
/// Each operation runs in a closed loop (a fixed number under way: as fast as the server can) and then in an open one
/// (so many a second, whatever the server does). A closed loop tells rates and CPU time, an open one latencies. An echo
/// of datagrams through the same sockets tells what the machine can do; ratios are to its cost.
///
/// Exit code 1 when anything was wrong: NOTIFYs missing, doubled or stale, a CSeq that went back, a wrong final state,
/// an unexpected answer.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// HOST:PORT of a server that runs; it must take From as who is asking, and allow every watcher
    target: Option<String>,
    /// The target is beyond this machine, and I may load it
    #[arg(long)]
    target_is_mine: bool,
    /// Processes of the target on this machine, for CPU time and memory; their children count too
    #[arg(long, value_name = "PID", value_delimiter = ',', requires = "target")]
    process: Vec<u32>,
    /// By what messages go
    #[arg(long, value_name = "T", default_value = "udp")]
    transport: Transport,
    /// Whose users
    #[arg(long, value_name = "DOMAIN", default_value = "bench.example")]
    domain: String,
    /// What runs, with commas; default: all
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    operations: Vec<Name>,
    /// Presentities x watchers of each, with commas
    #[arg(
        long,
        value_name = "PxW",
        value_delimiter = ',',
        default_value = "100x100,1000x10"
    )]
    fan_out: Vec<FanOut>,
    /// The same for rules: each PUT of a presentity's rules changes what all of her watchers see
    #[arg(
        long,
        value_name = "PxW",
        value_delimiter = ',',
        default_value = "1x1000"
    )]
    rules: Vec<FanOut>,
    /// XCAP root of TARGET, for rules: http://ADDRESS:PORT/PATH
    #[arg(long, value_name = "URL")]
    xcap_root: Option<String>,
    /// Which loops
    #[arg(long = "loop", value_name = "LOOP", default_value = "both")]
    loops: Loop,
    /// Operations a second in an open loop; default: half of what the closed one reached
    #[arg(long, value_name = "N", value_parser = rate)]
    rate_per_second: Option<f64>,
    /// Transactions under way in a closed loop
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    window: u32,
    /// Sockets or connections of ours
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    sockets: u16,
    /// Measured time of each closed loop; open ones take half
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Time before it that does not count
    #[arg(long, value_name = "S", default_value = "0.5", value_parser = seconds)]
    warm_up_seconds: Duration,
    /// After so long something is missing
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    timeout_seconds: Duration,
    /// Length of a published document
    #[arg(long, value_name = "N", default_value_t = 620, value_parser = clap::value_parser!(u16).range(500..=60_000))]
    body_bytes: u16,
    /// Users of the operations that have no shape
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    presentities: u32,
    /// Most users or subscriptions that one operation makes
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    objects_max: u32,
    /// Subscriptions that are restored by our own server
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    restored: u32,
    /// Length of the echo's datagrams; 0: no echo
    #[arg(long, value_name = "N", default_value_t = 700, value_parser = clap::value_parser!(u16).range(0..=9000))]
    echo_bytes: u16,
    /// What our own server waits for before it answers
    #[arg(long, value_name = "C", default_value = "os")]
    commit: CommitName,
    /// Shards of our own server; default: the cores, less one for us
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Where the folder of our own server is made; default: the system's folder for temporary files
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Transport {
    Udp,
    Tcp,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Loop {
    Closed,
    Open,
    Both,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CommitName {
    /// The operating system has it
    Os,
    /// The disk has it
    Fsync,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    PublishInitial,
    PublishRefresh,
    PublishModify,
    Subscribe,
    SubscribeRefresh,
    Fetch,
    FanOut,
    Rules,
    Restore,
}

impl Name {
    const fn operation(self) -> Operation {
        match self {
            Self::PublishInitial => Operation::PublishInitial,
            Self::PublishRefresh => Operation::PublishRefresh,
            Self::PublishModify => Operation::PublishModify,
            Self::Subscribe => Operation::Subscribe,
            Self::SubscribeRefresh => Operation::SubscribeRefresh,
            Self::Fetch => Operation::Fetch,
            Self::FanOut => Operation::FanOut,
            Self::Rules => Operation::Rules,
            Self::Restore => Operation::Restore,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.05..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("no number of seconds from 0.05 to 3600".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.1..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("no number from 0.1 to 10000000".to_owned()),
    }
}

/// Runs it.
pub(crate) fn run(arguments: &Bench) -> u8 {
    let plan = match plan(arguments) {
        Ok(plan) => plan,
        Err((why, code)) => {
            eprintln!("tidings: bench: {why}");
            return code;
        }
    };
    let mut screen = Screen::new(arguments.json);
    let report = bench::run(&plan, Clock::new(), &mut screen);
    screen.clear();
    match report {
        Ok(report) => {
            let mut out = std::io::stdout().lock();
            let _ = if arguments.json {
                writeln!(out, "{:#}", report.json())
            } else {
                write!(out, "{}", report.table())
            };
            if report.wrong().total() > 0 {
                exit::FAILED
            } else {
                exit::DONE
            }
        }
        Err(failure) => {
            eprintln!("tidings: bench: {failure}");
            if failure.is_unreachable {
                exit::NO_ANSWER
            } else {
                exit::FAILED
            }
        }
    }
}

fn plan(arguments: &Bench) -> Result<Plan, (String, u8)> {
    let operations = if arguments.operations.is_empty() {
        Operation::ALL.to_vec()
    } else {
        let chosen = arguments.operations.iter();
        chosen.map(|name| name.operation()).collect()
    };
    if arguments.target.is_some() && operations.as_slice() == [Operation::Restore] {
        let why = "--operations restore stops and starts a server of its own: without TARGET would be right";
        return Err((why.to_owned(), exit::USAGE));
    }
    let carrier = match arguments.transport {
        Transport::Udp => Carrier::Udp,
        Transport::Tcp => Carrier::Tcp,
    };
    let loops = match (arguments.loops, arguments.rate_per_second) {
        (Loop::Closed, _) => Loops::Closed,
        (_, Some(per_second)) => Loops::Open { per_second },
        (Loop::Both, None) => Loops::Both { part: 0.5 },
        (Loop::Open, None) => {
            return Err((
                "--loop open needs --rate-per-second N".to_owned(),
                exit::USAGE,
            ));
        }
    };
    Ok(Plan {
        target: target(arguments)?,
        carrier,
        domain: arguments.domain.clone(),
        operations,
        fan_outs: arguments.fan_out.clone(),
        rules: arguments.rules.clone(),
        loops,
        window: arguments.window,
        sockets: arguments.sockets,
        duration: arguments.seconds,
        warm_up: arguments.warm_up_seconds,
        patience: arguments.timeout_seconds,
        body_bytes: usize::from(arguments.body_bytes),
        presentities: arguments.presentities,
        objects_max: arguments.objects_max,
        restored: arguments.restored,
        echo_bytes: usize::from(arguments.echo_bytes),
    })
}

fn target(arguments: &Bench) -> Result<Target, (String, u8)> {
    let Some(target) = &arguments.target else {
        let program = std::env::current_exe()
            .map_err(|error| (format!("our own program: {error}"), exit::FAILED))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = u16::try_from(cores - 1).unwrap_or(u16::MAX).clamp(1, 256);
        return Ok(Target::Own {
            program,
            folder: arguments.folder.clone().unwrap_or_else(std::env::temp_dir),
            commit: match arguments.commit {
                CommitName::Os => Commit::Os,
                CommitName::Fsync => Commit::Fsync,
            },
            threads: arguments.threads.unwrap_or(threads),
        });
    };
    let addresses = target
        .to_socket_addrs()
        .map_err(|error| (format!("{target}: {error}"), exit::NO_ANSWER))?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    let Some(address) = addresses.first().copied() else {
        return Err((format!("{target}: no address"), exit::NO_ANSWER));
    };
    // A load is an attack on whoever didn't ask for it.
    if !address.ip().is_loopback() && !arguments.target_is_mine {
        return Err((
            format!("{address} is beyond this machine; if you may load it, say --target-is-mine"),
            exit::USAGE,
        ));
    }
    Ok(Target::Running {
        address,
        processes: arguments.process.clone(),
        documents: documents(arguments)?,
    })
}

/// Where rules are put on a server that runs.
fn documents(arguments: &Bench) -> Result<Option<Documents>, (String, u8)> {
    let wants = arguments.operations.iter();
    let wants = wants
        .map(|name| name.operation())
        .any(|one| one == Operation::Rules);
    let Some(url) = &arguments.xcap_root else {
        let why = "--operations rules needs --xcap-root http://ADDRESS:PORT/PATH of TARGET";
        return match wants {
            true => Err((why.to_owned(), exit::USAGE)),
            false => Ok(None),
        };
    };
    let rest = url.strip_prefix("http://").unwrap_or_default();
    let (address, root) = rest.split_once('/').unwrap_or((rest, ""));
    let Ok(address) = address.parse::<SocketAddr>() else {
        let why = format!("--xcap-root: {url}: not http://ADDRESS:PORT/PATH");
        return Err((why, exit::USAGE));
    };
    if !address.ip().is_loopback() && !arguments.target_is_mine {
        let why =
            format!("{address} is beyond this machine; if you may load it, say --target-is-mine");
        return Err((why, exit::USAGE));
    }
    let root = root.trim_end_matches('/');
    let root = if root.is_empty() {
        String::new()
    } else {
        format!("/{root}")
    };
    Ok(Some(Documents { address, root }))
}

/// The table as it grows, on a terminal.
struct Screen {
    is_terminal: bool,
    is_json: bool,
}

impl Screen {
    fn new(is_json: bool) -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            is_json,
        }
    }

    fn clear(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}

impl bench::Progress for Screen {
    fn tell(&mut self, what: &str, done: f64, per_second: f64) {
        if self.is_terminal {
            let per_cent = (done * 100.0).clamp(0.0, 100.0);
            eprint!("\r\x1b[K{what}: {per_cent:.0} %, {per_second:.0}/s");
            let _ = std::io::stderr().flush();
        }
    }

    fn line(&mut self, line: &str) {
        // Where both go to one place the table at the end says it.
        if self.is_terminal && (self.is_json || !std::io::stdout().is_terminal()) {
            eprintln!("\r\x1b[K{line}");
        } else if self.is_terminal {
            eprintln!("\r\x1b[K\x1b[2m{line}\x1b[0m");
        }
    }
}
