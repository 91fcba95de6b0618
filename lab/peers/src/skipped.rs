//! A test that finds nothing to run against says so. One file for all: tests below `lab` take it by its path, for they need nothing else of it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says that a test found nothing to run against, to the reader and to `cargo xtask test`, which counts it as skipped.
pub(crate) fn skipped(test: &str, why: &str) {
    let line = format!("skipped: {test}: {why}\n");
    print!("{line}");
    if let Some(path) = std::env::var_os("TIDINGS_SKIPPED") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        assert!(written.is_ok(), "TIDINGS_SKIPPED names a file");
    }
}

/// The test that this thread runs.
#[allow(dead_code, reason = "some know what they are called")]
pub(crate) fn this_test() -> String {
    let thread = std::thread::current();
    thread.name().unwrap_or("a test").to_owned()
}

/// What is missing is no fault where it can't be had; a program can be had wherever changes are tested (`CI=true`).
#[allow(dead_code, reason = "some need no program")]
pub(crate) fn has_to_be_there(program: &str) {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(
        !in_ci,
        "{program} is not there; `cargo xtask install` brings it"
    );
}

/// The shared folder with the official schemas, this one among them, where it and xmllint are at hand; otherwise the test is skipped.
/// For crates two folders below the project.
#[allow(dead_code, reason = "some need no schema")]
pub(crate) fn standards_with(schema: &str) -> Option<PathBuf> {
    let standards = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/standards");
    if !standards.join("schemas").join(schema).is_file() {
        skipped(&this_test(), "no official schemas in ../shared/standards");
        return None;
    }
    if Command::new("xmllint").arg("--version").output().is_err() {
        has_to_be_there("xmllint");
        skipped(&this_test(), "xmllint is not there");
        return None;
    }
    Some(standards)
}
