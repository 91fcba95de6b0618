//! The data folder: who may have it, who may read it, which version wrote it; and a disk with no room.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use store::{Commit, Options, StoreError};
use support::*;

#[test]
fn folder_and_files_are_for_their_owner_only() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("new/data");
    let (store, listener) = start(store::open(&folder, options(Commit::Fsync, 4096)).unwrap());
    store.submit(batch(0, 1, vec![put(1, b"x")]));
    listener.wait_for(0, 1);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&folder), mode(&folder.join("journal"))),
        (0o700, 0o700)
    );
    for file in ["lock", "identity", "promised"]
        .map(|name| folder.join(name))
        .into_iter()
        .chain(segments(&folder))
    {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_folder_in_use_says_by_whom() {
    let folder = tempfile::tempdir().unwrap();
    let first = store::open(folder.path(), options(Commit::Fsync, 4096)).unwrap();
    let refused = store::open(folder.path(), options(Commit::Fsync, 4096))
        .err()
        .unwrap();
    let StoreError::InUse { process, .. } = refused else {
        panic!("{refused}")
    };
    assert_eq!(process, Some(std::process::id()));
    assert!(
        refused
            .to_string()
            .contains(&format!("in use by process {}", std::process::id()))
    );
    drop(first);
    store::open(folder.path(), options(Commit::Fsync, 4096)).unwrap();
}

#[test]
fn a_newer_format_is_refused_naming_both() {
    let folder = tempfile::tempdir().unwrap();
    drop(store::open(folder.path(), options(Commit::Fsync, 4096)).unwrap());
    edit_identity(folder.path(), |text| {
        text.replace("format = 1", "format = 7\nsomething = new")
    });
    let refused = store::open(folder.path(), options(Commit::Fsync, 4096))
        .err()
        .unwrap();
    assert!(
        matches!(
            refused,
            StoreError::Newer {
                found: 7,
                known: 1,
                ..
            }
        ),
        "{refused}"
    );
    assert!(refused.needs_a_person());
    assert!(matches!(
        store::examine(folder.path()),
        Err(StoreError::Newer { .. })
    ));
}

#[test]
fn examining_changes_nothing_and_makes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let missing = root.path().join("nowhere");
    assert!(matches!(
        store::examine(&missing),
        Err(StoreError::Io {
            kind: std::io::ErrorKind::NotFound,
            ..
        })
    ));
    assert!(!missing.exists());
    let empty = store::examine(root.path()).unwrap();
    assert_eq!((empty.identity, empty.objects), (None, 0));
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_full_disk_refuses_new_state_and_takes_removals_and_refreshes() {
    const SEGMENT: u64 = 16384;
    let folder = tempfile::tempdir().unwrap();
    let limited = Options {
        disk_bytes_max: Some(8 * SEGMENT),
        ..options(Commit::Os, SEGMENT as u32)
    };
    let (store, listener) = start(store::open(folder.path(), limited.clone()).unwrap());
    let mut expected = Objects::new();
    let mut sequence = 0;
    let mut take = |expected: &mut Objects, records: Vec<_>| {
        sequence += 1;
        apply(expected, &records);
        store.submit(batch(0, sequence, records));
        listener.wait_for(0, sequence);
    };
    let mut objects = 0;
    while store.room() {
        objects += 1;
        take(&mut expected, vec![put(objects, &[1; 500])]);
        assert!(objects < 1000, "it has to end");
    }
    assert!(objects > 150, "most of the disk was used: {objects}");
    // As many refreshes and ends as there are objects, and more refreshes than there is space for, as the old ones die.
    for round in 0..20 {
        for number in 1..=objects {
            if number % 2 == 0 {
                take(
                    &mut expected,
                    vec![if round == 0 {
                        remove(number)
                    } else {
                        append(number, b"ignored")
                    }],
                );
            } else if round == 0 {
                take(&mut expected, vec![append(number, b"refreshed")]);
            } else {
                take(&mut expected, vec![put(number, &[round as u8; 490])]);
            }
        }
        assert!(disk_bytes(folder.path()) <= 8 * SEGMENT);
    }
    assert!(store.room(), "half of it is free again");
    assert!(listener.heard.lock().unwrap().failed.is_empty());
    store.close().unwrap();
    assert_eq!(
        replay(&mut *store::open(folder.path(), limited).unwrap()),
        expected
    );
}

#[test]
fn a_reserve_that_is_used_up_is_a_failure_and_nothing_is_promised_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let limited = Options {
        disk_bytes_max: Some(4 * 4096),
        ..options(Commit::Fsync, 4096)
    };
    let (store, listener) = start(store::open(folder.path(), limited.clone()).unwrap());
    for sequence in 1..=100 {
        store.submit(batch(0, sequence, vec![put(sequence, &[1; 500])]));
    }
    let failure = listener.wait_for_failure();
    assert!(
        matches!(
            failure,
            StoreError::Io {
                kind: std::io::ErrorKind::StorageFull,
                ..
            }
        ),
        "{failure}"
    );
    assert!(!store.room());
    let promised = listener.newest(0);
    store.submit(batch(0, 101, vec![remove(1)]));
    assert!(store.close().is_err());
    assert_eq!(listener.newest(0), promised);
    assert_eq!(listener.heard.lock().unwrap().failed.len(), 1);
    let found = replay(&mut *store::open(folder.path(), limited).unwrap());
    assert!(found.len() as u64 >= promised);
}

/// The same on a filesystem that is really full. Needs the right to mount one.
#[test]
fn a_really_full_disk() {
    let root = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(root.path())
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: may not mount a small filesystem");
        return;
    }
    let folder = root.path().join("data");
    let (store, listener) = start(store::open(&folder, options(Commit::Fsync, 32768)).unwrap());
    let mut sequence = 0;
    while store.room() && sequence < 1000 {
        sequence += 1;
        store.submit(batch(0, sequence, vec![put(sequence, &[1; 500])]));
        listener.wait_for(0, sequence);
    }
    assert!(sequence > 250 && sequence < 1000, "{sequence}");
    for number in 1..=sequence {
        store.submit(batch(0, sequence + number, vec![remove(number)]));
        listener.wait_for(0, sequence + number);
    }
    let closed = store.close();
    let objects = store::open(&folder, options(Commit::Fsync, 32768))
        .map(|mut recovered| replay(&mut *recovered).len());
    drop(store);
    let _ = Command::new("umount").arg(root.path()).status();
    assert!(closed.is_ok());
    assert_eq!(objects.unwrap(), 0);
}

#[test]
fn a_start_needs_no_room_that_the_last_one_did_not_leave() {
    let folder = tempfile::tempdir().unwrap();
    let next = folder.path().join("identity.next");
    for starts in 1..=3 {
        let recovered = store::open(folder.path(), options(Commit::Fsync, 1 << 16)).unwrap();
        assert_eq!(recovered.identity().starts, starts);
        let kept = std::fs::metadata(&next).unwrap();
        assert!(kept.blocks() > 0 && kept.len() > 100, "{kept:?}");
        // A start that was interrupted leaves anything in it.
        std::fs::write(&next, vec![b'x'; 4096 * starts as usize - 1]).unwrap();
    }
}
