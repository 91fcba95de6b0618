//! `kill -9` at any moment: a process of its own writes, dies, and what it said to be durable is there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use machine::Record;
use store::{Commit, Observer, StoreError};
use support::*;

const FOLDER: &str = "STORE_TEST_FOLDER";
const COMMIT: &str = "STORE_TEST_COMMIT";

fn records(sequence: u64) -> Vec<Record> {
    vec![
        put(sequence % 40, &[sequence as u8; 200]),
        append((sequence + 20) % 40, &sequence.to_le_bytes()),
        append((sequence + 20) % 40, b"second half"),
        remove((sequence + 7) % 41),
    ]
}

#[derive(Default)]
struct Printer(Listener);

impl Observer for Printer {
    fn durable(&self, shard: u16, sequence: u64) {
        // In one piece, unbuffered: what the parent reads was said before the end.
        let line = format!("durable {sequence}.\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        self.0.durable(shard, sequence);
    }

    fn failed(&self, failure: &StoreError) {
        eprintln!("failed {failure}");
        self.0.failed(failure);
    }
}

/// The process that is killed; in an ordinary run of the tests it does nothing.
#[test]
fn writes_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let commit = if std::env::var(COMMIT).is_ok() {
        Commit::Fsync
    } else {
        Commit::Os
    };
    let printer = Arc::new(Printer::default());
    let recovered = store::open(Path::new(&folder), options(commit, 8192)).unwrap();
    let store = recovered.start(printer.clone()).unwrap();
    for sequence in 1.. {
        store.submit(batch(0, sequence, records(sequence)));
        // Now and then a quiet moment, so that some are written alone and some together.
        if sequence % 64 < 24 {
            printer.0.wait_for(0, sequence);
        }
    }
}

fn spawn(folder: &Path, commit: Commit) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "writes_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder);
    if commit == Commit::Fsync {
        command.env(COMMIT, "fsync");
    }
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn what_was_said_to_be_durable_is_there_after_kill_9() {
    for (round, commit) in [Commit::Fsync, Commit::Os]
        .into_iter()
        .cycle()
        .take(16)
        .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let mut child = spawn(folder.path(), commit);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = |line: String| {
            let sequence = line.strip_prefix("durable ")?.strip_suffix('.')?;
            Some(sequence.parse::<u64>().unwrap())
        };
        let mut durable = 0;
        for _ in 0..1 + round * round {
            durable = said(lines.next().unwrap().unwrap()).unwrap_or(durable);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        durable = lines
            .map_while(Result::ok)
            .filter_map(said)
            .last()
            .unwrap_or(durable);
        let found = replay(&mut *store::open(folder.path(), options(commit, 8192)).unwrap());
        let mut expected = Objects::new();
        (1..=durable).for_each(|sequence| apply(&mut expected, &records(sequence)));
        let mut next = durable;
        while found != expected {
            next += 1;
            assert!(
                next < durable + 100_000,
                "no prefix that has the first {durable} batches"
            );
            apply(&mut expected, &records(next));
        }
    }
}
