//! `cargo xtask sim`: stories in the simulated world, built for speed.

use std::path::Path;
use std::process::{Command, ExitCode};

/// Hands the words on: `--seeds N`, `--first S`, `--seed S`, `--jobs J`, `--keep-going`.
pub(crate) fn run(root: &Path, words: &[&str]) -> ExitCode {
    let status = Command::new("cargo")
        .args(["run", "--release", "--quiet", "-p", "sim", "--"])
        .args(words)
        .current_dir(root)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo can't be run: {error}");
            ExitCode::FAILURE
        }
    }
}
