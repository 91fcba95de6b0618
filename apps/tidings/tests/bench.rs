//! `tidings bench` as a person calls it: a short run against a server of its own, and what it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by panicking"
)]

use std::net::UdpSocket;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.arg("bench").args(arguments);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const SHORT: [&str; 16] = [
    "--seconds",
    "0.2",
    "--warm-up-seconds",
    "0.1",
    "--window",
    "32",
    "--sockets",
    "4",
    "--presentities",
    "20",
    "--restored",
    "200",
    "--fan-out",
    "5x4",
    "--rules",
    "2x4",
];

#[test]
fn a_short_run_measures_everything_and_finds_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for transport in ["udp", "tcp"] {
        let mut arguments = SHORT.to_vec();
        let place = folder.path().to_str().unwrap();
        arguments.extend(["--json", "--transport", transport, "--folder", place]);
        let output = bench(&arguments);
        let report = text(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{report}\n{}",
            text(&output.stderr)
        );
        let report: Value = serde_json::from_str(report).unwrap();
        assert_eq!(report["wrong"]["total"], 0, "{report:#}");
        assert!(report["echo"]["cpu_us_per_pair"].as_f64().unwrap() > 0.0);
        let operations = report["operations"].as_array().unwrap();
        // Eight operations, each in both loops.
        assert_eq!(operations.len(), 16);
        for operation in operations {
            assert!(
                operation["operations"].as_u64().unwrap() > 0,
                "{operation:#}"
            );
            assert!(operation["server_cpu_us_per_unit"].as_f64().unwrap() > 0.0);
        }
        assert_eq!(report["restored"]["subscriptions"], 200);
        assert_eq!(report["restored"]["wrong"]["total"], 0);
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "its folders are gone");
}

#[test]
fn strangers_are_not_loaded() {
    let output = bench(&["192.0.2.1:5060"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "tidings: bench: 192.0.2.1:5060 is beyond this machine; if you may load it, say --target-is-mine\n"
    );
}

#[test]
fn a_silent_target_is_wrong() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = silent.local_addr().unwrap().to_string();
    let mut arguments = vec![target.as_str(), "--operations", "publish-initial"];
    arguments.extend([
        "--timeout-seconds",
        "0.4",
        "--echo-bytes",
        "0",
        "--loop",
        "closed",
    ]);
    arguments.extend(SHORT);
    let output = bench(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("no answer, first: PUBLISH Initial of 0"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn what_cannot_be_measured_is_bad_usage() {
    for arguments in [
        &["--loop", "open"][..],
        &["--fan-out", "100"],
        &["--operations", "invite"],
        &["--seconds", "0"],
        &["--window", "0"],
        &["127.0.0.1:9", "--operations", "restore"],
        &["127.0.0.1:9", "--operations", "rules"],
        &["127.0.0.1:9", "--xcap-root", "https://127.0.0.1/xcap-root"],
    ] {
        assert_eq!(bench(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let help = bench(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("--target-is-mine"));
}

/// They were taken, and nothing came of them: our own server's process is known anyhow.
#[test]
fn processes_belong_to_a_target() {
    let refused = bench(&["--process", "1"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("TARGET"), "{said}");
}
