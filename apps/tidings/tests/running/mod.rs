//! The program as its users meet it: real processes, in a folder of the test's own.
#![allow(dead_code, reason = "not every test needs all of it")]

pub(crate) mod http;
pub(crate) mod xcap;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The program, with nothing of this test's own environment.
pub(crate) fn tidings(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    for name in [
        "CONFIG",
        "LOG",
        "SERVER",
        "AS",
        "PASSWORD",
        "XCAP_ROOT",
        "ADMIN",
        "ADMIN_TOKEN",
    ] {
        command.env_remove(format!("TIDINGS_{name}"));
    }
    command
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC");
    command
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// Exit code, standard output, standard error.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = tidings(folder, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Killed when it is dropped: no word, no last write.
pub(crate) struct Server {
    child: Child,
    pub(crate) sip: String,
    pub(crate) http: String,
    /// Where there is one.
    pub(crate) https: Option<String>,
    pub(crate) log: PathBuf,
}

impl Server {
    /// Serves `t.toml` of this folder.
    pub(crate) fn start(folder: &Path) -> Self {
        let log = folder.join("log");
        let into = fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut child = tidings(folder, &["serve", "--config", "t.toml"])
            .stdout(Stdio::piped())
            .stderr(into)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut banner: Vec<String> = Vec::new();
        for line in lines {
            banner.push(line.unwrap());
            if banner.last().unwrap().starts_with("ready in ") {
                break;
            }
        }
        let secure = banner.iter().find_map(|line| line.split_once("https://"));
        let https = secure.and_then(|(_, rest)| Some(rest.split_once('/')?.0.to_owned()));
        let after = |start: &str, word: &str| -> String {
            let line = banner.iter().find(|line| line.contains(start));
            let line = line.unwrap_or_else(|| {
                panic!(
                    "no {start}: {banner:?} {}",
                    fs::read_to_string(&log).unwrap()
                )
            });
            let rest = line.split_once(word).unwrap().1;
            rest.split(|c: char| c.is_whitespace() || c == '/')
                .next()
                .unwrap()
                .to_owned()
        };
        Self {
            sip: after("udp, tcp 127", "tcp "),
            http: after("http://", "http://"),
            https,
            child,
            log,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
