//! The commands as a person or a service manager calls them: real processes, real signals, real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

mod running;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Long enough for the slowest machine; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(30);

fn tidings(folder: &Path) -> Command {
    running::tidings(folder, &[])
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    finished(tidings(folder).args(arguments).output().unwrap())
}

fn finished(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A server that runs, told apart by its own service manager's socket. Killed when the test ends.
struct Server {
    child: Option<Child>,
    banner: Vec<String>,
    notes: UnixDatagram,
    _notes_folder: TempDir,
}

impl Server {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let notes_folder = tempfile::tempdir().unwrap();
        let path = notes_folder.path().join("notify");
        let notes = UnixDatagram::bind(&path).unwrap();
        notes.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut child = tidings(folder)
            .arg("serve")
            .args(arguments)
            .env("NOTIFY_SOCKET", &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut banner = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let is_last = line.starts_with("ready in ");
            banner.push(line);
            if is_last {
                break;
            }
        }
        let mut server = Self {
            child: Some(child),
            banner,
            notes,
            _notes_folder: notes_folder,
        };
        if server.banner.is_empty() {
            panic!(
                "no banner: {:?}",
                finished(server.child.take().unwrap().wait_with_output().unwrap())
            );
        }
        assert!(server.note().starts_with("READY=1\n"));
        server
    }

    fn note(&self) -> String {
        let mut buffer = [0; 512];
        let length = self
            .notes
            .recv(&mut buffer)
            .expect("a word to the service manager");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// The word after the one that begins with `start`.
    fn line(&self, start: &str) -> &str {
        let line = self
            .banner
            .iter()
            .find(|line| line.trim_start().starts_with(start));
        line.unwrap_or_else(|| panic!("no {start} in {:?}", self.banner))
            .trim_start()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Exit code and log.
    fn end(mut self) -> (i32, String) {
        let (code, _, log) = finished(self.child.take().unwrap().wait_with_output().unwrap());
        (code, log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

const ANY: &[&str] = &["--sip", "127.0.0.1:0", "--http", "127.0.0.1:0"];

fn http_get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Asks by UDP what the server can do.
fn admin_get(socket: &Path, path: &str) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn options(server: SocketAddr) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let local = socket.local_addr().unwrap();
    let request = format!(
        "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKoptions;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=1\r\nTo: <sip:example.com>\r\nCall-ID: options@test\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(request.as_bytes(), server).unwrap();
    let mut answer = [0; 2048];
    let length = socket.recv(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn write(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("t.toml");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn what_is_not_built_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["interop", "--list"][..],
        &["ladder", "a.pcap"],
        &["trace", "alice@example.com"],
    ] {
        assert_eq!(
            run(folder.path(), command),
            (
                2,
                String::new(),
                format!("tidings: {}: not built yet\n", command[0])
            )
        );
    }
    assert_eq!(
        run(folder.path(), &["check", "--ifc"]).2,
        "tidings: check --ifc: not built yet\n"
    );
    assert_eq!(
        run(folder.path(), &["store", "export", "x"]).2,
        "tidings: store export: not built yet\n"
    );
    assert_eq!(run(folder.path(), &["init", "--ims"]).0, 2);
}

#[test]
fn a_recorded_trace_is_drawn_and_a_bad_one_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let trace = "{\"ladder\":1,\"title\":\"t\",\"actors\":[\"a\",\"b\"]}\n\
        {\"at_us\":5,\"from\":\"a\",\"to\":\"b\",\"message\":\"hello\"}\n";
    fs::write(folder.path().join("t.jsonl"), trace).unwrap();
    let (code, drawn, _) = run(folder.path(), &["ladder", "t.jsonl"]);
    assert!(code == 0 && drawn.contains("|--- 5 bytes"), "{drawn}");
    let (code, drawn, _) = run(folder.path(), &["ladder", "t.jsonl", "--svg"]);
    assert!(code == 0 && drawn.starts_with("<svg "), "{drawn}");
    fs::write(folder.path().join("t.jsonl"), format!("{trace}\n{{}}\n")).unwrap();
    let (code, _, said) = run(folder.path(), &["ladder", "t.jsonl"]);
    assert_eq!(code, 2);
    assert!(said.starts_with("tidings: t.jsonl:4: no at_us; "), "{said}");
    assert_eq!(run(folder.path(), &["ladder", "none.jsonl"]).0, 2);
}

#[test]
fn a_ladder_never_replaces_what_is_no_ladder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine.toml"), "domains = []").unwrap();
    let (code, _, said) = run(folder.path(), &["serve", "--trace-ladder", "mine.toml"]);
    assert!(
        code == 2 && said.contains("mine.toml: it is there and is no ladder"),
        "{said}"
    );
    let kept = fs::read_to_string(folder.path().join("mine.toml")).unwrap();
    assert_eq!(kept, "domains = []");
    let (code, _, said) = run(folder.path(), &["ladder", "a.txt"]);
    assert!(
        code == 2 && said.starts_with("tidings: a.txt: no trace; "),
        "{said}"
    );
}

#[test]
fn bad_usage_is_2_and_help_is_0() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &[]).0, 2);
    assert_eq!(run(folder.path(), &["sevre"]).0, 2);
    assert_eq!(run(folder.path(), &["serve", "--no-such"]).0, 2);
    // Before anything runs: no data folder, no socket.
    let nowhere = ["serve", "--trace-ladder", "no/such/folder/ladder.svg"];
    let (code, _, said) = run(folder.path(), &nowhere);
    let expected = "tidings: --trace-ladder no/such/folder/ladder.svg: No such file or directory";
    assert_eq!((code, said.starts_with(expected)), (2, true), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let (code, help, _) = run(folder.path(), &["--help"]);
    assert!(
        code == 0 && help.contains("serve") && help.contains("publish"),
        "{help}"
    );
    assert_eq!(
        run(folder.path(), &["--version"]),
        (
            0,
            format!("tidings {}\n", env!("CARGO_PKG_VERSION")),
            String::new()
        )
    );
}

#[test]
fn init_writes_what_check_accepts_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text, _) = run(folder.path(), &["init", "--domain", "home1.net"]);
    assert!(
        code == 0 && text.contains("domains = [\"home1.net\"]"),
        "{text}"
    );
    let (code, out, _) = run(folder.path(), &["init", "tidings.toml"]);
    assert_eq!((code, out.as_str()), (0, ""));
    let file = folder.path().join("tidings.toml");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let before = fs::read(&file).unwrap();
    let (code, _, error) = run(
        folder.path(),
        &["init", "tidings.toml", "--domain", "b.net"],
    );
    assert_eq!(
        (code, error.as_str()),
        (
            2,
            "tidings: tidings.toml: exists and is not overwritten; name another file\n"
        )
    );
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(
        run(
            folder.path(),
            &["check", "--strict", "--config", "tidings.toml"]
        ),
        (0, "tidings.toml: good\n".to_owned(), String::new())
    );
}

#[test]
fn check_names_the_line_and_exits_2() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder,
        "domains = [\"a.net\"]\n[presence]\npublish_expires_second = 60\n",
    );
    let line = "t.toml:3:1: presence.publish_expires_second: no such key; publish_expires_seconds is meant?\n";
    assert_eq!(
        run(folder.path(), &["check", "--config", "t.toml"]),
        (2, String::new(), line.to_owned())
    );
    assert_eq!(
        run(folder.path(), &["serve", "--config", "t.toml"]),
        (2, String::new(), line.to_owned())
    );
    let by_environment = tidings(folder.path())
        .arg("check")
        .env("TIDINGS_CONFIG", "t.toml")
        .output()
        .unwrap();
    assert_eq!(finished(by_environment).2, line);
    let (code, json, _) = run(folder.path(), &["check", "--config", "t.toml", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (code, &json["good"], &json["errors"][0]["line"]),
        (2, &Value::Bool(false), &Value::from(3))
    );
}

#[test]
fn warnings_are_errors_when_strict() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder,
        "domains = [\"a.net\"]\nroles = [\"presence-server\"]\n",
    );
    let (code, _, said) = run(folder.path(), &["check", "--config", "t.toml"]);
    assert!(
        code == 0 && said.contains("t.toml:2:9: roles: warning: "),
        "{said}"
    );
    assert_eq!(
        run(folder.path(), &["check", "--config", "t.toml", "--strict"]).0,
        2
    );
}

#[test]
fn check_prints_the_demo_without_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) = run(folder.path(), &["check", "--print"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("presence.default_handling = \"allow\"")
            && out.contains("# demo; default \"confirm\""),
        "{out}"
    );
    assert!(
        out.contains("limits.publications_per_user_max = 64"),
        "{out}"
    );
}

#[test]
fn what_happened_is_counted_and_told_on_the_admin_socket() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), ANY);
    let sip = server.line("sip").rsplit(' ').next().unwrap().to_owned();
    options(sip.parse().unwrap());
    let (_, json, _) = run(folder.path(), &["status", "--json"]);
    let status: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(status["requests_accepted"], 1);
    let metrics = admin_get(&folder.path().join("tidings-data/admin.sock"), "/metrics");
    assert!(
        metrics.starts_with("HTTP/1.1 200 ")
            && metrics.contains("content-type: application/openmetrics-text; version=1.0.0")
            && metrics.contains(
                "\ntidings_requests_accepted_total{method=\"OPTIONS\",status=\"200\"} 1\n"
            )
            && metrics.ends_with("# EOF\n"),
        "{metrics}"
    );
    server.signal(Signal::TERM);
    assert_eq!(server.end().0, 0);
}

#[test]
fn the_demo_runs_answers_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), ANY);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        server.banner[0],
        format!("tidings {version}, demo: no configuration file, example.com, this machine only")
    );
    assert!(
        server
            .line("data")
            .contains("tidings-data (new; delete it to begin again)")
    );
    let sip: SocketAddr = server
        .line("sip")
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let http = server
        .line("health")
        .split("http://")
        .nth(1)
        .unwrap()
        .trim_end_matches("/readyz")
        .to_owned();
    assert!(http_get(&http, "/readyz").starts_with("HTTP/1.1 200 "));
    assert!(http_get(&http, "/healthz").starts_with("HTTP/1.1 200 "));
    // Nobody from another machine reaches any listener: what operators ask is answered without a token.
    assert!(http_get(&http, "/api/v1/status").starts_with("HTTP/1.1 200 "));
    assert!(http_get(&http, "/metrics").starts_with("HTTP/1.1 200 "));

    let answer = options(sip);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");

    let (code, words, _) = run(folder.path(), &["status"]);
    assert!(
        code == 0
            && words.starts_with(&format!("tidings {version}, "))
            && words.contains(", ready\n"),
        "{words}"
    );
    let (_, json, _) = run(folder.path(), &["status", "--json"]);
    let status: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&status["state"], &status["listeners"][0]["address"]),
        (&Value::from("ready"), &Value::from(sip.to_string()))
    );
    assert_eq!(
        fs::metadata(folder.path().join("tidings-data/admin.sock"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );

    server.signal(Signal::TERM);
    assert!(server.note().starts_with("STOPPING=1\n"));
    let (code, log) = server.end();
    assert_eq!(code, 0, "{log}");
    assert!(!folder.path().join("tidings-data/admin.sock").exists());
    let again = Server::start(folder.path(), ANY);
    assert!(again.line("data").contains("(kept; nothing in it)"));
}

#[test]
fn a_folder_has_one_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), ANY);
    let (code, out, error) = run(folder.path(), &[&["serve"], ANY].concat());
    assert_eq!((code, out.as_str()), (5, ""), "{error}");
    assert!(error.contains("in use"), "{error}");
    // The second did not take the first one's socket with it.
    assert_eq!(run(folder.path(), &["status"]).0, 0);
    drop(server);
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, error) = run(
        folder.path(),
        &["serve", "--sip", &address, "--http", "127.0.0.1:0"],
    );
    assert!(
        code == 1 && error.contains(&format!("tcp {address}: in use")) && error.contains("--sip"),
        "{code} {error}"
    );
    let (code, _, error) = run(
        folder.path(),
        &["serve", "--sip", "127.0.0.1:0", "--http", &address],
    );
    assert!(
        code == 1 && error.contains(&format!("http {address}: in use")) && error.contains("--http"),
        "{code} {error}"
    );
}

#[test]
fn a_reload_takes_what_it_can_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let base =
        "domains = [\"a.net\"]\ndata = \"d\"\n[listen]\nsip = [\"udp://127.0.0.1:0\"]\nhttp = []\n";
    write(&folder, base);
    let server = Server::start(folder.path(), &["--config", "t.toml"]);
    let status = || -> Value {
        serde_json::from_str(&run(folder.path(), &["status", "--json", "--config", "t.toml"]).1)
            .unwrap()
    };

    write(
        &folder,
        &format!("{base}[presence]\nnotify_interval_ms_min = 7\n[node]\nthreads = 2\n"),
    );
    let (code, out, _) = run(folder.path(), &["reload", "--config", "t.toml"]);
    assert_eq!(
        (code, out.as_str()),
        (
            0,
            "presence.notify_interval_ms_min: in force\nnode.threads: waits for a restart\n"
        )
    );
    assert!(server.note().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(server.note().starts_with("READY=1\n"));
    assert_eq!(
        status()["configuration"]["waiting"],
        serde_json::json!(["node.threads"])
    );

    write(
        &folder,
        &format!("{base}[presence]\nnotify_interval_ms_min = -7\n"),
    );
    let (code, _, error) = run(folder.path(), &["reload", "--config", "t.toml"]);
    assert_eq!(
        (code, error.as_str()),
        (
            2,
            "t.toml:7:26: presence.notify_interval_ms_min: -7 is out of range; 0 to 3600000\n"
        )
    );
    server.note();
    server.note();
    server.signal(Signal::HUP);
    server.note();
    server.note();
    let configuration = status()["configuration"].clone();
    assert_eq!(
        (&configuration["reloads"], &configuration["reloads_failed"]),
        (&Value::from(1), &Value::from(2))
    );
    assert_eq!(configuration["last_reload_successful"], Value::Bool(false));

    write(
        &folder,
        &format!("{base}[presence]\nnotify_interval_ms_min = 7\n"),
    );
    server.signal(Signal::HUP);
    server.note();
    server.note();
    assert_eq!(
        status()["configuration"]["last_reload_successful"],
        Value::Bool(true)
    );
    server.signal(Signal::INT);
    assert_eq!(server.end().0, 0);
}

/// The reader judges the file's listeners; those that are open may be others until a restart.
#[test]
fn a_reload_never_believes_from_beyond_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let file = |address: &str, from: bool| {
        format!(
            "domains = [\"a.net\"]\ndata = \"d\"\n[listen]\nadvertise = \"a.net\"\nsip = [\"udp://{address}:0\"]\nhttp = []\n[identity]\nfrom_is_identity = {from}\ntrusted_peers = [\"127.0.0.1\"]\n"
        )
    };
    write(&folder, &file("0.0.0.0", false));
    let _server = Server::start(folder.path(), &["--config", "t.toml"]);
    write(&folder, &file("127.0.0.1", true));
    let (code, out, _) = run(folder.path(), &["reload", "--config", "t.toml"]);
    assert_eq!(
        (code, out.as_str()),
        (
            0,
            "listen.sip: waits for a restart\nidentity.from_is_identity: waits for a restart\n"
        )
    );
}

#[test]
fn drain_ends_the_server_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), ANY);
    let (code, out, _) = run(folder.path(), &["drain", "--data", "tidings-data"]);
    assert!(code == 0 && out.starts_with("draining: "), "{out}");
    assert!(server.note().starts_with("STOPPING=1\n"));
    assert_eq!(server.end().0, 0);
    let server = Server::start(folder.path(), ANY);
    server.signal(Signal::USR2);
    let (code, log) = server.end();
    assert!(code == 0 && log.contains("draining"), "{log}");
}

#[test]
fn nobody_there_is_4() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["status", "reload", "drain"] {
        let (code, _, error) = run(folder.path(), &[command]);
        assert!(
            code == 4 && error.starts_with("tidings: tidings-data/admin.sock: no server there ("),
            "{code} {error}"
        );
    }
}

#[test]
fn check_examines_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), ANY);
    server.signal(Signal::TERM);
    assert_eq!(server.end().0, 0);
    let (code, out, error) = run(folder.path(), &["check", "--data", "tidings-data"]);
    assert!(
        code == 0 && out.starts_with("tidings-data: 0 objects"),
        "{code} {out} {error}"
    );
    let (_, json, _) = run(
        folder.path(),
        &["check", "--data", "tidings-data", "--json"],
    );
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&report["good"], &report["starts"]),
        (&Value::Bool(true), &Value::from(1))
    );
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, error) = run(folder.path(), &["check", "--data", "nowhere"]);
    assert_eq!(
        (code, error.as_str()),
        (
            2,
            "tidings: nowhere: no such folder; --data names a server's data folder\n"
        )
    );
    assert!(!folder.path().join("nowhere").exists());
}

#[test]
fn logs_are_json_where_nobody_looks_and_obey_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), ANY);
    server.signal(Signal::TERM);
    let (_, log) = server.end();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(line["level"].is_string() && line["timestamp"].is_string());
    }
    assert!(log.contains("stopped"), "{log}");
    let bad = tidings(folder.path())
        .args(["serve"])
        .args(ANY)
        .env("TIDINGS_LOG", "sip=shouting")
        .output()
        .unwrap();
    let (code, _, error) = finished(bad);
    assert!(
        code == 2 && error.starts_with("tidings: TIDINGS_LOG: "),
        "{code} {error}"
    );
}
