//! The programs under test, built once per test process with the profile of the test itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `tidings` binary.
pub fn tidings() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("tidings", "tidings"))
}

/// The server that kills itself at a commit point of its choice (`src/bin/crashing_server.rs`).
pub fn crashing_server() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("deployment", "crashing-server"))
}

/// The folder of this profile: the test runs from `target/PROFILE/deps`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().expect("a folder");
    if folder.ends_with("deps") {
        folder.parent().expect("a profile's folder").to_owned()
    } else {
        folder.to_owned()
    }
}

fn build(package: &str, binary: &str) -> PathBuf {
    let folder = profile_folder();
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "build",
            "--quiet",
            "--package",
            package,
            "--bin",
            binary,
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(folder.parent().expect("the target folder"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "building {binary} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = folder.join(binary);
    assert!(path.is_file(), "{} was not built", path.display());
    path
}
