//! `tidings serve`, reduced to configuration, journal and node, with a journal that kills the process at a commit point: before a batch reaches
//! the journal, after it is durable and before anybody was told, or right after telling. Speaks no HTTP and knows no signal.
//!
//! `crashing-server serve --config FILE [--crash before|durable|told NUMBER]`; NUMBER counts the batches of this life from 1.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use machine::{Batch, Key};
use node::{Clock, Node, Readiness};
use rustix::process::{Signal, getpid, kill_process};
use store::{Identity, Observer, Options, Recovered, Status, Store, StoreError};

fn main() -> ExitCode {
    match serve(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("crashing-server: {why}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[String]) -> Result<(), String> {
    let after = |name: &str| {
        arguments
            .iter()
            .position(|argument| argument == name)
            .and_then(|at| arguments.get(at + 1..))
    };
    let file = after("--config")
        .and_then(|rest| rest.first())
        .ok_or("--config FILE is missing")?;
    let crash = match after("--crash") {
        Some([point, number, ..]) => Some(Crash {
            point: point.parse()?,
            number: number.parse().map_err(|_| "NUMBER is no number")?,
        }),
        Some(_) => return Err("--crash POINT NUMBER".to_owned()),
        None => None,
    };
    let reading = configuration::read(Some(Path::new(file)), &configuration::Overrides::default())
        .map_err(|problems| problems.to_string())?;
    let configuration = reading.configuration;
    let clock = Clock::new();
    let store = open(&configuration.data, &clock)?;
    let documents = store::documents::open(&configuration.data, store::Commit::Os)
        .map_err(|error| error.to_string())?;
    let node = Node::start(node::Start {
        settings: configuration.settings,
        shards: configuration.threads,
        io_threads: 0,
        store: Box::new(Crashing {
            inner: store,
            crash,
        }),
        documents: Box::new(documents),
        clock,
        readiness: Readiness::new(),
        observer: Arc::new(()),
    })
    .map_err(|error| error.to_string())?;
    for listener in node.listeners() {
        println!(
            "  sip  {} {}",
            listener.transport.name().to_ascii_lowercase(),
            listener.bound
        );
    }
    println!("ready");
    Err(node.runtime().block_on(node.failed()))
}

fn open(data: &Path, clock: &Clock) -> Result<Box<dyn Recovered>, String> {
    let clock = *clock;
    store::open(data, Options::new(Arc::new(move || clock.monotonic())))
        .map_err(|error| error.to_string())
}

/// Where in the life of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Before,
    Durable,
    Told,
}

impl std::str::FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "before" => Ok(Self::Before),
            "durable" => Ok(Self::Durable),
            "told" => Ok(Self::Told),
            _ => Err(format!("{text} is no point: before, durable or told")),
        }
    }
}

/// Which batch, and where in its life.
#[derive(Clone, Copy, Debug)]
struct Crash {
    point: Point,
    number: u64,
}

fn die() {
    // Nothing of this process runs on: no destructor, no flush.
    let _ = kill_process(getpid(), Signal::KILL);
}

struct Crashing {
    inner: Box<dyn Recovered>,
    crash: Option<Crash>,
}

impl Recovered for Crashing {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn replay(&mut self, each: &mut dyn FnMut(Key, Vec<Vec<u8>>)) -> Result<(), StoreError> {
        self.inner.replay(each)
    }

    fn start(self: Box<Self>, observer: Arc<dyn Observer>) -> Result<Arc<dyn Store>, StoreError> {
        let chosen = Arc::new(Mutex::new(None));
        let told = Told {
            inner: observer,
            crash: self.crash,
            chosen: Arc::clone(&chosen),
        };
        let inner = self.inner.start(Arc::new(told))?;
        Ok(Arc::new(Submitted {
            inner,
            crash: self.crash,
            count: AtomicU64::new(0),
            chosen,
        }))
    }
}

/// The batch at whose durability the process dies: its shard and sequence.
type Chosen = Arc<Mutex<Option<(u16, u64)>>>;

struct Submitted {
    inner: Arc<dyn Store>,
    crash: Option<Crash>,
    count: AtomicU64,
    chosen: Chosen,
}

impl Store for Submitted {
    fn submit(&self, batch: Batch) {
        if let Some(crash) = self.crash
            && self.count.fetch_add(1, Ordering::SeqCst) + 1 == crash.number
        {
            if crash.point == Point::Before {
                die();
            }
            *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((batch.shard, batch.sequence));
        }
        self.inner.submit(batch);
    }

    fn room(&self) -> bool {
        self.inner.room()
    }

    fn status(&self) -> Status {
        self.inner.status()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

struct Told {
    inner: Arc<dyn Observer>,
    crash: Option<Crash>,
    chosen: Chosen,
}

impl Observer for Told {
    fn durable(&self, shard: u16, sequence: u64) {
        let chosen = *self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = chosen.is_some_and(|(of, number)| of == shard && number <= sequence);
        let point = self.crash.map(|crash| crash.point);
        if now && point == Some(Point::Durable) {
            die();
        }
        self.inner.durable(shard, sequence);
        if now && point == Some(Point::Told) {
            die();
        }
    }

    fn failed(&self, failure: &StoreError) {
        self.inner.failed(failure);
    }
}
