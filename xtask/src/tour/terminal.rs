//! One command in a terminal of its own: what it prints, what is typed, how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::PATIENCE_SECONDS;

/// A running command; killed when dropped.
pub(crate) struct Terminal {
    command: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Terminal {
    /// Starts `tidings ARGUMENTS` in `folder`; stdout and stderr come as one, as in a terminal.
    pub(crate) fn start(
        program: &Path,
        folder: &Path,
        arguments: &str,
    ) -> Result<Terminal, String> {
        let mut command = command(program, folder, arguments);
        command.stdin(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| format!("tidings {arguments}: {error}"))?;
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            pass_on(output, sender.clone());
        }
        if let Some(output) = child.stderr.take() {
            pass_on(output, sender);
        }
        let input = child.stdin.take();
        Ok(Terminal {
            command: format!("$ tidings {arguments}"),
            child,
            input,
            lines,
        })
    }

    /// The line that a person would have typed.
    pub(crate) fn command(&self) -> String {
        self.command.clone()
    }

    /// The next line it prints.
    pub(crate) fn line(&mut self) -> Result<String, String> {
        let patience = Duration::from_secs(PATIENCE_SECONDS);
        let line = self.lines.recv_timeout(patience);
        line.map_err(|error| format!("{}: no further line: {error}", self.command))
    }

    /// All lines up to one that begins so.
    pub(crate) fn lines_until(&mut self, beginning: &str) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            let is_last = line.starts_with(beginning);
            lines.push(line);
            if is_last {
                return Ok(lines);
            }
        }
    }

    /// The command, all its lines, and its exit status where that is not 0.
    pub(crate) fn every_line(mut self) -> Result<Vec<String>, String> {
        // Nobody types anything more.
        self.input = None;
        let mut lines = vec![self.command()];
        let patience = Duration::from_secs(PATIENCE_SECONDS);
        while let Ok(line) = self.lines.recv_timeout(patience) {
            lines.push(line);
        }
        let status = self
            .child
            .wait()
            .map_err(|error| format!("{}: {error}", self.command))?;
        match status.code() {
            Some(0) => {}
            Some(code) => lines.extend(["$ echo $?".to_owned(), code.to_string()]),
            None => return Err(format!("{}: ended by a signal", self.command)),
        }
        Ok(lines)
    }

    pub(crate) fn type_line(&mut self, line: &str) -> Result<(), String> {
        let Some(input) = &mut self.input else {
            return Err(format!("{}: nobody can type here", self.command));
        };
        writeln!(input, "{line}").map_err(|error| format!("{}: {error}", self.command))
    }

    /// Ctrl-C, and waits for the end.
    pub(crate) fn interrupt(mut self) {
        let id = self.child.id().to_string();
        // What does not heed it is killed by the drop.
        let _ = Command::new("kill").args(["-INT", &id]).status();
        let patience = Duration::from_secs(PATIENCE_SECONDS);
        while self.lines.recv_timeout(patience).is_ok() {}
        let _ = self.child.try_wait();
    }

    /// `kill -9`.
    pub(crate) fn kill(self) {}
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end; what it said to stderr and to stdout.
pub(crate) fn run_once(
    program: &Path,
    folder: &Path,
    arguments: &str,
) -> Result<(Vec<String>, Vec<String>), String> {
    let output = command(program, folder, arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| format!("tidings {arguments}: {error}"))?;
    let lines = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .lines()
            .map(str::to_owned)
            .collect()
    };
    Ok((lines(&output.stderr), lines(&output.stdout)))
}

/// Words are separated by blanks; double quotes keep them together.
fn command(program: &Path, folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(program);
    for (index, part) in arguments.split('"').enumerate() {
        if index % 2 == 1 {
            command.arg(part);
        } else {
            command.args(part.split_whitespace());
        }
    }
    command
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100");
    for name in [
        "TIDINGS_CONFIG",
        "TIDINGS_LOG",
        "TIDINGS_SERVER",
        "TIDINGS_AS",
    ] {
        command.env_remove(name);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn pass_on(output: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
}
