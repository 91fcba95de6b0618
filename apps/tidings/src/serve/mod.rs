//! `tidings serve`: from a configuration to a server that takes requests, and to its end.

mod banner;
mod calendar;
mod documents;
mod logs;
mod metrics;
mod recorder;
mod running;
mod signals;
mod systemd;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use configuration::{Commit, Configuration, Origin, Overrides, Problems, Reading, Serves};
use node::{Clock, Node, Observer, Readiness, StartError};
use shard::OPERATOR;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use web::{AdminSocket, Listening};

use crate::certificates::Certificates;
use crate::command_line::Serve;
use crate::{commands, exit};
use logs::Logs;
use recorder::Recorder;
use running::Running;
use signals::{End, Signals};
use systemd::Systemd;

/// Who renews a certificate writes a file and tells nobody.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(60);

/// Runs until a signal, a drain or a failure ends it.
pub(crate) fn run(arguments: &Serve) -> u8 {
    let clock = Clock::new();
    let overrides = overrides(arguments);
    let reading = match configuration::read(arguments.config.as_deref(), &overrides) {
        Ok(reading) => reading,
        Err(problems) => return refused(&problems),
    };
    let (certificates, doubtful) =
        match Certificates::open(&reading.configuration, clock.now().wall) {
            Ok(opened) => opened,
            Err(problems) => return refused(&problems),
        };
    let logs = match Logs::begin(&reading.configuration.log, clock) {
        Ok(logs) => logs,
        Err(wrong) => {
            eprintln!("tidings: TIDINGS_LOG: {wrong}; write it like info,sip=debug");
            return exit::USAGE;
        }
    };
    end_on_panic();
    reading
        .warnings
        .iter()
        .chain(&doubtful)
        .for_each(|warning| tracing::warn!("{warning}"));
    let recorder = match recorder(arguments, clock) {
        Ok(recorder) => recorder,
        Err(wrong) => {
            eprintln!("tidings: {wrong}");
            return exit::USAGE;
        }
    };
    let observer: Arc<dyn Observer> = match &recorder {
        Some(recorder) => recorder.observer(logs.lines()),
        None => logs.lines(),
    };
    let served = serve(reading, overrides, certificates, (logs, observer), clock);
    if let Some(recorder) = recorder {
        recorder.finish();
    }
    match served {
        Ok(()) => exit::DONE,
        Err(failure) => {
            tracing::error!("{}", failure.message);
            failure.code
        }
    }
}

/// Why the server ended, or never began.
struct Failure {
    message: String,
    code: u8,
}

fn failed(message: impl Into<String>) -> Failure {
    Failure {
        message: message.into(),
        code: exit::FAILED,
    }
}

/// `--trace-ladder`, where it is asked for.
fn recorder(arguments: &Serve, clock: Clock) -> Result<Option<Recorder>, String> {
    let version = env!("CARGO_PKG_VERSION");
    let title = format!(
        "tidings {version}, since {}",
        calendar::rfc3339(clock.now().wall)
    );
    let file = arguments.trace_ladder.as_deref();
    file.map(|file| Recorder::begin(file, &title)).transpose()
}

fn overrides(arguments: &Serve) -> Overrides {
    Overrides {
        data: arguments
            .data
            .clone()
            .map(|folder| (folder, Origin::Flag("--data".to_owned()))),
        sip: arguments.sip.clone(),
        http: arguments.http.clone(),
        log: commands::environment("TIDINGS_LOG"),
    }
}

fn refused(problems: &Problems) -> u8 {
    problems.iter().for_each(|problem| eprintln!("{problem}"));
    exit::USAGE
}

fn serve(
    reading: Reading,
    overrides: Overrides,
    certificates: Certificates,
    (logs, observer): (Logs, Arc<dyn Observer>),
    clock: Clock,
) -> Result<(), Failure> {
    let started = clock.monotonic();
    let configuration = reading.configuration;
    let is_new = is_new(&configuration.data);
    let store = open_store(&configuration, clock)?;
    let documents = store::documents::open(&configuration.data, commit(&configuration))
        .map_err(|error| store_failure(&error))?;
    let documents: Box<dyn store::documents::RecoveredDocuments> = Box::new(documents);
    let http = open_http(&configuration)?;
    let mut socket = open_socket(&configuration.data)?;
    let runtime = runtime()?;
    let readiness = Readiness::new();
    let (drain, drains) = mpsc::channel(1);
    let addresses = http
        .iter()
        .map(|(listening, _)| listening.address)
        .collect();
    let running = Arc::new(Running::new(running::Begin {
        configuration: configuration.clone(),
        overrides,
        certificates,
        readiness: readiness.clone(),
        http: addresses,
        logs,
        systemd: Systemd::from_environment(),
        drain,
        clock,
        users: documents.users().map_err(|error| store_failure(&error))?,
        nonce_key: documents.nonce_key(),
    }));
    // Health answers from here on, "starting" as long as the store is being read.
    spawn_web(&runtime, http, &mut socket, &running);
    let mut signals = runtime
        .block_on(async { Signals::begin(drains) })
        .map_err(|error| failed(format!("signals: {error}")))?;
    let node = Node::start(node::Start {
        settings: running.settings(),
        shards: configuration.threads,
        io_threads: 0,
        store,
        documents,
        clock,
        readiness,
        observer,
    })
    .map_err(|error| not_started(error, &configuration))?;
    running.begin(node, |node| {
        let took = clock.monotonic().since(started);
        banner::print(&configuration, node, &running.http, is_new, took);
    });
    let end = runtime.block_on(signals.wait(&running));
    signals.end_at_once_on_second(&runtime);
    let outcome = stop(&running, end, &configuration);
    drop(socket);
    runtime.shutdown_timeout(Duration::from_millis(200));
    outcome
}

fn open_socket(folder: &Path) -> Result<AdminSocket, Failure> {
    let place = folder.join(web::SOCKET_NAME);
    AdminSocket::open(folder).map_err(|error| failed(format!("{}: {error}", place.display())))
}

fn is_new(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

fn commit(configuration: &Configuration) -> store::Commit {
    match configuration.durability.commit {
        Commit::Fsync => store::Commit::Fsync,
        Commit::Os => store::Commit::Os,
    }
}

fn open_store(
    configuration: &Configuration,
    clock: Clock,
) -> Result<Box<dyn store::Recovered>, Failure> {
    let mut options = store::Options::new(Arc::new(move || clock.monotonic()));
    options.commit = commit(configuration);
    options.commit_gather =
        Duration::from_micros(u64::from(configuration.durability.commit_gather_us));
    store::open(&configuration.data, options).map_err(|error| store_failure(&error))
}

fn store_failure(error: &store::StoreError) -> Failure {
    let code = if error.needs_a_person() {
        exit::STORE
    } else {
        exit::FAILED
    };
    Failure {
        message: error.to_string(),
        code,
    }
}

fn open_http(configuration: &Configuration) -> Result<Vec<(Listening, Vec<Serves>)>, Failure> {
    let open = |bind: &configuration::HttpBind| {
        let opened = web::listen(bind.address).map(|listening| (listening, bind.serves.clone()));
        opened.map_err(|error| {
            let what = match error.kind() {
                std::io::ErrorKind::AddrInUse => "in use; stop who has it, or choose another port".to_owned(),
                std::io::ErrorKind::PermissionDenied => "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE, or choose another port".to_owned(),
                std::io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
                _ => error.to_string(),
            };
            let flag = if configuration.is_demo() { ": --http HOST:PORT" } else { "" };
            failed(format!("http {}: {what}{flag}", bind.address))
        })
    };
    configuration.http.iter().map(open).collect()
}

fn not_started(error: StartError, configuration: &Configuration) -> Failure {
    match error {
        StartError::Store(error) => store_failure(&error),
        error @ StartError::Restore { .. } => Failure {
            message: format!(
                "{error}; {0} was written by another version, or is damaged: tidings check --data {0}",
                configuration.data.display()
            ),
            code: exit::STORE,
        },
        error @ StartError::Bind(_) if configuration.is_demo() => {
            failed(format!("{error}: --sip HOST:PORT"))
        }
        error => failed(error.to_string()),
    }
}

fn runtime() -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder
        .worker_threads(1)
        .max_blocking_threads(8)
        .thread_name("web")
        .enable_all()
        .build();
    built.map_err(|error| failed(format!("threads: {error}")))
}

fn spawn_web(
    runtime: &Runtime,
    http: Vec<(Listening, Vec<Serves>)>,
    socket: &mut AdminSocket,
    running: &Arc<Running>,
) {
    // Tokens are not built yet: the API is there as long as nobody from another machine is.
    let is_local = running.is_loopback_only();
    for (index, (listening, serves)) in http.into_iter().enumerate() {
        let health = serves.contains(&Serves::Health);
        let mut routes = match health {
            true => web::health_routes(running.clone()),
            false => web::no_routes(running.clone()),
        };
        if serves.contains(&Serves::Api) && is_local {
            routes = web::api_routes(running.clone()).merge(routes.reset_fallback());
        }
        if serves.contains(&Serves::Metrics) {
            routes = web::metrics_routes(running.clone()).merge(routes.reset_fallback());
        }
        if serves.contains(&Serves::Xcap) && running.documents.is_served() {
            routes = web::with_documents(routes, running.documents.clone());
        }
        let secure = running.certificates.acceptor(index);
        runtime.spawn(web::serve(listening, routes, secure));
    }
    if let Some(listener) = socket.take() {
        let mut routes = web::admin_routes(running.clone());
        if running.documents.is_served() {
            routes = web::with_documents_as(routes, running.documents.clone(), OPERATOR);
        }
        runtime.spawn(AdminSocket::serve(listener, routes));
    }
    let running = running.clone();
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(CERTIFICATES_EVERY).await;
            let running = running.clone();
            let _ = tokio::task::spawn_blocking(move || running.look_at_certificates()).await;
        }
    });
}

/// Hands watchers away where asked, sends what is owed, closes the store; all within `drain_seconds_max`.
fn stop(running: &Running, end: End, configuration: &Configuration) -> Result<(), Failure> {
    if let End::Failed(why) = end {
        return Err(failed(why));
    }
    let deadline = Duration::from_secs(u64::from(running.drain_seconds_max()));
    let begun = running.clock.monotonic();
    running.systemd.stopping();
    if let End::Drain = end {
        tracing::info!("draining: watchers are told to subscribe elsewhere");
        if !running.drain_node(deadline) {
            tracing::warn!("draining took longer than node.drain_seconds_max; the rest is left");
        }
    }
    let Some(node) = running.take() else {
        return Ok(());
    };
    let left = deadline.saturating_sub(running.clock.monotonic().since(begun));
    let stopped = node.stop(left);
    if !stopped.quiet {
        tracing::warn!("not everything owed was answered in time; it goes on after the next start");
    }
    stopped.store.map_err(|error| store_failure(&error))?;
    tracing::info!(data = %configuration.data.display(), "stopped");
    Ok(())
}

/// Half a server is worse than none: whichever thread breaks a promise, the process says so and ends, and the next start replays.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let thread = std::thread::current();
        let payload = panic.payload();
        let what = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        tracing::error!(
            place,
            thread = thread.name().unwrap_or(""),
            "broken promise: {}",
            what.unwrap_or("no words")
        );
        std::process::exit(i32::from(exit::FAILED));
    }));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set in the process of its own that the test below starts: this very test binary, which then dies.
    const DIES: &str = "TIDINGS_TEST_BREAKS_A_PROMISE";

    fn break_a_promise_on_a_thread() -> ! {
        let log = configuration::read(None, &Overrides::default())
            .map(|reading| reading.configuration.log)
            .unwrap();
        let _logs = Logs::begin(&log, Clock::new()).unwrap();
        end_on_panic();
        let thread = std::thread::Builder::new().name("shard-7".to_owned());
        let _ = thread
            .spawn(|| panic!("a tuple without an id"))
            .unwrap()
            .join();
        // What would be half a server gets no further than this.
        std::process::exit(0);
    }

    #[test]
    fn a_broken_promise_on_any_thread_ends_the_process_with_a_line() {
        if std::env::var_os(DIES).is_some() {
            break_a_promise_on_a_thread();
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        let name = "serve::tests::a_broken_promise_on_any_thread_ends_the_process_with_a_line";
        let output = command
            .args(["--nocapture", "--exact", name])
            .env(DIES, "1")
            .env_remove("TIDINGS_LOG")
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{log}");
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("a tuple without an id"))
            .collect();
        let [line] = lines.as_slice() else {
            panic!("one line: {log}")
        };
        assert!(
            line.contains("\"thread\":\"shard-7\"") && line.contains("serve/mod.rs:"),
            "{line}"
        );
    }
}
