//! The server process: started on free ports, stopped every way a server can be stopped, started again on the same data and ports.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::binary;
use crate::configuration::ServerOptions;
use crate::deadline::{Deadline, PATIENCE};
use crate::peer::Peer;
use crate::source::Source;
use crate::watcher::Watcher;
use crate::wire::Wire;

/// By what a peer speaks to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// UDP over IPv4.
    Udp4,
    /// TCP over IPv4.
    Tcp4,
    /// UDP over IPv6.
    Udp6,
    /// TCP over IPv6.
    Tcp6,
}

impl Over {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Udp4, Self::Tcp4, Self::Udp6, Self::Tcp6];
    /// Both transports, IPv4.
    pub const BOTH: [Self; 2] = [Self::Udp4, Self::Tcp4];

    fn transport(self) -> &'static str {
        if matches!(self, Self::Udp4 | Self::Udp6) {
            "udp"
        } else {
            "tcp"
        }
    }

    fn is_ipv4(self) -> bool {
        matches!(self, Self::Udp4 | Self::Tcp4)
    }
}

/// A running (or killed) server with its own folder.
pub struct Server {
    options: ServerOptions,
    folder: TempDir,
    child: Option<Child>,
    stdout: Option<Receiver<String>>,
    sip: Vec<(String, SocketAddr)>,
    http: Option<SocketAddr>,
    starts: u32,
}

impl Server {
    /// Starts a server and waits until it is ready.
    #[track_caller]
    pub fn start(options: impl Into<ServerOptions>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("tidings-")
            .tempdir()
            .expect("a temporary folder");
        let mut server = Self {
            options: options.into(),
            folder,
            child: None,
            stdout: None,
            sip: Vec::new(),
            http: None,
            starts: 0,
        };
        server.launch();
        server
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("tidings.toml")
    }

    /// What it is started with; changes count from the next start or reload.
    pub fn options(&mut self) -> &mut ServerOptions {
        &mut self.options
    }

    /// Writes the configuration file anew from the options.
    pub fn write_configuration(&self) {
        fs::write(self.configuration(), self.options.text(&self.data()))
            .expect("writing the configuration");
    }

    /// Where it listens for this kind of peer.
    #[track_caller]
    pub fn address(&self, over: Over) -> SocketAddr {
        let fits = |(transport, address): &&(String, SocketAddr)| {
            transport == over.transport() && address.is_ipv4() == over.is_ipv4()
        };
        self.sip
            .iter()
            .find(fits)
            .unwrap_or_else(|| panic!("no listener for {over:?}: {:?}", self.sip))
            .1
    }

    /// A peer on a socket of its own.
    #[track_caller]
    pub fn peer(&self, over: Over) -> Peer {
        let server = self.address(over);
        let wire = if over.transport() == "udp" {
            Wire::datagrams(server)
        } else {
            Wire::stream(server)
        };
        Peer::new(wire, server)
    }

    /// A peer that speaks UDP and takes connections at the same port.
    #[track_caller]
    pub fn listening_peer(&self) -> Peer {
        let server = self.address(Over::Udp4);
        Peer::new(Wire::datagrams_and_listener(server), server)
    }

    /// `watcher` watching `presentity` over this.
    #[track_caller]
    pub fn watcher(&self, over: Over, watcher: &str, presentity: &str) -> Watcher {
        Watcher::new(self.peer(over), watcher, presentity)
    }

    /// A source of `presentity`'s state over this.
    #[track_caller]
    pub fn source(&self, over: Over, presentity: &str, service: &str) -> Source {
        Source::new(self.peer(over), presentity, service)
    }

    /// Everything it wrote to stderr in all its lives.
    pub fn stderr(&self) -> String {
        (0..=self.starts)
            .map(|start| fs::read(self.stderr_file(start)).unwrap_or_default())
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .collect()
    }

    fn stderr_file(&self, start: u32) -> PathBuf {
        self.folder.path().join(format!("stderr.{start}"))
    }

    /// Starts again, on the same data and ports.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        self.launch();
    }

    /// Tries to start again on data that must be refused: exit status and stderr.
    #[track_caller]
    pub fn restart_refused(&mut self) -> (Option<i32>, String) {
        assert!(self.child.is_none(), "it still runs");
        self.starts += 1;
        self.spawn();
        let status = self.wait();
        (
            status.code(),
            fs::read_to_string(self.stderr_file(self.starts)).unwrap_or_default(),
        )
    }

    fn launch(&mut self) {
        self.starts += 1;
        self.spawn();
        self.learn_addresses();
        // interfaces.md: 200 only when state is loaded and every socket is open.
        if self.http.is_some() {
            let (status, why) = self.http("/readyz");
            assert_eq!(
                status,
                200,
                "/readyz after the start: {why}\n{}",
                self.stderr()
            );
        }
    }

    fn spawn(&mut self) {
        let program = self
            .options
            .program
            .clone()
            .unwrap_or_else(|| binary::tidings().to_owned());
        self.options.pin(&self.sip, self.http);
        self.write_configuration();
        let stderr = fs::File::create(self.stderr_file(self.starts)).expect("a file for stderr");
        let mut command = clean(Command::new(&program));
        command
            .arg("serve")
            .arg("--config")
            .arg(self.configuration())
            .args(&self.options.arguments);
        let mut child = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let stdout = child.stdout.take().expect("a piped stdout");
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        self.child = Some(child);
        self.stdout = Some(receiver);
    }

    fn learn_addresses(&mut self) {
        let deadline = Deadline::default();
        let mut lines = Vec::new();
        loop {
            let left = deadline.left().unwrap_or_default();
            match self
                .stdout
                .as_ref()
                .expect("a started server")
                .recv_timeout(left)
            {
                Ok(line) if line.starts_with("ready") => break,
                Ok(line) => lines.push(line),
                Err(error) => {
                    let ended = matches!(error, RecvTimeoutError::Disconnected);
                    let what = if ended {
                        "it ended before it was ready"
                    } else {
                        "it is not ready"
                    };
                    panic!(
                        "{what}; stdout:\n{}\nstderr:\n{}",
                        lines.join("\n"),
                        self.stderr()
                    );
                }
            }
        }
        let banner = Banner::read(&lines);
        assert!(
            !banner.sip.is_empty() && (banner.http.is_some() || self.options.program.is_some()),
            "the banner names no listeners:\n{}",
            lines.join("\n")
        );
        self.sip = banner.sip;
        self.http = banner.http.or(self.http);
    }

    /// Where it listens for HTTP.
    #[track_caller]
    pub fn http_address(&self) -> SocketAddr {
        self.http.expect("an HTTP listener")
    }

    /// One GET: status and body.
    #[track_caller]
    pub fn http(&self, path: &str) -> (u16, String) {
        let address = self.http_address();
        let get = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
            )?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let text = get().unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.stderr()));
        let status = text
            .get(9..12)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
        (
            status,
            text.split_once("\r\n\r\n")
                .map(|(_, body)| body.to_owned())
                .unwrap_or_default(),
        )
    }

    /// Runs another `tidings` command in the server's folder.
    pub fn run(&self, arguments: &[&str]) -> Output {
        clean(Command::new(binary::tidings()))
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("tidings runs")
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("a running server");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process number"))
            .expect("a process number");
        kill_process(pid, signal).expect("a signal to a child of ours");
    }

    /// SIGKILL, at whatever moment this is.
    #[track_caller]
    pub fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// SIGTERM; it must end with exit status 0.
    #[track_caller]
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "after SIGTERM:\n{}", self.stderr());
    }

    /// SIGHUP: takes the configuration file over as it now is.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        match &mut self.child {
            Some(child) => child.try_wait().expect("waiting for a child").is_some(),
            None => true,
        }
    }

    /// Waits for its end; stdout closes with the process.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Deadline::default();
        if let Some(stdout) = self.stdout.take() {
            loop {
                match stdout.recv_timeout(deadline.left().unwrap_or_default()) {
                    Ok(_) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        self.stdout = Some(stdout);
                        panic!("it does not end:\n{}", self.stderr());
                    }
                }
            }
        }
        self.child
            .take()
            .expect("a running server")
            .wait()
            .expect("waiting for a child")
    }

    /// Starts it again, without further arguments, if it ended by itself; whether it had.
    #[track_caller]
    pub fn revive(&mut self) -> bool {
        if !self.has_ended() {
            return false;
        }
        if self.child.is_some() {
            self.wait();
        }
        self.options.arguments.clear();
        self.restart();
        true
    }

    /// Waits until stderr says this.
    #[track_caller]
    pub fn expect_log(&self, words: &str) {
        let deadline = Deadline::default();
        let mut probe = self.peer(Over::Udp4);
        while !self.stderr().contains(words) {
            assert!(
                deadline.left().is_some(),
                "stderr never said {words:?}:\n{}",
                self.stderr()
            );
            probe.assert_silent(std::time::Duration::from_millis(20), |_| false);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!(
                "--- stderr of the server ---\n{}--- end of stderr ---",
                self.stderr()
            );
        }
    }
}

/// Without what the caller's environment would change.
fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("TIDINGS_") || name == "NOTIFY_SOCKET")
        {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1");
    command
}

/// Addresses that the banner names: `sip  udp, tcp 127.0.0.1:5060   udp [::1]:5061` and any `http://HOST:PORT`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Banner {
    sip: Vec<(String, SocketAddr)>,
    http: Option<SocketAddr>,
}

impl Banner {
    fn read(lines: &[String]) -> Self {
        let mut banner = Self::default();
        for line in lines {
            let mut transports: Vec<String> = Vec::new();
            for word in line.split([' ', ',']).filter(|word| !word.is_empty()) {
                if let Some(rest) = word.strip_prefix("http://") {
                    let address = rest
                        .split('/')
                        .next()
                        .and_then(|address| address.parse().ok());
                    banner.http = banner.http.or(address);
                } else if matches!(word, "udp" | "tcp") {
                    transports.push(word.to_owned());
                } else if let Ok(address) = word.parse() {
                    banner
                        .sip
                        .extend(transports.drain(..).map(|transport| (transport, address)));
                } else {
                    transports.clear();
                }
            }
        }
        banner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_names_every_listener() {
        let lines = [
            "tidings 0.1.0, x.toml",
            "  sip      udp, tcp 127.0.0.1:5060   udp [::1]:7, tcp [::1]:8",
            "  health   http://127.0.0.1:9/healthz",
        ];
        let banner = Banner::read(&lines.map(str::to_owned));
        let expect = [
            ("udp", "127.0.0.1:5060"),
            ("tcp", "127.0.0.1:5060"),
            ("udp", "[::1]:7"),
            ("tcp", "[::1]:8"),
        ];
        assert_eq!(
            banner.sip,
            expect.map(|(transport, address)| (transport.to_owned(), address.parse().unwrap()))
        );
        assert_eq!(banner.http, Some("127.0.0.1:9".parse().unwrap()));
    }
}
