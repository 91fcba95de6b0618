//! A program that is not ours: whether it is there, and its process while it runs.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use deployment::Deadline;
use rustix::process::{Pid, Signal, kill_process};

use crate::skipped::{has_to_be_there, skipped};

/// Whether `test` can run: the program is there. Without it the test is skipped and says so, except where changes are
/// tested (`CI=true`): there it fails.
#[track_caller]
pub fn is_there(program: &str, test: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        return true;
    }
    has_to_be_there(program);
    skipped(
        test,
        &format!("{program} is not there; `sudo cargo xtask install` brings it"),
    );
    false
}

/// A running process; killed when dropped.
pub struct Program {
    name: String,
    child: Child,
    lines: Receiver<String>,
    /// Everything it said so far.
    said: String,
}

impl Program {
    /// Starts it in `folder`, without a terminal; stdout and stderr are read as one.
    pub fn start(command: &mut Command, folder: &Path) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let stderr = File::create(folder.join("stderr")).expect("a file for stderr");
        command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdout = child.stdout.take().expect("a piped stdout");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if sender
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    break;
                }
            }
        });
        Self {
            name,
            child,
            lines,
            said: String::new(),
        }
    }

    /// Waits until it says a line with these words.
    #[track_caller]
    pub fn says(&mut self, words: &str) {
        let deadline = Deadline::default();
        loop {
            match self.lines.recv_timeout(deadline.left().unwrap_or_default()) {
                Ok(line) => {
                    self.remember(&line);
                    if line.contains(words) {
                        return;
                    }
                }
                Err(_) => panic!("{} never said {words:?}:\n{}", self.name, self.said),
            }
        }
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("a process number"), Signal::TERM)
            .expect("a signal to a child of ours");
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Deadline::default();
        loop {
            match self.lines.recv_timeout(deadline.left().unwrap_or_default()) {
                Ok(line) => self.remember(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} does not end:\n{}", self.name, self.said)
                }
            }
        }
        self.child.wait().expect("waiting for a child")
    }

    /// Everything it said so far.
    pub fn said(&self) -> &str {
        &self.said
    }

    fn remember(&mut self, line: &str) {
        self.said.push_str(line);
        self.said.push('\n');
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
