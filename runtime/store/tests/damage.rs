//! Torn, rotten, incomplete: what a start makes of a folder that isn't as it was left.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use store::{Commit, Report, StoreError};
use support::*;

/// A small journal of some segments, cleanly closed, one frame a batch, and what is in it.
fn small_journal(folder: &Path, commit: Commit) -> Objects {
    let (store, listener) = start(store::open(folder, options(commit, 1024)).unwrap());
    let mut objects = Objects::new();
    for sequence in 1..=10 {
        let mut records = vec![
            put(sequence, &[sequence as u8; 210]),
            append(sequence / 2 + 1, b"a refresh"),
        ];
        if sequence % 7 == 0 {
            records.push(remove(sequence - 3));
        }
        apply(&mut objects, &records);
        store.submit(batch(0, sequence, records));
        listener.wait_for(0, sequence);
    }
    store.close().unwrap();
    objects
}

/// All files of a data folder that can be damaged.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![folder.join("identity"), folder.join("promised")];
    files.extend(segments(folder));
    files
}

/// Opens the folder: its objects, or nothing when it is refused as damaged.
fn open(folder: &Path) -> Option<Objects> {
    match store::open(folder, options(Commit::Fsync, 1024)) {
        Ok(mut recovered) => Some(replay(&mut *recovered)),
        Err(StoreError::Damaged(report)) => {
            assert!(!report.is_sound());
            assert!(!report.to_string().is_empty());
            None
        }
        Err(other) => panic!("{other}"),
    }
}

/// Examines a folder in which something was changed; every so often a copy of it is opened for good.
fn check(folder: &Path, sound: &Report, expected: Option<&Objects>) -> bool {
    let report = store::examine(folder).unwrap();
    if report.is_sound() {
        let same = (report.objects, report.live_bytes, report.sequence);
        assert_eq!(
            same,
            (sound.objects, sound.live_bytes, sound.sequence),
            "silently less: {report}"
        );
    } else {
        assert!(report.damage[0].file.starts_with(folder), "{report}");
    }
    if let Some(expected) = expected {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder, copy.path());
        let found = open(copy.path());
        assert_eq!(found.is_some(), report.is_sound(), "examine and open agree");
        assert!(found.is_none_or(|found| found == *expected));
    }
    report.is_sound()
}

fn writable(file: &Path) -> File {
    File::options().write(true).open(file).unwrap()
}

#[test]
fn a_flipped_bit_anywhere_loses_nothing_silently() {
    let folder = tempfile::tempdir().unwrap();
    let expected = small_journal(folder.path(), Commit::Fsync);
    let sound = store::examine(folder.path()).unwrap();
    assert!(
        sound.is_sound() && sound.torn.is_none() && sound.frames >= 10,
        "{sound}"
    );
    assert!(sound.segments >= 3);
    let mut refused = 0;
    for path in files(folder.path()) {
        let (whole, file) = (std::fs::read(&path).unwrap(), writable(&path));
        let used = whole
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        for (at, byte) in whole.iter().enumerate() {
            // Behind what is used all zeros are alike.
            let bits = if at < used {
                8
            } else {
                usize::from(at % 64 == 0)
            };
            for bit in 0..bits {
                file.write_all_at(&[byte ^ 1 << bit], at as u64).unwrap();
                let opens = at % 97 == 0 && bit == at % 8;
                refused += u32::from(!check(folder.path(), &sound, opens.then_some(&expected)));
            }
            file.write_all_at(&[*byte], at as u64).unwrap();
        }
    }
    assert!(refused > 10_000, "most bits matter: {refused}");
    assert_eq!(open(folder.path()), Some(expected));
}

#[test]
fn a_zeroed_block_anywhere_loses_nothing_silently() {
    let folder = tempfile::tempdir().unwrap();
    let expected = small_journal(folder.path(), Commit::Fsync);
    let sound = store::examine(folder.path()).unwrap();
    for path in files(folder.path()) {
        let (whole, file) = (std::fs::read(&path).unwrap(), writable(&path));
        for at in 0..whole.len() {
            let end = (at + 512).min(whole.len());
            file.write_all_at(&[0; 512][..end - at], at as u64).unwrap();
            check(folder.path(), &sound, (at % 61 == 0).then_some(&expected));
            file.write_all_at(&whole[at..end], at as u64).unwrap();
        }
    }
    assert_eq!(open(folder.path()), Some(expected));
}

#[test]
fn a_file_cut_short_or_missing_loses_nothing_silently() {
    let folder = tempfile::tempdir().unwrap();
    let expected = small_journal(folder.path(), Commit::Os);
    let sound = store::examine(folder.path()).unwrap();
    for file in files(folder.path()) {
        let whole = std::fs::read(&file).unwrap();
        for length in (0..whole.len()).rev() {
            writable(&file).set_len(length as u64).unwrap();
            check(
                folder.path(),
                &sound,
                (length % 61 == 0).then_some(&expected),
            );
        }
        std::fs::remove_file(&file).unwrap();
        let report = store::examine(folder.path()).unwrap();
        assert!(
            !report.is_sound() || report.objects == sound.objects,
            "{report}"
        );
        std::fs::write(&file, &whole).unwrap();
    }
    std::fs::remove_dir_all(folder.path().join("journal")).unwrap();
    assert!(!store::examine(folder.path()).unwrap().is_sound());
}

/// A crash image: nothing but what the frames themselves promise, as `promised` is 100 ms late.
#[test]
fn an_end_cut_at_any_byte_leaves_a_prefix_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, listener) =
        start(store::open(folder.path(), options(Commit::Fsync, 8192)).unwrap());
    let mut states = vec![Objects::new()];
    for sequence in 1..=12 {
        let mut objects = states[states.len() - 1].clone();
        let records = vec![
            put(sequence, &[sequence as u8; 100]),
            append(sequence - 1, b"tail"),
        ];
        apply(&mut objects, &records);
        states.push(objects);
        store.submit(batch(0, sequence, records));
        listener.wait_for(0, sequence);
    }
    let image = tempfile::tempdir().unwrap();
    crash_image(folder.path(), image.path());
    store.close().unwrap();
    let last = segments(image.path()).remove(0);
    let whole = std::fs::read(&last).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut refused = 0;
    for length in 0..=used {
        std::fs::write(&last, &whole[..length]).unwrap();
        let before = store::examine(image.path()).unwrap();
        if !before.is_sound() {
            refused += 1;
            continue;
        }
        assert!(before.promised <= before.sequence);
        if length % 7 == 0 {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(image.path(), copy.path());
            let found = open(copy.path()).unwrap();
            let expected = states.get(before.sequence as usize);
            assert_eq!(Some(&found), expected, "whole frames, in order");
            let again = store::examine(copy.path()).unwrap();
            assert!(again.torn.is_none(), "cut once and for all: {again}");
        }
    }
    assert!(
        refused == 0 || refused > used / 2,
        "`promised` was written meanwhile, or not"
    );
}

#[test]
fn damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    small_journal(folder.path(), Commit::Fsync);
    let first = segments(folder.path()).remove(0);
    let mut bytes = std::fs::read(&first).unwrap();
    // The second frame: its first record puts object 2, its second appends to it.
    let second = 40 + bytes[4] as usize + 256 * bytes[5] as usize;
    let second = second.next_multiple_of(8);
    bytes[second + 40 + 16 + 5] ^= 4;
    std::fs::write(&first, &bytes).unwrap();
    let refused = store::open(folder.path(), options(Commit::Fsync, 1024))
        .err()
        .unwrap();
    assert!(refused.needs_a_person());
    let StoreError::Damaged(report) = &refused else {
        panic!("{refused}")
    };
    assert_eq!(report.damage_count, 1);
    let damage = &report.damage[0];
    assert_eq!(
        (&damage.file, damage.offset, damage.sequences),
        (&first, second as u64, Some((2, 2)))
    );
    assert_eq!(report.dropped, [key(2)]);
    assert_eq!(report.unreadable_records, 1);
    let text = refused.to_string();
    for word in [
        "0000000001.segment",
        &format!("offset {second}"),
        "frame 2",
        &format!("{:016x}", key(2).to_bits()),
    ] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn segments_that_changed_places_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    small_journal(folder.path(), Commit::Fsync);
    let files = segments(folder.path());
    let (first, second) = (
        std::fs::read(&files[0]).unwrap(),
        std::fs::read(&files[1]).unwrap(),
    );
    std::fs::write(&files[0], second).unwrap();
    std::fs::write(&files[1], first).unwrap();
    assert_eq!(open(folder.path()), None);
}

#[test]
fn an_older_identity_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    small_journal(folder.path(), Commit::Fsync);
    let copy = std::fs::read(folder.path().join("identity")).unwrap();
    let (store, listener) =
        start(store::open(folder.path(), options(Commit::Fsync, 1024)).unwrap());
    store.submit(batch(0, 1, vec![put(99, b"later")]));
    listener.wait_for(0, 1);
    store.close().unwrap();
    std::fs::write(folder.path().join("identity"), copy).unwrap();
    assert_eq!(open(folder.path()), None);
    let report = store::examine(folder.path()).unwrap();
    assert!(
        report
            .to_string()
            .contains("identity is older than its journal"),
        "{report}"
    );
}

/// With commit = os, a loss of power may take any of the newest pages; a crash of the process may not.
#[test]
fn what_power_took_from_unsynced_writes_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (store, listener) =
        start(store::open(folder.path(), options(Commit::Os, 1 << 20)).unwrap());
    let mut states = vec![Objects::new()];
    for sequence in 1..=12 {
        let mut objects = states[states.len() - 1].clone();
        apply(&mut objects, &[put(sequence, &[1; 3000])]);
        states.push(objects);
        store.submit(batch(0, sequence, vec![put(sequence, &[1; 3000])]));
        listener.wait_for(0, sequence);
    }
    let image = tempfile::tempdir().unwrap();
    crash_image(folder.path(), image.path());
    store.close().unwrap();
    std::fs::remove_file(image.path().join("promised")).unwrap();
    let first = segments(image.path()).remove(0);
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[16384..20480].fill(0);
    std::fs::write(&first, &bytes).unwrap();
    let report = store::examine(image.path()).unwrap();
    assert!(
        !report.is_sound(),
        "the same boot: a page does not vanish: {report}"
    );
    edit_identity(image.path(), |text| {
        let boot = text.split_once("boot = ").unwrap().0;
        format!("{boot}boot = 00000000-0000-0000-0000-000000000000\n")
    });
    let torn = store::examine(image.path()).unwrap().torn.unwrap();
    assert_eq!((torn.sequence, torn.offset), (6, 5 * 3056));
    assert!(torn.frames >= 5);
    assert_eq!(open(image.path()), Some(states[5].clone()));
    assert_eq!(
        open(image.path()),
        Some(states[5].clone()),
        "and stays so, now that this life is of this boot"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Frames written but not yet synced, in any mixture of there and not there: whole batches from the first, at least
    /// what was promised before.
    #[test]
    fn any_holes_in_the_unsynced_end_leave_a_prefix(
        sizes in prop::collection::vec(0usize..2500, 4..30),
        holes in prop::collection::vec((0usize..200, 1usize..5), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (store, listener) = start(store::open(folder.path(), options(Commit::Fsync, 16384)).unwrap());
        let mut states = vec![Objects::new()];
        // Handed over at once, so that one sync takes many frames, over several segments.
        for (position, size) in sizes.iter().enumerate() {
            let records = vec![put(position as u64, &vec![9; *size]), remove(position as u64 / 3)];
            let mut objects = states[position].clone();
            apply(&mut objects, &records);
            states.push(objects);
            store.submit(batch(0, position as u64 + 1, records));
        }
        listener.wait_for(0, sizes.len() as u64);
        let image = tempfile::tempdir().unwrap();
        crash_image(folder.path(), image.path());
        store.close().unwrap();
        let before = store::examine(image.path()).unwrap();
        for (block, length) in holes {
            let files = segments(image.path());
            let file = &files[block % files.len()];
            let mut bytes = std::fs::read(file).unwrap();
            let at = (block / files.len() * 512).min(bytes.len());
            let end = (at + length * 512).min(bytes.len());
            bytes[at..end].fill(0);
            std::fs::write(file, bytes).unwrap();
        }
        let report = store::examine(image.path()).unwrap();
        let found = open(image.path());
        prop_assert_eq!(found.is_some(), report.is_sound());
        if let Some(found) = found {
            prop_assert!(states.contains(&found), "whole batches from the first");
            // Everything that a later whole frame knows to be promised is there.
            prop_assert!(report.sequence >= report.promised);
            prop_assert!(report.sequence == before.sequence || report.torn.is_some() || report.sequence >= before.promised);
        }
    }
}

#[test]
fn zeros_that_a_copy_keeps_as_a_hole_are_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let (store, listener) =
        start(store::open(folder.path(), options(Commit::Fsync, 1 << 20)).unwrap());
    let records = vec![put(1, &[0; 200_000])];
    let mut objects = Objects::new();
    apply(&mut objects, &records);
    store.submit(batch(0, 1, records));
    listener.wait_for(0, 1);
    store.close().unwrap();
    let segment = segments(folder.path()).remove(0);
    let length = std::fs::metadata(&segment).unwrap().len();
    // All behind the first block is zeros: its blocks can be given back and nothing changes.
    let before = std::fs::read(&segment).unwrap();
    let file = writable(&segment);
    file.set_len(4096).unwrap();
    file.set_len(length).unwrap();
    assert_eq!(std::fs::read(&segment).unwrap(), before);
    assert_eq!(open(folder.path()), Some(objects));
}
