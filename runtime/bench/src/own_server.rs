//! A server of our own: started on loopback in a new folder, stopped at the end, started again over what it kept.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use node::Clock;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use transport::socket::Poller;

use crate::plan::{Commit, Documents};

/// A stop takes at most the server's own 8 s; then it is killed.
const STOP_MAX: Duration = Duration::from_secs(20);

/// A folder with its configuration and data.
pub(crate) struct Home {
    program: PathBuf,
    folder: TempDir,
    domain: String,
    commit: Commit,
    threads: u16,
    /// 0 until a first start has chosen one.
    port: u16,
}

/// One that runs. Killed when it goes out of sight without `stop`.
pub(crate) struct OwnServer {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) documents: Option<Documents>,
    /// What it says of its own start.
    pub(crate) ready_ms: u64,
    log: PathBuf,
}

impl Home {
    pub(crate) fn new(
        program: &Path,
        folder: &Path,
        domain: &str,
        commit: Commit,
        threads: u16,
    ) -> io::Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            folder: tempfile::Builder::new()
                .prefix("tidings-bench-")
                .tempdir_in(folder)?,
            domain: domain.to_owned(),
            commit,
            threads,
            port: 0,
        })
    }

    fn configuration(&self) -> String {
        let Self {
            domain,
            threads,
            port,
            ..
        } = self;
        let commit = self.commit.name();
        // Bounds that protect a server from one source would bound the measurement: we are that source.
        format!(
            r#"domains = ["{domain}"]
data = "data"
[node]
threads = {threads}
[listen]
sip = ["udp://127.0.0.1:{port}", "tcp://127.0.0.1:{port}"]
http = ["http://127.0.0.1:0"]
[identity]
from_is_identity = true
[presence]
default_handling = "allow"
notify_interval_ms_min = 0
[durability]
commit = "{commit}"
[log]
level = "warn"
[limits]
subscriptions_per_watcher_max = 10000000
subscriptions_per_presentity_max = 10000000
transactions_max = 50000000
"#
        )
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(&mut self) -> io::Result<OwnServer> {
        let file = self.folder.path().join("tidings.toml");
        fs::write(&file, self.configuration())?;
        let log = self.folder.path().join("log");
        let mut child = Command::new(&self.program)
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .env_remove("NOTIFY_SOCKET")
            .env_remove("TIDINGS_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let banner = child.stdout.take();
        let mut server = OwnServer {
            child,
            address: ([127, 0, 0, 1], 0).into(),
            documents: None,
            ready_ms: 0,
            log,
        };
        let mut is_ready = false;
        for line in BufReader::new(banner.ok_or(io::ErrorKind::BrokenPipe)?).lines() {
            let line = line?;
            if let Some(text) = line.trim().strip_prefix("sip ") {
                let address = text.rsplit(' ').next().and_then(|text| text.parse().ok());
                server.address = address.unwrap_or(server.address);
            } else if let Some((_, url)) = line.split_once("xcap     http://") {
                let (address, root) = url.split_once('/').unwrap_or((url, ""));
                server.documents = address.parse().ok().map(|address| Documents {
                    address,
                    root: format!("/{root}"),
                });
            } else if let Some(text) = line.strip_prefix("ready in ") {
                server.ready_ms = text.trim_end_matches(" ms").parse().unwrap_or(0);
                is_ready = true;
                break;
            }
        }
        if !is_ready || server.address.port() == 0 {
            return Err(io::Error::other(format!(
                "our own server did not start: {}",
                server.last_words()
            )));
        }
        self.port = server.address.port();
        Ok(server)
    }
}

impl OwnServer {
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// Asks it to stop and waits for that.
    pub(crate) fn stop(mut self, clock: Clock) -> io::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            kill_process(id, Signal::TERM)?;
        }
        let asked = clock.monotonic();
        let mut poller = Poller::default();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    let words = self.last_words();
                    Err(io::Error::other(format!(
                        "our own server ended with {status}: {words}"
                    )))
                };
            }
            if clock.monotonic().since(asked) > STOP_MAX {
                return Err(io::Error::other("our own server did not stop"));
            }
            poller.clear();
            poller.wait(Some(Duration::from_millis(10)))?;
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // It has ended already, or nobody is left to hear why not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
