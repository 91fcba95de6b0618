//! The cleaner: the disk stays bounded, nothing is lost or applied twice, also when it is interrupted anywhere.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use machine::Random;
use store::{Commit, Observer, Options, StoreError};
use support::*;

#[test]
fn the_disk_stays_within_twice_the_live_bytes_and_two_segments() {
    const SEGMENT: u64 = 256 << 10;
    const OBJECTS: u64 = 5000;
    let folder = tempfile::tempdir().unwrap();
    let (store, listener) =
        start(store::open(folder.path(), options(Commit::Os, SEGMENT as u32)).unwrap());
    let mut random = Random::new(1);
    let mut appends = vec![0u8; OBJECTS as usize];
    let mut expected = Objects::new();
    let mut sequence = 0;
    let mut refreshes = 0;
    while refreshes < 600_000 {
        let records: Vec<_> = (0..500)
            .map(|_| {
                let number = random.below(OBJECTS);
                let before = &mut appends[number as usize];
                *before = (*before + 1) % 16;
                if *before == 1 {
                    put(number, &[number as u8; 120])
                } else {
                    append(number, &[sequence as u8; 12])
                }
            })
            .collect();
        refreshes += records.len();
        apply(&mut expected, &records);
        sequence += 1;
        store.submit(batch(0, sequence, records));
        listener.wait_for(0, sequence);
        if sequence % 16 == 0 {
            let status = store.status();
            assert!(
                status.disk_bytes <= 2 * status.live_bytes + 2 * SEGMENT,
                "{status:?}"
            );
        }
    }
    let status = store.status();
    store.close().unwrap();
    assert!(disk_bytes(folder.path()) <= 2 * status.live_bytes + 2 * SEGMENT);
    assert_eq!(
        replay(&mut *store::open(folder.path(), options(Commit::Os, SEGMENT as u32)).unwrap()),
        expected
    );
}

/// Objects that nobody touches beside one that is written all the time: the copies are whole chains, in order.
#[test]
fn what_is_cold_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (store, listener) =
        start(store::open(folder.path(), options(Commit::Fsync, 4096)).unwrap());
    let mut expected = Objects::new();
    for sequence in 1..=600 {
        let records = match sequence {
            1..=20 => vec![
                put(sequence, b"cold"),
                append(sequence, b"1"),
                append(sequence, b"2"),
            ],
            21..=40 => vec![append(sequence - 20, b"3"), put(99, &[3; 100])],
            _ => vec![put(99, &[sequence as u8; 300])],
        };
        apply(&mut expected, &records);
        store.submit(batch(0, sequence, records));
        listener.wait_for(0, sequence);
    }
    assert!(store.status().copied_bytes > 1000, "{:?}", store.status());
    store.close().unwrap();
    assert!(disk_bytes(folder.path()) < 30_000);
    assert_eq!(
        replay(&mut *store::open(folder.path(), options(Commit::Fsync, 4096)).unwrap()),
        expected
    );
}

/// Takes an image of the folder at each report, as a crash right after it would leave it: between a copy and the
/// deletion of the old segment too.
struct Images {
    inner: Listener,
    folder: std::path::PathBuf,
    images: std::path::PathBuf,
}

impl Observer for Images {
    fn durable(&self, shard: u16, sequence: u64) {
        copy_folder(&self.folder, &self.images.join(sequence.to_string()));
        self.inner.durable(shard, sequence);
    }

    fn failed(&self, failure: &StoreError) {
        self.inner.failed(failure);
    }
}

#[test]
fn a_crash_beside_the_cleaner_applies_no_chain_twice() {
    let root = tempfile::tempdir().unwrap();
    let (folder, images) = (root.path().join("data"), root.path().join("images"));
    let observer = std::sync::Arc::new(Images {
        inner: Listener::default(),
        folder: folder.clone(),
        images: images.clone(),
    });
    let store = store::open(&folder, options(Commit::Fsync, 4096))
        .unwrap()
        .start(observer.clone())
        .unwrap();
    let mut states = vec![Objects::new()];
    for sequence in 1..=150u64 {
        let number = sequence % 9;
        let records = vec![
            if sequence % 5 == 0 || sequence < 10 {
                put(number, &[sequence as u8; 150])
            } else {
                append(number, &[7; 40])
            },
            put(50, &[1; 60]),
            remove(60 + sequence % 3),
            put(60 + (sequence + 1) % 3, b"comes and goes"),
        ];
        let mut objects = states[states.len() - 1].clone();
        apply(&mut objects, &records);
        states.push(objects);
        store.submit(batch(0, sequence, records));
        observer.inner.wait_for(0, sequence);
    }
    assert!(store.status().copied_bytes > 5000);
    store.close().unwrap();
    for (sequence, state) in states.iter().enumerate().skip(1) {
        let image = images.join(sequence.to_string());
        let found = replay(&mut *store::open(&image, options(Commit::Fsync, 4096)).unwrap());
        assert_eq!(found, *state, "after batch {sequence}");
    }
}

/// A segment that was cleaned and not yet deleted, because we crashed in between, is neither needed nor believed.
#[test]
fn a_cleaned_segment_that_is_still_there_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let opened = || store::open(folder.path(), options(Commit::Fsync, 4096)).unwrap();
    let (store, listener) = start(opened());
    store.submit(batch(0, 1, vec![put(1, b"cold"), append(1, b"+")]));
    listener.wait_for(0, 1);
    let first = segments(folder.path()).remove(0);
    for sequence in 2..=9 {
        store.submit(batch(0, sequence, vec![put(2, &[1; 400])]));
        listener.wait_for(0, sequence);
    }
    let kept = std::fs::read(&first).unwrap();
    for sequence in 10..=30 {
        store.submit(batch(0, sequence, vec![put(2, &[2; 400])]));
        listener.wait_for(0, sequence);
    }
    store.close().unwrap();
    assert!(!first.exists(), "cleaned");
    std::fs::write(&first, &kept).unwrap();
    let found = replay(&mut *opened());
    assert_eq!(found[&key(1)], [b"cold".to_vec(), b"+".to_vec()]);
    assert_eq!(found[&key(2)], [vec![2; 400]]);
    assert!(!first.exists());
}

/// Rotten bytes don't get a new checksum by being copied.
#[test]
fn what_rots_while_running_is_noticed_by_the_cleaner() {
    let folder = tempfile::tempdir().unwrap();
    let (store, listener) =
        start(store::open(folder.path(), options(Commit::Fsync, 4096)).unwrap());
    store.submit(batch(0, 1, vec![put(1, &[5; 300])]));
    listener.wait_for(0, 1);
    let first = segments(folder.path()).remove(0);
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[100] ^= 1;
    {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(&first)
            .unwrap();
        file.write_all_at(&bytes[100..101], 100).unwrap();
    }
    for sequence in 2..=60 {
        store.submit(batch(0, sequence, vec![put(2, &[1; 400])]));
    }
    let failure = listener.wait_for_failure();
    assert!(matches!(failure, StoreError::Damaged(_)), "{failure}");
    assert!(
        failure.to_string().contains("0000000001.segment"),
        "{failure}"
    );
}

/// One batch larger than a segment is still one frame.
#[test]
fn a_batch_beyond_a_segment_gets_one_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let small = Options {
        disk_bytes_max: None,
        ..options(Commit::Fsync, 4096)
    };
    let (store, listener) = start(store::open(folder.path(), small.clone()).unwrap());
    let mut expected = Objects::new();
    for sequence in 1..=6 {
        let records: Vec<_> = (0..100)
            .map(|number| put(number, &[sequence as u8; 200]))
            .collect();
        apply(&mut expected, &records);
        store.submit(batch(0, sequence, records));
        listener.wait_for(0, sequence);
    }
    store.close().unwrap();
    assert_eq!(
        replay(&mut *store::open(folder.path(), small).unwrap()),
        expected
    );
}
