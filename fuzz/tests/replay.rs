//! What is known is played again, and what lies around it: on any machine, without a fuzzer.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::path::{Path, PathBuf};

use fuzz::Target;
use fuzz::mutate::mutated;
use machine::Random;

/// The files of one folder, in the same order everywhere.
fn files(folder: &str, target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(target.name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// Everything that is known, then `mutations` changed by a seed.
fn play(name: &str, mutations: u32) {
    let target = fuzz::target(name).unwrap();
    let found = files("found", target);
    let corpus = files("corpus", target);
    assert!(
        !found.is_empty() && !corpus.is_empty(),
        "nothing is known of {name}"
    );
    let known: Vec<_> = found.into_iter().chain(corpus).collect();
    for (path, bytes) in &known {
        println!("{}", path.display());
        (target.run)(bytes);
    }
    let mut random = Random::new(u64::from(mutations));
    for number in 0..mutations {
        let pick = |random: &mut Random| random.below(known.len() as u64) as usize;
        let (path, seed) = &known[pick(&mut random)];
        let (_, other) = &known[pick(&mut random)];
        let bytes = mutated(&mut random, seed, other, target.bytes_max);
        println!(
            "mutation {number} of {}: {:?}",
            path.display(),
            bytes.escape_ascii().to_string()
        );
        (target.run)(&bytes);
    }
}

#[test]
fn sip_message() {
    play("sip_message", 20_000);
}

#[test]
fn stream_framing() {
    play("stream_framing", 5_000);
}

#[test]
fn header_values() {
    play("header_values", 50_000);
}

#[test]
fn pidf() {
    play("pidf", 3_000);
}

#[test]
fn shard_operations() {
    play("shard_operations", 300);
}

#[test]
fn every_target_is_played_here() {
    let played = [
        "sip_message",
        "stream_framing",
        "pidf",
        "header_values",
        "shard_operations",
    ];
    let names: Vec<_> = fuzz::TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, played);
}
