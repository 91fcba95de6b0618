//! SIPp playing a scenario of ours against a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use deployment::{Over, PATIENCE, Server};
use tempfile::TempDir;

use crate::port::free_pair;
use crate::program::Program;

/// One SIPp process playing one scenario, once or as several calls at a time.
pub struct Sipp {
    scenario: String,
    program: Program,
    folder: TempDir,
}

impl Sipp {
    /// Plays `scenarios/NAME.xml` against `server`: `calls` calls at once about `presentity`, as `watcher` where the scenario watches.
    pub fn start(
        name: &str,
        server: &Server,
        over: Over,
        calls: u32,
        presentity: &str,
        watcher: &str,
    ) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("sipp-")
            .tempdir()
            .expect("a temporary folder");
        let scenario = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("scenarios")
            .join(name)
            .with_extension("xml");
        let calls = calls.to_string();
        let port = free_pair().to_string();
        let timeout = format!("{}s", PATIENCE.as_secs());
        let mut command = Command::new("sipp");
        command
            .arg(server.address(over).to_string())
            .arg("-sf")
            .arg(scenario);
        command.args([
            "-i",
            if matches!(over, Over::Udp6 | Over::Tcp6) {
                "::1"
            } else {
                "127.0.0.1"
            },
            "-p",
            &port,
        ]);
        command.args([
            "-t",
            if matches!(over, Over::Udp4 | Over::Udp6) {
                "u1"
            } else {
                "t1"
            },
        ]);
        command.args(["-m", &calls, "-l", &calls, "-r", "100"]);
        command.args(["-key", "presentity", presentity, "-key", "watcher", watcher]);
        command.args([
            "-key",
            "watcher_user",
            watcher.split('@').next().unwrap_or(watcher),
        ]);
        command.args(["-nostdin", "-timeout", &timeout, "-timeout_error"]);
        command.args([
            "-trace_err",
            "-error_file",
            "errors",
            "-trace_msg",
            "-message_file",
            "messages",
        ]);
        let program = Program::start(&mut command, folder.path());
        Self {
            scenario: format!("{name} over {over:?}"),
            program,
            folder,
        }
    }

    /// Waits until `calls` calls have come to where the scenario echoes these words.
    #[track_caller]
    pub fn says(&mut self, words: &str, calls: u32) {
        for _ in 0..calls {
            self.program.says(words);
        }
    }

    /// Waits for the end: every call went as the scenario says.
    #[track_caller]
    pub fn passes(mut self) {
        let status = self.program.wait();
        assert_eq!(
            status.code(),
            Some(0),
            "{}: not as the scenario says\n{}",
            self.scenario,
            self.evidence()
        );
    }

    /// Waits for the end: at least one call went otherwise.
    #[track_caller]
    pub fn fails(mut self) {
        let status = self.program.wait();
        assert_eq!(
            status.code(),
            Some(1),
            "{}: was to fail by a check of its own\n{}",
            self.scenario,
            self.evidence()
        );
    }

    /// What SIPp found wrong and the messages.
    fn evidence(&self) -> String {
        let read = |file: PathBuf| {
            fs::read(file)
                .map(|text| String::from_utf8_lossy(&text).into_owned())
                .unwrap_or_default()
        };
        let folder = self.folder.path();
        let messages = read(folder.join("messages"));
        let tail: Vec<&str> = messages.lines().rev().take(400).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!(
            "{}{}\n--- messages ---\n{}",
            read(folder.join("stderr")),
            read(folder.join("errors")),
            tail.join("\n")
        )
    }
}
