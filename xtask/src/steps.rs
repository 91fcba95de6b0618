//! `cargo xtask test`: everything that must hold, one step after the other, and one line at the end that sums it up.

use crate::fuzz;
use crate::packages;
use crate::tally::{Tally, skipped_lines};
use crate::tidy;
use crate::tour;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// The name of the variable that tells tests where to write `skipped: NAME: why`.
const SKIPPED: &str = "TIDINGS_SKIPPED";
/// The package whose tests run against other people's programs.
const PEERS: &str = "peers";

/// Runs the steps; `quick` leaves out the documentation and the peers. A step that fails does not stop the others:
/// one run shows all that is wrong.
pub(crate) fn test(root: &Path, quick: bool) -> ExitCode {
    let mut run = Run::new(root);
    if !quick {
        run.step("packages", install);
    }
    run.step("format", |run| run.check(&["fmt", "--all", "--check"]));
    run.step("tidy", tidy);
    run.step("clippy", |run| {
        run.check(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    });
    // The tests that start the server start this one.
    run.step("build", |run| run.check(&["build", "--bins"]));
    run.step("tests", |run| {
        run.tests(&["test", "--workspace", "--exclude", PEERS, "--no-fail-fast"])
    });
    if !quick {
        run.step("peers", |run| {
            run.tests(&["test", "--package", PEERS, "--no-fail-fast"])
        });
        run.step("fuzz", fuzz_a_little);
        run.step("tour", take_tour);
        run.step("documentation", |run| {
            run.check(&["doc", "--workspace", "--no-deps"])
        });
    }
    run.finish()
}

struct Run<'r> {
    root: &'r Path,
    sum: Tally,
    /// How many of them were tests rather than checks.
    tests: u64,
    skipped: PathBuf,
    begun: Instant,
    /// One line for each step: its name, how long it took, what came out.
    table: Vec<String>,
}

impl<'r> Run<'r> {
    fn new(root: &'r Path) -> Run<'r> {
        let skipped = root.join("target").join("skipped.txt");
        // What a former run skipped is not skipped now. Without the file there is nothing to forget.
        let _ = fs::remove_file(&skipped);
        let (sum, tests, table) = (Tally::default(), 0, Vec::new());
        Run {
            root,
            sum,
            tests,
            skipped,
            begun: now(),
            table,
        }
    }

    fn step(&mut self, name: &str, deed: impl FnOnce(&mut Run<'r>) -> Tally) {
        println!("\n== {name}");
        let begun = now();
        let tally = deed(self);
        self.sum.add(tally);
        let seconds = begun.elapsed().as_secs_f64();
        let line = format!("{name:<15}{seconds:>7.1} s   {tally}");
        println!("-- {line}");
        self.table.push(line);
    }

    /// A command that is right when it exits with 0.
    fn check(&mut self, arguments: &[&str]) -> Tally {
        let mut command = self.cargo(arguments);
        Tally::one(command.status().is_ok_and(|status| status.success()))
    }

    /// A run of tests, passed on line by line and counted.
    fn tests(&mut self, arguments: &[&str]) -> Tally {
        let mut tally = Tally::default();
        let mut command = self.cargo(arguments);
        let Ok(mut child) = command.stdout(Stdio::piped()).spawn() else {
            return Tally::one(false);
        };
        if let Some(output) = child.stdout.take() {
            let mut lines = BufReader::new(output);
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                // Nobody may be reading any more; the tests still count.
                let _ = std::io::stdout().write_all(&line);
                tally.read_line(&String::from_utf8_lossy(&line));
                line.clear();
            }
        }
        let succeeded = child.wait().is_ok_and(|status| status.success());
        if !succeeded && tally.failed == 0 {
            // It did not compile, or a test took its whole process with it.
            tally.failed = 1;
        }
        self.tests += tally.passed + tally.failed;
        tally
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args(arguments)
            .current_dir(self.root)
            .stdin(Stdio::null());
        command
            .env(SKIPPED, &self.skipped)
            .env("RUSTDOCFLAGS", "-D warnings");
        command
    }

    fn finish(mut self) -> ExitCode {
        let written = fs::read_to_string(&self.skipped).unwrap_or_default();
        let skipped = skipped_lines(&written);
        self.sum.move_to_skipped(skipped.len() as u64);
        if self.tests == 0 {
            println!("\nno test ran");
            self.sum.failed += 1;
        }
        println!("\n== in all, {:.0} s", self.begun.elapsed().as_secs_f64());
        self.table.iter().for_each(|line| println!("{line}"));
        if !skipped.is_empty() {
            println!();
            skipped.iter().for_each(|line| println!("{line}"));
        }
        println!("\n{}", self.sum);
        if self.sum.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// A machine that tests changes must have the peers; on a person's machine their tests say that they were skipped.
fn install(_: &mut Run<'_>) -> Tally {
    match packages::install() {
        Ok(said) => {
            println!("{said}");
            Tally::one(true)
        }
        Err(why) => {
            println!("{why}");
            without_it()
        }
    }
}

/// The targets were played by the tests; here they are fuzzed, guided by what they cover.
fn fuzz_a_little(run: &mut Run<'_>) -> Tally {
    if !fuzz::is_possible() {
        println!("skipped: fuzz: no C++ compiler");
        return without_it();
    }
    let fuzzed = fuzz::bounded(run.root);
    if let Err(why) = &fuzzed {
        println!("{why}");
    }
    Tally::one(fuzzed.is_ok())
}

/// The README's tour shows the demo on its own ports. Where somebody else has them it is skipped, also in CI: a test must not
/// depend on a port being free.
fn take_tour(run: &mut Run<'_>) -> Tally {
    if let Some(why) = tour::occupied() {
        println!("skipped: tour: {why}");
        return Tally {
            passed: 0,
            failed: 0,
            skipped: 1,
        };
    }
    let taken = tour::check(run.root);
    let (Ok(said) | Err(said)) = &taken;
    println!("{said}");
    Tally::one(taken.is_ok())
}

/// What this machine cannot do is skipped on a person's, and a failure where changes are tested.
fn without_it() -> Tally {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    Tally {
        passed: 0,
        failed: u64::from(in_ci),
        skipped: u64::from(!in_ci),
    }
}

fn tidy(run: &mut Run<'_>) -> Tally {
    let findings = tidy::check(run.root).err().unwrap_or_default();
    findings.iter().for_each(|finding| println!("{finding}"));
    Tally::one(findings.is_empty())
}

#[allow(
    clippy::disallowed_methods,
    reason = "how long a step took is for the reader of its output"
)]
fn now() -> Instant {
    Instant::now()
}
