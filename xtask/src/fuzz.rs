//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, built by the stable compiler.
//!
//! The corpus grows in `target/fuzz/corpus`, beginning with what is committed. An input that breaks a promise is left in
//! `target/fuzz/found`: it belongs in `fuzz/found/TARGET`, where every test run plays it again.

use crate::packages;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// The names that `FUZZ_TARGET` may have. A test of `fuzz` holds the list there to these.
const TARGETS: [&str; 5] = [
    "sip_message",
    "stream_framing",
    "pidf",
    "header_values",
    "shard_operations",
];

/// What makes the compiler count edges and compared values, without anything unstable.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// How long each target runs when nobody says.
const SECONDS: u32 = 60;

/// How many inputs a target gets where changes are tested: with one seed always the same ones, so that a find is the
/// doing of the change, not of a faster machine. A few seconds; a story on a shard takes longer than a document.
const fn runs_in_ci(target: &str) -> u32 {
    match target.as_bytes() {
        b"shard_operations" => 2_000,
        _ => 20_000,
    }
}

/// What a slow machine is spared.
const SECONDS_IN_CI: u32 = 60;

/// What is to be done with which targets.
struct Wish<'w> {
    targets: Vec<&'w str>,
    seconds: u32,
    /// Add to the repository what was found to cover more, instead.
    keep: bool,
}

/// `cargo xtask fuzz [--seconds N] [--keep] [TARGET…]`.
pub(crate) fn run(root: &Path, words: &[&str]) -> ExitCode {
    let done = read(words).and_then(|wish| {
        let fuzzer = build(root)?;
        for target in &wish.targets {
            match wish.keep {
                true => keep(root, &fuzzer, target)?,
                false => {
                    let grown = folder(root, "corpus", target)?;
                    fuzz(root, &fuzzer, target, wish.seconds, &grown, &[])?;
                }
            }
        }
        Ok(())
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// A few seconds of each target, always from what is committed, with the same seed and as many inputs.
pub(crate) fn bounded(root: &Path) -> Result<(), String> {
    let fuzzer = build(root)?;
    let each = |target: &&str| {
        let grown = emptied(root, "bounded", target)?;
        let runs = format!("-runs={}", runs_in_ci(target));
        fuzz(
            root,
            &fuzzer,
            target,
            SECONDS_IN_CI,
            &grown,
            &["-seed=1", &runs],
        )
    };
    TARGETS.iter().try_for_each(each)
}

/// Whether this machine can build the fuzzer: libFuzzer is C++.
pub(crate) fn is_possible() -> bool {
    std::env::var_os("CXX").is_some() || packages::is_there("c++")
}

fn read<'w>(words: &[&'w str]) -> Result<Wish<'w>, String> {
    let mut wish = Wish {
        targets: Vec::new(),
        seconds: SECONDS,
        keep: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--keep" => wish.keep = true,
            "--seconds" => {
                let seconds = words.next().and_then(|seconds| seconds.parse().ok());
                wish.seconds = seconds.ok_or("--seconds wants a number")?;
            }
            target if TARGETS.contains(&target) => wish.targets.push(target),
            other => {
                let known = TARGETS.join(", ");
                return Err(format!("{other} is no target; there are {known}"));
            }
        }
    }
    if wish.targets.is_empty() {
        wish.targets = TARGETS.to_vec();
    }
    Ok(wish)
}

fn build(root: &Path) -> Result<PathBuf, String> {
    if !is_possible() {
        return Err(
            "libFuzzer wants a C++ compiler; install with: sudo apt-get install g++".into(),
        );
    }
    let host = host()?;
    // With `--target` build scripts and procedural macros stay uninstrumented.
    let arguments = [
        "build",
        "--quiet",
        "--package",
        "fuzz",
        "--bin",
        "fuzzer",
        "--features",
        "libfuzzer",
        "--profile",
        "fuzz",
        "--target-dir",
        "target/fuzz",
        "--target",
        &host,
    ];
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(arguments)
        .env("RUSTFLAGS", COVERAGE)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(root);
    match command.status() {
        Ok(status) if status.success() => {
            let built = root.join("target/fuzz").join(host);
            Ok(built.join("fuzz/fuzzer"))
        }
        Ok(_) => Err("the fuzzer does not build".to_owned()),
        Err(error) => Err(format!("cargo can't be run: {error}")),
    }
}

/// The target triple of this machine.
fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output();
    let said = output.map_err(|error| format!("rustc can't be run: {error}"))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "rustc does not say its host".to_owned())
}

fn fuzz(
    root: &Path,
    fuzzer: &Path,
    target: &str,
    seconds: u32,
    grown: &Path,
    more: &[&str],
) -> Result<(), String> {
    println!("\n{target}, {seconds} s at most");
    let found = folder(root, "found", target)?;
    let package = root.join("fuzz");
    let mut command = fuzzer_command(fuzzer, target);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .args(more);
    let words = package.join("dictionaries").join(format!("{target}.dict"));
    if words.is_file() {
        command.arg(format!("-dict={}", words.display()));
    }
    command
        .arg(grown)
        .arg(package.join("corpus").join(target))
        .arg(package.join("found").join(target));
    match run_quietly(&mut command)? {
        true => Ok(()),
        false => Err(format!(
            "{target} is broken by the newest file in {}; move it to fuzz/found/{target}",
            found.display()
        )),
    }
}

/// Adds to what is committed the fewest inputs that cover the rest of what the grown corpus does.
fn keep(root: &Path, fuzzer: &Path, target: &str) -> Result<(), String> {
    let grown = folder(root, "corpus", target)?;
    let kept = root.join("fuzz/corpus").join(target);
    let mut command = fuzzer_command(fuzzer, target);
    command
        .args(["-set_cover_merge=1", "-use_counters=0"])
        .args([&kept, &grown]);
    match run_quietly(&mut command)? {
        true => Ok(()),
        false => Err(format!("{target}: the inputs could not be merged")),
    }
}

fn fuzzer_command(fuzzer: &Path, target: &str) -> Command {
    let mut command = Command::new(fuzzer);
    // A story of more operations than this says nothing new, and short ones are found soon enough.
    let lengths = match target {
        "shard_operations" => ["-max_len=384", "-len_control=10"],
        "header_values" => ["-max_len=512", "-len_control=100"],
        _ => ["-max_len=4096", "-len_control=100"],
    };
    command
        .env("FUZZ_TARGET", target)
        .args(["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .args(lengths);
    command
}

/// Runs a fuzzer and shows the end of what it said: all of it when it failed.
fn run_quietly(command: &mut Command) -> Result<bool, String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("the fuzzer can't be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let statistics = |line: &&str| line.starts_with("stat::") || line.starts_with("Done ");
    if output.status.success() {
        said.lines()
            .filter(statistics)
            .for_each(|line| println!("{line}"));
    } else {
        eprintln!("{said}");
    }
    Ok(output.status.success())
}

/// A folder of a target below `target/fuzz`.
fn folder(root: &Path, name: &str, target: &str) -> Result<PathBuf, String> {
    let folder = root.join("target/fuzz").join(name).join(target);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// The same without what a former run left there.
fn emptied(root: &Path, name: &str, target: &str) -> Result<PathBuf, String> {
    let former = folder(root, name, target)?;
    fs::remove_dir_all(&former).map_err(|error| format!("{}: {error}", former.display()))?;
    folder(root, name, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_targets_and_seconds() {
        let wish = read(&["--seconds", "7", "pidf"]).unwrap();
        assert_eq!((wish.targets, wish.seconds), (vec!["pidf"], 7));
        assert_eq!(read(&[]).unwrap().targets, TARGETS);
        assert!(read(&["--seconds"]).is_err());
        assert!(read(&["nothing"]).is_err());
    }

    #[test]
    fn each_target_has_its_folders() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        for folder in ["corpus", "found"] {
            let folder = package.join(folder);
            let entries = fs::read_dir(folder).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            let mut targets = TARGETS.to_vec();
            targets.sort_unstable();
            assert_eq!(names, targets);
        }
    }
}
