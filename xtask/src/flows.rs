//! `cargo xtask flows`: the ladders of `docs/flows/`, drawn by a run of each flow in the simulator.

use std::path::Path;
use std::process::{Command, ExitCode};

/// Compares them with a run, or writes what a run draws.
pub(crate) fn run(root: &Path, write: bool) -> ExitCode {
    let mut command = Command::new("cargo");
    command
        .args(["run", "--quiet", "-p", "sim", "--bin", "flows", "--"])
        .arg(root.join("docs").join("flows"))
        .current_dir(root);
    if write {
        command.arg("--write");
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo can't be run: {error}");
            ExitCode::FAILURE
        }
    }
}
