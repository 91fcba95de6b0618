//! The project's own commands: `cargo xtask test`, `cargo xtask tidy`, `cargo xtask install`.

mod flows;
mod fuzz;
mod packages;
mod sim;
mod steps;
mod tally;
mod tidy;
mod tour;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND
  test [--quick]   everything that must hold: formatting, tidy, clippy, tests, documentation, peers
                   (--quick leaves out peers, fuzzer, tour and documentation)
  tidy             the arrows between floors, room labels, sizes, names, what is nowhere to be found
  tour [--write]   the README's tour, run and compared; or what a run says, written into it
  flows [--write]  the ladders of docs/flows, compared with a run of each flow; or drawn anew
  sim [--seeds N] [--first S] [--seed S] [--jobs J] [--keep-going]
                   stories in the simulated world, by their seeds from the first on; a broken promise is told as short as it gets
  fuzz [--seconds N] [--keep] [TARGET…]
                   the targets of fuzz/ under libFuzzer, a minute each; or the fewest new inputs, kept in fuzz/corpus
  install          the Debian packages that the tests with peers need";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = workspace();
    match words.as_slice() {
        ["test"] => steps::test(&root, false),
        ["test", "--quick"] => steps::test(&root, true),
        ["tidy"] => tidy::run(&root),
        ["tour"] => tour::run(&root, false),
        ["tour", "--write"] => tour::run(&root, true),
        ["flows"] => flows::run(&root, false),
        ["flows", "--write"] => flows::run(&root, true),
        ["install"] => packages::run(),
        ["fuzz", words @ ..] => fuzz::run(&root, words),
        ["sim", words @ ..] => sim::run(&root, words),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The folder of the workspace: the parent of this package's.
fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}
