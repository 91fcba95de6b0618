//! One suite for every store: what `store::contract` promises.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::cell::{Cell, RefCell};
use std::path::PathBuf;

use machine::{Batch, Random, Record};
use proptest::prelude::*;
use store::{Commit, Memory, Recovered, StoreError};
use support::*;

/// A disk that survives its processes.
trait Disk {
    fn open(&self) -> Result<Box<dyn Recovered>, StoreError>;
    /// The process ends without a word; the disk keeps what it has.
    fn crash(&self);
    /// Where durability is done by hand: all of it.
    fn settle(&self) {}
}

struct Instantly(Memory);
struct ByHand(Memory, RefCell<Random>);
struct OnDisk {
    root: tempfile::TempDir,
    commit: Commit,
    life: Cell<u32>,
}

impl Disk for Instantly {
    fn open(&self) -> Result<Box<dyn Recovered>, StoreError> {
        self.0.open()
    }

    fn crash(&self) {
        self.0.crash(&mut Random::new(1));
    }
}

impl Disk for ByHand {
    fn open(&self) -> Result<Box<dyn Recovered>, StoreError> {
        self.0.open()
    }

    fn crash(&self) {
        self.0.crash(&mut self.1.borrow_mut());
    }

    fn settle(&self) {
        while self.0.step() {}
    }
}

impl OnDisk {
    fn folder(&self) -> PathBuf {
        self.root.path().join(self.life.get().to_string())
    }
}

impl Disk for OnDisk {
    fn open(&self) -> Result<Box<dyn Recovered>, StoreError> {
        store::open(&self.folder(), options(self.commit, 4096))
    }

    fn crash(&self) {
        // What another process would find: the files as they are while the first still runs.
        let before = self.folder();
        self.life.set(self.life.get() + 1);
        crash_image(&before, &self.folder());
    }
}

fn instantly() -> impl Disk {
    Instantly(Memory::new([7; 16]))
}

fn by_hand(seed: u64) -> impl Disk {
    ByHand(Memory::by_hand([7; 16]), RefCell::new(Random::new(seed)))
}

fn on_disk(commit: Commit) -> impl Disk {
    OnDisk {
        root: tempfile::tempdir().unwrap(),
        commit,
        life: Cell::new(0),
    }
}

/// Makes a module of the suite for each store.
macro_rules! conformance {
    ($($case:ident)*) => {
        mod memory { $(#[test] fn $case() { super::$case(&super::instantly()); })* }
        mod memory_by_hand { $(#[test] fn $case() { super::$case(&super::by_hand(3)); })* }
        mod journal_fsync { $(#[test] fn $case() { super::$case(&super::on_disk(store::Commit::Fsync)); })* }
        mod journal_os { $(#[test] fn $case() { super::$case(&super::on_disk(store::Commit::Os)); })* }
    };
}

conformance! {
    a_new_store_is_empty_and_counts_its_starts
    objects_survive_a_clean_stop
    an_open_store_is_not_opened_twice
    durability_is_reported_in_order_for_each_shard
    what_was_reported_survives_a_crash
    a_crash_keeps_a_prefix_across_shards
    lazy_batches_ride_with_the_next
    closing_makes_lazy_batches_durable
    after_close_nothing_is_taken
}

fn a_new_store_is_empty_and_counts_its_starts(disk: &dyn Disk) {
    let mut first = disk.open().unwrap();
    assert_eq!(replay(&mut *first), Objects::new());
    let identity = first.identity();
    assert_eq!(identity.starts, 1);
    drop(first);
    for starts in 2..5 {
        let next = disk.open().unwrap();
        assert_eq!(next.identity().hash_key, identity.hash_key);
        assert_eq!(next.identity().starts, starts);
        let (store, _) = start(next);
        assert!(store.room());
        store.close().unwrap();
    }
}

fn objects_survive_a_clean_stop(disk: &dyn Disk) {
    let (store, _) = start(disk.open().unwrap());
    let batches = [
        vec![
            put(1, b"one"),
            put(2, b"two"),
            put(3, b""),
            append(9, b"nobody"),
        ],
        vec![
            append(1, b"+"),
            append(1, b""),
            append(2, b"+"),
            remove(3),
            remove(8),
        ],
        vec![
            put(2, b"zwei"),
            put(3, b"three"),
            remove(1),
            append(1, b"gone"),
        ],
        vec![append(2, b"!"), append(2, b"?")],
    ];
    let mut expected = Objects::new();
    for (position, records) in batches.into_iter().enumerate() {
        apply(&mut expected, &records);
        store.submit(batch(0, position as u64 + 1, records));
    }
    store.close().unwrap();
    let mut next = disk.open().unwrap();
    assert_eq!(replay(&mut *next), expected);
    assert_eq!(
        expected[&key(2)],
        [b"zwei".to_vec(), b"!".to_vec(), b"?".to_vec()]
    );
    assert_eq!(replay(&mut *next), expected, "asked twice, told twice");
    let (store, _) = start(next);
    store.submit(batch(0, 1, vec![append(3, b"more")]));
    store.close().unwrap();
    apply(&mut expected, &[append(3, b"more")]);
    assert_eq!(replay(&mut *disk.open().unwrap()), expected);
}

fn an_open_store_is_not_opened_twice(disk: &dyn Disk) {
    let first = disk.open().unwrap();
    assert!(matches!(disk.open().err(), Some(StoreError::InUse { .. })));
    let (store, _) = start(first);
    let refused = disk.open().err().unwrap();
    assert!(refused.needs_a_person(), "{refused}");
    store.close().unwrap();
    assert_eq!(
        disk.open().unwrap().identity().starts,
        2,
        "a refused open is no start"
    );
}

fn durability_is_reported_in_order_for_each_shard(disk: &dyn Disk) {
    let (store, listener) = start(disk.open().unwrap());
    for sequence in 1..=50 {
        for shard in 0..3 {
            store.submit(batch(
                shard,
                sequence,
                vec![put(sequence * 3 + u64::from(shard), b"x")],
            ));
        }
    }
    disk.settle();
    (0..3).for_each(|shard| listener.wait_for(shard, 50));
    store.close().unwrap();
    let heard = listener.heard.lock().unwrap();
    for shard in 0..3 {
        let own: Vec<u64> = heard
            .durable
            .iter()
            .filter(|(s, _)| *s == shard)
            .map(|(_, sequence)| *sequence)
            .collect();
        assert!(own.is_sorted_by(|a, b| a < b), "{own:?}");
    }
    assert!(heard.failed.is_empty());
}

fn what_was_reported_survives_a_crash(disk: &dyn Disk) {
    let mut expected = Objects::new();
    for life in 1..=3 {
        let mut recovered = disk.open().unwrap();
        assert_eq!(replay(&mut *recovered), expected);
        let (store, listener) = start(recovered);
        for sequence in 1..=20 {
            let records = vec![
                put(life * 100 + sequence, &[7; 300]),
                append(life * 100 + sequence - 1, b"tail"),
            ];
            apply(&mut expected, &records);
            store.submit(batch(0, sequence, records));
            disk.settle();
            listener.wait_for(0, sequence);
        }
        disk.crash();
        store.submit(batch(0, 21, vec![put(5000, b"after the end")]));
    }
    assert_eq!(replay(&mut *disk.open().unwrap()), expected);
}

/// Shards hand each other messages made from batches they submitted before, so a later batch must not outlive an earlier one.
fn a_crash_keeps_a_prefix_across_shards(disk: &dyn Disk) {
    let (store, _) = start(disk.open().unwrap());
    let mut states = vec![Objects::new()];
    for turn in 0..60 {
        let mut objects = states[turn].clone();
        let records = vec![
            put(turn as u64, &[turn as u8; 150]),
            remove(turn as u64 / 2),
            put(1000 + turn as u64, b"pair"),
        ];
        apply(&mut objects, &records);
        states.push(objects);
        store.submit(batch((turn % 4) as u16, turn as u64 / 4 + 1, records));
    }
    disk.crash();
    let found = replay(&mut *disk.open().unwrap());
    assert!(
        states.contains(&found),
        "whole batches, in order, from the first"
    );
}

fn lazy_batches_ride_with_the_next(disk: &dyn Disk) {
    let (store, listener) = start(disk.open().unwrap());
    store.submit(lazy(0, 1, vec![put(1, b"lazy")]));
    store.submit(lazy(1, 1, vec![append(1, b"lazy too")]));
    store.submit(batch(2, 1, vec![append(1, b"urgent")]));
    disk.settle();
    (0..3).for_each(|shard| listener.wait_for(shard, 1));
    disk.crash();
    let found = replay(&mut *disk.open().unwrap());
    assert_eq!(
        found[&key(1)],
        [b"lazy".to_vec(), b"lazy too".to_vec(), b"urgent".to_vec()]
    );
}

fn closing_makes_lazy_batches_durable(disk: &dyn Disk) {
    let (store, listener) = start(disk.open().unwrap());
    store.submit(lazy(0, 1, vec![put(1, b"lazy")]));
    store.close().unwrap();
    assert_eq!(listener.newest(0), 1);
    assert_eq!(replay(&mut *disk.open().unwrap()).len(), 1);
}

fn after_close_nothing_is_taken(disk: &dyn Disk) {
    let (store, listener) = start(disk.open().unwrap());
    store.submit(batch(0, 1, vec![put(1, b"in time")]));
    store.close().unwrap();
    store.submit(batch(0, 2, vec![put(2, b"too late")]));
    store.close().unwrap();
    assert_eq!(listener.newest(0), 1);
    assert!(!store.room());
    assert_eq!(replay(&mut *disk.open().unwrap()).len(), 1);
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(any::<u8>(), 0..1500)
    ];
    let record = (0u64..12, bytes, 0..5).prop_map(|(number, bytes, kind)| match kind {
        0 | 1 => put(number, &bytes),
        2 | 3 => append(number, &bytes),
        _ => remove(number),
    });
    prop::collection::vec(record, 0..6)
}

/// What is submitted (shard, records, lazy), and whether the life ends cleanly.
type Life = (Vec<(u16, Vec<Record>, bool)>, bool);

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let batches = prop::collection::vec((0u16..3, records(), any::<bool>()), 0..25);
    prop::collection::vec((batches, any::<bool>()), 1..5)
}

/// Each store, through any lives, holds a prefix of what was submitted: all of it after a clean stop, at least what was
/// reported after a crash.
fn any_lives(disk: &dyn Disk, lives: Vec<Life>) {
    let mut acceptable = vec![Objects::new()];
    for (life, (batches, clean)) in lives.into_iter().chain([(Vec::new(), true)]).enumerate() {
        let mut recovered = disk.open().unwrap();
        assert_eq!(recovered.identity().starts as usize, life + 1);
        let found = replay(&mut *recovered);
        assert!(acceptable.contains(&found), "found {found:?}");
        let (store, listener) = start(recovered);
        let mut states = vec![found];
        let mut sequences = [0; 3];
        let mut places = Vec::new();
        for (shard, records, lazy) in batches {
            sequences[usize::from(shard)] += 1;
            let sequence = sequences[usize::from(shard)];
            places.push((shard, sequence));
            let mut objects = states[states.len() - 1].clone();
            apply(&mut objects, &records);
            states.push(objects);
            store.submit(Batch {
                shard,
                sequence,
                records,
                lazy,
            });
        }
        let least = if clean {
            store.close().unwrap();
            places.len()
        } else {
            let reported = listener.heard.lock().unwrap().durable.clone();
            disk.crash();
            places
                .iter()
                .rposition(|place| reported.contains(place))
                .map_or(0, |position| position + 1)
        };
        acceptable = states.split_off(least);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_lives_in_memory(lives in lives()) {
        any_lives(&instantly(), lives);
    }

    #[test]
    fn any_lives_in_memory_by_hand(lives in lives(), seed in any::<u64>()) {
        any_lives(&by_hand(seed), lives);
    }

    #[test]
    fn any_lives_on_disk(lives in lives(), synced in any::<bool>()) {
        any_lives(&on_disk(if synced { Commit::Fsync } else { Commit::Os }), lives);
    }
}
