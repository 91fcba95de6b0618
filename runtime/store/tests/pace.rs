//! When the journal writes, syncs and notes what it promised.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::time::Duration;

use store::{Commit, Options};
use support::*;

#[test]
fn a_lazy_batch_alone_is_written_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let (store, listener) =
        start(store::open(folder.path(), options(Commit::Fsync, 4096)).unwrap());
    let began = clock();
    store.submit(lazy(0, 1, vec![put(1, b"nobody waits")]));
    listener.wait_for(0, 1);
    assert!(
        clock().since(began) >= Duration::from_millis(900),
        "it waited for company"
    );
    assert_eq!(store.status().syncs, 1);
}

#[test]
fn syncs_are_apart_when_busy() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let paced = Options {
        commit_gather: Duration::from_millis(50),
        ..options(Commit::Fsync, 1 << 20)
    };
    let (store, listener) = start(store::open(folder.path(), paced).unwrap());
    let began = clock();
    store.submit(batch(0, 1, vec![put(1, b"after quiet: at once")]));
    listener.wait_for(0, 1);
    for sequence in 2..=2000 {
        store.submit(batch(0, sequence, vec![put(sequence, &[0; 100])]));
    }
    listener.wait_for(0, 2000);
    let syncs_max = 2 + clock().since(began).as_millis() as u64 / 50;
    assert!(
        store.status().syncs <= syncs_max,
        "{:?}, at most {syncs_max}",
        store.status()
    );
    assert!(
        clock().since(began) >= Duration::from_millis(50),
        "the second sync waited"
    );
}

/// What was acknowledged last is known to be, although no later frame says so.
#[test]
fn when_idle_what_was_promised_is_noted() {
    for commit in [Commit::Fsync, Commit::Os] {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let (store, listener) = start(store::open(folder.path(), options(commit, 4096)).unwrap());
        store.submit(batch(0, 1, vec![put(1, b"the last")]));
        listener.wait_for(0, 1);
        let began = clock();
        while store::examine(folder.path()).unwrap().promised < 1 {
            assert!(
                clock().since(began) < Duration::from_secs(30),
                "never noted"
            );
        }
        let image = tempfile::tempdir().unwrap();
        crash_image(folder.path(), image.path());
        let first = segments(image.path()).remove(0);
        let mut bytes = std::fs::read(&first).unwrap();
        bytes[50] ^= 1;
        std::fs::write(first, bytes).unwrap();
        assert!(!store::examine(image.path()).unwrap().is_sound());
        store.close().unwrap();
    }
}
